//! Collection beside a running server: what was answered 201 stays whole, what nobody needs goes.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use dhow_serve::{CollectOptions, collect, scrub};
use dhow_spec::Digest;
use reqwest::Method;

use crate::harness::{OCI_INDEX, OCI_MANIFEST, Registry, manifest, write};

const HOUR: Duration = Duration::from_secs(3600);

fn options(root: &Path, grace: Duration) -> CollectOptions {
    CollectOptions { root: root.to_owned(), grace, dry_run: false }
}

/// Makes everything below a folder look as if it had come two hours ago.
fn age(folder: &Path) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            age(&path);
        } else {
            std::fs::File::open(&path).unwrap().set_modified(SystemTime::now() - 2 * HOUR).unwrap();
        }
    }
}

async fn status(registry: &Registry, path: &str) -> u16 {
    registry.get(path).await.status().as_u16()
}

#[tokio::test]
async fn what_no_manifest_needs_goes_after_its_time() {
    let registry = Registry::start().await;
    let kept = registry.push_image("a/b", "v1", "kept layer").await;
    let stray = registry.push_blob("a/b", "stray").await;
    let deleted = registry.push_image("a/b", "v2", "deleted layer").await;
    let index = format!(
        r#"{{"schemaVersion":2,"mediaType":"{OCI_INDEX}","manifests":[{{"mediaType":"{OCI_MANIFEST}","digest":"{}","size":{}}}]}}"#,
        Digest::sha256(kept.as_bytes()),
        kept.len()
    );
    assert_eq!(registry.put_manifest("a/b", "all", OCI_INDEX, &index).await.status(), 201);
    registry.push_image("a", "v1", "another repository").await;
    let digest = Digest::sha256(deleted.as_bytes());
    assert_eq!(registry.delete(&format!("/v2/a/b/manifests/{digest}")).await.status(), 202);

    let root = registry.root.clone();
    let young = collect(&options(&root, HOUR)).unwrap();
    assert_eq!((young.repositories, young.manifests, young.unlinked, young.removed), (2, 3, 0, 0));
    age(&root);
    let fresh = registry.push_blob("a/b", "just uploaded").await;
    let dry = collect(&CollectOptions { dry_run: true, ..options(&root, HOUR) }).unwrap();
    assert_eq!(status(&registry, &format!("/v2/a/b/blobs/{stray}")).await, 200);
    let done = collect(&options(&root, HOUR)).unwrap();
    assert_eq!(dry, done);
    // "stray" and the deleted image's layer; both images have the same config.
    assert_eq!((done.unlinked, done.removed, done.bytes), (2, 3, 5 + 13 + deleted.len() as u64));
    assert_eq!(done.problems, Vec::<String>::new());
    assert_eq!(collect(&options(&root, HOUR)).unwrap().removed, 0);

    for gone in [&stray, &Digest::sha256(b"deleted layer")] {
        assert_eq!(status(&registry, &format!("/v2/a/b/blobs/{gone}")).await, 404);
    }
    assert_eq!(status(&registry, &format!("/v2/a/b/blobs/{fresh}")).await, 200);
    for (repository, layer) in [("a/b", "kept layer"), ("a", "another repository")] {
        assert_eq!(registry.get(&format!("/v2/{repository}/manifests/v1")).await.status(), 200);
        let layer = Digest::sha256(layer.as_bytes());
        assert_eq!(status(&registry, &format!("/v2/{repository}/blobs/{layer}")).await, 200);
    }
    assert_eq!(status(&registry, "/v2/a/b/manifests/all").await, 200);
    assert_eq!(scrub(&root).unwrap().problems, Vec::<String>::new());
}

#[tokio::test]
async fn old_content_that_is_taken_up_again_stays() {
    let registry = Registry::start().await;
    let blob = registry.push_blob("a", "old").await;
    let root = registry.root.clone();
    assert_eq!(registry.delete(&format!("/v2/a/blobs/{blob}")).await.status(), 202);
    age(&root);
    let mounted = registry.request(Method::POST, &format!("/v2/b/blobs/uploads/?mount={blob}")).send().await.unwrap();
    assert_eq!(mounted.status(), 201);
    // The link could be older than what the collector saw: only the content's own time counts.
    dhow_base::fs::remove_file(&root.join(format!("repositories/b/_blobs/sha256/{}", blob.hex()))).unwrap();
    assert_eq!(collect(&options(&root, HOUR)).unwrap().removed, 0);
    // A client that is told that a blob is there does not upload it, and puts its manifest next.
    let (seen, unseen) = (registry.push_blob("c", "seen").await, registry.push_blob("c", "unseen").await);
    age(&root);
    let head = registry.request(Method::HEAD, &format!("/v2/c/blobs/{seen}")).send().await.unwrap();
    assert_eq!((head.status().as_u16(), status(&registry, &format!("/v2/c/blobs/{unseen}")).await), (200, 200));
    let done = collect(&options(&root, HOUR)).unwrap();
    assert_eq!((done.unlinked, done.removed), (1, 2), "\"unseen\", and \"old\", whose link was taken away");
    assert_eq!(status(&registry, &format!("/v2/c/blobs/{seen}")).await, 200);
    // A slow upload: its last byte came long before it is finished.
    let session = registry.begin("a").await;
    let patched = registry.request(Method::PATCH, &session).body(vec![7; 300_000]).send().await.unwrap();
    assert_eq!(patched.status(), 202);
    age(&root);
    let digest = Digest::sha256(&vec![7; 300_000]);
    let put = registry.request(Method::PUT, &format!("{session}?digest={digest}")).send().await.unwrap();
    assert_eq!(put.status(), 201);
    let done = collect(&options(&root, HOUR)).unwrap();
    assert_eq!((done.unlinked, done.removed), (1, 1), "only \"seen\" goes");
    assert_eq!(status(&registry, &format!("/v2/a/blobs/{digest}")).await, 200);
}

