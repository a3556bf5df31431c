//! A database file: how it is opened, and the two kinds of transaction.

mod beside;
mod failure;
mod network;
mod ownership;
pub(crate) mod schema;

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dhow_base::{Error, Kind, Result};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction, TransactionBehavior};
use rustix::io::Errno;

use crate::wait::LOCK_PATIENCE;

pub(crate) use beside::Beside;
pub(crate) use failure::{Failure, Step};
pub(crate) use network::is_network_file_system;

/// How SQLite keeps a transaction whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Journal {
    /// Write-ahead, or a rollback journal where the store lies on a network file system.
    #[default]
    Automatic,
    /// Write-ahead log: readers and one writer at once. Needs memory that all processes share.
    WriteAhead,
    /// Rollback journal: slower, but right wherever file locks are.
    Rollback,
}

/// What a transaction survives once it is committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durability {
    /// The death of the process; the last ones may be lost in a power cut, in order.
    Process,
    /// A power cut.
    Power,
}

/// Length of the log beyond which it is cut after a commit, which costs two syncs. A log that once was long stays so, and
/// is read at each first opening: 0.1 ms for every 64 KiB.
const LOG_BYTES_MAX: u64 = 128 << 10;

/// Pages of the log after which it is written back: small, because each first opening reads the log.
const CHECKPOINT_PAGES: i64 = 256;

/// Memory for pages at most, in KiB: with less, a removal of ten thousand images reads and spills the same pages again and
/// again.
const CACHE_KIB: i64 = 20 << 10;

/// An open database, shared by the threads of this process.
#[derive(Debug)]
pub(crate) struct Database {
    path: PathBuf,
    /// Which file it is: another may take the place of one that is open.
    file: Option<(u64, u64)>,
    state: Mutex<State>,
    writable: bool,
}

#[derive(Debug)]
struct State {
    connection: Connection,
    write_ahead: bool,
    durability: Option<Durability>,
}

impl Database {
    /// Opens `path`, which must exist unless `create`.
    pub(crate) fn open(path: &Path, journal: Journal, create: bool) -> Result<Self> {
        let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        flags.set(OpenFlags::SQLITE_OPEN_CREATE, create);
        if create && let Err(error) = dhow_base::fs::make_empty(path) {
            // SQLite gives the files beside a database to who owns that. What is in the way it finds itself.
            tracing::debug!(?path, %error, "cannot make a database");
        }
        let failure = match Self::open_with(path, flags, journal, false) {
            Ok(database) => return Ok(database),
            Err(failure) => failure,
        };
        if path.metadata().is_ok_and(|metadata| !metadata.is_file()) {
            // SQLite only says that it cannot read it.
            return Err(Failure::Row("it is no file".to_owned()).at(path));
        }
        // A place where nothing can be written, nor memory be shared: the file does not change either, as far as we can tell.
        if failure.is_read_only() && path.exists() {
            has_descriptors(path)?;
            return Self::open_immutable(path).map_err(|second| second.at(path));
        }
        // A full disk: whoever has the database alone needs no memory to share. What is here can be read, and removed.
        if failure.is_without_shared_memory() {
            tracing::debug!(?path, ?failure, "opening the database alone");
            return Self::open_with(path, flags, journal, true).map_err(|second| second.at(path));
        }
        Err(failure.at(path))
    }

    fn open_with(path: &Path, flags: OpenFlags, journal: Journal, alone: bool) -> Step<Self> {
        ownership::change_only_when_needed();
        let mut connection = Connection::open_with_flags(path, flags)?;
        wait_when_busy(&mut connection)?;
        if alone {
            connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
        }
        // Else the last process to leave pays two syncs for writing the log back, even if it only read.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        let writable = !connection.is_readonly("main")?;
        let mut mode: String = connection.query_row("PRAGMA journal_mode", [], |row| row.get(0))?;
        if writable {
            let rollback = match journal {
                Journal::Automatic => is_network_file_system(path),
                Journal::WriteAhead => false,
                Journal::Rollback => true,
            };
            let wanted = if rollback { "delete" } else { "wal" };
            if mode != wanted {
                mode = change_journal(&connection, wanted)?;
            }
            connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
            // Only a large removal fills either: temporary tables, and more pages than the default of 2 MiB.
            connection.pragma_update(None, "temp_store", "MEMORY")?;
            connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
        }
        connection.set_prepared_statement_cache_capacity(64);
        let state = State { connection, write_ahead: mode == "wal", durability: None };
        Ok(Self { path: path.to_owned(), file: file_at(path), state: Mutex::new(state), writable })
    }

