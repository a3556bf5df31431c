//! What a place must be able to do, a handful of methods each.

use std::fs::File;
use std::ops::Range;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use dhow_base::fs::FileRange;
use dhow_base::progress::Observer;
use dhow_base::{Error, Kind, Result, limits};
use dhow_spec::{Descriptor, Reference};
use futures::{Stream, TryStreamExt};

use crate::origin::Origin;
use crate::verify::{VerifiedDocument, Verifier, verify_document};

/// How many transfers a place is asked for at once unless it says otherwise, as many as containers/image: enough to fill a link and
/// two cores to the end.
pub(crate) const AT_ONCE_DEFAULT: usize = 6;

/// Bytes of one blob, in order, as they arrive.
pub type ByteStream = Pin<Box<dyn Stream<Item = Result<Bytes>> + Send>>;

/// How a blob is best fetched: in parts of `size` bytes, `at_once` of them at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts {
    /// Length of one part in bytes.
    pub size: u64,
    /// How many parts are under way at once.
    pub at_once: usize,
}

impl Parts {
    /// In one piece.
    pub const WHOLE: Parts = Parts { size: u64::MAX, at_once: 1 };
}

/// A blob that lies in a local file as it is, so that the kernel can copy it.
#[derive(Clone, Debug)]
pub struct LocalBlob {
    /// The open file.
    pub file: Arc<File>,
    /// Its path, to name it in errors.
    pub path: PathBuf,
    /// Where the blob begins, in bytes.
    pub offset: u64,
    /// Length of the blob in bytes.
    pub length: u64,
}

impl LocalBlob {
    /// All of its bytes, to be copied.
    pub fn bytes(&self) -> FileRange<'_> {
        FileRange { file: &self.file, path: &self.path, offset: self.offset, length: self.length }
    }
}

/// A place that content is read from.
pub trait Source: Send + Sync {
    /// Opens `range` (in bytes) of a blob or document. The bytes are *not* verified: whoever receives them proves them.
    ///
    /// # Errors
    /// [`Kind::NotFound`] when the place does not have it; [`Kind::Unavailable`] when trying again may help.
    fn read(&self, descriptor: &Descriptor, range: Range<u64>) -> impl Future<Output = Result<ByteStream>> + Send;

    /// How this blob is best fetched.
    fn parts(&self, descriptor: &Descriptor) -> Parts {
        let _ = descriptor;
        Parts::WHOLE
    }

    /// How many documents and small blobs are best asked for at once: many where each question is a wait, not work.
    fn small_at_once(&self) -> usize {
        AT_ONCE_DEFAULT
    }

    /// Is told that what it gave last for a digest was no good. Whether better may come when it is asked again: there are
    /// sources of several places.
    fn distrust(&self, descriptor: &Descriptor) -> bool {
        let _ = descriptor;
        false
    }

    /// Which entity of which server the newest bytes of a blob came from, where that is known.
    fn origin(&self, descriptor: &Descriptor) -> Option<Origin> {
        let _ = descriptor;
        None
    }

    /// Is told where the bytes came from that an earlier run left of a blob: the rest is to be of the same entity.
    fn recall(&self, descriptor: &Descriptor, origin: &Origin) {
        let _ = (descriptor, origin);
    }

    /// Whether a read failed because the blob is another entity by now than the one recalled: what an earlier run left is of
    /// no use then. It is told once.
    fn has_changed(&self, descriptor: &Descriptor) -> bool {
        let _ = descriptor;
        false
    }

    /// The blob as a range of a local file, where it is one.
    fn local(&self, descriptor: &Descriptor) -> Option<LocalBlob> {
        let _ = descriptor;
        None
    }
}

/// A place that knows names.
pub trait Resolve: Send + Sync {
    /// The manifest or index that a name stands for.
    ///
    /// # Errors
    /// [`Kind::NotFound`] when nothing has the name.
    fn resolve(&self, reference: &Reference) -> impl Future<Output = Result<Descriptor>> + Send;
}

