//! `image mount` and `image unmount`: an image as a read-only directory of this machine.

mod ways;

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use dhow_base::{Kind, Result};
use dhow_sandbox::{MountPoint, mount_points, unmount as unmount_path};
use dhow_spec::Digest;
use dhow_store::{Found, MountRecord, MountedBy, Mounts, Store};

use crate::content_error::explain;
use crate::context::Context;

pub use dhow_sandbox::Server;
pub use ways::Way;

/// A mounted image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mounted {
    /// What it was called, or its first name when lists show it.
    pub name: String,
    /// Its ID.
    pub id: Digest,
    /// The directory.
    pub path: PathBuf,
}

/// What to mount, and how.
#[derive(Clone, Debug)]
pub struct MountRequest {
    /// Names or IDs.
    pub names: Vec<String>,
    /// All images.
    pub all: bool,
    /// What is tried, in order.
    pub ways: Vec<Way>,
    /// How to start what serves a mount over FUSE: [`serve`].
    pub server: Server,
}

/// What to unmount.
#[derive(Clone, Debug, Default)]
pub struct UnmountRequest {
    /// Names or IDs.
    pub names: Vec<String>,
    /// All that are mounted.
    pub all: bool,
    /// Unmounts however often an image was mounted, and even if it is in use.
    pub force: bool,
}

/// What is mounted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listed {
    /// By ID.
    pub mounted: Vec<Mounted>,
    /// What would be mounted if the process that served it were not dead.
    pub dead: Vec<Mounted>,
}

/// Mounts images. One that is mounted already is counted once more.
///
/// # Errors
/// Those of finding and unpacking images; [`Kind::Unsupported`] where nothing can be mounted, with a way out.
pub fn mount(context: &Context, request: &MountRequest) -> Result<Vec<Mounted>> {
    let store = context.store()?;
    let names: Vec<String> = if request.all { all_images(store)? } else { request.names.clone() };
    let mounts = store.change_mounts()?;
    clean(store, &mounts)?;
    let mut mounted = Vec::new();
    for name in names {
        let found = context.find(&name)?;
        let path = mount_one(store, &mounts, &found, request).map_err(|error| match error.kind() {
            Kind::Unsupported => error.context(format_args!("cannot mount image {name}")),
            _ => explain(&name, error),
        })?;
        mounted.push(Mounted { name, id: found.image_id, path });
    }
    Ok(mounted)
}

/// Serves a mount over FUSE until it is unmounted: what [`MountRequest::server`] has to do with the two arguments that are added.
///
/// # Errors
/// Those of the mount.
pub fn serve(target: &Path, lock: &Path) -> Result<()> {
    dhow_sandbox::serve(target, lock)
}

fn all_images(store: &Store) -> Result<Vec<String>> {
    Ok(store.images()?.into_iter().map(|image| image.id.as_str().to_owned()).collect())
}

/// The full names with tags of a mounted image: for those who show them, since a mount takes hardly longer than that question.
///
/// # Errors
/// Those of the database.
pub fn references(context: &Context, mounted: &Mounted) -> Result<Vec<String>> {
    names(context.store()?, &mounted.id)
}

fn names(store: &Store, id: &Digest) -> Result<Vec<String>> {
    Ok(store.references_of(id)?.iter().map(ToString::to_string).collect())
}

fn mount_one(store: &Store, mounts: &Mounts<'_>, found: &Found, request: &MountRequest) -> Result<PathBuf> {
    let id = &found.image_id;
    if let Some(record) = mounts.record(id)? {
        // What is not there any more was cleaned away before.
        mounts.note(id, record.count.saturating_add(1), record.by)?;
        return Ok(store.mount_directory(id)?.join("merged"));
    }
    let directory = mounts.prepare(id)?;
    let done = show(store, found, request, &directory).and_then(|by| {
        let merged = directory.join("merged");
        mounts.note(id, 1, by).inspect_err(|_| drop(end(by, &merged, true)))?;
        Ok(merged)
    });
    if done.is_err() {
        let _ = mounts.forget(id);
    }
    done
}

/// Shows the files of an image in `merged` of its mount's directory.
fn show(store: &Store, found: &Found, request: &MountRequest, directory: &Path) -> Result<MountedBy> {
    if request.ways.first() == Some(&Way::Kernel) && ways::by_known_stack(store, found, directory) {
        return Ok(MountedBy::Kernel);
    }
    let layers = store.unpack(&found.image_id)?;
    ways::Shown { store, found, layers: &layers, directory, server: &request.server }.show(&request.ways)
}

/// Ends what shows an image. Its directory stays.
fn end(by: MountedBy, merged: &Path, force: bool) -> Result<()> {
    if by == MountedBy::Tree { Ok(()) } else { unmount_path(merged, force) }
}

