//! What the fuzz targets reach into. Not part of the interface.

use std::time::Duration;

use reqwest::header::HeaderMap;

/// What headers say of when to come back: how long to wait, and the words about it.
pub fn pause(headers: &HeaderMap) -> (Option<Duration>, Option<String>) {
    (crate::courtesy::reset(headers), crate::courtesy::refusal(headers))
}

/// What to tell of a limit of which little is left.
pub fn limit(domain: &str, headers: &HeaderMap) -> Option<String> {
    crate::courtesy::low(domain, headers)
}

/// The texts of a `Warning` header.
pub fn warnings(value: &str) -> Vec<String> {
    crate::warning::texts(value)
}

/// The target of one link of a `Link` header, when its relation is `next`.
pub fn next_link(link: &str) -> Option<&str> {
    crate::tags::next_target(link)
}

/// `Content-Range: bytes 5-9/100`.
pub fn content_range(value: &str) -> Option<(u64, u64, Option<u64>)> {
    crate::blob::parse_content_range(value)
}

/// How many bytes an upload has: `Range: 0-99`.
pub fn upload_offset(value: &str) -> Option<u64> {
    crate::upload::offset_of(value)
}

/// How long the token of a token service's answer is, in bytes.
pub fn token_length(body: &[u8]) -> Option<usize> {
    crate::token::of_answer(body.to_vec()).ok().map(|token| token.access.expose().len())
}
