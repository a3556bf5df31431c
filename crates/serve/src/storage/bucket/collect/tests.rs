//! A collection beside pushes, in memory: what was answered for stays whole, what nobody needs goes.

#![allow(clippy::unwrap_used, reason = "a failed operation fails the test")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use dhow_spec::Tag;
use dhow_spec::digest::Digest;
use object_store::memory::InMemory;
use object_store::path::Path;

use super::{collect_older, scrub};
use crate::collect::Collected;
use crate::name::{RepositoryName, UploadId};
use crate::random::random;
use crate::route::ManifestName;
use crate::storage::bucket::objects::Objects;
use crate::storage::bucket::{Bucket, keys, open};
use crate::storage::{ManifestPut, NewManifest, NewTag, Storage, Upload, UploadPlan};

async fn bucket() -> (Bucket, Objects) {
    let objects = Objects::new(InMemory::new(), Path::default(), "memory://").with_one_server();
    objects.put(keys::MARKER, "{\"format\":1}").await.unwrap();
    open::check_format(&objects).await.unwrap();
    (Bucket::new(objects.clone()), objects)
}

fn repository(name: &str) -> RepositoryName {
    RepositoryName::parse(name).unwrap()
}

/// A manifest that needs blobs, under a tag.
fn image(blobs: &[&Bytes], tag: &str) -> NewManifest {
    let digests: Vec<String> = blobs.iter().map(|blob| Digest::sha256(blob).to_string()).collect();
    let bytes = serde_json::json!({ "layers": digests, "tag": tag }).to_string();
    NewManifest {
        digest: Digest::sha256(bytes.as_bytes()),
        media_type: "application/x".to_owned(),
        bytes: bytes.into(),
        blobs: blobs.iter().map(|blob| (Digest::sha256(blob), blob.len() as u64)).collect(),
        referrer: None,
        tags: vec![NewTag { tag: Tag::parse(tag).unwrap(), may_move: true }],
    }
}

async fn put(bucket: &Bucket, name: &str, bytes: &Bytes) {
    bucket.put_blob(&repository(name), &Digest::sha256(bytes), bytes.clone()).await.unwrap();
}

/// In parts, so that it lies elsewhere.
async fn upload(bucket: &Bucket, name: &str, bytes: &Bytes) {
    let id = UploadId::from_random(random().unwrap());
    let mut upload = bucket.begin_upload(&id, UploadPlan { repository: repository(name) }).await.unwrap();
    upload.append(vec![bytes.clone()]).await.unwrap();
    upload.commit(&Digest::sha256(bytes)).await.unwrap();
}

async fn mount(bucket: &Bucket, name: &str, digest: &Digest) -> bool {
    match bucket.any_blob(digest).await.unwrap() {
        Some(found) => bucket.mount_blob(&repository(name), digest, &found).await.unwrap(),
        None => false,
    }
}

async fn has(bucket: &Bucket, name: &str, bytes: &Bytes) -> bool {
    match bucket.blob(&repository(name), &Digest::sha256(bytes)).await.unwrap() {
        Some(object) => object.whole(64 << 20).await.unwrap() == *bytes,
        None => false,
    }
}

async fn collected(bucket: &Bucket) -> Collected {
    // Older than what was just written, by a clock that tells nanoseconds.
    tokio::time::sleep(Duration::from_millis(2)).await;
    collect_older(bucket, Duration::ZERO, false).await.unwrap()
}

