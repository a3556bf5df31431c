//! `history`: how an image was made, newest step first.

use dhow_base::Result;
use dhow_spec::{Digest, Platform};

use crate::content_error::explain;
use crate::context::Context;
use crate::select;

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The image's ID on the first row; docker shows `<missing>` for the others.
    pub id: Option<Digest>,
    /// When the step was made, in nanoseconds since the Unix epoch.
    pub created: Option<i64>,
    /// The command.
    pub created_by: String,
    /// Bytes of the layer it made, uncompressed; 0 for a step that changed only the config.
    pub size: u64,
    /// The builder's comment.
    pub comment: String,
}

/// The history of an image; with a platform, of that one of a multi-platform image.
///
/// # Errors
/// [`dhow_base::Kind::NotFound`] in docker's words when nothing has the name, or not for the platform.
pub fn history(context: &Context, name: &str, platform: Option<&Platform>) -> Result<Vec<Row>> {
    let store = context.store()?;
    let found = select::find(context, name, platform)?;
    store.measure(&found.image_id).map_err(|error| explain(name, error))?;
    let config = store.config(&found.image_id).map_err(|error| explain(name, error))?;
    let mut sizes = store
        .layers(&found.image_id)
        .map_err(|error| explain(name, error))?
        .into_iter()
        .map(|layer| layer.size.unwrap_or(0));
    let mut rows: Vec<Row> = config
        .history
        .iter()
        .map(|step| Row {
            id: None,
            created: step.created_at().map(nanoseconds),
            created_by: step.created_by.clone().unwrap_or_default(),
            size: if step.empty_layer { 0 } else { sizes.next().unwrap_or(0) },
            comment: step.comment.clone().unwrap_or_default(),
        })
        .collect();
    rows.reverse();
    if let Some(first) = rows.first_mut() {
        first.id = Some(found.image_id);
    }
    Ok(rows)
}

fn nanoseconds(time: jiff::Timestamp) -> i64 {
    // The range of i64 nanoseconds ends in the year 2262; a later date in a config is as good as that.
    i64::try_from(time.as_nanosecond()).unwrap_or(i64::MAX)
}
