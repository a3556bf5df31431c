//! Containers: made from an image, run in the foreground, committed, removed. A container is a means here, not a service: what runs, runs
//! as long as the command that started it.
//!
//! `containers/<id>` in the store has its files, and a lock that is held as long as its process may run. Who finds a container that is
//! recorded as running, with a lock that nobody holds, knows that it did not end well.

mod commit;
mod copy;
mod create;
mod details;
mod files;
mod hosts;
mod mount;
mod mounts;
mod names;
mod pause;
mod remove;
mod rename;
mod resolv;
mod run;
mod run_mounts;
mod settings;
mod size;
mod volumes;

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use dhow_base::fs::{FileLock, LockMode, create_dir_all, read_limited};
use dhow_base::{Error, Kind, Result};
use dhow_store::{ContainerRecord, ContainerState, Store};
use serde::{Deserialize, Serialize};

pub use commit::{CommitRequest, commit};
pub use copy::{CopyOptions, Incoming, copy_into, copy_to_archive, copy_to_path};
pub use create::{Made, create};
pub use details::{Details, details, has_image, image_of, kept_ids, streams_of, uses_volume, volume_directory};
pub use dhow_sandbox::container::{
    CAPABILITIES, Ended, FIRST_PROCESS, Habits, Limits, Propagation, Shared, StartCause, StartFailure, StartStage,
    Streams, Ulimit, Unwritten, capability_number, check_profile, default_capabilities, first_process,
};
pub use dhow_sandbox::user_namespace::{self, KeptIds};
pub use dhow_store::{Container, ContainerRecord as Record, ContainerState as State};
pub use files::{changes, export};
pub use mount::{MountedContainer, forget_ended, mount, mounted, unmount};
pub(crate) use mounts::cleaned;
pub use mounts::{Dialect, Mount, MountKind, Refusal};
pub use remove::{RemoveOptions, prune, remove};
pub use rename::rename;
pub use run::{Run, Witness, run, start};
pub use run_mounts::{LOCAL_TIME, time_zone_file};
pub(crate) use settings::is_signal;
pub use settings::{Capabilities, ImageVolumes, Network, Options, Settings};
pub use size::size;
pub use volumes::{VolumeDetails, create_volume, is_empty_volume, prune_volumes, remove_volume, volume, volumes};

use crate::context::Context;

/// What this process may do on the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Whether it is in a user namespace of its own, as root.
    pub in_user_namespace: bool,
    /// Whether there are other users than root in it.
    pub has_users: bool,
    /// Whom it is there instead of root, with root's rights.
    pub kept_ids: Option<KeptIds>,
}

impl Machine {
    /// Whether files can be given to others.
    pub(crate) fn may_own(self) -> bool {
        !self.in_user_namespace || self.has_users
    }
}

/// The exit code of a container whose end nobody saw, as docker's daemon has it.
const UNSEEN: i64 = 255;

/// Longest record of a process that is read, in bytes.
const PROCESS_BYTES_MAX: u64 = 4 << 10;

/// The directory of a container: absolute, without links.
pub(crate) fn directory(store: &Store, id: &str) -> Result<PathBuf> {
    Ok(root(store, "containers")?.join(id))
}

/// A part of the store: absolute, without links.
pub(crate) fn root(store: &Store, part: &str) -> Result<PathBuf> {
    let root = fs::canonicalize(store.root())
        .map_err(|error| Error::io(format_args!("cannot look up {:?}", store.root()), error))?;
    Ok(root.join(part))
}

/// All containers, the newest first. Those whose process is gone without a word are recorded as ended first.
///
/// # Errors
/// Those of the store.
pub fn list(context: &Context) -> Result<Vec<Record>> {
    let store = context.store()?;
    recover(store)?;
    store.containers()
}

/// Lengths of the files that a container made or changed, in bytes, each once, as docker and podman count them.
pub fn changed_file_bytes(context: &Context, id: &str) -> u64 {
    let upper = context.store().and_then(|store| Ok(directory(store, id)?.join("upper")));
    upper.map_or(0, |upper| file_bytes(&upper))
}

/// Lengths of all files in a directory, those with several names counted once; what cannot be read counts nothing.
fn file_bytes(top: &Path) -> u64 {
    let (mut bytes, mut seen, mut left) = (0, BTreeSet::new(), vec![top.to_owned()]);
    while let Some(directory) = left.pop() {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(metadata) if metadata.is_dir() => left.push(entry.path()),
                Ok(metadata) if seen.insert(metadata.ino()) => bytes += metadata.len(),
                _ => {}
            }
        }
    }
    bytes
}

