//! `image prune`: removes images that nothing names, or that nothing uses.

use dhow_base::Result;
use dhow_spec::{Digest, Reference};

use crate::context::Context;

/// What to prune.
#[derive(Clone, Copy, Debug, Default)]
pub struct Request {
    /// Every image without a container, not only those without a name.
    pub all: bool,
}

/// What is gone.
#[derive(Clone, Debug, Default)]
pub struct Pruned {
    /// Images, each with the names it had.
    pub images: Vec<PrunedImage>,
    /// Bytes that are free again on disk.
    pub reclaimed_bytes: u64,
}

/// One image that is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrunedImage {
    /// Familiar names it had, with tags and with digests.
    pub names: Vec<String>,
    /// Its ID.
    pub id: Digest,
    /// Chain IDs of the layers that only this image had, top layer first.
    pub chains: Vec<Digest>,
}

/// Removes images without names (with [`Request::all`]: without containers) and everything that only they needed.
///
/// # Errors
/// Those of the store; what was removed before stays removed.
pub fn prune(context: &Context, request: Request) -> Result<Pruned> {
    let store = context.store()?;
    let images = store.update(|update| {
        let mut pruned = Vec::new();
        for image in update.images()? {
            let is_named = !image.references.is_empty() || !image.repo_digests.is_empty();
            if image.containers > 0 || (is_named && !request.all) {
                continue;
            }
            let mut names: Vec<String> = Vec::new();
            for reference in &image.references {
                update.untag(reference)?;
                names.push(reference.familiar());
            }
            for (repository, digest) in &image.repo_digests {
                update.remove_repo_digest(repository, digest)?;
                names.push(Reference::from_digest(repository.clone(), digest.clone()).familiar());
            }
            let chains = update.delete_image(&image.id)?;
            pruned.push(PrunedImage { names, id: image.id, chains });
        }
        Ok(pruned)
    })?;
    let collected = store.collect()?;
    Ok(Pruned { images, reclaimed_bytes: collected.bytes })
}
