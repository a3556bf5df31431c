//! Commands of containers that are interrupted or killed, and what they leave.

#![allow(clippy::disallowed_methods, reason = "scratch files of the test itself")]

use std::fs;
use std::io::Write;
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::Duration;

use dhow_tests::scene::{Scene, signal};

use super::run::{scene, wait};

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
