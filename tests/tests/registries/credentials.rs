//! What clouds' own tools write and print just works: `gcloud auth configure-docker`, `docker-credential-ecr-login`,
//! `aws ecr get-login-password | dhow login --username AWS --password-stdin`, `az acr login`, `az account get-access-token`.

#![allow(clippy::disallowed_methods, reason = "reads scratch files")]

use dhow_testkit::helper::Helpers;
use dhow_testkit::registry::Route;
use dhow_testkit::registry::known::recipe;
use dhow_tests::known::Stage;

/// A stage with a helper that has the registry's account, and a `config.json`.
fn with_helper(name: &str, helper: &str, configuration: &str) -> (Stage, Helpers) {
    let stage = Stage::new(recipe(name));
    let helpers = Helpers::install(&stage.scene.path("bin"), &[helper]).expect("a helper");
    let (domain, (user, secret)) = (stage.known.recipe.domain, stage.known.recipe.account);
    helpers.keep(helper, domain, user, secret).expect("its keychain");
    stage.scene.configure(configuration);
    stage.publish("v1", &stage.scene.image("a"));
    (stage, helpers)
}

#[test]
fn gcloud_auth_configure_docker() {
    // What `gcloud auth configure-docker us-docker.pkg.dev` writes: a helper for each registry.
    let written = r#"{
  "credHelpers": {
    "gcr.io": "gcloud",
    "us.gcr.io": "gcloud",
    "us-docker.pkg.dev": "gcloud"
  }
}"#;
    let (stage, helpers) = with_helper("Google Artifact Registry", "gcloud", written);
    stage.must(&["pull", &stage.name("v1")]);
    assert_eq!(helpers.log("gcloud"), ["get us-docker.pkg.dev"], "asked once");
    let name = stage.name("v2");
    stage.must(&["tag", &stage.name("v1"), &name]);
    stage.must(&["push", &name]);
    assert_eq!(stage.scene.configuration(), written, "nothing is written where nobody logs in");
    stage.assert_no_secret_was_told();
}

#[test]
fn the_ecr_login_helper() {
    // As its README has it: for everything, or for one registry.
    let one = r#"{"credHelpers":{"123456789012.dkr.ecr.us-east-1.amazonaws.com":"ecr-login"}}"#;
    for written in [r#"{"credsStore":"ecr-login"}"#, one] {
        let (stage, helpers) = with_helper("Amazon ECR", "ecr-login", written);
        stage.must(&["pull", &stage.name("v1")]);
        assert_eq!(helpers.log("ecr-login"), [format!("get {}", stage.known.recipe.domain)]);
        // It keeps nothing: who logs in is told by the helper's words.
        stage.assert_no_secret_was_told();
    }
}

#[test]
fn aws_ecr_get_login_password() {
    let stage = Stage::new(recipe("Amazon ECR"));
    stage.publish("v1", &stage.scene.image("a"));
    let (user, password) = stage.known.recipe.account;
    // The command prints a line.
    let login = ["login", "--username", user, "--password-stdin", stage.known.recipe.domain];
    let output = stage.fed(&login, format!("{password}\n").as_bytes());
    assert_eq!((output.code, output.stdout.as_str()), (0, "Login Succeeded\n"), "{output}");
    stage.must(&["pull", &stage.name("v1")]);
    stage.assert_no_secret_was_told();
    // The address may come as `aws ecr get-authorization-token` has it.
    let address = format!("https://{}", stage.known.recipe.domain);
    let login = ["login", "--username", user, "--password-stdin", &address];
    assert_eq!(stage.fed(&login, password.as_bytes()).code, 0);
}

#[test]
fn az_acr_login() {
    let stage = Stage::new(recipe("Azure ACR"));
    stage.publish("v1", &stage.scene.image("a"));
    let auth = dhow_testkit::registry::base64(format!("{}:", stage.known.recipe.account.0).as_bytes());
    let written = serde_json::json!({ "auths": { stage.known.recipe.domain: {
        "auth": auth, "identitytoken": stage.known.recipe.account.1,
    } } });
    stage.scene.configure(&written.to_string());
    stage.must(&["pull", &stage.name("v1")]);
    assert_eq!(stage.known.registry.count("POST", Route::Token), 1);
    assert_eq!(stage.known.registry.count("GET", Route::Token), 0);
    stage.assert_no_secret_was_told();
}

/// Azure's own token is exchanged, and what it is exchanged for is kept instead of it.
#[test]
fn az_account_get_access_token() {
    let stage = Stage::new(recipe("Azure ACR"));
    stage.publish("v1", &stage.scene.image("a"));
    let (user, _) = stage.known.recipe.account;
    let login = ["login", "--username", user, "--password-stdin", stage.known.recipe.domain];
    let output = stage.fed(&login, b"directory-secret\n");
    assert_eq!(output.code, 0, "{output}");
    let kept = stage.scene.configuration();
    assert!(kept.contains("acr-refresh-secret") && !kept.contains("directory-secret"), "{kept}");
    stage.must(&["pull", &stage.name("v1")]);
    stage.assert_no_secret_was_told();
    let output = stage.fed(&login, b"neither-one-nor-the-other");
    assert_ne!(output.code, 0, "{output}");
}

/// A helper may give a refresh token: the user's name is `<token>` then.
#[test]
fn a_helper_gives_an_identity_token() {
    let stage = Stage::new(recipe("Azure ACR"));
    stage.publish("v1", &stage.scene.image("a"));
    let helpers = Helpers::install(&stage.scene.path("bin"), &["acr-env"]).expect("a helper");
    helpers.keep("acr-env", stage.known.recipe.domain, "<token>", stage.known.recipe.account.1).expect("its keychain");
    stage.scene.configure(r#"{"credHelpers":{"*.azurecr.io":"acr-env"}}"#);
    stage.must(&["pull", &stage.name("v1")]);
    assert_eq!(helpers.log("acr-env"), [format!("get {}", stage.known.recipe.domain)]);
    stage.assert_no_secret_was_told();
}
