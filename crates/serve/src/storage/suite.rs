//! What every storage does: one suite for all of them.

#![allow(clippy::unwrap_used, reason = "a failed operation fails the test")]

mod google;

use std::time::Duration;

use bytes::Bytes;
use dhow_spec::Tag;
use dhow_spec::digest::{Algorithm, Digest};
use dhow_testkit::peers::{Azurite, Seaweed, available};
use http_body_util::BodyExt as _;
use object_store::memory::InMemory;
use object_store::path::Path;

use super::bucket::objects::Objects;
use super::{
    Bucket, Committed, Folder, Holding, ManifestPut, NewManifest, NewTag, Prefix, Storage, Upload, UploadPlan, bucket,
};
use crate::name::{RepositoryName, UploadId};
use crate::options::{ObjectStorage, StoreOptions};
use crate::random::random;
use crate::route::ManifestName;

#[tokio::test]
async fn a_folder_keeps_to_it() {
    let folder = tempfile::tempdir().unwrap();
    let storage = Folder::open(folder.path(), false).unwrap();
    check(&storage, &storage).await;
}

#[tokio::test]
async fn memory_keeps_to_it() {
    let objects = Objects::new(InMemory::new(), Path::from("a/prefix"), "memory://a/prefix");
    objects.put("registry.json", "{\"format\":1}").await.unwrap();
    check(&Bucket::new(objects.clone()), &Bucket::new(objects)).await;
}

#[tokio::test]
async fn s3_keeps_to_it() {
    let Some(server) = available(Seaweed::start()) else { return };
    let open = async || bucket::open(&s3(&server, "some/where"), false).await.unwrap();
    check(&open().await, &open().await).await;
}

#[tokio::test]
#[ignore = "fetches Azurite from npm's registry; CONTRIBUTING.md says how to run it"]
async fn azure_keeps_to_it() {
    let Some(server) = available(Azurite::start()) else { return };
    let environment = server.environment().map(|(name, value)| (name.to_owned(), value));
    let location = format!("az://{}/some/where", Azurite::CONTAINER);
    let storage = ObjectStorage { environment: StoreOptions(environment.into()), ..ObjectStorage::new(location) };
    let open = async || bucket::open(&storage, false).await.unwrap();
    check(&open().await, &open().await).await;
}

/// Google's own server is nowhere to be had; this one keeps to its documentation.
#[tokio::test]
async fn google_keeps_to_it() {
    let key = r#"{"disable_oauth":true,"client_email":"","private_key":"","private_key_id":""}"#;
    let address = google::start().await;
    let options = [("base-url", address.as_str()), ("service-account-key", key)];
    let options = options.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let storage =
        ObjectStorage { options: StoreOptions(options.into()), ..ObjectStorage::new("gs://bucket/some/where") };
    let open = async || bucket::open(&storage, false).await.unwrap();
    check(&open().await, &open().await).await;
}

pub(super) fn s3(server: &Seaweed, prefix: &str) -> ObjectStorage {
    let environment = server.environment().map(|(name, value)| (name.to_owned(), value));
    let location = format!("s3://{}/{prefix}", Seaweed::BUCKET);
    ObjectStorage { environment: StoreOptions(environment.into_iter().collect()), ..ObjectStorage::new(location) }
}

/// `other` is another server's view of the same storage, where there can be one.
async fn check<S: Storage>(storage: &S, other: &S) {
    storage.check().await.unwrap();
    blobs(storage, other).await;
    manifests(storage, other).await;
    lists(storage).await;
    holdings(storage, other).await;
    uploads(storage, other).await;
    long_uploads(storage, other).await;
    abandoned_uploads(storage, other).await;
}

fn repository(name: &str) -> RepositoryName {
    RepositoryName::parse(name).unwrap()
}

fn tag(text: &str) -> Tag {
    Tag::parse(text).unwrap()
}

async fn content<S: Storage>(storage: &S, repository: &RepositoryName, digest: &Digest) -> Option<Bytes> {
    match storage.blob(repository, digest).await.unwrap() {
        Some(object) => Some(object.whole(64 << 20).await.unwrap()),
        None => None,
    }
}

