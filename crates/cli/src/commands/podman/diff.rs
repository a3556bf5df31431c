//! `image diff` of podman, and `diff` of images: without sizes, and JSON in podman's form.

use clap::Args;
use dhow_base::{Error, Kind};
use dhow_ops::container;
use dhow_ops::diff::{self, Change};
use serde::Serialize;

use crate::commands::container::machine;
use crate::commands::diff::Diff as DockersDiff;
use crate::errors::{Failure, Outcome};
use crate::format::podman::indented;
use crate::session::Session;
use crate::verb::{Count, Operands, Verb};

/// The arguments of `diff`.
#[derive(Args, Debug)]
pub(crate) struct Diff {
    /// Write as "json"
    #[arg(long, value_name = "string", default_value = "", hide_default_value = true)]
    format: String,
    #[arg(value_name = "IMAGE")]
    names: Vec<String>,
}

/// What changed, in podman's order.
#[derive(Debug, Default, Serialize)]
struct Changes {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    changed: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    added: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    deleted: Vec<String>,
}

impl Verb for Diff {
    const ABOUT: &'static str = DockersDiff::ABOUT;
    const OPERANDS: &'static str = DockersDiff::OPERANDS;
    const COUNT: Count = DockersDiff::COUNT;
    const NAMES: Operands = Operands::ImagesAndContainers;

    fn operands(&self) -> &[String] {
        &self.names
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let [first, rest @ ..] = self.names.as_slice() else { return Ok(()) };
        if !["", "json"].contains(&self.format.as_str()) {
            return Err(Failure::Client("only supported value for '--format' is 'json'".to_owned()));
        }
        let mut changes = Changes::default();
        let mut tell = |change: Change, path: &[u8]| {
            if self.format.is_empty() {
                session.console.bytes(&[format!("{} ", change.letter()).as_bytes(), path, b"\n"].concat());
                return;
            }
            let list = match change {
                Change::Changed => &mut changes.changed,
                Change::Added => &mut changes.added,
                Change::Deleted => &mut changes.deleted,
            };
            list.push(String::from_utf8_lossy(path).into_owned());
        };
        let context = session.local_context()?;
        let may_be_container = rest.is_empty() && !session.path.ends_with("image diff");
        let record = if may_be_container { container::find(&context, first).ok() } else { None };
        match record {
            Some(record) => {
                machine(session)?;
                container::changes(&context, &record)?.iter().for_each(|(change, path)| tell(*change, path));
            }
            None => {
                // Podman tells of two images what the first has beside the second.
                let (before, after) = match rest.first() {
                    Some(second) => (second, Some(first.as_str())),
                    None => (first, None),
                };
                diff::diff(&context, before, after, |difference| {
                    tell(difference.change, &difference.path);
                    Ok(())
                })
                .map_err(|error| missing(&self.names, may_be_container, error))?;
            }
        }
        if !self.format.is_empty() {
            session.console.line(indented(&changes, "     ")?);
        }
        Ok(())
    }
}

/// Podman has words of its own for what it cannot find.
fn missing(names: &[String], may_be_container: bool, error: Error) -> Failure {
    let message = error.to_string();
    match names.iter().find(|name| error.kind() == Kind::NotFound && message.contains(name.as_str())) {
        Some(name) if may_be_container => Failure::Client(format!("{name} not found: layer not known")),
        Some(name) => Failure::Client(format!("{name} not found: {name}: image not known")),
        None => Failure::Engine(error),
    }
}
