#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]
#![allow(clippy::disallowed_methods, reason = "the plain calls are what is tested")]

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use tempfile::TempDir;

use super::*;
use crate::peers::available;

/// A mount on a fresh directory; `None` where FUSE cannot be had.
fn mounted(promise: Promise) -> Option<(TempDir, Handle)> {
    available(Forgetful::possible())?;
    let directory = TempDir::new().unwrap();
    let handle = Forgetful::default().promise(promise).mount_at(directory.path()).unwrap();
    Some((directory, handle))
}

fn sync_directory(path: &Path) {
    File::open(path).unwrap().sync_all().unwrap();
}

fn write_synced(path: &Path, bytes: &[u8]) {
    let mut file = File::create(path).unwrap();
    file.write_all(bytes).unwrap();
    file.sync_all().unwrap();
}

fn names(path: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn reads_back_what_was_written_and_forgets_it_without_a_sync() {
    let Some((_directory, handle)) = mounted(Promise::Posix) else { return };
    let root = handle.mountpoint().to_owned();
    fs::create_dir(root.join("blobs")).unwrap();
    let bytes: Vec<u8> = (0..3_000_000u32).map(|n| (n % 251) as u8).collect();
    fs::write(root.join("blobs/one"), &bytes).unwrap();
    assert_eq!(fs::read(root.join("blobs/one")).unwrap(), bytes);
    assert_eq!(fs::metadata(root.join("blobs/one")).unwrap().len(), 3_000_000);
    let handle = handle.remount_durable().unwrap();
    assert_eq!((names(&root), handle.syncs()), (Vec::new(), 0));
}

#[test]
fn a_name_needs_its_directory_synced_and_bytes_need_the_file_synced() {
    let Some((_directory, handle)) = mounted(Promise::Posix) else { return };
    let root = handle.mountpoint().to_owned();
    write_synced(&root.join("file-only"), b"bytes");
    let handle = handle.remount_durable().unwrap();
    assert_eq!(names(&root), [] as [&str; 0], "the name was never synced");

    write_synced(&root.join("both"), b"bytes");
    fs::write(root.join("name-only"), b"bytes").unwrap();
    sync_directory(&root);
    assert_eq!(handle.sync_log(), ["both", "/"]);
    let _handle = handle.remount_durable().unwrap();
    assert_eq!(fs::read(root.join("both")).unwrap(), b"bytes");
    assert_eq!(fs::read(root.join("name-only")).unwrap(), b"", "the bytes were never synced");
}

#[test]
fn a_journal_commits_names_with_any_sync() {
    let Some((_directory, handle)) = mounted(Promise::Journaled) else { return };
    let root = handle.mountpoint().to_owned();
    fs::write(root.join("first"), b"1").unwrap();
    write_synced(&root.join("second"), b"2");
    let _handle = handle.remount_durable().unwrap();
    assert_eq!(names(&root), ["first", "second"]);
}

#[test]
fn an_atomic_replacement_is_old_or_new() {
    let Some((_directory, handle)) = mounted(Promise::Posix) else { return };
    let root = handle.mountpoint().to_owned();
    write_synced(&root.join("file"), b"old");
    sync_directory(&root);
    write_synced(&root.join("temporary"), b"new");
    fs::rename(root.join("temporary"), root.join("file")).unwrap();
    for (unsynced, expected) in [(Unsynced::Lost, "old"), (Unsynced::NamesKept, "new"), (Unsynced::Kept, "new")] {
        let other = TempDir::new().unwrap();
        let _later = Forgetful::from_image(&handle.survivors(unsynced)).mount_at(other.path()).unwrap();
        assert_eq!(fs::read_to_string(other.path().join("file")).unwrap(), expected, "{unsynced:?}");
        assert_eq!(names(other.path()), ["file"], "{unsynced:?}");
    }
    sync_directory(&root);
    let _handle = handle.remount_durable().unwrap();
    assert_eq!(fs::read(root.join("file")).unwrap(), b"new");
}

#[test]
fn a_rename_across_directories_is_one_step_and_an_unlink_waits_for_its_sync() {
    let Some((_directory, handle)) = mounted(Promise::Posix) else { return };
    let root = handle.mountpoint().to_owned();
    for name in ["ingest", "blobs"] {
        fs::create_dir(root.join(name)).unwrap();
    }
    write_synced(&root.join("ingest/part"), b"bytes");
    write_synced(&root.join("blobs/doomed"), b"bytes");
    for path in ["ingest", "blobs", ""] {
        sync_directory(&root.join(path));
    }
    fs::rename(root.join("ingest/part"), root.join("blobs/whole")).unwrap();
    fs::remove_file(root.join("blobs/doomed")).unwrap();
    assert_eq!(names(&root.join("blobs")), ["whole"]);
    let handle = handle.remount_durable().unwrap();
    assert_eq!((names(&root.join("ingest")), names(&root.join("blobs"))), (vec!["part".into()], vec!["doomed".into()]));

    fs::rename(root.join("ingest/part"), root.join("blobs/whole")).unwrap();
    fs::remove_file(root.join("blobs/doomed")).unwrap();
    sync_directory(&root.join("blobs"));
    let _handle = handle.remount_durable().unwrap();
    assert_eq!((names(&root.join("ingest")), names(&root.join("blobs"))), (vec![], vec!["whole".into()]));
}

#[test]
fn the_power_fails_before_the_chosen_sync_takes_effect() {
    let Some((_directory, handle)) = mounted(Promise::Posix) else { return };
    let root = handle.mountpoint().to_owned();
    write_synced(&root.join("file"), b"first");
    sync_directory(&root);
    handle.cut_at(3);
    let mut file = OpenOptions::new().write(true).open(root.join("file")).unwrap();
    file.write_all(b"later").unwrap();
    assert_eq!(file.sync_all().unwrap_err().raw_os_error(), Some(5));
    assert!(handle.is_cut());
    assert_eq!(file.write_all(b"x").unwrap_err().raw_os_error(), Some(5));
    assert_eq!(fs::read_dir(&root).map(|_| ()).unwrap_err().raw_os_error(), Some(5));
    drop(file);
    let handle = handle.remount_durable().unwrap();
    assert!(!handle.is_cut());
    assert_eq!(fs::read(root.join("file")).unwrap(), b"first");
}

#[test]
fn unsynced_names_without_bytes_are_zeros_and_a_coin_is_repeatable() {
    let Some((_directory, handle)) = mounted(Promise::Posix) else { return };
    let root = handle.mountpoint().to_owned();
    for index in 0..40 {
        fs::write(root.join(format!("{index:02}")), [7; 5000]).unwrap();
    }
    let zeros = handle.survivors(Unsynced::NamesKept);
    let coin = |seed| {
        let other = TempDir::new().unwrap();
        let image = handle.survivors(Unsynced::Random(seed));
        let _later = Forgetful::from_image(&image).mount_at(other.path()).unwrap();
        names(other.path()).iter().map(|name| fs::read(other.path().join(name)).unwrap()).collect::<Vec<_>>()
    };
    let first = coin(1);
    assert!((1..40).contains(&first.len()), "{}", first.len());
    assert_eq!(first, coin(1));
    assert_ne!(first, coin(2));
    let other = TempDir::new().unwrap();
    let _later = Forgetful::from_image(&zeros).mount_at(other.path()).unwrap();
    assert_eq!(fs::read(other.path().join("07")).unwrap(), [0; 5000]);
}

#[test]
fn truncated_and_allocated_files_keep_their_meaning() {
    let Some((_directory, handle)) = mounted(Promise::Posix) else { return };
    let root = handle.mountpoint().to_owned();
    let mut file = OpenOptions::new().read(true).write(true).create_new(true).open(root.join("file")).unwrap();
    file.write_all(&[1; 9000]).unwrap();
    file.set_len(100).unwrap();
    file.set_len(9000).unwrap();
    file.write_all_at(b"end", 8997).unwrap();
    file.sync_data().unwrap();
    sync_directory(&root);
    rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, 20_000).unwrap();
    assert_eq!(file.metadata().unwrap().len(), 20_000);
    file.seek(SeekFrom::Start(99)).unwrap();
    let mut bytes = [9; 3];
    file.read_exact(&mut bytes).unwrap();
    assert_eq!(bytes, [1, 0, 0]);
    drop(file);
    let _handle = handle.remount_durable().unwrap();
    let durable = fs::read(root.join("file")).unwrap();
    assert_eq!((durable.len(), &durable[8995..]), (9000, &[0, 0, b'e', b'n', b'd'][..]));
}

