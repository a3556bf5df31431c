//! Blobs that are there.

use dhow_spec::Digest;
use reqwest::{Client, Method};

use crate::harness::{Registry, failure, header, noise, outcome};

/// Long enough to be sent by the kernel in several pieces.
const LARGE: usize = 9 << 20;

#[tokio::test]
async fn whole_blobs_by_every_way() {
    let registry = Registry::start().await;
    for length in [0, 1, 64 << 10, (64 << 10) + 1, LARGE] {
        let bytes = noise(length);
        let digest = registry.push_blob("a", bytes.clone()).await;
        let path = format!("/v2/a/blobs/{digest}");
        let http2 = Client::builder().http2_prior_knowledge().build().unwrap();
        for client in [&registry.client, &http2] {
            // Twice on one connection: nothing of one answer may reach into the next.
            for _ in 0..2 {
                let blob = client.get(registry.url(&path)).send().await.unwrap();
                assert_eq!(header(&blob, "docker-content-digest"), digest.as_str());
                assert_eq!(header(&blob, "content-length"), length.to_string());
                assert!(blob.bytes().await.unwrap() == bytes, "{length} bytes");
            }
            let head = client.head(registry.url(&path)).send().await.unwrap();
            assert_eq!((head.status().as_u16(), header(&head, "content-length")), (200, length.to_string().as_str()));
            assert!(head.bytes().await.unwrap().is_empty());
        }
    }
}

#[tokio::test]
async fn ranges() {
    let registry = Registry::start().await;
    let bytes = noise(LARGE);
    let digest = registry.push_blob("a", bytes.clone()).await;
    let ask = async |range: &str, condition: &str| {
        let request = registry.request(Method::GET, &format!("/v2/a/blobs/{digest}")).header("range", range);
        let request = if condition.is_empty() { request } else { request.header("if-range", condition) };
        request.send().await.unwrap()
    };
    for (range, part) in [
        ("bytes=500-1499", 500..1500),
        ("bytes=9000000-", 9_000_000..LARGE),
        ("bytes=-5000000", LARGE - 5_000_000..LARGE),
    ] {
        for condition in ["", &format!("\"{digest}\"")] {
            let answer = ask(range, condition).await;
            assert_eq!(answer.status(), 206);
            let expected = format!("bytes {}-{}/{LARGE}", part.start, part.end - 1);
            assert_eq!(header(&answer, "content-range"), expected);
            assert!(answer.bytes().await.unwrap() == bytes[part.clone()], "{range}");
        }
        assert_eq!(ask(range, "\"other\"").await.status(), 200);
    }
    let refused = ask(&format!("bytes={LARGE}-"), "").await;
    assert_eq!(header(&refused, "content-range"), format!("bytes */{LARGE}"));
    assert_eq!(refused.status(), 416);
    assert_eq!(ask("bytes=0-1,5-6", "").await.status(), 200);
}

#[tokio::test]
async fn a_copy_that_is_current_is_not_sent_again() {
    let registry = Registry::start().await;
    let digest = registry.push_blob("a", "bytes").await;
    let path = format!("/v2/a/blobs/{digest}");
    for (condition, status) in
        [(format!("\"{digest}\""), 304), ("\"x\"".to_owned(), 200), (format!("\"x\", W/\"{digest}\""), 304)]
    {
        let answer = registry.request(Method::GET, &path).header("if-none-match", condition).send().await.unwrap();
        assert_eq!(answer.status(), status);
    }
}

#[tokio::test]
async fn a_blob_is_seen_only_in_the_repositories_that_have_it() {
    let registry = Registry::start().await;
    let digest = registry.push_blob("a", "bytes").await;
    registry.push_blob("a/b", "bytes").await;
    let path = |repository: &str| format!("/v2/{repository}/blobs/{digest}");
    assert_eq!(outcome(registry.get(&path("b")).await).await, failure(404, "BLOB_UNKNOWN"));
    assert_eq!(registry.delete(&path("a")).await.status(), 202);
    assert_eq!(outcome(registry.get(&path("a")).await).await, failure(404, "BLOB_UNKNOWN"));
    assert_eq!(outcome(registry.delete(&path("a")).await).await, failure(404, "BLOB_UNKNOWN"));
    assert_eq!(registry.get(&path("a/b")).await.status(), 200);
    let missing = registry.request(Method::HEAD, &path("a")).send().await.unwrap();
    assert_eq!((missing.status().as_u16(), missing.bytes().await.unwrap().len()), (404, 0));
}

#[tokio::test]
async fn a_truncated_file_breaks_the_connection_instead_of_padding_it() {
    let registry = Registry::start().await;
    if !registry.is_folder() {
        return;
    }
    let digest = registry.push_blob("a", noise(LARGE)).await;
    let file = std::fs::OpenOptions::new().write(true).open(registry.root.join("blobs/sha256").join(digest.hex()));
    let blob = registry.get(&format!("/v2/a/blobs/{digest}")).await;
    file.unwrap().set_len(100).unwrap();
    // The answer had begun; depending on how far it was, all of it or less arrives, but never other bytes.
    if let Ok(bytes) = blob.bytes().await {
        assert_eq!(Digest::sha256(&bytes), digest);
    }
}
