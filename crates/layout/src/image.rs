//! What an archive holds, and what is put into one.

use dhow_spec::{Descriptor, Reference};

/// One image found in an archive or layout directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchiveImage {
    /// Its manifest or index.
    pub root: Descriptor,
    /// The names it is stored under, each with tag or digest; none for an untagged image.
    pub names: Vec<Reference>,
}

/// One image that was copied into an archive and is now to be listed in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedImage {
    /// Its manifest or index.
    pub root: Descriptor,
    /// For an index, the manifest that readers without indexes shall take: the one of the host's platform.
    pub manifest: Option<Descriptor>,
    /// The names it gets; none for an untagged image.
    pub names: Vec<Reference>,
}
