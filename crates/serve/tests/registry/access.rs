//! Who may do what.

use std::time::{Duration, Instant};

use dhow_spec::Digest;
use reqwest::{Method, Response};
use serde_json::json;

use crate::harness::{OCI_MANIFEST, PASSWORD, Registry, failure, header, json_of, outcome, write};

/// Alice does everything below `team/`, Bob reads there and does everything below `bob/`, Carol has
/// secrets, everybody reads `public/`.
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
    users = ["bob"]
    allow = ["pull", "push"]
    repositories = ["bob/**"]
    [[access.rules]]
    users = ["carol"]
    allow = ["pull", "push"]
    repositories = ["secret/**"]
    [[access.rules]]
    users = ["anonymous"]
    allow = ["pull"]
    repositories = ["public/**"]
"#;

impl Registry {
    /// A request of a user, or of nobody.
    async fn by(&self, user: &str, method: Method, path: &str, body: impl Into<reqwest::Body>) -> Response {
        let request = self.request(method, path).header("content-type", OCI_MANIFEST).body(body);
        let request = if user.is_empty() { request } else { request.basic_auth(user, Some(PASSWORD)) };
        request.send().await.unwrap()
    }

    async fn status(&self, user: &str, method: Method, path: &str) -> u16 {
        self.by(user, method, path, "").await.status().as_u16()
    }

    async fn push_as(&self, user: &str, repository: &str, bytes: &str) -> Digest {
        let digest = Digest::sha256(bytes.as_bytes());
        let path = format!("/v2/{repository}/blobs/uploads/?digest={digest}");
        let pushed = self.by(user, Method::POST, &path, bytes.to_owned()).await;
        assert_eq!(pushed.status(), 201, "{}", pushed.text().await.unwrap());
        digest
    }

    /// An index without entries, which needs no blobs.
    async fn tag_as(&self, user: &str, repository: &str, tag: &str, salt: &str) -> Response {
        self.by(user, Method::PUT, &format!("/v2/{repository}/manifests/{tag}"), index(salt)).await
    }
}

fn index(salt: &str) -> String {
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    let empty = json!({ "mediaType": "application/vnd.oci.empty.v1+json", "digest": Digest::sha256(b"{}").as_str(), "size": 2 });
    json!({ "schemaVersion": 2, "mediaType": media_type, "config": empty, "layers": [], "annotations": { "salt": salt } })
        .to_string()
}

#[tokio::test]
async fn every_endpoint_asks_who_it_is() {
    let registry = Registry::configured(RULES).await;
    let blob = registry.push_as("alice", "team/app", "{}").await;
    let other = Digest::sha256(b"other");
    assert_eq!(registry.tag_as("alice", "team/app", "v1", "1").await.status(), 201);
    let session = "7f000001-0000-4000-8000-000000000000";
    for (method, path, alice, bob) in [
        (Method::GET, "/v2/".to_owned(), 200, 200),
        (Method::GET, "/v2/team/app/tags/list".to_owned(), 200, 200),
        (Method::GET, "/v2/team/app/manifests/v1".to_owned(), 200, 200),
        (Method::HEAD, "/v2/team/app/manifests/v1".to_owned(), 200, 200),
        (Method::GET, format!("/v2/team/app/referrers/{blob}"), 200, 200),
        (Method::GET, format!("/v2/team/app/blobs/{blob}"), 200, 200),
        (Method::HEAD, format!("/v2/team/app/blobs/{blob}"), 200, 200),
        (Method::PUT, "/v2/team/app/manifests/v2".to_owned(), 400, 403),
        (Method::POST, "/v2/team/app/blobs/uploads/".to_owned(), 202, 403),
        (Method::POST, format!("/v2/team/app/blobs/uploads/?mount={blob}&from=team/app"), 201, 403),
        (Method::GET, format!("/v2/team/app/blobs/uploads/{session}"), 404, 403),
        (Method::PATCH, format!("/v2/team/app/blobs/uploads/{session}"), 404, 403),
        (Method::PUT, format!("/v2/team/app/blobs/uploads/{session}?digest={blob}"), 404, 403),
        (Method::DELETE, format!("/v2/team/app/blobs/uploads/{session}"), 404, 403),
        (Method::DELETE, format!("/v2/team/app/blobs/{other}"), 404, 403),
        (Method::DELETE, "/v2/team/app/manifests/none".to_owned(), 404, 403),
        (Method::GET, "/v2/other/tags/list".to_owned(), 403, 403),
        (Method::HEAD, "/v2/bob/x/manifests/v1".to_owned(), 403, 404),
    ] {
        let stranger = registry.by("", method.clone(), &path, "").await;
        assert_eq!(header(&stranger, "www-authenticate"), "Basic realm=\"tests\"", "{method} {path}");
        let is_head = method == Method::HEAD;
        assert_eq!(outcome(stranger).await, failure(401, if is_head { "" } else { "UNAUTHORIZED" }), "{method} {path}");
        assert_eq!(registry.status("mallory", method.clone(), &path).await, 401, "{method} {path}");
        assert_eq!(registry.status("alice", method.clone(), &path).await, alice, "alice {method} {path}");
        assert_eq!(registry.status("bob", method.clone(), &path).await, bob, "bob {method} {path}");
    }
    let denied = registry.by("bob", Method::PUT, "/v2/team/app/manifests/v1", index("2")).await;
    assert_eq!(outcome(denied).await, failure(403, "DENIED"));
    assert_eq!(registry.status("", Method::GET, "/healthz").await, 200);
}

