//! A range that is read lies within the content and is not empty; a chunk's range does not overflow.
#![no_main]

use dhow_serve::range::{ChunkRange, Requested, requested};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&str, u64)| {
    let (header, size) = input;
    if let Requested::Part(range) = requested(header, size) {
        assert!(range.start < range.end && range.end <= size);
    }
    if let Some(chunk) = ChunkRange::parse(header) {
        assert!(chunk.length > 0);
        assert!(chunk.first.checked_add(chunk.length).is_some());
    }
});
