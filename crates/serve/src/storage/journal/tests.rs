use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use dhow_base::fault::{Action, arm_at, point_at};

use super::record::decode;
use super::segment::paths;
use super::*;
use crate::storage::Key;

fn key(text: &str) -> Key {
    Key::from_text(text).expect("a key")
}

fn put(name: &str, text: &str) -> Step {
    Step::Put(key(name), Bytes::copy_from_slice(text.as_bytes()))
}

/// A folder as the server makes it.
fn folder() -> (tempfile::TempDir, Arc<Files>) {
    let folder = tempfile::tempdir().expect("a directory");
    for name in ["uploads", "journal", "blobs", "repositories"] {
        dhow_base::fs::create_dir_all(&folder.path().join(name)).expect("a directory");
    }
    let files = Arc::new(Files::new(folder.path(), true));
    (folder, files)
}

fn text(files: &Files, name: &str) -> Option<String> {
    let bytes = Files::new(files.root(), false).get(&key(name), 100).expect("readable");
    bytes.map(|bytes| String::from_utf8(bytes.to_vec()).expect("text"))
}

/// Copies the journal as it is, and brings it back once the files are gone: what a power cut leaves at worst.
fn forget_files(root: &Path, halves: &[Option<Vec<u8>>]) {
    for name in ["blobs", "repositories"] {
        dhow_base::fs::remove_dir_all(&root.join(name)).expect("removed");
    }
    for (path, bytes) in paths(root).iter().zip(halves) {
        match bytes {
            Some(bytes) => {
                dhow_base::fs::write_atomic(path, bytes, 0o600, dhow_base::fs::Durability::Cached).expect("written");
            }
            None => drop(dhow_base::fs::remove_file(path).expect("removed")),
        }
    }
}

fn halves(root: &Path) -> Vec<Option<Vec<u8>>> {
    paths(root).iter().map(|path| std::fs::read(path).ok()).collect()
}

#[tokio::test]
async fn what_was_committed_is_taken_again_after_a_crash() {
    let (_folder, files) = folder();
    let journal = Journal::open(Arc::clone(&files)).expect("opened");
    journal.commit(vec![put("blobs/a", "1"), put("repositories/r/_blobs/a", "")]).await.expect("committed");
    journal.commit(vec![put("repositories/r/_tags/t", "old")]).await.expect("committed");
    journal
        .commit(vec![put("repositories/r/_tags/t", "new"), put("repositories/r/_tags/u", "x")])
        .await
        .expect("committed");
    assert!(journal.commit(vec![Step::Delete(key("repositories/r/_tags/u"))]).await.expect("committed"));
    assert!(!journal.commit(vec![Step::Delete(key("repositories/r/_tags/u"))]).await.expect("committed"));
    let left = halves(files.root());
    drop(journal);
    assert_eq!(halves(files.root()), [None, None], "in order, nothing is left");

    forget_files(files.root(), &left);
    settle(&files).expect("settled");
    assert_eq!(text(&files, "blobs/a").as_deref(), Some("1"));
    assert_eq!(text(&files, "repositories/r/_blobs/a").as_deref(), Some(""));
    assert_eq!(text(&files, "repositories/r/_tags/t").as_deref(), Some("new"));
    assert_eq!(text(&files, "repositories/r/_tags/u"), None);
    assert_eq!(halves(files.root()), [None, None]);
}

#[tokio::test]
async fn a_link_to_content_that_was_collected_is_not_made_again() {
    let (_folder, files) = folder();
    let journal = Journal::open(Arc::clone(&files)).expect("opened");
    journal
        .commit(vec![put("repositories/r/_blobs/gone", ""), put("repositories/r/_tags/t", "x")])
        .await
        .expect("committed");
    let left = halves(files.root());
    drop(journal);
    forget_files(files.root(), &left);
    settle(&files).expect("settled");
    assert_eq!(text(&files, "repositories/r/_blobs/gone"), None);
    assert_eq!(text(&files, "repositories/r/_tags/t").as_deref(), Some("x"));
}

