//! Arguments that cannot be understood, and help.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use dhow_tests::scene::Scene;
use insta::assert_snapshot;

#[test]
fn unknown_flags_exit_with_125() {
    let scene = Scene::new();
    assert_snapshot!(scene.docker(&["rmi", "--bogus", "x"]), @r"
    exit 125
    [err]
    unknown flag: --bogus

    Usage:  docker rmi [OPTIONS] IMAGE [IMAGE...]

    Run 'docker rmi --help' for more information
    ");
    assert_snapshot!(scene.docker(&["images", "-qz"]), @r"
    exit 125
    [err]
    unknown shorthand flag: 'z' in -z

    Usage:  docker images [OPTIONS] [REPOSITORY[:TAG]]

    Run 'docker images --help' for more information
    ");
    assert_snapshot!(scene.docker(&["--bogus", "images"]), @r"
    exit 125
    [err]
    unknown flag: --bogus

    Usage:  docker [OPTIONS] COMMAND [ARG...]

    Run 'docker --help' for more information
    ");
}

#[test]
fn flags_without_a_good_value_exit_with_125() {
    let scene = Scene::new();
    assert_snapshot!(scene.docker(&["images", "--filter", "foo"]), @r#"
    exit 125
    [err]
    invalid argument "foo" for "-f, --filter" flag: bad format of filter (expected name=value)

    Usage:  docker images [OPTIONS] [REPOSITORY[:TAG]]

    Run 'docker images --help' for more information
    "#);
    assert_snapshot!(scene.docker(&["image", "ls", "--quiet=perhaps"]), @r#"
    exit 125
    [err]
    invalid argument "perhaps" for "-q, --quiet" flag: strconv.ParseBool: parsing "perhaps": invalid syntax

    Usage:  docker image ls [OPTIONS] [REPOSITORY[:TAG]]

    Run 'docker image ls --help' for more information
    "#);
    assert_snapshot!(scene.docker(&["pull", "--platform"]), @r"
    exit 125
    [err]
    flag needs an argument: --platform

    Usage:  docker pull [OPTIONS] NAME[:TAG|@DIGEST] [NAME...]

    Run 'docker pull --help' for more information
    ");
    assert_snapshot!(scene.docker(&["save", "-o"]), @r"
    exit 125
    [err]
    flag needs an argument: 'o' in -o

    Usage:  docker save [OPTIONS] IMAGE [IMAGE...]

    Run 'docker save --help' for more information
    ");
}

#[test]
fn wrong_numbers_of_arguments_exit_with_1() {
    let scene = Scene::new();
    assert_snapshot!(scene.docker(&["tag", "alpine"]), @r"
    exit 1
    [err]
    docker: 'docker tag' requires 2 arguments

    Usage:  docker tag SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]

    Run 'docker tag --help' for more information
    ");
    assert_snapshot!(scene.docker(&["rmi"]), @r"
    exit 1
    [err]
    docker: 'docker rmi' requires at least 1 argument

    Usage:  docker rmi [OPTIONS] IMAGE [IMAGE...]

    See 'docker rmi --help' for more information
    ");
    assert_snapshot!(scene.dhow(&["image", "list", "a", "b"]), @r"
    exit 1
    [err]
    dhow: 'dhow image ls' requires at most 1 argument

    Usage:  dhow image ls [OPTIONS] [REPOSITORY[:TAG]]

    Run 'dhow image ls --help' for more information
    ");
    assert_snapshot!(scene.dhow(&["load", "x.tar"]), @r"
    exit 1
    [err]
    dhow: 'dhow load' accepts no arguments

    Usage:  dhow load [OPTIONS]

    Run 'dhow load --help' for more information
    ");
}

#[test]
fn unknown_commands_exit_with_1() {
    let scene = Scene::new();
    assert_snapshot!(scene.docker(&["foo"]), @r"
    exit 1
    [err]
    docker: unknown command: docker foo

    Run 'docker --help' for more information
    ");
    assert_snapshot!(scene.docker(&["image", "foo"]), @r"
    exit 1
    [err]
    docker: unknown command: docker image foo

    Usage:  docker image

    Run 'docker image --help' for more information
    ");
}

#[test]
fn help_is_in_docker_s_shape() {
    let scene = Scene::new();
    assert_snapshot!(scene.docker(&["image", "rm", "--help"]), @r#"
    exit 0
    [out]

    Usage:  docker image rm [OPTIONS] IMAGE [IMAGE...]

    Remove images

    Aliases:
      docker image rm, docker image remove, docker rmi

    Options:
      -a, --all                Remove all images, or with --filter those that fit
          --filter filter      Remove the images that fit, as "images --filter" shows them: "until=7d", "reference=PATTERN"
      -f, --force              Remove images with several names or stopped containers too; missing images are no failure
          --format string      Write results as JSON documents ("json"), or by a Go template over each of them
      -i, --ignore             Say nothing about missing images
          --no-prune           Accepted for old scripts; there are no untagged parents to keep
          --platform strings   Remove only these platforms of a multi-platform image; needs --force
    "#);
    assert_snapshot!(scene.dhow(&["system"]), @r"
    exit 0
    [err]
    Usage:  dhow system COMMAND

    Look after the local store

    Commands:
      check       Verify every blob and every name of the local store
      df          Show how much space images and everything else take
      info        Show what is known about this machine and the local store
      prune       Remove everything that nothing uses
      sync-view   Rewrite index.json, by which other OCI tools read the local store

    Run 'dhow system COMMAND --help' for more information on a command.
    ");
    for arguments in [&["-h"] as &[&str], &["--help"], &["help"]] {
        let help = scene.dhow(arguments);
        assert_eq!((help.code, help.stderr.as_str()), (0, ""), "{arguments:?}");
        assert!(help.stdout.starts_with("\nUsage:  dhow [OPTIONS] COMMAND\n"), "{}", help.stdout);
    }
    // Nobody asked for it.
    let help = scene.dhow(&[]);
    assert_eq!((help.code, help.stdout.as_str()), (0, ""));
    assert!(help.stderr.starts_with("Usage:  dhow [OPTIONS] COMMAND\n"), "{}", help.stderr);
    assert_eq!(scene.dhow(&["help", "image", "pull"]).stdout, scene.dhow(&["image", "pull", "-h"]).stdout);
    assert_snapshot!(scene.dhow(&["help", "nope"]), @r"
    exit 1
    [err]
    unknown help topic: nope
    ");
}

#[test]
fn global_options_stand_anywhere() {
    let scene = Scene::new();
    let other = scene.path("other-store");
    let other = other.to_str().expect("a path");
    for arguments in [["--root", other, "images"], ["images", "--root", other]] {
        assert_eq!(scene.dhow(&arguments).code, 0);
    }
    assert!(scene.path("other-store").exists());
    assert!(!scene.path("store").exists());
    assert_snapshot!(scene.dhow(&["--log-level", "loud", "images"]), @r"
    exit 1
    [err]
    Unable to parse logging level: loud
    ");
}

#[test]
fn a_store_whose_path_is_no_text_is_refused_by_every_verb() {
    let scene = Scene::new();
    let other = OsStr::from_bytes(b"st\xffre");
    for arguments in [&["images"][..], &["run", "box"], &["image", "mount"], &["version"]] {
        let said = scene.run(scene.command(arguments).env("DHOW_ROOT", other));
        assert!(said.code != 0 && said.stderr.contains("the path of the store is not UTF-8: \"st\\xFFre\""), "{said}");
    }
    assert!(!scene.path("").join(other).exists());
}

#[test]
fn docker_s_flags_about_its_daemon_count_where_they_name_another_machine() {
    let scene = Scene::new();
    scene.load("a", "acme/web:1");
    let here = ["-H", "unix:///var/run/docker.sock", "-c", "default", "--tlsverify", "-l", "error", "images", "-q"];
    assert_eq!(scene.docker(&here).stdout, "id-a--------\n");
    assert_snapshot!(scene.docker(&["--host", "tcp://10.0.0.1:2375", "images"]), @r#"
    exit 1
    [err]
    --host "tcp://10.0.0.1:2375" is not supported: dhow works on this machine and has no daemon to ask
    "#);
    assert_snapshot!(scene.docker(&["-c", "there", "images"]), @r#"
    exit 1
    [err]
    --context "there" is not supported: dhow works on this machine and has no daemon to ask
    "#);
    // Behind a command they are flags of that command, as with docker.
    assert_eq!(scene.docker(&["images", "-H", "unix:///x"]).code, 125);
}

#[test]
fn flags_are_read_as_docker_reads_them() {
    let scene = Scene::new();
    let table = scene.must(&["images"]);
    assert_eq!(scene.must(&["images", "--quiet=false", "--no-trunc=0"]), table);
    assert_eq!(scene.must(&["images", "-q", "-q"]), "");
    assert_eq!(scene.must(&["images", "-aq=true"]), "");
}

#[test]
fn help_and_version_open_no_store() {
    let scene = Scene::new();
    for arguments in [&["--version"] as &[&str], &["--help"], &["version"], &["pull", "--help"], &["pull"], &["foo"]] {
        scene.dhow(arguments);
    }
    assert!(!scene.path("store").exists());
    assert!(dhow_tests::scene::is_empty(&scene.path("home")));
}
