//! Uploads in an object store.
//!
//! One object holds what there is to know of an upload: where its hash stands, which parts are written, and the bytes
//! behind the last part. It is written at the end of each request, on the condition that no other server has done so,
//! and so any server can go on with it. Parts go straight to where the blob will stay; nothing is copied at the end.

use std::time::Instant;

use bytes::Bytes;
use dhow_base::{Error, Kind, Result};
use dhow_spec::digest::{Algorithm, Digest, Hasher};
use futures::stream::TryStreamExt as _;
use object_store::PutPayload;
use serde::{Deserialize, Serialize};

use super::objects::{Look, Read, Version};
use super::record::Link;
use super::{Bucket, keys, record, serial};
use crate::name::UploadId;
use crate::storage::{Committed, Upload, UploadPlan};

/// Stores take no shorter part but the last.
const PART_BYTES: usize = 5 << 20;

/// Stores take 10,000 parts; from here on they are longer, so that a blob may have 600 GiB.
const SMALL_PARTS: usize = 5000;
const LARGE_PART_BYTES: usize = 128 << 20;
const PARTS_MAX: usize = 10_000;

/// Every so many parts the upload is made to outlive this process, in the middle of a request.
const SETTLE_PARTS: usize = 16;

/// Longest object of an upload: its head, and the bytes behind the last part.
const UPLOAD_BYTES_MAX: u64 = LARGE_PART_BYTES as u64 + (8 << 20);

/// An upload under way.
#[derive(Debug)]
pub(crate) struct BucketUpload {
    bucket: Bucket,
    id: UploadId,
    state: State,
    /// What came behind the last part.
    tail: Vec<Bytes>,
    /// Has taken in everything; nothing when the algorithm was changed after the first byte.
    hasher: Option<Hasher>,
    /// The object's state as it is known here.
    version: Version,
    is_settled: bool,
}

/// The head of an upload's object. The bytes behind the last part follow it.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct State {
    #[serde(flatten)]
    plan: UploadPlan,
    algorithm: String,
    length: u64,
    /// [`Hasher::save`] in hexadecimal.
    hash: Option<String>,
    parts: Option<Parts>,
    /// Differs from write to write.
    write: String,
}

/// What is written of the blob.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Parts {
    /// Names the object that they will be.
    serial: String,
    handle: String,
    /// What the store knows each by.
    done: Vec<String>,
}

impl BucketUpload {
    pub(super) async fn begin(bucket: Bucket, id: &UploadId, plan: UploadPlan) -> Result<Self> {
        let hasher = Hasher::new(Algorithm::Sha256);
        let state = State {
            plan,
            algorithm: Algorithm::Sha256.as_str().to_owned(),
            length: 0,
            hash: Some(to_hex(&hasher.save())),
            parts: None,
            write: serial()?,
        };
        let version = bucket.objects().create(&keys::upload(id), record::write(&state, b"")?).await?;
        let (id, hasher) = (id.clone(), Some(hasher));
        Ok(Self { bucket, id, state, tail: Vec::new(), hasher, version, is_settled: true })
    }

    pub(super) async fn resume(bucket: Bucket, id: &UploadId) -> Result<Option<Self>> {
        match bucket.objects().get(&keys::upload(id), UPLOAD_BYTES_MAX).await? {
            Some(read) => Self::load(bucket, id.clone(), read).map(Some),
            None => Ok(None),
        }
    }

    fn load(bucket: Bucket, id: UploadId, read: Read) -> Result<Self> {
        let key = keys::upload(&id);
        let (state, tail) = record::read::<State>(&key, &read.bytes)?;
        let algorithm = Algorithm::from_name(&state.algorithm)
            .ok_or_else(|| Error::new(Kind::Corrupt, format!("the upload {key:?} has no algorithm that is known")))?;
        let saved = state.hash.as_deref().and_then(from_hex);
        let hasher = saved.and_then(|saved| Hasher::restore(algorithm, &saved));
        let tail = if tail.is_empty() { Vec::new() } else { vec![tail] };
        Ok(Self { bucket, id, state, tail, hasher, version: read.version, is_settled: true })
    }

    fn tail_bytes(&self) -> usize {
        self.tail.iter().map(Bytes::len).sum()
    }

    fn algorithm(&self) -> Algorithm {
        Algorithm::from_name(&self.state.algorithm).unwrap_or(Algorithm::Sha256)
    }

