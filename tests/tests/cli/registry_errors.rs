//! What registries do to us, in docker's words.

#![allow(clippy::disallowed_methods, reason = "reads scratch files")]

use dhow_testkit::registry::{Access, Effect, Route, Rule, ScriptedRegistry, digest_of};
use dhow_tests::scene::{Sample, Scene, Transcript};
use insta::assert_snapshot;

/// A registry that has one image as `acme/web:v1`.
struct Stage {
    scene: Scene,
    registry: ScriptedRegistry,
    image: Sample,
    name: String,
}

impl Stage {
    fn new() -> Self {
        let (scene, registry) = (Scene::new(), ScriptedRegistry::start());
        scene.call(&registry.authority(), "[REGISTRY]");
        let image = scene.image("a");
        let read = |digest: &str| std::fs::read(image.layout.path(digest)).expect("a blob");
        for digest in [&image.id, &image.lower, &image.upper] {
            registry.put_blob("acme/web", &read(digest));
        }
        let manifest = &image.manifest;
        registry.put_manifest("acme/web", "v1", &manifest.media_type, &read(&manifest.digest));
        let name = format!("{}/acme/web:v1", registry.authority());
        Self { scene, registry, image, name }
    }

    fn pull(&self) -> Transcript {
        self.scene.docker(&["pull", &self.name])
    }
}

