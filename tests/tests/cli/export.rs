//! `export`

#![allow(clippy::disallowed_methods, reason = "scratch files of the test itself")]

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use dhow_tests::scene::Scene;
use insta::assert_snapshot;

#[test]
fn all_files_of_an_image_in_one_archive() {
    let scene = Scene::new();
    scene.load("a", "docker.io/library/alpine:3.20");
    assert_snapshot!(scene.dhow(&["export", "-o", "files.tar", "alpine:3.20"]), @"exit 0");
    let to_stdout = scene.command(&["export", "alpine:3.20"]).output().expect("dhow");
    assert!(to_stdout.status.success());
    assert!(fs::read(scene.path("files.tar")).expect("the archive") == to_stdout.stdout);
    let listed = Command::new("tar").arg("-xOf").arg(scene.path("files.tar")).arg("etc/salt").output().expect("tar");
    assert_eq!(String::from_utf8_lossy(&listed.stdout), "a");
    // What is exported can be imported, and is the same layer.
    let id = scene.must(&["import", "files.tar", "again"]);
    assert_snapshot!(scene.dhow(&["export", "-o", "again.tar", id.trim()]), @"exit 0");
    let (first, again) = (fs::read(scene.path("files.tar")), fs::read(scene.path("again.tar")));
    assert!(first.expect("an archive") == again.expect("an archive"));
    scene.must(&["system", "check"]);
}

#[test]
fn what_is_no_image_and_what_is_no_file() {
    let scene = Scene::new();
    assert_snapshot!(scene.docker(&["export", "nope"]), @r"
    exit 1
    [err]
    Error response from daemon: No such container: nope
    ");
    scene.load("a", "docker.io/library/alpine:3.20");
    fs::create_dir(scene.path("folder")).expect("a folder");
    assert_snapshot!(scene.dhow(&["export", "-o", "folder", "alpine:3.20"]), @r#"
    exit 1
    [err]
    failed to export container: cannot write to a directory
    "#);
    // A container's archive puts an end to no link or device either.
    scene.must(&["create", "--name", "made", "alpine:3.20", "true"]);
    symlink("nowhere", scene.path("link")).expect("a link");
    assert_snapshot!(scene.docker(&["export", "-o", "link", "made"]), @r"
    exit 1
    [err]
    failed to export container: cannot write to a symbolic link directly
    ");
    assert!(scene.path("link").is_symlink());
    assert_snapshot!(scene.docker(&["export", "-o", "no/file", "made"]), @r"
    exit 1
    [err]
    failed to export container: invalid output path: stat no: no such file or directory
    ");
}
