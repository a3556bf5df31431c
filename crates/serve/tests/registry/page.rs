//! The web page as browsers get it.

use std::time::Duration;

use dhow_serve::{Limits, ServeOptions};
use dhow_spec::{Digest, MediaType};
use reqwest::{Client, Method, Response, redirect};
use serde_json::{Value, json};

use crate::harness::{OCI_INDEX, OCI_MANIFEST, PASSWORD, Registry, header, write};

const HOSTILE: &str = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>\u{202e}";

impl Registry {
    async fn page(&self, path: &str) -> String {
        let answer = self.get(path).await;
        assert_eq!(answer.status(), 200, "{path}");
        assert_eq!(header(&answer, "content-type"), "text/html; charset=utf-8", "{path}");
        answer.text().await.unwrap()
    }

    /// An image with everything that a page shows, of which every text is `text`.
    async fn push_described(&self, repository: &str, tag: &str, text: &str) -> Digest {
        let layer = self.push_blob(repository, format!("layer of {tag}")).await;
        let config = json!({
            "architecture": "amd64", "os": "linux", "created": "2024-03-01T00:00:00Z",
            "rootfs": { "type": "layers", "diff_ids": [layer.as_str()] },
            "history": [
                { "created_by": format!("/bin/sh -c {text}") },
                { "created_by": format!("/bin/sh -c #(nop) ENV {text}"), "empty_layer": true },
            ],
            "config": { "Env": [format!("{text}={text}")], "Cmd": [text], "User": text, "Labels": { text: text } },
        })
        .to_string();
        let config_digest = self.push_blob(repository, config.clone()).await;
        let manifest = json!({
            "schemaVersion": 2, "mediaType": OCI_MANIFEST,
            "config": { "mediaType": MediaType::OciConfig.as_str(), "digest": config_digest.as_str(), "size": config.len() },
            "layers": [{
                "mediaType": MediaType::OciLayer.as_str(), "digest": layer.as_str(),
                "size": format!("layer of {tag}").len(), "annotations": { "org.opencontainers.image.title": text },
            }],
            "annotations": { text: text },
        })
        .to_string();
        let pushed = self.put_manifest(repository, tag, OCI_MANIFEST, &manifest).await;
        assert_eq!(pushed.status(), 201, "{}", pushed.text().await.unwrap());
        Digest::sha256(manifest.as_bytes())
    }

    /// Something that refers to a manifest of the same repository.
    async fn refer(&self, repository: &str, subject: &Digest, artifact_type: &str, text: &str) -> Digest {
        let empty = self.push_blob(repository, "{}").await;
        let manifest = json!({
            "schemaVersion": 2, "mediaType": OCI_MANIFEST, "artifactType": artifact_type,
            "config": { "mediaType": "application/vnd.oci.empty.v1+json", "digest": empty.as_str(), "size": 2 },
            "layers": [],
            "subject": { "mediaType": OCI_MANIFEST, "digest": subject.as_str(), "size": 7 },
            "annotations": { "note": text },
        })
        .to_string();
        let digest = Digest::sha256(manifest.as_bytes());
        assert_eq!(self.put_manifest(repository, digest.as_str(), OCI_MANIFEST, &manifest).await.status(), 201);
        digest
    }
}

/// A browser: it does not go where it is sent by itself, so that the way can be looked at.
fn browser() -> Client {
    Client::builder().redirect(redirect::Policy::none()).timeout(Duration::from_secs(20)).build().unwrap()
}

