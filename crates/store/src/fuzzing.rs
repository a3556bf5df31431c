//! What the fuzz targets reach into. Not part of the interface.

use std::ops::Range;

use crate::ingest::Parts;

/// Reads the file that remembers which bytes of a blob are there. Returns how many are there without a gap from the
/// beginning, and what is missing.
pub fn parts(bytes: &[u8], size: u64, on_disk: u64) -> (u64, Vec<Range<u64>>) {
    let parts = Parts::parse(bytes, size, on_disk);
    (parts.frontier(), parts.missing(size))
}

/// Reads the generation out of the first bytes of an `index.json`.
pub fn generation(head: &[u8]) -> Option<i64> {
    crate::view::parse_generation(head)
}
