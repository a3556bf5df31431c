//! `save`

use std::error::Error as _;
use std::io;
use std::path::PathBuf;

use clap::Args;
use clap::builder::{OsStringValueParser, TypedValueParser};
use dhow_base::Error;
use dhow_ops::save;

use super::targets::PlatformOptions;
use crate::console::BROKEN_PIPE;
use crate::errors::{Failure, Outcome};
use crate::format::text;
use crate::session::Session;
use crate::verb::{Count, Verb};

/// The arguments of `save`.
#[derive(Args, Debug)]
pub(crate) struct Save {
    /// Write to a file instead of standard output
    // An empty one is none, as with docker, which clap's own parser of paths refuses.
    #[arg(short, long, value_name = "string", value_parser = OsStringValueParser::new().map(PathBuf::from))]
    output: Option<PathBuf>,
    #[command(flatten)]
    platforms: PlatformOptions,
    #[arg(value_name = "IMAGE")]
    names: Vec<String>,
}

impl Verb for Save {
    const ABOUT: &'static str = "Write images to a tar archive that docker, podman and OCI tools read";
    const OPERANDS: &'static str = "IMAGE [IMAGE...]";
    const COUNT: Count = Count::AtLeast(1);

    fn operands(&self) -> &[String] {
        &self.names
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let output = match self.output.filter(|path| !path.as_os_str().is_empty()) {
            Some(path) => {
                // Docker's client looks there before it asks its engine for anything.
                save::check_target(&path).map_err(|error| Failure::Client(error.to_string()))?;
                save::Output::Path(path)
            }
            None if session.console.is_terminal() => {
                let message = "cowardly refusing to save to a terminal. Use the -o flag or redirect";
                return Err(Failure::Client(message.to_owned()));
            }
            None => save::Output::Stdout,
        };
        let platforms = self.platforms.platforms(None)?;
        let context = session.local_context()?;
        let notes = save::save(&context, &self.names, &platforms, &output).map_err(quiet_broken_pipe)?;
        for note in notes {
            session.console.notice(text::note(&note));
        }
        Ok(())
    }
}

/// A reader that went away is no failure worth a message.
pub(super) fn quiet_broken_pipe(error: Error) -> Failure {
    let cause = error.source().and_then(|source| source.downcast_ref::<io::Error>());
    if cause.is_some_and(|cause| cause.kind() == io::ErrorKind::BrokenPipe) {
        return Failure::Quiet(BROKEN_PIPE);
    }
    Failure::Engine(error)
}
