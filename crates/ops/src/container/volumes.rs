//! Volumes: directories that outlive containers.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use dhow_base::beneath::{Dir, set_mode, set_owner};
use dhow_base::fs::create_dir_all;
use dhow_base::{Error, Kind, Result};
use dhow_store::{Store, Volume};

use super::names::{check_length, check_named};
use super::volume_fill::{configuration, discard_unknown, hold};
use super::volume_options::VolumeOptions;
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
    /// What it was made with.
    pub options: VolumeOptions,
    /// The directory that it has in the store.
    pub directory: String,
}

/// A volume that is to be made.
#[derive(Clone, Debug, Default)]
pub struct NewVolume<'a> {
    /// Its name; by chance if there is none.
    pub name: Option<&'a str>,
    /// Free-form information.
    pub labels: BTreeMap<String, String>,
    /// What is said to its driver.
    pub options: VolumeOptions,
}

impl VolumeDetails {
    /// Where its files are while nothing runs.
    ///
    /// # Errors
    /// [`Kind::Unsupported`] for memory, which only a container that runs has.
    pub fn files(&self) -> Result<PathBuf> {
        let backing = self.options.backing()?;
        let files = backing.files(Path::new(&self.directory)).map(Path::to_owned);
        files.ok_or_else(|| {
            let message = format!("volume {} is in memory, which only a container that runs has", self.volume.name);
            Error::new(Kind::Unsupported, message)
        })
    }
}

/// Makes a volume, unless it is there. Returns its name.
///
/// # Errors
/// [`Kind::Invalid`] in docker's words for what is no name.
pub fn create_volume(context: &Context, new: &NewVolume<'_>) -> Result<String> {
    let store = context.store()?;
    let anonymous = new.name.is_none();
    let name = match new.name {
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
        give(&data(store, &name)?, &new.options)?;
        let configuration = configuration(context.naming(), &new.labels, &new.options, anonymous);
        let volume = Volume { name: name.clone(), anonymous, created: now(), configuration, links: 0 };
        store.update(|update| update.put_volume(&volume, &[]))?;
    }
    Ok(name)
}

/// Gives the directory of a new volume to whom it was said to belong.
fn give(data: &Path, options: &VolumeOptions) -> Result<()> {
    if !options.has_owner() {
        return Ok(());
    }
    let (uid, gid) = (options.uid.unwrap_or(0), options.gid.unwrap_or(0));
    let given = Dir::open(data).and_then(|open| set_owner(open, uid, gid));
    given.map_err(|error| Error::io(format_args!("cannot give {data:?} to {uid}:{gid}"), error))
}

/// What a volume was made with, if it is here.
pub(super) fn options_of(store: &Store, name: &str) -> Result<VolumeOptions> {
    let volume = store.volumes()?.into_iter().find(|volume| volume.name == name);
    Ok(volume.map(|volume| VolumeOptions::parse(&volume.configuration)).unwrap_or_default())
}

/// The directory that a volume has in the store. A new one can be read by every user of a container, as docker's and podman's.
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
        options: VolumeOptions::parse(&volume.configuration),
        directory: folder.join(&volume.name).join("_data").to_string_lossy().into_owned(),
        volume,
    };
    Ok(store.volumes()?.into_iter().map(described).collect())
}

/// Whether nothing is in a volume.
pub fn is_empty_volume(volume: &VolumeDetails) -> bool {
    let files = volume.files().and_then(|files| {
        std::fs::read_dir(&files).map_err(|error| Error::io(format_args!("cannot read {files:?}"), error))
    });
    files.is_ok_and(|mut files| files.next().is_none())
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
