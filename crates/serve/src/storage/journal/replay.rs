//! Taking the steps of a journal again, and flushing the files that it tells of.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use dhow_base::fs::{self, FileLock, LockMode};
use dhow_base::{Kind, Result};

use super::super::Key;
use super::super::files::Files;
use super::super::folder::{found, parent};
use super::super::pin::Pin;
use super::record::{Records, Step, decode};
use super::segment::{directory, paths};

/// Longest half that is read: what the writer lets it grow to, and one change more.
const HALF_BYTES_MAX: u64 = 1 << 30;

/// As many files as are flushed one by one.
const FEW_FILES: usize = 512;

/// How many files are open together while they are flushed.
const FILES_AT_ONCE: usize = 64;

/// Takes the steps that a process left in the journal which did not come to its end; nothing to do after one that did.
/// The caller alone writes to the folder.
///
/// # Errors
/// The operating system's. Called again, it goes on.
pub(crate) fn settle(files: &Files) -> Result<()> {
    let mut halves = Vec::new();
    for path in left(files.root()) {
        let Records { generation, records } = read(&path)?;
        halves.extend(generation.map(|generation| (generation, records)));
    }
    halves.sort_by_key(|(generation, _)| *generation);
    if !halves.is_empty() {
        // Collectors do not look at what is half done.
        let _pin = Pin::take(files.root())?;
        let changes = halves.iter().map(|(_, records)| records.len()).sum::<usize>();
        tracing::info!(changes, "the registry was not stopped in order: its last changes are made again");
        halves.iter().flat_map(|(_, records)| records).try_for_each(|steps| take_again(files, steps))?;
        flush(files)?;
    }
    let removed = paths(files.root()).iter().try_fold(false, |any, path| fs::remove_file(path).map(|was| any | was))?;
    if removed { fs::sync_dir(&directory(files.root())) } else { Ok(()) }
}

/// As [`settle`], for those who read a folder that a server may be writing to: then that one has done so.
///
/// # Errors
/// The operating system's.
pub(crate) fn settle_abandoned(root: &Path) -> Result<()> {
    if left(root).next().is_none() {
        return Ok(());
    }
    match FileLock::try_acquire(&root.join("lock"), LockMode::Exclusive) {
        Ok(Some(_lock)) => settle(&Files::new(root, false)),
        Ok(None) => Ok(()),
        Err(error) => Err(error.context(format_args!(
            "the registry in {root:?} was not stopped in order, and cannot be put in order here"
        ))),
    }
}

/// The halves that hold something.
fn left(root: &Path) -> impl Iterator<Item = PathBuf> {
    paths(root).into_iter().filter(|path| path.metadata().is_ok_and(|metadata| metadata.len() > 0))
}

fn read(half: &Path) -> Result<Records> {
    match fs::read_limited(half, HALF_BYTES_MAX) {
        Ok(bytes) => Ok(decode(&Bytes::from(bytes))),
        Err(error) if error.kind() == Kind::NotFound => Ok(Records::default()),
        Err(error) => Err(error),
    }
}

/// Takes steps, but for those that say a repository has content which is gone: a collection took it, which is not in
/// the journal, and nothing needed it then.
fn take_again(files: &Files, steps: &[Step]) -> Result<()> {
    let mut possible = Vec::new();
    for step in steps {
        let content = match step {
            Step::Put(key, _) => key.content_of_link(),
            Step::Delete(_) => None,
        };
        let is_put = |content: &Key| steps.iter().any(|step| matches!(step, Step::Put(key, _) if key == content));
        let is_there = match &content {
            Some(content) => is_put(content) || files.size(content)?.is_some(),
            None => true,
        };
        if is_there {
            possible.push(step.clone());
        }
    }
    files.take(&possible).map(drop)
}

/// Flushes everything that the journal tells of.
pub(super) fn flush(files: &Files) -> Result<()> {
    paths(files.root()).iter().try_for_each(|half| flush_half(files, half))
}

/// Flushes what one half tells of: many files with all of their file system, where that can be relied on, few one by one,
/// so as not to wait for what others have written.
pub(super) fn flush_half(files: &Files, half: &Path) -> Result<()> {
    let records = read(half)?.records;
    let (mut paths, mut directories) = (BTreeSet::new(), BTreeSet::new());
    for step in records.iter().flatten() {
        let path = files.path(step.key());
        let above = parent(&path).ancestors().take_while(|path| path.starts_with(files.root()));
        directories.extend(above.map(Path::to_owned));
        if matches!(step, Step::Put(_, bytes) if !bytes.is_empty()) {
            paths.insert(path);
        }
    }
    drop(records);
    if paths.len() > FEW_FILES && fs::sync_file_system(files.root())? {
        return Ok(());
    }
    let (paths, mut open): (Vec<PathBuf>, _) = (paths.into_iter().collect(), Vec::new());
    for some in paths.chunks(FILES_AT_ONCE) {
        for path in some {
            // Deleted since, or collected.
            if let Some(file) = found(path, std::fs::File::open(path))? {
                open.push((path.clone(), file));
            }
        }
        fs::flush(&open, &[])?;
        open.clear();
    }
    // Any directory up to the root may be new. One may be missing only when nothing was ever put into it.
    directories.iter().filter(|path| path.is_dir()).try_for_each(|path| fs::sync_dir(path))
}
