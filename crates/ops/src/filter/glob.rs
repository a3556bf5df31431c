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
    glob(pattern, &reference.familiar()) || glob(pattern, reference.repository().familiar())
}

/// Matches the full name, with and without its tag or digest, or what is left of it from any part on (podman).
pub(super) fn matches_an_ending(pattern: &str, reference: &Reference) -> bool {
    let (named, bare) = (reference.to_string(), reference.repository().to_string());
    let endings = |text: &str| -> Vec<usize> { text.match_indices('/').map(|(at, _)| at + 1).chain([0]).collect() };
    [named, bare].iter().any(|text| endings(text).into_iter().any(|at| glob(pattern, &text[at..])))
}

/// `*` and `?` do not cross `/`, a class does; `[a-z]` and `[^a-z]` are classes; `\` escapes, in classes as well.
///
/// As in Go, what is between two stars is looked for from left to right and stays where it is found first, so that no
/// pattern takes long.
fn glob(pattern: &str, text: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let (mut pattern, mut text) = (pattern.as_slice(), text.as_bytes());
    while !pattern.is_empty() {
        let (is_starred, chunk, rest) = next_chunk(pattern);
        if is_starred && chunk.is_empty() {
            return !text.contains(&b'/');
        }
        // The last chunk has to reach the end.
        let found = |at: usize| after_chunk(chunk, &text[at..]).filter(|left| left.is_empty() || !rest.is_empty());
        let reach = if is_starred { text.iter().position(|byte| *byte == b'/').unwrap_or(text.len()) } else { 0 };
        // Go goes on by bytes here, not by characters.
        let Some(left) = (0..=reach).find_map(found) else { return false };
        (pattern, text) = (rest, left);
    }
    text.is_empty()
}

/// The stars that a pattern begins with, if any, what is before the next one, and what is from there on.
fn next_chunk(pattern: &[char]) -> (bool, &[char], &[char]) {
    let stars = pattern.iter().take_while(|c| **c == '*').count();
    let pattern = &pattern[stars..];
    let (mut in_class, mut at) = (false, 0);
    while let Some(c) = pattern.get(at) {
        match c {
            '\\' => at += 1,
            '[' => in_class = true,
            ']' => in_class = false,
            '*' if !in_class => break,
            _ => {}
        }
        at += 1;
    }
    let (chunk, rest) = pattern.split_at(at.min(pattern.len()));
    (stars > 0, chunk, rest)
}

/// What is left of a text that begins with what a chunk describes.
fn after_chunk<'t>(mut chunk: &[char], mut text: &'t [u8]) -> Option<&'t [u8]> {
    while !chunk.is_empty() {
        let (c, width) = first_character(text)?;
        chunk = match chunk {
            ['?', rest @ ..] if c != '/' => rest,
            ['?', ..] => return None,
            ['[', rest @ ..] => class(rest, c).filter(|(is_in, _)| *is_in)?.1,
            ['\\', literal, rest @ ..] | [literal, rest @ ..] if *literal == c => rest,
            _ => return None,
        };
        text = &text[width..];
    }
    Some(text)
}

/// The first character and its length in bytes; what is none counts as one of one byte (Go's `utf8.DecodeRune`).
fn first_character(text: &[u8]) -> Option<(char, usize)> {
    let longest = text.len().min(char::MAX.len_utf8());
    let whole = (1..=longest).find_map(|width| std::str::from_utf8(&text[..width]).ok()?.chars().next());
    match whole {
        Some(c) => Some((c, c.len_utf8())),
        None => (!text.is_empty()).then_some((char::REPLACEMENT_CHARACTER, 1)),
    }
}

/// Reads a character class after its `[`: whether it takes `c`, and what follows its `]`. `None` when malformed.
fn class(pattern: &[char], c: char) -> Option<(bool, &[char])> {
    let (is_negated, mut rest) = match pattern {
        ['^', tail @ ..] => (true, tail),
        _ => (false, pattern),
    };
    let (mut is_found, mut is_empty) = (false, true);
    loop {
        match rest {
            [']', tail @ ..] if !is_empty => return Some((is_found != is_negated, tail)),
            _ => {
                let (low, tail) = end_of_range(rest)?;
                let (high, tail) = match tail {
                    ['-', tail @ ..] => end_of_range(tail)?,
                    _ => (low, tail),
                };
                is_found |= (low..=high).contains(&c);
                is_empty = false;
                rest = tail;
            }
        }
    }
}

/// Reads one end of a range in a class. `None` where Go wants an escape, or something at all.
fn end_of_range(pattern: &[char]) -> Option<(char, &[char])> {
    match pattern {
        [] | ['-' | ']', ..] | ['\\'] => None,
        ['\\', escaped, tail @ ..] => Some((*escaped, tail)),
        [plain, tail @ ..] => Some((*plain, tail)),
    }
}

#[cfg(test)]
mod tests {
    use dhow_testkit::forgetful::{Random, chance};
    use dhow_testkit::peers::Go;

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
            // No second try for the first chunk, as in Go.
            ("*é[^?]*", "éé/", false),
            // Go's stars stop between the bytes of a character.
            ("*??", "€", true),
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

    const PROGRAM: &str = r#"
package main

import (
	"bufio"
	"fmt"
	"os"
	"path"
	"strings"
)

func main() {
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		pattern, name, _ := strings.Cut(lines.Text(), " ")
		matched, err := path.Match(pattern, name)
		if err != nil {
			fmt.Println(err)
		} else {
			fmt.Println(matched)
		}
	}
}
"#;

    #[test]
    fn patterns_by_chance_match_what_go_matches() {
        let go = match Go::compile(PROGRAM) {
            Ok(go) => go,
            Err(error) => {
                println!("skipped: {error}");
                return;
            }
        };
        let mut random = chance();
        let mut text = |alphabet: &[char], longest: u64| -> String {
            let pick = |random: &mut Random| alphabet[usize::try_from(random.below(alphabet.len() as u64)).unwrap()];
            (0..random.below(longest + 1)).map(|_| pick(&mut random)).collect()
        };
        let questions: Vec<String> = (0..50_000)
            .map(|_| {
                let pattern = text(&['a', 'b', 'é', '€', '/', '*', '?', '[', ']', '^', '-', '\\'], 8);
                format!("{pattern} {}", text(&['a', 'b', 'é', '€', '/', ']', '-'], 6))
            })
            .collect();
        let answers = go.answers(&questions).unwrap();
        for (question, answer) in questions.iter().zip(answers) {
            let (pattern, name) = question.split_once(' ').unwrap();
            let said = match checked(pattern) {
                Ok(pattern) => glob(&pattern, name).to_string(),
                Err(error) => error.to_string(),
            };
            assert_eq!(said, answer, "{pattern:?} on {name:?}");
        }
    }
}
