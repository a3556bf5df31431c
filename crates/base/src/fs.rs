//! The only door to writing, renaming, syncing and deleting files.
//!
//! Every function names the path in its error. "Durable" means: after `Ok`, the change survives a power cut.

#![allow(clippy::disallowed_methods, reason = "this module is the door that the ban points to")]

use std::fs::{self as std_fs, File, OpenOptions, Permissions};
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use rustix::fs::OFlags;

use crate::{Error, Kind, Result, fault, threads};

mod atomic;
mod copy;
mod heir;
mod lock;

pub use atomic::{AtomicFile, write_atomic};
pub use copy::{Cursor, FileRange, copy_buffered, copy_range};
pub use heir::give_to_owner;
pub use lock::{FileLock, LockMode};

use heir::Gift;

/// Whether a write must survive a power cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Caches and views that can be made again: atomic, but not synced.
    Cached,
    /// Data, then name, are on stable storage when the call returns.
    Durable,
}

/// Has writes beyond the limit of file sizes (`ulimit -f`) fail like others, instead of ending the process by a signal.
pub fn fail_at_size_limit() {
    crate::sys::catch_size_limit();
}

/// Makes a directory and its parents with mode 0700 for those it makes.
///
/// # Errors
/// The operating system's, with the path.
pub fn create_dir_all(path: &Path) -> Result<()> {
    let make = |path: &Path| match Gift::at(path) {
        Some(gift) => gift.make_directory(0o700),
        None => std_fs::DirBuilder::new().mode(0o700).create(path),
    };
    make_missing(path, make)
}

/// Makes a directory where it and those above it are missing.
fn make_missing(path: &Path, make: impl Fn(&Path) -> io::Result<()>) -> Result<()> {
    let is_missing = |folder: &&Path| !folder.as_os_str().is_empty() && !folder.exists();
    let missing: Vec<&Path> = path.ancestors().take_while(is_missing).collect();
    let make = |folder: &Path| match make(folder) {
        // Somebody else was faster.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => Ok(()),
        made => made,
    };
    if missing.is_empty() && !path.as_os_str().is_empty() && !path.is_dir() {
        let error = io::Error::from(io::ErrorKind::AlreadyExists);
        return Err(Error::io(format_args!("cannot create directory {path:?}"), error));
    }
    missing
        .into_iter()
        .rev()
        .try_for_each(make)
        .map_err(|error| Error::io(format_args!("cannot create directory {path:?}"), error))
}

/// As [`create_dir_all`], for folders that users asked for: whoever may enter what they make may enter these (mode 0777 less the umask).
///
/// # Errors
/// As there.
pub fn create_dir_all_by_umask(path: &Path) -> Result<()> {
    make_missing(path, |folder| std_fs::create_dir(folder))
}

/// As [`create_dir_all`], but what is made can be entered and read by everybody, whatever the process's umask is.
///
/// # Errors
/// The operating system's, with the path.
pub fn create_dir_all_for_everybody(path: &Path) -> Result<()> {
    make_missing(path, |folder| {
        std_fs::create_dir(folder)?;
        // A link that somebody puts in its place meanwhile is not followed.
        let flags = (OFlags::NOFOLLOW | OFlags::DIRECTORY).bits().cast_signed();
        let made = OpenOptions::new().read(true).custom_flags(flags).open(folder)?;
        made.set_permissions(Permissions::from_mode(0o755))
    })
}

/// Opens a file for reading and writing, making it (mode 0600) when it is not there; the content is kept.
///
/// # Errors
/// The operating system's, with the path.
pub fn open_or_create(path: &Path) -> Result<File> {
    open_or_create_with(path, 0o600)
}

/// As [`open_or_create`], with another mode for a file that is made; the process's umask is taken off it.
///
/// # Errors
/// The operating system's, with the path.
pub fn open_or_create_with(path: &Path, mode: u32) -> Result<File> {
    let failed = |error| Error::io(format_args!("cannot open {path:?}"), error);
    if let Some(gift) = Gift::at(path) {
        match gift.make_file(mode) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => return made.map_err(failed),
        }
    }
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(mode).open(path).map_err(failed)
}

