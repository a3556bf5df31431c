//! The storage in a local folder. Key `a/b` is the file `a/b`.
//!
//! Reads of small files are done where they are asked for: they come from the page cache, and a hand-over to another
//! thread costs more than the read. Everything that waits for the disk runs on the blocking threads or on the journal's.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use dhow_base::fs::{self, FileLock, LockMode};
use dhow_base::limits::MANIFEST_BYTES_MAX;
use dhow_base::{Error, Kind, Result};
use dhow_spec::Tag;
use dhow_spec::digest::{Algorithm, Digest};

use super::directories::Directories;
use super::files::Files;
use super::journal::{self, Journal, Step};
use super::upload::FileUpload;
use super::walk::RepositoryWalk;
use super::{Holding, Key, Manifest, ManifestPut, NewManifest, Object, Page, Pin, Prefix, Storage, UploadPlan};
use crate::name::{RepositoryName, UploadId};
use crate::route::ManifestName;

/// What `registry.json` holds: the number of the format.
const MARKER: &str = "{\"format\":2}\n";
/// 2 has a journal, which who knows only 1 would not take to heart.
const FORMAT: u64 = 2;
const MARKER_FILE: &str = "registry.json";

/// Longest record of a tag or of a media type.
const RECORD_BYTES_MAX: u64 = 4096;

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
        files.remove_temporaries()?;
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

/// What the changes that [`check_settled`] cannot make need of content: what they name, and the documents among them.
pub(crate) fn unsettled(root: &Path) -> Result<Vec<(Option<Key>, Bytes)>> {
    let steps = journal::unsettled(root)?;
    Ok(steps
        .into_iter()
        .filter_map(|step| match step {
            Step::Put(key, bytes) => Some((key.content_of_link().or_else(|| key.is_content().then_some(key)), bytes)),
            Step::Delete(_) => None,
        })
        .collect())
}

/// Runs `work` on a blocking thread. It goes on to its end even when nobody waits any more.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let failed = |error| Error::new(Kind::Internal, format!("a storage thread failed: {error}"));
    tokio::task::spawn_blocking(work).await.map_err(failed)?
}

impl Folder {
    /// Writes files, each in one step. They are durable when this returns, and none becomes visible before those that
    /// stand before it are durable.
    async fn put(&self, objects: Vec<(Key, Bytes)>) -> Result<()> {
        self.inner.commit(objects.into_iter().map(|(key, bytes)| Step::Put(key, bytes)).collect()).await.map(drop)
    }

    /// Deletes files, in order and durably. Returns whether the last of them was there.
    async fn delete(&self, keys: Vec<Key>) -> Result<bool> {
        self.inner.commit(keys.into_iter().map(Step::Delete).collect()).await
    }

    /// All names below a prefix.
    async fn names(&self, prefix: &Prefix) -> Result<Vec<String>> {
        Ok(self.list(prefix, None, usize::MAX).await?.unwrap_or_default().names)
    }
}

impl Storage for Folder {
    type Upload = FileUpload;

    const UPLOADS_IN_MEMORY: Option<Duration> = None;

    async fn check(&self) -> Result<()> {
        let inner = Arc::clone(&self.inner);
        blocking(move || check_format(inner.files.root()).map(drop)).await
    }

    async fn blob(&self, repository: &RepositoryName, digest: &Digest) -> Result<Option<Object>> {
        match self.inner.files.size(&Key::blob(repository, digest))? {
            Some(_) => self.inner.files.open(&Key::content(digest)),
            None => Ok(None),
        }
    }

    async fn blob_to_use(&self, repository: &RepositoryName, digest: &Digest) -> Result<Option<Object>> {
        if self.inner.journal.is_none() {
            return self.blob(repository, digest).await;
        }
        // Else a collection could take it between the look and the touch.
        let _pin = Inner::pin(&self.inner).await?;
        let found = self.blob(repository, digest).await?;
        if found.is_some() {
            touch(&self.inner.files.path(&Key::blob(repository, digest)))?;
        }
        Ok(found)
    }

    async fn put_blob(&self, repository: &RepositoryName, digest: &Digest, bytes: Bytes) -> Result<()> {
        let _pin = Inner::pin(&self.inner).await?;
        self.put(vec![(Key::content(digest), bytes), (Key::blob(repository, digest), Bytes::new())]).await
    }

    async fn any_blob(&self, digest: &Digest) -> Result<Option<Object>> {
        self.inner.files.open(&Key::content(digest))
    }

    async fn mount_blob(&self, repository: &RepositoryName, digest: &Digest, _found: &Object) -> Result<bool> {
        let _pin = Inner::pin(&self.inner).await?;
        // Young, it is not collected for lack of the reference that is only being made.
        if !touch(&self.inner.files.path(&Key::content(digest)))? {
            return Ok(false);
        }
        self.put(vec![(Key::blob(repository, digest), Bytes::new())]).await?;
        Ok(true)
    }

    async fn delete_blob(&self, repository: &RepositoryName, digest: &Digest) -> Result<bool> {
        self.delete(vec![Key::blob(repository, digest)]).await
    }

