//! Upkeep of a registry that is served.

use dhow_ops::serve::{Collected, Scrubbed};
use serde::Serialize;

/// `serve gc`
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ServeGc<'a> {
    status: &'static str,
    repositories: u64,
    manifests: u64,
    unlinked_blobs: u64,
    removed_contents: u64,
    removed_bytes: u64,
    problems: &'a [String],
}

impl<'a> ServeGc<'a> {
    pub(crate) fn new(done: &'a Collected, dry_run: bool) -> Self {
        Self {
            status: if dry_run { "would-remove" } else { "removed" },
            repositories: done.repositories,
            manifests: done.manifests,
            unlinked_blobs: done.unlinked,
            removed_contents: done.removed,
            removed_bytes: done.bytes,
            problems: &done.problems,
        }
    }
}

/// `serve scrub`
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ServeScrub<'a> {
    sound: bool,
    contents: u64,
    size_bytes: u64,
    problems: &'a [String],
}

impl<'a> From<&'a Scrubbed> for ServeScrub<'a> {
    fn from(done: &'a Scrubbed) -> Self {
        Self {
            sound: done.problems.is_empty(),
            contents: done.contents,
            size_bytes: done.bytes,
            problems: &done.problems,
        }
    }
}
