//! `login`, `logout`

#![allow(clippy::disallowed_methods, reason = "reads scratch files")]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use dhow_testkit::registry::{Access, ScriptedRegistry};
use dhow_tests::scene::Scene;
use insta::assert_snapshot;

use super::nobody::Nobody;

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
    let file = fs::read(scene.path("docker-config/config.json")).expect("config.json");
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
    assert!(!output.stderr.contains("unencrypted"), "nothing was stored this time");
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
    Error: Cannot perform an interactive login from a non TTY device
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
    let file = fs::read_to_string(scene.path("docker-config/config.json")).expect("config.json");
    assert!(!file.contains("Ym9i"), "{file}");
    assert_snapshot!(scene.dhow(&["logout"]), @r"
    exit 0
    [out]
    Removing login credentials for https://index.docker.io/v1/
    ");
}

/// A registry that wants to see `bob` and `hunter2`.
fn protected(scene: &Scene) -> ScriptedRegistry {
    let registry = ScriptedRegistry::start();
    registry.put_image("acme/app", "v1", &[]);
    registry.set_access(Access::basic("bob", "hunter2"));
    scene.call(&registry.authority(), "[REGISTRY]");
    registry
}

/// What pulling its image takes; whether that works, and what is said if not.
fn pull(scene: &Scene, registry: &ScriptedRegistry, options: &[&str]) -> (i32, String) {
    let name = format!("{}/acme/app:v1", registry.authority());
    let output = scene.dhow(&[&["pull", "--quiet"], options, &[&name]].concat());
    (output.code, output.stderr)
}

