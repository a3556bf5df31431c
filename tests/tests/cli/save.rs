//! `save`

#![allow(clippy::disallowed_methods, reason = "reads scratch files")]

use std::os::unix::fs::PermissionsExt;

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

#[test]
fn a_platform_that_is_none_is_refused() {
    let scene = Scene::new();
    assert_snapshot!(scene.docker(&["save", "--platform", "foo", "-o", "x.tar", "nope"]), @r#"
    exit 1
    [err]
    Error response from daemon: "foo": unknown operating system or architecture: invalid argument
    "#);
}