    /// Writes the first bytes behind the last part as a part of their own.
    async fn write_part(&mut self, length: usize) -> Result<()> {
        let objects = self.bucket.objects();
        let mut parts = match self.state.parts.clone() {
            Some(parts) => parts,
            None => {
                let serial = serial()?;
                let handle = objects.begin_parts(&keys::data(&serial)).await?;
                Parts { serial, handle, done: Vec::new() }
            }
        };
        if parts.done.len() == PARTS_MAX {
            let message = "the blob is longer than an object store can take in parts";
            return Err(Error::new(Kind::LimitExceeded, message));
        }
        let (first, rest) = split(&self.tail, length);
        let payload: PutPayload = first.into_iter().collect();
        let is_first = parts.done.is_empty();
        let written = objects.put_part(&keys::data(&parts.serial), &parts.handle, parts.done.len(), payload).await;
        if written.is_err() && is_first {
            // Nobody would know its handle.
            let _ = objects.abort_parts(&keys::data(&parts.serial), &parts.handle).await;
        }
        parts.done.push(written?);
        self.state.parts = Some(parts);
        self.tail = rest;
        self.is_settled = false;
        Ok(())
    }

    async fn write_full_parts(&mut self) -> Result<()> {
        loop {
            let done = self.state.parts.as_ref().map_or(0, |parts| parts.done.len());
            let length = if done < SMALL_PARTS { PART_BYTES } else { LARGE_PART_BYTES };
            if self.tail_bytes() < length {
                return Ok(());
            }
            self.write_part(length).await?;
            if done.is_multiple_of(SETTLE_PARTS) {
                self.settle().await?;
            }
        }
    }

    /// The digest of everything, with another read of it where that is needed.
    async fn prove(&mut self, expected: &Digest) -> Result<Digest> {
        let algorithm = expected.algorithm();
        if let Some(hasher) = self.hasher.clone().filter(|_| self.algorithm() == algorithm) {
            return Ok(hasher.finish());
        }
        let mut hasher = Hasher::new(algorithm);
        if let Some(parts) = self.finish_parts(expected).await? {
            let key = keys::data(&parts.serial);
            let gone = || Error::new(Kind::Corrupt, format!("{key:?} is gone"));
            let mut stream = self.bucket.objects().stream(&key, 0..self.state.length).await?.ok_or_else(gone)?;
            let read = |error| Error::io(format_args!("cannot read {key:?}"), error);
            while let Some(bytes) = stream.try_next().await.map_err(read)? {
                hasher.update(&bytes);
            }
        } else {
            self.tail.iter().for_each(|bytes| hasher.update(bytes));
        }
        Ok(hasher.finish())
    }

    /// Makes the parts an object, if there are any, and says whose bytes they are. May be called twice.
    async fn finish_parts(&mut self, digest: &Digest) -> Result<Option<Parts>> {
        if self.state.parts.is_some() && !self.tail.is_empty() {
            self.write_part(self.tail_bytes()).await?;
        }
        let Some(parts) = &self.state.parts else { return Ok(None) };
        let (objects, key) = (self.bucket.objects(), keys::data(&parts.serial));
        // First: an object without this is one that never was a blob, and is collected.
        objects.put(&keys::mark(digest, &parts.serial), PutPayload::new()).await?;
        if let Err(error) = objects.finish_parts(&key, &parts.handle, &parts.done).await
            && objects.size(&key).await? != Some(self.state.length)
        {
            return Err(error);
        }
        Ok(Some(parts.clone()))
    }

    async fn publish(&mut self, digest: &Digest) -> Result<()> {
        let repository = self.state.plan.repository.clone();
        if self.state.parts.is_none() {
            return self.bucket.put_bytes(&repository, digest, std::mem::take(&mut self.tail)).await;
        }
        // Another repository may have it; for one this long it is worth a look.
        if let Some((link, bytes)) = self.bucket.any_link(digest).await?
            && self.bucket.add_link(&repository, digest, &link, &bytes).await?
        {
            return self.drop_bytes(Some(digest)).await;
        }
        let begun = Instant::now();
        if let Some(parts) = self.finish_parts(digest).await? {
            let at = keys::data(&parts.serial);
            let link = Link { size: self.state.length, at: Some(at.clone()) };
            self.bucket.objects().put(&keys::link(&repository, digest), record::write(&link, b"")?).await?;
            self.bucket.confirm(digest, &at, begun).await?;
        }
        Ok(())
    }

    /// Drops the parts, also when they were finished to be read once more as `expected`.
    async fn drop_bytes(&self, expected: Option<&Digest>) -> Result<()> {
        let Some(parts) = &self.state.parts else { return Ok(()) };
        let (objects, key) = (self.bucket.objects(), keys::data(&parts.serial));
        objects.delete(&key).await?;
        if let Some(digest) = expected {
            objects.delete(&keys::mark(digest, &parts.serial)).await?;
        }
        objects.abort_parts(&key, &parts.handle).await
    }
}

impl Upload for BucketUpload {
    fn plan(&self) -> &UploadPlan {
        &self.state.plan
    }

    fn length(&self) -> u64 {
        self.state.length
    }

    fn set_algorithm(&mut self, algorithm: Algorithm) {
        if algorithm != self.algorithm() {
            self.state.algorithm = algorithm.as_str().to_owned();
            self.hasher = (self.state.length == 0).then(|| Hasher::new(algorithm));
            self.is_settled = false;
        }
    }

