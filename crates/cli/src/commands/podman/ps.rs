//! `ps` of podman.

mod row;

use std::time::Duration;

use clap::Args;
use dhow_template::Type;

use super::super::container::Selection;
use crate::errors::{Failure, Outcome};
use crate::format::podman::{self, Filled, Report};
use crate::format::{ago, json};
use crate::session::Session;
use crate::verb::{Count, Verb};
use dhow_ops::strconv::parse_uint;
use row::Listed;

const LISTED: Report = Report {
    name: "ps",
    row: Type::Named("containers.psReporter"),
    headers: &[
        ("AutoRemove", "AUTO REMOVE"),
        ("Cgroup", "CGROUPNS"),
        ("Command", "COMMAND"),
        ("Created", "CREATED"),
        ("CreatedAt", "CREATED AT"),
        ("CreatedHuman", "CREATED"),
        ("ExitCode", "EXIT CODE"),
        ("Exited", "EXITED"),
        ("ExitedAt", "EXITED AT"),
        ("ID", "CONTAINER ID"),
        ("IPC", "IPC"),
        ("Image", "IMAGE"),
        ("ImageID", "IMAGE ID"),
        ("IsInfra", "IS INFRA"),
        ("Labels", "LABELS"),
        ("MNT", "MNT"),
        ("Mounts", "MOUNTS"),
        ("NET", "NET"),
        ("Names", "NAMES"),
        ("Namespaces", "NAMESPACES"),
        ("Networks", "NETWORKS"),
        ("PIDNS", "PIDNS"),
        ("Pid", "PID"),
        ("Pod", "POD ID"),
        ("PodName", "PODNAME"),
        ("Ports", "PORTS"),
        ("Restarts", "RESTARTS"),
        ("RunningFor", "RUNNING FOR"),
        ("Size", "SIZE"),
        ("StartedAt", "STARTED AT"),
        ("State", "STATE"),
        ("Status", "STATUS"),
        ("USERNS", "USERNS"),
        ("UTS", "UTS"),
    ],
};

/// What is shown when nobody says.
const TABLE: &str = "table {{.ID}} {{.Image}} {{.Command}} {{.CreatedHuman}} {{.Status}} {{.Ports}} {{.Names}}";

/// What is shown of namespaces.
const NAMESPACES: &str =
    "table {{.ID}} {{.Names}} {{.Pid}} {{.Cgroup}} {{.IPC}} {{.MNT}} {{.NET}} {{.PIDNS}} {{.USERNS}} {{.UTS}}";

/// Empties a terminal (ECMA-48, ED and CUP).
const CLEAR: &str = "\x1b[2J\x1b[H";

/// The arguments of `ps`.
#[derive(Args, Debug)]
pub(crate) struct List {
    #[command(flatten)]
    selection: Selection,
    /// Accepted for old scripts: nobody else makes containers here
    #[arg(long, hide = true)]
    #[allow(dead_code, reason = "a store has no containers but its own")]
    external: bool,
    /// Write as "json" or by a Go template, "table TEMPLATE" under a header
    #[arg(long, value_name = "string", default_value = "")]
    format: String,
    /// Show the namespaces of containers that run
    #[arg(long, alias = "namespace")]
    ns: bool,
    /// Show whole IDs and commands
    #[arg(long)]
    no_trunc: bool,
    /// Leave the table's header out
    #[arg(long)]
    noheading: bool,
    /// Show pods, too; there are none
    #[arg(short, long)]
    pod: bool,
    /// Show IDs only
    #[arg(short, long)]
    quiet: bool,
    /// Show how much space containers take
    #[arg(short, long)]
    size: bool,
    /// Sort by "command", "created", "id", "image", "names", "runningfor", "size" or "status"
    #[arg(long, value_name = "choice", default_value = "created", hide_default_value = true, value_parser = sorting)]
    sort: Sort,
    /// Accepted for old scripts: there is nothing to synchronize with
    #[arg(long, hide = true)]
    #[allow(dead_code, reason = "what is recorded is what is so")]
    sync: bool,
    /// Show the list again and again, with so many seconds between
    #[arg(short, long, value_name = "uint", default_value = "0", hide_default_value = true, value_parser = parse_uint::<u64>)]
    watch: u64,
    #[arg(hide = true)]
    operands: Vec<String>,
}

