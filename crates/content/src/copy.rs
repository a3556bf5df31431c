//! The one copy: a graph of documents and blobs from one place to another.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::time::Duration;

use dhow_base::progress::{Event, Observer, Silent};
use dhow_base::{Error, Kind, Result, limits};
use dhow_spec::{Descriptor, Digest, Document};
use futures::StreamExt;
use futures::stream::{self, TryStreamExt};

use crate::place::{AT_ONCE_DEFAULT, BlobOrder, Sink, Source, read_document};
use crate::transfer::{Transferred, transfer};
use crate::verify::VerifiedDocument;
use crate::window::Window;

/// Which members of an index are copied.
#[derive(Clone, Copy)]
pub enum Select<'a> {
    /// All of them.
    All,
    /// Those whose digest the function picks out of an index.
    Only(&'a (dyn Fn(&Document) -> Result<Vec<Descriptor>> + Send + Sync)),
}

/// How to copy.
#[derive(Clone, Copy)]
pub struct CopyOptions<'a> {
    /// Which members of an index are copied.
    pub select: Select<'a>,
    /// Who is told of the progress.
    pub observer: &'a dyn Observer,
    /// Most blobs under way at once; the sink may lower it. Blobs so small that the way to a distant place takes longer than
    /// their bytes are not counted: a place says itself how many of those it is asked for at once.
    pub blobs_at_once: usize,
    /// How often a transfer that stands still is tried again before it counts as failed.
    pub retries: u32,
    /// How long to wait before each further attempt; by default longer from time to time.
    pub retry_pause: Option<Duration>,
    /// Leaves the root document to the caller, who puts it under a name: a registry takes both in one request.
    pub leave_root: bool,
}

impl<'a> CopyOptions<'a> {
    /// Everything, six blobs at once, five retries.
    pub fn new(observer: &'a dyn Observer) -> Self {
        let (blobs_at_once, retries) = (AT_ONCE_DEFAULT, RETRIES_DEFAULT);
        Self { select: Select::All, observer, blobs_at_once, retries, retry_pause: None, leave_root: false }
    }
}

/// How often a transfer that stands still is tried again, unless the user says otherwise.
const RETRIES_DEFAULT: u32 = 5;

/// Blobs of at most so many bytes count as small: over a way of 50 ms and 200 Mbit/s their bytes take as long as the question.
const SMALL_BYTES_MAX: u64 = 1 << 20;

/// What a copy did.
#[derive(Clone, Debug, Default)]
pub struct Copied {
    /// Documents of the graph, children before parents; empty when the sink held the root already.
    pub documents: Vec<VerifiedDocument>,
    /// Blobs whose bytes moved.
    pub blobs_moved: usize,
    /// Blobs that were there, or were mounted.
    pub blobs_present: usize,
    /// Those of the moved blobs that are layers, not configs.
    pub layers_moved: usize,
    /// Bytes of blobs that came from the source. What an earlier run had left is not among them, attempts that failed are.
    pub bytes_moved: u64,
}

/// Copies the graph below `root` from `source` to `sink`: blobs in parallel, then documents, children before parents.
///
/// What the sink has is skipped. Every document is proven against its descriptor before it is parsed, every blob by the
/// sink before it becomes visible. A failed or dropped copy leaves no document behind whose children are missing.
///
/// # Errors
/// The first failure of either place, with the digest it concerns. [`Kind::LimitExceeded`] for graphs too large or deep.
pub async fn copy<S: Source, D: Sink>(
    source: &S,
    sink: &D,
    root: &Descriptor,
    options: &CopyOptions<'_>,
) -> Result<Copied> {
    if matches!(options.select, Select::All) && sink.holds(root).await? {
        return Ok(Copied::default());
    }
    let documents = documents_below(source, root, options).await?;
    let blobs = blobs_of(&documents);
    for blob in blobs.iter().filter(|blob| blob.is_layer) {
        let descriptor = &blob.descriptor;
        options.observer.event(Event::Queued { digest: descriptor.digest.as_str(), size: descriptor.size });
    }
    let order = sink.expect(&documents);
    let outcomes = move_blobs(source, sink, &blobs, order, options).await?;
    let left = options.leave_root.then_some(&root.digest);
    put_documents(sink, documents.iter().filter(|document| Some(&document.descriptor().digest) != left)).await?;
    Ok(tally(documents, &outcomes))
}

