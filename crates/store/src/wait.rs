//! Waiting in a future without a runtime: a thread does it.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dhow_base::fs::{FileLock, LockMode};
use dhow_base::{Error, Kind, Result, priority, threads};
use futures::channel::oneshot;

/// How long another process that changes the store is waited for. It may wait for a disk with much to do, which takes half a minute now and then.
pub(crate) const LOCK_PATIENCE: Duration = Duration::from_secs(60);

/// How often a lock held by another process is tried again.
const POLL: Duration = Duration::from_millis(10);

/// Runs blocking work on a thread of its own; the future is woken when it is done.
pub(crate) async fn on_thread<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    start(name, work)?.await.unwrap_or_else(|_| Err(Error::new(Kind::Internal, format!("the {name} thread panicked"))))
}

/// Starts a thread and gives the future of its result.
pub(crate) fn start<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<oneshot::Receiver<Result<T>>> {
    let (sender, receiver) = oneshot::channel();
    threads::start(name, move || {
        priority::lower();
        // Nobody waits any more when the operation was dropped.
        let _ = sender.send(work());
    })?;
    Ok(receiver)
}

/// Takes the lock on `path`, waiting for whoever has it; `busy` is called once if somebody does.
///
/// The lock is on the file that has the name now: a holder may rename or delete the file it locked.
pub(crate) async fn lock(path: PathBuf, busy: impl FnOnce()) -> Result<FileLock> {
    if let Some(lock) = try_lock(&path)? {
        return Ok(lock);
    }
    busy();
    let (sender, receiver) = oneshot::channel();
    threads::start("lock", move || {
        while !sender.is_canceled() {
            std::thread::sleep(POLL);
            match try_lock(&path) {
                Ok(None) => {}
                Ok(Some(lock)) => return drop(sender.send(Ok(lock))),
                Err(error) => return drop(sender.send(Err(error))),
            }
        }
    })?;
    receiver.await.unwrap_or_else(|_| Err(Error::new(Kind::Internal, "the lock thread panicked")))
}

/// Takes the lock on the file that now has the name, if it is free.
pub(crate) fn try_lock(path: &Path) -> Result<Option<FileLock>> {
    let Some(lock) = FileLock::try_acquire(path, LockMode::Exclusive)? else { return Ok(None) };
    Ok(is_at(lock.file(), path).then_some(lock))
}

/// Whether an open file is the one that has the name.
pub(crate) fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), path.metadata()) {
        (Ok(open), Ok(named)) => (open.dev(), open.ino()) == (named.dev(), named.ino()),
        _ => false,
    }
}
