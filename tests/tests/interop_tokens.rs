//! docker, podman, skopeo and dhow log in at an issuer of tokens, and show what they got to `dhow serve`.

#![allow(clippy::disallowed_methods, reason = "writes scratch files")]

use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use dhow_testkit::images::{Compression, Format};
use dhow_testkit::peers::{self, Docker, PASSWORD, Podman, USER};
use dhow_testkit::registry::{Access, ScriptedRegistry};
use dhow_tests::interop::{Bench, Sample, must};
use dhow_tests::scene::Server;
use serde_json::{Value, json};

/// A token server and a registry that believes it. Everybody gets what is asked for, but for one repository.
struct Stage {
    server: Server,
    image: Sample,
    bench: Bench,
    /// What the issuer signs with.
    pair: Arc<Ed25519KeyPair>,
    _issuer: ScriptedRegistry,
}

const FORBIDDEN: &str = "acme/forbidden";

fn sign(pair: &Ed25519KeyPair, user: &str, scopes: &[String]) -> String {
    let granted = scopes.iter().filter_map(|scope| {
        let [kind, name, actions]: [&str; 3] = scope.splitn(3, ':').collect::<Vec<_>>().try_into().ok()?;
        let actions: Vec<&str> = actions.split(',').filter(|_| name != FORBIDDEN).collect();
        Some(json!({ "type": kind, "name": name, "actions": actions }))
    });
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a time").as_secs();
    let claims = json!({ "iss": "issuer", "aud": "registry", "sub": user, "exp": now + 300, "nbf": now,
                         "access": granted.collect::<Vec<_>>() });
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", part(&json!({ "alg": "EdDSA", "typ": "JWT" })), part(&claims));
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(pair.sign(message.as_bytes())))
}

/// `hunter2`, for an account that the issuer does not know.
const ACCOUNTS: &str = "bob:$2y$05$abcdefghijklmnopqrstuuoXuKqgZXLiJqzfmMXDDhSFPIvxV7t8.\n";

impl Stage {
    fn new() -> Self {
        Self::with(false)
    }

    /// With accounts besides, and everybody may pull.
    fn with(has_accounts: bool) -> Self {
        let (bench, issuer) = (Bench::new(), ScriptedRegistry::start());
        let pair = Arc::new(Ed25519KeyPair::generate().expect("a key"));
        let x = URL_SAFE_NO_PAD.encode(pair.public_key().as_ref());
        let keys = json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "x": x }] });
        fs::write(bench.path("keys.json"), keys.to_string()).expect("the keys");
        issuer.set_access(Access::Bearer {
            user: USER.to_owned(),
            password: PASSWORD.to_owned(),
            refresh_token: None,
            anonymous_pull: has_accounts,
            realm: None,
        });
        let signing = Arc::clone(&pair);
        issuer.sign_tokens(move |user, scopes| sign(&signing, user, scopes));
        let realm = format!("{}/token", issuer.url());
        let dhow = bench.dhow("registry-store");
        let mut command = dhow.command(&["serve", "--listen", "127.0.0.1:0", "--token-realm", &realm]);
        command.args(["--token-service", "registry", "--token-issuer", "issuer", "--token-keys"]);
        command.arg(bench.path("keys.json")).arg("--root-dir").arg(bench.path("registry"));
        if has_accounts {
            fs::write(bench.path("accounts"), ACCOUNTS).expect("the accounts");
            command.arg("--anonymous-pull").arg("--htpasswd").arg(bench.path("accounts"));
        }
        let server = Server::start(&mut command);
        let image = bench.image("tokens", Format::Docker, Compression::Gzip);
        Self { server, image, bench, pair, _issuer: issuer }
    }
}

/// Skopeo's `--src-registry-token` and `--dest-registry-token`.
#[test]
fn a_copy_is_given_a_token() {
    let stage = Stage::new();
    let dhow = stage.bench.dhow("store");
    let name = format!("docker://{}", stage.server.name("acme/app:1"));
    let token = sign(&stage.pair, "ci", &["repository:acme/app:pull,push".to_owned()]);
    let source = stage.image.source();
    let refused = dhow.run(&["copy", "-q", &source, &name]);
    assert!(!refused.status.success(), "{}", refused.told());
    dhow.must(&["copy", "-q", "--dest-registry-token", &token, &source, &name]);
    let folder = format!("dir:{}", stage.bench.path("back").display());
    dhow.must(&["copy", "-q", "--src-registry-token", &token, &name, &folder]);
    let other = format!("docker://{}", stage.server.name("acme/other:1"));
    let refused = dhow.run(&["copy", "-q", "--dest-registry-token", &token, &folder, &other]);
    assert!(!refused.status.success(), "the token is for another repository: {}", refused.told());
}

/// Feeds a password to a command that logs in.
fn log_in(command: &mut Command, password: &str) -> bool {
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().expect("a login");
    child.stdin.take().expect("its input").write_all(password.as_bytes()).expect("the password");
    child.wait().expect("its end").success()
}

