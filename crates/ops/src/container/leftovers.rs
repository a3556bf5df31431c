//! What processes left that were killed: containers that are recorded as running, directories that nothing is recorded of.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use dhow_base::{Error, Result};
use dhow_store::{ContainerRecord, ContainerState, Store};

use super::process::{end_left, kill};
use super::settings::Configuration;
use super::{directory, end_mount, now, pause, remove, root, try_hold, turn};

/// The exit code of a container whose end nobody saw, as docker's daemon has it.
const UNSEEN: i64 = 255;

/// Records what became of containers whose watcher was killed, or removes those that were to be removed when they end; lets those go on that
/// somebody stopped who was killed.
pub(crate) fn recover(store: &Store) -> Result<()> {
    let records = store.containers()?;
    let mut lost: Vec<&ContainerRecord> = Vec::new();
    for record in records.iter().filter(|record| record.container.state == ContainerState::Running) {
        let directory = directory(store, &record.container.id)?;
        if turn::is_free(&directory) {
            lost.push(record);
        } else if store.is_writable() {
            pause::resume_left(&directory);
        }
    }
    if lost.is_empty() || !store.is_writable() {
        return Ok(());
    }
    // Another command may be about to do the same, or to look into it; nobody starts one meanwhile.
    let mut held = Vec::new();
    for record in lost {
        let directory = directory(store, &record.container.id)?;
        if let Ok(Some(lock)) = try_hold(&directory) {
            held.push((record, directory, lock));
        }
    }
    // It may have been recorded, or have run once more, since.
    let known = store.containers()?;
    held.retain(|(record, ..)| known.contains(record));
    // All at once, so that they end together.
    held.iter().for_each(|(_, directory, _)| kill(directory));
    // One that does not end runs still.
    held.retain(|(_, directory, _)| end_left(directory));
    store.update(|update| {
        for (record, ..) in &held {
            update.container_ended(&record.container.id, Some(UNSEEN), now())?;
        }
        Ok(())
    })?;
    let is_passing = |record: &ContainerRecord| {
        Configuration::parse(&record.configuration).is_ok_and(|configuration| configuration.settings.auto_remove)
    };
    for (record, ..) in held.iter().filter(|(record, ..)| is_passing(record)) {
        // Whoever looks at containers has nothing to do with this one. Outside of its user namespace its files are another's, too.
        if let Err(error) = remove::forget(store, &record.container.id, true) {
            tracing::warn!("a container that was to be removed when it ends is not all gone: {error}");
        }
    }
    Ok(())
}

/// Removes directories of containers and of volumes that are not recorded and that nobody works in, and mounts of containers that are gone.
pub(crate) fn remove_left(store: &Store) -> Result<()> {
    let names = |part: &str| -> Result<Vec<String>> {
        let entries = fs::read_dir(root(store, part)?).into_iter().flatten().flatten();
        Ok(entries.filter_map(|entry| entry.file_name().into_string().ok()).collect())
    };
    let records = store.containers()?;
    let is_recorded = |id: &str| records.iter().any(|record| record.container.id == id);
    let unknown = names("containers")?.into_iter().filter(|id| !is_recorded(id)).collect();
    let left = turn::hold_left(store, unknown)?;
    let mounts = store.container_mounts();
    // One of them may have been recorded, and have ended, since.
    let records = if left.is_empty() && mounts.is_empty() { records } else { store.containers()? };
    for (id, _lock) in &left {
        if !records.iter().any(|record| record.container.id == *id) {
            discard_left(&directory(store, id)?);
        }
    }
    for mount in mounts {
        if !records.iter().any(|record| record.container.id == mount.container) {
            // Whoever still works in it keeps it until they are done.
            let _ = end_mount(store, &mount.container);
        }
    }
    let volumes = names("volumes")?;
    let known = store.volumes()?;
    let is_unknown = |name: &String| !known.iter().any(|volume| volume.name == *name);
    if !volumes.iter().any(is_unknown) {
        return Ok(());
    }
    let Some(_lock) = turn::try_change_volumes(store)? else { return Ok(()) };
    let known = store.volumes()?;
    let is_unknown = |name: &String| !known.iter().any(|volume| volume.name == *name);
    for name in volumes.into_iter().filter(is_unknown) {
        discard_left(&root(store, "volumes")?.join(name));
    }
    Ok(())
}

/// As [`discard`], for who has something else to do: what stays is in nobody's way, and the next container that is made tries again.
pub(crate) fn discard_left(directory: &Path) {
    if let Err(error) = discard(directory) {
        tracing::warn!("files of a container or volume that is gone are left: {error}");
    }
}

/// Removes a directory in which a container may have left what cannot be listed. Two may do so at once: who watches a
/// container that is removed when it ends, and who forces it to.
pub(crate) fn discard(directory: &Path) -> Result<()> {
    const TRIES: usize = 100;
    let cannot = |error| Error::io(format_args!("cannot remove {directory:?}"), error);
    let (Some(parent), Some(name)) = (directory.parent(), directory.file_name()) else { return Ok(()) };
    let parent = dhow_base::beneath::Dir::open(parent).map_err(cannot)?;
    for _ in 1..TRIES {
        match parent.remove_tree(name) {
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::DirectoryNotEmpty) => {}
            removed => return removed.map_err(cannot),
        }
    }
    parent.remove_tree(name).map_err(cannot)
}
