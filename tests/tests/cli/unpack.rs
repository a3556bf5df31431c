//! `unpack`

#![allow(clippy::disallowed_methods, reason = "scratch files of the test itself")]

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Command;

use dhow_testkit::images::{Compression, Format, Layer, Layout, Recipe};
use dhow_tests::scene::{Scene, Transcript};
use insta::assert_snapshot;

use crate::files::{Entry, load_layers, tar_of};

#[test]
fn files_appear_under_the_name_given() {
    let scene = Scene::new();
    scene.load("a", "docker.io/library/alpine:3.20");
    assert_snapshot!(scene.dhow(&["unpack", "alpine:3.20", "files"]), @"exit 0");
    assert_eq!(fs::read_to_string(scene.path("files/etc/salt")).expect("the file"), "a");
    assert_eq!(fs::metadata(scene.path("files")).expect("the directory").mode() & 0o7777, 0o755);
    assert_snapshot!(scene.dhow(&["unpack", "alpine:3.20", "files"]), @r#"
    exit 1
    [err]
    cannot unpack to "files": the directory is not empty
    "#);
    fs::write(scene.path("files/own"), "x").expect("a file");
    assert_snapshot!(scene.dhow(&["unpack", "--force", "alpine:3.20", "files/"]), @"exit 0");
    assert!(scene.path("files/etc/salt").exists() && !scene.path("files/own").exists());
    fs::create_dir(scene.path("empty")).expect("a folder");
    assert_snapshot!(scene.dhow(&["unpack", "--owners", "caller", "alpine:3.20", "empty"]), @"exit 0");
    assert!(scene.path("empty/etc/salt").exists());
    let left: Vec<_> =
        fs::read_dir(scene.path("")).expect("the folder").map(|entry| entry.expect("an entry").file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().contains("dhow-unpack")), "{left:?}");
}

/// Runs `dhow` under a limit that a shell sets.
pub(crate) fn limited(scene: &Scene, limit: &str, arguments: &[&str]) -> Transcript {
    let command = scene.command(arguments);
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", &format!("ulimit {limit}; exec \"$@\""), "sh"]);
    shell.arg(command.get_program()).args(command.get_args());
    shell.env_clear().envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    scene.run(shell.current_dir(scene.path("")))
}

/// A soft limit is for programs that know no more files than select(2) does.
#[test]
fn images_of_many_layers_need_no_higher_soft_limit() {
    let scene = Scene::new();
    let mut layout = Layout::create(&scene.path("layers")).expect("a layout");
    let layers: Vec<Layer> = (0..60)
        .map(|number| {
            let tar = tar_of(&[Entry::File(&format!("f{number}"), b"x")]);
            layout.layer(&*tar, Format::Oci, Compression::Gzip).expect("a layer")
        })
        .collect();
    let image = layout.image(&layers, &Recipe::default()).expect("an image");
    layout.name_images([(&image, "many")]).expect("names");
    for arguments in [
        &["copy", "oci:layers:many", "store:many"][..],
        &["unpack", "many", "files"],
        &["export", "-o", "files.tar", "many"],
    ] {
        let said = limited(&scene, "-S -n 48", arguments);
        assert_eq!(said.code, 0, "{arguments:?}: {said}");
    }
    assert!((0..60).all(|number| scene.path(&format!("files/f{number}")).is_file()));
}

/// However few files a process may have open.
#[test]
fn many_directories_files_and_layers_take_few_descriptors() {
    let scene = Scene::new();
    let mut archive = tar::Builder::new(Vec::new());
    for number in 0..400 {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(1);
        archive.append_data(&mut header, format!("d{number}/e/file"), &b"x"[..]).expect("append");
    }
    let mut layers = vec![archive.into_inner().expect("finish")];
    layers.extend((0..100).map(|number| tar_of(&[Entry::File(&format!("f{number}"), b"x")])));
    load_layers(&scene, "docker.io/library/many:latest", &layers);
    let command = scene.command(&["unpack", "many", "files"]);
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", "ulimit -n 64; exec \"$@\"", "sh"]).arg(command.get_program()).args(command.get_args());
    shell.env_clear().envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let said = scene.run(shell.current_dir(scene.path("")));
    assert_eq!(said.code, 0, "{said}");
    assert!((0..400).all(|number| scene.path(&format!("files/d{number}/e/file")).is_file()));
    assert!((0..100).all(|number| scene.path(&format!("files/f{number}")).is_file()));
}