#[tokio::test]
async fn what_no_manifest_needs_goes_and_the_rest_stays() {
    let (bucket, objects) = bucket().await;
    let [small, large, parts] = [10, 200_000, 6 << 20].map(|length| Bytes::from(vec![1_u8; length]));
    let [stray, large_stray, stray_parts] = [10, 200_000, 6 << 20].map(|length| Bytes::from(vec![2_u8; length]));
    for blob in [&small, &large, &stray, &large_stray] {
        put(&bucket, "a/b", blob).await;
    }
    for blob in [&parts, &stray_parts] {
        upload(&bucket, "a/b", blob).await;
    }
    let kept = image(&[&small, &large, &parts], "v1");
    assert_eq!(bucket.put_manifest(&repository("a/b"), kept).await.unwrap(), ManifestPut::Stored);
    // Another repository has it, and needs it no more than the first does.
    assert!(mount(&bucket, "c", &Digest::sha256(&large)).await);
    // Pushed again, so that the first content is one too many.
    put(&bucket, "a/b", &large).await;
    // What a server that was killed left behind.
    objects.put(&keys::data("nobody"), "bytes").await.unwrap();

    let young = collect_older(&bucket, Duration::from_secs(3600), false).await.unwrap();
    assert_eq!((young.repositories, young.manifests, young.unlinked, young.removed), (1, 1, 0, 0));
    tokio::time::sleep(Duration::from_millis(2)).await;
    let dry = collect_older(&bucket, Duration::ZERO, true).await.unwrap();
    assert!(has(&bucket, "a/b", &stray).await);
    let done = collected(&bucket).await;
    assert_eq!(dry, done);
    // Three strays and the link of "c"; three strays, the doubled content and the nameless one.
    assert_eq!((done.unlinked, done.removed, done.problems.len()), (4, 5, 0), "{done:?}");
    for blob in [&small, &large, &parts] {
        assert!(has(&bucket, "a/b", blob).await, "{} bytes", blob.len());
    }
    for blob in [&stray, &large_stray, &stray_parts] {
        assert!(!has(&bucket, "a/b", blob).await, "{} bytes", blob.len());
    }
    assert!(!has(&bucket, "c", &large).await);
    assert_eq!(collected(&bucket).await.removed, 0);
    assert_eq!(scrub(&bucket).await.unwrap().problems, Vec::<String>::new());
    assert!(objects.get(keys::LOCK, 1 << 20).await.unwrap().is_none());
    assert!(objects.get(keys::SWEEP, 1 << 20).await.unwrap().is_none());
}

#[tokio::test]
async fn damage_is_found_and_keeps_a_repository_as_it_is() {
    let (bucket, objects) = bucket().await;
    let (blob, stray) = (Bytes::from_static(b"blob"), Bytes::from(vec![3; 200_000]));
    put(&bucket, "a", &blob).await;
    put(&bucket, "a", &stray).await;
    let manifest = image(&[&blob], "v1");
    let key = crate::storage::Key::manifest(&repository("a"), &manifest.digest);
    assert_eq!(bucket.put_manifest(&repository("a"), manifest).await.unwrap(), ManifestPut::Stored);
    objects.put(key.as_str(), "{\"mediaType\":\"x\",\"push\":\"1\"}\n{ torn").await.unwrap();
    let done = collected(&bucket).await;
    assert_eq!((done.unlinked, done.removed, done.problems.len()), (0, 0, 1), "{done:?}");
    assert!(has(&bucket, "a", &stray).await);
    let found = scrub(&bucket).await.unwrap();
    assert_eq!((found.contents, found.problems.len()), (3, 1), "{found:?}");
    assert!(found.problems[0].contains(key.as_str()), "{found:?}");
}

