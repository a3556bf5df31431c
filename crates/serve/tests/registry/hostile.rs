//! Requests that mean harm.

use std::time::{Duration, Instant};

use dhow_serve::Limits;
use dhow_spec::Digest;
use reqwest::Method;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

use crate::harness::{Registry, failure, header, outcome};

#[tokio::test]
async fn names_never_leave_the_folder() {
    let registry = Registry::start().await;
    let digest = Digest::sha256(b"");
    let put = "Content-Length: 0\r\n";
    for (method, target, headers, expected) in [
        ("GET", "/v2/../../etc/tags/list".to_owned(), "", failure(400, "NAME_INVALID")),
        ("GET", "/v2/a/../b/tags/list".to_owned(), "", failure(400, "NAME_INVALID")),
        ("GET", "/v2/%2e%2e/tags/list".to_owned(), "", failure(400, "NAME_INVALID")),
        ("GET", "/v2/a%2f..%2fb/tags/list".to_owned(), "", failure(400, "NAME_INVALID")),
        ("GET", "/v2/_tags/tags/list".to_owned(), "", failure(400, "NAME_INVALID")),
        ("GET", "/v2/A/tags/list".to_owned(), "", failure(400, "NAME_INVALID")),
        ("GET", format!("/v2/{}/tags/list", "a".repeat(256)), "", failure(400, "NAME_INVALID")),
        ("GET", "/v2/a/manifests/..".to_owned(), "", failure(404, "MANIFEST_UNKNOWN")),
        ("GET", "/v2/a/manifests/..%2f..%2fregistry.json".to_owned(), "", failure(404, "MANIFEST_UNKNOWN")),
        ("HEAD", "/v2/a/manifests/.INVALID".to_owned(), "", failure(404, "")),
        ("PUT", format!("/v2/a/manifests/{}", "t".repeat(129)), put, failure(400, "MANIFEST_INVALID")),
        ("GET", "/v2/a/blobs/sha256:..%2f..%2fregistry.json".to_owned(), "", failure(400, "DIGEST_INVALID")),
        (
            "GET",
            digest.as_str().to_uppercase().replace("SHA256", "/v2/a/blobs/sha256"),
            "",
            failure(400, "DIGEST_INVALID"),
        ),
        ("GET", "/v2/a/blobs/md5:d41d8cd98f00b204e9800998ecf8427e".to_owned(), "", failure(400, "DIGEST_INVALID")),
        ("GET", "/v2/a/blobs/uploads/..%2f..%2fregistry".to_owned(), "", failure(404, "BLOB_UPLOAD_UNKNOWN")),
        ("PATCH", "/v2/a/blobs/uploads/registry.json".to_owned(), put, failure(404, "BLOB_UPLOAD_UNKNOWN")),
        ("DELETE", "/v2/a/blobs/uploads/7.tmp".to_owned(), "", failure(404, "BLOB_UPLOAD_UNKNOWN")),
        ("GET", "/v2/a/tags/list?last=../x%00".to_owned(), "", failure(404, "NAME_UNKNOWN")),
        ("GET", "/v2/a/tags/list?last=%zz".to_owned(), "", failure(400, "UNSUPPORTED")),
        ("GET", format!("/v2/a/referrers/{digest}?artifactType=a&artifactType=b"), "", failure(400, "UNSUPPORTED")),
    ] {
        assert_eq!(registry.raw_outcome(method, &target, headers).await, expected, "{method} {target}");
    }
}

#[tokio::test]
async fn two_digests_are_none() {
    let registry = Registry::start().await;
    let (one, two) = (Digest::sha256(b"one"), Digest::sha256(b"two"));
    let session = registry.begin("a").await;
    for (method, target) in [
        (Method::PUT, format!("{session}?digest={one}&digest={two}")),
        (Method::PUT, format!("{session}?digest={one}&%64igest={two}")),
        (Method::PUT, session.clone()),
        (Method::PUT, format!("{session}?digest=")),
        (Method::POST, format!("/v2/a/blobs/uploads/?digest={one}&digest={one}")),
        (Method::POST, format!("/v2/a/blobs/uploads/?mount={one}&mount={two}")),
    ] {
        let refused = registry.request(method, &target).body("one").send().await.unwrap();
        assert_eq!(outcome(refused).await, failure(400, "DIGEST_INVALID"), "{target}");
    }
    assert_eq!(header(&registry.get(&session).await, "range"), "0-0");
}

