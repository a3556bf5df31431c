//! Words of a Dockerfile: where they end, and what quotes and variables in them stand for, as BuildKit's parser and shell have it
//! (`frontend/dockerfile/parser`, `frontend/dockerfile/shell`).

use std::iter::Peekable;
use std::mem;
use std::str::Chars;

use dhow_base::{Error, Kind, Result};

/// Splits at blanks outside of quotes. Quotes and backslashes stay for [`expand`].
pub(super) fn split(text: &str) -> Vec<String> {
    let (mut words, mut word) = (Vec::new(), String::new());
    let (mut quote, mut is_word) = (None, false);
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if quote.is_none() && character.is_whitespace() {
            if mem::take(&mut is_word) {
                words.push(mem::take(&mut word));
            }
            continue;
        }
        is_word = true;
        if character == '\\' && quote != Some('\'') {
            // It takes the next character along, and means nothing at the end.
            if let Some(next) = characters.next() {
                word.extend([character, next]);
            }
            continue;
        }
        match quote {
            Some(open) if open == character => quote = None,
            None if matches!(character, '"' | '\'') => quote = Some(character),
            _ => {}
        }
        word.push(character);
    }
    words.extend(is_word.then_some(word));
    words
}

/// Takes quotes and backslashes off a word, and puts values in the place of variables (`$NAME`, `${NAME:-word}`), those of `variables`, a list
/// of `NAME=value`; nothing where there is none. Without a list a `$` is a letter as any other.
///
/// # Errors
/// [`Kind::Invalid`] in docker's words for quotes and braces that nothing ends.
pub(super) fn expand(word: &str, variables: Option<&[String]>) -> Result<String> {
    expand_alone(word, variables).map_err(|error| error.context(format_args!("failed to process {word:?}")))
}

/// As [`expand`], with errors that do not say which word it is.
pub(crate) fn expand_alone(word: &str, variables: Option<&[String]>) -> Result<String> {
    Expansion { characters: word.chars().peekable(), variables }.up_to(None)
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(Kind::Invalid, message)
}

struct Expansion<'a> {
    characters: Peekable<Chars<'a>>,
    variables: Option<&'a [String]>,
}

