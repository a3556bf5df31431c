//! `rm-remote`

use clap::Args;
use dhow_ops::remote::{self, Removed};
use dhow_spec::Reference;

use super::remote::{Reach, run};
use super::targets;
use crate::errors::{Failure, Outcome};
use crate::session::Session;
use crate::terminal;
use crate::verb::{Count, Verb};

/// What an interrupted user can count on.
const UNFINISHED: &str = "what was told to be removed is; nothing else was asked for, except perhaps the one under way";

/// The arguments of `rm-remote`.
#[derive(Args, Debug)]
pub(crate) struct RmRemote {
    /// Do not ask
    #[arg(short, long)]
    force: bool,
    /// Remove what a tag stands for, and with it every other tag of that
    #[arg(long)]
    manifest: bool,
    #[command(flatten)]
    reach: Reach,
    #[arg(value_name = "NAME")]
    names: Vec<String>,
}

impl Verb for RmRemote {
    const ABOUT: &'static str = "Remove tags and manifests from a registry";
    const OPERANDS: &'static str = "NAME:TAG|NAME@DIGEST [NAME...]";
    const COUNT: Count = Count::AtLeast(1);

    fn operands(&self) -> &[String] {
        &self.names
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let references: Vec<Reference> =
            self.names.iter().map(|name| remote::reference(name)).collect::<Result<_, _>>()?;
        // Said before anything is removed: the first name of several must not be gone when the second makes no sense.
        if let Some(bare) = references.iter().find(|name| name.tag().is_none() && name.digest().is_none()) {
            let message = format!("{}: say what to remove, by a tag or a digest", bare.familiar());
            return Err(Failure::Client(message));
        }
        // Scripts are not asked: there is nobody to answer.
        if !self.force && terminal::input_is_terminal() {
            let warning = self.warning(&references);
            if !terminal::confirm(session.console, &warning)? {
                return Ok(());
            }
        }
        let domains = references.iter().map(|reference| reference.repository().domain());
        let context = self.reach.context(session, domains)?;
        targets::each(&references, |reference| {
            let line = match run(UNFINISHED, remote::remove(&context, reference, self.manifest))? {
                Removed::Tag(tag) => format!("Untagged: {}", tag.familiar()),
                Removed::Manifest(manifest) => format!("Deleted: {}", manifest.familiar()),
            };
            session.console.line(line);
            session.console.flush();
            Ok(())
        })
    }
}

impl RmRemote {
    fn warning(&self, references: &[Reference]) -> String {
        let mut lines = vec!["WARNING! This will remove from the registry:".to_owned()];
        lines.extend(references.iter().map(|reference| {
            let with_all = self.manifest || reference.digest().is_some();
            let what = if with_all { " and every tag of the same manifest" } else { "" };
            format!("  - {}{what}", reference.familiar())
        }));
        lines.join("\n")
    }
}
