//! The storage in a local folder. Key `a/b` is the file `a/b`.
//!
//! Reads of small files are done where they are asked for: they come from the page cache, and a hand-over to another
//! thread costs more than the read. Everything that waits for the disk runs on the blocking threads or on the journal's.

use std::fs::{DirEntry, File};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use dhow_base::fs::{self, FileLock, LockMode};
use dhow_base::{Error, Kind, Result};
use dhow_spec::digest::Algorithm;

use super::directories::Directories;
use super::files::Files;
use super::journal::{self, Journal, Step};
use super::upload::FileUpload;
use super::{Key, Object, Page, Pin, Prefix, Storage, UploadPlan};
use crate::name::{RepositoryName, UploadId};

/// What `registry.json` holds: the number of the format.
const MARKER: &str = "{\"format\":2}\n";
/// 2 has a journal, which who knows only 1 would not take to heart.
const FORMAT: u64 = 2;
const MARKER_FILE: &str = "registry.json";

/// A registry's folder.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    inner: Arc<Inner>,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) files: Arc<Files>,
    /// Nothing where the folder is only read. It ends before the lock is let go.
    journal: Option<Journal>,
    /// Held as long as the folder is open for writing, so that two servers never write to it.
    _lock: Option<FileLock>,
}

impl Folder {
    /// Opens the registry in `root`. Unless `read_only`, makes it when there is none and keeps other writers out.
    ///
    /// # Errors
    /// [`Kind::Unavailable`] when another server writes to the folder, [`Kind::Unsupported`] when its format is a
    /// newer one, [`Kind::NotFound`] when it is to be read only and is not there.
    pub(crate) fn open(root: &Path, read_only: bool) -> Result<Self> {
        if read_only {
            check_is_there(root)?;
            check_format(root)?;
            journal::settle_abandoned(root)?;
            return Ok(Self::unopened(root));
        }
        let directories = Directories::default();
        directories.ensure(root)?;
        let Some(lock) = FileLock::try_acquire(&root.join("lock"), LockMode::Exclusive)? else {
            return Err(Error::new(Kind::Unavailable, format!("another server is writing to {root:?}"))
                .with_hint("stop it, serve another folder, or serve this one read-only"));
        };
        let content = Algorithm::ALL.map(|algorithm| root.join("blobs").join(algorithm.as_str()));
        let records = ["repositories", "uploads", "journal"].map(|name| root.join(name));
        content.iter().chain(&records).try_for_each(|path| directories.ensure(path))?;
        // A newer format is refused before anything is changed, an older one becomes this one before anything is written.
        if !root.join(MARKER_FILE).exists() || check_format(root)? < FORMAT {
            fs::write_atomic(&root.join(MARKER_FILE), MARKER.as_bytes(), 0o600, fs::Durability::Durable)?;
        }
        let files = Arc::new(Files::new(root, true));
        remove_temporaries(&files)?;
        journal::settle(&files)?;
        let journal = Journal::open(Arc::clone(&files))?;
        Ok(Self { inner: Arc::new(Inner { files, journal: Some(journal), _lock: Some(lock) }) })
    }

    /// A folder that is not looked at, for servers whose content is elsewhere, or that is only read.
    pub(crate) fn unopened(root: &Path) -> Self {
        let files = Arc::new(Files::new(root, false));
        Self { inner: Arc::new(Inner { files, journal: None, _lock: None }) }
    }
}

/// Says that there is no registry in a folder, and how to get one, rather than that a file in it is missing.
fn check_is_there(root: &Path) -> Result<()> {
    let message = match (root.is_dir(), root.join(MARKER_FILE).exists()) {
        (_, true) => return Ok(()),
        (true, false) => format!("there is no registry in the folder {root:?}"),
        (false, false) => format!("there is no folder {root:?} to serve read-only"),
    };
    Err(Error::new(Kind::NotFound, message)
        .with_hint("serve it once without --read-only, which makes the registry, or check --root-dir"))
}

