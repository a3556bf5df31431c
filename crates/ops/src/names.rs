//! Names as users type them.

use dhow_base::{Error, Kind, Result};
use dhow_spec::Digest;
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

/// The names of an image in the order in which docker takes them off: by the text of the full names, whether they end in a tag
/// or in a digest.
pub(crate) fn in_order(tags: Vec<Reference>, digests: Vec<(Repository, Digest)>) -> Vec<Reference> {
    let digests = digests.into_iter().map(|(repository, digest)| Reference::from_digest(repository, digest));
    let mut names: Vec<Reference> = tags.into_iter().chain(digests).collect();
    names.sort_by_cached_key(ToString::to_string);
    names
}
