//! The lines of a Dockerfile, as BuildKit's parser takes them apart.

use std::mem;

use dhow_base::{Error, Kind, Result};

/// An instruction.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Instruction {
    /// Its name, in small letters.
    pub(super) name: String,
    /// Words that begin with `--` behind the name, without these.
    pub(super) flags: Vec<String>,
    /// What follows them, without blanks around it.
    pub(super) rest: String,
    /// All behind the name, for who knows no such flags.
    pub(super) text: String,
}

/// Reads instructions, each of one line or of several whose ends say so with a backslash.
///
/// # Errors
/// [`Kind::Invalid`] when there is none, as in a comment alone.
pub(super) fn read(texts: &[String]) -> Result<Vec<Instruction>> {
    let (mut found, mut whole) = (Vec::new(), String::new());
    let mut is_inside = false;
    for line in texts.iter().flat_map(|text| text.split('\n')) {
        let line = if is_inside { line } else { line.trim_start() };
        if line.trim_start().starts_with('#') || (is_inside && line.trim().is_empty()) {
            continue;
        }
        let (line, goes_on) = without_continuation(line);
        whole.push_str(line);
        is_inside = goes_on;
        if !goes_on {
            found.extend(Instruction::parse(&mem::take(&mut whole)));
        }
    }
    found.extend(Instruction::parse(&whole));
    if found.is_empty() && !texts.is_empty() {
        return Err(Error::new(Kind::Invalid, "file with no instructions"));
    }
    Ok(found)
}

/// The line without a single backslash at its end, and whether there was one.
fn without_continuation(line: &str) -> (&str, bool) {
    match line.trim_end_matches([' ', '\t']).strip_suffix('\\') {
        Some(rest) if !rest.ends_with('\\') => (rest, true),
        _ => (line, false),
    }
}

impl Instruction {
    /// Nothing for an empty line.
    fn parse(line: &str) -> Option<Self> {
        let (name, all) = first_word(line.trim());
        let (mut rest, mut flags) = (all, Vec::new());
        while let Some(text) = rest.strip_prefix("--") {
            let (flag, behind) = first_word(text);
            rest = behind;
            if flag.is_empty() {
                break;
            }
            flags.push(flag.to_owned());
        }
        let (rest, text) = (rest.to_owned(), all.to_owned());
        (!name.is_empty()).then(|| Self { name: name.to_ascii_lowercase(), flags, rest, text })
    }
}

/// The first word, and what is behind the blanks after it.
pub(super) fn first_word(text: &str) -> (&str, &str) {
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    (word, rest.trim_start())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_taken_apart_as_buildkit_does() {
        let check = |texts: &[&str], expected: &str| {
            let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
            let got = match read(&texts) {
                Ok(found) => {
                    let shown = |one: &Instruction| format!("{} {:?} {}", one.name, one.flags, one.rest);
                    found.iter().map(shown).collect::<Vec<_>>().join(" | ")
                }
                Err(error) => error.to_string(),
            };
            assert_eq!(got, expected, "{texts:?}");
        };
        check(&[" CMD  a b "], "cmd [] a b");
        check(&["CMD\ta", "user b"], "cmd [] a | user [] b");
        check(&["CMD a \\\n  # a comment\n\n  b\nUSER x"], "cmd [] a   b | user [] x");
        check(&["CMD a \\"], "cmd [] a");
        check(&["CMD a \\\\"], "cmd [] a \\\\");
        check(&["# a comment\n\nCMD x"], "cmd [] x");
        check(&["# a comment"], "file with no instructions");
        check(&[""], "file with no instructions");
        check(
            &["HEALTHCHECK --interval=1s  --retries=2 CMD --x"],
            "healthcheck [\"interval=1s\", \"retries=2\"] CMD --x",
        );
        check(&["CMD -- --x"], "cmd [] --x");
    }
}
