//! `mount` and `unmount` of containers, as podman has them; a name that no container has may be an image's.

use std::path::PathBuf;

use clap::Args;
use dhow_base::{Error, Kind};
use dhow_ops::Context;
use dhow_ops::container::{self, MountedContainer, Record};
use serde_json::{Value, json};

use super::super::mount::{of_image, unmount_image, warned_of_dead};
use super::super::targets;
use super::{machine_for, missing, newest};
use crate::errors::{Failure, Outcome};
use crate::format::podman;
use crate::personality::Personality;
use crate::session::Session;
use crate::verb::{Count, Operands, Verb};

/// The arguments of `mount`.
#[derive(Args, Debug)]
pub(crate) struct Mount {
    /// Mount all containers
    #[arg(short, long)]
    all: bool,
    /// Write as "json"
    #[arg(long, value_name = "string", default_value = "")]
    format: String,
    /// Mount the container that was made last
    #[arg(short, long)]
    latest: bool,
    /// Show whole IDs
    #[arg(long, alias = "notruncate")]
    no_trunc: bool,
    #[arg(value_name = "CONTAINER")]
    names: Vec<String>,
}

/// Something that is mounted.
struct Mounted {
    id: String,
    /// What tables show.
    shown: String,
    names: Vec<String>,
    path: PathBuf,
}

impl Verb for Mount {
    const ABOUT: &'static str = "Mount the files of containers and show where, or show what is mounted";
    const OPERANDS: &'static str = "[CONTAINER...]";
    const COUNT: Count = Count::AtLeast(0);
    const NAMES: Operands = Operands::Containers;

    fn operands(&self) -> &[String] {
        &self.names
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        check_names(self.all, self.latest, &self.names)?;
        if !matches!(self.format.as_str(), "" | "json") {
            return Err(Failure::Client(format!("unknown --format argument: {:?}", self.format)));
        }
        let context = session.local_context()?;
        let is_list = !self.all && !self.latest && self.names.is_empty();
        let mut mounted = Vec::new();
        let names = if self.latest { vec![newest(&context)?.container.id] } else { self.names.clone() };
        let mut failure = Ok(());
        match (is_list, self.all) {
            (true, _) => mounted = self.list(session, &context)?,
            (false, true) => {
                failure = targets::each(container::list(&context)?, |record| {
                    mounted.push(of_container(session, &context, &record)?);
                    Ok(())
                });
            }
            (false, false) => {
                failure = targets::each(&names, |name| {
                    mounted.push(mount(session, &context, name)?);
                    Ok(())
                });
            }
        }
        if self.format == "json" {
            let rows: Vec<Value> = mounted.iter().map(document).collect();
            session.console.line(podman::indented(&rows, " ")?);
            return failure;
        }
        let width = mounted.iter().map(|mounted| mounted.shown.len()).max().unwrap_or(0);
        for Mounted { shown, path, .. } in &mounted {
            let path = path.display();
            session.console.line(if is_list { format!("{shown:width$}  {path}") } else { path.to_string() });
        }
        failure
    }
}

impl Mount {
    /// Containers first; images only where the name of one could be given.
    fn list(&self, session: &Session<'_>, context: &Context) -> Outcome<Vec<Mounted>> {
        let is_whole = self.no_trunc || self.format == "json";
        let shown = |record: &Record| match is_whole {
            true => record.container.id.clone(),
            false => record.container.short_id().to_owned(),
        };
        let containers = container::mounted(context)?.into_iter();
        let mut mounted: Vec<Mounted> = containers
            .map(|MountedContainer { record, path }| Mounted { shown: shown(&record), ..described(&record, path) })
            .collect();
        if takes_images(session) {
            for image in warned_of_dead(session, context)? {
                mounted.push(described_image(context, image)?);
            }
        }
        Ok(mounted)
    }
}

/// The arguments of `unmount`.
#[derive(Args, Debug)]
pub(crate) struct Unmount {
    /// Unmount all containers
    #[arg(short, long)]
    all: bool,
    /// Unmount however often a container was mounted, and even if it is in use
    #[arg(short, long)]
    force: bool,
    /// Unmount the container that was made last
    #[arg(short, long)]
    latest: bool,
    #[arg(value_name = "CONTAINER")]
    names: Vec<String>,
}

