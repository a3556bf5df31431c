//! Reading content and what it says.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use dhow_base::fs as durable;
use dhow_base::{Error, Kind, Result, limits};
use dhow_content::{ByteStream, LocalBlob, VerifiedDocument, Verifier, verify_document};
use dhow_spec::media_type::Compression;
use dhow_spec::platform::Matcher;
use dhow_spec::{Descriptor, Digest, Document, ImageConfig, MediaType, Platform};
use futures::stream;

use crate::find;
use crate::plan::{Plan, Presence};
use crate::store::{Store, from_row};

/// Blobs are streamed in pieces of this many bytes.
const CHUNK_BYTES: usize = 256 << 10;

/// One layer of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// Digest of the uncompressed bytes.
    pub diff_id: Digest,
    /// What identifies this layer on top of those below.
    pub chain_id: Digest,
    /// The layer as the image's newest manifest names it.
    pub blob: Descriptor,
    /// Length of the uncompressed bytes, if known; see [`Store::measure`].
    pub size: Option<u64>,
}

impl Store {
    /// A directory for large temporary files, on the store's file system. What is left there after a day is collected.
    ///
    /// # Errors
    /// Those of making it.
    pub fn spool_dir(&self) -> Result<PathBuf> {
        let path = self.paths().ingests();
        durable::create_dir_all(&path)?;
        Ok(path)
    }

    /// A manifest or index by its digest, proven again while it is read.
    ///
    /// # Errors
    /// [`Kind::NotFound`] when it is not here, [`Kind::Corrupt`] when it is damaged or no document.
    pub fn document(&self, digest: &Digest) -> Result<VerifiedDocument> {
        let Some(size) = self.blob_size(digest)? else {
            return Err(not_found(digest));
        };
        self.check_document_size(digest, size)?;
        let bytes = match durable::read_limited(&self.paths().blob(digest), limits::MANIFEST_BYTES_MAX) {
            Err(error) if error.kind() == Kind::NotFound => return Err(not_found(digest)),
            other => other?,
        };
        let mut verifier = Verifier::new(&Descriptor::new(MediaType::Other(String::new()), digest.clone(), size));
        verifier.update(&bytes).and_then(|()| verifier.finish()).map_err(|error| damaged("manifest", digest, error))?;
        let media_type = Document::parse(bytes.clone(), None)
            .map_err(|error| Error::from(error).context(format_args!("manifest {digest}")))?
            .media_type()
            .clone();
        verify_document(bytes, &Descriptor::new(media_type, digest.clone(), size))
    }

