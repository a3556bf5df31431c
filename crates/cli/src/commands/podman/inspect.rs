//! `inspect` and `image inspect` of podman

mod container;
mod image;

use std::slice;

use clap::Args;
use dhow_base::{Error, Kind};
use dhow_ops::container::{self as engine, VolumeDetails};
use dhow_ops::{Context, summary};
use dhow_template::{Type, Value};
use image::{Json, template_object};
use serde::Serialize;
use serde_json::Value as Document;

use super::volume;
use crate::commands::container::newest;
use crate::errors::{Failure, Outcome};
use crate::format::podman::{self, Filled, Report};
use crate::session::Session;
use crate::verb::{Count, Operands, Verb};

const REPORT: Report = Report { name: "inspect", row: Type::Any, headers: &[] };

/// By how much podman indents.
const INDENT: &str = "     ";

/// What can be inspected.
const KINDS: [&str; 6] = ["image", "container", "pod", "network", "volume", "all"];

const LATEST_OF_NAMES: &str = "--latest and arguments cannot be used together";

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
    const NAMES: Operands = Operands::Everything;

    fn operands(&self) -> &[String] {
        &self.names
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        if self.latest && matches!(self.kind.as_str(), "all" | "container") {
            return self.latest(session);
        }
        match self.kind.as_str() {
            "image" => show(session, &of_image(&self.format), &self.names, |_, error| error.to_string()),
            "all" if !self.names.is_empty() => self.everything(session),
            "container" if !self.names.is_empty() => {
                containers(session, &session.local_context()?, &self.names, &self.format, self.size)
            }
            "volume" if !self.names.is_empty() => volume::inspect(session, &self.format, &self.names),
            kind if KINDS.contains(&kind) => self.find_none(session, kind),
            kind => {
                let message = format!(
                    "invalid type {kind:?}: must be \"image\", \"container\", \"pod\", \"network\", \"volume\", or \"all\""
                );
                Err(Failure::Client(message))
            }
        }
    }
}

/// What goes by a name.
enum Found {
    Container(Document),
    Image(Box<summary::Description>),
    Volume(VolumeDetails),
}

