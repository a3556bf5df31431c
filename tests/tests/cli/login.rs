//! `login`, `logout`

#![allow(clippy::disallowed_methods, reason = "reads scratch files")]

use dhow_tests::scene::Scene;
use insta::assert_snapshot;

#[test]
fn the_password_comes_from_standard_input() {
    let scene = Scene::new();
    let server = scene.serve();
    let output = scene.fed(&["login", "-u", "bob", "--password-stdin", server.address()], b"secret\n");
    assert_snapshot!(output, @r"
    exit 0
    [out]
    Login Succeeded
    [err]

    WARNING! Your credentials are stored unencrypted in '[FOLDER]/docker-config/config.json'.
    Configure a credential helper to remove this warning. See
    https://docs.docker.com/go/credential-store/
    ");
    assert!(output.stderr.ends_with("/credential-store/\n\n"));
    let file = std::fs::read(scene.path("docker-config/config.json")).expect("config.json");
    assert_snapshot!(scene.shown(&file), @r#"
    {
    	"auths": {
    		"[REGISTRY]": {
    			"auth": "Ym9iOnNlY3JldA=="
    		}
    	}
    }
    "#);
}

#[test]
fn stored_credentials_are_tried_first() {
    let scene = Scene::new();
    let server = scene.serve();
    scene.fed(&["login", "-u", "bob", "--password-stdin", server.address()], b"secret");
    let output = scene.docker(&["login", server.address()]);
    assert!(
        output.stderr.starts_with(
            "Authenticating with existing credentials... [Username: bob]\n\n \
         Info -> To login with a different account, run 'docker logout' followed by 'docker login'\n\n\n"
        ),
        "{output}"
    );
    assert_eq!((output.code, output.stdout.as_str()), (0, "Login Succeeded\n"));
}

#[test]
fn a_password_among_the_arguments_is_warned_of() {
    let scene = Scene::new();
    let server = scene.serve();
    assert_snapshot!(scene.dhow(&["login", "-u", "bob", "-p", "secret", server.address()]), @r"
    exit 0
    [out]
    Login Succeeded
    [err]
    WARNING! Using --password via the CLI is insecure. Use --password-stdin.

    WARNING! Your credentials are stored unencrypted in '[FOLDER]/docker-config/config.json'.
    Configure a credential helper to remove this warning. See
    https://docs.docker.com/go/credential-store/
    ");
}

#[test]
fn incomplete_credentials_are_refused() {
    let scene = Scene::new();
    assert_snapshot!(scene.dhow(&["login", "--password-stdin", "reg.invalid"]), @r"
    exit 1
    [err]
    the --password-stdin option requires --username to be set
    ");
    assert_snapshot!(scene.dhow(&["login", "-u", "bob", "--password", "x", "--password-stdin", "r"]), @r"
    exit 1
    [err]
    WARNING! Using --password via the CLI is insecure. Use --password-stdin.
    conflicting options: cannot specify both --password and --password-stdin
    ");
    assert_snapshot!(scene.dhow(&["login", "reg.invalid"]), @r"
    exit 1
    [err]
    Error: Cannot perform an interactive login from a non TTY device
    ");
    assert_snapshot!(scene.dhow(&["login", "-u", "", "reg.invalid"]), @r"
    exit 1
    [err]
    username is empty
    ");
    assert_snapshot!(scene.fed(&["login", "-u", "bob", "--password-stdin", "reg.invalid"], b"\n"), @r"
    exit 1
    [err]
    password is empty
    ");
}

#[test]
fn logout_forgets() {
    let scene = Scene::new();
    let server = scene.serve();
    scene.fed(&["login", "-u", "bob", "--password-stdin", server.address()], b"secret");
    assert_snapshot!(scene.dhow(&["logout", server.address()]), @r"
    exit 0
    [out]
    Removing login credentials for [REGISTRY]
    ");
    assert_eq!(scene.dhow(&["logout", server.address()]).code, 0, "nothing to forget is no failure");
    let file = std::fs::read_to_string(scene.path("docker-config/config.json")).expect("config.json");
    assert!(!file.contains("Ym9i"), "{file}");
    assert_snapshot!(scene.dhow(&["logout"]), @r"
    exit 0
    [out]
    Removing login credentials for https://index.docker.io/v1/
    ");
}

#[test]
fn credentials_that_are_not_read_are_told() {
    let scene = Scene::new();
    let mut command = scene.command(&["login", "reg.invalid"]);
    assert_snapshot!(scene.run(command.env("DOCKER_AUTH_CONFIG", "{}")), @r"
    exit 1
    [err]
    WARNING: DOCKER_AUTH_CONFIG is set, but dhow does not read it yet
    Error: Cannot perform an interactive login from a non TTY device
    ");
}
