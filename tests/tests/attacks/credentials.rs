//! Cases 7 to 10: credentials of another, and secrets where somebody reads them.

use dhow_testkit::helper::Helpers;
use dhow_testkit::registry::known::recipe;
use dhow_testkit::registry::{Access, Effect, Route, Rule, ScriptedRegistry, base64};
use dhow_tests::known::Stage;
use serde_json::json;

/// Everything in `Authorization` headers that came to a registry.
fn shown(registry: &ScriptedRegistry) -> Vec<String> {
    let requests = registry.requests();
    requests.iter().filter_map(|request| request.header("authorization").map(str::to_owned)).collect()
}

/// A helper that fails is no reason to take another's credentials, nor to send one's own to somebody else.
#[test]
fn cve_2021_41092_broken_helpers() {
    let hub = base64(b"acme:dckr_pat-secret");
    for helper in ["sad", "halfway", "garbage", "missing"] {
        let stage = Stage::new(recipe("Harbor"));
        Helpers::install(&stage.scene.path("bin"), &["sad", "halfway", "garbage"]).expect("helpers");
        stage.publish("v1", &stage.scene.image("a"));
        let configuration = json!({
            "auths": { "https://index.docker.io/v1/": { "auth": hub } },
            "credHelpers": { stage.known.recipe.domain: helper },
        });
        stage.scene.configure(&configuration.to_string());
        let said = stage.refused(&["pull", &stage.name("v1")]);
        assert!(said.contains("credential") && !said.contains("manifest for"), "{helper}: {said}");
        assert_eq!(shown(&stage.known.registry), Vec::<String>::new());
        stage.assert_no_secret_was_told();
    }
    // What a broken helper has of one registry does not go to Docker Hub either, which such names were once taken for.
    let stage = Stage::new(recipe("Docker Hub"));
    Helpers::install(&stage.scene.path("bin"), &["sad"]).expect("helpers");
    stage.publish("v1", &stage.scene.image("a"));
    let other = json!({
        "auths": { "harbor.example.com": { "auth": base64(b"robot:other-secret") } },
        "credHelpers": { "harbor.example.com": "sad" },
    });
    stage.scene.configure(&other.to_string());
    stage.must(&["pull", &stage.name("v1")]);
    assert!(shown(&stage.known.registry).iter().all(|header| header.starts_with("Bearer ")), "nobody in particular");
    stage.assert_no_secret_was_told();
}