impl Verb for Unmount {
    const ABOUT: &'static str = "Unmount containers";
    const OPERANDS: &'static str = "CONTAINER [CONTAINER...]";
    const COUNT: Count = Count::AtLeast(0);
    const NAMES: Operands = Operands::Containers;

    fn operands(&self) -> &[String] {
        &self.names
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        check_names(self.all, self.latest, &self.names)?;
        if !self.all && !self.latest && self.names.is_empty() {
            return Err(Failure::Client("you must provide at least one name or id".to_owned()));
        }
        let context = session.local_context()?;
        if self.all {
            return targets::each(container::mounted(&context)?, |mounted| {
                container::unmount(&context, &mounted.record, self.force)?;
                session.console.line(mounted.record.container.id);
                Ok(())
            });
        }
        let names = if self.latest { vec![newest(&context)?.container.id] } else { self.names.clone() };
        targets::each(&names, |name| {
            match container::find(&context, name) {
                Ok(record) => container::unmount(&context, &record, self.force)?,
                Err(error) if is_image(session, &context, name, &error) => unmount_image(&context, name, self.force)?,
                Err(error) => return Err(missing(session.personality, name, error).into()),
            }
            session.console.line(name);
            Ok(())
        })
    }
}

fn check_names(all: bool, latest: bool, names: &[String]) -> Outcome {
    let refuse = |why: &str| Err(Failure::Client(why.to_owned()));
    match () {
        () if all && latest => refuse("--all and --latest cannot be used together"),
        () if latest && !names.is_empty() => refuse("--latest and containers cannot be used together"),
        () if all && !names.is_empty() => refuse("no arguments are needed with --all"),
        () => Ok(()),
    }
}

fn mount(session: &Session<'_>, context: &Context, name: &str) -> Outcome<Mounted> {
    if session.personality == Personality::Podman {
        may_mount(session)?;
    }
    match container::find(context, name) {
        Ok(record) => of_container(session, context, &record),
        Err(error) if is_image(session, context, name, &error) => {
            described_image(context, of_image(session, context, name)?)
        }
        Err(error) => Err(missing(session.personality, name, error).into()),
    }
}

fn of_container(session: &Session<'_>, context: &Context, record: &Record) -> Outcome<Mounted> {
    may_mount(session)?;
    let path = container::mount(context, record, machine_for(session, record)?)?;
    Ok(described(record, path))
}

fn described(record: &Record, path: PathBuf) -> Mounted {
    let id = record.container.id.clone();
    Mounted { shown: id.clone(), id, names: record.container.name.iter().cloned().collect(), path }
}

fn described_image(context: &Context, image: dhow_ops::mount::Mounted) -> Outcome<Mounted> {
    let names = dhow_ops::mount::references(context, &image)?;
    Ok(Mounted { id: image.id.as_str().to_owned(), shown: image.name, names, path: image.path })
}

/// As podman has it.
fn document(mounted: &Mounted) -> Value {
    json!({ "id": mounted.id, "Names": mounted.names, "mountpoint": mounted.path })
}

/// Refuses who is not root, and not in a user namespace that stays: one of this command's own would take the mount along when it ends.
fn may_mount(session: &Session<'_>) -> Outcome {
    let environment = &session.environment;
    if environment.user == 0 || environment.in_user_namespace.is_some() {
        return Ok(());
    }
    let program = session.personality.program();
    if session.personality == Personality::Podman {
        let message =
            format!("cannot run command {:?} in rootless mode, must execute `podman unshare` first", session.path);
        return Err(Failure::Client(message));
    }
    let message = format!(
        "mounting a container takes root's rights, or `{program} unshare`: in the shell that it starts, `{program} mount` \
         shows the files until the shell ends"
    );
    Err(Error::new(Kind::Denied, message)
        .with_hint(format!("`{program} cp`, `diff` and `export` look into containers without a mount"))
        .into())
}

/// Whether a name that no container has is taken for an image's, which podman does not do.
fn is_image(session: &Session<'_>, context: &Context, name: &str, error: &Error) -> bool {
    takes_images(session) && error.kind() == Kind::NotFound && container::image_of(context, name).is_ok()
}

fn takes_images(session: &Session<'_>) -> bool {
    session.personality != Personality::Podman
}
