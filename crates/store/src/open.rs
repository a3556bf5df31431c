//! Opening a store, and making one where there is none.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::{fs, io};

use dhow_base::fs::{self as durable, FileLock, LockMode};
use dhow_base::{Error, Kind, Result};
use dhow_spec::layout::OCI_LAYOUT_CONTENT;
use dhow_spec::{Algorithm, Platform};

use crate::db::{Database, Durability, Failure, Journal, schema};
use crate::paths::Paths;
use crate::store::Store;
use crate::wait::LOCK_PATIENCE;
use crate::{recover, room, view};

/// What is within the entries of these belongs to whom an image or a container says, or to who runs it, and not to the store's owner.
const PRIVATE: [&str; 4] = ["containers", "volumes", "mounts", "layers/trees-v1"];

/// Most bytes of the path of a store: SQLite's paths have 512 with the end of a journal's name (`mxPathname` of its VFS).
const ROOT_BYTES_MAX: usize = 512 - "/facts/v1/labels.db-journal".len();

/// How a store is opened.
#[derive(Clone, Debug)]
pub struct OpenOptions {
    /// Make the store when it is not there.
    pub create: bool,
    /// How the database keeps transactions whole.
    pub journal: Journal,
    /// The platform whose image is shown for an index of which several are here.
    pub platform: Platform,
    /// What tells this run of the machine from every other; the kernel's boot ID when there is none. Content that was not
    /// flushed is only trusted within one run.
    pub boot_id: Option<String>,
    /// Where files without a name go while a store is read that nothing can be written to.
    pub scratch_directory: PathBuf,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self {
            create: true,
            journal: Journal::Automatic,
            platform: Platform::host(),
            boot_id: None,
            scratch_directory: PathBuf::from("/tmp"),
        }
    }
}

impl Store {
    /// Opens the store at `root`, and puts right what a crash left half done.
    ///
    /// # Errors
    /// [`Kind::Unsupported`] when a newer dhow made the store, [`Kind::Invalid`] when `root` holds something else,
    /// [`Kind::Corrupt`] when the database is damaged, missing or older than `index.json`, [`Kind::NotFound`] when there is no store and none is
    /// to be made, and those of the file system.
    pub fn open(root: &Path, options: &OpenOptions) -> Result<Self> {
        refuse_long(root)?;
        let paths = Paths::new(root);
        durable::give_to_owner(root, &PRIVATE);
        let (database, making) = match open_existing(&paths, options)? {
            Some(database) => (database, None),
            None => make(&paths, options).map(|(database, lock)| (database, Some(lock)))?,
        };
        let store = Self::from_parts(paths, database, options);
        if store.is_writable() {
            recover::restore_trash(&store)?;
            view::repair(&store, making);
        }
        Ok(store)
    }
}

/// Opens the database if it is there and finished.
pub(crate) fn open_existing(paths: &Paths, options: &OpenOptions) -> Result<Option<Database>> {
    let path = paths.database();
    if !path.try_exists().map_err(|error| not_reached(paths.root(), error))? {
        return Ok(None);
    }
    let database = Database::open(&path, options.journal, false)?;
    let format =
        database.read(|connection| Ok(connection.query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0))?))?;
    match format {
        schema::FORMAT => {
            view::refuse_stale(paths, &database)?;
            Ok(Some(database))
        }
        0 => Ok(None),
        newer if newer > schema::FORMAT => Err(Error::new(
            Kind::Unsupported,
            format!(
                "the store {:?} has format {newer}; this dhow knows formats up to {}",
                paths.root(),
                schema::FORMAT
            ),
        )
        .with_hint("use the dhow that made it or a newer one, or another directory with --root")),
        other => Err(Failure::Row(format!("it claims format {other}")).at(&path)),
    }
}

/// The failure to look for a store.
fn not_reached(root: &Path, error: io::Error) -> Error {
    let error = Error::io(format_args!("cannot open store {root:?}"), error);
    match error.kind() {
        Kind::Denied => error.with_hint("it is another user's; --root or DHOW_ROOT name a store of your own"),
        _ => error,
    }
}

