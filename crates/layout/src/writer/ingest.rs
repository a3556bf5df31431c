//! One blob on its way into an archive.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use dhow_base::{Error, Kind, Result};
use dhow_content::{Ingest, LocalBlob, Verifier};
use dhow_spec::Descriptor;

use super::{State, lock};
use crate::local::{check_length, copy_and_hash};

/// One blob on its way into an archive. Dropped without a commit, it is taken back where the output is a file; a stream
/// cannot be continued then.
#[derive(Debug)]
pub struct ArchiveIngest {
    state: Arc<Mutex<State>>,
    blob: Descriptor,
    verifier: Mutex<Verifier>,
    committed: bool,
}

impl ArchiveIngest {
    pub(super) fn new(state: Arc<Mutex<State>>, blob: &Descriptor) -> Self {
        Self { state, blob: blob.clone(), verifier: Mutex::new(Verifier::new(blob)), committed: false }
    }

    fn with_verifier<T>(&self, action: impl FnOnce(&mut Verifier) -> T) -> T {
        action(&mut self.verifier.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Ingest for ArchiveIngest {
    fn missing(&self) -> Vec<Range<u64>> {
        let seen = self.with_verifier(|verifier| verifier.seen());
        Some(seen..self.blob.size).filter(|range| !range.is_empty()).into_iter().collect()
    }

    async fn write(&self, offset: u64, bytes: Bytes) -> Result<()> {
        self.with_verifier(|verifier| {
            if offset != verifier.seen() {
                let message = format!("{}: write at {offset} out of order", self.blob.digest);
                return Err(Error::new(Kind::Internal, message));
            }
            verifier.update(&bytes)
        })?;
        lock(&self.state).output.write_all(&bytes)
    }

    async fn write_local(&self, blob: &LocalBlob) -> Result<bool> {
        check_length(blob, &self.blob)?;
        let mut state = lock(&self.state);
        self.with_verifier(|verifier| copy_and_hash(blob, verifier, || state.output.append(blob)))?;
        Ok(true)
    }

    async fn commit(mut self) -> Result<()> {
        // An error drops the ingest, which takes the member back.
        self.with_verifier(|verifier| verifier.clone().finish())?;
        lock(&self.state).end(&self.blob)?;
        self.committed = true;
        Ok(())
    }
}

impl Drop for ArchiveIngest {
    fn drop(&mut self) {
        if !self.committed {
            lock(&self.state).roll_back();
        }
    }
}
