//! HTTP/2: one connection for everything, and what can happen to a stream while its connection lives on.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;
#[path = "common/http2.rs"]
mod server;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use common::{options, run};
use dhow_base::progress::{Event, Observer, Silent};
use dhow_content::memory::MemoryPlace;
use dhow_content::{CopyOptions, Source, copy};
use dhow_registry::quirks::UploadStyle;
use dhow_registry::{Access, ClientOptions, PartPolicy};
use dhow_spec::{Descriptor, Digest, MediaType};
use futures::TryStreamExt;
use hyper::{Method, Version};
use server::{Fault, Http2Registry, Seen};
use tokio::sync::Notify;

const MIB: usize = 1 << 20;

/// Made-up layers of these lengths below a manifest.
fn image(lengths: &[usize]) -> (MemoryPlace, Descriptor, Vec<Descriptor>) {
    let place = MemoryPlace::new();
    let put = |media_type: MediaType, bytes: Vec<u8>| {
        let size = bytes.len() as u64;
        Descriptor::new(media_type, place.insert(bytes), size)
    };
    let json = |blob: &Descriptor| {
        format!(r#"{{"mediaType":"{}","digest":"{}","size":{}}}"#, blob.media_type.as_str(), blob.digest, blob.size)
    };
    let config = put(MediaType::OciConfig, br#"{"architecture":"amd64","os":"linux"}"#.to_vec());
    let content = |number: usize, length| (0..length).map(|index| (index / 11) as u8 ^ number as u8).collect();
    let layers: Vec<Descriptor> =
        (1..).zip(lengths).map(|(number, &length)| put(MediaType::OciLayer, content(number, length))).collect();
    let all: Vec<String> = layers.iter().map(json).collect();
    let text = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{},"layers":[{}]}}"#,
        json(&config),
        all.join(",")
    );
    let manifest = put(MediaType::OciManifest, text.into_bytes());
    (place, manifest, std::iter::once(config).chain(layers).collect())
}

/// The same image in a registry.
async fn registry_of(place: &MemoryPlace, manifest: &Descriptor, blobs: &[Descriptor]) -> Http2Registry {
    let registry = Http2Registry::start().await;
    registry.put_manifest(manifest, place.get(&manifest.digest).unwrap());
    for blob in blobs {
        registry.put_blob(place.get(&blob.digest).unwrap());
    }
    registry
}

/// Tells when so many bytes of a blob have arrived.
struct Arrival {
    digest: Digest,
    bytes: u64,
    when: Arc<Notify>,
}

impl Observer for Arrival {
    fn event(&self, event: Event<'_>) {
        if matches!(event, Event::Moved { digest, done, .. } if digest == self.digest.as_str() && done >= self.bytes) {
            self.when.notify_one();
        }
    }
}

fn of_path<'a>(seen: &'a [Seen], method: &str, part: &str) -> Vec<&'a Seen> {
    seen.iter().filter(|seen| seen.method == method && seen.path.contains(part)).collect()
}

fn get(place: &MemoryPlace, blob: &Descriptor) -> Bytes {
    place.get(&blob.digest).unwrap()
}

#[test]
fn blobs_come_at_once_over_one_connection() {
    let (origin, manifest, blobs) = image(&[300_000, 700_000, 6 * MIB]);
    let (place, seen) = run(async {
        let registry = registry_of(&origin, &manifest, &blobs).await;
        registry.gather(4);
        let place = MemoryPlace::new();
        let remote = registry.remote(Access::Pull, options());
        copy(&remote, &place, &manifest, &CopyOptions::new(&Silent)).await.unwrap();
        (place, registry.seen())
    });
    for blob in &blobs {
        assert_eq!(get(&place, blob), get(&origin, blob));
    }
    assert_eq!(of_path(&seen, "GET", "/blobs/").len(), 4, "{seen:#?}");
    assert!(seen.iter().all(|seen| seen.version == Version::HTTP_2 && seen.connection == 0), "{seen:#?}");
}

