//! How tokens are asked for, kept and renewed; and the accounts that they are for.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{Fixed, client, options, options_for, reference, remote_with, repository, run};
use dhow_base::progress::Silent;
use dhow_base::secret::Secret;
use dhow_base::{Kind, Result};
use dhow_content::memory::MemoryPlace;
use dhow_content::{CopyOptions, Resolve, Source, copy};
use dhow_registry::{Access as Rights, ClientOptions, Credential, CredentialSource};
use dhow_spec::{Descriptor, Digest, MediaType, Repository};
use dhow_testkit::registry::{Access, Effect, Request, Route, Rule, ScriptedRegistry};
use futures::{StreamExt, TryStreamExt, stream};

fn service(refresh_token: Option<&str>) -> Access {
    Access::Bearer {
        user: "bob".into(),
        password: "hunter2".into(),
        refresh_token: refresh_token.map(str::to_owned),
        anonymous_pull: false,
        realm: None,
    }
}

fn with(credential: Credential) -> ClientOptions {
    ClientOptions { credentials: Arc::new(Fixed(Some(credential))), ..options() }
}

fn resolve(registry: &ScriptedRegistry, options: ClientOptions) -> Result<()> {
    let remote = remote_with(registry, "app", Rights::Pull, options);
    run(remote.resolve(&reference(registry, "app:v1"))).map(drop)
}

fn token_requests(registry: &ScriptedRegistry) -> Vec<Request> {
    registry.requests().into_iter().filter(|request| request.route == Route::Token).collect()
}

fn methods(registry: &ScriptedRegistry) -> Vec<String> {
    token_requests(registry).into_iter().map(|request| request.method).collect()
}

/// The tokens that were shown with requests to a repository.
fn shown(registry: &ScriptedRegistry, part: &str) -> Vec<Option<String>> {
    let requests = registry.requests().into_iter().filter(|request| request.path.contains(part));
    requests.map(|request| request.header("authorization").map(str::to_owned)).collect()
}

#[test]
fn a_token_that_ends_amid_parts_is_renewed_once_for_all() {
    const PART: u64 = 128 << 10;
    let registry = ScriptedRegistry::start();
    let bytes: Vec<u8> = (0..16 * PART).map(|index| (index % 251) as u8).collect();
    let digest = Digest::parse(&registry.put_blob("app", &bytes)).unwrap();
    let blob = Descriptor::new(MediaType::OciLayer, digest, bytes.len() as u64);
    registry.set_access(Access::bearer("bob", "hunter2"));
    registry.script(Rule::on(Route::Blob).method("GET").effect(Effect::Drip(32 << 10, Duration::from_millis(2))));
    let remote = remote_with(&registry, "app", Rights::Pull, options());
    let read = |part: u64| {
        let (remote, blob) = (&remote, &blob);
        async move { remote.read(blob, part * PART..(part + 1) * PART).await?.try_collect::<Vec<_>>().await }
    };
    let (pieces, ()) = run(async {
        let transfer = stream::iter(0..16).map(read).buffered(4).try_collect::<Vec<_>>();
        let revoke = async {
            while registry.count("GET", Route::Blob) < 6 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            registry.revoke_tokens();
        };
        tokio::join!(transfer, revoke)
    });
    // Nobody had to ask again for a part: the client itself went on.
    assert!(pieces.unwrap().concat().concat() == bytes);
    let refused =
        registry.requests().into_iter().filter(|request| request.route == Route::Blob && request.status == 401);
    assert!(refused.count() >= 1, "parts met the end of the token");
    assert_eq!(methods(&registry), ["GET", "GET"], "all of them took the one new token");
}

#[test]
fn the_password_goes_the_way_that_the_service_knows() {
    let registry = ScriptedRegistry::start();
    registry.put_image("app", "v1", &[]);
    registry.set_access(service(None));
    for status in [404, 405] {
        registry.clear_log();
        registry.clear_script();
        registry.script(Rule::on(Route::Token).method("GET").effect(Effect::status(status)));
        resolve(&registry, options_for("bob", "hunter2")).unwrap();
        assert_eq!(methods(&registry), ["GET", "POST"]);
        let error = resolve(&registry, options_for("bob", "wrong")).unwrap_err();
        assert_eq!(error.kind(), Kind::Unauthorized, "{error}");
    }
    // Nobody's account has no password to send: the first answer stands.
    registry.clear_log();
    resolve(&registry, options()).unwrap_err();
    assert_eq!(methods(&registry), ["GET"]);
}

