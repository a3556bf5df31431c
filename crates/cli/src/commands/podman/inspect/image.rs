//! What podman says of an image, as JSON and to templates.

use std::collections::BTreeMap;

use dhow_ops::summary::Description;
use dhow_spec::config::{Healthcheck, NameSet, RunConfig};
use dhow_template::{Field, Type, Value};
use serde::Serialize;

use crate::format::object;

/// What podman says of an image, in its order.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Json<'a> {
    id: &'a str,
    digest: &'a str,
    repo_tags: Vec<String>,
    repo_digests: &'a [String],
    parent: &'a str,
    comment: &'a str,
    created: &'a str,
    config: Config<'a>,
    version: &'a str,
    author: &'a str,
    architecture: &'a str,
    os: &'a str,
    size: u64,
    virtual_size: u64,
    graph_driver: GraphDriver,
    #[serde(rename = "RootFS")]
    root_fs: RootFs<'a>,
    labels: Option<&'a BTreeMap<String, String>>,
    annotations: &'a BTreeMap<String, String>,
    manifest_type: &'a str,
    user: &'a str,
    history: Vec<Step<'a>>,
    names_history: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    healthcheck: Option<Health<'a>>,
}

/// OCI's part of how to run an image, in OCI's order.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Config<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    user: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    exposed_ports: Option<&'a NameSet>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    env: &'a [String],
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    entrypoint: &'a [String],
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    cmd: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    volumes: Option<&'a NameSet>,
    #[serde(skip_serializing_if = "str::is_empty")]
    working_dir: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    labels: Option<&'a BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "str::is_empty")]
    stop_signal: &'a str,
}

/// What keeps the layers.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct GraphDriver {
    name: &'static str,
    data: Option<()>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct RootFs<'a> {
    #[serde(rename = "Type")]
    kind: &'a str,
    layers: Vec<&'a str>,
}

#[derive(Serialize)]
struct Step<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    created: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_by: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    author: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    empty_layer: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Health<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    test: Option<&'a [String]>,
    #[serde(skip_serializing_if = "is_zero")]
    start_period: i64,
    #[serde(skip_serializing_if = "is_zero")]
    interval: i64,
    #[serde(skip_serializing_if = "is_zero")]
    timeout: i64,
    #[serde(skip_serializing_if = "is_zero")]
    retries: i64,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference over")]
fn is_zero(number: &i64) -> bool {
    *number == 0
}

impl<'a> Health<'a> {
    fn of(check: &'a Healthcheck) -> Self {
        Self {
            test: check.test.as_deref(),
            start_period: check.start_period,
            interval: check.interval,
            timeout: check.timeout,
            retries: check.retries,
        }
    }
}

impl<'a> Json<'a> {
    /// The document of an image.
    pub(super) fn of(description: &'a Description) -> Self {
        let Description { summary, config, manifest_type, annotations, .. } = description;
        let run = config.config.as_ref();
        let text = |text: &'a Option<String>| text.as_deref().unwrap_or_default();
        let names = tags(description);
        let history = config.history.iter().map(|step| Step {
            created: step.created.as_deref(),
            created_by: step.created_by.as_deref(),
            author: step.author.as_deref(),
            comment: step.comment.as_deref(),
            empty_layer: step.empty_layer,
        });
        Self {
            id: summary.id.hex(),
            digest: summary.digest.as_str(),
            repo_tags: names.clone(),
            repo_digests: &summary.repo_digests,
            parent: "",
            comment: text(&config.comment),
            created: text(&config.created),
            config: Config {
                user: run.map_or("", |run| &run.user),
                exposed_ports: run.and_then(|run| run.exposed_ports.as_ref()),
                env: run.and_then(|run| run.env.as_deref()).unwrap_or_default(),
                entrypoint: run.and_then(|run| run.entrypoint.as_deref()).unwrap_or_default(),
                cmd: run.and_then(|run| run.cmd.as_deref()).unwrap_or_default(),
                volumes: run.and_then(|run| run.volumes.as_ref()),
                working_dir: run.map_or("", |run| &run.working_dir),
                labels: run.and_then(|run| run.labels.as_ref()).filter(|labels| !labels.is_empty()),
                stop_signal: run.and_then(|run| run.stop_signal.as_deref()).unwrap_or_default(),
            },
            version: text(&config.docker_version),
            author: text(&config.author),
            architecture: &config.architecture,
            os: &config.os,
            size: summary.size,
            virtual_size: summary.size,
            graph_driver: GraphDriver { name: "dhow", data: None },
            root_fs: RootFs {
                kind: &config.rootfs.kind,
                layers: config.rootfs.diff_ids.iter().map(|digest| digest.as_str()).collect(),
            },
            labels: run.and_then(|run| run.labels.as_ref()),
            annotations,
            manifest_type,
            user: run.map_or("", |run| &run.user),
            history: history.collect(),
            names_history: summary.names.iter().map(ToString::to_string).collect(),
            healthcheck: run.and_then(|run| run.healthcheck.as_ref()).map(Health::of),
        }
    }
}

