//! Uploads that break off, and registries that want them in their own way.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use bytes::Bytes;
use common::{options, remote, remote_with, run};
use dhow_base::Kind;
use dhow_base::progress::Silent;
use dhow_content::memory::MemoryPlace;
use dhow_content::{Begin, CopyOptions, Ingest, Sink, copy};
use dhow_registry::quirks::UploadStyle;
use dhow_registry::{Access, ClientOptions};
use dhow_spec::{Descriptor, Digest, Document, ImageManifest, MediaType};
use dhow_testkit::registry::{Effect, Route, Rule, ScriptedRegistry, UploadRules};

struct Made {
    place: MemoryPlace,
    root: Descriptor,
    layer: Descriptor,
}

/// An image of one layer of that many bytes.
fn image(length: usize) -> Made {
    let place = MemoryPlace::new();
    let put = |media_type, bytes: Vec<u8>| {
        let size = bytes.len() as u64;
        Descriptor::new(media_type, place.insert(bytes), size)
    };
    let layer = put(MediaType::OciLayer, (0..length).map(|index| (index * 31 / 7) as u8).collect());
    let config = put(MediaType::OciConfig, b"{}".to_vec());
    let manifest = Document::from_manifest(ImageManifest::new(config, vec![layer.clone()])).unwrap();
    let root = manifest.descriptor();
    place.insert(manifest.bytes().to_vec());
    Made { place, root, layer }
}

fn push(registry: &ScriptedRegistry, made: &Made, style: UploadStyle) -> dhow_base::Result<()> {
    let options = ClientOptions { upload_style: Some(style), ..options() };
    let remote = remote_with(registry, "app", Access::Push, options);
    run(copy(&made.place, &remote, &made.root, &CopyOptions::new(&Silent)))?;
    assert_eq!(registry.blob("app", made.layer.digest.as_str()).unwrap(), made.place.get(&made.layer.digest).unwrap());
    assert!(registry.manifest("app", made.root.digest.as_str()).is_some());
    Ok(())
}

fn received(registry: &ScriptedRegistry) -> u64 {
    let uploads = registry.requests().into_iter().filter(|request| request.route == Route::Upload);
    uploads.map(|request| request.received).sum()
}

#[test]
fn a_broken_upload_goes_on_where_the_registry_says() {
    for style in [UploadStyle::Put, UploadStyle::Patch, UploadStyle::Chunks(3_000_000)] {
        let (registry, made) = (ScriptedRegistry::start(), image(8_000_000));
        let method = if style == UploadStyle::Put { "PUT" } else { "PATCH" };
        let cut = Rule::on(Route::Upload).method(method).effect(Effect::CutRequestAfter(2_500_000)).times(1);
        // The config goes up first or second, and is too short to be cut.
        registry.script(cut.after(usize::from(style == UploadStyle::Put)));
        push(&registry, &made, style).unwrap();
        let extra = received(&registry) - 8_000_002;
        assert!(extra < 2_500_000, "{style:?}: {extra} bytes were sent twice");
        assert_eq!(registry.open_uploads(), 0, "{style:?}");
    }
}

#[test]
fn busy_registries_get_the_upload_again() {
    for effect in [Effect::status(503), Effect::Close, Effect::status(416)] {
        for style in [UploadStyle::Put, UploadStyle::Patch] {
            let (registry, made) = (ScriptedRegistry::start(), image(300_000));
            registry.script(Rule::on(Route::Upload).effect(effect.clone()).times(1));
            push(&registry, &made, style).unwrap();
        }
    }
}

#[test]
fn chunks_are_as_large_as_the_registry_wants() {
    let (registry, made) = (ScriptedRegistry::start(), image(1_000_000));
    registry.set_uploads(UploadRules { chunk_bytes_min: 400_000, ..UploadRules::default() });
    push(&registry, &made, UploadStyle::Chunks(100_000)).unwrap();
    let ranges: Vec<String> = registry
        .requests()
        .iter()
        .filter(|request| request.method == "PATCH" && request.received > 2)
        .filter_map(|request| request.header("content-range").map(str::to_owned))
        .collect();
    assert_eq!(ranges, ["0-399999", "400000-799999", "800000-999999"]);
}

