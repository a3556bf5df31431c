//! An OCI image layout in a directory (OCI image-spec, image-layout.md).

mod draft;
mod ingest;

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dhow_base::fs::{Durability, FileLock, LockMode};
use dhow_base::progress::Observer;
use dhow_base::{Error, Kind, Result, fs, limits};
use dhow_content::{Begin, ByteStream, LocalBlob, Resolve, Sink, Source, TagSink, VerifiedDocument};
use dhow_spec::layout::{
    ANNOTATION_REF_NAME, BLOBS_DIRECTORY, INDEX_FILE, OCI_LAYOUT_CONTENT, OCI_LAYOUT_FILE, check_marker,
};
use dhow_spec::{Descriptor, Digest, Document, ImageIndex, Reference};

use crate::image::ArchiveImage;
use crate::local::{check_length, open_file, read_local};
use crate::names::{labelled, matches, named, reference_of, unnamed};
use crate::oci_index::{MARKER_BYTES_MAX, images_of, parse_index};

pub(crate) use draft::sweep;
pub use ingest::DirectoryIngest;
pub(crate) use ingest::Unflushed;

/// How long another writer of the same directory is waited for.
pub(crate) const LOCK_PATIENCE: Duration = Duration::from_secs(60);

/// An OCI image layout in a directory, to read from and to write to.
///
/// Blobs appear complete or not at all. Names are set by replacing `index.json` in one step, after everything written
/// before was flushed; writers of the same directory take turns.
#[derive(Clone, Debug)]
pub struct OciDirectory {
    root: PathBuf,
    /// Where the blobs are, by algorithm; several layouts can share one such folder.
    blobs: PathBuf,
    /// What is still to be flushed before it gets a name.
    unflushed: Unflushed,
}

impl OciDirectory {
    /// Opens a layout for reading and writing.
    ///
    /// # Errors
    /// [`Kind::Invalid`] when the directory is no image layout, [`Kind::NotFound`] when it is not there.
    pub fn open(root: &Path) -> Result<Self> {
        let marker = fs::read_limited(&root.join(OCI_LAYOUT_FILE), MARKER_BYTES_MAX).map_err(|error| {
            match (error.kind(), root.is_dir()) {
                (Kind::NotFound, true) => {
                    let message = format!("{root:?} is no OCI image layout: it has no file {OCI_LAYOUT_FILE:?}");
                    Error::new(Kind::Invalid, message)
                }
                _ => error,
            }
        })?;
        check_marker(&marker).map_err(|error| Error::from(error).context(format_args!("{root:?}")))?;
        let (root, blobs) = (root.to_owned(), root.join(BLOBS_DIRECTORY));
        Ok(Self { root, blobs, unflushed: Unflushed::default() })
    }

    /// The same layout with its blobs in another folder, `<folder>/<algorithm>/<hex>`.
    #[must_use]
    pub fn sharing(self, folder: &Path) -> Self {
        Self { blobs: folder.to_owned(), ..self }
    }

    /// Opens a layout, making an empty one where there is none, and ending what a run that was killed began.
    ///
    /// # Errors
    /// [`Kind::Invalid`] when the directory holds other things, and those of the file system.
    pub fn create(root: &Path) -> Result<Self> {
        let marker = root.join(OCI_LAYOUT_FILE);
        if !marker.exists() {
            let occupied = std::fs::read_dir(root).is_ok_and(|mut entries| entries.next().is_some());
            // Whoever comes at the same time makes the marker first.
            if occupied && !marker.exists() {
                let message = format!("{root:?} is not empty and no OCI image layout");
                return Err(Error::new(Kind::Invalid, message).with_hint("choose an empty or new directory"));
            }
            fs::create_dir_all_by_umask(root)?;
            // Not replaced by another file: the lock of whoever comes at the same time is on this one.
            fs::open_or_create_with(&marker, 0o644)?;
        }
        if marker.metadata().is_ok_and(|found| found.len() == 0) || !root.join(INDEX_FILE).exists() {
            complete(root)?;
        }
        Self::open(root)
    }

