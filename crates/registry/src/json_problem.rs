//! Why bytes are no JSON, in the words of Go's parser (`encoding/json`, `scanner.go`), which docker shows when a registry answers with
//! something else.

/// What is expected next.
#[derive(Clone, Copy)]
enum State {
    BeginValue,
    BeginValueOrEnd,
    BeginKey,
    BeginKeyOrEnd,
    EndValue,
    InString,
    Escape,
    /// So many hexadecimal digits of `\u` are missing.
    Hexadecimal(u8),
    Minus,
    Zero,
    Digits,
    Dot,
    Fraction,
    Exponent,
    ExponentSign,
    ExponentDigits,
    /// A word of JSON's, and how many of its letters were there.
    Word(&'static str, usize),
}

/// What a value is in.
#[derive(Clone, Copy)]
enum Around {
    Key,
    Member,
    Element,
}

struct Scanner {
    state: State,
    around: Vec<Around>,
}

/// What Go says of the first byte that is wrong, or of what is missing at the end; nothing where Go sees no mistake.
pub(crate) fn json_problem(bytes: &[u8]) -> Option<String> {
    let mut scanner = Scanner { state: State::BeginValue, around: Vec::new() };
    for &byte in bytes {
        if let Err(context) = scanner.step(byte) {
            return Some(invalid(byte, &context));
        }
    }
    // Go tries whether a blank ends what was begun.
    match scanner.step(b' ') {
        Ok(()) if matches!(scanner.state, State::EndValue) && scanner.around.is_empty() => None,
        Ok(()) => Some("unexpected end of JSON input".to_owned()),
        Err(context) => Some(invalid(b' ', &context)),
    }
}

/// Bytes stand for the characters of their number, as in Go.
fn invalid(byte: u8, context: &str) -> String {
    let shown = match char::from(byte) {
        '\'' => "\\'".to_owned(),
        '"' => "\"".to_owned(),
        '\\' => "\\\\".to_owned(),
        '\x07' => "\\a".to_owned(),
        '\x08' => "\\b".to_owned(),
        '\x0b' => "\\v".to_owned(),
        '\x0c' => "\\f".to_owned(),
        '\n' => "\\n".to_owned(),
        '\r' => "\\r".to_owned(),
        '\t' => "\\t".to_owned(),
        // Go shows the control characters of Latin-1, its blank and its soft hyphen by their number.
        other if byte > 0x7f && (other.is_control() || matches!(byte, 0xa0 | 0xad)) => format!("\\u{byte:04x}"),
        other if other.is_control() => format!("\\x{byte:02x}"),
        other => other.to_string(),
    };
    format!("invalid character '{shown}' {context}")
}

impl Scanner {
    /// Takes one byte; otherwise what Go says of where it stands.
    fn step(&mut self, byte: u8) -> Result<(), String> {
        use State::*;
        let is_blank = matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
        let wrong = |context: &str| Err(context.to_owned());
        self.state = match (self.state, byte) {
            (BeginValue | BeginValueOrEnd | BeginKey | BeginKeyOrEnd, _) if is_blank => return Ok(()),
            (BeginValueOrEnd, b']') | (BeginKeyOrEnd, b'}') => self.leave(),
            (BeginValue | BeginValueOrEnd, _) => return self.begin(byte),
            (BeginKey | BeginKeyOrEnd, b'"') => InString,
            (BeginKey | BeginKeyOrEnd, _) => return wrong("looking for beginning of object key string"),
            (InString, b'"') => EndValue,
            (InString, b'\\') => Escape,
            (InString, 0..0x20) => return wrong("in string literal"),
            (InString, _) => InString,
            (Escape, b'b' | b'f' | b'n' | b'r' | b't' | b'\\' | b'/' | b'"') => InString,
            (Escape, b'u') => Hexadecimal(4),
            (Escape, _) => return wrong("in string escape code"),
            (Hexadecimal(left), _) if byte.is_ascii_hexdigit() => {
                if left > 1 {
                    Hexadecimal(left - 1)
                } else {
                    InString
                }
            }
            (Hexadecimal(_), _) => return wrong("in \\u hexadecimal character escape"),
            (Minus, b'0') => Zero,
            (Minus, b'1'..=b'9') | (Digits, b'0'..=b'9') => Digits,
            (Minus, _) => return wrong("in numeric literal"),
            (Zero | Digits, b'.') => Dot,
            (Dot | Fraction, b'0'..=b'9') => Fraction,
            (Dot, _) => return wrong("after decimal point in numeric literal"),
            (Zero | Digits | Fraction, b'e' | b'E') => Exponent,
            (Exponent, b'+' | b'-') => ExponentSign,
            (Exponent | ExponentSign | ExponentDigits, b'0'..=b'9') => ExponentDigits,
            (Exponent | ExponentSign, _) => return wrong("in exponent of numeric literal"),
            (Word(word, seen), _) => match word.as_bytes()[seen] {
                expected if expected != byte => {
                    return Err(format!("in literal {word} (expecting '{}')", char::from(expected)));
                }
                _ if seen + 1 == word.len() => EndValue,
                _ => Word(word, seen + 1),
            },
            (EndValue | Zero | Digits | Fraction | ExponentDigits, _) => return self.end(byte, is_blank),
        };
        Ok(())
    }

