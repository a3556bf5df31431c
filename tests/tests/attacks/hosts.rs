//! Cases 1 to 6: a registry leads its client to somebody else.

use dhow_testkit::registry::known::recipe;
use dhow_testkit::registry::{Access, Effect, Route, Rule, ScriptedRegistry, TokenService};
use dhow_tests::known::Stage;
use serde_json::{Value, json};

const ATTACKER: &str = "https://attacker.example";

/// Somebody logged in at a registry that has an image, and an attacker that a name leads to.
fn stage(name: &str) -> (Stage, ScriptedRegistry) {
    let (stage, attacker) = (Stage::new(recipe(name)), ScriptedRegistry::start_known());
    stage.lead("attacker.example", &attacker);
    stage.publish("v1", &stage.scene.image("a"));
    stage.log_in();
    (stage, attacker)
}

fn redirect(target: &str) -> Effect {
    Effect::Answer { status: 307, headers: vec![("Location".into(), target.into())], body: Vec::new() }
}

/// Wants tokens of this realm from everybody.
fn demand(stage: &Stage, realm: &str) {
    let (user, password) = stage.known.recipe.account;
    let service = TokenService::new(realm, "harbor-registry", &[(user, password)]);
    stage.known.registry.set_access(Access::Service(service));
}

/// A layer that is said to be elsewhere: who is asked there, and demands credentials, gets nothing. dhow does not even ask.
#[test]
fn cve_2020_15157_foreign_urls() {
    let (stage, attacker) = stage("Harbor");
    attacker.set_access(Access::basic("robot$acme+ci", "harbor-robot-secret"));
    let (registry, repository) = (&stage.known.registry, stage.known.recipe.repository);
    let (media_type, bytes) = registry.manifest(repository, "v1").expect("a manifest");
    let mut manifest: Value = serde_json::from_slice(&bytes).expect("JSON");
    let layer = &mut manifest["layers"][1];
    let digest = layer["digest"].as_str().expect("a digest").to_owned();
    for kind in ["nondistributable.v1.tar", "v1.tar"] {
        let layer = &mut manifest["layers"][1];
        layer["mediaType"] = format!("application/vnd.oci.image.layer.{kind}").into();
        layer["urls"] = json!([format!("{ATTACKER}/v2/x/blobs/{digest}"), "http://169.254.169.254/latest/meta-data"]);
        registry.put_manifest(repository, "foreign", &media_type, manifest.to_string().as_bytes());
        registry.remove_blob(&digest);
        stage.refused(&["pull", &stage.name("foreign")]);
    }
    assert_eq!(attacker.requests().len(), 0);
    stage.assert_no_secret_was_told();
}

/// A challenge that names a service which is not the registry's.
#[test]
fn cve_2026_48978_token_realms() {
    let (stage, attacker) = stage("Harbor");
    for (realm, why) in [
        ("http://attacker.example/token", "is not reached over HTTPS"),
        ("http://harbor.example.com/service/token", "is not reached over HTTPS"),
        ("https://169.254.169.254/latest/meta-data", "is an address of a private network"),
        ("https://127.0.0.1:2375/token", "is an address of a private network"),
        ("https://localhost/token", "is an address of a private network"),
        ("https://[::ffff:10.0.0.1]/token", "is an address of a private network"),
        ("https://0x7f.1/token", "is an address of a private network"),
        ("https://harbor.example.com@attacker.example/token", "contains a user name"),
        ("https://attacker.example/token", "it is outside of the registry's domain"),
        ("https://harbor.example.com.attacker.example/token", "it is outside of the registry's domain"),
    ] {
        demand(&stage, realm);
        let said = stage.refused(&["pull", &stage.name("v1")]);
        assert!(said.contains(why), "{realm}: {said}");
        let said = stage.refused(&["push", "--quiet", &stage.name("v1")]);
        assert!(said.contains(why) || said.contains("does not exist locally"), "{realm}: {said}");
    }
    assert_eq!(attacker.requests().len(), 0, "nobody asked there");
    // With the user's word, and for nobody in particular, it may be asked.
    demand(&stage, "https://attacker.example/service/token");
    let mut pull = stage.command(&["pull", &stage.name("v1")]);
    stage.scene.run(pull.env("DHOW_TOKEN_HOSTS", "other.example,attacker.example"));
    assert!(attacker.count("GET", Route::Token) > 0);
    stage.assert_no_secret_was_told();
}

/// The right service, which sends its client on.
#[test]
fn cve_2026_33540_redirected_token_services() {
    let (stage, attacker) = stage("Harbor");
    for status in [301, 302, 303, 307, 308] {
        stage.known.registry.clear_script();
        stage.known.registry.script(Rule::on(Route::Token).effect(Effect::RedirectTo(status, ATTACKER.to_owned())));
        let said = stage.refused(&["pull", &stage.name("v1")]);
        assert!(said.contains("refused, since the request may carry a credential"), "{said}");
    }
    assert_eq!(attacker.requests().len(), 0);
    stage.assert_no_secret_was_told();
}

