//! `cp` from one container to another, or within one, as podman has it.

use std::cmp::Ordering;

use dhow_base::beneath::Dir;
use dhow_base::{Error, Kind, Result};
use dhow_layer::diff::DiffOptions;
use dhow_layer::unpack::{IdMap, Owners};
use dhow_sandbox::container::user_in;

use super::place::{Access, Ready};
use super::{CopyOptions, InContainer, Source, check_writable};
use crate::container::Machine;
use crate::context::Context;
use crate::cp::{Copied, Failed, arrive};

/// Copies a file or directory of one container into another, or to another place of the same.
///
/// # Errors
/// As [`copy_to_archive`](super::copy_to_archive) and [`copy_into`](super::copy_into).
pub fn copy_between(
    context: &Context,
    from: InContainer<'_>,
    to: InContainer<'_>,
    machine: Machine,
    options: CopyOptions,
) -> Result<Copied, Failed> {
    let (target, other) = ready(context, from, to, machine)?;
    let target = target.open(machine, Access::Write)?;
    let other = other.map(|other| other.open(machine, Access::Read)).transpose()?;
    let place = other.as_ref().unwrap_or(&target);
    let source = place.source(from.path, options.follow_link)?;
    let shown = format!("{}:{}", to.named, to.path);
    let (landing, name) = target.target(to.path)?.landing(&target, to.path, source.moved())?;
    check_writable(&target, &landing, &shown)?;
    check_outside(&source, &landing, from, &shown)?;
    let owners = if machine.may_own() { Owners::Keep(IdMap::default()) } else { Owners::Caller };
    let owner = match options.archive {
        true => Some(user_in(&target.root, &target.user)?),
        false => None,
    };
    let diff = DiffOptions { owner, ..DiffOptions::default() };
    Ok(arrive(&landing, owners, options.clash, &format!("{shown:?}"), |output| {
        place.write(&source, name.as_deref(), diff, output)
    })?)
}

/// Both containers, the target first; of one that copies within itself the target alone, as a container is held once. The one with the lower
/// ID is waited for first: nobody waits in a circle.
fn ready<'a>(
    context: &'a Context,
    from: InContainer<'a>,
    to: InContainer<'a>,
    machine: Machine,
) -> Result<(Ready<'a>, Option<Ready<'a>>)> {
    let ready = |at| Ready::take(context, at, machine);
    Ok(match from.record.container.id.cmp(&to.record.container.id) {
        Ordering::Equal => (ready(to)?, None),
        Ordering::Less => {
            let other = ready(from)?;
            (ready(to)?, Some(other))
        }
        Ordering::Greater => (ready(to)?, Some(ready(from)?)),
    })
}

/// Refuses to copy a directory into itself: what is copied would grow while it is read.
fn check_outside(source: &Source, landing: &Dir, from: InContainer<'_>, shown: &str) -> Result<()> {
    let cannot = |error| Error::io(format_args!("cannot copy to {shown:?}"), error);
    if !source.is_directory {
        return Ok(());
    }
    let Some(stat) = source.directory.stat_of(&source.name).map_err(cannot)? else { return Ok(()) };
    match landing.is_at_or_below(stat.identity).map_err(cannot)? {
        true => {
            let what = format!("{}:{}", from.named, from.path);
            Err(Error::new(Kind::Invalid, format!("cannot copy directory {what:?} into itself, {shown:?}")))
        }
        false => Ok(()),
    }
}