    async fn append(&mut self, batch: Vec<Bytes>) -> Result<()> {
        let before = (self.tail.clone(), self.hasher.clone(), self.state.clone());
        for bytes in &batch {
            self.state.length += bytes.len() as u64;
            if let Some(hasher) = &mut self.hasher {
                hasher.update(bytes);
            }
        }
        self.tail.extend(batch);
        self.is_settled = false;
        let written = self.write_full_parts().await;
        // What failed to be settled was written all the same.
        if written.is_err() && self.state.parts == before.2.parts {
            (self.tail, self.hasher, self.state) = before;
        }
        written
    }

    async fn settle(&mut self) -> Result<()> {
        if self.is_settled {
            return Ok(());
        }
        self.state.hash = self.hasher.as_ref().map(|hasher| to_hex(&hasher.save()));
        self.state.write = serial()?;
        let (key, record) = (keys::upload(&self.id), record::write(&self.state, &self.tail.concat())?);
        match self.bucket.objects().replace(&key, record.clone(), &self.version).await {
            Ok(version) => self.version = version,
            Err(error) if error.kind() == Kind::Conflict => {
                // A write that was repeated after its answer got lost meets itself.
                let read = self.bucket.objects().get(&key, UPLOAD_BYTES_MAX).await?;
                match read {
                    Some(read) if read.bytes == record => self.version = read.version,
                    Some(read) => {
                        *self = Self::load(self.bucket.clone(), self.id.clone(), read)?;
                        return Err(Error::new(Kind::Conflict, "another server has gone on with this upload"));
                    }
                    None => return Err(Error::new(Kind::Conflict, "another server has ended this upload")),
                }
            }
            Err(error) => return Err(error),
        }
        self.is_settled = true;
        Ok(())
    }

    async fn refresh(&mut self) -> Result<bool> {
        match self.bucket.objects().look(&keys::upload(&self.id), Some(&self.version), UPLOAD_BYTES_MAX).await? {
            Look::Unchanged => Ok(true),
            Look::Missing => Ok(false),
            Look::Changed(read) => {
                *self = Self::load(self.bucket.clone(), self.id.clone(), read)?;
                Ok(true)
            }
        }
    }

    async fn commit(mut self, digest: &Digest) -> Result<Committed> {
        let mut actual = self.prove(digest).await?;
        if actual != *digest {
            // Another server may have taken in bytes that this one does not know of.
            let version = self.version.clone();
            if self.refresh().await? && self.version != version {
                actual = self.prove(digest).await?;
            }
        }
        if actual != *digest {
            self.drop_bytes(Some(digest)).await?;
            self.discard().await?;
            return Ok(Committed::Mismatch(actual));
        }
        self.publish(digest).await?;
        self.bucket.end_upload(&self.id).await?;
        Ok(Committed::Stored)
    }

    async fn discard(self) -> Result<()> {
        if self.state.length == 0 {
            return self.bucket.end_upload(&self.id).await;
        }
        self.drop_bytes(None).await?;
        self.bucket.objects().delete(&keys::upload(&self.id)).await
    }
}

/// Whether an object can be gone on with as an upload: it is one, and its hash stands somewhere.
pub(super) fn can_be_resumed(object: &Bytes) -> bool {
    let Ok((state, _)) = record::read::<State>("", object) else { return false };
    let saved = state.hash.as_deref().and_then(from_hex);
    let algorithm = Algorithm::from_name(&state.algorithm);
    algorithm.zip(saved).is_some_and(|(algorithm, saved)| Hasher::restore(algorithm, &saved).is_some())
}

/// Cuts a sequence of bytes behind the first `length` of them.
fn split(bytes: &[Bytes], length: usize) -> (Vec<Bytes>, Vec<Bytes>) {
    let (mut first, mut rest, mut left) = (Vec::new(), Vec::new(), length);
    for piece in bytes {
        let cut = left.min(piece.len());
        first.extend((cut > 0).then(|| piece.slice(..cut)));
        rest.extend((cut < piece.len()).then(|| piece.slice(cut..)));
        left -= cut;
    }
    (first, rest)
}

fn to_hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = bytes.iter().flat_map(|byte| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    digits.map(char::from).collect()
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_cut_where_they_should_be() {
        let bytes = [Bytes::from_static(b"abc"), Bytes::from_static(b"de"), Bytes::from_static(b"f")];
        for length in 0..=6 {
            let (first, rest) = split(&bytes, length);
            assert_eq!(first.concat(), &b"abcdef"[..length]);
            assert_eq!(rest.concat(), &b"abcdef"[length..]);
        }
    }

    #[test]
    fn hexadecimal_comes_back() {
        let bytes: Vec<u8> = (0..=255).collect();
        assert_eq!(from_hex(&to_hex(&bytes)), Some(bytes));
        assert_eq!(from_hex("0g"), None);
    }
}
