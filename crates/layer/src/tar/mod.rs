//! Reading tar streams that nobody vouches for.
//!
//! [`TarReader`] turns a stream into typed [`Entry`] values: names are [`RelativePath`]s, which cannot leave the root,
//! whiteouts are kinds of their own, and every number was checked. Where implementations differ on what an archive means,
//! it reads as Go's `archive/tar` does, because docker, containerd and podman read layers with it; where a difference
//! would let one stream mean two things (a PAX size beside another, two names for one entry), the archive is refused.
//! `docs/design/unpack.md` lists those decisions.

mod entry;
mod error;
mod header;
mod input;
mod numeric;
mod path;
mod pax;
mod reader;
mod sparse;
mod whiteout;

#[cfg(test)]
mod tests;

pub use entry::{Entry, EntryKind, Time, WhiteoutForm, Xattr};
pub use error::{TarCause, TarError};
pub(crate) use path::split;
pub use path::{PathError, RelativePath};
pub use reader::{TarLimits, TarReader};
pub use sparse::{Extent, SparseMap};
