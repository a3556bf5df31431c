//! How much an image is, and how much of it moved: what transfers report.

use std::collections::HashSet;

use dhow_base::Result;
use dhow_content::{Copied, VerifiedDocument};
use dhow_spec::platform::Matcher;
use dhow_spec::{Descriptor, Digest, Platform};
use dhow_store::Store;

use crate::select::Platforms;

/// How much an image is, and how much of it moved. Bytes are those of blobs as they travel, compressed or not; manifests
/// and indexes are not counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// What it runs on, in the order of its manifests. An artifact runs on nothing.
    pub platforms: Vec<Platform>,
    /// Number of its layers, each once.
    pub layers: usize,
    /// Bytes of its layers and configs, each once.
    pub bytes: u64,
    /// Number of the layers whose bytes moved; the others were there.
    pub layers_moved: usize,
    /// Bytes that moved.
    pub bytes_moved: u64,
}

impl Extent {
    /// Of these documents of what the store keeps as `target`.
    pub(crate) fn of(store: &Store, target: &Digest, documents: &[VerifiedDocument]) -> Result<Self> {
        let digests: HashSet<&Digest> = documents.iter().map(|document| &document.descriptor().digest).collect();
        let mut extent = Self::default();
        for manifest in store.manifests_of(target)?.into_iter().filter(|manifest| digests.contains(&manifest.digest)) {
            let platform = manifest.platform.filter(|platform| !platform.os.is_empty());
            extent.platforms.extend(platform.filter(|platform| !extent.platforms.contains(platform)));
        }
        let mut seen = HashSet::new();
        for manifest in documents.iter().filter_map(|document| document.document().as_manifest()) {
            for (blob, is_layer) in manifest.layers.iter().map(|layer| (layer, true)).chain([(&manifest.config, false)])
            {
                if seen.insert(&blob.digest) {
                    extent.layers += usize::from(is_layer);
                    extent.bytes += blob.size;
                }
            }
        }
        Ok(extent)
    }

    /// With what a copy moved.
    pub(crate) fn moved(self, copied: &Copied) -> Self {
        Self { layers_moved: copied.layers_moved, bytes_moved: copied.bytes_moved, ..self }
    }
}

/// The documents that a pull of these platforms finds here, for what the store keeps as `root`.
pub(crate) fn local_documents(
    store: &Store,
    root: &Descriptor,
    platforms: &Platforms,
) -> Result<Vec<VerifiedDocument>> {
    if *platforms == Platforms::All {
        return store.documents_below(root);
    }
    let here = store.manifests_of(&root.digest)?;
    let best = |platform: &Platform| {
        let matcher = Matcher::ordered(platform);
        let ranked = here.iter().filter_map(|member| Some((matcher.rank(member.platform.as_ref()?)?, member)));
        ranked.min_by_key(|(rank, _)| *rank).map(|(_, member)| member)
    };
    let chosen: Vec<&Descriptor> = match platforms {
        Platforms::These(wanted) => wanted.iter().filter_map(best).collect(),
        Platforms::Default | Platforms::All => best(&Platform::host()).or(here.first()).into_iter().collect(),
    };
    let mut once = HashSet::new();
    chosen
        .into_iter()
        .filter(|manifest| once.insert(&manifest.digest))
        .map(|manifest| store.document(&manifest.digest))
        .collect()
}