    fn open_immutable(path: &Path) -> Step<Self> {
        tracing::debug!(?path, "opening the database as immutable");
        let mut log = path.as_os_str().to_owned();
        log.push("-wal");
        if Path::new(&log).metadata().is_ok_and(|metadata| metadata.len() > 0) {
            // Without it the latest changes would be missing, and what is shown would be wrong.
            let message = format!("the database {path:?} has changes in its log, which cannot be read here");
            return Err(Error::new(Kind::Unavailable, message)
                .with_hint("open the store once where it can be written")
                .into());
        }
        let text = path.to_str().ok_or_else(|| Error::new(Kind::Unsupported, format!("{path:?} is not UTF-8")))?;
        let escaped = text.replace('%', "%25").replace('?', "%3f").replace('#', "%23");
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
        let connection = Connection::open_with_flags(format!("file:{escaped}?immutable=1"), flags)?;
        let state = State { connection, write_ahead: false, durability: None };
        Ok(Self { path: path.to_owned(), file: file_at(path), state: Mutex::new(state), writable: false })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn is_writable(&self) -> bool {
        self.writable
    }

    /// Refuses to go on within a transaction when another file has taken the place of this one: what is written would be lost
    /// with it, and what it says is not so any more.
    pub(crate) fn require_in_place(&self) -> Step<()> {
        if self.file == file_at(&self.path) {
            return Ok(());
        }
        let message = format!("the database {:?} was made anew, or removed, while it was in use", self.path);
        Err(Error::new(Kind::Unavailable, message).with_hint("run the command again").into())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic in a step drops its transaction, which rolls back: the connection stays good.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes tables that may be there already, outside any transaction.
    pub(crate) fn set_up(&self, sql: &str) -> Result<()> {
        let mut state = self.lock();
        let mut run = || {
            state.set_durability(Durability::Process)?;
            Ok(state.connection.execute_batch(sql)?)
        };
        run().map_err(|failure: Failure| failure.at(&self.path))
    }

    /// Runs `step` with another database at hand under the name `old`.
    pub(crate) fn beside(&self, other: &str, step: impl FnOnce(&Connection) -> Step<()>) -> Result<()> {
        let state = self.lock();
        let run = || {
            state.connection.execute("ATTACH ?1 AS old", [other])?;
            let outcome = step(&state.connection);
            state.connection.execute("DETACH old", [])?;
            outcome
        };
        run().map_err(|failure| failure.at(&self.path))
    }

    /// Reads in one transaction: every statement of `step` sees the same state.
    pub(crate) fn read<T>(&self, step: impl FnOnce(&Connection) -> Step<T>) -> Result<T> {
        let state = self.lock();
        let run = || {
            let transaction = state.connection.unchecked_transaction()?;
            step(&transaction)
        };
        run().map_err(|failure| failure.at(&self.path))
    }

    /// Writes in one transaction that begins by taking the write lock. Returns whether any row changed; if none did,
    /// nothing is written and nothing synced.
    pub(crate) fn write<T>(
        &self,
        durability: Durability,
        step: impl FnOnce(&Transaction<'_>) -> Step<T>,
    ) -> Result<(T, bool)> {
        let mut state = self.lock();
        let outcome = state.write(durability, step).map_err(|failure| failure.at(&self.path))?;
        if outcome.1
            && state.write_ahead
            && let Err(failure) = state.cut_log(&self.path)
        {
            tracing::debug!(path = ?self.path, ?failure, "the log stays long for now");
        }
        Ok(outcome)
    }

    /// Runs `step` in a transaction that is rolled back: what it returns is what a real one would.
    pub(crate) fn rehearse<T>(&self, step: impl FnOnce(&Transaction<'_>) -> Step<T>) -> Result<T> {
        let mut state = self.lock();
        let run = || {
            let transaction = state.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let value = step(&transaction)?;
            transaction.rollback()?;
            Ok(value)
        };
        run().map_err(|failure: Failure| failure.at(&self.path))
    }
}

impl State {
    fn write<T>(&mut self, durability: Durability, step: impl FnOnce(&Transaction<'_>) -> Step<T>) -> Step<(T, bool)> {
        self.set_durability(durability)?;
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let before = transaction.total_changes();
        let value = step(&transaction)?;
        let changed = transaction.total_changes() != before;
        if changed {
            transaction.commit()?;
        } else {
            transaction.rollback()?;
        }
        Ok((value, changed))
    }

    /// Writes a long log back and cuts it, if no reader needs it at this moment.
    fn cut_log(&mut self, path: &Path) -> Step<()> {
        let mut log = path.as_os_str().to_owned();
        log.push("-wal");
        if Path::new(&log).metadata().is_ok_and(|metadata| metadata.len() <= LOG_BYTES_MAX) {
            return Ok(());
        }
        self.connection.busy_handler(None::<fn(i32) -> bool>)?;
        let cut = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        wait_when_busy(&mut self.connection)?;
        Ok(cut?)
    }

    /// With a log, NORMAL never syncs on commit and FULL does once. With a rollback journal NORMAL may leave a damaged
    /// file after a power cut, and only EXTRA syncs the directory from which the journal was removed.
    fn set_durability(&mut self, durability: Durability) -> Step<()> {
        if self.durability == Some(durability) {
            return Ok(());
        }
        let level = match (self.write_ahead, durability) {
            (true, Durability::Process) => "NORMAL",
            (true, Durability::Power) | (false, Durability::Process) => "FULL",
            (false, Durability::Power) => "EXTRA",
        };
        self.connection.pragma_update(None, "synchronous", level)?;
        self.durability = Some(durability);
        Ok(())
    }
}

/// What tells a file from every other.
fn file_at(path: &Path) -> Option<(u64, u64)> {
    path.metadata().ok().map(|found| (found.dev(), found.ino()))
}

/// Fails where this process may open no more files, of which SQLite only says that it cannot open the database's.
fn has_descriptors(path: &Path) -> Result<()> {
    // The database, its log and the memory that processes share.
    const FILES: usize = 3;
    // Not the database itself: whoever closes it once gives up all of the process's locks on it (fcntl(2), POSIX locks).
    let opened: io::Result<Vec<File>> = (0..FILES).map(|_| File::open(path.parent().unwrap_or(path))).collect();
    match opened {
        Err(error) if matches!(Errno::from_io_error(&error), Some(Errno::MFILE | Errno::NFILE)) => {
            Err(Error::io(format_args!("cannot open the database {path:?}"), error))
        }
        _ => Ok(()),
    }
}

/// Changes how the database keeps transactions whole, and returns how it now does. This goes from a read lock to the
/// write lock, where SQLite does not ask the busy handler, for two that wait for each other there would wait for ever: it
/// gives its read lock back and fails at once, so that trying again is right.
fn change_journal(connection: &Connection, wanted: &str) -> Step<String> {
    let statement = format!("PRAGMA journal_mode = {wanted}");
    let mut tries = 0;
    loop {
        match connection.query_row(&statement, [], |row| row.get(0)) {
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) && is_worth_waiting(tries) => {
                tries += 1;
            }
            outcome => return Ok(outcome?),
        }
    }
}

/// Waits for a lock that another process holds. SQLite's own handler sleeps up to 100 ms at a time,
/// which starves a process among many.
fn wait_when_busy(connection: &mut Connection) -> Step<()> {
    connection.busy_handler(Some(is_worth_waiting))?;
    Ok(())
}

/// Sleeps before a lock is asked for again, unless that was done for long enough already.
fn is_worth_waiting(tries: i32) -> bool {
    const STEP: Duration = Duration::from_millis(5);
    if STEP * u32::try_from(tries).unwrap_or(0) >= LOCK_PATIENCE {
        return false;
    }
    std::thread::sleep(if tries < 10 { Duration::from_micros(500) } else { STEP });
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_journal_is_changed_once_nobody_is_in_the_way() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("some.db");
        let other = Connection::open(&path).expect("a database");
        other.execute_batch("CREATE TABLE t (x); BEGIN IMMEDIATE; INSERT INTO t VALUES (1)").expect("a transaction");
        std::thread::scope(|scope| {
            let opening = scope.spawn(|| Database::open(&path, Journal::WriteAhead, false));
            std::thread::sleep(Duration::from_millis(100));
            assert!(!opening.is_finished(), "it waits: {opening:?}");
            other.execute_batch("COMMIT").expect("a commit");
            let database = opening.join().expect("no panic").expect("an open database");
            assert!(database.lock().write_ahead);
        });
    }
}
