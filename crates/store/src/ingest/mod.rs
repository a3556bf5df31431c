//! A blob on its way in: a file of its own, locked by who fetches it, kept when the fetch is cut.

mod copier;
mod follow;
mod parts;
mod progress;

use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use dhow_base::fs::{self as durable, FileLock};
use dhow_base::progress::{Event, Observer};
use dhow_base::{Error, Kind, Result, fault};
use dhow_content::{Begin, Ingest, LocalBlob, Origin, VerifiedDocument};
use dhow_layer::erofs::Form;
use dhow_spec::digest::Algorithm;
use dhow_spec::{Descriptor, Digest};

use copier::Copier;
pub(crate) use follow::inflate_file;
use follow::{Followers, INLINE_BYTES_MAX, Proven, Task};
pub(crate) use parts::Parts;
use parts::PartsFile;
use progress::Progress;
pub(crate) use progress::Tail;

use crate::blobs::prove_file;
use crate::check::set_aside;
use crate::session::Lease;
use crate::store::Store;
use crate::wait;

/// A local file is copied in pieces of this many bytes, so that the verifier follows closely.
const COPY_BYTES: u64 = 8 << 20;

/// What arrives is noted in pieces of this many bytes: so much is fetched again after a kill, however much of it a busy
/// machine reads from a connection at once.
const NOTED_BYTES: usize = 128 << 10;

/// A blob that is here is hashed before it is taken for present if it has no more bytes: that takes some 50 µs.
const PROVEN_BYTES_MAX: u64 = 64 << 10;

/// A blob on its way into a store; made by [`Session::ingest`](dhow_content::Sink::ingest). Dropped before it is
/// committed, it keeps its bytes for the next one.
#[derive(Debug)]
pub struct StoreIngest {
    lease: Arc<Lease>,
    task: Task,
    file: Arc<FileLock>,
    followers: Mutex<Option<Followers>>,
}

/// Begins a blob for a session that has pinned it.
pub(crate) async fn begin(
    lease: &Arc<Lease>,
    blob: &Descriptor,
    observer: &dyn Observer,
) -> Result<Begin<StoreIngest>> {
    let store = lease.store();
    if store.holds_blob(blob)? && proves_if_small(store, blob)? {
        return Ok(Begin::Present);
    }
    store.require_writable()?;
    let path = store.paths().ingest(&blob.digest);
    let lock = wait::lock(path.clone(), || observer.event(Event::Waiting { digest: blob.digest.as_str() })).await?;
    if store.holds_blob(blob)? && !proves_if_small(store, blob)? {
        set_aside(store, &blob.digest)?;
    }
    if store.holds_blob(blob)? {
        // Whoever had the lock has finished it: the file locked now was made by asking for it.
        clear(store, blob)?;
        return Ok(Begin::Present);
    }
    let adopted = {
        let (store, blob) = (store.clone(), blob.clone());
        if store.paths().blob(&blob.digest).exists() {
            wait::on_thread("adopt", move || store.adopt(&blob)).await?
        } else {
            false
        }
    };
    if adopted {
        clear(store, blob)?;
        return Ok(Begin::Present);
    }
    StoreIngest::resume(lease.clone(), blob.clone(), path, lock).map(Begin::Write)
}

/// Whether a document is here. Documents are small enough to be proven: what is damaged is brought anew.
pub(crate) fn holds_document(store: &Store, descriptor: &Descriptor) -> Result<bool> {
    match store.document_by(descriptor) {
        Err(error) if error.kind() == Kind::Corrupt => Ok(false),
        found => Ok(found?.is_some()),
    }
}

/// Puts a document that was missing in its place. Under the lock of an ingest, as a blob: a session that looked at the same
/// time may have brought it, flushed it and given it a name, and must not find it replaced by a copy that no flush has seen.
pub(crate) async fn put(store: &Store, document: &VerifiedDocument) -> Result<()> {
    let descriptor = document.descriptor();
    let (blob, path) = (store.paths().blob(&descriptor.digest), store.paths().ingest(&descriptor.digest));
    fault::point_at("store.document.missing", &blob).map_err(|error| Error::io("cannot look again", error))?;
    let lock = wait::lock(path.clone(), || ()).await?;
    if holds_document(store, descriptor)? || (blob.exists() && store.adopt(descriptor)?) {
        return clear(store, descriptor);
    }
    let written = durable::set_length(lock.file(), &path, 0)
        .and_then(|()| durable::write_at(lock.file(), &path, document.bytes(), 0))
        .and_then(|()| durable::rename(&path, &blob));
    if let Err(error) = written {
        durable::remove_file(&path)?;
        return Err(error);
    }
    store.vouch(document)
}

