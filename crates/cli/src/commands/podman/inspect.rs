//! `inspect` and `image inspect` of podman

use std::collections::BTreeMap;

use clap::Args;
use dhow_base::{Error, Kind};
use dhow_ops::summary::{self, Description};
use dhow_ops::{Context, container};
use dhow_spec::config::{Healthcheck, NameSet};
use dhow_template::{Field, Type, Value};
use serde::Serialize;

use super::super::container::show as show_container;
use super::volume;
use crate::errors::{Failure, Outcome};
use crate::format::object;
use crate::format::podman::{self, Filled, Report};
use crate::session::Session;
use crate::verb::{Count, Verb};

const REPORT: Report = Report { name: "inspect", row: Type::Any, headers: &[] };

/// By how much podman indents.
const INDENT: &str = "     ";

/// What can be inspected.
const KINDS: [&str; 6] = ["image", "container", "pod", "network", "volume", "all"];

/// The arguments of `inspect`.
#[derive(Args, Debug)]
pub(crate) struct Inspect {
    /// Write as "json" or by a Go template
    #[arg(short, long, value_name = "string", default_value = "")]
    format: String,
    /// Show the newest container
    #[arg(short, long)]
    latest: bool,
    /// Show how much space containers take; images always have their size
    #[arg(short, long)]
    size: bool,
    /// Look only for objects of this type
    #[arg(short = 't', long = "type", value_name = "string", default_value = "all")]
    kind: String,
    #[arg(value_name = "NAME")]
    names: Vec<String>,
}

impl Verb for Inspect {
    const ABOUT: &'static str = "Show everything that is known about an object";
    const OPERANDS: &'static str = "NAME|ID [NAME|ID...]";
    const COUNT: Count = Count::AtLeast(0);

    fn operands(&self) -> &[String] {
        &self.names
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let missing: fn(&str, &Error) -> String = match self.kind.as_str() {
            "image" => |_, error| error.to_string(),
            "all" => |name, error| match error.kind() {
                Kind::NotFound | Kind::Invalid => format!("no such object: {name:?}"),
                _ => error.to_string(),
            },
            "container" if self.latest => return self.latest(session),
            "container" if !self.names.is_empty() => {
                return self.containers(session, &session.local_context()?, &self.names);
            }
            "volume" if !self.names.is_empty() => return volume::inspect(session, &self.format, &self.names),
            kind if KINDS.contains(&kind) => return self.find_none(session, kind),
            kind => {
                let message = format!(
                    "invalid type {kind:?}: must be \"image\", \"container\", \"pod\", \"network\", \"volume\", or \"all\""
                );
                return Err(Failure::Client(message));
            }
        };
        if self.latest {
            return self.latest(session);
        }
        if self.kind == "all" && !self.names.is_empty() {
            let context = session.local_context()?;
            if self.names.iter().all(|name| container::find(&context, name).is_ok()) {
                return self.containers(session, &context, &self.names);
            }
        }
        show(session, &self.format, &self.names, missing)
    }
}

impl Inspect {
    fn latest(&self, session: &Session<'_>) -> Outcome {
        let context = session.local_context()?;
        let Some(newest) = container::list(&context)?.into_iter().next() else {
            session.console.line("[]");
            return Err(Failure::Client("inspecting object: no containers to inspect: no such container".to_owned()));
        };
        self.containers(session, &context, &[newest.container.id])
    }

    /// Docker's document, with podman's names for the container and its image.
    fn containers(&self, session: &Session<'_>, context: &Context, names: &[String]) -> Outcome {
        let (mut found, mut failures) = (Vec::new(), Vec::new());
        for name in names {
            match show_container(context, name, self.size) {
                Ok(mut value) => {
                    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
                    let name = text(&value["Name"]);
                    value["Name"] = name.trim_start_matches('/').into();
                    value["ImageName"] = value["Config"]["Image"].clone();
                    value["Image"] = text(&value["Image"]).trim_start_matches("sha256:").into();
                    found.push(value);
                }
                Err(failure) if failure.is_not_found() => {
                    failures.push(format!("inspecting object: no such container {name}"))
                }
                Err(failure) => return Err(failure),
            }
        }
        if self.format.is_empty() || podman::is_json(&self.format) {
            session.console.line(podman::indented(&found, INDENT)?);
        } else {
            fill(session, &self.format, found.iter().map(Value::from).collect())?;
        }
        failures.into_iter().next().map_or(Ok(()), |message| Err(Failure::Client(message)))
    }

    /// There are no objects of other kinds here.
    fn find_none(&self, session: &Session<'_>, kind: &str) -> Outcome {
        let Some(name) = self.names.first() else { return Err(nothing_named()) };
        if self.format.is_empty() || podman::is_json(&self.format) {
            session.console.line("[]");
        }
        let what = match kind {
            "container" => format!("no such container {name}"),
            "pod" => format!("no such pod {name}"),
            "network" => format!("network {name}: network not found"),
            _ => format!("no such volume {name}"),
        };
        Err(Failure::Client(format!("inspecting object: {what}")))
    }
}

/// The arguments of `image inspect`.
#[derive(Args, Debug)]
pub(crate) struct ImageInspect {
    /// Write as "json" or by a Go template
    #[arg(short, long, value_name = "string", default_value = "")]
    format: String,
    #[arg(value_name = "IMAGE")]
    names: Vec<String>,
}

impl Verb for ImageInspect {
    const ABOUT: &'static str = "Show everything that is known about images";
    const OPERANDS: &'static str = "IMAGE [IMAGE...]";
    const COUNT: Count = Count::AtLeast(0);

    fn operands(&self) -> &[String] {
        &self.names
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        show(session, &self.format, &self.names, |_, error| error.to_string())
    }
}

fn nothing_named() -> Failure {
    Failure::Client("no names or ids specified".to_owned())
}

/// Prints what was found, then the first failure.
fn show(session: &Session<'_>, format: &str, names: &[String], missing: fn(&str, &Error) -> String) -> Outcome {
    if names.is_empty() {
        return Err(nothing_named());
    }
    let context = session.local_context()?;
    let mut found = Vec::with_capacity(names.len());
    let mut failures = Vec::new();
    for name in names {
        match summary::describe(&context, name) {
            Ok(description) => found.push(description),
            Err(error) => failures.push(Failure::Client(format!("inspecting object: {}", missing(name, &error)))),
        }
    }
    if format.is_empty() || podman::is_json(format) {
        let shown: Vec<Json<'_>> = found.iter().map(Json::of).collect();
        session.console.line(podman::indented(&shown, INDENT)?);
    } else {
        fill(session, format, found.iter().map(template_object).collect())?;
    }
    failures.into_iter().next().map_or(Ok(()), Err)
}

/// Prints objects through a template.
pub(super) fn fill(session: &Session<'_>, format: &str, objects: Vec<Value>) -> Outcome {
    let Filled { text, outcome } = REPORT.fill(format, false, objects)?;
    session.console.text(text);
    outcome.map_err(|failure| match failure {
        Failure::Client(message) => Failure::Client(format!("inspecting object: printing inspect output: {message}")),
        other => other,
    })
}

/// What podman says of an image, in its order.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Json<'a> {
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
    fn of(description: &'a Description) -> Self {
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
fn template_object(description: &Description) -> Value {
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
        Field::new("Config", object::config(run)),
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
        Field::new("NamesHistory", Value::texts(Some(&names))),
        Field::optional("HealthCheck", object::healthcheck(run.and_then(|run| run.healthcheck.as_ref()))),
        // Podman turns `.Id` into `.ID` before it reads the template.
        id("Id"),
    ];
    Value::structure("interface {}", fields)
}
