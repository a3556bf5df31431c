//! Every bound on what clients may use is heeded. Those of uploads and of silent clients are tested with what they bound.

use std::time::{Duration, Instant};

use dhow_serve::Limits;
use reqwest::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::harness::{OCI_INDEX, Registry, failure, header, json_of, outcome};

async fn with(set: &[(&str, u64)]) -> Registry {
    let mut limits = Limits::default();
    set.iter().for_each(|(name, value)| limits.set(name, *value).unwrap());
    Registry::with_limits(limits).await
}

fn index(filler: usize) -> String {
    json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [], "annotations": { "x": "x".repeat(filler) } })
        .to_string()
}

#[tokio::test]
async fn connections_wait_for_their_turn() {
    let registry = with(&[("connections", 1)]).await;
    let mut first = TcpStream::connect(registry.address).await.unwrap();
    first.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    assert!(first.read(&mut [0; 1024]).await.unwrap() > 0);
    let mut second = TcpStream::connect(registry.address).await.unwrap();
    second.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    assert!(timeout(Duration::from_millis(300), second.read(&mut [0; 1024])).await.is_err());
    drop(first);
    assert!(timeout(Duration::from_secs(20), second.read(&mut [0; 1024])).await.unwrap().unwrap() > 0);
}

#[tokio::test]
async fn streams_on_one_connection() {
    let registry = with(&[("streams-per-connection", 7)]).await;
    let mut stream = TcpStream::connect(registry.address).await.unwrap();
    // The client's preface and an empty SETTINGS frame (RFC 9113, section 3.4).
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    let mut head = [0; 9];
    stream.read_exact(&mut head).await.unwrap();
    assert_eq!(head[3], 4, "the first frame is SETTINGS");
    let mut settings = vec![0; usize::from(head[1]) << 8 | usize::from(head[2])];
    stream.read_exact(&mut settings).await.unwrap();
    // SETTINGS_MAX_CONCURRENT_STREAMS is number 3.
    let streams = settings.chunks(6).find(|setting| setting[..2] == [0, 3]).map(|setting| setting[2..].to_vec());
    assert_eq!(streams, Some(vec![0, 0, 0, 7]));
}

#[tokio::test]
async fn heads_manifests_tags_and_pages() {
    let set = [("header-bytes", 2000), ("manifest-bytes", 1000), ("tags-per-manifest", 2), ("page-entries", 2)];
    let registry = with(&set).await;
    let long = registry.request(Method::GET, "/v2/").header("x-filler", "x".repeat(2000)).send().await.unwrap();
    assert_eq!(outcome(long).await, failure(431, "UNSUPPORTED"));
    assert_eq!(
        registry.request(Method::GET, "/v2/").header("x-filler", "x".repeat(1500)).send().await.unwrap().status(),
        200
    );

    let large = registry.put_manifest("a", "v1", OCI_INDEX, &index(1000)).await;
    assert_eq!(outcome(large).await, failure(413, "MANIFEST_INVALID"));
    let bytes = index(10);
    let digest = dhow_spec::Digest::sha256(bytes.as_bytes());
    let many = registry.put_manifest("a", &format!("{digest}?tag=a&tag=b&tag=c"), OCI_INDEX, &bytes).await;
    assert_eq!(outcome(many).await, failure(414, "MANIFEST_INVALID"));
    assert_eq!(registry.put_manifest("a", &format!("{digest}?tag=a&tag=b"), OCI_INDEX, &bytes).await.status(), 201);
    assert_eq!(registry.put_manifest("a", "c", OCI_INDEX, &bytes).await.status(), 201);
    let page = registry.get("/v2/a/tags/list?n=100").await;
    assert!(header(&page, "link").contains("last=b"), "{}", header(&page, "link"));
    assert_eq!(json_of(page).await["tags"], json!(["a", "b"]));
}

#[tokio::test]
async fn a_stopped_server_does_not_wait_for_long() {
    let registry = with(&[("drain-seconds", 1)]).await;
    let path = registry.begin("a").await;
    let mut slow = TcpStream::connect(registry.address).await.unwrap();
    slow.write_all(format!("PATCH {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12345").as_bytes())
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    let started = Instant::now();
    registry.stop().await;
    let took = started.elapsed();
    assert!(took >= Duration::from_millis(900) && took < Duration::from_secs(20), "{took:?}");
}
