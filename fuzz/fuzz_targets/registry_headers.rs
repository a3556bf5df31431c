//! Any headers of a registry's answers, and any answer of a token service: no panic, nothing that moves the cursor, and what is
//! read of a text can be written and read again.

#![no_main]

use std::time::Duration;

use dhow_registry::fuzzing;
use libfuzzer_sys::fuzz_target;
use reqwest::header::{HeaderMap, HeaderValue};

const NAMES: [&str; 6] =
    ["retry-after", "x-retry-after", "x-ratelimit-reset", "ratelimit-reset", "ratelimit-limit", "ratelimit-remaining"];

fuzz_target!(|input: (&str, [Option<&[u8]>; 6], &[u8])| {
    let (text, values, body) = input;
    let mut headers = HeaderMap::new();
    for (name, value) in NAMES.into_iter().zip(values) {
        if let Some(Ok(value)) = value.map(HeaderValue::from_bytes) {
            headers.insert(name, value);
        }
    }
    let (pause, words) = fuzzing::pause(&headers);
    assert!(pause.is_none() || words.is_some() || pause >= Some(Duration::from_secs(365 * 86_400)));
    let _ = fuzzing::limit("registry.example", &headers);

    for warning in fuzzing::warnings(text) {
        assert!(!warning.chars().any(char::is_control));
        let written = format!("299 - \"{}\"", warning.replace('\\', "\\\\").replace('"', "\\\""));
        assert_eq!(fuzzing::warnings(&written), [warning]);
    }
    if let Some(target) = fuzzing::next_link(text) {
        assert_eq!(fuzzing::next_link(&format!("<{target}>; rel=\"next\"")), Some(target));
    }
    if let Some(range) = fuzzing::content_range(text) {
        let (first, last, total) = range;
        let total = total.map_or("*".to_owned(), |total| total.to_string());
        assert_eq!(fuzzing::content_range(&format!("bytes {first}-{last}/{total}")), Some(range));
    }
    if let Some(offset) = fuzzing::upload_offset(text).filter(|offset| (1..u64::MAX).contains(offset)) {
        assert_eq!(fuzzing::upload_offset(&format!("0-{}", offset - 1)), Some(offset));
    }
    assert!(fuzzing::token_length(body).is_none_or(|length| (1..=body.len()).contains(&length)));
});