async fn blobs<S: Storage>(storage: &S, other: &S) {
    let (here, there) = (repository("blobs/here"), repository("blobs"));
    for bytes in [Bytes::new(), Bytes::from_static(b"short"), Bytes::from(vec![7; 300_000])] {
        let digest = Digest::of(Algorithm::Sha512, &bytes);
        assert!(content(storage, &here, &digest).await.is_none());
        assert!(storage.any_blob(&digest).await.unwrap().is_none());
        storage.put_blob(&here, &digest, bytes.clone()).await.unwrap();
        assert_eq!(content(other, &here, &digest).await.as_ref(), Some(&bytes));
        assert!(content(other, &there, &digest).await.is_none(), "a repository has only what was given to it");
        let found = other.blob(&here, &digest).await.unwrap().unwrap();
        assert!(other.mount_blob(&there, &digest, &found).await.unwrap());
        assert!(storage.delete_blob(&here, &digest).await.unwrap());
        assert!(!other.delete_blob(&here, &digest).await.unwrap());
        assert!(content(storage, &here, &digest).await.is_none());
        let found = storage.any_blob(&digest).await.unwrap().unwrap();
        assert!(storage.mount_blob(&here, &digest, &found).await.unwrap());
        assert_eq!(content(storage, &here, &digest).await, Some(bytes));
    }
    let large = Digest::of(Algorithm::Sha512, &vec![7; 300_000]);
    let object = storage.blob(&here, &large).await.unwrap().unwrap();
    let part = object.body(299_990..299_995, None).await.unwrap().collect().await.unwrap().to_bytes();
    assert_eq!(&part[..], [7; 5]);
}

fn new_manifest(bytes: &'static str, blobs: Vec<(Digest, u64)>, tags: &[(&str, bool)]) -> NewManifest {
    let tags = tags.iter().map(|(name, may_move)| NewTag { tag: tag(name), may_move: *may_move });
    NewManifest {
        digest: Digest::sha256(bytes.as_bytes()),
        media_type: "application/x".to_owned(),
        bytes: bytes.into(),
        blobs,
        referrer: None,
        tags: tags.collect(),
    }
}

async fn manifests<S: Storage>(storage: &S, other: &S) {
    let (here, blob) = (repository("manifests"), Digest::sha256(b"blob"));
    let wanting = new_manifest("one", vec![(blob.clone(), 4)], &[("v1", true), ("fixed", false)]);
    let first = wanting.digest.clone();
    assert_eq!(storage.put_manifest(&here, wanting.clone()).await.unwrap(), ManifestPut::Lacks(blob.clone()));
    assert!(storage.tag(&here, &tag("v1")).await.unwrap().is_none());
    storage.put_blob(&here, &blob, Bytes::from_static(b"blob")).await.unwrap();
    let differs = NewManifest { blobs: vec![(blob.clone(), 5)], ..wanting.clone() };
    let expected = ManifestPut::Differs { digest: blob.clone(), stated: 5, actual: 4 };
    assert_eq!(storage.put_manifest(&here, differs).await.unwrap(), expected);
    for _ in 0..2 {
        assert_eq!(storage.put_manifest(&here, wanting.clone()).await.unwrap(), ManifestPut::Stored);
    }
    for name in [ManifestName::Tag(tag("v1")), ManifestName::Digest(first.clone()), ManifestName::Tag(tag("fixed"))] {
        for storage in [storage, other, storage] {
            let found = storage.manifest(&here, &name).await.unwrap().unwrap();
            assert_eq!((&found.digest, found.media_type.as_str()), (&first, "application/x"));
            assert_eq!(&found.object.whole(100).await.unwrap()[..], b"one");
        }
    }
    let referrer = Some((first.clone(), Bytes::from_static(b"{}")));
    let second = NewManifest { referrer, ..new_manifest("two", Vec::new(), &[("v1", true)]) };
    let second_digest = second.digest.clone();
    assert_eq!(other.put_manifest(&here, second).await.unwrap(), ManifestPut::Stored);
    assert_eq!(storage.tag(&here, &tag("v1")).await.unwrap(), Some(second_digest.clone()), "a moved tag is seen");
    let moving = new_manifest("two", Vec::new(), &[("fixed", false)]);
    let taken = ManifestPut::Taken(tag("fixed"), first.clone());
    assert_eq!(other.put_manifest(&here, moving).await.unwrap(), taken);
    assert_eq!(storage.referrer(&here, &first, &second_digest).await.unwrap().unwrap(), "{}");
    let listed = storage.list(&Prefix::referrers(&here, &first), None, 10).await.unwrap().unwrap();
    assert_eq!(listed.names, [second_digest.as_str()]);

    // Known here, deleted there, and pushed again here: it has to be whole.
    let again = new_manifest("two", Vec::new(), &[("v3", true)]);
    assert!(other.delete_manifest(&here, &second_digest, &[tag("v1")], Some(&first)).await.unwrap());
    other.finish_deletion(&here, &second_digest).await.unwrap();
    assert!(!other.delete_manifest(&here, &second_digest, &[], None).await.unwrap());
    assert_eq!(storage.put_manifest(&here, again).await.unwrap(), ManifestPut::Stored);
    for storage in [storage, other] {
        assert!(storage.manifest(&here, &ManifestName::Digest(second_digest.clone())).await.unwrap().is_some());
        assert!(storage.manifest(&here, &ManifestName::Tag(tag("v1"))).await.unwrap().is_none());
        assert!(storage.referrer(&here, &first, &second_digest).await.unwrap().is_none());
    }
    assert!(other.delete_tag(&here, &tag("v3")).await.unwrap());
    assert!(!storage.delete_tag(&here, &tag("v3")).await.unwrap());
    assert!(storage.manifest(&here, &ManifestName::Tag(tag("v3"))).await.unwrap().is_none());
}

