//! The small traits of a *place* where images are kept, verification, and the one [`copy`](copy::copy) written over them.
//!
//! Pull, push, save, load, mirror and cache fill are that one function between two places. The places themselves (the
//! local store, registries, archives) live in crates of their own and never know each other. Each passes [`suite`].
//!
//! Nothing here starts a runtime or touches a file: futures are plain and run on any executor.

mod about;
pub mod copy;
pub mod memory;
mod origin;
mod pause;
mod place;
pub mod suite;
mod transfer;
mod verify;
mod window;

pub use about::{about, blob_of};
pub use copy::{Copied, CopyOptions, Select, copy, copy_blob, documents_below};
pub use origin::Origin;
pub use place::{
    Begin, BlobOrder, ByteStream, Ingest, LocalBlob, Parts, Prefetched, Resolve, Sink, Source, TagSink, read_document,
    read_small,
};
pub use verify::{Verified, VerifiedDocument, Verifier, verify_document};