#[tokio::test]
async fn halves_are_used_in_turns_and_the_newer_counts() {
    let (_folder, files) = folder();
    let journal = Journal::with_halves_of(Arc::clone(&files), 300).expect("opened");
    let mut snapshots = Vec::new();
    for number in 0..40 {
        let name = format!("repositories/r/_tags/t{}", number % 3);
        journal.commit(vec![put(&name, &number.to_string())]).await.expect("committed");
        snapshots.push((number, halves(files.root())));
    }
    let generations: std::collections::BTreeSet<_> = snapshots
        .iter()
        .flat_map(|(_, halves)| halves.iter().flatten())
        .filter_map(|half| decode(&Bytes::from(half.clone())).generation)
        .collect();
    assert!(generations.len() > 5, "{generations:?}");
    drop(journal);
    // After a crash at any time: what was flushed of the files is at worst what the older halves told of.
    for (number, left) in snapshots {
        for name in ["blobs", "repositories"] {
            dhow_base::fs::create_dir_all(&files.root().join(name)).expect("made");
        }
        forget_files(files.root(), &left);
        for before in 0..=number {
            files.take(&[put(&format!("repositories/r/_tags/t{}", before % 3), &before.to_string())]).expect("taken");
        }
        settle(&files).expect("settled");
        for last in (0..=number).rev().take(3) {
            assert_eq!(
                text(&files, &format!("repositories/r/_tags/t{}", last % 3)),
                Some(last.to_string()),
                "at {number}"
            );
        }
    }
}

#[tokio::test]
async fn changes_that_wait_together_share_a_flush() {
    let (_folder, files) = folder();
    let journal = Arc::new(Journal::open(Arc::clone(&files)).expect("opened"));
    let commits = (0..200).map(|number| {
        let (journal, step) = (Arc::clone(&journal), put(&format!("repositories/r/_tags/t{number}"), "x"));
        tokio::spawn(async move { journal.commit(vec![step]).await })
    });
    for commit in commits.collect::<Vec<_>>() {
        commit.await.expect("no panic").expect("committed");
    }
    assert_eq!(text(&files, "repositories/r/_tags/t199").as_deref(), Some("x"));
}

/// Faults are armed for the whole process: this one for the files of this journal alone, or a test beside it would meet it.
#[tokio::test]
async fn a_failed_flush_is_told_and_the_next_change_is_kept() {
    let (_folder, files) = folder();
    let journal = Journal::open(Arc::clone(&files)).expect("opened");
    journal.commit(vec![put("repositories/r/_tags/t", "first")]).await.expect("committed");
    paths(files.root()).iter().for_each(|half| arm_at("fs.sync_data", half, 0, Action::NoSpace));
    let failed = journal.commit(vec![put("repositories/r/_tags/t", "lost")]).await.expect_err("failed");
    // The half that was not written to is still to fail.
    paths(files.root()).iter().for_each(|half| drop(point_at("fs.sync_data", half)));
    assert_eq!(failed.kind(), Kind::NoSpace);
    assert_eq!(text(&files, "repositories/r/_tags/t").as_deref(), Some("first"));
    journal.commit(vec![put("repositories/r/_tags/t", "last")]).await.expect("committed");
    let left = halves(files.root());
    assert!(left.iter().all(Option::is_some), "the change after the failure stands in the other half");
    drop(journal);
    forget_files(files.root(), &left);
    settle(&files).expect("settled");
    assert_eq!(text(&files, "repositories/r/_tags/t").as_deref(), Some("last"));
}

/// Commits until the record of `name` stands nowhere in the journal any more.
async fn write_over(journal: &Journal, root: &Path, name: &str) {
    for number in 0..1000 {
        let is_there = halves(root)
            .into_iter()
            .flatten()
            .any(|half| decode(&Bytes::from(half)).records.iter().flatten().any(|step| step.key().as_str() == name));
        if !is_there {
            return;
        }
        // While the disk fails, some are answered so.
        let _ = journal.commit(vec![put(&format!("repositories/r/_tags/t{}", number % 3), "x")]).await;
    }
    panic!("{name} is still in the journal");
}