/// What is found, as it is written.
#[derive(Serialize)]
#[serde(untagged)]
enum Shown<'a> {
    Container(&'a Document),
    Image(Box<Json<'a>>),
    Volume(volume::Shown<'a>),
}

impl Found {
    fn shown(&self, context: &Context) -> Outcome<Vec<Shown<'_>>> {
        Ok(match self {
            Self::Container(document) => vec![Shown::Container(document)],
            Self::Image(image) => vec![Shown::Image(Box::new(Json::of(image)))],
            Self::Volume(one) => volume::shown(context, slice::from_ref(one))?.into_iter().map(Shown::Volume).collect(),
        })
    }

    fn values(&self, context: &Context) -> Outcome<Vec<Value>> {
        Ok(match self {
            Self::Container(document) => vec![container::template_object(document)],
            Self::Image(image) => vec![template_object(image)],
            Self::Volume(one) => {
                let shown = volume::shown(context, slice::from_ref(one))?;
                shown.iter().map(|shown| shown.value("interface {}")).collect()
            }
        })
    }
}

impl Inspect {
    fn latest(&self, session: &Session<'_>) -> Outcome {
        if !self.names.is_empty() {
            return Err(Failure::Client(LATEST_OF_NAMES.to_owned()));
        }
        let context = session.local_context()?;
        latest(session, &context, &self.format, self.size)
    }

    /// Shows what goes by the names, of whatever kind: a container, else an image, else a volume.
    fn everything(&self, session: &Session<'_>) -> Outcome {
        let context = session.local_context()?;
        let volumes = engine::volumes(&context)?;
        let (mut found, mut failures) = (Vec::new(), Vec::new());
        for name in &self.names {
            if engine::find(&context, name).is_ok() {
                found.push(Found::Container(container::document(&context, name, self.size)?));
                continue;
            }
            match summary::describe(&context, name) {
                Ok(image) => found.push(Found::Image(Box::new(image))),
                Err(error) if !matches!(error.kind(), Kind::NotFound | Kind::Invalid) => {
                    failures.push(error.to_string())
                }
                Err(_) => match volume::named(&volumes, name) {
                    Ok(Some(one)) => found.push(Found::Volume(one.clone())),
                    _ => failures.push(format!("no such object: {name:?}")),
                },
            }
        }
        if self.format.is_empty() || podman::is_json(&self.format) {
            let mut shown = Vec::new();
            for found in &found {
                shown.extend(found.shown(&context)?);
            }
            session.console.line(podman::indented(&shown, INDENT)?);
        } else {
            let mut values = Vec::new();
            for found in &found {
                values.extend(found.values(&context)?);
            }
            fill(session, &self.format, values)?;
        }
        told(session, failures)
    }

    /// There are no objects of other kinds here.
    fn find_none(&self, session: &Session<'_>, kind: &str) -> Outcome {
        if self.names.is_empty() {
            return Err(nothing_named());
        }
        if self.format.is_empty() || podman::is_json(&self.format) {
            session.console.line("[]");
        }
        let missing = |name: &String| match kind {
            "container" => format!("no such container {name}"),
            "pod" => format!("no such pod {name}"),
            "network" => format!("network {name}: unable to find network with name or ID {name}: network not found"),
            _ => format!("no such volume {name}"),
        };
        told(session, self.names.iter().map(missing).collect())
    }
}

/// Shows containers, then what there is not.
fn containers(session: &Session<'_>, context: &Context, names: &[String], format: &str, size: bool) -> Outcome {
    let (mut found, mut failures) = (Vec::new(), Vec::new());
    for name in names {
        match container::document(context, name, size) {
            Ok(value) => found.push(value),
            Err(failure) if failure.is_not_found() => failures.push(format!("no such container {name}")),
            Err(failure) => return Err(failure),
        }
    }
    if format.is_empty() || podman::is_json(format) {
        session.console.line(podman::indented(&found, INDENT)?);
    } else {
        fill(session, format, found.iter().map(container::template_object).collect())?;
    }
    told(session, failures)
}

/// Shows the container that was made last.
fn latest(session: &Session<'_>, context: &Context, format: &str, size: bool) -> Outcome {
    match newest(context) {
        Ok(newest) => containers(session, context, &[newest.container.id], format, size),
        Err(none) => {
            if matches!(none, Failure::Client(_)) {
                session.console.line("[]");
            }
            Err(none.about("inspecting object: no containers to inspect"))
        }
    }
}

/// The arguments of `container inspect`.
#[derive(Args, Debug)]
pub(crate) struct ContainerInspect {
    /// Write as "json" or by a Go template
    #[arg(short, long, value_name = "string", default_value = "")]
    format: String,
    /// Show the newest container
    #[arg(short, long)]
    latest: bool,
    /// Show how much space containers take
    #[arg(short, long)]
    size: bool,
    #[arg(value_name = "CONTAINER")]
    names: Vec<String>,
}

impl Verb for ContainerInspect {
    const ABOUT: &'static str = "Show everything that is known about containers";
    const OPERANDS: &'static str = "CONTAINER [CONTAINER...]";
    const COUNT: Count = Count::AtLeast(0);
    const NAMES: Operands = Operands::Containers;

    fn operands(&self) -> &[String] {
        &self.names
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let context = session.local_context()?;
        match (self.latest, self.names.is_empty()) {
            (true, false) => Err(Failure::Client(LATEST_OF_NAMES.to_owned())),
            (false, true) => Err(nothing_named()),
            (true, true) => latest(session, &context, &self.format, self.size),
            (false, false) => containers(session, &context, &self.names, &self.format, self.size),
        }
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
    const NAMES: Operands = Operands::Images;

    fn operands(&self) -> &[String] {
        &self.names
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        show(session, &of_image(&self.format), &self.names, |_, error| error.to_string())
    }
}

/// A template for images alone, in which podman looks for the health check where docker has it, too.
fn of_image(format: &str) -> String {
    format.replace(".Config.Healthcheck", ".HealthCheck")
}

/// A template with podman's older names of fields under their present ones (podman, `inspectNormalize`).
fn present(format: &str) -> String {
    const RENAMED: [(&str, &str); 3] = [(".Src", ".Source"), (".Dst", ".Destination"), (".ImageID", ".Image")];
    RENAMED.iter().fold(format.to_owned(), |format, (old, new)| format.replace(old, new))
}

fn nothing_named() -> Failure {
    Failure::Client("no names or ids specified".to_owned())
}

/// Prints what was found, then the failures.
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
            Err(error) => failures.push(missing(name, &error)),
        }
    }
    if format.is_empty() || podman::is_json(format) {
        let shown: Vec<Json<'_>> = found.iter().map(Json::of).collect();
        session.console.line(podman::indented(&shown, INDENT)?);
    } else {
        fill(session, format, found.iter().map(template_object).collect())?;
    }
    told(session, failures)
}

/// The first failure is podman's own; the others it mentions before.
pub(super) fn told(session: &Session<'_>, failures: Vec<String>) -> Outcome {
    let mut failures = failures.into_iter();
    let Some(first) = failures.next() else { return Ok(()) };
    failures.for_each(|other| session.console.notice(format!("error inspecting object: {other}")));
    Err(Failure::Client(format!("inspecting object: {first}")))
}

/// Prints objects through a template.
pub(super) fn fill(session: &Session<'_>, format: &str, objects: Vec<Value>) -> Outcome {
    let Filled { text, outcome } = REPORT.fill(&present(format), false, objects)?;
    session.console.text(text);
    outcome.map_err(|failure| failure.about("inspecting object: printing inspect output"))
}
