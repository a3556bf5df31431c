//! `pull`

use dhow_tests::scene::{Sample, Scene, Server};
use insta::assert_snapshot;

/// A registry that has one image under `acme/web:v1`, and an empty store.
fn published() -> (Scene, Server, Sample) {
    let scene = Scene::new();
    let server = scene.serve();
    let image = scene.load("a", "docker.io/library/alpine:3.20");
    for tag in ["latest", "v1"] {
        let name = server.name(&format!("acme/web:{tag}"));
        scene.must(&["tag", "alpine:3.20", &name]);
        scene.must(&["push", &name]);
    }
    scene.must(&["image", "prune", "-a", "-f"]);
    assert_eq!(scene.must(&["images", "-q"]), "");
    (scene, server, image)
}

#[test]
fn what_was_here_before_is_known_by_its_digest_afterwards() {
    let (scene, server, image) = published();
    let name = server.name("acme/web:v1");
    scene.load_image(image, &name);
    let digests = || scene.must(&["inspect", "-f", "{{.RepoDigests}}", &name]);
    assert_eq!(digests(), "[]\n");
    assert!(scene.must(&["pull", &name]).contains("Status: Image is up to date for [REGISTRY]/acme/web:v1\n"));
    assert_eq!(digests(), "[[REGISTRY]/acme/web@sha256:<manifest-a>]\n");
}

/// A name by digest that is asked for has a row of its own, beside no tag.
#[test]
fn lists_by_name_show_digests_by_name() {
    let (scene, server, _) = published();
    let name = server.name("acme/web");
    scene.must(&["pull", "-q", &format!("{name}:v1")]);
    let list = |pattern: &str| {
        scene.must(&["images", "--digests", "--format", "{{.Repository}} {{.Tag}} {{.Digest}}", pattern])
    };
    assert_eq!(list(&format!("{name}:v1")), "[REGISTRY]/acme/web v1 sha256:<manifest-a>\n");
    assert_eq!(list(&name), "[REGISTRY]/acme/web v1 sha256:<manifest-a>\n");
    assert_eq!(list(&format!("{name}@sha256:*")), "[REGISTRY]/acme/web <none> sha256:<manifest-a>\n");
}