#[tokio::test]
async fn everything_of_an_image_is_shown() {
    let registry = Registry::start().await;
    let home = registry.page("/").await;
    assert!(home.contains("There is nothing here yet."), "{home}");

    let digest = registry.push_described("team/app", "v1", "make").await;
    let sbom = registry.refer("team/app", &digest, "application/spdx+json", "by hand").await;
    let home = registry.page("/").await;
    assert!(home.contains("<a href=\"/r/team/app\">team/app</a>") && home.contains("1 tag"), "{home}");
    let tags = registry.page("/r/team/app").await;
    for part in ["<a href=\"/r/team/app:v1\">v1</a>", "linux/amd64", "2024-03-01", digest.short()] {
        assert!(tags.contains(part), "{part}: {tags}");
    }
    let image = registry.page("/r/team/app:v1").await;
    let address = registry.address;
    for part in [
        &format!("docker pull {address}/team/app:v1"),
        &format!("podman pull --tls-verify=false {address}/team/app@{digest}"),
        "<code>RUN make</code>",
        "1 step that changed no files",
        "ENV make",
        "11 B",
        "<rect class=\"shade-0\" x=\"0.00%\" width=\"100.00%\"",
        "SPDX SBOM",
        &format!("/r/team/app@{sbom}"),
        "by hand",
        "<h2>Labels</h2>",
        "Delete the tag v1…",
    ] {
        assert!(image.contains(part), "{part}: {image}");
    }
    assert_eq!(registry.page(&format!("/r/team/app@{digest}")).await.matches("By digest").count(), 0);
    // What an SBOM is about can be reached from it.
    assert!(registry.page(&format!("/r/team/app@{sbom}")).await.contains(&format!("href=\"/r/team/app@{digest}\"")));
}

#[tokio::test]
async fn an_index_shows_its_platforms_and_attestations() {
    let registry = Registry::start().await;
    let image = registry.push_described("app", "amd64", "make").await;
    let size = registry.get("/v2/app/manifests/amd64").await.bytes().await.unwrap().len();
    let entry = |digest: &str, platform: Value, annotations: Value| json!({ "mediaType": OCI_MANIFEST, "digest": digest, "size": size, "platform": platform, "annotations": annotations });
    let absent = Digest::sha256(b"absent");
    let index = json!({
        "schemaVersion": 2, "mediaType": OCI_INDEX,
        "manifests": [
            entry(image.as_str(), json!({ "os": "linux", "architecture": "amd64" }), json!({})),
            entry(absent.as_str(), json!({ "os": "linux", "architecture": "<riscv>" }), json!({})),
            entry(image.as_str(), json!({ "os": "unknown", "architecture": "unknown" }), json!({
                "vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": image.as_str(),
            })),
        ],
    });
    assert_eq!(registry.put_manifest("app", "latest", OCI_INDEX, &index.to_string()).await.status(), 201);
    let page = registry.page("/r/app:latest").await;
    for part in [
        &format!("<a href=\"/r/app@{image}\">linux/amd64</a>"),
        "linux/&lt;riscv&gt;",
        "not in this registry",
        "<h2>Attestations</h2>",
        "about linux/amd64",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert!(!page.contains(&format!("/r/app@{absent}")), "{page}");
}

#[tokio::test]
async fn hostile_contents_stay_text() {
    let registry = Registry::start().await;
    let digest = registry.push_described("app", "v1", HOSTILE).await;
    registry.refer("app", &digest, HOSTILE, HOSTILE).await;
    for path in ["/", "/r/app", "/r/app:v1", "/delete/app:v1", &format!("/r/app@{digest}")] {
        let page = registry.page(path).await;
        for bad in ["<script", "<img", "onerror=alert(2)>", "\u{202e}", "javascript:", "style="] {
            assert!(!page.contains(bad), "{path} holds {bad}: {page}");
        }
    }
    let page = registry.page("/r/app:v1").await;
    assert!(page.matches("&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#39;&gt;").count() >= 8, "{page}");
    // What was asked for is shown again, but for a tag that can be none.
    for (path, is_shown) in [
        ("/?q=%3Cscript%3E", true),
        ("/r/app?tag=%22%3E%3Cscript%3E", true),
        ("/r/%3Cscript%3E", true),
        ("/r/app:%3Cscript%3E", false),
    ] {
        let page = registry.get(path).await.text().await.unwrap();
        assert!(!page.contains("<script"), "{path}: {page}");
        assert_eq!(page.contains("&lt;script&gt;") || page.contains("%3Cscript"), is_shown, "{path}: {page}");
    }
}

#[tokio::test]
async fn every_answer_carries_the_policy() {
    let registry = Registry::start().await;
    for (path, status) in [
        ("/", 200),
        ("/style.css", 200),
        ("/icon.svg", 200),
        ("/login", 303),
        ("/r/none", 404),
        ("/r/none:x", 404),
        ("/r/A", 400),
    ] {
        let answer = browser().get(registry.url(path)).send().await.unwrap();
        assert_eq!(answer.status(), status, "{path}");
        if path == "/r/A" || status == 404 {
            assert!(header(&answer, "content-type").starts_with("text/html"), "{path}");
        }
        let policy = header(&answer, "content-security-policy");
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{path}: {policy}");
        assert_eq!(header(&answer, "x-content-type-options"), "nosniff", "{path}");
        assert_eq!(header(&answer, "x-frame-options"), "DENY", "{path}");
    }
    let style = registry.get("/style.css").await;
    let again = registry.request(Method::GET, "/style.css").header("if-none-match", header(&style, "etag"));
    assert_eq!(again.send().await.unwrap().status(), 304);
    let posted = registry.request(Method::POST, "/").send().await.unwrap();
    assert_eq!((posted.status().as_u16(), header(&posted, "allow")), (405, "GET, HEAD"));
    // Programs still get what they understand.
    assert!(header(&registry.get("/v2/a/manifests/x").await, "content-type").starts_with("application/json"));
    assert!(header(&registry.get("/elsewhere").await, "content-type").starts_with("application/json"));
}

#[tokio::test]
async fn long_lists_come_in_pages_and_can_be_searched() {
    let registry = Registry::start().await;
    for number in 0..53 {
        assert_eq!(registry.push_index("app", &format!("build-{number:02}")).await, 201);
        assert_eq!(registry.push_index(&format!("many/{number:02}"), "v1").await, 201);
    }
    for (path, link, first, last, behind) in [
        ("/", "/?after=many%2F48", "/r/app", "/r/many/48", "/r/many/49"),
        ("/r/app", "/r/app?after=build-49", ":build-00", ":build-49", ":build-50"),
    ] {
        let page = registry.page(path).await;
        let has = |part: &str| page.contains(&format!("{part}\""));
        assert!(has(first) && has(last) && !has(behind), "{page}");
        let next = format!("href=\"{link}\"");
        assert!(page.contains(&next), "{next}: {page}");
        let rest = registry.page(link).await;
        assert!(rest.contains(&format!("{behind}\"")) && !rest.contains("Next page"), "{rest}");
    }
    let found = registry.page("/?q=Y%2F5").await;
    assert!(found.contains("/r/many/52") && !found.contains("/r/many/49") && !found.contains("Next page"), "{found}");
    let found = registry.page("/r/app?tag=-0").await;
    assert!(found.contains("build-09") && !found.contains("build-10"), "{found}");
    assert!(registry.page("/?q=nowhere").await.contains("No repository has “nowhere” in its name."));
    assert!(registry.page("/r/app?tag=nowhere").await.contains("No tag has “nowhere” in its name."));
}

impl Registry {
    async fn push_index(&self, repository: &str, tag: &str) -> u16 {
        let index = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [] }).to_string();
        self.put_manifest(repository, tag, OCI_INDEX, &index).await.status().as_u16()
    }
}

