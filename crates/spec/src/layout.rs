//! The OCI image layout: file names, the marker file and the annotation keys used in its index (image-layout.md).

use dhow_base::{Error, Kind};
use serde_json::Value;

use crate::digest::Digest;
use crate::json::{JsonError, parse_strict};

/// Name of the file that marks a directory or archive as an image layout.
pub const OCI_LAYOUT_FILE: &str = "oci-layout";

/// What that file holds, to the byte as docker writes it.
pub const OCI_LAYOUT_CONTENT: &str = r#"{"imageLayoutVersion":"1.0.0"}"#;

/// The version of the layout that is read and written here.
pub(crate) const OCI_LAYOUT_VERSION: &str = "1.0.0";

/// Name of the file that lists what is in the layout: an OCI index.
pub const INDEX_FILE: &str = "index.json";

/// Name of the directory below which content lies, as `<algorithm>/<hex>`.
pub const BLOBS_DIRECTORY: &str = "blobs";

/// Annotation: the tag of an entry of `index.json`, or whatever name the writer gave it.
pub const ANNOTATION_REF_NAME: &str = "org.opencontainers.image.ref.name";

/// Annotation: when the image was made, in RFC 3339.
pub const ANNOTATION_CREATED: &str = "org.opencontainers.image.created";

/// Annotation: the canonical name with tag of an entry of `index.json`, as docker and containerd write it.
pub const ANNOTATION_IMAGE_NAME: &str = "io.containerd.image.name";

/// Annotation: what an entry of an index is to another one; see [`REFERENCE_TYPE_ATTESTATION`].
pub const ANNOTATION_REFERENCE_TYPE: &str = "vnd.docker.reference.type";

/// Annotation: the digest of the entry that an attestation is about.
pub const ANNOTATION_REFERENCE_DIGEST: &str = "vnd.docker.reference.digest";

/// Value of [`ANNOTATION_REFERENCE_TYPE`] for the attestations that BuildKit puts beside an image.
pub const REFERENCE_TYPE_ATTESTATION: &str = "attestation-manifest";

/// Where content lies in a layout, relative to its root: `blobs/sha256/<hex>`.
pub fn blob_path(digest: &Digest) -> String {
    format!("{BLOBS_DIRECTORY}/{}/{}", digest.algorithm(), digest.hex())
}

/// Why a marker file does not mark a layout that can be read.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    /// The file is not strict JSON.
    #[error("invalid {OCI_LAYOUT_FILE} file: {0}")]
    Json(#[from] JsonError),
    /// The file names no version.
    #[error("invalid {OCI_LAYOUT_FILE} file: imageLayoutVersion is missing")]
    NoVersion,
    /// The layout has a version that is not known here.
    #[error("unsupported OCI image layout version {0:?} (this program reads {OCI_LAYOUT_VERSION:?})")]
    Version(String),
}

impl From<LayoutError> for Error {
    fn from(error: LayoutError) -> Self {
        let kind = match error {
            LayoutError::Json(_) | LayoutError::NoVersion => Kind::Corrupt,
            LayoutError::Version(_) => Kind::Unsupported,
        };
        Error::new(kind, error.to_string()).with_source(error)
    }
}

/// Checks the content of [`OCI_LAYOUT_FILE`].
pub fn check_marker(bytes: &[u8]) -> Result<(), LayoutError> {
    match parse_strict(bytes)?.get("imageLayoutVersion").and_then(Value::as_str) {
        Some(OCI_LAYOUT_VERSION) => Ok(()),
        Some(version) => Err(LayoutError::Version(version.to_owned())),
        None => Err(LayoutError::NoVersion),
    }
}

#[cfg(test)]
mod tests;
