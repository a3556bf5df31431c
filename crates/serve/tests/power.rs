//! The power fails at every sync: what was answered 201 is there afterwards, and nothing is there by halves.

#![allow(clippy::unwrap_used, reason = "a failed request fails the test")]

#[path = "registry/harness.rs"]
#[allow(dead_code, reason = "shared with the other tests")]
mod harness;

use std::collections::BTreeMap;
use std::path::Path;

use dhow_serve::Limits;
use dhow_spec::Digest;
use dhow_testkit::forgetful::{Forgetful, Handle, Unsynced};
use dhow_testkit::peers::available;
use reqwest::{Method, Response};

use harness::{OCI_MANIFEST, Registry, json_of, manifest, noise};

/// Too long to go straight to its place.
const LAYER_BYTES: usize = 150_000;

/// What clients were told: what each path answers, or that there is nothing.
type Acknowledged = BTreeMap<String, Option<Vec<u8>>>;

/// Requests that change something, in order, until one fails.
struct Client<'a> {
    registry: &'a Registry,
    acknowledged: Acknowledged,
    /// What the request that failed may have done all the same.
    doubtful: Acknowledged,
}

impl Client<'_> {
    async fn attempt(
        &mut self,
        path: String,
        content: Option<Vec<u8>>,
        request: reqwest::RequestBuilder,
    ) -> Result<(), ()> {
        let response: Response = request.send().await.unwrap();
        let done = response.status().is_success();
        if done { &mut self.acknowledged } else { &mut self.doubtful }.insert(path, content);
        if done { Ok(()) } else { Err(()) }
    }

    async fn push_small(&mut self, repository: &str, bytes: &[u8]) -> Result<Digest, ()> {
        let digest = Digest::sha256(bytes);
        let request = self.registry.request(Method::POST, &format!("/v2/{repository}/blobs/uploads/?digest={digest}"));
        let path = format!("/v2/{repository}/blobs/{digest}");
        self.attempt(path, Some(bytes.to_vec()), request.body(bytes.to_vec())).await?;
        Ok(digest)
    }

    async fn push_in_chunks(&mut self, repository: &str, bytes: &[u8]) -> Result<Digest, ()> {
        let digest = Digest::sha256(bytes);
        let begun =
            self.registry.request(Method::POST, &format!("/v2/{repository}/blobs/uploads/")).send().await.unwrap();
        if !begun.status().is_success() {
            return Err(());
        }
        let session = harness::location(&begun);
        let (first, second) = bytes.split_at(bytes.len() / 2);
        let patched = self.registry.request(Method::PATCH, &session).body(first.to_vec()).send().await.unwrap();
        if !patched.status().is_success() {
            return Err(());
        }
        let request = self.registry.request(Method::PUT, &format!("{session}?digest={digest}")).body(second.to_vec());
        self.attempt(format!("/v2/{repository}/blobs/{digest}"), Some(bytes.to_vec()), request).await?;
        Ok(digest)
    }

    async fn push_manifest(&mut self, repository: &str, tag: &str, bytes: String) -> Result<(), ()> {
        let path = format!("/v2/{repository}/manifests/{tag}");
        let request =
            self.registry.request(Method::PUT, &path).header("content-type", OCI_MANIFEST).body(bytes.clone());
        self.attempt(path, Some(bytes.into_bytes()), request).await
    }

    async fn delete(&mut self, path: String) -> Result<(), ()> {
        let request = self.registry.request(Method::DELETE, &path);
        self.attempt(path, None, request).await
    }

    async fn mount(&mut self, to: &str, from: &str, bytes: &[u8]) -> Result<(), ()> {
        let digest = Digest::sha256(bytes);
        let query = format!("mount={digest}&from={from}");
        let request = self.registry.request(Method::POST, &format!("/v2/{to}/blobs/uploads/?{query}"));
        self.attempt(format!("/v2/{to}/blobs/{digest}"), Some(bytes.to_vec()), request).await
    }

    async fn everything(&mut self) -> Result<(), ()> {
        let layer = noise(LAYER_BYTES);
        let config = self.push_small("a/b", b"{}").await?;
        let layer_digest = self.push_in_chunks("a/b", &layer).await?;
        let image = manifest(&config, 2, &layer_digest, layer.len() as u64);
        self.push_manifest("a/b", "v1", image.to_string()).await?;
        let mut signature = manifest(&config, 2, &config, 2);
        signature["subject"] = serde_json::json!({
            "mediaType": OCI_MANIFEST, "digest": Digest::sha256(image.to_string().as_bytes()).as_str(), "size": 1,
        });
        // A tag that moves must be the old one or the new one, never none.
        self.push_manifest("a/b", "v1", signature.to_string()).await?;
        self.push_manifest("a/b", "v2", signature.to_string()).await?;
        self.mount("c", "a/b", &layer).await?;
        self.delete("/v2/a/b/manifests/v2".to_owned()).await?;
        self.push_small("c", b"").await?;
        self.delete(format!("/v2/c/blobs/{layer_digest}")).await
    }
}

