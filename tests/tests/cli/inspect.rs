//! `inspect`, `image inspect`

use dhow_tests::scene::{Scene, mask};
use insta::assert_snapshot;

#[test]
fn an_image_in_docker_s_order() {
    let scene = Scene::new();
    scene.load("a", "docker.io/library/alpine:3.20");
    let output = scene.dhow(&["inspect", "alpine:3.20"]);
    assert_eq!((output.code, output.stderr.as_str()), (0, ""));
    assert_snapshot!(mask(&output.stdout, "LastTagTime"), @r#"
    [
        {
            "Id": "sha256:<id-a>",
            "RepoTags": [
                "alpine:3.20"
            ],
            "RepoDigests": [],
            "Parent": "",
            "Comment": "",
            "Created": "2200-01-01T00:00:00Z",
            "DockerVersion": "",
            "Author": "",
            "Config": {
                "WorkingDir": "/",
                "Entrypoint": []
            },
            "Architecture": "amd64",
            "Os": "linux",
            "Size": 4096,
            "GraphDriver": {
                "Data": null,
                "Name": "dhow"
            },
            "RootFS": {
                "Type": "layers",
                "Layers": [
                    "sha256:<lower>",
                    "sha256:<upper-a>"
                ]
            },
            "Metadata": {
                "LastTagTime": "[...]"
            }
        }
    ]
    "#);
}

#[test]
fn one_line_for_machines() {
    let scene = Scene::new();
    scene.load("a", "docker.io/library/alpine:3.20");
    let line = scene.must(&["image", "inspect", "--format", "json", "alpine:3.20", "alpine:3.20"]);
    assert_eq!(line.lines().count(), 1, "{line}");
    assert!(line.starts_with("[{\"Id\":\"sha256:<id-a>\",\"RepoTags\":[\"alpine:3.20\"]"), "{line}");
    assert_eq!(line.matches("\"Id\":").count(), 2, "{line}");
}

/// Podman's own error is the first one; the others come before it.
#[test]
fn podman_tells_of_all_that_is_missing() {
    let scene = Scene::new();
    let missing = |words: &[&str]| scene.podman(words).stderr;
    assert_snapshot!(missing(&["inspect", "a", "b", "c"]), @r#"
    error inspecting object: no such object: "b"
    error inspecting object: no such object: "c"
    Error: inspecting object: no such object: "a"
    "#);
    assert_snapshot!(missing(&["inspect", "--type", "container", "a", "b"]), @r"
    error inspecting object: no such container b
    Error: inspecting object: no such container a
    ");
    assert_snapshot!(missing(&["inspect", "--type", "network", "a", "b"]), @r"
    error inspecting object: network b: unable to find network with name or ID b: network not found
    Error: inspecting object: network a: unable to find network with name or ID a: network not found
    ");
}

#[test]
fn what_is_missing_follows_what_was_found() {
    let scene = Scene::new();
    scene.load("a", "docker.io/library/alpine:3.20");
    let output = scene.dhow(&["inspect", "nope", "alpine:3.20", "neither"]);
    assert!(output.stdout.contains("\"Id\": \"sha256:<id-a>\""), "{output}");
    assert_eq!(output.stderr, "Error: No such object: nope\nError: No such object: neither\n");
    assert_eq!(output.code, 1);
    assert_snapshot!(scene.docker(&["image", "inspect", "nope"]), @r"
    exit 1
    [out]
    []
    [err]
    Error response from daemon: No such image: nope:latest
    ");
    assert_snapshot!(scene.docker(&["inspect", "--type", "image", "nope"]), @r"
    exit 1
    [out]
    []
    [err]
    Error response from daemon: No such image: nope:latest
    ");
}

#[test]
fn what_is_not_there_yet_is_named() {
    let scene = Scene::new();
    assert_snapshot!(scene.dhow(&["inspect", "--type", "volume", "x"]), @"
    exit 1
    [out]
    []
    [err]
    get x: no such volume
    ");
}
