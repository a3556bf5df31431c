//! JSON as Go's encoder writes it.

use serde::Serialize;
use serde_json::ser::{PrettyFormatter, Serializer};

/// One compact line, `<`, `>` and `&` escaped: what docker's list formats print.
///
/// # Errors
/// Those of serialising `value`.
pub(crate) fn line(value: &impl Serialize) -> Result<String, String> {
    let text = serde_json::to_string(value).map_err(|error| error.to_string())?;
    Ok(escape(&text, true))
}

/// Each value as [`line()`] writes it, every one with its line break.
///
/// # Errors
/// Those of serialising a value.
pub(crate) fn lines(values: impl IntoIterator<Item = impl Serialize>) -> Result<String, String> {
    values.into_iter().map(|value| line(&value).map(|line| line + "\n")).collect()
}

/// One compact line without escaping HTML: what `inspect --format json` prints.
///
/// # Errors
/// Those of serialising `value`.
pub(crate) fn compact(value: &impl Serialize) -> Result<String, String> {
    let text = serde_json::to_string(value).map_err(|error| error.to_string())?;
    Ok(escape(&text, false))
}

/// Indented by four spaces, without escaping HTML: what `inspect` prints.
///
/// # Errors
/// Those of serialising `value`.
pub(crate) fn indented(value: &impl Serialize) -> Result<String, String> {
    let mut bytes = Vec::new();
    let mut serializer = Serializer::with_formatter(&mut bytes, PrettyFormatter::with_indent(b"    "));
    value.serialize(&mut serializer).map_err(|error| error.to_string())?;
    let text = String::from_utf8(bytes).map_err(|error| error.to_string())?;
    Ok(escape(&text, false))
}

/// Indents JSON text without changing anything else of it: numbers, escapes and the order of keys stay as they were
/// written (Go's `json.Indent`).
pub(crate) fn reindent(json: &str, indent: &str) -> String {
    let mut text = String::with_capacity(json.len() * 2);
    let (mut depth, mut in_string, mut escaped, mut is_empty) = (0_usize, false, false, false);
    let line = |text: &mut String, depth: usize| {
        text.push('\n');
        text.extend(std::iter::repeat_n(indent, depth));
    };
    for character in json.chars() {
        if in_string {
            text.push(character);
            in_string = escaped || character != '"';
            escaped = character == '\\' && !escaped;
            continue;
        }
        if matches!(character, ' ' | '\t' | '\r' | '\n') {
            continue;
        }
        if matches!(character, '}' | ']') {
            depth = depth.saturating_sub(1);
            if !is_empty {
                line(&mut text, depth);
            }
        } else if is_empty {
            line(&mut text, depth);
        }
        text.push(character);
        is_empty = matches!(character, '{' | '[');
        match character {
            '{' | '[' => depth += 1,
            ',' => line(&mut text, depth),
            ':' => text.push(' '),
            '"' => in_string = true,
            _ => {}
        }
    }
    text
}

/// Escapes what Go escapes beyond serde. In JSON text these characters occur only inside strings, so that replacing them
/// anywhere is right.
pub(crate) fn escape(text: &str, html: bool) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '<' if html => escaped.push_str("\\u003c"),
            '>' if html => escaped.push_str("\\u003e"),
            '&' if html => escaped.push_str("\\u0026"),
            '\u{2028}' => escaped.push_str("\\u2028"),
            '\u{2029}' => escaped.push_str("\\u2029"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_as_go_does() {
        let value = serde_json::json!({"a": "<none> & \u{2028}"});
        assert_eq!(line(&value).unwrap(), r#"{"a":"\u003cnone\u003e \u0026 \u2028"}"#);
        assert_eq!(compact(&value).unwrap(), r#"{"a":"<none> & \u2028"}"#);
    }

    #[test]
    fn reindents_as_go_does() {
        let json = "{\"a\" :[ ] , \"b\":{},\n\"c\":[1.0,-0e3,\"x: [{,\\\"\\\\\"],\"d\":{\"e\":null}}";
        let expected = "{\n\t\"a\": [],\n\t\"b\": {},\n\t\"c\": [\n\t\t1.0,\n\t\t-0e3,\n\t\t\"x: [{,\\\"\\\\\"\n\t],\n\t\"d\": {\n\t\t\"e\": null\n\t}\n}";
        assert_eq!(reindent(json, "\t"), expected);
        assert_eq!(reindent("[]", "\t"), "[]");
    }

    #[test]
    fn indents_as_go_does() {
        let value = serde_json::json!([{"a": [], "b": {}, "c": ["x"], "d": null}]);
        let expected = "[\n    {\n        \"a\": [],\n        \"b\": {},\n        \"c\": [\n            \"x\"\n        ],\n        \"d\": null\n    }\n]";
        assert_eq!(indented(&value).unwrap(), expected);
    }
}
