//! How much memory the collection of a folder takes, and that a start does not look at the content: alone in its process.
//! `DHOW_TEST_BLOBS=1000000` is the full size.

#![allow(clippy::unwrap_used, reason = "a failed operation fails the test")]
#![allow(clippy::disallowed_methods, reason = "the folder is laid out by hand, and the environment says how large")]
#![allow(clippy::print_stdout, reason = "figures for whoever reads the test's output")]

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use dhow_serve::{CollectOptions, ServeOptions, bind, collect};
use dhow_spec::Digest;
use serde_json::json;

const BLOBS: u64 = 20_000;
const PER_MANIFEST: u64 = 100;

/// For each blob, and in any case, in bytes: 256 MiB for a million.
const EACH_MAX: u64 = 256;
const ONCE_MAX: u64 = 12 << 20;

/// A start is not to take longer, whatever the content.
const START_MAX: Duration = Duration::from_secs(1);

#[test]
fn a_collection_and_a_start_stay_within_their_bounds() {
    let blobs = std::env::var("DHOW_TEST_BLOBS").map_or(BLOBS, |text| text.parse().expect("a number of blobs"));
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let start = || {
        let begun = Instant::now();
        drop(runtime.block_on(bind("127.0.0.1:0", ServeOptions::new(root))).unwrap());
        begun.elapsed()
    };
    start();
    fill(root, blobs);
    let started = start();
    let before = peak_bytes();
    let options = CollectOptions { root: root.to_owned(), grace: Duration::ZERO, dry_run: true };
    let begun = Instant::now();
    let done = collect(&options).unwrap();
    let taken = peak_bytes() - before;
    println!("{blobs} blobs: {} KiB in {:?}, a start in {started:?}", taken >> 10, begun.elapsed());
    assert_eq!((done.manifests, done.unlinked, done.removed), (blobs / PER_MANIFEST, 0, 0), "{done:?}");
    assert!(taken <= ONCE_MAX + blobs * EACH_MAX, "{taken} bytes for {blobs} blobs");
    assert!(started <= START_MAX, "{started:?}");
}

/// One repository with manifests that need all blobs.
fn fill(root: &Path, blobs: u64) {
    let [contents, links, manifests] = ["blobs", "repositories/team/app/_blobs", "repositories/team/app/_manifests"]
        .map(|name| root.join(name).join("sha256"));
    [&contents, &links, &manifests].into_iter().for_each(|path| fs::create_dir_all(path).unwrap());
    let digest = |number: u64| Digest::sha256(&number.to_le_bytes());
    for first in (0..blobs).step_by(PER_MANIFEST as usize) {
        let numbers = first..(first + PER_MANIFEST).min(blobs);
        for number in numbers.clone() {
            let hex = digest(number).hex().to_owned();
            fs::write(contents.join(&hex), "").unwrap();
            fs::hard_link(contents.join(&hex), links.join(&hex)).unwrap();
        }
        let layers = numbers.map(|number| json!({ "digest": digest(number).as_str(), "size": 8 }));
        let manifest = json!({ "schemaVersion": 2, "layers": layers.collect::<Vec<_>>() }).to_string();
        let hex = Digest::sha256(manifest.as_bytes()).hex().to_owned();
        fs::write(contents.join(&hex), manifest).unwrap();
        fs::write(manifests.join(&hex), "application/vnd.oci.image.manifest.v1+json").unwrap();
    }
}

/// What this process has taken at most.
fn peak_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}
