//! `system prune`

use clap::Args;
use dhow_ops::{container, prune, system_prune};

use super::filters;
use super::prune::{Tense, images};
use crate::background;
use crate::errors::{Failure, Outcome};
use crate::format::document::{DocumentFormat, Documents};
use crate::format::{schema, units};
use crate::session::Session;
use crate::terminal;
use crate::verb::{Count, Verb};

/// The arguments of `system prune`.
#[derive(Args, Debug)]
pub(crate) struct SystemPrune {
    /// Remove every image that no container uses, not only those without a tag
    #[arg(short, long)]
    all: bool,
    /// Show what would be removed, and remove nothing
    #[arg(long)]
    dry_run: bool,
    /// Remove only what fits: "label=KEY=VALUE", "label!=KEY", "until=24h"
    #[arg(long, value_name = "filter", value_parser = filters::parse)]
    filter: Vec<filters::Given>,
    #[command(flatten)]
    documents: DocumentFormat,
    /// Do not ask
    #[arg(short, long)]
    force: bool,
    /// Remove anonymous volumes too
    #[arg(long)]
    volumes: bool,
    #[arg(hide = true)]
    operands: Vec<String>,
}

impl Verb for SystemPrune {
    const ABOUT: &'static str = "Remove everything that nothing uses";
    const OPERANDS: &'static str = "";
    const COUNT: Count = Count::Exactly(0);

    fn operands(&self) -> &[String] {
        &self.operands
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let documents = self.documents.open(session.console);
        documents.settle(None, self.prune(session, &documents))
    }
}

impl SystemPrune {
    fn prune(&self, session: &Session<'_>, documents: &Documents<'_>) -> Outcome {
        let given = filters::given(&self.filter);
        let context = session.local_context()?;
        let terms = prune::filters(&context, &given)?;
        if self.volumes && terms.iter().any(|(name, _)| name == "until") {
            return Err(Failure::Client("ERROR: The \"until\" filter is not supported with \"--volumes\"".to_owned()));
        }
        if !self.force && !self.dry_run && !terminal::confirm(session.console, &self.warning(&terms))? {
            return Ok(());
        }
        // Files of a container may belong to users that there are in its namespace only.
        if !container::list(&context)?.is_empty() {
            super::container::machine(session)?;
        }
        let request =
            system_prune::Request { all: self.all, volumes: self.volumes, dry_run: self.dry_run, filters: given };
        let everything = system_prune::prune(&context, &request)?;
        background::empty_trash(&context);
        if documents.are_wanted() {
            documents.put(&schema::SystemPrune::new(&everything, self.dry_run))?;
            return Failure::of(everything.failures);
        }
        let tense = if self.dry_run { Tense::Would } else { Tense::Done };
        session.console.text(render(&everything, tense));
        Failure::of(everything.failures)
    }

    /// Docker's words (docker/cli `command/system/prune.go`).
    fn warning(&self, terms: &[(String, String)]) -> String {
        let mut lines = vec!["WARNING! This will remove:", "  - all stopped containers"];
        lines.push("  - all networks not used by at least one container");
        if self.volumes {
            lines.push("  - all anonymous volumes not used by at least one container");
        }
        lines.push(match self.all {
            true => "  - all images without at least one container associated to them",
            false => "  - all dangling images",
        });
        lines.push(if self.all { "  - all build cache" } else { "  - unused build cache" });
        lines.push("");
        let mut filters: Vec<String> = terms.iter().map(|(name, value)| format!("  - {name}={value}")).collect();
        filters.sort();
        if !filters.is_empty() {
            lines.push("  Items to be pruned will be filtered with:");
            lines.extend(filters.iter().map(String::as_str));
            lines.push("");
        }
        lines.join("\n")
    }
}

fn render(everything: &system_prune::Everything, tense: Tense) -> String {
    let (done, total) = match tense {
        Tense::Done => ("Deleted", "Total reclaimed space"),
        Tense::Would => ("Would delete", "Total space that would be reclaimed"),
    };
    let block = |what: &str, names: &[String]| match names {
        [] => String::new(),
        names => {
            let (first, rest) = what.split_at(1);
            let first = if tense == Tense::Would { first.to_lowercase() } else { first.to_owned() };
            format!("{done} {first}{rest}:\n{}\n\n", names.join("\n"))
        }
    };
    [
        block("Containers", &everything.containers),
        block("Volumes", &everything.volumes),
        images(&everything.images, tense),
        block("build cache objects", &everything.build),
        format!("{total}: {}\n", units::human_size(everything.reclaimed_bytes)),
    ]
    .concat()
}
