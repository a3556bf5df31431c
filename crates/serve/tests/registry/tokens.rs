//! Tokens of an issuer: what they allow on each path, and how clients are told to get one.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use dhow_spec::Digest;
use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::harness::{OCI_MANIFEST, PASSWORD, Registry, failure, header, json_of, outcome, write};

const SECTION: &str = r#"
    [access.token]
    realm = "https://auth.example.org/token"
    service = "registry.example.org"
    issuer = "auth.example.org"
    keys = "keys.json"
    [[access.rules]]
    users = ["anonymous"]
    allow = ["pull"]
    repositories = ["public/**"]
"#;

struct Issuer(Ed25519KeyPair);

impl Issuer {
    fn new() -> Self {
        Self(Ed25519KeyPair::generate().unwrap())
    }

    fn publish(&self, folder: &Path) {
        let x = URL_SAFE_NO_PAD.encode(self.0.public_key().as_ref());
        write(&folder.join("keys.json"), &json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "x": x }] }).to_string());
    }

    /// A token for `<repository>:<action>,…`.
    fn token(&self, subject: &str, scopes: &[&str]) -> String {
        let access: Vec<Value> = scopes
            .iter()
            .map(|scope| {
                let (name, actions) = scope.rsplit_once(':').unwrap();
                let (kind, name) = if name == "catalog" { ("registry", name) } else { ("repository", name) };
                json!({ "type": kind, "name": name, "actions": actions.split(',').collect::<Vec<_>>() })
            })
            .collect();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let claims = json!({ "iss": "auth.example.org", "sub": subject, "aud": "registry.example.org",
                             "exp": now + 300, "access": access });
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(&json!({ "alg": "EdDSA" })), part(&claims));
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(self.0.sign(message.as_bytes())))
    }
}

async fn serve() -> (Registry, Issuer) {
    let (folder, issuer) = (tempfile::tempdir().unwrap(), Issuer::new());
    issuer.publish(folder.path());
    (Registry::configured_in(folder, SECTION).await, issuer)
}

impl Registry {
    async fn bearing(&self, token: &str, method: Method, path: &str, body: impl Into<reqwest::Body>) -> Response {
        let request = self.request(method, path).header("content-type", OCI_MANIFEST).body(body);
        let request = if token.is_empty() { request } else { request.bearer_auth(token) };
        request.send().await.unwrap()
    }
}

#[tokio::test]
async fn each_path_needs_what_it_does() {
    let (registry, issuer) = serve().await;
    let blob = Digest::sha256(b"{}");
    let session = "7f000001-0000-4000-8000-000000000000";
    let put = issuer.token("ci", &["team/app:pull,push"]);
    let path = format!("/v2/team/app/blobs/uploads/?digest={blob}");
    assert_eq!(registry.bearing(&put, Method::POST, &path, "{}").await.status(), 201);
    for (method, path, scope, found) in [
        (Method::GET, "/v2/team/app/tags/list".to_owned(), "pull", 200),
        (Method::GET, "/v2/team/app/manifests/v1".to_owned(), "pull", 404),
        (Method::GET, format!("/v2/team/app/referrers/{blob}"), "pull", 200),
        (Method::GET, format!("/v2/team/app/blobs/{blob}"), "pull", 200),
        (Method::PUT, "/v2/team/app/manifests/v1".to_owned(), "pull,push", 400),
        (Method::POST, "/v2/team/app/blobs/uploads/".to_owned(), "pull,push", 202),
        (Method::PATCH, format!("/v2/team/app/blobs/uploads/{session}"), "pull,push", 404),
        (Method::DELETE, format!("/v2/team/app/blobs/uploads/{session}"), "pull,push", 404),
        (Method::DELETE, "/v2/team/app/manifests/v1".to_owned(), "delete", 404),
        (Method::DELETE, format!("/v2/team/app/blobs/{}", Digest::sha256(b"x")), "delete", 404),
    ] {
        let challenge = "Bearer realm=\"https://auth.example.org/token\",service=\"registry.example.org\"";
        let challenge = format!("{challenge},scope=\"repository:team/app:{scope}\"");
        let stranger = registry.bearing("", method.clone(), &path, "").await;
        assert_eq!(header(&stranger, "www-authenticate"), challenge, "{method} {path}");
        assert_eq!(outcome(stranger).await, failure(401, "UNAUTHORIZED"), "{method} {path}");
        let other = issuer.token("ci", &["team/other:*", "team/app:nothing"]);
        let other = registry.bearing(&other, method.clone(), &path, "").await;
        assert_eq!(header(&other, "www-authenticate"), format!("{challenge},error=\"insufficient_scope\""));
        assert_eq!(outcome(other).await, failure(401, "UNAUTHORIZED"), "{method} {path}");
        let forged = Issuer::new().token("ci", &["team/app:*"]);
        let forged = registry.bearing(&forged, method.clone(), &path, "").await;
        assert!(header(&forged, "www-authenticate").ends_with("error=\"invalid_token\""), "{method} {path}");
        assert_eq!(forged.status(), 401, "{method} {path}");
        let token = issuer.token("ci", &[&format!("team/app:{scope}")]);
        assert_eq!(registry.bearing(&token, method.clone(), &path, "").await.status(), found, "{method} {path}");
    }
    // What a rule allows to everybody needs no token.
    assert_eq!(registry.bearing("", Method::GET, "/v2/public/x/manifests/v1", "").await.status(), 404);
}

