//! `volume` of podman

mod files;
mod filter;
mod shown;

use clap::Args;
use dhow_base::Kind;
use dhow_ops::Context;
use dhow_ops::container::{self, NewVolume, RemoveOptions, VolumeDetails, VolumeOptions};
use dhow_ops::strconv::parse_int;
use dhow_template::Type;

use super::super::container::machine;
use super::super::targets;
use super::super::volume::{LOCAL, labels, operand};
use super::container::NAMES;
use super::filters;
use super::inspect::{fill, told};
use super::prune::{confirm, refusal};
use crate::errors::{FAILED, Failure, Outcome};
use crate::format::podman::{self, Filled, Report};
use crate::session::Session;
use crate::verb::{Count, Operands, Verb, miscounted};
use files::not_found;
pub(crate) use files::{Export, Import, Mount, Unmount};
use filter::chosen;
pub(super) use shown::{Shown, shown};

/// Exit code of podman's for a volume that a container uses.
const IN_USE: u8 = 2;

/// By how much podman indents what it inspects.
const INDENT: &str = "     ";

const LISTED: Report = Report {
    name: "ls",
    row: Type::Named("*entities.VolumeListReport"),
    headers: &[
        ("CreatedAt", "CREATED AT"),
        ("Driver", "DRIVER"),
        ("Labels", "LABELS"),
        ("MountCount", "MOUNT COUNT"),
        ("Mountpoint", "MOUNTPOINT"),
        ("Name", "VOLUME NAME"),
        ("NeedsChown", "NEEDS CHOWN"),
        ("NeedsCopyUp", "NEEDS COPY UP"),
        ("Options", "OPTIONS"),
        ("Scope", "SCOPE"),
    ],
};

/// The arguments of `volume create`.
#[derive(Args, Debug)]
pub(crate) struct Create {
    /// Driver of the volume; there is "local" only
    #[arg(short, long, value_name = "string", default_value = "local", hide_default_value = true)]
    driver: String,
    /// Take a volume that has the name already
    #[arg(long)]
    ignore: bool,
    /// Set labels on the volume
    #[arg(short, long, value_name = "stringArray")]
    label: Vec<String>,
    /// What the volume is: "type=none", "o=bind" and "device=/path" for a directory of this machine, "type=tmpfs" for memory
    #[arg(short, long, value_name = "stringArray")]
    opt: Vec<String>,
    /// The user whom the volume belongs to
    #[arg(long, value_name = "int", value_parser = parse_int::<u32>)]
    uid: Option<u32>,
    /// The group that the volume belongs to
    #[arg(long, value_name = "int", value_parser = parse_int::<u32>)]
    gid: Option<u32>,
    #[arg(value_name = "NAME")]
    names: Vec<String>,
}

impl Verb for Create {
    const ABOUT: &'static str = "Make a volume";
    const OPERANDS: &'static str = "[NAME]";
    const COUNT: Count = Count::AtMost(1);

    fn operands(&self) -> &[String] {
        &self.names
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let name = operand(&self.names);
        if self.driver != LOCAL {
            let (name, driver) = (name.unwrap_or_default(), &self.driver);
            let why = format!("no volume plugin with name {driver} available: required plugin missing");
            let message = format!("volume {name} uses volume plugin {driver} but it could not be retrieved: {why}");
            return Err(Failure::Client(message));
        }
        for (given, called) in [(&self.label, "labels"), (&self.opt, "options")] {
            if let Some(label) = given.iter().find(|label| label.is_empty() || label.starts_with('=')) {
                return Err(Failure::Client(format!("unable to process {called}: invalid label format: {label:?}")));
            }
        }
        let options = VolumeOptions::podman(labels(&self.opt), self.uid, self.gid)?;
        machine(session)?;
        let context = session.local_context()?;
        if let Some(name) = name
            && container::volumes(&context)?.iter().any(|volume| volume.volume.name == name)
        {
            if self.ignore {
                session.console.line(name);
                return Ok(());
            }
            let message = format!("volume with name {name} already exists: volume already exists");
            return Err(Failure::Client(message));
        }
        let made = container::create_volume(&context, &NewVolume { name, labels: labels(&self.label), options });
        session.console.line(made.map_err(|error| match error.kind() {
            Kind::Invalid => Failure::Client(format!("running volume create option: {NAMES}")),
            _ => error.into(),
        })?);
        Ok(())
    }
}

/// The arguments of `volume ls`.
#[derive(Args, Debug)]
pub(crate) struct List {
    /// Show only what fits: "name", "label", "dangling", "driver", "scope", "until"
    #[arg(short, long, value_name = "stringArray")]
    filter: Vec<String>,
    /// Write as "json" or by a Go template, "table TEMPLATE" under a header
    #[arg(long, value_name = "string", default_value = "")]
    format: String,
    /// Leave the table's header out
    #[arg(short, long)]
    noheading: bool,
    /// Show names only
    #[arg(short, long)]
    quiet: bool,
    #[arg(hide = true)]
    operands: Vec<String>,
}

