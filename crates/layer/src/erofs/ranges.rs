//! Which bytes of an outline are content.

use dhow_base::Result;

use super::format::{damaged, u64_at};

/// Most ranges that an outline may name: a table of 1 MiB.
const RANGES_MAX: usize = 1 << 16;

/// Bytes of a range in the table: where it begins, and the byte behind it.
const RANGE_BYTES: usize = 16;

/// Ranges of a file, in order and apart from each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ranges(Vec<(u64, u64)>);

impl Ranges {
    /// Whether no more can be added.
    pub(super) fn is_full(&self) -> bool {
        self.0.len() >= RANGES_MAX
    }

    /// Adds a range behind all others. With `joins` what lies between the last one and this belongs to them.
    pub(super) fn push(&mut self, start: u64, end: u64, joins: bool) {
        match self.0.last_mut() {
            Some(last) if joins || last.1 == start => last.1 = last.1.max(end),
            _ => self.0.push((start, end)),
        }
    }

    /// Whether all bytes from `start` to before `end` are there.
    pub(super) fn hold(&self, start: u64, end: u64) -> bool {
        let behind = self.0.partition_point(|range| range.0 <= start);
        start >= end || behind.checked_sub(1).is_some_and(|at| end <= self.0[at].1)
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        self.0.iter().flat_map(|(start, end)| [start.to_le_bytes(), end.to_le_bytes()].concat()).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Reads a table of `count` ranges, for which `read` fills a buffer.
    pub(super) fn decode(count: u32, read: impl FnOnce(&mut [u8]) -> Result<()>) -> Result<Self> {
        let count = usize::try_from(count).ok().filter(|count| *count <= RANGES_MAX);
        let mut bytes = vec![0; count.ok_or_else(|| damaged("it has too many ranges of content"))? * RANGE_BYTES];
        read(&mut bytes)?;
        let ranges: Vec<(u64, u64)> =
            bytes.chunks_exact(RANGE_BYTES).map(|range| (u64_at(range, 0), u64_at(range, 8))).collect();
        if ranges.is_sorted_by(|a, b| a.1 <= b.0) && ranges.iter().all(|range| range.0 <= range.1) {
            Ok(Self(ranges))
        } else {
            Err(damaged("its ranges of content are in no order"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held() {
        let mut ranges = Ranges::default();
        ranges.push(10, 20, false);
        ranges.push(20, 30, false);
        ranges.push(40, 50, true);
        ranges.push(60, 70, false);
        assert_eq!(ranges.0, [(10, 50), (60, 70)]);
        let held = |start, end| ranges.hold(start, end);
        assert!(held(10, 50) && held(15, 16) && held(60, 70) && held(5, 5));
        assert!(!held(9, 11) && !held(49, 51) && !held(50, 60) && !held(20, 65) && !held(70, 71));
        assert!(!Ranges::default().hold(0, 1));
    }

    #[test]
    fn tables_survive_and_disorder_is_refused() {
        let ranges = Ranges(vec![(4096, 5000), (6000, 6001)]);
        let read = |table: &[u8], count| {
            Ranges::decode(count, |bytes| {
                bytes.copy_from_slice(&table[..bytes.len()]);
                Ok(())
            })
        };
        assert_eq!(read(&ranges.encode(), 2).expect("its own table"), ranges);
        for wrong in [vec![(5, 4)], vec![(5, 9), (8, 10)], vec![(5, 6), (1, 2)]] {
            assert!(read(&Ranges(wrong.clone()).encode(), wrong.len() as u32).is_err(), "{wrong:?}");
        }
        assert!(read(&[], u32::MAX).is_err());
    }
}