#[tokio::test]
async fn logins_catalogue_and_mounts() {
    let (registry, issuer) = serve().await;
    let get = async |token: &str, path: &str| registry.bearing(token, Method::GET, path, "").await;
    let asked = get("", "/v2/").await;
    let expected = "Bearer realm=\"https://auth.example.org/token\",service=\"registry.example.org\"";
    assert_eq!((asked.status().as_u16(), header(&asked, "www-authenticate")), (401, expected));
    let (anonymous, alice) = (issuer.token("", &[]), issuer.token("alice", &[]));
    assert_eq!(get(&anonymous, "/v2/").await.status(), 200);
    assert_eq!(get(&anonymous, "/metrics").await.status(), 401);
    assert_eq!(get(&alice, "/metrics").await.status(), 200);

    let path = format!("/v2/secret/app/blobs/uploads/?digest={}", Digest::sha256(b"secret"));
    let owner = issuer.token("owner", &["secret/app:pull,push"]);
    assert_eq!(registry.bearing(&owner, Method::POST, &path, "secret").await.status(), 201);
    let index = json!({ "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [] });
    let put = registry.request(Method::PUT, "/v2/secret/app/manifests/v1").bearer_auth(&owner);
    let put = put.header("content-type", "application/vnd.oci.image.index.v1+json").body(index.to_string());
    assert_eq!(put.send().await.unwrap().status(), 201);
    // Nobody sees more repositories than a token says: the rule for everybody lets them see what is public.
    let seen = json_of(get(&alice, "/v2/_catalog").await).await;
    assert_eq!(seen["repositories"], json!([]));
    let seen = json_of(get(&issuer.token("alice", &["catalog:*"]), "/v2/_catalog").await).await;
    assert_eq!(seen["repositories"], json!(["secret/app"]));

    let mount = |from: &str| format!("/v2/team/app/blobs/uploads/?mount={}{from}", Digest::sha256(b"secret"));
    for (scopes, from, expected) in [
        (&["team/app:pull,push"][..], "&from=secret/app", 202),
        (&["team/app:pull,push"], "", 202),
        (&["team/app:pull,push", "secret/app:push"], "&from=secret/app", 202),
        (&["team/app:pull", "secret/app:pull"], "&from=secret/app", 401),
        (&["team/app:pull,push", "secret/app:pull"], "&from=secret/app", 201),
    ] {
        let token = issuer.token("alice", scopes);
        let mounted = registry.bearing(&token, Method::POST, &mount(from), "").await;
        assert_eq!(mounted.status(), expected, "{scopes:?} {from}");
    }
}

#[tokio::test]
async fn mistakes_keep_the_server_from_starting() {
    let whole = SECTION.replace("keys.json", "keys.pem");
    for (text, named) in [
        (SECTION.replace("issuer =", "# issuer ="), "access.token has no issuer"),
        (SECTION.replace("keys =", "# keys ="), "access.token has no keys"),
        (SECTION.replace("\"registry.example.org\"", "'a\"b'"), "access.token.service"),
        (whole, "keys.pem"),
        (format!("[access]\nchallenge = \"basic\"\n{SECTION}"), "access.htpasswd is not set"),
        ("[access]\nhtpasswd = \"accounts\"\nchallenge = \"both\"\n".to_owned(), "access.token is not set"),
        (SECTION.replace("\"anonymous\"", "\"alice\""), "no file of accounts"),
        (SECTION.replace("\"anonymous\"", "\"cn=alice\""), "no authority of clients"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        Issuer::new().publish(folder.path());
        write(&folder.path().join("accounts"), "");
        write(&folder.path().join("serve.toml"), &text);
        let mut options = dhow_serve::ServeOptions::new(folder.path().join("registry"));
        options.source.file = Some(folder.path().join("serve.toml"));
        let error = dhow_serve::bind("127.0.0.1:0", options).await.expect_err(&text).to_string();
        assert!(error.contains(named), "{text}: {error}");
    }
}

#[tokio::test]
async fn accounts_and_tokens_count_side_by_side() {
    let rule = "[[access.rules]]\nusers = [\"alice\"]\nallow = [\"pull\", \"push\"]\nrepositories = [\"team/**\"]\n";
    for (line, told) in [
        ("", ["Bearer"].as_slice()),
        ("challenge = \"both\"", &["Bearer", "Basic"]),
        ("challenge = \"token\"", &["Bearer"]),
        ("challenge = \"basic\"", &["Basic"]),
    ] {
        let (folder, issuer) = (tempfile::tempdir().unwrap(), Issuer::new());
        issuer.publish(folder.path());
        let text = format!("[access]\nhtpasswd = \"accounts\"\n{line}\n{SECTION}{rule}");
        let registry = Registry::configured_in(folder, &text).await;
        let schemes = |response: &Response| -> Vec<String> {
            let values = response.headers().get_all("www-authenticate").iter();
            values.map(|value| value.to_str().unwrap().split(' ').next().unwrap().to_owned()).collect()
        };
        for path in ["/v2/", "/v2/team/app/tags/list"] {
            let refused = registry.get(path).await;
            assert_eq!(
                (refused.status().as_u16(), schemes(&refused).as_slice()),
                (401, &*told.iter().map(|scheme| (*scheme).to_owned()).collect::<Vec<_>>()),
                "{line} {path}"
            );
        }
        // Browsers know passwords only, and are not asked for one where everybody may see something.
        assert_eq!(registry.get("/").await.status(), 200);
        for path in ["/login", "/r/team/app"] {
            let refused = registry.get(path).await;
            assert_eq!(
                (refused.status().as_u16(), schemes(&refused)),
                (401, vec!["Basic".to_owned()]),
                "{line} {path}"
            );
        }
        let push = |repository: &str| format!("/v2/{repository}/blobs/uploads/?digest={}", Digest::sha256(b"{}"));
        let by_password = async |password: &str, method: Method, path: &str| {
            registry
                .request(method, path)
                .basic_auth("alice", Some(password))
                .body("{}")
                .send()
                .await
                .unwrap()
                .status()
                .as_u16()
        };
        let token = issuer.token("alice", &["other/app:pull,push"]);
        let by_token =
            async |method: Method, path: &str| registry.bearing(&token, method, path, "{}").await.status().as_u16();
        // The name is the same, but each counts for what it is.
        assert_eq!(by_password(PASSWORD, Method::POST, &push("team/app")).await, 201);
        assert_eq!(by_password(PASSWORD, Method::POST, &push("other/app")).await, 403);
        assert_eq!(by_password("wrong", Method::POST, &push("team/app")).await, 401);
        assert_eq!(by_password(&token, Method::POST, &push("other/app")).await, 401);
        assert_eq!(by_token(Method::POST, &push("other/app")).await, 201);
        assert_eq!(by_token(Method::POST, &push("team/app")).await, 401);
        assert_eq!(registry.bearing(PASSWORD, Method::GET, "/v2/", "").await.status(), 401);
        let odd = registry.request(Method::GET, "/v2/").header("authorization", "Digest x").send().await.unwrap();
        assert_eq!((odd.status().as_u16(), schemes(&odd).len()), (401, told.len()));
    }
}
