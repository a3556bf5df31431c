//! `inspect` and `image inspect` of podman

mod container;
mod image;

use clap::Args;
use dhow_base::{Error, Kind};
use dhow_ops::{Context, container as engine, summary};
use dhow_template::{Type, Value};
use image::{Json, template_object};

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
            if self.names.iter().all(|name| engine::find(&context, name).is_ok()) {
                return self.containers(session, &context, &self.names);
            }
        }
        let format = if self.kind == "image" { of_image(&self.format) } else { self.format };
        show(session, &format, &self.names, missing)
    }
}

impl Inspect {
    fn latest(&self, session: &Session<'_>) -> Outcome {
        let context = session.local_context()?;
        latest(session, &context, &self.format, self.size)
    }

    fn containers(&self, session: &Session<'_>, context: &Context, names: &[String]) -> Outcome {
        containers(session, context, names, &self.format, self.size)
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
            (true, false) => Err(Failure::Client("--latest and arguments cannot be used together".to_owned())),
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
