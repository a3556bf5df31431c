//! The verbs, one to a file.

mod append;
mod artifact;
mod blob;
mod cat;
mod completion;
mod container;
mod copy;
mod cp;
mod df;
mod diff;
mod digest;
mod exists;
mod export;
mod filters;
mod flatten;
mod help;
mod history;
mod images;
mod import;
mod info;
mod inspect;
mod load;
mod login;
mod logout;
mod ls;
mod manifest;
mod mount;
mod mutate;
mod podman;
mod prune;
mod pull;
mod push;
mod rebase;
mod referrers;
mod remade;
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
mod transfers;
mod tree;
mod unpack;
mod unpacked;
mod unshare;
mod untag;
mod validate;
pub(crate) mod version;
mod volume;
mod wanted;

pub(crate) use container::refused;

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
const IMPORT: &[&str] = &["image import", "import"];
const PS: &[&str] = &["container ls", "container list", "container ps", "ps"];
const SEARCH: &[&str] = &["image search", "search"];
const INFO: &[&str] = &["system info", "info"];

/// Everything that can be said to the program.
pub(crate) const TREE: &[Node] = &Node::joined::<{ WORDS.len() + REFUSED.len() }>(WORDS, REFUSED);

/// What a container engine is needed for, of those words that are said alone and of those that are said of containers.
const REFUSED: &[Node] = &[
    refused_word("exec"),
    refused_word("stop"),
    refused_word("kill"),
    refused_word("restart"),
    refused_word("pause"),
    refused_word("unpause"),
    refused_word("attach"),
    refused_word("logs"),
    refused_word("port"),
    refused_word("stats"),
    refused_word("top"),
    refused_word("update"),
    refused_word("wait"),
    refused_word("init"),
];

const fn refused_word(word: &'static str) -> Node {
    Node::verb::<container::Refused>(word, &[], &[]).hide()
}

const WORDS: &[Node] = &[
    Node::verb::<pull::Pull>("pull", &[], PULL).in_podman::<podman::pull::Pull>(),
    Node::verb::<push::Push>("push", &[], PUSH).in_podman::<podman::push::Push>(),
    Node::verb::<images::Images>("images", &[], LIST).in_podman::<podman::images::Images>(),
    Node::verb::<tag::Tag>("tag", &[], TAG).in_podman::<podman::tag::Tag>(),
    Node::verb::<untag::Untag>("untag", &[], UNTAG).in_podman::<podman::tag::Untag>(),
    Node::verb::<inspect::Inspect>("inspect", &[], &[]).in_podman::<podman::inspect::Inspect>(),
    Node::verb::<history::History>("history", &[], HISTORY).in_podman::<podman::history::History>(),
    Node::verb::<rmi::Rmi>("rmi", &[], REMOVE).in_podman::<podman::rmi::Rmi>(),
    Node::verb::<save::Save>("save", &[], SAVE).in_podman::<podman::save::Save>(),
    Node::verb::<load::Load>("load", &[], LOAD).in_podman::<podman::load::Load>(),
    Node::verb::<ls::List>("ls", &[], &[]),
    Node::verb::<cat::Cat>("cat", &[], &[]),
    Node::verb::<cp::Cp>("cp", &[], &["container cp", "cp"]),
    Node::verb::<diff::Diff>("diff", &[], &[]).in_podman::<podman::diff::Diff>(),
    Node::verb::<export::Export>("export", &[], &[]),
    Node::verb::<import::Import>("import", &[], IMPORT).in_podman::<podman::import::Import>(),
    Node::verb::<unpack::Unpack>("unpack", &[], &[]),
    Node::verb::<unshare::Unshare>("unshare", &[], &[]),
    Node::verb::<copy::Copy>("copy", &[], &[]),
    Node::verb::<sync::Sync>("sync", &[], &[]),
    Node::verb::<container::Run>("run", &[], &["container run", "run"]),
    Node::verb::<container::Commit>("commit", &[], &["container commit", "commit"])
        .in_podman::<podman::commit::Commit>(),
    Node::verb::<container::Create>("create", &[], &["container create", "create"]),
    Node::verb::<container::Start>("start", &[], &["container start", "start"]).in_podman::<podman::start::Start>(),
    Node::verb::<container::List>("ps", &[], PS).in_podman::<podman::ps::List>(),
    Node::verb::<container::Mount>("mount", &[], &["container mount", "mount"]),
    Node::verb::<container::Unmount>("unmount", &["umount"], &["container unmount", "unmount"])
        .called_in_podman("umount"),
    Node::verb::<container::Remove>("rm", &[], &["container rm", "rm"]).in_podman::<podman::rm::Remove>(),
    Node::verb::<container::Rename>("rename", &[], &["container rename", "rename"]),
    Node::verb::<search::Search>("search", &[], SEARCH),
    Node::verb::<tags::Tags>("tags", &[], &[]),
    Node::verb::<digest::Digest>("digest", &[], &[]),
    Node::verb::<referrers::Referrers>("referrers", &[], &[]),
    Node::verb::<blob::Blob>("blob", &[], &[]),
    Node::verb::<rm_remote::RmRemote>("rm-remote", &[], &[]),
    Node::verb::<mutate::Mutate>("mutate", &[], &[]),
    Node::verb::<append::Append>("append", &[], &[]),
    Node::verb::<flatten::Flatten>("flatten", &[], &[]),
    Node::verb::<rebase::Rebase>("rebase", &[], &[]),
    Node::verb::<validate::Validate>("validate", &[], &[]),
    Node::verb::<login::Login>("login", &[], &[]).in_podman::<podman::login::Login>(),
    Node::verb::<logout::Logout>("logout", &[], &[]).in_podman::<podman::login::Logout>(),
    Node::verb::<serve::Serve>("serve", &[], &[]).with(SERVE),
    Node::verb::<version::Version>("version", &[], &[]).in_podman::<podman::version::Version>(),
    Node::verb::<info::Info>("info", &[], INFO).in_podman::<podman::info::Info>(),
    Node::verb::<completion::Completion>("completion", &[], &[]),
    Node::verb::<help::Help>("help", &[], &[]).hide(),
    Node::verb::<mount::Serve>(mount::SERVE, &[], &[]).hide(),
    refused_word("network"),
    Node::group("artifact", "Manage files in registries", ARTIFACT),
    Node::group("container", "Manage containers", CONTAINER),
    Node::group("image", "Manage images", IMAGE),
    Node::group("manifest", "Manage manifests and lists of them in registries", MANIFEST),
    Node::group("volume", "Manage volumes", VOLUME),
    Node::group("system", "Look after the local store", SYSTEM),
];

