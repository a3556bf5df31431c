//! Tokens that end while bytes move: both ways go on.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use std::time::Duration;

use common::{options, options_for, reference, remote_with, run};
use dhow_base::progress::Silent;
use dhow_content::memory::MemoryPlace;
use dhow_content::{CopyOptions, Resolve, copy};
use dhow_registry::quirks::UploadStyle;
use dhow_registry::{Access as Rights, ClientOptions, PartPolicy};
use dhow_spec::{Descriptor, Digest, Document, ImageManifest, MediaType};
use dhow_testkit::registry::{Access, Effect, Route, Rule, ScriptedRegistry};

const PART: u64 = 128 << 10;
const LIFETIME: Duration = Duration::from_secs(2);

fn bytes(length: u64) -> Vec<u8> {
    (0..length).map(|index| (index % 251) as u8).collect()
}

/// A registry whose tokens live two seconds, and say so.
fn short_lived() -> ScriptedRegistry {
    let registry = ScriptedRegistry::start();
    registry.set_access(Access::bearer("bob", "hunter2"));
    registry.set_token_lifetime(LIFETIME);
    registry
}

fn refusals(registry: &ScriptedRegistry) -> usize {
    registry.requests().iter().filter(|request| request.status == 401).count()
}

#[test]
fn a_pull_outlives_its_tokens() {
    let registry = short_lived();
    let image = registry.put_image("app", "v1", &[bytes(24 * PART)]);
    // Each part takes 0.4 s, two come at once: 4.8 s in all.
    registry.script(Rule::on(Route::Blob).method("GET").effect(Effect::Drip(32 << 10, Duration::from_millis(100))));
    let parts = PartPolicy { blob_bytes_min: 1, size: PART, at_once: 2, loopback: true };
    let remote = remote_with(&registry, "app", Rights::Pull, ClientOptions { parts, ..options() });
    let place = MemoryPlace::new();
    run(async {
        let root = remote.resolve(&reference(&registry, "app:v1")).await.unwrap();
        copy(&remote, &place, &root, &CopyOptions::new(&Silent)).await.unwrap();
    });
    let layer = Digest::parse(&image.layers[0]).unwrap();
    assert!(place.get(&layer).unwrap()[..] == bytes(24 * PART)[..]);
    let tokens = registry.count("GET", Route::Token);
    assert!((3..=6).contains(&tokens), "{tokens} tokens");
    assert_eq!(refusals(&registry), 1, "only the first request was refused: tokens are renewed before they end");
    assert_eq!(registry.bytes_sent_of(&image.layers[0]), 24 * PART, "no part came twice");
}

/// Pushes an image with one layer of 16 chunks, each of which takes the registry 0.3 s.
fn push(registry: &ScriptedRegistry, while_it_runs: impl Future<Output = ()>) -> u64 {
    let place = MemoryPlace::new();
    let put = |media_type, bytes: Vec<u8>| {
        let size = bytes.len() as u64;
        Descriptor::new(media_type, place.insert(bytes), size)
    };
    let layer = put(MediaType::OciLayer, bytes(16 * PART));
    let config = put(MediaType::OciConfig, b"{}".to_vec());
    let manifest = Document::from_manifest(ImageManifest::new(config, vec![layer.clone()])).unwrap();
    place.insert(manifest.bytes().to_vec());
    registry.script(Rule::on(Route::Upload).method("PATCH").effect(Effect::Delay(Duration::from_millis(300))));
    let upload_style = Some(UploadStyle::Chunks(PART));
    let options = ClientOptions { upload_style, ..options_for("bob", "hunter2") };
    let remote = remote_with(registry, "app", Rights::Push, options);
    run(async {
        let (root, options) = (manifest.descriptor(), CopyOptions::new(&Silent));
        let transfer = copy(&place, &remote, &root, &options);
        futures::future::join(async { drop(transfer.await.unwrap()) }, while_it_runs).await
    });
    assert!(registry.blob("app", layer.digest.as_str()).unwrap() == bytes(16 * PART));
    let uploads = registry.requests().into_iter().filter(|request| request.route == Route::Upload);
    uploads.map(|request| request.received).sum()
}

#[test]
fn a_push_outlives_its_tokens() {
    let registry = short_lived();
    let received = push(&registry, async {});
    assert_eq!(received, 16 * PART + 2, "nothing was sent twice");
    let tokens = registry.count("GET", Route::Token);
    assert!((3..=6).contains(&tokens), "{tokens} tokens");
    assert_eq!(refusals(&registry), 1, "only the first request was refused: tokens are renewed before they end");
}

/// A token that is taken back before its time: the upload goes on where it was.
#[test]
fn a_push_goes_on_after_a_token_was_taken_back() {
    let registry = ScriptedRegistry::start();
    registry.set_access(Access::bearer("bob", "hunter2"));
    let taken_back = async {
        while registry.count("PATCH", Route::Upload) < 10 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        registry.revoke_tokens();
    };
    let received = push(&registry, taken_back);
    assert!(received < 19 * PART, "{received} bytes for {}", 16 * PART);
    assert_eq!(registry.count("GET", Route::Token), 2);
}