/// The number of the format; an error when it is none that this program knows.
pub(crate) fn check_format(root: &Path) -> Result<u64> {
    let path = root.join(MARKER_FILE);
    let bytes = fs::read_limited(&path, 4096)?;
    let marker: serde_json::Value = serde_json::from_slice(&bytes).unwrap_or_default();
    match marker.get("format").and_then(serde_json::Value::as_u64) {
        Some(known @ 1..=FORMAT) => Ok(known),
        Some(newer) => {
            let message = format!(
                "the registry in {root:?} has format {newer}, and this program knows no more than format {FORMAT}"
            );
            Err(Error::new(Kind::Unsupported, message)
                .with_hint("use the version of dhow that made it, or a newer one"))
        }
        None => Err(Error::new(Kind::Corrupt, format!("{path:?} does not name the format of the registry"))),
    }
}

/// As [`check_format`], for those who read what another process has left: it is put in order first.
pub(crate) fn check_settled(root: &Path) -> Result<()> {
    check_format(root)?;
    journal::settle_abandoned(root)
}

/// Runs `work` on a blocking thread. It goes on to its end even when nobody waits any more.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let failed = |error| Error::new(Kind::Internal, format!("a storage thread failed: {error}"));
    tokio::task::spawn_blocking(work).await.map_err(failed)?
}

impl Storage for Folder {
    type Upload = FileUpload;
    type Pin = Pin;

    async fn check(&self) -> Result<()> {
        let inner = Arc::clone(&self.inner);
        blocking(move || check_format(inner.files.root()).map(drop)).await
    }

    async fn pin(&self) -> Result<Pin> {
        Inner::pin(&self.inner).await
    }

    async fn touch(&self, key: &Key) -> Result<bool> {
        touch(&self.inner.files.path(key))
    }

    async fn size(&self, key: &Key) -> Result<Option<u64>> {
        self.inner.files.size(key)
    }

    async fn get(&self, key: &Key, bytes_max: u64) -> Result<Option<Bytes>> {
        self.inner.files.get(key, bytes_max)
    }

    async fn open(&self, key: &Key) -> Result<Option<Object>> {
        self.inner.files.open(key)
    }

    async fn open_again(&self, key: &Key) -> Result<Option<Object>> {
        self.inner.files.open_again(key)
    }

    async fn put(&self, objects: Vec<(Key, Bytes)>) -> Result<()> {
        self.inner.commit(objects.into_iter().map(|(key, bytes)| Step::Put(key, bytes)).collect()).await.map(drop)
    }

    async fn delete(&self, keys: Vec<Key>) -> Result<bool> {
        self.inner.commit(keys.into_iter().map(Step::Delete).collect()).await
    }

    async fn list(&self, prefix: &Prefix, after: Option<&str>, limit: usize) -> Result<Option<Page>> {
        let path = self.inner.files.root().join(prefix.as_str());
        let after = after.map(str::to_owned);
        blocking(move || {
            let Some(entries) = found(&path, std::fs::read_dir(&path))? else { return Ok(None) };
            let mut names = entries
                .filter_map(|entry| entry.map(|entry| entry.file_name().into_string().ok()).transpose())
                .collect::<io::Result<Vec<String>>>()
                .map_err(|error| Error::io(format_args!("cannot list {path:?}"), error))?;
            names.retain(|name| after.as_ref().is_none_or(|after| name > after));
            names.sort_unstable();
            let more = names.len() > limit;
            names.truncate(limit);
            Ok(Some(Page { names, more }))
        })
        .await
    }

    async fn repositories(&self, after: Option<&str>, limit: usize) -> Result<Page> {
        let root = self.inner.files.root().join("repositories");
        let after = after.map(str::to_owned);
        blocking(move || {
            let mut walk = RepositoryWalk { after, limit, page: Page::default() };
            walk.below(&root, "")?;
            Ok(walk.page)
        })
        .await
    }

    async fn begin_upload(&self, id: &UploadId, plan: UploadPlan) -> Result<FileUpload> {
        FileUpload::begin(Arc::clone(&self.inner), id, plan)
    }

    async fn resume_upload(&self, id: &UploadId) -> Result<Option<FileUpload>> {
        FileUpload::resume(Arc::clone(&self.inner), id)
    }

    async fn expire_uploads(&self, idle: Duration, keep: impl Fn(&UploadId) -> bool + Send + 'static) -> Result<usize> {
        let inner = Arc::clone(&self.inner);
        blocking(move || inner.expire_uploads(idle, keep)).await
    }
}

