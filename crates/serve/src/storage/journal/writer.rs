//! The thread's side of the journal.

use std::sync::Arc;
use std::thread::JoinHandle;

use dhow_base::{Error, Kind, Result, fs};

use super::super::files::Files;
use super::record::{Step, encode};
use super::replay::{flush, flush_half};
use super::segment::{Segment, directory, paths};

/// A half may grow to this many times what it is meant to, while the files that the other one tells of are being flushed.
const PATIENCE: u64 = 16;

/// What is kept of the buffer between two appends, in bytes.
const BUFFER_BYTES: usize = 256 << 10;

/// Writes the journal, one half after the other.
#[derive(Debug)]
pub(super) struct Writer {
    files: Arc<Files>,
    half_bytes: u64,
    /// The half that is being written, if any was.
    active: Option<Segment>,
    /// Which half that is.
    index: usize,
    /// Counts the times that a half was begun.
    generation: u64,
    /// The flush of the files that the other half tells of, until which that one must stay as it is.
    flushing: Option<JoinHandle<Result<()>>>,
    /// The end of the active half cannot be trusted: a write or flush failed.
    is_broken: bool,
    buffer: Vec<u8>,
}

impl Writer {
    /// A journal of which no half is there.
    pub(super) fn new(files: Arc<Files>, half_bytes: u64) -> Self {
        Self {
            files,
            half_bytes,
            active: None,
            index: 1,
            generation: 0,
            flushing: None,
            is_broken: false,
            buffer: Vec::new(),
        }
    }

    pub(super) fn files(&self) -> &Files {
        &self.files
    }

    /// Writes a record for each of `changes`, and makes them durable with one flush.
    pub(super) fn append<'a>(&mut self, changes: impl Iterator<Item = &'a [Step]>) -> Result<()> {
        self.switch_when_due()?;
        self.buffer.clear();
        for steps in changes {
            encode(self.generation, steps, &mut self.buffer)
                .ok_or_else(|| Error::new(Kind::LimitExceeded, "a change is too long for the journal"))?;
        }
        let segment = self.active.as_mut().ok_or_else(|| Error::new(Kind::Internal, "the journal was not begun"))?;
        let appended = segment.append(&mut self.buffer);
        self.buffer.truncate(BUFFER_BYTES);
        self.buffer.shrink_to(BUFFER_BYTES);
        // What the system could not write, it may take for written the next time: the next record goes elsewhere.
        self.is_broken = appended.is_err();
        appended
    }

    /// Goes on to the other half where this one is long enough, or broken.
    fn switch_when_due(&mut self) -> Result<()> {
        let Some(active) = &self.active else { return self.begin_other() };
        if !self.is_broken && active.position < self.half_bytes {
            return Ok(());
        }
        let must_switch = self.is_broken || active.position >= self.half_bytes * PATIENCE;
        let is_flushing = self.flushing.as_ref().is_some_and(|flushing| !flushing.is_finished());
        if is_flushing && !must_switch {
            return Ok(());
        }
        if let Some(flushing) = self.flushing.take() {
            let flushed = flushing.join().unwrap_or_else(|_| Err(Error::new(Kind::Internal, "a flush panicked")));
            if let Err(error) = flushed {
                // It may pass; until then the half stays, and this one grows.
                tracing::error!(%error, "the registry's files cannot be flushed");
                self.flush_beside()?;
                return if must_switch { Err(error) } else { Ok(()) };
            }
        }
        self.begin_other()?;
        self.flush_beside()
    }

    fn begin_other(&mut self) -> Result<()> {
        let other = 1 - self.index;
        self.active = Some(Segment::begin(&paths(self.files.root())[other])?);
        (self.index, self.generation, self.is_broken) = (other, self.generation + 1, false);
        Ok(())
    }

    /// Flushes the files that the half which is not active tells of, beside the work.
    fn flush_beside(&mut self) -> Result<()> {
        let (files, half) = (Arc::clone(&self.files), paths(self.files.root())[1 - self.index].clone());
        let thread = std::thread::Builder::new().name("journal-flush".to_owned());
        let flushing = thread.spawn(move || flush_half(&files, &half));
        self.flushing = Some(flushing.map_err(|error| Error::io("cannot start a thread to flush files", error))?);
        Ok(())
    }

    /// Flushes all files, and removes the journal.
    pub(super) fn close(mut self) -> Result<()> {
        if let Some(flushing) = self.flushing.take() {
            // All is flushed below.
            let _ = flushing.join();
        }
        if self.active.take().is_none() {
            return Ok(());
        }
        flush(&self.files)?;
        for path in paths(self.files.root()) {
            fs::remove_file(&path)?;
        }
        fs::sync_dir(&directory(self.files.root()))
    }
}