impl Verb for List {
    const ABOUT: &'static str = "List volumes";
    const OPERANDS: &'static str = "";
    const COUNT: Count = Count::Exactly(0);

    fn operands(&self) -> &[String] {
        &self.operands
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let context = session.local_context()?;
        let volumes = chosen(&context, &filters(&self.filter, refusal)?)?;
        let shown = shown(&context, &volumes)?;
        let console = session.console;
        if podman::is_json(&self.format) {
            // What is empty has a line of its own here, as podman's encoder leaves it.
            let text = podman::indented(&shown, "  ")?.replace(": {}", ": {\n      \n    }");
            console.line(text);
            return Ok(());
        }
        if self.quiet {
            volumes.iter().for_each(|volume| console.line(&volume.volume.name));
            return Ok(());
        }
        if !self.format.is_empty() {
            let rows = shown.iter().map(|shown| shown.value("*entities.VolumeListReport")).collect();
            let Filled { text, outcome } = LISTED.fill(&self.format, !self.noheading, rows)?;
            console.text(text);
            return outcome;
        }
        let rows: Vec<Vec<String>> =
            volumes.iter().map(|volume| vec![LOCAL.to_owned(), volume.volume.name.clone()]).collect();
        console.text(podman::table(&["DRIVER", "VOLUME NAME"], rows, !self.noheading));
        Ok(())
    }
}

/// The arguments of `volume inspect`.
#[derive(Args, Debug)]
pub(crate) struct Inspect {
    /// All volumes
    #[arg(short, long)]
    all: bool,
    /// Write as "json" or by a Go template
    #[arg(short, long, value_name = "string", default_value = "")]
    format: String,
    #[arg(value_name = "VOLUME")]
    names: Vec<String>,
}

impl Verb for Inspect {
    const ABOUT: &'static str = "Show everything that is known about volumes";
    const OPERANDS: &'static str = "VOLUME [VOLUME...]";
    const COUNT: Count = Count::AtLeast(0);
    const NAMES: Operands = Operands::Volumes;

    fn operands(&self) -> &[String] {
        &self.names
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        if self.all != self.names.is_empty() {
            return Err(Failure::Client("provide one or more volume names or use --all".to_owned()));
        }
        inspect(session, &self.format, &self.names)
    }
}

/// Shows volumes; without names all of them.
///
/// # Errors
/// Podman's words for those that are not there.
pub(super) fn inspect(session: &Session<'_>, format: &str, names: &[String]) -> Outcome {
    let context = session.local_context()?;
    let mut volumes = container::volumes(&context)?;
    let mut missing = Vec::new();
    if !names.is_empty() {
        let mut found = Vec::new();
        for name in names {
            match named(&volumes, name) {
                Ok(Some(volume)) => found.push(volume.clone()),
                Ok(None) => missing.push(format!("no such volume {name}")),
                Err(several) => return Err(Failure::Client(format!("inspecting volume {name}: {several}"))),
            }
        }
        volumes = found;
    }
    let shown = shown(&context, &volumes)?;
    if format.is_empty() || podman::is_json(format) {
        session.console.line(podman::indented(&shown, INDENT)?);
    } else {
        fill(session, format, shown.iter().map(|shown| shown.value("interface {}")).collect())?;
    }
    told(session, missing)
}

/// Finds a volume by its name, or by the beginning of it.
pub(super) fn named<'v>(volumes: &'v [VolumeDetails], name: &str) -> Result<Option<&'v VolumeDetails>, String> {
    if let Some(found) = volumes.iter().find(|volume| volume.volume.name == name) {
        return Ok(Some(found));
    }
    let mut matches = volumes.iter().filter(|volume| !name.is_empty() && volume.volume.name.starts_with(name));
    match (matches.next(), matches.next()) {
        (Some(_), Some(_)) => Err(format!("more than one result for volume name {name:?}: volume already exists")),
        (found, _) => Ok(found),
    }
}

/// The arguments of `volume rm`.
#[derive(Args, Debug)]
pub(crate) struct Remove {
    /// Remove all volumes
    #[arg(short, long)]
    all: bool,
    /// Remove containers that use the volumes, too, and do not mind volumes that are not there
    #[arg(short, long)]
    force: bool,
    /// Accepted for old scripts: what is forced to end does so at once
    #[arg(short, long, hide = true, value_name = "int", allow_negative_numbers = true, value_parser = parse_int::<i64>)]
    time: Option<i64>,
    #[arg(value_name = "VOLUME")]
    names: Vec<String>,
}

impl Verb for Remove {
    const ABOUT: &'static str = "Remove volumes";
    const OPERANDS: &'static str = "VOLUME [VOLUME...]";
    const COUNT: Count = Count::AtLeast(0);
    const NAMES: Operands = Operands::Volumes;