    async fn tag(&self, repository: &RepositoryName, tag: &Tag) -> Result<Option<Digest>> {
        let record = self.inner.files.get(&Key::tag(repository, tag), RECORD_BYTES_MAX)?;
        Ok(record.and_then(|record| Digest::parse(std::str::from_utf8(&record).ok()?).ok()))
    }

    async fn manifest(&self, repository: &RepositoryName, name: &ManifestName) -> Result<Option<Manifest>> {
        let digest = match name {
            ManifestName::Digest(digest) => Some(digest.clone()),
            ManifestName::Tag(tag) => self.tag(repository, tag).await?,
        };
        let Some(digest) = digest else { return Ok(None) };
        let Some(media_type) = self.inner.files.get(&Key::manifest(repository, &digest), RECORD_BYTES_MAX)? else {
            return Ok(None);
        };
        let media_type = String::from_utf8_lossy(&media_type).into_owned();
        let object = self.inner.files.open_again(&Key::content(&digest))?;
        Ok(object.map(|object| Manifest { digest, media_type, object }))
    }

    async fn put_manifest(&self, repository: &RepositoryName, manifest: NewManifest) -> Result<ManifestPut> {
        for new in manifest.tags.iter().filter(|new| !new.may_move) {
            match self.tag(repository, &new.tag).await? {
                Some(current) if current != manifest.digest => {
                    return Ok(ManifestPut::Taken(new.tag.clone(), current));
                }
                _ => {}
            }
        }
        let _pin = Inner::pin(&self.inner).await?;
        for (digest, stated) in &manifest.blobs {
            match self.blob(repository, digest).await? {
                Some(object) if object.size == *stated => {}
                Some(object) => {
                    return Ok(ManifestPut::Differs { digest: digest.clone(), stated: *stated, actual: object.size });
                }
                None => return Ok(ManifestPut::Lacks(digest.clone())),
            }
        }
        self.put(records(repository, manifest)).await?;
        Ok(ManifestPut::Stored)
    }

    async fn delete_tag(&self, repository: &RepositoryName, tag: &Tag) -> Result<bool> {
        self.delete(vec![Key::tag(repository, tag)]).await
    }

    async fn delete_manifest(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        tags: &[Tag],
        subject: Option<&Digest>,
    ) -> Result<bool> {
        let mut keys: Vec<Key> = tags.iter().map(|tag| Key::tag(repository, tag)).collect();
        keys.extend(subject.map(|subject| Key::referrer(repository, subject, digest)));
        keys.push(Key::manifest(repository, digest));
        self.delete(keys).await
    }

    async fn finish_deletion(&self, _repository: &RepositoryName, _digest: &Digest) -> Result<()> {
        Ok(())
    }

    async fn referrer(
        &self,
        repository: &RepositoryName,
        subject: &Digest,
        referrer: &Digest,
    ) -> Result<Option<Bytes>> {
        // Its entry counts only as long as the manifest is there.
        match self.inner.files.size(&Key::manifest(repository, referrer))? {
            Some(_) => self.inner.files.get(&Key::referrer(repository, subject, referrer), MANIFEST_BYTES_MAX),
            None => Ok(None),
        }
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
        blocking(move || RepositoryWalk::page(&root, after, limit)).await
    }

    async fn holdings(&self, namespace: &RepositoryName, found: &mut (dyn FnMut(Holding) + Send)) -> Result<()> {
        let mut left = vec![namespace.clone()];
        while let Some(repository) = left.pop() {
            for name in self.names(&Prefix::repository(&repository)).await? {
                left.extend(RepositoryName::parse(&format!("{repository}/{name}")));
            }
            for algorithm in Algorithm::ALL {
                for prefix in [Prefix::blobs(&repository, algorithm), Prefix::manifests(&repository, algorithm)] {
                    for hex in self.names(&prefix).await? {
                        let Ok(digest) = Digest::parse(&format!("{algorithm}:{hex}")) else { continue };
                        let size = self.inner.files.size(&Key::content(&digest))?.unwrap_or(0);
                        found(Holding::Content(repository.clone(), digest, size));
                    }
                }
            }
            let tags = self.names(&Prefix::tags(&repository)).await?;
            let tags = tags.iter().filter_map(|tag| Tag::parse(tag).ok());
            tags.for_each(|tag| found(Holding::Tag(repository.clone(), tag)));
        }
        Ok(())
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
    /// Keeps everything from being collected until what is returned is dropped: it is held from the look whether
    /// content is there until it is written down that it is needed. It is not to be taken twice.
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
        for entry in self.files.upload_entries()? {
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

/// What is written for a manifest, in the order in which it may become visible.
fn records(repository: &RepositoryName, manifest: NewManifest) -> Vec<(Key, Bytes)> {
    let digest = &manifest.digest;
    let mut records = vec![(Key::content(digest), manifest.bytes)];
    if let Some((subject, descriptor)) = manifest.referrer {
        records.push((Key::referrer(repository, &subject, digest), descriptor));
    }
    records.push((Key::manifest(repository, digest), manifest.media_type.into()));
    let record = Bytes::copy_from_slice(digest.as_str().as_bytes());
    records.extend(manifest.tags.iter().map(|new| (Key::tag(repository, &new.tag), record.clone())));
    records
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