#[test]
fn state_lines_then_the_digest_then_the_name() {
    let (scene, server, _) = published();
    let output = scene.dhow(&["pull", &server.name("acme/web:v1")]);
    let mut lines: Vec<&str> = output.stdout.lines().collect();
    // Two layers come at once: each keeps its own order.
    let of = |layer: &str| lines.iter().filter(|line| line.starts_with(layer)).copied().collect::<Vec<_>>().join("\n");
    assert_snapshot!(of("upper-a"), @r"
    upper-a-----: Pulling fs layer
    upper-a-----: Verifying Checksum
    upper-a-----: Download complete
    upper-a-----: Pull complete
    ");
    assert_snapshot!(of("lower"), @r"
    lower-------: Pulling fs layer
    lower-------: Verifying Checksum
    lower-------: Download complete
    lower-------: Pull complete
    ");
    lines.retain(|line| !line.starts_with("lower") && !line.starts_with("upper"));
    assert_snapshot!(lines.join("\n"), @r"
    v1: Pulling from acme/web
    Digest: sha256:<manifest-a>
    Status: Downloaded newer image for [REGISTRY]/acme/web:v1
    [REGISTRY]/acme/web:v1
    ");
    assert_eq!((output.code, output.stderr.as_str()), (0, ""));
}

#[test]
fn what_is_here_is_up_to_date() {
    let (scene, server, _) = published();
    scene.must(&["pull", "-q", &server.name("acme/web:v1")]);
    assert_snapshot!(scene.dhow(&["pull", &server.name("acme/web:v1")]), @r"
    exit 0
    [out]
    v1: Pulling from acme/web
    Digest: sha256:<manifest-a>
    Status: Image is up to date for [REGISTRY]/acme/web:v1
    [REGISTRY]/acme/web:v1
    ");
}

#[test]
fn known_layers_exist_already() {
    let (scene, server, _) = published();
    let other = server.name("acme/other:v1");
    scene.load("b", &other);
    scene.must(&["push", &other]);
    scene.must(&["image", "prune", "-a", "-f"]);
    scene.must(&["pull", "-q", &server.name("acme/web:v1")]);
    assert_snapshot!(scene.dhow(&["pull", &other]), @r"
    exit 0
    [out]
    v1: Pulling from acme/other
    lower-------: Already exists
    upper-b-----: Pulling fs layer
    upper-b-----: Verifying Checksum
    upper-b-----: Download complete
    upper-b-----: Pull complete
    Digest: sha256:<manifest-b>
    Status: Downloaded newer image for [REGISTRY]/acme/other:v1
    [REGISTRY]/acme/other:v1
    ");
}

#[test]
fn quiet_prints_the_name() {
    let (scene, server, _) = published();
    assert_snapshot!(scene.dhow(&["pull", "-q", &server.name("acme/web")]), @r"
    exit 0
    [out]
    [REGISTRY]/acme/web:latest
    ");
}

#[test]
fn a_missing_tag_means_latest() {
    let (scene, server, _) = published();
    let output = scene.must(&["pull", &server.name("acme/web")]);
    assert!(output.starts_with("Using default tag: latest\nlatest: Pulling from acme/web\n"), "{output}");
    assert!(output.ends_with("\n[REGISTRY]/acme/web:latest\n"), "{output}");
}

#[test]
fn digests_name_the_image_too() {
    let (scene, server, image) = published();
    let name = server.name(&format!("acme/web:v1@{}", image.manifest.digest));
    let output = scene.must(&["pull", &name]);
    assert!(output.starts_with("[REGISTRY]/acme/web@sha256:<manifest-a>: Pulling from acme/web\n"), "{output}");
    assert!(output.ends_with("\n[REGISTRY]/acme/web:v1@sha256:<manifest-a>\n"), "{output}");
}

#[test]
fn all_tags() {
    let (scene, server, _) = published();
    let output = scene.must(&["pull", "-a", &server.name("acme/web")]);
    assert!(output.contains("latest: Pulling from acme/web\n"), "{output}");
    assert!(output.contains("v1: Pulling from acme/web\n"), "{output}");
    let end = "\nStatus: Downloaded newer image for [REGISTRY]/acme/web\n[REGISTRY]/acme/web\n";
    assert!(output.ends_with(end), "{output}");
    assert_eq!(scene.must(&["images", "-q"]).lines().count(), 2);
    assert_snapshot!(scene.docker(&["pull", "-a", "alpine:3.20"]), @r"
    exit 1
    [err]
    tag can't be used with --all-tags/-a
    ");
}

#[test]
fn unknown_tags_in_docker_s_words() {
    let (scene, server, _) = published();
    assert_snapshot!(scene.docker(&["pull", &server.name("acme/web:nope")]), @r"
    exit 1
    [err]
    Error response from daemon: manifest for [REGISTRY]/acme/web:nope not found: manifest unknown: manifest unknown
    ");
}

#[test]
fn a_failure_does_not_stop_the_next_image() {
    let (scene, server, _) = published();
    let output = scene.dhow(&["pull", "-q", &server.name("acme/web:nope"), "Alpine", &server.name("acme/web:v1")]);
    assert_snapshot!(output, @r"
    exit 1
    [out]
    [REGISTRY]/acme/web:v1
    [err]
    manifest for [REGISTRY]/acme/web:nope not found: manifest unknown: manifest unknown
    invalid reference format: repository name (library/Alpine) must be lowercase
    ");
}

#[test]
fn when_the_registry_is_asked() {
    let (scene, server, _) = published();
    let name = server.name("acme/web:v1");
    assert_snapshot!(scene.dhow(&["pull", "--policy", "never", &name]), @r"
    exit 1
    [err]
    No such image: [REGISTRY]/acme/web:v1
    ");
    scene.must(&["pull", "-q", "--policy", "missing", &name]);
    assert_snapshot!(scene.dhow(&["pull", "--policy", "newer", &name]), @r"
    exit 0
    [out]
    v1: Pulling from acme/web
    Digest: sha256:<manifest-a>
    Status: Image is up to date for [REGISTRY]/acme/web:v1
    [REGISTRY]/acme/web:v1
    ");
    server.stop();
    for policy in ["missing", "never"] {
        let kept = scene.dhow(&["pull", "--policy", policy, &name]);
        let expected = "Digest: sha256:<manifest-a>\nStatus: Image is up to date for [REGISTRY]/acme/web:v1\n\
                        [REGISTRY]/acme/web:v1\n";
        assert_eq!((kept.code, kept.stdout.as_str()), (0, expected), "{kept}");
    }
    let newer = scene.dhow(&["pull", "-q", "--policy", "newer", &name]);
    assert_eq!((newer.code, newer.stdout.as_str()), (0, "[REGISTRY]/acme/web:v1\n"), "{newer}");
    assert!(newer.stderr.ends_with("connect: connection refused; the image that is here is taken\n"), "{newer}");
    assert_eq!(scene.dhow(&["pull", "-q", &name]).code, 1);
    assert_snapshot!(scene.dhow(&["pull", "--policy", "sometimes", &name]), @r#"
    exit 1
    [err]
    unsupported pull policy "sometimes"
    "#);
}

#[test]
fn a_registry_that_is_not_there() {
    let scene = Scene::new();
    // Bound, but nobody listens: connections are refused, and no other program gets the port.
    let output = scene.docker(&["pull", "127.0.0.1:1/acme/web:v1"]);
    assert_eq!((output.code, output.stdout.as_str()), (1, ""), "{output}");
    assert!(output.stderr.starts_with("Error response from daemon: "), "{output}");
    assert!(output.stderr.contains("connection refused"), "{output}");
}

#[test]
fn names_that_are_none() {
    let scene = Scene::new();
    assert_snapshot!(scene.docker(&["pull", "alpine:!!"]), @r"
    exit 1
    [err]
    invalid reference format
    ");
    assert_snapshot!(scene.docker(&["pull", &"a".repeat(64)]), @r"
    exit 1
    [err]
    invalid repository name (aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa), cannot specify 64-byte hexadecimal strings
    ");
    assert_snapshot!(scene.docker(&["pull", ""]), @r"
    exit 1
    [err]
    invalid reference format
    ");
    assert_snapshot!(scene.docker(&["pull", "--platform", "foo", "alpine"]), @r#"
    exit 1
    [err]
    Error response from daemon: "foo": unknown operating system or architecture: invalid argument
    "#);
}

/// Docker asks for the config before it looks at any layer.
#[test]
fn nothing_is_said_of_the_layers_of_an_image_that_is_here() {
    let scene = Scene::new();
    let server = scene.serve();
    let names = [server.name("acme/web:v1"), server.name("acme/web:v2")];
    scene.load("a", &names[0]);
    for name in &names {
        scene.must(&["tag", &names[0], name]);
        scene.must(&["push", "-q", name]);
    }
    scene.must(&["rmi", &names[1]]);
    assert_snapshot!(scene.dhow(&["pull", &names[1]]), @"
    exit 0
    [out]
    v2: Pulling from acme/web
    Digest: sha256:<manifest-a>
    Status: Downloaded newer image for [REGISTRY]/acme/web:v2
    [REGISTRY]/acme/web:v2
    ");
    scene.load("b", &server.name("acme/other:v1"));
    scene.must(&["push", "-q", &server.name("acme/other:v1")]);
    scene.must(&["rmi", &server.name("acme/other:v1")]);
    let output = scene.must(&["pull", &server.name("acme/other:v1")]);
    assert!(output.contains("\nlower-------: Already exists\n"), "{output}");
    assert!(output.contains("\nupper-b-----: Pull complete\n"), "{output}");
}
