//! Putting right what a crashed collection left. This is the normal way of opening, not a special one.

use std::fs;

use dhow_base::fs::{self as durable, FileLock, LockMode};
use dhow_base::{Error, Result};
use dhow_spec::Digest;

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
    for digest in trashed(store)? {
        let has_row = store.read_rows(|connection| {
            let sql = "SELECT EXISTS (SELECT 1 FROM blob WHERE digest = ?1)";
            Ok(connection.prepare_cached(sql)?.query_row([digest.as_str()], |row| row.get::<_, bool>(0))?)
        })?;
        let (trashed, blob) = (store.paths().trashed(&digest), store.paths().blob(&digest));
        if has_row && !blob.exists() {
            tracing::info!(%digest, "restoring a blob from an interrupted collection");
            durable::rename(&trashed, &blob)?;
        } else {
            durable::remove_file(&trashed)?;
        }
    }
    Ok(())
}

/// What lies in the trash.
pub(crate) fn trashed(store: &Store) -> Result<Vec<Digest>> {
    let trash = store.paths().trash();
    let entries = match fs::read_dir(&trash) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            durable::create_dir_all(&trash)?;
            return Ok(Vec::new());
        }
        Err(error) => return Err(Error::io(format_args!("cannot read {trash:?}"), error)),
    };
    Ok(entries.flatten().filter_map(|entry| parse_flat(entry.file_name().to_str()?)).collect())
}