/// The token of a form and the cookie that goes with it.
fn token_of(page: &str) -> String {
    let (_, rest) = page.split_once("name=\"dhow-form\" value=\"").unwrap();
    rest.split('"').next().unwrap().to_owned()
}

#[tokio::test]
async fn deleting_asks_first_and_only_its_own_question_counts() {
    let registry = Registry::start().await;
    registry.push_described("app", "v1", "make").await;
    let question = registry.get("/delete/app:v1").await;
    let cookie = header(&question, "set-cookie").to_owned();
    assert!(cookie.contains("HttpOnly; SameSite=Strict") && cookie.contains("Path=/delete/app:v1;"), "{cookie}");
    let cookie = cookie.split(';').next().unwrap().to_owned();
    let token = token_of(&question.text().await.unwrap());
    let origin = format!("http://{}", registry.address);
    let form = format!("dhow-form={token}");
    let post = async |headers: &[(&'static str, &str)], form: &str| -> Response {
        let request = browser().post(registry.url("/delete/app:v1")).body(form.to_owned());
        headers.iter().fold(request, |request, (name, value)| request.header(*name, *value)).send().await.unwrap()
    };
    for (headers, form) in [
        (&[][..], form.as_str()),
        (&[("origin", origin.as_str())], &form),
        (&[("origin", &origin), ("cookie", &cookie)], ""),
        (&[("origin", &origin), ("cookie", "dhow-form=00000000000000000000000000000000")], &form),
        (&[("origin", "http://evil.example"), ("cookie", &cookie)], &form),
        (&[("origin", "null"), ("cookie", &cookie)], &form),
        (&[("cookie", &cookie)], &form),
        (&[("origin", &origin), ("sec-fetch-site", "same-site"), ("cookie", &cookie)], &form),
    ] {
        let refused = post(headers, form).await;
        assert_eq!(refused.status(), 403, "{headers:?} {form}");
        assert!(header(&refused, "content-type").starts_with("text/html"));
        assert_eq!(registry.get("/v2/app/manifests/v1").await.status(), 200, "{headers:?} {form}");
    }
    let done = post(&[("origin", &origin), ("cookie", &cookie)], &form).await;
    assert_eq!((done.status().as_u16(), header(&done, "location")), (303, "/r/app"));
    assert_eq!(registry.get("/v2/app/manifests/v1").await.status(), 404);
    assert_eq!(registry.get("/delete/app:v1").await.status(), 404);
}

#[tokio::test]
async fn a_page_of_another_site_changes_nothing_by_the_api_either() {
    let registry = Registry::start().await;
    registry.push_image("app", "v1", "layer").await;
    for (method, path) in [
        (Method::POST, "/v2/app/blobs/uploads/"),
        (Method::DELETE, "/v2/app/manifests/v1"),
        (Method::PUT, "/v2/app/manifests/v2"),
    ] {
        for site in ["cross-site", "same-site"] {
            let answer = registry.request(method.clone(), path).header("sec-fetch-site", site).send().await.unwrap();
            assert_eq!(answer.status(), 403, "{method} {path} {site}");
        }
    }
    assert_eq!(registry.get("/v2/app/manifests/v1").await.status(), 200);
    let own = registry.request(Method::POST, "/v2/app/blobs/uploads/").header("sec-fetch-site", "same-origin");
    assert_eq!(own.send().await.unwrap().status(), 202);
}

/// Alice may do everything below `team/`, Bob reads there, everybody reads `public/`.
const RULES: &str = r#"
    [access]
    htpasswd = "accounts"
    realm = "tests"
    [[access.rules]]
    users = ["alice"]
    allow = ["pull", "push", "delete"]
    repositories = ["team/**", "public/**"]
    [[access.rules]]
    users = ["bob"]
    allow = ["pull"]
    repositories = ["team/**"]
    [[access.rules]]
    users = ["anonymous"]
    allow = ["pull"]
    repositories = ["public/**"]
    [[immutable-tags]]
    repositories = ["team/**"]
    tags = ["v*"]
"#;

async fn as_user(registry: &Registry, user: &str, path: &str) -> (u16, String, String) {
    let request = browser().get(registry.url(path));
    let request = if user.is_empty() { request } else { request.basic_auth(user, Some(PASSWORD)) };
    let answer = request.send().await.unwrap();
    let challenge = header(&answer, "www-authenticate").to_owned();
    (answer.status().as_u16(), challenge, answer.text().await.unwrap())
}

#[tokio::test]
async fn everybody_sees_what_the_rules_let_them() {
    let registry = Registry::configured(RULES).await;
    for (repository, tag) in [("team/app", "v1"), ("team/app", "edge"), ("public/app", "v1")] {
        let index = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [] }).to_string();
        let path = format!("/v2/{repository}/manifests/{tag}");
        let put = registry.request(Method::PUT, &path).basic_auth("alice", Some(PASSWORD));
        assert_eq!(put.header("content-type", OCI_INDEX).body(index).send().await.unwrap().status(), 201);
    }
    let (status, _, home) = as_user(&registry, "", "/").await;
    assert!(status == 200 && home.contains("public/app") && !home.contains("team/app"), "{home}");
    assert!(home.contains("<a href=\"/login\" class=\"user\">Log in</a>"), "{home}");
    let (_, _, home) = as_user(&registry, "alice", "/").await;
    assert!(home.contains("team/app") && home.contains("<span class=\"user\">alice</span>"), "{home}");

    for (path, anonymous, alice, bob, carol) in [
        ("/login", 401, 303, 303, 303),
        ("/r/team/app", 401, 200, 200, 403),
        ("/r/team/none", 401, 404, 404, 403),
        ("/r/team/app:v1", 401, 200, 200, 403),
        ("/r/public/app:v1", 200, 200, 403, 403),
        ("/delete/team/app:edge", 401, 200, 403, 403),
        ("/delete/public/app:v1", 401, 200, 403, 403),
        ("/style.css", 200, 200, 200, 200),
    ] {
        // Everybody reads below `public/`, who is logged in too.
        let everybody = |status: u16| if path == "/r/public/app:v1" { 200 } else { status };
        for (user, expected) in
            [("", anonymous), ("alice", alice), ("bob", everybody(bob)), ("carol", everybody(carol))]
        {
            let (status, challenge, page) = as_user(&registry, user, path).await;
            assert_eq!(status, expected, "{user:?} {path}");
            assert_eq!(challenge == "Basic realm=\"tests\"", status == 401, "{user:?} {path}: {challenge}");
            assert!(status != 401 && status != 403 || !page.contains("edge"), "{page}");
        }
    }
    let (_, _, page) = as_user(&registry, "bob", "/r/team/app:edge").await;
    assert!(!page.contains("Delete"), "{page}");
    let (_, _, page) = as_user(&registry, "alice", "/r/team/app:edge").await;
    assert!(page.contains("href=\"/delete/team/app:edge\""), "{page}");
    let (_, _, page) = as_user(&registry, "alice", "/r/team/app:v1").await;
    assert!(page.contains("This tag is immutable") && !page.contains("href=\"/delete/"), "{page}");
}

