//! Names: every one of them leads to a whole image.

use dhow_base::Result;
use rusqlite::Connection;

use super::{Report, Severity};
use crate::db::Step;
use crate::find::text_at;
use crate::store::{Store, from_row};

/// Each finds rows that cannot be: a sentence about what is wrong, in SQL.
const RULES: [&str; 6] = [
    "SELECT repository || ':' || tag || ' names what is not kept' FROM reference \
     WHERE target NOT IN (SELECT number FROM target)",
    "SELECT repository || ' has the digest of what is not kept' FROM repo_digest \
     WHERE target NOT IN (SELECT number FROM target)",
    "SELECT 'target ' || digest || ' has no image' FROM target \
     WHERE number NOT IN (SELECT target FROM target_member)",
    "SELECT 'manifest ' || manifest || ' is not recorded' FROM target_member \
     WHERE manifest NOT IN (SELECT digest FROM manifest)",
    "SELECT 'the image of manifest ' || manifest || ' is not recorded' FROM target_member \
     WHERE image NOT IN (SELECT number FROM image)",
    "SELECT 'image ' || id || ' belongs to no target' FROM image \
     WHERE number NOT IN (SELECT image FROM target_member)",
];

pub(super) fn check(store: &Store, report: &mut Report) -> Result<()> {
    let (references, faults) = store.read_rows(|connection| {
        let sql = "SELECT count(*) FROM reference";
        let references: i64 = connection.query_row(sql, [], |row| row.get(0))?;
        Ok((from_row(references), faults(connection)?))
    })?;
    report.references = references;
    for fault in faults {
        report.add(Severity::Damage, fault, None);
    }
    for lost in store.lost()? {
        report.add_content(&lost.digest, format!("{lost} is missing"), None);
    }
    Ok(())
}

fn faults(connection: &Connection) -> Step<Vec<String>> {
    let mut faults = Vec::new();
    for rule in RULES {
        let mut select = connection.prepare(rule)?;
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            faults.push(text_at(row, 0)?.to_owned());
        }
    }
    Ok(faults)
}