/// Runs everything on a disk, then takes the server down.
async fn run(root: &Path) -> (Acknowledged, Acknowledged) {
    let registry = Registry::open(root, Limits::default()).await;
    let mut client = Client { registry: &registry, acknowledged: Acknowledged::new(), doubtful: Acknowledged::new() };
    let _ = client.everything().await;
    let Client { acknowledged, doubtful, .. } = client;
    registry.stop().await;
    (acknowledged, doubtful)
}

async fn check(registry: &Registry, acknowledged: &Acknowledged, doubtful: &Acknowledged, when: &str) {
    for (path, content) in acknowledged {
        let got = registry.get(path).await;
        let found = if got.status() == 200 { Some(got.bytes().await.unwrap().to_vec()) } else { None };
        let is_as_told = found == *content || doubtful.get(path) == Some(&found);
        assert!(is_as_told, "{when}: {path} is {}", if found.is_some() { "another" } else { "missing" });
    }
    for (path, content) in doubtful {
        let got = registry.get(path).await;
        if got.status() == 200 && !acknowledged.contains_key(path) {
            assert_eq!(Some(got.bytes().await.unwrap().to_vec()), *content, "{when}: {path}");
        }
    }
    for repository in ["a/b", "c"] {
        let tags = json_of(registry.get(&format!("/v2/{repository}/tags/list")).await).await;
        for tag in tags["tags"].as_array().into_iter().flatten() {
            let got = registry.get(&format!("/v2/{repository}/manifests/{}", tag.as_str().unwrap())).await;
            assert_eq!(got.status(), 200, "{when}: {repository}:{tag}");
        }
    }
}

#[tokio::test]
async fn nothing_that_was_acknowledged_is_lost() {
    if available(Forgetful::possible()).is_none() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let mount = || Forgetful::mount(directory.path()).unwrap();
    let root = directory.path().join("registry");
    // The folder's own making is one thing, what clients are told another: they are told nothing before it is made.
    let make = async |handle: Handle| {
        Registry::open(&root, Limits::default()).await.stop().await;
        handle.remount_durable().unwrap()
    };
    let handle = make(mount()).await;
    let (acknowledged, doubtful) = run(&root).await;
    assert_eq!((acknowledged.len(), doubtful.len()), (6, 0));
    let syncs = handle.syncs();
    assert!(syncs > 8, "only {syncs} syncs");
    drop(handle);
    for cut in 1..=syncs {
        for unsynced in [Unsynced::Lost, Unsynced::NamesKept, Unsynced::Random(cut)] {
            let handle = make(mount()).await;
            handle.cut_at(cut);
            let (acknowledged, doubtful) = run(&root).await;
            assert!(handle.is_cut());
            let mut handle = handle.remount(unsynced).unwrap();
            let registry = Registry::open(&root, Limits::default()).await;
            check(&registry, &acknowledged, &doubtful, &format!("cut at sync {cut}, unsynced {unsynced:?}")).await;
            registry.stop().await;
            handle.unmount().unwrap();
        }
    }
}