/// What the system could not write it tells of once; then it takes it for written, and may have the old bytes the next time that
/// the file is read.
#[tokio::test]
async fn what_a_flush_lost_is_written_again_before_the_journal_forgets_it() {
    for text_length in [10, 2000] {
        let (_folder, files) = folder();
        let journal = Journal::with_halves_of(Arc::clone(&files), 300).expect("opened");
        let (name, written) = ("repositories/r/_tags/lost", "x".repeat(text_length));
        journal.commit(vec![put(name, "first")]).await.expect("committed");
        let path = files.path(&key(name));
        arm_at("fs.flush.file", &path, 0, Action::Error);
        journal.commit(vec![put(name, &written)]).await.expect("committed");
        let file = dhow_base::fs::open_or_create(&path).expect("there");
        dhow_base::fs::write_at(&file, &path, b"lost", 0).expect("spoilt");
        write_over(&journal, files.root(), name).await;
        let found = Files::new(files.root(), false).get(&key(name), 10_000).expect("readable");
        assert_eq!(found.as_deref(), Some(written.as_bytes()));
        assert!(point_at("fs.flush.file", &path).is_ok(), "the flush never came to the file");
        drop(journal);
        assert_eq!(halves(files.root()), [None, None]);
    }
}

#[tokio::test]
async fn what_was_changed_since_and_what_was_collected_is_not_written_again() {
    let (_folder, files) = folder();
    let journal = Journal::with_halves_of(Arc::clone(&files), 300).expect("opened");
    let (moved, gone, failing) = ("repositories/r/_tags/moved", "blobs/gone", "blobs/failing");
    journal.commit(vec![put(moved, "old"), put(gone, "x"), put(failing, "x")]).await.expect("committed");
    arm_at("fs.flush.file", &files.path(&key(failing)), 0, Action::Error);
    journal.commit(vec![put("repositories/r/_tags/long", &"x".repeat(300))]).await.expect("committed");
    dhow_base::fs::remove_file(&files.path(&key(gone))).expect("collected");
    // This one begins the other half, and is newer than what is written again.
    journal.commit(vec![put(moved, "new")]).await.expect("committed");
    write_over(&journal, files.root(), failing).await;
    assert_eq!(text(&files, moved).as_deref(), Some("new"));
    assert_eq!(text(&files, gone), None);
    assert_eq!(text(&files, failing).as_deref(), Some("x"));
}

#[tokio::test]
async fn a_half_is_not_written_over_before_its_files_are_flushed() {
    let (_folder, files) = folder();
    let journal = Journal::with_halves_of(Arc::clone(&files), 300).expect("opened");
    let name = "repositories/r/_tags/only";
    // As many as the writer asks for before it has to do without.
    (0..1000).for_each(|_| arm_at("journal.flush_thread", files.root(), 0, Action::Error));
    journal.commit(vec![put(name, &"x".repeat(300))]).await.expect("committed");
    // Were it flushed, the fault would be gone.
    let path = files.path(&key(name));
    arm_at("fs.flush.file", &path, 0, Action::Error);
    write_over(&journal, files.root(), name).await;
    assert!(point_at("fs.flush.file", &path).is_ok(), "nobody flushed the file");
}

#[tokio::test]
async fn what_is_there_already_is_taken_again_without_room() {
    let (_folder, files) = folder();
    let journal = Journal::open(Arc::clone(&files)).expect("opened");
    journal
        .commit(vec![put("blobs/a", "1"), put("repositories/r/_blobs/a", ""), put("repositories/r/_tags/t", "x")])
        .await
        .expect("committed");
    journal.commit(vec![put("repositories/r/_tags/t", "y")]).await.expect("committed");
    let left = halves(files.root());
    drop(journal);
    paths(files.root()).iter().zip(left).for_each(|(path, half)| {
        let file = dhow_base::fs::open_or_create(path).expect("made");
        dhow_base::fs::write_at(&file, path, &half.unwrap_or_default(), 0).expect("written");
    });
    // Nothing can be written beside what is there.
    let uploads = files.uploads();
    dhow_base::fs::remove_dir_all(&uploads).expect("gone");
    settle(&files).expect("settled");
    assert_eq!(halves(files.root()), [None, None]);
    assert_eq!(text(&files, "repositories/r/_tags/t").as_deref(), Some("y"));
}

/// Their names are counted from the beginning by each process, so the next one would write over their first bytes.
#[test]
fn what_a_killed_process_was_writing_goes_first() {
    let (_folder, files) = folder();
    let left = files.uploads().join("0.tmp");
    let record = paths(files.root())[0].clone();
    for path in [&left, &record] {
        let file = dhow_base::fs::open_or_create(path).expect("made");
        dhow_base::fs::write_at(&file, path, b"half a file", 0).expect("written");
    }
    settle_abandoned(files.root()).expect("settled");
    assert!(!left.exists() && !record.exists());
}