/// In which order blobs are begun where several are under way at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlobOrder {
    /// The last ones under way share the end among them: a large one alone would leave the other cores idle.
    LargestFirst,
    /// As the documents name them: for who makes something of each above the one before.
    Listed,
}

/// A place that content is written to.
pub trait Sink: Send + Sync {
    /// One blob under way into this place.
    type Ingest: Ingest;

    /// Whether a document and all it needs below it are there already.
    ///
    /// # Errors
    /// Those of asking.
    fn holds(&self, document: &Descriptor) -> impl Future<Output = Result<bool>> + Send;

    /// Is told of the documents whose blobs come next, before any of them does, and says in which order it wants those.
    fn expect(&self, documents: &[VerifiedDocument]) -> BlobOrder {
        let _ = documents;
        BlobOrder::LargestFirst
    }

    /// Begins a blob, or goes on with what an earlier run left.
    ///
    /// # Errors
    /// Those of the place; [`Kind::NoSpace`] when it is full.
    fn ingest(
        &self,
        blob: &Descriptor,
        observer: &dyn Observer,
    ) -> impl Future<Output = Result<Begin<Self::Ingest>>> + Send;

    /// Stores a manifest or index. Its children are there, or left out on purpose (an index in part).
    ///
    /// # Errors
    /// Those of the place.
    fn put_document(&self, document: &VerifiedDocument) -> impl Future<Output = Result<()>> + Send;

    /// How many blobs may be on their way in at once: 1 where they form one stream, as in an archive.
    fn blobs_at_once(&self) -> usize {
        AT_ONCE_DEFAULT
    }

    /// How many small blobs it takes at once, unless blobs form one stream.
    fn small_at_once(&self) -> usize {
        AT_ONCE_DEFAULT
    }
}

/// How a place answers to a blob it is offered.
#[derive(Debug)]
pub enum Begin<I> {
    /// It has the blob.
    Present,
    /// It took the blob over from another of its repositories.
    Mounted {
        /// That repository.
        from: String,
    },
    /// It wants the bytes.
    Write(I),
}

/// One blob on its way into a place. Dropped without [`Ingest::commit`], it is not visible, and where the place can, its
/// bytes are kept for the next run.
pub trait Ingest: Send + Sync {
    /// The byte ranges that are still missing, ascending.
    fn missing(&self) -> Vec<Range<u64>>;

    /// Whether writes may come in any order; if not, they come strictly ascending.
    fn takes_any_order(&self) -> bool {
        false
    }

    /// Takes bytes at an offset.
    ///
    /// # Errors
    /// Those of the place.
    fn write(&self, offset: u64, bytes: Bytes) -> impl Future<Output = Result<()>> + Send;

    /// Takes the whole blob from a local file, in the kernel; `Ok(false)` when this place cannot.
    ///
    /// # Errors
    /// Those of the place, and of reading the file.
    fn write_local(&self, blob: &LocalBlob) -> impl Future<Output = Result<bool>> + Send {
        let _ = blob;
        async { Ok(false) }
    }

    /// Where the bytes came from that an earlier run left, where it noted that.
    fn origin(&self) -> Option<Origin> {
        None
    }

    /// Notes for the next run where the bytes come from; `None` when that is not known, or no longer to be relied on.
    ///
    /// # Errors
    /// Those of the place.
    fn note_origin(&self, origin: Option<&Origin>) -> Result<()> {
        let _ = origin;
        Ok(())
    }

    /// Gives up what is there: the next one begins with nothing.
    ///
    /// # Errors
    /// Those of the place.
    fn discard(self) -> Result<()>
    where
        Self: Sized,
    {
        Ok(())
    }

    /// Proves the digest of what was written and makes the blob visible.
    ///
    /// # Errors
    /// [`Kind::Corrupt`] when the bytes are not those of the descriptor; they are discarded then.
    fn commit(self) -> impl Future<Output = Result<()>> + Send;
}