#[tokio::test]
async fn a_wrong_password_is_refused_where_none_is_needed() {
    let registry = Registry::configured(RULES).await;
    registry.push_as("alice", "public/app", "{}").await;
    assert_eq!(registry.tag_as("alice", "public/app", "v1", "1").await.status(), 201);
    let path = "/v2/public/app/manifests/v1";
    assert_eq!(registry.status("", Method::GET, path).await, 200);
    assert_eq!(registry.status("", Method::DELETE, path).await, 401);
    let nothing = async |path: &str| {
        let request = registry.request(Method::GET, path).header("authorization", "Basic Og==");
        request.send().await.unwrap().status().as_u16()
    };
    let seen = (nothing(path).await, nothing("/v2/team/app/tags/list").await, nothing("/v2/").await);
    assert_eq!(seen, (200, 401, 401), "podman and skopeo without an account send an empty one");
    for header in ["Basic YWxpY2U6d3Jvbmc=", "Basic OnBhc3N3b3Jk", "Basic", "Bearer x", "Basic !"] {
        let refused = registry.request(Method::GET, path).header("authorization", header).send().await.unwrap();
        assert_eq!(refused.status(), 401, "{header}");
    }
}

#[tokio::test]
async fn mounts_need_the_right_to_read_where_the_blob_is() {
    let registry = Registry::configured(RULES).await;
    let secret = registry.push_as("alice", "public/x", "open").await;
    let mount = async |digest: &Digest, from: &str| {
        registry.status("bob", Method::POST, &format!("/v2/bob/y/blobs/uploads/?mount={digest}{from}")).await
    };
    assert_eq!(mount(&secret, "&from=public/x").await, 201);
    let secret = registry.push_as("alice", "team/x", "shared").await;
    assert_eq!(mount(&secret, "&from=team/x").await, 201);
    // What only Carol can read is not there for Bob, whatever he knows of it.
    let secret = registry.push_as("carol", "secret/x", "secret").await;
    for from in ["&from=secret/x", "", "&from=bob/y"] {
        assert_eq!(mount(&secret, from).await, 202, "{from}");
    }
    assert_eq!(registry.status("bob", Method::HEAD, &format!("/v2/bob/y/blobs/{secret}")).await, 404);
}

#[tokio::test]
async fn the_catalogue_shows_what_the_caller_may_read() {
    let registry = Registry::configured(RULES).await;
    let repositories =
        [("alice", "team/a"), ("alice", "public/a"), ("alice", "team/b"), ("alice", "public/b"), ("carol", "secret/a")];
    for (user, repository) in repositories {
        registry.push_as(user, repository, "{}").await;
        assert_eq!(registry.tag_as(user, repository, "v1", "1").await.status(), 201);
    }
    let next = "</v2/_catalog?n=2&last=public%2Fb>; rel=\"next\"";
    for (user, path, expected, link) in [
        ("alice", "/v2/_catalog", json!(["public/a", "public/b", "team/a", "team/b"]), ""),
        ("bob", "/v2/_catalog", json!(["public/a", "public/b", "team/a", "team/b"]), ""),
        ("bob", "/v2/_catalog?n=2", json!(["public/a", "public/b"]), next),
        ("bob", "/v2/_catalog?n=2&last=public/b", json!(["team/a", "team/b"]), ""),
        ("", "/v2/_catalog", json!(["public/a", "public/b"]), ""),
        ("", "/v2/_catalog?n=2", json!(["public/a", "public/b"]), ""),
        ("carol", "/v2/_catalog", json!(["public/a", "public/b", "secret/a"]), ""),
        ("carol", "/v2/_catalog?n=2&last=public/b", json!(["secret/a"]), ""),
    ] {
        let listed = registry.by(user, Method::GET, path, "").await;
        assert_eq!(header(&listed, "link"), link, "{user} {path}");
        assert_eq!(json_of(listed).await["repositories"], expected, "{user} {path}");
    }
}

#[tokio::test]
async fn accounts_without_rules_and_rules_without_accounts() {
    let accounts = "access = { htpasswd = \"accounts\", anonymous-pull = true }";
    let registry = Registry::configured(accounts).await;
    registry.push_as("carol", "any/thing", "{}").await;
    assert_eq!(registry.tag_as("carol", "any/thing", "v1", "1").await.status(), 201);
    assert_eq!(registry.tag_as("", "any/thing", "v1", "1").await.status(), 401);
    assert_eq!(registry.status("", Method::GET, "/v2/any/thing/manifests/v1").await, 200);
    assert_eq!(registry.status("", Method::GET, "/v2/").await, 401, "docker login asks here");

    let registry = Registry::configured("access.anonymous-pull = true").await;
    assert_eq!(registry.status("", Method::GET, "/v2/").await, 200);
    let refused = registry.tag_as("", "any/thing", "v1", "1").await;
    assert_eq!(outcome(refused).await, failure(403, "DENIED"), "nobody can log in");
}

