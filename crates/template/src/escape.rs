//! `html`, `js` and `urlquery`.

use crate::quote;

/// Escapes what HTML gives a meaning to.
pub(crate) fn html(text: &[u8]) -> Vec<u8> {
    let mut escaped = Vec::with_capacity(text.len());
    for byte in text {
        match byte {
            0 => escaped.extend_from_slice("\u{fffd}".as_bytes()),
            b'"' => escaped.extend_from_slice(b"&#34;"),
            b'\'' => escaped.extend_from_slice(b"&#39;"),
            b'&' => escaped.extend_from_slice(b"&amp;"),
            b'<' => escaped.extend_from_slice(b"&lt;"),
            b'>' => escaped.extend_from_slice(b"&gt;"),
            other => escaped.push(*other),
        }
    }
    escaped
}

/// Escapes for a string of JavaScript.
pub(crate) fn js(text: &[u8]) -> Vec<u8> {
    let mut escaped = Vec::with_capacity(text.len());
    for (character, raw) in quote::characters(text) {
        match character {
            // Go shows a byte that is no UTF-8 as it is: the character that stands for it is printable.
            None => escaped.extend_from_slice(raw),
            Some(quoted @ ('\\' | '\'' | '"')) => escaped.extend_from_slice(format!("\\{quoted}").as_bytes()),
            Some(meant @ ('<' | '>' | '&' | '=' | '\0'..='\u{1f}')) => {
                escaped.extend_from_slice(format!("\\u{:04X}", u32::from(meant)).as_bytes());
            }
            Some(other) if other.is_ascii() || quote::is_printable(other) => escaped.extend_from_slice(raw),
            Some(other) => escaped.extend_from_slice(format!("\\u{:04X}", u32::from(other)).as_bytes()),
        }
    }
    escaped
}

/// Escapes for the query of a URL.
pub(crate) fn url_query(text: &[u8]) -> Vec<u8> {
    let mut escaped = Vec::with_capacity(text.len());
    for byte in text {
        match byte {
            b' ' => escaped.push(b'+'),
            b'-' | b'_' | b'.' | b'~' => escaped.push(*byte),
            other if other.is_ascii_alphanumeric() => escaped.push(*other),
            other => escaped.extend_from_slice(format!("%{other:02X}").as_bytes()),
        }
    }
    escaped
}
