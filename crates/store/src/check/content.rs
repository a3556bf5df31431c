//! Blobs: rows against files, files against their digests.

use std::collections::HashSet;

use dhow_base::fs::{self as durable, FileLock, LockMode};
use dhow_base::{Error, Kind, Result};
use dhow_spec::{Descriptor, Digest, MediaType};

use super::{ProblemCode, Report};
use crate::blobs::prove_file;
use crate::collect::held;
use crate::commit;
use crate::find::digest_at;
use crate::ingest::IngestLock;
use crate::lost::Lost;
use crate::paths::flat;
use crate::recover;
use crate::store::{Store, from_row};
use crate::wait::LOCK_PATIENCE;

pub(super) fn check(store: &Store, repair: bool, report: &mut Report) -> Result<()> {
    let rows = blob_rows(store)?;
    let mut known: HashSet<Digest> = rows.iter().map(|row| row.digest.clone()).collect();
    let mut parents = None;
    for row in &rows {
        report.blobs += 1;
        report.bytes += row.size;
        let mut found = fault(store, &row.digest, row.size);
        if found == Some(Fault::Missing) {
            found = fault_beside_collections(store, &row.digest, row.size)?;
        }
        let is_right = found.is_none() && (row.is_trusted || !row.is_kept);
        // It may have been collected since its row was read.
        if is_right || !store.read_rows(|connection| has_row(connection, &row.digest))? {
            continue;
        }
        if row.is_trusted || row.is_kept {
            let content = store.described(&row.digest, &mut parents)?;
            check_needed(store, row, found, &content, repair, report)?;
            continue;
        }
        let repaired = if repair {
            forget(store, &row.digest)?;
            // If it left a file, that is a stray one now.
            known.remove(&row.digest);
            Some("forgotten".to_owned())
        } else {
            None
        };
        let message = format!("blob {} was not on disk yet when the machine went down", row.digest);
        report.add(ProblemCode::BlobUnflushed, &row.digest, message, repaired);
    }
    for (digest, size) in store.files_in_blobs()? {
        if !known.contains(&digest) {
            check_stray(store, &digest, size, repair, report)?;
        }
    }
    Ok(())
}

/// Tells of a blob that is damaged, or that a kept image needs and nobody trusts.
fn check_needed(
    store: &Store,
    BlobRow { digest, size, .. }: &BlobRow,
    found: Option<Fault>,
    content: &Lost,
    repair: bool,
    report: &mut Report,
) -> Result<()> {
    let Some(found) = found else {
        let code = if content.parent.is_none() { ProblemCode::TargetMissing } else { ProblemCode::ContentMissing };
        let message = format!("{content} counts as missing: nobody knows whether all of it got to the disk");
        let repaired = if repair { take_back(store, digest, *size)? } else { None };
        report.add_content(code, digest, message, repaired);
        return Ok(());
    };
    let repaired = match repair {
        false => None,
        true => match set_aside_damaged(store, digest, *size)? {
            Aside::Sound => return Ok(()),
            Aside::Busy => None,
            Aside::Done { had_file: true } => Some(format!("moved aside to damaged/{}", flat(digest))),
            Aside::Done { had_file: false } => Some("its row is removed".to_owned()),
        },
    };
    report.add_content(found.code(), digest, found.message(content, *size), repaired);
    Ok(())
}

struct BlobRow {
    digest: Digest,
    size: u64,
    /// Whether the file was flushed, or written in this run of the machine.
    is_trusted: bool,
    /// Whether an image needs it that was committed. Its file was flushed then, and may have been brought once more since.
    is_kept: bool,
}

fn blob_rows(store: &Store) -> Result<Vec<BlobRow>> {
    store.read_rows(|connection| {
        let sql = format!(
            "WITH RECURSIVE live (digest) AS ( \
                 SELECT digest FROM target UNION {} UNION SELECT child FROM edge JOIN live ON edge.parent = live.digest \
             ) SELECT digest, size, flushed = 1 OR boot = ?1, digest IN (SELECT digest FROM live) FROM blob ORDER BY digest",
            held()
        );
        let mut select = connection.prepare_cached(&sql)?;
        let mut rows = select.query([store.boot()])?;
        let mut blobs = Vec::new();
        while let Some(row) = rows.next()? {
            let (digest, size) = (digest_at(row, 0)?, from_row(row.get(1)?));
            blobs.push(BlobRow { digest, size, is_trusted: row.get(2)?, is_kept: row.get(3)? });
        }
        Ok(blobs)
    })
}

fn has_row(connection: &rusqlite::Connection, digest: &Digest) -> crate::db::Step<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM blob WHERE digest = ?1)";
    Ok(connection.prepare_cached(sql)?.query_row([digest.as_str()], |row| row.get(0))?)
}

/// The descriptor of content of which only digest and length are known.
fn descriptor(digest: &Digest, size: u64) -> Descriptor {
    Descriptor::new(MediaType::Other(String::new()), digest.clone(), size)
}

/// What is wrong with a blob that has a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It has no file.
    Missing,
    /// Its file cannot be read, and why.
    Unreadable(String),
    /// Its file has another length, in bytes.
    Size(u64),
    /// Its bytes are not those of its digest.
    Bytes,
}

impl Fault {
    fn code(&self) -> ProblemCode {
        match self {
            Fault::Missing => ProblemCode::BlobMissing,
            Fault::Unreadable(_) => ProblemCode::BlobUnreadable,
            Fault::Size(_) => ProblemCode::BlobSize,
            Fault::Bytes => ProblemCode::BlobCorrupt,
        }
    }

