//! Servers on a real S3 server: what one push costs, and that any server goes on with what another began.

#![allow(clippy::unwrap_used, reason = "a failed request fails the test")]

#[path = "registry/harness.rs"]
#[allow(dead_code, reason = "shared with the other tests")]
mod harness;

use dhow_base::Kind;
use dhow_serve::{ObjectStorage, ServeOptions, StoreOptions, bind, collect_bucket, scrub_bucket};
use dhow_spec::Digest;
use dhow_testkit::peers::{Seaweed, available};
use reqwest::Method;
use std::time::{Duration, Instant};

use harness::{OCI_MANIFEST, Registry, failure, header, json_of, location, manifest, noise, outcome};

fn storage(server: &Seaweed) -> ObjectStorage {
    let environment = server.environment().map(|(name, value)| (name.to_owned(), value));
    let location = format!("s3://{}/registry", Seaweed::BUCKET);
    ObjectStorage { environment: StoreOptions(environment.into()), ..ObjectStorage::new(location) }
}

async fn serve(storage: ObjectStorage) -> Registry {
    Registry::serve(ServeOptions { storage: Some(storage), ..ServeOptions::new("") }).await
}

/// A blob as docker pushes it.
async fn push_as_docker(registry: &Registry, repository: &str, bytes: &[u8]) -> Digest {
    let digest = Digest::sha256(bytes);
    let head = registry.request(Method::HEAD, &format!("/v2/{repository}/blobs/{digest}")).send().await.unwrap();
    assert_eq!(head.status(), 404);
    let session = registry.begin(repository).await;
    let patched = registry.request(Method::PATCH, &session).body(bytes.to_vec()).send().await.unwrap();
    assert_eq!(patched.status(), 202);
    let put = format!("{}?digest={digest}", location(&patched));
    assert_eq!(registry.request(Method::PUT, &put).send().await.unwrap().status(), 201);
    digest
}

/// The requests that the server counts, once they are more than before and become no more: a count may come after its answer.
async fn counted(server: &Seaweed, before: u64) -> u64 {
    let begun = Instant::now();
    let (mut last, mut times) = (before, 0);
    while (last == before || times < 3) && begun.elapsed() < Duration::from_secs(30) {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let now = server.requests().unwrap();
        times = if now == last { times + 1 } else { 0 };
        last = now;
    }
    last
}

#[tokio::test]
async fn requests_are_few() {
    let Some(server) = available(Seaweed::start()) else { return };
    let registry = serve(storage(&server)).await;
    let config = noise(1_500);
    let layer = noise(1 << 20);
    // What a server does at its start is not counted.
    let mut before = counted(&server, 0).await;
    let mut costs = async |what: &str, expected_max: u64| {
        let now = counted(&server, before).await;
        let cost = now - before;
        before = now;
        assert!((1..=expected_max).contains(&cost), "{what}: {cost} requests, {expected_max} at most");
    };
    let config_digest = push_as_docker(&registry, "a", &config).await;
    let layer_digest = push_as_docker(&registry, "a", &layer).await;
    let bytes = manifest(&config_digest, 1_500, &layer_digest, 1 << 20).to_string();
    assert_eq!(registry.put_manifest("a", "v1", OCI_MANIFEST, &bytes).await.status(), 201);
    // Without a pause: a while after the push it costs one more.
    assert_eq!(registry.put_manifest("a", "v2", OCI_MANIFEST, &bytes).await.status(), 201);
    costs("push of an image with two blobs and another tag", 14 + 1).await;
    tokio::time::sleep(Duration::from_millis(2_200)).await;
    assert_eq!(registry.put_manifest("a", "v3", OCI_MANIFEST, &bytes).await.status(), 201);
    costs("another tag of a manifest that was not seen for a while", 2).await;
    for path in ["/v2/a/manifests/v1".to_owned(), format!("/v2/a/manifests/{}", Digest::sha256(bytes.as_bytes()))] {
        registry.get(&path).await;
        costs("manifest", 1).await;
        assert_eq!(registry.get(&path).await.text().await.unwrap(), bytes);
        costs("manifest once more", 1).await;
    }
    let whole = registry.get(&format!("/v2/a/blobs/{config_digest}")).await;
    assert!(whole.bytes().await.unwrap() == config);
    costs("config", 1).await;
    let part = registry.request(Method::GET, &format!("/v2/a/blobs/{layer_digest}")).header("range", "bytes=5-9");
    assert!(part.send().await.unwrap().bytes().await.unwrap() == layer[5..10]);
    costs("layer", 2).await;
}

