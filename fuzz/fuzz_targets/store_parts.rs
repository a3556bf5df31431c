//! Any bytes as the memory of a cut transfer: what is there and what is missing always make the whole.

#![no_main]

use dhow_store::fuzzing;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u32, u32, &[u8])| {
    let (size, on_disk, bytes) = (u64::from(input.0), u64::from(input.1), input.2);
    // With the right head in front, the fuzzer gets at the slots at once: the head of this version, and of the one before it.
    let head = |version: u8, length: usize| {
        let mut head = vec![0; length];
        head[..8].copy_from_slice(b"dhowpart");
        head[8] = version;
        head[16..24].copy_from_slice(&size.to_le_bytes());
        head
    };
    for bytes in [bytes.to_vec(), [&head(1, 32)[..], bytes].concat(), [&head(2, 1056)[..], bytes].concat()] {
        let (frontier, missing) = fuzzing::parts(&bytes, size, on_disk);
        assert!(frontier <= size.min(on_disk));
        let mut position = 0;
        for range in &missing {
            assert!(range.start >= position && range.start < range.end && range.end <= size);
            position = range.end;
        }
        assert_eq!(missing.first().map_or(size, |range| range.start), frontier);
        assert!(size - missing.iter().map(|range| range.end - range.start).sum::<u64>() <= on_disk.min(size));
    }
});
