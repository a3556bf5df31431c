//! Every durable write fails once: no answer may promise what is not kept, and the next try succeeds.

#![allow(clippy::unwrap_used, reason = "a failed request fails the test")]

#[path = "registry/harness.rs"]
#[allow(dead_code, reason = "shared with the other tests")]
mod harness;

use dhow_base::fault::{Action, arm, disarm_all};
use dhow_spec::Digest;
use reqwest::Method;

use harness::{OCI_MANIFEST, Registry, manifest, noise};

/// Too long to go straight to its place.
const LAYER_BYTES: usize = 200_000;

/// The points that pushes and deletes pass.
const POINTS: &[&str] = &["fs.write_at", "fs.sync_data", "fs.flush.file", "fs.rename", "fs.sync_dir", "fs.remove"];

/// Pushes a large and a small blob and a manifest with a tag; returns the first status that is none of success.
async fn push(registry: &Registry, repository: &str) -> Result<String, u16> {
    let check = |response: &reqwest::Response| match response.status().as_u16() {
        status if status < 300 => Ok(()),
        status => Err(status),
    };
    let layer = noise(LAYER_BYTES);
    let (config_digest, layer_digest) = (Digest::sha256(b"{}"), Digest::sha256(&layer));
    let path = format!("/v2/{repository}/blobs/uploads/?digest={config_digest}");
    check(&registry.request(Method::POST, &path).body("{}").send().await.unwrap())?;
    let begun = registry.request(Method::POST, &format!("/v2/{repository}/blobs/uploads/")).send().await.unwrap();
    check(&begun)?;
    let session = harness::location(&begun);
    let (first, second) = layer.split_at(layer.len() / 2);
    check(&registry.request(Method::PATCH, &session).body(first.to_vec()).send().await.unwrap())?;
    let put = registry.request(Method::PUT, &format!("{session}?digest={layer_digest}")).body(second.to_vec());
    check(&put.send().await.unwrap())?;
    let bytes = manifest(&config_digest, 2, &layer_digest, layer.len() as u64).to_string();
    check(&registry.put_manifest(repository, "v1", OCI_MANIFEST, &bytes).await)?;
    Ok(bytes)
}

/// Everything that the repository shows is whole.
async fn check(registry: &Registry, repository: &str) {
    for path in [format!("blobs/{}", Digest::sha256(b"{}")), format!("blobs/{}", Digest::sha256(&noise(LAYER_BYTES)))] {
        let blob = registry.get(&format!("/v2/{repository}/{path}")).await;
        if blob.status() == 200 {
            assert!(path.ends_with(Digest::sha256(&blob.bytes().await.unwrap()).as_str()));
        }
    }
    let got = registry.get(&format!("/v2/{repository}/manifests/v1")).await;
    if got.status() == 200 {
        let digest = harness::header(&got, "docker-content-digest").to_owned();
        assert_eq!(Digest::sha256(&got.bytes().await.unwrap()).as_str(), digest);
    }
}

/// More than any push passes one point.
const PASSES: u32 = 12;

#[tokio::test]
async fn pushes_fail_openly_and_can_be_repeated() {
    let mut failures = 0;
    for point in POINTS {
        let (mut registry, mut successes) = (Registry::start().await, 0);
        for (skip, action, status) in
            [(0, Action::NoSpace, 507)].into_iter().chain((0..PASSES).map(|skip| (skip, Action::Error, 500)))
        {
            let repository = format!("r{skip}-{status}");
            arm(point, skip, action);
            let pushed = push(&registry, &repository).await;
            disarm_all();
            check(&registry, &repository).await;
            let bytes = match pushed {
                Ok(bytes) => {
                    successes += 1;
                    bytes
                }
                Err(failed) => {
                    failures += 1;
                    assert_eq!(failed, status, "{point} after {skip}");
                    push(&registry, &repository).await.unwrap()
                }
            };
            registry = registry.restart().await;
            let got = registry.get(&format!("/v2/{repository}/manifests/v1")).await;
            assert_eq!(got.text().await.unwrap(), bytes, "{point} after {skip}");
            check(&registry, &repository).await;
            // Pushes no longer get as far as the fault, or go on in spite of it.
            if successes == 2 {
                break;
            }
        }
    }
    assert!(failures > 12, "only {failures} faults were met");
}
