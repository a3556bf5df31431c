//! What outlives a server.

use std::path::PathBuf;
use std::time::Duration;

use dhow_base::{Kind, fs};
use dhow_serve::{CollectOptions, Limits, ServeOptions, bind, collect, scrub};
use dhow_spec::{Algorithm, Digest};
use reqwest::Method;

use crate::harness::{Registry, failure, header, noise, outcome};

#[tokio::test]
async fn an_upload_goes_on_after_a_restart() {
    let mut registry = Registry::start().await;
    let bytes = noise(700_000);
    for algorithm in Algorithm::ALL {
        let session = registry.begin("a").await;
        registry.request(Method::PATCH, &session).body(bytes[..300_000].to_vec()).send().await.unwrap();
        registry = registry.restart().await;
        assert_eq!(header(&registry.get(&session).await, "range"), "0-299999");
        let chunk = registry.request(Method::PATCH, &session).header("content-range", "300000-599999");
        assert_eq!(chunk.body(bytes[300_000..600_000].to_vec()).send().await.unwrap().status(), 202);
        registry = registry.restart().await;
        let digest = Digest::of(algorithm, &bytes);
        let put = registry.request(Method::PUT, &format!("{session}?digest={digest}"));
        assert_eq!(put.body(bytes[600_000..].to_vec()).send().await.unwrap().status(), 201);
        let blob = registry.get(&format!("/v2/a/blobs/{digest}")).await;
        assert!(blob.bytes().await.unwrap() == bytes);
    }
}

#[tokio::test]
async fn a_session_without_bytes_outlives_a_restart_too() {
    let registry = Registry::start().await;
    let session = registry.begin("a").await;
    let registry = registry.restart().await;
    let digest = Digest::sha256(b"bytes");
    let put = registry.request(Method::PUT, &format!("{session}?digest={digest}")).body("bytes");
    assert_eq!(put.send().await.unwrap().status(), 201);
}

#[tokio::test]
async fn uploads_that_nobody_goes_on_with_are_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let registry = Registry::open(folder.path(), Limits::default()).await;
    let session = registry.begin("a").await;
    registry.request(Method::PATCH, &session).body("bytes").send().await.unwrap();
    std::fs::OpenOptions::new().create(true).append(true).open(folder.path().join("uploads/7.tmp")).unwrap();
    registry.stop().await;

    // The server looks through the uploads as soon as it runs.
    let limits = Limits { upload_idle: Duration::from_millis(1), ..Limits::default() };
    let registry = Registry::open(folder.path(), limits).await;
    let left = || std::fs::read_dir(folder.path().join("uploads")).unwrap().count();
    for _ in 0..200 {
        if left() == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(left(), 0);
    assert_eq!(outcome(registry.get(&session).await).await, failure(404, "BLOB_UPLOAD_UNKNOWN"));
}

/// What a server that was killed by a power cut may leave: a journal, and nothing of the files that it tells of.
async fn abandoned() -> (tempfile::TempDir, PathBuf, String) {
    let folder = tempfile::tempdir().unwrap();
    let registry = Registry::open(&folder.path().join("registry"), Limits::default()).await;
    let manifest = registry.push_image("a", "v1", "layer").await;
    let half = registry.root.join("journal/0");
    let journal = std::fs::read(&half).unwrap();
    let (root, ..) = registry.stop().await;
    assert!(!half.exists(), "a server that stops in order leaves no journal");
    for lost in ["repositories", "blobs/sha256"] {
        fs::remove_dir_all(&root.join(lost)).unwrap();
        fs::create_dir_all(&root.join(lost)).unwrap();
    }
    fs::write_atomic(&half, &journal, 0o600, fs::Durability::Cached).unwrap();
    (folder, root, manifest)
}

#[tokio::test]
async fn what_a_killed_server_left_is_put_in_order_by_whoever_comes_first() {
    let (_folder, root, manifest) = abandoned().await;
    let registry = Registry::open(&root, Limits::default()).await;
    assert_eq!(registry.get("/v2/a/manifests/v1").await.text().await.unwrap(), manifest);

    let (_folder, root, manifest) = abandoned().await;
    let reader = Registry::serve(ServeOptions { read_only: true, ..ServeOptions::new(&root) }).await;
    assert_eq!(reader.get("/v2/a/manifests/v1").await.text().await.unwrap(), manifest);

    let (_folder, root, _) = abandoned().await;
    let scrubbed = scrub(&root).unwrap();
    assert_eq!((scrubbed.contents, scrubbed.problems), (3, Vec::new()));

    let (_folder, root, manifest) = abandoned().await;
    let options = CollectOptions { root: root.clone(), grace: Duration::ZERO, dry_run: false };
    let collected = collect(&options).unwrap();
    assert_eq!((collected.repositories, collected.manifests, collected.removed), (1, 1, 0));
    let registry = Registry::open(&root, Limits::default()).await;
    assert_eq!(registry.get("/v2/a/manifests/v1").await.text().await.unwrap(), manifest);
}

#[tokio::test]
async fn one_writer_and_any_number_of_readers() {
    let registry = Registry::start().await;
    let bytes = registry.push_image("a", "v1", "layer").await;
    let refused = bind("127.0.0.1:0", ServeOptions::new(&registry.root)).await.unwrap_err();
    assert_eq!(refused.kind(), Kind::Unavailable);
    assert!(refused.to_string().contains("another server is writing to"), "{refused}");

    let reader = Registry::serve(ServeOptions { read_only: true, ..ServeOptions::new(&registry.root) }).await;
    assert_eq!(reader.get("/v2/a/manifests/v1").await.text().await.unwrap(), bytes);
    for (method, path) in [(Method::POST, "/v2/a/blobs/uploads/"), (Method::DELETE, "/v2/a/manifests/v1")] {
        let refused = reader.request(method, path).send().await.unwrap();
        assert_eq!(outcome(refused).await, failure(405, "UNSUPPORTED"));
    }
}

#[tokio::test]
async fn folders_that_cannot_be_served_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let read_only = ServeOptions { read_only: true, ..ServeOptions::new(folder.path()) };
    assert_eq!(bind("127.0.0.1:0", read_only).await.unwrap_err().kind(), Kind::NotFound);
    drop(bind("127.0.0.1:0", ServeOptions::new(folder.path())).await.unwrap());
    let marker = folder.path().join("registry.json");
    for (text, kind) in [("{\"format\":3}", Kind::Unsupported), ("", Kind::Corrupt)] {
        fs::write_atomic(&marker, text.as_bytes(), 0o600, fs::Durability::Cached).unwrap();
        assert_eq!(bind("127.0.0.1:0", ServeOptions::new(folder.path())).await.unwrap_err().kind(), kind);
    }
    let refused = bind("nowhere", ServeOptions::new(folder.path().join("new"))).await.unwrap_err();
    assert_eq!(refused.kind(), Kind::Invalid);
}
