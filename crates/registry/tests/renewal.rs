//! Tokens that end while bytes move: both ways go on.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use std::ops::RangeInclusive;
use std::time::Duration;

use common::{options, options_for, remote_with, run};
use dhow_base::progress::Silent;
use dhow_content::memory::MemoryPlace;
use dhow_content::{CopyOptions, Source, copy};
use dhow_registry::quirks::UploadStyle;
use dhow_registry::{Access as Rights, ClientOptions};
use dhow_spec::{Descriptor, Digest, Document, ImageManifest, MediaType};
use dhow_testkit::registry::{Access, Effect, Route, Rule, ScriptedRegistry};
use futures::{StreamExt, TryStreamExt, stream};

const PART: u64 = 128 << 10;
/// They are renewed a quarter of it before their end: so long a request may take to arrive.
const LIFETIME: Duration = Duration::from_secs(4);

/// One more than without a renewal at least. At most as many as a machine ten times as slow needs, and fewer than there are requests.
const TOKENS: RangeInclusive<usize> = 2..=12;

fn bytes(length: u64) -> Vec<u8> {
    (0..length).map(|index| (index % 251) as u8).collect()
}

/// A registry whose tokens live four seconds, and say so.
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
    let digest = Digest::parse(&registry.put_blob("app", &bytes(24 * PART))).unwrap();
    let blob = Descriptor::new(MediaType::OciLayer, digest, 24 * PART);
    // Each part takes 0.4 s, two come at once: 4.8 s in all.
    registry.script(Rule::on(Route::Blob).method("GET").effect(Effect::Drip(32 << 10, Duration::from_millis(100))));
    let remote = remote_with(&registry, "app", Rights::Pull, options());
    let read = |part: u64| {
        let (remote, blob) = (&remote, &blob);
        async move { remote.read(blob, part * PART..(part + 1) * PART).await?.try_collect::<Vec<_>>().await }
    };
    let pieces = run(stream::iter(0..24).map(read).buffered(2).try_collect::<Vec<_>>()).unwrap();
    assert!(pieces.concat().concat() == bytes(24 * PART));
    let tokens = registry.count("GET", Route::Token);
    assert!(TOKENS.contains(&tokens), "{tokens} tokens");
    assert_eq!(refusals(&registry), 1, "only the first request was refused: tokens are renewed before they end");
    let parts = registry.requests().into_iter().filter(|request| request.status == 206).count();
    assert_eq!(parts, 24, "no part came twice");
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
        let (copied, ()) = futures::future::join(copy(&place, &remote, &root, &options), while_it_runs).await;
        copied.unwrap();
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
    assert!(TOKENS.contains(&tokens), "{tokens} tokens");
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
