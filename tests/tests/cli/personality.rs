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
    assert_snapshot!(scene.docker(&["inspect", "nope"]), @r"
    exit 1
    [out]
    []
    [err]
    Error: No such object: nope
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