/// The mounted images, by ID.
///
/// # Errors
/// Those of reading the kernel's table.
pub fn list(context: &Context) -> Result<Listed> {
    let store = context.store()?;
    let points = mount_points()?;
    let mut listed = Listed::default();
    for record in store.mount_records() {
        let path = store.mount_directory(&record.image_id)?.join("merged");
        let is_there = record.by == MountedBy::Tree || is_mounted(&points, &path);
        if !is_there {
            continue;
        }
        let name = names(store, &record.image_id)?.into_iter().next();
        let name = name.unwrap_or_else(|| record.image_id.as_str().to_owned());
        let list = if store.is_served(&record) { &mut listed.mounted } else { &mut listed.dead };
        list.push(Mounted { name, id: record.image_id, path });
    }
    Ok(listed)
}

fn is_mounted(points: &[MountPoint], path: &Path) -> bool {
    points.iter().any(|point| point.path == path)
}

/// Unmounts images: each once, or whatever was mounted how often it was. What is of no use any more, since the process that
/// served it is dead, is taken away whole. Returns the IDs; an image that is not mounted is left out, as podman leaves it.
///
/// # Errors
/// [`Kind::NotFound`] for an image that is neither here nor mounted, [`Kind::Conflict`] for one that is in use.
pub fn unmount(context: &Context, request: &UnmountRequest) -> Result<Vec<Digest>> {
    let store = context.store()?;
    let mounts = store.change_mounts()?;
    let records = store.mount_records();
    let dead = clean(store, &mounts)?;
    let ids: Vec<Digest> = match request.all {
        true => {
            let left = records.iter().filter(|record| dead.contains(&record.image_id) || mounts_it(&mounts, record));
            left.map(|record| record.image_id.clone()).collect()
        }
        false => {
            let find = |name: &String| find_mounted(context, &records, name);
            request.names.iter().map(find).collect::<Result<Vec<_>>>()?
        }
    };
    let mut unmounted = Vec::new();
    for id in ids {
        match mounts.record(&id)? {
            None if dead.contains(&id) => {}
            None => continue,
            Some(record) if record.count > 1 && !request.force && !request.all => {
                mounts.note(&id, record.count - 1, record.by)?;
            }
            Some(record) => {
                end(record.by, &store.mount_directory(&id)?.join("merged"), request.force)?;
                mounts.forget(&id)?;
            }
        }
        unmounted.push(id);
    }
    Ok(unmounted)
}

fn mounts_it(mounts: &Mounts<'_>, record: &MountRecord) -> bool {
    mounts.record(&record.image_id).is_ok_and(|record| record.is_some())
}

/// The image that a name stands for; also one that is only here as a mount any more, by its ID or the beginning of it.
fn find_mounted(context: &Context, records: &[MountRecord], name: &str) -> Result<Digest> {
    let error = match context.find(name) {
        Ok(found) => return Ok(found.image_id),
        Err(error) => error,
    };
    let is_meant = |record: &&MountRecord| {
        let id = &record.image_id;
        !name.is_empty() && (id.as_str().starts_with(name) || id.hex().starts_with(name))
    };
    let mut meant = records.iter().filter(is_meant);
    match (meant.next(), meant.next()) {
        (Some(record), None) if error.kind() == Kind::NotFound => Ok(record.image_id.clone()),
        _ => Err(error),
    }
}

/// Ends the mounts of images that are not here any more, as podman does when an image goes. Whoever works in one keeps it
/// until they are done. What fails is left for `image unmount`.
pub(crate) fn end_removed(store: &Store) {
    let ended = || -> Result<()> {
        let is_gone = |record: &MountRecord| matches!(store.find(record.image_id.as_str()), Err(error) if error.kind() == Kind::NotFound);
        if !store.mount_records().iter().any(is_gone) {
            return Ok(());
        }
        let mounts = store.change_mounts()?;
        clean(store, &mounts)?;
        for record in store.mount_records().iter().filter(|record| is_gone(record) && store.sees_mount(record)) {
            end(record.by, &store.mount_directory(&record.image_id)?.join("merged"), true)?;
            mounts.forget(&record.image_id)?;
        }
        Ok(())
    };
    if let Err(error) = ended() {
        tracing::warn!("the mount of a removed image stays: {error}");
    }
}

/// Takes away what a crash or the end of the machine's last run left. Returns the images whose process was dead.
fn clean(store: &Store, mounts: &Mounts<'_>) -> Result<HashSet<Digest>> {
    let directories = mounts.directories();
    // The kernel's table may be long, and mostly nothing is mounted.
    let points = if directories.is_empty() { Vec::new() } else { mount_points()? };
    let mut dead = HashSet::new();
    for (id, directory) in directories {
        let record = mounts.record(&id)?;
        if record.as_ref().is_some_and(|record| !store.sees_mount(record) || record.by == MountedBy::Tree) {
            continue;
        }
        let merged = directory.join("merged");
        if let Some(record) = record.filter(|_| is_mounted(&points, &merged)) {
            if store.is_served(&record) {
                continue;
            }
            dead.insert(id.clone());
        }
        for point in points.iter().rev().filter(|point| point.path.starts_with(&directory)) {
            unmount_path(&point.path, true)?;
        }
        mounts.forget(&id)?;
    }
    Ok(dead)
}
