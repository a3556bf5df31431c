//! Manifests, tags and referrers.

use dhow_spec::{Algorithm, Digest};
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{OCI_INDEX, OCI_MANIFEST, Registry, failure, header, json_of, location, manifest, outcome};

#[tokio::test]
async fn bytes_come_back_as_they_were_sent() {
    let registry = Registry::start().await;
    let sent = registry.push_image("a/b", "v1", "layer").await;
    let spaced = sent.replace(":{", ": \n{");
    assert_eq!(registry.put_manifest("a/b", "v2", OCI_MANIFEST, &spaced).await.status(), 201);
    for (tag, bytes) in [("v1", &sent), ("v2", &spaced)] {
        let digest = Digest::sha256(bytes.as_bytes());
        for name in [tag.to_owned(), digest.to_string()] {
            let path = format!("/v2/a/b/manifests/{name}");
            let head = registry.request(Method::HEAD, &path).send().await.unwrap();
            assert_eq!(header(&head, "content-length"), bytes.len().to_string());
            let got = registry.get(&path).await;
            assert_eq!(header(&got, "content-type"), OCI_MANIFEST);
            assert_eq!(header(&got, "docker-content-digest"), digest.as_str());
            assert_eq!(got.text().await.unwrap(), **bytes);
            let again = registry.request(Method::GET, &path).header("if-none-match", format!("\"{digest}\""));
            assert_eq!(again.send().await.unwrap().status(), 304);
        }
    }
}

#[tokio::test]
async fn documents_that_can_be_read_two_ways_are_refused() {
    let registry = Registry::start().await;
    let good = registry.push_image("a", "good", "layer").await;
    let both = good.replace("\"layers\"", "\"manifests\":[],\"layers\"");
    let twice = good.replace("\"layers\"", "\"layers\":[],\"layers\"");
    let trailing = format!("{good} {{}}");
    for bytes in [both.as_str(), twice.as_str(), trailing.as_str(), "\u{feff}{}", "{}", "[]", "", "nonsense"] {
        let refused = registry.put_manifest("a", "bad", OCI_MANIFEST, bytes).await;
        assert_eq!(outcome(refused).await, failure(400, "MANIFEST_INVALID"), "{bytes}");
    }
    let refused = registry.put_manifest("a", "bad", OCI_INDEX, &good).await;
    assert_eq!(outcome(refused).await, failure(400, "MANIFEST_INVALID"));
    assert_eq!(registry.get("/v2/a/manifests/bad").await.status(), 404);
    let parameters = format!("{OCI_MANIFEST}; charset=utf-8");
    assert_eq!(registry.put_manifest("a", "fine", &parameters, &good).await.status(), 201);
}

#[tokio::test]
async fn an_image_needs_its_blobs_at_their_sizes() {
    let registry = Registry::start().await;
    let config = registry.push_blob("a", "{}").await;
    let layer = registry.push_blob("elsewhere", "layer").await;
    let absent = manifest(&config, 2, &layer, 5).to_string();
    let refused = registry.put_manifest("a", "v1", OCI_MANIFEST, &absent).await;
    assert_eq!(outcome(refused).await, failure(404, "MANIFEST_BLOB_UNKNOWN"));
    registry.push_blob("a", "layer").await;
    for size in [4, 6] {
        let lying = manifest(&config, 2, &layer, size).to_string();
        let refused = registry.put_manifest("a", "v1", OCI_MANIFEST, &lying).await;
        assert_eq!(outcome(refused).await, failure(400, "MANIFEST_INVALID"));
    }
    assert_eq!(registry.put_manifest("a", "v1", OCI_MANIFEST, &absent).await.status(), 201);
}