/// Blobs at another host, at a name below the registry's, and at one that demands credentials itself.
#[test]
fn ghsa_vh4v_2xq2_g5cg_redirected_blobs() {
    let (quay, _) = stage("Quay");
    quay.must(&["pull", &quay.name("v1")]);
    assert!(quay.known.requests_to("cdn01.quay.io").len() >= 2);
    quay.known.assert_storage_saw_nothing();
    let (stage, attacker) = stage("Harbor");
    stage.publish_at(&attacker);
    stage
        .known
        .registry
        .script(Rule::on(Route::Blob).method("GET").effect(Effect::RedirectTo(307, ATTACKER.to_owned())));
    stage.must(&["pull", &stage.name("v1")]);
    assert!(attacker.count("GET", Route::Blob) >= 2);
    stage.assert_knows_nothing(&attacker);
    assert!(attacker.requests().iter().all(|request| request.header("cookie").is_none()), "nor a session");
    stage.must(&["rmi", &stage.name("v1")]);
    attacker.set_access(Access::basic("robot$acme+ci", "harbor-robot-secret"));
    stage.refused(&["pull", &stage.name("v1")]);
    stage.assert_knows_nothing(&attacker);
    stage.assert_no_secret_was_told();
}

/// From HTTPS nothing leads back to HTTP, nor to what only this machine can reach.
#[test]
fn cve_2026_49349_leaving_https() {
    let (stage, _) = stage("Harbor");
    for (target, why) in [
        ("http://attacker.example/blob", "it leaves HTTPS"),
        ("http://harbor.example.com/v2/", "it leaves HTTPS"),
        ("https://169.254.169.254/latest", "the address is in a private network"),
        ("https://10.1.2.3/", "the address is in a private network"),
        ("https://[::1]/", "the address is in a private network"),
        ("file:///etc/passwd", "leads to what is no HTTP address"),
    ] {
        for route in [Route::Manifest, Route::Blob] {
            stage.known.registry.clear_script();
            stage.known.registry.script(Rule::on(route).effect(redirect(target)));
            let said = stage.refused(&["pull", &stage.name("v1")]);
            assert!(said.contains(why), "{target}: {said}");
        }
    }
    stage.assert_no_secret_was_told();
}

/// An upload that is to go to another host.
#[test]
fn cve_2026_50151_upload_locations() {
    let (stage, attacker) = stage("Harbor");
    attacker.set_access(Access::basic("somebody", "else"));
    stage.scene.load("b", &stage.name("b"));
    let lead = |target: &str| {
        stage.known.registry.clear_script();
        let location = Effect::SetHeader("Location".into(), target.into());
        stage.known.registry.script(Rule::on(Route::UploadStart).effect(location));
    };
    lead(&format!("{ATTACKER}/v2/x/blobs/uploads/1?state=1"));
    stage.refused(&["push", &stage.name("b")]);
    assert!(attacker.count("PUT", Route::Upload) > 0);
    stage.assert_knows_nothing(&attacker);
    for (target, why) in [
        ("https://169.254.169.254/upload", "the address is in a private network"),
        ("https://127.0.0.1:2375/upload", "the address is in a private network"),
        ("http://attacker.example/upload", "it leaves HTTPS"),
    ] {
        lead(target);
        let said = stage.refused(&["push", &stage.name("b")]);
        assert!(said.contains(why), "{target}: {said}");
    }
    stage.assert_no_secret_was_told();
}

/// Whoever was led to demands the registry's own token.
#[test]
fn ggcr_2349_tokens_after_redirects() {
    let (stage, attacker) = stage("Harbor");
    let challenge = "Bearer realm=\"https://harbor.example.com/service/token\",service=\"harbor-registry\",\
                     scope=\"repository:acme/app:pull\"";
    attacker.script(Rule::on(Route::Any).effect(Effect::Answer {
        status: 401,
        headers: vec![("WWW-Authenticate".into(), challenge.into())],
        body: Vec::new(),
    }));
    for route in [Route::Blob, Route::Manifest] {
        stage.known.registry.clear_script();
        stage.known.registry.script(Rule::on(route).method("GET").effect(Effect::RedirectTo(307, ATTACKER.to_owned())));
        stage.refused(&["pull", &stage.name("v1")]);
    }
    assert!(attacker.count("GET", Route::Blob) > 0);
    stage.assert_knows_nothing(&attacker);
    stage.assert_no_secret_was_told();
}

/// The registry proves who it is, its token service does not.
#[test]
fn cve_2019_10214_token_service_without_proof() {
    let (stage, _) = stage("Docker Hub");
    let impostor = ScriptedRegistry::start_tls();
    stage.lead("auth.docker.io", &impostor);
    let said = stage.refused(&["pull", &stage.name("v1")]);
    assert!(said.contains("tls: failed to verify certificate: x509"), "{said}");
    assert_eq!(impostor.requests().len(), 0);
    stage.assert_no_secret_was_told();
}
