//! `load` of podman

use std::io;
use std::path::PathBuf;

use clap::Args;
use dhow_base::progress::Silent;
use dhow_base::{Error, Kind};
use dhow_ops::{Platforms, load};

use super::Copying;
use crate::commands::load::KEPT;
use crate::errors::{Failure, Outcome};
use crate::session::Session;
use crate::signals;
use crate::terminal;
use crate::verb::{Count, Verb};

/// The arguments of `load`.
#[derive(Args, Debug)]
pub(crate) struct Load {
    /// Read from a file, or from a directory with an OCI image layout, instead of standard input
    #[arg(short, long, value_name = "string")]
    input: Option<PathBuf>,
    /// Do not show progress
    #[arg(short, long)]
    quiet: bool,
    #[arg(hide = true)]
    operands: Vec<String>,
}

impl Verb for Load {
    const ABOUT: &'static str = "Read images from an archive";
    const OPERANDS: &'static str = "";
    const COUNT: Count = Count::Exactly(0);

    fn operands(&self) -> &[String] {
        &self.operands
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let input = match self.input.filter(|path| !path.as_os_str().is_empty()) {
            Some(path) => match path.metadata() {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    return Err(Failure::Client(format!("stat {}: no such file or directory", path.display())));
                }
                _ => load::Input::Path(path),
            },
            None if terminal::input_is_terminal() => {
                let message = "cannot read from terminal, use command-line redirection or the --input flag";
                return Err(Failure::Client(message.to_owned()));
            }
            None => load::Input::Stdin,
        };
        let context = session.local_context()?;
        let request = load::Request { input, platforms: Platforms::Default, unpack: None };
        let work = || load::load(&context, &request, &Silent).map_err(explained);
        let report = signals::heeding(session.console, KEPT, work)?;
        let copying = Copying::new(session.console, self.quiet);
        let loaded: Vec<String> = report
            .loaded
            .iter()
            .flat_map(|image| match image.names.as_slice() {
                [] => vec![image.image_id.to_string()],
                names => names.iter().map(|name| context.naming().shown(name)).collect(),
            })
            .collect();
        for name in &loaded {
            copying.whole(&context, name, true)?;
        }
        loaded.iter().for_each(|name| session.console.line(format!("Loaded image: {name}")));
        Ok(())
    }
}

/// What podman says before it tells of every format why the archive is not that one.
fn explained(error: Error) -> Failure {
    match error.kind() {
        Kind::Corrupt | Kind::Invalid | Kind::Unsupported => {
            Failure::Client(format!("payload does not match any of the supported image formats: {error}"))
        }
        _ => Failure::Engine(error),
    }
}
