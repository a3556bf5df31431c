//! `serve`

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::thread::sleep;
use std::time::{Duration, Instant};

use dhow_testkit::images::sha256;
use dhow_testkit::registry::{Access, Route, ScriptedRegistry};
use dhow_tests::scene::{Scene, Server, Transcript};
use insta::assert_snapshot;

#[test]
fn says_where_it_listens_and_ends_in_good_order() {
    let scene = Scene::new();
    let server = scene.serve();
    assert_snapshot!(scene.shown(server.greeting.as_bytes()), @"Listening on http://[REGISTRY]");
    assert_eq!(server.stop(), Some(0));
}

/// A shell's limit of open files is not the machine's.
#[test]
fn more_connections_than_a_shell_hands_descriptors_down() {
    let scene = Scene::new();
    let inner = scene.command(&["serve", "--listen", "127.0.0.1:0", "--root-dir", "registry"]);
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "ulimit -Sn 64 && exec \"$0\" \"$@\""]).arg(inner.get_program()).args(inner.get_args());
    command.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.current_dir(inner.get_current_dir().unwrap_or(&scene.path(".")));
    let server = Server::start(&mut command);
    let connect = || TcpStream::connect(server.address()).expect("a connection");
    let idle: Vec<_> = std::iter::repeat_with(connect).take(100).collect();
    let mut stream = connect();
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a limit");
    stream.write_all(b"GET /v2/ HTTP/1.1\r\nHost: registry\r\n\r\n").expect("a request");
    let mut answer = [0; 15];
    stream.read_exact(&mut answer).expect("an answer");
    assert_eq!(String::from_utf8_lossy(&answer), "HTTP/1.1 200 OK");
    drop(idle);
}

#[test]
fn an_address_in_use_is_an_error() {
    let scene = Scene::new();
    let server = scene.serve();
    let second = scene.dhow(&["serve", "--listen", server.address(), "--root-dir", "second"]);
    assert_eq!((second.code, second.stdout.as_str()), (1, ""), "{second}");
    assert!(second.stderr.contains("[REGISTRY]"), "{second}");
}

#[test]
fn read_only_refuses_pushes() {
    let scene = Scene::new();
    scene.serve().stop();
    let arguments = ["serve", "--listen", "127.0.0.1:0", "--root-dir", "registry", "--read-only"];
    let server = Server::start(&mut scene.command(&arguments));
    let name = server.name("acme/web:v1");
    scene.load("a", &name);
    let pushed = scene.dhow(&["push", "-q", &name]);
    assert_eq!((pushed.code, pushed.stdout.as_str()), (1, ""), "{pushed}");
}

/// `hunter2`, for one account.
const ACCOUNTS: &str = "bob:$2y$05$abcdefghijklmnopqrstuuoXuKqgZXLiJqzfmMXDDhSFPIvxV7t8.\n";

#[allow(clippy::disallowed_methods, reason = "writes a scratch file")]
fn write(scene: &Scene, name: &str, text: &str) {
    std::fs::write(scene.path(name), text).expect("a scratch file");
}

#[test]
fn mistakes_in_the_configuration_are_named() {
    let scene = Scene::new();
    write(&scene, "serve.toml", "listen = \"127.0.0.1:0\"\n[acces]\nhtpasswd = \"accounts\"\n");
    let refused = scene.dhow(&["serve", "--config-file", "serve.toml"]);
    assert_eq!((refused.code, refused.stdout.as_str()), (1, ""), "{refused}");
    assert!(refused.stderr.contains("serve.toml") && refused.stderr.contains("unknown field `acces`"), "{refused}");
    for (arguments, named) in [
        (["--limit", "conections=1"], "there is no limit \"conections\""),
        (["--allow", "bob:push"], "invalid rule \"bob:push\""),
        (["--immutable-tags", "v1"], "invalid rule \"v1\""),
        (["--htpasswd", "nowhere"], "nowhere"),
        (["--tls-key", "key.pem"], "TLS needs both"),
        (["--read-only=perhaps", "--listen=127.0.0.1:0"], "perhaps"),
    ] {
        let refused = scene.dhow(&[&["serve", "--root-dir", "registry"][..], &arguments].concat());
        assert!(refused.code != 0 && refused.stderr.contains(named), "{arguments:?}: {refused}");
    }
}

