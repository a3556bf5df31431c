//! Layers of an image as a FUSE file system: what an ordinary user can mount, and root where the kernel mounts no EROFS.
//!
//! `tree` numbers the files of a union of layers, `serving` answers the kernel, `process` runs that apart from whoever mounts.
//! Nothing of it ever changes, so that the kernel may keep whatever it was told for as long as it likes.

mod process;
mod serving;
mod tree;

#[cfg(test)]
pub(crate) use process::session;
pub use process::{Server, mount_over_fuse, serve};
