//! What a registry wants its user to know: `Warning: 299 - "text"` (distribution spec, "Warnings").
//!
//! Nothing is decided by a warning; it is only shown.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use reqwest::header::{HeaderMap, WARNING};

/// Most bytes of warnings that are shown in one run, all registries together: as many as the distribution spec lets one
/// answer have.
const SHOWN_BYTES_MAX: usize = 4096;

/// The warnings of one run: each is shown once.
#[derive(Debug, Default)]
pub(crate) struct Warnings {
    shown: Mutex<Shown>,
}

#[derive(Debug, Default)]
struct Shown {
    lines: HashSet<String>,
    bytes: usize,
}

impl Warnings {
    /// Shows what is new among the warnings of an answer. `domain` is who gave it: the text is anybody's, so it never
    /// stands alone.
    pub(crate) fn note(&self, domain: &str, headers: &HeaderMap) {
        for value in headers.get_all(WARNING) {
            for text in texts(&String::from_utf8_lossy(value.as_bytes())) {
                if let Some(line) = self.admit(domain, &text) {
                    tracing::warn!("{line}");
                }
            }
        }
    }

    /// The line to show, or `None` for one that was shown or finds no room any more.
    fn admit(&self, domain: &str, text: &str) -> Option<String> {
        let mut line = format!("{domain}: {}", text.trim());
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        line.truncate(line.floor_char_boundary(SHOWN_BYTES_MAX - shown.bytes));
        if line.len() <= domain.len() + 2 || !shown.lines.insert(line.clone()) {
            return None;
        }
        shown.bytes += line.len();
        Some(line)
    }
}

/// The texts of a header's value. The specification knows code 299, agent `-`, a quoted string and no date; whatever else
/// the header may hold (RFC 7234 §5.5), such as a cache's `110`, is passed over.
pub(crate) fn texts(value: &str) -> Vec<String> {
    let mut texts = Vec::new();
    let mut rest = value;
    // Only where a value may begin: at the start and behind the comma that ends another.
    while let Some((head, after)) = rest.split_once('"') {
        let Some((text, behind)) = quoted(after) else { break };
        if head.trim_start_matches([',', ' ', '\t']).split_ascii_whitespace().eq(["299", "-"]) {
            texts.push(text);
        }
        rest = behind;
    }
    texts
}

/// The text of a quoted string (RFC 9110 §5.6.4) behind its first quote, and what follows the last one.
fn quoted(value: &str) -> Option<(String, &str)> {
    let mut text = String::new();
    let mut characters = value.char_indices();
    while let Some((index, character)) = characters.next() {
        let character = match character {
            '"' => return Some((text, &value[index + 1..])),
            '\\' => characters.next()?.1,
            other => other,
        };
        if is_harmless(character) {
            text.push(character);
        }
    }
    None
}

/// Whether a character shows as itself: not one that controls the terminal or the direction of the text around it.
fn is_harmless(character: char) -> bool {
    let turns_text =
        matches!(character, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    !character.is_control() && !turns_text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_values_hold() {
        assert_eq!(texts(r#"299 - "Your token ends soon.""#), ["Your token ends soon."]);
        assert_eq!(texts(r#"299 - "a, \"b\" \\", 299 - "c""#), [r#"a, "b" \"#, "c"]);
        assert_eq!(texts(r#"110 cache "Response is Stale", 299 - "x""#), ["x"]);
        assert_eq!(texts(r#"299 - "dated" "Wed, 21 Oct 2015 07:28:00 GMT", 299 - "y""#), ["dated", "y"]);
        assert_eq!(texts("299 - \"\u{1b}[31mred\u{7}\u{202e}\ttext\""), ["[31mredtext"]);
        for other in
            ["", "299 - x", r#"299 - "open"#, r#"299 - "open\"#, r#"199 - "x""#, r#"299 host "x""#, r#"1299 - "x""#]
        {
            assert_eq!(texts(other), Vec::<String>::new(), "{other}");
        }
    }

    #[test]
    fn each_is_admitted_once_and_all_within_the_limit() {
        let warnings = Warnings::default();
        assert_eq!(warnings.admit("a", " old ").as_deref(), Some("a: old"));
        assert_eq!(warnings.admit("a", "old"), None);
        assert_eq!(warnings.admit("b", "old").as_deref(), Some("b: old"));
        assert_eq!(warnings.admit("a", ""), None);
        let long = "ä".repeat(SHOWN_BYTES_MAX);
        let cut = warnings.admit("a", &long).unwrap();
        assert!((SHOWN_BYTES_MAX - 13..=SHOWN_BYTES_MAX - 12).contains(&cut.len()), "{}", cut.len());
        assert_eq!(warnings.admit("a", "no room"), None);
    }

    proptest! {
        #[test]
        fn any_value_gives_harmless_texts(value in any::<String>(), domain in "[a-z.:0-9]{1,20}") {
            let warnings = Warnings::default();
            for text in texts(&value).into_iter().chain(texts(&format!("299 - \"{value}\""))) {
                prop_assert!(text.chars().all(is_harmless));
                warnings.admit(&domain, &text);
            }
            prop_assert!(warnings.shown.lock().unwrap().bytes <= SHOWN_BYTES_MAX);
        }
    }
}
