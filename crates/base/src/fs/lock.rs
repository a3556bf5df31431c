//! Locks between processes.

use std::fs::{self as std_fs, File};
use std::io::ErrorKind;
use std::path::Path;
use std::time::{Duration, Instant};

use super::open_or_create;
use crate::{Error, Kind, Result};

/// How long a process waits before it asks for a lock again.
const LOCK_POLL: Duration = Duration::from_millis(5);

/// An advisory lock (`flock`) on a file, freed when dropped or when the process dies.
#[derive(Debug)]
pub struct FileLock {
    file: File,
}

/// How a lock is shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockMode {
    /// One holder.
    Exclusive,
    /// Any number of holders, none of them exclusive.
    Shared,
}

impl FileLock {
    /// Takes the lock if it is free; `Ok(None)` when somebody holds it.
    ///
    /// # Errors
    /// The operating system's, with the path.
    pub fn try_acquire(path: &Path, mode: LockMode) -> Result<Option<Self>> {
        Self::try_lock(open_or_create(path)?, path, mode)
    }

    /// As [`FileLock::try_acquire`], of a file that is open.
    ///
    /// # Errors
    /// The operating system's, with the path.
    pub fn try_lock(file: File, path: &Path, mode: LockMode) -> Result<Option<Self>> {
        let locked = match mode {
            LockMode::Exclusive => file.try_lock(),
            LockMode::Shared => file.try_lock_shared(),
        };
        match locked {
            Ok(()) => Ok(Some(Self { file })),
            Err(std_fs::TryLockError::WouldBlock) => Ok(None),
            Err(std_fs::TryLockError::Error(error)) => Err(Error::io(format_args!("cannot lock {path:?}"), error)),
        }
    }

    /// Waits for the lock of a file that is open, as long as that takes.
    ///
    /// # Errors
    /// The operating system's, with the path.
    pub fn lock(file: File, path: &Path, mode: LockMode) -> Result<Self> {
        loop {
            let locked = match mode {
                LockMode::Exclusive => file.lock(),
                LockMode::Shared => file.lock_shared(),
            };
            match locked {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::io(format_args!("cannot lock {path:?}"), error)),
                Ok(()) => return Ok(Self { file }),
            }
        }
    }

    /// Waits for the lock, at most `patience`.
    ///
    /// # Errors
    /// [`Kind::Unavailable`] naming the file when the time is over, else the operating system's.
    pub fn acquire(path: &Path, mode: LockMode, patience: Duration) -> Result<Self> {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(lock) = Self::try_acquire(path, mode)? {
                return Ok(lock);
            }
            if Instant::now() >= deadline {
                let message = format!("{path:?} is locked by another process for more than {patience:?}");
                let hint = "wait for that process, or end it: `fuser` names it";
                return Err(Error::new(Kind::Unavailable, message).with_hint(hint));
            }
            std::thread::sleep(LOCK_POLL);
        }
    }

    /// Holds the lock until this process ends, whatever becomes of the rest of it.
    pub fn keep(self) {
        std::mem::forget(self);
    }

    /// The locked file.
    pub fn file(&self) -> &File {
        &self.file
    }
}
