//! `index.json`: what other OCI tools see of the names. A view of the database that may lag behind, never the truth.

use std::fs::File;
use std::io::Read;
use std::time::Duration;

use dhow_base::fs::{self as durable, Durability, FileLock, LockMode};
use dhow_base::{Error, Kind, Result};
use dhow_spec::layout::{ANNOTATION_IMAGE_NAME, ANNOTATION_REF_NAME};
use dhow_spec::{Descriptor, MediaType};
use rusqlite::Connection;
use serde_json::{Map, Value, json};

use crate::db::{Database, Step};
use crate::find::{descriptor_at, text_at};
use crate::paths::Paths;
use crate::store::Store;
use crate::wait::LOCK_PATIENCE;

/// Beyond this many names or targets the view is only written when asked for: writing it takes as long as a commit then.
const AUTOMATIC_MAX: i64 = 1000;

/// Annotation of the index that says which state of the database it shows.
const GENERATION: &str = "dhow.generation";

/// Larger numbers are nobody's: no store changes so often, and one can be added for ever.
const GENERATION_MAX: i64 = 1 << 60;

/// The generation stands in the first bytes of the file, so that opening a store need not read it all.
const HEAD_BYTES: usize = 256;

/// How long a command that has done its work waits for the view: whoever opens the store next repairs it.
const PATIENCE_AFTER_CHANGE: Duration = Duration::from_secs(2);

impl Store {
    /// Writes `index.json` anew, however many names there are.
    ///
    /// # Errors
    /// Those of writing it.
    pub fn sync_view(&self) -> Result<()> {
        self.require_writable()?;
        let _lock = FileLock::acquire(&self.paths().lock(), LockMode::Exclusive, LOCK_PATIENCE)?;
        write(self)
    }

    /// Whether `index.json` shows the present state.
    pub(crate) fn view_is_current(&self) -> Result<bool> {
        let generation = self.read_rows(generation)?;
        Ok(written_generation(self.paths()) == Some(generation))
    }

    /// Whether there are so few names that the view is kept current.
    pub(crate) fn view_is_automatic(&self) -> Result<bool> {
        self.read_rows(|connection| {
            let sql = "SELECT (SELECT count(*) FROM (SELECT 1 FROM reference LIMIT ?1)) <= ?2 \
                       AND (SELECT count(*) FROM (SELECT 1 FROM target LIMIT ?1)) <= ?2";
            Ok(connection.prepare_cached(sql)?.query_row((AUTOMATIC_MAX + 1, AUTOMATIC_MAX), |row| row.get(0))?)
        })
    }
}

/// Brings the view up to date after a commit. The commit stands whatever happens here.
pub(crate) fn refresh_after_change(store: &Store) {
    let refresh = || -> Result<()> {
        if !store.view_is_automatic()? {
            return Ok(());
        }
        let _lock = FileLock::acquire(&store.paths().lock(), LockMode::Exclusive, PATIENCE_AFTER_CHANGE)?;
        write(store)
    };
    if let Err(error) = refresh() {
        tracing::warn!(%error, "cannot update index.json");
    }
}

/// Brings the view up to date when a store is opened, unless somebody is at it already. Who has made the store has the lock for that.
pub(crate) fn repair(store: &Store, lock: Option<FileLock>) {
    let repair = || -> Result<()> {
        if store.view_is_current()? || !store.view_is_automatic()? {
            return Ok(());
        }
        let lock = match lock {
            None => FileLock::try_acquire(&store.paths().lock(), LockMode::Exclusive)?,
            held => held,
        };
        if lock.is_some() { write(store) } else { Ok(()) }
    };
    if let Err(error) = repair() {
        tracing::warn!(%error, "cannot update index.json");
    }
}