#[test]
fn dhow_and_skopeo() {
    let stage = Stage::new();
    let (dhow, address, file) = (stage.bench.dhow("store"), stage.server.address(), stage.bench.path("auth.json"));
    let file = file.to_str().expect("a printable path");
    let login = ["login", "--authfile", file, "-u", USER, "--password-stdin", address];
    assert!(!log_in(&mut dhow.command(&login), "wrong"));
    assert!(log_in(&mut dhow.command(&login), PASSWORD));
    let source = format!("oci:{}:it", stage.image.layout.root().display());
    let (name, forbidden) = (stage.server.name("acme/app:1"), stage.server.name(&format!("{FORBIDDEN}:1")));
    for target in [&name, &forbidden] {
        dhow.must(&["copy", "-q", &source, &format!("store:{target}")]);
    }
    dhow.must(&["push", "-q", "--authfile", file, &name]);
    let refused = dhow.run(&["push", "-q", "--authfile", file, &forbidden]);
    assert!(!refused.status.success(), "{}", refused.told());
    let nobody = stage.bench.dhow("other").run(&["pull", "--authfile", "/nonexistent", &name]);
    assert!(!nobody.status.success(), "{}", nobody.told());
    stage.bench.dhow("other").must(&["pull", "-q", "--authfile", file, &name]);
    let Some(mut skopeo) = peers::available(peers::skopeo()) else { return };
    must(skopeo.args(["inspect", "--raw", "--tls-verify=false", "--authfile", file, &format!("docker://{name}")]));
}

#[test]
fn docker_and_podman() {
    let stage = Stage::new();
    let Some(docker) = peers::available(Docker::start(&stage.bench.path("docker"))) else { return };
    let address = stage.server.address();
    let login = ["login", "-u", USER, "--password-stdin", address];
    assert!(!log_in(docker.command().args(login), "wrong"));
    assert!(log_in(docker.command().args(login), PASSWORD));
    let archive = stage.bench.path("image.tar");
    let dhow = stage.bench.dhow("store");
    let source = format!("oci:{}:it", stage.image.layout.root().display());
    dhow.must(&["copy", "-q", &source, "acme/app:1"]);
    dhow.must(&["save", "-o", archive.to_str().expect("a printable path"), "acme/app:1"]);
    must(docker.command().arg("load").arg("-i").arg(&archive));
    let (name, forbidden) = (stage.server.name("acme/app:1"), stage.server.name(&format!("{FORBIDDEN}:1")));
    for target in [&name, &forbidden] {
        must(docker.command().args(["tag", "acme/app:1", target]));
    }
    must(docker.command().args(["push", "--quiet", &name]));
    let refused = docker.command().args(["push", &forbidden]).output().expect("docker");
    assert!(!refused.status.success());
    must(docker.command().args(["image", "rm", &name]));
    must(docker.command().args(["pull", "--quiet", &name]));
    let Some(podman) = peers::available(Podman::open(&stage.bench.path("podman"))) else { return };
    let nobody = podman.command().args(["pull", "--quiet", "--tls-verify=false", &name]).output().expect("podman");
    assert!(!nobody.status.success());
    assert!(log_in(
        podman.command().args(["login", "--tls-verify=false", "-u", USER, "--password-stdin", address]),
        PASSWORD
    ));
    must(podman.command().args(["pull", "--quiet", "--tls-verify=false", &name]));
}

#[test]
fn beside_accounts_docker_and_podman_need_no_login_for_what_is_for_everybody() {
    let stage = Stage::with(true);
    let (dhow, address, name) = (stage.bench.dhow("store"), stage.server.address(), stage.server.name("acme/app:1"));
    let (file, login) = (stage.bench.path("auth.json"), ["login", "-u", USER, "--password-stdin", address]);
    let file = file.to_str().expect("a printable path");
    assert!(log_in(&mut dhow.command(&[&login[..], &["--authfile", file]].concat()), PASSWORD));
    let source = format!("oci:{}:it", stage.image.layout.root().display());
    dhow.must(&["copy", "-q", &source, &format!("store:{name}")]);
    dhow.must(&["push", "-q", "--authfile", file, &name]);
    stage.bench.dhow("other").must(&["pull", "-q", "--authfile", "/nonexistent", &name]);
    if let Some(docker) = peers::available(Docker::start(&stage.bench.path("docker"))) {
        must(docker.command().args(["pull", "--quiet", &name]));
        let refused = docker.command().args(["push", "--quiet", &name]).output().expect("docker");
        assert!(!refused.status.success(), "nobody may push");
        assert!(log_in(docker.command().args(login), PASSWORD));
        must(docker.command().args(["push", "--quiet", &name]));
    }
    if let Some(podman) = peers::available(Podman::open(&stage.bench.path("podman"))) {
        must(podman.command().args(["pull", "--quiet", "--tls-verify=false", &name]));
    }
}