/// `*.azurecr.io` is the end of a name, not a part of it.
#[test]
fn go_2026_6225_unanchored_names() {
    let (stage, attacker) = (Stage::new(recipe("Azure ACR")), ScriptedRegistry::start_known());
    let host = "contoso.azurecr.io.attacker.example";
    stage.lead(host, &attacker);
    attacker.set_access(Access::basic("somebody", "else"));
    let helpers = Helpers::install(&stage.scene.path("bin"), &["acr-env"]).expect("a helper");
    for server in [host, stage.known.recipe.domain] {
        helpers.keep("acr-env", server, "<token>", stage.known.recipe.account.1).expect("its keychain");
    }
    stage.scene.configure(r#"{"credHelpers":{"*.azurecr.io":"acr-env"}}"#);
    let said = stage.refused(&["pull", &format!("{host}/team/app:v1")]);
    assert!(said.contains("no basic auth credentials"), "{said}");
    assert!(!attacker.requests().is_empty());
    stage.assert_knows_nothing(&attacker);
    assert_eq!(helpers.log("acr-env"), Vec::<String>::new());
    // The pattern works where it should.
    stage.publish("v1", &stage.scene.image("a"));
    stage.must(&["pull", &stage.name("v1")]);
    assert_eq!(helpers.log("acr-env"), ["get contoso.azurecr.io"]);
    stage.assert_no_secret_was_told();
}

/// A helper is asked about one line, which no option can be taken for.
#[test]
fn cve_2020_5260_lines_for_helpers() {
    let stage = Stage::new(recipe("Harbor"));
    let helpers = Helpers::install(&stage.scene.path("bin"), &["good"]).expect("a helper");
    stage.scene.configure(r#"{"credsStore":"good"}"#);
    for server in [
        "harbor.example.com\nhost=attacker.example",
        "harbor.example.com\r\nX: y",
        "harbor.example.com\u{1b}[2J",
        "-oProxyCommand=touch /tmp/x",
        "--help",
        "$(touch x)",
        "a b",
        "",
    ] {
        let login = stage.fed(&["login", "-u", "bob", "--password-stdin", "--", server], b"typed-secret");
        // An empty name stands for Docker Hub, to which no way leads here.
        assert_ne!(login.code, 0, "{server:?}: {login}");
        let pull = stage.run(&["pull", "--", &format!("{server}/app:v1")]);
        assert_ne!(pull.code, 0, "{server:?}: {pull}");
        stage.run(&["logout", "--", server]);
    }
    let asked = helpers.log("good");
    for line in &asked {
        let (action, server) = line.split_once(' ').unwrap_or((line, ""));
        assert!(["get", "erase", "store", "list"].contains(&action), "a line of its own: {asked:?}");
        assert!(!server.starts_with('-') && !server.contains('\u{1b}'), "{asked:?}");
    }
    assert!(!stage.scene.path("x").exists());
    stage.assert_no_secret_was_told();
}

/// Everything that is done with a registry, with the log in full: passwords, tokens of all kinds, signatures of addresses,
/// headers that the user configured.
#[test]
fn cve_2019_13509_secrets_in_logs() {
    for name in ["Docker Hub", "Amazon ECR", "Azure ACR"] {
        let stage = Stage::new(recipe(name));
        stage.scene.configure(r#"{"HttpHeaders":{"X-Meta-Token":"header-secret"}}"#);
        stage.log_in();
        let first = stage.name("v1");
        stage.scene.load("a", &first);
        stage.must(&["push", &first]);
        stage.must(&["rmi", &first]);
        stage.must(&["pull", &first]);
        stage.must(&["tags", first.trim_end_matches(":v1")]);
        stage.must(&["inspect", "--remote", &first]);
        stage.run(&["logout", stage.known.recipe.domain]);
        stage.run(&["pull", &first]);
        let api = stage.known.requests_to(stage.known.recipe.hosts[0]);
        assert!(api.iter().any(|request| request.header("x-meta-token") == Some("header-secret")), "{name}");
        let storage = stage.known.requests_to(stage.known.recipe.ways.storage.expect("a storage").host);
        assert!(storage.iter().all(|request| request.header("x-meta-token").is_none()), "{name}");
        stage.known.assert_storage_saw_nothing();
        stage.assert_no_secret_was_told();
    }
}

/// The same when everything goes wrong: what hosts say of signatures, what token services say of tokens, what breaks off.
#[test]
fn cve_2025_48374_secrets_in_errors() {
    let body = |text: &str| Effect::Answer { status: 403, headers: Vec::new(), body: text.as_bytes().to_vec() };
    let stage = Stage::new(recipe("Docker Hub"));
    stage.log_in();
    stage.publish("v1", &stage.scene.image("a"));
    for (route, effect) in [
        (Route::Storage, body("<Error><StringToSign>verify=1700000000-signature-secret</StringToSign></Error>")),
        (Route::Storage, Effect::CutAfter(0)),
        (Route::Storage, Effect::status(404)),
        (Route::Storage, Effect::Body(b"other bytes".to_vec())),
        (Route::Storage, Effect::SetHeader("Location".into(), "https://x.example/?sig=signature-secret".into())),
        (Route::Token, Effect::Body(b"{\"token\": \"token-1-secret\", \"expires_in\": [\"token-2-secret\"]}".to_vec())),
        (Route::Token, Effect::Body(b"\"token-1-secret".to_vec())),
        (Route::Manifest, Effect::RedirectTo(307, "https://user:url-secret@registry-1.docker.io".into())),
        (Route::Manifest, Effect::RedirectTo(307, "http://user:url-secret@attacker.example".into())),
        (Route::Manifest, Effect::RedirectTo(307, "nonsense://user:url-secret@attacker.example".into())),
    ] {
        stage.known.registry.clear_script();
        stage.known.registry.script(Rule::on(route).effect(effect.clone()));
        let output = stage.run(&["pull", &stage.name("v1")]);
        let is_harmless = matches!(effect, Effect::SetHeader(..));
        assert_eq!(output.code == 0, is_harmless, "{effect:?}: {output}");
        stage.run(&["rmi", &stage.name("v1")]);
    }
    stage.assert_no_secret_was_told();
}
