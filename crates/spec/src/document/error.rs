//! Why bytes are not a document.

use dhow_base::limits::{DESCRIPTORS_MAX, MANIFEST_BYTES_MAX};
use dhow_base::{Error, Kind};

use crate::json::JsonError;
use crate::media_type::MediaType;

/// Why bytes are not a manifest or index that can be used.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// Longer than [`MANIFEST_BYTES_MAX`]; holds the length in bytes.
    #[error("manifest of {0} bytes is above the limit of {MANIFEST_BYTES_MAX} bytes")]
    TooLarge(u64),
    /// Not strict JSON, or with keys that programs read differently.
    #[error("invalid manifest: {0}")]
    Json(#[from] JsonError),
    /// JSON, but not the fields that the type must have.
    #[error("invalid manifest: {0}")]
    Malformed(#[source] serde_json::Error),
    /// Has the parts of a manifest and of an index, so that it could be read as either (CVE-2021-41190).
    #[error("invalid manifest: it has both {0:?} and \"manifests\"")]
    Ambiguous(&'static str),
    /// The document says it is of another type than its descriptor or `Content-Type` does (CVE-2021-41190).
    #[error("invalid manifest: it was announced as {declared} and says it is {stated}")]
    MediaTypeMismatch {
        /// The type from the descriptor or the `Content-Type` header.
        declared: MediaType,
        /// The type from the document.
        stated: MediaType,
    },
    /// Has a part that its type does not have, so that it could be read as another type.
    #[error("invalid manifest: {media_type} has no {part:?}")]
    WrongPart {
        /// The document's type.
        media_type: MediaType,
        /// The part that belongs to another type.
        part: &'static str,
    },
    /// Nothing says what it is, and it looks like neither a manifest nor an index.
    #[error("invalid manifest: neither a manifest nor an index")]
    Unrecognized,
    /// Of a type that is no document here.
    #[error("unsupported media type {0}")]
    UnsupportedMediaType(MediaType),
    /// Docker's schema 1, which nobody reads any more.
    #[error(
        "Docker Image Format v1 and Docker Image manifest version 2, schema 1 support has been removed. Suggest the \
         author of the image to upgrade it to the OCI Format or Docker Image manifest v2, schema 2. More information \
         at https://docs.docker.com/go/deprecated-image-specs/"
    )]
    Schema1,
    /// `schemaVersion` is missing or not 2; holds what was found.
    #[error("unsupported manifest schema version {0} (must be 2)")]
    SchemaVersion(String),
    /// Names more than [`DESCRIPTORS_MAX`] descriptors; holds how many.
    #[error("manifest names {0} descriptors, more than the limit of {DESCRIPTORS_MAX}")]
    TooManyDescriptors(usize),
}

impl From<DocumentError> for Error {
    fn from(error: DocumentError) -> Self {
        use DocumentError::*;
        let kind = match &error {
            TooLarge(_) | TooManyDescriptors(_) | Json(JsonError::TooDeep | JsonError::TooManyValues) => {
                Kind::LimitExceeded
            }
            Json(_) | Malformed(_) | Ambiguous(_) | MediaTypeMismatch { .. } | WrongPart { .. } | Unrecognized => {
                Kind::Corrupt
            }
            UnsupportedMediaType(_) | Schema1 | SchemaVersion(_) => Kind::Unsupported,
        };
        Error::new(kind, error.to_string()).with_source(error)
    }
}
