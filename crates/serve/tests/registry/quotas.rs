//! Quotas: what a namespace may hold.

use dhow_serve::{CollectOptions, ServeOptions, collect};
use dhow_spec::Digest;
use reqwest::{Method, Response};
use serde_json::json;

use crate::harness::{OCI_INDEX, Registry, failure, json_of, location, outcome};

/// Of the layer that fills most of it.
const LAYER: usize = 6000;

async fn serve(quotas: &str) -> Registry {
    Registry::configured(quotas).await
}

async fn push(registry: &Registry, repository: &str, bytes: &str) -> Response {
    let path = format!("/v2/{repository}/blobs/uploads/?digest={}", Digest::sha256(bytes.as_bytes()));
    registry.request(Method::POST, &path).body(bytes.to_owned()).send().await.unwrap()
}

fn index(salt: &str) -> String {
    json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [], "annotations": { "a": salt } }).to_string()
}

#[tokio::test]
async fn bytes_count_once_and_what_is_there_stays() {
    let registry = serve("[[quotas]]\nnamespace = \"team\"\nbytes = 10000\n").await;
    let (layer, other) = ("a".repeat(LAYER), "b".repeat(LAYER));
    let manifest = registry.push_image("team/app", "v1", &layer).await;
    // The same again, in another repository of the namespace: it is counted once.
    registry.push_image("team/copy", "v1", &layer).await;
    let refused = push(&registry, "team/app", &other).await;
    assert_eq!(refused.status(), 403);
    let said = json_of(refused).await["errors"][0].clone();
    assert_eq!(said["code"], "DENIED");
    let held = LAYER + 2 + manifest.len();
    let message = format!("the quota of team is used up: it holds {held} of 10000 bytes, and this needs 6000 more");
    // In an object store a manifest's record counts with the manifest.
    assert!(!registry.is_folder() || said["message"] == message, "{said}");
    assert_eq!(said["detail"]["limit"], 10000);

    // Each way in: a session, in one piece or several; mounts from elsewhere; manifests.
    let session = registry.begin("team/app").await;
    let path = format!("{session}?digest={}", Digest::sha256(other.as_bytes()));
    let put = registry.request(Method::PUT, &path).body(other.clone()).send().await.unwrap();
    assert_eq!(outcome(put).await, failure(403, "DENIED"));
    let session = registry.begin("team/app").await;
    let patched = registry.request(Method::PATCH, &session).body("b".repeat(3000)).send().await.unwrap();
    assert_eq!(patched.status(), 202);
    let refused = registry.request(Method::PATCH, &location(&patched)).body("b".repeat(3000)).send().await.unwrap();
    assert_eq!(outcome(refused).await, failure(403, "DENIED"));
    registry.push_blob("elsewhere", other.clone()).await;
    let digest = Digest::sha256(other.as_bytes());
    let mount = format!("/v2/team/app/blobs/uploads/?mount={digest}&from=elsewhere");
    let mounted = registry.request(Method::POST, &mount).send().await.unwrap();
    assert_eq!(outcome(mounted).await, failure(403, "DENIED"));
    let large = registry.put_manifest("team/app", "v2", OCI_INDEX, &index(&"x".repeat(4000))).await;
    assert_eq!(outcome(large).await, failure(403, "DENIED"));

    assert_eq!(registry.get("/v2/team/app/manifests/v1").await.text().await.unwrap(), manifest);
    let pulled = registry.get(&format!("/v2/team/copy/blobs/{}", Digest::sha256(layer.as_bytes()))).await;
    assert_eq!(pulled.text().await.unwrap(), layer);
    // Nothing that was refused is counted or kept.
    assert_eq!(push(&registry, "team/app", &"c".repeat(3000)).await.status(), 201);
    assert_eq!(registry.get(&format!("/v2/team/app/blobs/{digest}")).await.status(), 404);
}

#[tokio::test]
async fn repositories_and_tags() {
    let registry = serve("[[quotas]]\nnamespace = \"team\"\nrepositories = 2\ntags = 3\n").await;
    for (repository, tag, expected) in [
        ("team/a", "v1", 201),
        ("team/a", "v2", 201),
        ("team/b", "v1", 201),
        ("team/c", "v1", 403),
        ("team/a", "v3", 403),
        ("team/a", "v1", 201),
        ("teams/c", "v1", 201),
    ] {
        let put = registry.put_manifest(repository, tag, OCI_INDEX, &index(tag)).await;
        assert_eq!(put.status(), expected, "{repository} {tag}");
    }
    assert_eq!(registry.delete("/v2/team/a/manifests/v2").await.status(), 202);
    tokio::time::sleep(std::time::Duration::from_millis(2100)).await;
    assert_eq!(registry.put_manifest("team/a", "v3", OCI_INDEX, &index("v3")).await.status(), 201);
}

#[tokio::test]
async fn counts_survive_a_restart_and_collection_makes_room() {
    let text = "[[quotas]]\nnamespace = \"team\"\nbytes = 10000\n";
    let registry = serve(text).await;
    if !registry.is_folder() {
        return;
    }
    let manifest = registry.push_image("team/app", "v1", &"a".repeat(LAYER)).await;
    // A blob without a manifest counts, too.
    assert_eq!(push(&registry, "team/loose", &"c".repeat(3000)).await.status(), 201);
    let (root, folder, _) = registry.stop().await;
    let mut options = ServeOptions::new(&root);
    options.source.file = Some(root.with_file_name("serve.toml"));
    let registry = Registry::serve(options).await;
    assert_eq!(outcome(push(&registry, "team/app", &"b".repeat(3000)).await).await, failure(403, "DENIED"));

    let digest = Digest::sha256(manifest.as_bytes());
    assert_eq!(registry.delete(&format!("/v2/team/app/manifests/{digest}")).await.status(), 202);
    let options = CollectOptions { root: root.clone(), grace: std::time::Duration::ZERO, dry_run: false };
    tokio::time::sleep(std::time::Duration::from_millis(2100)).await;
    let collected = tokio::task::spawn_blocking(move || collect(&options)).await.unwrap().unwrap();
    assert!(collected.unlinked >= 2, "{collected:?}");
    assert_eq!(push(&registry, "team/app", &"b".repeat(3000)).await.status(), 201);
    drop(folder);
}

#[tokio::test(flavor = "multi_thread")]
async fn pushes_at_once_do_not_get_past_it() {
    let registry = serve("[[quotas]]\nnamespace = \"team\"\nbytes = 10000\n").await;
    let blobs: Vec<String> = (0..20).map(|number| format!("{number:01000}")).collect();
    let pushes = blobs.iter().map(|blob| push(&registry, "team/app", blob));
    let answers = futures::future::join_all(pushes).await;
    assert_eq!(answers.iter().filter(|answer| answer.status() == 201).count(), 10);
    assert!(answers.iter().all(|answer| matches!(answer.status().as_u16(), 201 | 403)));
}
