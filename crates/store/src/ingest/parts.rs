//! Which bytes of an ingest are on disk, and the small file that remembers it when the process is killed.
//!
//! The file is a head of 1,056 bytes, which also says where the bytes come from, and then slots of 16 bytes, each one range
//! (see `docs/formats/store.md`). After every write one slot is written in place: it grows with the part that is being
//! fetched, so there are about as many slots as parts. A slot is never ahead of the bytes. After a power cut it may be; the
//! digest tells then.

use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};

use dhow_base::Result;
use dhow_base::fs as durable;
use dhow_content::Origin;

const MAGIC: &[u8; 8] = b"dhowpart";
const VERSION: u32 = 2;

/// Where the text begins that says where the bytes come from; it ends the head.
const ORIGIN_AT: usize = 32;
const HEAD_BYTES: usize = ORIGIN_AT + Origin::BYTES_MAX;

/// The version before this one had no such text.
const VERSION_WITHOUT_ORIGIN: u32 = 1;
const SLOT_BYTES: usize = 16;

/// Most slots kept on disk. Ranges beyond that are fetched again after a crash.
const SLOTS_MAX: usize = 4096;

/// The longest file there can be.
pub(crate) const MAP_BYTES_MAX: u64 = (HEAD_BYTES + SLOTS_MAX * SLOT_BYTES) as u64;

/// The ranges of one blob that are there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Parts {
    /// Never empty ranges, none overlapping another, in the order they were begun.
    slots: Vec<Range<u64>>,
    frontier: u64,
}

impl Parts {
    /// Reads the file of a blob of `size` bytes of which `on_disk` are there. Anything that makes no sense counts as
    /// nothing there: the bytes are fetched again then.
    pub(crate) fn parse(bytes: &[u8], size: u64, on_disk: u64) -> Self {
        let mut parts = Self::default();
        let Some((_, slots)) = head_of(bytes, size) else { return parts };
        for slot in slots.chunks_exact(SLOT_BYTES).take(SLOTS_MAX) {
            let (Some(start), Some(end)) = (number(&slot[..8]), number(&slot[8..])) else { return Self::default() };
            let range = start..end.min(on_disk);
            if start > end || end > size || parts.overlaps(&range) {
                return Self::default();
            }
            if range.is_empty() {
                // The place stays taken, so that memory and disk agree on the numbers.
                parts.slots.push(start..start);
            } else {
                parts.slots.push(range);
            }
        }
        parts.advance();
        parts
    }

    /// Whether any byte of `range` is there.
    pub(crate) fn overlaps(&self, range: &Range<u64>) -> bool {
        self.slots.iter().any(|slot| !slot.is_empty() && slot.start < range.end && range.start < slot.end)
    }

    /// Adds bytes that were written. Returns the number of the slot that changed.
    fn add(&mut self, range: Range<u64>) -> usize {
        let index = match self.slots.iter().position(|slot| slot.end == range.start) {
            Some(index) => {
                self.slots[index].end = range.end;
                index
            }
            None => {
                self.slots.push(range);
                self.slots.len() - 1
            }
        };
        self.advance();
        index
    }

    fn advance(&mut self) {
        while let Some(next) = self.slots.iter().find(|slot| slot.start <= self.frontier && self.frontier < slot.end) {
            self.frontier = next.end;
        }
    }

    /// How many bytes are there without a gap from the beginning.
    pub(crate) fn frontier(&self) -> u64 {
        self.frontier
    }

    /// What is missing of a blob of `size` bytes, ascending.
    pub(crate) fn missing(&self, size: u64) -> Vec<Range<u64>> {
        let mut there: Vec<&Range<u64>> = self.slots.iter().filter(|slot| !slot.is_empty()).collect();
        there.sort_by_key(|slot| slot.start);
        let mut missing = Vec::new();
        let mut position = 0;
        for slot in there {
            if slot.start > position {
                missing.push(position..slot.start);
            }
            position = position.max(slot.end);
        }
        if position < size {
            missing.push(position..size);
        }
        missing
    }
}

/// The head of the file of a blob of `size` bytes, and the slots behind it.
fn head_of(bytes: &[u8], size: u64) -> Option<(&[u8], &[u8])> {
    let version = u32::from_le_bytes(bytes.get(8..12)?.try_into().ok()?);
    let length = match version {
        VERSION => HEAD_BYTES,
        VERSION_WITHOUT_ORIGIN => ORIGIN_AT,
        _ => return None,
    };
    let (head, slots) = bytes.split_at_checked(length)?;
    (head[..8] == *MAGIC && head[16..24] == size.to_le_bytes()).then_some((head, slots))
}

