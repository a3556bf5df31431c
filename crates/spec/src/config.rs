//! Image configs: OCI's fields and Docker's on top of them (OCI image-spec, config.md; moby `image.Image`).

mod run;

use dhow_base::limits::CONFIG_BYTES_MAX;
use dhow_base::{Error, Kind};
use serde::de::Error as _;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::digest::Digest;
use crate::json::{JsonError, parse_strict, rename_case_variants};
use crate::lenient::{empty_as_none, is_default, null_as_default};
use crate::platform::Platform;

pub use run::{Healthcheck, NameSet, RunConfig};

/// Why bytes are not an image config.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Longer than [`CONFIG_BYTES_MAX`]; holds the length in bytes.
    #[error("image config of {0} bytes is above the limit of {CONFIG_BYTES_MAX} bytes")]
    TooLarge(u64),
    /// Not strict JSON, or with a key twice in different case.
    #[error("invalid image config: {0}")]
    Json(#[from] JsonError),
    /// JSON, but a field is not what it must be.
    #[error("invalid image config: {0}")]
    Malformed(#[source] serde_json::Error),
    /// JSON, but it has no `rootfs` and so is no image's config.
    #[error("invalid image JSON, no RootFS key")]
    NoRootFs,
    /// `rootfs.type` is not `layers`, the only one there is; holds what was found.
    #[error("invalid image config: unsupported rootfs type {0:?}")]
    RootFsType(String),
}

impl From<ConfigError> for Error {
    fn from(error: ConfigError) -> Self {
        let kind = match &error {
            ConfigError::TooLarge(_) | ConfigError::Json(JsonError::TooDeep | JsonError::TooManyValues) => {
                Kind::LimitExceeded
            }
            ConfigError::RootFsType(_) => Kind::Unsupported,
            ConfigError::Json(_) | ConfigError::Malformed(_) | ConfigError::NoRootFs => Kind::Corrupt,
        };
        Error::new(kind, error.to_string()).with_source(error)
    }
}

/// What an image is beside its layers: how to run it, for which platform, and how it came about.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ImageConfig {
    /// When the image was made, in RFC 3339; see [`ImageConfig::created_at`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// Who made the image.
    #[serde(default, deserialize_with = "empty_as_none", skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// The processor architecture; empty if the config leaves it out.
    #[serde(default, deserialize_with = "null_as_default")]
    pub architecture: String,
    /// The variant of the architecture.
    #[serde(default, deserialize_with = "empty_as_none", skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// The operating system; empty if the config leaves it out.
    #[serde(default, deserialize_with = "null_as_default")]
    pub os: String,
    /// The version of the operating system that Windows images need.
    #[serde(
        rename = "os.version",
        default,
        deserialize_with = "empty_as_none",
        skip_serializing_if = "Option::is_none"
    )]
    pub os_version: Option<String>,
    /// Features of the operating system that Windows images need.
    #[serde(rename = "os.features", default, deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub os_features: Vec<String>,
    /// How to run the image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<RunConfig>,
    /// The layers, as digests of their uncompressed bytes.
    pub rootfs: RootFs,
    /// How each layer (and each step that made none) came about, oldest first.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<History>,
    /// What was said when the image was committed (Docker).
    #[serde(default, deserialize_with = "empty_as_none", skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// The container that the image was committed from (Docker).
    #[serde(default, deserialize_with = "empty_as_none", skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// The version of Docker that made the image (Docker).
    #[serde(default, deserialize_with = "empty_as_none", skip_serializing_if = "Option::is_none")]
    pub docker_version: Option<String>,
    /// The ID of the image that this one was built on (Docker's classic builder).
    #[serde(default, deserialize_with = "empty_as_none", skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// Fields that are not known here, in their order.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// The layers of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootFs {
    /// Always `layers`.
    #[serde(rename = "type", default = "RootFs::layers_kind")]
    pub kind: String,
    /// Digests of the uncompressed layers, lowest first.
    #[serde(default, deserialize_with = "null_as_default")]
    pub diff_ids: Vec<Digest>,
}

