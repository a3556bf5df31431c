//! Putting right what a crashed collection left. This is the normal way of opening, not a special one.

use std::fs;
use std::path::PathBuf;

use dhow_base::fs::{self as durable, FileLock, LockMode};
use dhow_base::{Error, Result};
use dhow_spec::Digest;
use dhow_spec::digest::Algorithm;

use crate::paths::parse_flat;
use crate::store::Store;

/// Puts the trash in order, unless a collection is under way: it holds the lock, and the trash is its own business.
pub(crate) fn restore_trash(store: &Store) -> Result<()> {
    if trashed(store)?.is_empty() {
        return Ok(());
    }
    match FileLock::try_acquire(&store.paths().trash_lock(), LockMode::Exclusive)? {
        Some(_lock) => restore_locked(store),
        None => Ok(()),
    }
}

/// Moves content back that was put into the trash by a collection which never committed, and deletes the rest.
///
/// A collection renames first and commits afterwards: what still has a row is content. The caller holds the lock.
pub(crate) fn restore_locked(store: &Store) -> Result<()> {
    for Trashed { digest, path } in trashed(store)? {
        let has_row = store.read_rows(|connection| {
            let sql = "SELECT EXISTS (SELECT 1 FROM blob WHERE digest = ?1)";
            Ok(connection.prepare_cached(sql)?.query_row([digest.as_str()], |row| row.get::<_, bool>(0))?)
        })?;
        let blob = store.paths().blob(&digest);
        if has_row && !blob.exists() {
            tracing::info!(%digest, "restoring a blob from an interrupted collection");
            durable::rename(&path, &blob)?;
        } else {
            durable::remove_file(&path)?;
        }
    }
    for algorithm in Algorithm::ALL {
        durable::remove_empty_dir(&store.paths().trashed_directory(algorithm))?;
    }
    Ok(())
}

/// A blob in the trash.
#[derive(Debug)]
pub(crate) struct Trashed {
    pub(crate) digest: Digest,
    pub(crate) path: PathBuf,
}

/// What lies in the trash: each by itself, or in what was the directory of all.
pub(crate) fn trashed(store: &Store) -> Result<Vec<Trashed>> {
    let trash = store.paths().trash();
    let entries = match fs::read_dir(&trash) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            durable::create_dir_all(&trash)?;
            return Ok(Vec::new());
        }
        Err(error) => return Err(Error::io(format_args!("cannot read {trash:?}"), error)),
    };
    let mut trashed = Vec::new();
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        if let Some(digest) = parse_flat(name) {
            trashed.push(Trashed { digest, path: entry.path() });
        } else if let Some(algorithm) = Algorithm::from_name(name) {
            let within = fs::read_dir(entry.path()).into_iter().flatten().flatten();
            trashed.extend(within.filter_map(|entry| {
                let digest = Digest::parse(&format!("{algorithm}:{}", entry.file_name().to_str()?)).ok()?;
                Some(Trashed { digest, path: entry.path() })
            }));
        }
    }
    Ok(trashed)
}
