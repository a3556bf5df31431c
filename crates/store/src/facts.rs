//! What was once worked out about a blob, kept beside it. Only a cache: a missing or damaged fact is worked out again.

use dhow_base::fs::{self as durable, Durability};
use dhow_base::{Error, Kind, Result};
use dhow_layer::{Proof, Uncompressed};
use dhow_spec::digest::Algorithm;
use dhow_spec::{Descriptor, Digest};
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
    /// Whether the layer was made here, so that nobody else knows it by its digest.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) is_own: bool,
}

impl From<&Uncompressed> for Facts {
    fn from(uncompressed: &Uncompressed) -> Self {
        Self { diff_id: uncompressed.diff_id.clone(), size: uncompressed.size, is_own: false }
    }
}

impl Store {
    /// What is known about a blob.
    pub(crate) fn facts(&self, digest: &Digest) -> Option<Facts> {
        let bytes = durable::read_limited(&self.paths().facts(digest), FACTS_BYTES_MAX).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    /// Whether a layer was made here: [`Store::note_own`].
    pub fn is_own(&self, layer: &Digest) -> bool {
        self.facts(layer).is_some_and(|facts| facts.is_own)
    }

    /// Notes that a plain layer was made here. As long as it has not left for a registry, nobody knows it by its digest.
    pub fn note_own(&self, layer: &Descriptor) {
        self.keep_facts(&layer.digest, &Facts { diff_id: layer.digest.clone(), size: layer.size, is_own: true });
    }

    /// What has to show that a blob still inflates to `diff_id`: its own checksum, when that it does was proven earlier.
    pub fn proof(&self, blob: &Digest, diff_id: &Digest) -> Proof {
        let is_known = self.facts(blob).is_some_and(|facts| facts.diff_id == *diff_id);
        if is_known { Proof::Checksum } else { Proof::DiffId }
    }

    /// Keeps what was worked out. Failing to is no failure of the operation.
    pub(crate) fn keep_facts(&self, digest: &Digest, facts: &Facts) {
        let path = self.paths().facts(digest);
        let facts = Facts { is_own: facts.is_own || self.is_own(digest), ..facts.clone() };
        let write = || -> Result<()> {
            let text = serde_json::to_vec(&facts).map_err(|error| Error::new(Kind::Internal, error.to_string()))?;
            if let Some(directory) = path.parent() {
                durable::create_dir_all(directory)?;
            }
            durable::write_atomic(&path, &text, 0o600, Durability::Cached)
        };
        if self.is_writable()
            && let Err(error) = write()
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
