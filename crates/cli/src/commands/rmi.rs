//! `rmi`, `image rm`

use clap::Args;
use dhow_ops::rmi;

use super::targets;
use crate::errors::Outcome;
use crate::session::Session;
use crate::verb::{Count, Verb};

/// The arguments of `rmi`.
#[derive(Args, Debug)]
pub(crate) struct Rmi {
    /// Remove images with several names or stopped containers too; missing images are no failure
    #[arg(short, long)]
    force: bool,
    /// Keep untagged parents
    #[arg(long)]
    #[allow(dead_code, reason = "parents are a matter of docker's classic builder: there are none here to remove")]
    no_prune: bool,
    #[arg(value_name = "IMAGE")]
    names: Vec<String>,
}

impl Verb for Rmi {
    const ABOUT: &'static str = "Remove images";
    const OPERANDS: &'static str = "IMAGE [IMAGE...]";
    const COUNT: Count = Count::AtLeast(1);

    fn operands(&self) -> &[String] {
        &self.names
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let context = session.local_context()?;
        let mut only_missing = true;
        let outcome = targets::each(&self.names, |name| {
            let removed = rmi::remove(&context, name, rmi::Request { force: self.force })?;
            for line in removed {
                session.console.line(match line {
                    rmi::Removed::Untagged(name) => format!("Untagged: {name}"),
                    rmi::Removed::Deleted(id) => format!("Deleted: {id}"),
                });
            }
            Ok(())
        });
        let Err(failure) = outcome else { return Ok(()) };
        failure.visit(&mut |single| only_missing &= single.is_not_found());
        if self.force && only_missing {
            failure.report(session.personality, session.console);
            return Ok(());
        }
        Err(failure)
    }
}
