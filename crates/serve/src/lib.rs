//! An OCI registry (distribution spec 1.1) over a local folder or an object store.
//!
//! [`bind`] opens the folder and the socket, [`Server::run`] serves until it is told to stop. Nothing is printed:
//! events go to `tracing`, one for each request with the target [`ACCESS_LOG`].
//!
//! What a client was answered with 201 survives a power cut. Bodies are streamed in both directions, so memory is
//! bounded whatever the size of an image; everything else that a client sends has a limit ([`Limits`]).
//!
//! The parsers of untrusted text ([`access`], [`configuration`], [`name`], [`page`], [`query`], [`range`], [`records`], [`referrers`], [`route`]) are public so that they can be fuzzed.

pub mod access;
mod access_log;
mod blobs;
mod body;
mod cache;
mod collect;
pub mod configuration;
mod connection;
mod exchange;
mod failure;
mod images;
mod intake;
mod kernel;
mod lists;
mod live;
mod locks;
mod manifests;
mod metrics;
pub mod name;
mod options;
pub mod page;
pub mod query;
mod quota;
mod random;
pub mod range;
mod receive;
pub mod records;
pub mod referrers;
mod registry;
mod response;
pub mod route;
mod server;
mod service;
mod sessions;
mod storage;
mod tls;
mod uploads;

pub use access_log::AccessLog;
pub use cache::{Arriving, Fetched, Reply, Upstream, copy_of};
pub use collect::{CollectOptions, Collected, Scrubbed, collect, collect_bucket, scrub, scrub_bucket};
pub use configuration::{Configuration, Source};
pub use exchange::Exchange;
pub use images::{Images, Offered};
pub use options::{Limits, ObjectStorage, ServeOptions, StoreOptions};
pub use quota::Quota;
pub use server::{Server, bind};
pub use service::ACCESS_LOG;
