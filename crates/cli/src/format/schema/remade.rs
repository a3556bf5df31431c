//! Images made of others, and whether an image is what it says.

use dhow_ops::validate;
use dhow_spec::{Digest, MediaType};
use serde::Serialize;

/// `mutate`, `append`, `flatten`, `rebase`
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Remade<'a> {
    name: Option<&'a str>,
    reference: Option<String>,
    status: &'static str,
    digest: &'a Digest,
    media_type: &'a MediaType,
    from: Option<&'a Digest>,
}

impl<'a> Remade<'a> {
    /// `name` is the image as it was given, if there was one.
    pub(crate) fn new(name: Option<&'a str>, remade: &'a dhow_ops::Remade) -> Self {
        Self {
            name,
            reference: remade.reference.as_ref().map(ToString::to_string),
            status: if remade.from.as_ref() == Some(&remade.digest) { "unchanged" } else { "made" },
            digest: &remade.digest,
            media_type: &remade.media_type,
            from: remade.from.as_ref(),
        }
    }
}

/// `validate`
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Validated<'a> {
    name: &'a str,
    status: &'static str,
    digest: &'a Digest,
    manifests: usize,
    layers: usize,
    problems: &'a [String],
}

impl<'a> Validated<'a> {
    /// For one operand.
    pub(crate) fn new(name: &'a str, validated: &'a validate::Validated) -> Self {
        Self {
            name,
            status: if validated.problems.is_empty() { "valid" } else { "invalid" },
            digest: &validated.digest,
            manifests: validated.manifests,
            layers: validated.layers,
            problems: &validated.problems,
        }
    }
}