/// Finds a container by its ID, its name, or the beginning of its ID.
///
/// # Errors
/// [`Kind::NotFound`] in docker's words when nothing matches or several do.
pub fn find(context: &Context, text: &str) -> Result<Record> {
    let store = context.store()?;
    recover(store)?;
    find_among(store.containers()?, text)
}

pub(crate) fn find_among(records: Vec<Record>, text: &str) -> Result<Record> {
    let name = text.strip_prefix('/').unwrap_or(text);
    let unknown = || Error::new(Kind::NotFound, format!("No such container: {text}"));
    if name.is_empty() {
        return Err(Error::new(Kind::Invalid, "invalid container name or ID: value is empty"));
    }
    let is = |record: &Record| record.container.id == name || record.container.name.as_deref() == Some(name);
    if let Some(found) = records.iter().position(is) {
        return records.into_iter().nth(found).ok_or_else(unknown);
    }
    let mut matches = records.into_iter().filter(|record| record.container.id.starts_with(name));
    match (matches.next(), matches.next()) {
        (Some(found), None) => Ok(found),
        (Some(_), Some(_)) => {
            Err(Error::new(Kind::NotFound, format!("multiple IDs found with provided prefix: {name}")))
        }
        _ => Err(unknown()),
    }
}

/// Records what became of containers whose watcher was killed, or removes those that were to be removed when they end; lets those go on that
/// somebody stopped who was killed.
pub(crate) fn recover(store: &Store) -> Result<()> {
    let records = store.containers()?;
    let mut lost: Vec<&ContainerRecord> = Vec::new();
    for record in records.iter().filter(|record| record.container.state == ContainerState::Running) {
        let directory = directory(store, &record.container.id)?;
        if is_free(&directory) {
            lost.push(record);
        } else if store.is_writable() {
            pause::resume_left(&directory);
        }
    }
    if lost.is_empty() || !store.is_writable() {
        return Ok(());
    }
    for record in &lost {
        // Its process was to be killed with its watcher; a change of user in it can undo that.
        let directory = directory(store, &record.container.id)?;
        kill(&directory);
        run::remove_recorded_groups(&directory);
    }
    store.update(|update| {
        for record in &lost {
            update.container_ended(&record.container.id, Some(UNSEEN), now())?;
        }
        Ok(())
    })?;
    let is_passing = |record: &&&ContainerRecord| {
        settings::Configuration::parse(&record.configuration)
            .is_ok_and(|configuration| configuration.settings.auto_remove)
    };
    for record in lost.iter().filter(is_passing) {
        let id = &record.container.id;
        // Another command may be about to do the same, or to look into it.
        if let Ok(_lock) = hold(&directory(store, id)?, record.container.short_id()) {
            remove::forget(store, id, true)?;
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
    // First: whoever makes one of these is at it, or has recorded it, when that is asked for below.
    let volumes = names("volumes")?;
    let records = store.containers()?;
    let mut is_anybody_at_it = false;
    for id in names("containers")? {
        if records.iter().any(|record| record.container.id == id) {
            continue;
        }
        let directory = directory(store, &id)?;
        match FileLock::try_acquire(&directory.join("lock"), LockMode::Exclusive) {
            // It may have been recorded, and have ended, since.
            Ok(Some(_lock)) if !store.containers()?.iter().any(|record| record.container.id == id) => {
                discard(&directory)?;
            }
            _ => is_anybody_at_it = true,
        }
    }
    for mount in store.container_mounts() {
        if !records.iter().any(|record| record.container.id == mount.container) {
            // Whoever still works in it keeps it until they are done.
            let _ = mount::end(store, &mount.container);
        }
    }
    if is_anybody_at_it {
        return Ok(());
    }
    let known = store.volumes()?;
    for name in volumes {
        if !known.iter().any(|volume| volume.name == name) {
            discard(&root(store, "volumes")?.join(name))?;
        }
    }
    Ok(())
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

/// Whether there is a lock that nobody holds. Without one nothing is known, but for a container whose directory alone is missing: a power cut
/// brought back its record.
fn is_free(directory: &Path) -> bool {
    let lock = directory.join("lock");
    if !lock.exists() {
        return !directory.exists() && directory.parent().is_some_and(Path::exists);
    }
    matches!(FileLock::try_acquire(&lock, LockMode::Exclusive), Ok(Some(_)))
}

/// Takes the lock of a container, which says that somebody works on it.
pub(crate) fn hold(directory: &Path, name: &str) -> Result<FileLock> {
    create_dir_all(directory)?;
    FileLock::try_acquire(&directory.join("lock"), LockMode::Exclusive)?
        .ok_or_else(|| Error::new(Kind::Conflict, format!("container {name} is in use by another command")))
}

/// A container's first process, told apart from others that get its number later.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Process {
    /// Its number, as this machine counts.
    pub(crate) id: u32,
    /// When it was started, in ticks since the machine was (proc_pid_stat(5), field 22).
    start: u64,
}

impl Process {
    pub(crate) fn of(id: u32) -> Self {
        Self { id, start: start_of(id).unwrap_or(0) }
    }

    pub(crate) fn is_there(&self) -> bool {
        start_of(self.id) == Some(self.start)
    }
}

fn start_of(process: u32) -> Option<u64> {
    let text = read_limited(&PathBuf::from(format!("/proc/{process}/stat")), PROCESS_BYTES_MAX).ok()?;
    let text = String::from_utf8_lossy(&text);
    // The second field is a name in parentheses, which may have anything in it.
    text.rsplit(')').next()?.split_whitespace().nth(19)?.parse().ok()
}

/// The process of a running container.
pub(crate) fn process(directory: &Path) -> Option<Process> {
    let bytes = read_limited(&directory.join("process"), PROCESS_BYTES_MAX).ok()?;
    serde_json::from_slice::<Process>(&bytes).ok().filter(Process::is_there)
}

/// The process of a container that is recorded as running.
///
/// # Errors
/// [`Kind::Conflict`] when it is not there yet, or not any more.
pub(crate) fn running(directory: &Path, name: &str) -> Result<Process> {
    process(directory).ok_or_else(|| {
        let message = format!("container {name} is just starting or ending");
        Error::new(Kind::Conflict, message).with_hint("try again in a moment")
    })
}

/// Whether a process is still the first one of a container.
pub fn is_process_of(context: &Context, id: &str, process: u32) -> bool {
    process_of(context, id) == Some(process)
}

/// The number of a running container's first process.
pub fn process_of(context: &Context, id: &str) -> Option<u32> {
    let store = context.store().ok()?;
    process(&directory(store, id).ok()?).map(|process| process.id)
}

/// Ends a container's processes at once.
pub(crate) fn kill(directory: &Path) {
    if let Some(process) = process(directory) {
        let _ = dhow_sandbox::kill(process.id, || process.is_there());
    }
}

/// Now, in nanoseconds since 1970.
pub(crate) fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.ok().and_then(|since| i64::try_from(since.as_nanos()).ok()).unwrap_or(0)
}

/// 64 hexadecimal characters by chance, of which the first twelve are no number: docker's IDs.
pub(crate) fn new_id() -> Result<String> {
    loop {
        let id: String = random::<32>()?.iter().map(|byte| format!("{byte:02x}")).collect();
        if !id[..12].bytes().all(|byte| byte.is_ascii_digit()) {
            return Ok(id);
        }
    }
}

pub(crate) fn random<const N: usize>() -> Result<[u8; N]> {
    use std::io::Read;
    let mut bytes = [0; N];
    let read = fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
    read.map_err(|error| Error::io("cannot read /dev/urandom", error))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use dhow_spec::Digest;

    fn record(id: &str, name: &str) -> Record {
        Record {
            container: Container { id: id.to_owned(), name: Some(name.to_owned()), state: State::Created },
            image_id: Digest::sha256(b"x"),
            created: 0,
            started: None,
            finished: None,
            exit_code: None,
            volumes: 0,
            configuration: "{}".to_owned(),
        }
    }

    #[test]
    fn containers_are_found_as_docker_finds_them() {
        let check = |text: &str, expected: &str| {
            let records = vec![record("abc1", "one"), record("abd2", "abc"), record("ffff", "two")];
            let found = match find_among(records, text) {
                Ok(record) => record.container.id,
                Err(error) => error.to_string(),
            };
            assert_eq!(found, expected, "{text}");
        };
        check("one", "abc1");
        check("/two", "ffff");
        check("abc", "abd2");
        check("ab", "multiple IDs found with provided prefix: ab");
        check("abd", "abd2");
        check("nope", "No such container: nope");
        check("", "invalid container name or ID: value is empty");
    }

    #[test]
    #[allow(clippy::disallowed_methods, reason = "scratch files of the test itself")]
    fn lengths_of_files_are_counted_once() {
        let folder = dhow_testkit::peers::scratch().expect("a folder");
        fs::create_dir_all(folder.path().join("a/b")).expect("folders");
        fs::write(folder.path().join("a/b/file"), [0; 1000]).expect("a file");
        fs::hard_link(folder.path().join("a/b/file"), folder.path().join("again")).expect("a link");
        std::os::unix::fs::symlink("four", folder.path().join("a/link")).expect("a link");
        assert_eq!(file_bytes(folder.path()), 1004);
        assert_eq!(file_bytes(&folder.path().join("not/there")), 0);
    }

    #[test]
    fn a_process_is_known_by_its_start() {
        let own = Process::of(std::process::id());
        assert!(own.is_there());
        assert!(!Process { start: own.start + 1, ..own }.is_there());
    }
}
