//! What dead processes leave: leases whose lock is free, and transfers that nobody went on with.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use dhow_base::fs as durable;
use dhow_base::{Error, Result};
use dhow_spec::digest::Algorithm;
use rusqlite::Connection;

use crate::db::Step;
use crate::ingest::IngestLock;
use crate::paths::{MAP_SUFFIX, parse_flat};
use crate::store::Store;
use crate::wait;

/// How long the bytes of a cut transfer are kept for the next try.
const INGEST_AGE_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

/// How long other temporary files may live: longer than any process that could still be writing them.
const TEMPORARY_AGE_MAX: Duration = Duration::from_secs(24 * 3600);

/// Removes the leases of dead processes: rows and files whose lock is free.
pub(crate) fn clear_dead_leases(store: &Store, connection: &Connection) -> Step<()> {
    let mut ids: Vec<String> = names_in(&store.paths().leases())?;
    let mut select = connection.prepare_cached("SELECT id FROM lease")?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        ids.push(row.get(0)?);
    }
    ids.sort();
    ids.dedup();
    for id in ids {
        let path = store.paths().lease(&id);
        let Some(_lock) = wait::try_lock(&path)? else { continue };
        connection.prepare_cached("DELETE FROM lease_pin WHERE lease = ?1")?.execute([&id])?;
        connection.prepare_cached("DELETE FROM lease WHERE id = ?1")?.execute([&id])?;
        durable::remove_file(&path)?;
    }
    Ok(())
}

/// Files in `ingest/` that nobody writes and that are past their time. With `clear`, they are removed.
pub(crate) fn stale_ingests(store: &Store, clear: bool) -> Result<Vec<PathBuf>> {
    Ok(cut_transfers(store, clear, INGEST_AGE_MAX)?.into_iter().map(|(path, _)| path).collect())
}

/// As [`stale_ingests`], for transfers that were cut at least so long ago; with the bytes that each file takes, or took, on disk.
pub(crate) fn cut_transfers(store: &Store, clear: bool, age_min: Duration) -> Result<Vec<(PathBuf, u64)>> {
    let directory = store.paths().ingests();
    let mut stale = Vec::new();
    for name in names_in(&directory)? {
        let path = directory.join(&name);
        let data = name.strip_suffix(MAP_SUFFIX).unwrap_or(&name);
        let is_map = data != name;
        if is_map && directory.join(data).exists() {
            continue;
        }
        let bytes = allocated_bytes(&path);
        if let Some(digest) = parse_flat(data) {
            // A map without data is young as long as its transfer is about to end.
            let past = match is_map {
                true => is_older(&path, age_min.min(TEMPORARY_AGE_MAX)),
                false => is_older(&path, age_min) || store.has_blob(&digest)?,
            };
            if !past {
                continue;
            }
            let lock = if store.is_writable() { IngestLock::try_take(store, &digest)? } else { None };
            if store.is_writable() && lock.is_none() {
                continue;
            }
            if clear {
                durable::remove_file(&store.paths().ingest_map(&digest))?;
                durable::remove_file(&store.paths().ingest(&digest))?;
            }
        } else if !is_older(&path, TEMPORARY_AGE_MAX) {
            continue;
        } else if clear && path.is_dir() {
            durable::remove_dir_all(&path)?;
        } else if clear {
            durable::remove_file(&path)?;
        }
        stale.push((path, bytes));
    }
    Ok(stale)
}

/// Bytes that a file takes on disk; a transfer's are where its parts arrived.
fn allocated_bytes(path: &Path) -> u64 {
    path.metadata().map_or(0, |metadata| metadata.blocks() * 512)
}

/// Removes the unfinished files beside those that are replaced in one step, which a process that was killed leaves.
///
/// What was worked out is written in an instant and only a cache: there they go at once, and whoever loses one under its hands writes it
/// once more. Others have to be older than any process that could still be writing them.
pub(super) fn clear_unfinished(store: &Store) -> Result<()> {
    let of_blobs = Algorithm::ALL.map(|algorithm| store.paths().facts_of(algorithm));
    let others = [store.root(), &store.paths().facts_root()].map(|directory| (directory.to_owned(), TEMPORARY_AGE_MAX));
    for (directory, age_min) in of_blobs.into_iter().map(|directory| (directory, Duration::ZERO)).chain(others) {
        for name in names_in(&directory)? {
            let path = directory.join(&name);
            if name.starts_with('.') && name.ends_with(".tmp") && is_older(&path, age_min) {
                durable::remove_file(&path)?;
            }
        }
    }
    Ok(())
}

fn is_older(path: &Path, age: Duration) -> bool {
    let modified = path.metadata().and_then(|metadata| metadata.modified());
    modified.is_ok_and(|time| SystemTime::now().duration_since(time).is_ok_and(|since| since > age))
}

/// The names of what lies in a directory; none when there is no such directory.
pub(crate) fn names_in(directory: &Path) -> Result<Vec<String>> {
    match fs::read_dir(directory) {
        Ok(entries) => Ok(entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(Error::io(format_args!("cannot read {directory:?}"), error)),
    }
}
