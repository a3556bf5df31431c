//! What the verbs do: one file per verb. Each takes a request, returns data and emits events; nothing here prints, reads
//! the environment or exits.
//!
//! A verb that needs the network is `async` and runs under [`runtime`]; the others are plain functions and start nothing.

pub mod artifact;
pub mod cat;
mod content_error;
pub mod context;
pub mod copy;
pub mod cp;
mod daemon;
pub mod df;
pub mod diff;
pub mod exists;
pub mod export;
mod extent;
pub mod filter;
pub mod history;
pub mod images;
pub mod import;
pub mod inspect;
mod last_use;
pub mod load;
pub mod login;
pub mod ls;
pub mod manifest;
pub mod mount;
mod names;
mod naming;
mod outgoing;
mod podman;
mod present;
pub mod prune;
pub mod pull;
pub mod push;
pub mod refetch;
pub mod remote;
pub mod rmi;
mod rootfs;
pub mod runtime;
pub mod save;
pub mod search;
mod select;
pub mod serve;
pub mod settings;
pub mod short_names;
pub mod summary;
pub mod sync;
pub mod system;
pub mod system_prune;
pub mod tag;
pub mod transfers;
mod transport;
pub mod tree;
pub mod unpack;
pub mod untag;
pub mod wholes;

pub use context::{Account, Context, ProxySettings, Settings};
pub use dhow_registry::{ConfigFiles, Family, Places};
pub use extent::Extent;
pub use naming::Naming;
pub use select::Platforms;