#[test]
fn small_layers_come_at_once_over_one_connection() {
    let (origin, manifest, blobs) = image(&[20_000; 30]);
    let seen = run(async {
        let registry = registry_of(&origin, &manifest, &blobs).await;
        // No blob is sent before twenty are asked for.
        registry.gather(20);
        let remote = registry.remote(Access::Pull, options());
        let (sink, options) = (MemoryPlace::new(), CopyOptions::new(&Silent));
        let copied = copy(&remote, &sink, &manifest, &options);
        // The last ones are too few for another such round.
        let _ = tokio::time::timeout(Duration::from_secs(5), copied).await;
        registry.seen()
    });
    assert!(of_path(&seen, "GET", "/blobs/").len() >= 20, "{seen:#?}");
    assert!(seen.iter().all(|seen| seen.version == Version::HTTP_2 && seen.connection == 0), "{seen:#?}");
}

#[test]
fn parts_of_a_large_layer_have_connections_of_their_own() {
    let (origin, manifest, blobs) = image(&[40 * MIB, 1000]);
    let size = 8 << 20;
    let (layer, seen) = run(async {
        let registry = registry_of(&origin, &manifest, &blobs).await;
        let parts = PartPolicy { blob_bytes_min: 32 << 20, size, at_once: 5, loopback: true };
        let remote = registry.remote(Access::Pull, ClientOptions { parts, ..options() });
        let read = |blob: &Descriptor, start: u64, end: u64| {
            let (remote, blob) = (remote.clone(), blob.clone());
            async move {
                let chunks: Vec<Bytes> = remote.read(&blob, start..end).await.unwrap().try_collect().await.unwrap();
                chunks.concat()
            }
        };
        read(&blobs[2], 0, 1000).await;
        let parts = (0..5).map(|number| read(&blobs[1], number * size, (number + 1) * size));
        let layer = futures::future::join_all(parts).await.concat();
        read(&blobs[2], 0, 1000).await;
        (layer, registry.seen())
    });
    assert!(layer == get(&origin, &blobs[1]), "the layer is right");
    let parts = of_path(&seen, "GET", blobs[1].digest.as_str());
    let connections: std::collections::HashSet<usize> = parts.iter().map(|part| part.connection).collect();
    assert_eq!(parts.len(), 5, "{parts:#?}");
    assert!(connections.len() >= 4 && parts.iter().all(|part| part.version == Version::HTTP_2), "{parts:#?}");
    let small = of_path(&seen, "GET", blobs[2].digest.as_str());
    assert!(small.iter().all(|small| small.connection == 0), "what is small stays on the first: {small:#?}");
}

#[test]
fn a_stream_that_is_reset_goes_on_where_it_stopped() {
    let (origin, manifest, blobs) = image(&[2 * MIB, 50_000]);
    let (place, seen) = run(async {
        let registry = registry_of(&origin, &manifest, &blobs).await;
        let arrival = Arrival { digest: blobs[1].digest.clone(), bytes: MIB as u64, when: Arc::default() };
        registry.script(Method::GET, blobs[1].digest.as_str(), Fault::Reset(MIB, Arc::clone(&arrival.when)));
        let place = MemoryPlace::new();
        let remote = registry.remote(Access::Pull, options());
        copy(&remote, &place, &manifest, &CopyOptions::new(&arrival)).await.unwrap();
        (place, registry.seen())
    });
    assert_eq!(get(&place, &blobs[1]), get(&origin, &blobs[1]));
    let ranges: Vec<_> =
        of_path(&seen, "GET", blobs[1].digest.as_str()).into_iter().map(|seen| seen.range.as_deref()).collect();
    assert_eq!(ranges, [None, Some("bytes=1048576-2097151")]);
    assert!(seen.iter().all(|seen| seen.connection == 0), "the others' connection is not given up: {seen:#?}");
}

