//! What is wrong with the content of an image, told with the image's name.

use dhow_base::{Error, Kind};
use dhow_store::MEND;

/// Names the image and the way out when its content is damaged or missing. To be asked only once the image was found.
pub(crate) fn explain(name: &str, error: Error) -> Error {
    if !matches!(error.kind(), Kind::Corrupt | Kind::NotFound) {
        return error;
    }
    let is_explained = error.hint().is_some();
    let error = error.context(format_args!("image {name}"));
    if is_explained { error } else { error.with_hint(MEND) }
}
