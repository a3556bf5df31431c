//! `save`

use std::path::PathBuf;

use clap::Args;
use clap::builder::{OsStringValueParser, TypedValueParser};
use dhow_base::Error;
use dhow_ops::{save, target_file};

use super::targets::PlatformOptions;
use crate::console::BROKEN_PIPE;
use crate::errors::{Failure, Outcome};
use crate::format::document::{DocumentFormat, Documents};
use crate::format::{schema, text};
use crate::session::Session;
use crate::signals;
use crate::verb::{Count, Operands, Verb};

/// The arguments of `save`.
#[derive(Args, Debug)]
pub(crate) struct Save {
    #[command(flatten)]
    documents: DocumentFormat,
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
    const NAMES: Operands = Operands::Images;

    fn operands(&self) -> &[String] {
        &self.names
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let documents = self.documents.open(session.console);
        documents.settle(None, self.save(session, &documents))
    }
}

impl Save {
    fn save(&self, session: &Session<'_>, documents: &Documents<'_>) -> Outcome {
        let output = self.output(session, documents)?;
        let platforms = self.platforms.platforms(None)?;
        let context = session.local_context()?;
        let saved = signals::heeding(session.console, unfinished(&output), || {
            save::save(&context, &self.names, &platforms, &output).map_err(quiet_broken_pipe)
        })?;
        if let save::Output::Path(path) = &output {
            saved.iter().try_for_each(|image| documents.put(&schema::Saved::new(path, image)))?;
        }
        for note in saved.iter().filter_map(|image| image.note.as_deref()) {
            session.console.notice(text::note(note));
        }
        Ok(())
    }

    fn output(&self, session: &Session<'_>, documents: &Documents<'_>) -> Outcome<save::Output> {
        let refuse = |message: &str| Err(Failure::Client(message.to_owned()));
        match self.output.as_ref().filter(|path| !path.as_os_str().is_empty()) {
            Some(path) => {
                // Docker's client looks there before it asks its engine for anything.
                target_file::check(path, save::FAILED).map_err(Failure::Reported)?;
                Ok(save::Output::Path(path.clone()))
            }
            None if documents.are_wanted() => {
                refuse("--format needs --output: without it, standard output is the archive")
            }
            None if session.console.is_terminal() => {
                refuse("cowardly refusing to save to a terminal. Use the -o flag or redirect")
            }
            None => Ok(save::Output::Stdout),
        }
    }
}

/// What a user who interrupts can count on.
pub(super) fn unfinished(output: &save::Output) -> &'static str {
    match output {
        save::Output::Stdout => "the archive is not whole",
        save::Output::Path(_) => "no archive was written",
        save::Output::Directory(_) => "what is in the directory is whole, and the next save goes on from there",
    }
}

/// A reader that went away is no failure worth a message.
pub(super) fn quiet_broken_pipe(error: Error) -> Failure {
    if error.is_broken_pipe() { Failure::Quiet(BROKEN_PIPE) } else { Failure::Engine(error) }
}