/// Names with tags.
fn tags(description: &Description) -> Vec<String> {
    let names = description.summary.names.iter().filter(|name| name.tag().is_some());
    names.map(ToString::to_string).collect()
}

/// Podman's `inspect.ImageData`, which its templates see as anything.
pub(super) fn template_object(description: &Description) -> Value {
    let Description { summary, config, manifest_type, annotations, .. } = description;
    let run = config.config.as_ref();
    let text = |name, text: &str| Field::new(name, Value::from(text));
    let or_empty = |text: &Option<String>| text.clone().unwrap_or_default();
    let size = Value::Int64(i64::try_from(summary.size).unwrap_or(i64::MAX));
    let texts = |map: &BTreeMap<String, String>| {
        Value::map(Type::Text, Some(map.iter().map(|(name, value)| (name, Value::from(value.as_str()))).collect()))
    };
    let layers: Vec<&str> = config.rootfs.diff_ids.iter().map(|digest| digest.as_str()).collect();
    let driver = vec![text("Name", "dhow"), Field::new("Data", Value::map::<&str>(Type::Text, Some(Vec::new())))];
    let root_fs = vec![text("Type", &config.rootfs.kind), Field::new("Layers", Value::texts(Some(&layers)))];
    let names: Vec<String> = summary.names.iter().map(ToString::to_string).collect();
    let id = |name| Field { name, key: "Id", omits_empty: false, value: Value::from(summary.id.hex()) };
    let fields = vec![
        id("ID"),
        text("Digest", summary.digest.as_str()),
        Field::new("RepoTags", Value::texts(Some(&tags(description)))),
        Field::new("RepoDigests", Value::texts(Some(&summary.repo_digests))),
        text("Parent", ""),
        text("Comment", &or_empty(&config.comment)),
        Field::new("Created", object::time(&or_empty(&config.created))),
        Field::new("Config", run_config(run)),
        text("Version", &or_empty(&config.docker_version)),
        text("Author", &or_empty(&config.author)),
        text("Architecture", &config.architecture),
        text("Os", &config.os),
        Field::new("Size", size.clone()),
        Field::new("VirtualSize", size),
        Field::new("GraphDriver", Value::pointer("define.DriverData", driver)),
        Field::new("RootFS", Value::pointer("inspect.RootFS", root_fs)),
        Field::new("Labels", texts(&run.and_then(|run| run.labels.clone()).unwrap_or_default())),
        Field::new("Annotations", texts(annotations)),
        text("ManifestType", manifest_type),
        text("User", run.map_or("", |run| &run.user)),
        Field::new("History", object::history(&config.history)),
        Field::new("NamesHistory", Value::texts(Some(&names))),
        Field::optional("HealthCheck", object::healthcheck(run.and_then(|run| run.healthcheck.as_ref()))),
        // Podman turns `.Id` into `.ID` before it reads the template.
        id("Id"),
    ];
    Value::structure("interface {}", fields)
}

/// How to run an image, of which podman knows what OCI does.
fn run_config(config: Option<&RunConfig>) -> Value {
    let nothing = RunConfig::default();
    Value::pointer("v1.ImageConfig", object::oci_config(config.unwrap_or(&nothing)))
}
