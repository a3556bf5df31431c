//! Threads that fill files: content, owner, attributes, rights and time of each, through its open descriptor.

use std::fmt;
use std::fs::File;
use std::io;
use std::mem;
use std::ops::Range;
use std::os::fd::AsFd;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use dhow_base::beneath;
use dhow_base::error::words;
use dhow_base::fs::start_writeback;
use dhow_base::{Error, Kind, Result};

use super::failure::Failure;
use super::owners::{self, Owners};
use super::report::Notes;
use crate::tar::{Entry, Xattr};

/// Files travel to a thread together, so many or with so much content: to wake it for each takes longer than to fill it.
const BATCH_MAX: usize = 16;
const BATCH_BYTES_MAX: usize = 512 << 10;

/// Where a process may have few files open, one in so many may be of a batch: several batches are under way.
const BATCH_SHARE: usize = 64;

/// Batches that wait for a thread.
const QUEUE_MAX: usize = 4;

/// Content up to this length travels to another thread; longer files are written where they are read.
pub(super) const SMALL_BYTES_MAX: u64 = 256 << 10;

/// Shorter files go to the disk all together at the end: asking for each costs more than it gains.
pub(super) const WRITEBACK_BYTES_MIN: u64 = 32 << 10;

/// So much of a long file is handed to the disk at once.
pub(super) const WRITEBACK_BYTES: u64 = 8 << 20;

/// Most threads that write: beyond them the one that reads sets the pace.
const THREADS_MAX: usize = 4;

/// What a file or directory has since it was made, as far as that is known.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Born {
    pub(super) owner: Option<(u32, u32)>,
    pub(super) mode: Option<u32>,
}

/// A file that has its name already.
pub(super) struct Job {
    pub(super) file: File,
    pub(super) born: Born,
    /// Content that is not in the file yet.
    pub(super) content: Vec<u8>,
    /// What the disk is asked to begin with when the file is filled.
    pub(super) write_back: Option<Range<u64>>,
    pub(super) entry: Entry,
    pub(super) layer: Arc<str>,
}

/// The threads.
pub(super) struct Writers {
    queue: Option<SyncSender<Vec<Job>>>,
    batch: Vec<Job>,
    batch_bytes: usize,
    batch_max: usize,
    threads: Vec<JoinHandle<()>>,
    failed: Arc<Mutex<Option<Error>>>,
}

impl Writers {
    pub(super) fn start(owners: &Owners, notes: &Notes) -> Result<Self> {
        let (queue, jobs) = sync_channel::<Vec<Job>>(QUEUE_MAX);
        let jobs = Arc::new(Mutex::new(jobs));
        let failed = Arc::new(Mutex::new(None));
        let count = thread::available_parallelism().map_or(2, usize::from).clamp(2, THREADS_MAX);
        let mut threads = Vec::with_capacity(count);
        for _ in 0..count {
            let (jobs, failed, owners, notes) = (Arc::clone(&jobs), Arc::clone(&failed), owners.clone(), notes.clone());
            let thread = thread::Builder::new().name("unpack".to_owned());
            let thread = thread.spawn(move || work(&jobs, &failed, &owners, &notes));
            threads.push(thread.map_err(|error| Error::io("cannot start a thread", error))?);
        }
        let batch_max = BATCH_MAX.min(beneath::descriptors_max() / BATCH_SHARE);
        Ok(Self { queue: Some(queue), batch: Vec::new(), batch_bytes: 0, batch_max, threads, failed })
    }

    pub(super) fn push(&mut self, job: Job) -> Result<(), Failure> {
        self.batch_bytes += job.content.len();
        self.batch.push(job);
        if self.batch.len() < self.batch_max && self.batch_bytes < BATCH_BYTES_MAX { Ok(()) } else { self.send() }
    }

    fn send(&mut self) -> Result<(), Failure> {
        self.batch_bytes = 0;
        let batch = mem::replace(&mut self.batch, Vec::with_capacity(self.batch_max));
        let sent = self.queue.as_ref().is_some_and(|queue| queue.send(batch).is_ok());
        if sent { Ok(()) } else { Err(Failure::say("the writing threads are gone".to_owned())) }
    }