    /// A manifest or index by its descriptor; `None` when it is not here.
    pub(crate) fn document_by(&self, descriptor: &Descriptor) -> Result<Option<VerifiedDocument>> {
        if !self.holds_blob(descriptor)? {
            return Ok(None);
        }
        self.check_document_size(&descriptor.digest, descriptor.size)?;
        let path = self.paths().blob(&descriptor.digest);
        match durable::read_limited(&path, limits::MANIFEST_BYTES_MAX) {
            Ok(bytes) => {
                let verified = verify_document(bytes, descriptor);
                verified.map(Some).map_err(|error| damaged("manifest", &descriptor.digest, error))
            }
            // Another process has collected it since the row was read.
            Err(error) if error.kind() == Kind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn check_document_size(&self, digest: &Digest, size: u64) -> Result<()> {
        if size <= limits::MANIFEST_BYTES_MAX {
            return Ok(());
        }
        let message = format!("manifest {digest} has {size} bytes, at most {} are read", limits::MANIFEST_BYTES_MAX);
        Err(Error::new(Kind::LimitExceeded, message))
    }

    /// Every document below `root` (with it) that is here, children before parents.
    ///
    /// # Errors
    /// [`Kind::NotFound`] when `root` is not here, or a blob that it needs.
    pub fn documents_below(&self, root: &Descriptor) -> Result<Vec<VerifiedDocument>> {
        let plan = Plan::read(self, None, root)?;
        if plan.documents.is_empty() {
            plan.require_usable(self)?;
        }
        Ok(plan.documents)
    }

    /// Whether a manifest or index and everything below it is here.
    ///
    /// # Errors
    /// Those of the database and of reading documents.
    pub fn is_complete(&self, digest: &Digest) -> Result<bool> {
        match self.document(digest) {
            Ok(document) => Ok(Plan::read(self, None, document.descriptor())?.presence == Presence::Whole),
            Err(error) if error.kind() == Kind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether a named manifest or index is here as far as `platform` (the host's when there is none) needs it.
    ///
    /// # Errors
    /// Those of the database and of reading documents.
    pub fn is_complete_for(&self, digest: &Digest, platform: Option<&Platform>) -> Result<bool> {
        if self.read_rows(|connection| find::target_descriptor(connection, digest))?.is_none() {
            return Ok(false);
        }
        let document = self.document(digest)?;
        let matcher = platform.map_or_else(|| self.inner.shown.clone(), Matcher::ordered);
        let plan = Plan::read(self, None, document.descriptor())?;
        let wanted = match document.document().as_index() {
            Some(index) => {
                let ranked = index
                    .manifests
                    .iter()
                    .filter(|member| !member.is_attestation())
                    .filter_map(|member| Some((matcher.rank(member.platform.as_ref()?)?, &member.digest)));
                ranked.min_by_key(|(rank, _)| *rank).map(|(_, digest)| digest)
            }
            None if platform.is_some() => return Ok(self.manifest_for(digest, platform)?.is_some()),
            None => Some(digest),
        };
        let is_here = match wanted {
            Some(wanted) => plan.members.iter().any(|member| member.descriptor.digest == *wanted),
            None => plan.presence == Presence::Whole,
        };
        Ok(is_here && self.proves_configs(&plan, |digest| wanted.is_none_or(|wanted| digest == wanted))?)
    }

    /// As [`Store::is_complete`], with the configs proven.
    ///
    /// # Errors
    /// As there.
    pub fn is_intact(&self, digest: &Digest) -> Result<bool> {
        let document = match self.document(digest) {
            Err(error) if error.kind() == Kind::NotFound => return Ok(false),
            document => document?,
        };
        let plan = Plan::read(self, None, document.descriptor())?;
        Ok(plan.presence == Presence::Whole && self.proves_configs(&plan, |_| true)?)
    }

    /// Whether the configs of some manifests are what they shall be: without its config nothing can be done with an image, and proving one
    /// costs nothing.
    fn proves_configs(&self, plan: &Plan, is_asked: impl Fn(&Digest) -> bool) -> Result<bool> {
        for member in
            plan.members.iter().filter(|member| is_asked(&member.descriptor.digest) && member.manifest.is_image())
        {
            match self.read_small(&member.manifest.config, limits::CONFIG_BYTES_MAX) {
                Err(error) if matches!(error.kind(), Kind::Corrupt | Kind::NotFound) => return Ok(false),
                read => drop(read?),
            }
        }
        Ok(true)
    }

    /// The config of an image. An artifact has none; its is empty.
    ///
    /// # Errors
    /// [`Kind::NotFound`] when the image is not here, [`Kind::Corrupt`] when its config is damaged.
    pub fn config(&self, image_id: &Digest) -> Result<ImageConfig> {
        let manifest = self.newest_manifest(image_id)?;
        let Some(manifest) = manifest.document().as_manifest() else {
            return Err(Error::new(Kind::Corrupt, format!("image {image_id} has no manifest")));
        };
        if !manifest.is_image() {
            return Ok(ImageConfig::default());
        }
        self.read_config(&manifest.config)
    }

    pub(crate) fn read_config(&self, descriptor: &Descriptor) -> Result<ImageConfig> {
        let bytes = self.read_small(descriptor, limits::CONFIG_BYTES_MAX).map_err(|error| match error.kind() {
            // That the image is here was known before.
            Kind::NotFound => {
                let message = format!("image config {} is missing in the store", descriptor.digest);
                Error::new(Kind::Corrupt, message).with_hint(MEND)
            }
            _ => error,
        })?;
        ImageConfig::parse(&bytes)
            .map_err(|error| Error::from(error).context(format_args!("image config {}", descriptor.digest)))
    }

    /// The manifest by which an image came here last.
    pub(crate) fn newest_manifest(&self, image_id: &Digest) -> Result<VerifiedDocument> {
        let mut missing: Option<Digest> = None;
        loop {
            let descriptor = self.read_rows(|connection| find::newest_manifest(connection, image_id))?;
            let Some(descriptor) = descriptor else { return Err(find::no_such_image(image_id.as_str())) };
            if let Some(document) = self.document_by(&descriptor)? {
                return Ok(document);
            }
            // Unless the row is still there on a second look, the image was removed in between.
            if missing.as_ref() == Some(&descriptor.digest) {
                let message = format!("manifest {} of image {image_id} is missing in the store", descriptor.digest);
                return Err(Error::new(Kind::Corrupt, message).with_hint(MEND));
            }
            missing = Some(descriptor.digest);
        }
    }

    /// Diff ID and chain ID of each layer of an image, lowest first; none when it is not here.
    pub(crate) fn layer_ids(&self, image_id: &Digest) -> Result<Vec<(Digest, Digest)>> {
        self.read_rows(|connection| {
            let sql = "SELECT diff_id, chain_id FROM image_layer \
                       WHERE image = (SELECT number FROM image WHERE id = ?1) ORDER BY position";
            let mut select = connection.prepare_cached(sql)?;
            let mut rows = select.query([image_id.as_str()])?;
            let mut ids = Vec::new();
            while let Some(row) = rows.next()? {
                ids.push((find::digest_at(row, 0)?, find::digest_at(row, 1)?));
            }
            Ok(ids)
        })
    }

    /// The layers of an image, lowest first.
    ///
    /// # Errors
    /// [`Kind::NotFound`] when the image is not here.
    pub fn layers(&self, image_id: &Digest) -> Result<Vec<Layer>> {
        let document = self.newest_manifest(image_id)?;
        let blobs = document.document().as_manifest().map(|manifest| manifest.layers.clone()).unwrap_or_default();
        let rows = self.read_rows(|connection| {
            let sql = "SELECT diff_id, chain_id, size FROM image_layer \
                       WHERE image = (SELECT number FROM image WHERE id = ?1) ORDER BY position";
            let mut select = connection.prepare_cached(sql)?;
            let mut rows = select.query([image_id.as_str()])?;
            let mut layers = Vec::new();
            while let Some(row) = rows.next()? {
                let size: Option<i64> = row.get(2)?;
                layers.push((find::digest_at(row, 0)?, find::digest_at(row, 1)?, size.map(from_row)));
            }
            Ok(layers)
        })?;
        let layer = |((diff_id, chain_id, size), blob)| Layer { diff_id, chain_id, blob, size };
        Ok(rows.into_iter().zip(blobs).map(layer).collect())
    }

    /// A layer as one of the images here has it with gzip, found by its chain ID.
    ///
    /// # Errors
    /// Those of the database.
    pub fn gzipped(&self, chain_id: &Digest) -> Result<Option<Descriptor>> {
        // The newest few: where hundreds of images share a layer, those that came alike have it in one form.
        let manifests = self.read_rows(|connection| {
            let sql = "SELECT manifest.digest, image_layer.position FROM image_layer JOIN manifest USING (image) \
                       WHERE chain_id = ?1 ORDER BY manifest.added DESC LIMIT 32";
            let mut select = connection.prepare_cached(sql)?;
            let mut rows = select.query([chain_id.as_str()])?;
            let mut manifests = Vec::new();
            while let Some(row) = rows.next()? {
                manifests.push((find::digest_at(row, 0)?, row.get::<_, u32>(1)? as usize));
            }
            Ok(manifests)
        })?;
        for (manifest, position) in manifests {
            let Ok(document) = self.document(&manifest) else { continue };
            let layer = document.document().as_manifest().and_then(|manifest| manifest.layers.get(position));
            if let Some(layer) = layer.filter(|layer| layer.media_type.compression() == Some(Compression::Gzip)) {
                return Ok(Some(layer.clone()));
            }
        }
        Ok(None)
    }

    /// Reads a small blob whole and proves it.
    pub(crate) fn read_small(&self, descriptor: &Descriptor, bytes_max: u64) -> Result<Vec<u8>> {
        let path = self.paths().blob(&descriptor.digest);
        let bytes = match durable::read_limited(&path, bytes_max) {
            Err(error) if error.kind() == Kind::NotFound => return Err(not_found(&descriptor.digest)),
            other => other?,
        };
        let mut verifier = Verifier::new(descriptor);
        let verified = verifier.update(&bytes).and_then(|()| verifier.finish());
        verified.map_err(|error| damaged("blob", &descriptor.digest, error))?;
        Ok(bytes)
    }

    pub(crate) fn local_blob(&self, descriptor: &Descriptor) -> Option<LocalBlob> {
        if !self.holds_blob(descriptor).ok()? {
            return None;
        }
        let path = self.paths().blob(&descriptor.digest);
        let file = Arc::new(File::open(&path).ok()?);
        Some(LocalBlob { file, path, offset: 0, length: descriptor.size })
    }

    pub(crate) fn stream(&self, descriptor: &Descriptor, range: Range<u64>) -> Result<ByteStream> {
        let Some(size) = self.blob_size(&descriptor.digest)? else { return Err(not_found(&descriptor.digest)) };
        let path = self.paths().blob(&descriptor.digest);
        let file = match durable::open(&path) {
            Err(error) if error.kind() == Kind::NotFound => return Err(not_found(&descriptor.digest)),
            other => other?,
        };
        let range = range.start.min(size)..range.end.min(size);
        let step = move |(file, path, range): (File, PathBuf, Range<u64>)| async move {
            if range.is_empty() {
                return Ok(None);
            }
            let bytes = read_piece(&file, &path, &range)?;
            let next = range.start + bytes.len() as u64..range.end;
            Ok(Some((bytes, (file, path, next))))
        };
        Ok(Box::pin(stream::try_unfold((file, path, range), step)))
    }
}

fn read_piece(file: &File, path: &std::path::Path, range: &Range<u64>) -> Result<Bytes> {
    let wanted = usize::try_from(range.end - range.start).unwrap_or(usize::MAX).min(CHUNK_BYTES);
    let mut buffer = vec![0; wanted];
    let read = file
        .read_at(&mut buffer, range.start)
        .map_err(|error| Error::io(format_args!("cannot read {path:?}"), error))?;
    if read == 0 {
        return Err(Error::new(Kind::Corrupt, format!("{path:?} ends at byte {}", range.start)));
    }
    buffer.truncate(read);
    Ok(buffer.into())
}

fn not_found(digest: &Digest) -> Error {
    Error::new(Kind::NotFound, format!("blob {digest} is not in the store")).with_hint(MEND)
}

/// Content that was proven when it came has changed since.
fn damaged(what: &str, digest: &Digest, error: Error) -> Error {
    if error.kind() != Kind::Corrupt {
        return error;
    }
    error.context(format_args!("{what} {digest} is damaged in the store")).with_hint(MEND)
}

/// The way out when content is missing or damaged.
pub const MEND: &str = "pull or load the image again, or have `dhow system check --repair --pull` mend the store";
