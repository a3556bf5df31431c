//! The thread's side of the journal.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;

use dhow_base::{Error, Kind, Result, fault, fs};

use super::super::files::Files;
use super::record::{Step, encode};
use super::replay::{flush, flush_half, open_root, renew_half};
use super::segment::{Segment, directory, paths};

/// A half may grow to this many times what it is meant to, while the files that the other one tells of are being flushed.
const PATIENCE: u64 = 16;

/// What is kept of the buffer between two appends, in bytes.
const BUFFER_BYTES: usize = 256 << 10;

/// Writes the journal, one half after the other.
#[derive(Debug)]
pub(super) struct Writer {
    files: Arc<Files>,
    /// The folder, open since before the first file was written: so it hears of all that could not be brought to the disk.
    root: Arc<File>,
    half_bytes: u64,
    /// The half that is being written, if any was.
    active: Option<Segment>,
    /// Which half that is.
    index: usize,
    /// Counts the times that a half was begun.
    generation: u64,
    /// How it stands with the other half, and where it ends.
    other: Other,
    other_end: u64,
    /// The active half's files may be lost like those of [`Other::Lost`].
    is_doubtful: bool,
    /// The end of the active half cannot be trusted: a write or flush failed.
    is_broken: bool,
    buffer: Vec<u8>,
}

/// What stands between the half that is not active and its being written over.
#[derive(Debug)]
enum Other {
    /// Nothing: the files that it tells of are on the disk.
    Flushed,
    /// Its files are written, and nobody flushes them.
    Written,
    /// They are being flushed.
    Flushing(JoinHandle<Result<()>>),
    /// A flush failed: they have to be written again first, since the system takes them for written.
    Lost,
}

impl Writer {
    /// A journal of which no half is there.
    pub(super) fn new(files: Arc<Files>, half_bytes: u64) -> Result<Self> {
        let root = Arc::new(open_root(&files)?);
        Ok(Self {
            files,
            root,
            half_bytes,
            active: None,
            index: 1,
            generation: 0,
            other: Other::Flushed,
            other_end: 0,
            is_doubtful: false,
            is_broken: false,
            buffer: Vec::new(),
        })
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
        match self.free_other(must_switch) {
            Ok(true) => {}
            Ok(false) => return Ok(()),
            // It may pass; until then the half stays, and this one grows.
            Err(error) if !must_switch => {
                tracing::error!(%error, "the registry's files cannot be flushed");
                return Ok(());
            }
            Err(error) => return Err(error),
        }
        self.begin_other()?;
        if let Other::Written = self.other {
            self.flush_beside();
        }
        Ok(())
    }

    /// Sees to it that the other half may be written over. Returns whether it may; where it need not be now, the files may
    /// first be flushed beside the work.
    fn free_other(&mut self, must: bool) -> Result<bool> {
        match &self.other {
            Other::Flushing(flushing) if !must && !flushing.is_finished() => return Ok(false),
            _ => self.join_flush(),
        }
        if let Other::Lost = self.other {
            self.renew_other()?;
        }
        if let Other::Flushed = self.other {
            return Ok(true);
        }
        if !must {
            self.flush_beside();
            return Ok(false);
        }
        let flushed = flush_half(&self.files, &self.root, &self.half(1 - self.index));
        self.note(&flushed);
        flushed.map(|()| true)
    }

    /// Waits for the end of a flush, if one is under way.
    fn join_flush(&mut self) {
        match std::mem::replace(&mut self.other, Other::Lost) {
            Other::Flushing(flushing) => {
                let flushed = flushing.join().unwrap_or_else(|_| Err(Error::new(Kind::Internal, "a flush panicked")));
                self.note(&flushed);
                if let Err(error) = flushed {
                    tracing::error!(%error, "the registry's files could not be flushed");
                }
            }
            other => self.other = other,
        }
    }

    /// Notes how a flush of the other half's files ended. One that failed speaks for all of the file system, and may have been
    /// the only one to hear of it: then the active half's files may be lost, too.
    fn note(&mut self, flushed: &Result<()>) {
        self.other = if flushed.is_ok() { Other::Flushed } else { Other::Lost };
        self.is_doubtful |= flushed.is_err();
    }

    /// Writes the files again that the other half tells of.
    fn renew_other(&mut self) -> Result<()> {
        let Some(active) = &self.active else { return Ok(()) };
        let (old, new) = (self.half(1 - self.index), self.half(self.index));
        renew_half(&self.files, (&old, self.other_end), Some((&new, active.position)))?;
        self.other = Other::Written;
        Ok(())
    }

    fn begin_other(&mut self) -> Result<()> {
        let other = 1 - self.index;
        let begun = Segment::begin(&self.half(other))?;
        if let Some(left) = self.active.replace(begun) {
            self.other = if std::mem::take(&mut self.is_doubtful) { Other::Lost } else { Other::Written };
            self.other_end = left.position;
        }
        (self.index, self.generation, self.is_broken) = (other, self.generation + 1, false);
        Ok(())
    }

    fn half(&self, index: usize) -> PathBuf {
        paths(self.files.root())[index].clone()
    }

    /// Flushes the files that the half which is not active tells of, beside the work. Where no thread can be had, they are left
    /// as they are, which keeps the half from being written over.
    fn flush_beside(&mut self) {
        let (files, root, half) = (Arc::clone(&self.files), Arc::clone(&self.root), self.half(1 - self.index));
        let thread = std::thread::Builder::new().name("journal-flush".to_owned());
        let begun = fault::point_at("journal.flush_thread", files.root())
            .and_then(|()| thread.spawn(move || flush_half(&files, &root, &half)));
        match begun {
            Ok(flushing) => self.other = Other::Flushing(flushing),
            Err(error) => tracing::warn!(%error, "no thread can be started to flush the registry's files"),
        }
    }

    /// Flushes all files, and removes the journal.
    pub(super) fn close(mut self) -> Result<()> {
        self.join_flush();
        if let Other::Lost = self.other {
            self.renew_other()?;
        }
        let Some(active) = self.active.take() else { return Ok(()) };
        if self.is_doubtful {
            renew_half(&self.files, (&self.half(self.index), active.position), None)?;
        }
        flush(&self.files, &self.root)?;
        for path in paths(self.files.root()) {
            fs::remove_file(&path)?;
        }
        fs::sync_dir(&directory(self.files.root()))
    }
}
