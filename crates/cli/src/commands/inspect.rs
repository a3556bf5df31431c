//! `inspect` and `image inspect`

mod remote;

use clap::Args;
use dhow_base::{Error, Kind};
use dhow_ops::{Context, inspect};
use dhow_spec::Platform;
use dhow_template::{Template, Value};

use super::{targets, volume};
use crate::errors::{Failure, Outcome};
use crate::format::{json, list, object};
use crate::personality::Personality;
use crate::session::Session;
use crate::verb::{Count, Operands, Verb};

/// The arguments of `inspect`, which looks for any object of the name.
#[derive(Args, Debug)]
pub(crate) struct Inspect {
    /// Write as "json" (one line) or by a Go template; without it, JSON is indented
    #[arg(short, long, value_name = "string", default_value = "")]
    format: String,
    /// Show how much space containers take
    #[arg(short, long)]
    size: bool,
    /// Look only for objects of this type: "image", "container" or "volume"
    #[arg(long = "type", value_name = "string")]
    kind: Option<String>,
    #[command(flatten)]
    remote: remote::Remote,
    #[arg(value_name = "NAME")]
    names: Vec<String>,
}

impl Verb for Inspect {
    const ABOUT: &'static str = "Show everything that is known about an object";
    const OPERANDS: &'static str = "NAME|ID [NAME|ID...]";
    const COUNT: Count = Count::AtLeast(1);
    const NAMES: Operands = Operands::Everything;

    fn operands(&self) -> &[String] {
        &self.names
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        self.remote.check()?;
        if self.remote.remote {
            return self.remote.show(session, &self.format, &self.names);
        }
        if self.kind.as_deref() == Some("container") {
            return super::container::inspect(session, &self.format, &self.names, self.size);
        }
        let is_any = self.kind.is_none();
        let missing: fn(&str, Error) -> Failure = match self.kind.as_deref() {
            None if session.personality == Personality::Docker29 => no_such_object_29,
            None => no_such_object,
            Some("image") => no_such_image,
            Some("") => return Err(Failure::Client(format!("type is empty: {}", one_of_the_types()))),
            Some("volume") if !self.names.iter().any(String::is_empty) => {
                let context = session.local_context()?;
                let find = |name: &String| {
                    volume::show(&context, name).map(|(object, document)| Shown::Typed(object, document))
                };
                return Search { session, format: &self.format }.run(&self.names, find);
            }
            Some(kind) if TYPES.contains(&kind) => {
                // Nothing of these is kept here: whatever the name is, it is missing.
                let missing = |name: &String| Err(no_such(kind, name, session.personality));
                return Search { session, format: &self.format }.run(&self.names, missing);
            }
            Some(kind) => {
                return Err(Failure::Client(format!("unknown type: {kind:?}: {}", one_of_the_types())));
            }
        };
        let context = session.local_context()?;
        let size = self.size;
        Search { session, format: &self.format }.run(&self.names, |name| {
            // Docker asks for containers first, and for volumes after images.
            if is_any && let Ok(container) = super::container::show(session.personality, &context, name, size) {
                return Ok(Shown::Typed(container.object, container.document));
            }
            let found = match find(&context, name, None, self.names.len() == 1, missing) {
                Err(failure) => match is_any.then(|| volume::show(&context, name)) {
                    Some(Ok((object, document))) => return Ok(Shown::Typed(object, document)),
                    _ => return Err(failure),
                },
                Ok(found) => found,
            };
            if size {
                session.console.notice("WARNING: --size ignored for image");
            }
            Ok(Shown::Image(Box::new(found)))
        })
    }
}

/// What docker can inspect, in the order in which it lists it.
const TYPES: [&str; 10] =
    ["config", "container", "image", "network", "node", "plugin", "secret", "service", "task", "volume"];

fn one_of_the_types() -> String {
    format!("must be one of \"{}\"", TYPES.join("\", \""))
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
    const NAMES: Operands = Operands::Images;

    fn operands(&self) -> &[String] {
        &self.names
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let platform = targets::platform(self.platform.as_deref())?;
        let context = session.local_context()?;
        Search { session, format: &self.format }.run(&self.names, |name| {
            let found = find(&context, name, platform.as_ref(), self.names.len() == 1, no_such_image)?;
            Ok(Shown::Image(Box::new(found)))
        })
    }
}

