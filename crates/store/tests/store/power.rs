//! Power cuts at every sync, on a file system that forgets whatever was not synced.

use std::io::Write;
use std::path::Path;

use dhow_store::{Journal, OpenOptions, Store};
use dhow_testkit::forgetful::{Forgetful, Handle, Image, Promise, Unsynced};
use dhow_testkit::peers::available;
use tempfile::TempDir;

use crate::child::command;
use crate::common::*;
use crate::crash::{assert_acknowledged, scenario};

fn with(journal: &str) -> OpenOptions {
    let journal = if journal == "wal" { Journal::WriteAhead } else { Journal::Rollback };
    OpenOptions { journal, ..options() }
}

/// Runs the scenario until the power fails. In a process of its own: memory that is mapped from a dead disk kills.
pub(crate) fn child(root: &Path, acknowledged: &Path, journal: &str) {
    let mut file = std::fs::OpenOptions::new().append(true).create(true).open(acknowledged).unwrap();
    let done =
        Store::open(root, &with(journal)).and_then(|store| scenario(&store, |step| writeln!(file, "{step}").unwrap()));
    drop(done);
}

fn run(handle: &Handle, journal: &str) -> Vec<String> {
    let outside = scratch();
    let acknowledged = outside.path().join("acknowledged");
    let root = handle.mountpoint().join("store");
    command("power", outside.path(), &root, &[acknowledged.to_str().unwrap(), journal]).status().unwrap();
    std::fs::read_to_string(&acknowledged).unwrap_or_default().lines().map(str::to_owned).collect()
}

fn look(image: &Image, journal: &str, steps: &[String], what: &str) {
    let directory = TempDir::new().unwrap();
    let mounted = Forgetful::from_image(image).mount_at(directory.path()).unwrap();
    let root = mounted.mountpoint().join("store");
    let options = OpenOptions { boot_id: Some("after the cut".to_owned()), ..with(journal) };
    let store = Store::open(&root, &options).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_acknowledged(&store, steps, what);
    // What is left half done does not stand in the way.
    scenario(&store, |_| {}).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(store.check(true).unwrap().problems.iter().filter(|p| p.repaired.is_none()).count(), 0, "{what}");
}

fn loses_nothing(journal: &str, promise: Promise) {
    if available(Forgetful::possible()).is_none() {
        return;
    }
    for cut in 1.. {
        let directory = TempDir::new().unwrap();
        let handle = Forgetful::default().promise(promise).mount_at(directory.path()).unwrap();
        handle.cut_at(cut);
        let steps = run(&handle, journal);
        for unsynced in [Unsynced::Lost, Unsynced::NamesKept, Unsynced::Kept, Unsynced::Random(cut)] {
            let what = format!("{journal} {promise:?} {unsynced:?}, power cut at sync {cut}, {steps:?} acknowledged");
            look(&handle.survivors(unsynced), journal, &steps, &what);
        }
        if !handle.is_cut() {
            assert_eq!(steps.len(), 5, "{steps:?}");
            break;
        }
    }
}

#[test]
fn with_a_write_ahead_log() {
    loses_nothing("wal", Promise::Posix);
}

#[test]
fn with_a_write_ahead_log_on_a_journaled_file_system() {
    loses_nothing("wal", Promise::Journaled);
}

#[test]
fn with_a_rollback_journal() {
    loses_nothing("rollback", Promise::Posix);
}