/// Makes an empty file (mode 0600) where there is none, for others than this module to fill. One that is there is not even opened.
///
/// # Errors
/// The operating system's, with the path.
pub fn make_empty(path: &Path) -> Result<()> {
    let made = match Gift::at(path) {
        Some(gift) => gift.make_file(0o600),
        None => OpenOptions::new().write(true).create_new(true).mode(0o600).open(path),
    };
    match made {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(Error::io(format_args!("cannot write {path:?}"), error))
        }
        _ => Ok(()),
    }
}

/// Opens a file without a name in a directory, which vanishes when it is closed.
///
/// # Errors
/// The operating system's, with the directory's path.
pub fn unnamed_file(directory: &Path) -> Result<File> {
    use rustix::fs::{Mode, OFlags};
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    match rustix::fs::open(directory, flags, Mode::RUSR | Mode::WUSR) {
        Ok(file) => Ok(File::from(file)),
        // NFS and some others: a name that goes at once, though not when the power does in between.
        Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::ISDIR) => {
            let mut pending = AtomicFile::create(&directory.join("unnamed"), 0o600)?;
            let file = pending.file().try_clone();
            file.map_err(|error| Error::io(format_args!("cannot write to {directory:?}"), error))
        }
        Err(error) => Err(Error::io(format_args!("cannot write to {directory:?}"), error.into())),
    }
}

/// Opens a file for reading.
///
/// # Errors
/// The operating system's, with the path.
pub fn open(path: &Path) -> Result<File> {
    File::open(path).map_err(|error| Error::io(format_args!("cannot open {path:?}"), error))
}

/// Room for a file that says of itself that it is empty, in bytes.
const UNTOLD_BYTES: u64 = 4 << 10;

/// Reads a whole file of at most `bytes_max` bytes.
///
/// # Errors
/// [`Kind::LimitExceeded`] when the file is longer, else the operating system's, with the path.
pub fn read_limited(path: &Path, bytes_max: u64) -> Result<Vec<u8>> {
    let file = open(path)?;
    // Room for all of it, and for the read that finds the end: a reader with a limit is asked for no more than 32 bytes at first.
    // The kernel's own files do not say how long they are.
    let length = match file.metadata().map_or(0, |metadata| metadata.len()) {
        0 => UNTOLD_BYTES,
        length => length.min(bytes_max),
    };
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0).saturating_add(1));
    file.take(bytes_max.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|error| Error::io(format_args!("cannot read {path:?}"), error))?;
    if bytes.len() as u64 > bytes_max {
        return Err(Error::new(Kind::LimitExceeded, format!("{path:?} is longer than {bytes_max} bytes")));
    }
    Ok(bytes)
}

/// Writes all of `bytes` at `offset`, without moving the file's position.
///
/// # Errors
/// The operating system's; `path` is only used to name the file.
pub fn write_at(file: &File, path: &Path, bytes: &[u8], offset: u64) -> Result<()> {
    fault::point_at("fs.write_at", path)
        .and_then(|()| file.write_all_at(bytes, offset))
        .map_err(|error| Error::io(format_args!("cannot write {path:?}"), error))
}

/// Cuts or extends a file to `length` bytes.
///
/// # Errors
/// The operating system's; `path` is only used to name the file.
pub fn set_length(file: &File, path: &Path, length: u64) -> Result<()> {
    file.set_len(length).map_err(|error| Error::io(format_args!("cannot resize {path:?}"), error))
}

/// Notes that a file was used just now, as the time of its last change. Only a hint: failing to is no failure.
pub fn touch(file: &File) {
    let _ = file.set_modified(std::time::SystemTime::now());
}

/// Gives a file another name, replacing what has it. Not durable by itself: sync the directory.
///
/// # Errors
/// The operating system's, with both paths.
pub fn rename(from: &Path, to: &Path) -> Result<()> {
    fault::point("fs.rename")
        .and_then(|()| std_fs::rename(from, to))
        .map_err(|error| Error::io(format_args!("cannot rename {from:?} to {to:?}"), error))
}

/// Swaps what two names stand for, in one step. Not durable by itself: sync the directories.
///
/// # Errors
/// The operating system's, with both paths; some file systems cannot (rename(2), `RENAME_EXCHANGE`).
pub fn exchange(one: &Path, other: &Path) -> Result<()> {
    let exchanged = fault::point("fs.rename").and_then(|()| {
        Ok(rustix::fs::renameat_with(rustix::fs::CWD, one, rustix::fs::CWD, other, rustix::fs::RenameFlags::EXCHANGE)?)
    });
    exchanged.map_err(|error| Error::io(format_args!("cannot exchange {one:?} and {other:?}"), error))
}

