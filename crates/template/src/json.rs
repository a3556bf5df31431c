//! JSON as docker's `json` function writes it: Go's, compact, without escaping HTML.

use crate::print::Buffer;
use crate::quote;
use crate::value::{Field, Struct, Value};

/// Encodes a value in at most `limit` bytes.
pub(crate) fn encode(value: &Value, limit: usize) -> Vec<u8> {
    let mut buffer = Buffer::new(limit);
    // Go's encoder gives up as a whole when there is a number that JSON cannot have.
    if write(&mut buffer, value, false).is_some() { buffer.into_bytes() } else { Vec::new() }
}

/// `escapes` what HTML gives a meaning to: docker's contexts marshal themselves, and then Go does.
fn write(buffer: &mut Buffer, value: &Value, escapes: bool) -> Option<()> {
    match value {
        Value::Nil | Value::Null { .. } => buffer.text("null"),
        Value::Bool(value) => buffer.text(if *value { "true" } else { "false" }),
        Value::Int(value) | Value::Int64(value) => buffer.text(&value.to_string()),
        Value::Byte(value) => buffer.text(&value.to_string()),
        Value::Float(value) if value.is_finite() => buffer.text(&float(*value)),
        Value::Float(_) => return None,
        Value::Number(text) => buffer.text(if text.is_empty() { "0" } else { text }),
        Value::Text(text) => string(buffer, text, escapes),
        Value::Opaque(opaque) => buffer.text(&opaque.json),
        Value::List(list) if list.is_nil => buffer.text("null"),
        Value::Map(map) if map.is_nil => buffer.text("null"),
        Value::List(list) => {
            buffer.text("[");
            for (index, item) in list.items.iter().enumerate() {
                buffer.text(if index > 0 { "," } else { "" });
                write(buffer, item, escapes)?;
            }
            buffer.text("]");
        }
        Value::Map(map) => {
            object(buffer, map.entries.iter().map(|(key, value)| (key.as_bytes(), value)), escapes)?;
        }
        Value::Struct(structure) => {
            object(
                buffer,
                shown(structure).map(|field| (field.key.as_bytes(), &field.value)),
                escapes || structure.has_methods,
            )?;
        }
    }
    Some(())
}

/// The fields that JSON has. Results of methods become a map, which Go sorts.
fn shown(structure: &Struct) -> impl Iterator<Item = &Field> {
    let mut fields: Vec<&Field> =
        structure.fields.iter().filter(|field| !(field.omits_empty && field.value.is_empty())).collect();
    if structure.has_methods {
        fields.sort_by_key(|field| field.key);
    }
    fields.into_iter()
}

fn object<'a>(buffer: &mut Buffer, entries: impl Iterator<Item = (&'a [u8], &'a Value)>, escapes: bool) -> Option<()> {
    buffer.text("{");
    for (index, (key, value)) in entries.enumerate() {
        buffer.text(if index > 0 { "," } else { "" });
        string(buffer, key, escapes);
        buffer.text(":");
        write(buffer, value, escapes)?;
    }
    buffer.text("}");
    Some(())
}

fn string(buffer: &mut Buffer, text: &[u8], escapes: bool) {
    buffer.text("\"");
    for (character, raw) in quote::characters(text) {
        match character {
            None => buffer.text("\\ufffd"),
            Some('"') => buffer.text("\\\""),
            Some('\\') => buffer.text("\\\\"),
            Some('\n') => buffer.text("\\n"),
            Some('\r') => buffer.text("\\r"),
            Some('\t') => buffer.text("\\t"),
            Some('\u{8}') => buffer.text("\\b"),
            Some('\u{c}') => buffer.text("\\f"),
            Some(meant @ ('<' | '>' | '&')) if escapes => buffer.text(&format!("\\u{:04x}", u32::from(meant))),
            Some(control @ ('\0'..='\u{1f}' | '\u{2028}' | '\u{2029}')) => {
                buffer.text(&format!("\\u{:04x}", u32::from(control)));
            }
            Some(_) => buffer.bytes(raw),
        }
    }
    buffer.text("\"");
}

/// The shortest form that reads back as the same number; exponents as JavaScript has them.
fn float(value: f64) -> String {
    let size = value.abs();
    if size != 0.0 && !(1e-6..1e21).contains(&size) {
        let text = format!("{value:e}");
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let sign = if exponent.starts_with('-') { "" } else { "+" };
        return format!("{mantissa}e{sign}{exponent}");
    }
    format!("{value}")
}