#[tokio::test]
async fn changed_files_count_and_bad_ones_do_not() {
    let registry = Registry::configured("[access]\nhtpasswd = \"accounts\"").await;
    let (file, accounts) = (registry.beside("serve.toml"), registry.beside("accounts"));
    let status = async |user| registry.status(user, Method::GET, "/v2/").await;
    assert_eq!((status("bob").await, status("dora").await), (200, 401));

    let hash = "$2y$05$abcdefghijklmnopqrstuuoXuKqgZXLiJqzfmMXDDhSFPIvxV7t8.";
    write(&accounts, &format!("dora:{hash}\n"));
    until(async || status("dora").await == 200).await;
    assert_eq!(status("bob").await, 401, "an account that is gone is no account");

    write(&file, "[access\n");
    write(&accounts, &format!("dora:{hash}\nbob:plain text\n"));
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert_eq!((status("dora").await, status("bob").await, status("").await), (200, 401, 401));

    write(&file, "[access]\nhtpasswd = \"accounts\"");
    write(&accounts, &format!("bob:{hash}\n"));
    until(async || status("bob").await == 200).await;
}

#[tokio::test]
async fn immutable_tags_stay() {
    let registry = Registry::configured("immutable-tags = [{ repositories = [\"team/*\"], tags = [\"v*\"] }]").await;
    registry.push_as("", "team/app", "{}").await;
    registry.push_as("", "other", "{}").await;
    for tag in ["v1", "latest"] {
        assert_eq!(registry.tag_as("", "team/app", tag, "1").await.status(), 201);
    }
    assert_eq!(registry.tag_as("", "team/app", "v1", "1").await.status(), 201, "the same again");
    let moved = registry.tag_as("", "team/app", "v1", "2").await;
    assert_eq!(outcome(moved).await, failure(409, "DENIED"));
    let digest = Digest::sha256(index("2").as_bytes());
    let several =
        registry.by("", Method::PUT, &format!("/v2/team/app/manifests/{digest}?tag=v9&tag=v1"), index("2")).await;
    assert_eq!(several.status(), 409);
    assert_eq!(registry.status("", Method::GET, "/v2/team/app/manifests/v9").await, 404, "all or none");
    assert_eq!(registry.status("", Method::DELETE, "/v2/team/app/manifests/v1").await, 409);
    let kept = Digest::sha256(index("1").as_bytes());
    assert_eq!(registry.status("", Method::DELETE, &format!("/v2/team/app/manifests/{kept}")).await, 409);
    assert_eq!(registry.status("", Method::GET, "/v2/team/app/manifests/v1").await, 200);
    assert_eq!(registry.tag_as("", "team/app", "latest", "2").await.status(), 201);
    assert_eq!(registry.status("", Method::DELETE, "/v2/team/app/manifests/latest").await, 202);
    for salt in ["1", "2"] {
        assert_eq!(registry.tag_as("", "other", "v1", salt).await.status(), 201);
    }
}

#[tokio::test]
async fn of_two_that_set_an_immutable_tag_one_wins() {
    let registry = Registry::configured("immutable-tags = [{ repositories = [\"**\"], tags = [\"*\"] }]").await;
    registry.push_as("", "app", "{}").await;
    for round in 0..20 {
        let (tag, salts) = (format!("v{round}"), [format!("a{round}"), format!("b{round}")]);
        let (one, two) =
            tokio::join!(registry.tag_as("", "app", &tag, &salts[0]), registry.tag_as("", "app", &tag, &salts[1]));
        let mut statuses = [one.status().as_u16(), two.status().as_u16()];
        statuses.sort_unstable();
        assert_eq!(statuses, [201, 409]);
    }
}

#[tokio::test]
async fn a_configuration_that_cannot_be_keeps_the_server_from_starting() {
    for (text, named) in [
        ("lisen = 1", "lisen"),
        ("access.htpasswd = \"nowhere\"", "nowhere"),
        ("[[access.rules]]\nusers = [\"a\"]\nallow = [\"pull\"]\nrepositories = [\"**\"]", "no file of accounts"),
        ("[access]\nhtpasswd = \"accounts\"\nrealm = \"a\\\"b\"", "access.realm"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let mut options = dhow_serve::ServeOptions::new(folder.path().join("registry"));
        options.source.file = Some(folder.path().join("serve.toml"));
        write(&folder.path().join("accounts"), "");
        write(&folder.path().join("serve.toml"), text);
        let error = dhow_serve::bind("127.0.0.1:0", options).await.expect_err(text).to_string();
        assert!(error.contains(named), "{text}: {error}");
    }
}

/// Waits for what the server does on its own.
async fn until(mut condition: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition().await {
        assert!(Instant::now() < deadline, "it does not happen");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
