//! The contract of a place as checks that every implementation runs in its tests.
//!
//! The checks panic with what they found, because only tests call them.

#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "checks report by panicking")]

use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use dhow_base::Kind;
use dhow_base::progress::{Event, Observer, Silent};
use dhow_spec::digest::Algorithm;
use dhow_spec::{Descriptor, Digest, MediaType};
use futures::TryStreamExt;

use crate::copy::{CopyOptions, copy};
use crate::memory::MemoryPlace;
use crate::place::{Begin, Ingest, Sink, Source, read_document};

/// A small image in memory: what the checks move.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Where the image is.
    pub place: MemoryPlace,
    /// Its manifest.
    pub manifest: Descriptor,
    /// An index over that manifest and a second one that shares a layer with it.
    pub index: Descriptor,
    /// Config and layers of the first manifest.
    pub blobs: Vec<Descriptor>,
}

/// Makes the sample image. Its layers are gzip-free tars of zero blocks, so that any place can take them as layers;
/// `salt` makes the digests differ between calls.
pub fn sample(salt: &str) -> Sample {
    let place = MemoryPlace::new();
    let shared = layer(&place, salt, 0, 70_000);
    let (manifest, blobs) = make_manifest(&place, salt, "amd64", [shared.clone(), layer(&place, salt, 1, 3)]);
    let (other, _) = make_manifest(&place, salt, "arm64", [shared, layer(&place, salt, 2, 20)]);
    let members: Vec<String> =
        [(&manifest, "amd64"), (&other, "arm64")].into_iter().map(|(member, arch)| member_json(member, arch)).collect();
    let text = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{}]}}"#,
        members.join(",")
    );
    let index = put(&place, MediaType::OciIndex, text.into_bytes());
    Sample { place, manifest, index, blobs }
}

fn put(place: &MemoryPlace, media_type: MediaType, bytes: Vec<u8>) -> Descriptor {
    let size = bytes.len() as u64;
    Descriptor::new(media_type, place.insert(bytes), size)
}

/// A valid tar: one file of `blocks` blocks whose name carries the salt, then the two zero blocks that end it.
fn layer(place: &MemoryPlace, salt: &str, number: u8, blocks: usize) -> Descriptor {
    let mut header = [0_u8; 512];
    let name = format!("{salt}-{number}");
    header[..name.len()].copy_from_slice(name.as_bytes());
    header[100..108].copy_from_slice(b"0000644\0");
    header[108..116].copy_from_slice(b"0000000\0");
    header[116..124].copy_from_slice(b"0000000\0");
    header[124..136].copy_from_slice(format!("{:011o}\0", blocks * 512).as_bytes());
    header[136..148].copy_from_slice(b"00000000000\0");
    header[148..156].copy_from_slice(b"        ");
    header[156] = b'0';
    header[257..265].copy_from_slice(b"ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let mut tar = header.to_vec();
    tar.extend((0..blocks * 512).map(|index| (index / 7) as u8 ^ number));
    tar.extend([0; 1024]);
    put(place, MediaType::OciLayer, tar)
}

fn make_manifest(
    place: &MemoryPlace,
    salt: &str,
    architecture: &str,
    layers: [Descriptor; 2],
) -> (Descriptor, Vec<Descriptor>) {
    let diff_ids: Vec<String> = layers.iter().map(|layer| format!("\"{}\"", layer.digest)).collect();
    let config = format!(
        r#"{{"architecture":"{architecture}","os":"linux","author":"{salt}","rootfs":{{"type":"layers","diff_ids":[{}]}}}}"#,
        diff_ids.join(",")
    );
    let config = put(place, MediaType::OciConfig, config.into_bytes());
    let blobs: Vec<Descriptor> = std::iter::once(config).chain(layers).collect();
    let json: Vec<String> = blobs.iter().map(descriptor_json).collect();
    let text = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{},"layers":[{}]}}"#,
        json[0],
        json[1..].join(",")
    );
    (put(place, MediaType::OciManifest, text.into_bytes()), blobs)
}

fn descriptor_json(descriptor: &Descriptor) -> String {
    format!(
        r#"{{"mediaType":"{}","digest":"{}","size":{}}}"#,
        descriptor.media_type.as_str(),
        descriptor.digest,
        descriptor.size
    )
}