impl Inner {
    /// As [`Storage::pin`].
    pub(super) async fn pin(self: &Arc<Self>) -> Result<Pin> {
        if let Some(pin) = Pin::try_take(self.files.root())? {
            return Ok(pin);
        }
        let inner = Arc::clone(self);
        blocking(move || Pin::take(inner.files.root())).await
    }

    /// Takes steps in order and durably. Returns whether the last one found a file there.
    pub(super) async fn commit(&self, steps: Vec<Step>) -> Result<bool> {
        let read_only = || Error::new(Kind::Internal, "a registry that is only read was to be changed");
        self.journal.as_ref().ok_or_else(read_only)?.commit(steps).await
    }

    fn expire_uploads(&self, idle: Duration, keep: impl Fn(&UploadId) -> bool) -> Result<usize> {
        let oldest = SystemTime::now().checked_sub(idle).unwrap_or(SystemTime::UNIX_EPOCH);
        let mut expired = 0;
        for entry in upload_entries(&self.files)? {
            let name = entry.file_name();
            let Some(id) = name.to_str().and_then(|name| UploadId::parse(name.strip_suffix(".json")?)) else {
                continue;
            };
            if !keep(&id) && FileUpload::last_change(self, &id).is_some_and(|changed| changed < oldest) {
                FileUpload::remove(self, &id)?;
                expired += 1;
            }
        }
        Ok(expired)
    }
}

fn remove_temporaries(files: &Files) -> Result<()> {
    upload_entries(files)?
        .iter()
        .map(DirEntry::path)
        .filter(|path| path.extension().is_some_and(|extension| extension == "tmp"))
        .try_for_each(|path| fs::remove_file(&path).map(drop))
}

fn upload_entries(files: &Files) -> Result<Vec<DirEntry>> {
    let path = files.uploads();
    std::fs::read_dir(&path)
        .and_then(Iterator::collect)
        .map_err(|error| Error::io(format_args!("cannot list {path:?}"), error))
}

/// Collects repositories in the byte order of their full names, which is not the order of the tree: `a-b` stands
/// between `a` and `a/b`.
struct RepositoryWalk {
    after: Option<String>,
    limit: usize,
    page: Page,
}

impl RepositoryWalk {
    fn below(&mut self, directory: &Path, prefix: &str) -> Result<()> {
        let mut visits = Vec::new();
        let entries = found(directory, std::fs::read_dir(directory))?;
        for entry in entries.into_iter().flatten() {
            let entry = entry.map_err(|error| Error::io(format_args!("cannot list {directory:?}"), error))?;
            let Ok(component) = entry.file_name().into_string() else { continue };
            let name = format!("{prefix}{component}");
            if RepositoryName::parse(&name).is_some() {
                visits.push((format!("{name}/"), entry.path()));
                visits.push((name, entry.path()));
            }
        }
        visits.sort_unstable();
        for (name, path) in visits {
            if self.page.more {
                break;
            }
            if name.ends_with('/') {
                // Names below sort behind their parent's: a whole subtree before `after` is left out.
                if self.after.as_deref().is_none_or(|after| after < name.as_str() || after.starts_with(&name)) {
                    self.below(&path, &name)?;
                }
            } else if self.after.as_ref().is_none_or(|after| name > *after) && holds_manifest(&path) {
                self.add(name);
            }
        }
        Ok(())
    }

    fn add(&mut self, name: String) {
        if self.page.names.len() == self.limit {
            self.page.more = true;
        } else {
            self.page.names.push(name);
        }
    }
}

fn holds_manifest(repository: &Path) -> bool {
    Algorithm::ALL.iter().any(|algorithm| {
        std::fs::read_dir(repository.join("_manifests").join(algorithm.as_str()))
            .is_ok_and(|mut entries| entries.next().is_some())
    })
}

pub(super) fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(path)
}

/// Makes a file look as if it had just been written. Returns whether it is there.
pub(super) fn touch(path: &Path) -> Result<bool> {
    let failed = |error| Error::io(format_args!("cannot set the time of {path:?}"), error);
    let Some(file) = found(path, File::open(path))? else { return Ok(false) };
    file.set_modified(SystemTime::now()).map_err(failed)?;
    Ok(true)
}

/// Tells an absent file from one that cannot be had.
pub(crate) fn found<T>(path: &Path, result: io::Result<T>) -> Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        // A file stands where a directory is looked for: then there is nothing below it either.
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(Error::io(format_args!("cannot read {path:?}"), error)),
    }
}