const ARTIFACT: &[Node] = &[
    Node::verb::<artifact::Inspect>("inspect", &[], &[]),
    Node::verb::<artifact::List>("ls", &["list"], &[]),
    Node::verb::<artifact::Pull>("pull", &[], &[]),
    Node::verb::<artifact::Push>("push", &[], &[]),
    Node::verb::<artifact::Remove>("rm", &["remove"], &[]),
];

const CONTAINER: &[Node] = &Node::joined::<{ OF_CONTAINERS.len() + REFUSED.len() }>(OF_CONTAINERS, REFUSED);

const OF_CONTAINERS: &[Node] = &[
    Node::verb::<container::Commit>("commit", &[], &["container commit", "commit"])
        .in_podman::<podman::commit::Commit>(),
    Node::verb::<container::Create>("create", &[], &["container create", "create"]),
    Node::verb::<cp::Cp>("cp", &[], &["container cp", "cp"]),
    Node::verb::<diff::Diff>("diff", &[], &[]).in_podman::<podman::diff::Diff>(),
    Node::verb::<podman::rm::Exists>("exists", &[], &[]),
    Node::verb::<export::Export>("export", &[], &[]),
    Node::verb::<container::ContainerInspect>("inspect", &[], &[]).in_podman::<podman::inspect::ContainerInspect>(),
    Node::verb::<container::List>("ls", &["list", "ps"], PS).in_podman::<podman::ps::List>(),
    Node::verb::<container::Mount>("mount", &[], &["container mount", "mount"]),
    Node::verb::<container::Prune>("prune", &[], &[]).in_podman::<podman::container_prune::ContainerPrune>(),
    Node::verb::<container::Remove>("rm", &["remove"], &["container rm", "rm"]).in_podman::<podman::rm::Remove>(),
    Node::verb::<container::Rename>("rename", &[], &["container rename", "rename"]),
    Node::verb::<container::Run>("run", &[], &["container run", "run"]),
    Node::verb::<container::Start>("start", &[], &["container start", "start"]).in_podman::<podman::start::Start>(),
    Node::verb::<container::Unmount>("unmount", &["umount"], &["container unmount", "unmount"]),
];

