//! `system check` of podman

use clap::Args;
use dhow_ops::system;

use crate::errors::{Failure, Outcome};
use crate::session::Session;
use crate::verb::{Count, Verb};

/// The arguments of `system check`.
#[derive(Args, Debug)]
pub(crate) struct Check {
    /// Mend what can be mended, containers too
    #[arg(short, long)]
    force: bool,
    /// Accepted for old scripts: what nothing needs is left to the prunes, whatever its age
    #[arg(short, long, value_name = "duration")]
    #[allow(dead_code, reason = "nothing is removed by its age")]
    max: Option<String>,
    /// Accepted for old scripts: all is looked at
    #[arg(short, long)]
    #[allow(dead_code, reason = "there is one way to look")]
    quick: bool,
    /// Mend what can be mended without losing anything
    #[arg(short, long)]
    repair: bool,
    #[arg(hide = true)]
    operands: Vec<String>,
}

impl Verb for Check {
    const ABOUT: &'static str = "Verify every blob and every name of the local store";
    const OPERANDS: &'static str = "";
    const COUNT: Count = Count::Exactly(0);

    fn operands(&self) -> &[String] {
        &self.operands
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let repairs = self.repair || self.force;
        let checked = system::check(&session.local_context()?, repairs)?;
        checked.report.problems.iter().for_each(|problem| session.console.line(problem.to_string()));
        match (checked.is_sound(), repairs) {
            (true, _) => Ok(()),
            (false, false) => Err(Failure::Client("damage detected in local storage".to_owned())),
            (false, true) => {
                Err(Failure::Client("damage in local storage still present after repair attempt".to_owned()))
            }
        }
    }
}
