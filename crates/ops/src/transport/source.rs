//! Every place behind one type: a copy between any two of them would else be compiled once for each pair.

use std::collections::HashMap;
use std::ops::Range;

use bytes::Bytes;
use dhow_base::{Error, Kind, Result};
use dhow_content::{ByteStream, LocalBlob, Origin, Parts, Sink, Source, VerifiedDocument};
use dhow_layout::{Archive, OciDirectory, SkopeoDirectory};
use dhow_registry::Remote;
use dhow_spec::{Descriptor, Digest};
use dhow_store::Session;

/// A place that is read from.
#[derive(Debug)]
pub(crate) enum AnySource {
    Registry(Remote),
    Store(Session),
    Archive(Box<Archive>),
    Oci(OciDirectory),
    Skopeo(SkopeoDirectory),
}

impl AnySource {
    /// Whether a manifest or index and everything below it are there. A registry takes none in without that.
    pub(crate) async fn has(&self, document: &Descriptor) -> Result<bool> {
        match self {
            AnySource::Registry(_) => Ok(true),
            AnySource::Store(session) => session.store().is_complete(&document.digest),
            AnySource::Archive(archive) => archive.is_complete(document),
            AnySource::Oci(directory) => directory.holds(document).await,
            AnySource::Skopeo(directory) => directory.holds(document).await,
        }
    }
}

impl Source for AnySource {
    async fn read(&self, descriptor: &Descriptor, range: Range<u64>) -> Result<ByteStream> {
        match self {
            AnySource::Registry(remote) => remote.read(descriptor, range).await,
            AnySource::Store(session) => session.read(descriptor, range).await,
            AnySource::Archive(archive) => archive.read(descriptor, range).await,
            AnySource::Oci(directory) => directory.read(descriptor, range).await,
            AnySource::Skopeo(directory) => directory.read(descriptor, range).await,
        }
    }

    fn parts(&self, descriptor: &Descriptor) -> Parts {
        match self {
            AnySource::Registry(remote) => remote.parts(descriptor),
            _ => Parts::WHOLE,
        }
    }

    fn small_at_once(&self) -> usize {
        match self {
            AnySource::Registry(remote) => Source::small_at_once(remote),
            AnySource::Store(session) => Source::small_at_once(session),
            AnySource::Archive(archive) => archive.small_at_once(),
            AnySource::Oci(directory) => Source::small_at_once(directory),
            AnySource::Skopeo(directory) => Source::small_at_once(directory),
        }
    }

    fn distrust(&self, descriptor: &Descriptor) -> bool {
        match self {
            AnySource::Registry(remote) => remote.distrust(descriptor),
            // What lies here does not change by being read again.
            _ => false,
        }
    }

    fn origin(&self, descriptor: &Descriptor) -> Option<Origin> {
        match self {
            AnySource::Registry(remote) => remote.origin(descriptor),
            _ => None,
        }
    }

    fn recall(&self, descriptor: &Descriptor, origin: &Origin) {
        if let AnySource::Registry(remote) = self {
            remote.recall(descriptor, origin);
        }
    }

    fn has_changed(&self, descriptor: &Descriptor) -> bool {
        match self {
            AnySource::Registry(remote) => remote.has_changed(descriptor),
            _ => false,
        }
    }

    fn local(&self, descriptor: &Descriptor) -> Option<LocalBlob> {
        match self {
            AnySource::Registry(_) => None,
            AnySource::Store(session) => session.local(descriptor),
            AnySource::Archive(archive) => archive.local(descriptor),
            AnySource::Oci(directory) => directory.local(descriptor),
            AnySource::Skopeo(directory) => directory.local(descriptor),
        }
    }
}

/// Several sources as one. What is not said to be in another one is in the first.
#[derive(Debug, Default)]
pub(crate) struct Joined<'a> {
    sources: Vec<&'a AnySource>,
    elsewhere: HashMap<Digest, usize>,
}

impl<'a> Joined<'a> {
    /// One alone.
    pub(crate) fn of(source: &'a AnySource) -> Self {
        Self { sources: vec![source], elsewhere: HashMap::new() }
    }

