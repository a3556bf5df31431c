//! Where everything lies below the root of a store.

use std::path::{Path, PathBuf};

use dhow_spec::Reference;
use dhow_spec::digest::{Algorithm, Digest};
use dhow_spec::layout::{BLOBS_DIRECTORY, INDEX_FILE, OCI_LAYOUT_FILE};

use crate::lists;

/// The paths of one store.
#[derive(Clone, Debug)]
pub(crate) struct Paths {
    root: PathBuf,
}

impl Paths {
    pub(crate) fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn marker(&self) -> PathBuf {
        self.root.join(OCI_LAYOUT_FILE)
    }

    pub(crate) fn index(&self) -> PathBuf {
        self.root.join(INDEX_FILE)
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.root.join("meta.db")
    }

    pub(crate) fn uses(&self) -> PathBuf {
        self.root.join("uses")
    }

    /// Empty; its time is when the image was last used.
    pub(crate) fn use_of(&self, image_id: &Digest) -> PathBuf {
        self.uses().join(flat(image_id))
    }

    /// Bytes that a removal may have when the disk is full.
    pub(crate) fn reserve(&self) -> PathBuf {
        self.root.join("reserve")
    }

    /// Guards making a store, migrating it and replacing `index.json`.
    pub(crate) fn lock(&self) -> PathBuf {
        self.root.join("lock")
    }

    pub(crate) fn blobs(&self) -> PathBuf {
        self.root.join(BLOBS_DIRECTORY)
    }

    pub(crate) fn blobs_of(&self, algorithm: Algorithm) -> PathBuf {
        self.blobs().join(algorithm.as_str())
    }

    pub(crate) fn blob(&self, digest: &Digest) -> PathBuf {
        self.blobs_of(digest.algorithm()).join(digest.hex())
    }

    pub(crate) fn ingests(&self) -> PathBuf {
        self.root.join("ingest")
    }

    /// The bytes of a blob under way.
    pub(crate) fn ingest(&self, digest: &Digest) -> PathBuf {
        self.ingests().join(flat(digest))
    }

    /// Which of those bytes are there.
    pub(crate) fn ingest_map(&self, digest: &Digest) -> PathBuf {
        self.ingests().join(format!("{}{MAP_SUFFIX}", flat(digest)))
    }

    pub(crate) fn leases(&self) -> PathBuf {
        self.root.join("leases")
    }

    pub(crate) fn lease(&self, id: &str) -> PathBuf {
        self.leases().join(id)
    }

    pub(crate) fn trash(&self) -> PathBuf {
        self.root.join("trash")
    }

    pub(crate) fn trashed(&self, digest: &Digest) -> PathBuf {
        self.trash().join(flat(digest))
    }

    /// What was the directory of all blobs of an algorithm, before all went at once.
    pub(crate) fn trashed_directory(&self, algorithm: Algorithm) -> PathBuf {
        self.trash().join(algorithm.as_str())
    }

    /// A blob in that directory.
    pub(crate) fn trashed_within(&self, digest: &Digest) -> PathBuf {
        self.trashed_directory(digest.algorithm()).join(digest.hex())
    }

    /// For what is damaged but might be the only copy.
    pub(crate) fn damaged_directory(&self) -> PathBuf {
        self.root.join("damaged")
    }

    pub(crate) fn damaged(&self, digest: &Digest) -> PathBuf {
        self.damaged_directory().join(flat(digest))
    }

    /// Held by the one collection that may be under way.
    pub(crate) fn trash_lock(&self) -> PathBuf {
        self.trash().join(TRASH_LOCK)
    }

    /// What was worked out about a blob. The version is part of the path: another one never reads it.
    pub(crate) fn facts(&self, digest: &Digest) -> PathBuf {
        self.facts_of(digest.algorithm()).join(digest.hex())
    }

    pub(crate) fn facts_of(&self, algorithm: Algorithm) -> PathBuf {
        self.facts_root().join(algorithm.as_str())
    }

    pub(crate) fn facts_root(&self) -> PathBuf {
        self.root.join("facts/v1")
    }

    /// Lists of manifests that are being put together; made when it is first needed.
    pub(crate) fn lists(&self) -> PathBuf {
        self.root.join("lists")
    }

    pub(crate) fn list(&self, name: &Reference) -> PathBuf {
        self.lists().join(lists::file_name(name))
    }

