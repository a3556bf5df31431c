//! The values of the OCI and Docker image formats: digest, reference, platform, descriptor, manifest, index and config.
//!
//! Everything here is a pure value: no input or output, no clock, no environment. Text and bytes from elsewhere are
//! *parsed* once, at the boundary, into types that cannot hold anything else. A [`Digest`] is well formed and of a known
//! algorithm, a [`Reference`] is normalised, a [`Document`] means the same to every reader. Code further up takes these
//! types and needs no checks of its own.
//!
//! Bytes and meaning travel together: a [`Document`] keeps the exact bytes it was parsed from, because a digest is over
//! bytes, and unknown fields survive in `extra`, because documents are also edited and written again.

pub mod config;
pub mod descriptor;
pub mod digest;
pub mod document;
pub mod json;
pub mod layout;
pub mod media_type;
pub mod platform;
pub mod reference;

mod lenient;

pub use config::ImageConfig;
pub use descriptor::Descriptor;
pub use digest::{Algorithm, Digest};
pub use document::{Document, ImageIndex, ImageManifest};
pub use media_type::MediaType;
pub use platform::Platform;
pub use reference::{Reference, Repository, Tag};
