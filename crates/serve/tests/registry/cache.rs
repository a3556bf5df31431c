//! Copies of another registry, which here is a scripted one that counts.

mod scripted;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use dhow_base::Kind;
use dhow_serve::ServeOptions;
use dhow_serve::configuration::{CacheSection, UpstreamSection};
use dhow_spec::Digest;
use reqwest::{Method, Response};
use serde_json::json;

use crate::harness::{OCI_INDEX, Registry, failure, header, json_of, noise, outcome};
use scripted::{Script, Scripted, Way};

const HUB: &str = "docker.io/library/app";

async fn serve_with(scripted: &Arc<Scripted>, change: impl FnOnce(&mut CacheSection)) -> (Registry, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let mut options = ServeOptions::new(folder.path().join("registry"));
    options.cache = folder.path().join("copies");
    options.upstream = Some(Arc::new(Way(Arc::clone(scripted))));
    let upstream =
        |name: &str, registry: &str| UpstreamSection { name: name.to_owned(), registry: registry.to_owned() };
    let section = &mut options.source.overrides.cache;
    section.upstreams = vec![upstream("hub", "docker.io"), upstream("quay", "quay.io")];
    change(section);
    (Registry::serve(options).await, folder)
}

async fn serve(scripted: &Arc<Scripted>) -> (Registry, tempfile::TempDir) {
    serve_with(scripted, |_| ()).await
}

/// What was sent, or why it was not all.
async fn body(response: Response) -> Result<Bytes, String> {
    response.bytes().await.map_err(|error| error.to_string())
}