#[test]
fn an_identity_token_is_a_password_where_posts_are_unknown() {
    let registry = ScriptedRegistry::start();
    registry.put_image("app", "v1", &[]);
    registry.set_access(service(None));
    let named = Credential::identity_token("bob", Secret::new("hunter2"));
    resolve(&registry, with(named)).unwrap();
    assert_eq!(methods(&registry), ["POST", "GET"]);
    registry.clear_log();
    let nameless = Credential::identity_token("", Secret::new("hunter2"));
    resolve(&registry, with(nameless)).unwrap_err();
    assert_eq!(methods(&registry), ["POST"]);
}

#[test]
fn the_newest_refresh_token_is_used() {
    let registry = ScriptedRegistry::start();
    registry.put_image("app", "v1", &[]);
    registry.set_access(service(Some("first")));
    registry.rotate_refresh_token("second");
    let options = with(Credential::identity_token("bob", Secret::new("first")));
    let remote = remote_with(&registry, "app", Rights::Pull, options);
    run(async {
        let name = reference(&registry, "app:v1");
        remote.resolve(&name).await.unwrap();
        registry.revoke_tokens();
        remote.resolve(&name).await.unwrap();
    });
    assert_eq!(methods(&registry), ["POST", "POST"]);
}

#[test]
fn a_login_by_post_asks_for_a_refresh_token_too() {
    let registry = ScriptedRegistry::start();
    registry.set_access(service(Some("keep-me")));
    registry.script(Rule::on(Route::Token).method("GET").effect(Effect::status(405)));
    let credential = Credential::password("bob", Secret::new("hunter2"));
    let outcome = run(client(options()).login(&registry.authority(), &credential)).unwrap();
    assert_eq!(outcome.identity_token, Some(Secret::new("keep-me")));
    // The stored token is a login of its own.
    registry.clear_script();
    let stored = Credential::identity_token("bob", Secret::new("keep-me"));
    run(client(options()).login(&registry.authority(), &stored)).unwrap();
}

/// An account for one namespace, another for the rest of the registry; slow, as a keychain that asks its user.
#[derive(Debug)]
struct Namespaces;

impl CredentialSource for Namespaces {
    fn account(&self, repository: &Repository) -> String {
        let domain = repository.domain();
        if repository.path().starts_with("acme/") { format!("{domain}/acme") } else { domain.to_owned() }
    }

    fn get(&self, account: &str) -> Result<Option<Credential>> {
        std::thread::sleep(Duration::from_millis(200));
        let user = if account.ends_with("/acme") { "acme" } else { "rest" };
        Ok(Some(Credential::password(user, Secret::new("pw"))))
    }
}

#[test]
fn each_namespace_has_its_account() {
    let registry = ScriptedRegistry::start();
    registry.put_image("acme/app", "v1", &[]);
    registry.put_image("acme/other", "v1", &[]);
    registry.put_image("app", "v1", &[]);
    registry.set_access(Access::basic("acme", "pw"));
    let client = client(ClientOptions { credentials: Arc::new(Namespaces), ..options() });
    let resolve = |name: &'static str| {
        let remote = client.repository(&repository(&registry, name), Rights::Pull).unwrap();
        let reference = reference(&registry, &format!("{name}:v1"));
        async move { remote.resolve(&reference).await }
    };
    let outcomes = run(async { tokio::join!(resolve("acme/app"), resolve("acme/other"), resolve("app")) });
    assert!(outcomes.0.is_ok() && outcomes.1.is_ok());
    assert_eq!(outcomes.2.unwrap_err().kind(), Kind::Unauthorized);
    let acme = Some("Basic YWNtZTpwdw==".to_owned());
    let rest = Some("Basic cmVzdDpwdw==".to_owned());
    assert!(shown(&registry, "/acme/").contains(&acme) && !shown(&registry, "/acme/").contains(&rest));
    assert!(shown(&registry, "/v2/app/").contains(&rest) && !shown(&registry, "/v2/app/").contains(&acme));
}

#[test]
fn a_source_that_waits_holds_nobody_up() {
    let (slow, other) = (ScriptedRegistry::start(), ScriptedRegistry::start());
    for registry in [&slow, &other] {
        registry.put_image("app", "v1", &[]);
    }
    slow.set_access(Access::basic("rest", "pw"));
    let client = client(ClientOptions { credentials: Arc::new(Namespaces), ..options() });
    let remotes =
        [&slow, &other].map(|registry| client.repository(&repository(registry, "app"), Rights::Pull).unwrap());
    let (first, second) = (reference(&slow, "app:v1"), reference(&other, "app:v1"));
    run(async {
        let waiting = remotes[0].resolve(&first);
        tokio::pin!(waiting);
        let quick = async {
            while slow.requests().is_empty() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            remotes[1].resolve(&second).await
        };
        tokio::select! {
            biased;
            _ = &mut waiting => panic!("the slow source was waited for"),
            resolved = quick => drop(resolved.unwrap()),
        }
        waiting.await.unwrap();
    });
}

