//! Short files in memory: tags, media types and manifests that are asked for again and again.
//!
//! They are those of a folder to which only this process writes, and it says so here when one changes. A reader that
//! was slow must not bring an old text back: what it read counts only when nothing near it has changed since it began.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::Key;

const SHARDS: usize = 16;

/// Most bytes of keys and files that one shard holds; 4 MiB in all.
const SHARD_BYTES_MAX: usize = 256 << 10;

/// What an entry takes besides its texts, in bytes, more or less.
const ENTRY_BYTES: usize = 160;

/// Files that were read lately.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    hasher: RandomState,
    shards: [Mutex<Shard>; SHARDS],
}

#[derive(Debug, Default)]
struct Shard {
    /// Counts the changes.
    changes: u64,
    entries: HashMap<Key, Entry>,
    bytes: usize,
}

#[derive(Debug)]
struct Entry {
    bytes: Bytes,
    /// Was asked for again since room was last made.
    is_used: bool,
}

/// How many changes there were when a reader began.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen(u64);

impl Recent {
    /// Longest file that is held, in bytes.
    pub(crate) const BYTES_MAX: u64 = 32 << 10;

    /// The text of a file, or what [`Recent::remember`] wants to know once it was read.
    pub(crate) fn get(&self, key: &Key) -> Result<Bytes, Seen> {
        let mut shard = self.shard(key);
        match shard.entries.get_mut(key) {
            Some(entry) => {
                entry.is_used = true;
                Ok(entry.bytes.clone())
            }
            None => Err(Seen(shard.changes)),
        }
    }

    /// Holds what was read, unless it may have changed in between.
    pub(crate) fn remember(&self, key: &Key, bytes: &Bytes, seen: Seen) {
        if bytes.len() as u64 > Self::BYTES_MAX {
            return;
        }
        let mut shard = self.shard(key);
        if shard.changes != seen.0 {
            return;
        }
        let size = size(key, bytes);
        shard.make_room(size);
        // A copy of its own: what was read may be part of something longer.
        let entry = Entry { bytes: Bytes::copy_from_slice(bytes), is_used: false };
        shard.bytes += size;
        if let Some(before) = shard.entries.insert(key.clone(), entry) {
            shard.bytes -= self::size(key, &before.bytes);
        }
    }

    /// Notes that a file has changed.
    pub(crate) fn forget(&self, key: &Key) {
        let mut shard = self.shard(key);
        shard.changes += 1;
        if let Some(before) = shard.entries.remove(key) {
            shard.bytes -= size(key, &before.bytes);
        }
    }

    fn shard(&self, key: &Key) -> MutexGuard<'_, Shard> {
        let index = self.hasher.hash_one(key) % SHARDS as u64;
        self.shards[index as usize].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shard {
    /// Drops what nobody has asked for since the last time; when everything was, everything is equal, and all goes.
    fn make_room(&mut self, size: usize) {
        for _ in 0..2 {
            if self.bytes + size <= SHARD_BYTES_MAX {
                return;
            }
            self.entries.retain(|_, entry| std::mem::take(&mut entry.is_used));
            self.bytes = self.entries.iter().map(|(key, entry)| self::size(key, &entry.bytes)).sum();
        }
    }
}

fn size(key: &Key, bytes: &Bytes) -> usize {
    key.as_str().len() + bytes.len() + ENTRY_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: usize) -> Key {
        Key::from_text(&format!("blobs/{number}")).expect("a key")
    }

    fn remember(recent: &Recent, number: usize, text: &'static [u8]) {
        let seen = recent.get(&key(number)).expect_err("not there yet");
        recent.remember(&key(number), &Bytes::from_static(text), seen);
    }

    #[test]
    fn a_slow_reader_brings_nothing_old_back() {
        let recent = Recent::default();
        let seen = recent.get(&key(1)).expect_err("not there yet");
        recent.forget(&key(1));
        recent.remember(&key(1), &Bytes::from_static(b"old"), seen);
        assert!(recent.get(&key(1)).is_err());
        remember(&recent, 1, b"new");
        assert_eq!(recent.get(&key(1)).expect("there"), "new");
        recent.forget(&key(1));
        assert!(recent.get(&key(1)).is_err());
    }

    #[test]
    fn memory_is_bounded_and_what_is_used_stays() {
        static TEXT: [u8; 4096] = [b'x'; 4096];
        let recent = Recent::default();
        remember(&recent, 0, b"used");
        let mut most = 0;
        for number in 1..20_000 {
            remember(&recent, number, &TEXT);
            assert!(recent.get(&key(0)).is_ok(), "after {number}");
            let held: usize = recent.shards.iter().map(|shard| shard.lock().expect("no panic").bytes).sum();
            assert!(held <= SHARDS * SHARD_BYTES_MAX, "{held} after {number}");
            most = most.max(held);
        }
        for shard in &recent.shards {
            let shard = shard.lock().expect("no panic");
            assert_eq!(shard.bytes, shard.entries.iter().map(|(key, entry)| size(key, &entry.bytes)).sum::<usize>());
        }
        // How full they are at the end is chance, as the hash is; that they never fill evenly enough is not.
        assert!(most > SHARDS * SHARD_BYTES_MAX / 3, "at most {most} were held");
    }
}