    /// Adds another one, which is asked for these.
    pub(crate) fn add(&mut self, source: &'a AnySource, digests: impl IntoIterator<Item = Digest>) {
        let number = self.sources.len();
        self.sources.push(source);
        for digest in digests {
            self.elsewhere.entry(digest).or_insert(number);
        }
    }

    /// The sources.
    pub(crate) fn all(&self) -> impl Iterator<Item = &'a AnySource> {
        self.sources.iter().copied()
    }

    /// The source of a blob.
    pub(crate) fn find(&self, digest: &Digest) -> Option<&'a AnySource> {
        self.sources.get(self.elsewhere.get(digest).copied().unwrap_or_default()).copied()
    }
}

impl Source for Joined<'_> {
    async fn read(&self, descriptor: &Descriptor, range: Range<u64>) -> Result<ByteStream> {
        match self.find(&descriptor.digest) {
            Some(source) => source.read(descriptor, range).await,
            None => Err(Error::new(Kind::NotFound, format!("{} is nowhere", descriptor.digest))),
        }
    }

    fn parts(&self, descriptor: &Descriptor) -> Parts {
        self.find(&descriptor.digest).map_or(Parts::WHOLE, |source| source.parts(descriptor))
    }

    fn small_at_once(&self) -> usize {
        self.all().map(Source::small_at_once).max().unwrap_or(1)
    }

    fn distrust(&self, descriptor: &Descriptor) -> bool {
        self.find(&descriptor.digest).is_some_and(|source| source.distrust(descriptor))
    }

    fn origin(&self, descriptor: &Descriptor) -> Option<Origin> {
        self.find(&descriptor.digest)?.origin(descriptor)
    }

    fn recall(&self, descriptor: &Descriptor, origin: &Origin) {
        if let Some(source) = self.find(&descriptor.digest) {
            source.recall(descriptor, origin);
        }
    }

    fn has_changed(&self, descriptor: &Descriptor) -> bool {
        self.find(&descriptor.digest).is_some_and(|source| source.has_changed(descriptor))
    }

    fn local(&self, descriptor: &Descriptor) -> Option<LocalBlob> {
        self.find(&descriptor.digest)?.local(descriptor)
    }
}

/// A source with documents at hand, and blobs that were made on the way and lie in files.
#[derive(Debug)]
pub(crate) struct Overlay<'a, S> {
    pub(crate) source: &'a S,
    pub(crate) documents: &'a [VerifiedDocument],
    pub(crate) blobs: &'a HashMap<Digest, LocalBlob>,
}

impl<S: Source> Source for Overlay<'_, S> {
    async fn read(&self, descriptor: &Descriptor, range: Range<u64>) -> Result<ByteStream> {
        let digest = &descriptor.digest;
        if let Some(document) = self.documents.iter().find(|document| document.descriptor().digest == *digest) {
            let bytes = document.bytes();
            let end = usize::try_from(range.end).unwrap_or(usize::MAX).min(bytes.len());
            let start = usize::try_from(range.start).unwrap_or(usize::MAX).min(end);
            return Ok(Box::pin(futures::stream::iter([Ok(Bytes::copy_from_slice(&bytes[start..end]))])));
        }
        match self.blobs.get(digest) {
            Some(blob) => dhow_layout::read_local(blob.clone(), descriptor, range),
            None => self.source.read(descriptor, range).await,
        }
    }

    fn parts(&self, descriptor: &Descriptor) -> Parts {
        if self.blobs.contains_key(&descriptor.digest) { Parts::WHOLE } else { self.source.parts(descriptor) }
    }

    fn small_at_once(&self) -> usize {
        self.source.small_at_once()
    }

    fn distrust(&self, descriptor: &Descriptor) -> bool {
        !self.blobs.contains_key(&descriptor.digest) && self.source.distrust(descriptor)
    }

    fn origin(&self, descriptor: &Descriptor) -> Option<Origin> {
        self.source.origin(descriptor)
    }

    fn recall(&self, descriptor: &Descriptor, origin: &Origin) {
        self.source.recall(descriptor, origin);
    }

    fn has_changed(&self, descriptor: &Descriptor) -> bool {
        self.source.has_changed(descriptor)
    }

    fn local(&self, descriptor: &Descriptor) -> Option<LocalBlob> {
        self.blobs.get(&descriptor.digest).cloned().or_else(|| self.source.local(descriptor))
    }
}