#[tokio::test]
async fn partial_indexes_and_foreign_layers_are_taken() {
    let registry = Registry::start().await;
    let missing = Digest::sha256(b"missing");
    let index = json!({
        "schemaVersion": 2,
        "mediaType": OCI_INDEX,
        "manifests": [{ "mediaType": OCI_MANIFEST, "digest": missing.as_str(), "size": 7 }],
    });
    assert_eq!(registry.put_manifest("a", "v1", OCI_INDEX, &index.to_string()).await.status(), 201);
    let config = registry.push_blob("a", "{}").await;
    let mut image = manifest(&config, 2, &missing, 7);
    image["layers"][0]["mediaType"] = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip".into();
    assert_eq!(registry.put_manifest("a", "v2", OCI_MANIFEST, &image.to_string()).await.status(), 201);
}

#[tokio::test]
async fn large_manifests_up_to_the_limit() {
    let registry = Registry::start().await;
    let of_length = |length: usize| {
        let mut index =
            json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [], "annotations": { "a": "" } });
        let rest = length - index.to_string().len();
        index["annotations"]["a"] = "x".repeat(rest).into();
        index.to_string()
    };
    let taken = registry.put_manifest("a", "v1", OCI_INDEX, &of_length(8 << 20)).await;
    assert_eq!(taken.status(), 201);
    let refused = registry.put_manifest("a", "v2", OCI_INDEX, &of_length((8 << 20) + 1)).await;
    assert_eq!(outcome(refused).await, failure(413, "MANIFEST_INVALID"));
}

#[tokio::test]
async fn by_digest_with_tags() {
    let registry = Registry::start().await;
    let bytes = registry.push_image("a", "seed", "layer").await;
    for algorithm in Algorithm::ALL {
        let digest = Digest::of(algorithm, bytes.as_bytes());
        let name = format!("{digest}?tag=1.2.3-{algorithm}&tag=1-{algorithm}");
        let put = registry.put_manifest("a", &name, OCI_MANIFEST, &bytes).await;
        assert_eq!((put.status().as_u16(), header(&put, "docker-content-digest")), (201, digest.as_str()));
        assert_eq!(header(&put, "oci-tag"), format!("1.2.3-{algorithm}, 1-{algorithm}"));
        assert_eq!(location(&put), format!("/v2/a/manifests/{digest}"));
        let got = registry.get(&format!("/v2/a/manifests/1-{algorithm}")).await;
        assert_eq!(header(&got, "docker-content-digest"), digest.as_str());
    }
    let other = Digest::sha256(b"other");
    let refused = registry.put_manifest("a", other.as_str(), OCI_MANIFEST, &bytes).await;
    assert_eq!(outcome(refused).await, failure(400, "DIGEST_INVALID"));
    let good = Digest::sha256(bytes.as_bytes());
    let refused = registry.put_manifest("a", &format!("{good}?tag=.x"), OCI_MANIFEST, &bytes).await;
    assert_eq!(outcome(refused).await, failure(400, "MANIFEST_INVALID"));
    let many = format!("{good}?{}", "tag=x&".repeat(101));
    let refused = registry.put_manifest("a", &many, OCI_MANIFEST, &bytes).await;
    assert_eq!(outcome(refused).await, failure(414, "MANIFEST_INVALID"));
}

#[tokio::test]
async fn deleting_a_manifest_takes_its_tags_and_a_tag_leaves_the_manifest() {
    let registry = Registry::start().await;
    let bytes = registry.push_image("a", "one", "layer").await;
    registry.push_image("a", "other", "another layer").await;
    for tag in ["two", "three"] {
        registry.put_manifest("a", tag, OCI_MANIFEST, &bytes).await;
    }
    let by_digest = format!("/v2/a/manifests/{}", Digest::sha256(bytes.as_bytes()));
    assert_eq!(registry.delete("/v2/a/manifests/two").await.status(), 202);
    assert_eq!(outcome(registry.delete("/v2/a/manifests/two").await).await, failure(404, "MANIFEST_UNKNOWN"));
    assert_eq!(registry.get(&by_digest).await.status(), 200);
    assert_eq!(registry.delete(&by_digest).await.status(), 202);
    for gone in ["/v2/a/manifests/one", "/v2/a/manifests/three", by_digest.as_str()] {
        assert_eq!(outcome(registry.get(gone).await).await, failure(404, "MANIFEST_UNKNOWN"), "{gone}");
    }
    // Pushed again under one tag, it does not come back under the others.
    registry.put_manifest("a", "one", OCI_MANIFEST, &bytes).await;
    let tags: Value = json_of(registry.get("/v2/a/tags/list").await).await;
    assert_eq!(tags, json!({ "name": "a", "tags": ["one", "other"] }));
}

