//! How artifacts read.

use std::collections::BTreeMap;

use dhow_ops::artifact::Artifact;
use dhow_spec::Reference;
use serde::Serialize;

use crate::errors::{Failure, Outcome};
use crate::format::table::Table;
use crate::format::{json, units};

/// What `--format json` writes of one artifact.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    reference: String,
    digest: String,
    artifact_type: String,
    subject: Option<String>,
    annotations: BTreeMap<String, String>,
    files: Vec<File>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct File {
    name: Option<String>,
    media_type: String,
    digest: String,
    size: u64,
    annotations: BTreeMap<String, String>,
}

impl Document {
    fn of(reference: &Reference, artifact: &Artifact) -> Self {
        let files = artifact.files().map(|(name, file)| File {
            name: name.map(str::to_owned),
            media_type: file.media_type.to_string(),
            digest: file.digest.to_string(),
            size: file.size,
            annotations: file.annotations.clone(),
        });
        Self {
            reference: reference.clone().with_default_tag().to_string(),
            digest: artifact.digest.to_string(),
            artifact_type: artifact.artifact_type.clone(),
            subject: artifact.manifest.subject.as_ref().map(|subject| subject.digest.to_string()),
            annotations: artifact.manifest.annotations.clone(),
            files: files.collect(),
        }
    }
}

/// Whether JSON was asked for.
///
/// # Errors
/// What else it may be.
pub(super) fn is_json(format: &str) -> Outcome<bool> {
    match format {
        "" => Ok(false),
        "json" => Ok(true),
        other => Err(Failure::Client(format!("--format {other:?} is not supported: it is \"json\""))),
    }
}

/// One artifact.
///
/// # Errors
/// Those of serialising it.
pub(super) fn document(reference: &Reference, artifact: &Artifact, is_compact: bool) -> Outcome<String> {
    let document = Document::of(reference, artifact);
    let text = if is_compact { json::line(&document) } else { json::indented(&document) };
    text.map_err(Failure::Client)
}

/// Several artifacts as one JSON array on a line.
///
/// # Errors
/// Those of serialising them.
pub(super) fn list(found: &[(Reference, Artifact)]) -> Outcome<String> {
    let documents: Vec<Document> = found.iter().map(|(name, artifact)| Document::of(name, artifact)).collect();
    Ok(json::line(&documents).map_err(Failure::Client)? + "\n")
}

/// Several artifacts as a table.
pub(super) fn table(found: &[(Reference, Artifact)]) -> String {
    let mut table = Table::new(&["TAG", "ARTIFACT TYPE", "FILES", "SIZE", "DIGEST"]);
    for (name, artifact) in found {
        let tag = name.tag().map(|tag| tag.as_str().to_owned()).unwrap_or_default();
        let size = artifact.files().map(|(_, file)| file.size).sum();
        let files = artifact.files().count().to_string();
        table.row([&tag, &artifact.artifact_type, &files, &units::human_size(size), artifact.digest.as_str()]);
    }
    table.render()
}
