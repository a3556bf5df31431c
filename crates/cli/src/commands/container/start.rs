//! `start`

use clap::Args;
use dhow_ops::container;

use super::run::{self, Told, check_terminal, ended, streams};
use super::{found, machine_for};
use crate::errors::{FAILED, Failure, Outcome};
use crate::personality::Personality;
use crate::session::Session;
use crate::verb::{Count, Operands, Verb};

/// The arguments of `start`.
#[derive(Args, Debug)]
pub(crate) struct Start {
    /// Show what the container writes, and pass signals on; without it nothing would run
    #[arg(short, long)]
    attach: bool,
    /// Pass standard input on, if the container was made for it
    #[arg(short, long)]
    interactive: bool,
    #[arg(value_name = "CONTAINER")]
    names: Vec<String>,
}

impl Verb for Start {
    const ABOUT: &'static str = "Run a container that was made or has ended, in the foreground";
    const OPERANDS: &'static str = "CONTAINER [CONTAINER...]";
    const COUNT: Count = Count::AtLeast(1);
    const NAMES: Operands = Operands::Containers;

    fn operands(&self) -> &[String] {
        &self.names
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let Some(name) = self.names.first() else { return Ok(()) };
        if !self.attach && !self.interactive {
            let message = "start without --attach is not supported: it is for a container engine that runs services";
            return Err(Failure::Client(format!("{message}; dhow runs containers in the foreground")));
        }
        if self.names.len() > 1 {
            return Err(Failure::Client("you cannot start and attach multiple containers at once".to_owned()));
        }
        let context = session.local_context()?;
        let record = found(session, &context, name)?;
        let machine = machine_for(session, &record)?;
        let (wants_input, wants_terminal) = container::streams_of(&record)?;
        let interactive = self.interactive && wants_input;
        check_terminal(session, interactive, wants_terminal)?;
        let streams = streams(session, interactive)?;
        let mut told = Told { session, flags: None };
        let run = container::start(&context, &record, machine, streams, &mut told)
            .map_err(|error| refused(session, error.into(), FAILED))?;
        ended(session, run, refused)
    }
}

/// Docker's `start` has no codes and no words of its own for what its engine will not run; podman's has those of `run`.
fn refused(session: &Session<'_>, failure: Failure, code: u8) -> Failure {
    match session.personality {
        Personality::Podman => run::refused(session, failure, code),
        _ => failure,
    }
}
