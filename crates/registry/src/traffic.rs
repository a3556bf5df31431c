//! What all clients of a process share: how many requests each host gets at once, and how many bytes may move in a second.

use std::collections::HashMap;
use std::num::NonZeroU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::gate::Gate;

/// Bytes that may move at once after a pause, as a part of a second's.
const BURST_PART: u64 = 8;

/// Which way the bytes go. Each way has a gate of its own: a copy within one registry waits for bytes with an upload open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Way {
    /// Requests that are answered at once, and bodies that are read.
    Down,
    /// Blobs on their way up.
    Up,
}

/// The traffic of one process. Clones are the same.
///
/// Clients that are given the same one share what was learnt of each host, and one limit of bytes per second over both
/// directions.
#[derive(Clone, Debug, Default)]
pub struct Traffic {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    gates: Mutex<HashMap<(String, Way), Arc<Gate>>>,
    bucket: Option<Bucket>,
}

impl Traffic {
    /// At most so many bytes per second, whatever is moved where.
    pub fn limited_to(bytes_per_second: NonZeroU64) -> Self {
        let bucket = Some(Bucket::new(bytes_per_second));
        Self { shared: Arc::new(Shared { gates: Mutex::default(), bucket }) }
    }

    /// The gate of a host, by its name and port.
    pub(crate) fn gate(&self, host: &str, way: Way) -> Arc<Gate> {
        let mut gates = self.shared.gates.lock().unwrap_or_else(PoisonError::into_inner);
        match gates.get(&(host.to_owned(), way)) {
            Some(gate) => Arc::clone(gate),
            None => Arc::clone(gates.entry((host.to_owned(), way)).or_insert_with(|| Arc::new(Gate::new(host)))),
        }
    }

    /// Waits until so many more bytes may move.
    pub(crate) async fn pace(&self, bytes: usize) {
        let Some(bucket) = &self.shared.bucket else { return };
        let pause = bucket.take(bytes as u64, Instant::now());
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
    }

    /// How many bytes are best handed on at once: few where a second brings few, so that none waits for long.
    pub(crate) fn piece_bytes(&self) -> usize {
        const PIECE_BYTES_MIN: u64 = 1 << 10;
        let rate = self.shared.bucket.as_ref().map_or(u64::MAX, |bucket| bucket.bytes_per_second);
        usize::try_from((rate / BURST_PART).max(PIECE_BYTES_MIN)).unwrap_or(usize::MAX)
    }
}

/// A token bucket: so many bytes per second, and a little more after a pause.
#[derive(Debug)]
struct Bucket {
    bytes_per_second: u64,
    /// When all bytes that were let through so far have had their time.
    paid: Mutex<Option<Instant>>,
}

impl Bucket {
    fn new(bytes_per_second: NonZeroU64) -> Self {
        Self { bytes_per_second: bytes_per_second.get(), paid: Mutex::new(None) }
    }

    fn time_of(&self, bytes: u64) -> Duration {
        Duration::from_secs_f64(bytes as f64 / self.bytes_per_second as f64)
    }

    /// Takes bytes, and says how long to wait before they move.
    fn take(&self, bytes: u64, now: Instant) -> Duration {
        let burst = Duration::from_secs(1) / u32::try_from(BURST_PART).unwrap_or(1);
        let mut paid = self.paid.lock().unwrap_or_else(PoisonError::into_inner);
        // What was not used before the burst is lost.
        let earliest = now.checked_sub(burst).unwrap_or(now);
        let from = paid.map_or(earliest, |paid| paid.max(earliest));
        let until = from + self.time_of(bytes);
        *paid = Some(until);
        until.saturating_duration_since(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_their_time() {
        let bucket = Bucket::new(NonZeroU64::new(1000).unwrap());
        let start = Instant::now() + Duration::from_secs(10);
        assert_eq!(bucket.take(125, start), Duration::ZERO, "an eighth of a second's bytes come at once");
        assert_eq!(bucket.take(500, start), Duration::from_millis(500));
        assert_eq!(bucket.take(500, start), Duration::from_secs(1), "whoever comes later waits longer");
        let later = start + Duration::from_secs(60);
        assert_eq!(bucket.take(125, later), Duration::ZERO);
        assert_eq!(bucket.take(250, later), Duration::from_millis(250), "a long pause saves up no more than that");
    }

    #[test]
    fn one_host_has_one_gate_for_each_way() {
        let traffic = Traffic::default();
        let clone = traffic.clone();
        assert!(Arc::ptr_eq(&traffic.gate("a:443", Way::Down), &clone.gate("a:443", Way::Down)));
        assert!(!Arc::ptr_eq(&traffic.gate("a:443", Way::Down), &traffic.gate("a:443", Way::Up)));
        assert!(!Arc::ptr_eq(&traffic.gate("a:443", Way::Down), &traffic.gate("b:443", Way::Down)));
    }
}
