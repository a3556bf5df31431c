//! How pushes and the collector keep out of each other's way without a lock (`docs/design/bucket.md`).
//!
//! A push writes down what it needs and *then* looks whether that is being removed. The collector writes down what it
//! will remove and *then* looks whether that is needed. Stores show every write to all later reads, so one of the two
//! sees the other.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use dhow_base::{Error, Kind, Result};
use dhow_spec::digest::Digest;
use serde::{Deserialize, Serialize};

use super::keys;
use super::objects::{Look, Objects};

/// Longest announcement, in bytes.
const SWEEP_BYTES_MAX: u64 = 1 << 20;

/// How long a collector may act on its announcement.
pub(super) const ACTING: Duration = Duration::from_secs(20);

/// How long an announcement that does not change is heeded: longer than a collector acts on it and its last request
/// is under way. Both measure by a clock of their own, so none has to be set.
const HEEDED: Duration = Duration::from_millis(if cfg!(test) { 2_000 } else { 60_000 });

const PAUSE: Duration = Duration::from_millis(if cfg!(test) { 1 } else { 50 });

/// What a collector is about to remove.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sweep {
    /// Differs from one announcement to the next.
    pub(super) id: String,
    pub(super) digests: HashSet<Digest>,
}

impl Sweep {
    fn concerns(&self, digests: &[&Digest]) -> bool {
        digests.iter().any(|digest| self.digests.contains(*digest))
    }

    pub(super) fn parse(bytes: &[u8]) -> Result<Self> {
        serde_json::from_slice(bytes).map_err(|error| {
            Error::new(Kind::Corrupt, format!("{:?} is no announcement of a collector", keys::SWEEP)).with_source(error)
        })
    }
}

/// A push's side.
#[derive(Debug, Default)]
pub(super) struct Gate {
    /// An announcement whose collector died.
    stale: Mutex<String>,
}

impl Gate {
    /// Waits until none of the digests is being removed. Returns whether none was: then what was there before is there
    /// still, and stays as long as what was written down before the call needs it.
    pub(super) async fn pass(&self, objects: &Objects, digests: &[&Digest]) -> Result<bool> {
        let Some(first) = objects.get(keys::SWEEP, SWEEP_BYTES_MAX).await? else { return Ok(true) };
        let (mut sweep, mut version) = (Sweep::parse(&first.bytes)?, first.version);
        if !sweep.concerns(digests) {
            return Ok(true);
        }
        if self.is_stale(&sweep) {
            return Ok(false);
        }
        let mut seen = Instant::now();
        loop {
            tokio::time::sleep(PAUSE).await;
            match objects.look(keys::SWEEP, Some(&version), SWEEP_BYTES_MAX).await? {
                Look::Missing => return Ok(false),
                Look::Changed(read) => {
                    (sweep, version, seen) = (Sweep::parse(&read.bytes)?, read.version, Instant::now());
                    if !sweep.concerns(digests) {
                        return Ok(false);
                    }
                }
                Look::Unchanged if seen.elapsed() > HEEDED => {
                    tracing::warn!("a collector died while it removed content; run \"dhow serve gc\" again");
                    *self.stale.lock().unwrap_or_else(PoisonError::into_inner) = sweep.id;
                    return Ok(false);
                }
                Look::Unchanged => {}
            }
        }
    }

    fn is_stale(&self, sweep: &Sweep) -> bool {
        *self.stale.lock().unwrap_or_else(PoisonError::into_inner) == sweep.id
    }
}
