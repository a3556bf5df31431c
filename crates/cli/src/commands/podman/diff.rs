//! `image diff` of podman, and `diff` of images: without sizes, and JSON in podman's form.

use clap::Args;
use dhow_base::{Error, Kind};
use dhow_ops::container;
use dhow_ops::diff::{self, Change};
use serde::Serialize;

use crate::commands::container::{machine, newest};
use crate::commands::diff::Diff as DockersDiff;
use crate::errors::{FLAG_ERROR, Failure, Outcome};
use crate::format::podman::indented;
use crate::session::Session;
use crate::verb::{Count, Operands, Verb};

/// The arguments of `diff`.
#[derive(Args, Debug)]
pub(crate) struct Diff {
    /// Write as "json"
    #[arg(long, value_name = "string", default_value = "", hide_default_value = true)]
    format: String,
    /// Show what the container changed that was made last
    #[arg(short, long)]
    latest: bool,
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
    const COUNT: Count = Count::AtLeast(0);
    const NAMES: Operands = Operands::ImagesAndContainers;

    fn operands(&self) -> &[String] {
        &self.names
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        self.check(session)?;
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
        let may_be_container = !session.path.ends_with("image diff");
        let record = match self.names.as_slice() {
            [] => Some(newest(&context).map_err(|failure| failure.about("unable to get latest container"))?),
            [name] if may_be_container => container::find(&context, name).ok(),
            _ => None,
        };
        match record {
            Some(record) => {
                machine(session)?;
                container::changes(&context, &record)?.iter().for_each(|(change, path)| tell(*change, path));
            }
            None if session.path.ends_with("container diff") => {
                return Err(Failure::Client(format!("{} not found: container not known", self.names[0])));
            }
            None => {
                // Podman tells of two images what the first has beside the second.
                let (before, after) = match self.names.get(1) {
                    Some(second) => (second, Some(self.names[0].as_str())),
                    None => (&self.names[0], None),
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

impl Diff {
    /// What podman's client does not let together.
    fn check(&self, session: &Session<'_>) -> Outcome {
        let refuse = |message: String| Err(Failure::Client(message));
        let is_image = session.path.ends_with("image diff");
        match self.names.len() {
            _ if self.latest && is_image => {
                let path = &session.path;
                let message = session.personality.about_flag("unknown flag: --latest", path, path);
                Err(Failure::Usage { message, code: FLAG_ERROR })
            }
            0 if is_image => refuse("accepts between 1 and 2 arg(s), received 0".to_owned()),
            0 if !self.latest => refuse(format!("\"{}\" requires a name, id, or the \"--latest\" flag", session.path)),
            1.. if self.latest => refuse("--latest and containers cannot be used together".to_owned()),
            count @ 3.. => refuse(format!("accepts between 1 and 2 arg(s), received {count}")),
            _ if !["", "json"].contains(&self.format.as_str()) => {
                refuse("only supported value for '--format' is 'json'".to_owned())
            }
            _ => Ok(()),
        }
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
