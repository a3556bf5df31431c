//! Referrers by API and by the fallback tag, removal, search and the list of repositories.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use common::{client, options, reference, remote, run};
use dhow_base::Kind;
use dhow_content::verify_document;
use dhow_registry::{Access, fallback_tag};
use dhow_spec::{Digest, Document, Tag};
use dhow_testkit::registry::{Effect, Route, Rule, ScriptedRegistry, digest_of};
use serde_json::{Value, json};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// A manifest of this artifact type about `subject`.
fn about(subject: &str, size: usize, artifact_type: &str) -> Document {
    let empty = json!({ "mediaType": "application/vnd.oci.empty.v1+json", "digest": digest_of(b"{}"), "size": 2 });
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": artifact_type, "config": empty, "layers": [empty],
        "subject": { "mediaType": MANIFEST, "digest": subject, "size": size },
        "annotations": { "of": artifact_type },
    });
    Document::parse(manifest.to_string().into_bytes(), None).unwrap()
}

fn entry(number: u8, artifact_type: &str) -> Value {
    json!({ "mediaType": MANIFEST, "digest": digest_of(&[number]), "size": 10, "artifactType": artifact_type })
}

fn index(entries: &[Value]) -> Vec<u8> {
    json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": entries }).to_string().into_bytes()
}

#[test]
fn a_registry_without_the_api_gets_a_tag() {
    let registry = ScriptedRegistry::start();
    let image = registry.put_image("app", "v1", &[vec![1; 100]]);
    registry.put_blob("app", b"{}");
    let subject = Digest::parse(&image.manifest).unwrap();
    let remote = remote(&registry, "app", Access::Push);
    run(async {
        assert_eq!(remote.referrers(&subject, None).await.unwrap(), []);
        for artifact_type in ["a/sbom", "a/signature", "a/sbom"] {
            let document = about(&image.manifest, 7, artifact_type);
            let document = verify_document(document.bytes().to_vec(), &document.descriptor()).unwrap();
            remote.attach(&document).await.unwrap();
        }
        let all = remote.referrers(&subject, None).await.unwrap();
        let types: Vec<_> = all.iter().map(|referrer| referrer.artifact_type.as_deref().unwrap()).collect();
        assert_eq!(types, ["a/sbom", "a/signature"], "each once, with its type");
        assert_eq!(all[0].annotations["of"], "a/sbom");
        assert_eq!(remote.referrers(&subject, Some("a/signature")).await.unwrap(), all[1..]);
    });
    assert!(registry.tag("app", fallback_tag(&subject).as_str()).is_some());
}

#[test]
fn pages_of_the_api_are_followed_and_filtered_here_too() {
    let registry = ScriptedRegistry::start();
    let subject = Digest::parse(&digest_of(b"subject")).unwrap();
    let page = |entries: &[Value], next: Option<&str>| {
        let mut headers = vec![("Content-Type".to_owned(), INDEX.to_owned())];
        headers.extend(next.map(|next| ("Link".to_owned(), format!("<{next}>; rel=\"next\""))));
        Effect::Answer { status: 200, headers, body: index(entries) }
    };
    let first = page(&[entry(1, "x/a"), entry(2, "x/b")], Some(&format!("/v2/app/referrers/{subject}?last=2")));
    registry.script(Rule::on(Route::Referrers).path("referrers").effect(first).times(1));
    registry.script(
        Rule::on(Route::Referrers).path("referrers").effect(page(&[entry(3, "x/a"), entry(1, "x/a")], None)).times(1),
    );
    let remote = remote(&registry, "app", Access::Pull);
    let found = run(remote.referrers(&subject, Some("x/a"))).unwrap();
    let digests: Vec<&str> = found.iter().map(|referrer| referrer.digest.as_str()).collect();
    assert_eq!(digests, [digest_of(&[1]), digest_of(&[3])]);
    assert_eq!(registry.requests()[0].query, "artifactType=x%2Fa");
}

