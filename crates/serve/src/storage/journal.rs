//! The journal of a folder: what makes many small changes durable with one flush (`docs/design/serve-journal.md`).
//!
//! A change is written to the journal and flushed, then its files are written without a flush of their own, and only then is it
//! answered for. Changes that come while a flush is under way share the next one. From time to time the files are
//! flushed, all together and beside the work, and the part of the journal that tells of them is written anew. After a
//! crash the steps in it are taken once more: each one sets a whole file, so it does no harm when it was taken before.

mod record;
mod replay;
mod segment;
mod writer;

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use dhow_base::{Error, Kind, Result};
use tokio::sync::oneshot;

use super::files::Files;
use writer::Writer;

pub(crate) use record::{Step, keys_of};
pub(super) use replay::{settle, settle_abandoned, unsettled};

/// Bytes of the journal after which the files are flushed, and the other half of the journal is used.
const HALF_BYTES: u64 = 16 << 20;

/// Takes changes and makes them durable. Dropped, it flushes the files and leaves no journal behind.
#[derive(Debug)]
pub(super) struct Journal {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    /// Something is waiting, or the end has come.
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: Vec<Change>,
    is_closed: bool,
}

/// Steps that belong together, and who waits for them.
#[derive(Debug)]
struct Change {
    steps: Vec<Step>,
    done: oneshot::Sender<Result<bool>>,
}

impl Journal {
    /// Opens the journal of files that nobody else writes. What an earlier process left in it was [settled](settle).
    ///
    /// # Errors
    /// The operating system's, when the folder cannot be opened or no thread be started.
    pub(super) fn open(files: Arc<Files>) -> Result<Self> {
        Self::with_halves_of(files, HALF_BYTES)
    }

    fn with_halves_of(files: Arc<Files>, half_bytes: u64) -> Result<Self> {
        let shared = Arc::new(Shared::default());
        let (theirs, mut writer) = (Arc::clone(&shared), Writer::new(files, half_bytes)?);
        let thread = std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || {
                let theirs = Consumer(theirs);
                while let Some(changes) = theirs.0.next() {
                    write(&mut writer, changes);
                }
                if let Err(error) = writer.close() {
                    // Nothing is lost: the next start takes the steps in the journal again.
                    tracing::warn!(%error, "the registry's files could not be flushed at the end");
                }
            })
            .map_err(|error| Error::io("cannot start a thread for the journal", error))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Takes steps, in order and durably; nobody sees one before all are. Returns whether the last one found a file there.
    ///
    /// # Errors
    /// The operating system's. The steps, or some of them, may have been taken nevertheless.
    pub(super) async fn commit(&self, steps: Vec<Step>) -> Result<bool> {
        let (done, taken) = oneshot::channel();
        self.shared.add(Change { steps, done });
        taken.await.unwrap_or_else(|_| Err(Error::new(Kind::Internal, "the journal's thread has ended")))
    }
}

/// The thread that takes the changes. When it ends, also by a panic, nobody waits for it any more.
struct Consumer(Arc<Shared>);

impl Drop for Consumer {
    fn drop(&mut self) {
        let mut queue = self.0.lock();
        queue.is_closed = true;
        queue.waiting.clear();
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.shared.lock().is_closed = true;
        self.shared.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has told so; the journal it leaves is settled at the next start.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Once the thread has ended, the change is dropped here, as those were that waited then.
    fn add(&self, change: Change) {
        let mut queue = self.lock();
        if !queue.is_closed {
            queue.waiting.push(change);
            self.changed.notify_one();
        }
    }

    /// All changes that wait; nothing when the end has come.
    fn next(&self) -> Option<Vec<Change>> {
        let mut queue = self.lock();
        loop {
            if !queue.waiting.is_empty() {
                return Some(std::mem::take(&mut queue.waiting));
            }
            if queue.is_closed {
                return None;
            }
            queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Makes changes durable together, then takes their steps.
fn write(writer: &mut Writer, changes: Vec<Change>) {
    let written = writer.append(changes.iter().map(|change| change.steps.as_slice()));
    for Change { steps, done } in changes {
        let taken = match &written {
            Ok(()) => writer.files().take(&steps),
            Err(error) => Err(Error::new(error.kind(), error.to_string())),
        };
        // Whoever asked may be gone; what was asked for is done all the same.
        let _ = done.send(taken);
    }
}

#[cfg(test)]
mod tests;