/// Whether a blob that is here has the right bytes, so far as that costs nothing: configs, and layers of a few files. Damage in
/// larger ones is found by who reads them.
fn proves_if_small(store: &Store, blob: &Descriptor) -> Result<bool> {
    if blob.size > PROVEN_BYTES_MAX {
        return Ok(true);
    }
    match prove_file(&store.paths().blob(&blob.digest), blob) {
        Ok(proof) => Ok(proof.is_some()),
        Err(error) if error.kind() == Kind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// The lock of a blob's ingest, taken by who brings nothing: it leaves no trace.
pub(crate) struct IngestLock {
    path: PathBuf,
    _lock: FileLock,
}

impl IngestLock {
    /// Takes it; `None` while somebody brings the blob.
    pub(crate) fn try_take(store: &Store, digest: &Digest) -> Result<Option<Self>> {
        let path = store.paths().ingest(digest);
        Ok(wait::try_lock(&path)?.map(|lock| Self { path, _lock: lock }))
    }
}

impl Drop for IngestLock {
    fn drop(&mut self) {
        // Bytes of a cut transfer stay for the next one.
        if self.path.metadata().is_ok_and(|metadata| metadata.len() == 0) {
            let _ = durable::remove_file(&self.path);
        }
    }
}

/// Removes what an ingest keeps; its lock is held.
fn clear(store: &Store, blob: &Descriptor) -> Result<()> {
    durable::remove_file(&store.paths().ingest_map(&blob.digest))?;
    durable::remove_file(&store.paths().ingest(&blob.digest))?;
    Ok(())
}

impl StoreIngest {
    fn resume(lease: Arc<Lease>, blob: Descriptor, path: PathBuf, lock: FileLock) -> Result<Self> {
        let map = lease.store().paths().ingest_map(&blob.digest);
        let metadata =
            lock.file().metadata().map_err(|error| Error::io(format_args!("cannot read {path:?}"), error))?;
        let (record, parts, origin) = PartsFile::open(&map, blob.size, metadata.len())?;
        if metadata.len() > blob.size || (metadata.len() > 0 && parts == Parts::default()) {
            durable::set_length(lock.file(), &path, 0)?;
        }
        let progress = Arc::new(Progress::new(blob.size, record, parts, origin));
        let is_grown = lease.growing().is_some_and(|growing| growing.inflates(&blob.digest));
        let inflate = lease.proves() && blob.media_type.is_layer() && !is_grown;
        let passing = lease.passing(&blob).filter(|_| inflate);
        let task = Task { progress, path, blob, inflate, passing };
        let this = Self { lease, task, file: Arc::new(lock), followers: Mutex::new(None) };
        this.follow()?;
        Ok(this)
    }

    /// Starts the threads once there are bytes for them.
    fn follow(&self) -> Result<()> {
        if self.task.blob.size <= INLINE_BYTES_MAX || self.task.progress.frontier() == 0 {
            return Ok(());
        }
        let mut followers = self.followers.lock().unwrap_or_else(PoisonError::into_inner);
        if followers.is_none() {
            *followers = Some(Followers::start(&self.task)?);
            if let Some(growing) = self.lease.growing() {
                growing.coming(&self.task.blob.digest, self.task.tail()?);
            }
        }
        Ok(())
    }

    /// Whether hashing the bytes of a local file is all that proves the blob, and the kernel has no shorter way to copy them.
    fn passes(&self, local: &LocalBlob) -> bool {
        let Task { blob, inflate, passing, .. } = &self.task;
        let is_hashed_only = !inflate || (blob.digest.algorithm() == Algorithm::Sha256 && copier::is_plain(local));
        blob.size > INLINE_BYTES_MAX
            && passing.as_ref().is_none_or(|passing| passing.form == Form::Outline)
            && self.lease.growing().is_none()
            && is_hashed_only
            && copier::is_elsewhere(local, self.file.file())
    }

    /// Copies a local file, and hashes its bytes as they pass.
    async fn pass(&self, local: &LocalBlob) -> Result<()> {
        let (mut copier, verified) = Copier::start(&self.task.blob)?;
        let mut copied = 0;
        while copied < local.length {
            let range = copied..copied + (local.length - copied).min(COPY_BYTES);
            copied = range.end;
            let (task, file, source) = (self.task.clone(), self.file.clone(), local.clone());
            copier = wait::on_thread("copy", move || {
                let write = || copier.copy(&source, range.clone(), file.file(), &task.path);
                task.progress.write(range.clone(), write)?;
                Ok(copier)
            })
            .await?;
        }
        let mut followers = self.followers.lock().unwrap_or_else(PoisonError::into_inner);
        *followers = Some(Followers::passed(verified, &self.task));
        Ok(())
    }

    /// Copies a local file in the kernel; the threads that prove it read behind.
    async fn copy(&self, local: &LocalBlob) -> Result<()> {
        let (task, local) = (self.task.clone(), local.clone());
        // A handle of its own has a position of its own.
        let mut target = durable::open_or_create(&task.path)?;
        let mut copied = 0;
        while copied < local.length {
            let length = (local.length - copied).min(COPY_BYTES);
            let (source, path, progress) = (local.clone(), task.path.clone(), task.progress.clone());
            target = wait::on_thread("copy", move || {
                let part = durable::FileRange { offset: source.offset + copied, length, ..source.bytes() };
                progress.write(copied..copied + length, || {
                    durable::copy_range(part, &mut target, &format_args!("{path:?}"))
                })?;
                Ok(target)
            })
            .await?;
            copied += length;
            self.follow()?;
        }
        Ok(())
    }

    async fn prove(&self) -> Result<Proven> {
        let followers = self.followers.lock().unwrap_or_else(PoisonError::into_inner).take();
        match followers {
            Some(followers) => followers.finish().await,
            None => self.task.run(),
        }
    }

    fn forget(&self) -> Result<()> {
        self.task.progress.stop();
        clear(self.lease.store(), &self.task.blob)
    }

    /// Makes the blob visible: first the name, then the row that vouches for it. Killed in between, the file is proven
    /// again by whoever wants it next.
    fn publish(&self, proven: Proven) -> Result<()> {
        let (store, digest) = (self.lease.store(), proven.verified.digest());
        durable::rename(&self.task.path, &store.paths().blob(digest))?;
        self.task.progress.prove();
        store.vouch(&proven.verified)?;
        if let Some(uncompressed) = proven.uncompressed {
            self.lease.note(digest, uncompressed);
        }
        if let Some(unnamed) = proven.unnamed {
            self.lease.keep_unnamed(unnamed);
        }
        if let Some(growing) = self.lease.growing() {
            growing.here(digest);
        }
        durable::remove_file(&store.paths().ingest_map(digest))?;
        Ok(())
    }
}

impl Ingest for StoreIngest {
    fn missing(&self) -> Vec<Range<u64>> {
        self.task.progress.missing()
    }

    fn takes_any_order(&self) -> bool {
        true
    }

    async fn write(&self, offset: u64, bytes: Bytes) -> Result<()> {
        let mut start = offset;
        for piece in bytes.chunks(NOTED_BYTES) {
            let end = start.saturating_add(piece.len() as u64);
            self.task
                .progress
                .write(start..end, || durable::write_at(self.file.file(), &self.task.path, piece, start))?;
            start = end;
        }
        self.follow()
    }

    async fn write_local(&self, local: &LocalBlob) -> Result<bool> {
        if local.length != self.task.blob.size {
            let message =
                format!("{:?} has {} bytes, {} were announced", local.path, local.length, self.task.blob.size);
            return Err(Error::new(Kind::Corrupt, message));
        }
        let whole: u64 = self.missing().iter().map(|range| range.end - range.start).sum();
        if whole != local.length {
            return Ok(false);
        }
        match self.passes(local) {
            true => self.pass(local).await?,
            false => self.copy(local).await?,
        }
        Ok(true)
    }

    fn origin(&self) -> Option<Origin> {
        self.task.progress.origin()
    }

    fn note_origin(&self, origin: Option<&Origin>) -> Result<()> {
        self.task.progress.note_origin(origin)
    }

    fn discard(self) -> Result<()> {
        self.forget()
    }

    async fn commit(self) -> Result<()> {
        let missing = self.missing();
        if let Some(first) = missing.first() {
            let message = format!("bytes {} to {} are missing", first.start, first.end);
            return Err(Error::new(Kind::Internal, message));
        }
        match self.prove().await {
            Ok(proven) => self.publish(proven),
            Err(error) => {
                if error.kind() == Kind::Corrupt {
                    self.forget()?;
                }
                Err(error)
            }
        }
    }
}

impl Drop for StoreIngest {
    fn drop(&mut self) {
        self.task.progress.stop();
    }
}
