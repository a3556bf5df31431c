//! Taking the steps of a journal again, and flushing the files that it tells of.

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use dhow_base::fs::{self, FileLock, LockMode};
use dhow_base::{Kind, Result};

use super::super::Key;
use super::super::files::{Files, Renewed};
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
        let records: Vec<&[Step]> = halves.iter().flat_map(|(_, records)| records).map(Vec::as_slice).collect();
        let changes = records.len();
        tracing::info!(changes, "the registry was not stopped in order: its last changes are made again");
        let taken = take_all_again(files, &records);
        taken.and_then(|()| flush(files, &open_root(files)?)).map_err(|error| match error.kind() {
            Kind::NoSpace => error.with_hint("make room for what was still to be written, such as by dhow serve gc"),
            _ => error,
        })?;
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
        Ok(Some(_lock)) => {
            let files = Files::new(root, false);
            // Another's half-written files would be gone on with: each process counts their names from the beginning.
            files.remove_temporaries()?;
            settle(&files)
        }
        Ok(None) => Ok(()),
        Err(error) => Err(error.context(format_args!(
            "the registry in {root:?} was not stopped in order, and cannot be put in order here"
        ))),
    }
}

/// The steps in a journal that cannot be settled.
///
/// # Errors
/// The operating system's.
pub(crate) fn unsettled(root: &Path) -> Result<Vec<Step>> {
    let halves = left(root).map(|half| read(&half)).collect::<Result<Vec<_>>>()?;
    Ok(halves.into_iter().flat_map(|half| half.records).flatten().collect())
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

/// Takes the steps of all records, but for
/// * those that a later one undoes: a full disk may have no room for a file's earlier state, and its last one is there already;
/// * those that say a repository has content which is gone: a collection took it, which is not in the journal, and nothing
///   needed it then.
fn take_all_again(files: &Files, records: &[&[Step]]) -> Result<()> {
    let keys = records.iter().enumerate().flat_map(|(index, steps)| steps.iter().map(move |step| (step.key(), index)));
    let last: HashMap<&Key, usize> = keys.collect();
    for (index, steps) in records.iter().enumerate() {
        for step in *steps {
            // Content is always the same, and is there before what names it.
            let counts = step.key().is_content() || last.get(step.key()) == Some(&index);
            if counts && is_possible(files, step, steps)? {
                put_again(files, step, true)?;
            }
        }
    }
    Ok(())
}

/// Whether the content is there that a step gives to a repository, or comes with the step's own record.
fn is_possible(files: &Files, step: &Step, record: &[Step]) -> Result<bool> {
    let Step::Put(key, _) = step else { return Ok(true) };
    let Some(content) = key.content_of_link() else { return Ok(true) };
    let is_put = record.iter().any(|step| matches!(step, Step::Put(key, _) if *key == content));
    Ok(is_put || files.size(&content)?.is_some())
}

/// Takes a step that was taken before, perhaps in memory only: what the file has already is written to where it is, which works
/// on a full disk, too.
fn put_again(files: &Files, step: &Step, may_be_missing: bool) -> Result<()> {
    let renewed = match step {
        Step::Put(key, bytes) if !bytes.is_empty() => files.renew(key, bytes)?,
        _ => Renewed::Missing,
    };
    match renewed {
        Renewed::Done => Ok(()),
        Renewed::Missing if !may_be_missing => Ok(()),
        Renewed::Missing | Renewed::Differs => files.take(std::slice::from_ref(step)).map(drop),
    }
}

/// Writes the files again that a half of a running server's journal tells of, up to `end`, since a flush of them failed: the
/// system tells of that once, and takes what it could not write for written from then on.
///
/// What `newer`, the other half up to its end, has changed since is not touched, and what is not there any more was collected.
pub(super) fn renew_half(files: &Files, half: (&Path, u64), newer: Option<(&Path, u64)>) -> Result<()> {
    let (old, new) = (read_to(half)?, newer.map(read_to).transpose()?.unwrap_or_default());
    let mut last: HashMap<&Key, &Step> = old.iter().flatten().map(|step| (step.key(), step)).collect();
    for step in new.iter().flatten() {
        last.remove(step.key());
    }
    last.values().filter(|step| matches!(step, Step::Put(..))).try_for_each(|step| put_again(files, step, false))
}

/// The records of a half up to a place in it: behind that stands what could not be written, and was answered with an error.
fn read_to((half, end): (&Path, u64)) -> Result<Vec<Vec<Step>>> {
    let bytes = Bytes::from(fs::read_limited(half, HALF_BYTES_MAX)?);
    let end = usize::try_from(end).unwrap_or(usize::MAX).min(bytes.len());
    Ok(decode(&bytes.slice(..end)).records)
}

/// The directory by which [`flush`] has the file system synced.
pub(super) fn open_root(files: &Files) -> Result<File> {
    fs::open(files.root())
}

/// Flushes everything that the journal tells of.
pub(super) fn flush(files: &Files, root: &File) -> Result<()> {
    paths(files.root()).iter().try_for_each(|half| flush_half(files, root, half))
}

/// Flushes what one half tells of: many files with all of their file system, where that can be relied on, few one by one,
/// so as not to wait for what others have written.
pub(super) fn flush_half(files: &Files, root: &File, half: &Path) -> Result<()> {
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
    if paths.len() > FEW_FILES && fs::sync_file_system(root, files.root())? {
        return Ok(());
    }
    let (paths, mut open): (Vec<PathBuf>, _) = (paths.into_iter().collect(), Vec::new());
    for some in paths.chunks(FILES_AT_ONCE) {
        for path in some {
            // Deleted since, or collected.
            if let Some(file) = found(path, File::open(path))? {
                open.push((path.clone(), file));
            }
        }
        fs::flush(&open, &[])?;
        open.clear();
    }
    // Any directory up to the root may be new. One may be missing only when nothing was ever put into it.
    directories.iter().filter(|path| path.is_dir()).try_for_each(|path| fs::sync_dir(path))
}
