//! The schemas and examples of the checkout.

#![allow(clippy::disallowed_methods, reason = "reads files of the checkout")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use boon::{Compiler, SchemaIndex, Schemas};
use serde_json::Value;

/// A compiled schema.
pub(crate) struct Schema {
    verb: String,
    schemas: Schemas,
    index: SchemaIndex,
}

impl Schema {
    /// As it is published: documents may have fields that it does not know.
    pub(crate) fn open(verb: &str) -> Self {
        Self::compile(verb, |_| {})
    }

    /// With no room for fields that it does not know.
    pub(crate) fn closed(verb: &str) -> Self {
        Self::compile(verb, close)
    }

    /// With no room for such fields, but satisfied with less: what was written before a field was added.
    pub(crate) fn past(verb: &str) -> Self {
        Self::compile(verb, |schema| {
            close(schema);
            forgive(schema);
        })
    }

    fn compile(verb: &str, change: fn(&mut Value)) -> Self {
        let mut compiler = Compiler::new();
        for name in [verb, "failed"] {
            let mut schema = read(&folder().join(format!("{name}.json")));
            assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema", "{name}.json");
            change(&mut schema);
            compiler.add_resource(&address(name), schema).unwrap_or_else(|error| panic!("{name}.json: {error}"));
        }
        let mut schemas = Schemas::new();
        let index = compiler.compile(&address(verb), &mut schemas);
        let index = index.unwrap_or_else(|error| panic!("{verb}.json: {error:#}"));
        Self { verb: verb.to_owned(), schemas, index }
    }

    /// Compares a document.
    #[track_caller]
    pub(crate) fn check(&self, document: &Value, what: &str) {
        if let Err(error) = self.schemas.validate(document, self.index) {
            panic!("{}: {what} does not allow it: {error:#}\n{document:#}", self.verb);
        }
    }
}

/// References between schemas are relative to where they lie.
fn address(name: &str) -> String {
    format!("http://dhow.invalid/schemas/{name}.json")
}

/// Allows no other properties wherever properties are listed.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(entries) => {
            entries.values_mut().for_each(close);
            let lists_properties =
                entries.get("properties").is_some_and(Value::is_object) && entries.contains_key("type");
            if lists_properties && !entries.contains_key("additionalProperties") {
                entries.insert("additionalProperties".to_owned(), Value::Bool(false));
            }
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        _ => {}
    }
}

/// Requires no properties.
fn forgive(schema: &mut Value) {
    match schema {
        Value::Object(entries) => {
            entries.values_mut().for_each(forgive);
            if entries.get("required").is_some_and(Value::is_array) {
                entries.shift_remove("required");
            }
        }
        Value::Array(items) => items.iter_mut().for_each(forgive),
        _ => {}
    }
}

/// The names of all schemas.
pub(crate) fn names() -> BTreeSet<String> {
    let files = std::fs::read_dir(folder()).expect("docs/schemas").map(|entry| entry.expect("an entry").path());
    let schemas = files.filter(|path| path.extension().is_some_and(|extension| extension == "json"));
    schemas.map(|path| path.file_stem().expect("a name").to_string_lossy().into_owned()).collect()
}

/// Documents of a verb that were written by an earlier version.
pub(crate) fn examples(verb: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(example_path(verb)).unwrap_or_default();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{verb}: {error}: {line}")))
        .collect()
}

/// Where the examples of a verb are.
pub(crate) fn example_path(verb: &str) -> PathBuf {
    folder().join(format!("examples/{verb}.jsonl"))
}

/// The page that describes the documents.
pub(crate) fn page() -> String {
    std::fs::read_to_string(folder().join("../reference/json.md")).expect("docs/reference/json.md")
}

fn read(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path:?}: {error}"))
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/schemas")
}
