//! The file places: OCI image layouts as directories and as archives, and docker's archives, old and new.
//!
//! [`ArchiveWriter`] writes one tar that is an OCI image layout and a docker archive at once. [`Archive`] reads every
//! archive that docker, podman, skopeo, containerd or BuildKit write, without ever unpacking one: a member is a range of
//! a file. [`OciDirectory`] is an OCI image layout on disk, [`SkopeoDirectory`] the folder of skopeo's `dir:`.

mod archive;
mod directory;
mod image;
mod local;
mod members;
mod names;
mod oci_index;
mod resolve;
mod skopeo_directory;
mod spool;
mod tar_header;
mod writer;

pub use archive::{Archive, ArchiveInput};
pub use directory::{DirectoryIngest, OciDirectory};
pub use image::{ArchiveImage, SavedImage, choose};
pub use local::read_local;
pub use names::unpublished;
pub use skopeo_directory::SkopeoDirectory;
pub use spool::nameless as nameless_file;
pub use writer::{ArchiveIngest, ArchiveWriter, Output};
