//! `--format` of verbs for which docker has no format: what goes where. `tests/tests/schemas` compares the documents themselves.

use dhow_tests::scene::Scene;
use insta::assert_snapshot;
use serde_json::Value;

/// The JSON on standard output, which is nothing else.
fn documents(stdout: &str) -> Vec<Value> {
    stdout.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

#[test]
fn progress_goes_to_standard_error() {
    let scene = Scene::new();
    let server = scene.serve();
    let name = server.name("acme/web:v1");
    scene.load("a", &name);
    let pushed = scene.dhow(&["push", "--format", "json", &name]);
    assert_eq!(documents(&pushed.stdout)[0]["digest"], "sha256:<manifest-a>");
    assert!(pushed.stderr.contains("upper-a-----: Pushed\n"), "{pushed}");
    scene.must(&["rmi", &name]);
    let pulled = scene.dhow(&["pull", "--format", "json", &name]);
    assert_eq!(documents(&pulled.stdout)[0]["status"], "downloaded");
    assert!(pulled.stderr.starts_with("v1: Pulling from acme/web\n"), "{pulled}");
    assert!(pulled.stderr.contains("upper-a-----: Pull complete\n"), "{pulled}");
    let quiet = scene.dhow(&["pull", "-q", "--format", "json", &name]);
    assert_eq!((documents(&quiet.stdout).len(), quiet.stderr.as_str()), (1, ""));
}

#[test]
fn templates_see_each_document() {
    let scene = Scene::new();
    let server = scene.serve();
    let name = server.name("acme/web:v1");
    scene.load("a", &name);
    assert_snapshot!(scene.dhow(&["push", "-q", "--format", "{{.digest}}\\t{{.layersTransferred}}", &name]), @r"
    exit 0
    [out]
    sha256:<manifest-a>	2
    ");
    let format = "{{range .layers}}{{.sizeBytes}} {{end}}";
    assert_snapshot!(scene.dhow(&["image", "tree", "--format", format, &name]), @r"
    exit 0
    [out]
    2048 2048 
    ");
    // Results only: a failure is told on standard error, as ever.
    assert_snapshot!(scene.dhow(&["image", "tree", "--format", format, "nope"]), @r"
    exit 1
    [err]
    No such image: nope:latest
    ");
    assert_snapshot!(scene.dhow(&["image", "tree", "--format", "{{.dijest}}", &name]), @r#"
    exit 1
    [err]
    template parsing error: template: :1:2: executing "" at <.dijest>: map has no entry for key "dijest"
    "#);
    assert_snapshot!(scene.dhow(&["serve", "--listen", "127.0.0.1:0", "--format", "{{.dijest}}"]), @r#"
    exit 1
    [err]
    template parsing error: template: :1:2: executing "" at <.dijest>: map has no entry for key "dijest"
    "#);
}

#[test]
fn failures_are_told_in_their_place_and_as_ever() {
    let scene = Scene::new();
    assert_snapshot!(scene.docker(&["push", "--format", "json", "-q", "nope.example/x:v1", "Alpine"]), @r#"
    exit 1
    [out]
    {"name":"nope.example/x:v1","error":{"kind":"not-found","message":"An image does not exist locally with the tag: nope.example/x","hint":null,"retryable":false}}
    {"name":"Alpine","error":{"kind":"invalid","message":"invalid reference format: repository name (library/Alpine) must be lowercase","hint":null,"retryable":false}}
    [err]
    An image does not exist locally with the tag: nope.example/x
    invalid reference format: repository name (library/Alpine) must be lowercase
    "#);
    assert_snapshot!(scene.dhow(&["save", "--format", "docker-archive", "x"]), @r#"
    exit 125
    [err]
    invalid argument "docker-archive" for "--format" flag: it is about the report, and "docker-archive" is neither "json" nor a Go template

    Usage:  dhow save [OPTIONS] IMAGE [IMAGE...]

    Run 'dhow save --help' for more information
    "#);
}

#[test]
fn questions_go_to_standard_error() {
    let scene = Scene::new();
    scene.load("a", "docker.io/acme/web:v1");
    let no = scene.fed(&["image", "prune", "-a", "--format", "json"], b"n\n");
    assert_eq!((no.code, no.stdout.as_str()), (0, ""), "{no}");
    assert!(no.stderr.ends_with("Are you sure you want to continue? [y/N] "), "{no}");
    let yes = scene.fed(&["image", "prune", "-a", "--format", "json"], b"y\n");
    assert_eq!(documents(&yes.stdout)[0]["untagged"][0], "docker.io/acme/web:v1", "{yes}");
    assert!(yes.stderr.starts_with("WARNING! This will remove all images"), "{yes}");
}
