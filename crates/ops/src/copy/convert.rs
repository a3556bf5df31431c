//! What changes digests, and so is only done when the user asks for it: layers in another compression, manifests in the
//! other family of media types.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use dhow_base::progress::{Event, Observer, Silent};
use dhow_base::{Error, Kind, Result};
use dhow_content::{LocalBlob, Source, VerifiedDocument, about, verify_document};
use dhow_layer::{Compression, Decoder, Limits, decode_error, encode};
use dhow_spec::layout::ANNOTATION_REFERENCE_DIGEST;
use dhow_spec::media_type::Compression as Stated;
use dhow_spec::{Descriptor, Digest, Document, ImageIndex, ImageManifest, MediaType};

use crate::context::Context;
use crate::made::{Hashing, Proving, at_hand, handle};

/// A family of media types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// OCI's.
    Oci,
    /// Docker's, version 2, schema 2.
    Docker,
}

/// How layers are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recompression {
    /// gzip, which everything reads.
    Gzip,
    /// zstd, which is smaller and faster to read.
    Zstd,
    /// Not at all.
    Plain,
}

/// What is to change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Manifests become this family's.
    pub format: Option<Family>,
    /// Layers that are compressed in another way, or not at all, become this.
    pub recompress: Option<Recompression>,
    /// Layers that are compressed already stay as they are in spite of that.
    pub keep_compressed: bool,
}

impl Changes {
    /// Whether everything stays as it is.
    pub(crate) fn is_none(self) -> bool {
        self.format.is_none() && self.recompress.is_none()
    }
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Converted {
    /// All documents, children before parents; the last is the root.
    pub(crate) documents: Vec<VerifiedDocument>,
    /// Layers that were made.
    pub(crate) blobs: HashMap<Digest, LocalBlob>,
}

/// Makes the changes to `documents`, which come children before parents.
///
/// # Errors
/// [`Kind::Unsupported`] for what the other family has no words for; those of reading layers and of temporary files.
pub(crate) async fn convert<S: Source>(
    context: &Context,
    source: &S,
    documents: &[VerifiedDocument],
    changes: Changes,
) -> Result<Converted> {
    let mut converter = Converter { context, source, changes, new: HashMap::new(), blobs: HashMap::new() };
    let mut converted = Vec::with_capacity(documents.len());
    for document in documents {
        let new = match (document.document().as_manifest(), document.document().as_index()) {
            (Some(manifest), _) => Document::from_manifest(converter.manifest(manifest).await?)?,
            (None, Some(index)) => Document::from_index(converter.index(index))?,
            (None, None) => continue,
        };
        let is_same = same(document, &new);
        let new = if is_same { document.clone() } else { verify_document(new.bytes().to_vec(), &new.descriptor())? };
        converter.new.insert(document.descriptor().digest.clone(), new.descriptor().clone());
        converted.push(new);
    }
    Ok(Converted { documents: converted, blobs: converter.blobs })
}

/// Whether a document says the same as before: then its bytes stay, however they were written.
fn same(old: &VerifiedDocument, new: &Document) -> bool {
    old.document().body() == new.body()
}

struct Converter<'a, S> {
    context: &'a Context,
    source: &'a S,
    changes: Changes,
    /// What became of each document and layer.
    new: HashMap<Digest, Descriptor>,
    blobs: HashMap<Digest, LocalBlob>,
}

impl<S: Source> Converter<'_, S> {
    async fn manifest(&mut self, manifest: &ImageManifest) -> Result<ImageManifest> {
        let mut new = manifest.clone();
        if let Some(wanted) = self.changes.recompress {
            for layer in &mut new.layers {
                *layer = self.layer(layer, wanted).await.map_err(|error| about(&layer.digest, error))?;
            }
        }
        let Some(family) = self.changes.format else { return Ok(new) };
        let is_attestation = manifest.layers.iter().any(|layer| layer.media_type.as_str().contains("in-toto"));
        if family == Family::Docker && !manifest.is_image() && !is_attestation {
            let message = "an artifact cannot become a docker image: --format v2s2 is for images";
            return Err(Error::new(Kind::Unsupported, message));
        }
        new.media_type = renamed(&new.media_type, family)?;
        new.config.media_type = config_type(manifest, family)?;
        for layer in &mut new.layers {
            layer.media_type = renamed(&layer.media_type, family)?;
        }
        if family == Family::Docker {
            // Docker's manifests have none of these.
            new.annotations.clear();
            new.artifact_type = None;
            new.subject = None;
            new.config.annotations.clear();
            new.layers.iter_mut().for_each(|layer| layer.annotations.clear());
        }
        Ok(new)
    }

    fn index(&self, index: &ImageIndex) -> ImageIndex {
        let mut new = index.clone();
        for member in &mut new.manifests {
            if let Some(found) = self.new.get(&member.digest) {
                let data = member.data.take().filter(|_| found.digest == member.digest);
                *member = Descriptor {
                    media_type: found.media_type.clone(),
                    digest: found.digest.clone(),
                    size: found.size,
                    data,
                    ..member.clone()
                };
            }
            // What BuildKit's attestation is about.
            if let Some(about) = member.annotations.get_mut(ANNOTATION_REFERENCE_DIGEST)
                && let Some(found) = Digest::parse(about).ok().and_then(|digest| self.new.get(&digest))
            {
                *about = found.digest.to_string();
            }
        }
        match self.changes.format {
            Some(Family::Docker) => {
                new.media_type = MediaType::DockerList;
                new.annotations.clear();
                new.artifact_type = None;
                new.subject = None;
            }
            Some(Family::Oci) => new.media_type = MediaType::OciIndex,
            None => {}
        }
        new
    }

    /// A layer in the wanted compression; itself when it has that already, or is no layer of files.
    async fn layer(&mut self, layer: &Descriptor, wanted: Recompression) -> Result<Descriptor> {
        let stated = wanted.stated();
        let keeps = |found| found == stated || (self.changes.keep_compressed && found != Stated::None);
        if layer.media_type.compression().is_none_or(keeps) || layer.media_type.is_foreign() {
            return Ok(layer.clone());
        }
        if let Some(known) = self.new.get(&layer.digest) {
            return Ok(known.clone());
        }
        let (made, blob) = recompressed(self.context, self.source, layer, wanted, &Silent).await?;
        self.blobs.insert(made.digest.clone(), blob);
        self.new.insert(layer.digest.clone(), made.clone());
        Ok(made)
    }
}

