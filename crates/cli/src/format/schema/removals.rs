//! What was removed.

use dhow_ops::prune::Pruned;
use dhow_ops::rmi::Removed;
use dhow_ops::system_prune::Everything;
use dhow_spec::Digest;
use serde::Serialize;

use super::Failed;

/// Names that are gone, and what went with them.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Gone {
    untagged: Vec<String>,
    deleted: Vec<Digest>,
    deleted_layers: Vec<Digest>,
}

impl Gone {
    fn of(pruned: &Pruned) -> Self {
        let mut gone = Self::default();
        for image in &pruned.images {
            gone.untagged.extend(image.names.iter().map(ToString::to_string));
            if let Some(chains) = &image.chains {
                gone.deleted.push(image.id.clone());
                gone.deleted_layers.extend(chains.iter().cloned());
            }
        }
        gone
    }
}

/// `rmi`: all that the run removed.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Remove<'a> {
    #[serde(flatten)]
    gone: Gone,
    reclaimed_bytes: u64,
    failed: Vec<Failed<'a>>,
}

impl<'a> Remove<'a> {
    /// Nothing yet but the space.
    pub(crate) fn new(reclaimed_bytes: u64) -> Self {
        Self { reclaimed_bytes, ..Self::default() }
    }

    /// Adds what was removed for one image.
    pub(crate) fn add(&mut self, removed: &[Removed]) {
        for line in removed {
            match line {
                Removed::Untagged(name) => self.gone.untagged.push(name.to_string()),
                Removed::Deleted(id) => self.gone.deleted.push(id.clone()),
                Removed::DeletedLayer(chain) => self.gone.deleted_layers.push(chain.clone()),
            }
        }
    }

    /// Adds an image that could not be removed.
    pub(crate) fn add_failure(&mut self, failed: Failed<'a>) {
        self.failed.push(failed);
    }
}

/// `image prune`
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Prune {
    dry_run: bool,
    #[serde(flatten)]
    gone: Gone,
    reclaimed_bytes: u64,
    excess_bytes: u64,
}

impl Prune {
    /// What is gone, or would be.
    pub(crate) fn new(pruned: &Pruned, dry_run: bool) -> Self {
        let reclaimed_bytes = pruned.reclaimed_bytes + pruned.transfer_bytes;
        Self { dry_run, gone: Gone::of(pruned), reclaimed_bytes, excess_bytes: pruned.excess_bytes }
    }
}

/// `system prune`
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SystemPrune<'a> {
    dry_run: bool,
    containers: &'a [String],
    volumes: &'a [String],
    #[serde(flatten)]
    gone: Gone,
    build_cache: &'a [String],
    reclaimed_bytes: u64,
}

impl<'a> SystemPrune<'a> {
    /// What is gone, or would be.
    pub(crate) fn new(everything: &'a Everything, dry_run: bool) -> Self {
        Self {
            dry_run,
            containers: &everything.containers,
            volumes: &everything.volumes,
            gone: Gone::of(&everything.images),
            build_cache: &everything.build,
            reclaimed_bytes: everything.reclaimed_bytes,
        }
    }
}
