//! `dhow system check`: the store against itself.

mod content;
mod names;

use std::fmt;
use std::path::PathBuf;

use dhow_base::fs as durable;
use dhow_base::{Kind, Result};
use dhow_spec::Digest;

use crate::collect::{clear_dead_leases, names_in, stale_ingests};
use crate::paths::parse_flat;
use crate::recover::{self, Trashed};
use crate::store::Store;

pub(crate) use content::{Aside, Fault, fault, fault_of_file, set_aside, set_aside_damaged};

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Number of blobs and documents whose bytes were hashed.
    pub blobs: u64,
    /// Their length in bytes.
    pub bytes: u64,
    /// Number of names with tags that were followed.
    pub references: u64,
    /// What is not as it should be.
    pub problems: Vec<Problem>,
}

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What it is, for programs: it stays the same when words change.
    pub code: ProblemCode,
    /// How bad it is.
    pub severity: Severity,
    /// What it is about: a digest, a name, a path, an ID.
    pub object: String,
    /// What it is, in a sentence that names the object.
    pub message: String,
    /// The blob or document that is damaged or missing, if it is one.
    pub content: Option<Digest>,
    /// What was done about it; `None` when nothing was.
    pub repaired: Option<String>,
}

/// How bad a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Left by a process that died. It costs space and will be collected.
    Leftover,
    /// Something that was committed is missing or wrong.
    Damage,
}

/// What a problem is. `docs/reference/json.md` lists them for users; none ever gets another meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProblemCode {
    /// SQLite finds `meta.db` inconsistent.
    DatabaseInconsistent,
    /// A blob that was stored is not there.
    BlobMissing,
    /// The file of a blob cannot be read.
    BlobUnreadable,
    /// The file of a blob has another length than was stored.
    BlobSize,
    /// The bytes of a blob are not those of its digest.
    BlobCorrupt,
    /// A blob did not reach the disk before the machine went down. Nothing that was committed needs it.
    BlobUnflushed,
    /// A file in `blobs/` is not recorded.
    BlobUnrecorded,
    /// A kept image needs a blob that is not here.
    ContentMissing,
    /// A name stands for something that is not kept.
    NameDangling,
    /// A kept manifest or index has no image.
    TargetEmpty,
    /// A kept manifest or index is not here itself.
    TargetMissing,
    /// A kept index has a manifest of which nothing is recorded.
    ManifestUnrecorded,
    /// A kept manifest has an image of which nothing is recorded.
    ImageUnrecorded,
    /// An image is recorded that nothing kept has.
    ImageOrphaned,
    /// `index.json` does not show the present names.
    ViewOutdated,
    /// A file of an old transfer was left behind.
    IngestStale,
    /// A collection that was cut short left content in the trash.
    TrashLeft,
    /// `labels.db`, a cache, is damaged.
    LabelsDamaged,
    /// A damaged copy is kept of a blob that is here again.
    DamagedCopy,
}

impl ProblemCode {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            ProblemCode::DatabaseInconsistent => "database-inconsistent",
            ProblemCode::BlobMissing => "blob-missing",
            ProblemCode::BlobUnreadable => "blob-unreadable",
            ProblemCode::BlobSize => "blob-size",
            ProblemCode::BlobCorrupt => "blob-corrupt",
            ProblemCode::BlobUnflushed => "blob-unflushed",
            ProblemCode::BlobUnrecorded => "blob-unrecorded",
            ProblemCode::ContentMissing => "content-missing",
            ProblemCode::NameDangling => "name-dangling",
            ProblemCode::TargetEmpty => "target-empty",
            ProblemCode::TargetMissing => "target-missing",
            ProblemCode::ManifestUnrecorded => "manifest-unrecorded",
            ProblemCode::ImageUnrecorded => "image-unrecorded",
            ProblemCode::ImageOrphaned => "image-orphaned",
            ProblemCode::ViewOutdated => "view-outdated",
            ProblemCode::IngestStale => "ingest-stale",
            ProblemCode::TrashLeft => "trash-left",
            ProblemCode::LabelsDamaged => "labels-damaged",
            ProblemCode::DamagedCopy => "damaged-copy",
        }
    }

    /// How bad it is.
    fn severity(self) -> Severity {
        match self {
            ProblemCode::BlobUnflushed
            | ProblemCode::BlobUnrecorded
            | ProblemCode::ViewOutdated
            | ProblemCode::IngestStale
            | ProblemCode::TrashLeft
            | ProblemCode::LabelsDamaged
            | ProblemCode::DamagedCopy => Severity::Leftover,
            _ => Severity::Damage,
        }
    }
}

impl Report {
    /// Whether everything that was committed is there and right. Leftovers do not count.
    pub fn is_sound(&self) -> bool {
        self.problems.iter().all(|problem| problem.severity == Severity::Leftover || problem.repaired.is_some())
    }

    /// Takes note that content which was damaged or missing is here again.
    pub fn content_is_back(&mut self, digest: &Digest, how: &str) {
        let first = self.problems.iter().position(|problem| problem.content.as_ref() == Some(digest));
        let Some(first) = first else { return };
        self.problems[first].repaired = Some(how.to_owned());
        let mut number = 0..;
        self.problems.retain(|problem| problem.content.as_ref() != Some(digest) || number.next() == Some(0));
    }

