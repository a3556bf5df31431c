//! Taking away content that nothing names and nobody uses.

mod below;
mod leftovers;
mod trash;

use std::fs;
use std::thread;

use dhow_base::fs::{FileLock, LockMode};
use dhow_base::{Error, Kind, Result, fault, threads};
use dhow_spec::digest::{Algorithm, Digest};
use rusqlite::Transaction;

pub(crate) use leftovers::{clear_dead_leases, cut_transfers, names_in, stale_ingests};
use trash::FEW;
pub(crate) use trash::in_halves;

use crate::db::{Durability, Step};
use crate::find::digest_at;
use crate::recover;
use crate::room;
use crate::store::{Store, from_row};
use crate::update::USES;
use crate::wait::LOCK_PATIENCE;

/// The manifests of images that containers use. No target needs to have them: containers keep an image that was removed by force.
pub(crate) fn held() -> String {
    format!(
        "SELECT manifest.digest FROM {USES} AS uses CROSS JOIN image ON image.id = uses.image_id \
         CROSS JOIN manifest ON manifest.image = image.number"
    )
}

/// Everything that is reached from a kept target, from a container or from a pin.
pub(crate) fn live() -> String {
    format!(
        "WITH RECURSIVE live (digest) AS ( \
         SELECT digest FROM target UNION SELECT digest FROM lease_pin UNION {} \
         UNION SELECT child FROM edge JOIN live ON edge.parent = live.digest )",
        held()
    )
}

/// What a collection took away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Number of blobs and documents.
    pub blobs: u64,
    /// Their length in bytes, and what the unpacked layers had on disk that nothing needs any more.
    pub bytes: u64,
}

/// What a collection chose.
#[derive(Debug, Default)]
struct Garbage {
    /// Blobs and documents, with their lengths in bytes.
    blobs: Vec<(Digest, u64)>,
    /// Whether it is all that the database knows of, and no operation is under way.
    is_all: bool,
}

impl Store {
    /// Takes away all content that no image and no running operation needs.
    ///
    /// Choosing, and renaming into the trash, happen in one transaction: pins made before it are seen, pins made after it
    /// find the content gone. Deleting comes after the commit. A crash in between loses nothing: what still has a row is
    /// put back when a store is opened.
    ///
    /// # Errors
    /// [`Kind::Unavailable`] when another collection takes too long; those of the database and of renaming, and then
    /// everything is where it was.
    pub fn collect(&self) -> Result<Collected> {
        let collected = self.collect_by(|transaction| {
            let garbage = garbage(self, transaction)?;
            // What a kept image needs and has lost still has its edges: they keep the rest of the image, and say where
            // the lost can be fetched again.
            if garbage.is_all {
                return Ok(garbage);
            }
            for (table, digest) in [("edge", "parent"), ("blob_home", "digest")] {
                let sql = format!(
                    "DELETE FROM {table} WHERE {digest} NOT IN (SELECT digest FROM blob) \
                     AND {digest} NOT IN (SELECT digest FROM temp.live)"
                );
                transaction.execute(&sql, [])?;
            }
            Ok(garbage)
        })?;
        if let Err(error) = leftovers::clear_unfinished(self) {
            tracing::warn!(%error, "unfinished files stay for the next collection");
        }
        if let Err(error) = self.forget_uses() {
            tracing::warn!(%error, "the last uses of removed images are forgotten by the next collection");
        }
        Ok(collected)
    }

    /// As [`Store::collect`], for the content of documents that were [removed](crate::Update::removed) just now: takes
    /// as long as they are large, and not as the store is.
    ///
    /// # Errors
    /// As there.
    pub fn collect_below(&self, documents: &[Digest]) -> Result<Collected> {
        self.collect_by(|transaction| Ok(Garbage { blobs: below::garbage(transaction, documents)?, is_all: false }))
    }

