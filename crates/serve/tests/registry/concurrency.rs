//! Many requests at once.

use std::sync::Arc;
use std::time::Duration;

use dhow_spec::Digest;
use reqwest::Method;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::harness::{self, OCI_MANIFEST, Registry, header, json_of, noise};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_uploads_of_one_blob() {
    let registry = Arc::new(Registry::start().await);
    let bytes = noise(2 << 20);
    let digest = Digest::sha256(&bytes);
    let pushes: Vec<_> = (0..8)
        .map(|index| {
            let (registry, bytes) = (Arc::clone(&registry), bytes.clone());
            tokio::spawn(async move {
                let repository = format!("r{}", index % 2);
                match index % 4 {
                    0 | 1 => drop(registry.push_blob(&repository, bytes).await),
                    _ => {
                        let session = registry.begin(&repository).await;
                        registry.request(Method::PATCH, &session).body(bytes.clone()).send().await.unwrap();
                        let put =
                            registry.request(Method::PUT, &format!("{session}?digest={}", Digest::sha256(&bytes)));
                        assert_eq!(put.send().await.unwrap().status(), 201);
                    }
                }
            })
        })
        .collect();
    for push in pushes {
        push.await.unwrap();
    }
    for repository in ["r0", "r1"] {
        let blob = registry.get(&format!("/v2/{repository}/blobs/{digest}")).await;
        assert!(blob.bytes().await.unwrap() == bytes);
    }
    assert_eq!(registry.uploads_left(), 0);
}

/// A client whose connection broke comes back while the server still waits for the rest of its first request.
#[tokio::test]
async fn the_newest_request_takes_over_a_session() {
    let registry = Registry::start().await;
    let bytes = noise(2 << 20);
    let session = registry.begin("a").await;
    let mut stalled = TcpStream::connect(registry.address).await.unwrap();
    let head = format!("PATCH {session} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", bytes.len());
    stalled.write_all(head.as_bytes()).await.unwrap();
    stalled.write_all(&bytes[..1 << 20]).await.unwrap();
    let mut held = 0;
    for _ in 0..500 {
        held = header(&registry.get(&session).await, "range")[2..].parse().unwrap();
        if held > 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(held > 0);
    let digest = Digest::sha256(&bytes);
    // Claiming the session stops the other request, and so settles how far it is.
    let probe = registry.request(Method::PATCH, &session).header("content-range", "2097152-2097152").body("x");
    let probe = probe.send().await.unwrap();
    assert_eq!(probe.status(), 416);
    let next = header(&probe, "range")[2..].parse::<usize>().unwrap() + 1;
    let put = registry.request(Method::PUT, &format!("{session}?digest={digest}")).body(bytes[next..].to_vec());
    assert_eq!(put.send().await.unwrap().status(), 201);
    assert!(registry.get(&format!("/v2/a/blobs/{digest}")).await.bytes().await.unwrap() == bytes);
}

#[tokio::test]
async fn a_broken_connection_keeps_what_arrived() {
    let registry = Registry::start().await;
    let bytes = noise(3 << 20);
    let session = registry.begin("a").await;
    let mut broken = TcpStream::connect(registry.address).await.unwrap();
    let head = format!("PATCH {session} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", bytes.len());
    broken.write_all(head.as_bytes()).await.unwrap();
    broken.write_all(&bytes[..2 << 20]).await.unwrap();
    drop(broken);
    let mut held = 0;
    for _ in 0..500 {
        held = header(&registry.get(&session).await, "range")[2..].parse::<usize>().unwrap() + 1;
        if held == 2 << 20 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(held, 2 << 20);
    let digest = Digest::sha256(&bytes);
    let put = registry.request(Method::PUT, &format!("{session}?digest={digest}")).body(bytes[held..].to_vec());
    assert_eq!(put.send().await.unwrap().status(), 201);
}

/// Whatever the order, a manifest that was answered 201 after the last delete can be pulled.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pushes_and_deletes_of_one_manifest() {
    let registry = Arc::new(Registry::start().await);
    let bytes = registry.push_image("a", "seed", "layer").await;
    let path = format!("/v2/a/manifests/{}", Digest::sha256(bytes.as_bytes()));
    let tasks: Vec<_> = (0..8)
        .map(|index| {
            let (registry, bytes, path) = (Arc::clone(&registry), bytes.clone(), path.clone());
            tokio::spawn(async move {
                for round in 0..10 {
                    if index % 4 == 0 {
                        let status = registry.delete(&path).await.status().as_u16();
                        assert!(matches!(status, 202 | 404));
                    } else {
                        let tag = format!("t{index}-{round}");
                        assert_eq!(registry.put_manifest("a", &tag, OCI_MANIFEST, &bytes).await.status(), 201);
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    // No tag may be left without its manifest, nor the other way round for one pushed last.
    let tags: serde_json::Value = json_of(registry.get("/v2/a/tags/list").await).await;
    // A bucket knows a repository by its manifests: when the last one went, so did the repository.
    for tag in tags["tags"].as_array().into_iter().flatten() {
        let got = registry.get(&format!("/v2/a/manifests/{}", tag.as_str().unwrap())).await;
        assert_eq!(got.text().await.unwrap(), bytes);
    }
    assert_eq!(registry.put_manifest("a", "last", OCI_MANIFEST, &bytes).await.status(), 201);
    assert_eq!(registry.get("/v2/a/manifests/last").await.status(), 200);
}

#[tokio::test]
async fn a_stopping_server_lets_requests_finish() {
    if harness::is_bucket() {
        // What is kept in memory goes with its server; `tests/replicas.rs` has servers that others go on for.
        return;
    }
    let registry = Registry::start().await;
    let bytes = noise(1 << 20);
    let session = registry.begin("a").await;
    let mut slow = TcpStream::connect(registry.address).await.unwrap();
    let head = format!("PATCH {session} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", bytes.len());
    slow.write_all(head.as_bytes()).await.unwrap();
    slow.write_all(&bytes[..1000]).await.unwrap();
    let finishing = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(200)).await;
        slow.write_all(&bytes[1000..]).await.unwrap();
        let mut answer = vec![0; 12];
        tokio::io::AsyncReadExt::read_exact(&mut slow, &mut answer).await.unwrap();
        String::from_utf8(answer).unwrap()
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    let registry = registry.restart().await;
    assert_eq!(finishing.await.unwrap(), "HTTP/1.1 202");
    assert_eq!(header(&registry.get(&session).await, "range"), "0-1048575");
}