    /// The images that `index.json` lists.
    ///
    /// # Errors
    /// Those of reading and parsing it; [`Kind::Invalid`] when it lists none.
    pub fn images(&self) -> Result<Vec<ArchiveImage>> {
        images_of(&self.index()?)
    }

    /// Lists a document that is there without giving it a name; nothing happens when it is listed already.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn list(&self, document: &VerifiedDocument) -> Result<()> {
        let descriptor = document.descriptor();
        self.update(|entries| {
            if entries.iter().all(|entry| entry.digest != descriptor.digest) {
                entries.push(unnamed(descriptor));
            }
        })
    }

    /// Gives a document that is there the name `label`, whatever text that is, as skopeo does (`oci:<directory>:<label>`):
    /// in the annotation `org.opencontainers.image.ref.name` and nowhere else. What had the label until now stays listed without it.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn label(&self, label: &str, document: &VerifiedDocument) -> Result<()> {
        let descriptor = document.descriptor();
        self.update(|entries| {
            for entry in entries.iter_mut() {
                if entry.annotations.get(ANNOTATION_REF_NAME).is_some_and(|found| found == label) {
                    entry.annotations.remove(ANNOTATION_REF_NAME);
                }
            }
            let is_nameless = |entry: &Descriptor| {
                let found = entry.annotations.get(ANNOTATION_REF_NAME);
                found.is_none_or(String::is_empty) && reference_of(&entry.annotations).is_none()
            };
            let known = entries.iter_mut().find(|entry| entry.digest == descriptor.digest && is_nameless(entry));
            match known {
                Some(entry) => *entry = labelled(descriptor, label),
                None => entries.push(labelled(descriptor, label)),
            }
        })
    }

    /// The documents that `index.json` lists, each with its annotations.
    ///
    /// # Errors
    /// Those of reading and parsing it.
    pub fn entries(&self) -> Result<Vec<Descriptor>> {
        let document = self.index()?;
        Ok(document.as_index().map(|index| index.manifests.clone()).unwrap_or_default())
    }

    fn index(&self) -> Result<Document> {
        let path = self.root.join(INDEX_FILE);
        let bytes = fs::read_limited(&path, limits::MANIFEST_BYTES_MAX)?;
        parse_index(bytes).map_err(|error| error.context(format_args!("{:?}", self.root)))
    }

    /// Flushes what was written, then replaces `index.json`.
    fn update(&self, change: impl FnOnce(&mut Vec<Descriptor>)) -> Result<()> {
        // The marker file never changes, so it can carry the lock.
        let _lock = FileLock::acquire(&self.root.join(OCI_LAYOUT_FILE), LockMode::Exclusive, LOCK_PATIENCE)?;
        self.unflushed.flush()?;
        for algorithm in ["sha256", "sha512"] {
            sweep(&self.blobs.join(algorithm), false);
        }
        clear_unfinished(&self.root);
        let document = self.index()?;
        let Some(index) = document.as_index() else {
            return Err(Error::new(Kind::Corrupt, format!("{INDEX_FILE} in {:?} is no index", self.root)));
        };
        let mut index = index.clone();
        change(&mut index.manifests);
        let document = Document::from_index(index)?;
        fs::write_atomic(&self.root.join(INDEX_FILE), document.bytes(), 0o644, Durability::Durable)
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        self.blobs.join(digest.algorithm().as_str()).join(digest.hex())
    }

    /// The folder.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The blob as an open file; nothing when it is not there.
    pub(crate) fn find(&self, digest: &Digest) -> Result<Option<LocalBlob>> {
        open_file(self.path(digest))
    }
}

impl Source for OciDirectory {
    async fn read(&self, descriptor: &Descriptor, range: Range<u64>) -> Result<ByteStream> {
        match self.find(&descriptor.digest)? {
            Some(blob) => read_local(blob, descriptor, range),
            None => {
                let message = format!("blob {} not found in {:?}", descriptor.digest, self.root);
                Err(Error::new(Kind::NotFound, message))
            }
        }
    }

