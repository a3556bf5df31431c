//! What only a link named `podman` does; `tests/parity/podman` compares the rest with the real one.

use dhow_tests::scene::Scene;
use insta::assert_snapshot;

#[test]
fn names_are_the_same_whoever_gave_them() {
    let scene = Scene::new();
    scene.load("a", "docker.io/library/web:1");
    assert_eq!(scene.podman(&["tag", "web:1", "mine"]).code, 0);
    assert_snapshot!(scene.podman(&["images", "--format", "{{.Repository}}:{{.Tag}}"]), @r"
    exit 0
    [out]
    docker.io/library/web:1
    localhost/mine:latest
    ");
    assert_snapshot!(scene.dhow(&["images", "--format", "{{.Repository}}:{{.Tag}}"]), @r"
    exit 0
    [out]
    web:1
    localhost/mine:latest
    ");
    for name in ["mine", "localhost/mine", "web:1", "docker.io/library/web:1", "library/web:1"] {
        assert_eq!(scene.podman(&["image", "exists", name]).code, 0, "{name}");
    }
    // Docker's names are Docker Hub's.
    assert_eq!(scene.dhow(&["image", "exists", "mine"]).code, 1);
}

#[test]
fn this_machine_s_names_come_before_docker_hub_s() {
    let scene = Scene::new();
    scene.load("a", "docker.io/library/web:1");
    scene.load("b", "localhost/web:1");
    let id = |output: String| output.trim().to_owned();
    let shown = scene.podman(&["inspect", "-f", "{{.Id}}", "web:1"]);
    assert_eq!(id(shown.stdout), "<id-b>");
    assert_eq!(id(scene.must(&["inspect", "-f", "{{.Id}}", "web:1"])), "sha256:<id-a>");
}

#[test]
fn archives_without_registries_are_this_machine_s() {
    let scene = Scene::new();
    scene.load("a", "docker.io/library/web:1");
    let saved = scene.podman(&["save", "-q", "-o", "full.tar", "docker.io/library/web:1"]);
    assert_eq!(saved.code, 0, "{saved}");
    assert_eq!(scene.podman(&["rmi", "-af"]).code, 0);
    assert_snapshot!(scene.podman(&["load", "-q", "-i", "full.tar"]), @r"
    exit 0
    [out]
    Loaded image: docker.io/library/web:1
    ");
}

#[test]
fn errors_keep_podman_s_codes() {
    let scene = Scene::new();
    let sample = scene.load("a", "localhost/web:1");
    scene.must(&["tag", "localhost/web:1", "localhost/web:2"]);
    assert_snapshot!(scene.podman(&["rmi", "nope"]), @r"
    exit 1
    [err]
    Error: nope: image not known
    ");
    assert_snapshot!(scene.podman(&["rmi", &sample.id[7..19]]), @r#"
    exit 125
    [err]
    Error: unable to delete image "<id-a>" by ID with more than one tag ([localhost/web:1 localhost/web:2]): please force removal
    "#);
    assert_snapshot!(scene.podman(&["images", "--sort", "nope"]), @r#"
    exit 125
    [err]
    Error: "nope" is not a valid field for sorting. Choose from: id, repository, size, tag, created
    "#);
}

#[test]
fn flags_about_other_machines_are_refused_and_those_about_storage_are_not() {
    let scene = Scene::new();
    for flag in [&["--remote"][..], &["-r"], &["--url=unix:///x"], &["--connection", "x"]] {
        let output = scene.podman(&[flag, &["images"]].concat());
        assert_eq!(output.code, 125, "{flag:?}: {output}");
        assert!(output.stderr.contains("is not supported: dhow works on this machine"), "{flag:?}: {output}");
    }
    let flags = ["--storage-driver", "vfs", "--runroot=/x", "--storage-opt", "a=b", "--cgroup-manager=cgroupfs"];
    assert_eq!(scene.podman(&[&flags[..], &["images", "-q"]].concat()).code, 0);
    assert_eq!(scene.docker(&["--runroot=/x", "images"]).code, 125);
}

#[test]
fn lists_go_by_their_names() {
    let scene = Scene::new();
    assert_snapshot!(scene.podman(&["manifest", "create", "list"]), @r"
    exit 0
    [out]
    localhost/list:latest
    ");
    assert_eq!(scene.podman(&["manifest", "exists", "localhost/list:latest"]).code, 0);
    assert_snapshot!(scene.podman(&["manifest", "rm", "list", "nope"]), @r"
    exit 1
    [out]
    Untagged: localhost/list:latest
    [err]
    Error: nope: image not known
    ");
}
