//! Any error body: no panic, a message of bounded length, and nothing in it that moves the cursor.

#![no_main]

use dhow_registry::WireError;
use libfuzzer_sys::fuzz_target;
use reqwest::StatusCode;
use reqwest::header::HeaderMap;

fuzz_target!(|input: (u16, &[u8])| {
    let (status, body) = input;
    let Ok(status) = StatusCode::from_u16(400 + status % 200) else { return };
    let error = WireError::read(status, &HeaderMap::new(), body);
    let message = error.message();
    assert!(message.len() < 200_000);
    assert!(message.chars().all(|character| !character.is_control() || character == '\n'));
    let _ = error.kind();
});