#[test]
fn access_denied() {
    let stage = Stage::new();
    let denied = Effect::error(401, "DENIED", "requested access to the resource is denied");
    stage.registry.script(Rule::on(Route::Manifest).effect(denied));
    assert_snapshot!(stage.pull(), @r"
    exit 1
    [err]
    Error response from daemon: pull access denied for [REGISTRY]/acme/web, repository does not exist or may require 'docker login': denied
    ");
}

#[test]
fn limits_are_told() {
    let stage = Stage::new();
    let header = |name: &str, value: &str| Effect::SetHeader(name.to_owned(), value.to_owned());
    let little = Rule::on(Route::Manifest)
        .effect(header("ratelimit-limit", "100;w=21600"))
        .effect(header("ratelimit-remaining", "3;w=21600"));
    stage.registry.script(little);
    assert_snapshot!(stage.scene.dhow(&["pull", "-q", &stage.name]), @r"
    exit 0
    [out]
    [REGISTRY]/acme/web:v1
    [err]
    WARNING: [REGISTRY]: 3 of 100 pulls are left within 6 hours; an account may have more: dhow login [REGISTRY]
    ");
    stage.registry.clear_log();
    stage.scene.must(&["pull", "-q", &stage.name]);
    assert_eq!(stage.registry.lines(), ["GET /v2/acme/web/manifests/v1"]);
    assert_eq!(stage.registry.requests()[0].status, 304, "what is known is not sent again");
}

#[test]
fn a_spent_limit_says_when_it_ends() {
    let stage = Stage::new();
    let Effect::Answer { status, mut headers, body } =
        Effect::error(429, "TOOMANYREQUESTS", "You have reached your pull rate limit.")
    else {
        panic!("an answer")
    };
    headers.push(("Retry-After".to_owned(), "18000".to_owned()));
    stage.registry.script(Rule::on(Route::Manifest).effect(Effect::Answer { status, headers, body }));
    let refused = stage.pull();
    let start = "Error response from daemon: toomanyrequests: You have reached your pull rate limit. (try again in 5 hours, at ";
    assert!(refused.code == 1 && refused.stderr.starts_with(start) && refused.stderr.ends_with(" GMT)\n"), "{refused}");
    assert_eq!(stage.registry.requests().len(), 1, "a limit of hours is not waited for");
}

#[test]
fn no_credentials() {
    let stage = Stage::new();
    stage.registry.set_access(Access::basic("bob", "secret"));
    assert_snapshot!(stage.pull(), @r#"
    exit 1
    [err]
    Error response from daemon: Get "http://[REGISTRY]/v2/acme/web/manifests/v1": no basic auth credentials
    "#);
}

#[test]
fn a_wrong_password() {
    let stage = Stage::new();
    stage.registry.set_access(Access::basic("bob", "secret"));
    let authority = stage.registry.authority();
    let login = ["login", "-u", "bob", "--password-stdin", &authority];
    assert_snapshot!(stage.scene.fed(&login, b"wrong"), @r"
    exit 1
    [err]
    login attempt to http://[REGISTRY]/v2/ failed with status: 401 Unauthorized
    ");
    assert!(!stage.scene.path("docker-config/config.json").exists());
    assert_eq!(stage.scene.fed(&login, b"secret").code, 0);
    assert_eq!(stage.pull().code, 0);
    // The registry changes its mind.
    stage.registry.set_access(Access::basic("bob", "other"));
    assert_snapshot!(stage.scene.dhow(&["login", &authority]), @r"
    exit 1
    [err]
    Authenticating with existing credentials... [Username: bob]

     Info -> To login with a different account, run 'dhow logout' followed by 'dhow login'


    Stored credentials invalid or expired
    Error: Cannot perform an interactive login from a non TTY device
    ");
}

/// What goes wrong once docker's daemon has begun to report is part of its report, without a prefix.
#[test]
fn a_push_without_credentials_was_under_way() {
    let stage = Stage::new();
    stage.scene.load("a", &stage.name);
    stage.registry.set_access(Access::basic("bob", "secret"));
    let pushed = stage.scene.docker(&["push", "-q", &stage.name]);
    assert_eq!((pushed.code, pushed.stdout.as_str()), (1, ""), "{pushed}");
    assert_eq!(pushed.stderr, "no basic auth credentials\n", "{pushed}");
}

#[test]
fn too_many_requests() {
    let stage = Stage::new();
    let limited = Effect::error(429, "TOOMANYREQUESTS", "You have reached your pull rate limit.");
    stage.registry.script(Rule::on(Route::Manifest).effect(limited));
    assert_snapshot!(stage.pull(), @r"
    exit 1
    [err]
    Error response from daemon: toomanyrequests: You have reached your pull rate limit.
    ");
}

#[test]
fn a_repository_that_is_unknown() {
    let stage = Stage::new();
    let name = format!("{}/acme/nope", stage.registry.authority());
    assert_snapshot!(stage.scene.docker(&["pull", "-a", &name]), @r"
    exit 1
    [err]
    Error response from daemon: repository [REGISTRY]/acme/nope not found: name unknown: repository name not known to registry
    ");
}

#[test]
fn a_name_that_no_registry_gives_a_meaning() {
    assert_snapshot!(Scene::new().docker(&["pull", "scratch"]), @r"
    exit 1
    [out]
    Using default tag: latest
    [err]
    Error response from daemon: 'scratch' is a reserved name
    ");
}

#[test]
fn a_registry_that_is_out_of_order() {
    let stage = Stage::new();
    stage.registry.script(Rule::on(Route::Manifest).effect(Effect::status(500)));
    assert_snapshot!(stage.pull(), @r"
    exit 1
    [err]
    Error response from daemon: received unexpected HTTP status: 500 Internal Server Error
    ");
}

#[test]
fn an_answer_that_is_no_registry_s() {
    let stage = Stage::new();
    let page = b"<html>not here</html>".to_vec();
    let answer = Effect::Answer { status: 404, headers: Vec::new(), body: page };
    stage.registry.script(Rule::on(Route::Manifest).effect(answer));
    assert_snapshot!(stage.pull(), @r#"
    exit 1
    [err]
    Error response from daemon: error parsing HTTP 404 response body: invalid character '<' looking for beginning of value: "<html>not here</html>"
    "#);
}

#[test]
fn bytes_that_are_not_what_the_digest_says() {
    let stage = Stage::new();
    let mut wrong = std::fs::read(stage.image.layout.path(&stage.image.upper)).expect("the layer");
    wrong[600] ^= 1;
    stage.scene.call_digest(&digest_of(&wrong), "wrong");
    let rule = Rule::on(Route::Blob).path(&stage.image.upper).effect(Effect::Body(wrong));
    stage.registry.script(rule);
    let pulled = stage.pull();
    let expected = "digest mismatch: expected sha256:<upper-a>, got sha256:<wrong>\n";
    assert_eq!(pulled.stderr, expected);
    assert_eq!(pulled.code, 1);
    assert_eq!(stage.scene.must(&["images", "-q"]), "", "nothing has a name");
}

/// `--stored` leaves it to the first use to find that layers are not what the config says.
#[test]
fn a_lie_that_was_stored_does_not_hide_other_images() {
    let stage = Stage::new();
    let read = |digest: &str| std::fs::read_to_string(stage.image.layout.path(digest)).expect("a document");
    let lie = read(&stage.image.manifest.digest).replace(&stage.image.upper, &stage.image.lower);
    stage.registry.put_manifest("acme/web", "lie", &stage.image.manifest.media_type, lie.as_bytes());
    stage.scene.must(&["pull", "-q", "--stored", &stage.name.replace("v1", "lie")]);
    stage.scene.load("b", "acme/other:v1");
    let listed = stage.scene.dhow(&["images", "--format", "raw"]);
    assert_eq!(listed.code, 0, "{listed}");
    assert!(listed.stderr.starts_with("WARNING: cannot tell how large an image is"), "{listed}");
    assert!(listed.stdout.contains("tag: lie\nimage_id: id-a--------\n"), "{listed}");
    assert!(listed.stdout.contains("repository: acme/other\n"), "{listed}");
    let inspected = stage.scene.dhow(&["image", "inspect", &stage.name.replace("v1", "lie")]);
    assert!(inspected.stderr.contains("unpacked diff ID mismatch"), "{inspected}");
}

#[test]
fn a_connection_that_breaks_is_made_again() {
    let stage = Stage::new();
    let cut = Rule::on(Route::Blob).path(&stage.image.upper).effect(Effect::CutAfter(700)).times(1);
    stage.registry.script(cut);
    let pulled = stage.pull();
    assert_eq!(pulled.code, 0, "{pulled}");
    assert_eq!(stage.scene.must(&["images", "-q"]), "id-a--------\n");
    assert_eq!(stage.registry.bytes_sent_of(&stage.image.upper), 2048, "{pulled}");
}

/// Faults can be armed in builds with debug assertions only.
#[test]
#[cfg(debug_assertions)]
fn a_disk_that_is_full() {
    let stage = Stage::new();
    let mut command = stage.scene.command(&["pull", "-q", &stage.name]);
    let pulled = stage.scene.run(command.env("DHOW_FAULT", "fs.flush.file=nospace"));
    assert_eq!((pulled.code, pulled.stdout.as_str()), (1, ""), "{pulled}");
    assert!(pulled.stderr.starts_with("cannot sync \"[FOLDER]/store/blobs/"), "{pulled}");
    assert!(pulled.stderr.ends_with(": no space left on device\n"), "{pulled}");
    assert_eq!(stage.pull().code, 0, "the next pull goes on");
}