async fn until(what: &str, is_so: impl Fn() -> bool) {
    for _ in 0..1000 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_clients_make_one_request() {
    let scripted = Scripted::new();
    let bytes = noise(3 << 20);
    let digest = scripted.put(HUB, bytes.clone());
    // No more than the first piece comes before all clients have the head of their answer.
    let pace = scripted.pace.available_permits();
    scripted.pace.forget_permits(pace);
    let (registry, folder) = serve(&scripted).await;
    let path = format!("/v2/hub/library/app/blobs/{digest}");
    let answers = futures::future::join_all((0..50).map(|_| registry.get(&path))).await;
    assert!(answers.iter().all(|answer| answer.status() == 200 && header(answer, "content-length") == "3145728"));
    scripted.pace.add_permits(1 << 20);
    for got in futures::future::join_all(answers.into_iter().map(body)).await {
        assert!(got.unwrap() == bytes);
    }
    assert_eq!(scripted.asked(), ["blob docker.io/library/app"]);
    until("it is kept", || folder.path().join("copies/blobs/sha256").join(digest.hex()).exists()).await;
    assert!(body(registry.get(&path).await).await.unwrap() == bytes);
    let part = registry.request(Method::GET, &path).header("range", "bytes=100-199").send().await.unwrap();
    assert_eq!((part.status().as_u16(), header(&part, "content-range")), (206, "bytes 100-199/3145728"));
    assert!(body(part).await.unwrap() == bytes[100..200]);
    assert_eq!(scripted.asked(), [""; 0]);
    let metrics = registry.get("/metrics").await.text().await.unwrap();
    assert!(
        metrics.contains("dhow_cache_misses_total 1\n") && metrics.contains("dhow_cache_transfers 0\n"),
        "{metrics}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_of_what_still_comes() {
    let scripted = Scripted::new();
    let bytes = noise(1 << 20);
    let digest = scripted.put(HUB, bytes.clone());
    let (registry, _folder) = serve(&scripted).await;
    let path = format!("/v2/hub/library/app/blobs/{digest}");
    let part = registry.request(Method::GET, &path).header("range", "bytes=700000-").send().await.unwrap();
    assert_eq!((part.status().as_u16(), header(&part, "content-length")), (206, "348576"));
    assert!(body(part).await.unwrap() == bytes[700_000..]);
    assert_eq!(scripted.asked(), ["blob docker.io/library/app"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_transfer_is_gone_on_with() {
    let scripted = Scripted::new();
    let bytes = noise(1 << 20);
    let digest = scripted.put(HUB, bytes.clone());
    scripted.script(Script { breaks_at: Some(500_000), ..Script::default() });
    let (registry, _folder) = serve(&scripted).await;
    let path = format!("/v2/hub/library/app/blobs/{digest}");
    assert!(body(registry.get(&path).await).await.unwrap() == bytes);
    assert_eq!(scripted.asked(), ["blob docker.io/library/app", "rest docker.io/library/app"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_breaks_for_good_or_is_something_else_is_neither_served_whole_nor_kept() {
    let scripted = Scripted::new();
    let bytes = noise(1 << 20);
    let (digest, empty) = (scripted.put(HUB, bytes.clone()), scripted.put(HUB, ""));
    let (registry, folder) = serve(&scripted).await;
    let path = format!("/v2/hub/library/app/blobs/{digest}");
    let wrong = noise((1 << 20) + 1).split_off(1);
    for (named, script) in [
        ("broken", Script { breaks_at: Some(500_000), stays_broken: true, ..Script::default() }),
        (
            "broken, of unknown length",
            Script { breaks_at: Some(500_000), keeps_size_to_itself: true, ..Script::default() },
        ),
        ("wrong", Script { lie: Some(wrong.clone()), ..Script::default() }),
        ("wrong, of unknown length", Script { lie: Some(wrong), keeps_size_to_itself: true, ..Script::default() }),
    ] {
        scripted.script(script);
        let answers = futures::future::join_all((0..3).map(|_| registry.get(&path))).await;
        for answer in answers {
            // Either it ended before the answer began, or the body does not come to its end.
            let failed = answer.status() != 200 || body(answer).await.is_err();
            assert!(failed, "{named}");
        }
        until(named, || std::fs::read_dir(folder.path().join("copies/incoming")).unwrap().next().is_none()).await;
        assert!(!folder.path().join("copies/blobs/sha256").join(digest.hex()).exists(), "{named}");
    }
    // A length of nothing leaves nothing to hold back.
    scripted.script(Script { lie: Some(Vec::new()), ..Script::default() });
    assert_eq!(outcome(registry.get(&path).await).await, failure(502, "UNKNOWN"));
    scripted.script(Script::default());
    assert_eq!(body(registry.get(&format!("/v2/hub/library/app/blobs/{empty}")).await).await.unwrap(), "");
    assert!(body(registry.get(&path).await).await.unwrap() == bytes, "the next one gets it");
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_are_asked_for_again_and_served_stale_when_nobody_answers() {
    let scripted = Scripted::new();
    let first = scripted.tag(HUB, "v1", "1");
    let (registry, _folder) = serve_with(&scripted, |section| section.fresh_seconds = Some(0)).await;
    let path = "/v2/hub/library/app/manifests/v1";
    let digest = |response: &Response| Digest::parse(header(response, "docker-content-digest")).unwrap();
    let got = registry.get(path).await;
    assert_eq!((digest(&got), header(&got, "content-type")), (first.clone(), OCI_INDEX));
    assert_eq!(Digest::sha256(&body(got).await.unwrap()), first);
    assert_eq!(scripted.asked(), ["resolve docker.io/library/app", "document docker.io/library/app"]);
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert_eq!(digest(&registry.get(path).await), first);
    assert_eq!(scripted.asked(), ["resolve docker.io/library/app"]);

    let second = scripted.tag(HUB, "v1", "2");
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert_eq!(digest(&registry.get(path).await), second);

    scripted.script(Script { failure: Some(Kind::Unavailable), ..Script::default() });
    scripted.asked();
    tokio::time::sleep(Duration::from_millis(1100)).await;
    for _ in 0..3 {
        let stale = registry.get(path).await;
        assert_eq!((stale.status().as_u16(), digest(&stale)), (200, second.clone()));
        assert_eq!(header(&stale, "warning"), "110 - \"Response is Stale\"");
    }
    assert_eq!(scripted.asked().len(), 1, "a registry that is down is left alone for a while");
    let by_digest = registry.get(&format!("/v2/hub/library/app/manifests/{first}")).await;
    assert_eq!((by_digest.status().as_u16(), header(&by_digest, "warning")), (200, ""));
    let other = registry.get("/v2/hub/library/app/manifests/v2").await;
    assert_eq!(outcome(other).await, failure(503, "UNAVAILABLE"));
    let tags = registry.get("/v2/hub/library/app/tags/list").await;
    assert_eq!(outcome(tags).await, failure(503, "UNAVAILABLE"), "there is no list yet");
}

/// What a server on these copies says of a list, and whether it says that it may be an old one.
async fn list_of(registry: &Registry, path: &str) -> (u16, serde_json::Value, bool) {
    let answer = registry.get(path).await;
    let (status, is_stale) = (answer.status().as_u16(), header(&answer, "warning") == "110 - \"Response is Stale\"");
    (status, json_of(answer).await, is_stale)
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_asked_for_again_and_served_stale_when_nobody_answers() {
    let scripted = Scripted::new();
    let subject = scripted.tag(HUB, "v1", "1");
    let (registry, folder) = serve_with(&scripted, |section| section.fresh_seconds = Some(2)).await;
    let (tags, referrers) = ("/v2/hub/library/app/tags/list", format!("/v2/hub/library/app/referrers/{subject}"));
    let named = |tags: &[&str]| json!({ "name": "hub/library/app", "tags": tags });
    let together = futures::future::join_all((0..20).map(|_| list_of(&registry, tags))).await;
    assert!(together.iter().all(|answer| *answer == (200, named(&["v1"]), false)), "{together:?}");
    let none = list_of(&registry, &referrers).await;
    assert_eq!((none.0, &none.1["manifests"], none.2), (200, &json!([]), false));
    assert_eq!(scripted.asked(), ["tags docker.io/library/app", "referrers docker.io/library/app"]);

    let gone = "/v2/quay/team/app/tags/list";
    scripted.tag("quay.io/team/app", "v1", "1");
    assert_eq!(registry.get(gone).await.status(), 200);
    scripted.tags.lock().unwrap().remove(&("quay.io/team/app".to_owned(), "v1".to_owned()));
    scripted.tag(HUB, "v2", "2");
    scripted.asked();
    tokio::time::sleep(Duration::from_millis(3100)).await;
    assert_eq!(list_of(&registry, tags).await, (200, named(&["v1", "v2"]), false));
    assert_eq!(list_of(&registry, &format!("{tags}?n=1&last=v1")).await, (200, named(&["v2"]), false));
    assert_eq!(scripted.asked(), ["tags docker.io/library/app"], "pages are of one list");
    // A refusal is believed, and that there is nothing any more.
    assert_eq!(outcome(registry.get(gone).await).await, failure(404, "NAME_UNKNOWN"));
    scripted.script(Script { failure: Some(Kind::Denied), ..Script::default() });
    assert_eq!(outcome(registry.get(&referrers).await).await, failure(403, "DENIED"));
    let kept = || std::fs::read_dir(folder.path().join("copies/blobs/sha256")).unwrap().count();
    assert_eq!(kept(), 2, "the lists before are gone");

    scripted.script(Script { failure: Some(Kind::Unavailable), ..Script::default() });
    scripted.asked();
    let (root, _, _) = registry.stop().await;
    let mut options = ServeOptions::new(root);
    options.cache = folder.path().join("copies");
    options.upstream = Some(Arc::new(Way(Arc::clone(&scripted))));
    options.source.overrides.cache.upstreams = [("hub", "docker.io"), ("quay", "quay.io")]
        .map(|(name, registry)| UpstreamSection { name: name.to_owned(), registry: registry.to_owned() })
        .into();
    options.source.overrides.cache.fresh_seconds = Some(0);
    let registry = Registry::serve(options).await;
    // Times are kept in seconds: within the one of the last answer, that answer is today's.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert_eq!(list_of(&registry, tags).await, (200, named(&["v1", "v2"]), true), "also after a restart");
    let none = list_of(&registry, &referrers).await;
    assert_eq!((none.0, &none.1["manifests"], none.2), (200, &json!([]), true));
    assert_eq!(scripted.asked(), ["tags docker.io/library/app"], "a registry that is down is left alone for a while");
    let other = registry.get("/v2/hub/library/other/tags/list").await;
    assert_eq!(outcome(other).await, failure(503, "UNAVAILABLE"));
    // What a list lies under is no content of the repository.
    let listed = std::fs::read_dir(folder.path().join("copies/blobs/sha256")).unwrap();
    for entry in listed {
        let digest = format!("sha256:{}", entry.unwrap().file_name().to_string_lossy());
        for path in ["blobs", "manifests"] {
            let answer = registry.get(&format!("/v2/hub/library/app/{path}/{digest}")).await;
            assert_eq!(outcome(answer).await, failure(503, "UNAVAILABLE"), "{path}");
        }
    }
    // What was gone is not remembered.
    assert_eq!(outcome(registry.get(gone).await).await, failure(503, "UNAVAILABLE"));
}

#[tokio::test]
async fn what_is_refused_is_not_served_stale() {
    let scripted = Scripted::new();
    scripted.tag(HUB, "v1", "1");
    let (registry, _folder) = serve_with(&scripted, |section| section.fresh_seconds = Some(0)).await;
    let path = "/v2/hub/library/app/manifests/v1";
    assert_eq!(registry.get(path).await.status(), 200);
    for (kind, expected) in [
        (Kind::Denied, failure(403, "DENIED")),
        (Kind::Unauthorized, failure(403, "DENIED")),
        (Kind::Corrupt, failure(502, "UNKNOWN")),
    ] {
        tokio::time::sleep(Duration::from_millis(1100)).await;
        scripted.script(Script { failure: Some(kind), ..Script::default() });
        assert_eq!(outcome(registry.get(path).await).await, expected);
    }
    scripted.script(Script { failure: Some(Kind::RateLimited), ..Script::default() });
    assert_eq!(registry.get(path).await.status(), 200, "a limit on requests is no refusal");
    assert_eq!(outcome(registry.get("/v2/hub/library/app/manifests/v2").await).await, failure(429, "TOOMANYREQUESTS"));
    scripted.script(Script::default());
    scripted.tags.lock().unwrap().clear();
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert_eq!(outcome(registry.get(path).await).await, failure(404, "MANIFEST_UNKNOWN"));
}

#[tokio::test]
async fn fresh_tags_are_not_asked_for_and_lies_are_not_believed() {
    let scripted = Scripted::new();
    let first = scripted.tag(HUB, "v1", "1");
    let (registry, _folder) = serve_with(&scripted, |section| section.fresh_seconds = Some(3600)).await;
    let path = "/v2/hub/library/app/manifests/v1";
    let all = futures::future::join_all((0..20).map(|_| registry.get(path))).await;
    assert!(all.iter().all(|answer| header(answer, "docker-content-digest") == first.as_str()));
    assert_eq!(scripted.asked(), ["resolve docker.io/library/app", "document docker.io/library/app"]);
    scripted.tag(HUB, "v1", "2");
    assert_eq!(header(&registry.get(path).await, "docker-content-digest"), first.as_str());
    let current =
        registry.request(Method::GET, path).header("if-none-match", format!("\"{first}\"")).send().await.unwrap();
    assert_eq!(current.status(), 304);
    scripted.tag(HUB, "v3", "3");
    scripted.script(Script { lie: Some(b"{}".to_vec()), ..Script::default() });
    assert_eq!(outcome(registry.get("/v2/hub/library/app/manifests/v3").await).await, failure(502, "UNKNOWN"));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_gets_content_of_a_repository_through_another() {
    let scripted = Scripted::new();
    let digest = scripted.put("docker.io/team/secret", "secret");
    let (registry, folder) = serve(&scripted).await;
    let path = |repository: &str| format!("/v2/{repository}/blobs/{digest}");
    assert_eq!(body(registry.get(&path("hub/team/secret")).await).await.unwrap(), "secret");
    until("it is kept", || folder.path().join("copies/blobs/sha256").join(digest.hex()).exists()).await;
    assert_eq!(outcome(registry.get(&path("hub/team/other")).await).await, failure(404, "BLOB_UNKNOWN"));
    assert_eq!(outcome(registry.get(&path("quay/team/secret")).await).await, failure(404, "BLOB_UNKNOWN"));
    // One that has it gets it from here, and the bytes do not come twice.
    scripted.put("quay.io/team/copy", "secret");
    assert_eq!(body(registry.get(&path("quay/team/copy")).await).await.unwrap(), "secret");
    assert_eq!(scripted.transfers.load(Ordering::SeqCst), 1);
    // Nor by mounting it.
    let mount = format!("/v2/mine/blobs/uploads/?mount={digest}&from=hub/team/secret");
    assert_eq!(registry.request(Method::POST, &mount).send().await.unwrap().status(), 202);
}

#[tokio::test]
async fn names_and_what_copies_cannot_do() {
    let scripted = Scripted::new();
    let digest = scripted.tag(HUB, "v1", "1");
    scripted.tag(HUB, "v2", "2");
    let (registry, _folder) = serve(&scripted).await;
    let named = registry.get("/v2/library/app/manifests/v1?ns=docker.io").await;
    assert_eq!((named.status().as_u16(), header(&named, "oci-namespace")), (200, "docker.io"));
    let tags = registry.get("/v2/library/app/tags/list?ns=docker.io&n=1").await;
    assert_eq!(header(&tags, "link"), "</v2/library/app/tags/list?n=1&last=v1&ns=docker.io>; rel=\"next\"");
    assert_eq!(json_of(tags).await, json!({ "name": "library/app", "tags": ["v1"] }));
    assert_eq!(registry.get(&format!("/v2/hub/library/app/referrers/{digest}")).await.status(), 200);
    let unknown = registry.get("/v2/library/app/manifests/v1?ns=ghcr.io").await;
    assert_eq!(outcome(unknown).await, failure(404, "NAME_UNKNOWN"));
    assert_eq!(registry.get("/v2/library/app/manifests/v1").await.status(), 404, "it is no copy without a name");
    for (method, path) in [
        (Method::PUT, "/v2/hub/library/app/manifests/v1".to_owned()),
        (Method::DELETE, "/v2/hub/library/app/manifests/v1".to_owned()),
        (Method::DELETE, format!("/v2/hub/library/app/blobs/{digest}")),
        (Method::POST, "/v2/hub/library/app/blobs/uploads/".to_owned()),
        (Method::POST, "/v2/library/app/blobs/uploads/?ns=docker.io".to_owned()),
    ] {
        let refused = registry.request(method, &path).body("{}").send().await.unwrap();
        assert_eq!(outcome(refused).await, failure(405, "UNSUPPORTED"), "{path}");
    }
    // What is pushed here is beside the copies.
    registry.push_image("mine", "v1", "layer").await;
    assert_eq!(registry.get("/v2/mine/manifests/v1").await.status(), 200);
    let (registry, _folder) = serve_with(&scripted, |section| section.default = Some("hub".to_owned())).await;
    assert_eq!(registry.get("/v2/library/app/manifests/v1").await.status(), 200);
}

#[tokio::test]
async fn rules_know_a_copy_by_its_one_name() {
    let scripted = Scripted::new();
    scripted.tag(HUB, "v1", "1");
    let folder = tempfile::tempdir().unwrap();
    crate::harness::write(
        &folder.path().join("serve.toml"),
        "[[access.rules]]\nusers = [\"anonymous\"]\nallow = [\"pull\"]\nrepositories = [\"library/**\", \"hub/team/**\"]\n\
         [cache]\nupstreams = [{ name = \"hub\", registry = \"docker.io\" }]\n",
    );
    let mut options = ServeOptions::new(folder.path().join("registry"));
    options.source.file = Some(folder.path().join("serve.toml"));
    options.cache = folder.path().join("copies");
    options.upstream = Some(Arc::new(Way(Arc::clone(&scripted))));
    let registry = Registry::serve(options).await;
    for path in ["/v2/hub/library/app/manifests/v1", "/v2/library/app/manifests/v1?ns=docker.io"] {
        assert_eq!(outcome(registry.get(path).await).await, failure(403, "DENIED"), "{path}");
    }
    assert_eq!(scripted.asked(), [""; 0]);
    assert_eq!(registry.get("/v2/team/app/manifests/v1?ns=docker.io").await.status(), 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_limit_holds_and_a_restart_keeps_what_is_there() {
    let scripted = Scripted::new();
    let digests: Vec<Digest> = (0..10).map(|byte| scripted.put(HUB, vec![byte; 200_000])).collect();
    let limit = 700_000;
    let (registry, folder) = serve_with(&scripted, |section| section.bytes = Some(limit)).await;
    let path = |digest: &Digest| format!("/v2/hub/library/app/blobs/{digest}");
    let blobs = folder.path().join("copies/blobs/sha256");
    for digest in &digests {
        assert_eq!(body(registry.get(&path(digest)).await).await.unwrap().len(), 200_000);
        until("it is kept", || blobs.join(digest.hex()).exists()).await;
        let total: u64 = std::fs::read_dir(&blobs).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum();
        assert!(total <= limit);
    }
    until("all transfers have ended", || {
        std::fs::read_dir(folder.path().join("copies/incoming")).unwrap().next().is_none()
    })
    .await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let (root, _, _) = registry.stop().await;
    scripted.asked();
    let mut options = ServeOptions::new(root);
    options.cache = folder.path().join("copies");
    options.upstream = Some(Arc::new(Way(Arc::clone(&scripted))));
    let hub = UpstreamSection { name: "hub".to_owned(), registry: "docker.io".to_owned() };
    options.source.overrides.cache.upstreams = vec![hub];
    let registry = Registry::serve(options).await;
    assert_eq!(registry.get(&path(&digests[9])).await.status(), 200);
    assert_eq!(scripted.asked(), [""; 0]);
    assert_eq!(registry.get(&path(&digests[0])).await.status(), 200);
    assert_eq!(scripted.asked(), ["blob docker.io/library/app"]);
}
