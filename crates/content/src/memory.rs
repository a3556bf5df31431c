//! A place in memory: the simplest one that keeps the contract, for tests and small made-up images.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use dhow_base::progress::Observer;
use dhow_base::{Error, Kind, Result};
use dhow_spec::{Descriptor, Digest, Reference};
use futures::stream;

use crate::place::{Begin, ByteStream, Ingest, Resolve, Sink, Source, TagSink};
use crate::verify::{VerifiedDocument, Verifier};

/// Content and names in memory.
#[derive(Clone, Debug, Default)]
pub struct MemoryPlace {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    content: HashMap<Digest, Bytes>,
    documents: HashMap<Digest, VerifiedDocument>,
    names: HashMap<Reference, Descriptor>,
    /// Bytes of blobs that were begun and not committed.
    partial: HashMap<Digest, Vec<u8>>,
}

impl MemoryPlace {
    /// An empty place.
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts a blob without going through an ingest.
    pub fn insert(&self, bytes: impl Into<Bytes>) -> Digest {
        let bytes = bytes.into();
        let digest = Digest::sha256(&bytes);
        self.lock().content.insert(digest.clone(), bytes);
        digest
    }

    /// The bytes with this digest.
    pub fn get(&self, digest: &Digest) -> Option<Bytes> {
        self.lock().content.get(digest).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Source for MemoryPlace {
    async fn read(&self, descriptor: &Descriptor, range: Range<u64>) -> Result<ByteStream> {
        let bytes = self.get(&descriptor.digest).ok_or_else(|| not_found(&descriptor.digest))?;
        let end = usize::try_from(range.end).unwrap_or(usize::MAX).min(bytes.len());
        let start = usize::try_from(range.start).unwrap_or(usize::MAX).min(end);
        Ok(Box::pin(stream::iter([Ok(bytes.slice(start..end))])))
    }
}

impl Resolve for MemoryPlace {
    async fn resolve(&self, reference: &Reference) -> Result<Descriptor> {
        self.lock()
            .names
            .get(reference)
            .cloned()
            .ok_or_else(|| Error::new(Kind::NotFound, format!("{reference}: not found")))
    }
}

impl Sink for MemoryPlace {
    type Ingest = MemoryIngest;

    async fn holds(&self, document: &Descriptor) -> Result<bool> {
        Ok(self.lock().documents.contains_key(&document.digest))
    }

    async fn ingest(&self, blob: &Descriptor, _: &dyn Observer) -> Result<Begin<MemoryIngest>> {
        let mut state = self.lock();
        if state.content.contains_key(&blob.digest) {
            return Ok(Begin::Present);
        }
        state.partial.entry(blob.digest.clone()).or_default();
        Ok(Begin::Write(MemoryIngest { place: self.clone(), blob: blob.clone() }))
    }

    async fn put_document(&self, document: &VerifiedDocument) -> Result<()> {
        let digest = document.descriptor().digest.clone();
        let mut state = self.lock();
        state.content.insert(digest.clone(), Bytes::copy_from_slice(document.bytes()));
        state.documents.insert(digest, document.clone());
        Ok(())
    }
}

impl TagSink for MemoryPlace {
    async fn tag(&self, reference: &Reference, document: &VerifiedDocument) -> Result<()> {
        self.lock().names.insert(reference.clone(), document.descriptor().clone());
        Ok(())
    }
}

/// A blob on its way into a [`MemoryPlace`].
#[derive(Debug)]
pub struct MemoryIngest {
    place: MemoryPlace,
    blob: Descriptor,
}

impl MemoryIngest {
    fn length(&self) -> u64 {
        self.place.lock().partial.get(&self.blob.digest).map_or(0, |bytes| bytes.len() as u64)
    }
}

impl Ingest for MemoryIngest {
    fn missing(&self) -> Vec<Range<u64>> {
        let have = self.length();
        std::iter::once(have..self.blob.size).filter(|range| !range.is_empty()).collect()
    }

    async fn write(&self, offset: u64, bytes: Bytes) -> Result<()> {
        if offset != self.length() {
            return Err(Error::new(Kind::Internal, format!("{}: write at {offset} out of order", self.blob.digest)));
        }
        self.place.lock().partial.entry(self.blob.digest.clone()).or_default().extend_from_slice(&bytes);
        Ok(())
    }

    async fn commit(self) -> Result<()> {
        let bytes = self.place.lock().partial.remove(&self.blob.digest).unwrap_or_default();
        let mut verifier = Verifier::new(&self.blob);
        verifier.update(&bytes)?;
        let proof = verifier.finish()?;
        self.place.lock().content.insert(proof.digest().clone(), bytes.into());
        Ok(())
    }
}

fn not_found(digest: &Digest) -> Error {
    Error::new(Kind::NotFound, format!("blob {digest} not found"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_contract() {
        let place = MemoryPlace::new();
        futures::executor::block_on(crate::suite::check(&place, &place));
    }
}