/// Deletes a file; a missing file is fine. Returns whether there was one.
///
/// # Errors
/// The operating system's, with the path.
pub fn remove_file(path: &Path) -> Result<bool> {
    match fault::point("fs.remove").and_then(|()| std_fs::remove_file(path)) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Error::io(format_args!("cannot remove {path:?}"), error)),
    }
}

/// Deletes a directory; one that is missing is fine, and one that has something in it stays.
///
/// # Errors
/// The operating system's, with the path.
pub fn remove_empty_dir(path: &Path) -> Result<()> {
    match fault::point("fs.remove").and_then(|()| std_fs::remove_dir(path)) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty) => Ok(()),
        Err(error) => Err(Error::io(format_args!("cannot remove {path:?}"), error)),
        Ok(()) => Ok(()),
    }
}

/// Deletes a directory with all that is in it; a missing one is fine.
///
/// # Errors
/// The operating system's, with the path.
pub fn remove_dir_all(path: &Path) -> Result<()> {
    match std_fs::remove_dir_all(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Error::io(format_args!("cannot remove {path:?}"), error)),
    }
}

/// Makes the names in a directory durable.
///
/// # Errors
/// The operating system's, with the path.
pub fn sync_dir(path: &Path) -> Result<()> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    fault::point("fs.sync_dir")
        .and_then(|()| File::open(path)?.sync_all())
        .map_err(|error| Error::io(format_args!("cannot sync directory {path:?}"), error))
}

/// Makes the bytes of an open file durable, and its length where that changed, but not its times.
///
/// # Errors
/// The operating system's; `path` is only used to name the file.
pub fn sync_data(file: &File, path: &Path) -> Result<()> {
    fault::point_at("fs.sync_data", path)
        .and_then(|()| file.sync_data())
        .map_err(|error| Error::io(format_args!("cannot sync {path:?}"), error))
}

/// Makes everything durable that was written to the file system of an open directory, where its kind is known to keep that
/// promise; returns whether it is.
///
/// Of what could not be written the system tells each open file once, from its opening on: a directory that was open
/// before the files were written hears of it, whoever else was told.
///
/// # Errors
/// The operating system's; `path` is only used to name the directory.
pub fn sync_file_system(directory: &File, path: &Path) -> Result<bool> {
    /// Kinds whose sync(2) waits for their disks and tells of what could not be written (`linux/magic.h`): ext2 to ext4, XFS,
    /// Btrfs, F2FS, tmpfs. File systems in user space and on networks answer at once.
    const KNOWN: [u64; 5] = [0xef53, 0x5846_5342, 0x9123_683e, 0xf2f5_2010, 0x0102_1994];
    let synced = || -> io::Result<bool> {
        let kind = rustix::fs::fstatfs(directory)?.f_type;
        if !u64::try_from(kind).is_ok_and(|kind| KNOWN.contains(&(kind & 0xffff_ffff))) {
            return Ok(false);
        }
        fault::point_at("fs.sync_file_system", path)?;
        rustix::fs::syncfs(directory)?;
        Ok(true)
    };
    synced().map_err(|error| Error::io(format_args!("cannot sync the file system of {path:?}"), error))
}

/// Asks the kernel to begin writing a part of a file back, so that a sync to come finds little left to do.
///
/// Unlike an early sync this consumes no write error: the sync that counts still reports it.
pub fn start_writeback(file: &File, range: Range<u64>) {
    // A hint: where the file system does not take it, the sync does all the work.
    let _ = crate::sys::start_writeback(file, range);
}

/// Makes the content of many files durable, then the names in `directories`: the one flush of an operation.
///
/// # Errors
/// As [`flush_files`] and [`sync_dir`].
pub fn flush(files: &[(PathBuf, File)], directories: &[&Path]) -> Result<()> {
    flush_files(files).map_err(|unsynced| unsynced.error)?;
    directories.iter().try_for_each(|directory| sync_dir(directory))
}

