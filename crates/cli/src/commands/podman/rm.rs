//! `rm` and `container exists` of podman.

use std::io::ErrorKind;
use std::path::PathBuf;

use clap::Args;
use dhow_base::fs::read_limited;
use dhow_base::{Error, Kind};
use dhow_ops::Context;
use dhow_ops::container::{self, Record, RemoveOptions};
use dhow_ops::strconv::parse_int;

use super::super::container::{machine, missing, retain};
use super::super::targets;
use super::filters;
use super::start::refusal;
use crate::errors::{FAILED, Failure, Outcome};
use crate::personality::Personality;
use crate::session::Session;
use crate::verb::{Count, Verb, miscounted};

/// Exit code of who removes what runs without force.
const RUNS: u8 = 2;

/// Longest file of an ID that is read, in bytes.
const ID_FILE_BYTES_MAX: u64 = 1 << 20;

/// The arguments of `rm`.
#[derive(Args, Debug)]
pub(crate) struct Remove {
    /// Remove all containers
    #[arg(short, long)]
    all: bool,
    /// Remove the container whose ID is in a file
    #[arg(long, value_name = "strings")]
    cidfile: Vec<PathBuf>,
    /// Remove the containers that are in its namespaces, too
    #[arg(long)]
    depend: bool,
    /// Remove only what fits: filters of "ps"
    #[arg(long, value_name = "strings")]
    filter: Vec<String>,
    /// End containers that run, and do not mind those that are not there
    #[arg(short, long)]
    force: bool,
    /// Do not mind containers that are not there
    #[arg(short, long)]
    ignore: bool,
    /// Remove the container that was made last
    #[arg(short, long)]
    latest: bool,
    /// Accepted for old scripts: what is forced to end does so at once
    #[arg(short, long, hide = true, value_name = "int", allow_negative_numbers = true, value_parser = parse_int::<i64>)]
    #[allow(dead_code, reason = "what is forced to end does so at once")]
    time: Option<i64>,
    /// Remove volumes without a name that the container uses
    #[arg(short, long)]
    volumes: bool,
    #[arg(value_name = "CONTAINER")]
    names: Vec<String>,
}

impl Verb for Remove {
    const ABOUT: &'static str = "Remove containers";
    const OPERANDS: &'static str = "CONTAINER [CONTAINER...]";
    const COUNT: Count = Count::AtLeast(0);

    fn operands(&self) -> &[String] {
        &self.names
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        self.check()?;
        machine(session)?;
        let context = session.local_context()?;
        let names = self.chosen(&context)?;
        let options = RemoveOptions { force: self.force, volumes: self.volumes };
        // Podman's exit code of this alone.
        let absent = |name: &str, error| told(&missing(session.personality, name, error).to_string(), FAILED);
        let is_forgiven = self.force || self.ignore;
        let takes_others = self.depend || self.all;
        // All are looked up before the first goes.
        for name in names.iter().filter(|_| !is_forgiven) {
            match container::find(&context, name) {
                Err(error) if error.kind() == Kind::NotFound => return Err(absent(name, error)),
                _ => {}
            }
        }
        targets::each(&names, |name| {
            let record = match container::find(&context, name) {
                Err(error) if error.kind() == Kind::NotFound && (is_forgiven || takes_others) => return Ok(()),
                Err(error) if error.kind() == Kind::NotFound => return Err(absent(name, error)),
                found => found?,
            };
            if record.container.is_running() && !self.force {
                let what = format!("cannot remove container {} as it is running", record.container.id);
                let why = "running or paused containers cannot be removed without force: container state improper";
                return Err(told(&format!("{what} - {why}"), RUNS));
            }
            // The others would have nothing to join when they start.
            let others = joined_by(&context, &record)?;
            if !others.is_empty() && !takes_others {
                return Err(joined(&record, &others));
            }
            for other in others.iter().rev() {
                container::remove(&context, other, options)?;
                session.console.line(&other.container.id);
            }
            container::remove(&context, &record, options)?;
            session.console.line(name);
            Ok(())
        })
    }
}

