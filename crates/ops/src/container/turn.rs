//! Commands that work in one container, one after the other.
//!
//! A container that does not run is worked in by one command at a time, as in docker's engine (moby `Container.Lock`): whoever comes
//! while another is at it waits, and then goes by what the container has become.

use std::fs::File;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use dhow_base::fs::{FileLock, LockMode, create_dir_all};
use dhow_base::{Error, Kind, Result};
use dhow_sandbox::container::{JustEnded, KnownProcess};
use dhow_store::{ContainerRecord, Store};

use super::{directory, discard_left, process, recover, root};

/// How long a container may take until its first process is known, or its end.
const TO_START: Duration = Duration::from_secs(10);

/// How long another command may work in it: as long as a large container takes to be written out.
pub(super) const TO_WORK: Duration = Duration::from_secs(600);

/// How long to wait before looking again.
const POLL: Duration = Duration::from_millis(5);

/// A container that nobody else changes meanwhile.
pub(crate) enum Turn {
    /// It runs: only its watcher says what becomes of it.
    Running(KnownProcess),
    /// It does not, and nobody starts, removes or looks into it while this is held.
    Still(FileLock),
}

impl Turn {
    /// Waits for other commands, and for a container that is just starting or ending.
    ///
    /// # Errors
    /// [`Kind::NotFound`] when it was removed meanwhile; [`Kind::Conflict`] when waiting takes too long; those of the store.
    pub(crate) fn take(store: &Store, record: &ContainerRecord, named: &str) -> Result<Self> {
        let id = &record.container.id;
        let directory = directory(store, id)?;
        let (mut began, mut runs) = (Instant::now(), record.container.is_running());
        loop {
            if runs && let Some(process) = process(&directory) {
                return Ok(Self::Running(process));
            }
            if let Some(lock) = try_hold(&directory)? {
                match runs_now(store, id)? {
                    Some(false) => return Ok(Self::Still(lock)),
                    // Its watcher was killed.
                    Some(true) => {
                        drop(lock);
                        recover(store)?;
                    }
                    None => discard_left(&directory),
                }
            }
            check_patience(began.elapsed(), runs, named)?;
            sleep(POLL);
            let runs_now = runs_now(store, id)?.ok_or_else(|| gone(named))?;
            if runs_now != runs {
                // Another wait begins.
                (began, runs) = (Instant::now(), runs_now);
            }
        }
    }

    /// The lock of a container that does not run and that nobody works in; nothing otherwise.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) fn take_now(store: &Store, record: &ContainerRecord) -> Result<Option<FileLock>> {
        let directory = directory(store, &record.container.id)?;
        let Some(lock) = try_hold(&directory)? else { return Ok(None) };
        match runs_now(store, &record.container.id)? {
            Some(runs) => Ok((!runs).then_some(lock)),
            None => {
                discard_left(&directory);
                Ok(None)
            }
        }
    }

    /// Takes a turn for what opens the container's files: once more when its process has ended meanwhile, which `open` tells by [`JustEnded`].
    ///
    /// # Errors
    /// As [`Turn::take`], and those of `open`.
    pub(crate) fn open<T>(
        store: &Store,
        record: &ContainerRecord,
        named: &str,
        mut open: impl FnMut(Self) -> Result<T>,
    ) -> Result<T> {
        let mut ended: Option<Instant> = None;
        loop {
            match open(Self::take(store, record, named)?) {
                // Its process is there still, without files, until its watcher has heard of its end.
                Err(error)
                    if error.cause::<JustEnded>().is_some()
                        && ended.get_or_insert_with(Instant::now).elapsed() < TO_START =>
                {
                    sleep(POLL);
                }
                opened => return opened,
            }
        }
    }
}

/// A container that is read while it runs.
#[derive(Clone, Copy)]
pub(crate) struct Seen<'a> {
    pub(crate) store: &'a Store,
    pub(crate) record: &'a ContainerRecord,
    pub(crate) named: &'a str,
}

impl Seen<'_> {
    /// What reading it came to, if it was all there until now. One that is removed loses its record first, and then its files; who reads
    /// them does not find what is missing.
    ///
    /// # Errors
    /// [`Kind::NotFound`] when it was removed; those of the store and of reading.
    pub(crate) fn judge<T>(&self, read: Result<T>) -> Result<T> {
        runs_now(self.store, &self.record.container.id)?.ok_or_else(|| gone(self.named))?;
        read
    }
}

fn gone(named: &str) -> Error {
    Error::new(Kind::NotFound, format!("No such container: {named}"))
}

/// Whether a container is recorded as running; nothing when it is not recorded any more.
pub(super) fn runs_now(store: &Store, id: &str) -> Result<Option<bool>> {
    let records = store.containers()?;
    Ok(records.iter().find(|record| record.container.id == id).map(|record| record.container.is_running()))
}

fn check_patience(waited: Duration, runs: bool, named: &str) -> Result<()> {
    let (patience, message, hint) = match runs {
        true => (TO_START, "has been starting or ending", "see what `dhow run` or `dhow start` of it waits for"),
        false => (TO_WORK, "has been in use by another command", "wait for that command, or end it"),
    };
    if waited < patience {
        return Ok(());
    }
    let message = format!("container {named} {message} for {} s", patience.as_secs());
    Err(Error::new(Kind::Conflict, message).with_hint(hint))
}

