//! Names: every one of them leads to a whole image.

use dhow_base::Result;
use rusqlite::Connection;

use super::{ProblemCode, Report};
use crate::db::Step;
use crate::find::text_at;
use crate::store::{Store, from_row};

/// Each finds rows that cannot be: what they are about, and a sentence about what is wrong, in SQL.
const RULES: [(ProblemCode, &str); 6] = [
    (
        ProblemCode::NameDangling,
        "SELECT repository || ':' || tag, repository || ':' || tag || ' names what is not kept' FROM reference \
         WHERE target NOT IN (SELECT number FROM target)",
    ),
    (
        ProblemCode::NameDangling,
        "SELECT repository, repository || ' has the digest of what is not kept' FROM repo_digest \
         WHERE target NOT IN (SELECT number FROM target)",
    ),
    (
        ProblemCode::TargetEmpty,
        "SELECT digest, 'target ' || digest || ' has no image' FROM target \
         WHERE number NOT IN (SELECT target FROM target_member)",
    ),
    (
        ProblemCode::ManifestUnrecorded,
        "SELECT manifest, 'manifest ' || manifest || ' is not recorded' FROM target_member \
         WHERE manifest NOT IN (SELECT digest FROM manifest)",
    ),
    (
        ProblemCode::ImageUnrecorded,
        "SELECT manifest, 'the image of manifest ' || manifest || ' is not recorded' FROM target_member \
         WHERE image NOT IN (SELECT number FROM image)",
    ),
    (
        ProblemCode::ImageOrphaned,
        // Containers keep an image that was removed by force.
        "SELECT id, 'image ' || id || ' belongs to no target' FROM image \
         WHERE number NOT IN (SELECT image FROM target_member) AND id NOT IN (SELECT image_id FROM container) \
         AND NOT EXISTS (SELECT 1 FROM container WHERE instr(configuration, id) > 0)",
    ),
];

pub(super) fn check(store: &Store, report: &mut Report) -> Result<()> {
    let (references, faults) = store.read_rows(|connection| {
        let sql = "SELECT count(*) FROM reference";
        let references: i64 = connection.query_row(sql, [], |row| row.get(0))?;
        Ok((from_row(references), faults(connection)?))
    })?;
    report.references = references;
    for (code, object, sentence) in faults {
        report.add(code, object, sentence, None);
    }
    for lost in store.lost()? {
        let code = if lost.parent.is_none() { ProblemCode::TargetMissing } else { ProblemCode::ContentMissing };
        report.add_content(code, &lost.digest, format!("{lost} is missing"), None);
    }
    Ok(())
}

fn faults(connection: &Connection) -> Step<Vec<(ProblemCode, String, String)>> {
    let mut faults = Vec::new();
    for (code, rule) in RULES {
        let mut select = connection.prepare(rule)?;
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            faults.push((code, text_at(row, 0)?.to_owned(), text_at(row, 1)?.to_owned()));
        }
    }
    Ok(faults)
}