/// The containers that are in a container's namespaces, and those that are in theirs: each after whom it has joined.
fn joined_by(context: &Context, record: &Record) -> Outcome<Vec<Record>> {
    let all = container::list(context)?;
    let mut found: Vec<Record> = Vec::new();
    let (mut next, mut joined) = (0, record.container.id.clone());
    loop {
        let is_new = |other: &&Record| {
            container::joins(other, &joined) && !found.iter().any(|known| known.container.id == other.container.id)
        };
        let more: Vec<Record> = all.iter().filter(is_new).cloned().collect();
        found.extend(more);
        let Some(other) = found.get(next) else { return Ok(found) };
        joined.clone_from(&other.container.id);
        next += 1;
    }
}

fn joined(record: &Record, others: &[Record]) -> Failure {
    let others: Vec<&str> = others.iter().map(|other| other.container.id.as_str()).collect();
    let (id, others) = (&record.container.id, others.join(", "));
    let why = "has dependent containers which must be removed before it";
    Failure::Client(format!("container {id} {why}: {others}: container already exists"))
}

impl Remove {
    fn check(&self) -> Outcome {
        let is_chosen = self.all || self.latest || !self.filter.is_empty();
        let refuse = |message: &str| Err(Failure::Client(message.to_owned()));
        match () {
            () if (self.all || self.latest) && !self.cidfile.is_empty() => {
                refuse("--all, --latest, and --cidfile cannot be used together")
            }
            () if self.all && self.latest => refuse("--all and --latest cannot be used together"),
            () if !self.filter.is_empty() && !self.names.is_empty() => refuse("--filter takes no arguments"),
            () if self.all && !self.names.is_empty() => refuse("no arguments are needed with --all"),
            () if self.latest && !self.names.is_empty() => refuse("--latest and containers cannot be used together"),
            () if !is_chosen && self.cidfile.is_empty() && self.names.is_empty() => {
                refuse("you must provide at least one name or id")
            }
            () => Ok(()),
        }
    }

    /// What is to be removed: names, IDs of files, the last one, or all.
    fn chosen(&self, context: &Context) -> Outcome<Vec<String>> {
        let mut names = self.names.clone();
        for path in &self.cidfile {
            match std::fs::metadata(path).map_err(|error| error.kind()) {
                Err(ErrorKind::NotFound) if self.ignore => continue,
                Err(ErrorKind::NotFound) => {
                    let message = format!("reading CIDFile: open {}: no such file or directory", path.display());
                    return Err(Failure::Client(message));
                }
                _ => {}
            }
            let bytes = read_limited(path, ID_FILE_BYTES_MAX)?;
            names.push(String::from_utf8_lossy(&bytes).lines().next().unwrap_or_default().to_owned());
        }
        if self.all || self.latest || !self.filter.is_empty() {
            let mut records = container::list(context)?;
            if self.latest && records.is_empty() {
                return Err(told("no such container", FAILED));
            }
            records.truncate(if self.latest { 1 } else { usize::MAX });
            retain(context, &mut records, &filters(&self.filter, refusal)?)?;
            names.extend(records.into_iter().map(|record| record.container.id));
        }
        Ok(names)
    }
}

fn told(message: &str, code: u8) -> Failure {
    Failure::Usage { message: format!("Error: {message}"), code }
}

/// The arguments of `container exists`.
#[derive(Args, Debug)]
pub(crate) struct Exists {
    /// Accepted for old scripts: nobody else makes containers here
    #[arg(long, hide = true)]
    #[allow(dead_code, reason = "a store has no containers but its own")]
    external: bool,
    #[arg(value_name = "CONTAINER")]
    names: Vec<String>,
}

impl Verb for Exists {
    const ABOUT: &'static str = "Tell by the exit code whether a container is here: 0 yes, 1 no, 125 cannot tell";
    const OPERANDS: &'static str = "CONTAINER";
    const COUNT: Count = Count::Exactly(1);

    fn operands(&self) -> &[String] {
        &self.names
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let Some(name) = self.names.first() else { return miscounted() };
        match container::find(&session.local_context()?, name) {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == Kind::NotFound => Err(Failure::Quiet(FAILED)),
            Err(error) => Err(error.into()),
        }
    }
}

/// What podman's `container inspect` says of a container that is not there.
pub(in crate::commands) fn uninspected(personality: Personality, name: &str, failure: Failure) -> Failure {
    match failure {
        Failure::Engine(error) if personality == Personality::Podman && error.kind() == Kind::NotFound => {
            Error::new(Kind::NotFound, format!("inspecting object: no such container {name}")).into()
        }
        failure => failure,
    }
}
