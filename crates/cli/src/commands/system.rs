//! `system check` and `system sync-view`

use clap::Args;
use dhow_ops::{Context, refetch, runtime, system};

use super::container::machine;
use crate::errors::{FAILED, Failure, Outcome};
use crate::format::document::DocumentFormat;
use crate::format::{schema, units};
use crate::progress::Progress;
use crate::progress::state::Direction;
use crate::session::{Network, Session};
use crate::signals;
use crate::verb::{Count, Verb};

/// What an interrupted user can count on.
const RESUMABLE: &str = "what has arrived is kept, and the next run goes on from there";

/// The arguments of `system check`.
#[derive(Args, Debug)]
pub(crate) struct Check {
    #[command(flatten)]
    documents: DocumentFormat,
    /// Mend what can be mended without losing anything
    #[arg(long)]
    repair: bool,
    /// Fetch what is missing again, from the registries that the images came from (with --repair)
    #[arg(long)]
    pull: bool,
    #[command(flatten)]
    network: Network,
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
        let documents = self.documents.open(session.console);
        let (context, mut checked) = documents.settle(None, self.check(session))?;
        let fetched = if self.pull { fetch_lost(session, &context, &mut checked) } else { Ok(()) };
        if documents.are_wanted() {
            documents.put(&schema::Check::from(&checked))?;
        } else {
            tell(session, &checked);
        }
        documents.settle(None, fetched)?;
        if checked.is_sound() { Ok(()) } else { Err(Failure::Quiet(FAILED)) }
    }
}

impl Check {
    fn check(&self, session: &Session<'_>) -> Outcome<(Context, system::Checked)> {
        if self.pull && !self.repair {
            return Err(Failure::Client("--pull goes with --repair: without it nothing is changed".to_owned()));
        }
        let context = session.context(&self.network)?;
        let checked = system::check(&context, self.repair)?;
        Ok((context, checked))
    }
}

/// Fetches what is missing. What became of each problem is in `checked`, also when it was interrupted.
fn fetch_lost(session: &Session<'_>, context: &Context, checked: &mut system::Checked) -> Outcome {
    let progress = Progress::new(session.console, Direction::Pull, !session.console.shows_asides());
    let fetch = refetch::fetch_lost(context, checked, &progress);
    let mut outcome = Ok(());
    runtime::block_on(async {
        outcome = signals::interruptible(fetch, RESUMABLE).await;
        Ok(())
    })?;
    outcome
}

fn tell(session: &Session<'_>, checked: &system::Checked) {
    let (console, report) = (session.console, &checked.report);
    if let Some(rebuilt) = &checked.rebuilt {
        show_rebuilt(session, rebuilt);
    }
    for problem in &report.problems {
        console.line(problem.to_string());
    }
    let left = report.problems.iter().filter(|problem| problem.repaired.is_none()).count();
    let result = match left {
        0 => "no problems".to_owned(),
        1 => "1 problem".to_owned(),
        left => format!("{left} problems"),
    };
    let blobs = if report.blobs == 1 { "blob" } else { "blobs" };
    console.line(format!("Checked {} {blobs} ({}): {result}", report.blobs, units::human_size(report.bytes)));
    if report.lacks_content() && console.shows_hints() {
        let way_out = "pull the images again, or have `dhow system check --repair --pull` fetch what is missing";
        console.notice(format!("hint: {way_out}"));
    }
}

fn show_rebuilt(session: &Session<'_>, rebuilt: &system::Rebuilt) {
    let console = session.console;
    let (blobs, names) = (rebuilt.blobs, rebuilt.references);
    console.line(format!("meta.db was damaged or missing and has been made anew: {blobs} blobs proven, {names} names"));
    rebuilt.losses.iter().for_each(|loss| console.line(format!("lost: {loss}")));
    rebuilt.incomplete.iter().for_each(|incomplete| console.line(format!("lost: {incomplete}")));
    if let Some(directory) = &rebuilt.kept_in {
        console.line(format!("what it replaces is kept in {}", directory.display()));
    }
}

/// The arguments of `system sync-view`.
#[derive(Args, Debug)]
pub(crate) struct SyncView {
    #[arg(hide = true)]
    operands: Vec<String>,
}

impl Verb for SyncView {
    const ABOUT: &'static str = "Rewrite index.json, by which other OCI tools read the local store";
    const OPERANDS: &'static str = "";
    const COUNT: Count = Count::Exactly(0);

    fn operands(&self) -> &[String] {
        &self.operands
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        Ok(system::sync_view(&session.local_context()?)?)
    }
}

/// The arguments of `system empty-trash`, which `rmi` and the prunes start for themselves.
#[derive(Args, Debug)]
pub(crate) struct EmptyTrash {
    #[arg(hide = true)]
    operands: Vec<String>,
}

impl Verb for EmptyTrash {
    const ABOUT: &'static str = "Remove unpacked images that nothing needs any more from the disk";
    const OPERANDS: &'static str = "";
    const COUNT: Count = Count::Exactly(0);

    fn operands(&self) -> &[String] {
        &self.operands
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        // Files of a tree may belong to users that only root of a namespace can act for. Where there is no such namespace, there
        // are no such files.
        if let Err(failure) = machine(session) {
            tracing::debug!(?failure, "trees are removed without a user namespace");
        }
        Ok(system::empty_trash(&session.local_context()?)?)
    }
}