    /// Whether content is missing or damaged.
    pub fn lacks_content(&self) -> bool {
        self.problems.iter().any(|problem| problem.content.is_some() && problem.repaired.is_none())
    }

    /// Takes note of why content that is missing stays so.
    pub fn content_stays_lost(&mut self, digest: &Digest, why: &str) {
        let concerns = |problem: &&mut Problem| problem.content.as_ref() == Some(digest) && problem.repaired.is_none();
        for problem in self.problems.iter_mut().filter(concerns) {
            problem.message = format!("{}, and cannot be fetched again: {why}", problem.message);
        }
    }

    fn add_content(&mut self, code: ProblemCode, digest: &Digest, message: String, repaired: Option<String>) {
        let (severity, object, content) = (code.severity(), digest.to_string(), Some(digest.clone()));
        self.problems.push(Problem { code, severity, object, message, content, repaired });
    }

    fn add(&mut self, code: ProblemCode, object: impl ToString, message: String, repaired: Option<String>) {
        let (severity, object) = (code.severity(), object.to_string());
        self.problems.push(Problem { code, severity, object, message, content: None, repaired });
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)?;
        match &self.repaired {
            Some(done) => write!(formatter, " ({done})"),
            None => Ok(()),
        }
    }
}

impl Store {
    /// Hashes every blob, compares rows with files, follows every name to the end, and reports what dead processes left.
    ///
    /// With `repair`, what can be mended is: views and leftovers at once, damaged blobs by moving them aside, so that the
    /// next pull of the image fetches them again. Nothing is deleted of which there is no other copy. Other processes may
    /// go on working meanwhile.
    ///
    /// # Errors
    /// Those of reading the store at all. What is wrong with its content is in the report.
    pub fn check(&self, repair: bool) -> Result<Report> {
        if repair {
            self.require_writable()?;
        }
        let mut report = Report::default();
        self.check_database(&mut report)?;
        self.check_labels(repair, &mut report)?;
        content::check(self, repair, &mut report)?;
        names::check(self, &mut report)?;
        self.check_view(repair, &mut report)?;
        self.check_leftovers(repair, &mut report)?;
        Ok(report)
    }

    fn check_database(&self, report: &mut Report) -> Result<()> {
        let lines = self.read_rows(|connection| {
            let mut select = connection.prepare("PRAGMA integrity_check(20)")?;
            let lines: Vec<String> = select.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
            Ok(lines)
        })?;
        for line in lines.into_iter().filter(|line| line != "ok") {
            report.add(ProblemCode::DatabaseInconsistent, "meta.db", format!("meta.db: {line}"), None);
        }
        Ok(())
    }

    fn check_labels(&self, repair: bool, report: &mut Report) -> Result<()> {
        let fault = match self.inner.labels.fault() {
            // Without any room it cannot even be opened. It says nothing of what the store holds.
            Err(error) if error.kind() == Kind::NoSpace => {
                tracing::debug!(%error, "the labels are not checked");
                None
            }
            fault => fault?,
        };
        if let Some(fault) = fault {
            if repair {
                self.inner.labels.remove()?;
            }
            let repaired = repair.then(|| "removed: it is a cache".to_owned());
            report.add(ProblemCode::LabelsDamaged, "labels.db", fault, repaired);
        }
        Ok(())
    }

    fn check_view(&self, repair: bool, report: &mut Report) -> Result<()> {
        if self.view_is_current()? || !self.view_is_automatic()? {
            return Ok(());
        }
        let repaired = if repair {
            self.sync_view()?;
            Some("written anew".to_owned())
        } else {
            None
        };
        let message = "index.json does not show the present names".to_owned();
        report.add(ProblemCode::ViewOutdated, "index.json", message, repaired);
        Ok(())
    }

    fn check_leftovers(&self, repair: bool, report: &mut Report) -> Result<()> {
        if !self.is_writable() {
            // Whether something is left over is asked by taking its lock, and that writes.
            return Ok(());
        }
        // Nothing is wrong with what a dead process held: every collection clears it in passing.
        if repair {
            self.write_rows(|transaction| clear_dead_leases(self, transaction))?;
        }
        let removed = || repair.then(|| "removed".to_owned());
        for path in stale_ingests(self, repair)? {
            let message = format!("{path:?} is left of an old transfer");
            report.add(ProblemCode::IngestStale, path.display(), message, removed());
        }
        for (digest, path) in self.damaged_copies()? {
            // Its bytes have just been proven.
            let is_sound = !report.problems.iter().any(|problem| problem.content.as_ref() == Some(&digest));
            if is_sound && self.has_blob(&digest)? {
                if repair {
                    durable::remove_file(&path)?;
                }
                let message = format!("{path:?} is the damaged copy of a blob that is here again");
                report.add(ProblemCode::DamagedCopy, path.display(), message, removed());
            }
        }
        for Trashed { digest, .. } in recover::trashed(self)? {
            let message = format!("{digest} lies in the trash of another collection");
            report.add(ProblemCode::TrashLeft, digest, message, None);
        }
        Ok(())
    }

    /// The files that repairs moved aside.
    fn damaged_copies(&self) -> Result<Vec<(Digest, PathBuf)>> {
        let directory = self.paths().damaged_directory();
        let copy = |name: String| Some((parse_flat(&name)?, directory.join(name)));
        Ok(names_in(&directory)?.into_iter().filter_map(copy).collect())
    }
}