    /// The first failure of any thread.
    pub(super) fn check(&self) -> Result<()> {
        match self.failed.lock().ok().and_then(|mut failed| failed.take()) {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// Waits until all files are written.
    pub(super) fn finish(&mut self) -> Result<()> {
        // That the threads are gone is told below.
        let _ = self.send();
        self.queue = None;
        for thread in self.threads.drain(..) {
            thread.join().map_err(|_| Error::new(Kind::Internal, "a writing thread panicked"))?;
        }
        self.check()
    }
}

impl Drop for Writers {
    fn drop(&mut self) {
        self.queue = None;
        for thread in self.threads.drain(..) {
            // A failure is told by whoever dropped this.
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for Writers {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Writers").field("threads", &self.threads.len()).finish_non_exhaustive()
    }
}

fn work(jobs: &Mutex<Receiver<Vec<Job>>>, failed: &Mutex<Option<Error>>, owners: &Owners, notes: &Notes) {
    loop {
        let Ok(Ok(batch)) = jobs.lock().map(|jobs| jobs.recv()) else { return };
        for job in batch {
            if let Err(failure) = fill(&job, owners, notes)
                && let Ok(mut failed) = failed.lock()
                && failed.is_none()
            {
                *failed = Some(failure.named(&job.layer, &job.entry));
            }
        }
    }
}

fn fill(job: &Job, owners: &Owners, notes: &Notes) -> Result<(), Failure> {
    if !job.content.is_empty() {
        beneath::write_at(&job.file, &job.content, 0).map_err(|error| Failure::io("cannot write", error))?;
    }
    set_metadata(&job.file, &job.entry, job.born, owners, notes)?;
    if let Some(range) = &job.write_back {
        start_writeback(&job.file, range.clone());
    }
    let time = job.entry.mtime;
    beneath::set_modified(&job.file, time.seconds, time.nanoseconds)
        .map_err(|error| Failure::io("cannot set the time", error))
}

/// Sets owner, attributes and rights of an open file or directory, in an order in which none undoes another: chown(2) drops
/// set-user-ID bits and capabilities, and an access control list changes the rights. What it has already is not set again.
pub(super) fn set_metadata(
    file: impl AsFd,
    entry: &Entry,
    born: Born,
    owners: &Owners,
    notes: &Notes,
) -> Result<(), Failure> {
    let file = file.as_fd();
    match owners {
        Owners::Keep(map) => {
            let (uid, gid) = map.map(entry.uid, entry.gid)?;
            if born.owner != Some((uid, gid)) {
                beneath::set_owner(file, uid, gid).map_err(|error| cannot_chown(uid, gid, error))?;
            }
        }
        Owners::Record => {
            let stat = owners::override_stat(entry);
            beneath::set_xattr(file, owners::OVERRIDE_XATTR, stat.as_bytes())
                .map_err(|error| Failure::io("cannot record the owner in an extended attribute", error))?;
        }
        Owners::Caller => {}
    }
    for xattr in &entry.xattrs {
        if xattr.name != super::directories::DEFAULT_ACL {
            let set = beneath::set_xattr(file, &xattr.name, &xattr.value);
            set.or_else(|error| tolerate(xattr, error, entry, notes))?;
        }
    }
    if born.mode == Some(entry.mode) && entry.xattrs.is_empty() {
        return Ok(());
    }
    beneath::set_mode(file, entry.mode).map_err(|error| Failure::io("cannot set the mode", error))
}

pub(super) fn cannot_chown(uid: u32, gid: u32, error: io::Error) -> Failure {
    Failure::io(format!("cannot give it to user {uid} and group {gid}"), error)
        .with_hint("without root's rights, or inside of a user namespace, use --owners caller or --owners record")
}

/// An attribute that this file system or this user cannot set is noted; docker and GNU tar go on as well.
pub(super) fn tolerate(xattr: &Xattr, error: io::Error, entry: &Entry, notes: &Notes) -> Result<(), Failure> {
    const EPERM: i32 = 1;
    const EOPNOTSUPP: i32 = 95;
    let name = String::from_utf8_lossy(&xattr.name);
    match error.raw_os_error() {
        Some(EPERM | EOPNOTSUPP) => {
            let namespace = name.split('.').next().unwrap_or_default();
            notes.add("extended attributes", format!("{namespace}.*: {}", words(&error)), &entry.path);
            Ok(())
        }
        _ => Err(Failure::io(format!("cannot set the extended attribute {name:?}"), error)),
    }
}
