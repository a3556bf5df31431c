//! `inspect` and `image inspect`

use clap::Args;
use dhow_base::{Error, Kind};
use dhow_ops::{Context, inspect};
use dhow_spec::Platform;
use dhow_template::{Options, Template, Value};

use super::targets;
use crate::errors::{Failure, Outcome};
use crate::format::{json, list, object};
use crate::session::Session;
use crate::verb::{Count, Verb};

/// The arguments of `inspect`, which looks for any object of the name.
#[derive(Args, Debug)]
pub(crate) struct Inspect {
    /// Write as "json" (one line) or by a Go template; without it, JSON is indented
    #[arg(short, long, value_name = "string", default_value = "")]
    format: String,
    /// Accepted for old scripts; it is about containers
    #[arg(short, long)]
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
        let outcome = show(session, &self.format, &self.names, None, missing);
        if self.size && outcome.is_ok() {
            session.console.notice("WARNING: --size ignored for image");
        }
        outcome
    }
}

/// The arguments of `image inspect`.
#[derive(Args, Debug)]
pub(crate) struct ImageInspect {
    /// Write as "json" (one line) or by a Go template; without it, JSON is indented
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

/// Prints what was found, then tells what was not.
fn show(
    session: &Session<'_>,
    format: &str,
    names: &[String],
    platform: Option<&Platform>,
    missing: fn(&str, Error) -> Failure,
) -> Outcome {
    if !matches!(format, "" | "json") {
        return show_by_template(session, format, names, platform, missing);
    }
    let context = session.local_context()?;
    let (found, outcome) = find(&context, names, platform, missing);
    // One array: docker prints `[]` when that is everything.
    let text = if format == "json" { json::compact(&found) } else { json::indented(&found) };
    session.console.line(text.map_err(Failure::Client)?);
    outcome
}

/// One line for each object; docker prints an empty one when there is no other.
fn show_by_template(
    session: &Session<'_>,
    format: &str,
    names: &[String],
    platform: Option<&Platform>,
    missing: fn(&str, Error) -> Failure,
) -> Outcome {
    let template = Template::parse(format).map_err(|error| Failure::Usage {
        message: format!("template parsing error: {error}"),
        code: list::TEMPLATE_ERROR,
    })?;
    let context = session.local_context()?;
    let mut text = String::new();
    let outcome = targets::each(names, |name| {
        let image = inspect::image(&context, name, platform).map_err(|error| missing(name, error))?;
        text.push_str(&fill(&template, &image)?);
        text.push('\n');
        Ok(())
    });
    session.console.text(if text.is_empty() { "\n" } else { &text });
    outcome
}

/// Fills in the template. As docker does, a template that fails over the typed object gets another chance over the object's
/// JSON: the one knows `.ID`, the other `.Id`.
fn fill(template: &Template, image: &inspect::Inspect) -> Outcome<String> {
    let mut output = Vec::new();
    if template.execute(&object::image(image), Options::default(), &mut output).is_ok() {
        return Ok(list::shown(output));
    }
    output.clear();
    let json = serde_json::to_value(image).map_err(|error| Failure::Client(error.to_string()))?;
    let options = Options { missing_key_is_error: true, ..Options::default() };
    template.execute(&Value::from(&json), options, &mut output).map_err(|error| list::failure(&error))?;
    Ok(list::shown(output))
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