#[test]
fn accounts_from_the_file_and_rules_from_the_environment() {
    let scene = Scene::new();
    write(&scene, "accounts", ACCOUNTS);
    write(&scene, "serve.toml", "listen = \"127.0.0.1:0\"\nroot-dir = \"registry\"\naccess.htpasswd = \"accounts\"\n");
    let mut command = scene.command(&["serve", "--config-file", "serve.toml"]);
    command.env("DHOW_SERVE_ALLOW", "bob:pull,push:team/** anonymous:pull:public/**");
    let server = Server::start(&mut command);
    let (ours, others) = (server.name("team/web:v1"), server.name("other/web:v1"));
    scene.load("a", &ours);
    scene.must(&["tag", &ours, &others]);
    let refused = scene.dhow(&["push", "-q", &ours]);
    assert_eq!(refused.code, 1, "{refused}");
    let wrong = scene.fed(&["login", "-u", "bob", "--password-stdin", server.address()], b"hunter3");
    assert_eq!(wrong.code, 1, "{wrong}");
    let right = scene.fed(&["login", "-u", "bob", "--password-stdin", server.address()], b"hunter2");
    assert_eq!(right.code, 0, "{right}");
    scene.must(&["push", "-q", &ours]);
    let denied = scene.dhow(&["push", "-q", &others]);
    assert_eq!((denied.code, denied.stderr.as_str()), (1, "denied: bob may not push to other/web\n"));
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn an_upload_under_way_outlives_sigterm_and_a_bad_file_is_told() {
    let scene = Scene::new();
    write(&scene, "serve.toml", "listen = \"127.0.0.1:0\"\nroot-dir = \"registry\"\n");
    let server = Server::start(&mut scene.command(&["serve", "--config-file", "serve.toml"]));
    let mut upload = TcpStream::connect(server.address()).expect("a connection");
    let path = format!("/v2/acme/web/blobs/uploads/?digest={}", sha256(b"one half, the other"));
    write!(upload, "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 19\r\n\r\none half,").expect("half of it");
    write(&scene, "serve.toml", "[access\n");
    let begun = Instant::now();
    while !server.told().contains("the old one stays") {
        assert!(begun.elapsed() < Duration::from_secs(60), "the file is not looked at: {}", server.told());
        sleep(Duration::from_millis(20));
    }
    server.terminate();
    let begun = Instant::now();
    while TcpStream::connect(server.address()).is_ok() {
        assert!(begun.elapsed() < Duration::from_secs(60), "new connections are taken");
        sleep(Duration::from_millis(20));
    }
    upload.write_all(b" the other").expect("the other half");
    let mut head = [0; 12];
    upload.read_exact(&mut head).expect("an answer");
    assert_eq!(std::str::from_utf8(&head), Ok("HTTP/1.1 201"));
    let (code, told) = server.ended();
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("serve.toml") && told.contains("the old one stays"), "{told}");
}

#[test]
fn an_object_store_takes_the_place_of_the_folder() {
    let scene = Scene::new();
    let server = Server::start(&mut scene.command(&["serve", "--listen", "127.0.0.1:0", "--storage", "memory://"]));
    let name = server.name("acme/web:v1");
    scene.load("a", &name);
    scene.must(&["push", "-q", &name]);
    scene.must(&["pull", "-q", &name]);
    assert_eq!(server.stop(), Some(0));
    write(&scene, "serve.toml", "storage = \"s3://bucket\"\n[object-store]\nendpiont = \"http://127.0.0.1:1\"\n");
    for (arguments, named) in [
        (&["serve", "--storage", "bucket"][..], "\"bucket\" names no storage"),
        (
            &["serve", "--storage", "s3://bucket", "--object-store", "hunter2"],
            "a setting of the object store has no name",
        ),
        (&["serve", "gc", "--storage", "s3://bucket", "--object-store", "endpiont=x"], "has no option \"endpiont\""),
        (&["serve", "--config-file", "serve.toml"], "has no option \"endpiont\""),
        (&["serve", "--config-file", "serve.toml", "--root-dir", "registry"], "cannot be both in"),
        (&["serve", "gc", "--storage", "memory://"], "there is no registry in \"memory://\""),
        (&["serve", "scrub", "--storage", "s3://"], "\"s3://\" names no storage"),
    ] {
        let refused = scene.dhow(arguments);
        assert!(refused.code == 1 && refused.stderr.contains(named), "{arguments:?}: {refused}");
    }
}

