//! Names as users type them.

use dhow_base::{Error, Kind, Result};
use dhow_spec::reference::{Reference, Repository};

/// Parses a reference; docker's words when it is wrong.
pub(crate) fn parse(text: &str) -> Result<Reference> {
    Reference::parse(text).map_err(Error::from)
}

/// Docker's sentence for a name or ID that nothing has, with the default tag where the text has none.
pub(crate) fn no_such_image(text: &str) -> Error {
    let shown = match Reference::parse(text) {
        Ok(reference) => reference.with_default_tag().familiar(),
        Err(_) => text.to_owned(),
    };
    Error::new(Kind::NotFound, format!("No such image: {shown}"))
}

/// Whether the text names a whole repository: no tag, no digest.
pub(crate) fn as_repository(text: &str) -> Option<Repository> {
    let reference = Reference::parse(text).ok()?;
    (reference.tag().is_none() && reference.digest().is_none()).then(|| reference.repository().clone())
}
