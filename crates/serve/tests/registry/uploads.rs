//! Blobs on their way in.

use dhow_serve::Limits;
use dhow_spec::{Algorithm, Digest};
use reqwest::Method;

use crate::harness::{Registry, failure, header, location, noise, outcome};

async fn stored(registry: &Registry, repository: &str, digest: &Digest) -> Vec<u8> {
    let blob = registry.get(&format!("/v2/{repository}/blobs/{digest}")).await;
    assert_eq!(blob.status(), 200);
    blob.bytes().await.unwrap().to_vec()
}

#[tokio::test]
async fn post_then_put_of_small_large_and_empty_blobs() {
    let registry = Registry::start().await;
    for length in [0, 1, 128 << 10, (128 << 10) + 1, 3 << 20] {
        let bytes = noise(length);
        let digest = Digest::sha256(&bytes);
        let session = registry.begin("a/b").await;
        let put = registry.request(Method::PUT, &format!("{session}?digest={digest}")).body(bytes.clone());
        let put = put.send().await.unwrap();
        assert_eq!((put.status().as_u16(), header(&put, "docker-content-digest")), (201, digest.as_str()));
        assert_eq!(location(&put), format!("/v2/a/b/blobs/{digest}"));
        assert_eq!(stored(&registry, "a/b", &digest).await, bytes);
        assert_eq!(outcome(registry.get(&session).await).await, failure(404, "BLOB_UPLOAD_UNKNOWN"));
    }
    assert_eq!(registry.uploads_left(), 0);
}

#[tokio::test]
async fn single_post_of_small_and_large_blobs() {
    let registry = Registry::start().await;
    for length in [0, 7, 2 << 20] {
        let bytes = noise(length);
        let digest = registry.push_blob("a", bytes.clone()).await;
        assert_eq!(stored(&registry, "a", &digest).await, bytes);
        let other = Digest::sha256(b"other");
        let path = format!("/v2/a/blobs/uploads/?digest={other}");
        let refused = registry.request(Method::POST, &path).body(bytes).send().await.unwrap();
        assert_eq!(outcome(refused).await, failure(400, "DIGEST_INVALID"));
    }
    assert_eq!(registry.uploads_left(), 0);
}

#[tokio::test]
async fn chunks_in_order_with_status_and_recovery() {
    let registry = Registry::start().await;
    let bytes = noise(1000);
    let digest = Digest::sha256(&bytes);
    let session = registry.begin("a").await;
    let chunk = |range: std::ops::Range<usize>| {
        registry
            .request(Method::PATCH, &session)
            .header("content-range", format!("{}-{}", range.start, range.end - 1))
            .body(bytes[range].to_vec())
            .send()
    };
    let first = chunk(0..400).await.unwrap();
    assert_eq!((first.status().as_u16(), header(&first, "range")), (202, "0-399"));
    for wrong in [0..400, 399..500, 401..500] {
        let refused = chunk(wrong).await.unwrap();
        assert_eq!((header(&refused, "range"), location(&refused).as_str()), ("0-399", session.as_str()));
        assert_eq!(outcome(refused).await, failure(416, "BLOB_UPLOAD_INVALID"));
    }
    let status = registry.get(&session).await;
    assert_eq!((status.status().as_u16(), header(&status, "range")), (204, "0-399"));
    assert_eq!(chunk(400..900).await.unwrap().status(), 202);
    let last = registry
        .request(Method::PUT, &format!("{session}?digest={digest}"))
        .header("content-range", "900-999")
        .body(bytes[900..].to_vec());
    assert_eq!(last.send().await.unwrap().status(), 201);
    assert_eq!(stored(&registry, "a", &digest).await, bytes);
}

#[tokio::test]
async fn a_stream_of_unknown_length() {
    let registry = Registry::start().await;
    let bytes = noise(3 << 20);
    let digest = Digest::sha256(&bytes);
    let session = registry.begin("a").await;
    let pieces: Vec<_> = bytes.chunks(70_000).map(|piece| Ok::<_, std::io::Error>(piece.to_vec())).collect();
    let body = reqwest::Body::wrap_stream(futures::stream::iter(pieces));
    let patched = registry.request(Method::PATCH, &session).body(body).send().await.unwrap();
    assert_eq!((patched.status().as_u16(), header(&patched, "range")), (202, "0-3145727"));
    let put = registry.request(Method::PUT, &format!("{session}?digest={digest}")).send().await.unwrap();
    assert_eq!(put.status(), 201);
    assert_eq!(stored(&registry, "a", &digest).await, bytes);
}