    fn collect_by(&self, choose: impl FnOnce(&Transaction<'_>) -> Step<Garbage>) -> Result<Collected> {
        self.require_writable()?;
        let _collecting = FileLock::acquire(&self.paths().trash_lock(), LockMode::Exclusive, LOCK_PATIENCE)?;
        recover::restore_locked(self)?;
        let (mut garbage, mut moved_whole) = (Garbage::default(), Vec::new());
        let taken = self.inner.database.write(Durability::Power, |transaction| {
            // What another database names would be garbage to this one.
            self.inner.database.require_in_place()?;
            clear_dead_leases(self, transaction)?;
            garbage = choose(transaction)?;
            let count = garbage.blobs.len();
            moved_whole = at_once(count, || self.trash(&garbage), || drop_rows(transaction, &garbage))?;
            let pause = fault::point_at("store.collect.trashed", self.root());
            Ok(pause.map_err(|error| Error::io("cannot commit", error))?)
        });
        if let Err(error) = taken {
            self.put_back();
            return Err(error);
        }
        let mut collected = self.empty_trash(&garbage, &moved_whole);
        collected.bytes += self.drop_unpacked();
        stale_ingests(self, true)?;
        self.forget_rows();
        room::lay_by(self.paths());
        Ok(collected)
    }

    /// Every file below `blobs/` that is named like a digest, with its length.
    pub(crate) fn files_in_blobs(&self) -> Result<Vec<(Digest, u64)>> {
        let mut files = Vec::new();
        self.see_files_in_blobs(|digest, entry| -> Result<()> {
            files.extend(entry.metadata().ok().map(|metadata| (digest, metadata.len())));
            Ok(())
        })?;
        Ok(files)
    }

    /// Shows every file below `blobs/` that is named like a digest.
    fn see_files_in_blobs<E: From<Error>>(
        &self,
        mut see: impl FnMut(Digest, &fs::DirEntry) -> Result<(), E>,
    ) -> Result<(), E> {
        for algorithm in Algorithm::ALL {
            let directory = self.paths().blobs_of(algorithm);
            let entries = match fs::read_dir(&directory) {
                Ok(entries) => entries,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(Error::io(format_args!("cannot read {directory:?}"), error).into()),
            };
            for entry in entries.flatten() {
                let name = entry.file_name();
                let digest = name.to_str().and_then(|hex| Digest::parse(&format!("{algorithm}:{hex}")).ok());
                digest.map_or(Ok(()), |digest| see(digest, &entry))?;
            }
        }
        Ok(())
    }
}

/// Runs both, on two cores where it is worth a thread. The first failure counts.
fn at_once<T: Send>(
    count: usize,
    first: impl FnOnce() -> Step<T> + Send,
    second: impl FnOnce() -> Step<()>,
) -> Step<T> {
    if count <= FEW {
        let value = first()?;
        return second().map(|()| value);
    }
    thread::scope(|scope| {
        let first = threads::start_in(scope, "trash", first)?;
        let second = second();
        let panicked = || Error::new(Kind::Internal, "the thread that fills the trash panicked");
        let value = first.join().map_err(|_| panicked())??;
        second.map(|()| value)
    })
}

fn drop_rows(transaction: &Transaction<'_>, garbage: &Garbage) -> Step<()> {
    if garbage.is_all {
        // Without a condition SQLite gives back the pages of a table and looks at none of its rows.
        return Ok(transaction.execute_batch("DELETE FROM blob; DELETE FROM edge; DELETE FROM blob_home")?);
    }
    for sql in [
        "DELETE FROM blob WHERE digest = ?1",
        "DELETE FROM edge WHERE parent = ?1",
        "DELETE FROM blob_home WHERE digest = ?1",
    ] {
        let mut delete = transaction.prepare_cached(sql)?;
        for (digest, _) in &garbage.blobs {
            delete.execute([digest.as_str()])?;
        }
    }
    Ok(())
}

/// Rows that nothing reaches, and files without a row that nobody has pinned. What is reached is in the temporary table
/// `live` then.
fn garbage(store: &Store, transaction: &Transaction<'_>) -> Step<Garbage> {
    transaction.execute_batch(&format!(
        "DROP TABLE IF EXISTS temp.live; CREATE TEMP TABLE live (digest TEXT PRIMARY KEY) WITHOUT ROWID; \
         INSERT INTO temp.live {} SELECT digest FROM live",
        live()
    ))?;
    let sql = "SELECT digest, size FROM blob WHERE digest NOT IN (SELECT digest FROM temp.live)";
    let mut select = transaction.prepare(sql)?;
    let mut rows = select.query([])?;
    let mut blobs = Vec::new();
    while let Some(row) = rows.next()? {
        blobs.push((digest_at(row, 0)?, from_row(row.get(1)?)));
    }
    // Nearly every file has a row: no more is asked about those.
    let mut has_row = transaction.prepare("SELECT 1 FROM blob WHERE digest = ?1")?;
    let sql =
        "SELECT EXISTS (SELECT 1 FROM lease_pin WHERE digest = ?1) OR EXISTS (SELECT 1 FROM edge WHERE child = ?1)";
    let mut is_needed = transaction.prepare(sql)?;
    store.see_files_in_blobs(|digest, entry| -> Step<()> {
        if !has_row.exists([digest.as_str()])?
            && !is_needed.query_row([digest.as_str()], |row| row.get::<_, bool>(0))?
            && let Ok(metadata) = entry.metadata()
        {
            blobs.push((digest, metadata.len()));
        }
        Ok(())
    })?;
    let sql = "SELECT NOT EXISTS (SELECT 1 FROM temp.live) AND NOT EXISTS (SELECT 1 FROM lease)";
    let is_all = transaction.query_row(sql, [], |row| row.get(0))?;
    Ok(Garbage { blobs, is_all })
}