#[test]
fn directories_links_and_modes_behave() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let Some((_directory, handle)) = mounted(Promise::Posix) else { return };
    let root = handle.mountpoint().to_owned();
    fs::create_dir_all(root.join("a/b")).unwrap();
    fs::write(root.join("a/b/file"), b"x").unwrap();
    assert_eq!(fs::remove_dir(root.join("a/b")).unwrap_err().kind(), io::ErrorKind::DirectoryNotEmpty);
    fs::hard_link(root.join("a/b/file"), root.join("second")).unwrap();
    assert_eq!(fs::metadata(root.join("second")).unwrap().nlink(), 2);
    symlink("a/b/file", root.join("symlink")).unwrap();
    assert_eq!(fs::read(root.join("symlink")).unwrap(), b"x");
    fs::set_permissions(root.join("second"), fs::Permissions::from_mode(0o640)).unwrap();
    assert_eq!(fs::metadata(root.join("second")).unwrap().permissions().mode() & 0o777, 0o640);
    fs::rename(root.join("a/b"), root.join("c")).unwrap();
    assert_eq!(names(&root), ["a", "c", "second", "symlink"]);
    fs::remove_dir_all(root.join("c")).unwrap();
    for index in 0..500 {
        fs::write(root.join(format!("a/{index}")), b"").unwrap();
    }
    assert_eq!(names(&root.join("a")).len(), 500);
    fs::remove_dir_all(root.join("a")).unwrap();
    assert_eq!(names(&root), ["second", "symlink"]);
}

#[test]
fn locks_exclude_across_opens() {
    let Some((_directory, handle)) = mounted(Promise::Posix) else { return };
    let path = handle.mountpoint().join("lock");
    let (first, second) = (File::create(&path).unwrap(), File::create(&path).unwrap());
    first.lock().unwrap();
    assert!(matches!(second.try_lock(), Err(fs::TryLockError::WouldBlock)));
    drop(first);
    second.try_lock().unwrap();
}

#[test]
fn an_unmount_waits_for_programs_that_still_hold_files() {
    let Some((_directory, mut handle)) = mounted(Promise::Posix) else { return };
    let file = File::create(handle.mountpoint().join("file")).unwrap();
    let holder = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(100));
        drop(file);
    });
    handle.unmount().unwrap();
    holder.join().unwrap();
}
