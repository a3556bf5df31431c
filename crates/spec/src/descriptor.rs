//! Descriptors: what content is, how long it is and what it is called (OCI image-spec, descriptor.md).

use std::collections::BTreeMap;

use dhow_base::limits::BLOB_BYTES_MAX;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use crate::digest::Digest;
use crate::json::{JsonError, refuse_case_variants};
use crate::layout::{ANNOTATION_REFERENCE_TYPE, REFERENCE_TYPE_ATTESTATION};
use crate::lenient::{empty_as_none, null_as_default};
use crate::media_type::MediaType;
use crate::platform::{self, Platform};

/// A pointer to content, as manifests and indexes hold it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What the content is.
    pub media_type: MediaType,
    /// The digest of the content.
    pub digest: Digest,
    /// Length of the content, in bytes; never more than [`BLOB_BYTES_MAX`] when it was parsed.
    #[serde(deserialize_with = "bounded_size")]
    pub size: u64,
    /// Where else the content can be had. Only non-distributable layers have this.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub urls: Vec<String>,
    /// Free-form information.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// The content itself in base64. Nothing here reads it: content comes from where it can be proven.
    #[serde(default, deserialize_with = "empty_as_none", skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
    /// The platform an image runs on, in the entries of an index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// What kind of artifact the content is, if it is one.
    #[serde(default, deserialize_with = "empty_as_none", skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// Fields that are not known here.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Descriptor {
    /// The keys that have a meaning in a descriptor.
    const KEYS: &'static [&'static str] =
        &["mediaType", "digest", "size", "urls", "annotations", "data", "platform", "artifactType"];

    /// A descriptor with only what is required.
    pub fn new(media_type: MediaType, digest: Digest, size: u64) -> Self {
        Self {
            media_type,
            digest,
            size,
            urls: Vec::new(),
            annotations: BTreeMap::new(),
            data: None,
            platform: None,
            artifact_type: None,
            extra: Map::new(),
        }
    }

    /// The same descriptor for this platform.
    #[must_use]
    pub fn with_platform(mut self, platform: Platform) -> Self {
        self.platform = Some(platform);
        self
    }

    /// The same descriptor with one more annotation.
    #[must_use]
    pub fn with_annotation(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.annotations.insert(key.into(), value.into());
        self
    }

    /// Whether this is BuildKit's attestation of another manifest of the same index, which no platform may select.
    pub fn is_attestation(&self) -> bool {
        self.annotations.get(ANNOTATION_REFERENCE_TYPE).is_some_and(|kind| kind == REFERENCE_TYPE_ATTESTATION)
    }

    /// Refuses a descriptor with keys that other programs would read differently.
    pub(crate) fn check_keys(descriptor: &Value) -> Result<(), JsonError> {
        let Value::Object(fields) = descriptor else { return Ok(()) };
        refuse_case_variants(fields, Self::KEYS)?;
        match fields.get("platform") {
            Some(Value::Object(fields)) => refuse_case_variants(fields, platform::KEYS),
            _ => Ok(()),
        }
    }
}

fn bounded_size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let size = u64::deserialize(deserializer)?;
    if size > BLOB_BYTES_MAX {
        return Err(serde::de::Error::custom(format_args!("size {size} is above the limit of {BLOB_BYTES_MAX} bytes")));
    }
    Ok(size)
}

#[cfg(test)]
mod tests;
