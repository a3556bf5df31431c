//! `start` of podman.

use clap::Args;
use dhow_ops::Context;
use dhow_ops::container::{self, Record};

use super::filters;
use crate::commands::container::{UNATTACHED, found, newest, retain, to_its_end};
use crate::errors::{Failure, Outcome};
use crate::session::Session;
use crate::verb::{Count, Operands, Verb};

/// The arguments of `start`.
#[derive(Args, Debug)]
pub(crate) struct Start {
    #[arg(long, hide = true)]
    all: bool,
    /// Show what the container writes, and pass signals on; without it nothing would run
    #[arg(short, long)]
    attach: bool,
    /// Accepted for old scripts: there is nobody to leave the container to
    #[arg(long, hide = true, value_name = "[a-Z]")]
    #[allow(dead_code, reason = "nobody detaches from a container in the foreground")]
    detach_keys: Option<String>,
    /// Run the newest container that fits: filters of "ps"
    #[arg(short, long, value_name = "strings")]
    filter: Vec<String>,
    /// Pass standard input on, if the container was made for it; --attach does so as well
    #[arg(short, long)]
    interactive: bool,
    /// Run the container that was made last
    #[arg(short, long)]
    latest: bool,
    /// Accepted for old scripts: signals are passed on
    #[arg(long, hide = true, value_name = "bool", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    sig_proxy: Option<bool>,
    #[arg(value_name = "CONTAINER")]
    names: Vec<String>,
}

impl Verb for Start {
    const ABOUT: &'static str = "Run a container that was made or has ended, in the foreground";
    const OPERANDS: &'static str = "CONTAINER [CONTAINER...]";
    const COUNT: Count = Count::AtLeast(0);
    const NAMES: Operands = Operands::Containers;

    fn operands(&self) -> &[String] {
        &self.names
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        self.check()?;
        let context = session.local_context()?;
        match self.chosen(session, &context)? {
            // Who attaches is attached with all streams, whether he says --interactive or not.
            Some(record) => to_its_end(session, &context, &record, true),
            None => Ok(()),
        }
    }
}

impl Start {
    /// What podman's client does not let together, and what takes an engine.
    fn check(&self) -> Outcome {
        let refuse = |why: &str| Err(Failure::Client(why.to_owned()));
        let attach = self.attach || self.interactive;
        match () {
            () if self.names.is_empty() && !self.latest && !self.all && self.filter.is_empty() => {
                refuse("start requires at least one argument")
            }
            () if self.all && (self.latest || !self.names.is_empty()) => {
                refuse("either start all containers or the container(s) provided in the arguments")
            }
            () if attach && self.all => refuse("you cannot start and attach all containers at once"),
            () if self.latest && !self.names.is_empty() => refuse("--latest and containers cannot be used together"),
            () if attach && self.names.len() > 1 => refuse("you cannot start and attach multiple containers at once"),
            () if self.sig_proxy == Some(true) && !attach => {
                refuse("you cannot use sig-proxy without --attach: invalid argument")
            }
            () if !attach => refuse(UNATTACHED),
            () => Ok(()),
        }
    }

    /// The one to run: with filters the newest that fits, among those named if any are.
    fn chosen(&self, session: &Session<'_>, context: &Context) -> Outcome<Option<Record>> {
        if self.latest {
            return Ok(Some(newest(context)?));
        }
        if self.filter.is_empty() {
            return self.names.first().map(|name| found(session, context, name)).transpose();
        }
        let mut records = container::list(context)?;
        retain(context, &mut records, &filters(&self.filter, refusal)?)?;
        let is_named = |record: &Record| {
            let container = &record.container;
            self.names.iter().any(|name| container.name.as_ref() == Some(name) || container.id.starts_with(name))
        };
        Ok(records.into_iter().find(|record| self.names.is_empty() || is_named(record)))
    }
}

/// Podman's words for a filter of containers that has no value.
pub(super) fn refusal(text: &str) -> String {
    format!("invalid filter {text:?}")
}