/// What did not become durable.
#[derive(Debug)]
pub struct Unsynced {
    /// The first failure.
    pub error: Error,
    /// Places in the list of those files that are perhaps not on disk. The kernel tells a failure once and takes the pages for
    /// written: the next sync of the same file succeeds, so that only writing them again helps.
    pub files: Vec<usize>,
}

/// Makes the content of many files durable.
///
/// They are synced by many threads at once, which only wait, so that a journaling file system joins their commits.
///
/// # Errors
/// The operating system's, with the path of the first file that failed, and which those were.
pub fn flush_files(files: &[(PathBuf, File)]) -> Result<(), Unsynced> {
    const THREADS_MAX: usize = 16;
    let next = AtomicUsize::new(0);
    let failures: Mutex<Vec<(usize, Error)>> = Mutex::default();
    let sync_some = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some((path, file)) = files.get(index) else { return };
            if let Err(error) = fault::point_at("fs.flush.file", path).and_then(|()| file.sync_all()) {
                let error = Error::io(format_args!("cannot sync {path:?}"), error);
                failures.lock().unwrap_or_else(PoisonError::into_inner).push((index, error));
            }
        }
    };
    if files.len() <= 1 {
        sync_some();
    } else {
        std::thread::scope(|scope| {
            // This thread is one of them, and alone where there may be no more; whoever of the others panics ends the scope.
            for _ in 1..THREADS_MAX.min(files.len()) {
                if threads::start_in(scope, "sync", sync_some).is_err() {
                    break;
                }
            }
            sync_some();
        });
    }
    let (files, errors): (Vec<usize>, Vec<Error>) =
        failures.into_inner().unwrap_or_else(PoisonError::into_inner).into_iter().unzip();
    match errors.into_iter().next() {
        Some(error) => Err(Unsynced { error, files }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("dhow-base-{name}-{}", std::process::id()));
        let _ = std_fs::remove_dir_all(&path);
        create_dir_all(&path).expect("scratch directory");
        path
    }

    #[test]
    fn write_atomic_replaces_and_leaves_no_temporary() {
        let dir = scratch("atomic");
        let path = dir.join("file");
        write_atomic(&path, b"one", 0o600, Durability::Durable).expect("first write");
        write_atomic(&path, b"two", 0o600, Durability::Cached).expect("second write");
        assert_eq!(read_limited(&path, 3).expect("read"), b"two");
        drop(AtomicFile::create(&path, 0o600).expect("abandoned write"));
        assert_eq!(std_fs::read_dir(&dir).expect("list").count(), 1);
        remove_dir_all(&dir).expect("clean-up");
    }

    #[test]
    fn read_limited_refuses_one_byte_more() {
        let dir = scratch("limit");
        let path = dir.join("file");
        write_atomic(&path, b"1234", 0o600, Durability::Cached).expect("write");
        assert_eq!(read_limited(&path, 3).map_err(|e| e.kind()), Err(Kind::LimitExceeded));
        remove_dir_all(&dir).expect("clean-up");
    }

    #[test]
    fn exclusive_lock_excludes() {
        let dir = scratch("lock");
        let path = dir.join("lock");
        let held = FileLock::try_acquire(&path, LockMode::Exclusive).expect("lock").expect("free");
        assert!(FileLock::try_acquire(&path, LockMode::Shared).expect("try").is_none());
        drop(held);
        assert!(FileLock::try_acquire(&path, LockMode::Shared).expect("try").is_some());
        remove_dir_all(&dir).expect("clean-up");
    }

    #[test]
    fn copy_range_says_where_a_short_source_ends() {
        let dir = scratch("copy");
        let path = dir.join("source");
        write_atomic(&path, b"12345", 0o600, Durability::Cached).expect("write");
        let source = open(&path).expect("open");
        let mut target = open_or_create(&dir.join("target")).expect("open");
        let part = |offset, length| FileRange { file: &source, path: &path, offset, length };
        copy_range(part(1, 3), &mut target, &"the target").expect("copy");
        assert_eq!(read_limited(&dir.join("target"), 9).expect("read"), b"234");
        let error = copy_range(part(0, 9), &mut target, &"the target").expect_err("too short");
        assert_eq!(error.kind(), Kind::Corrupt);
        remove_dir_all(&dir).expect("clean-up");
    }
}
