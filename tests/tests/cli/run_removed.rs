//! Containers that end, or are removed, while others read them.

#![allow(clippy::disallowed_methods, reason = "scratch files of the test itself")]

use std::fs;
use std::io::Read;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::Duration;

use dhow_base::fs::{FileLock, LockMode};
use dhow_tests::scene::{Scene, signal};

use super::run::{is_running, scene, wait};

/// A container that runs until somebody ends it, and has made what the script says.
fn begin(scene: &Scene, name: &str, script: &str) -> Child {
    let script = format!("{script}; touch /ready; while :; do sleep 0.1; done");
    let mut command = scene.command(&["run", "--name", name, "box", "sh", "-c", &script]);
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("start dhow");
    wait("it runs", || is_running(scene, name) && scene.must(&["diff", name]).contains("A /ready\n"));
    child
}

fn start(scene: &Scene, arguments: &[&str]) -> Child {
    let mut command = scene.command(arguments);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("start dhow")
}

/// Code and complaint.
fn said(output: &Output) -> (Option<i32>, String) {
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn gone(name: &str) -> (Option<i32>, String) {
    (Some(1), format!("No such container: {name}\n"))
}

/// Who is about to have it stand still takes it as it is by then.
#[test]
fn a_container_that_ends_before_it_is_committed_is_committed_all_the_same() {
    let Some(scene) = scene() else { return };
    for removed in [false, true] {
        let child = begin(&scene, "work", "echo made > /made");
        let id = scene.must(&["ps", "-q", "--no-trunc"]);
        let pause = scene.path("store/containers").join(id.trim()).join("pause");
        let lock = FileLock::try_acquire(&pause, LockMode::Exclusive).expect("a lock").expect("a lock that is free");
        let commit = start(&scene, &["commit", "work", "made"]);
        // Until it waits for that lock, or a little longer.
        sleep(Duration::from_millis(300));
        if removed {
            scene.must(&["rm", "-f", "work"]);
        } else {
            signal(&child, "KILL");
            wait("it has ended", || !is_running(&scene, "work"));
        }
        child.wait_with_output().expect("its end");
        drop(lock);
        let output = commit.wait_with_output().expect("its end");
        if removed {
            assert_eq!(said(&output), gone("work"));
        } else {
            assert_eq!(said(&output), (Some(0), String::new()));
            assert_eq!(scene.must(&["run", "--rm", "made", "cat", "/made"]), "made\n");
            scene.must(&["rm", "work"]);
        }
    }
}

/// What is read while it goes is an image of all of it, or none.
#[test]
fn a_container_that_is_removed_makes_no_half_of_an_image() {
    let Some(scene) = scene() else { return };
    let script = "mkdir /many; i=0; while test $i -lt 2000; do i=$((i+1)); echo $i > /many/$i; done";
    for round in 0..6 {
        let child = begin(&scene, "work", script);
        let commit = start(&scene, &["commit", "work", "made"]);
        sleep(Duration::from_millis(30 + 10 * round));
        scene.must(&["rm", "-f", "work"]);
        child.wait_with_output().expect("its end");
        let output = commit.wait_with_output().expect("its end");
        if output.status.success() {
            assert_eq!(scene.must(&["run", "--rm", "made", "sh", "-c", "ls /many | wc -l"]), "2000\n", "{round}");
        } else {
            assert_eq!(said(&output), gone("work"), "{round}");
        }
    }
}

/// What is read of one that is removed meanwhile is not all of it, and is told so.
#[test]
fn a_container_that_is_removed_while_it_is_written_out_is_told() {
    let Some(scene) = scene() else { return };
    let script = "mkdir /zzz; for name in a b c d; do cp /bin/busybox /zzz/$name; done; echo last > /zzz/last";
    for words in [&["export", "work"][..], &["cp", "work:/zzz", "-"]] {
        let child = begin(&scene, "work", script);
        let mut export = start(&scene, words);
        let mut output = export.stdout.take().expect("its output");
        output.read_exact(&mut [0]).expect("the first byte");
        scene.must(&["rm", "-f", "work"]);
        child.wait_with_output().expect("its end");
        std::io::copy(&mut output, &mut std::io::sink()).expect("the rest");
        let (code, complaint) = said(&export.wait_with_output().expect("its end"));
        assert!(code == Some(1) && complaint.contains("No such container: work\n"), "{words:?}: {complaint}");
    }
    // One that only ends has all its files still.
    let child = begin(&scene, "work", script);
    let mut export = start(&scene, &["export", "work"]);
    let mut output = export.stdout.take().expect("its output");
    let mut archive = vec![0];
    output.read_exact(&mut archive).expect("the first byte");
    signal(&child, "KILL");
    child.wait_with_output().expect("its end");
    output.read_to_end(&mut archive).expect("the rest");
    assert_eq!(said(&export.wait_with_output().expect("its end")), (Some(0), String::new()));
    let mut names = tar::Archive::new(&archive[..]);
    let names: Vec<String> = names
        .entries()
        .expect("entries")
        .map(|entry| entry.expect("an entry").path().expect("a name").to_string_lossy().into_owned())
        .collect();
    assert!(names.iter().any(|name| name == "zzz/last"), "{names:?}");
    assert_eq!(fs::read_dir(scene.path("store/containers")).expect("containers").count(), 1);
}

/// Whether a process runs: not once it has ended, whoever has waited for it.
fn runs(process: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().is_some_and(|state| state.starts_with(['R', 'S', 'D', 'T']))
}

/// A process that became another user is not killed with its watcher. Whoever finds it ends it, and then it has no more files.
#[test]
fn what_a_watcher_left_has_ended_once_it_is_told_so() {
    let Some(scene) = scene() else { return };
    let script = "touch /ready; exec su bob -c 'while :; do echo x >> /tmp/x; done'";
    for command in [&["ps", "-a"][..], &["rm", "-f", "work"]] {
        let mut command_of_run = scene.command(&["run", "--name", "work", "box", "sh", "-c", script]);
        let mut child = command_of_run.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("start dhow");
        wait("it is another user", || {
            is_running(&scene, "work") && scene.must(&["diff", "work"]).contains("A /tmp/x\n")
        });
        let process = scene.must(&["inspect", "--format", "{{.State.Pid}}", "work"]);
        child.kill().expect("kill the watcher");
        child.wait().expect("its end");
        assert!(runs(process.trim()), "it ended with its watcher: this test shows nothing");
        scene.must(command);
        assert!(!runs(process.trim()), "{command:?}");
        scene.must(&["rm", "-f", "work"]);
    }
}

/// A place that cannot be removed, by whomever, as long as this lives.
struct Obstacle(PathBuf);

impl Obstacle {
    fn new(directory: PathBuf) -> Self {
        fs::create_dir_all(&directory).expect("a folder");
        let status = Command::new("mount").args(["-t", "tmpfs", "none"]).arg(&directory).status();
        assert!(status.expect("mount").success());
        Self(directory)
    }

    fn in_container(scene: &Scene, name: &str) -> Self {
        let id = scene.must(&["ps", "-aq", "--no-trunc", "--filter", &format!("name={name}")]);
        Self::new(scene.path("store/containers").join(id.trim()).join("upper/obstacle"))
    }
}

impl Drop for Obstacle {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

fn left(scene: &Scene, part: &str) -> usize {
    fs::read_dir(scene.path("store").join(part)).expect("a part of the store").count()
}

/// Who has something else to do says that something is left, and goes on.
#[test]
fn what_cannot_be_removed_is_in_nobody_s_way() {
    let Some(scene) = scene() else { return };
    scene.must(&["create", "--name", "one", "box"]);
    let obstacle = Obstacle::in_container(&scene, "one");
    let failed = scene.dhow(&["rm", "one"]);
    assert!(failed.code == 1 && failed.stderr.contains("cannot remove \""), "{failed}");
    let volume = Obstacle::new(scene.path("store/volumes/unknown/_data"));
    let ran = scene.dhow(&["run", "--rm", "box", "echo", "done"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "done\n"), "{ran}");
    assert_eq!(ran.stderr.matches("WARNING: files of a container or volume that is gone are left").count(), 2, "{ran}");
    drop((obstacle, volume));
    scene.must(&["run", "--rm", "box", "true"]);
    assert_eq!((left(&scene, "containers"), left(&scene, "volumes")), (0, 0));
    // Nor is one that was to go when it ended.
    let mut command = scene.command(&["run", "--rm", "--name", "two", "box", "sleep", "1000"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("start dhow");
    wait("it runs", || is_running(&scene, "two"));
    let obstacle = Obstacle::in_container(&scene, "two");
    child.kill().expect("kill the watcher");
    child.wait().expect("its end");
    let listed = scene.dhow(&["ps", "-aq"]);
    assert_eq!((listed.code, listed.stdout.as_str()), (0, ""), "{listed}");
    assert!(
        listed.stderr.contains("WARNING: a container that was to be removed when it ends is not all gone"),
        "{listed}"
    );
    drop(obstacle);
    scene.must(&["create", "box"]);
    assert_eq!(left(&scene, "containers"), 1);
}

/// A prune goes on with what can be removed, lists that, and fails in the end.
#[test]
fn prunes_go_on_where_something_cannot_be_removed() {
    let Some(scene) = scene() else { return };
    for prune in [&["container", "prune", "-f"][..], &["system", "prune", "-f"]] {
        let ids = ["one", "two", "three"].map(|name| {
            scene.must(&["create", "--name", name, "box"]);
            scene.must(&["ps", "-aq", "--no-trunc", "--filter", &format!("name={name}")])
        });
        let obstacle = Obstacle::in_container(&scene, "two");
        let pruned = scene.dhow(prune);
        assert!(pruned.code == 1 && pruned.stdout.contains("Total reclaimed space: "), "{pruned}");
        for id in [&ids[0], &ids[2]] {
            assert!(pruned.stdout.contains(id.trim()), "{pruned}");
        }
        assert!(pruned.stderr.contains("cannot remove \"") && pruned.stderr.contains(ids[1].trim()), "{pruned}");
        assert_eq!((scene.must(&["ps", "-aq"]), left(&scene, "containers")), (String::new(), 1), "{prune:?}");
        drop(obstacle);
        scene.must(&["run", "--rm", "box", "true"]);
    }
}

/// As with docker: what a container stands on is not anybody else's to take away.
#[test]
fn a_container_outlives_its_image() {
    let Some(scene) = scene() else { return };
    assert_eq!(scene.dhow(&["run", "--name", "work", "box", "sh", "-c", "echo made > /made"]).code, 0);
    let id = scene.must(&["inspect", "-f", "{{.Image}}", "work"]);
    let removed = scene.must(&["rmi", "-f", "box"]);
    assert_eq!(removed.lines().count(), 2, "{removed}");
    assert_eq!(scene.must(&["images", "-aq"]), "");
    assert_eq!(scene.must(&["ps", "-a", "--no-trunc", "--format", "{{.Image}}"]), id);
    scene.must(&["image", "prune", "-af"]);
    assert_eq!(scene.must(&["diff", "work"]), "A /made\n");
    assert_eq!(scene.must(&["start", "-a", "work"]), "");
    scene.must(&["cp", "work:/bin/sh", "sh"]);
    scene.must(&["export", "-o", "whole.tar", "work"]);
    scene.must(&["commit", "work", "again"]);
    assert_eq!(scene.must(&["run", "--rm", "again", "cat", "/made"]), "made\n");
    scene.must(&["rmi", "again"]);
    scene.must(&["rm", "work"]);
    assert_eq!(fs::read_dir(scene.path("store/blobs/sha256")).expect("a directory").count(), 0);
    scene.must(&["system", "check"]);
}
