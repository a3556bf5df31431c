//! What the machine gives no more of: what fails says so, and nothing is lost.

#![allow(clippy::disallowed_methods, reason = "writes a scratch file")]

use std::path::Path;
use std::process::Command;

use dhow_testkit::peers;
use dhow_tests::scene::Scene;

use super::run::{import, may_run};

/// Where threads cannot be started, work goes on with those there are, or the reason is told.
///
/// Faults can be armed in builds with debug assertions only.
#[test]
#[cfg(debug_assertions)]
fn no_more_threads() {
    const THREADS_MAX: usize = 30;
    let scene = Scene::new();
    let name = {
        let server = scene.serve();
        scene.load("a", "acme/web:1");
        let name = server.name("acme/web:1");
        scene.must(&["tag", "acme/web:1", &name]);
        scene.must(&["save", "-o", &text(&scene.path("web.tar")), &name]);
        let archive = text(&scene.path("web.tar"));
        let verbs: [&[&str]; 5] = [
            &["push", "-q", &name],
            &["save", "-o", "x.tar", &name],
            &["rmi", "-f", &name, "acme/web:1"],
            &["pull", "-q", &name],
            &["load", "-q", "-i", &archive],
        ];
        for skip in 0..THREADS_MAX {
            for words in verbs {
                let armed = format!("threads.start:{skip}=error");
                let ended = scene.run(scene.command(words).env("DHOW_FAULT", armed));
                let is_told = ended.stderr.starts_with("cannot start the ") && ended.stderr.ends_with("error\n");
                assert!(ended.code == 0 || (ended.code == 1 && is_told), "{words:?} without thread {skip}: {ended}");
            }
        }
        scene.must(&["pull", "-q", &name]);
        name
    };
    assert_eq!(scene.must(&["images", "-q", &name]), "id-a--------\n");
    assert!(scene.must(&["system", "check"]).ends_with("no problems\n"));
}

/// As [`no_more_threads`], of what reads and makes files, and runs programs.
#[test]
#[cfg(debug_assertions)]
fn no_more_threads_for_files() {
    const THREADS_MAX: usize = 12;
    let scene = Scene::new();
    scene.load("a", "acme/web:1");
    let container = peers::available(may_run()).is_some();
    if container {
        import(&scene, "box", &["CMD [\"sh\"]"], &[]);
    }
    for skip in 0..THREADS_MAX {
        let [target, copy] = ["files", "copy"].map(|name| format!("{name}-{skip}"));
        let mut verbs: Vec<Vec<&str>> = vec![
            vec!["ls", "acme/web:1:/"],
            vec!["unpack", "acme/web:1", &target],
            vec!["export", "-o", "x.tar", "acme/web:1"],
            vec!["cp", "acme/web:1:/.", &copy],
        ];
        if container {
            verbs.push(vec!["run", "--rm", "box", "true"]);
        }
        for words in verbs {
            // Nothing is known of layers.
            let _ = std::fs::remove_dir_all(scene.path("store/layers"));
            let armed = format!("threads.start:{skip}=error");
            let ended = scene.run(scene.command(&words).env("DHOW_FAULT", armed));
            let is_told = ended.stderr.contains("cannot start the ") && !ended.stderr.contains("panicked");
            assert!(ended.code == 0 || is_told, "{words:?} without thread {skip}: {ended}");
        }
    }
    assert!(scene.must(&["system", "check"]).ends_with("no problems\n"));
}

#[test]
fn a_limit_of_file_sizes() {
    let scene = Scene::new();
    std::fs::write(scene.path("large"), vec![0; 1 << 20]).expect("a file");
    let packed = Command::new("tar").args(["-cf", "large.tar", "large"]).current_dir(scene.path("")).status();
    assert!(packed.expect("tar").success());
    scene.must(&["import", "large.tar", "acme/web:1"]);
    let archive = text(&scene.path("web.tar"));
    // In KiB: more than the database has.
    let ended = scene.run(&mut limited(&scene, "-f 512", &["save", "-o", &archive, "acme/web:1"]));
    assert_eq!(ended.code, 1, "{ended}");
    assert!(ended.stderr.starts_with("cannot copy \"[FOLDER]/store/blobs/sha256/"), "{ended}");
    assert!(ended.stderr.ends_with(" to \"[FOLDER]/web.tar\": file too large\n"), "{ended}");
    assert!(!Path::new(&archive).exists());
}

#[test]
fn a_limit_of_descriptors() {
    let scene = Scene::new();
    scene.load("a", "acme/web:1");
    // Three for the streams, one for the lock of the store or the database, and none for its log.
    let ended = scene.run(&mut limited(&scene, "-n 5", &["images"]));
    assert_eq!(ended.code, 1, "{ended}");
    assert!(ended.stderr.ends_with(": too many open files\n"), "{ended}");
}

/// A command in a shell that has set a limit.
fn limited(scene: &Scene, limit: &str, words: &[&str]) -> Command {
    let of_scene = scene.command(words);
    let mut command = Command::new("bash");
    command.args(["-c", &format!("ulimit {limit} && exec \"$0\" \"$@\"")]);
    command.arg(of_scene.get_program()).args(of_scene.get_args()).env_clear();
    command.envs(of_scene.get_envs().filter_map(|(name, value)| Some((name, value?))));
    if let Some(folder) = of_scene.get_current_dir() {
        command.current_dir(folder);
    }
    command
}

fn text(path: &Path) -> String {
    path.display().to_string()
}
