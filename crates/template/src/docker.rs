//! The functions that docker adds to Go's.

use crate::functions::Function;
use crate::json;
use crate::quote;
use crate::value::Value;

/// Bytes that an element of a list takes beside its text, roughly.
const ELEMENT: usize = 64;

/// Calls one of docker's functions with arguments of the right types.
///
/// # Errors
/// What Go panics with.
pub(crate) fn call(function: Function, values: &[Value], limit: usize) -> Result<Value, String> {
    let text = |index: usize| values.get(index).and_then(Value::as_bytes).unwrap_or_default();
    let int = |index: usize| match values.get(index) {
        Some(Value::Int(value)) => *value,
        _ => 0,
    };
    match function {
        Function::Json => Ok(json::encode(&values[0], limit).into()),
        Function::Split => split(text(0), text(1), limit),
        Function::Join => Ok(join(&values[0], text(1), limit).into()),
        Function::Title => Ok(title(text(0)).into()),
        Function::Lower => Ok(mapped(text(0), lower).into()),
        Function::Upper => Ok(mapped(text(0), upper).into()),
        Function::Pad => pad(text(0), int(1), int(2), limit),
        _ => truncate(text(0), int(1)),
    }
}

fn split(text: &[u8], separator: &[u8], limit: usize) -> Result<Value, String> {
    if text.len().saturating_mul(ELEMENT) > limit && text.len() > 1 << 16 {
        return Err("the text is too long to be split".to_owned());
    }
    let parts: Vec<Value> = if separator.is_empty() {
        quote::characters(text).map(|(_, raw)| Value::from(raw.to_vec())).collect()
    } else {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.windows(separator.len()).position(|window| window == separator) {
            parts.push(Value::from(rest[..at].to_vec()));
            rest = &rest[at + separator.len()..];
        }
        parts.push(Value::from(rest.to_vec()));
        parts
    };
    let list = crate::List { element: crate::Type::Text, items: parts, is_nil: false };
    Ok(Value::List(std::rc::Rc::new(list)))
}

fn join(list: &Value, separator: &[u8], limit: usize) -> Vec<u8> {
    let Value::List(list) = list else { return Vec::new() };
    let mut joined = Vec::new();
    for (index, item) in list.items.iter().enumerate() {
        if index > 0 {
            joined.extend_from_slice(separator);
        }
        joined.extend_from_slice(item.as_bytes().unwrap_or_default());
        if joined.len() > limit {
            break;
        }
    }
    joined
}

/// Go's `strings.Title`: the first letter of every word in title case.
fn title(text: &[u8]) -> Vec<u8> {
    let mut before = ' ';
    mapped(text, |character| {
        let starts = is_separator(before);
        before = character;
        if starts { title_case(character) } else { character }
    })
}

fn is_separator(character: char) -> bool {
    match character {
        '_' => false,
        _ if character.is_ascii() => !character.is_ascii_alphanumeric(),
        _ => !character.is_alphanumeric() && character.is_whitespace(),
    }
}

fn lower(character: char) -> char {
    match character {
        // The only one that Rust makes two of, and Go one.
        'İ' => 'i',
        _ => single(character, character.to_lowercase()),
    }
}

fn upper(character: char) -> char {
    match character {
        // Greek letters with an iota below. In full it becomes a letter of its own, one to one it stays there (UnicodeData.txt).
        '\u{1F80}'..='\u{1F87}' | '\u{1F90}'..='\u{1F97}' | '\u{1FA0}'..='\u{1FA7}' => moved(character, 8),
        '\u{1FB3}' | '\u{1FC3}' | '\u{1FF3}' => moved(character, 9),
        _ => single(character, character.to_uppercase()),
    }
}

/// Upper case, but for letters that begin a word in another form (`UnicodeData.txt`, `Simple_Titlecase_Mapping`).
fn title_case(character: char) -> char {
    match character {
        'Ǆ' | 'ǅ' | 'ǆ' => 'ǅ',
        'Ǉ' | 'ǈ' | 'ǉ' => 'ǈ',
        'Ǌ' | 'ǋ' | 'ǌ' => 'ǋ',
        'Ǳ' | 'ǲ' | 'ǳ' => 'ǲ',
        // Georgian has capitals for whole texts alone.
        'ა'..='ჺ' | 'ჽ'..='ჿ' => character,
        _ => upper(character),
    }
}

fn moved(character: char, distance: u32) -> char {
    char::from_u32(u32::from(character) + distance).unwrap_or(character)
}

/// Go maps characters one to one: those that would become several stay as they are.
fn single(character: char, mut mapped: impl ExactSizeIterator<Item = char>) -> char {
    if mapped.len() == 1 { mapped.next().unwrap_or(character) } else { character }
}

fn mapped(text: &[u8], mut map: impl FnMut(char) -> char) -> Vec<u8> {
    let mut result = String::with_capacity(text.len());
    for (character, _) in quote::characters(text) {
        result.push(map(character.unwrap_or(char::REPLACEMENT_CHARACTER)));
    }
    result.into_bytes()
}

/// Spaces around a text, unless it is empty.
fn pad(text: &[u8], before: i64, behind: i64, limit: usize) -> Result<Value, String> {
    if text.is_empty() {
        return Ok(Value::from(""));
    }
    let (Ok(before), Ok(behind)) = (usize::try_from(before), usize::try_from(behind)) else {
        return Err("strings: negative Repeat count".to_owned());
    };
    if before.saturating_add(behind) > limit {
        return Err("the text would be too long".to_owned());
    }
    let mut padded = vec![b' '; before];
    padded.extend_from_slice(text);
    padded.resize(padded.len() + behind, b' ');
    Ok(padded.into())
}

fn truncate(text: &[u8], length: i64) -> Result<Value, String> {
    match usize::try_from(length) {
        Ok(length) => Ok(text[..length.min(text.len())].to_vec().into()),
        Err(_) => Err(format!("runtime error: slice bounds out of range [:{length}]")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What docker 28's client makes of `{{title}} {{upper}} {{lower}}`.
    #[test]
    fn letters_change_one_to_one() {
        for (text, expected) in [
            ("ǆ", "ǅ Ǆ ǆ"),
            ("Ǆx", "ǅx ǄX ǆx"),
            ("ᾀ", "ᾈ ᾈ ᾀ"),
            ("ᾳ", "ᾼ ᾼ ᾳ"),
            ("ῼ", "ῼ ῼ ῳ"),
            ("ა", "ა Ა ა"),
            ("İ", "İ İ i"),
            ("ß", "ß ß ß"),
            ("ΐ", "ΐ ΐ ΐ"),
            ("one two_three-four", "One Two_three-Four ONE TWO_THREE-FOUR one two_three-four"),
        ] {
            let changed = [title(text.as_bytes()), mapped(text.as_bytes(), upper), mapped(text.as_bytes(), lower)];
            let changed = changed.map(|text| String::from_utf8(text).unwrap()).join(" ");
            assert_eq!(changed, expected, "{text}");
        }
    }
}
