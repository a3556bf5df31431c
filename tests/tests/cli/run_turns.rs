//! Commands that come to one container, or to the store's containers, at the same time.

#![allow(clippy::disallowed_methods, reason = "scratch files of the test itself")]

use std::fs;
use std::io::Read;
use std::process::{Child, Stdio};
use std::thread::{scope, sleep};
use std::time::Duration;

use dhow_tests::scene::Scene;

use super::run::{import, scene};

/// Runs all of them at once; returns what those said that failed.
fn at_once(scene: &Scene, commands: &[&[&str]]) -> Vec<String> {
    let start = |arguments: &&[&str]| {
        let mut command = scene.command(arguments);
        (arguments.join(" "), command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("dhow"))
    };
    let children: Vec<_> = commands.iter().map(start).collect();
    let failure = |(words, child): (String, Child)| {
        let output = child.wait_with_output().expect("its end");
        (!output.status.success()).then(|| format!("{words}: {}", String::from_utf8_lossy(&output.stderr)))
    };
    children.into_iter().filter_map(failure).collect()
}

/// A command that has begun to write an archive, and writes on once it is read from.
fn begin_export(scene: &Scene, name: &str) -> Child {
    let mut child = scene.command(&["export", name]).stdout(Stdio::piped()).spawn().expect("dhow");
    child.stdout.as_mut().expect("its output").read_exact(&mut [0]).expect("the first byte");
    child
}

fn finish(mut child: Child) {
    let mut rest = child.stdout.take().expect("its output");
    std::io::copy(&mut rest, &mut std::io::sink()).expect("the rest");
    assert!(child.wait().expect("its end").success());
}

#[test]
fn who_comes_to_a_container_at_once_all_get_their_turn() {
    let Some(scene) = scene() else { return };
    import(&scene, "box", &[], &[]);
    for name in ["one", "two"] {
        scene.must(&["create", "--name", name, "box", "sh"]);
    }
    fs::write(scene.path("file"), "a file").expect("a file");
    let failed = at_once(
        &scene,
        &[
            &["cp", "-q", "one:/bin/busybox", "out-1"],
            &["cp", "-q", "one:/bin/busybox", "out-2"],
            &["cp", "-q", "file", "one:/in-1"],
            &["cp", "-q", "file", "one:/in-2"],
            &["export", "-o", "export-1", "one"],
            &["export", "-o", "export-2", "one"],
            &["commit", "one", "made:1"],
            &["commit", "one", "made:2"],
            &["mount", "two"],
            &["mount", "two"],
            &["cp", "-q", "one:/bin/busybox", "two:/from-one"],
            &["cp", "-q", "two:/bin/busybox", "one:/from-two"],
        ],
    );
    assert_eq!(failed, <[String; 0]>::default());
    assert_eq!(scene.must(&["diff", "one"]), "A /from-two\nA /in-1\nA /in-2\n");
    assert_eq!(scene.must(&["diff", "two"]), "A /from-one\n");
    assert_eq!(fs::read(scene.path("out-1")).expect("a copy"), fs::read(scene.path("out-2")).expect("a copy"));
    // With its mount, which nothing else ends.
    scene.must(&["rm", "two"]);
    let table = fs::read_to_string("/proc/self/mountinfo").expect("mounts");
    assert!(!table.contains(&*scene.path("store").to_string_lossy()), "a mount is left");
}

#[test]
fn who_comes_while_a_container_is_written_out_waits() {
    let Some(scene) = scene() else { return };
    import(&scene, "box", &[], &[]);
    scene.must(&["create", "--name", "one", "box", "true"]);
    for late in [&["cp", "-q", "one:/etc/passwd", "out"][..], &["start", "-a", "one"], &["rm", "one"]] {
        let export = begin_export(&scene, "one");
        let mut waiting = scene.command(late).spawn().expect("dhow");
        sleep(Duration::from_millis(100));
        assert_eq!(waiting.try_wait().expect("a state"), None, "{late:?} does not wait");
        finish(export);
        assert!(waiting.wait().expect("its end").success(), "{late:?}");
    }
}

/// A container that does not end is given up after ten seconds; one that somebody works in is not.
#[test]
fn who_forces_a_removal_waits_for_who_works_in_it() {
    let Some(scene) = scene() else { return };
    import(&scene, "box", &[], &[]);
    scene.must(&["create", "--name", "one", "box", "true"]);
    let export = begin_export(&scene, "one");
    let mut waiting = scene.command(&["rm", "-f", "one"]).spawn().expect("dhow");
    sleep(Duration::from_secs(11));
    assert_eq!(waiting.try_wait().expect("a state"), None, "it does not wait");
    finish(export);
    assert!(waiting.wait().expect("its end").success());
}