#[tokio::test]
async fn an_immutable_tag_stays_whoever_posts() {
    let registry = Registry::configured(RULES).await;
    let index = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [] }).to_string();
    let put = registry.request(Method::PUT, "/v2/team/app/manifests/v1").basic_auth("alice", Some(PASSWORD));
    assert_eq!(put.header("content-type", OCI_INDEX).body(index).send().await.unwrap().status(), 201);
    let alice = |method: Method| registry.request(method, "/delete/team/app:v1").basic_auth("alice", Some(PASSWORD));
    let question = alice(Method::GET).send().await.unwrap();
    let cookie = header(&question, "set-cookie").split(';').next().unwrap().to_owned();
    let form = format!("dhow-form={}", token_of(&question.text().await.unwrap()));
    let post = |request: reqwest::RequestBuilder| {
        request.header("sec-fetch-site", "same-origin").header("cookie", &cookie).body(form.clone()).send()
    };
    let refused = post(alice(Method::POST)).await.unwrap();
    assert_eq!(refused.status(), 409);
    assert!(refused.text().await.unwrap().contains("immutable"));
    let bob = registry.request(Method::POST, "/delete/team/app:v1").basic_auth("bob", Some(PASSWORD));
    assert_eq!(post(bob).await.unwrap().status(), 403);
}

