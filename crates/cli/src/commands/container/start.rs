//! `start`

use clap::Args;
use dhow_ops::Context;
use dhow_ops::container::{self, Record};

use super::run::{self, Told, check_terminal, ended, streams};
use super::{found, machine_for};
use crate::errors::{FAILED, Failure, Outcome};
use crate::personality::Personality;
use crate::session::Session;
use crate::verb::{Count, Operands, Verb, miscounted};

/// The arguments of `start`.
#[derive(Args, Debug)]
pub(crate) struct Start {
    /// Show what the container writes, and pass signals on; without it nothing would run
    #[arg(short, long)]
    attach: bool,
    /// Pass standard input on, if the container was made for it
    #[arg(short, long)]
    interactive: bool,
    /// Accepted for old scripts: there is nobody to leave the container to
    #[arg(long, hide = true, value_name = "string")]
    #[allow(dead_code, reason = "nobody detaches from a container in the foreground")]
    detach_keys: Option<String>,
    #[arg(long, hide = true, value_name = "string")]
    checkpoint: Option<String>,
    #[arg(long, hide = true, value_name = "string")]
    checkpoint_dir: Option<String>,
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
        let Some(name) = self.names.first() else { return miscounted() };
        for (flag, given) in [("checkpoint", &self.checkpoint), ("checkpoint-dir", &self.checkpoint_dir)] {
            if given.is_some() {
                let why = "is only supported on a Docker daemon with experimental features enabled";
                return Err(Failure::Client(format!("\"--{flag}\" {why}")));
            }
        }
        if !self.attach && !self.interactive {
            return Err(Failure::Client(UNATTACHED.to_owned()));
        }
        if self.names.len() > 1 {
            return Err(Failure::Client("you cannot start and attach multiple containers at once".to_owned()));
        }
        let context = session.local_context()?;
        let record = found(session, &context, name)?;
        to_its_end(session, &context, &record, self.interactive)
    }
}

/// Why a container is not started to be left alone.
pub(in crate::commands) const UNATTACHED: &str = "start without --attach is not supported: it is for a container engine that \
    runs services; dhow runs containers in the foreground";

/// Runs a container that was made or has ended, and ends as it does.
///
/// # Errors
/// As [`container::start`]; its exit code.
pub(in crate::commands) fn to_its_end(
    session: &Session<'_>,
    context: &Context,
    record: &Record,
    interactive: bool,
) -> Outcome {
    let machine = machine_for(session, record)?;
    let (wants_input, wants_terminal) = container::streams_of(record)?;
    let interactive = interactive && wants_input;
    // Podman warns of it when it runs a container, and not when it starts one.
    if session.personality != Personality::Podman {
        check_terminal(session, interactive, wants_terminal)?;
    }
    let streams = streams(session, interactive)?;
    let mut told = Told { session, flags: None, tells_id: false };
    let run = container::start(context, record, machine, streams, &mut told)
        .map_err(|error| refused(session, error.into(), FAILED))?;
    ended(session, run, |session, failure, code| match (session.personality, failure) {
        // Podman's client gives one code to all that its engine does not start.
        (Personality::Podman, Failure::Engine(error)) => {
            let message = format!("unable to start container {}: {error}", record.container.id);
            Failure::Client(message)
        }
        (_, failure) => refused(session, failure, code),
    })
}

/// Docker's `start` has no codes and no words of its own for what its engine will not run; podman's has those of `run`.
fn refused(session: &Session<'_>, failure: Failure, code: u8) -> Failure {
    match session.personality {
        Personality::Podman => run::refused(session, failure, code),
        _ => failure,
    }
}