/// Where the bytes come from, as the head says.
fn origin_in(bytes: &[u8], size: u64) -> Option<Origin> {
    let (head, _) = head_of(bytes, size)?;
    let length = u32::from_le_bytes(head[12..16].try_into().ok()?);
    let text = head.get(ORIGIN_AT..)?.get(..usize::try_from(length).ok()?)?;
    Origin::new(std::str::from_utf8(text).ok()?.to_owned())
}

fn head(size: u64, origin: Option<&Origin>) -> [u8; HEAD_BYTES] {
    let mut head = [0; HEAD_BYTES];
    head[..8].copy_from_slice(MAGIC);
    head[8..12].copy_from_slice(&VERSION.to_le_bytes());
    head[16..24].copy_from_slice(&size.to_le_bytes());
    let text = origin.map(Origin::as_str).unwrap_or_default().as_bytes();
    // An origin is never longer than the room for it.
    head[12..16].copy_from_slice(&u32::try_from(text.len()).unwrap_or_default().to_le_bytes());
    head[ORIGIN_AT..ORIGIN_AT + text.len()].copy_from_slice(text);
    head
}

fn slot_of(range: &Range<u64>) -> [u8; SLOT_BYTES] {
    let mut slot = [0; SLOT_BYTES];
    slot[..8].copy_from_slice(&range.start.to_le_bytes());
    slot[8..].copy_from_slice(&range.end.to_le_bytes());
    slot
}

fn number(bytes: &[u8]) -> Option<u64> {
    bytes.try_into().ok().map(u64::from_le_bytes)
}

/// The file that remembers [`Parts`], and where they come from.
#[derive(Debug)]
pub(crate) struct PartsFile {
    path: PathBuf,
    file: File,
    size: u64,
}

impl PartsFile {
    /// Opens the file and reads what is there of a blob of `size` bytes, and where it came from.
    pub(crate) fn open(path: &Path, size: u64, on_disk: u64) -> Result<(Self, Parts, Option<Origin>)> {
        let file = durable::open_or_create(path)?;
        // A file too long to be one is none.
        let bytes = durable::read_limited(path, MAP_BYTES_MAX).unwrap_or_default();
        let parts = Parts::parse(&bytes, size, on_disk);
        let origin = origin_in(&bytes, size).filter(|_| !parts.slots.is_empty());
        let this = Self { path: path.to_owned(), file, size };
        let is_current = bytes.get(8..12) == Some(VERSION.to_le_bytes().as_slice());
        if parts.slots.is_empty() || !is_current {
            durable::set_length(&this.file, &this.path, 0)?;
            let mut bytes = head(size, None).to_vec();
            parts.slots.iter().for_each(|range| bytes.extend(slot_of(range)));
            durable::write_at(&this.file, &this.path, &bytes, 0)?;
        }
        Ok((this, parts, origin))
    }

    /// Notes where the bytes come from.
    pub(crate) fn note_origin(&self, origin: Option<&Origin>) -> Result<()> {
        durable::write_at(&self.file, &self.path, &head(self.size, origin), 0)
    }