/// Moves the blobs: large ones a few at a time, small ones beside them as many at once as the places can do with.
async fn move_blobs<S: Source, D: Sink>(
    source: &S,
    sink: &D,
    blobs: &[Blob],
    order: BlobOrder,
    options: &CopyOptions<'_>,
) -> Result<Vec<(bool, Transferred)>> {
    let window = &Window::default();
    let move_one = |blob: &Blob| {
        // A config is bookkeeping of its manifest: users follow layers.
        let observer: &dyn Observer = if blob.is_layer { options.observer } else { &Silent };
        let (descriptor, is_layer) = (blob.descriptor.clone(), blob.is_layer);
        let options = CopyOptions { observer, ..*options };
        async move { transfer(source, sink, &descriptor, options, window).await.map(|outcome| (is_layer, outcome)) }
    };
    let at_once = options.blobs_at_once.min(sink.blobs_at_once()).max(1);
    if at_once == 1 {
        return stream::iter(blobs).map(move_one).buffer_unordered(1).try_collect().await;
    }
    let mut blobs: Vec<&Blob> = blobs.iter().collect();
    if order == BlobOrder::LargestFirst {
        blobs.sort_by_key(|blob| Reverse(blob.descriptor.size));
    }
    let (small, large): (Vec<&Blob>, Vec<&Blob>) =
        blobs.into_iter().partition(|blob| blob.descriptor.size <= SMALL_BYTES_MAX);
    let small_at_once = source.small_at_once().max(sink.small_at_once()).max(1);
    let small = stream::iter(small).map(move_one).buffer_unordered(small_at_once).try_collect::<Vec<_>>();
    let large = stream::iter(large).map(move_one).buffer_unordered(at_once).try_collect::<Vec<_>>();
    let (mut outcomes, of_large) = futures::try_join!(small, large)?;
    outcomes.extend(of_large);
    Ok(outcomes)
}

/// Stores the documents, children before parents: manifests at once, since they have none, then indexes in order.
async fn put_documents<'d, D: Sink>(sink: &D, documents: impl Iterator<Item = &'d VerifiedDocument>) -> Result<()> {
    const MANIFESTS_AT_ONCE_MAX: usize = 8;
    let at_once = if sink.blobs_at_once() == 1 { 1 } else { sink.small_at_once().clamp(1, MANIFESTS_AT_ONCE_MAX) };
    let (manifests, indexes): (Vec<_>, Vec<_>) =
        documents.partition(|document| document.document().as_index().is_none());
    let put = |document| sink.put_document(document);
    stream::iter(manifests).map(put).buffer_unordered(at_once).try_collect::<()>().await?;
    for index in indexes {
        sink.put_document(index).await?;
    }
    Ok(())
}

fn tally(documents: Vec<VerifiedDocument>, outcomes: &[(bool, Transferred)]) -> Copied {
    let mut copied = Copied { documents, ..Copied::default() };
    for (is_layer, outcome) in outcomes {
        match outcome {
            Transferred::Moved { bytes } => {
                copied.blobs_moved += 1;
                copied.layers_moved += usize::from(*is_layer);
                copied.bytes_moved += bytes;
            }
            Transferred::Present => copied.blobs_present += 1,
        }
    }
    copied
}

/// Copies one blob, as [`copy`] does with those of a graph. The sink proves it.
///
/// # Errors
/// The failure of either place.
pub async fn copy_blob<S: Source, D: Sink>(
    source: &S,
    sink: &D,
    blob: &Descriptor,
    options: &CopyOptions<'_>,
) -> Result<()> {
    transfer(source, sink, blob, *options, &Window::default()).await.map(|_| ())
}