/// A place that can give names to documents.
pub trait TagSink: Send + Sync {
    /// Makes `reference` stand for a document that is there.
    ///
    /// # Errors
    /// Those of the place.
    fn tag(&self, reference: &Reference, document: &VerifiedDocument) -> impl Future<Output = Result<()>> + Send;
}

/// A source some of whose documents are at hand: a registry that is asked twice would count twice against its rate limit,
/// and a document that was just made lies nowhere yet.
#[derive(Debug)]
pub struct Prefetched<'a, S> {
    source: &'a S,
    documents: &'a [VerifiedDocument],
}

impl<'a, S: Source> Prefetched<'a, S> {
    /// Answers reads of `documents` itself, and passes everything else on to `source`.
    pub fn new(source: &'a S, documents: &'a [VerifiedDocument]) -> Self {
        Self { source, documents }
    }
}

impl<S: Source> Source for Prefetched<'_, S> {
    async fn read(&self, descriptor: &Descriptor, range: Range<u64>) -> Result<ByteStream> {
        let at_hand = self.documents.iter().find(|document| document.descriptor().digest == descriptor.digest);
        let Some(document) = at_hand else { return self.source.read(descriptor, range).await };
        let bytes = document.bytes();
        let end = usize::try_from(range.end).unwrap_or(usize::MAX).min(bytes.len());
        let start = usize::try_from(range.start).unwrap_or(usize::MAX).min(end);
        Ok(Box::pin(futures::stream::iter([Ok(Bytes::copy_from_slice(&bytes[start..end]))])))
    }

    fn parts(&self, descriptor: &Descriptor) -> Parts {
        self.source.parts(descriptor)
    }

    fn small_at_once(&self) -> usize {
        self.source.small_at_once()
    }

    fn distrust(&self, descriptor: &Descriptor) -> bool {
        self.source.distrust(descriptor)
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
        self.source.local(descriptor)
    }
}

/// Reads a manifest or index whole and proves it.
///
/// # Errors
/// [`Kind::LimitExceeded`] beyond [`limits::MANIFEST_BYTES_MAX`], [`Kind::Corrupt`] when bytes and descriptor disagree,
/// and those of the source.
pub async fn read_document(source: &impl Source, descriptor: &Descriptor) -> Result<VerifiedDocument> {
    loop {
        let read = collect(source, descriptor, limits::MANIFEST_BYTES_MAX).await;
        match read.and_then(|bytes| verify_document(bytes, descriptor)) {
            Err(_) if source.distrust(descriptor) => {}
            outcome => return outcome,
        }
    }
}

/// Reads a small blob, such as a config, whole and proves it.
///
/// # Errors
/// As [`read_document`], with the limit given.
pub async fn read_small(source: &impl Source, descriptor: &Descriptor, bytes_max: u64) -> Result<Vec<u8>> {
    loop {
        let read = collect(source, descriptor, bytes_max).await;
        match read.and_then(|bytes| proven(bytes, descriptor)) {
            Err(_) if source.distrust(descriptor) => {}
            outcome => return outcome,
        }
    }
}

fn proven(bytes: Vec<u8>, descriptor: &Descriptor) -> Result<Vec<u8>> {
    let mut verifier = Verifier::new(descriptor);
    verifier.update(&bytes)?;
    verifier.finish()?;
    Ok(bytes)
}

async fn collect(source: &impl Source, descriptor: &Descriptor, bytes_max: u64) -> Result<Vec<u8>> {
    let (digest, size) = (&descriptor.digest, descriptor.size);
    if size > bytes_max {
        let message = format!("{digest} claims {size} bytes, at most {bytes_max} are accepted here");
        return Err(Error::new(Kind::LimitExceeded, message));
    }
    let mut stream = source.read(descriptor, 0..size).await?;
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0).min(1 << 20));
    while let Some(chunk) = stream.try_next().await? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() as u64 > size {
            return Err(Error::new(Kind::Corrupt, format!("{digest} is longer than the {size} bytes announced")));
        }
    }
    Ok(bytes)
}
