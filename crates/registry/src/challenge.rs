//! `WWW-Authenticate` (RFC 9110 §11.6.1): what a server wants to see before it answers.

use reqwest::header::{HeaderMap, WWW_AUTHENTICATE};

/// Most challenges that are read from one answer, and most parameters from one challenge.
const COUNT_MAX: usize = 32;

/// One challenge: a scheme and its parameters, names in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// `basic`, `bearer`, …, in lower case.
    pub scheme: String,
    /// Parameters in the order they came.
    pub parameters: Vec<(String, String)>,
}

impl Challenge {
    /// The first parameter of that name (in lower case).
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// All challenges of an answer.
pub(crate) fn challenges(headers: &HeaderMap) -> Vec<Challenge> {
    let lines = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(parse).take(COUNT_MAX).collect()
}

/// Reads one `WWW-Authenticate` line, which may hold several challenges.
///
/// What cannot be read ends the list: a half-understood challenge must not be answered.
pub fn parse(line: &str) -> Vec<Challenge> {
    let mut scanner = Scanner { rest: line };
    let mut found: Vec<Challenge> = Vec::new();
    while found.len() < COUNT_MAX {
        scanner.skip_separators();
        let Some(scheme) = scanner.token() else { break };
        let mut challenge = Challenge { scheme: scheme.to_ascii_lowercase(), parameters: Vec::new() };
        let understood = scanner.parameters(&mut challenge.parameters);
        found.push(challenge);
        if !understood {
            // A parameter without an end: drop the challenge it belongs to.
            found.pop();
            break;
        }
    }
    found
}

struct Scanner<'a> {
    rest: &'a str,
}

impl<'a> Scanner<'a> {
    fn skip_spaces(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t']);
    }

    fn skip_separators(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', ',']);
    }

    fn token(&mut self) -> Option<&'a str> {
        let end = self.rest.find(|c: char| !is_token_char(c)).unwrap_or(self.rest.len());
        let (token, rest) = self.rest.split_at(end);
        self.rest = rest;
        (!token.is_empty()).then_some(token)
    }

    /// Reads `name=value, …` up to the next challenge or the end; `false` when the text breaks off.
    fn parameters(&mut self, parameters: &mut Vec<(String, String)>) -> bool {
        loop {
            let before = self.rest;
            self.skip_separators();
            let Some(name) = self.token() else {
                return self.rest.is_empty();
            };
            self.skip_spaces();
            let Some(rest) = self.rest.strip_prefix('=') else {
                // Not a parameter but the scheme of the next challenge.
                self.rest = before;
                return true;
            };
            self.rest = rest;
            self.skip_spaces();
            let Some(value) = self.value() else { return false };
            if parameters.len() < COUNT_MAX {
                parameters.push((name.to_ascii_lowercase(), value));
            }
        }
    }

    fn value(&mut self) -> Option<String> {
        match self.rest.strip_prefix('"') {
            Some(rest) => {
                self.rest = rest;
                self.quoted()
            }
            None => self.unquoted(),
        }
    }

    /// A value without quotes. More than token characters are taken, since servers forget the quotes around URLs.
    fn unquoted(&mut self) -> Option<String> {
        let end = self.rest.find([',', ' ', '\t', '"']).unwrap_or(self.rest.len());
        let (value, rest) = self.rest.split_at(end);
        self.rest = rest;
        (!value.is_empty()).then(|| value.to_owned())
    }

    fn quoted(&mut self) -> Option<String> {
        let mut value = String::new();
        let mut characters = self.rest.char_indices();
        while let Some((index, character)) = characters.next() {
            match character {
                '"' => {
                    self.rest = &self.rest[index + 1..];
                    return Some(value);
                }
                '\\' => value.push(characters.next()?.1),
                other => value.push(other),
            }
        }
        None
    }
}

/// RFC 9110 §5.6.2.
fn is_token_char(character: char) -> bool {
    character.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(character)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn bearer_with_commas_inside_quotes() {
        let line = r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push""#;
        let found = parse(line);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].scheme, "bearer");
        assert_eq!(found[0].parameter("realm"), Some("https://auth.docker.io/token"));
        assert_eq!(found[0].parameter("scope"), Some("repository:a/b:pull,push"));
    }

    #[test]
    fn several_challenges_on_one_line() {
        let found = parse(r#"Negotiate, Basic realm="a \"b\"" , BEARER realm=https://x/y?z=1,Service = s"#);
        let schemes: Vec<&str> = found.iter().map(|challenge| challenge.scheme.as_str()).collect();
        assert_eq!(schemes, ["negotiate", "basic", "bearer"]);
        assert_eq!(found[1].parameter("realm"), Some(r#"a "b""#));
        assert_eq!(found[2].parameter("realm"), Some("https://x/y?z=1"));
        assert_eq!(found[2].parameter("service"), Some("s"));
    }

    #[test]
    fn broken_challenges_are_dropped() {
        assert_eq!(parse(""), []);
        assert_eq!(parse(r#"Bearer realm="no end"#), []);
        assert_eq!(parse(r#"Bearer realm="#), []);
        assert_eq!(parse("Basic realm=\"x\", Bearer realm=\"y").len(), 1);
    }

    proptest! {
        #[test]
        fn any_line_is_read_without_panic(line in ".{0,300}") {
            for challenge in parse(&line) {
                prop_assert!(!challenge.scheme.is_empty());
            }
        }

        #[test]
        fn what_is_read_is_read_again(line in "[A-Za-z0-9=,\"\\\\ ;:/.-]{0,80}") {
            for challenge in parse(&line) {
                let quoted = |value: &str| value.replace('\\', "\\\\").replace('"', "\\\"");
                let parameters: Vec<String> =
                    challenge.parameters.iter().map(|(name, value)| format!("{name}=\"{}\"", quoted(value))).collect();
                let written = format!("{} {}", challenge.scheme, parameters.join(", "));
                prop_assert_eq!(parse(&written), vec![challenge]);
            }
        }

        #[test]
        fn quoted_values_survive(value in "[ -~]{0,40}") {
            let escaped = value.replace('\\', "\\\\").replace('"', "\\\"");
            let found = parse(&format!("Bearer realm=\"{escaped}\",service=s"));
            prop_assert_eq!(found[0].parameter("realm"), Some(value.as_str()));
            prop_assert_eq!(found[0].parameter("service"), Some("s"));
        }
    }
}
