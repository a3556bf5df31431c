//! Tags that are set without a look at their manifest, beside deletions of it by another server.

#![allow(clippy::unwrap_used, reason = "a failed operation fails the test")]

use bytes::Bytes;
use dhow_spec::Tag;
use dhow_spec::digest::Digest;
use object_store::memory::InMemory;
use object_store::path::Path;

use super::objects::Objects;
use super::record::{self, ManifestHead};
use super::{BELIEVED, Bucket};
use crate::name::RepositoryName;
use crate::route::ManifestName;
use crate::storage::{Key, ManifestPut, NewManifest, NewTag, Storage as _};

fn place() -> RepositoryName {
    RepositoryName::parse("team/app").unwrap()
}

fn tag(name: &str) -> Tag {
    Tag::parse(name).unwrap()
}

fn manifest(name: &str) -> NewManifest {
    NewManifest {
        digest: Digest::sha256(b"manifest"),
        media_type: "application/x".to_owned(),
        bytes: Bytes::from_static(b"manifest"),
        blobs: Vec::new(),
        referrer: None,
        tags: vec![NewTag { tag: tag(name), may_move: true }],
    }
}

/// Servers on one store, and the store.
fn servers<const COUNT: usize>() -> ([Bucket; COUNT], Objects) {
    let objects = Objects::new(InMemory::new(), Path::default(), "memory://");
    (std::array::from_fn(|_| Bucket::new(objects.clone())), objects)
}

/// Whether the manifest is in the store, and whether it is being deleted.
async fn state(objects: &Objects) -> Option<bool> {
    let key = Key::manifest(&place(), &manifest("v").digest);
    let read = objects.get(key.as_str(), 1 << 20).await.unwrap()?;
    Some(record::read::<ManifestHead>(key.as_str(), &read.bytes).unwrap().0.going.is_some())
}

#[tokio::test]
async fn a_tag_that_was_set_in_belief_goes_with_its_manifest() {
    let ([one, other, third], objects) = servers();
    let digest = manifest("v").digest;
    assert_eq!(one.put_manifest(&place(), manifest("v1")).await.unwrap(), ManifestPut::Stored);
    assert!(other.delete_manifest(&place(), &digest, &[tag("v1")], None).await.unwrap());
    assert_eq!(one.put_manifest(&place(), manifest("v2")).await.unwrap(), ManifestPut::Stored);
    assert_eq!(state(&objects).await, Some(true), "the other server believed it to be there");
    // Whoever is told that it is gone and pushes it again finds nobody who believes.
    for name in [ManifestName::Digest(digest.clone()), ManifestName::Tag(tag("v2"))] {
        assert!(third.manifest(&place(), &name).await.unwrap().is_some(), "it is there until it is gone for all");
    }
    other.finish_deletion(&place(), &digest).await.unwrap();
    assert_eq!(state(&objects).await, None);
    assert!(third.tag(&place(), &tag("v2")).await.unwrap().is_none());
    for (server, name) in [(&one, "v3"), (&third, "v4")] {
        assert_eq!(server.put_manifest(&place(), manifest(name)).await.unwrap(), ManifestPut::Stored);
        assert_eq!(state(&objects).await, Some(false));
    }
}

#[tokio::test]
async fn what_is_being_deleted_is_not_believed() {
    let ([one, other, third], objects) = servers();
    let digest = manifest("v").digest;
    assert_eq!(one.put_manifest(&place(), manifest("v1")).await.unwrap(), ManifestPut::Stored);
    assert!(other.delete_manifest(&place(), &digest, &[], None).await.unwrap());
    for name in [ManifestName::Digest(digest.clone()), ManifestName::Tag(tag("v1"))] {
        assert!(third.manifest(&place(), &name).await.unwrap().is_some());
    }
    assert_eq!(third.put_manifest(&place(), manifest("v2")).await.unwrap(), ManifestPut::Stored);
    assert_eq!(state(&objects).await, Some(false), "it was pushed in full");
    other.finish_deletion(&place(), &digest).await.unwrap();
    for name in [ManifestName::Tag(tag("v2")), ManifestName::Digest(digest)] {
        assert!(one.manifest(&place(), &name).await.unwrap().is_some(), "{name:?}");
    }
}

#[tokio::test]
async fn two_deletions_at_once_end_both() {
    let ([one, other], objects) = servers();
    let digest = manifest("v").digest;
    assert_eq!(one.put_manifest(&place(), manifest("v1")).await.unwrap(), ManifestPut::Stored);
    for server in [&one, &other] {
        assert!(server.delete_manifest(&place(), &digest, &[tag("v1")], None).await.unwrap());
    }
    let place = place();
    let (first, second) = tokio::join!(one.finish_deletion(&place, &digest), other.finish_deletion(&place, &digest));
    first.and(second).unwrap();
    assert_eq!(state(&objects).await, None);
    assert!(!one.delete_manifest(&place, &digest, &[], None).await.unwrap());
}

#[tokio::test]
async fn only_what_was_pushed_to_the_end_is_believed() {
    let ([one, ..], objects) = servers::<1>();
    let new = NewManifest { blobs: vec![(Digest::sha256(b"blob"), 4)], ..manifest("v1") };
    // What a push writes before it looks for the blobs.
    let head = ManifestHead { media_type: Some("application/x".to_owned()), push: "1".to_owned(), going: None };
    let key = Key::manifest(&place(), &new.digest);
    objects.put(key.as_str(), record::write(&head, &new.bytes).unwrap()).await.unwrap();
    assert!(one.manifest(&place(), &ManifestName::Digest(new.digest.clone())).await.unwrap().is_some());
    let lacks = ManifestPut::Lacks(Digest::sha256(b"blob"));
    assert_eq!(one.put_manifest(&place(), new.clone()).await.unwrap(), lacks);
    one.put_blob(&place(), &Digest::sha256(b"blob"), Bytes::from_static(b"blob")).await.unwrap();
    assert_eq!(one.put_manifest(&place(), new).await.unwrap(), ManifestPut::Stored);
}

#[tokio::test]
async fn what_was_seen_long_ago_is_looked_for() {
    let ([one, other], objects) = servers();
    let digest = manifest("v").digest;
    assert_eq!(one.put_manifest(&place(), manifest("v1")).await.unwrap(), ManifestPut::Stored);
    tokio::time::sleep(BELIEVED).await;
    assert!(other.delete_manifest(&place(), &digest, &[tag("v1")], None).await.unwrap());
    assert_eq!(one.put_manifest(&place(), manifest("v2")).await.unwrap(), ManifestPut::Stored);
    assert_eq!(state(&objects).await, Some(false), "it was pushed in full");
}