#[tokio::test]
async fn an_upload_goes_on_through_any_server() {
    let Some(server) = available(Seaweed::start()) else { return };
    let servers = [serve(storage(&server)).await, serve(storage(&server)).await, serve(storage(&server)).await];
    let bytes = noise(12 << 20);
    let digest = Digest::sha256(&bytes);
    let session = servers[0].begin("a/b").await;
    let chunk = |first: usize, end: usize| (format!("{first}-{}", end - 1), bytes[first..end].to_vec());
    let mut sent = 0;
    for (turn, end) in [100_000, 6 << 20, 7 << 20, 12 << 20].into_iter().enumerate() {
        let (range, body) = chunk(sent, end);
        let server = &servers[(turn + 1) % 3];
        let patched = server.request(Method::PATCH, &session).header("content-range", range).body(body);
        assert_eq!(patched.send().await.unwrap().status(), 202, "{turn}");
        sent = end;
        for server in &servers {
            assert_eq!(header(&server.get(&session).await, "range"), format!("0-{}", end - 1));
        }
    }
    // One that has fallen behind is told where the upload stands.
    let (range, body) = chunk(0, 5);
    let late = servers[2].request(Method::PATCH, &session).header("content-range", range).body(body);
    assert_eq!(late.send().await.unwrap().status(), 416);
    let put = servers[2].request(Method::PUT, &format!("{session}?digest={digest}")).send().await.unwrap();
    assert_eq!(put.status(), 201, "{}", put.text().await.unwrap());
    for server in &servers {
        assert!(server.get(&format!("/v2/a/b/blobs/{digest}")).await.bytes().await.unwrap() == bytes);
    }
    // The first server begins one and hears nothing of the rest: its PUT has to find all the bytes.
    let session = servers[0].begin("a/b").await;
    let small = noise(40_000);
    let patched = servers[1].request(Method::PATCH, &session).body(small.clone()).send().await.unwrap();
    assert_eq!(patched.status(), 202);
    let path = format!("{session}?digest={}", Digest::sha256(&small));
    assert_eq!(servers[0].request(Method::PUT, &path).send().await.unwrap().status(), 201);
    // Cancelled through one, gone for all.
    let session = servers[0].begin("a/b").await;
    servers[1].request(Method::PATCH, &session).body("bytes").send().await.unwrap();
    assert_eq!(servers[2].delete(&session).await.status(), 204);
    assert_eq!(outcome(servers[0].get(&session).await).await, failure(404, "BLOB_UPLOAD_UNKNOWN"));
    assert_eq!(outcome(servers[1].get(&session).await).await, failure(404, "BLOB_UPLOAD_UNKNOWN"));
}

#[tokio::test]
async fn servers_see_what_others_did() {
    let Some(server) = available(Seaweed::start()) else { return };
    let (one, other) = (serve(storage(&server)).await, serve(storage(&server)).await);
    let first = one.push_image("team/app", "v1", "first").await;
    assert_eq!(other.get("/v2/team/app/manifests/v1").await.text().await.unwrap(), first);
    let second = other.push_image("team/app", "v1", "second").await;
    assert_eq!(one.get("/v2/team/app/manifests/v1").await.text().await.unwrap(), second);
    assert_eq!(json_of(one.get("/v2/_catalog").await).await["repositories"], serde_json::json!(["team/app"]));
    let digest = Digest::sha256(second.as_bytes());
    assert_eq!(other.delete(&format!("/v2/team/app/manifests/{digest}")).await.status(), 202);
    for path in ["/v2/team/app/manifests/v1".to_owned(), format!("/v2/team/app/manifests/{digest}")] {
        assert_eq!(one.get(&path).await.status(), 404, "{path}");
    }
    let reader = ServeOptions { read_only: true, storage: Some(storage(&server)), ..ServeOptions::new("") };
    let reader = Registry::serve(reader).await;
    let first_digest = Digest::sha256(first.as_bytes());
    assert_eq!(reader.get(&format!("/v2/team/app/manifests/{first_digest}")).await.text().await.unwrap(), first);
    assert_eq!(outcome(reader.delete("/v2/team/app/manifests/v1").await).await, failure(405, "UNSUPPORTED"));

    // The second layer is needed by nobody any more; S3's clock tells whole seconds.
    tokio::time::sleep(Duration::from_secs(4)).await;
    let done = collect_bucket(&storage(&server), Duration::ZERO, false).await.unwrap();
    assert_eq!((done.repositories, done.manifests, done.unlinked, done.removed), (1, 1, 1, 1), "{done:?}");
    assert_eq!(scrub_bucket(&storage(&server)).await.unwrap().problems, Vec::<String>::new());
    assert_eq!(one.get(&format!("/v2/team/app/blobs/{}", Digest::sha256(b"first"))).await.status(), 200);
    assert_eq!(one.get(&format!("/v2/team/app/blobs/{}", Digest::sha256(b"second"))).await.status(), 404);
}

#[tokio::test]
async fn places_that_cannot_be_served_are_named() {
    let Some(server) = available(Seaweed::start()) else { return };
    let empty = ObjectStorage { location: format!("s3://{}/empty", Seaweed::BUCKET), ..storage(&server) };
    let mut wrong = storage(&server);
    wrong.options.0.insert("secret-access-key".to_owned(), "hunter3".to_owned());
    for (storage, read_only, kind) in [(empty, true, Kind::NotFound), (wrong, false, Kind::Denied)] {
        let named = storage.location.clone();
        let options = ServeOptions { read_only, storage: Some(storage), ..ServeOptions::new("") };
        let error = bind("127.0.0.1:0", options).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(&named) && !error.to_string().contains("hunter"), "{error}");
    }
}
