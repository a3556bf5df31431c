//! `system check` and `system sync-view`: the store's health.

use dhow_base::Result;
pub use dhow_store::{Problem, Report};

use crate::context::Context;

/// Verifies every blob, name and row; with `repair`, mends what can be mended without losing anything.
///
/// # Errors
/// Those of reading the store. What is wrong with its content is in the report.
pub fn check(context: &Context, repair: bool) -> Result<Report> {
    context.store()?.check(repair)
}

/// Rewrites `index.json`, the view of the store that other tools read.
///
/// # Errors
/// Those of writing it.
pub fn sync_view(context: &Context) -> Result<()> {
    context.store()?.sync_view()
}