impl RootFs {
    /// The layers with these digests, lowest first.
    pub fn new(diff_ids: Vec<Digest>) -> Self {
        Self { kind: Self::layers_kind(), diff_ids }
    }

    fn layers_kind() -> String {
        "layers".to_owned()
    }
}

impl Default for RootFs {
    fn default() -> Self {
        Self::new(Vec::new())
    }
}

/// One step in the making of an image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// When, in RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// The command.
    #[serde(default, deserialize_with = "empty_as_none", skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
    /// Who did it.
    #[serde(default, deserialize_with = "empty_as_none", skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// What was said about it.
    #[serde(default, deserialize_with = "empty_as_none", skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// Whether the step changed no files and so has no layer.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub empty_layer: bool,
    /// Fields that are not known here.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl History {
    /// When the step was taken; nothing if it is not said or not a time.
    pub fn created_at(&self) -> Option<jiff::Timestamp> {
        self.created.as_deref().and_then(|text| text.parse().ok())
    }
}

impl ImageConfig {
    const KEYS: &'static [&'static str] = &[
        "created",
        "author",
        "architecture",
        "variant",
        "os",
        "os.version",
        "os.features",
        "config",
        "rootfs",
        "history",
        "comment",
        "container",
        "docker_version",
        "parent",
    ];
    const ROOTFS_KEYS: &'static [&'static str] = &["type", "diff_ids"];
    const HISTORY_KEYS: &'static [&'static str] = &["created", "created_by", "author", "comment", "empty_layer"];

    /// Parses a config strictly, except that keys may be in any case, as Go reads them and some tools write them.
    ///
    /// The config of an artifact is mostly no image config: expect [`ConfigError::NoRootFs`] there.
    pub fn parse(bytes: &[u8]) -> Result<Self, ConfigError> {
        if bytes.len() as u64 > CONFIG_BYTES_MAX {
            return Err(ConfigError::TooLarge(bytes.len() as u64));
        }
        let Value::Object(mut fields) = parse_strict(bytes)? else {
            return Err(ConfigError::Malformed(serde_json::Error::custom("not a JSON object")));
        };
        unify_keys(&mut fields)?;
        if fields.get("rootfs").is_none_or(Value::is_null) {
            return Err(ConfigError::NoRootFs);
        }
        let config: Self = serde_json::from_value(Value::Object(fields)).map_err(ConfigError::Malformed)?;
        if config.rootfs.kind != RootFs::layers_kind() {
            return Err(ConfigError::RootFsType(config.rootfs.kind));
        }
        Ok(config)
    }

    /// The platform the image runs on, as the config spells it.
    pub fn platform(&self) -> Platform {
        Platform {
            os: self.os.clone(),
            architecture: self.architecture.clone(),
            variant: self.variant.clone(),
            os_version: self.os_version.clone(),
            os_features: self.os_features.clone(),
            ..Platform::default()
        }
    }

    /// When the image was made; nothing if it is not said or not a time.
    pub fn created_at(&self) -> Option<jiff::Timestamp> {
        self.created.as_deref().and_then(|text| text.parse().ok())
    }
}

/// Gives every key that has a meaning its one spelling, here and in the objects below.
fn unify_keys(fields: &mut Map<String, Value>) -> Result<(), JsonError> {
    rename_case_variants(fields, ImageConfig::KEYS)?;
    if let Some(Value::Object(rootfs)) = fields.get_mut("rootfs") {
        rename_case_variants(rootfs, ImageConfig::ROOTFS_KEYS)?;
    }
    if let Some(Value::Array(history)) = fields.get_mut("history") {
        for step in history.iter_mut().filter_map(Value::as_object_mut) {
            rename_case_variants(step, ImageConfig::HISTORY_KEYS)?;
        }
    }
    match fields.get_mut("config") {
        Some(Value::Object(config)) => run::unify_keys(config),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
