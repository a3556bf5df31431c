//! JSON as Go writes it, in the order of crane's fields, so that the same change gives the same digest there and here as far
//! as a document has no fields that crane does not know. Those come last, in the order they had.

use std::fmt::Write as _;

use dhow_base::{Error, Kind, Result};
use serde::Serialize;
use serde_json::{Map, Value};

const CONFIG: &[&str] = &[
    "architecture",
    "author",
    "container",
    "created",
    "docker_version",
    "history",
    "os",
    "rootfs",
    "config",
    "os.version",
    "variant",
    "os.features",
];

const RUN: &[&str] = &[
    "AttachStderr",
    "AttachStdin",
    "AttachStdout",
    "Cmd",
    "Healthcheck",
    "Domainname",
    "Entrypoint",
    "Env",
    "Hostname",
    "Image",
    "Labels",
    "OnBuild",
    "OpenStdin",
    "StdinOnce",
    "Tty",
    "User",
    "Volumes",
    "WorkingDir",
    "ExposedPorts",
    "ArgsEscaped",
    "NetworkDisabled",
    "MacAddress",
    "StopSignal",
    "Shell",
];

const HISTORY: &[&str] = &["author", "created", "created_by", "comment", "empty_layer"];

const MANIFEST: &[&str] = &["schemaVersion", "mediaType", "config", "layers", "manifests", "annotations", "subject"];

const DESCRIPTOR: &[&str] = &["mediaType", "size", "digest", "data", "urls", "annotations", "platform", "artifactType"];

const PLATFORM: &[&str] = &["architecture", "os", "os.version", "os.features", "variant"];

/// An image config.
///
/// # Errors
/// [`Kind::Internal`] for what cannot be written as JSON.
pub(super) fn config(config: &impl Serialize) -> Result<Vec<u8>> {
    let mut value = serde_json::to_value(config).map_err(unwritable)?;
    if let Value::Object(fields) = &mut value {
        order(fields, CONFIG);
        each(fields.get_mut("history"), |step| order(step, HISTORY));
        each(fields.get_mut("config"), |run| order(run, RUN));
    }
    written(&value)
}

/// A manifest or index.
///
/// # Errors
/// As [`config`].
pub(super) fn document(document: &impl Serialize) -> Result<Vec<u8>> {
    let mut value = serde_json::to_value(document).map_err(unwritable)?;
    if let Value::Object(fields) = &mut value {
        order(fields, MANIFEST);
        for key in ["config", "layers", "manifests", "subject"] {
            each(fields.get_mut(key), |descriptor| {
                order(descriptor, DESCRIPTOR);
                each(descriptor.get_mut("platform"), |platform| order(platform, PLATFORM));
            });
        }
    }
    written(&value)
}

/// What crane notes of the steps of an image that it flattens.
///
/// # Errors
/// As [`config`].
pub(crate) fn history(history: &impl Serialize) -> Result<String> {
    let mut value = serde_json::to_value(history).map_err(unwritable)?;
    each(Some(&mut value), |step| order(step, HISTORY));
    Ok(String::from_utf8_lossy(&written(&value)?).into_owned())
}

/// The object, or every object of the array.
fn each(value: Option<&mut Value>, action: impl Fn(&mut Map<String, Value>)) {
    match value {
        Some(Value::Object(object)) => action(object),
        Some(Value::Array(array)) => array.iter_mut().filter_map(Value::as_object_mut).for_each(action),
        _ => {}
    }
}

fn order(object: &mut Map<String, Value>, known: &[&str]) {
    let mut rest = std::mem::take(object);
    for key in known {
        if let Some(value) = rest.shift_remove(*key) {
            object.insert((*key).to_owned(), value);
        }
    }
    object.extend(rest);
}

/// Compact, with the characters escaped that Go escapes; in JSON they stand only inside of strings.
fn written(value: &Value) -> Result<Vec<u8>> {
    let text = serde_json::to_string(value).map_err(unwritable)?;
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                // Writing into a String cannot fail.
                let _ = write!(escaped, "\\u{:04x}", u32::from(character));
            }
            _ => escaped.push(character),
        }
    }
    Ok(escaped.into_bytes())
}

fn unwritable(error: serde_json::Error) -> Error {
    Error::new(Kind::Internal, format!("cannot write a document: {error}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_order_is_crane_s_and_nothing_is_lost() {
        let given = json!({
            "os": "linux", "x.unknown": 1, "architecture": "amd64", "config": { "User": "a<b>&", "Odd": 2, "Cmd": ["x"] },
            "rootfs": { "type": "layers", "diff_ids": [] }, "history": [{ "created_by": "x", "created": "y", "z": 3 }],
        });
        let expected = concat!(
            r#"{"architecture":"amd64","history":[{"created":"y","created_by":"x","z":3}],"os":"linux","#,
            r#""rootfs":{"type":"layers","diff_ids":[]},"#,
            r#""config":{"Cmd":["x"],"User":"a\u003cb\u003e\u0026","Odd":2},"x.unknown":1}"#
        );
        assert_eq!(String::from_utf8(config(&given).unwrap()).unwrap(), expected);
        let given = json!({
            "schemaVersion": 2, "annotations": {}, "layers": [{ "digest": "d", "size": 1, "mediaType": "m" }], "odd": 1,
        });
        let expected =
            r#"{"schemaVersion":2,"layers":[{"mediaType":"m","size":1,"digest":"d"}],"annotations":{},"odd":1}"#;
        assert_eq!(String::from_utf8(document(&given).unwrap()).unwrap(), expected);
    }
}