    fn begin(&mut self, byte: u8) -> Result<(), String> {
        self.state = match byte {
            b'{' => {
                self.around.push(Around::Key);
                State::BeginKeyOrEnd
            }
            b'[' => {
                self.around.push(Around::Element);
                State::BeginValueOrEnd
            }
            b'"' => State::InString,
            b'-' => State::Minus,
            b'0' => State::Zero,
            b'1'..=b'9' => State::Digits,
            b't' => State::Word("true", 1),
            b'f' => State::Word("false", 1),
            b'n' => State::Word("null", 1),
            _ => return Err("looking for beginning of value".to_owned()),
        };
        Ok(())
    }

    /// What stands behind a value.
    fn end(&mut self, byte: u8, is_blank: bool) -> Result<(), String> {
        self.state = State::EndValue;
        if is_blank {
            return Ok(());
        }
        let Some(around) = self.around.last_mut() else { return Err("after top-level value".to_owned()) };
        self.state = match (*around, byte) {
            (Around::Key, b':') => {
                *around = Around::Member;
                State::BeginValue
            }
            (Around::Key, _) => return Err("after object key".to_owned()),
            (Around::Member, b',') => {
                *around = Around::Key;
                State::BeginKey
            }
            (Around::Element, b',') => State::BeginValue,
            (Around::Member, b'}') | (Around::Element, b']') => self.leave(),
            (Around::Member, _) => return Err("after object key:value pair".to_owned()),
            (Around::Element, _) => return Err("after array element".to_owned()),
        };
        Ok(())
    }

    fn leave(&mut self) -> State {
        self.around.pop();
        State::EndValue
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Asked of Go 1.24.
    #[test]
    fn the_words_are_go_s() {
        for (text, expected) in [
            ("404 page not found\n", "invalid character 'p' after top-level value"),
            ("not found", "invalid character 'o' in literal null (expecting 'u')"),
            ("truth", "invalid character 't' in literal true (expecting 'e')"),
            ("fals3", "invalid character '3' in literal false (expecting 'e')"),
            ("nul", "invalid character ' ' in literal null (expecting 'l')"),
            ("Forbidden", "invalid character 'F' looking for beginning of value"),
            ("", "unexpected end of JSON input"),
            ("  ", "unexpected end of JSON input"),
            ("-x", "invalid character 'x' in numeric literal"),
            ("1.x", "invalid character 'x' after decimal point in numeric literal"),
            ("1e", "invalid character ' ' in exponent of numeric literal"),
            ("1e+", "invalid character ' ' in exponent of numeric literal"),
            ("01", "invalid character '1' after top-level value"),
            ("-", "invalid character ' ' in numeric literal"),
            ("-0.5.1", "invalid character '.' after top-level value"),
            ("1.5e3 z", "invalid character 'z' after top-level value"),
            ("\"a", "unexpected end of JSON input"),
            ("\"a\u{1}", "invalid character '\\x01' in string literal"),
            (r#""\q"#, "invalid character 'q' in string escape code"),
            (r#""\u12g"#, r"invalid character 'g' in \u hexadecimal character escape"),
            ("{", "unexpected end of JSON input"),
            ("{x", "invalid character 'x' looking for beginning of object key string"),
            (r#"{"a" 1"#, "invalid character '1' after object key"),
            (r#"{"a":1 2"#, "invalid character '2' after object key:value pair"),
            (r#"{"a":1,}"#, "invalid character '}' looking for beginning of object key string"),
            (r#"{"a":"b"}x"#, "invalid character 'x' after top-level value"),
            ("[1 2", "invalid character '2' after array element"),
            ("[1,]", "invalid character ']' looking for beginning of value"),
            ("[-]", "invalid character ']' in numeric literal"),
            ("\u{feff}{}", "invalid character 'ï' looking for beginning of value"),
            ("'x'", "invalid character '\\'' looking for beginning of value"),
            ("\t<html>", "invalid character '<' looking for beginning of value"),
            ("é", "invalid character 'Ã' looking for beginning of value"),
            ("\0", "invalid character '\\x00' looking for beginning of value"),
            ("\u{7f}", "invalid character '\\x7f' looking for beginning of value"),
        ] {
            assert_eq!(json_problem(text.as_bytes()).as_deref(), Some(expected), "{text:?}");
        }
        for text in ["true", " [] ", r#"{"a":[{},"\u00e9",-1.5e-3,null]}"#, "0", "10"] {
            assert_eq!(json_problem(text.as_bytes()), None, "{text:?}");
        }
    }
}
