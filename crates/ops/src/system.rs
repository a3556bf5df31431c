//! `system check` and `system sync-view`: the store's health.

use dhow_base::Result;
pub use dhow_store::{Incomplete, Problem, ProblemCode, Rebuilt, Report, Severity};
use dhow_store::{OpenOptions, Store};

use crate::context::Context;

/// What a check found and did.
#[derive(Clone, Debug, Default)]
pub struct Checked {
    /// Set when `meta.db` was made anew.
    pub rebuilt: Option<Rebuilt>,
    /// The state of the store after that.
    pub report: Report,
}

impl Checked {
    /// Whether everything that was committed is there and right, and a rebuild lost no image.
    pub fn is_sound(&self) -> bool {
        self.report.is_sound() && self.rebuilt.as_ref().is_none_or(|rebuilt| rebuilt.incomplete.is_empty())
    }
}

/// Verifies every blob, name and row; with `repair`, mends what can be mended without losing anything: a damaged or lost
/// `meta.db` is made anew first. [`fetch_lost`](crate::refetch::fetch_lost) goes on from there.
///
/// # Errors
/// Those of reading the store. What is wrong with its content is in the report.
pub fn check(context: &Context, repair: bool) -> Result<Checked> {
    let (root, options) = (&context.settings().store_root, OpenOptions::default());
    let may_be_damaged = repair && root.join("blobs").is_dir();
    let rebuilt = if may_be_damaged { Store::rebuild_if_unsound(root, &options)? } else { None };
    Ok(Checked { rebuilt, report: context.store()?.check(repair)? })
}

/// Whether removed trees still take space.
pub fn has_trashed_trees(context: &Context) -> bool {
    context.store().is_ok_and(Store::has_trashed_trees)
}

/// Removes trees that were put into the trash.
///
/// # Errors
/// Those of opening the store.
pub fn empty_trash(context: &Context) -> Result<()> {
    context.store().map(Store::empty_trees_trash)
}

/// Rewrites `index.json`, the view of the store that other tools read.
///
/// # Errors
/// Those of writing it.
pub fn sync_view(context: &Context) -> Result<()> {
    context.store()?.sync_view()
}
