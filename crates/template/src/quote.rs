//! Go's quoted strings, written and read.

/// A character of a byte string: `None` stands for a byte that is no UTF-8. With its bytes.
pub(crate) fn characters(bytes: &[u8]) -> impl Iterator<Item = (Option<char>, &[u8])> {
    bytes.utf8_chunks().flat_map(|chunk| {
        let valid = chunk.valid();
        let good = valid
            .char_indices()
            .map(move |(at, character)| (Some(character), &valid.as_bytes()[at..at + character.len_utf8()]));
        good.chain(chunk.invalid().chunks(1).map(|byte| (None, byte)))
    })
}

/// A Go string literal in double quotes.
pub fn quoted(bytes: &[u8]) -> String {
    literal(bytes, '"', false)
}

/// A Go literal in `quote`s; beyond ASCII everything is escaped when `is_ascii`.
pub(crate) fn literal(bytes: &[u8], quote: char, is_ascii: bool) -> String {
    let mut text = String::from(quote);
    for (character, raw) in characters(bytes) {
        match character {
            None => text.extend([format!("\\x{:02x}", raw[0])]),
            Some(character) if character == quote || character == '\\' => {
                text.push('\\');
                text.push(character);
            }
            Some(character) if character.is_ascii() && !character.is_ascii_control() => text.push(character),
            Some(character) if !is_ascii && is_printable(character) => text.push(character),
            Some(character) => escape(&mut text, character),
        }
    }
    text.push(quote);
    text
}

fn escape(text: &mut String, character: char) {
    let short = match character {
        '\u{7}' => "\\a",
        '\u{8}' => "\\b",
        '\u{c}' => "\\f",
        '\n' => "\\n",
        '\r' => "\\r",
        '\t' => "\\t",
        '\u{b}' => "\\v",
        _ => {
            let code = u32::from(character);
            text.extend([match code {
                0..=0x1f | 0x7f => format!("\\x{code:02x}"),
                0x80..=0xffff => format!("\\u{code:04x}"),
                _ => format!("\\U{code:08x}"),
            }]);
            return;
        }
    };
    text.push_str(short);
}

/// Whether Go shows the character as it is. Marks are judged behind a letter, where they stand.
pub(crate) fn is_printable(character: char) -> bool {
    if character == ' ' {
        return true;
    }
    let mut behind_a_letter = String::from("a");
    behind_a_letter.push(character);
    !character.is_whitespace()
        && (character == '"' || character == '\'' || character == '\\' || behind_a_letter.escape_debug().count() == 2)
}

/// Whether a string can stand in backquotes.
pub(crate) fn can_backquote(bytes: &[u8]) -> bool {
    characters(bytes).all(|(character, _)| {
        character.is_some_and(|it| it != '`' && it != '\u{feff}' && (it == '\t' || !it.is_control()))
    })
}

/// A character as `%#U` has it: `U+0040 '@'`.
pub(crate) fn code_point(character: char) -> String {
    let code = format!("U+{:04X}", u32::from(character));
    if is_printable(character) { format!("{code} '{character}'") } else { code }
}

/// Reads a Go string literal in double quotes or backquotes. `None` is Go's `invalid syntax`.
pub(crate) fn unquoted(literal: &str) -> Option<Vec<u8>> {
    if let Some(raw) = literal.strip_prefix('`') {
        return Some(raw.strip_suffix('`')?.replace('\r', "").into_bytes());
    }
    let mut rest = literal.strip_prefix('"')?.strip_suffix('"')?;
    let mut bytes = Vec::with_capacity(rest.len());
    while !rest.is_empty() {
        rest = unescape(rest, '"', &mut bytes)?.1;
    }
    Some(bytes)
}

/// Reads a character constant: the character, or `None` when it is none.
pub(crate) fn unquoted_character(literal: &str) -> Option<i64> {
    let inside = literal.strip_prefix('\'')?;
    let mut bytes = Vec::new();
    let (code, rest) = unescape(inside, '\'', &mut bytes)?;
    (rest == "'").then_some(i64::from(code))
}

/// Takes the first character, escaped or not, off `text`: its code and what is left.
fn unescape<'a>(text: &'a str, quote: char, into: &mut Vec<u8>) -> Option<(u32, &'a str)> {
    let mut characters = text.chars();
    let first = characters.next()?;
    if first == quote || first == '\n' {
        return None;
    }
    if first != '\\' {
        into.extend_from_slice(first.to_string().as_bytes());
        return Some((first.into(), characters.as_str()));
    }
    let kind = characters.next()?;
    let rest = characters.as_str();
    let code: u32 = match kind {
        'a' => 7,
        'b' => 8,
        'f' => 12,
        'n' => 10,
        'r' => 13,
        't' => 9,
        'v' => 11,
        '\\' => '\\'.into(),
        '\'' | '"' if kind == quote => kind.into(),
        'x' => return byte(rest, 16, 2, into),
        '0'..='7' => return byte(&text[1..], 8, 3, into),
        'u' | 'U' => {
            let digits = rest.get(..if kind == 'u' { 4 } else { 8 })?;
            let character = char::from_u32(radix(digits, 16)?)?;
            into.extend_from_slice(character.to_string().as_bytes());
            return Some((character.into(), &rest[digits.len()..]));
        }
        _ => return None,
    };
    into.push(u8::try_from(code).ok()?);
    Some((code, rest))
}

fn byte<'a>(text: &'a str, base: u32, length: usize, into: &mut Vec<u8>) -> Option<(u32, &'a str)> {
    let code = radix(text.get(..length)?, base)?;
    into.push(u8::try_from(code).ok()?);
    Some((code, &text[length..]))
}

fn radix(digits: &str, base: u32) -> Option<u32> {
    digits.chars().all(|digit| digit.is_digit(base)).then(|| u32::from_str_radix(digits, base).ok()).flatten()
}