async fn lists<S: Storage>(storage: &S) {
    for name in ["lists", "lists-b", "lists/c", "lists/c/d", "lists.e"] {
        let manifest = new_manifest("list", Vec::new(), &[("v1", true), ("v10", true), ("v2", true), ("v", true)]);
        assert_eq!(storage.put_manifest(&repository(name), manifest).await.unwrap(), ManifestPut::Stored);
    }
    let expected = ["lists", "lists-b", "lists.e", "lists/c", "lists/c/d"];
    for limit in 1..4 {
        let (mut all, mut after) = (Vec::new(), Some("listr".to_owned()));
        loop {
            let page = storage.repositories(after.as_deref(), limit).await.unwrap();
            assert!(page.names.len() <= limit);
            after = page.names.last().cloned();
            all.extend(page.names.into_iter().filter(|name| name.starts_with("lists")));
            if !page.more {
                break;
            }
        }
        assert_eq!(all, expected, "{limit}");
    }
    let tags = Prefix::tags(&repository("lists"));
    let list = async |after, limit| {
        let page = storage.list(&tags, after, limit).await.unwrap().unwrap_or_default();
        (page.names.join(" "), page.more)
    };
    assert_eq!(list(None, 10).await, ("v v1 v10 v2".to_owned(), false));
    assert_eq!(list(None, 2).await, ("v v1".to_owned(), true));
    assert_eq!(list(Some("v1"), 2).await, ("v10 v2".to_owned(), false));
    assert_eq!(list(Some("v11"), 2).await, ("v2".to_owned(), false));
    assert_eq!(list(Some("zz"), 2).await, (String::new(), false));
    let nowhere = Prefix::tags(&repository("lists/nowhere"));
    assert!(storage.list(&nowhere, None, 1).await.unwrap().is_none());
    assert!(storage.list(&Prefix::repository(&repository("lists")), None, 1).await.unwrap().is_some());
    assert!(storage.list(&Prefix::repository(&repository("nothing")), None, 1).await.unwrap().is_none());
}

async fn holdings<S: Storage>(storage: &S, other: &S) {
    let (above, below, beside) = (repository("holdings"), repository("holdings/b"), repository("holdings-c"));
    let blobs = [noise(7), noise(200_000), noise(6 << 20)].map(|bytes| (Digest::sha256(&bytes), bytes));
    for (place, (digest, bytes)) in
        [&above, &below, &beside].into_iter().flat_map(|place| blobs.iter().map(move |blob| (place, blob)))
    {
        let mut upload = storage.begin_upload(&new_id(), UploadPlan { repository: place.clone() }).await.unwrap();
        upload.append(vec![bytes.clone()]).await.unwrap();
        assert_eq!(upload.commit(digest).await.unwrap(), Committed::Stored);
    }
    let manifest = new_manifest("held", Vec::new(), &[("v1", true)]);
    let digest = manifest.digest.clone();
    assert_eq!(storage.put_manifest(&below, manifest).await.unwrap(), ManifestPut::Stored);
    let (mut contents, mut tags) = (Vec::new(), Vec::new());
    let mut note = |holding| match holding {
        Holding::Content(name, held, size) if held == digest => {
            // The storage may put something beside its bytes.
            assert!(name == below && (4..300).contains(&size), "{size}");
        }
        Holding::Content(name, held, size) => contents.push((name.to_string(), held, size)),
        Holding::Tag(name, tag) => tags.push(format!("{name}:{tag}")),
    };
    other.holdings(&above, &mut note).await.unwrap();
    contents.sort_unstable_by_key(|(name, _, size)| (name.clone(), *size));
    let expected = [&above, &below].into_iter().flat_map(|place| {
        blobs.iter().map(move |(digest, bytes)| (place.to_string(), digest.clone(), bytes.len() as u64))
    });
    assert_eq!(contents, expected.collect::<Vec<_>>());
    assert_eq!(tags, ["holdings/b:v1"]);
    storage.holdings(&repository("holdings/nothing"), &mut |holding| panic!("{holding:?}")).await.unwrap();
}

