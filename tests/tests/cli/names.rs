//! Names that the configuration makes something of: short ones, mirrored ones, blocked ones.

use std::fs;
use std::process::{Command, Stdio};

use dhow_tests::scene::{Scene, Server};
use insta::assert_snapshot;

/// Two registries: `[FIRST]` is empty but for `other`, `[SECOND]` has `acme/web:v1` and `web:latest`.
fn two() -> (Scene, Server, Server) {
    let scene = Scene::new();
    let start = |folder: &str, name: &str| {
        let mut command = scene.command(&["serve", "--listen", "127.0.0.1:0", "--root-dir"]);
        let server = Server::start(command.arg(scene.path(folder)));
        scene.call(server.address(), name);
        server
    };
    let (first, second) = (start("one", "[FIRST]"), start("two", "[SECOND]"));
    scene.load("a", "docker.io/library/it:1");
    for name in [first.name("other:1"), second.name("acme/web:v1"), second.name("web")] {
        scene.must(&["tag", "it:1", &name]);
        scene.must(&["push", "-q", &name]);
    }
    scene.must(&["image", "prune", "-a", "-f"]);
    (scene, first, second)
}

fn registries(scene: &Scene, text: &str) {
    scene.system("etc/containers/registries.conf", text);
}

#[test]
fn short_names_are_looked_for_where_the_configuration_says() {
    let (scene, first, second) = two();
    registries(&scene, &format!("unqualified-search-registries = ['{}', '{}']\n", first.address(), second.address()));
    assert_snapshot!(scene.dhow(&["pull", "-q", "web"]), @r"
    exit 0
    [out]
    [SECOND]/web:latest
    ");
    assert_snapshot!(scene.dhow(&["pull", "nothing"]), @r#"
    exit 1
    [out]
    Using default tag: latest
    [err]
    Resolving "nothing" using unqualified-search registries ([FOLDER]/root/etc/containers/registries.conf)
    manifest for [FIRST]/nothing:latest not found: manifest unknown: manifest unknown
    manifest for [SECOND]/nothing:latest not found: manifest unknown: manifest unknown
    "#);
    registries(
        &scene,
        &format!(
            "short-name-mode = 'enforcing'\nunqualified-search-registries = ['{}', 'docker.io']\n",
            first.address()
        ),
    );
    assert_snapshot!(scene.dhow(&["pull", "web"]), @r#"
    exit 1
    [err]
    short-name "web": short-name resolution enforced but cannot prompt without a TTY
    "#);
}

#[test]
fn podman_looks_for_short_names_too() {
    let (scene, first, second) = two();
    registries(&scene, &format!("unqualified-search-registries = ['{}', '{}']\n", first.address(), second.address()));
    assert_snapshot!(scene.podman(&["pull", "web"]), @r#"
    exit 0
    [out]
    <id-a>
    [err]
    Resolving "web" using unqualified-search registries ([FOLDER]/root/etc/containers/registries.conf)
    Trying to pull [FIRST]/web:latest...
    Trying to pull [SECOND]/web:latest...
    Getting image source signatures
    Copying blob sha256:<lower>
    Copying blob sha256:<upper-a>
    Copying config sha256:<id-a>
    Writing manifest to image destination
    Storing signatures
    "#);
    // What is here already is asked for where it came from.
    assert!(scene.podman(&["pull", "web"]).stderr.starts_with("Trying to pull [SECOND]/web:latest...\nGetting "));
    assert_snapshot!(scene.podman(&["pull", "nothing"]), @r#"
    exit 125
    [err]
    Resolving "nothing" using unqualified-search registries ([FOLDER]/root/etc/containers/registries.conf)
    Trying to pull [FIRST]/nothing:latest...
    Trying to pull [SECOND]/nothing:latest...
    Error: 2 errors occurred while pulling:
     * initializing source docker://[FIRST]/nothing:latest: reading manifest latest in [FIRST]/nothing: manifest unknown: manifest unknown
     * initializing source docker://[SECOND]/nothing:latest: reading manifest latest in [SECOND]/nothing: manifest unknown: manifest unknown
    "#);
    registries(&scene, &format!("[aliases]\nshort = '{}'\n", second.name("acme/web")));
    assert_eq!(scene.podman(&["pull", "-q", "short:v1"]).to_string(), "exit 0\n[out]\n<id-a>\n");
    assert_snapshot!(scene.podman(&["pull", "nothing"]), @r#"
    exit 125
    [err]
    Error: short-name "nothing" did not resolve to an alias and no unqualified-search registries are defined
    "#);
}

/// A password goes to no other registry than podman would show it to.
#[test]
fn podman_s_login_without_a_registry() {
    let (scene, first, _second) = two();
    let login = ["login", "-u", "bob", "-p", "secret"];
    registries(&scene, &format!("unqualified-search-registries = ['{}', 'docker.io']\n", first.address()));
    assert_eq!(scene.podman(&login).to_string(), "exit 0\n[out]\nLogin Succeeded!\n");
    assert_eq!(scene.podman(&["login", "--get-login"]).to_string(), "exit 0\n[out]\nbob\n");
    assert_eq!(scene.podman(&["logout"]).to_string(), "exit 0\n[out]\nRemoved login credentials for [FIRST]\n");
    // Who says where docker's file is has logins there.
    let docker_s = |verb: &[&str]| scene.podman(&[&["--config", "conf"], verb].concat()).to_string();
    assert_eq!(docker_s(&login), "exit 0\n[out]\nLogin Succeeded!\n");
    let kept = fs::read_to_string(scene.path("conf/config.json")).expect("docker's file");
    assert!(kept.contains(&format!("\"{}\": {{", first.address())), "{kept}");
    assert_eq!(docker_s(&["logout"]), "exit 0\n[out]\nRemoved login credentials for [FIRST]\n");
    registries(&scene, "");
    let refused = "exit 125\n[err]\nError: no registries found in registries.conf, a registry must be provided\n";
    for words in [&login[..], &["login", "--get-login"], &["logout"]] {
        assert_eq!(scene.podman(words).to_string(), refused, "{words:?}");
    }
}

#[test]
fn aliases_of_the_user_and_of_packages() {
    let (scene, _, second) = two();
    let alias = format!("[aliases]\nweb = '{}'\n", second.name("acme/web"));
    registries(&scene, &alias);
    let output = scene.dhow(&["pull", "web:v1"]);
    assert_snapshot!(output.stderr, @r#"Resolved "web:v1" as an alias ([FOLDER]/root/etc/containers/registries.conf)"#);
    assert!(output.stdout.ends_with("\n[SECOND]/acme/web:v1\n"), "{output}");
    // What a package brings along is podman's: a script for docker means docker.io. No proxy, so that nothing is asked.
    registries(&scene, "");
    scene.system("etc/containers/registries.conf.d/shortnames.conf", &alias);
    let mut pull = scene.command(&["pull", "web:v1"]);
    let refused = scene.run(pull.env("HTTPS_PROXY", "http://127.0.0.1:1"));
    assert!(refused.stderr.contains("https://registry-1.docker.io/v2/"), "{refused}");
    let mut docker = scene.command_as("docker", &["pull", "web:v1"]);
    registries(&scene, &alias);
    let refused = scene.run(docker.env("HTTPS_PROXY", "http://127.0.0.1:1"));
    assert!(refused.stderr.contains("https://registry-1.docker.io/v2/"), "{refused}");
}

#[test]
fn a_person_is_asked_and_the_answer_remembered() {
    let (scene, first, second) = two();
    registries(&scene, &format!("unqualified-search-registries = ['{}', '{}']\n", first.address(), second.address()));
    let cache = scene.path("root/var/cache/containers/short-name-aliases.conf");
    let mut command = scene.command(&["pull", "-q", "web"]);
    let run = |answer: &str| {
        let words: Vec<String> = std::iter::once(command.get_program())
            .chain(command.get_args())
            .map(|word| word.to_string_lossy().into_owned())
            .collect();
        // util-linux's script gives the program a terminal.
        let mut script = Command::new("script");
        script.args(["-q", "-e", "-c", &words.join(" "), "/dev/null"]).env_clear().current_dir(scene.path(""));
        script
            .envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))))
            .env("XDG_CACHE_HOME", scene.path("root/var/cache"));
        script.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = script.spawn().expect("start script");
        std::io::Write::write_all(&mut child.stdin.take().expect("its input"), answer.as_bytes()).expect("an answer");
        scene.transcript(&child.wait_with_output().expect("its output"))
    };
    let asked = run("7\n2\n");
    assert!(asked.stdout.contains("Please select an image:\r\n  1) [FIRST]/web\r\n  2) [SECOND]/web\r\n"), "{asked}");
    assert!(asked.code == 0 && asked.stdout.ends_with("[SECOND]/web:latest\r\n"), "{asked}");
    let recorded = fs::read_to_string(&cache).expect("the recorded alias");
    assert_eq!(recorded, format!("[aliases]\nweb = \"{}\"\n", second.name("web")));
    command = scene.command(&["pull", "-q", "web"]);
    let again = scene.run(command.env("XDG_CACHE_HOME", scene.path("root/var/cache")));
    assert_eq!((again.code, again.stdout.as_str()), (0, "[SECOND]/web:latest\n"), "{again}");
}

#[test]
fn mirrors_give_what_the_registry_is_asked_for() {
    let (scene, first, second) = two();
    let mirrored = format!(
        "[[registry]]\nprefix = 'r.invalid'\nlocation = 'r.invalid'\n[[registry.mirror]]\nlocation = '{}'\n\
         [[registry.mirror]]\nlocation = '{}'\n",
        first.address(),
        second.address()
    );
    registries(&scene, &mirrored);
    let output = scene.dhow(&["pull", "r.invalid/acme/web:v1"]);
    assert!(output.code == 0 && output.stdout.ends_with("\nr.invalid/acme/web:v1\n"), "{output}");
    assert_snapshot!(scene.must(&["images", "--format", "{{.Repository}}:{{.Tag}}"]), @"r.invalid/acme/web:v1");
    let again = scene.must(&["pull", "r.invalid/acme/web:v1"]);
    assert!(again.contains("Status: Image is up to date for r.invalid/acme/web:v1\n"), "{again}");
    let list = scene.dhow(&["manifest", "inspect", "r.invalid/acme/web:v1"]);
    assert!(list.code == 0 && list.stdout.contains("schemaVersion"), "{list}");
    let docker = scene.docker(&["pull", "r.invalid/acme/web:v1"]);
    assert!(docker.code == 1 && docker.stderr.contains("r.invalid"), "docker knows no registries.conf: {docker}");
}

#[test]
fn blocked_and_broken() {
    let scene = Scene::new();
    registries(&scene, "[[registry]]\nlocation = 'bad.example'\nblocked = true\n");
    scene.load("a", "bad.example/x:1");
    assert_snapshot!(scene.dhow(&["pull", "bad.example/x:1"]), @r"
    exit 1
    [err]
    registry bad.example is blocked in [FOLDER]/root/etc/containers/registries.conf
    ");
    assert_snapshot!(scene.dhow(&["push", "-q", "bad.example/x:1"]), @r"
    exit 1
    [err]
    registry bad.example is blocked in [FOLDER]/root/etc/containers/registries.conf
    ");
    registries(&scene, "[[registry]]\nprefix = 'a.example'\n");
    assert_snapshot!(scene.dhow(&["pull", "bad.example/x:1"]), @r#"
    exit 1
    [err]
    registries configuration "[FOLDER]/root/etc/containers/registries.conf": invalid condition: location is unset and prefix is not in the format: *.example.com
    "#);
    registries(&scene, "");
    let mut pull = scene.command(&["pull", "bad.example/x:1"]);
    assert_snapshot!(scene.run(pull.env("HTTPS_PROXY", "ftp://bob:hunter2@p.example")), @r#"
    exit 1
    [err]
    HTTPS_PROXY: "ftp://p.example" is no address of a proxy: its scheme is unknown
    "#);
}

/// What `pull` takes a short name for, the other verbs find under it.
#[test]
fn every_verb_finds_what_a_short_name_was_pulled_as() {
    let (scene, first, second) = two();
    registries(&scene, &format!("[aliases]\nshort = '{}/acme/web'\n", second.address()));
    assert_eq!(scene.must(&["pull", "-q", "short:v1"]), "[SECOND]/acme/web:v1\n");
    assert_eq!(scene.must(&["inspect", "-f", "{{index .RepoTags 0}}", "short:v1"]), "[SECOND]/acme/web:v1\n");
    assert_eq!(scene.must(&["images", "--format", "{{.Repository}}:{{.Tag}}", "short"]), "[SECOND]/acme/web:v1\n");
    assert_eq!(scene.must(&["images", "--format", "{{.Repository}}:{{.Tag}}", "short:v1"]), "[SECOND]/acme/web:v1\n");
    assert_eq!(scene.must(&["images", "-q", "short:v2"]), "");
    scene.must(&["image", "exists", "short:v1"]);
    scene.must(&["history", "-q", "short:v1"]);
    scene.must(&["save", "-o", "short.tar", "short:v1"]);
    scene.must(&["save", "-o", "all.tar", "short"]);
    scene.must(&["copy", "-q", "short:v1", "dir:folder"]);
    assert_eq!(scene.must(&["push", "-q", "short:v1"]), "[SECOND]/acme/web:v1\n");
    scene.must(&["tag", "short:v1", &first.name("x:1")]);
    // Docker's name is found where the configured one is not here.
    scene.must(&["tag", "short:v1", "docker.io/library/short:old"]);
    assert_eq!(scene.must(&["inspect", "-f", "x", "short:old"]), "x\n");
    assert_eq!(
        scene.must(&["rmi", "short:v1"]),
        "Untagged: [SECOND]/acme/web:v1\nUntagged: [SECOND]/acme/web@sha256:<manifest-a>\n"
    );
    assert_snapshot!(scene.docker(&["inspect", "-f", "x", "short:v1"]), @r"
    exit 1
    [out]

    [err]
    Error: No such object: short:v1
    ");
    // A mistake in the configuration does not keep anybody from what is here.
    registries(&scene, "unqualified-search-registries = 5\n");
    let warned = scene.dhow(&["inspect", "-f", "x", "short:old"]);
    assert!(warned.code == 0 && warned.stderr.contains("is looked up without it"), "{warned}");
}
