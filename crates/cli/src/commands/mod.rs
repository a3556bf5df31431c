//! The verbs, one to a file.

mod artifact;
mod completion;
mod copy;
mod df;
mod digest;
mod exists;
mod filters;
mod help;
mod history;
mod images;
mod info;
mod inspect;
mod load;
mod login;
mod logout;
mod manifest;
mod prune;
mod pull;
mod push;
mod referrers;
mod remote;
mod rm_remote;
mod rmi;
mod save;
mod search;
mod serve;
mod sync;
mod system;
mod system_prune;
mod tag;
mod tags;
mod targets;
mod tree;
mod untag;
pub(crate) mod version;
mod wanted;

use crate::verb::Node;

const PULL: &[&str] = &["image pull", "pull"];
const PUSH: &[&str] = &["image push", "push"];
const TAG: &[&str] = &["image tag", "tag"];
const UNTAG: &[&str] = &["image untag", "untag"];
const LIST: &[&str] = &["image ls", "image list", "images"];
const HISTORY: &[&str] = &["image history", "history"];
const REMOVE: &[&str] = &["image rm", "image remove", "rmi"];
const SAVE: &[&str] = &["image save", "save"];
const LOAD: &[&str] = &["image load", "load"];
const INFO: &[&str] = &["system info", "info"];

/// Everything that can be said to the program.
pub(crate) const TREE: &[Node] = &[
    Node::verb::<pull::Pull>("pull", &[], PULL),
    Node::verb::<push::Push>("push", &[], PUSH),
    Node::verb::<images::Images>("images", &[], LIST),
    Node::verb::<tag::Tag>("tag", &[], TAG),
    Node::verb::<untag::Untag>("untag", &[], UNTAG),
    Node::verb::<inspect::Inspect>("inspect", &[], &[]),
    Node::verb::<history::History>("history", &[], HISTORY),
    Node::verb::<rmi::Rmi>("rmi", &[], REMOVE),
    Node::verb::<save::Save>("save", &[], SAVE),
    Node::verb::<load::Load>("load", &[], LOAD),
    Node::verb::<copy::Copy>("copy", &[], &[]),
    Node::verb::<sync::Sync>("sync", &[], &[]),
    Node::verb::<search::Search>("search", &[], &[]),
    Node::verb::<tags::Tags>("tags", &[], &[]),
    Node::verb::<digest::Digest>("digest", &[], &[]),
    Node::verb::<referrers::Referrers>("referrers", &[], &[]),
    Node::verb::<rm_remote::RmRemote>("rm-remote", &[], &[]),
    Node::verb::<login::Login>("login", &[], &[]),
    Node::verb::<logout::Logout>("logout", &[], &[]),
    Node::verb::<serve::Serve>("serve", &[], &[]),
    Node::verb::<version::Version>("version", &[], &[]),
    Node::verb::<info::Info>("info", &[], INFO),
    Node::verb::<completion::Completion>("completion", &[], &[]),
    Node::verb::<help::Help>("help", &[], &[]).hide(),
    Node::group("artifact", "Manage files in registries", ARTIFACT),
    Node::group("image", "Manage images", IMAGE),
    Node::group("manifest", "Manage manifests and lists of them in registries", MANIFEST),
    Node::group("system", "Look after the local store", SYSTEM),
];

const ARTIFACT: &[Node] = &[
    Node::verb::<artifact::Inspect>("inspect", &[], &[]),
    Node::verb::<artifact::List>("ls", &["list"], &[]),
    Node::verb::<artifact::Pull>("pull", &[], &[]),
    Node::verb::<artifact::Push>("push", &[], &[]),
    Node::verb::<artifact::Remove>("rm", &["remove"], &[]),
];

const IMAGE: &[Node] = &[
    Node::verb::<exists::Exists>("exists", &[], &[]),
    Node::verb::<history::History>("history", &[], HISTORY),
    Node::verb::<inspect::ImageInspect>("inspect", &[], &[]),
    Node::verb::<load::Load>("load", &[], LOAD),
    Node::verb::<images::Images>("ls", &["list"], LIST),
    Node::verb::<prune::Prune>("prune", &[], &[]),
    Node::verb::<pull::Pull>("pull", &[], PULL),
    Node::verb::<push::Push>("push", &[], PUSH),
    Node::verb::<rmi::Rmi>("rm", &["remove"], REMOVE),
    Node::verb::<save::Save>("save", &[], SAVE),
    Node::verb::<tag::Tag>("tag", &[], TAG),
    Node::verb::<tree::Tree>("tree", &[], &[]),
    Node::verb::<untag::Untag>("untag", &[], UNTAG),
];

const MANIFEST: &[Node] = &[
    Node::verb::<manifest::Add>("add", &[], &[]),
    Node::verb::<manifest::Annotate>("annotate", &[], &[]),
    Node::verb::<manifest::Create>("create", &[], &[]),
    Node::verb::<manifest::Exists>("exists", &[], &[]),
    Node::verb::<manifest::Inspect>("inspect", &[], &[]),
    Node::verb::<manifest::Push>("push", &[], &[]),
    Node::verb::<manifest::Remove>("remove", &[], &[]),
    Node::verb::<manifest::Rm>("rm", &[], &[]),
];

const SYSTEM: &[Node] = &[
    Node::verb::<system::Check>("check", &[], &[]),
    Node::verb::<df::DiskFree>("df", &[], &[]),
    Node::verb::<info::Info>("info", &[], INFO),
    Node::verb::<system_prune::SystemPrune>("prune", &[], &[]),
    Node::verb::<system::SyncView>("sync-view", &[], &[]),
];
