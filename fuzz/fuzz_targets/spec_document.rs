//! A document that parses keeps its bytes, is a manifest or an index but never both, and survives being rewritten.
#![no_main]

use dhow_spec::document::{Body, Document, DocumentError};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|bytes: &[u8]| {
    let Ok(document) = Document::parse(bytes, None) else { return };
    assert_eq!(document.bytes(), bytes);
    // A reader with a plain parser sees the same parts.
    let plain: Value = serde_json::from_slice(bytes).expect("strict JSON is JSON");
    assert!(plain.get("manifests").is_none() || document.as_index().is_some());
    assert!(plain.get("config").is_none() || document.as_manifest().is_some());

    let rewritten = match document.body().clone() {
        Body::Manifest(manifest) => Document::from_manifest(manifest),
        Body::Index(index) => Document::from_index(index),
    };
    match rewritten {
        Ok(rewritten) => assert_eq!(rewritten.body(), document.body()),
        // Escapes in strings may make the rewritten text longer than the limit.
        Err(DocumentError::TooLarge(_)) => {}
        Err(error) => panic!("cannot rewrite a valid document: {error}"),
    }
});
