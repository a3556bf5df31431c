//! Lists that come in pages.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{OCI_MANIFEST, Registry, failure, header, is_bucket, json_of, outcome};

/// All pages that begin at `path`.
async fn pages(registry: &Registry, path: &str, key: &str) -> Vec<Value> {
    let (mut next, mut pages) = (path.to_owned(), Vec::new());
    while !next.is_empty() {
        let page = registry.get(&next).await;
        assert_eq!(page.status(), 200);
        next = header(&page, "link").split(['<', '>']).nth(1).unwrap_or_default().to_owned();
        pages.push(json_of(page).await[key].clone());
    }
    pages
}

#[tokio::test]
async fn tags_in_order_and_in_pages() {
    let registry = Registry::start().await;
    let bytes = registry.push_image("a/b", "v2", "layer").await;
    for tag in ["v10", "A", "v1", "_x"] {
        registry.put_manifest("a/b", tag, OCI_MANIFEST, &bytes).await;
    }
    let path = "/v2/a/b/tags/list";
    assert_eq!(pages(&registry, path, "tags").await, [json!(["A", "_x", "v1", "v10", "v2"])]);
    let in_twos = [json!(["A", "_x"]), json!(["v1", "v10"]), json!(["v2"])];
    assert_eq!(pages(&registry, &format!("{path}?n=2"), "tags").await, in_twos);
    assert_eq!(pages(&registry, &format!("{path}?n=5"), "tags").await.len(), 1);
    assert_eq!(pages(&registry, &format!("{path}?last=v1"), "tags").await, [json!(["v10", "v2"])]);
    // Behind a tag that is not there, and never was one.
    assert_eq!(pages(&registry, &format!("{path}?last=v1a"), "tags").await, [json!(["v2"])]);
    assert_eq!(pages(&registry, &format!("{path}?n=0"), "tags").await, [json!([])]);
    assert_eq!(pages(&registry, &format!("{path}?n=99999999999999999999"), "tags").await.len(), 1);
    for bad in ["-1", "x", "", "1e3"] {
        assert_eq!(outcome(registry.get(&format!("{path}?n={bad}")).await).await, failure(400, "UNSUPPORTED"));
    }
}

#[tokio::test]
async fn tags_of_unknown_and_of_empty_repositories() {
    let registry = Registry::start().await;
    assert_eq!(outcome(registry.get("/v2/none/tags/list").await).await, failure(404, "NAME_UNKNOWN"));
    registry.push_blob("a", "bytes").await;
    if is_bucket() {
        // A bucket knows a repository by its manifests, as distribution does by its tags.
        assert_eq!(outcome(registry.get("/v2/a/tags/list").await).await, failure(404, "NAME_UNKNOWN"));
        return;
    }
    assert_eq!(pages(&registry, "/v2/a/tags/list", "tags").await, [json!([])]);
}

#[tokio::test]
async fn repositories_in_the_order_of_their_names() {
    let registry = Registry::start().await;
    assert_eq!(pages(&registry, "/v2/_catalog", "repositories").await, [json!([])]);
    let sorted = ["a", "a-b", "a-b/c", "a.d", "a/b", "a/b-c", "a/b/c", "a0", "b/c/d"];
    for name in sorted.iter().rev() {
        registry.push_image(name, "v1", "layer").await;
    }
    registry.push_blob("only/blobs", "bytes").await;
    assert_eq!(pages(&registry, "/v2/_catalog", "repositories").await, [json!(sorted)]);
    for size in 1..10 {
        let pages = pages(&registry, &format!("/v2/_catalog?n={size}"), "repositories").await;
        let all: Vec<&str> =
            pages.iter().flat_map(|page| page.as_array().unwrap()).map(|name| name.as_str().unwrap()).collect();
        assert_eq!(all, sorted, "pages of {size}");
        assert_eq!(pages.len(), sorted.len().div_ceil(size));
    }
}

#[tokio::test]
async fn version_and_health() {
    let registry = Registry::start().await;
    for path in ["/v2/", "/v2"] {
        let version = registry.get(path).await;
        assert_eq!(
            (version.status().as_u16(), header(&version, "docker-distribution-api-version")),
            (200, "registry/2.0")
        );
    }
    assert_eq!(registry.get("/healthz").await.text().await.unwrap(), "ok\n");
    let refused = registry.request(Method::POST, "/v2/").send().await.unwrap();
    assert_eq!(header(&refused, "allow"), "GET, HEAD");
    assert_eq!(outcome(refused).await, failure(405, "UNSUPPORTED"));
    assert_eq!(registry.get("/nowhere").await.status(), 404);
}
