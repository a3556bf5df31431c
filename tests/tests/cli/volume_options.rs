//! What volumes are that were made with options of the driver: directories of the machine, memory, and directories of somebody.

#![allow(clippy::disallowed_methods, reason = "scratch files of the test itself")]

use std::fs;
use std::os::unix::fs::MetadataExt;

use super::run::{says, scene};

#[test]
fn a_volume_is_a_view_of_a_directory() {
    let Some(scene) = scene() else { return };
    let place = scene.path("place");
    fs::create_dir(&place).expect("a folder");
    let device = format!("device={}", place.display());
    let bind = ["volume", "create", "-o", "type=none", "-o", "o=bind", "-o", &device];
    assert_eq!(scene.must(&[&bind[..], &["view"]].concat()), "view\n");
    says(&scene, &["-v", "view:/bin"], "test -x /bin/sh; echo 1 > /bin/one", "");
    // It begins with what the image has there, as any volume does.
    assert!(place.join("sh").exists() && !scene.path("new").exists());
    assert_eq!(fs::read_to_string(place.join("one")).expect("the file"), "1\n");
    says(&scene, &["-v", "view:/v:ro"], "echo 2 > /v/one 2> /dev/null || cat /v/one", "1\n");
    let shown = scene.must(&["volume", "inspect", "-f", "{{.Options.o}} {{json .Options}}", "view"]);
    assert_eq!(shown, "bind {\"device\":\"[FOLDER]/place\",\"o\":\"bind\",\"type\":\"none\"}\n");
    scene.must(&["create", "--name", "still", "-v", "view:/v", "box"]);
    scene.must(&["cp", "still:/v/one", "copied"]);
    assert_eq!(fs::read_to_string(scene.path("copied")).expect("the file"), "1\n");
    scene.must(&["rm", "still"]);
    scene.must(&["volume", "rm", "view"]);
    assert!(place.join("one").exists());
    let long = format!("src=long,dst=/l,volume-opt=type=none,\"volume-opt=o=bind,ro\",volume-opt={device}");
    says(&scene, &["--mount", &long], "touch /l/two 2> /dev/null || cat /l/one", "1\n");
    fs::remove_dir_all(&place).expect("remove");
    let transcript = scene.dhow(&["run", "--rm", "-v", "long:/l", "box", "true"]);
    let words = "failed to mount local volume: mount ";
    assert!(transcript.code == 125 && transcript.stderr.contains(words), "{transcript}");
}

#[test]
fn a_volume_is_memory() {
    let Some(scene) = scene() else { return };
    let options = ["-o", "type=tmpfs", "-o", "device=tmpfs", "-o", "o=size=1m,mode=0700,noexec"];
    scene.must(&[&["volume", "create"][..], &options, &["memory"]].concat());
    let script = "grep ' /m ' /proc/mounts | cut -d' ' -f3; stat -c %a /m; ls /m | wc -l; echo 1 > /m/one; cat /m/one";
    says(&scene, &["-v", "memory:/m"], script, "tmpfs\n700\n0\n1\n");
    says(&scene, &["-v", "memory:/m"], "grep ' /m ' /proc/mounts | grep -c noexec; ls /m", "1\n");
    let shared = scene.dhow(&[
        "run",
        "--rm",
        "-v",
        "memory:/m",
        "--name",
        "first",
        "box",
        "sh",
        "-c",
        "cat /m/one 2> /dev/null; exit 3",
    ]);
    assert_eq!(shared.code, 3, "{shared}");
    let exported = scene.podman(&["volume", "export", "-o", "x.tar", "memory"]);
    let words = "volume memory is in memory, which only a container that runs has";
    assert!(exported.code == 125 && exported.stderr.contains(words), "{exported}");
}

#[test]
fn options_that_make_no_volume_are_refused() {
    let Some(scene) = scene() else { return };
    for (options, words) in [
        (&["-o", "odd=1"][..], "create vv: invalid option: \"odd\""),
        (&["-o", "type=tmpfs"], "create vv: missing required option: \"device\""),
        (&["-o", "size=1g"], "create vv: quota size requested but no quota support"),
        (
            &["-o", "type=nfs", "-o", "device=:/x", "-o", "o=addr=10.0.0.1"],
            "create vv: a volume of the type \"nfs\" is not supported",
        ),
    ] {
        let transcript = scene.dhow(&[&["volume", "create"], options, &["vv"]].concat());
        assert!(transcript.code == 1 && transcript.stderr.contains(words), "{transcript}");
    }
    let podman = scene.podman(&["volume", "create", "-o", "type=bind", "-o", "device=/not/here", "vv"]);
    let words =
        "Error: invalid volume option device for driver 'local': faccessat /not/here: no such file or directory\n";
    assert_eq!((podman.code, podman.stderr.as_str()), (125, words));
    assert_eq!(scene.must(&["volume", "ls", "-q"]), "");
}

#[test]
fn podman_s_volumes_have_owners() {
    let Some(scene) = scene() else { return };
    for (options, shown, told) in [
        (&["--uid", "5", "--gid", "6"][..], "5 6 {}", [5, 6]),
        (&["-o", "o=uid=7,gid=8"], "7 8 {\"GID\":\"8\",\"UID\":\"7\",\"o\":\"uid=7,gid=8\"}", [7, 8]),
    ] {
        let made = scene.podman(&[&["volume", "create"], options, &["owned"]].concat());
        assert_eq!(made.to_string(), "exit 0\n[out]\nowned\n");
        let inspected = scene.podman(&["volume", "inspect", "-f", "{{.UID}} {{.GID}} {{json .Options}}", "owned"]);
        assert_eq!(inspected.stdout, format!("{shown}\n"));
        let owner = || {
            let stat = fs::metadata(scene.path("store/volumes/owned/_data")).expect("the volume");
            [stat.uid(), stat.gid()]
        };
        assert_eq!(owner(), told);
        // The program's user does not get it.
        let run = scene.podman(&["run", "--rm", "-u", "9:9", "-v", "owned:/o", "box", "stat", "-c", "%u:%g", "/o"]);
        assert_eq!((run.code, run.stdout), (0, format!("{}:{}\n", told[0], told[1])), "{}", run.stderr);
        assert_eq!(owner(), told);
        let listed = scene.podman(&["volume", "ls", "-q", "--filter", "opt=UID"]);
        assert_eq!(listed.stdout.is_empty(), options.len() == 4, "{listed}");
        scene.podman(&["volume", "rm", "owned"]);
    }
}
