//! Registries: who is known to them, lists of manifests for them, and our own.

use dhow_ops::login::{Erased, Kept};
use dhow_ops::serve;
use dhow_spec::{Digest, Reference};
use serde::Serialize;

use super::Failed;

/// `login`
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Login<'a> {
    registry: &'a str,
    status: &'static str,
    username: &'a str,
    file: Option<String>,
    helper: Option<&'a str>,
}

impl<'a> Login<'a> {
    /// The registry took the credentials. `kept` says where they were stored, unless they had been before.
    pub(crate) fn succeeded(registry: &'a str, username: &'a str, kept: Option<&'a Kept>) -> Self {
        let (file, helper) = match kept {
            Some(Kept::File(path) | Kept::AsBefore(path)) => (Some(path.display().to_string()), None),
            Some(Kept::Helper(name)) => (None, Some(name.as_str())),
            None => (None, None),
        };
        Self { registry, status: "logged-in", username, file, helper }
    }

    /// There are credentials, of which the registry was not asked.
    pub(crate) fn stored(registry: &'a str, username: &'a str) -> Self {
        Self { registry, status: "stored", username, file: None, helper: None }
    }
}

/// `logout`
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Logout<'a> {
    registry: Option<&'a str>,
    status: &'static str,
    remaining: Vec<String>,
    failed: Vec<Failed<'a>>,
}

impl<'a> Logout<'a> {
    /// Of one registry, or of all.
    pub(crate) fn new(registry: Option<&'a str>, erased: &'a Erased) -> Self {
        Self {
            registry,
            status: if erased.failures.is_empty() { "logged-out" } else { "incomplete" },
            remaining: erased.remaining.iter().map(|path| path.display().to_string()).collect(),
            failed: erased.failures.iter().map(|(key, error)| Failed::new(Some(key), error)).collect(),
        }
    }
}

/// `manifest create`
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ListCreated<'a> {
    name: &'a str,
    reference: String,
    status: &'static str,
}

impl<'a> ListCreated<'a> {
    /// Made anew, or added to with `--amend`.
    pub(crate) fn new(name: &'a str, reference: &Reference) -> Self {
        Self { name, reference: reference.to_string(), status: "created" }
    }
}

/// `manifest add` and `manifest remove`
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ListEdited<'a> {
    /// The list, as it was given.
    pub(crate) name: &'a str,
    /// The index that it makes now.
    pub(crate) digest: &'a Digest,
}

/// `manifest push`
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ListPushed<'a> {
    name: &'a str,
    reference: String,
    status: &'static str,
    digest: &'a Digest,
    manifests: Vec<Brought>,
}

/// A manifest that was brought from another repository.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Brought {
    reference: String,
    digest: Digest,
}

impl<'a> ListPushed<'a> {
    /// Under `reference`; `brought` are the manifests that came along from other repositories.
    pub(crate) fn new(
        name: &'a str,
        reference: &Reference,
        digest: &'a Digest,
        brought: Vec<(Reference, Digest)>,
    ) -> Self {
        let manifests = brought.into_iter();
        Self {
            name,
            reference: reference.to_string(),
            status: "pushed",
            digest,
            manifests: manifests.map(|(name, digest)| Brought { reference: name.to_string(), digest }).collect(),
        }
    }
}

/// `serve`: that it listens.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Listening {
    status: &'static str,
    address: String,
    url: String,
    read_only: bool,
}

impl From<&serve::Listening> for Listening {
    fn from(listening: &serve::Listening) -> Self {
        Self {
            status: "listening",
            address: listening.address.to_string(),
            url: listening.url(),
            read_only: listening.read_only,
        }
    }
}
