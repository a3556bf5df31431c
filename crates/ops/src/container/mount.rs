//! `mount` and `unmount` of containers, as podman has them: all files of a container as a directory of this machine.
//!
//! Overlayfs promises nothing of files that are mounted twice. So whoever else needs the files of a container that is mounted takes a second
//! view of that mount, which the kernel's table tells of, and a container that runs is mounted as a view of what it has.

use std::path::{Path, PathBuf};

use dhow_base::{Error, Kind, Result};
use dhow_sandbox::container::{JustEnded, show, show_running};
use dhow_sandbox::{is_mount_namespace_in_use, mount_points, sees_all_users, unmount as unmount_path};
use dhow_store::{ContainerMount, Store};

use super::names::short_id;
use super::run::files;
use super::{Machine, Record, Turn, directory, recover};
use crate::context::Context;

/// A container that is mounted.
#[derive(Clone, Debug)]
pub struct MountedContainer {
    /// Its record.
    pub record: Record,
    /// The directory.
    pub path: PathBuf,
}

/// Mounts a container's files, without its volumes, so that they can be read and written. One that is mounted already is counted once more.
///
/// # Errors
/// [`Kind::Conflict`] when somebody else works on it or has it mounted where it is not seen from here; [`Kind::Unsupported`] where nothing can
/// be mounted.
pub fn mount(context: &Context, record: &Record, machine: Machine) -> Result<PathBuf> {
    let store = context.store()?;
    let id = &record.container.id;
    let name = record.container.name.as_deref().unwrap_or(record.container.short_id());
    Turn::open(store, record, name, |turn| {
        // After the container's own lock, as whoever removes it does.
        let mounts = store.change_mounts()?;
        if let Some(path) = place(store, id)? {
            let count = store.container_mount(id).map_or(0, |mount| mount.count);
            mounts.note_container(id, count.saturating_add(1), machine.in_user_namespace)?;
            return Ok(path);
        }
        // Before it is there: whatever becomes of this process, the mount is known.
        mounts.note_container(id, 1, machine.in_user_namespace)?;
        let point = store.container_mount_point(id)?;
        let shown = show_at(store, record, machine, turn, &point);
        if shown.is_err() {
            let _ = mounts.forget_container(id);
        }
        shown.map(|()| point)
    })
}

fn show_at(store: &Store, record: &Record, machine: Machine, turn: Turn, point: &Path) -> Result<()> {
    match turn {
        Turn::Running(process) => {
            show_running(&process, point)?;
            if process.is_there() {
                return Ok(());
            }
            // Whoever has started it since did not see this mount, and has its files mounted once more.
            unmount_path(point, true)?;
            Err(JustEnded.into())
        }
        Turn::Still(_lock) => {
            let directory = directory(store, &record.container.id)?;
            show(&files(store, record, &directory, machine)?, machine.in_user_namespace, point)
        }
    }
}

/// Unmounts a container: once, or with `force` however often it was mounted and even if it is in use. One that is not mounted is left alone.
///
/// # Errors
/// [`Kind::Conflict`] when it is in use, or mounted where it is not seen from here.
pub fn unmount(context: &Context, record: &Record, force: bool) -> Result<()> {
    let store = context.store()?;
    let id = &record.container.id;
    if store.container_mount(id).is_none() {
        return Ok(());
    }
    let name = record.container.name.as_deref().unwrap_or(record.container.short_id());
    // Whoever works in the container may do so by this mount.
    let _turn = Turn::take(store, record, name)?;
    let mounts = store.change_mounts()?;
    // It may have been mounted once more, or unmounted, while this waited.
    let Some(known) = store.container_mount(id) else { return Ok(()) };
    let Some(path) = place(store, id)? else { return mounts.forget_container(id) };
    if known.count > 1 && !force {
        return mounts.note_container(id, known.count - 1, known.in_user_namespace);
    }
    unmount_path(&path, force)?;
    mounts.forget_container(id)
}

/// The containers that are mounted, by their IDs.
///
/// # Errors
/// Those of the store and of reading the kernel's table.
pub fn mounted(context: &Context) -> Result<Vec<MountedContainer>> {
    let store = context.store()?;
    recover(store)?;
    let records = store.containers()?;
    let mut mounted = Vec::new();
    for mount in store.container_mounts() {
        let path = store.container_mount_point(&mount.container)?;
        if let Some(record) = records.iter().find(|record| record.container.id == mount.container)
            && is_mounted(&path)?
        {
            mounted.push(MountedContainer { record: record.clone(), path });
        }
    }
    Ok(mounted)
}

/// Where a container's files are mounted already.
///
/// # Errors
/// [`Kind::Conflict`] when that is where it cannot be seen from here.
pub(super) fn place(store: &Store, id: &str) -> Result<Option<PathBuf>> {
    let Some(mount) = store.container_mount(id) else { return Ok(None) };
    let path = store.container_mount_point(id)?;
    if is_mounted(&path)? {
        return Ok(Some(path));
    }
    // What cannot be seen from here may be there: who entered this namespace has seen to what is not (see `forget_ended`).
    let cannot_tell = mount.in_user_namespace && !sees_all_users();
    if store.may_be_elsewhere(&mount) && (cannot_tell || is_mount_namespace_in_use(&mount.namespace)) {
        let message = format!("container {} is mounted in another mount namespace, {}", short_id(id), mount.namespace);
        return Err(Error::new(Kind::Conflict, message)
            .with_hint("unmount it there with `dhow umount`, or end the processes of that namespace"));
    }
    Ok(None)
}

/// Forgets mounts that ended with the user namespaces they were made in: the last command of an `unshare`, say. It is for who is about to
/// enter another one, from where those cannot be seen.
///
/// # Errors
/// Those of the store.
pub fn forget_ended(context: &Context) -> Result<()> {
    let mounts = context.settings().store_root.join("mounts");
    // Those of images have the dash of a digest in their names. Nothing is opened as long as no container is mounted.
    let is_container = |entry: std::fs::DirEntry| entry.file_name().to_str().is_some_and(|name| name.len() == 64);
    if !std::fs::read_dir(mounts).into_iter().flatten().flatten().any(is_container) {
        return Ok(());
    }
    let store = context.store()?;
    let has_ended = |mount: &ContainerMount| {
        mount.in_user_namespace && !(store.may_be_elsewhere(mount) && is_mount_namespace_in_use(&mount.namespace))
    };
    if !store.is_writable() || !store.container_mounts().iter().any(has_ended) {
        return Ok(());
    }
    let mounts = store.change_mounts()?;
    for mount in store.container_mounts().iter().filter(|mount| has_ended(mount)) {
        mounts.forget_container(&mount.container)?;
    }
    Ok(())
}

/// Ends the mount of a container that is about to be removed.
///
/// # Errors
/// As [`unmount`].
pub(crate) fn end(store: &Store, id: &str) -> Result<()> {
    if store.container_mount(id).is_none() {
        return Ok(());
    }
    let mounts = store.change_mounts()?;
    if let Some(path) = place(store, id)? {
        unmount_path(&path, true)?;
    }
    mounts.forget_container(id)
}

fn is_mounted(path: &Path) -> Result<bool> {
    Ok(mount_points()?.iter().any(|point| point.path == path))
}
