//! `system check` and `system sync-view`

use clap::Args;
use dhow_ops::system;

use crate::errors::{FAILED, Failure, Outcome};
use crate::format::units;
use crate::session::Session;
use crate::verb::{Count, Verb};

/// The arguments of `system check`.
#[derive(Args, Debug)]
pub(crate) struct Check {
    /// Mend what can be mended without losing anything
    #[arg(long)]
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
        let system::Checked { rebuilt, report } = system::check(&session.local_context()?, self.repair)?;
        let console = session.console;
        if let Some(rebuilt) = rebuilt {
            show_rebuilt(session, &rebuilt);
        }
        for problem in &report.problems {
            match &problem.repaired {
                Some(repair) => console.line(format!("{} ({repair})", problem.message)),
                None => console.line(&problem.message),
            }
        }
        let left = report.problems.iter().filter(|problem| problem.repaired.is_none()).count();
        let result = match left {
            0 => "no problems".to_owned(),
            1 => "1 problem".to_owned(),
            left => format!("{left} problems"),
        };
        let blobs = if report.blobs == 1 { "blob" } else { "blobs" };
        console.line(format!("Checked {} {blobs} ({}): {result}", report.blobs, units::human_size(report.bytes)));
        if report.is_sound() { Ok(()) } else { Err(Failure::Quiet(FAILED)) }
    }
}

fn show_rebuilt(session: &Session<'_>, rebuilt: &system::Rebuilt) {
    let console = session.console;
    let (blobs, names) = (rebuilt.blobs, rebuilt.references);
    console.line(format!("meta.db was damaged or missing and has been made anew: {blobs} blobs proven, {names} names"));
    rebuilt.losses.iter().for_each(|loss| console.line(format!("lost: {loss}")));
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