/// Pushes until it is told to stop; returns what it was told is there.
async fn push(bucket: Bucket, name: &'static str, stop: Arc<AtomicBool>) -> Vec<(NewManifest, Vec<Bytes>)> {
    let mut pushed = Vec::new();
    for number in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        // All pushers have these, so that they link to each other's contents; used again and again, they are seldom old.
        let shared = Bytes::from(format!("shared {}", number % 3));
        let long = Bytes::from(vec![(number % 3) as u8; 200_000]);
        // Nobody else has this one: without its manifest the collector takes it.
        let own = Bytes::from(format!("{name} {number}"));
        let tag = format!("v{number}");
        let new = image(&[&shared, &long, &own], &tag);
        loop {
            for blob in [&shared, &long, &own] {
                let digest = Digest::sha256(blob);
                let is_there = bucket.blob(&repository(name), &digest).await.unwrap().is_some()
                    || mount(&bucket, name, &digest).await;
                if !is_there {
                    put(&bucket, name, blob).await;
                }
            }
            match bucket.put_manifest(&repository(name), new.clone()).await.unwrap() {
                ManifestPut::Stored => break,
                ManifestPut::Lacks(_) => tokio::task::yield_now().await,
                other => panic!("{other:?}"),
            }
        }
        for blob in [&shared, &long, &own] {
            assert!(has(&bucket, name, blob).await, "{name} {number} lost a blob");
        }
        let tags = [Tag::parse(&tag).unwrap()];
        if number % 7 == 0 {
            pushed.push((new, vec![shared, long, own]));
        } else {
            bucket.delete_manifest(&repository(name), &new.digest, &tags, None).await.unwrap();
        }
        // In between nothing needs anything.
        if number % 7 == 6 {
            for (old, _) in pushed.drain(..) {
                let tags: Vec<Tag> = old.tags.iter().map(|new| new.tag.clone()).collect();
                bucket.delete_manifest(&repository(name), &old.digest, &tags, None).await.unwrap();
            }
        }
    }
    pushed
}

async fn check_whole(bucket: &Bucket, name: &str, pushed: &[(NewManifest, Vec<Bytes>)]) {
    for (manifest, blobs) in pushed {
        let found = bucket.manifest(&repository(name), &ManifestName::Tag(manifest.tags[0].tag.clone())).await.unwrap();
        assert_eq!(found.unwrap().digest, manifest.digest);
        for blob in blobs {
            assert!(has(bucket, name, blob).await, "{name} lost a blob");
        }
    }
}

/// As short as can be: what is written and linked in one go is younger. Every other moment of a push is one in which the
/// collector may come.
const AGE: Duration = Duration::from_millis(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn pushes_and_collections_at_once() {
    const NAMES: [&str; 4] = ["a", "a/b", "c", "d"];
    let (bucket, objects) = bucket().await;
    let stop = Arc::new(AtomicBool::new(false));
    // Each has a server of its own.
    let servers = NAMES.map(|name| (name, Bucket::new(objects.clone())));
    let pushing = servers.clone().map(|(name, server)| tokio::spawn(push(server, name, Arc::clone(&stop))));
    let (mut removed, mut killed) = (0, 0);
    let begun = std::time::Instant::now();
    let enough = |removed: u64, killed: u64| removed > 20 && killed > 2;
    for round in 0_u64.. {
        // How much that is depends on the machine: a slow one gets the time it needs.
        let limit = if enough(removed, killed) { 4 } else { 60 };
        if begun.elapsed() > Duration::from_secs(limit) {
            break;
        }
        // Every third may be killed anywhere.
        let patience = match round % 3 {
            0 => Duration::from_micros(u64::from(random::<1>().unwrap()[0]) * 200),
            _ => Duration::from_secs(60),
        };
        match tokio::time::timeout(patience, collect_older(&bucket, AGE, false)).await {
            Ok(done) => removed += done.unwrap().removed,
            Err(_) => killed += 1,
        }
    }
    stop.store(true, Ordering::Relaxed);
    for (pushing, (name, server)) in pushing.into_iter().zip(servers) {
        check_whole(&server, name, &pushing.await.unwrap()).await;
    }
    assert!(enough(removed, killed), "{removed} contents were removed, {killed} collectors killed");
    collected(&bucket).await;
    let left = collect_older(&bucket, Duration::ZERO, true).await.unwrap();
    assert_eq!((left.unlinked, left.removed), (0, 0));
    assert_eq!(scrub(&bucket).await.unwrap().problems, Vec::<String>::new());
}