/// Pushes a manifest about `subject`; returns its digest.
async fn refer(registry: &Registry, subject: &Digest, artifact_type: Option<&str>, note: &str) -> Digest {
    let config = registry.push_blob("a", "{}").await;
    let mut referrer = manifest(&config, 2, &config, 2);
    referrer["subject"] = json!({ "mediaType": OCI_MANIFEST, "digest": subject.as_str(), "size": 7 });
    referrer["annotations"] = json!({ "note": note });
    if let Some(artifact_type) = artifact_type {
        referrer["artifactType"] = artifact_type.into();
    }
    let bytes = referrer.to_string();
    let digest = Digest::sha256(bytes.as_bytes());
    let put = registry.put_manifest("a", digest.as_str(), OCI_MANIFEST, &bytes).await;
    assert_eq!((put.status().as_u16(), header(&put, "oci-subject")), (201, subject.as_str()));
    digest
}

#[tokio::test]
async fn referrers_with_filter_pages_and_deletes() {
    let registry = Registry::start().await;
    let subject = Digest::sha256(b"not pushed yet");
    let path = format!("/v2/a/referrers/{subject}");
    let empty: Value = json_of(registry.get(&path).await).await;
    assert_eq!(empty, json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [] }));
    let sbom = refer(&registry, &subject, Some("application/sbom+json"), "1").await;
    refer(&registry, &subject, None, "2").await;
    refer(&registry, &subject, Some("application/sbom+json"), "3").await;

    let all = registry.get(&path).await;
    assert_eq!((header(&all, "content-type"), header(&all, "oci-filters-applied")), (OCI_INDEX, ""));
    let all: Value = json_of(all).await;
    let types: Vec<_> =
        all["manifests"].as_array().unwrap().iter().map(|entry| entry["artifactType"].clone()).collect();
    assert_eq!(types.len(), 3);
    assert!(types.contains(&"application/vnd.oci.image.config.v1+json".into()));
    assert!(all["manifests"].as_array().unwrap().iter().all(|entry| entry["annotations"]["note"].is_string()));

    for filter in ["application/sbom+json", "application%2Fsbom%2Bjson"] {
        let filtered = registry.get(&format!("{path}?artifactType={filter}")).await;
        assert_eq!(header(&filtered, "oci-filters-applied"), "artifactType");
        let filtered: Value = json_of(filtered).await;
        assert_eq!(filtered["manifests"].as_array().unwrap().len(), 2);
    }
    let (mut next, mut seen) = (format!("{path}?n=1&artifactType=application/sbom%2Bjson"), 0);
    while !next.is_empty() {
        let page = registry.get(&next).await;
        next = header(&page, "link").split(['<', '>']).nth(1).unwrap_or_default().to_owned();
        seen += json_of(page).await["manifests"].as_array().unwrap().len();
    }
    assert_eq!(seen, 2);
    assert_eq!(registry.delete(&format!("/v2/a/manifests/{sbom}")).await.status(), 202);
    let left: Value = json_of(registry.get(&path).await).await;
    assert_eq!(left["manifests"].as_array().unwrap().len(), 2);
    assert_eq!(registry.get("/v2/a/referrers/sha256:x").await.status(), 400);
}
