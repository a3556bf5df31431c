//! Blobs: rows against files, files against their digests.

use std::collections::HashSet;

use dhow_base::fs as durable;
use dhow_base::{Kind, Result};
use dhow_spec::{Descriptor, Digest, MediaType};

use super::{ProblemCode, Report};
use crate::blobs::prove_file;
use crate::find::digest_at;
use crate::paths::flat;
use crate::store::{Store, from_row};
use crate::wait;

pub(super) fn check(store: &Store, repair: bool, report: &mut Report) -> Result<()> {
    let rows = blob_rows(store)?;
    let mut known: HashSet<Digest> = rows.iter().map(|row| row.digest.clone()).collect();
    for BlobRow { digest, size, is_trusted } in &rows {
        report.blobs += 1;
        report.bytes += size;
        let Some((code, message)) = fault(store, digest, *size)? else { continue };
        // It may have been collected since its row was read.
        if !store.read_rows(|connection| has_row(connection, digest))? {
            continue;
        }
        if *is_trusted {
            let repaired = if repair { Some(set_aside(store, digest)?) } else { None };
            report.add_content(code, digest, message, repaired);
            continue;
        }
        // Nothing that was committed needs it: a commit flushes first.
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
}

fn blob_rows(store: &Store) -> Result<Vec<BlobRow>> {
    store.read_rows(|connection| {
        let sql = "SELECT digest, size, flushed = 1 OR boot = ?1 FROM blob ORDER BY digest";
        let mut select = connection.prepare_cached(sql)?;
        let mut rows = select.query([store.boot()])?;
        let mut blobs = Vec::new();
        while let Some(row) = rows.next()? {
            blobs.push(BlobRow { digest: digest_at(row, 0)?, size: from_row(row.get(1)?), is_trusted: row.get(2)? });
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
fn fault(store: &Store, digest: &Digest, size: u64) -> Result<Option<(ProblemCode, String)>> {
    let path = store.paths().blob(digest);
    Ok(match path.metadata() {
        Err(error) => {
            let is_gone = error.kind() == std::io::ErrorKind::NotFound;
            let code = if is_gone { ProblemCode::BlobMissing } else { ProblemCode::BlobUnreadable };
            Some((code, format!("blob {digest} cannot be read: {error}")))
        }
        Ok(metadata) if metadata.len() != size => {
            Some((ProblemCode::BlobSize, format!("blob {digest} has {} bytes, {size} were stored", metadata.len())))
        }
        Ok(_) => match prove_file(&path, &descriptor(digest, size)) {
            Ok(Some(_)) => None,
            Ok(None) => {
                Some((ProblemCode::BlobCorrupt, format!("the bytes of blob {digest} are not those of its digest")))
            }
            Err(error) if error.kind() == Kind::NotFound => {
                Some((ProblemCode::BlobMissing, format!("blob {digest} is missing")))
            }
            Err(error) => Some((ProblemCode::BlobUnreadable, format!("blob {digest}: {error}"))),
        },
    })
}

/// Takes away the row of a blob that was not flushed before the machine went down, unless it has been fetched anew.
fn forget(store: &Store, digest: &Digest) -> Result<()> {
    store.write_rows(|transaction| {
        let sql = "DELETE FROM blob WHERE digest = ?1 AND flushed = 0 AND boot <> ?2";
        transaction.prepare_cached(sql)?.execute((digest.as_str(), store.boot()))?;
        Ok(())
    })
}

/// Moves a damaged blob out of the way and forgets it. What is left of it stays for whoever wants to look.
fn set_aside(store: &Store, digest: &Digest) -> Result<String> {
    durable::create_dir_all(&store.paths().damaged_directory())?;
    let moved = durable::rename(&store.paths().blob(digest), &store.paths().damaged(digest));
    match moved {
        Err(error) if error.kind() != Kind::NotFound => return Err(error),
        _ => {}
    }
    store.write_names(|transaction| {
        transaction.prepare_cached("DELETE FROM blob WHERE digest = ?1")?.execute([digest.as_str()])?;
        Ok(())
    })?;
    Ok(match moved {
        Ok(()) => format!("moved aside to damaged/{}", flat(digest)),
        Err(_) => "its row is removed".to_owned(),
    })
}

/// A file that nothing vouches for: left by a process that died between renaming it and writing its row.
fn check_stray(store: &Store, digest: &Digest, size: u64, repair: bool, report: &mut Report) -> Result<()> {
    let path = store.paths().ingest(digest);
    let locked = if store.is_writable() { wait::try_lock(&path)? } else { None };
    if store.is_writable() && locked.is_none() {
        // Somebody is publishing it at this moment.
        return Ok(());
    }
    let appeared = store.read_rows(|connection| has_row(connection, digest))?;
    let repaired = if !appeared && repair {
        let adopted = store.adopt(&descriptor(digest, size))?;
        Some(if adopted { "taken back" } else { "deleted, its bytes are wrong" }.to_owned())
    } else {
        None
    };
    if locked.is_some() && path.metadata().is_ok_and(|metadata| metadata.len() == 0) {
        durable::remove_file(&path)?;
    }
    if !appeared && store.paths().blob(digest).exists() {
        let message = format!("file {digest} in blobs/ is not recorded");
        report.add(ProblemCode::BlobUnrecorded, digest, message, repaired);
    }
    Ok(())
}
