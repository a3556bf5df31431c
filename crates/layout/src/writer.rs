//! Writing one tar that is an OCI image layout and a docker archive at once.
//!
//! Blobs come first, under `blobs/<algorithm>/<hex>`, each once however many images share it; `index.json`,
//! `manifest.json` and `oci-layout` come last, so that an archive which was cut off names nothing. Every reader takes
//! this order: docker, containerd, podman and skopeo read or unpack the whole tar before they look anything up.

mod ingest;
mod metadata;
mod output;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dhow_base::progress::Observer;
use dhow_base::{Error, Kind, Result};
use dhow_content::{Begin, Sink, VerifiedDocument};
use dhow_spec::layout::{BLOBS_DIRECTORY, INDEX_FILE, OCI_LAYOUT_CONTENT, OCI_LAYOUT_FILE, blob_path};
use dhow_spec::{Algorithm, Descriptor, Digest, ImageManifest};

use crate::image::SavedImage;
use crate::tar_header::{MemberType, header, padding};

pub use ingest::ArchiveIngest;
pub use output::Output;

/// Writes an archive as the sink of [`copy`](dhow_content::copy()): copy each image into it, then [`ArchiveWriter::finish`].
///
/// The same images in the same order always give the same bytes.
#[derive(Debug)]
pub struct ArchiveWriter {
    state: Arc<Mutex<State>>,
    full_names: bool,
}

/// What was written so far.
#[derive(Debug)]
struct State {
    output: Output,
    directories: HashSet<Algorithm>,
    written: HashSet<Digest>,
    manifests: HashMap<Digest, ImageManifest>,
    /// Where the member that is being written began, as a position in the output.
    open_member: Option<u64>,
    /// Whether bytes that cannot be taken back stand in the output.
    broken: bool,
}

impl ArchiveWriter {
    /// Begins an archive at the current position of the output.
    pub fn new(output: Output) -> Self {
        let state = State {
            output,
            directories: HashSet::new(),
            written: HashSet::new(),
            manifests: HashMap::new(),
            open_member: None,
            broken: false,
        };
        Self { state: Arc::new(Mutex::new(state)), full_names: false }
    }

    /// Writes names into `manifest.json` with their registry, as podman does; docker leaves out its own.
    #[must_use]
    pub fn with_full_names(self, full_names: bool) -> Self {
        Self { full_names, ..self }
    }

    /// Lists the images and ends the archive. Returns the output, flushed to the operating system but not synced.
    ///
    /// # Errors
    /// [`Kind::Internal`] when an image was not copied into the archive before, and those of the output.
    pub fn finish(self, images: &[SavedImage]) -> Result<Output> {
        let mut state = self.lock();
        state.check()?;
        if let Some(missing) = images.iter().find(|image| !state.written.contains(&image.root.digest)) {
            let message = format!("image {} was not copied into the archive", missing.root.digest);
            return Err(Error::new(Kind::Internal, message));
        }
        let index = metadata::index(images)?;
        let docker = metadata::docker_manifest(images, &state.manifests, self.full_names)?;
        state.file(INDEX_FILE, &index)?;
        state.file("manifest.json", &docker)?;
        if let Some(repositories) = metadata::repositories(images, &state.manifests, self.full_names)? {
            state.file("repositories", &repositories)?;
        }
        state.file(OCI_LAYOUT_FILE, OCI_LAYOUT_CONTENT.as_bytes())?;
        // The end of a tar: two blocks of zeros.
        state.output.write_all(&[0; 1024])?;
        state.output.flush()?;
        // Nobody writes any more: an ingest that is still held finds the output gone.
        Ok(std::mem::replace(&mut state.output, Output::Gone))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    fn check(&self) -> Result<()> {
        if self.broken {
            let message = "the archive is incomplete: an earlier blob failed and cannot be taken back";
            return Err(Error::new(Kind::Io, message));
        }
        if self.open_member.is_some() {
            return Err(Error::new(Kind::Internal, "an archive takes one blob at a time"));
        }
        Ok(())
    }

    /// Writes a whole member.
    fn file(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        let mut member = header(name, MemberType::File(bytes.len() as u64))?;
        member.extend_from_slice(bytes);
        member.extend_from_slice(padding(bytes.len() as u64));
        self.output.write_all(&member)
    }

    /// Writes the directories that a blob lies in, before the first one that does.
    fn directories_for(&mut self, digest: &Digest) -> Result<()> {
        if self.directories.is_empty() {
            let header = header(&format!("{BLOBS_DIRECTORY}/"), MemberType::Directory)?;
            self.output.write_all(&header)?;
        }
        if self.directories.insert(digest.algorithm()) {
            let name = format!("{BLOBS_DIRECTORY}/{}/", digest.algorithm());
            self.output.write_all(&header(&name, MemberType::Directory)?)?;
        }
        Ok(())
    }

    /// Writes the header of a blob, whose bytes follow.
    fn begin(&mut self, blob: &Descriptor) -> Result<()> {
        self.check()?;
        self.directories_for(&blob.digest)?;
        self.open_member = Some(self.output.position());
        self.output.write_all(&header(&blob_path(&blob.digest), MemberType::File(blob.size))?)
    }

    /// Ends a blob whose digest is proven.
    fn end(&mut self, blob: &Descriptor) -> Result<()> {
        self.output.write_all(padding(blob.size))?;
        self.open_member = None;
        self.written.insert(blob.digest.clone());
        Ok(())
    }

    /// Takes back a blob that was not completed; where the output cannot, nothing may follow.
    fn roll_back(&mut self) {
        if let Some(position) = self.open_member.take() {
            self.broken |= !self.output.roll_back(position);
        }
    }
}

impl Sink for ArchiveWriter {
    type Ingest = ArchiveIngest;

    async fn holds(&self, document: &Descriptor) -> Result<bool> {
        Ok(self.lock().written.contains(&document.digest))
    }

    async fn ingest(&self, blob: &Descriptor, _: &dyn Observer) -> Result<Begin<ArchiveIngest>> {
        let mut state = self.lock();
        if state.written.contains(&blob.digest) {
            return Ok(Begin::Present);
        }
        state.begin(blob)?;
        Ok(Begin::Write(ArchiveIngest::new(Arc::clone(&self.state), blob)))
    }

    async fn put_document(&self, document: &VerifiedDocument) -> Result<()> {
        let descriptor = document.descriptor();
        let mut state = self.lock();
        if let Some(manifest) = document.document().as_manifest() {
            state.manifests.insert(descriptor.digest.clone(), manifest.clone());
        }
        if state.written.contains(&descriptor.digest) {
            return Ok(());
        }
        state.check()?;
        state.directories_for(&descriptor.digest)?;
        state.file(&blob_path(&descriptor.digest), document.bytes())?;
        state.written.insert(descriptor.digest.clone());
        Ok(())
    }

    fn blobs_at_once(&self) -> usize {
        1
    }
}
