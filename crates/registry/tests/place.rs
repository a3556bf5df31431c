//! The contract of a place, and the main path: resolve, read, upload, tag.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use std::collections::HashMap;

use common::{options, reference, remote, remote_with, repository, run};
use dhow_base::progress::Silent;
use dhow_content::memory::MemoryPlace;
use dhow_content::{CopyOptions, Resolve, TagSink, copy, read_document, suite};
use dhow_registry::quirks::UploadStyle;
use dhow_registry::{Access, ClientOptions};
use dhow_spec::Digest;
use dhow_testkit::registry::{Route, ScriptedRegistry, UploadRules};

#[test]
fn keeps_the_contract_of_a_place_in_every_style() {
    for style in [UploadStyle::Put, UploadStyle::Patch, UploadStyle::Chunks(5_000_000)] {
        let registry = ScriptedRegistry::start();
        let remote =
            remote_with(&registry, "suite", Access::Push, ClientOptions { upload_style: Some(style), ..options() });
        run(suite::check(&remote, &remote));
    }
}

#[test]
fn a_pull_asks_for_each_thing_once() {
    let registry = ScriptedRegistry::start();
    let image = registry.put_image("app", "v1", &[vec![1; 5000], vec![2; 70_000]]);
    let remote = remote(&registry, "app", Access::Pull);
    let place = MemoryPlace::new();
    run(async {
        let root = remote.resolve(&reference(&registry, "app:v1")).await.unwrap();
        assert_eq!(root.digest.as_str(), image.manifest);
        copy(&remote, &place, &root, &CopyOptions::new(&Silent)).await.unwrap();
    });
    let lines = registry.lines();
    assert_eq!(lines[0], "HEAD /v2/app/manifests/v1", "no request is made only to say hello");
    assert_eq!(lines[1], format!("GET /v2/app/manifests/{}", image.manifest));
    assert_eq!(lines.len(), 5, "{lines:#?}");
    for layer in &image.layers {
        let bytes = place.get(&Digest::parse(layer).unwrap()).unwrap();
        assert_eq!(bytes, registry.blob("app", layer).unwrap());
    }
}

#[test]
fn an_up_to_date_tag_costs_one_head() {
    let registry = ScriptedRegistry::start();
    let image = registry.put_image("app", "v1", &[vec![1; 5000]]);
    let remote = remote(&registry, "app", Access::Pull);
    run(async {
        let found = remote.head(&reference(&registry, "app:v1")).await.unwrap().unwrap();
        assert_eq!(found.digest.as_str(), image.manifest);
        assert_eq!(remote.head(&reference(&registry, "app:nope")).await.unwrap(), None);
    });
    assert_eq!(registry.lines(), ["HEAD /v2/app/manifests/v1", "HEAD /v2/app/manifests/nope"]);
}

#[test]
fn a_push_sends_the_root_once_under_its_tag() {
    let sample = suite::sample("push");
    let registry = ScriptedRegistry::start();
    let remote = remote(&registry, "app", Access::Push);
    run(async {
        let options = CopyOptions { leave_root: true, ..CopyOptions::new(&Silent) };
        let copied = copy(&sample.place, &remote, &sample.index, &options).await.unwrap();
        let root = copied.documents.last().unwrap();
        remote.tag(&reference(&registry, "app:v1"), root).await.unwrap();
    });
    assert_eq!(registry.tag("app", "v1").unwrap(), sample.index.digest.as_str());
    let puts: Vec<String> =
        registry.lines().into_iter().filter(|line| line.contains("PUT /v2/app/manifests/")).collect();
    assert_eq!(puts.len(), 3, "{puts:#?}");
    assert_eq!(puts.last().unwrap(), "PUT /v2/app/manifests/v1");
    assert_eq!(registry.count("POST", Route::UploadStart), 5);
    assert_eq!(registry.count("PUT", Route::Upload), 5, "a POST and a PUT for every blob");
    assert_eq!(registry.count("PATCH", Route::Upload), 0);
    assert_eq!(registry.open_uploads(), 0);
}

#[test]
fn a_second_push_sends_nothing() {
    let sample = suite::sample("again");
    let registry = ScriptedRegistry::start();
    let remote = remote(&registry, "app", Access::Push);
    run(copy(&sample.place, &remote, &sample.index, &CopyOptions::new(&Silent))).unwrap();
    registry.clear_log();
    run(copy(&sample.place, &remote, &sample.index, &CopyOptions::new(&Silent))).unwrap();
    assert_eq!(registry.lines(), [format!("HEAD /v2/app/manifests/{}", sample.index.digest)]);
}

#[test]
fn blobs_are_mounted_from_repositories_that_have_them() {
    let sample = suite::sample("mount");
    let registry = ScriptedRegistry::start();
    for blob in &sample.blobs {
        registry.put_blob("other/base", &sample.place.get(&blob.digest).unwrap());
    }
    let homes = vec![repository(&registry, "app"), repository(&registry, "other/base")];
    let hints: HashMap<_, _> = sample.blobs.iter().map(|blob| (blob.digest.clone(), homes.clone())).collect();
    let mounting = remote(&registry, "app", Access::Push).with_mount_hints(hints.clone());
    let copied = run(copy(&sample.place, &mounting, &sample.manifest, &CopyOptions::new(&Silent))).unwrap();
    assert_eq!((copied.blobs_moved, copied.blobs_present, copied.bytes_moved), (0, 3, 0));
    assert_eq!(registry.count("PUT", Route::Upload), 0);

    // A registry that does not mount opens an upload with the same answer, which is then used.
    registry.set_uploads(UploadRules { mounts: false, ..UploadRules::default() });
    registry.clear_log();
    let refused = remote(&registry, "second", Access::Push).with_mount_hints(hints);
    let copied = run(copy(&sample.place, &refused, &sample.manifest, &CopyOptions::new(&Silent))).unwrap();
    assert_eq!(copied.blobs_moved, 3);
    assert_eq!(registry.count("POST", Route::UploadStart), 3);
}

#[test]
fn tags_come_in_pages() {
    let registry = ScriptedRegistry::start();
    for number in 0..25 {
        registry.put_image("app", &format!("v{number:02}"), &[]);
    }
    registry.set_tags_per_page(10);
    let tags = run(remote(&registry, "app", Access::Pull).tags()).unwrap();
    assert_eq!(tags.len(), 25);
    assert_eq!((tags[0].as_str(), tags[24].as_str()), ("v00", "v24"));
    assert_eq!(registry.count("GET", Route::Tags), 3);
}

#[test]
fn documents_are_read_by_tag_and_digest() {
    let registry = ScriptedRegistry::start();
    let image = registry.put_image("app", "v1", &[vec![9; 10]]);
    let remote = remote(&registry, "app", Access::Pull);
    run(async {
        let by_tag = remote.fetch_document(&reference(&registry, "app:v1")).await.unwrap();
        assert_eq!(by_tag.descriptor().digest.as_str(), image.manifest);
        assert_eq!(by_tag.bytes(), registry.manifest("app", "v1").unwrap().1);
        // A digest wins over the tag beside it.
        registry.put_image("app", "v1", &[vec![8; 10]]);
        let pinned = reference(&registry, &format!("app:v1@{}", image.manifest));
        assert_eq!(remote.fetch_document(&pinned).await.unwrap().descriptor(), by_tag.descriptor());
        assert_eq!(remote.resolve(&pinned).await.unwrap().digest, by_tag.descriptor().digest);
        read_document(&remote, by_tag.descriptor()).await.unwrap();
    });
    assert_eq!(registry.count("GET", Route::Manifest), 3);
}