impl Recompression {
    fn stated(self) -> Stated {
        match self {
            Self::Gzip => Stated::Gzip,
            Self::Zstd => Stated::Zstd,
            Self::Plain => Stated::None,
        }
    }

    fn compression(self) -> Compression {
        match self {
            Self::Gzip => Compression::Gzip,
            Self::Zstd => Compression::Zstd,
            Self::Plain => Compression::None,
        }
    }
}

/// The same layer in another compression. The observer is told of the bytes on the way.
///
/// # Errors
/// Those of reading it and of temporary files.
pub(crate) async fn recompressed(
    context: &Context,
    source: &impl Source,
    layer: &Descriptor,
    wanted: Recompression,
    observer: &dyn Observer,
) -> Result<(Descriptor, LocalBlob)> {
    let directory = context.store()?.spool_dir()?;
    let blob = at_hand(source, layer, &directory).await?;
    let target = dhow_layout::nameless_file(&directory)?;
    let read = Arc::new(AtomicU64::new(0));
    let mut task = {
        let (target, layer, read) = (handle(&target)?, layer.clone(), Arc::downgrade(&read));
        tokio::task::spawn_blocking(move || recompress(&blob, &layer, target, wanted.compression(), read))
    };
    let (digest, length) = loop {
        match tokio::time::timeout(TOLD_EVERY, &mut task).await {
            Ok(done) => {
                break done.map_err(|error| Error::new(Kind::Internal, format!("recompressing failed: {error}")))??;
            }
            Err(_) => observer.event(Event::Compressing {
                digest: layer.digest.as_str(),
                done: read.load(Ordering::Relaxed),
                total: layer.size,
            }),
        }
    };
    let made = Descriptor { media_type: compressed(&layer.media_type, wanted.stated()), ..layer.clone() };
    let mut made = Descriptor { digest, size: length, data: None, ..made };
    made.annotations.retain(|name, _| !tells_of_bytes(name));
    Ok((made, LocalBlob { file: Arc::new(target), path: "a recompressed layer".into(), offset: 0, length }))
}

/// A layer as it is with gzip, where that is known.
pub(crate) fn gzipped(layer: &Descriptor, digest: Digest, size: u64) -> Descriptor {
    let media_type = compressed(&layer.media_type, Stated::Gzip);
    let mut gzipped = Descriptor { media_type, digest, size, data: None, ..layer.clone() };
    gzipped.annotations.retain(|name, _| !tells_of_bytes(name));
    gzipped
}

/// Whether an annotation of a layer is about its compressed bytes: where eStargz and zstd:chunked have their table of contents, and
/// its digest. Of other bytes it would be wrong, and who reads parts of a layer goes by it.
fn tells_of_bytes(annotation: &str) -> bool {
    const PREFIXES: [&str; 3] =
        ["containerd.io/snapshot/stargz/", "io.containers.estargz.", "io.github.containers.zstd-chunked."];
    PREFIXES.iter().any(|prefix| annotation.starts_with(prefix))
}

/// How often it is told how far the compression of a layer is.
const TOLD_EVERY: Duration = Duration::from_millis(100);

/// Writes a layer anew; returns the digest and length of what was written. What is read is proven on the way, since a local
/// blob was not yet. It ends early when nobody wants to know any more how much was `read`.
fn recompress(
    blob: &LocalBlob,
    layer: &Descriptor,
    target: File,
    to: Compression,
    read: Weak<AtomicU64>,
) -> Result<(Digest, u64)> {
    let failed = |error| decode_error(format_args!("cannot recompress layer {}", layer.digest), error);
    let counted = Counted { reader: Proving::new(blob, layer), read };
    let mut decoder = Decoder::new(counted, Limits::LAYER).map_err(failed)?;
    let mut hashing = Hashing::new(target);
    encode(&mut decoder, &mut hashing, to).map_err(failed)?;
    // The end of the compressed stream was seen, and with it the proof.
    hashing.finish()
}