#[test]
fn configured_headers_stay_with_the_registry() {
    let (registry, elsewhere) = (ScriptedRegistry::start(), ScriptedRegistry::start());
    let image = registry.put_image("app", "v1", &[vec![1; 1000]]);
    elsewhere.put_image("app", "v1", &[vec![1; 1000]]);
    registry.script(Rule::on(Route::Blob).path(&image.layers[0]).effect(Effect::RedirectTo(307, elsewhere.url())));
    let headers = vec![("X-Meta-Team".to_owned(), "blue".to_owned())];
    let remote = remote_with(&registry, "app", Rights::Pull, ClientOptions { headers, ..options() });
    run(async {
        let root = remote.resolve(&reference(&registry, "app:v1")).await.unwrap();
        copy(&remote, &MemoryPlace::new(), &root, &CopyOptions::new(&Silent)).await.unwrap();
    });
    let has = |request: &Request| request.header("x-meta-team") == Some("blue");
    assert!(registry.requests().iter().all(has));
    assert_eq!(elsewhere.requests().iter().filter(|request| has(request)).count(), 0);
    assert_eq!(elsewhere.count("GET", Route::Blob), 1);
    let headers = vec![("X-Meta-Bad".to_owned(), "two\r\nX-Injected: lines".to_owned())];
    let error = dhow_registry::Client::new(ClientOptions { headers, ..options() }).unwrap_err();
    assert!(error.kind() == Kind::Invalid && !error.to_string().contains("Injected"), "{error}");
}

/// CVE-2020-15157: a layer's foreign URL on a host that answers 401 got the registry's credentials.
#[test]
fn foreign_urls_of_layers_are_not_asked() {
    let (registry, attacker) = (ScriptedRegistry::start(), ScriptedRegistry::start());
    attacker.set_access(Access::basic("bob", "hunter2"));
    registry.set_access(Access::basic("bob", "hunter2"));
    let image = registry.put_image("app", "v1", &[vec![7; 1000]]);
    let (media_type, bytes) = registry.manifest("app", "v1").unwrap();
    let mut manifest: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    let layer = &mut manifest["layers"][0];
    layer["mediaType"] = "application/vnd.oci.image.layer.nondistributable.v1.tar".into();
    layer["urls"] = serde_json::json!([format!("{}/v2/app/blobs/{}", attacker.url(), image.layers[0])]);
    registry.put_manifest("app", "foreign", &media_type, manifest.to_string().as_bytes());
    registry.remove_blob(&image.layers[0]);
    let remote = remote_with(&registry, "app", Rights::Pull, options_for("bob", "hunter2"));
    let error = run(async {
        let root = remote.resolve(&reference(&registry, "app:foreign")).await?;
        copy(&remote, &MemoryPlace::new(), &root, &CopyOptions::new(&Silent)).await.map(drop)
    });
    assert_eq!(error.unwrap_err().kind(), Kind::Unsupported);
    assert_eq!(attacker.requests().len(), 0);
}

/// GHSA-vh4v-2xq2-g5cg and CVE-2026-50151: another port is another host, a subdomain too; neither gets a token.
#[test]
fn a_token_is_for_one_origin() {
    let (registry, attacker) = (ScriptedRegistry::start(), ScriptedRegistry::start());
    let image = registry.put_image("app", "v1", &[vec![7; 1000]]);
    registry.set_access(service(None));
    attacker.set_access(service(None));
    let target = attacker.url().replace("127.0.0.1", "localhost");
    registry.script(Rule::on(Route::Blob).path(&image.layers[0]).effect(Effect::RedirectTo(307, target)));
    let remote = remote_with(&registry, "app", Rights::Pull, options_for("bob", "hunter2"));
    run(async {
        let root = remote.resolve(&reference(&registry, "app:v1")).await.unwrap();
        let options = CopyOptions { retries: 0, ..CopyOptions::new(&Silent) };
        copy(&remote, &MemoryPlace::new(), &root, &options).await.unwrap_err();
    });
    assert!(attacker.count("GET", Route::Blob) >= 1);
    assert_eq!(attacker.count("GET", Route::Token), 0, "its challenge is not answered");
    assert!(attacker.requests().iter().all(|request| request.header("authorization").is_none()));
}
