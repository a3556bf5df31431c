//! `rmi`, `image rm` of podman

use clap::Args;
use dhow_base::{Error, Kind};
use dhow_ops::rmi::{self, Report};

use crate::errors::{FAILED, Failure, Outcome};
use crate::session::Session;
use crate::verb::{Count, Operands, Verb};

/// Exit code when a container stands in the way.
const IN_USE: u8 = 2;

/// The arguments of `rmi`.
#[derive(Args, Debug)]
pub(crate) struct Rmi {
    /// Remove all images
    #[arg(short, long)]
    all: bool,
    /// Remove images with several names or stopped containers too; missing images are no failure
    #[arg(short, long)]
    force: bool,
    /// Say nothing about missing images
    #[arg(short, long)]
    ignore: bool,
    /// Accepted for old scripts; there are no untagged parents to keep
    #[arg(long)]
    #[allow(dead_code, reason = "parents are a matter of classic builders: there are none here to remove")]
    no_prune: bool,
    #[arg(value_name = "IMAGE")]
    names: Vec<String>,
}

impl Verb for Rmi {
    const ABOUT: &'static str = "Remove images";
    const OPERANDS: &'static str = "IMAGE [IMAGE...]";
    const COUNT: Count = Count::AtLeast(0);
    const NAMES: Operands = Operands::Images;

    fn operands(&self) -> &[String] {
        &self.names
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        if self.all && !self.names.is_empty() {
            let message = "when using the --all switch, you may not pass any images names or IDs";
            return Err(Failure::Client(message.to_owned()));
        }
        if !self.all && self.names.is_empty() {
            return Err(Failure::Client("image name or ID must be specified".to_owned()));
        }
        let context = session.local_context()?;
        let report = if self.all {
            rmi::remove_all_as_podman(&context, self.force)?
        } else {
            rmi::remove_as_podman(&context, &self.names, self.force)?
        };
        self.tell(session, report)
    }
}

impl Rmi {
    fn tell(&self, session: &Session<'_>, report: Report) -> Outcome {
        let console = session.console;
        report.untagged.iter().for_each(|name| console.line(format!("Untagged: {name}")));
        report.deleted.iter().for_each(|id| console.line(format!("Deleted: {}", id.hex())));
        let is_ignored = |error: &Error| (self.ignore || self.force) && error.kind() == Kind::NotFound;
        let failures: Vec<Error> = report.failures.into_iter().filter(|error| !is_ignored(error)).collect();
        let texts: Vec<String> = failures.iter().map(ToString::to_string).collect();
        let text = match texts.as_slice() {
            [] => return Ok(()),
            [text] => text.clone(),
            several => session.personality.several(several).unwrap_or_default(),
        };
        let code = match () {
            () if failures.iter().all(|error| error.kind() == Kind::NotFound) => FAILED,
            () if failures.iter().any(|error| error.kind() == Kind::Conflict) => IN_USE,
            () => session.personality.failed(),
        };
        Err(Failure::Usage { message: format!("{}{text}", session.personality.client_prefix()), code })
    }
}