/// Makes a store, under the lock that is returned: a program that another thread starts just now may have a copy of it for a moment, so
/// that it could not be taken again at once.
fn make(paths: &Paths, options: &OpenOptions) -> Result<(Database, FileLock)> {
    let root = paths.root();
    if !options.create {
        return Err(Error::new(Kind::NotFound, format!("there is no store at {root:?}")));
    }
    refuse_foreign(paths)?;
    durable::create_dir_all(root)?;
    let lock = FileLock::acquire(&paths.lock(), LockMode::Exclusive, LOCK_PATIENCE)?;
    if let Some(database) = open_existing(paths, options)? {
        return Ok((database, lock));
    }
    refuse_orphaned(paths)?;
    for directory in paths.directories() {
        durable::create_dir_all(&directory)?;
    }
    durable::write_atomic(&paths.marker(), OCI_LAYOUT_CONTENT.as_bytes(), 0o600, durable::Durability::Durable)?;
    durable::sync_dir(&paths.blobs())?;
    let database = Database::open(&paths.database(), options.journal, true)?;
    database.write(Durability::Power, |transaction| {
        schema::create(transaction)?;
        view::go_on_counting(paths, transaction)
    })?;
    durable::sync_dir(root)?;
    sync_ancestors(root)?;
    room::lay_by(paths);
    Ok((database, lock))
}

/// Makes the names on the way to a new store durable: any of them may be as new as the store.
fn sync_ancestors(root: &Path) -> Result<()> {
    let device = |path: &Path| fs::metadata(path).map(|metadata| metadata.dev()).ok();
    let on_device = device(root);
    // The last ancestor of a relative path is empty: the present directory.
    let existing = |path: &&Path| path.as_os_str().is_empty() || device(path) == on_device;
    for directory in root.ancestors().skip(1).take_while(existing) {
        match durable::sync_dir(directory) {
            // Nobody made a name in a directory that may not even be opened, and so far up all is old.
            Err(error) if error.kind() == Kind::Denied => break,
            synced => synced?,
        }
    }
    Ok(())
}

fn refuse_long(root: &Path) -> Result<()> {
    let length = std::path::absolute(root).map_or(0, |root| root.as_os_str().len());
    if length <= ROOT_BYTES_MAX {
        return Ok(());
    }
    let message =
        format!("the path of the store has {length} bytes, and at most {ROOT_BYTES_MAX} are possible: {root:?}");
    Err(Error::new(Kind::Invalid, message).with_hint("give a directory with a shorter path with --root"))
}

/// Keeps a store from being made among somebody's own files.
fn refuse_foreign(paths: &Paths) -> Result<()> {
    /// Of these one is enough: nobody else has them, or it is an OCI image layout.
    const MARKS: [&str; 3] = ["oci-layout", "blobs", "meta.db"];
    /// Others have such names too: in `/etc` there is a `containers`. Who was cut making a store left nothing else.
    const OURS: [&str; 10] = [
        "index.json",
        "lock",
        "ingest",
        "leases",
        "trash",
        "facts",
        "layers",
        "containers",
        "volumes",
        // Of a file system that was made for the store.
        "lost+found",
    ];
    let root = paths.root();
    let Ok(entries) = fs::read_dir(root) else { return Ok(()) };
    let names: Vec<String> = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    let marks = |name: &String| MARKS.contains(&name.as_str()) || name.starts_with("meta.db-");
    if names.iter().any(marks) || names.iter().all(|name| OURS.contains(&name.as_str())) {
        return Ok(());
    }
    Err(Error::new(Kind::Invalid, format!("{root:?} is not empty and holds no dhow store"))
        .with_hint("name an empty directory, or one that does not exist"))
}

/// Keeps a store that lost its database from getting a new, empty one: the next collection would take all content for
/// garbage. The caller holds the lock and has found no database.
fn refuse_orphaned(paths: &Paths) -> Result<()> {
    let has_content =
        |algorithm: &Algorithm| fs::read_dir(paths.blobs_of(*algorithm)).is_ok_and(|mut files| files.next().is_some());
    if !Algorithm::ALL.iter().any(has_content) {
        return Ok(());
    }
    let message = format!("the store {:?} has content, but its meta.db is missing", paths.root());
    Err(Error::new(Kind::Corrupt, message)
        .with_hint("`dhow system check --repair` makes it anew from index.json and the content"))
}
