//! Making `meta.db` anew when it is damaged or lost, from what the rest of the store still shows.
//!
//! The new database is filled beside the old one and takes its place only when it is complete: an interrupted rebuild
//! leaves the store as it was. What it replaces is kept in `damaged/`.

mod salvage;

use std::collections::HashSet;
use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};

use dhow_base::fs::{self as durable, AtomicFile, FileLock, LockMode};
use dhow_base::{Error, Kind, Result, fault};
use dhow_spec::{Descriptor, Digest, Document, MediaType, Reference};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::blobs::prove_file;
use crate::commit::NewTarget;
use crate::db::{Database, Durability, Failure, Journal, schema};
use crate::open::{OpenOptions, open_existing};
use crate::paths::Paths;
use crate::plan::Plan;
use crate::recover::{self, Trashed};
use crate::store::Store;
use crate::view;
use crate::wait::LOCK_PATIENCE;

/// What a rebuild found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rebuilt {
    /// Number of blobs and documents whose bytes were proven.
    pub blobs: u64,
    /// Number of names with tags that stand for an image again.
    pub references: u64,
    /// What could not be brought back, a sentence each.
    pub losses: Vec<String>,
    /// Manifests and indexes of which too little is here, with the names that stood for them.
    pub incomplete: Vec<Incomplete>,
    /// Where the old files are now, if there were any.
    pub kept_in: Option<PathBuf>,
}

/// A manifest or index that a rebuild could not keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incomplete {
    /// What it is, and its names.
    pub target: NewTarget,
    /// What of it is missing.
    pub cause: String,
}

impl fmt::Display for Incomplete {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = self.target.references.iter().map(Reference::familiar).collect();
        let what = if names.is_empty() { self.target.document.digest.to_string() } else { names.join(", ") };
        write!(formatter, "{what} cannot be brought back: {}", self.cause)
    }
}

impl Store {
    /// Whether the database at `root` can be opened, is consistent in itself and no older than `index.json`. A store without one that has content is
    /// not sound either.
    ///
    /// # Errors
    /// [`Kind::Unsupported`] for the store of a newer dhow, and those of the file system.
    pub fn database_is_sound(root: &Path, options: &OpenOptions) -> Result<bool> {
        let checked = open_existing(&Paths::new(root), options).and_then(|database| match database {
            Some(database) => database.read(|connection| {
                let answer: String = connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
                Ok(answer == "ok")
            }),
            None => Ok(false),
        });
        match checked {
            Err(error) if error.kind() == Kind::Corrupt => Ok(false),
            checked => checked,
        }
    }

    /// Makes the database of the store at `root` anew if it is not [sound](Store::database_is_sound). Of several processes that
    /// find it so at once, one does.
    ///
    /// # Errors
    /// Those of both.
    pub fn rebuild_if_unsound(root: &Path, options: &OpenOptions) -> Result<Option<Rebuilt>> {
        if Self::database_is_sound(root, options)? {
            return Ok(None);
        }
        fault::point_at("store.rebuild.judged", root).map_err(|error| Error::io("cannot judge again", error))?;
        let _lock = lock(&Paths::new(root))?;
        // What another process has made anew may hold names that were given since.
        if Self::database_is_sound(root, options)? {
            return Ok(None);
        }
        rebuild_locked(root, options).map(Some)
    }

    /// Makes the database of the store at `root` anew. Names come from the old database as far as it can be read, else
    /// from `index.json`, and from that first where it is newer; content from `blobs/`, every byte proven. Images that nothing names any more come back without
    /// a name.
    ///
    /// # Errors
    /// [`Kind::NotFound`] when there is no store, those of the file system. What could not be brought back is in the
    /// result.
    pub fn rebuild(root: &Path, options: &OpenOptions) -> Result<Rebuilt> {
        let _lock = lock(&Paths::new(root))?;
        rebuild_locked(root, options)
    }

    /// Fills an empty database.
    fn fill(&self, rebuilt: &mut Rebuilt) -> Result<()> {
        recover_trash(self)?;
        self.prove_blobs(rebuilt)?;
        let mut targets = salvage::targets(self, &mut rebuilt.losses)?;
        targets.extend(self.nameless(&targets)?);
        self.keep(targets, rebuilt)?;
        salvage::other_rows(self, &mut rebuilt.losses);
        Ok(())
    }

    /// Vouches for every blob whose bytes are those of its digest, and moves the others aside.
    fn prove_blobs(&self, rebuilt: &mut Rebuilt) -> Result<()> {
        for (digest, size) in self.files_in_blobs()? {
            let path = self.paths().blob(&digest);
            let descriptor = Descriptor::new(MediaType::Other(String::new()), digest.clone(), size);
            match prove_file(&path, &descriptor)? {
                Some(proof) => {
                    self.vouch(&proof)?;
                    rebuilt.blobs += 1;
                }
                None => {
                    durable::create_dir_all(&self.paths().damaged_directory())?;
                    durable::rename(&path, &self.paths().damaged(&digest))?;
                    rebuilt.losses.push(format!("the bytes of blob {digest} are not those of its digest: moved aside"));
                }
            }
        }
        Ok(())
    }

    /// Manifests and indexes that neither a name nor another document leads to.
    fn nameless(&self, known: &[NewTarget]) -> Result<Vec<NewTarget>> {
        let mut documents: Vec<(Descriptor, Document)> = Vec::new();
        for (digest, size) in self.files_in_blobs()? {
            if size <= dhow_base::limits::MANIFEST_BYTES_MAX
                && let Ok(found) = self.document(&digest)
            {
                documents.push((found.descriptor().clone(), found.document().clone()));
            }
        }
        let children = documents.iter().flat_map(|(_, document)| document.children());
        let mut led_to: HashSet<Digest> = children.map(|child| child.digest.clone()).collect();
        led_to.extend(known.iter().map(|target| target.document.digest.clone()));
        let roots = documents.into_iter().filter(|(descriptor, _)| !led_to.contains(&descriptor.digest));
        Ok(roots.map(|(descriptor, _)| NewTarget::default_for(descriptor)).collect())
    }

