//! `save`

#![allow(clippy::disallowed_methods, reason = "reads scratch files")]

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use dhow_tests::scene::Scene;
use insta::assert_snapshot;

#[test]
fn a_file_and_standard_output_get_the_same_bytes() {
    let scene = Scene::new();
    scene.load("a", "docker.io/library/alpine:3.20");
    assert_snapshot!(scene.dhow(&["save", "alpine:3.20", "-o", "x.tar"]), @"exit 0");
    let file = scene.path("x.tar");
    assert_eq!(file.metadata().expect("the archive").permissions().mode() & 0o777, 0o600);
    let piped = scene.command(&["save", "alpine:3.20"]).output().expect("the archive").stdout;
    assert!(piped == std::fs::read(file).expect("the archive"), "the archives differ");
}

/// A pulled image is known by its digest in the repository, too: no name for an archive.
#[test]
fn a_repository_is_saved_by_its_tags() {
    let scene = Scene::new();
    let server = scene.serve();
    let name = server.name("acme/web");
    scene.load("a", &format!("{name}:1"));
    scene.must(&["push", "-q", &format!("{name}:1")]);
    scene.must(&["save", "-o", "web.tar", &name]);
    assert_snapshot!(scene.dhow(&["load", "-i", "web.tar"]), @r"
    exit 0
    [out]
    Loaded image: [REGISTRY]/acme/web:1
    ");
    let index = Command::new("tar").args(["-xOf", "web.tar", "index.json"]).current_dir(scene.path("")).output();
    let index = String::from_utf8(index.expect("tar").stdout).expect("text");
    assert_eq!(index.matches("io.containerd.image.name").count(), 1, "{index}");
}

#[test]
fn failures_leave_no_file() {
    let scene = Scene::new();
    assert_snapshot!(scene.docker(&["save", "-o", "x.tar", "nope"]), @r"
    exit 1
    [err]
    Error response from daemon: No such image: nope:latest
    ");
    assert!(!scene.path("x.tar").exists());
    assert_snapshot!(scene.docker(&["save", "-o", "/nonexistent/x.tar", "nope"]), @r"
    exit 1
    [err]
    failed to save image: invalid output path: stat /nonexistent: no such file or directory
    ");
    assert_snapshot!(scene.docker(&["save", "-o", "/tmp", "nope"]), @r"
    exit 1
    [err]
    failed to save image: cannot write to a directory
    ");
}

/// The archive is renamed to its name: as root, that would replace `/dev/null` for the whole machine.
#[test]
#[allow(clippy::disallowed_methods, reason = "scratch files")]
fn only_files_are_replaced() {
    let scene = Scene::new();
    scene.load("a", "docker.io/library/alpine:3.20");
    let (pipe, link) = (scene.path("pipe"), scene.path("link"));
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("mkfifo").success());
    std::os::unix::fs::symlink("/dev/null", &link).expect("a link");
    for (name, what) in [("pipe", "named pipe (FIFO)"), ("link", "symbolic link directly")] {
        let before = std::fs::symlink_metadata(scene.path(name)).expect("what is there").file_type();
        let saved = scene.docker(&["save", "-o", name, "alpine:3.20"]);
        assert_eq!(saved.stderr, format!("failed to save image: cannot write to a {what}\n"));
        assert_eq!(saved.code, 1, "{saved}");
        assert_eq!(std::fs::symlink_metadata(scene.path(name)).expect("it").file_type(), before);
    }
    std::fs::write(scene.path("old.tar"), "old").expect("a file");
    scene.must(&["save", "-o", "old.tar", "alpine:3.20"]);
}

#[test]
fn a_platform_that_is_none_is_refused() {
    let scene = Scene::new();
    assert_snapshot!(scene.docker(&["save", "--platform", "foo", "-o", "x.tar", "nope"]), @r#"
    exit 1
    [err]
    Error response from daemon: "foo": unknown operating system or architecture: invalid argument
    "#);
}
