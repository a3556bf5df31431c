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