    /// Held by who changes a list.
    pub(crate) fn lists_lock(&self) -> PathBuf {
        self.lists().join("lock")
    }

    /// Uploads that another run may go on with; made when it is first needed.
    pub(crate) fn uploads(&self) -> PathBuf {
        self.root.join("uploads")
    }

    /// Mounts of images, and what is known of them.
    pub(crate) fn mounts(&self) -> PathBuf {
        self.root.join("mounts")
    }

    /// Unpacked layers. The version is part of the path: another one never reads them.
    pub(crate) fn unpacked_directory(&self) -> PathBuf {
        self.root.join("layers/v1")
    }

    /// An unpacked layer: by its diff ID, or by its chain ID when it took something from the layers below.
    pub(crate) fn unpacked(&self, id: &Digest, needs_below: bool) -> PathBuf {
        let suffix = if needs_below { ".chain.erofs" } else { ".erofs" };
        self.unpacked_directory().join(format!("{}{suffix}", flat(id)))
    }

    /// The outline of a layer that is not unpacked, by its diff ID.
    pub(crate) fn outline(&self, diff_id: &Digest) -> PathBuf {
        self.unpacked_directory().join(format!("{}.outline", flat(diff_id)))
    }

    /// The same while it is being made, locked by who does it.
    pub(crate) fn outline_part(&self, diff_id: &Digest) -> PathBuf {
        self.unpacked_directory().join(format!("{}.outline.part", flat(diff_id)))
    }

    /// The file of a stack of unpacked layers, by the chain ID of the topmost.
    pub(crate) fn stack(&self, chain_id: &Digest) -> PathBuf {
        self.unpacked_directory().join(format!("{}.stack.erofs", flat(chain_id)))
    }

    /// The same while it is being made, locked by who does it.
    pub(crate) fn unpacked_part_of_stack(&self, chain_id: &Digest) -> PathBuf {
        self.unpacked_directory().join(format!("{}.stack.part", flat(chain_id)))
    }

    /// A layer that is being unpacked, locked by who does it.
    pub(crate) fn unpacked_part(&self, diff_id: &Digest) -> PathBuf {
        self.unpacked_directory().join(format!("{}.part", flat(diff_id)))
    }

    /// A layer that is being unpacked while its blob arrives, locked by who does it.
    pub(crate) fn passing_part(&self, blob: &Digest) -> PathBuf {
        self.unpacked_directory().join(format!("{}.blob.part", flat(blob)))
    }

    /// Plain trees of images.
    pub(crate) fn trees(&self) -> PathBuf {
        self.root.join("layers/trees-v1")
    }

    /// A plain tree, by the chain ID of its topmost layer and what kind it is.
    pub(crate) fn tree(&self, chain_id: &Digest, suffix: &str) -> PathBuf {
        self.trees().join(format!("{}{suffix}", flat(chain_id)))
    }

    /// The labels of images, worked out from their configs.
    pub(crate) fn labels(&self) -> PathBuf {
        self.facts_root().join("labels.db")
    }

    /// The list that was last made of all names.
    pub(crate) fn rows(&self) -> PathBuf {
        self.facts_root().join("rows")
    }

    /// Directories that are made with the store.
    pub(crate) fn directories(&self) -> Vec<PathBuf> {
        let mut directories: Vec<PathBuf> = Algorithm::ALL.iter().map(|algorithm| self.blobs_of(*algorithm)).collect();
        directories.extend([self.ingests(), self.leases(), self.trash()]);
        directories
    }
}

/// Ending of the file that says which bytes of an ingest are there.
pub(crate) const MAP_SUFFIX: &str = ".map";

/// Name of the lock in `trash/`; no digest looks like it.
const TRASH_LOCK: &str = "lock";

/// A digest as one file name.
pub(crate) fn flat(digest: &Digest) -> String {
    format!("{}-{}", digest.algorithm(), digest.hex())
}

/// The digest that a file name made by [`flat`] stands for.
pub(crate) fn parse_flat(name: &str) -> Option<Digest> {
    let (algorithm, hex) = name.split_once('-')?;
    Digest::parse(&format!("{algorithm}:{hex}")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flat_names_read_back() {
        let digest = Digest::of(Algorithm::Sha512, b"x");
        assert_eq!(parse_flat(&flat(&digest)), Some(digest));
        assert_eq!(parse_flat(TRASH_LOCK), None);
        assert_eq!(parse_flat("sha256-00"), None);
    }
}
