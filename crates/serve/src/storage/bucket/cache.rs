//! Small objects that were read, to be asked for by their entity tag the next time.
//!
//! Nothing here is believed without asking the store, except for content that never changes under its name.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::objects::Read;

/// What is kept at most, in bytes.
const BYTES_MAX: usize = 32 << 20;

/// What an entry takes besides its bytes.
const ENTRY_BYTES: usize = 256;

/// Two generations: what was not used while the younger one filled up is forgotten with the older one.
#[derive(Debug, Default)]
pub(super) struct Cache(Mutex<Generations>);

#[derive(Debug, Default)]
struct Generations {
    young: HashMap<String, Entry>,
    old: HashMap<String, Entry>,
    young_bytes: usize,
}

/// What is known of an object.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) read: Read,
    /// Of a manifest: whether its push has ended well. Before that, its blobs may turn out not to be there.
    pub(super) is_proven: bool,
    /// A moment since which the object cannot have been gone unless it was deleted: before the request was sent that
    /// found it there.
    pub(super) seen: Option<Instant>,
}

impl Cache {
    pub(super) fn get(&self, key: &str) -> Option<Read> {
        self.entry(key).map(|entry| entry.read)
    }

    pub(super) fn entry(&self, key: &str) -> Option<Entry> {
        let mut generations = self.lock();
        if let Some(entry) = generations.young.get(key) {
            return Some(entry.clone());
        }
        let entry = generations.old.remove(key)?;
        generations.keep(key, entry.clone());
        Some(entry)
    }

    /// Keeps what was read, or written, by a request that was sent after `seen`.
    pub(super) fn keep(&self, key: &str, read: Read, seen: Instant) {
        let is_proven =
            self.entry(key).is_some_and(|entry| entry.is_proven && entry.read.version.e_tag == read.version.e_tag);
        self.lock().keep(key, Entry { read, is_proven, seen: Some(seen) });
    }

    /// The object was found to be there by a request that was sent after `seen`.
    pub(super) fn note_seen(&self, key: &str, seen: Instant) {
        self.change(key, |entry| entry.seen = entry.seen.max(Some(seen)));
    }

    /// The push of a manifest has ended well.
    pub(super) fn note_proven(&self, key: &str) {
        self.change(key, |entry| entry.is_proven = true);
    }

    fn change(&self, key: &str, change: impl FnOnce(&mut Entry)) {
        let mut generations = self.lock();
        let Generations { young, old, .. } = &mut *generations;
        if let Some(entry) = young.get_mut(key).or_else(|| old.get_mut(key)) {
            change(entry);
        }
    }

    pub(super) fn forget(&self, key: &str) {
        let mut generations = self.lock();
        if let Some(entry) = generations.young.remove(key) {
            generations.young_bytes -= weight(key, &entry);
        }
        generations.old.remove(key);
    }

    fn lock(&self) -> MutexGuard<'_, Generations> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Generations {
    fn keep(&mut self, key: &str, entry: Entry) {
        let bytes = weight(key, &entry);
        if self.young_bytes + bytes > BYTES_MAX / 2 {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
        if let Some(before) = self.young.insert(key.to_owned(), entry) {
            self.young_bytes -= weight(key, &before);
        }
        self.young_bytes += bytes;
    }
}

fn weight(key: &str, entry: &Entry) -> usize {
    key.len() + entry.read.bytes.len() + ENTRY_BYTES
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use bytes::Bytes;

    use super::*;
    use crate::storage::bucket::objects::Version;

    #[test]
    fn it_forgets_what_is_not_used_and_stays_small() {
        let cache = Cache::default();
        let version = Version { e_tag: None, version: None };
        let read = Read { bytes: Bytes::from(vec![0; 1 << 20]), version, changed: SystemTime::UNIX_EPOCH };
        for number in 0..100 {
            cache.keep(&format!("{number}"), read.clone(), Instant::now());
            assert!(cache.get("0").is_some(), "used all the time, gone after {number}");
        }
        let kept = (0..100).filter(|number| cache.get(&format!("{number}")).is_some()).count();
        assert!((8..=33).contains(&kept), "{kept}");
        cache.note_proven("99");
        cache.keep("99", read.clone(), Instant::now());
        assert!(cache.entry("99").is_some_and(|entry| entry.is_proven), "the same state stays proven");
        let version = Version { e_tag: Some("other".to_owned()), version: None };
        cache.keep("99", Read { version, ..read }, Instant::now());
        assert!(cache.entry("99").is_some_and(|entry| !entry.is_proven), "another one is not");
        cache.forget("99");
        assert!(cache.get("99").is_none() && cache.get("1").is_none());
    }
}
