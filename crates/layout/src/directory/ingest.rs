//! One blob on its way into a directory.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use dhow_base::fs::{Durability, Unsynced};
use dhow_base::{Error, Kind, Result, fs, limits};
use dhow_content::{Ingest, LocalBlob, Origin, VerifiedDocument, Verifier};
use dhow_spec::Descriptor;

use super::draft::Draft;
use crate::local::{Located, check_length, copy_and_hash};
use crate::oci_index::is_complete;

/// Files are opened for flushing in groups of this many.
const FLUSH_FILES: usize = 256;

/// Files of one directory that are perhaps not on disk: those that were written, and those that an earlier or another run wrote,
/// of which nobody knows whether it came to flushing them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Unflushed {
    paths: Arc<Mutex<BTreeSet<PathBuf>>>,
}

impl Unflushed {
    fn lock(&self) -> MutexGuard<'_, BTreeSet<PathBuf>> {
        self.paths.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a file that was written, or found.
    pub(crate) fn add(&self, path: PathBuf) {
        self.lock().insert(path);
    }

    /// Writes a document, unless it is there: another run may have flushed it and given it a name.
    ///
    /// # Errors
    /// The operating system's.
    pub(crate) fn put(&self, path: PathBuf, document: &VerifiedDocument) -> Result<()> {
        let is_there = fs::read_limited(&path, limits::MANIFEST_BYTES_MAX).is_ok_and(|found| found == document.bytes());
        if !is_there {
            fs::write_atomic(&path, document.bytes(), 0o644, Durability::Cached)?;
        }
        self.add(path);
        Ok(())
    }

    /// Whether a document and everything below it is there, as `find` has it. What is will be flushed.
    ///
    /// # Errors
    /// Those of `find` and of reading.
    pub(crate) fn covers(
        &self,
        document: &Descriptor,
        find: impl Fn(&Descriptor) -> Result<Option<LocalBlob>>,
    ) -> Result<bool> {
        let paths = RefCell::new(Vec::new());
        let locate = |descriptor: &Descriptor| {
            let found = find(descriptor)?;
            paths.borrow_mut().extend(found.as_ref().map(|blob| blob.path.clone()));
            Ok(found.map(Located::File))
        };
        let is_complete = is_complete(document, &locate)?;
        if is_complete {
            self.lock().extend(paths.into_inner());
        }
        Ok(is_complete)
    }

    /// Waits until all of them are on disk. Those of which that fails are removed: the kernel takes them for written, and the
    /// next sync would succeed and prove nothing.
    ///
    /// # Errors
    /// The operating system's.
    pub(crate) fn flush(&self) -> Result<()> {
        let paths = std::mem::take(&mut *self.lock());
        let flushed = flush_all(&paths);
        let Err(failed) = flushed else { return Ok(()) };
        for path in failed.files.iter().filter_map(|index| paths.iter().nth(*index)) {
            if let Err(error) = fs::remove_file(path) {
                tracing::warn!(%error, "a file that cannot be synced stays");
            }
        }
        // What is removed and not written again is missed by the next flush.
        self.lock().extend(paths);
        Err(failed.error)
    }
}

/// Flushes files, then their names. Which of the files failed is told by their places in the order.
fn flush_all(paths: &BTreeSet<PathBuf>) -> Result<(), Unsynced> {
    let told = |error| Unsynced { error, files: Vec::new() };
    let all: Vec<&PathBuf> = paths.iter().collect();
    for (number, group) in all.chunks(FLUSH_FILES).enumerate() {
        let files = group.iter().map(|path| Ok(((*path).clone(), fs::open(path)?))).collect::<Result<Vec<_>>>();
        fs::flush_files(&files.map_err(told)?).map_err(|unsynced| Unsynced {
            files: unsynced.files.iter().map(|index| number * FLUSH_FILES + index).collect(),
            ..unsynced
        })?;
    }
    let directories: BTreeSet<&Path> = paths.iter().filter_map(|path| path.parent()).collect();
    directories.into_iter().try_for_each(fs::sync_dir).map_err(told)
}

/// One blob on its way into a directory. Dropped without a commit, it publishes nothing; what came of a large one is kept for
/// the next run.
#[derive(Debug)]
pub struct DirectoryIngest {
    unflushed: Unflushed,
    blob: Descriptor,
    path: PathBuf,
    pending: Mutex<Pending>,
}

#[derive(Debug)]
struct Pending {
    draft: Draft,
    verifier: Verifier,
}

impl DirectoryIngest {
    pub(crate) fn new(path: PathBuf, unflushed: &Unflushed, blob: &Descriptor) -> Result<Self> {
        if let Some(parent) = path.parent() {
            fs::create_dir_all_by_umask(parent)?;
        }
        let mut verifier = Verifier::new(blob);
        let pending = Pending { draft: Draft::open(&path, blob.size, &mut verifier)?, verifier };
        Ok(Self { unflushed: unflushed.clone(), blob: blob.clone(), path, pending: Mutex::new(pending) })
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ingest for DirectoryIngest {
    fn missing(&self) -> Vec<Range<u64>> {
        let seen = self.pending().verifier.seen();
        Some(seen..self.blob.size).filter(|range| !range.is_empty()).into_iter().collect()
    }

    async fn write(&self, offset: u64, bytes: Bytes) -> Result<()> {
        let mut pending = self.pending();
        if offset != pending.verifier.seen() {
            return Err(Error::new(Kind::Internal, format!("{}: write at {offset} out of order", self.blob.digest)));
        }
        pending.verifier.update(&bytes)?;
        pending.draft.write_all(&bytes)
    }

    async fn write_local(&self, blob: &LocalBlob) -> Result<bool> {
        check_length(blob, &self.blob)?;
        let mut pending = self.pending();
        let Pending { draft, verifier } = &mut *pending;
        copy_and_hash(blob, verifier, || draft.copy(blob))?;
        Ok(true)
    }

    fn origin(&self) -> Option<Origin> {
        self.pending().draft.origin()
    }

    fn note_origin(&self, origin: Option<&Origin>) -> Result<()> {
        self.pending().draft.note_origin(origin)
    }

    fn discard(self) -> Result<()> {
        self.pending.into_inner().unwrap_or_else(PoisonError::into_inner).draft.discard();
        Ok(())
    }

    async fn commit(self) -> Result<()> {
        let Pending { draft, verifier } = self.pending.into_inner().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = verifier.finish() {
            draft.discard();
            return Err(error);
        }
        // Another run may have been faster, and have flushed it and given it a name.
        if std::fs::metadata(&self.path).is_ok_and(|found| found.is_file() && found.len() == self.blob.size) {
            draft.discard();
        } else {
            draft.commit()?;
        }
        self.unflushed.add(self.path);
        Ok(())
    }
}
