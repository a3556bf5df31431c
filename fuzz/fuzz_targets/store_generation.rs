//! Any bytes as the beginning of `index.json`: no panic, and a number that is found stands there.

#![no_main]

use dhow_store::fuzzing;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Some(generation) = fuzzing::generation(bytes) {
        let text = String::from_utf8_lossy(bytes);
        assert!(text.contains("\"dhow.generation\":\"") && text.contains(&generation.unsigned_abs().to_string()));
    }
});
