//! Any bytes as an archive: no panic, and nothing is read that the archive does not hold.

#![no_main]

use std::io::Cursor;

use dhow_layout::{Archive, ArchiveInput};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let spool = std::env::temp_dir();
    let Ok(archive) = Archive::open(ArchiveInput::Stream(Box::new(Cursor::new(bytes.to_vec()))), &spool) else { return };
    for image in archive.images() {
        let _ = archive.is_complete(&image.root);
        let _ = futures::executor::block_on(dhow_content::read_document(&archive, &image.root));
    }
});