#[test]
fn what_cannot_be_done_changes_nothing() {
    let scene = Scene::new();
    scene.load("a", "docker.io/library/alpine:3.20");
    assert_snapshot!(scene.dhow(&["unpack", "nope", "files"]), @r"
    exit 1
    [err]
    No such image: nope:latest
    ");
    fs::write(scene.path("file"), "x").expect("a file");
    assert_snapshot!(scene.dhow(&["unpack", "--force", "alpine:3.20", "file"]), @r#"
    exit 1
    [err]
    cannot unpack to "file": it exists and is no directory
    "#);
    assert_snapshot!(scene.dhow(&["unpack", "alpine:3.20", "."]), @r#"
    exit 1
    [err]
    cannot unpack to ".": a new directory takes the place, and needs a name
    "#);
    assert_snapshot!(scene.dhow(&["unpack", "alpine:3.20", "no/such/parent"]), @r#"
    exit 1
    [err]
    cannot unpack to "no/such/parent": no such file or directory
    "#);
    assert_snapshot!(scene.dhow(&["unpack", "--uid-map", "0:x", "alpine:3.20", "files"]), @r#"
    exit 1
    [err]
    invalid --uid-map "0:x": it is IMAGE:HOST[:COUNT], in numbers below 4294967295
    "#);
    assert_snapshot!(scene.dhow(&["unpack", "--gid-map", "0:4294967290:100", "alpine:3.20", "files"]), @r#"
    exit 1
    [err]
    invalid --gid-map "0:4294967290:100": it is IMAGE:HOST[:COUNT], in numbers below 4294967295
    "#);
    assert_snapshot!(scene.dhow(&["unpack", "--owners", "mine", "alpine:3.20", "files"]), @r#"
    exit 125
    [err]
    invalid argument "mine" for "--owners" flag: must be one of keep, caller, record

    Usage:  dhow unpack [OPTIONS] IMAGE DIRECTORY

    Run 'dhow unpack --help' for more information
    "#);
    assert_snapshot!(scene.dhow(&["unpack", "--platform", "linux/s390x", "alpine:3.20", "files"]), @r"
    exit 1
    [err]
    image with reference alpine:3.20 was found but does not provide the specified platform (linux/s390x)
    ");
    assert!(!scene.path("files").exists());
    assert_eq!(fs::read_to_string(scene.path("file")).expect("the file"), "x");
}

/// Whatever moment the run ends at, nothing has the name yet or everything is there, and the next run tidies up.
#[test]
fn a_run_that_dies_leaves_nothing_behind() {
    let scene = Scene::new();
    scene.load("a", "docker.io/library/alpine:3.20");
    let points = ["mkdir", "create", "write", "chown", "chmod", "utimes", "syncfs", "rename", "sync"];
    for point in points.map(|point| format!("beneath.{point}")) {
        for (action, skip) in [("abort", 0), ("nospace", 0), ("abort", 2), ("error", 1)] {
            let mut command = scene.command(&["unpack", "alpine:3.20", "files"]);
            let ran = scene.run(command.env("DHOW_FAULT", format!("{point}:{skip}={action}")));
            let is_there = scene.path("files").exists();
            assert!(!is_there || ran.code == 0 || point == "beneath.sync", "{point} {action}: {ran}");
            if is_there {
                assert!(scene.path("files/etc/salt").exists(), "{point} {action}: not whole");
            }
            assert_eq!(scene.dhow(&["unpack", "--force", "alpine:3.20", "files"]).code, 0, "{point} {action}");
            assert_eq!(fs::read_to_string(scene.path("files/etc/salt")).expect("the file"), "a");
            let folder = fs::read_dir(scene.path("")).expect("the folder");
            let left: Vec<_> = folder.map(|entry| entry.expect("an entry").file_name()).collect();
            assert!(
                !left.iter().any(|name| name.to_string_lossy().contains("dhow-unpack")),
                "{point} {action}: {left:?}"
            );
            fs::remove_dir_all(scene.path("files")).expect("removal");
        }
    }
    scene.must(&["system", "check"]);
}
