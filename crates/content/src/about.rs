//! Which blob an error is about, for who can look at it again.

use std::error::Error as StdError;
use std::fmt;

use dhow_base::Error;
use dhow_spec::Digest;

/// Notes which blob an error is about. Kind, message and hint stay.
#[must_use]
pub fn about(blob: &Digest, error: Error) -> Error {
    let noted = Error::new(error.kind(), error.to_string());
    let noted = match error.hint() {
        Some(hint) => noted.with_hint(hint),
        None => noted,
    };
    noted.with_source(About { blob: blob.clone(), error })
}

/// The blob that an error is about, where that was noted.
pub fn blob_of(error: &Error) -> Option<&Digest> {
    error.cause().map(|About { blob, .. }| blob)
}

#[derive(Debug)]
struct About {
    blob: Digest,
    error: Error,
}

impl fmt::Display for About {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "blob {}: {}", self.blob, self.error)
    }
}

impl StdError for About {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&self.error)
    }
}

#[cfg(test)]
mod tests {
    use dhow_base::Kind;

    use super::*;

    #[test]
    fn all_else_stays() {
        let blob = Digest::sha256(b"a blob");
        let error = Error::new(Kind::Invalid, "blob upload invalid").with_hint("try again");
        assert_eq!(blob_of(&error), None);
        let noted = about(&blob, error);
        assert_eq!(blob_of(&noted), Some(&blob));
        assert_eq!((noted.kind(), noted.hint()), (Kind::Invalid, Some("try again")));
        assert_eq!(noted.to_string(), "blob upload invalid");
        assert_eq!(blob_of(&noted.context("push")), Some(&blob));
    }
}