/// A reader that counts what it reads, for as long as the counter is there.
struct Counted<R> {
    reader: R,
    read: Weak<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.read.upgrade().ok_or_else(|| io::Error::other("interrupted"))?;
        let count = self.reader.read(buffer)?;
        read.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

/// The media type of the same layer in another compression, of the same family.
fn compressed(media_type: &MediaType, to: Stated) -> MediaType {
    use MediaType::*;
    let is_docker = matches!(media_type, DockerLayer | DockerLayerGzip | DockerLayerZstd);
    match (is_docker, to) {
        (true, Stated::Gzip) => DockerLayerGzip,
        (true, Stated::Zstd) => DockerLayerZstd,
        (true, Stated::None) => DockerLayer,
        (false, Stated::Gzip) => OciLayerGzip,
        (false, Stated::Zstd) => OciLayerZstd,
        (false, Stated::None) => OciLayer,
    }
}

/// What a manifest's config is called in a family. That of an image has a name there, even if it had none that says what it is.
fn config_type(manifest: &ImageManifest, family: Family) -> Result<MediaType> {
    match family {
        Family::Oci if manifest.is_image() => Ok(MediaType::OciConfig),
        Family::Docker if manifest.is_image() => Ok(MediaType::DockerConfig),
        _ => renamed(&manifest.config.media_type, family),
    }
}

/// The other family's word for a media type; the same for what both share.
///
/// # Errors
/// [`Kind::Unsupported`] for what that family has no word for.
pub(crate) fn renamed(media_type: &MediaType, family: Family) -> Result<MediaType> {
    use MediaType::*;
    let pairs = [
        (OciIndex, DockerList),
        (OciManifest, DockerManifest),
        (OciConfig, DockerConfig),
        (OciLayer, DockerLayer),
        (OciLayerGzip, DockerLayerGzip),
        (OciForeignLayer, DockerForeignLayer),
        (OciForeignLayerGzip, DockerForeignLayerGzip),
    ];
    match (family, media_type) {
        (Family::Docker, OciLayerZstd | OciForeignLayerZstd | DockerLayerZstd) => {
            let message = "docker's manifests (v2s2) have no layers compressed with zstd";
            Err(Error::new(Kind::Unsupported, message).with_hint("add --recompress gzip"))
        }
        (Family::Oci, DockerLayerZstd) => Ok(OciLayerZstd),
        _ => {
            let other = pairs.iter().find_map(|(oci, docker)| match family {
                Family::Docker if oci == media_type => Some(docker),
                Family::Oci if docker == media_type => Some(oci),
                _ => None,
            });
            Ok(other.unwrap_or(media_type).clone())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_config_of_an_image_is_one_in_both_families() {
        let called = |manifest_type: MediaType, config_type: &str, family| {
            let config = Descriptor::new(config_type.into(), Digest::sha256(b""), 0);
            let manifest = ImageManifest { media_type: manifest_type, ..ImageManifest::new(config, Vec::new()) };
            super::config_type(&manifest, family).expect("a type")
        };
        for config in ["", "application/octet-stream", MediaType::DockerConfig.as_str()] {
            assert_eq!(called(MediaType::DockerManifest, config, Family::Oci), MediaType::OciConfig);
            assert_eq!(called(MediaType::DockerManifest, config, Family::Docker), MediaType::DockerConfig);
        }
        let artifact = "application/json";
        assert_eq!(called(MediaType::OciManifest, artifact, Family::Oci).as_str(), artifact);
    }

    #[test]
    fn what_is_said_of_other_bytes_goes() {
        let mut layer = Descriptor::new(MediaType::OciLayer, Digest::sha256(b""), 0);
        for name in [
            "containerd.io/snapshot/stargz/toc.digest",
            "io.containers.estargz.uncompressed-size",
            "io.github.containers.zstd-chunked.manifest-position",
            "org.opencontainers.image.title",
        ] {
            layer.annotations.insert(name.to_owned(), "x".to_owned());
        }
        let made = gzipped(&layer, Digest::sha256(b"x"), 1);
        assert_eq!(made.annotations.keys().collect::<Vec<_>>(), ["org.opencontainers.image.title"]);
    }

    #[test]
    fn there_and_back() {
        for media_type in [MediaType::OciIndex, MediaType::OciManifest, MediaType::OciConfig, MediaType::OciLayerGzip] {
            let docker = renamed(&media_type, Family::Docker).expect("docker has it");
            assert_ne!(docker, media_type);
            assert_eq!(renamed(&docker, Family::Docker).expect("it stays"), docker);
            assert_eq!(renamed(&docker, Family::Oci).expect("OCI has it"), media_type);
        }
        let error = renamed(&MediaType::OciLayerZstd, Family::Docker).expect_err("no zstd");
        assert_eq!((error.kind(), error.hint()), (Kind::Unsupported, Some("add --recompress gzip")));
        let other = MediaType::Other("application/x".to_owned());
        assert_eq!(renamed(&other, Family::Docker).expect("it stays"), other);
    }
}