#[tokio::test]
async fn chunk_ranges_that_lie() {
    let registry = Registry::start().await;
    let session = registry.begin("a").await;
    for (range, status, code) in [
        ("5-3", 400, "BLOB_UPLOAD_INVALID"),
        ("0-18446744073709551615", 400, "BLOB_UPLOAD_INVALID"),
        ("18446744073709551615-18446744073709551615", 400, "BLOB_UPLOAD_INVALID"),
        ("bytes 0-2/3", 400, "BLOB_UPLOAD_INVALID"),
        ("-", 400, "BLOB_UPLOAD_INVALID"),
        ("9223372036854775808-9223372036854775810", 416, "BLOB_UPLOAD_INVALID"),
        ("0-3", 400, "SIZE_INVALID"),
        ("0-1", 400, "SIZE_INVALID"),
    ] {
        let refused = registry.request(Method::PATCH, &session).header("content-range", range).body("abc");
        assert_eq!(outcome(refused.send().await.unwrap()).await, failure(status, code), "{range}");
    }
    let twice = registry.request(Method::PATCH, &session).header("content-range", "0-2").header("content-range", "0-2");
    assert_eq!(outcome(twice.body("abc").send().await.unwrap()).await, failure(400, "BLOB_UPLOAD_INVALID"));
    assert_eq!(header(&registry.get(&session).await, "range"), "0-0");
    let honest = registry.request(Method::PATCH, &session).header("content-range", "0-2").body("abc");
    assert_eq!(honest.send().await.unwrap().status(), 202);
}

#[tokio::test]
async fn slow_and_silent_clients_are_let_go() {
    let wait = Duration::from_millis(300);
    let limits = Limits { header_wait: wait, receive_idle: wait, send_idle: wait, ..Limits::default() };
    let registry = Registry::with_limits(limits).await;
    let session = registry.begin("a").await;
    let started = Instant::now();
    let half_a_body = format!("PATCH {session} HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc");
    let answer = registry.raw(&half_a_body).await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert_eq!(registry.raw("GET /v2/ HTTP/1.1\r\nHos").await, "");
    assert!(started.elapsed() < Duration::from_secs(20));
    assert_eq!(header(&registry.get(&session).await, "range"), "0-2");

    // A client that asks for much and takes nothing. What does not fit into the socket's buffers is never sent.
    let digest = registry.push_blob("a", vec![0; 32 << 20]).await;
    let mut greedy = TcpStream::connect(registry.address).await.unwrap();
    let request = format!("GET /v2/a/blobs/{digest} HTTP/1.1\r\nHost: x\r\n\r\n");
    tokio::io::AsyncWriteExt::write_all(&mut greedy, request.as_bytes()).await.unwrap();
    tokio::time::sleep(wait * 4).await;
    let mut taken = Vec::new();
    let _ = greedy.read_to_end(&mut taken).await;
    assert!(taken.len() < 32 << 20, "{} bytes arrived", taken.len());
}

#[tokio::test]
async fn heads_and_queries_without_end() {
    let registry = Registry::start().await;
    let long = "x".repeat(40 << 10);
    let (status, _) = registry.raw_outcome("GET", "/v2/", &format!("X-Long: {long}\r\n")).await;
    assert_eq!(status, 431);
    let (status, _) = registry.raw_outcome("GET", &format!("/v2/a/tags/list?n={long}"), "").await;
    assert!(matches!(status, 414 | 431), "{status}");
    let many = "X: y\r\n".repeat(1000);
    let (status, _) = registry.raw_outcome("GET", "/v2/", &many).await;
    assert_eq!(status, 431);
    let (status, code) = registry.raw_outcome("GET", &format!("/v2/_catalog?{}", "a&".repeat(300)), "").await;
    assert_eq!((status, code), failure(400, "UNSUPPORTED"));
}

#[tokio::test]
async fn a_refused_body_does_not_hide_the_answer() {
    let registry = Registry::start().await;
    let body = vec![0; 900_000];
    let refused = registry.request(Method::PUT, "/v2/A/manifests/x").body(body).send().await.unwrap();
    assert_eq!(outcome(refused).await, failure(400, "NAME_INVALID"));
    // A client that asks before it sends is told no at once, and keeps its bytes.
    let headers = "Content-Length: 100000000\r\nExpect: 100-continue\r\n";
    let (status, code) = registry.raw_outcome("PUT", "/v2/A/manifests/x", headers).await;
    assert_eq!((status, code), failure(400, "NAME_INVALID"));
    let (status, code) = registry.raw_outcome("PUT", "/v2/a/manifests/x", headers).await;
    assert_eq!((status, code), failure(413, "MANIFEST_INVALID"));
}