/// Refuses a database that is older than the view. The view is written after a commit is on the disk: if it is ahead, the log
/// of the database was lost or cut, or an old copy was put in its place, and content that only the lost changes name would be
/// taken for garbage.
///
/// # Errors
/// [`Kind::Corrupt`] naming both.
pub(crate) fn refuse_stale(paths: &Paths, database: &Database) -> Result<()> {
    // In this order: what another process commits meanwhile puts the database ahead, never the view.
    let Some(written) = written_generation(paths) else { return Ok(()) };
    let present = database.read(generation)?;
    if written <= present {
        return Ok(());
    }
    let message = format!(
        "the database {:?} is older than index.json (state {present}, and {written} there): its latest changes are missing, \
         which were in meta.db-wal",
        paths.database()
    );
    Err(Error::new(Kind::Corrupt, message)
        .with_hint("`dhow system check --repair` takes the names from index.json, and deletes nothing"))
}

/// Whether a database is older than the view, as [`refuse_stale`] has it.
pub(crate) fn is_ahead_of(paths: &Paths, old: &Connection) -> bool {
    written_generation(paths).is_some_and(|written| generation(old).is_ok_and(|present| written > present))
}

/// Has a new database go on counting where the view that it finds has stopped: a lower number would be taken for an old state.
pub(crate) fn go_on_counting(paths: &Paths, connection: &Connection) -> Step<()> {
    if let Some(written) = written_generation(paths) {
        let sql = "UPDATE meta SET value = ?1 WHERE key = 'generation'";
        connection.execute(sql, [written.saturating_add(1)])?;
    }
    Ok(())
}

pub(crate) fn generation(connection: &Connection) -> Step<i64> {
    let sql = "SELECT value FROM meta WHERE key = 'generation'";
    Ok(connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?)
}

fn written_generation(paths: &Paths) -> Option<i64> {
    let mut head = Vec::with_capacity(HEAD_BYTES);
    File::open(paths.index()).ok()?.take(HEAD_BYTES as u64).read_to_end(&mut head).ok()?;
    parse_generation(&head).filter(|generation| (0..=GENERATION_MAX).contains(generation))
}

/// The generation in the first bytes of an `index.json` that was written here.
pub(crate) fn parse_generation(head: &[u8]) -> Option<i64> {
    let head = String::from_utf8_lossy(head);
    let (_, rest) = head.split_once(&format!("\"{GENERATION}\":\""))?;
    rest.split_once('"')?.0.parse().ok()
}

/// Writes the view; the caller holds the lock, so that an older state never replaces a newer one.
fn write(store: &Store) -> Result<()> {
    let (generation, manifests) = store.read_rows(|connection| Ok((generation(connection)?, entries(connection)?)))?;
    let manifests = serde_json::to_value(manifests)
        .map_err(|error| Error::new(Kind::Internal, format!("cannot write index.json: {error}")))?;
    let mut annotations = Map::new();
    annotations.insert(GENERATION.to_owned(), Value::String(generation.to_string()));
    let index = json!({
        "schemaVersion": 2,
        "mediaType": MediaType::OciIndex.as_str(),
        "annotations": annotations,
        "manifests": manifests,
    });
    durable::write_atomic(&store.paths().index(), index.to_string().as_bytes(), 0o600, Durability::Cached)
}

/// One entry for each name with a tag, then one for each target without.
///
/// The names are whole: tags alone would be ambiguous among repositories.
fn entries(connection: &Connection) -> Step<Vec<Descriptor>> {
    let sql = "SELECT digest, media_type, size, repository, tag FROM reference \
               JOIN target ON target.number = reference.target ORDER BY repository, tag";
    let mut select = connection.prepare_cached(sql)?;
    let mut rows = select.query([])?;
    let mut entries = Vec::new();
    while let Some(row) = rows.next()? {
        let name = format!("{}:{}", text_at(row, 3)?, text_at(row, 4)?);
        let entry = descriptor_at(row, 0)?.with_annotation(ANNOTATION_IMAGE_NAME, name.clone());
        entries.push(entry.with_annotation(ANNOTATION_REF_NAME, name));
    }
    let sql = "SELECT digest, media_type, size FROM target \
               WHERE number NOT IN (SELECT target FROM reference) ORDER BY digest";
    let mut select = connection.prepare_cached(sql)?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        entries.push(descriptor_at(row, 0)?);
    }
    Ok(entries)
}
