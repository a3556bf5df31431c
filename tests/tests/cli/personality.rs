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
    for name in ["nope", "Nope", "no pe", "nope@sha256:0"] {
        let inspected = scene.docker(&["inspect", name]);
        assert_eq!((inspected.code, inspected.stdout.as_str()), (1, "[]\n"), "{name}: {inspected}");
        assert_eq!(inspected.stderr, format!("Error: No such object: {name}\n"));
    }
    assert_snapshot!(scene.docker(&["inspect", ""]), @r"
    exit 1
    [out]
    []
    [err]
    invalid container name or ID: value is empty
    ");
    assert_snapshot!(scene.docker(&["image", "inspect", "Nope"]), @r"
    exit 1
    [out]
    []
    [err]
    Error response from daemon: invalid reference format: repository name (library/Nope) must be lowercase
    ");
}

#[test]
fn podman_says_error_and_exits_with_its_code() {
    let scene = Scene::new();
    for (arguments, expected) in [
        (&["images", "--nope"][..], "Error: unknown flag: --nope\nSee 'podman images --help'\n"),
        (
            &["frobnicate"],
            "Error: unrecognized command `podman frobnicate`\nTry 'podman --help' for more information\n",
        ),
        (&["images", "a", "b"], "Error: accepts at most 1 arg(s), received 2\n"),
    ] {
        let output = scene.podman(arguments);
        assert_eq!((output.code, output.stderr.as_str()), (125, expected), "{arguments:?}");
    }
}

#[test]
fn the_option_wins_over_the_variable_and_that_over_the_name() {
    let scene = Scene::new();
    let (docker, podman, dhow) = ("docker: unknown", "Error: unrecognized", "dhow: unknown");
    for (link, variable, option, expected) in [
        ("docker", None, None, docker),
        ("podman", None, None, podman),
        ("podman", Some("docker29"), None, docker),
        ("docker", Some("podman"), Some("dhow"), dhow),
        ("dhow", None, Some("docker29"), docker),
        ("dhow", Some("docker"), Some("podman"), podman),
    ] {
        let mut command = scene.command_as(link, &["frobnicate"]);
        variable.map(|value| command.env("DHOW_COMPAT", value));
        option.map(|value| command.args(["--compat", value]));
        let output = scene.run(&mut command);
        assert!(output.stderr.starts_with(expected), "{link} {variable:?} {option:?}: {output}");
    }
}

#[test]
fn unknown_personalities_are_refused() {
    let scene = Scene::new();
    assert_snapshot!(scene.dhow(&["--compat", "lxc", "images"]), @r###"
    exit 125
    [err]
    invalid argument "lxc" for "--compat" flag: must be "dhow", "docker", "docker29" or "podman"

    Usage:  dhow images [OPTIONS] [REPOSITORY[:TAG]]

    Run 'dhow images --help' for more information
    "###);
    let mut command = scene.command(&["images"]);
    assert_snapshot!(scene.run(command.env("DHOW_COMPAT", "lxc")), @r###"
    exit 125
    [err]
    invalid value "lxc" of DHOW_COMPAT: must be "dhow", "docker", "docker29" or "podman"
    "###);
}