#[tokio::test]
async fn sha512_announced_or_not() {
    let registry = Registry::start().await;
    let bytes = noise(300_000);
    let digest = Digest::of(Algorithm::Sha512, &bytes);
    for query in ["", "?digest-algorithm=sha512"] {
        let begun = registry.request(Method::POST, &format!("/v2/a/blobs/uploads/{query}")).send().await.unwrap();
        let session = location(&begun);
        let patched = registry.request(Method::PATCH, &session).body(bytes.clone()).send().await.unwrap();
        assert_eq!(patched.status(), 202);
        let put = registry.request(Method::PUT, &format!("{session}?digest={digest}")).send().await.unwrap();
        assert_eq!(put.status(), 201);
        assert_eq!(stored(&registry, "a", &digest).await, bytes);
        assert_eq!(registry.delete(&format!("/v2/a/blobs/{digest}")).await.status(), 202);
    }
    let refused = registry.request(Method::POST, "/v2/a/blobs/uploads/?digest-algorithm=md5").send().await.unwrap();
    assert_eq!(outcome(refused).await, failure(400, "DIGEST_INVALID"));
}

#[tokio::test]
async fn wrong_bytes_end_the_session_and_store_nothing() {
    let registry = Registry::start().await;
    let digest = Digest::sha256(b"right");
    let session = registry.begin("a").await;
    registry.request(Method::PATCH, &session).body("wrong").send().await.unwrap();
    let put = registry.request(Method::PUT, &format!("{session}?digest={digest}")).send().await.unwrap();
    assert_eq!(outcome(put).await, failure(400, "DIGEST_INVALID"));
    for missing in [session, format!("/v2/a/blobs/{digest}")] {
        assert_eq!(registry.get(&missing).await.status(), 404);
    }
}

#[tokio::test]
async fn a_cancelled_upload_is_gone() {
    let registry = Registry::start().await;
    let session = registry.begin("a").await;
    registry.request(Method::PATCH, &session).body("bytes").send().await.unwrap();
    assert_eq!(registry.delete(&session).await.status(), 204);
    assert_eq!(outcome(registry.delete(&session).await).await, failure(404, "BLOB_UPLOAD_UNKNOWN"));
    assert_eq!(registry.uploads_left(), 0);
}

#[tokio::test]
async fn mounts() {
    let registry = Registry::start().await;
    let digest = registry.push_blob("from", "bytes").await;
    let mount = async |to: &str, query: &str| {
        let path = format!("/v2/{to}/blobs/uploads/?mount={query}");
        registry.request(Method::POST, &path).send().await.unwrap()
    };
    let mounted = mount("to", &format!("{digest}&from=from")).await;
    assert_eq!((mounted.status().as_u16(), location(&mounted)), (201, format!("/v2/to/blobs/{digest}")));
    assert_eq!(stored(&registry, "to", &digest).await, b"bytes");
    assert_eq!(mount("anywhere", digest.as_str()).await.status(), 201);
    let missing = Digest::sha256(b"missing");
    for query in [format!("{missing}&from=from"), format!("{digest}&from=elsewhere"), missing.to_string()] {
        let session = mount("fresh", &query).await;
        assert_eq!(session.status(), 202, "{query}");
        assert_eq!(registry.get(&location(&session)).await.status(), 204);
    }
    assert_eq!(outcome(mount("to", "sha256:x").await).await, failure(400, "DIGEST_INVALID"));
    assert_eq!(outcome(mount("to", &format!("{digest}&from=../x")).await).await, failure(400, "NAME_INVALID"));
}

#[tokio::test]
async fn a_session_belongs_to_its_repository() {
    let registry = Registry::start().await;
    let session = registry.begin("a").await;
    let elsewhere = session.replace("/v2/a/", "/v2/b/");
    assert_eq!(outcome(registry.get(&elsewhere).await).await, failure(404, "BLOB_UPLOAD_UNKNOWN"));
    assert_eq!(registry.get(&session).await.status(), 204);
}

#[tokio::test]
async fn limits_on_size_and_number() {
    let limits = Limits { blob_bytes: 1000, upload_sessions: 2, ..Limits::default() };
    let registry = Registry::with_limits(limits).await;
    let session = registry.begin("a").await;
    let patched = registry.request(Method::PATCH, &session).body(noise(600)).send().await.unwrap();
    assert_eq!(patched.status(), 202);
    let refused = registry.request(Method::PATCH, &session).body(noise(401)).send().await.unwrap();
    assert_eq!(outcome(refused).await, failure(413, "SIZE_INVALID"));
    let pieces = vec![Ok::<_, std::io::Error>(noise(401))];
    let body = reqwest::Body::wrap_stream(futures::stream::iter(pieces));
    let refused = registry.request(Method::PATCH, &session).body(body).send().await.unwrap();
    assert_eq!(outcome(refused).await, failure(413, "SIZE_INVALID"));
    assert_eq!(header(&registry.get(&session).await, "range"), "0-599");

    registry.begin("a").await;
    let refused = registry.request(Method::POST, "/v2/a/blobs/uploads/").send().await.unwrap();
    assert_eq!(header(&refused, "retry-after"), "5");
    assert_eq!(outcome(refused).await, failure(429, "TOOMANYREQUESTS"));
}
