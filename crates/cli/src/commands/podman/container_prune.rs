//! `container prune` of podman

use clap::Args;
use dhow_ops::container;

use super::filters;
use super::prune::{confirm, refusal};
use crate::commands::container::machine;
use crate::errors::{Failure, Outcome};
use crate::session::Session;
use crate::verb::{Count, Verb};

/// The arguments of `container prune`.
#[derive(Args, Debug)]
pub(crate) struct ContainerPrune {
    /// Remove only what fits: "label=KEY=VALUE", "label!=KEY", "until=24h"
    #[arg(long, value_name = "stringArray")]
    filter: Vec<String>,
    /// Do not ask
    #[arg(short, long)]
    force: bool,
    #[arg(hide = true)]
    operands: Vec<String>,
}

impl Verb for ContainerPrune {
    const ABOUT: &'static str = "Remove all containers that do not run";
    const OPERANDS: &'static str = "";
    const COUNT: Count = Count::Exactly(0);

    fn operands(&self) -> &[String] {
        &self.operands
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        machine(session)?;
        if !self.force && !confirm(session, "WARNING! This will remove all non running containers.")? {
            return Ok(());
        }
        let filters = filters(&self.filter, refusal)?;
        if let Some((name, _)) = filters.iter().find(|(name, _)| !matches!(name.as_str(), "label" | "label!" | "until"))
        {
            return Err(Failure::Client(format!("{name} is an invalid filter")));
        }
        let pruned = container::prune(&session.local_context()?, &filters)?;
        pruned.removed.iter().for_each(|id| session.console.line(id));
        Failure::of(pruned.failures)
    }
}
