//! A database beside `meta.db`: what it holds can be lost or worked out again, so that writing it never waits for a disk.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use dhow_base::fs as durable;
use dhow_base::{Error, Kind, Result};

use super::{Database, Journal};

/// A database that is opened when first needed.
#[derive(Debug)]
pub(crate) struct Beside {
    path: PathBuf,
    /// Makes the tables that are not there.
    tables: &'static str,
    writable: bool,
    database: Mutex<Option<Database>>,
}

impl Beside {
    pub(crate) fn new(path: PathBuf, tables: &'static str, writable: bool) -> Self {
        Self { path, tables, writable, database: Mutex::new(None) }
    }

    /// What is wrong with it, if it is there and something is.
    ///
    /// # Errors
    /// Those that say nothing about it.
    pub(crate) fn fault(&self) -> Result<Option<String>> {
        if !self.path.exists() {
            return Ok(None);
        }
        let checked = self.with(|database| {
            let check = |row: &rusqlite::Row<'_>| row.get::<_, String>(0);
            database.read(|connection| Ok(connection.query_row("PRAGMA integrity_check(1)", [], check)?))
        });
        match checked {
            Ok(answer) if answer == "ok" => Ok(None),
            Ok(answer) => Ok(Some(format!("the database {:?} is damaged: {answer}", self.path))),
            Err(error) if error.kind() == Kind::Corrupt => Ok(Some(error.to_string())),
            Err(error) => Err(error),
        }
    }

    /// Deletes it. The next process makes it anew.
    ///
    /// # Errors
    /// The operating system's.
    pub(crate) fn remove(&self) -> Result<()> {
        *self.database.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = None;
        durable::remove_file(&self.path)?;
        for suffix in ["-wal", "-shm", "-journal"] {
            let mut name = self.path.as_os_str().to_owned();
            name.push(suffix);
            durable::remove_file(Path::new(&name))?;
        }
        Ok(())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Runs something on the database, which is made when it is not there and the store can be written.
    pub(crate) fn with<T>(&self, run: impl FnOnce(&Database) -> Result<T>) -> Result<T> {
        let mut slot = self.database.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if slot.is_none() {
            if let Some(directory) = self.path.parent().filter(|directory| self.writable && !directory.exists()) {
                durable::create_dir_all(directory)?;
            }
            let database = Database::open(&self.path, Journal::Automatic, self.writable)?;
            if database.is_writable() {
                database.set_up(self.tables)?;
            }
            *slot = Some(database);
        }
        match slot.as_ref() {
            Some(database) => run(database),
            None => Err(Error::new(Kind::Internal, format!("{:?} is not open", self.path))),
        }
    }
}
