//! The registry as clients see it, with its content in an object store: the same tests, in memory and on a real S3 server.

#![allow(clippy::unwrap_used, reason = "a failed request fails the test")]

use std::process::Command;

use dhow_testkit::peers::{Seaweed, available};

#[path = "registry/access.rs"]
mod access;
#[path = "registry/blobs.rs"]
mod blobs;
#[path = "registry/concurrency.rs"]
mod concurrency;
#[path = "registry/harness.rs"]
#[allow(dead_code, reason = "shared with the other tests")]
mod harness;
#[path = "registry/limits.rs"]
mod limits;
#[path = "registry/lists.rs"]
mod lists;
#[path = "registry/manifests.rs"]
mod manifests;
#[path = "registry/page.rs"]
mod page;
#[path = "registry/quotas.rs"]
mod quotas;
#[path = "registry/uploads.rs"]
mod uploads;

/// Runs all the others again.
#[test]
fn everything_on_s3() {
    let Some(server) = available(Seaweed::start()) else { return };
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--skip", "everything_on_s3"])
        .env(harness::S3_VARIABLE, server.endpoint())
        .output()
        .unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && !out.contains(" 0 passed"), "{out}{err}");
}