impl Expansion<'_> {
    /// Reads up to `stop`, which goes, or to the end.
    fn up_to(&mut self, stop: Option<char>) -> Result<String> {
        let mut text = String::new();
        while let Some(character) = self.characters.next() {
            match character {
                _ if Some(character) == stop => return Ok(text),
                '\'' => self.single_quoted(&mut text)?,
                '"' => self.double_quoted(&mut text)?,
                '$' if self.variables.is_some() => text.push_str(&self.variable()?),
                '\\' => text.extend(self.characters.next()),
                _ => text.push(character),
            }
        }
        match stop {
            Some(_) => Err(invalid("syntax error: missing '}'")),
            None => Ok(text),
        }
    }

    fn single_quoted(&mut self, text: &mut String) -> Result<()> {
        for character in self.characters.by_ref() {
            if character == '\'' {
                return Ok(());
            }
            text.push(character);
        }
        Err(invalid("unexpected end of statement while looking for matching single-quote"))
    }

    fn double_quoted(&mut self, text: &mut String) -> Result<()> {
        while let Some(character) = self.characters.next() {
            match character {
                '"' => return Ok(()),
                '$' if self.variables.is_some() => text.push_str(&self.variable()?),
                // Before any other character it stands for itself.
                '\\' => match self.characters.next_if(|next| matches!(next, '"' | '$' | '\\')) {
                    Some(next) => text.push(next),
                    None if self.characters.peek().is_some() => text.push('\\'),
                    None => {}
                },
                _ => text.push(character),
            }
        }
        Err(invalid("unexpected end of statement while looking for matching double-quote"))
    }

    /// The value of the variable whose `$` was read.
    fn variable(&mut self) -> Result<String> {
        if self.characters.next_if_eq(&'{').is_none() {
            let name = self.name();
            return Ok(if name.is_empty() { "$".to_owned() } else { self.value(&name).unwrap_or_default() });
        }
        match self.characters.peek() {
            None => return Err(invalid("syntax error: missing '}'")),
            Some('{' | '}' | ':') => return Err(invalid("syntax error: bad substitution")),
            Some(_) => {}
        }
        let name = self.name();
        let value = self.value(&name);
        let (modifier, counts_empty) = match self.characters.next() {
            Some('}') => return Ok(value.unwrap_or_default()),
            Some(':') => (self.characters.next(), false),
            modifier => (modifier, true),
        };
        let Some(modifier @ ('+' | '-' | '?')) = modifier else {
            return Err(match modifier {
                Some(other) => invalid(format!("unsupported modifier ({other}) in substitution")),
                None => invalid("syntax error: missing '}'"),
            });
        };
        let word = self.up_to(Some('}'))?;
        let value = value.filter(|value| counts_empty || !value.is_empty());
        match (modifier, value) {
            ('+', value) => Ok(value.map(|_| word).unwrap_or_default()),
            (_, Some(value)) => Ok(value),
            ('-', None) => Ok(word),
            (_, None) => {
                let why = if !word.is_empty() { word.as_str() } else { "is not allowed to be unset" };
                Err(invalid(format!("{name}: {why}")))
            }
        }
    }

    /// A variable's name: a number, one of the shell's own letters, or letters, digits and underscores.
    fn name(&mut self) -> String {
        let is_word = |character: &char| character.is_alphanumeric() || *character == '_';
        let mut name = String::new();
        match self.characters.peek() {
            Some(first) if first.is_ascii_digit() => {
                name.extend(std::iter::from_fn(|| self.characters.next_if(char::is_ascii_digit)));
            }
            Some('@' | '*' | '#' | '?' | '-' | '$' | '!') => name.extend(self.characters.next()),
            _ => name.extend(std::iter::from_fn(|| self.characters.next_if(is_word))),
        }
        name
    }

    fn value(&self, name: &str) -> Option<String> {
        let of = |variable: &String| match variable.split_once('=') {
            Some((known, value)) if known == name => Some(value.to_owned()),
            _ => None,
        };
        self.variables.unwrap_or_default().iter().find_map(of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_end_at_blanks_outside_of_quotes() {
        let check = |text: &str, expected: &[&str]| assert_eq!(split(text), expected, "{text}");
        check(r#"A=1  B="two words" 'c d'=e"#, &["A=1", r#"B="two words""#, "'c d'=e"]);
        check(r#"A=1\ 2 B="x\"y" C='\'"#, &[r"A=1\ 2", r#"B="x\"y""#, r"C='\'"]);
        check(r#"A="" B"#, &[r#"A="""#, "B"]);
        check("A=1\\", &["A=1"]);
        check("  ", &[]);
    }

    #[test]
    fn quotes_and_variables() {
        let variables = ["PATH=/bin".to_owned(), "EMPTY=".to_owned()];
        let check = |word: &str, expected: &str| {
            let got = expand(word, Some(&variables)).unwrap_or_else(|error| error.to_string());
            assert_eq!(got, expected, "{word}");
        };
        check("$PATH:/opt", "/bin:/opt");
        check("${PATH}x$NONE.", "/binx.");
        check(r#""a $PATH \$PATH \x \"" '$PATH' \$PATH"#, r#"a /bin $PATH \x " $PATH $PATH"#);
        check("${NONE:-a b} ${EMPTY:-x} ${EMPTY-x} ${PATH:-x}", "a b x  /bin");
        check("${NONE:+x}.${EMPTY:+x}.${EMPTY+x}.${PATH:+$PATH}", "..x./bin");
        check("$ $1 5$", "$  5$");
        let fails = |word: &str, message: &str| check(word, &format!("failed to process {word:?}: {message}"));
        fails("${NONE:?gone}", "NONE: gone");
        fails("${}", "syntax error: bad substitution");
        fails("${PATH", "syntax error: missing '}'");
        fails("${PATH:-x", "syntax error: missing '}'");
        fails("${PATH:/x}", "unsupported modifier (/) in substitution");
        fails("'x", "unexpected end of statement while looking for matching single-quote");
        fails("\"x", "unexpected end of statement while looking for matching double-quote");
        assert_eq!(expand("\"$PATH\"", None).expect("a word"), "$PATH");
    }
}
