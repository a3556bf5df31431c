//! Small images, pushed the way docker does: a look whether the blob is there, then an upload in three requests.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::{Context, Result};
use dhow_testkit::images::sha256;

use super::http::Client;

pub(super) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// How many images are pushed.
pub(super) const IMAGES: usize = 1_000;

/// Clients that push at the same time.
const CLIENTS: usize = 8;

/// An image with a layer and a config of its own.
pub(super) struct Image {
    config: Vec<u8>,
    layer: Vec<u8>,
}

impl Image {
    /// The image with this number.
    pub(super) fn new(number: usize) -> Self {
        let layer = format!("layer {number} ").repeat(100).into_bytes();
        let config = format!(
            "{{\"architecture\":\"amd64\",\"os\":\"linux\",\"config\":{{}},\"rootfs\":{{\"type\":\"layers\",\"diff_ids\":[\"{}\"]}}}}",
            sha256(&layer)
        );
        Self { config: config.into_bytes(), layer }
    }

    pub(super) fn manifest(&self) -> String {
        format!(
            "{{\"schemaVersion\":2,\"mediaType\":\"{MANIFEST}\",\"config\":{{\"mediaType\":\"application/vnd.oci.image.config.v1+json\",\
             \"digest\":\"{}\",\"size\":{}}},\"layers\":[{{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar\",\"digest\":\"{}\",\
             \"size\":{}}}]}}",
            sha256(&self.config),
            self.config.len(),
            sha256(&self.layer),
            self.layer.len()
        )
    }

    /// Pushes it under a tag.
    pub(super) fn push(&self, client: &mut Client, repository: &str, tag: &str) -> Result<()> {
        blob(client, repository, &self.layer)?;
        blob(client, repository, &self.config)?;
        let path = format!("/v2/{repository}/manifests/{tag}");
        let content_type = format!("Content-Type: {MANIFEST}\r\n");
        client.expect(201, "PUT", &path, &content_type, self.manifest().as_bytes()).map(drop)
    }
}

/// Uploads a blob.
pub(super) fn blob(client: &mut Client, repository: &str, bytes: &[u8]) -> Result<()> {
    let digest = sha256(bytes);
    client.expect(404, "HEAD", &format!("/v2/{repository}/blobs/{digest}"), "", b"")?;
    let begun = client.expect(202, "POST", &format!("/v2/{repository}/blobs/uploads/"), "", b"")?;
    let session = begun.location.context("no address of an upload")?;
    let octets = "Content-Type: application/octet-stream\r\n";
    let sent = client.expect(202, "PATCH", &session, octets, bytes)?;
    let session = sent.location.unwrap_or(session);
    let separator = if session.contains('?') { '&' } else { '?' };
    client.expect(201, "PUT", &format!("{session}{separator}digest={digest}"), "", b"").map(drop)
}

/// Pushes [`IMAGES`] images by several clients and flushes; returns images a second.
pub(super) fn many(address: SocketAddr, flush: impl FnOnce() -> Result<()>) -> Result<f64> {
    let next = AtomicUsize::new(0);
    let push = || -> Result<()> {
        let mut client = Client::connect(address)?;
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= IMAGES {
                return Ok(());
            }
            Image::new(number).push(&mut client, &format!("bench/app-{}", number % 10), &format!("v{number}"))?;
        }
    };
    let start = Instant::now();
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(push)).collect();
        clients.into_iter().try_for_each(|client| client.join().map_err(|_| anyhow::anyhow!("a client panicked"))?)
    })?;
    flush()?;
    Ok(IMAGES as f64 / start.elapsed().as_secs_f64())
}
