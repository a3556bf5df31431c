//! `rm-remote`

use clap::Args;
use dhow_ops::Context;
use dhow_ops::remote::{self, Removed};
use dhow_spec::Reference;

use super::remote::{Reach, run};
use super::targets;
use crate::errors::{Failure, Outcome};
use crate::format::document::{DocumentFormat, Documents};
use crate::format::schema;
use crate::session::Session;
use crate::terminal;
use crate::verb::{Count, Verb};

/// What an interrupted user can count on.
const UNFINISHED: &str = "what was told to be removed is; nothing else was asked for, except perhaps the one under way";

/// The arguments of `rm-remote`.
#[derive(Args, Debug)]
pub(crate) struct RmRemote {
    #[command(flatten)]
    documents: DocumentFormat,
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
        let documents = self.documents.open(session.console);
        let Some((context, references)) = documents.settle(None, self.prepare(session))? else { return Ok(()) };
        targets::each(self.names.iter().zip(&references), |(name, reference)| {
            let removed = run(UNFINISHED, remote::remove(&context, reference, self.manifest));
            tell_removed(session, &documents, name, removed)
        })
    }
}

/// Says what was removed for one operand.
///
/// # Errors
/// That it was not.
pub(super) fn tell_removed(
    session: &Session<'_>,
    documents: &Documents<'_>,
    name: &str,
    removed: Outcome<Removed>,
) -> Outcome {
    let removed = documents.settle(Some(name), removed)?;
    if documents.are_wanted() {
        return documents.put(&schema::RemoteRemoved::new(name, &removed));
    }
    session.console.line(match removed {
        Removed::Tag(tag) => format!("Untagged: {}", tag.familiar()),
        Removed::Manifest(manifest) => format!("Deleted: {}", manifest.familiar()),
    });
    session.console.flush();
    Ok(())
}

impl RmRemote {
    /// What is to be removed, and how to reach it; nothing when the user does not want it after all.
    fn prepare(&self, session: &Session<'_>) -> Outcome<Option<(Context, Vec<Reference>)>> {
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
                return Ok(None);
            }
        }
        let domains = references.iter().map(|reference| reference.repository().domain());
        let context = self.reach.context(session, domains)?;
        Ok(Some((context, references)))
    }

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
