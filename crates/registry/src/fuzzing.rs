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

/// The target of the first link of a `Link` header whose relation is `next`.
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;
    use reqwest::header::HeaderValue;

    use super::*;

    const NAMES: [&str; 6] = [
        "retry-after",
        "x-retry-after",
        "x-ratelimit-reset",
        "ratelimit-reset",
        "ratelimit-limit",
        "ratelimit-remaining",
    ];

    /// Texts that are nearly what the parsers look for, and any others.
    fn text() -> impl Strategy<Value = String> {
        prop_oneof![
            "[-0-9;w=. ,GMTa-z:]{0,24}",
            r#"(299|[0-9]{1,4}) [-a-z.]{0,6} ?"[ -~\n\t\x1b]{0,20}"?,? ?(299 - "[a-z]{0,9}")?"#,
            r#"<?[/a-z?=&.:]{0,20}>?; ?(rel=)?"?(next|prev)?"?"#,
            "(bytes )?[0-9]{0,20}-[0-9]{0,20}(/([0-9]{0,20}|\\*))?",
            any::<String>(),
        ]
    }

    proptest! {
        /// What the fuzz target `registry_headers` says of any input, tried in every run of the tests.
        #[test]
        fn headers_of_answers(text in text(), values in proptest::collection::vec(proptest::option::of(text()), 6)) {
            let mut headers = HeaderMap::new();
            for (name, value) in NAMES.into_iter().zip(&values) {
                if let Some(Ok(value)) = value.as_ref().map(|value| HeaderValue::from_bytes(value.as_bytes())) {
                    headers.insert(name, value);
                }
            }
            let (pause, words) = pause(&headers);
            prop_assert!(pause.is_none() || words.is_some() || pause >= Some(Duration::from_secs(365 * 86_400)));
            let _ = limit("registry.example", &headers);
            for warning in warnings(&text) {
                prop_assert!(!warning.chars().any(char::is_control));
                let written = format!("299 - \"{}\"", warning.replace('\\', "\\\\").replace('"', "\\\""));
                prop_assert_eq!(warnings(&written), [warning]);
            }
            if let Some(target) = next_link(&text) {
                let link = format!("<{target}>; rel=\"next\"");
                prop_assert_eq!(next_link(&link), Some(target));
            }
            if let Some((first, last, total)) = content_range(&text) {
                let total_text = total.map_or("*".to_owned(), |total| total.to_string());
                let again = content_range(&format!("bytes {first}-{last}/{total_text}"));
                prop_assert_eq!(again, Some((first, last, total)));
            }
            if let Some(offset) = upload_offset(&text).filter(|offset| (1..u64::MAX).contains(offset)) {
                prop_assert_eq!(upload_offset(&format!("0-{}", offset - 1)), Some(offset));
            }
            prop_assert!(token_length(text.as_bytes()).is_none_or(|length| (1..=text.len()).contains(&length)));
        }
    }
}
