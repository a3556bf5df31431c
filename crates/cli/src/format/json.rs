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

/// Escapes what Go escapes beyond serde. In JSON text these characters occur only inside strings, so that replacing them
/// anywhere is right.
fn escape(text: &str, html: bool) -> String {
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
    fn indents_as_go_does() {
        let value = serde_json::json!([{"a": [], "b": {}, "c": ["x"], "d": null}]);
        let expected = "[\n    {\n        \"a\": [],\n        \"b\": {},\n        \"c\": [\n            \"x\"\n        ],\n        \"d\": null\n    }\n]";
        assert_eq!(indented(&value).unwrap(), expected);
    }
}
