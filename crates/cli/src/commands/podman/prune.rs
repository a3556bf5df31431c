//! `image prune` of podman

use clap::Args;
use dhow_ops::{manifest, prune};

use super::filters;
use crate::errors::{Failure, Outcome};
use crate::session::Session;
use crate::terminal;
use crate::verb::{Count, Verb};

/// The arguments of `image prune`.
#[derive(Args, Debug)]
pub(crate) struct Prune {
    /// Remove every image that no container uses, not only those without a name
    #[arg(short, long)]
    all: bool,
    /// Accepted for old scripts; there is no cache of builds yet
    #[arg(long)]
    #[allow(dead_code, reason = "there is no cache of builds to remove")]
    build_cache: bool,
    /// Accepted for old scripts; no other tool keeps containers here
    #[arg(long)]
    #[allow(dead_code, reason = "no other tool keeps containers here")]
    external: bool,
    /// Remove only images that fit, as "images --filter" shows them
    #[arg(long, value_name = "strings")]
    filter: Vec<String>,
    /// Do not ask
    #[arg(short, long)]
    force: bool,
    #[arg(hide = true)]
    operands: Vec<String>,
}

impl Verb for Prune {
    const ABOUT: &'static str = "Remove images that nothing uses";
    const OPERANDS: &'static str = "";
    const COUNT: Count = Count::Exactly(0);

    fn operands(&self) -> &[String] {
        &self.operands
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let warning = if self.all {
            "WARNING! This command removes all images without at least one container associated with them."
        } else {
            "WARNING! This command removes all dangling images."
        };
        if !self.force && !confirm(session, warning)? {
            return Ok(());
        }
        let filters = filters(&self.filter, refusal)?;
        let takes_lists = self.all && filters.is_empty();
        let request = prune::Request { all: self.all, filters, ..prune::Request::default() };
        let context = session.local_context()?;
        let pruned = prune::prune(&context, &request)?;
        for image in pruned.images.iter().filter(|image| image.chains.is_some()) {
            session.console.line(image.id.hex());
        }
        if takes_lists {
            manifest::rm_all(&context)?.iter().for_each(|list| session.console.line(list.to_string()));
        }
        Failure::of(pruned.failures)
    }
}

/// Podman's words for a filter of a prune that has no value.
pub(super) fn refusal(text: &str) -> String {
    format!("filter input must be in the form of filter=value: {text} is invalid")
}

/// Asks; an answer that is not ended is a failure to podman.
pub(super) fn confirm(session: &Session<'_>, warning: &str) -> Outcome<bool> {
    let question = format!("{warning}\nAre you sure you want to continue? [y/N] ");
    match terminal::ask_for_line(session.console, &question)? {
        (answer, true) => Ok(answer.trim().eq_ignore_ascii_case("y")),
        (_, false) => Err(Failure::Client("EOF".to_owned())),
    }
}
