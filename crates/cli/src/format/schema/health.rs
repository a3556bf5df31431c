//! The state of the local store.

use dhow_ops::df::DiskUse;
use dhow_ops::system::{Checked, Incomplete, Problem, ProblemCode, Rebuilt, Severity};
use dhow_spec::Digest;
use serde::Serialize;

/// `system check`
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Check<'a> {
    sound: bool,
    blobs: u64,
    size_bytes: u64,
    references: u64,
    rebuilt: Option<Anew<'a>>,
    problems: Vec<Finding<'a>>,
}

/// What came of making `meta.db` anew.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Anew<'a> {
    blobs: u64,
    references: u64,
    losses: &'a [String],
    incomplete: Vec<Unkept<'a>>,
    kept_in: Option<String>,
}

/// A manifest or index that could not be kept, because something of it is missing.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Unkept<'a> {
    digest: &'a Digest,
    references: Vec<String>,
    cause: &'a str,
}

/// One thing that is not as it should be.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Finding<'a> {
    code: &'static str,
    severity: &'static str,
    object: &'a str,
    content: Option<&'a Digest>,
    problem: &'a str,
    remedy: Option<&'static str>,
    repaired: Option<&'a str>,
}

impl<'a> From<&'a Checked> for Check<'a> {
    fn from(checked: &'a Checked) -> Self {
        let Checked { rebuilt, report } = checked;
        Self {
            sound: checked.is_sound(),
            blobs: report.blobs,
            size_bytes: report.bytes,
            references: report.references,
            rebuilt: rebuilt.as_ref().map(Anew::from),
            problems: report.problems.iter().map(Finding::from).collect(),
        }
    }
}

impl<'a> From<&'a Rebuilt> for Anew<'a> {
    fn from(rebuilt: &'a Rebuilt) -> Self {
        Self {
            blobs: rebuilt.blobs,
            references: rebuilt.references,
            losses: &rebuilt.losses,
            incomplete: rebuilt.incomplete.iter().map(Unkept::from).collect(),
            kept_in: rebuilt.kept_in.as_ref().map(|directory| directory.display().to_string()),
        }
    }
}

impl<'a> From<&'a Incomplete> for Unkept<'a> {
    fn from(incomplete: &'a Incomplete) -> Self {
        Self {
            digest: &incomplete.target.document.digest,
            references: incomplete.target.references.iter().map(ToString::to_string).collect(),
            cause: &incomplete.cause,
        }
    }
}

impl<'a> From<&'a Problem> for Finding<'a> {
    fn from(problem: &'a Problem) -> Self {
        Self {
            code: problem.code.as_str(),
            severity: match problem.severity {
                Severity::Leftover => "leftover",
                Severity::Damage => "damage",
            },
            object: &problem.object,
            content: problem.content.as_ref(),
            problem: &problem.message,
            remedy: if problem.repaired.is_some() { repaired_remedy(problem.code) } else { remedy(problem.code) },
            repaired: problem.repaired.as_deref(),
        }
    }
}

/// The way out of a problem that is still there.
fn remedy(code: ProblemCode) -> Option<&'static str> {
    Some(match code {
        ProblemCode::BlobMissing | ProblemCode::BlobUnreadable | ProblemCode::BlobSize | ProblemCode::BlobCorrupt => {
            "run \"dhow system check --repair --pull\""
        }
        ProblemCode::ContentMissing | ProblemCode::TargetMissing => {
            "pull the image again, or run \"dhow system check --repair --pull\""
        }
        ProblemCode::NameDangling
        | ProblemCode::TargetEmpty
        | ProblemCode::ManifestUnrecorded
        | ProblemCode::ImageUnrecorded
        | ProblemCode::ImageOrphaned => "remove the image and pull it again",
        ProblemCode::DatabaseInconsistent
        | ProblemCode::BlobUnflushed
        | ProblemCode::BlobUnrecorded
        | ProblemCode::ViewOutdated
        | ProblemCode::IngestStale
        | ProblemCode::LabelsDamaged
        | ProblemCode::DamagedCopy => "run \"dhow system check --repair\"",
        ProblemCode::TrashLeft => "the next removal or prune takes it away",
    })
}

/// What is left to do after a repair.
fn repaired_remedy(code: ProblemCode) -> Option<&'static str> {
    match code {
        ProblemCode::BlobMissing | ProblemCode::BlobUnreadable | ProblemCode::BlobSize | ProblemCode::BlobCorrupt => {
            Some("pull the image again")
        }
        _ => None,
    }
}

/// `system df --disk`: a part of the store.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DiskPart {
    part: &'static str,
    files: u64,
    size_bytes: u64,
}

impl From<&DiskUse> for DiskPart {
    fn from(part: &DiskUse) -> Self {
        Self { part: part.name, files: part.files, size_bytes: part.bytes }
    }
}
