//! `container inspect`: everything that is known about containers, as docker writes it.

mod host_config;
mod mounts;
mod network;
mod object;

use clap::Args;
use dhow_ops::Context;
use dhow_ops::container::{self, Details, Record};
use dhow_template::{Options, Template, Value as TemplateValue};
use serde_json::Value;

use super::super::podman::rm::uninspected;
use super::super::targets;
use crate::errors::{Failure, Outcome};
use crate::format::{json as encode, list};
use crate::personality::Personality;
use crate::session::Session;
use crate::verb::{Count, Operands, Verb};
use object::Subject;

/// The arguments of `container inspect`.
#[derive(Args, Debug)]
pub(crate) struct ContainerInspect {
    /// Write as "json" (one line) or by a Go template; without it, JSON is indented
    #[arg(short, long, value_name = "string", default_value = "")]
    format: String,
    /// Show how much space containers take
    #[arg(short, long)]
    size: bool,
    #[arg(value_name = "CONTAINER")]
    names: Vec<String>,
}

impl Verb for ContainerInspect {
    const ABOUT: &'static str = "Show everything that is known about containers";
    const OPERANDS: &'static str = "CONTAINER [CONTAINER...]";
    const COUNT: Count = Count::AtLeast(1);
    const NAMES: Operands = Operands::Containers;

    fn operands(&self) -> &[String] {
        &self.names
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        inspect(session, &self.format, &self.names, self.size)
    }
}

/// A container as docker shows it: what templates see, and the JSON of it.
pub(in crate::commands) struct Shown {
    pub(in crate::commands) object: TemplateValue,
    pub(in crate::commands) document: Value,
}

/// Shows containers.
///
/// # Errors
/// Docker's words for those that are not there.
pub(in crate::commands) fn inspect(session: &Session<'_>, format: &str, names: &[String], with_size: bool) -> Outcome {
    let context = session.local_context()?;
    let personality = session.personality;
    print(session, format, names, |name| match name {
        // Docker's client asks no engine for what has no name.
        "" => Err(crate::commands::inspect::nameless("container")),
        _ => show(personality, &context, name, with_size).map_err(|failure| uninspected(personality, name, failure)),
    })
}

/// Prints what was found, then tells what was not.
fn print(session: &Session<'_>, format: &str, names: &[String], find: impl Fn(&str) -> Outcome<Shown>) -> Outcome {
    let template = match format {
        "" | "json" => None,
        text => Some(Template::parse(text).map_err(|error| Failure::Usage {
            message: format!("template parsing error: {error}"),
            code: list::TEMPLATE_ERROR,
        })?),
    };
    let (mut found, mut text) = (Vec::new(), String::new());
    let outcome = targets::each(names, |name| {
        let shown = find(name)?;
        if let Some(template) = &template {
            text.push_str(&fill(template, Some(&shown.object), &shown.document)?);
            text.push('\n');
        }
        found.push(shown.document);
        Ok(())
    });
    let console = session.console;
    match (template, format) {
        (Some(_), _) => console.text(if text.is_empty() { "\n" } else { &text }),
        (None, "json") => console.line(encode::compact(&found).map_err(Failure::Client)?),
        (None, _) => console.line(encode::indented(&found).map_err(Failure::Client)?),
    }
    outcome
}

/// Fills in a template. As docker does, one that fails over the typed object gets another chance over the object's JSON: the one knows
/// `.ID`, the other `.Id`.
///
/// # Errors
/// What the template says that is not there.
pub(in crate::commands) fn fill(
    template: &Template,
    object: Option<&TemplateValue>,
    document: &Value,
) -> Outcome<String> {
    let mut output = Vec::new();
    if let Some(object) = object
        && template.execute(object, Options::default(), &mut output).is_ok()
    {
        return Ok(list::shown(output));
    }
    output.clear();
    let options = Options { missing_key_is_error: true, ..Options::default() };
    let filled = template.execute(&TemplateValue::from(document), options, &mut output);
    filled.map_err(|error| list::failure(&error))?;
    Ok(list::shown(output))
}

/// A container as docker's `inspect` shows it.
///
/// # Errors
/// Docker's words for one that is not there.
pub(in crate::commands) fn show(
    personality: Personality,
    context: &Context,
    name: &str,
    with_size: bool,
) -> Outcome<Shown> {
    let record = container::find(context, name)?;
    shown(personality, context, &record, &container::details(context, &record)?, with_size)
}

/// As [`show`], of a container that was read already.
///
/// # Errors
/// Where it cannot be written as JSON.
pub(in crate::commands) fn shown(
    personality: Personality,
    context: &Context,
    record: &Record,
    known: &Details,
    with_size: bool,
) -> Outcome<Shown> {
    let object = Subject { context, record, known, personality, with_size }.object();
    let document = serde_json::from_slice(&object.to_json()).map_err(|error| Failure::Client(error.to_string()))?;
    Ok(Shown { object, document })
}