#[test]
fn a_connection_that_fell_silent_is_replaced() {
    let (origin, manifest, blobs) = image(&[2 * MIB]);
    let (place, seen) = run(async {
        let registry = registry_of(&origin, &manifest, &blobs).await;
        let arrival = Arrival { digest: blobs[1].digest.clone(), bytes: MIB as u64, when: Arc::default() };
        registry.script(Method::GET, blobs[1].digest.as_str(), Fault::Silence(MIB, Arc::clone(&arrival.when)));
        let place = MemoryPlace::new();
        let patience = ClientOptions { body_patience: Duration::from_secs(6), ..options() };
        let remote = registry.remote(Access::Pull, patience);
        copy(&remote, &place, &manifest, &CopyOptions::new(&arrival)).await.unwrap();
        (place, registry.seen())
    });
    assert_eq!(get(&place, &blobs[1]), get(&origin, &blobs[1]));
    let last = seen.last().unwrap();
    assert_eq!((last.connection, last.range.as_deref()), (1, Some("bytes=1048576-2097151")), "{seen:#?}");
}

#[test]
fn blobs_are_pushed() {
    let (origin, manifest, blobs) = image(&[3 * MIB, 10]);
    run(async {
        let registry = Http2Registry::start().await;
        let remote = registry.remote(Access::Push, options());
        let options = CopyOptions { leave_root: true, ..CopyOptions::new(&Silent) };
        let copied = copy(&origin, &remote, &manifest, &options).await.unwrap();
        assert_eq!(copied.blobs_moved, 3);
        for blob in &blobs {
            assert_eq!(registry.blob(&blob.digest).unwrap(), get(&origin, blob));
        }
        let seen = registry.seen();
        assert!(seen.iter().all(|seen| seen.version == Version::HTTP_2 && seen.connection == 0), "{seen:#?}");
        let mut lengths: Vec<_> = of_path(&seen, "PUT", "/uploads/").iter().map(|seen| seen.length).collect();
        lengths.sort_unstable();
        assert_eq!(lengths, [Some(10), Some(37), Some(3 * MIB as u64)], "lengths are announced");
    });
}

#[test]
fn an_upload_that_is_reset_goes_on_where_it_stopped() {
    let (origin, manifest, blobs) = image(&[6 * MIB]);
    run(async {
        let registry = Http2Registry::start().await;
        registry.put_blob(get(&origin, &blobs[0]));
        registry.script(Method::PATCH, "/uploads/", Fault::ResetRequest(4 * MIB));
        let options = ClientOptions { upload_style: Some(UploadStyle::Patch), ..options() };
        let remote = registry.remote(Access::Push, options);
        let options = CopyOptions { leave_root: true, ..CopyOptions::new(&Silent) };
        copy(&origin, &remote, &manifest, &options).await.unwrap();
        assert_eq!(registry.blob(&blobs[1].digest).unwrap(), get(&origin, &blobs[1]));
        let seen = registry.seen();
        let patches = of_path(&seen, "PATCH", "/uploads/");
        let lengths: Vec<u64> = patches.iter().map(|seen| seen.length.unwrap()).collect();
        assert!(lengths.len() == 2 && lengths[1] < lengths[0], "{seen:#?}");
    });
}

#[test]
fn an_answer_before_the_end_of_the_body_is_heard() {
    let (origin, manifest, blobs) = image(&[20 * MIB]);
    for refusal in [Fault::Refuse(413), Fault::RefuseOpen(413)] {
        run(async {
            // A source that gives a bit at a time, so that the answer comes between two writes.
            let source = registry_of(&origin, &manifest, &blobs).await;
            let registry = Http2Registry::start().await;
            registry.script(Method::PUT, "/uploads/", refusal);
            registry.put_blob(get(&origin, &blobs[0]));
            let remote = registry.remote(Access::Push, options());
            let source = source.remote(Access::Pull, options());
            let options = CopyOptions { leave_root: true, ..CopyOptions::new(&Silent) };
            copy(&source, &remote, &manifest, &options).await.unwrap();
            assert_eq!(registry.blob(&blobs[1].digest).unwrap(), get(&origin, &blobs[1]));
            let seen = registry.seen();
            assert_eq!(of_path(&seen, "PATCH", "/uploads/").len(), 2, "chunks of 16 MiB: {seen:#?}");
            assert!(seen.iter().all(|seen| seen.connection == 0), "{seen:#?}");
        });
    }
}