/// By what the list is sorted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sort {
    Command,
    Created,
    Id,
    Image,
    Names,
    RunningFor,
    Size,
    Status,
}

fn sorting(text: &str) -> Result<Sort, String> {
    Ok(match text {
        "command" => Sort::Command,
        "created" => Sort::Created,
        "id" => Sort::Id,
        "image" => Sort::Image,
        "names" => Sort::Names,
        "runningfor" => Sort::RunningFor,
        "size" => Sort::Size,
        "status" => Sort::Status,
        _ => {
            let known = "command, created, id, image, names, runningfor, size, status";
            return Err(format!("{text:?} is not a valid value.  Choose from: {known:?}"));
        }
    })
}

impl Verb for List {
    const ABOUT: &'static str = "List containers";
    const OPERANDS: &'static str = "";
    const COUNT: Count = Count::Exactly(0);

    fn operands(&self) -> &[String] {
        &self.operands
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        self.check()?;
        loop {
            self.show(session)?;
            if self.watch == 0 {
                return Ok(());
            }
            session.console.flush();
            if session.console.has_failed() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_secs(self.watch));
            if session.console.is_terminal() {
                session.console.drawn(CLEAR);
            }
        }
    }
}

impl List {
    fn show(&self, session: &Session<'_>) -> Outcome {
        let context = session.local_context()?;
        let records = self.selection.records(session, &context)?;
        let now = ago::now();
        let mut rows: Vec<Listed> =
            records.into_iter().map(|record| Listed::read(&context, record, now, self)).collect();
        rows.sort_by(|a, b| a.compare(b, self.sort));
        let console = session.console;
        if podman::is_json(&self.format) {
            // What is empty has a line of its own here, as podman's encoder leaves it.
            let text = podman::indented(&rows, "  ")?.replace(": {}", ": {\n      \n    }");
            console.line(text);
            return Ok(());
        }
        if podman::is_json_of_rows(&self.format) {
            console.text(json::lines(rows.iter().map(Listed::alone)).map_err(Failure::Client)?);
            return Ok(());
        }
        if self.quiet && self.format.is_empty() {
            rows.iter().for_each(|row| console.line(row.shown_id(self.no_trunc)));
            return Ok(());
        }
        let format = self.template();
        if format.contains(".Size") && !self.size {
            console.notice("Size format requires --size option");
        }
        let values = rows.iter().map(|row| row.value(self.no_trunc)).collect();
        let Filled { text, outcome } = LISTED.fill(&format, !self.noheading, values)?;
        console.text(text);
        outcome
    }

    /// What podman's client does not let together.
    fn check(&self) -> Outcome {
        let refuse = |why: &str| Err(Failure::Client(why.to_owned()));
        match () {
            () if self.quiet && (self.size || self.ns) => refuse("quiet conflicts with size and namespace"),
            () if self.size && self.ns => refuse("size and namespace options conflict"),
            () if self.selection.latest && self.selection.last >= 0 => refuse("last and latest are mutually exclusive"),
            () => Ok(()),
        }
    }

    fn template(&self) -> String {
        match () {
            () if !self.format.is_empty() => self.format.clone(),
            () if self.ns => NAMESPACES.to_owned(),
            () => {
                let pod = if self.pod { " {{.Pod}} {{.PodName}}" } else { "" };
                let size = if self.size { " {{.Size}}" } else { "" };
                format!("{TABLE}{pod}{size}")
            }
        }
    }
}
