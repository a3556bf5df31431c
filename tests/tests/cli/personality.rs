//! What changes with the name of the program.

use dhow_tests::scene::Scene;
use insta::assert_snapshot;

#[test]
fn only_docker_speaks_of_a_daemon() {
    let scene = Scene::new();
    assert_snapshot!(scene.docker(&["rmi", "nope"]), @r"
    exit 1
    [err]
    Error response from daemon: No such image: nope:latest
    ");
    assert_snapshot!(scene.dhow(&["rmi", "nope"]), @r"
    exit 1
    [err]
    No such image: nope:latest
    ");
}

#[test]
fn docker_s_client_reports_without_the_daemon() {
    let scene = Scene::new();
    assert_snapshot!(scene.docker(&["pull", "Alpine"]), @r"
    exit 1
    [err]
    invalid reference format: repository name (library/Alpine) must be lowercase
    ");
    for name in ["nope", "Nope", "no pe", "nope@sha256:0", ""] {
        let inspected = scene.docker(&["inspect", name]);
        assert_eq!((inspected.code, inspected.stdout.as_str()), (1, "[]\n"), "{name}: {inspected}");
        assert_eq!(inspected.stderr, format!("Error: No such object: {name}\n"));
    }
    assert_snapshot!(scene.docker(&["image", "inspect", "Nope"]), @r"
    exit 1
    [out]
    []
    [err]
    Error response from daemon: invalid reference format: repository name (library/Nope) must be lowercase
    ");
}

#[test]
fn podman_s_habits_are_not_promised() {
    let scene = Scene::new();
    let output = scene.run(&mut scene.command_as("podman", &["images"]));
    assert_snapshot!(output, @r"
    exit 125
    [err]
    Error: dhow does not have podman's habits yet and was called by a link named podman: call it as dhow or through a link named docker
    ");
}