#[test]
fn a_list_that_leads_elsewhere_is_refused() {
    let registry = ScriptedRegistry::start();
    let headers = vec![
        ("Content-Type".to_owned(), INDEX.to_owned()),
        ("Link".to_owned(), "<http://169.254.169.254/latest>; rel=\"next\"".to_owned()),
    ];
    let answer = Effect::Answer { status: 200, headers, body: index(&[]) };
    registry.script(Rule::on(Route::Referrers).path("referrers").effect(answer));
    let remote = remote(&registry, "app", Access::Pull);
    let error = run(remote.referrers(&Digest::parse(&digest_of(b"x")).unwrap(), None)).unwrap_err();
    assert_eq!(error.kind(), Kind::Denied, "{error}");
}

#[test]
fn what_cannot_be_removed_is_told_apart_from_what_is_not_there() {
    let registry = ScriptedRegistry::start();
    registry.put_image("app", "v1", &[vec![1; 100]]);
    let remote = remote(&registry, "app", Access::Delete);
    let tag = Tag::parse("v1").unwrap();
    for (effect, kind) in [
        (Effect::status(202), None),
        (Effect::error(404, "MANIFEST_UNKNOWN", "manifest unknown"), Some(Kind::NotFound)),
        (Effect::error(405, "UNSUPPORTED", ""), Some(Kind::Unsupported)),
        // Debian's registry, which removes by digest only.
        (Effect::error(400, "DIGEST_INVALID", "provided digest did not match"), Some(Kind::Unsupported)),
        (Effect::error(403, "DENIED", ""), Some(Kind::Denied)),
    ] {
        registry.clear_script();
        registry.script(Rule::on(Route::Manifest).method("DELETE").effect(effect));
        assert_eq!(run(remote.delete_tag(&tag)).map_err(|error| error.kind()).err(), kind);
    }
}

#[test]
fn no_more_pages_than_are_needed() {
    let registry = ScriptedRegistry::start();
    for number in 0..10 {
        registry.put_image("app", &format!("v{number}"), &[vec![number; 10]]);
    }
    registry.set_tags_per_page(3);
    let remote = remote(&registry, "app", Access::Pull);
    let tags = run(remote.first_tags(4)).unwrap();
    assert_eq!(tags.iter().map(Tag::as_str).collect::<Vec<_>>(), ["v0", "v1", "v2", "v3"]);
    assert_eq!(registry.count("GET", Route::Tags), 2);
}

#[test]
fn search_and_the_list_of_repositories() {
    let registry = ScriptedRegistry::start();
    let domain = registry.authority();
    let client = client(options());
    let missing = run(client.search(&domain, "web", 5)).unwrap_err();
    assert_eq!(missing.kind(), Kind::Unsupported, "{missing}");
    let hits = json!({ "results": [
        { "name": "acme/web", "description": "it", "star_count": 7, "is_official": true, "is_automated": false },
        { "name": "acme/web2", "description": "" },
    ]});
    let json = |body: &Value| Effect::Answer {
        status: 200,
        headers: vec![("Content-Type".to_owned(), "application/json".to_owned())],
        body: body.to_string().into_bytes(),
    };
    registry.script(Rule::on(Route::Other).path("/v1/search").effect(json(&hits)));
    registry.script(
        Rule::on(Route::Other).path("_catalog").effect(json(&json!({ "repositories": ["a/x", "b/y", "a/z"] }))),
    );
    let found = run(client.search(&domain, "web & more", 1)).unwrap();
    assert_eq!(
        (found.len(), found[0].name.as_str(), found[0].star_count, found[0].is_official),
        (1, "acme/web", 7, true)
    );
    assert!(registry.lines().contains(&"GET /v1/search?q=web+%26+more&n=1".to_owned()), "{:?}", registry.lines());
    let repositories = run(client.catalog(&domain, &|path: &str| path.starts_with("a/"), 5)).unwrap();
    let names: Vec<String> = repositories.iter().map(|repository| repository.path().to_owned()).collect();
    assert_eq!(names, ["a/x", "a/z"]);
    let _ = reference(&registry, "app");
}
