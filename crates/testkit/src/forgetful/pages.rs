//! The bytes of one file, twice: as programs see them, and as they would be found after a power cut.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

/// Bytes per page: what a kernel writes back, and so what is lost or kept as one, is a page.
pub(super) const PAGE_BYTES: u64 = 4096;

type Page = Arc<[u8; PAGE_BYTES as usize]>;

/// A sparse run of pages. Copies share the pages, so that a snapshot costs a few pointers.
#[derive(Clone, Debug, Default)]
struct Pages {
    length: u64,
    pages: BTreeMap<u64, Page>,
}

impl Pages {
    fn read(&self, offset: u64, size: u64) -> Vec<u8> {
        let end = offset.saturating_add(size).min(self.length);
        let mut bytes = Vec::with_capacity(usize::try_from(end.saturating_sub(offset)).unwrap_or(0));
        for (index, within) in spans(offset, end) {
            match self.pages.get(&index) {
                Some(page) => bytes.extend_from_slice(&page[within]),
                None => bytes.resize(bytes.len() + within.len(), 0),
            }
        }
        bytes
    }

    fn write(&mut self, offset: u64, mut bytes: &[u8]) {
        let end = offset + bytes.len() as u64;
        for (index, within) in spans(offset, end) {
            let (head, rest) = bytes.split_at(within.len());
            let page = self.pages.entry(index).or_insert_with(|| Arc::new([0; PAGE_BYTES as usize]));
            Arc::make_mut(page)[within].copy_from_slice(head);
            bytes = rest;
        }
        self.length = self.length.max(end);
    }

    /// Cuts or extends; what is cut off reads as zeros when the file grows again.
    fn set_length(&mut self, length: u64) {
        if length < self.length {
            self.pages.split_off(&length.div_ceil(PAGE_BYTES));
            let tail = usize::try_from(length % PAGE_BYTES).unwrap_or(0);
            if tail > 0
                && let Some(page) = self.pages.get_mut(&(length / PAGE_BYTES))
            {
                Arc::make_mut(page)[tail..].fill(0);
            }
        }
        self.length = length;
    }

    /// Makes one page what it is in `other`.
    fn take_page(&mut self, index: u64, other: &Self) {
        match other.pages.get(&index) {
            Some(page) => self.pages.insert(index, Arc::clone(page)),
            None => self.pages.remove(&index),
        };
    }
}

/// Splits a byte range into pages: (page index, range within the page).
fn spans(offset: u64, end: u64) -> impl Iterator<Item = (u64, Range<usize>)> {
    let mut position = offset;
    std::iter::from_fn(move || {
        (position < end).then(|| {
            let index = position / PAGE_BYTES;
            let stop = ((index + 1) * PAGE_BYTES).min(end);
            let start = position;
            position = stop;
            // Both are below PAGE_BYTES, so they fit.
            (index, (start - index * PAGE_BYTES) as usize..(stop - index * PAGE_BYTES) as usize)
        })
    })
}

/// What a file's content is after a power cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// As at the last sync.
    Synced,
    /// The new length, but every page that was not synced holds what it held before, or zeros.
    LengthOnly,
    /// As programs saw it last.
    Live,
}

/// A file's content in both images.
#[derive(Clone, Debug, Default)]
pub(super) struct Content {
    live: Pages,
    synced: Pages,
    /// Pages in which the two may differ.
    dirty: BTreeSet<u64>,
}

impl Content {
    pub(super) fn len(&self) -> u64 {
        self.live.length
    }

    pub(super) fn read(&self, offset: u64, size: u64) -> Vec<u8> {
        self.live.read(offset, size)
    }

    pub(super) fn write(&mut self, offset: u64, bytes: &[u8]) {
        self.live.write(offset, bytes);
        self.dirty.extend(spans(offset, offset + bytes.len() as u64).map(|(index, _)| index));
    }

    pub(super) fn set_length(&mut self, length: u64) {
        // Everything from the shorter end on changes: a page that is cut off and grown again reads as zeros.
        let from = length.min(self.live.length) / PAGE_BYTES;
        let changed = self.live.pages.range(from..).chain(self.synced.pages.range(from..)).map(|(index, _)| *index);
        self.dirty.extend(changed);
        self.live.set_length(length);
    }

    /// Makes what programs see durable.
    pub(super) fn sync(&mut self) {
        for index in std::mem::take(&mut self.dirty) {
            self.synced.take_page(index, &self.live);
        }
        self.synced.set_length(self.live.length);
    }

    /// The content that a power cut leaves, as a new file on whose bytes both images agree.
    pub(super) fn survivor(&self, fate: Fate) -> Self {
        let pages = match fate {
            Fate::Synced => self.synced.clone(),
            Fate::Live => self.live.clone(),
            Fate::LengthOnly => {
                let mut pages = self.synced.clone();
                pages.set_length(self.live.length);
                pages
            }
        };
        Self { synced: pages.clone(), live: pages, dirty: BTreeSet::new() }
    }

    /// As [`Content::survivor`], with each unsynced page kept when `keep` says so, and the new length with the last of them.
    pub(super) fn torn_survivor(&self, mut keep: impl FnMut() -> bool) -> Self {
        let mut pages = self.synced.clone();
        if self.live.length < pages.length && keep() {
            pages.set_length(self.live.length);
        }
        for &index in &self.dirty {
            let begins = index * PAGE_BYTES;
            if begins < self.live.length && keep() {
                pages.take_page(index, &self.live);
                pages.length = pages.length.max((begins + PAGE_BYTES).min(self.live.length));
            }
        }
        if self.live.length > pages.length && keep() {
            pages.set_length(self.live.length);
        }
        Self { synced: pages.clone(), live: pages, dirty: BTreeSet::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_cut_off_and_grown_again_reads_as_zeros_in_both_images() {
        let mut content = Content::default();
        content.write(0, &[7; 10_000]);
        content.sync();
        content.set_length(5_000);
        content.set_length(10_000);
        assert_eq!(content.read(4_999, 2), [7, 0]);
        assert_eq!(content.survivor(Fate::Synced).read(4_999, 2), [7, 7], "the cut was not synced");
        content.sync();
        assert_eq!(content.survivor(Fate::Synced).read(4_999, 5_001)[1..], [0; 5_000]);
    }

    #[test]
    fn only_synced_bytes_survive() {
        let mut content = Content::default();
        content.write(0, b"old old");
        content.sync();
        content.write(0, b"new");
        content.write(9_000, b"far");
        assert_eq!(content.survivor(Fate::Synced).read(0, 99), b"old old");
        let length_only = content.survivor(Fate::LengthOnly);
        assert_eq!((length_only.len(), length_only.read(0, 7)), (9_003, b"old old".to_vec()));
        assert_eq!(length_only.read(9_000, 3), [0, 0, 0]);
        assert_eq!(content.survivor(Fate::Live).read(9_000, 3), b"far");
    }

    #[test]
    fn a_torn_file_keeps_whole_pages_only() {
        let mut content = Content::default();
        content.write(0, &[1; 3 * PAGE_BYTES as usize]);
        let mut turns = [false, true, false, false].into_iter();
        let torn = content.torn_survivor(|| turns.next().unwrap_or(false));
        assert_eq!(torn.len(), 2 * PAGE_BYTES);
        assert_eq!(torn.read(PAGE_BYTES - 1, 2), [0, 1]);
    }
}
