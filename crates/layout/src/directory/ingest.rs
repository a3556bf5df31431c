//! One blob on its way into a layout directory.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use dhow_base::fs::{AtomicFile, Durability};
use dhow_base::{Error, Kind, Result, fs};
use dhow_content::{Ingest, LocalBlob, Verifier};
use dhow_spec::Descriptor;

use super::OciDirectory;
use crate::local::{check_length, copy_and_hash};

/// One blob on its way into a layout directory. Dropped without a commit, it leaves nothing behind.
#[derive(Debug)]
pub struct DirectoryIngest {
    directory: OciDirectory,
    blob: Descriptor,
    path: PathBuf,
    pending: Mutex<Pending>,
}

#[derive(Debug)]
struct Pending {
    file: AtomicFile,
    verifier: Verifier,
}

impl DirectoryIngest {
    pub(super) fn new(directory: OciDirectory, blob: &Descriptor) -> Result<Self> {
        let path = directory.path(&blob.digest);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        let pending = Pending { file: AtomicFile::create(&path, 0o644)?, verifier: Verifier::new(blob) };
        Ok(Self { directory, blob: blob.clone(), path, pending: Mutex::new(pending) })
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
        pending.file.write_all(&bytes)
    }

    async fn write_local(&self, blob: &LocalBlob) -> Result<bool> {
        check_length(blob, &self.blob)?;
        let mut pending = self.pending();
        let Pending { file, verifier } = &mut *pending;
        copy_and_hash(blob, verifier, || {
            fs::copy_range(&blob.file, &blob.path, blob.offset, blob.length, file.file())
        })?;
        Ok(true)
    }

    async fn commit(self) -> Result<()> {
        let Pending { file, verifier } = self.pending.into_inner().unwrap_or_else(PoisonError::into_inner);
        verifier.finish()?;
        file.commit(Durability::Cached)?;
        self.directory.written(self.path);
        Ok(())
    }
}
