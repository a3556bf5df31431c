//! `rename`

use clap::Args;
use dhow_ops::container;

use super::found;
use crate::errors::{FAILED, Failure, Outcome};
use crate::personality::Personality;
use crate::session::Session;
use crate::verb::{Count, Operands, Verb, miscounted};

/// The arguments of `rename`.
#[derive(Args, Debug)]
pub(crate) struct Rename {
    #[arg(value_name = "NAME")]
    names: Vec<String>,
}

impl Verb for Rename {
    const ABOUT: &'static str = "Rename a container";
    const OPERANDS: &'static str = "CONTAINER NEW_NAME";
    const COUNT: Count = Count::Exactly(2);
    const NAMES: Operands = Operands::Containers;

    fn operands(&self) -> &[String] {
        &self.names
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let [old, new] = self.names.as_slice() else { return miscounted() };
        if session.personality == Personality::Podman {
            return renamed(session, old, new);
        }
        // Docker's client says so itself.
        if old.trim().is_empty() || new.trim().is_empty() {
            let message = "Error: Neither old nor new names may be empty".to_owned();
            return Err(Failure::Usage { message, code: FAILED });
        }
        renamed(session, old, new).map_err(|failure| match session.personality {
            Personality::Dhow => failure,
            personality => {
                let why = failure.text(personality);
                let message = format!("{why}\nError: failed to rename container named {old}");
                Failure::Usage { message, code: FAILED }
            }
        })
    }
}

fn renamed(session: &Session<'_>, old: &str, new: &str) -> Outcome {
    if old.is_empty() {
        return Err(Failure::Client("name or ID cannot be empty".to_owned()));
    }
    let context = session.local_context()?;
    let record = found(session, &context, old)?;
    if session.personality == Personality::Podman {
        crate::commands::podman::container::check_renamed(new)?;
    }
    Ok(container::rename(&context, &record, new)?)
}