fn member_json(descriptor: &Descriptor, architecture: &str) -> String {
    let json = descriptor_json(descriptor);
    format!(r#"{},"platform":{{"architecture":"{architecture}","os":"linux"}}}}"#, &json[..json.len() - 1])
}

/// Runs all checks on a place that can be written (`sink`) and read back (`source`, often the same value).
pub async fn check<D: Sink, S: Source>(sink: &D, source: &S) {
    check_copy(sink, source).await;
    check_wrong_bytes(sink).await;
    check_dropped_ingest(sink, source).await;
    check_index(sink, source).await;
}

/// Runs the checks that fit a place which takes a single stream of content once, such as an archive.
pub async fn check_copy<D: Sink, S: Source>(sink: &D, source: &S) {
    let sample = sample("copy");
    let counter = Counter::default();
    let copied = copy(&sample.place, sink, &sample.manifest, &CopyOptions::new(&counter)).await.unwrap();
    assert_eq!(copied.blobs_moved, 3, "every blob moves once");
    assert_eq!(copied.layers_moved, 2, "of which one is the config");
    let sizes: u64 = sample.blobs.iter().map(|blob| blob.size).sum();
    assert_eq!(copied.bytes_moved, sizes, "every byte is counted");
    assert_eq!(counter.fetched.load(Ordering::Relaxed), 2, "every layer is reported once");
    check_content(&sample, source, &sample.manifest).await;
    let again = copy(&sample.place, sink, &sample.manifest, &CopyOptions::new(&Silent)).await.unwrap();
    assert_eq!((again.blobs_moved, again.bytes_moved), (0, 0), "a second copy moves nothing");
}

/// Reads everything below the sample's manifest back, whole and in pieces.
pub async fn check_content<S: Source>(sample: &Sample, source: &S, manifest: &Descriptor) {
    let document = read_document(source, manifest).await.unwrap();
    assert_eq!(document.bytes(), sample.place.get(&manifest.digest).unwrap(), "manifest bytes are the same");
    for blob in &sample.blobs {
        let expected = sample.place.get(&blob.digest).unwrap();
        assert_eq!(read_range(source, blob, 0..blob.size).await, expected, "the whole blob");
        let middle = blob.size / 3..blob.size / 2;
        let slice = expected.slice(usize::try_from(middle.start).unwrap()..usize::try_from(middle.end).unwrap());
        assert_eq!(read_range(source, blob, middle).await, slice, "a range from the middle");
    }
    let absent = Descriptor::new(MediaType::OciLayer, Digest::of(Algorithm::Sha256, b"never stored"), 12);
    let error = match source.read(&absent, 0..12).await {
        Err(error) => error,
        Ok(stream) => stream.try_collect::<Vec<Bytes>>().await.expect_err("an absent blob cannot be read"),
    };
    assert_eq!(error.kind(), Kind::NotFound, "an absent blob is not found: {error}");
}

async fn read_range<S: Source>(source: &S, blob: &Descriptor, range: std::ops::Range<u64>) -> Bytes {
    let chunks: Vec<Bytes> = source.read(blob, range).await.unwrap().try_collect().await.unwrap();
    chunks.concat().into()
}

/// Wrong bytes are refused, stay invisible, and do not stand in the way of the right ones.
pub async fn check_wrong_bytes<D: Sink>(sink: &D) {
    let (right, wrong) = (Bytes::from_static(b"right bytes!"), Bytes::from_static(b"wrong bytes!"));
    let blob = Descriptor::new(MediaType::OciLayer, Digest::sha256(&right), right.len() as u64);
    let ingest = begin(sink, &blob).await;
    let written = ingest.write(0, wrong).await;
    let error = match written {
        Ok(()) => ingest.commit().await.expect_err("wrong bytes must not become content"),
        Err(error) => error,
    };
    assert_eq!(error.kind(), Kind::Corrupt, "{error}");
    let ingest = begin(sink, &blob).await;
    assert_eq!(ingest.missing(), std::slice::from_ref(&(0..blob.size)), "the wrong bytes are forgotten");
    ingest.write(0, right).await.unwrap();
    ingest.commit().await.unwrap();
}

/// An ingest that is dropped publishes nothing, and can be begun again.
pub async fn check_dropped_ingest<D: Sink, S: Source>(sink: &D, source: &S) {
    let bytes = Bytes::from(vec![7_u8; 100_000]);
    let blob = Descriptor::new(MediaType::OciLayer, Digest::sha256(&bytes), bytes.len() as u64);
    let ingest = begin(sink, &blob).await;
    ingest.write(0, bytes.slice(..40_000)).await.unwrap();
    drop(ingest);
    if let Ok(stream) = source.read(&blob, 0..blob.size).await {
        stream.try_collect::<Vec<Bytes>>().await.expect_err("an unfinished blob is not visible");
    }
    let ingest = begin(sink, &blob).await;
    for range in ingest.missing() {
        let slice = bytes.slice(usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap());
        ingest.write(range.start, slice).await.unwrap();
    }
    ingest.commit().await.unwrap();
    assert_eq!(read_range(source, &blob, 0..blob.size).await, bytes);
}

/// An index arrives with all below it, each shared blob once.
pub async fn check_index<D: Sink, S: Source>(sink: &D, source: &S) {
    let sample = sample("index");
    let copied = copy(&sample.place, sink, &sample.index, &CopyOptions::new(&Silent)).await.unwrap();
    assert_eq!(copied.blobs_moved, 5, "two configs, one shared layer, two of their own");
    assert_eq!(copied.documents.len(), 3);
    let last = copied.documents.last().unwrap();
    assert_eq!(last.descriptor().digest, sample.index.digest, "the root comes last");
    check_content(&sample, source, &sample.manifest).await;
    read_document(source, &sample.index).await.unwrap();
}

async fn begin<D: Sink>(sink: &D, blob: &Descriptor) -> D::Ingest {
    match sink.ingest(blob, &Silent).await.unwrap() {
        Begin::Write(ingest) => ingest,
        Begin::Present | Begin::Mounted { .. } => panic!("{} cannot be there yet", blob.digest),
    }
}

#[derive(Default)]
struct Counter {
    fetched: AtomicUsize,
}

impl Observer for Counter {
    fn event(&self, event: Event<'_>) {
        if matches!(event, Event::Fetched { .. }) {
            self.fetched.fetch_add(1, Ordering::Relaxed);
        }
    }
}
