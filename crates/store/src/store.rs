//! The handle on a store.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use dhow_base::{Error, Kind, Result};
use dhow_spec::platform::Matcher;
use rusqlite::{Connection, Transaction};

use crate::db::{Beside, Database, Durability, Step, schema};
use crate::open::OpenOptions;
use crate::paths::Paths;
use crate::view;

/// An open store. Clones are handles on the same one; any number of processes may have it open.
#[derive(Clone, Debug)]
pub struct Store {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) paths: Paths,
    pub(crate) database: Database,
    /// `facts/v1/labels.db`: the labels of images.
    pub(crate) labels: Beside,
    /// Which member of an index is the one that is shown.
    pub(crate) shown: Matcher,
    boot: OnceLock<String>,
    /// The root, absolute and without links.
    real_root: OnceLock<PathBuf>,
    /// Of a store that nothing can be written to.
    pub(crate) scratch_directory: PathBuf,
}

impl Store {
    pub(crate) fn from_parts(paths: Paths, database: Database, options: &OpenOptions) -> Self {
        let shown = Matcher::ordered(&options.platform);
        let boot = options.boot_id.clone().map_or_else(OnceLock::new, OnceLock::from);
        let labels = Beside::new(paths.labels(), schema::LABELS, database.is_writable());
        let scratch_directory = options.scratch_directory.clone();
        let real_root = OnceLock::new();
        Self { inner: Arc::new(Inner { paths, database, labels, shown, boot, real_root, scratch_directory }) }
    }

    /// The directory the store is in.
    pub fn root(&self) -> &Path {
        self.inner.paths.root()
    }

    /// The directory the store is in: absolute, without links.
    ///
    /// # Errors
    /// Those of looking it up.
    pub(crate) fn real_root(&self) -> Result<&Path> {
        if let Some(root) = self.inner.real_root.get() {
            return Ok(root);
        }
        let root = fs::canonicalize(self.root());
        let root = root.map_err(|error| Error::io(format_args!("cannot look up {:?}", self.root()), error))?;
        Ok(self.inner.real_root.get_or_init(|| root))
    }

    /// Whether the store can be changed. One on a read-only file system can only be read.
    pub fn is_writable(&self) -> bool {
        self.inner.database.is_writable()
    }

    /// Refuses to go on with a change where nothing can be changed.
    ///
    /// # Errors
    /// [`Kind::Denied`] naming the store.
    pub fn require_writable(&self) -> Result<()> {
        if self.is_writable() {
            return Ok(());
        }
        let message =
            format!("the store {:?} can only be read: its files or their file system are read-only", self.root());
        Err(Error::new(Kind::Denied, message).with_hint("name another store with --root, or make this one writable"))
    }

    pub(crate) fn paths(&self) -> &Paths {
        &self.inner.paths
    }

    /// What tells this run of the machine from every other: content that was not flushed is only trusted within one.
    pub(crate) fn boot(&self) -> &str {
        self.inner.boot.get_or_init(|| {
            fs::read_to_string("/proc/sys/kernel/random/boot_id").map_or_else(
                // Not knowing means trusting nothing but what this process wrote.
                |_| format!("process-{}-{}", std::process::id(), now()),
                |text| text.trim().to_owned(),
            )
        })
    }

    pub(crate) fn read_rows<T>(&self, step: impl FnOnce(&Connection) -> Step<T>) -> Result<T> {
        self.inner.database.read(step)
    }

    /// Writes rows that survive the process; a power cut may take the last of them back.
    pub(crate) fn write_rows<T>(&self, step: impl FnOnce(&Transaction<'_>) -> Step<T>) -> Result<T> {
        self.require_writable()?;
        self.write(Durability::Process, step).map(|(value, _)| value)
    }

    /// Runs `step` as [`Store::write_names`] does, and takes everything back that it wrote.
    pub(crate) fn rehearse_names<T>(&self, step: impl FnOnce(&Transaction<'_>) -> Step<T>) -> Result<T> {
        self.require_writable()?;
        self.inner.database.rehearse(step)
    }

    /// Writes rows that decide what the store contains: durable, counted in the generation, shown in `index.json`.
    /// Returns whether anything changed; if not, nothing is synced.
    pub(crate) fn write_names<T>(&self, step: impl FnOnce(&Transaction<'_>) -> Step<T>) -> Result<(T, bool)> {
        self.require_writable()?;
        let (value, changed) = self.write(Durability::Power, |transaction| {
            let before = transaction.total_changes();
            let value = step(transaction)?;
            if transaction.total_changes() != before {
                transaction.execute("UPDATE meta SET value = value + 1 WHERE key = 'generation'", [])?;
            }
            Ok(value)
        })?;
        // A database that is being rebuilt is not the store's yet: the view must go on showing what the old one said.
        if changed && self.inner.database.path() == self.paths().database() {
            view::refresh_after_change(self);
        }
        Ok((value, changed))
    }

    fn write<T>(&self, durability: Durability, step: impl FnOnce(&Transaction<'_>) -> Step<T>) -> Result<(T, bool)> {
        let database = &self.inner.database;
        database.write(durability, |transaction| {
            let value = step(transaction)?;
            // Within the transaction, and so before whoever makes the database anew has read it, or after he has replaced it.
            database.require_in_place()?;
            Ok(value)
        })
    }
}

/// The time as the database keeps it: nanoseconds since 1970, UTC.
pub(crate) fn now() -> i64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .ok()
        .and_then(|since| i64::try_from(since.as_nanos()).ok())
        .unwrap_or(0)
}

/// A length as SQLite keeps it. Lengths beyond its range (8 EiB) exist in no file system.
pub(crate) fn to_row(size: u64) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

/// A length read back.
pub(crate) fn from_row(size: i64) -> u64 {
    u64::try_from(size).unwrap_or(0)
}
