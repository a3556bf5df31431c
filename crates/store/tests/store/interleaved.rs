//! Two at work on one store whose steps interleave in the one order that once went wrong.

use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;
use std::time::Duration;

use dhow_base::fault;
use dhow_base::progress::Silent;
use dhow_content::{CopyOptions, Sink, copy_blob, verify_document};
use dhow_spec::Digest;
use dhow_store::{OpenOptions, ProblemCode, Severity, Store};
use futures::executor::block_on;
use rusqlite::Connection;

use crate::common::*;

fn blob_path(root: &Path, digest: &Digest) -> PathBuf {
    root.join("blobs").join(digest.algorithm().as_str()).join(digest.hex())
}

/// The store after the machine has been switched off and on.
fn after_a_reboot(root: &Path) -> Store {
    Store::open(root, &OpenOptions { boot_id: Some("another".to_owned()), ..options() }).unwrap()
}

#[test]
fn a_manifest_that_another_session_has_committed_is_not_replaced() {
    let directory = scratch();
    let root = root_of(&directory);
    let remote = Remote::small("twice");
    let (other, late) = (open(&directory), open(&directory));
    let bytes = remote.place.get(&remote.root.digest).unwrap();
    let document = verify_document(bytes.to_vec(), &remote.root).unwrap();
    let pulled = remote.clone();
    fault::call_at("store.document.missing", &blob_path(&root, &remote.root.digest), move || {
        // Executors do not nest.
        std::thread::spawn(move || pulled.pull(&other, &["app:1"])).join().unwrap().unwrap();
    });
    let session = late.begin("pull").unwrap();
    block_on(session.put_document(&document)).unwrap();
    assert!(late.find("app:1").is_ok(), "the other one was faster");
    drop(session);

    let store = after_a_reboot(&root);
    assert!(store.is_complete(&remote.root.digest).unwrap());
    assert_eq!(store.check(false).unwrap().problems, []);
}

#[test]
fn a_kept_blob_that_is_not_trusted_is_told_and_taken_back() {
    let directory = scratch();
    let root = root_of(&directory);
    let remote = Remote::small("doubt");
    remote.pull(&open(&directory), &["app:1"]).unwrap();
    let layer = {
        let store = open(&directory);
        store.layers(&store.find("app:1").unwrap().image_id).unwrap()[0].blob.digest.clone()
    };
    let database = Connection::open(root.join("meta.db")).unwrap();
    for digest in [&remote.root.digest, &layer] {
        let changed =
            database.execute("UPDATE blob SET flushed = 0, boot = 'past' WHERE digest = ?1", [digest.as_str()]);
        assert_eq!(changed.unwrap(), 1);
    }
    drop(database);
    let store = open(&directory);
    assert!(!store.is_complete(&remote.root.digest).unwrap());
    let report = store.check(false).unwrap();
    assert!(!report.is_sound(), "{report:#?}");
    let codes: Vec<ProblemCode> = report.problems.iter().map(|problem| problem.code).collect();
    assert!(codes.contains(&ProblemCode::TargetMissing) && codes.contains(&ProblemCode::ContentMissing), "{report:#?}");
    assert!(report.problems.iter().all(|problem| problem.severity == Severity::Damage), "{report:#?}");
    assert!(!store.is_complete(&remote.root.digest).unwrap(), "looking changes nothing");

    let report = store.check(true).unwrap();
    assert!(report.is_sound() && report.problems.len() == 2, "{report:#?}");
    drop(store);
    let store = after_a_reboot(&root);
    assert!(store.is_complete(&remote.root.digest).unwrap(), "what was taken back was flushed");
    assert_eq!(store.check(false).unwrap().problems, []);
}

#[test]
fn a_stray_file_that_was_taken_back_is_trusted_after_a_reboot() {
    let directory = scratch();
    let root = root_of(&directory);
    let remote = Remote::small("stray");
    remote.pull(&open(&directory), &["app:1"]).unwrap();
    let database = Connection::open(root.join("meta.db")).unwrap();
    database.execute("DELETE FROM blob WHERE digest = ?1", [remote.root.digest.as_str()]).unwrap();
    drop(database);
    assert!(open(&directory).check(true).unwrap().is_sound());
    assert!(after_a_reboot(&root).is_complete(&remote.root.digest).unwrap());
}

