//! Volumes: directories that outlive containers.

use std::collections::BTreeMap;
use std::path::PathBuf;

use dhow_base::beneath::{Dir, set_mode};
use dhow_base::fs::create_dir_all;
use dhow_base::{Error, Kind, Result};
use dhow_store::{Store, Volume};
use serde_json::json;

use super::names::{check_length, check_named};
use super::volume_fill::{discard_unknown, hold};
use super::{Pruned, change_volumes, discard, new_id, now, root};
use crate::context::Context;
use crate::df::Configuration;
use crate::filter::{LabelTest, Term, parse_past, unknown};
use crate::naming::Naming;
use crate::prune;

/// A volume as lists show it.
#[derive(Clone, Debug)]
pub struct VolumeDetails {
    /// Its record.
    pub volume: Volume,
    /// Free-form information.
    pub labels: BTreeMap<String, String>,
    /// Where its files are.
    pub directory: String,
}

/// Makes a volume, unless it is there. Returns its name.
///
/// # Errors
/// [`Kind::Invalid`] in docker's words for what is no name.
pub fn create_volume(context: &Context, name: Option<&str>, labels: &BTreeMap<String, String>) -> Result<String> {
    let store = context.store()?;
    let anonymous = name.is_none();
    let name = match name {
        Some(name) => name.to_owned(),
        None => new_id()?,
    };
    check_named(&name)?;
    check_length(context.naming(), &name).map_err(|error| error.context(format_args!("create {name}")))?;
    let is_known = || -> Result<bool> { Ok(store.volumes()?.iter().any(|volume| volume.name == name)) };
    if is_known()? {
        return Ok(name);
    }
    store.require_writable().map_err(|error| error.context("cannot create a volume"))?;
    let _held = hold(store, [name.as_str()])?;
    // Somebody may have made it meanwhile, whose labels stay.
    if !is_known()? {
        discard_unknown(store, &name)?;
        data(store, &name)?;
        let labels = super::volume_fill::labels(context.naming(), labels, anonymous);
        let configuration = json!({ "Labels": labels }).to_string();
        let volume = Volume { name: name.clone(), anonymous, created: now(), configuration, links: 0 };
        store.update(|update| update.put_volume(&volume, &[]))?;
    }
    Ok(name)
}

/// The directory of a volume's files. A new one can be read by every user of a container, as docker's and podman's.
pub(super) fn data(store: &Store, name: &str) -> Result<PathBuf> {
    let data = root(store, "volumes")?.join(name).join("_data");
    if !data.exists() {
        create_dir_all(&data)?;
        let made = Dir::open(&data).and_then(|open| set_mode(open, 0o755));
        made.map_err(|error| Error::io(format_args!("cannot change {data:?}"), error))?;
    }
    Ok(data)
}

/// All volumes by name.
///
/// # Errors
/// Those of the store.
pub fn volumes(context: &Context) -> Result<Vec<VolumeDetails>> {
    let store = context.store()?;
    let folder = root(store, "volumes")?;
    let described = |volume: Volume| VolumeDetails {
        labels: Configuration::parse(&volume.configuration).labels,
        directory: folder.join(&volume.name).join("_data").to_string_lossy().into_owned(),
        volume,
    };
    Ok(store.volumes()?.into_iter().map(described).collect())
}

/// Whether nothing is in a volume.
pub fn is_empty_volume(volume: &VolumeDetails) -> bool {
    std::fs::read_dir(&volume.directory).is_ok_and(|mut files| files.next().is_none())
}

/// Finds a volume.
///
/// # Errors
/// [`Kind::NotFound`] in docker's words.
pub fn volume(context: &Context, name: &str) -> Result<VolumeDetails> {
    let found = volumes(context)?.into_iter().find(|volume| volume.volume.name == name);
    found.ok_or_else(|| unknown_volume(name))
}

fn unknown_volume(name: &str) -> Error {
    Error::new(Kind::NotFound, format!("get {name}: no such volume"))
}

/// Removes a volume.
///
/// # Errors
/// [`Kind::NotFound`] and [`Kind::Conflict`] in docker's words.
pub fn remove_volume(context: &Context, name: &str) -> Result<()> {
    let store = context.store()?;
    volume(context, name)?;
    super::recover(store)?;
    let _lock = change_volumes(store)?;
    let users = store.containers()?;
    let users: Vec<&str> = users
        .iter()
        .filter(|record| super::uses_volume(record, name))
        .map(|record| record.container.id.as_str())
        .collect();
    if !users.is_empty() {
        let message = format!("remove {name}: volume is in use - [{}]", users.join(", "));
        return Err(Error::new(Kind::Conflict, message));
    }
    if !store.update(|update| update.remove_volume(name))? {
        return Err(unknown_volume(name));
    }
    discard(&root(store, "volumes")?.join(name))
}

/// Removes volumes that no container uses: those that got their names by chance, or all of them.
///
/// # Errors
/// [`Kind::Invalid`] in docker's words for filters; those of the store.
pub fn prune_volumes(context: &Context, all: bool, filters: &[Term]) -> Result<Pruned> {
    let terms = prune::filters(context, filters)?;
    let (mut labels, mut until, mut since, mut all) = (Vec::new(), None, None::<i64>, all);
    for (name, value) in &terms {
        match name.as_str() {
            "label" => labels.push(LabelTest::new(value, true)),
            "label!" => labels.push(LabelTest::new(value, false)),
            // Docker's engine knows none of volumes.
            "until" if context.naming() == Naming::Podman => until = Some(parse_past(value, now())?),
            "since" | "after" if context.naming() == Naming::Podman => {
                let made = volume(context, value)?.volume.created;
                since = Some(since.map_or(made, |first| first.min(made)));
            }
            "all" => all = matches!(value.as_str(), "1" | "true"),
            _ => return Err(unknown(name)),
        }
    }
    let store = context.store()?;
    super::recover(store)?;
    let _lock = change_volumes(store)?;
    let gone = store.update(|update| {
        let mut gone = Vec::new();
        for volume in update.volumes()? {
            let known = Configuration::parse(&volume.configuration).labels;
            let in_time =
                until.is_none_or(|until| volume.created < until) && since.is_none_or(|since| since < volume.created);
            let fits = labels.iter().all(|test| test.takes(&known)) && in_time;
            if volume.links == 0 && (all || volume.anonymous) && fits {
                update.remove_volume(&volume.name)?;
                gone.push(volume.name);
            }
        }
        Ok(gone)
    })?;
    let mut pruned = Pruned::default();
    for name in gone {
        let bytes = store.directory_use("volumes", &name);
        match discard(&root(store, "volumes")?.join(&name)) {
            Ok(()) => {
                pruned.reclaimed_bytes += bytes;
                pruned.removed.push(name);
            }
            Err(error) => pruned.failures.push(error),
        }
    }
    Ok(pruned)
}
