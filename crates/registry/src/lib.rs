//! A registry as a place: the client of the OCI distribution specification and of Docker's registry API.
//!
//! [`Client`] holds what the requests of one run share; [`Client::repository`] gives a [`Remote`], one repository, which
//! `dhow-content` reads from and writes to. Everything a registry sends is hostile until proven: lengths are limited,
//! digests recomputed, redirects and token realms checked before anything follows them.
//!
//! The way of a request, from the top: `remote` and the modules beside it form it, `endpoint` follows redirects and has
//! `authenticator` say who asks, `transport` sends and repeats it.

mod authenticator;
mod blob;
pub mod challenge;
mod client;
pub mod config;
mod courtesy;
pub mod credentials;
pub mod daemon;
mod download;
mod endpoint;
pub mod error;
mod exact;
mod failure;
#[doc(hidden)]
pub mod fuzzing;
mod gate;
mod host;
mod ingest;
mod json_problem;
mod manifest;
mod mirrors;
mod proxy;
pub mod quirks;
mod referrers;
mod remote;
mod resumption;
mod retry;
mod search;
mod tags;
mod token;
mod traffic;
mod transport;
mod trusted;
mod upload;
mod validators;
mod warning;
mod whole;
mod window;

pub use client::{Client, ClientOptions, LoginOutcome, PartPolicy};
pub use config::short_names::{Reason, Resolution};
pub use config::{ConfigFiles, Family, Registries};
pub use credentials::file::AuthFile;
pub use credentials::keychain::{Erased, Given, Kept, Keychain, Places};
pub use credentials::keys::{Dialect, domain, hostname};
pub use credentials::{Anonymous, Credential, CredentialSource};
pub use download::{Download, shown_url};
pub use error::WireError;
pub use ingest::Upload;
pub use proxy::Proxies;
pub use referrers::fallback_tag;
pub use remote::{Access, Remote};
pub use resumption::{UploadNote, UploadNotes};
pub use retry::RetryPolicy;
pub use search::Hit;
pub use traffic::Traffic;
