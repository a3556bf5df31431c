//! `export`

use std::path::PathBuf;

use clap::Args;
use clap::builder::{OsStringValueParser, TypedValueParser};
use dhow_base::Kind;
use dhow_ops::container;
use dhow_ops::export::{self, Output, Request};

use super::save::quiet_broken_pipe;
use super::targets;
use crate::errors::{Failure, Outcome};
use crate::personality::Personality;
use crate::session::Session;
use crate::verb::{Count, Operands, Verb, miscounted};

/// The arguments of `export`.
#[derive(Args, Debug)]
pub(crate) struct Export {
    /// Write to a file instead of standard output
    // An empty one is none, as with docker, which clap's own parser of paths refuses.
    #[arg(short, long, value_name = "string", value_parser = OsStringValueParser::new().map(PathBuf::from))]
    output: Option<PathBuf>,
    /// Export this platform of a multi-platform image
    #[arg(long, value_name = "string")]
    platform: Option<String>,
    #[arg(value_name = "IMAGE")]
    operands: Vec<String>,
}

impl Verb for Export {
    const ABOUT: &'static str = "Write the files of a container or an image to a tar archive, without layers";
    const OPERANDS: &'static str = "CONTAINER|IMAGE";
    const COUNT: Count = Count::Exactly(1);
    const NAMES: Operands = Operands::ImagesAndContainers;

    fn operands(&self) -> &[String] {
        &self.operands
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let Some(image) = self.operands.first() else { return miscounted() };
        let output = match self.output.filter(|path| !path.as_os_str().is_empty()) {
            Some(path) => Output::Path(path),
            None if session.console.is_terminal() => {
                let message = "cowardly refusing to save to a terminal. Use the -o flag or redirect";
                return Err(Failure::Client(message.to_owned()));
            }
            None => Output::Stdout,
        };
        // Docker's client looks there before it asks its engine for anything.
        output.check().map_err(Failure::Reported)?;
        let request = Request { image: image.clone(), platform: targets::platform(self.platform.as_deref())?, output };
        let context = session.local_context()?;
        let missing = match container::find(&context, image) {
            Ok(record) => {
                let machine = super::container::machine_for(session, &record)?;
                return container::export(&context, &record, machine, &request.output).map_err(quiet_broken_pipe);
            }
            Err(error) => super::container::missing(session.personality, image, error),
        };
        match export::export(&context, &request) {
            // Docker exports containers alone.
            Err(error) if error.kind() == Kind::NotFound && session.personality != Personality::Dhow => {
                Err(missing.into())
            }
            done => done.map_err(quiet_broken_pipe),
        }
    }
}