#[tokio::test]
async fn it_can_be_switched_off_and_changes_nothing_where_nothing_may_change() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("registry");
    Registry::open(&root, Limits::default()).await.stop().await;
    let mut options = ServeOptions::new(&root);
    options.page = false;
    let registry = Registry::serve(options).await;
    for path in ["/", "/r/app", "/style.css", "/login", "/delete/app:v1"] {
        let answer = registry.get(path).await;
        assert_eq!((answer.status().as_u16(), header(&answer, "content-type")), (404, "application/json"), "{path}");
    }
    registry.push_image("app", "v1", "layer").await;
    registry.stop().await;

    let mut options = ServeOptions::new(&root);
    options.read_only = true;
    let registry = Registry::serve(options).await;
    let page = registry.page("/r/app:v1").await;
    assert!(!page.contains("Delete"), "{page}");
    assert_eq!(registry.get("/delete/app:v1").await.status(), 403);
    assert_eq!(registry.request(Method::POST, "/delete/app:v1").send().await.unwrap().status(), 405);
}

#[tokio::test]
async fn what_cannot_be_read_does_not_take_the_page_down() {
    let registry = Registry::start().await;
    if !registry.is_folder() {
        return;
    }
    registry.push_image("app", "broken", "layer").await;
    let manifest = registry.get("/v2/app/manifests/broken").await.bytes().await.unwrap();
    let digest = Digest::sha256(&manifest);
    assert!(registry.page("/r/app:broken").await.contains("no command is recorded"));
    // As a disk leaves it that lost a file.
    let content = registry.root.join("blobs/sha256").join(digest.hex());
    write(&content, "{");
    // What was read before stays in memory.
    let registry = registry.restart().await;
    assert_eq!(registry.get("/r/app:broken").await.status(), 404);
    assert!(registry.page("/r/app").await.contains("broken"));
}
