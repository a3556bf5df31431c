//! What is in registries.

use dhow_ops::artifact;
use dhow_ops::remote;
use dhow_spec::{Digest, Reference};
use serde::Serialize;

/// `rm-remote` and `artifact rm`
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RemoteRemoved<'a> {
    name: &'a str,
    reference: String,
    status: &'static str,
}

impl<'a> RemoteRemoved<'a> {
    /// For one operand.
    pub(crate) fn new(name: &'a str, removed: &remote::Removed) -> Self {
        let (reference, status) = match removed {
            remote::Removed::Tag(tag) => (tag, "untagged"),
            remote::Removed::Manifest(manifest) => (manifest, "deleted"),
        };
        Self { name, reference: reference.to_string(), status }
    }
}

/// `artifact push`
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ArtifactPushed<'a> {
    name: &'a str,
    reference: String,
    status: &'static str,
    digest: Option<&'a Digest>,
}

impl<'a> ArtifactPushed<'a> {
    /// Under `pushed`, a name with the digest.
    pub(crate) fn new(name: &'a str, pushed: &'a Reference) -> Self {
        Self { name, reference: pushed.to_string(), status: "pushed", digest: pushed.digest() }
    }
}

/// `artifact pull`
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ArtifactPulled<'a> {
    name: &'a str,
    reference: String,
    status: &'static str,
    digest: &'a Digest,
    files: Vec<String>,
    nameless: usize,
}

impl<'a> ArtifactPulled<'a> {
    /// From `reference`.
    pub(crate) fn new(name: &'a str, reference: &Reference, pulled: &'a artifact::Pulled) -> Self {
        Self {
            name,
            reference: reference.clone().with_default_tag().to_string(),
            status: "downloaded",
            digest: &pulled.artifact.digest,
            files: pulled.files.iter().map(|path| path.display().to_string()).collect(),
            nameless: pulled.nameless,
        }
    }
}
