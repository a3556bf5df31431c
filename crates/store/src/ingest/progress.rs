//! What of a blob has arrived, shared between who writes it and the threads that read behind.

use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use dhow_base::fs as durable;
use dhow_base::{Error, Kind, Result};
use dhow_content::Origin;

use super::parts::{Parts, PartsFile};

/// How much is read before the disk is asked to take it: enough for long extents, little enough that the disk does not
/// idle while a layer arrives.
const WRITEBACK_BYTES: u64 = 16 << 20;

/// The state of one ingest.
#[derive(Debug)]
pub(crate) struct Progress {
    size: u64,
    record: PartsFile,
    state: Mutex<State>,
    grown: Condvar,
}

#[derive(Debug)]
struct State {
    parts: Parts,
    /// Where they come from.
    origin: Option<Origin>,
    /// Ranges that are being written at this moment.
    writing: Vec<Range<u64>>,
    stopped: bool,
    /// All is there and proven: whoever still reads may do so to the end.
    proven: bool,
}

impl Progress {
    pub(crate) fn new(size: u64, record: PartsFile, parts: Parts, origin: Option<Origin>) -> Self {
        let state = State { parts, origin, writing: Vec::new(), stopped: false, proven: false };
        Self { size, record, state: Mutex::new(state), grown: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn missing(&self) -> Vec<Range<u64>> {
        self.lock().parts.missing(self.size)
    }

    /// How many bytes are there without a gap from the beginning.
    pub(crate) fn frontier(&self) -> u64 {
        self.lock().parts.frontier()
    }

    /// Where the bytes come from that are there.
    pub(crate) fn origin(&self) -> Option<Origin> {
        self.lock().origin.clone()
    }

    /// Notes where the bytes come from.
    pub(crate) fn note_origin(&self, origin: Option<&Origin>) -> Result<()> {
        let mut state = self.lock();
        if state.origin.as_ref() != origin {
            self.record.note_origin(origin)?;
            state.origin = origin.cloned();
        }
        Ok(())
    }

    /// Writes a range through `write` and notes it.
    ///
    /// A byte is written once: the readers behind may have hashed it already, and what was proven must be what is there.
    pub(crate) fn write(&self, range: Range<u64>, write: impl FnOnce() -> Result<()>) -> Result<()> {
        if range.is_empty() {
            return Ok(());
        }
        if range.end > self.size {
            let message = format!("bytes up to {} were sent, {} were announced", range.end, self.size);
            return Err(Error::new(Kind::Corrupt, message));
        }
        self.reserve(&range)?;
        let written = write();
        let mut state = self.lock();
        state.writing.retain(|other| *other != range);
        written?;
        let noted = self.record.add(&mut state.parts, range);
        drop(state);
        self.grown.notify_all();
        noted
    }

    fn reserve(&self, range: &Range<u64>) -> Result<()> {
        let mut state = self.lock();
        let busy = state.writing.iter().any(|other| other.start < range.end && range.start < other.end);
        if busy || state.parts.overlaps(range) {
            let message = format!("bytes {} to {} are written already", range.start, range.end);
            return Err(Error::new(Kind::Internal, message));
        }
        state.writing.push(range.clone());
        Ok(())
    }

    /// Lets the readers behind fail: nobody will write any more.
    pub(crate) fn stop(&self) {
        self.lock().stopped = true;
        self.grown.notify_all();
    }

    /// Lets the readers behind go on whatever becomes of who wrote it.
    pub(crate) fn prove(&self) {
        self.lock().proven = true;
    }

    /// Waits until there is something at `position`, and returns up to where.
    fn wait_beyond(&self, position: u64) -> io::Result<u64> {
        let mut state = self.lock();
        loop {
            if state.stopped && !state.proven {
                return Err(io::Error::other("the transfer was given up"));
            }
            let frontier = state.parts.frontier();
            if frontier > position || frontier == self.size {
                return Ok(frontier);
            }
            state = self.grown.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Reads the file behind the frontier, waiting where it has not arrived yet. The file is the queue: memory stays small
/// however far the reader falls behind.
#[derive(Debug)]
pub(crate) struct Tail {
    progress: Arc<Progress>,
    file: File,
    position: u64,
    written_back: u64,
}

impl Tail {
    /// Starts at the beginning. `file` is a handle of its own, so that it holds no lock.
    pub(crate) fn new(progress: Arc<Progress>, file: File) -> Self {
        Self { progress, file, position: 0, written_back: 0 }
    }

    /// Has what was read so far written to the disk by and by: whenever there is enough of it, and `finally` in any case.
    /// The flush at the end of the operation then waits less.
    pub(crate) fn start_writeback(&mut self, finally: bool) {
        if self.position - self.written_back >= WRITEBACK_BYTES || finally {
            durable::start_writeback(&self.file, self.written_back..self.position);
            self.written_back = self.position;
        }
    }

    /// The first bytes, at most as many as fit, without moving on.
    pub(crate) fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = (buffer.len() as u64).min(self.progress.size);
        let mut frontier = 0;
        while frontier < wanted {
            frontier = self.progress.wait_beyond(frontier)?;
        }
        let wanted = usize::try_from(wanted).unwrap_or(buffer.len());
        self.file.read_exact_at(&mut buffer[..wanted], 0)?;
        Ok(wanted)
    }
}

impl Read for Tail {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let available = self.progress.wait_beyond(self.position)? - self.position;
        let wanted = usize::try_from(available).unwrap_or(usize::MAX).min(buffer.len());
        if wanted == 0 {
            return Ok(0);
        }
        let read = self.file.read_at(&mut buffer[..wanted], self.position)?;
        if read == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file of the transfer was cut"));
        }
        self.position += read as u64;
        Ok(read)
    }
}
