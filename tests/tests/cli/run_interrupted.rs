//! Commands of containers that are interrupted or killed, and what they leave.

#![allow(clippy::disallowed_methods, reason = "scratch files of the test itself")]

use std::fs;
use std::io::Write;
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::Duration;

use dhow_tests::scene::{Scene, signal};
use rusqlite::Connection;

use super::run::{import, is_running, scene, wait};

/// Bytes of the file that is copied: more than a test feeds.
const FILE_BYTES: u64 = 1 << 40;

/// What a container has in `/tmp` of its own.
fn own_files(scene: &Scene, container: &str) -> Vec<String> {
    let listed = fs::read_dir(scene.path("store/containers").join(container).join("upper/tmp"));
    listed.into_iter().flatten().flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// A copy into `/tmp` of a container that has begun to write.
fn begin_copy(scene: &Scene, container: &str) -> Child {
    let target = format!("{container}:/tmp");
    let mut command = scene.command(&["cp", "-", &target]);
    let mut copy = command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("dhow");
    let mut header = tar::Header::new_gnu();
    header.set_size(FILE_BYTES);
    header.set_mode(0o644);
    header.set_path("big").expect("a name");
    header.set_cksum();
    copy.stdin.as_mut().expect("its input").write_all(header.as_bytes()).expect("the beginning");
    wait("the copy to begin", || !own_files(scene, container).is_empty());
    copy
}

#[test]
fn an_interrupted_copy_leaves_nothing() {
    let Some(scene) = scene() else { return };
    let id = scene.must(&["create", "box", "true"]);
    for (name, code) in [("INT", 130), ("TERM", 143)] {
        let mut copy = begin_copy(&scene, id.trim());
        signal(&copy, name);
        let mut input = copy.stdin.take().expect("its input");
        while input.write_all(&[0; 4096]).is_ok() {
            sleep(Duration::from_millis(1));
        }
        let output = scene.transcript(&copy.wait_with_output().expect("its end"));
        assert_eq!(output.code, code, "{output}");
        assert!(output.stderr.ends_with("ed: what was half copied is not kept\n"), "{output}");
        assert_eq!(own_files(&scene, id.trim()), <[&str; 0]>::default());
    }
}

#[test]
fn what_a_killed_copy_left_goes_with_the_next_one() {
    let Some(scene) = scene() else { return };
    let id = scene.must(&["create", "box", "true"]);
    let mut copy = begin_copy(&scene, id.trim());
    copy.kill().expect("a signal");
    copy.wait().expect("its end");
    assert_eq!(own_files(&scene, id.trim()).len(), 1);
    fs::write(scene.path("file"), "x").expect("a file");
    scene.must(&["cp", "-q", "file", &format!("{}:/tmp", id.trim())]);
    assert_eq!(own_files(&scene, id.trim()), ["file"]);
}

/// The program has heeded the first one; the second one comes before what became of it is recorded.
#[test]
fn one_interruption_more_does_not_lose_the_exit_code() {
    let Some(scene) = scene() else { return };
    let script = "trap 'exit 7' INT; while :; do sleep 0.01; done";
    for begin in [&["run", "--name", "one", "box", "sh", "-c", script][..], &["start", "-a", "one"]] {
        let mut watcher = scene.command(begin).spawn().expect("dhow");
        wait("the container to run", || is_running(&scene, "one"));
        let id = scene.must(&["inspect", "-f", "{{.Id}}", "one"]);
        let process = scene.path("store/containers").join(id.trim()).join("process");
        wait("its program to run", || process.exists());
        let records = Connection::open(scene.path("store/meta.db")).expect("the database");
        records.execute_batch("BEGIN IMMEDIATE").expect("the right to write");
        // The shell may not have come to its trap yet.
        wait("its end", || {
            signal(&watcher, "INT");
            sleep(Duration::from_millis(20));
            !process.exists()
        });
        for _ in 0..5 {
            signal(&watcher, "INT");
            sleep(Duration::from_millis(20));
        }
        records.execute_batch("ROLLBACK").expect("the end of it");
        let code = watcher.wait().expect("its end").code();
        assert!(code.is_some(), "{begin:?} was killed");
        let recorded = scene.must(&["inspect", "-f", "{{.State.ExitCode}}", "one"]);
        assert_eq!(recorded.trim(), code.unwrap_or_default().to_string());
    }
}

/// The machine has no threads left to move its output.
#[test]
fn a_container_that_nobody_can_watch_ends() {
    let Some(scene) = scene() else { return };
    // The image is unpacked then, which has threads of its own.
    scene.must(&["run", "--rm", "box", "true"]);
    let mut command = scene.command(&["run", "--name", "one", "box", "sleep", "30"]);
    let output = command.env("DHOW_FAULT", "threads.start:1=error").output().expect("dhow");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("cannot start the move thread"), "{said}");
    assert!(!is_running(&scene, "one"));
    scene.must(&["rm", "one"]);
}

/// Where things are mounted in every container is made before its program runs, and is none of its changes.
#[test]
fn what_a_killed_start_made_is_no_change() {
    let Some(scene) = scene() else { return };
    import(&scene, "signed", &[], &[(".dockerenv", "x")]);
    for image in ["box", "signed"] {
        let id = scene.must(&["create", image, "true"]);
        fs::create_dir_all(scene.path("store/containers").join(id.trim()).join("stubs/dev/pts"))
            .expect("the beginning");
        for _ in 0..2 {
            scene.must(&["start", "-a", id.trim()]);
            assert_eq!(scene.must(&["diff", id.trim()]), "", "{image}");
        }
    }
}

/// As with docker: what is told of it is how it ended when it last ran.
#[test]
fn a_start_that_fails_leaves_the_last_end() {
    let Some(scene) = scene() else { return };
    fs::create_dir(scene.path("shown")).expect("a directory");
    let source = scene.path("shown").to_string_lossy().into_owned();
    let mount = format!("type=bind,source={source},target=/shown");
    let ran = scene.dhow(&["run", "--name", "one", "--mount", &mount, "box", "sh", "-c", "exit 3"]);
    assert_eq!(ran.code, 3, "{ran}");
    let state = || scene.must(&["inspect", "-f", "{{json .State}}", "one"]);
    let before = state();
    assert!(before.contains("\"ExitCode\":3"), "{before}");
    fs::remove_dir(&source).expect("no directory any more");
    assert_ne!(scene.dhow(&["start", "-a", "one"]).code, 0);
    assert_eq!(state(), before);
    fs::create_dir(&source).expect("a directory");
    assert_eq!(scene.dhow(&["start", "-a", "one"]).code, 3);
}