    fn local(&self, descriptor: &Descriptor) -> Option<LocalBlob> {
        self.find(&descriptor.digest).ok().flatten().filter(|blob| check_length(blob, descriptor).is_ok())
    }
}

impl Resolve for OciDirectory {
    async fn resolve(&self, reference: &Reference) -> Result<Descriptor> {
        let document = self.index()?;
        let entries = document.as_index().map(|index| index.manifests.as_slice()).unwrap_or_default();
        let wanted = reference.clone().with_default_tag();
        if let Some(digest) = wanted.digest() {
            let found = entries.iter().find(|entry| entry.digest == *digest);
            return found.map(unnamed).ok_or_else(|| no_such_image(&wanted));
        }
        let best =
            entries.iter().filter_map(|entry| Some((matches(entry, &wanted)?, entry))).min_by_key(|(how, _)| *how);
        best.map(|(_, entry)| unnamed(entry)).ok_or_else(|| no_such_image(&wanted))
    }
}

impl Sink for OciDirectory {
    type Ingest = DirectoryIngest;

    async fn holds(&self, document: &Descriptor) -> Result<bool> {
        self.unflushed.covers(document, |descriptor| self.find(&descriptor.digest))
    }

    async fn ingest(&self, blob: &Descriptor, _: &dyn Observer) -> Result<Begin<DirectoryIngest>> {
        match self.find(&blob.digest)? {
            Some(found) if found.length == blob.size => {
                self.unflushed.add(found.path);
                Ok(Begin::Present)
            }
            _ => Ok(Begin::Write(DirectoryIngest::new(self.path(&blob.digest), &self.unflushed, blob)?)),
        }
    }

    async fn put_document(&self, document: &VerifiedDocument) -> Result<()> {
        let path = self.path(&document.descriptor().digest);
        if let Some(parent) = path.parent() {
            fs::create_dir_all_by_umask(parent)?;
        }
        self.unflushed.put(path, document)
    }
}

impl TagSink for OciDirectory {
    async fn tag(&self, reference: &Reference, document: &VerifiedDocument) -> Result<()> {
        let name = reference.clone().with_default_tag();
        let descriptor = document.descriptor();
        self.update(|entries| {
            entries.retain(|entry| {
                let nameless = entry.digest == descriptor.digest && reference_of(&entry.annotations).is_none();
                matches(entry, &name).is_none() && !nameless
            });
            entries.push(named(descriptor, &name));
        })
    }
}

/// Makes what a new layout lacks.
fn complete(root: &Path) -> Result<()> {
    let (marker, index) = (root.join(OCI_LAYOUT_FILE), root.join(INDEX_FILE));
    let lock = FileLock::acquire(&marker, LockMode::Exclusive, LOCK_PATIENCE)?;
    fs::create_dir_all_by_umask(&root.join(BLOBS_DIRECTORY))?;
    if !index.exists() {
        let empty = Document::from_index(ImageIndex::new(Vec::new()))?;
        fs::write_atomic(&index, empty.bytes(), 0o644, Durability::Durable)?;
    }
    if marker.metadata().is_ok_and(|found| found.len() == 0) {
        fs::write_at(lock.file(), &marker, OCI_LAYOUT_CONTENT.as_bytes(), 0)?;
        fs::sync_data(lock.file(), &marker)?;
        fs::sync_dir(root)?;
    }
    Ok(())
}

/// Removes what was to become `index.json` and was left by a process that was killed. Nobody else writes it now.
fn clear_unfinished(root: &Path) {
    let Ok(entries) = std::fs::read_dir(root) else { return };
    let prefix = format!(".{INDEX_FILE}.");
    let is_unfinished = |name: &str| name.starts_with(&prefix) && name.ends_with(".tmp");
    for entry in entries.flatten().filter(|entry| entry.file_name().to_str().is_some_and(is_unfinished)) {
        let _ = fs::remove_file(&entry.path());
    }
}

fn no_such_image(reference: &Reference) -> Error {
    Error::new(Kind::NotFound, format!("No such image: {}", reference.familiar()))
}