/// What was found.
enum Shown {
    Image(Box<inspect::Inspect>),
    /// What templates see of a container or a volume, and the JSON of it.
    Typed(Value, serde_json::Value),
}

impl serde::Serialize for Shown {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Image(image) => image.serialize(serializer),
            Self::Typed(_, document) => document.serialize(serializer),
        }
    }
}

/// Prints what was found, then tells what was not.
struct Search<'a> {
    session: &'a Session<'a>,
    format: &'a str,
}

impl Search<'_> {
    fn run(&self, names: &[String], find: impl Fn(&String) -> Outcome<Shown>) -> Outcome {
        if !matches!(self.format, "" | "json") {
            return self.by_template(names, find);
        }
        let mut found = Vec::with_capacity(names.len());
        let outcome = targets::each(names, |name| {
            found.push(find(name)?);
            Ok(())
        });
        // One array: docker prints `[]` when that is everything.
        let text = if self.format == "json" { json::compact(&found) } else { json::indented(&found) };
        self.session.console.line(text.map_err(Failure::Client)?);
        outcome
    }

    /// One line for each object; docker prints an empty one when there is no other.
    fn by_template(&self, names: &[String], find: impl Fn(&String) -> Outcome<Shown>) -> Outcome {
        let template = Template::parse(self.format).map_err(|error| Failure::Usage {
            message: format!("template parsing error: {error}"),
            code: list::TEMPLATE_ERROR,
        })?;
        let mut text = String::new();
        let outcome = targets::each(names, |name| {
            text.push_str(&fill(&template, &find(name)?)?);
            text.push('\n');
            Ok(())
        });
        self.session.console.text(if text.is_empty() { "\n" } else { &text });
        outcome
    }
}

fn fill(template: &Template, found: &Shown) -> Outcome<String> {
    let object = match found {
        Shown::Image(image) => object::image(image),
        Shown::Typed(object, _) => object.clone(),
    };
    let document = serde_json::to_value(found).map_err(|error| Failure::Client(error.to_string()))?;
    super::container::fill(template, Some(&object), &document)
}

fn find(
    context: &Context,
    name: &str,
    platform: Option<&Platform>,
    notes_use: bool,
    missing: fn(&str, Error) -> Failure,
) -> Outcome<inspect::Inspect> {
    inspect::image(context, name, platform, notes_use).map_err(|error| missing(name, error))
}

/// Who asks for an image is told by the engine, which docker's client does not ask for one without a name.
fn no_such_image(name: &str, error: Error) -> Failure {
    match name {
        "" => Failure::Client("Error: No such image: ".to_owned()),
        _ => Failure::Engine(error),
    }
}

/// What docker's client says of an object without a name.
pub(super) fn nameless(kind: &str) -> Failure {
    Failure::Client(format!("invalid {kind} name or ID: value is empty"))
}

/// What docker's engine says of an object that it does not have.
fn no_such(kind: &str, name: &str, personality: Personality) -> Failure {
    let message = match kind {
        // The misspelling is docker's, which mended it in 29.
        "config" if name.is_empty() && personality != Personality::Docker29 => return nameless("contig"),
        _ if name.is_empty() => return nameless(kind),
        "container" => format!("No such container: {name}"),
        "network" => format!("network {name} not found"),
        "plugin" => format!("plugin {name:?} not found"),
        "volume" => format!("get {name}: no such volume"),
        // The rest are objects of a swarm.
        _ => "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect this node to \
              swarm and try again."
            .to_owned(),
    };
    Failure::Engine(Error::new(Kind::NotFound, message))
}

/// Who asks for anything is told by docker's client, which asked for every kind of object: what cannot be the name of an
/// image could still be that of something else. Of a container it asks first, which nothing can be called that has no name.
fn no_such_object(name: &str, error: Error) -> Failure {
    unknown("Error: No such object", name, error)
}

/// As [`no_such_object`], in docker 29's spelling.
fn no_such_object_29(name: &str, error: Error) -> Failure {
    unknown("error: no such object", name, error)
}

fn unknown(what: &str, name: &str, error: Error) -> Failure {
    match error.kind() {
        _ if name.is_empty() => nameless("container"),
        Kind::NotFound | Kind::Invalid => Failure::Client(format!("{what}: {name}")),
        _ => Failure::Engine(error),
    }
}
