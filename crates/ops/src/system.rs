//! `system check` and `system sync-view`: the store's health.

use dhow_base::Result;
use dhow_store::{OpenOptions, Store};
pub use dhow_store::{Problem, Rebuilt, Report};

use crate::context::Context;

/// What a check found and did.
#[derive(Clone, Debug, Default)]
pub struct Checked {
    /// Set when `meta.db` was made anew.
    pub rebuilt: Option<Rebuilt>,
    /// The state of the store after that.
    pub report: Report,
}

/// Verifies every blob, name and row; with `repair`, mends what can be mended without losing anything: a damaged or lost
/// `meta.db` is made anew first.
///
/// # Errors
/// Those of reading the store. What is wrong with its content is in the report.
pub fn check(context: &Context, repair: bool) -> Result<Checked> {
    let (root, options) = (&context.settings().store_root, OpenOptions::default());
    let is_damaged = repair && root.join("blobs").is_dir() && !Store::database_is_sound(root, &options)?;
    let rebuilt = if is_damaged { Some(Store::rebuild(root, &options)?) } else { None };
    Ok(Checked { rebuilt, report: context.store()?.check(repair)? })
}

/// Rewrites `index.json`, the view of the store that other tools read.
///
/// # Errors
/// Those of writing it.
pub fn sync_view(context: &Context) -> Result<()> {
    context.store()?.sync_view()
}
