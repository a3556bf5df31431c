//! Blobs: rows against files, files against their digests.

use std::collections::HashSet;

use dhow_base::fs as durable;
use dhow_base::{Kind, Result};
use dhow_spec::{Descriptor, Digest, MediaType};

use super::{ProblemCode, Report};
use crate::blobs::prove_file;
use crate::commit;
use crate::find::digest_at;
use crate::ingest::IngestLock;
use crate::lost::Lost;
use crate::paths::flat;
use crate::store::{Store, from_row};

pub(super) fn check(store: &Store, repair: bool, report: &mut Report) -> Result<()> {
    let rows = blob_rows(store)?;
    let mut known: HashSet<Digest> = rows.iter().map(|row| row.digest.clone()).collect();
    let mut parents = None;
    for row in &rows {
        let BlobRow { digest, size, .. } = row;
        report.blobs += 1;
        report.bytes += size;
        let found = fault(store, digest, *size);
        if found.is_none() && (row.is_trusted || !row.is_kept) {
            continue;
        }
        // It may have been collected since its row was read.
        if !store.read_rows(|connection| has_row(connection, digest))? {
            continue;
        }
        if !row.is_kept && !row.is_trusted {
            let repaired = if repair {
                forget(store, digest)?;
                // If it left a file, that is a stray one now.
                known.remove(digest);
                Some("forgotten".to_owned())
            } else {
                None
            };
            let message = format!("blob {digest} was not on disk yet when the machine went down");
            report.add(ProblemCode::BlobUnflushed, digest, message, repaired);
            continue;
        }
        let content = store.described(digest, &mut parents)?;
        match found {
            Some(found) => {
                let repaired = if repair { Some(set_aside_told(store, digest)?) } else { None };
                report.add_content(found.code(), digest, found.message(&content, *size), repaired);
            }
            None => {
                let repaired = if repair { take_back(store, digest, *size)? } else { None };
                let code =
                    if content.parent.is_none() { ProblemCode::TargetMissing } else { ProblemCode::ContentMissing };
                let message = format!("{content} counts as missing: nobody knows whether all of it got to the disk");
                report.add_content(code, digest, message, repaired);
            }
        }
    }
    for (digest, size) in store.files_in_blobs()? {
        if !known.contains(&digest) {
            check_stray(store, &digest, size, repair, report)?;
        }
    }
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
        let sql = "WITH RECURSIVE live (digest) AS ( \
                       SELECT digest FROM target UNION SELECT child FROM edge JOIN live ON edge.parent = live.digest \
                   ) SELECT digest, size, flushed = 1 OR boot = ?1, digest IN (SELECT digest FROM live) \
                   FROM blob ORDER BY digest";
        let mut select = connection.prepare_cached(sql)?;
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

fn set_aside_told(store: &Store, digest: &Digest) -> Result<String> {
    Ok(match set_aside(store, digest)? {
        true => format!("moved aside to damaged/{}", flat(digest)),
        false => "its row is removed".to_owned(),
    })
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