const IMAGE: &[Node] = &[
    Node::verb::<diff::Diff>("diff", &[], &[]).in_podman::<podman::diff::Diff>(),
    Node::verb::<exists::Exists>("exists", &[], &[]).in_podman::<podman::tag::Exists>(),
    Node::verb::<history::History>("history", &[], HISTORY).in_podman::<podman::history::History>(),
    Node::verb::<import::Import>("import", &[], IMPORT).in_podman::<podman::import::Import>(),
    Node::verb::<inspect::ImageInspect>("inspect", &[], &[]).in_podman::<podman::inspect::ImageInspect>(),
    Node::verb::<load::Load>("load", &[], LOAD).in_podman::<podman::load::Load>(),
    Node::verb::<images::Images>("ls", &["list"], LIST).in_podman::<podman::images::Images>().called_in_podman("list"),
    Node::verb::<mount::Mount>("mount", &[], &[]).in_podman::<podman::image_mount::ImageMount>(),
    Node::verb::<prune::Prune>("prune", &[], &[]).in_podman::<podman::prune::Prune>(),
    Node::verb::<pull::Pull>("pull", &[], PULL).in_podman::<podman::pull::Pull>(),
    Node::verb::<push::Push>("push", &[], PUSH).in_podman::<podman::push::Push>(),
    Node::verb::<rmi::Rmi>("rm", &["remove"], REMOVE).in_podman::<podman::rmi::Rmi>(),
    Node::verb::<save::Save>("save", &[], SAVE).in_podman::<podman::save::Save>(),
    Node::verb::<search::Search>("search", &[], SEARCH),
    Node::verb::<tag::Tag>("tag", &[], TAG).in_podman::<podman::tag::Tag>(),
    Node::verb::<tree::Tree>("tree", &[], &[]).in_podman::<podman::tree::ImageTree>(),
    Node::verb::<mount::Unmount>("unmount", &["umount"], &[]),
    Node::verb::<untag::Untag>("untag", &[], UNTAG).in_podman::<podman::tag::Untag>(),
];

const SERVE: &[Node] =
    &[Node::verb::<serve::gc::Collect>("gc", &[], &[]), Node::verb::<serve::gc::Scrub>("scrub", &[], &[])];

const MANIFEST: &[Node] = &[
    Node::verb::<manifest::Add>("add", &[], &[]).in_podman::<podman::manifest::Add>(),
    Node::verb::<manifest::Annotate>("annotate", &[], &[]).in_podman::<podman::manifest::Annotate>(),
    Node::verb::<manifest::Create>("create", &[], &[]).in_podman::<podman::manifest::Create>(),
    Node::verb::<manifest::Exists>("exists", &[], &[]).in_podman::<podman::manifest::Exists>(),
    Node::verb::<manifest::Inspect>("inspect", &[], &[]).in_podman::<podman::manifest::Inspect>(),
    Node::verb::<manifest::Push>("push", &[], &[]).in_podman::<podman::manifest::Push>(),
    Node::verb::<manifest::Remove>("remove", &[], &[]).in_podman::<podman::manifest::Remove>(),
    Node::verb::<manifest::Rm>("rm", &[], &[]).in_podman::<podman::manifest::Rm>(),
];

const VOLUME: &[Node] = &[
    Node::verb::<volume::Create>("create", &[], &[]).in_podman::<podman::volume::Create>(),
    Node::verb::<podman::volume::Exists>("exists", &[], &[]),
    Node::verb::<podman::volume::Export>("export", &[], &[]),
    Node::verb::<podman::volume::Import>("import", &[], &[]),
    Node::verb::<volume::Inspect>("inspect", &[], &[]).in_podman::<podman::volume::Inspect>(),
    Node::verb::<volume::List>("ls", &["list"], &[]).in_podman::<podman::volume::List>(),
    Node::verb::<podman::volume::Mount>("mount", &[], &[]),
    Node::verb::<volume::Prune>("prune", &[], &[]).in_podman::<podman::volume::Prune>(),
    Node::verb::<podman::volume::Reload>("reload", &[], &[]).hide(),
    Node::verb::<volume::Remove>("rm", &["remove"], &[]).in_podman::<podman::volume::Remove>(),
    Node::verb::<podman::volume::Unmount>("unmount", &["umount"], &[]),
];

const SYSTEM: &[Node] = &[
    Node::verb::<system::Check>("check", &[], &[]).in_podman::<podman::check::Check>(),
    Node::verb::<df::DiskFree>("df", &[], &[]).in_podman::<podman::df::DiskFree>(),
    Node::verb::<info::Info>("info", &[], INFO).in_podman::<podman::info::Info>(),
    Node::verb::<system_prune::SystemPrune>("prune", &[], &[]).in_podman::<podman::system_prune::SystemPrune>(),
    Node::verb::<system::EmptyTrash>("empty-trash", &[], &[]).hide(),
    Node::verb::<unpacked::MakeTree>(unpacked::MAKE_TREE, &[], &[]).hide(),
    Node::verb::<system::SyncView>("sync-view", &[], &[]),
];
