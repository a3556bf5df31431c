//! `rm` and `container prune`.

use clap::Args;
use dhow_base::{Error, Kind};
use dhow_ops::container::{self, RemoveOptions};

use super::super::{filters, targets};
use super::machine;
use crate::errors::{Failure, Outcome};
use crate::format::units;
use crate::session::Session;
use crate::terminal;
use crate::verb::{Count, Operands, Verb};

/// The arguments of `rm`.
#[derive(Args, Debug)]
pub(crate) struct Remove {
    /// End containers that run, and do not mind those that are not there
    #[arg(short, long)]
    force: bool,
    #[arg(short, long, hide = true)]
    link: bool,
    /// Remove volumes without a name that the container uses
    #[arg(short, long)]
    volumes: bool,
    #[arg(value_name = "CONTAINER")]
    names: Vec<String>,
}

impl Verb for Remove {
    const ABOUT: &'static str = "Remove containers";
    const OPERANDS: &'static str = "CONTAINER [CONTAINER...]";
    const COUNT: Count = Count::AtLeast(1);
    const NAMES: Operands = Operands::Containers;

    fn operands(&self) -> &[String] {
        &self.names
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        machine(session)?;
        let context = session.local_context()?;
        let options = RemoveOptions { force: self.force, volumes: self.volumes };
        targets::each(&self.names, |name| {
            let record = match container::find(&context, name) {
                Err(error) if self.force && error.kind() == Kind::NotFound => {
                    session.console.notice(Failure::Engine(error).text(session.personality));
                    return Ok(());
                }
                found => found?,
            };
            if self.link {
                let message = "Conflict, cannot remove the default link name of the container";
                return Err(Error::new(Kind::Conflict, message).into());
            }
            container::remove(&context, &record, options)?;
            session.console.line(name);
            Ok(())
        })
    }
}

/// The arguments of `container prune`.
#[derive(Args, Debug)]
pub(crate) struct Prune {
    /// Remove only what fits: "label=KEY=VALUE", "label!=KEY", "until=24h"
    #[arg(long, value_name = "filter", value_parser = filters::parse)]
    filter: Vec<filters::Given>,
    /// Do not ask
    #[arg(short, long)]
    force: bool,
    #[arg(hide = true)]
    operands: Vec<String>,
}

impl Verb for Prune {
    const ABOUT: &'static str = "Remove all containers that do not run";
    const OPERANDS: &'static str = "";
    const COUNT: Count = Count::Exactly(0);

    fn operands(&self) -> &[String] {
        &self.operands
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        machine(session)?;
        let question = "WARNING! This will remove all stopped containers.";
        if !self.force && !terminal::confirm(session.console, question)? {
            return Ok(());
        }
        let pruned = container::prune(&session.local_context()?, &filters::given(&self.filter))?;
        if !pruned.removed.is_empty() {
            session.console.text(format!("Deleted Containers:\n{}\n\n", pruned.removed.join("\n")));
        }
        session.console.line(format!("Total reclaimed space: {}", units::human_size(pruned.reclaimed_bytes)));
        Failure::of(pruned.failures)
    }
}
