//! Interruptions, and readers that go away.

use std::net::TcpListener;
use std::process::Stdio;
use std::time::Duration;

use dhow_testkit::images::{Entry, tar_of};
use dhow_tests::scene::{Scene, signal};
use insta::assert_snapshot;

#[test]
fn an_interrupted_pull_says_what_is_kept() {
    let scene = Scene::new();
    // A registry that takes the connection and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let name = format!("{}/acme/web:v1", silent.local_addr().expect("its address"));
    for (number, code) in [("INT", 130), ("TERM", 143)] {
        let mut command = scene.command(&["pull", &name, "never/tried"]);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("start dhow");
        let _connection = silent.accept().expect("a connection");
        // Signals are heeded from before the connection on; the pause only lets the request go out.
        std::thread::sleep(Duration::from_millis(50));
        signal(&child, number);
        let output = scene.transcript(&child.wait_with_output().expect("its output"));
        assert_eq!(output.code, code, "{output}");
        assert_eq!(output.stdout, "");
        assert!(output.stderr.contains("what has arrived is kept, and the next pull goes on from there"), "{output}");
        assert_eq!(output.stderr.lines().count(), 1, "{output}");
    }
}

#[test]
fn an_interrupted_load_or_save_says_what_is_left() {
    let scene = Scene::new();
    let content = vec![7; 1 << 20];
    let files = tar_of(&[Entry { path: "big", mode: 0o644, content: &content }]).expect("a tar");
    scene.fed(&["import", "-", "acme/web:1"], &files);
    let whole = scene.path("whole.tar");
    scene.must(&["save", "-o", &whole.to_string_lossy(), "acme/web:1"]);
    let archive = std::fs::read(&whole).expect("the archive");
    for (arguments, left) in [
        // One waits for the rest of the archive, the other for a reader: neither comes.
        (&["load"][..], "no image was loaded; what has arrived is kept for the next load"),
        (&["save", "acme/web:1"], "the archive is not whole"),
    ] {
        let mut command = scene.command(arguments);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("start dhow");
        let mut input = child.stdin.take().expect("a pipe");
        // Signals are heeded from before the first byte on. Half of the archive is more than a pipe holds.
        if arguments == ["load"] {
            std::io::Write::write_all(&mut input, &archive[..archive.len() / 2]).expect("half of the archive");
        } else {
            std::io::Read::read_exact(child.stdout.as_mut().expect("a pipe"), &mut [0]).expect("the first byte");
        }
        // The pause lets it come to its standstill.
        std::thread::sleep(Duration::from_millis(300));
        signal(&child, "INT");
        // What it wrote is only read when it has ended.
        let code = child.wait().expect("its end").code();
        let output = scene.transcript(&child.wait_with_output().expect("its output"));
        assert_eq!((code, output.stderr.as_str()), (Some(130), format!("interrupted: {left}\n").as_str()), "{output}");
    }
    scene.must(&["load", "-i", &whole.to_string_lossy()]);
    scene.must(&["system", "check"]);
}

#[test]
fn a_reader_that_goes_away_is_no_failure_to_talk_about() {
    let scene = Scene::new();
    scene.load("a", "docker.io/library/alpine:3.20");
    for arguments in [&["images"] as &[&str], &["inspect", "alpine:3.20"], &["save", "alpine:3.20"], &["--help"]] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let output = scene.run(scene.command(arguments).stdout(writer));
        assert_eq!((output.code, output.stderr.as_str()), (141, ""), "{arguments:?}");
    }
}

#[test]
#[allow(clippy::disallowed_methods, reason = "/dev/full is no file of dhow's")]
fn results_that_do_not_arrive_are_a_failure() {
    let scene = Scene::new();
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("/dev/full");
    assert_snapshot!(scene.run(scene.command(&["images"]).stdout(full)), @r"
    exit 1
    [err]
    cannot write to standard output: no space left on device
    ");
}

/// Nor is what a container wrote lost without a word, whatever code its program ends with.
#[test]
#[allow(clippy::disallowed_methods, reason = "/dev/full is no file of dhow's")]
fn what_a_container_wrote_that_does_not_arrive_is_a_failure() {
    let Some(scene) = super::run::scene() else { return };
    let full = || std::fs::OpenOptions::new().write(true).open("/dev/full").expect("/dev/full");
    let run = ["run", "--name", "one", "box", "sh", "-c", "echo lost; exit 3"];
    let lost = scene.run(scene.command(&run).stdout(full()));
    assert_eq!((lost.code, lost.stderr.as_str()), (1, "write /dev/stdout: no space left on device\n"));
    let ended = scene.must(&["container", "inspect", "-f", "{{.State.ExitCode}}", "one"]);
    assert_eq!(ended, "3\n");
    let lost = scene.run(scene.command(&["start", "-a", "one"]).stdout(full()));
    assert_eq!((lost.code, lost.stderr.as_str()), (1, "write /dev/stdout: no space left on device\n"));
    let warned = ["run", "--rm", "box", "sh", "-c", "echo lost >&2"];
    assert_eq!(scene.run(scene.command(&warned).stderr(full())).code, 1);
    let podman = scene.run(scene.command_as("podman", &run[..1]).args(["--rm"]).args(&run[3..]).stdout(full()));
    assert!(podman.stderr.starts_with("Error: attaching to container "), "{podman}");
    assert!(podman.stderr.ends_with(": write /dev/stdout: no space left on device\n"), "{podman}");
    assert_eq!(podman.code, 126);
    // A reader that goes away is told of by docker's client, and ends podman's.
    for (program, expected) in [("docker", (1, "write /dev/stdout: broken pipe\n")), ("podman", (141, ""))] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let said = scene.run(scene.command_as(program, &["run", "--rm", "box", "echo", "lost"]).stdout(writer));
        assert_eq!((said.code, said.stderr.lines().last().unwrap_or_default()), (expected.0, expected.1.trim_end()));
    }
}
