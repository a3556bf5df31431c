//! Keeps pushes and the collector from each other, in however many processes they run.
//!
//! Two files are locked. `sweep.lock` is held shared by whoever makes content needed (from the look whether it is there
//! until that is written down) and alone by the collector while it removes. `sweep.gate` is held on the way to the
//! other: without it, a stream of pushes would keep the collector out for ever.

use std::path::Path;
use std::time::{Duration, Instant};

use dhow_base::fs::{FileLock, LockMode};
use dhow_base::{Error, Kind, Result};

const GATE: &str = "sweep.gate";
const LOCK: &str = "sweep.lock";

/// How long one side waits for the other. A batch takes milliseconds; only a stopped process takes longer.
const PATIENCE: Duration = Duration::from_secs(60);

const PAUSE: Duration = Duration::from_millis(2);

/// As long as it lives, nothing is removed.
#[derive(Debug)]
pub(crate) struct Pin {
    _lock: FileLock,
}

impl Pin {
    /// Takes it, if nothing is being removed.
    pub(super) fn try_take(root: &Path) -> Result<Option<Self>> {
        let Some(_gate) = FileLock::try_acquire(&root.join(GATE), LockMode::Shared)? else { return Ok(None) };
        let lock = FileLock::try_acquire(&root.join(LOCK), LockMode::Shared)?;
        Ok(lock.map(|lock| Self { _lock: lock }))
    }

    /// Takes it, and waits until it can.
    pub(super) fn take(root: &Path) -> Result<Self> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(pin) = Self::try_take(root)? {
                return Ok(pin);
            }
            if Instant::now() >= deadline {
                let message = format!("a collection holds {:?} for more than {PATIENCE:?}", root.join(LOCK));
                return Err(Error::new(Kind::Unavailable, message));
            }
            std::thread::sleep(PAUSE);
        }
    }
}

/// As long as it lives, nobody makes content needed.
#[derive(Debug)]
pub(crate) struct Sweeping {
    _lock: FileLock,
    _gate: FileLock,
}

impl Sweeping {
    /// Waits for those who are at it.
    ///
    /// # Errors
    /// [`Kind::Unavailable`] when that takes more than a minute, else the operating system's.
    pub(crate) fn begin(root: &Path) -> Result<Self> {
        let gate = FileLock::acquire(&root.join(GATE), LockMode::Exclusive, PATIENCE)?;
        let lock = FileLock::acquire(&root.join(LOCK), LockMode::Exclusive, PATIENCE)?;
        Ok(Self { _lock: lock, _gate: gate })
    }
}
