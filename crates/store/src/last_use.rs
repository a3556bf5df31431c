//! When an image was last used: a database of its own, so that noting it never waits for a disk.

use std::path::PathBuf;
use std::sync::Mutex;

use dhow_base::Result;
use dhow_spec::Digest;
use rusqlite::OptionalExtension;

use crate::db::{Database, Durability, Journal, schema};
use crate::store::{Store, now};

/// A use this soon after the one noted is not noted, in nanoseconds: ages are asked for in hours and days, and every row
/// written makes the log longer that the next process reads.
const EXACTNESS_NS: i64 = 60_000_000_000;

/// `use.db`, opened when first needed.
#[derive(Debug)]
pub(crate) struct LastUse {
    path: PathBuf,
    writable: bool,
    database: Mutex<Option<Database>>,
}

impl LastUse {
    pub(crate) fn new(path: PathBuf, writable: bool) -> Self {
        Self { path, writable, database: Mutex::new(None) }
    }

    fn with<T>(&self, run: impl FnOnce(&Database) -> Result<T>) -> Result<T> {
        let mut slot = self.database.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if slot.is_none() {
            let database = Database::open(&self.path, Journal::Automatic, self.writable)?;
            if database.is_writable() {
                database.set_up(schema::LAST_USE)?;
            }
            *slot = Some(database);
        }
        match slot.as_ref() {
            Some(database) => run(database),
            None => Err(dhow_base::Error::new(dhow_base::Kind::Internal, "use.db is not open")),
        }
    }
}

impl Store {
    /// Opens `use.db` on a thread of its own, for a [`touch`](Self::touch) that will follow once a registry has answered:
    /// opening takes as long as the answer of a near one.
    pub fn expect_touch(&self) {
        if self.is_writable() {
            let store = self.clone();
            // Whatever fails here fails again where it matters, and is reported there.
            let open = move || store.inner.last_use.with(|_| Ok(())).is_ok();
            drop(std::thread::Builder::new().name("use.db".to_owned()).spawn(open));
        }
    }

    /// Notes that an image was used now, to the minute. A read-only store notes nothing.
    ///
    /// # Errors
    /// Those of the database `use.db`.
    pub fn touch(&self, image_id: &Digest) -> Result<()> {
        if !self.is_writable() {
            return Ok(());
        }
        self.inner.last_use.with(|database| {
            database
                .write(Durability::Process, |transaction| {
                    let sql = "INSERT INTO image_use VALUES (?1, ?2) ON CONFLICT DO UPDATE SET used = excluded.used
                               WHERE excluded.used - used NOT BETWEEN 0 AND ?3";
                    transaction.prepare_cached(sql)?.execute((image_id.as_str(), now(), EXACTNESS_NS))?;
                    Ok(())
                })
                .map(|_| ())
        })
    }

    /// When an image was last used, in nanoseconds since 1970; `None` if that was never noted.
    ///
    /// # Errors
    /// Those of the database `use.db`.
    pub fn last_use(&self, image_id: &Digest) -> Result<Option<i64>> {
        if !self.paths().last_use().exists() {
            return Ok(None);
        }
        self.inner.last_use.with(|database| {
            database.read(|connection| {
                let sql = "SELECT used FROM image_use WHERE image_id = ?1";
                Ok(connection.prepare_cached(sql)?.query_row([image_id.as_str()], |row| row.get(0)).optional()?)
            })
        })
    }
}
