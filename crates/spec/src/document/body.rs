//! What manifests and indexes say.

use std::collections::BTreeMap;

use serde::de::Unexpected;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use crate::descriptor::Descriptor;
use crate::lenient::{empty_as_none, null_as_default};
use crate::media_type::MediaType;

/// The field `schemaVersion`, which is 2 in every document that is still in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SchemaVersion;

impl SchemaVersion {
    const NUMBER: u64 = 2;
}

impl Serialize for SchemaVersion {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(Self::NUMBER)
    }
}

impl<'de> Deserialize<'de> for SchemaVersion {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u64::deserialize(deserializer)? {
            Self::NUMBER => Ok(Self),
            other => Err(serde::de::Error::invalid_value(Unexpected::Unsigned(other), &"schemaVersion 2")),
        }
    }
}

/// An image (or artifact): a config and layers. Serialises in the order of the OCI specification's Go types.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageManifest {
    /// Always 2.
    pub schema_version: SchemaVersion,
    /// [`MediaType::OciManifest`] or [`MediaType::DockerManifest`].
    pub media_type: MediaType,
    /// What kind of artifact this is, if it is no image.
    #[serde(default, deserialize_with = "empty_as_none", skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// The image config, or whatever an artifact has in its place.
    pub config: Descriptor,
    /// The layers, lowest first.
    #[serde(default, deserialize_with = "null_as_default")]
    pub layers: Vec<Descriptor>,
    /// The document that this one is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    /// Free-form information.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Fields that are not known here.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl ImageManifest {
    /// The keys that have a meaning in a manifest.
    pub(super) const KEYS: &'static [&'static str] =
        &["schemaVersion", "mediaType", "artifactType", "config", "layers", "subject", "annotations"];

    /// An OCI manifest of these parts.
    pub fn new(config: Descriptor, layers: Vec<Descriptor>) -> Self {
        Self {
            schema_version: SchemaVersion,
            media_type: MediaType::OciManifest,
            artifact_type: None,
            config,
            layers,
            subject: None,
            annotations: BTreeMap::new(),
            extra: Map::new(),
        }
    }

    /// Whether this is a runnable image and no artifact. Docker 1.10 and registries of its time wrote types that say nothing for the configs
    /// of images, in Docker's manifests alone (moby, `distribution/config.go`).
    pub fn is_image(&self) -> bool {
        let config = &self.config.media_type;
        let may_be_vague = self.media_type == MediaType::DockerManifest;
        config.is_image_config() || may_be_vague && (config.is_generic() || config.as_str() == "text/html")
    }
}

/// A list of manifests, most often one for each platform. Serialises in the order of the OCI specification's Go types.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageIndex {
    /// Always 2.
    pub schema_version: SchemaVersion,
    /// [`MediaType::OciIndex`] or [`MediaType::DockerList`].
    pub media_type: MediaType,
    /// What kind of artifact this is, if it is no image.
    #[serde(default, deserialize_with = "empty_as_none", skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// The manifests, or further indexes.
    #[serde(default, deserialize_with = "null_as_default")]
    pub manifests: Vec<Descriptor>,
    /// The document that this one is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    /// Free-form information.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Fields that are not known here.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl ImageIndex {
    /// The keys that have a meaning in an index.
    pub(super) const KEYS: &'static [&'static str] =
        &["schemaVersion", "mediaType", "artifactType", "manifests", "subject", "annotations"];

    /// An OCI index of these manifests.
    pub fn new(manifests: Vec<Descriptor>) -> Self {
        Self {
            schema_version: SchemaVersion,
            media_type: MediaType::OciIndex,
            artifact_type: None,
            manifests,
            subject: None,
            annotations: BTreeMap::new(),
            extra: Map::new(),
        }
    }
}

/// What a document is and says.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "bodies are held one by one, and manifests are the common case")]
pub enum Body {
    /// An image or artifact manifest.
    Manifest(ImageManifest),
    /// An index or manifest list.
    Index(ImageIndex),
}