/// Who copies has left the machine's mounts once it looks into the first of two containers, and would not see that the other is mounted.
#[test]
fn a_container_may_be_mounted_while_a_copy_waits_for_it() {
    let Some(scene) = scene() else { return };
    import(&scene, "box", &[], &[]);
    let mut made = ["one", "two"].map(|name| (scene.must(&["create", "--name", name, "box", "true"]), name));
    made.sort();
    let [(_, first), (_, held)] = made;
    for round in 0..3 {
        let export = begin_export(&scene, held);
        let target = format!("{held}:/{round}");
        let source = format!("{first}:/bin/busybox");
        let words = ["cp", "-q", &source, &target];
        let copy = scene.command(&words).spawn().expect("dhow");
        sleep(Duration::from_millis(100));
        let mounts = [(); 4].map(|()| scene.command(&["mount", held]).stdout(Stdio::null()).spawn().expect("dhow"));
        sleep(Duration::from_millis(50));
        finish(export);
        for mut child in mounts.into_iter().chain([copy]) {
            assert!(child.wait().expect("its end").success(), "round {round}");
        }
        scene.must(&["umount", "-f", held]);
    }
    assert_eq!(scene.must(&["diff", held]), "A /0\nA /1\nA /2\n");
}

/// Who waits goes by what has become of the container meanwhile.
#[test]
fn who_has_waited_is_told_that_a_container_is_gone() {
    let Some(scene) = scene() else { return };
    import(&scene, "box", &[], &[]);
    scene.must(&["create", "--name", "one", "box", "true"]);
    let export = begin_export(&scene, "one");
    let waiting = ["1", "2"].map(|_| {
        let mut command = scene.command(&["rm", "one"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("dhow")
    });
    sleep(Duration::from_millis(100));
    finish(export);
    let mut said: Vec<_> = waiting
        .into_iter()
        .map(|child| {
            let output = child.wait_with_output().expect("its end");
            (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
        })
        .collect();
    said.sort();
    let gone = "No such container: one\n".to_owned();
    assert_eq!(said, [(Some(0), "one\n".to_owned()), (Some(1), gone)]);
    assert_eq!(fs::read_dir(scene.path("store/containers")).expect("containers").count(), 0);
}

/// Containers that somebody works in are left alone, and go the next time; who is mounted is not any more.
#[test]
fn prunes_wait_for_nobody_and_take_nothing_from_under_anyone() {
    let Some(scene) = scene() else { return };
    import(&scene, "box", &[], &[]);
    for prune in [&["container", "prune", "-f"][..], &["system", "prune", "-f"]] {
        scene.must(&["create", "--name", "one", "box", "true"]);
        scene.must(&["mount", "one"]);
        let export = begin_export(&scene, "one");
        scene.must(prune);
        assert_eq!(scene.must(&["ps", "-a", "--format", "{{.Names}}"]), "one\n", "{prune:?}");
        finish(export);
        scene.must(prune);
        assert_eq!(scene.must(&["ps", "-aq"]), "", "{prune:?}");
        let table = fs::read_to_string("/proc/self/mountinfo").expect("mounts");
        assert!(!table.contains(&*scene.path("store/mounts").to_string_lossy()), "{prune:?} leaves a mount");
        assert_eq!(fs::read_dir(scene.path("store/containers")).expect("containers").count(), 0, "{prune:?}");
    }
}

/// How often it is mounted is asked once it is one's turn.
#[test]
fn who_waits_to_unmount_takes_away_one_mount_alone() {
    let Some(scene) = scene() else { return };
    import(&scene, "box", &[], &[]);
    scene.must(&["create", "--name", "one", "box", "true"]);
    scene.must(&["mount", "one"]);
    for mounts in [3, 1] {
        (1..mounts).for_each(|_| drop(scene.must(&["mount", "one"])));
        let export = begin_export(&scene, "one");
        let waiting = [(); 2].map(|()| scene.command(&["umount", "one"]).stdout(Stdio::null()).spawn().expect("dhow"));
        sleep(Duration::from_millis(200));
        finish(export);
        for mut child in waiting {
            assert!(child.wait().expect("its end").success());
        }
        let table = fs::read_to_string("/proc/self/mountinfo").expect("mounts");
        assert_eq!(table.contains(&*scene.path("store/mounts").to_string_lossy()), mounts == 3);
    }
}

/// A container that is just being made has its volume, or the volume was gone before. Each writes a file of its own.
#[test]
fn volumes_are_not_removed_from_under_new_containers() {
    let Some(scene) = scene() else { return };
    import(&scene, "box", &[], &[]);
    scope(|scope| {
        let remove = || {
            (0..40).for_each(|_| drop(scene.dhow(&["volume", "rm", "shared"])));
            (0..20).for_each(|_| drop(scene.dhow(&["volume", "prune", "-a", "-f"])));
        };
        scope.spawn(remove);
        for _ in 0..3 {
            let run =
                ["run", "--rm", "-v", "shared:/v", "box", "sh", "-c", "echo x > /v/$HOSTNAME && cat /v/$HOSTNAME"];
            let scene = &scene;
            scope.spawn(move || (0..12).for_each(|_| assert_eq!(scene.must(&run), "x\n")));
        }
    });
}

#[test]
fn many_containers_are_made_at_once() {
    let Some(scene) = scene() else { return };
    import(&scene, "box", &[], &[]);
    scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| (0..15).for_each(|_| drop(scene.must(&["create", "box", "true"]))));
        }
    });
    assert_eq!(scene.must(&["ps", "-aq"]).lines().count(), 120);
    scene.must(&["container", "prune", "-f"]);
    assert_eq!(fs::read_dir(scene.path("store/containers")).expect("containers").count(), 0);
}