#[test]
fn collection_beside_the_server_and_scrub() {
    let scene = Scene::new();
    let server = scene.serve();
    let name = server.name("acme/web:v1");
    scene.load("a", &name);
    scene.must(&["push", "-q", &name]);
    let place = ["--root-dir", "registry"];
    let dry = scene.dhow(&[&["serve", "gc", "--dry-run", "--grace", "0s"][..], &place].concat());
    let expected = "Looked at 1 manifest in 1 repository\n\
                    Would remove 0 blobs from repositories, and 0 files of content (0B)\n";
    assert_eq!((dry.code, dry.stdout.as_str()), (0, expected), "{dry}");
    assert_eq!(scene.dhow(&["serve", "gc", "--grace", "soon", "--root-dir", "registry"]).code, 1);
    let nowhere = scene.dhow(&["serve", "gc", "--root-dir", "nowhere"]);
    assert!(nowhere.code == 1 && nowhere.stderr.contains("nowhere"), "{nowhere}");
    let scrubbed = scene.dhow(&[&["serve", "scrub"][..], &place].concat());
    assert!(scrubbed.code == 0 && scrubbed.stdout.starts_with("Checked 4 files ("), "{scrubbed}");
    assert!(scrubbed.stdout.ends_with("): no problems\n"), "{scrubbed}");
}

#[test]
fn read_only_on_nothing_says_so() {
    let scene = Scene::new();
    let serve = |folder: &str| scene.dhow(&["serve", "--listen", "127.0.0.1:0", "--read-only", "--root-dir", folder]);
    assert_snapshot!(serve("nowhere"), @r#"
    exit 1
    [err]
    there is no folder "nowhere" to serve read-only
    "#);
    std::fs::create_dir(scene.path("empty")).expect("a folder");
    let empty = serve("empty");
    assert!(empty.code == 1 && empty.stderr.contains("there is no registry in the folder \"empty\""), "{empty}");
}

/// Runs `dhow` on another store of the scene.
fn elsewhere(scene: &Scene, store: &str, arguments: &[&str]) -> Transcript {
    scene.run(scene.command(arguments).env("DHOW_ROOT", scene.path(store)))
}

#[test]
fn local_offers_what_is_here_and_takes_nothing() {
    let scene = Scene::new();
    scene.load("a", "alpine:3.20");
    scene.must(&["tag", "alpine:3.20", "registry.local:5000/team/app:1"]);
    let server = Server::start(&mut scene.command(&["serve", "--local", "--listen", "127.0.0.1:0"]));
    for name in ["library/alpine:3.20", "docker.io/library/alpine:3.20", "registry.local_5000/team/app:1"] {
        let pulled = elsewhere(&scene, "second", &["pull", "-q", &server.name(name)]);
        assert_eq!(pulled.code, 0, "{name}: {pulled}");
        let id = elsewhere(&scene, "second", &["inspect", "--format", "{{.Id}}", &server.name(name)]);
        assert_eq!(id.stdout.trim(), "sha256:<id-a>", "{name}");
    }
    let tags = scene.dhow(&["tags", &server.name("library/alpine")]);
    assert_eq!((tags.code, tags.stdout.as_str()), (0, "3.20\n"), "{tags}");
    // What comes and goes here counts at once.
    scene.must(&["tag", "alpine:3.20", "alpine:new"]);
    assert_eq!(elsewhere(&scene, "second", &["pull", "-q", &server.name("library/alpine:new")]).code, 0);
    scene.must(&["rmi", "alpine:new"]);
    assert_eq!(elsewhere(&scene, "second", &["pull", "-q", &server.name("library/alpine:new")]).code, 1);
    // A blob of one repository is not to be had through another that is here.
    let pushed = elsewhere(&scene, "second", &["push", "-q", &server.name("library/alpine:3.20")]);
    assert_eq!((pushed.code, pushed.stdout.as_str()), (1, ""), "{pushed}");
    for other in [["--root-dir", "registry"], ["--upstream", "hub=docker.io"]] {
        let both = scene.dhow(&[&["serve", "--local", "--listen", "127.0.0.1:0"][..], &other].concat());
        assert!(both.code == 1 && both.stderr.contains("cannot be used together"), "{both}");
    }
}

#[test]
fn an_index_in_part_is_offered_as_what_is_here() {
    let scene = Scene::new();
    let registry = ScriptedRegistry::start();
    let image = scene.image("a");
    let read = |digest: &str| std::fs::read(image.layout.path(digest)).expect("a blob");
    for digest in [&image.id, &image.lower, &image.upper] {
        registry.put_blob("acme/web", &read(digest));
    }
    let bytes = read(&image.manifest.digest);
    let manifest = registry.put_manifest("acme/web", "", &image.manifest.media_type, &bytes);
    let index = serde_json::json!({ "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [
        { "mediaType": image.manifest.media_type, "digest": manifest, "size": bytes.len(),
          "platform": { "os": "linux", "architecture": "amd64" } },
        { "mediaType": image.manifest.media_type, "digest": format!("sha256:{}", "0".repeat(64)), "size": 7,
          "platform": { "os": "linux", "architecture": "s390x" } } ] });
    registry.put_manifest("acme/web", "v1", "application/vnd.oci.image.index.v1+json", index.to_string().as_bytes());
    let name = format!("{}/acme/web:v1", registry.authority());
    scene.must(&["pull", "-q", "--platform", "linux/amd64", &name]);
    let server = Server::start(&mut scene.command(&["serve", "--local", "--listen", "127.0.0.1:0"]));
    let offered = server.name(&format!("{}/acme/web:v1", registry.authority().replace(':', "_")));
    let raw = elsewhere(&scene, "second", &["digest", &offered]);
    assert_eq!((raw.code, raw.stdout.trim()), (0, "sha256:<manifest-a>"), "{raw}");
}

