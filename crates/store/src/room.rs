//! Room for removals where a disk is full. Taking rows away writes to the log of the database first: on a disk without a
//! free byte nothing could be removed, and so nothing be freed.

use std::time::Duration;

use dhow_base::Result;
use dhow_base::fs as durable;

use crate::collect::cut_transfers;
use crate::paths::Paths;
use crate::store::Store;

/// Length of the file that is given up when the disk is full: what the removal of some hundred images writes.
const RESERVE_BYTES: usize = 256 << 10;

/// With less free than this, a removal gets the reserve.
const TIGHT_BYTES: u64 = 1 << 20;

/// With less free than this, no reserve is laid by.
const AMPLE_BYTES: u64 = 16 << 20;

impl Store {
    /// To be called before images are removed. On a disk that is full, gives up what nobody needs: the reserve, and what
    /// cut transfers have left. The next collection lays a new reserve by. Returns the bytes that cut transfers took on disk.
    pub fn make_room(&self) -> u64 {
        if !self.is_writable() || free_bytes(self.paths()).is_none_or(|free| free >= TIGHT_BYTES) {
            return 0;
        }
        let give_up = || -> Result<u64> {
            durable::remove_file(&self.paths().reserve())?;
            self.give_up_transfers()
        };
        give_up().unwrap_or_else(|error| {
            tracing::debug!(%error, "cannot make room");
            0
        })
    }

    /// Takes away what cut transfers have left, however young: the next pull fetches all of it again. What somebody fetches at the moment
    /// stays. Returns the bytes that it took on disk.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn give_up_transfers(&self) -> Result<u64> {
        Ok(cut_transfers(self, true, Duration::ZERO)?.iter().map(|(_, bytes)| bytes).sum())
    }

    /// What [`Store::give_up_transfers`] would return.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn cut_transfer_bytes(&self) -> Result<u64> {
        Ok(cut_transfers(self, false, Duration::ZERO)?.iter().map(|(_, bytes)| bytes).sum())
    }
}

/// Lays the reserve by, unless it is there or the disk has little left. Nothing depends on it.
pub(crate) fn lay_by(paths: &Paths) {
    let path = paths.reserve();
    if path.exists() || free_bytes(paths).is_none_or(|free| free < AMPLE_BYTES) {
        return;
    }
    if let Err(error) = durable::write_atomic(&path, &vec![0; RESERVE_BYTES], 0o600, durable::Durability::Cached) {
        tracing::debug!(%error, "cannot lay a reserve by");
    }
}

/// Bytes that this user may still write to the file system of a store.
fn free_bytes(paths: &Paths) -> Option<u64> {
    let stat = rustix::fs::statvfs(paths.root()).ok()?;
    Some(stat.f_bavail.saturating_mul(stat.f_frsize))
}