/// Takes the lock of a container, which says that somebody works in it; nothing when somebody does, or removes it just now.
pub(crate) fn try_hold(directory: &Path) -> Result<Option<FileLock>> {
    create_dir_all(directory)?;
    match FileLock::try_acquire(&directory.join("lock"), LockMode::Exclusive) {
        Err(error) if error.kind() == Kind::NotFound => Ok(None),
        held => held,
    }
}

/// Makes the directory of a new container, and holds its lock.
///
/// # Errors
/// The operating system's.
pub(crate) fn hold_new(store: &Store, id: &str) -> Result<FileLock> {
    // Between the two steps it looks like one that is left over.
    let _making = lock_all(store, "containers", LockMode::Shared)?;
    try_hold(&directory(store, id)?)?
        .ok_or_else(|| Error::new(Kind::Conflict, format!("container {id} is in use by another command")))
}

/// Holds those directories of containers that nobody works in, by their names.
///
/// # Errors
/// The operating system's.
pub(crate) fn hold_left(store: &Store, names: Vec<String>) -> Result<Vec<(String, FileLock)>> {
    let parent = root(store, "containers")?;
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let Some(_nobody_makes_one) = FileLock::try_lock(open_directory(&parent)?, &parent, LockMode::Exclusive)? else {
        return Ok(Vec::new());
    };
    let held = |name: String| {
        let lock = FileLock::try_acquire(&parent.join(&name).join("lock"), LockMode::Exclusive);
        lock.ok().flatten().map(|lock| (name, lock))
    };
    Ok(names.into_iter().filter_map(held).collect())
}

/// Volumes that are here stay, and what has no record yet is not taken for left over, while this is held.
///
/// # Errors
/// The operating system's.
pub(crate) fn keep_volumes(store: &Store) -> Result<FileLock> {
    lock_all(store, "volumes", LockMode::Shared)
}

/// Waits for who makes volumes, or containers that use some: they find a volume either here or gone.
///
/// # Errors
/// The operating system's.
pub(crate) fn change_volumes(store: &Store) -> Result<FileLock> {
    lock_all(store, "volumes", LockMode::Exclusive)
}

/// As [`change_volumes`], for who does not wait.
///
/// # Errors
/// The operating system's.
pub(crate) fn try_change_volumes(store: &Store) -> Result<Option<FileLock>> {
    let directory = root(store, "volumes")?;
    FileLock::try_lock(open_directory(&directory)?, &directory, LockMode::Exclusive)
}

/// Waits for the lock of the directory that all containers, or all volumes, are in.
fn lock_all(store: &Store, part: &str, mode: LockMode) -> Result<FileLock> {
    let directory = root(store, part)?;
    create_dir_all(&directory)?;
    FileLock::lock(open_directory(&directory)?, &directory, mode)
}

fn open_directory(path: &Path) -> Result<File> {
    File::open(path).map_err(|error| Error::io(format_args!("cannot open {path:?}"), error))
}

/// Whether there is a lock that nobody holds. Without one nothing is known, but for a container whose directory alone is missing: a power cut
/// brought back its record.
pub(crate) fn is_free(directory: &Path) -> bool {
    let lock = directory.join("lock");
    if !lock.exists() {
        return !directory.exists() && directory.parent().is_some_and(Path::exists);
    }
    matches!(FileLock::try_acquire(&lock, LockMode::Exclusive), Ok(Some(_)))
}

#[cfg(test)]
mod tests {
    use dhow_base::fs::{Durability, write_atomic};
    use dhow_spec::Digest;
    use dhow_store::{Container, ContainerState, OpenOptions};

    use super::*;

    /// Who finds that a container has just ended looks again; any other conflict is told.
    #[test]
    fn a_turn_is_taken_once_more_when_the_container_has_just_ended() {
        let folder = dhow_testkit::peers::scratch().expect("a folder");
        let store = Store::open(&folder.path().join("store"), &OpenOptions::default()).expect("a store");
        let id = "a".repeat(64);
        let own = KnownProcess::of(std::process::id()).expect("this process");
        let path = directory(&store, &id).expect("a place");
        create_dir_all(&path).expect("a directory");
        let text = serde_json::to_vec(&own).expect("a record");
        write_atomic(&path.join("process"), &text, 0o600, Durability::Cached).expect("a record");
        let record = ContainerRecord {
            container: Container { id, name: None, state: ContainerState::Running },
            image_id: Digest::sha256(b"x"),
            created: 0,
            started: None,
            finished: None,
            exit_code: None,
            volumes: 0,
            configuration: "{}".to_owned(),
        };
        let check = |failures: Vec<Error>, expected: (u32, Option<&str>)| {
            let (mut calls, mut failures) = (0, failures.into_iter());
            let opened = Turn::open(&store, &record, "one", |turn| {
                calls += 1;
                assert!(matches!(turn, Turn::Running(process) if process == own));
                failures.next().map_or(Ok(()), Err)
            });
            assert_eq!((calls, opened.err().map(|error| error.to_string()).as_deref()), expected);
        };
        let conflict = || Error::new(Kind::Conflict, "mounted elsewhere");
        check(vec![], (1, None));
        check(vec![JustEnded.into(), JustEnded.into()], (3, None));
        check(vec![conflict()], (1, Some("mounted elsewhere")));
        check(vec![JustEnded.into(), conflict()], (2, Some("mounted elsewhere")));
        // Whatever its process: it is not on record.
        let judged = Seen { store: &store, record: &record, named: "one" }.judge(Ok(()));
        assert_eq!(judged.map_err(|error| error.to_string()), Err("No such container: one".to_owned()));
    }
}