#[test]
fn copies_come_once_with_our_own_credentials_and_outlive_the_origin() {
    let scene = Scene::new();
    let registry = ScriptedRegistry::start();
    let image = registry.put_image("acme/web", "v1", &[vec![7; 70_000], vec![8; 10]]);
    registry.set_access(Access::Bearer {
        user: "bob".to_owned(),
        password: "hunter2".to_owned(),
        refresh_token: None,
        anonymous_pull: false,
        realm: None,
    });
    let login = scene.fed(&["login", "-u", "bob", "--password-stdin", &registry.authority()], b"hunter2");
    assert_eq!(login.code, 0, "{login}");
    let upstream = format!("up={}", registry.authority());
    let mut command = scene.command(&["serve", "--listen", "127.0.0.1:0", "--root-dir", "registry"]);
    let server = Server::start(command.args(["--upstream", &upstream, "--cache-fresh-seconds", "0"]));
    // Whoever pulls has no credentials of its own.
    let pull = |store: &str, name: &str| {
        let mut command = scene.command(&["pull", "-q", "--stored", &server.name(name)]);
        scene.run(command.env("DHOW_ROOT", scene.path(store)).env("DOCKER_CONFIG", scene.path("nobody")))
    };
    registry.clear_log();
    for store in ["second", "third"] {
        let pulled = pull(store, "up/acme/web:v1");
        assert_eq!(pulled.code, 0, "{pulled}");
    }
    assert_eq!(registry.count("GET", Route::Manifest), 1, "{:?}", registry.lines());
    assert_eq!(registry.count("GET", Route::Blob), 1 + image.layers.len(), "{:?}", registry.lines());
    assert_eq!(pull("fourth", "up/acme/none:v1").code, 1);
    let pushed = scene.dhow(&["push", "-q", &server.name("up/acme/web:v1")]);
    assert_eq!(pushed.code, 1, "{pushed}");
    drop(registry);
    let stale = pull("fifth", "up/acme/web:v1");
    assert_eq!(stale.code, 0, "{stale}");
    assert_eq!(server.stop(), Some(0));
    for (arguments, named) in [
        (["--upstream", "hub"], "invalid upstream \"hub\""),
        (["--upstream", "hub=docker"], "\"docker\" is no registry"),
        (["--cache-bytes", "1000"], "cache has no upstreams"),
        (["--quota", "team:size=1"], "invalid quota \"team:size=1\""),
        (["--token-realm", "https://auth.example.org"], "access.token has no"),
        (["--challenge", "digest"], "invalid challenge \"digest\""),
        (["--challenge", "basic"], "access.htpasswd is not set"),
    ] {
        let refused = scene.dhow(&[&["serve", "--root-dir", "registry"][..], &arguments].concat());
        assert!(refused.code != 0 && refused.stderr.contains(named), "{arguments:?}: {refused}");
    }
}

/// Every flag has a row in the documentation, and the other way round.
#[test]
fn the_documentation_knows_every_flag() {
    let scene = Scene::new();
    let flags = |text: &str| -> BTreeSet<String> {
        let words = text.split(|character: char| !(character.is_ascii_lowercase() || character == '-'));
        words.filter(|word| word.starts_with("--") && word.len() > 3).map(str::to_owned).collect()
    };
    let help = scene.must(&["serve", "--help"]);
    let options = help.split_once("Options:").map(|(_, options)| options).expect("options");
    let first = |line: &str| flags(line.split_whitespace().next().unwrap_or_default());
    let declared: BTreeSet<String> = options.lines().flat_map(first).collect();
    let page = include_str!("../../../docs/serve/configuration.md");
    let rows: String = page.lines().filter(|line| line.starts_with("| `")).collect();
    let known = flags(&rows);
    let ours = |flag: &&String| !matches!(flag.as_str(), "--help" | "--format" | "--config-file");
    let declared: BTreeSet<&String> = declared.iter().filter(ours).collect();
    assert!(declared.len() > 20, "{declared:?}");
    assert_eq!(known.iter().collect::<BTreeSet<_>>(), declared);
}
