//! Which fields documents have, and of which types.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// Types by path: `.problems[].code` is a `string`.
pub(crate) type Shape = BTreeMap<String, BTreeSet<&'static str>>;

/// The shape of several documents taken together.
pub(crate) fn of_all<'v>(documents: impl IntoIterator<Item = &'v Value>) -> Shape {
    let mut shape = Shape::new();
    for document in documents {
        add(&mut shape, String::new(), document);
    }
    shape
}

/// Fails when a field of `before` is gone in `now`, or has another type.
pub(crate) fn check_kept(verb: &str, before: &Shape, now: &Shape) {
    for (path, types) in before {
        let Some(found) = now.get(path) else { panic!("{verb}: {path} is gone: documents may only gain fields") };
        // Null says nothing about the type of what could be there.
        let missing: Vec<_> = types.difference(found).filter(|kind| **kind != "null").collect();
        assert!(missing.is_empty(), "{verb}: {path} was {types:?} and is {found:?}");
    }
}

fn add(shape: &mut Shape, path: String, value: &Value) {
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(items) => {
            items.iter().for_each(|item| add(shape, format!("{path}[]"), item));
            "array"
        }
        Value::Object(entries) => {
            entries.iter().for_each(|(key, value)| add(shape, format!("{path}.{key}"), value));
            "object"
        }
    };
    shape.entry(path).or_default().insert(kind);
}

#[test]
fn a_field_that_goes_away_is_noticed() {
    let shape = |text: &str| of_all([&serde_json::from_str(text).expect("JSON")]);
    let before = shape(r#"{"a":[{"b":1}],"c":null}"#);
    check_kept("x", &before, &shape(r#"{"a":[{"b":2,"new":true}],"c":"text"}"#));
    let gone = std::panic::catch_unwind(|| check_kept("x", &before, &shape(r#"{"a":[{}],"c":null}"#)));
    assert!(gone.is_err());
    let changed = std::panic::catch_unwind(|| check_kept("x", &before, &shape(r#"{"a":[{"b":"1"}],"c":null}"#)));
    assert!(changed.is_err());
}
