//! The documents that dhow has of its own, as `--format json` writes them.
//!
//! Fields are in lower camel case as OCI's are, words in kebab case; sizes are numbers of bytes, digests and names are in full,
//! and every field is there in every document, `null` where there is nothing to say. `docs/reference/json.md` describes them,
//! `docs/schemas` has a JSON Schema for each, and a test holds the program to it: fields may be added, none goes away.

mod files;
mod health;
mod registries;
mod remade;
mod remote;
mod removals;
mod served;
mod transfers;
mod tree;

use dhow_base::{Error, Kind};
use serde::Serialize;

use crate::errors::Failure;

pub(crate) use files::{Copied, Difference, File, Mounted, Unmounted};
pub(crate) use health::{Check, DiskPart};
pub(crate) use registries::{ListCreated, ListEdited, ListPushed, Listening, Login, Logout};
pub(crate) use remade::{Remade, Validated};
pub(crate) use remote::{ArtifactPulled, ArtifactPushed, RemoteRemoved};
pub(crate) use removals::{Prune, Remove, SystemPrune};
pub(crate) use served::{ServeGc, ServeScrub};
pub(crate) use transfers::{Loaded, Pulled, Pushed, Saved};
pub(crate) use tree::Tree;

/// Something that failed, where a result would be.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Failed<'a> {
    /// The operand that it was about, as it was given.
    name: Option<&'a str>,
    error: Fault,
}

/// Why something failed.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Fault {
    kind: &'static str,
    message: String,
    hint: Option<String>,
    /// Whether the same may succeed when it is simply done again.
    retryable: bool,
}

impl<'a> Failed<'a> {
    /// An error about an operand.
    pub(crate) fn new(name: Option<&'a str>, error: &Error) -> Self {
        Self { name, error: error.into() }
    }

    /// Each failure of a run, or of what was done for an operand.
    pub(crate) fn all(name: Option<&'a str>, failure: &Failure) -> Vec<Self> {
        let error = match failure {
            Failure::Engine(error) | Failure::Reported(error) => error.into(),
            Failure::Client(message) => Fault::new(Kind::Invalid, message),
            // Below its first line, help is offered.
            Failure::Usage { message, .. } => Fault::new(Kind::Invalid, message.lines().next().unwrap_or_default()),
            Failure::Interrupted { message, .. } => Fault::new(Kind::Cancelled, message),
            Failure::Several(failures) => {
                return failures.iter().flat_map(|failure| Failed::all(name, failure)).collect();
            }
            Failure::Quiet(_) => return Vec::new(),
        };
        vec![Self { name, error }]
    }
}

impl Fault {
    fn new(kind: Kind, message: &str) -> Self {
        Self { kind: word(kind), message: message.to_owned(), hint: None, retryable: kind.is_transient() }
    }
}

impl From<&Error> for Fault {
    fn from(error: &Error) -> Self {
        Self { hint: error.hint().map(str::to_owned), ..Self::new(error.kind(), &error.to_string()) }
    }
}

fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::AlreadyExists => "already-exists",
        Kind::Cancelled => "cancelled",
        Kind::Conflict => "conflict",
        Kind::Corrupt => "corrupt",
        Kind::Denied => "denied",
        Kind::Internal => "internal",
        Kind::Invalid => "invalid",
        Kind::Io => "io",
        Kind::LimitExceeded => "limit-exceeded",
        Kind::NoSpace => "no-space",
        Kind::NotFound => "not-found",
        Kind::RateLimited => "rate-limited",
        Kind::Unauthorized => "unauthorized",
        Kind::Unavailable => "unavailable",
        Kind::Unsupported => "unsupported",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(failure: &Failure) -> Vec<String> {
        Failed::all(Some("x"), failure).iter().map(|failed| serde_json::to_string(failed).unwrap()).collect()
    }

    #[test]
    fn every_failure_is_told_once() {
        let busy = || Failure::Engine(Error::new(Kind::RateLimited, "slow down").with_hint("log in"));
        let expected =
            r#"{"name":"x","error":{"kind":"rate-limited","message":"slow down","hint":"log in","retryable":true}}"#;
        assert_eq!(lines(&busy()), [expected]);
        let usage = Failure::Usage { message: "wrong\n\nUsage: x".to_owned(), code: 1 };
        let wrong = r#"{"name":"x","error":{"kind":"invalid","message":"wrong","hint":null,"retryable":false}}"#;
        assert_eq!(lines(&Failure::Several(vec![busy(), Failure::Quiet(1), usage])), [expected, wrong]);
    }
}