#[test]
fn too_large_bodies_are_sent_in_chunks() {
    let (registry, made) = (ScriptedRegistry::start(), image(20_000_000));
    registry.set_uploads(UploadRules { body_bytes_max: 5_000_000, ..UploadRules::default() });
    push(&registry, &made, UploadStyle::Put).unwrap();
    let largest = registry.requests().iter().map(|request| request.received).max();
    assert!(largest <= Some(5_000_000));
}

#[test]
fn a_registry_that_takes_next_to_nothing_is_told_of() {
    let (registry, made) = (ScriptedRegistry::start(), image(2_000_000));
    registry.set_uploads(UploadRules { body_bytes_max: 1000, ..UploadRules::default() });
    let error = push(&registry, &made, UploadStyle::Put).unwrap_err();
    assert_eq!(error.kind(), Kind::LimitExceeded, "{error}");
}

#[test]
fn one_patch_where_a_second_would_overwrite() {
    let (registry, made) = (ScriptedRegistry::start(), image(300_000));
    registry.set_uploads(UploadRules { patch_overwrites: true, put_with_body: false, ..UploadRules::default() });
    push(&registry, &made, UploadStyle::Patch).unwrap();
    assert_eq!(registry.count("PATCH", Route::Upload), 2, "one for the config, one for the layer");
    assert!(registry.requests().iter().all(|request| request.header("content-range").is_none()));
}

#[test]
fn locations_may_be_absolute_and_have_queries() {
    let (registry, made) = (ScriptedRegistry::start(), image(1000));
    registry.set_uploads(UploadRules { absolute_location: true, ..UploadRules::default() });
    push(&registry, &made, UploadStyle::Put).unwrap();
    let put = registry.requests().into_iter().find(|request| request.method == "PUT" && request.route == Route::Upload);
    let query = put.unwrap().query;
    assert!(query.starts_with("state=0&digest=sha256%3A"), "{query}");
}

#[test]
fn a_lost_answer_to_the_last_request_is_no_failure() {
    let (registry, made) = (ScriptedRegistry::start(), image(1000));
    // The registry has finished the upload, but nobody hears of it.
    registry.script(Rule::on(Route::Upload).method("PUT").effect(Effect::CloseAfterwards).times(1));
    push(&registry, &made, UploadStyle::Patch).unwrap();
}

#[test]
fn wrong_bytes_are_refused_and_the_upload_is_cancelled() {
    let registry = ScriptedRegistry::start();
    let blob = Descriptor::new(MediaType::OciLayer, Digest::sha256(b"right"), 5);
    let remote = remote(&registry, "app", Access::Push);
    run(async {
        let Begin::Write(upload) = remote.ingest(&blob, &Silent).await.unwrap() else { panic!("nothing is there") };
        upload.write(0, Bytes::from_static(b"wrong")).await.unwrap();
        assert_eq!(upload.commit().await.unwrap_err().kind(), Kind::Corrupt);
    });
    assert_eq!(registry.open_uploads(), 0);
    assert_eq!(registry.blob("app", blob.digest.as_str()), None);
}

#[test]
fn abandoned_uploads_are_cancelled() {
    let registry = ScriptedRegistry::start();
    let made = image(3_000_000);
    let remote = remote(&registry, "app", Access::Push);
    let bytes = made.place.get(&made.layer.digest).unwrap();
    run(async {
        let small = Descriptor::new(MediaType::OciLayer, Digest::sha256(b"small"), 5);
        let Begin::Write(upload) = remote.ingest(&small, &Silent).await.unwrap() else { panic!("nothing is there") };
        drop(upload);
        let Begin::Write(upload) = remote.ingest(&made.layer, &Silent).await.unwrap() else {
            panic!("nothing is there")
        };
        upload.write(0, bytes.slice(..2_000_000)).await.unwrap();
        drop(upload);
        // What is worth going on with is kept until nobody wants it any more.
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        assert_eq!(registry.open_uploads(), 1);
        remote.cancel_uploads().await;
        assert_eq!(registry.open_uploads(), 0);
    });
}

#[test]
fn foreign_layers_are_not_uploaded() {
    let registry = ScriptedRegistry::start();
    let mut foreign = Descriptor::new(MediaType::DockerForeignLayerGzip, Digest::sha256(b"elsewhere"), 9);
    foreign.urls = vec!["https://example.com/layer".to_owned()];
    let remote = remote(&registry, "app", Access::Push);
    assert!(matches!(run(remote.ingest(&foreign, &Silent)).unwrap(), Begin::Present));
}
