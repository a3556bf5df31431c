//! What was once worked out about a blob, kept beside it. Only a cache: a missing or damaged fact is worked out again.

use dhow_base::fs::{self as durable, Durability};
use dhow_base::{Error, Kind, Result};
use dhow_layer::{Proof, Uncompressed};
use dhow_spec::digest::Algorithm;
use dhow_spec::{Descriptor, Digest};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::ingest::inflate_file;
use crate::store::Store;

/// Longest facts file read, in bytes.
const FACTS_BYTES_MAX: u64 = 64 << 10;

/// What a layer blob inflates to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Facts {
    /// SHA-256 of the uncompressed bytes.
    pub(crate) diff_id: Digest,
    /// Length of the uncompressed bytes.
    pub(crate) size: u64,
}

/// Where a manifest is from.
#[derive(Debug, Serialize, Deserialize)]
struct Origin {
    /// Whether it was made here, so that nobody else knows it by its digest.
    made_here: bool,
}

impl From<&Uncompressed> for Facts {
    fn from(uncompressed: &Uncompressed) -> Self {
        Self { diff_id: uncompressed.diff_id.clone(), size: uncompressed.size }
    }
}

impl Store {
    /// What is known about a blob.
    pub(crate) fn facts(&self, digest: &Digest) -> Option<Facts> {
        self.read_note(digest)
    }

    /// Whether a manifest was made here: [`Store::note_made_here`].
    pub fn is_made_here(&self, manifest: &Digest) -> bool {
        self.read_note(manifest).is_some_and(|origin: Origin| origin.made_here)
    }

    /// Notes that a manifest was made here. As long as no registry knows it, another form of the image may take its place.
    pub fn note_made_here(&self, manifest: &Digest) {
        self.write_note(manifest, &Origin { made_here: true });
    }

    /// What has to show that a blob still inflates to `diff_id`: its own checksum, when that it does was proven earlier.
    pub fn proof(&self, blob: &Digest, diff_id: &Digest) -> Proof {
        let is_known = self.facts(blob).is_some_and(|facts| facts.diff_id == *diff_id);
        if is_known { Proof::Checksum } else { Proof::DiffId }
    }

    /// Keeps what was worked out.
    pub(crate) fn keep_facts(&self, digest: &Digest, facts: &Facts) {
        self.write_note(digest, facts);
    }

    fn read_note<T: DeserializeOwned>(&self, digest: &Digest) -> Option<T> {
        let bytes = durable::read_limited(&self.paths().facts(digest), FACTS_BYTES_MAX).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    /// Keeps something about a blob in place of what was kept. Failing to is no failure of the operation.
    fn write_note(&self, digest: &Digest, value: &impl Serialize) {
        let path = self.paths().facts(digest);
        let write = || -> Result<()> {
            let text = serde_json::to_vec(value).map_err(|error| Error::new(Kind::Internal, error.to_string()))?;
            if let Some(directory) = path.parent() {
                durable::create_dir_all(directory)?;
            }
            durable::write_atomic(&path, &text, 0o600, Durability::Cached)
        };
        // Once more: a collection may have taken the unfinished file for one that was left behind.
        if self.is_writable()
            && let Err(error) = write().or_else(|_| write())
        {
            tracing::debug!(%digest, %error, "cannot keep what was worked out");
        }
    }

    /// Inflates a layer that is here to learn its diff ID and size, and keeps them.
    pub(crate) fn work_out(&self, blob: &Descriptor) -> Result<Facts> {
        let facts = Facts::from(&self.inflate(blob, Algorithm::Sha256)?);
        self.keep_facts(&blob.digest, &facts);
        Ok(facts)
    }

    /// Compares what is known about a layer that is here with what the config says of it. Facts are kept with SHA-256:
    /// for a diff ID of another algorithm the layer is inflated once more.
    pub(crate) fn require_agreement(&self, blob: &Descriptor, facts: &Facts, expected: &Digest) -> Result<()> {
        let found = match expected.algorithm() {
            Algorithm::Sha256 => facts.diff_id.clone(),
            other => self.inflate(blob, other)?.diff_id,
        };
        if found == *expected {
            return Ok(());
        }
        let message = format!("layer {}: unpacked diff ID mismatch: expected {expected}, got {found}", blob.digest);
        Err(Error::new(Kind::Corrupt, message))
    }

    fn inflate(&self, blob: &Descriptor, algorithm: Algorithm) -> Result<Uncompressed> {
        inflate_file(&self.paths().blob(&blob.digest), blob, algorithm)
            .map_err(|error| self.told_of(&blob.digest, error.context(format_args!("layer {}", blob.digest))))
    }
}