#[test]
fn a_database_that_another_process_has_made_anew_is_left_alone() {
    let directory = scratch();
    let root = root_of(&directory);
    Remote::small("before").pull(&open(&directory), &["before:1"]).unwrap();
    for log in ["meta.db-wal", "meta.db-shm"] {
        let _ = std::fs::remove_file(root.join(log));
    }
    std::fs::write(root.join("meta.db"), vec![0x55; 8192]).unwrap();
    let (since, place) = (Remote::small("since"), root.clone());
    let pulled = since.clone();
    fault::call_at("store.rebuild.judged", &root, move || {
        assert!(Store::rebuild_if_unsound(&place, &options()).unwrap().is_some());
        let pull = move || pulled.pull(&open_at(&place).unwrap(), &["since:1"]);
        std::thread::spawn(pull).join().unwrap().unwrap();
    });
    assert_eq!(Store::rebuild_if_unsound(&root, &options()).unwrap(), None, "it is sound by now");
    let store = open(&directory);
    assert_eq!(store.find("since:1").unwrap().target.digest, since.root.digest);
    assert!(store.find("before:1").is_ok());
    assert_sound(&store, "after both");
}

#[test]
fn nothing_is_committed_to_a_database_that_was_replaced() {
    let directory = scratch();
    let root = root_of(&directory);
    let remote = Remote::small("old");
    let old = open(&directory);
    remote.pull(&old, &["app:1"]).unwrap();
    let place = root.clone();
    fault::call_at("store.rebuild.filled", &root, move || {
        let connection = Connection::open(place.join("meta.db")).unwrap();
        connection.busy_timeout(Duration::ZERO).unwrap();
        let begun = connection.execute_batch("BEGIN IMMEDIATE");
        assert_eq!(
            begun.unwrap_err().sqlite_error_code(),
            Some(rusqlite::ErrorCode::DatabaseBusy),
            "what was read is all"
        );
    });
    Store::rebuild(&root, &options()).unwrap();
    let newer = Remote::small("newer");
    newer.pull(&open(&directory), &["newer:1"]).unwrap();
    for error in [
        old.tag(&remote.root, &reference("app:2")).unwrap_err(),
        old.collect().unwrap_err(),
        remote.pull(&old, &["app:3"]).unwrap_err(),
    ] {
        assert_eq!(error.kind(), dhow_base::Kind::Unavailable, "{error}");
        assert!(error.to_string().contains("meta.db") && error.hint().is_some(), "{error:?}");
    }
    let store = open(&directory);
    assert!(store.find("app:2").is_err());
    assert!(store.is_complete(&newer.root.digest).unwrap(), "it was no garbage");
    assert_sound(&store, "after the rebuild");
}

#[test]
fn what_a_collection_takes_away_is_not_told_as_damage() {
    let directory = scratch();
    let root = root_of(&directory);
    let store = open(&directory);
    Remote::small("kept").pull(&store, &["kept:1"]).unwrap();
    Remote::small("gone").pull(&store, &["gone:1"]).unwrap();
    remove(&store, "gone:1").unwrap();
    let (found, is_found) = channel();
    fault::call_at("store.check.missing", &root, move || found.send(()).unwrap());
    let checking = open(&directory);
    let (hand_over, checked) = channel();
    fault::call_at("store.collect.trashed", &root, move || {
        let checking = std::thread::spawn(move || checking.check(false));
        is_found.recv_timeout(Duration::from_secs(60)).expect("a file is missing");
        hand_over.send(checking).unwrap();
    });
    assert!(store.collect().unwrap().blobs > 0);
    let report = checked.recv().unwrap().join().unwrap().unwrap();
    assert_eq!(report.problems, []);
}

#[test]
fn a_repair_leaves_alone_what_came_again_meanwhile() {
    let directory = scratch();
    let root = root_of(&directory);
    let store = open(&directory);
    let remote = Remote::small("again");
    remote.pull(&store, &["app:1"]).unwrap();
    let config = store.find("app:1").unwrap().image_id;
    let right = std::fs::read(blob_path(&root, &config)).unwrap();
    std::fs::write(blob_path(&root, &config), vec![0; right.len()]).unwrap();
    let (session, place, blob) = (open(&directory).begin("pull").unwrap(), remote.place.clone(), plain(&right));
    fault::call_at("store.check.damaged", &blob_path(&root, &config), move || {
        block_on(copy_blob(&place, &session, &blob, &CopyOptions::new(&Silent))).unwrap();
        session.settle(&[blob.digest]).unwrap();
    });
    let report = store.check(true).unwrap();
    assert_eq!(report.problems.iter().filter(|problem| problem.severity == Severity::Damage).count(), 0, "{report:#?}");
    assert_eq!(std::fs::read(blob_path(&root, &config)).unwrap(), right);
    assert!(store.is_complete(&remote.root.digest).unwrap());
}