    fn operands(&self) -> &[String] {
        &self.names
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        if self.time.is_some() && !self.force {
            return Err(Failure::Client("--force option must be specified to use the --time option".to_owned()));
        }
        if self.all != self.names.is_empty() {
            return Err(Failure::Client("choose either one or more volumes or all".to_owned()));
        }
        machine(session)?;
        let context = session.local_context()?;
        let names = match self.all {
            true => container::volumes(&context)?.into_iter().map(|volume| volume.volume.name).collect(),
            false => self.names.clone(),
        };
        targets::each(&names, |name| self.remove(session, &context, name))
    }
}

impl Remove {
    fn remove(&self, session: &Session<'_>, context: &Context, name: &str) -> Outcome {
        let volumes = container::volumes(context)?;
        let Some(volume) = named(&volumes, name).map_err(Failure::Client)? else {
            let message = format!("Error: {}", not_found(name));
            return if self.force { Ok(()) } else { Err(Failure::Usage { message, code: FAILED }) };
        };
        let name = &volume.volume.name;
        let containers = container::list(context)?;
        let users: Vec<_> = containers.iter().filter(|record| container::uses_volume(record, name)).collect();
        if self.force {
            for record in users {
                container::remove(context, record, RemoveOptions { force: true, volumes: false })?;
            }
        } else if !users.is_empty() {
            let users: Vec<&str> = users.iter().map(|record| record.container.id.as_str()).collect();
            let what = format!("volume {name} is being used by the following container(s): {}", users.join(", "));
            return Err(Failure::Usage { message: format!("Error: {what}: volume is being used"), code: IN_USE });
        }
        container::remove_volume(context, name)?;
        session.console.line(name);
        Ok(())
    }
}

/// The arguments of `volume prune`.
#[derive(Args, Debug)]
pub(crate) struct Prune {
    /// Remove only what fits: "label=KEY=VALUE", "label!=KEY", "until=24h"
    #[arg(long, value_name = "stringArray")]
    filter: Vec<String>,
    /// Do not ask
    #[arg(short, long)]
    force: bool,
    #[arg(hide = true)]
    operands: Vec<String>,
}

impl Verb for Prune {
    const ABOUT: &'static str = "Remove all volumes that no container uses";
    const OPERANDS: &'static str = "";
    const COUNT: Count = Count::Exactly(0);

    fn operands(&self) -> &[String] {
        &self.operands
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        machine(session)?;
        let filters = filters(&self.filter, refusal)?;
        let known = |name: &str| matches!(name, "label" | "label!" | "until" | "since" | "after");
        if let Some((name, _)) = filters.iter().find(|(name, _)| !known(name)) {
            return Err(Failure::Client(format!("{name:?} is an invalid volume filter")));
        }
        let context = session.local_context()?;
        if !self.force {
            let warning = "WARNING! This will remove all volumes not used by at least one container. \
                           The following volumes will be removed:";
            let unused: Vec<String> = chosen(&context, &filters)?
                .into_iter()
                .filter(|volume| volume.volume.links == 0)
                .map(|volume| volume.volume.name)
                .collect();
            if unused.is_empty() {
                session.console.line(warning);
                session.console.line("No dangling volumes found");
                return Ok(());
            }
            if !confirm(session, &format!("{warning}\n{}", unused.join("\n")))? {
                return Ok(());
            }
        }
        let pruned = container::prune_volumes(&context, true, &filters)?;
        pruned.removed.iter().for_each(|name| session.console.line(name));
        Failure::of(pruned.failures)
    }
}

/// The arguments of `volume exists`.
#[derive(Args, Debug)]
pub(crate) struct Exists {
    #[arg(value_name = "VOLUME")]
    names: Vec<String>,
}

impl Verb for Exists {
    const ABOUT: &'static str = "Tell by the exit code whether a volume is here: 0 yes, 1 no, 125 cannot tell";
    const OPERANDS: &'static str = "VOLUME";
    const COUNT: Count = Count::Exactly(1);
    const NAMES: Operands = Operands::Volumes;

    fn operands(&self) -> &[String] {
        &self.names
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let [name] = self.names.as_slice() else { return miscounted() };
        let volumes = container::volumes(&session.local_context()?)?;
        let is_here = volumes.iter().any(|volume| volume.volume.name == *name);
        if is_here { Ok(()) } else { Err(Failure::Quiet(FAILED)) }
    }
}

/// The arguments of `volume reload`.
#[derive(Args, Debug)]
pub(crate) struct Reload {
    #[arg(hide = true)]
    operands: Vec<String>,
}

impl Verb for Reload {
    const ABOUT: &'static str = "Accepted for old scripts: there are no plugins that could have more volumes";
    const OPERANDS: &'static str = "";
    const COUNT: Count = Count::Exactly(0);

    fn operands(&self) -> &[String] {
        &self.operands
    }

    fn run(self, _: &Session<'_>) -> Outcome {
        Ok(())
    }
}