#[tokio::test]
async fn a_manifest_that_cannot_be_read_keeps_its_repository_as_it_is() {
    let registry = Registry::start().await;
    let broken = registry.push_image("a", "v1", "layer").await;
    let stray = registry.push_blob("a", "stray").await;
    let content = registry.root.join(format!("blobs/sha256/{}", Digest::sha256(broken.as_bytes()).hex()));
    write(&content, "{ torn");
    age(&registry.root);
    let done = collect(&options(&registry.root, HOUR)).unwrap();
    assert_eq!((done.unlinked, done.removed, done.problems.len()), (0, 0, 1), "{done:?}");
    assert_eq!(status(&registry, &format!("/v2/a/blobs/{stray}")).await, 200);
    let found = scrub(&registry.root).unwrap();
    assert_eq!((found.contents, found.problems.len()), (4, 1), "{found:?}");
    assert!(found.problems[0].contains(&Digest::sha256(broken.as_bytes()).to_string()), "{found:?}");
}

/// Without grace, every moment of a push is one in which the collector may come. What is answered 201 is whole all
/// the same; what was swept before its manifest came is asked for once more, as clients do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pushes_and_collections_at_once() {
    let registry = Arc::new(Registry::start().await);
    let over = Arc::new(AtomicBool::new(false));
    let collector = {
        let (root, over) = (registry.root.clone(), Arc::clone(&over));
        std::thread::spawn(move || {
            let (mut runs, mut removed) = (0, 0);
            while !over.load(Ordering::Relaxed) {
                let done = collect(&options(&root, Duration::ZERO)).unwrap();
                assert_eq!(done.problems, Vec::<String>::new());
                runs += 1;
                removed += done.removed;
            }
            (runs, removed)
        })
    };
    let clients = (0..4).map(|client| {
        let registry = Arc::clone(&registry);
        tokio::spawn(async move {
            let (repository, mut pushed, mut refused) = (format!("r{}", client % 2), 0, 0);
            for round in 0..25 {
                // The layers are the same for all: one's garbage is another's content.
                let layer = format!("layer {round}");
                let digest = Digest::sha256(layer.as_bytes());
                let mut stored = false;
                for _ in 0..50 {
                    let config = registry.push_blob(&repository, "{}").await;
                    registry.push_blob("source", layer.clone()).await;
                    let mount = format!("/v2/{repository}/blobs/uploads/?mount={digest}&from=source");
                    registry.request(Method::POST, &mount).send().await.unwrap();
                    let bytes = manifest(&config, 2, &digest, layer.len() as u64).to_string();
                    let tag = format!("c{client}-{round}");
                    match registry.put_manifest(&repository, &tag, OCI_MANIFEST, &bytes).await.status().as_u16() {
                        201 => {
                            stored = true;
                            break;
                        }
                        404 => refused += 1,
                        other => panic!("a push was answered {other}"),
                    }
                }
                pushed += u32::from(stored);
                for path in [
                    format!("manifests/c{client}-{round}"),
                    format!("blobs/{digest}"),
                    format!("blobs/{}", Digest::sha256(b"{}")),
                ] {
                    if stored {
                        assert_eq!(status(&registry, &format!("/v2/{repository}/{path}")).await, 200, "{path}");
                    }
                }
            }
            (pushed, refused)
        })
    });
    let mut pushed = 0;
    for client in clients.collect::<Vec<_>>() {
        pushed += client.await.unwrap().0;
    }
    over.store(true, Ordering::Relaxed);
    let (runs, _) = collector.join().unwrap();
    assert!(pushed > 0 && runs > 1, "{pushed} pushes beside {runs} collections");
    collect(&options(&registry.root, Duration::ZERO)).unwrap();
    for repository in ["r0", "r1"] {
        let tags = crate::harness::json_of(registry.get(&format!("/v2/{repository}/tags/list")).await).await;
        for tag in tags["tags"].as_array().unwrap() {
            let got = registry.get(&format!("/v2/{repository}/manifests/{}", tag.as_str().unwrap())).await;
            let document = crate::harness::json_of(got).await;
            let layer = document["layers"][0]["digest"].as_str().unwrap().to_owned();
            assert_eq!(status(&registry, &format!("/v2/{repository}/blobs/{layer}")).await, 200, "{repository}:{tag}");
        }
    }
}

#[tokio::test]
async fn one_collection_at_a_time_and_only_where_there_is_a_registry() {
    let registry = Registry::start().await;
    let lock =
        dhow_base::fs::FileLock::try_acquire(&registry.root.join("collect.lock"), dhow_base::fs::LockMode::Exclusive);
    let held = lock.unwrap().unwrap();
    assert_eq!(collect(&options(&registry.root, HOUR)).unwrap_err().kind(), dhow_base::Kind::Unavailable);
    drop(held);
    let nowhere = registry.root.join("nowhere");
    assert_eq!(collect(&options(&nowhere, HOUR)).unwrap_err().kind(), dhow_base::Kind::NotFound);
    assert_eq!(scrub(&nowhere).unwrap_err().kind(), dhow_base::Kind::NotFound);
}
