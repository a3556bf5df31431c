//! `image mount` of podman

use clap::Args;
use dhow_ops::Context;
use dhow_ops::mount::{self as engine, Mounted};
use serde::Serialize;

use crate::commands::mount;
use crate::errors::{Failure, Outcome};
use crate::format::podman;
use crate::session::Session;
use crate::verb::{Count, Operands, Verb};

/// The arguments of `image mount`.
#[derive(Args, Debug)]
pub(crate) struct ImageMount {
    /// Mount all images
    #[arg(short, long)]
    all: bool,
    /// Write as "json"
    #[arg(long, value_name = "string", default_value = "")]
    format: String,
    #[arg(value_name = "IMAGE")]
    names: Vec<String>,
}

/// What podman says of a mount.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Json<'a> {
    #[serde(rename = "id")]
    id: &'a str,
    names: [&'a str; 1],
    repositories: Vec<String>,
    #[serde(rename = "mountpoint")]
    path: String,
}

impl Verb for ImageMount {
    const ABOUT: &'static str = "Mount images read-only and show where, or show what is mounted";
    const OPERANDS: &'static str = "[IMAGE...]";
    const COUNT: Count = Count::AtLeast(0);
    const NAMES: Operands = Operands::Images;

    fn operands(&self) -> &[String] {
        &self.names
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        if self.all && !self.names.is_empty() {
            let message = "when using the --all switch, you may not pass any image names or IDs";
            return Err(Failure::Client(message.to_owned()));
        }
        let context = session.local_context()?;
        let is_one = self.names.len() == 1;
        let mounted = match self.all || !self.names.is_empty() {
            true => engine::mount(&context, &mount::request(session, self.names, self.all)?)?,
            false => mount::warned_of_dead(session, &context)?,
        };
        let console = session.console;
        match (self.format.as_str(), mounted.as_slice()) {
            ("", [one]) if is_one => console.line(one.path.display().to_string()),
            ("", all) => {
                let rows = all.iter().map(|mounted| row(&context, mounted)).collect::<Outcome<Vec<_>>>()?;
                console.text(podman::table(&[], rows, false));
            }
            (format, all) if podman::is_json(format) => {
                let all = all.iter().map(|mounted| Json::of(&context, mounted)).collect::<Outcome<Vec<_>>>()?;
                console.line(podman::indented(&all, " ")?);
            }
            (format, _) => return Err(Failure::Client(format!("unknown --format argument: {format:?}"))),
        }
        Ok(())
    }
}

/// Podman calls an image by its first name, whatever it was asked for by.
fn row(context: &Context, mounted: &Mounted) -> Outcome<Vec<String>> {
    let name = engine::references(context, mounted)?.into_iter().next();
    Ok(vec![name.unwrap_or_else(|| mounted.id.hex().to_owned()), mounted.path.display().to_string()])
}

impl<'a> Json<'a> {
    fn of(context: &Context, mounted: &'a Mounted) -> Outcome<Self> {
        Ok(Self {
            id: mounted.id.hex(),
            names: [&mounted.name],
            repositories: engine::references(context, mounted)?,
            path: mounted.path.display().to_string(),
        })
    }
}