#[test]
fn a_login_is_proven_before_it_is_stored() {
    let scene = Scene::new();
    let registry = protected(&scene);
    let address = registry.authority();
    assert_snapshot!(scene.fed(&["login", "-u", "bob", "--password-stdin", &address], b"wrong"), @r"
    exit 1
    [err]
    login attempt to http://[REGISTRY]/v2/ failed with status: 401 Unauthorized
    ");
    assert!(!scene.path("docker-config/config.json").exists());
    scene.configure(r#"{"auths":{"ADDRESS":{"auth":"Ym9iOndyb25n"}}}"#.replace("ADDRESS", &address).as_str());
    assert_snapshot!(scene.dhow(&["login", &address]), @r"
    exit 1
    [err]
    Authenticating with existing credentials... [Username: bob]

     Info -> To login with a different account, run 'dhow logout' followed by 'dhow login'


    Stored credentials invalid or expired
    Error: Cannot perform an interactive login from a non TTY device
    ");
}

#[test]
fn a_credential_helper_keeps_what_it_is_given() {
    let scene = Scene::new();
    let registry = protected(&scene);
    let helpers = scene.helpers(&["good"]);
    scene.configure(r#"{"psFormat":"x","credsStore":"good"}"#);
    let address = registry.authority();
    let login = ["login", "--verbose", "-u", "bob", "--password-stdin", &address];
    assert_snapshot!(scene.fed(&login, b"hunter2"), @r"
    exit 0
    [out]
    Used: docker-credential-good
    Login Succeeded
    ");
    assert_snapshot!(scene.shown(scene.configuration().as_bytes()), @r#"
    {
    	"psFormat": "x",
    	"credsStore": "good",
    	"auths": {
    		"[REGISTRY]": {}
    	}
    }
    "#);
    assert_eq!(helpers.log("good"), [format!("store {address}")]);
    assert_eq!(pull(&scene, &registry, &[]), (0, String::new()));
    assert_eq!(scene.must(&["login", "--get-login", &address]), "bob\n");
    assert_snapshot!(scene.dhow(&["logout", &address]), @r"
    exit 0
    [out]
    Removing login credentials for [REGISTRY]
    ");
    assert_eq!(pull(&scene, &registry, &[]).0, 1);
    assert_snapshot!(scene.dhow(&["login", "--get-login", &address]), @r"
    exit 1
    [err]
    Error: not logged into [REGISTRY]
    ");
}

/// What `gcloud auth configure-docker` and Amazon's helper have users write: no entries, and no login through docker.
#[test]
fn helpers_of_clouds_answer_for_their_registries() {
    let scene = Scene::new();
    let registry = protected(&scene);
    let (address, helpers) = (registry.authority(), scene.helpers(&["good", "other"]));
    for text in [
        r#"{"credHelpers":{"ADDRESS":"good"}}"#,
        r#"{"credHelpers":{"*.0.*.*:PORT":"good","gcr.io":"other"},"credsStore":"other"}"#,
        r#"{"credsStore":"good"}"#,
    ] {
        let port = address.rsplit(':').next().expect("a port");
        scene.configure(&text.replace("ADDRESS", &address).replace("PORT", port));
        scene.fed(&["login", "-u", "bob", "--password-stdin", &address], b"hunter2");
        let without_entries = scene.configuration().replace(&format!("\"{address}\": {{}}"), "");
        scene.configure(&without_entries);
        assert_eq!(pull(&scene, &registry, &[]), (0, String::new()), "{text}");
    }
    assert_eq!(helpers.log("other"), Vec::<String>::new(), "the others are not asked");
}

#[test]
fn helpers_that_fail_are_named() {
    let scene = Scene::new();
    let registry = protected(&scene);
    let address = registry.authority();
    scene.helpers(&["sad", "echo"]);
    scene.configure(r#"{"credsStore":"sad"}"#);
    let name = format!("{address}/acme/app:v1");
    assert_snapshot!(scene.dhow(&["pull", &name]), @r"
    exit 1
    [err]
    [REGISTRY]: error getting credentials - err: exit status 3, out: `the keychain is locked; no agent is running`
    ");
    assert_snapshot!(scene.dhow(&["logout", &address]), @r"
    exit 0
    [out]
    Removing login credentials for [REGISTRY]
    [err]
    WARNING: could not erase credentials:
    [REGISTRY]: error erasing credentials - err: exit status 3, out: `the keychain is locked; no agent is running`
    http://[REGISTRY]: error erasing credentials - err: exit status 3, out: `the keychain is locked; no agent is running`
    https://[REGISTRY]: error erasing credentials - err: exit status 3, out: `the keychain is locked; no agent is running`
    ");
    for (helper, why) in
        [("echo", "Error saving credentials: error storing credentials"), ("../bin/sad", "is not the name")]
    {
        scene.configure(&format!(r#"{{"credsStore":"{helper}"}}"#));
        let arguments = ["--log-level", "trace", "login", "-u", "bob", "--password-stdin", &address];
        let output = scene.fed(&arguments, b"hunter2");
        assert!(output.code == 1 && output.stderr.contains(why), "{output}");
        assert!(!output.stderr.contains("hunter2") && !output.stderr.contains("Ym9iOmh1bnRlcjI="), "{output}");
    }
}

#[test]
fn no_level_of_logging_shows_a_secret() {
    let scene = Scene::new();
    let registry = protected(&scene);
    let refresh_token = Some("sesame".to_owned());
    let (user, password) = ("bob".to_owned(), "hunter2".to_owned());
    registry.set_access(Access::Bearer { user, password, refresh_token, anonymous_pull: false, realm: None });
    let address = registry.authority();
    let name = format!("{address}/acme/app:v1");
    let given = format!(r#"{{"auths":{{"{address}":{{"auth":"Ym9iOmh1bnRlcjI="}}}}}}"#);
    let mut outputs = vec![scene.fed(&["-D", "login", "-u", "bob", "--password-stdin", &address], b"hunter2")];
    for level in ["trace", "debug", "info"] {
        outputs.push(scene.dhow(&["--log-level", level, "login", &address]));
        outputs.push(scene.dhow(&["--log-level", level, "pull", &name]));
        outputs.push(scene.dhow(&["--log-level", level, "pull", "--creds", "bob:hunter2", &name]));
        let mut command = scene.command(&["--log-level", level, "pull", &name]);
        outputs.push(scene.run(command.env("DOCKER_AUTH_CONFIG", &given)));
        outputs.push(scene.dhow(&["--log-level", level, "pull", "--creds", "bob:hunter2wrong", &name]));
    }
    for (number, output) in outputs.iter().enumerate() {
        assert_eq!(output.code, i32::from(number > 0 && number % 5 == 0), "{output}");
        for secret in ["hunter2", "sesame", "Ym9iOmh1bnRlcjI=", "-secret"] {
            assert!(!output.stdout.contains(secret) && !output.stderr.contains(secret), "{output}");
        }
    }
    assert!(outputs[1].stderr.contains("/token"), "requests are logged: {}", outputs[1]);
}

#[test]
fn a_refresh_token_is_kept_instead_of_the_password() {
    let scene = Scene::new();
    let registry = protected(&scene);
    let refresh_token = Some("sesame".to_owned());
    let (user, password) = ("bob".to_owned(), "hunter2".to_owned());
    registry.set_access(Access::Bearer { user, password, refresh_token, anonymous_pull: false, realm: None });
    let address = registry.authority();
    assert_snapshot!(scene.fed(&["login", "-u", "bob", "--password-stdin", &address], b"hunter2"), @r"
    exit 0
    [out]
    Login Succeeded
    ");
    assert_snapshot!(scene.shown(scene.configuration().as_bytes()), @r#"
    {
    	"auths": {
    		"[REGISTRY]": {
    			"auth": "Ym9iOg==",
    			"identitytoken": "sesame"
    		}
    	}
    }
    "#);
    assert_eq!(pull(&scene, &registry, &[]), (0, String::new()));
    let again = scene.dhow(&["login", &address]);
    assert!(again.code == 0 && again.stdout == "Login Succeeded\n", "{again}");
}

#[test]
fn a_file_of_one_s_own_is_the_only_one() {
    let scene = Scene::new();
    let registry = protected(&scene);
    let address = registry.authority();
    let path = scene.path("own/auth.json");
    let file = path.to_str().expect("a path");
    let space = format!("{address}/acme");
    let login = ["login", "--authfile", file, "-u", "bob", "--password-stdin", &space];
    assert_snapshot!(scene.fed(&login, b"hunter2"), @r"
    exit 0
    [out]
    Login Succeeded
    [err]

    WARNING! Your credentials are stored unencrypted in '[FOLDER]/own/auth.json'.
    Configure a credential helper to remove this warning. See
    https://docs.docker.com/go/credential-store/
    ");
    assert!(!scene.path("docker-config/config.json").exists());
    assert_eq!(pull(&scene, &registry, &["--authfile", file]), (0, String::new()));
    assert_eq!(pull(&scene, &registry, &[]).0, 1);
    let name = format!("{address}/acme/app:v1");
    let mut command = scene.command(&["pull", "--quiet", &name]);
    assert_eq!(scene.run(command.env("REGISTRY_AUTH_FILE", file)).code, 0);
    // Where podman has it, it is found without being named.
    fs::create_dir_all(scene.path("run/containers")).expect("a folder");
    fs::copy(&path, scene.path("run/containers/auth.json")).expect("a copy");
    assert_eq!(pull(&scene, &registry, &[]), (0, String::new()));
    assert_snapshot!(scene.dhow(&["logout", "--all", "--authfile", file]), @r"
    exit 0
    [out]
    Removed login credentials for all registries
    ");
    assert_eq!(pull(&scene, &registry, &["--authfile", file]).0, 1);
    fs::write(scene.path("run/containers/auth.json"), format!(r#"{{"auths":{{"{address}":{{}}}}}}"#)).expect("a file");
    assert_snapshot!(scene.dhow(&["logout", &address]), @r"
    exit 0
    [out]
    Removing login credentials for [REGISTRY]
    [err]
    WARNING: [FOLDER]/run/containers/auth.json still has credentials for [REGISTRY]
    ");
    assert_snapshot!(scene.dhow(&["logout", "--all", &address]), @r"
    exit 1
    [err]
    --all takes no server
    ");
}

#[test]
fn an_account_for_one_run() {
    let scene = Scene::new();
    let (registry, other) = (protected(&scene), protected(&scene));
    scene.call("[REGISTRY]", "[ONE]");
    assert_eq!(pull(&scene, &registry, &["--creds", "bob:hunter2"]), (0, String::new()));
    assert_eq!(pull(&scene, &registry, &[]).0, 1, "nothing was stored");
    let names = [&registry, &other].map(|registry| format!("{}/acme/app:v1", registry.authority()));
    let output = scene.dhow(&["pull", "--creds", "bob:hunter2", &names[0], &names[1]]);
    assert!(output.code == 1 && output.stderr.starts_with("--creds is for one registry"), "{output}");
    assert_eq!(other.requests().len(), 0);
    let (code, said) = pull(&scene, &registry, &["--creds", "bob"]);
    assert_eq!((code, said.as_str()), (1, "--creds has no password, and there is no terminal to ask for it\n"));
    let (code, said) = pull(&scene, &registry, &["--creds", ":hunter2"]);
    assert_eq!((code, said.as_str()), (1, "--creds needs a user name and a password: user:password\n"));
    let target = format!("{}/acme/copy:v1", registry.authority());
    scene.must(&["tag", &names[0], &target]);
    assert_eq!(scene.dhow(&["push", &target]).code, 1);
    scene.must(&["push", "--creds", "bob:hunter2", &target]);
}

#[test]
fn nobody_for_one_run() {
    let scene = Scene::new();
    let registry = protected(&scene);
    let address = registry.authority();
    scene.configure(&format!(r#"{{"auths":{{"{address}":{{"auth":"Ym9iOmh1bnRlcjI="}}}}}}"#));
    let source = format!("docker://{address}/acme/app:v1");
    let target = format!("oci:{}", scene.path("image").display());
    for refused in [
        vec!["pull", "--no-creds", &source["docker://".len()..]],
        vec!["tags", "--no-creds", &source["docker://".len()..source.len() - ":v1".len()]],
        vec!["copy", "--src-no-creds", &source, &target],
    ] {
        registry.clear_log();
        let output = scene.dhow(&refused);
        assert!(output.code == 1 && !output.stderr.is_empty(), "{refused:?}: {output}");
        let told = registry.requests().iter().filter(|request| request.header("authorization").is_some()).count();
        assert_eq!(told, 0, "{refused:?}: nobody is told who asks");
    }
    scene.must(&["copy", "--dest-no-creds", &source, &target]);
    let output = scene.dhow(&["pull", "--no-creds", "--creds", "bob:hunter2", &source["docker://".len()..]]);
    assert_eq!(output.stderr, "conflicting options: --creds and --no-creds exclude each other\n");
    let output = scene.dhow(&["copy", "--src-creds", "bob", &source, &target]);
    assert_eq!(output.stderr, "--src-creds has no password, and there is no terminal to ask for it\n");
}

#[test]
fn the_environment_comes_before_all_files() {
    let scene = Scene::new();
    let registry = protected(&scene);
    let address = registry.authority();
    let name = format!("{address}/acme/app:v1");
    scene.configure(&format!(r#"{{"auths":{{"{address}":{{"auth":"Ym9iOndyb25n"}}}}}}"#));
    let given = format!(r#"{{"auths":{{"{address}":{{"auth":"Ym9iOmh1bnRlcjI="}}}}}}"#);
    let mut command = scene.command(&["pull", "--quiet", &name]);
    assert_eq!(scene.run(command.env("DOCKER_AUTH_CONFIG", &given)).code, 0);
    let mut command = scene.command(&["logout", &address]);
    assert_snapshot!(scene.run(command.env("DOCKER_AUTH_CONFIG", &given)), @r"
    exit 0
    [out]
    Removing login credentials for [REGISTRY]
    [err]
    WARNING: DOCKER_AUTH_CONFIG is set and takes precedence.
    WARNING: DOCKER_AUTH_CONFIG still has credentials for [REGISTRY]
    ");
    let mut command = scene.command(&["pull", "--quiet", &name]);
    assert_snapshot!(scene.run(command.env("DOCKER_AUTH_CONFIG", "hunter2")), @r#"
    exit 1
    [err]
    cannot read "DOCKER_AUTH_CONFIG": not a JSON object (line 1, column 1)
    "#);
}

#[test]
fn a_directory_of_root_s_where_podman_s_file_would_be_is_no_news() {
    let Some(nobody) = Nobody::new() else { return };
    let directory = nobody.path("runtime/containers");
    fs::create_dir_all(&directory).expect("a directory");
    fs::write(directory.join("auth.json"), "{}").expect("a file");
    let allow = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).expect("a mode");
    allow(&directory.join("auth.json"), 0o600);
    let warns = || {
        let mut pull = nobody.command(&["pull", "127.0.0.1:1/x"]);
        let output = pull.env("XDG_RUNTIME_DIR", nobody.path("runtime")).output().expect("setpriv");
        String::from_utf8_lossy(&output.stderr).contains("auth.json\": permission denied; its credentials are not used")
    };
    allow(&directory, 0o755);
    assert!(warns(), "a file that is there");
    allow(&directory, 0o700);
    assert!(!warns());
}
