//! A container that stands still while it is read, and goes on whatever becomes of who reads.
//!
//! `paused` in its directory names the processes that are stopped, before they are; `pause` is locked as long as they shall be. A record that
//! nobody holds the lock for was left by a process that was killed: who watches the container finds it, since it hears of the stop, and so does
//! the next command that looks for containers.

use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use dhow_base::fs::{FileLock, LockMode, read_limited, remove_file};
use dhow_base::{Result, threads};
use dhow_sandbox::container::{self, KnownProcess, Paused};

use super::run::write_record;

/// Longest record of stopped processes that is read, in bytes: one of 300,000.
const RECORD_BYTES_MAX: u64 = 16 << 20;

/// How long to wait for another command that has the container stand still.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often who watches looks whether they may go on.
const INTERVAL: Duration = Duration::from_millis(50);

/// A container that stands still as long as this lives.
#[derive(Debug)]
pub(crate) struct Pause {
    paused: Paused,
    record: PathBuf,
    _lock: FileLock,
}

impl Drop for Pause {
    fn drop(&mut self) {
        self.paused.resume();
        let _ = remove_file(&self.record);
    }
}

/// Has the processes of a container stand still.
///
/// # Errors
/// [`dhow_base::Kind::Conflict`] when it has ended or something in it does not stand still; [`dhow_base::Kind::Unavailable`] when another command
/// takes too long.
pub(crate) fn pause(directory: &Path, first: &KnownProcess) -> Result<Pause> {
    let lock = FileLock::acquire(&lock_of(directory), LockMode::Exclusive, PATIENCE)?;
    let record = record_of(directory);
    let paused = container::pause(first, &mut |stopped| write_record(&record, &stopped));
    if paused.is_err() {
        let _ = remove_file(&record);
    }
    Ok(Pause { paused: paused?, record, _lock: lock })
}

/// Lets the processes go on that somebody stopped who was killed. Returns whether nothing is left to do: not as long as somebody has them
/// stand still.
pub(crate) fn resume_left(directory: &Path) -> bool {
    let record = record_of(directory);
    if !record.exists() {
        return true;
    }
    let Ok(Some(_lock)) = FileLock::try_acquire(&lock_of(directory), LockMode::Exclusive) else { return false };
    if let Ok(bytes) = read_limited(&record, RECORD_BYTES_MAX)
        && let Ok(stopped) = serde_json::from_slice::<Vec<KnownProcess>>(&bytes)
    {
        container::resume(&stopped);
    }
    let _ = remove_file(&record);
    true
}

/// As [`resume_left`], once it can be done; does not wait for that.
pub(crate) fn resume_in_time(directory: &Path) {
    if resume_left(directory) {
        return;
    }
    let directory = directory.to_owned();
    let started = threads::start("resume", move || {
        while !resume_left(&directory) {
            sleep(INTERVAL);
        }
    });
    if let Err(error) = started {
        tracing::warn!(%error, "processes of the container stand still until another command looks at it");
    }
}

fn lock_of(directory: &Path) -> PathBuf {
    directory.join("pause")
}

fn record_of(directory: &Path) -> PathBuf {
    directory.join("paused")
}
