//! `serve`

use dhow_tests::scene::{Scene, Server};
use insta::assert_snapshot;

#[test]
fn says_where_it_listens_and_ends_in_good_order() {
    let scene = Scene::new();
    let server = scene.serve();
    assert_snapshot!(scene.shown(server.greeting.as_bytes()), @"Listening on http://[REGISTRY]");
    assert_eq!(server.stop(), Some(0));
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
    assert!(denied.code == 1 && denied.stderr.contains("denied"), "{denied}");
    assert_eq!(server.stop(), Some(0));
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
