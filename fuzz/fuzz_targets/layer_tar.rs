//! Any bytes through the tar reader: no panic, no name that leaves the root, no data outside of the stream.

#![no_main]

use dhow_layer::tar::{EntryKind, TarLimits, TarReader};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut reader = TarReader::new(bytes, "fuzz", TarLimits::LAYER);
    let mut end = 0;
    while let Ok(Some(entry)) = reader.next_entry() {
        assert!(!entry.path.components().any(|component| matches!(component, b"." | b".." | b"")));
        assert!(entry.header_offset >= end && entry.data_offset > entry.header_offset);
        end = entry.data_offset.saturating_add(entry.stored_bytes);
        if let EntryKind::File { size, sparse: Some(map) } = &entry.kind {
            assert_eq!(map.extents().iter().map(|extent| extent.length).sum::<u64>(), entry.stored_bytes);
            assert!(map.extents().iter().all(|extent| extent.offset + extent.length <= *size));
        }
        let mut read = 0;
        while let Ok(chunk) = reader.data() {
            if chunk.is_empty() {
                break;
            }
            read += chunk.len() as u64;
        }
        assert!(read <= entry.stored_bytes);
    }
});