    /// What is wrong with `content`, of which so many bytes were stored.
    fn message(&self, content: &Lost, size: u64) -> String {
        match self {
            Fault::Missing => format!("{content} is missing"),
            Fault::Unreadable(cause) => format!("{content} cannot be read: {cause}"),
            Fault::Size(length) => format!("{content} has {length} bytes, {size} were stored"),
            Fault::Bytes => format!("the bytes of {content} are not those of its digest"),
        }
    }
}

/// Reads a blob through of which so many bytes were stored.
pub(crate) fn fault(store: &Store, digest: &Digest, size: u64) -> Option<Fault> {
    fault_of_file(store, digest, size).or_else(|| {
        match prove_file(&store.paths().blob(digest), &descriptor(digest, size)) {
            Ok(Some(_)) => None,
            Ok(None) => Some(Fault::Bytes),
            Err(error) if error.kind() == Kind::NotFound => Some(Fault::Missing),
            Err(error) => Some(Fault::Unreadable(error.to_string())),
        }
    })
}

/// What shows of a blob without reading it, of which so many bytes were stored.
pub(crate) fn fault_of_file(store: &Store, digest: &Digest, size: u64) -> Option<Fault> {
    match store.paths().blob(digest).metadata() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Some(Fault::Missing),
        Err(error) => Some(Fault::Unreadable(error.to_string())),
        Ok(metadata) => (metadata.len() != size).then_some(Fault::Size(metadata.len())),
    }
}

/// Takes away the row of a blob that was not flushed before the machine went down, unless it has been fetched anew.
fn forget(store: &Store, digest: &Digest) -> Result<()> {
    store.write_rows(|transaction| {
        let sql = "DELETE FROM blob WHERE digest = ?1 AND flushed = 0 AND boot <> ?2";
        transaction.prepare_cached(sql)?.execute((digest.as_str(), store.boot()))?;
        Ok(())
    })
}

/// Brings a blob to the disk whose bytes were found right, so that it counts as here again. Returns what was done.
fn take_back(store: &Store, digest: &Digest, size: u64) -> Result<Option<String>> {
    let Some(_lock) = IngestLock::try_take(store, digest)? else { return Ok(None) };
    if fault(store, digest, size).is_some() {
        return Ok(None);
    }
    commit::make_durable(store, std::slice::from_ref(digest))?;
    Ok(Some("taken back".to_owned()))
}

/// As [`fault`], of a blob without a file: a collection moves files away first and commits afterwards, and one that was killed in
/// between has left them in the trash.
fn fault_beside_collections(store: &Store, digest: &Digest, size: u64) -> Result<Option<Fault>> {
    dhow_base::fault::point_at("store.check.missing", store.root())
        .map_err(|error| Error::io("cannot look again", error))?;
    if store.is_writable() {
        let _lock = FileLock::acquire(&store.paths().trash_lock(), LockMode::Exclusive, LOCK_PATIENCE)?;
        recover::restore_locked(store)?;
    }
    Ok(fault(store, digest, size))
}

/// What became of a blob that was found damaged.
pub(crate) enum Aside {
    /// It is as it should be by now.
    Sound,
    /// Somebody is bringing it anew.
    Busy,
    /// It was moved aside, and its row is removed.
    Done {
        /// Whether there was a file.
        had_file: bool,
    },
}

/// Moves a blob aside that was found damaged, unless it is not any more: under the lock of its ingest, so that nobody brings it
/// in between.
pub(crate) fn set_aside_damaged(store: &Store, digest: &Digest, size: u64) -> Result<Aside> {
    dhow_base::fault::point_at("store.check.damaged", &store.paths().blob(digest))
        .map_err(|error| Error::io("cannot look again", error))?;
    let Some(_lock) = IngestLock::try_take(store, digest)? else { return Ok(Aside::Busy) };
    match fault(store, digest, size) {
        None => Ok(Aside::Sound),
        Some(_) => set_aside(store, digest).map(|had_file| Aside::Done { had_file }),
    }
}

/// Moves a damaged blob out of the way and forgets it. What is left of it stays for whoever wants to look. Returns whether
/// there was a file.
pub(crate) fn set_aside(store: &Store, digest: &Digest) -> Result<bool> {
    durable::create_dir_all(&store.paths().damaged_directory())?;
    let moved = match durable::rename(&store.paths().blob(digest), &store.paths().damaged(digest)) {
        Err(error) if error.kind() != Kind::NotFound => return Err(error),
        moved => moved.is_ok(),
    };
    store.write_names(|transaction| {
        transaction.prepare_cached("DELETE FROM blob WHERE digest = ?1")?.execute([digest.as_str()])?;
        Ok(())
    })?;
    Ok(moved)
}

/// A file that nothing vouches for: left by a process that died between renaming it and writing its row.
fn check_stray(store: &Store, digest: &Digest, size: u64, repair: bool, report: &mut Report) -> Result<()> {
    let locked = if store.is_writable() { IngestLock::try_take(store, digest)? } else { None };
    if store.is_writable() && locked.is_none() {
        // Somebody is publishing it at this moment.
        return Ok(());
    }
    let appeared = store.read_rows(|connection| has_row(connection, digest))?;
    let repaired = if !appeared && repair {
        let adopted = store.adopt(&descriptor(digest, size))?;
        if adopted {
            // A kept image may need it.
            commit::make_durable(store, std::slice::from_ref(digest))?;
        }
        Some(if adopted { "taken back" } else { "deleted, its bytes are wrong" }.to_owned())
    } else {
        None
    };
    drop(locked);
    if !appeared && store.paths().blob(digest).exists() {
        let message = format!("file {digest} in blobs/ is not recorded");
        report.add(ProblemCode::BlobUnrecorded, digest, message, repaired);
    }
    Ok(())
}
