//! Garbage below some documents, found without looking at anything else.

use dhow_spec::Digest;
use rusqlite::Transaction;

use super::held;
use crate::db::Step;
use crate::find::digest_at;
use crate::store::from_row;

/// What of the documents below `roots` is still needed: the suspects that something else needs, and what they need.
///
/// A document that is no suspect counts as needed, whatever it is: if it is garbage too, a whole collection takes both.
fn question() -> String {
    format!(
        "WITH RECURSIVE needed (digest) AS ( \
         SELECT digest FROM temp.suspect WHERE digest IN (SELECT digest FROM target) \
             OR digest IN (SELECT digest FROM lease_pin) OR digest IN ({}) \
             OR EXISTS (SELECT 1 FROM edge WHERE child = suspect.digest AND parent NOT IN (SELECT digest FROM temp.suspect)) \
         UNION SELECT child FROM edge JOIN needed ON edge.parent = needed.digest ) \
         SELECT digest, size FROM blob \
         WHERE digest IN (SELECT digest FROM temp.suspect) AND digest NOT IN (SELECT digest FROM needed)",
        held()
    )
}

/// The documents among `roots` that nothing needs, and everything that only they needed, with its length in bytes.
pub(super) fn garbage(transaction: &Transaction<'_>, roots: &[Digest]) -> Step<Vec<(Digest, u64)>> {
    transaction.execute_batch(
        "CREATE INDEX IF NOT EXISTS edge_child ON edge (child); \
         DROP TABLE IF EXISTS temp.suspect; CREATE TEMP TABLE suspect (digest TEXT PRIMARY KEY) WITHOUT ROWID",
    )?;
    let sql = "INSERT OR IGNORE INTO temp.suspect WITH RECURSIVE below (digest) AS ( \
               VALUES (?1) UNION SELECT child FROM edge JOIN below ON edge.parent = below.digest ) \
               SELECT digest FROM below";
    let mut insert = transaction.prepare(sql)?;
    for root in roots {
        insert.execute([root.as_str()])?;
    }
    let mut select = transaction.prepare(&question())?;
    let mut rows = select.query([])?;
    let mut garbage = Vec::new();
    while let Some(row) = rows.next()? {
        garbage.push((digest_at(row, 0)?, from_row(row.get(1)?)));
    }
    Ok(garbage)
}