    /// Notes that `range` was written.
    pub(crate) fn add(&self, parts: &mut Parts, range: Range<u64>) -> Result<()> {
        let index = parts.add(range);
        if index >= SLOTS_MAX {
            return Ok(());
        }
        let slot = slot_of(&parts.slots[index]);
        durable::write_at(&self.file, &self.path, &slot, (HEAD_BYTES + index * SLOT_BYTES) as u64)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bytes_of(parts: &Parts, size: u64) -> Vec<u8> {
        let mut bytes = head(size, None).to_vec();
        parts.slots.iter().for_each(|slot| bytes.extend(slot_of(slot)));
        bytes
    }

    #[test]
    fn parts_in_any_order_leave_the_gaps() {
        let mut parts = Parts::default();
        for range in [50..60, 0..10, 60..70, 20..30] {
            parts.add(range);
        }
        assert_eq!(parts.missing(100), [10..20, 30..50, 70..100]);
        assert_eq!(parts.frontier(), 10);
        parts.add(10..20);
        assert_eq!(parts.frontier(), 30);
        assert_eq!(Parts::parse(&bytes_of(&parts, 100), 100, 100), parts);
    }

    #[test]
    fn where_the_bytes_come_from_is_kept_with_them() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("map");
        let open = || PartsFile::open(&path, 100, 100).expect("the file");
        let origin = Origin::new("registry\nhttps://server\n\"tag\"".to_owned());
        let (file, mut parts, none) = open();
        assert_eq!(none, None);
        file.note_origin(origin.as_ref()).expect("noted");
        file.add(&mut parts, 0..10).expect("noted");
        let (file, parts, found) = open();
        assert_eq!(found, origin);
        assert_eq!(parts.missing(100), std::iter::once(10..100).collect::<Vec<_>>());
        file.note_origin(None).expect("noted");
        assert_eq!(open().2, None);
        // Without bytes, it says nothing.
        file.note_origin(origin.as_ref()).expect("noted");
        assert_eq!(PartsFile::open(&path, 99, 100).expect("another blob").2, None);
        assert_eq!(open().2, None);
    }

    #[test]
    #[allow(clippy::disallowed_methods, reason = "the file of an older program")]
    fn the_file_of_the_version_before_is_taken_over() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("map");
        let mut old = head(100, None)[..ORIGIN_AT].to_vec();
        old[8] = 1;
        [0..10_u64, 50..60].iter().for_each(|range| old.extend(slot_of(range)));
        std::fs::write(&path, &old).expect("a file");
        for _ in 0..2 {
            let (_, parts, origin) = PartsFile::open(&path, 100, 100).expect("the file");
            assert_eq!((parts.missing(100), origin), (vec![10..50, 60..100], None));
        }
        let (file, mut parts, _) = PartsFile::open(&path, 100, 100).expect("the file");
        file.add(&mut parts, 10..20).expect("noted");
        let (_, parts, _) = PartsFile::open(&path, 100, 100).expect("the file");
        assert_eq!(parts.missing(100), [20..50, 60..100]);
    }

    #[test]
    fn what_makes_no_sense_is_nothing() {
        let mut parts = Parts::default();
        parts.add(0..10);
        let bytes = bytes_of(&parts, 100);
        assert_eq!(Parts::parse(&bytes, 99, 100), Parts::default(), "another size");
        assert_eq!(Parts::parse(&bytes[..HEAD_BYTES - 1], 100, 100), Parts::default(), "cut in the head");
        assert_eq!(Parts::parse(&bytes, 100, 4).missing(100), std::iter::once(4..100).collect::<Vec<_>>(), "data cut");
        parts.slots.push(5..20);
        assert_eq!(Parts::parse(&bytes_of(&parts, 100), 100, 100), Parts::default(), "overlap");
        let backwards = [&bytes[..], &[0xff; 8], &20_u64.to_le_bytes()].concat();
        assert_eq!(Parts::parse(&backwards, 100, 100), Parts::default(), "begins behind its end");
    }

    proptest! {
        #[test]
        fn any_bytes_parse(bytes in proptest::collection::vec(any::<u8>(), 0..200), size in 0_u64..1000) {
            let mut file = head(size, None).to_vec();
            file.extend(&bytes);
            for bytes in [&bytes, &file] {
                let parts = Parts::parse(bytes, size, size);
                let missing: u64 = parts.missing(size).iter().map(|range| range.end - range.start).sum();
                prop_assert!(missing <= size && parts.frontier() <= size);
            }
        }

        #[test]
        fn missing_and_there_make_the_whole(cuts in proptest::collection::btree_set(1_u64..1000, 0..20), pick in any::<u32>()) {
            let mut bounds: Vec<u64> = std::iter::once(0).chain(cuts).chain([1000]).collect();
            bounds.dedup();
            let mut parts = Parts::default();
            let mut expected = 0;
            for (index, pair) in bounds.windows(2).enumerate() {
                if pick >> (index % 32) & 1 == 1 {
                    expected += pair[1] - pair[0];
                    parts.add(pair[0]..pair[1]);
                }
            }
            let missing: u64 = parts.missing(1000).iter().map(|range| range.end - range.start).sum();
            prop_assert_eq!(missing + expected, 1000);
            prop_assert_eq!(parts.frontier(), parts.missing(1000).first().map_or(1000, |range| range.start));
        }
    }
}