    /// Keeps every target of which something can be used.
    fn keep(&self, targets: Vec<NewTarget>, rebuilt: &mut Rebuilt) -> Result<()> {
        let session = self.begin("rebuild")?;
        for target in targets {
            let names = target.references.len() as u64;
            let usable = Plan::read(self, None, &target.document).and_then(|plan| plan.require_usable(self));
            match usable.and_then(|()| session.commit(std::slice::from_ref(&target))) {
                Ok(_) => rebuilt.references += names,
                Err(error) if matches!(error.kind(), Kind::NotFound | Kind::Corrupt | Kind::LimitExceeded) => {
                    rebuilt.incomplete.push(Incomplete { target, cause: error.to_string() });
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Takes the lock under which nothing is collected, and nobody else rebuilds.
fn lock(paths: &Paths) -> Result<FileLock> {
    if !paths.blobs().is_dir() {
        return Err(Error::new(Kind::NotFound, format!("there is no store at {:?}", paths.root())));
    }
    for directory in paths.directories() {
        durable::create_dir_all(&directory)?;
    }
    FileLock::acquire(&paths.trash_lock(), LockMode::Exclusive, LOCK_PATIENCE)
}

/// As [`Store::rebuild`]; the lock is held.
fn rebuild_locked(root: &Path, options: &OpenOptions) -> Result<Rebuilt> {
    let paths = Paths::new(root);
    let old = hold(&paths.database())?;
    let workshop = root.join("rebuild");
    durable::remove_dir_all(&workshop)?;
    durable::create_dir_all(&workshop)?;
    let database = workshop.join("meta.db");
    let mut rebuilt = Rebuilt::default();
    {
        let new = Database::open(&database, Journal::Rollback, true)?;
        new.write(Durability::Process, |transaction| {
            schema::create(transaction)?;
            view::go_on_counting(&paths, transaction)
        })?;
        let store = Store::from_parts(paths.clone(), new, options);
        store.fill(&mut rebuilt)?;
    }
    durable::flush(&[(database.clone(), durable::open(&database)?)], &[])?;
    fault::point_at("store.rebuild.filled", root).map_err(|error| Error::io("cannot go on", error))?;
    let (kept_in, open) = keep_old(&paths)?;
    rebuilt.kept_in = kept_in;
    // The log of the old database would be taken for that of the new one.
    for name in LOGS {
        durable::remove_file(&root.join(name))?;
    }
    // The new database counts its generations from the beginning.
    durable::remove_file(&paths.rows())?;
    durable::rename(&database, &paths.database())?;
    // Whoever waited for the old one finds that it is not the store's any more.
    drop((old, open));
    durable::sync_dir(root)?;
    durable::remove_dir_all(&workshop)?;
    Ok(rebuilt)
}

/// What SQLite keeps beside the database.
const LOGS: [&str; 3] = ["meta.db-wal", "meta.db-shm", "meta.db-journal"];

/// Moves what an interrupted collection took away back into `blobs/`: without rows nobody can tell what was content.
fn recover_trash(store: &Store) -> Result<()> {
    for Trashed { digest, path } in recover::trashed(store)? {
        let blob = store.paths().blob(&digest);
        if !blob.exists() {
            durable::rename(&path, &blob)?;
        }
    }
    Ok(())
}

/// Takes the right to write to the old database, as far as SQLite can do anything with it: what is committed there after it was
/// read would be lost.
fn hold(path: &Path) -> Result<Option<Connection>> {
    let held = || -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(LOCK_PATIENCE)?;
        // By name: that would be the log of the new one by then.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        connection.execute_batch("BEGIN IMMEDIATE")?;
        Ok(connection)
    };
    match held() {
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => Err(Failure::from(error).at(path)),
        Err(error) => {
            tracing::debug!(%error, "nobody can write to the old database");
            Ok(None)
        }
        Ok(connection) => Ok(Some(connection)),
    }
}

/// Copies the old database and `index.json` to a new directory in `damaged/`, or moves what stands there instead; returns it if
/// there was anything, and the files: who closes one gives up this process's locks on it (fcntl(2), POSIX locks).
fn keep_old(paths: &Paths) -> Result<(Option<PathBuf>, Vec<File>)> {
    let mut open = Vec::new();
    let damaged = paths.damaged_directory();
    let is_free = |number: &u32| !damaged.join(format!("meta-{number}")).exists();
    let directory = damaged.join(format!("meta-{}", (1..).find(is_free).unwrap_or(u32::MAX)));
    let files = ["meta.db"].into_iter().chain(LOGS).chain(["index.json"]);
    let present: Vec<&str> = files.filter(|name| paths.root().join(name).exists()).collect();
    if present.is_empty() {
        return Ok((None, open));
    }
    durable::create_dir_all(&directory)?;
    for name in present {
        let (from, to) = (paths.root().join(name), directory.join(name));
        if !from.is_file() {
            // Whatever has taken the place of a file there.
            durable::rename(&from, &to)?;
            continue;
        }
        let mut copy = AtomicFile::create(&to, 0o600)?;
        let mut source = durable::open(&from)?;
        let copied = std::io::copy(&mut source, copy.file());
        open.push(source);
        copied.map_err(|error| Error::io(format_args!("cannot copy {from:?} to {to:?}"), error))?;
        copy.commit(durable::Durability::Durable)?;
    }
    durable::sync_dir(&damaged)?;
    Ok((Some(directory), open))
}
