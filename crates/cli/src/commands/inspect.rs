//! `inspect` and `image inspect`

use clap::Args;
use dhow_base::{Error, Kind};
use dhow_ops::{Context, inspect};
use dhow_spec::Platform;

use super::targets;
use crate::errors::{Failure, Outcome};
use crate::format::json;
use crate::session::Session;
use crate::verb::{Count, Verb};

/// The arguments of `inspect`, which looks for any object of the name.
#[derive(Args, Debug)]
pub(crate) struct Inspect {
    /// Write as "json" (one line); without it, JSON is indented
    #[arg(short, long, value_name = "string", default_value = "")]
    format: String,
    /// Accepted for old scripts; it is about containers
    #[arg(short, long)]
    #[allow(dead_code, reason = "images have their size anyway")]
    size: bool,
    /// Look only for objects of this type ("image")
    #[arg(long = "type", value_name = "string", default_value = "")]
    kind: String,
    #[arg(value_name = "NAME")]
    names: Vec<String>,
}

impl Verb for Inspect {
    const ABOUT: &'static str = "Show everything that is known about an object";
    const OPERANDS: &'static str = "NAME|ID [NAME|ID...]";
    const COUNT: Count = Count::AtLeast(1);

    fn operands(&self) -> &[String] {
        &self.names
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let is_typed = match self.kind.as_str() {
            "" => false,
            "image" => true,
            other => {
                let message = format!("--type {other:?} is not supported: dhow keeps only images so far");
                return Err(Failure::Client(message));
            }
        };
        let missing: fn(&str, Error) -> Failure = if is_typed { no_such_image } else { no_such_object };
        show(session, &self.format, &self.names, None, missing)
    }
}

/// The arguments of `image inspect`.
#[derive(Args, Debug)]
pub(crate) struct ImageInspect {
    /// Write as "json" (one line); without it, JSON is indented
    #[arg(short, long, value_name = "string", default_value = "")]
    format: String,
    /// Show this platform of multi-platform images
    #[arg(long, value_name = "string")]
    platform: Option<String>,
    #[arg(value_name = "IMAGE")]
    names: Vec<String>,
}

impl Verb for ImageInspect {
    const ABOUT: &'static str = "Show everything that is known about images";
    const OPERANDS: &'static str = "IMAGE [IMAGE...]";
    const COUNT: Count = Count::AtLeast(1);

    fn operands(&self) -> &[String] {
        &self.names
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let platform = targets::platform(self.platform.as_deref())?;
        show(session, &self.format, &self.names, platform.as_ref(), no_such_image)
    }
}

/// Prints what was found as one array, then tells what was not: docker prints `[]` when that is everything.
fn show(
    session: &Session<'_>,
    format: &str,
    names: &[String],
    platform: Option<&Platform>,
    missing: fn(&str, Error) -> Failure,
) -> Outcome {
    let is_compact = match format {
        "" => false,
        "json" => true,
        _ => {
            let message = format!("--format {format:?} is not supported: only \"json\" is, Go templates are not yet");
            return Err(Failure::Client(message));
        }
    };
    let context = session.local_context()?;
    let (found, outcome) = find(&context, names, platform, missing);
    let text = if is_compact { json::compact(&found) } else { json::indented(&found) };
    session.console.line(text.map_err(Failure::Client)?);
    outcome
}

fn find(
    context: &Context,
    names: &[String],
    platform: Option<&Platform>,
    missing: fn(&str, Error) -> Failure,
) -> (Vec<inspect::Inspect>, Outcome) {
    let mut found = Vec::with_capacity(names.len());
    let outcome = targets::each(names, |name| {
        found.push(inspect::image(context, name, platform).map_err(|error| missing(name, error))?);
        Ok(())
    });
    (found, outcome)
}

/// Who asks for an image is told by the engine.
fn no_such_image(_: &str, error: Error) -> Failure {
    Failure::Engine(error)
}

/// Who asks for anything is told by docker's client, which asked for every kind of object: what cannot be the name of an
/// image could still be that of something else.
fn no_such_object(name: &str, error: Error) -> Failure {
    match error.kind() {
        Kind::NotFound | Kind::Invalid => Failure::Client(format!("Error: No such object: {name}")),
        _ => Failure::Engine(error),
    }
}