fn plan() -> UploadPlan {
    UploadPlan { repository: repository("uploads") }
}

fn new_id() -> UploadId {
    UploadId::from_random(random().unwrap())
}

async fn uploads<S: Storage>(storage: &S, other: &S) {
    assert!(storage.resume_upload(&new_id()).await.unwrap().is_none());
    for algorithm in Algorithm::ALL {
        let bytes = noise(400_000);
        let (id, digest) = (new_id(), Digest::of(algorithm, &bytes));
        let mut upload = storage.begin_upload(&id, plan()).await.unwrap();
        upload.set_algorithm(algorithm);
        upload.append(vec![bytes.slice(..100_000), bytes.slice(100_000..150_000)]).await.unwrap();
        upload.settle().await.unwrap();
        drop(upload);
        let mut upload = other.resume_upload(&id).await.unwrap().unwrap();
        assert_eq!((upload.length(), upload.plan()), (150_000, &plan()));
        upload.append(vec![bytes.slice(150_000..)]).await.unwrap();
        assert_eq!(upload.commit(&digest).await.unwrap(), Committed::Stored);
        assert_eq!(content(storage, &plan().repository, &digest).await, Some(bytes));
        assert!(other.resume_upload(&id).await.unwrap().is_none());
    }
    for bytes in ["", "wrong"] {
        let (id, digest) = (new_id(), Digest::sha256(b"right"));
        let mut upload = storage.begin_upload(&id, plan()).await.unwrap();
        upload.append(vec![Bytes::from(bytes)]).await.unwrap();
        let actual = Digest::sha256(bytes.as_bytes());
        assert_eq!(upload.commit(&digest).await.unwrap(), Committed::Mismatch(actual));
        assert!(content(storage, &plan().repository, &digest).await.is_none());
        assert!(storage.resume_upload(&id).await.unwrap().is_none());
    }
}

/// Longer than one part; begun, gone on with and finished by turns.
async fn long_uploads<S: Storage>(storage: &S, other: &S) {
    let bytes = noise(17 << 20);
    for algorithm in Algorithm::ALL {
        let (id, digest) = (new_id(), Digest::of(algorithm, &bytes));
        drop(storage.begin_upload(&id, plan()).await.unwrap());
        let mut sent = 0;
        for (turn, end) in [1 << 20, 7 << 20, 8 << 20, 17 << 20].into_iter().enumerate() {
            let storage = if turn % 2 == 0 { storage } else { other };
            let mut upload = storage.resume_upload(&id).await.unwrap().unwrap();
            assert_eq!(upload.length(), sent as u64);
            for piece in (sent..end).step_by(500_000) {
                upload.append(vec![bytes.slice(piece..end.min(piece + 500_000))]).await.unwrap();
            }
            upload.settle().await.unwrap();
            sent = end;
        }
        let upload = storage.resume_upload(&id).await.unwrap().unwrap();
        assert_eq!(upload.commit(&digest).await.unwrap(), Committed::Stored);
        assert!(content(other, &plan().repository, &digest).await.unwrap() == bytes);
    }
}

async fn abandoned_uploads<S: Storage>(storage: &S, other: &S) {
    let (kept, left, dropped) = (new_id(), new_id(), new_id());
    for id in [&kept, &left, &dropped] {
        let mut upload = storage.begin_upload(id, plan()).await.unwrap();
        upload.append(vec![noise(6 << 20)]).await.unwrap();
        upload.settle().await.unwrap();
        if id == &dropped {
            upload.discard().await.unwrap();
        }
    }
    assert!(other.resume_upload(&dropped).await.unwrap().is_none());
    for storage in [storage, other] {
        assert_eq!(storage.expire_uploads(Duration::from_secs(3600), |_| false).await.unwrap(), 0);
    }
    // Some stores know the time of a write to the second only.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let keep = kept.clone();
    assert_eq!(storage.expire_uploads(Duration::ZERO, move |id| *id == keep).await.unwrap(), 1);
    assert!(other.resume_upload(&left).await.unwrap().is_none());
    assert!(other.resume_upload(&kept).await.unwrap().is_some());
}

/// Bytes that look random and are the same in every run.
fn noise(length: usize) -> Bytes {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes.into()
}
