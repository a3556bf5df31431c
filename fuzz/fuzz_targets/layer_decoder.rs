//! Any bytes through the decoder: no panic, and never more output than allowed.

#![no_main]

use std::io::Read;

use dhow_layer::{Decoder, Limits};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    const OUTPUT_BYTES_MAX: u64 = 1 << 20;
    let Ok(mut decoder) = Decoder::new(bytes, Limits::bytes(OUTPUT_BYTES_MAX)) else { return };
    let mut output = Vec::new();
    if decoder.read_to_end(&mut output).is_ok() {
        assert!(output.len() as u64 <= OUTPUT_BYTES_MAX);
        assert_eq!(decoder.bytes_out(), output.len() as u64);
        assert_eq!(decoder.bytes_in(), bytes.len() as u64);
    }
});
