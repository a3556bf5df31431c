//! SQLite is known to keep its promises: if it lost a commit here, the file system's model would be wrong.
#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

use std::path::Path;

use rusqlite::Connection;
use tempfile::TempDir;

use super::*;
use crate::peers::available;

const COMMITS: i64 = 8;

fn open(path: &Path, journal: &str) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.pragma_update(None, "journal_mode", journal)?;
    // Deleting the rollback journal is what commits, so only EXTRA, which syncs the directory then, makes it durable
    // (sqlite.org/pragma.html#pragma_synchronous).
    connection.pragma_update(None, "synchronous", if journal == "WAL" { "FULL" } else { "EXTRA" })?;
    connection.execute("CREATE TABLE IF NOT EXISTS kept (number INTEGER, filler BLOB)", [])?;
    Ok(connection)
}

/// Commits until the power fails; returns how many commits were acknowledged.
fn commit_until_the_end(path: &Path, journal: &str) -> i64 {
    let Ok(connection) = open(path, journal) else { return 0 };
    let insert = |number| connection.execute("INSERT INTO kept VALUES (?1, zeroblob(9000))", [number]);
    (1..=COMMITS).take_while(|&number| insert(number).is_ok()).count() as i64
}

fn check(image: &Image, journal: &str, acknowledged: i64, what: &str) {
    let directory = TempDir::new().unwrap();
    let _mounted = Forgetful::from_image(image).mount_at(directory.path()).unwrap();
    let connection = open(&directory.path().join("db"), journal).unwrap_or_else(|error| panic!("{what}: {error}"));
    let integrity: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(integrity, "ok", "{what}");
    let (count, last): (i64, i64) = connection
        .query_row("SELECT count(*), ifnull(max(number), 0) FROM kept", [], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap();
    assert_eq!(count, last, "{what}: a hole");
    assert!(count >= acknowledged, "{what}: {acknowledged} were acknowledged, {count} are left");
}

fn no_acknowledged_commit_is_lost(journal: &str) {
    if available(Forgetful::possible()).is_none() {
        return;
    }
    for promise in [Promise::Posix, Promise::Journaled] {
        for cut in 1.. {
            let directory = TempDir::new().unwrap();
            let handle = Forgetful::default().promise(promise).mount_at(directory.path()).unwrap();
            handle.cut_at(cut);
            let acknowledged = commit_until_the_end(&directory.path().join("db"), journal);
            for unsynced in [Unsynced::Lost, Unsynced::Kept, Unsynced::Random(1), Unsynced::Random(2)] {
                let what = format!("{journal} {promise:?} {unsynced:?}, power cut at sync {cut}");
                check(&handle.survivors(unsynced), journal, acknowledged, &what);
            }
            if !handle.is_cut() {
                assert_eq!(acknowledged, COMMITS);
                break;
            }
        }
    }
}

#[test]
fn sqlite_with_a_write_ahead_log_loses_nothing() {
    no_acknowledged_commit_is_lost("WAL");
}

#[test]
fn the_weaker_setting_for_a_rollback_journal_is_found_out() {
    let Some((image, acknowledged)) = weak_commit() else { return };
    let directory = TempDir::new().unwrap();
    let _mounted = Forgetful::from_image(&image).mount_at(directory.path()).unwrap();
    let connection = open(&directory.path().join("db"), "DELETE").unwrap();
    let count: i64 = connection.query_row("SELECT count(*) FROM kept", [], |row| row.get(0)).unwrap();
    assert_eq!((acknowledged, count), (1, 0), "the journal that was deleted came back and undid the commit");
}

/// One acknowledged commit with `synchronous=FULL`, and what a power cut right behind it leaves.
fn weak_commit() -> Option<(Image, usize)> {
    available(Forgetful::possible())?;
    let directory = TempDir::new().unwrap();
    let handle = Forgetful::mount(directory.path()).unwrap();
    let connection = open(&directory.path().join("db"), "DELETE").unwrap();
    connection.pragma_update(None, "synchronous", "FULL").unwrap();
    let inserted = connection.execute("INSERT INTO kept VALUES (1, NULL)", []).unwrap();
    drop(connection);
    Some((handle.survivors(Unsynced::Lost), inserted))
}

#[test]
fn sqlite_with_a_rollback_journal_loses_nothing() {
    no_acknowledged_commit_is_lost("DELETE");
}
