//! Patterns of names: Go's `path.Match`.

use dhow_base::{Error, Kind, Result};
use dhow_spec::Reference;

/// A pattern that can be matched.
///
/// # Errors
/// [`Kind::Invalid`] in Go's words for one that is malformed.
pub(super) fn checked(pattern: &str) -> Result<String> {
    let characters: Vec<char> = pattern.chars().collect();
    let mut rest = characters.as_slice();
    loop {
        rest = match rest {
            [] => return Ok(pattern.to_owned()),
            ['[', tail @ ..] => match class(tail, 'x') {
                Some((_, tail)) => tail,
                None => return Err(malformed()),
            },
            ['\\'] => return Err(malformed()),
            ['\\', _, tail @ ..] | [_, tail @ ..] => tail,
        };
    }
}

fn malformed() -> Error {
    Error::new(Kind::Invalid, "syntax error in pattern")
}

/// Matches the familiar name with tag, then without it (distribution/reference `FamiliarMatch`).
pub(super) fn matches(pattern: &str, reference: &Reference) -> bool {
    glob(pattern, &reference.familiar()) || glob(pattern, &reference.repository().familiar())
}

/// `*` and `?` do not cross `/`; `[a-z]` and `[^a-z]` are classes; `\` escapes.
fn glob(pattern: &str, text: &str) -> bool {
    glob_chars(&pattern.chars().collect::<Vec<_>>(), &text.chars().collect::<Vec<_>>())
}

fn glob_chars(pattern: &[char], text: &[char]) -> bool {
    match pattern.first() {
        None => text.is_empty(),
        Some('*') => {
            let reach = text.iter().position(|c| *c == '/').unwrap_or(text.len());
            (0..=reach).any(|skipped| glob_chars(&pattern[1..], &text[skipped..]))
        }
        Some('?') => text.first().is_some_and(|c| *c != '/') && glob_chars(&pattern[1..], &text[1..]),
        Some('[') => match (text.first(), class(&pattern[1..], text.first().copied().unwrap_or('/'))) {
            (Some(c), Some((true, rest))) if *c != '/' => glob_chars(rest, &text[1..]),
            _ => false,
        },
        Some('\\') if pattern.len() > 1 => text.first() == pattern.get(1) && glob_chars(&pattern[2..], &text[1..]),
        Some(literal) => text.first() == Some(literal) && glob_chars(&pattern[1..], &text[1..]),
    }
}

/// Reads a character class after its `[`: whether it takes `c`, and what follows its `]`. `None` when malformed.
fn class(pattern: &[char], c: char) -> Option<(bool, &[char])> {
    let negated = pattern.first() == Some(&'^');
    let mut rest = if negated { &pattern[1..] } else { pattern };
    let (mut found, mut first) = (false, true);
    loop {
        match rest {
            [']', tail @ ..] if !first => return Some((found != negated, tail)),
            [low, '-', high, tail @ ..] if *high != ']' => {
                found |= (*low..=*high).contains(&c);
                rest = tail;
            }
            [']', ..] | [] => return None,
            [single, tail @ ..] => {
                found |= *single == c;
                rest = tail;
            }
        }
        first = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_are_those_of_path_match() {
        for (pattern, text, expected) in [
            ("alpine*", "alpine:3.20", true),
            ("*", "acme/web:v1", false),
            ("*/*:v?", "acme/web:v1", true),
            ("al[a-z]ine", "alpine", true),
            ("al[^a-z]ine", "alpine", false),
            ("\\*", "*", true),
            ("", "", true),
            ("**", "abc", true),
        ] {
            assert!(checked(pattern).is_ok(), "{pattern}");
            assert_eq!(glob(pattern, text), expected, "{pattern} on {text}");
        }
    }

    #[test]
    fn malformed_patterns_are_refused() {
        for pattern in ["al[pq", "[]a]", "[", "a\\", "[^"] {
            assert_eq!(checked(pattern).unwrap_err().to_string(), "syntax error in pattern", "{pattern}");
        }
    }
}
