//! What takes the kernel's mounts: layers of an image as one read-only directory.
//!
//! A layer file is an EROFS image. The kernel mounts it from the file itself (Linux 6.12), else over a loop device; overlayfs lays
//! the layers over each other. Where the kernel does not do that for who asks, the same files are served over FUSE. What works
//! here is found by trying.
//!
//! [`container`] runs a program in files of its own, [`user_namespace`] lets those do so who are not root.

pub mod container;
mod fuse;
#[doc(hidden)]
pub mod fuzzing;
mod layers;
mod loops;
mod overlay;
mod table;
#[cfg(test)]
mod test;
pub mod user_namespace;

pub use fuse::{Server, mount_over_fuse, serve};
pub use layers::{Backing, mount_layers, mount_stack, opens_erofs, unmount};
pub use table::{MountPoint, is_mount_namespace_in_use, mount_points, sees_all_users};
