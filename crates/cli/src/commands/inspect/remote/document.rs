//! What skopeo says of an image, as JSON and as templates see it.

use std::collections::BTreeMap;

use dhow_ops::remote::Inspected;
use dhow_spec::ImageConfig;
use dhow_template::{Field, Type, Value};
use serde::Serialize;

use crate::format::object;

/// What skopeo prints, in its order.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Document {
    #[serde(skip_serializing_if = "String::is_empty")]
    name: String,
    digest: String,
    repo_tags: Vec<String>,
    created: Option<String>,
    docker_version: String,
    labels: Option<BTreeMap<String, String>>,
    architecture: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    variant: String,
    os: String,
    layers: Vec<String>,
    layers_data: Vec<LayerData>,
    env: Option<Vec<String>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct LayerData {
    #[serde(rename = "MIMEType")]
    mime_type: String,
    digest: String,
    size: u64,
    annotations: Option<BTreeMap<String, String>>,
}

impl Document {
    pub(super) fn new(found: &Inspected) -> Self {
        let layers = &found.manifest.layers;
        let config = found.config.as_ref();
        let run = config.and_then(|config| config.config.as_ref());
        let data = layers.iter().map(|layer| LayerData {
            mime_type: layer.media_type.to_string(),
            digest: layer.digest.to_string(),
            size: layer.size,
            annotations: Some(layer.annotations.clone()).filter(|annotations| !annotations.is_empty()),
        });
        Self {
            name: found.repository.as_ref().map(|repository| repository.name().to_owned()).unwrap_or_default(),
            digest: found.root.descriptor().digest.to_string(),
            repo_tags: found.tags.iter().map(|tag| tag.as_str().to_owned()).collect(),
            created: config.and_then(|config| config.created.clone()),
            docker_version: config.and_then(|config| config.docker_version.clone()).unwrap_or_default(),
            labels: run.and_then(|run| run.labels.clone()),
            architecture: config.map(|config| config.architecture.clone()).unwrap_or_default(),
            variant: config.and_then(|config| config.variant.clone()).unwrap_or_default(),
            os: config.map(|config| config.os.clone()).unwrap_or_default(),
            layers: layers.iter().map(|layer| layer.digest.to_string()).collect(),
            layers_data: data.collect(),
            env: run.and_then(|run| run.env.clone()),
        }
    }

    /// Skopeo's `inspect.Output`.
    pub(super) fn object(&self) -> Value {
        let text = |name, text: &str| Field::new(name, Value::from(text));
        let layers: Vec<Value> = self.layers_data.iter().map(LayerData::object).collect();
        let fields = vec![
            Field::optional("Name", Value::from(self.name.as_str())),
            Field::optional("Tag", Value::from("")),
            text("Digest", &self.digest),
            Field::new("RepoTags", Value::texts(Some(&self.repo_tags))),
            Field::new("Created", moment(self.created.as_deref())),
            text("DockerVersion", &self.docker_version),
            Field::new("Labels", texts(self.labels.as_ref())),
            text("Architecture", &self.architecture),
            Field::optional("Variant", Value::from(self.variant.as_str())),
            text("Os", &self.os),
            Field::new("Layers", Value::texts(Some(&self.layers))),
            Field::new("LayersData", Value::list(Type::Named("types.ImageInspectLayer"), Some(layers))),
            Field::new("Env", Value::texts(self.env.as_deref())),
        ];
        Value::structure("inspect.Output", fields)
    }
}

impl LayerData {
    fn object(&self) -> Value {
        let size = Value::Int64(i64::try_from(self.size).unwrap_or(i64::MAX));
        let fields = vec![
            Field::new("MIMEType", Value::from(self.mime_type.as_str())),
            Field::new("Digest", Value::from(self.digest.as_str())),
            Field::new("Size", size),
            Field::new("Annotations", texts(self.annotations.as_ref())),
        ];
        Value::structure("types.ImageInspectLayer", fields)
    }
}

/// OCI's `v1.Image`.
pub(super) fn image(config: &ImageConfig) -> Value {
    let keyed = |name, key, value| Field { key, ..Field::new(name, value) };
    let optional = |name, key, value| Field { key, ..Field::optional(name, value) };
    let text = |text: &Option<String>| Value::from(text.as_deref().unwrap_or_default());
    let diff_ids: Vec<&str> = config.rootfs.diff_ids.iter().map(|digest| digest.as_str()).collect();
    let root_fs = vec![
        keyed("Type", "type", Value::from(config.rootfs.kind.as_str())),
        keyed("DiffIDs", "diff_ids", Value::texts(Some(&diff_ids))),
    ];
    let features = Some(config.os_features.as_slice()).filter(|features| !features.is_empty());
    let run = config.config.clone().unwrap_or_default();
    let fields = vec![
        optional("Created", "created", moment(config.created.as_deref())),
        optional("Author", "author", text(&config.author)),
        keyed("Architecture", "architecture", Value::from(config.architecture.as_str())),
        keyed("OS", "os", Value::from(config.os.as_str())),
        optional("OSVersion", "os.version", text(&config.os_version)),
        optional("OSFeatures", "os.features", Value::texts(features)),
        optional("Variant", "variant", text(&config.variant)),
        keyed("Config", "config", Value::structure("v1.ImageConfig", object::oci_config(&run))),
        keyed("RootFS", "rootfs", Value::structure("v1.RootFS", root_fs)),
        optional("History", "history", object::history(&config.history)),
    ];
    Value::structure("v1.Image", fields)
}

/// Go's `*time.Time`.
fn moment(rfc3339: Option<&str>) -> Value {
    rfc3339.map_or(Value::Null { name: "*time.Time", fields: &[] }, object::time)
}

/// Go's `map[string]string`.
fn texts(entries: Option<&BTreeMap<String, String>>) -> Value {
    let pairs = |entries: &BTreeMap<String, String>| {
        entries.iter().map(|(key, value)| (key.clone(), Value::from(value.as_str()))).collect()
    };
    Value::map(Type::Text, entries.map(pairs))
}
