//! What is written down of a pushed manifest for its subject is read back, and says of it what the body said.
#![no_main]

use dhow_serve::referrers::descriptor;
use dhow_spec::{Algorithm, Descriptor, Document, MediaType};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (Option<&str>, &[u8])| {
    let (declared, body) = input;
    let declared = declared.map(MediaType::parse);
    let Ok(document) = Document::parse(body.to_vec(), declared.as_ref()) else { return };
    let digest = document.digest(Algorithm::Sha256);
    let record = descriptor(&document, &digest, body.len() as u64).expect("a descriptor is always JSON");
    let read: Descriptor = serde_json::from_slice(&record).expect("what was written is read back");
    assert_eq!((&read.digest, read.size, &read.media_type), (&digest, body.len() as u64, document.media_type()));
    // A repository holds the record for ever: it is no longer than what was sent.
    assert!(record.len() <= body.len() * 6 + 512, "{} bytes of {}", record.len(), body.len());
});