/// Reads the documents of the graph below `root` that `options` select, each proven, children before parents.
///
/// # Errors
/// As [`copy`].
pub async fn documents_below<S: Source>(
    source: &S,
    root: &Descriptor,
    options: &CopyOptions<'_>,
) -> Result<Vec<VerifiedDocument>> {
    let mut levels: Vec<Vec<VerifiedDocument>> = Vec::new();
    let mut seen: HashSet<Digest> = HashSet::from([root.digest.clone()]);
    let mut wanted = vec![root.clone()];
    while !wanted.is_empty() {
        if levels.len() > limits::INDEX_DEPTH_MAX {
            let message = format!("{} nests indexes more than {} deep", root.digest, limits::INDEX_DEPTH_MAX);
            return Err(Error::new(Kind::LimitExceeded, message));
        }
        let level: Vec<VerifiedDocument> = stream::iter(&wanted)
            .map(|descriptor| read_document(source, descriptor))
            .buffered(options.blobs_at_once.max(source.small_at_once()).max(1))
            .try_collect()
            .await?;
        wanted = Vec::new();
        for document in &level {
            for member in selected(document.document(), options.select)? {
                if member.media_type.is_document() && seen.insert(member.digest.clone()) {
                    wanted.push(member);
                }
            }
        }
        if seen.len() > limits::DOCUMENTS_MAX {
            let message = format!("{} has more than {} manifests below it", root.digest, limits::DOCUMENTS_MAX);
            return Err(Error::new(Kind::LimitExceeded, message));
        }
        levels.push(level);
    }
    Ok(children_first(levels))
}

fn selected(document: &Document, select: Select<'_>) -> Result<Vec<Descriptor>> {
    match (document.as_index(), select) {
        (None, _) => Ok(Vec::new()),
        (Some(index), Select::All) => Ok(index.manifests.clone()),
        (Some(_), Select::Only(pick)) => pick(document),
    }
}

/// Orders documents so that each comes after all its children. Breadth-first levels alone do not: a manifest may be a
/// child of the root and of an index deeper down.
fn children_first(levels: Vec<Vec<VerifiedDocument>>) -> Vec<VerifiedDocument> {
    let mut by_digest: HashMap<Digest, VerifiedDocument> = HashMap::new();
    let mut order: Vec<Digest> = Vec::new();
    for document in levels.into_iter().flatten() {
        order.push(document.descriptor().digest.clone());
        by_digest.insert(document.descriptor().digest.clone(), document);
    }
    let mut sorted = Vec::with_capacity(order.len());
    let mut stack: Vec<(Digest, bool)> = order.into_iter().rev().map(|digest| (digest, false)).collect();
    while let Some((digest, expanded)) = stack.pop() {
        if expanded {
            sorted.extend(by_digest.remove(&digest));
        } else if let Some(document) = by_digest.get(&digest) {
            let children: Vec<Digest> =
                document.document().children().into_iter().map(|child| child.digest.clone()).collect();
            stack.push((digest, true));
            stack.extend(children.into_iter().map(|child| (child, false)));
        }
    }
    sorted
}

struct Blob {
    descriptor: Descriptor,
    is_layer: bool,
}

/// The blobs that the documents name, each once, in the order of the documents.
fn blobs_of(documents: &[VerifiedDocument]) -> Vec<Blob> {
    let mut seen = HashSet::new();
    let mut blobs = Vec::new();
    for manifest in documents.iter().filter_map(|document| document.document().as_manifest()) {
        let layers = manifest.layers.iter().map(|layer| (layer, true));
        for (descriptor, is_layer) in std::iter::once((&manifest.config, false)).chain(layers) {
            if seen.insert(descriptor.digest.clone()) {
                blobs.push(Blob { descriptor: descriptor.clone(), is_layer });
            }
        }
    }
    blobs
}
