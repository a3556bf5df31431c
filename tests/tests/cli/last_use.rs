//! When images were last used: what notes it, what goes by it, and that noting it waits for no disk.

#![allow(clippy::disallowed_methods, reason = "damages and dates back scratch files")]

use std::process::Command;

use dhow_tests::scene::Scene;

/// Makes every image look as if it had come a month ago and had not been used since.
fn age(scene: &Scene) {
    let now = jiff::Timestamp::now().as_nanosecond();
    let month_ago = i64::try_from(now).expect("not the year 2262") - 30 * 24 * 3_600_000_000_000;
    let database = rusqlite::Connection::open(scene.path("store/meta.db")).expect("meta.db");
    database.execute("UPDATE image SET added = ?1", [month_ago]).expect("older images");
    let _ = std::fs::remove_dir_all(scene.path("store/uses"));
}

fn unused(scene: &Scene) -> String {
    let filtered = scene.must(&["images", "--filter", "last-used=7d", "--format", "{{.Repository}}:{{.Tag}}"]);
    assert_eq!(scene.must(&["images", "-q", "--filter", "unused-for=7d"]).lines().count(), filtered.lines().count());
    filtered
}

#[test]
fn what_an_image_is_used_for_is_noted() {
    let scene = Scene::new();
    let server = scene.serve();
    let name = server.name("acme/web:v1");
    let archive = scene.image("a").archive(&[&name]).to_string_lossy().into_owned();
    scene.must(&["load", "-i", &archive]);
    scene.must(&["push", &name]);
    let target = scene.path("saved.tar").to_string_lossy().into_owned();
    for arguments in [
        &["inspect", name.as_str()][..],
        &["image", "inspect", "--format", "{{.Id}}", &name],
        &["tag", &name, &name],
        &["save", "-o", &target, &name],
        &["load", "-i", &archive],
        &["push", &name],
        &["pull", &name],
    ] {
        age(&scene);
        assert_eq!(unused(&scene), "[REGISTRY]/acme/web:v1\n", "{arguments:?}");
        let month = scene.must(&["images", "--format", "{{.LastUsed}}"]);
        assert_eq!(month, "4 weeks ago\n", "it was not used since it came");
        scene.must(arguments);
        assert_eq!(unused(&scene), "", "{arguments:?} is a use");
        let table = scene.must(&["images", "--format", "table {{.Tag}}\t{{.LastUsed}}"]);
        let mut lines = table.lines();
        assert_eq!(lines.next(), Some("TAG       LAST USED"));
        assert!(lines.next().is_some_and(|line| line.starts_with("v1        ") && line.contains("second")), "{table}");
    }
}

#[test]
fn looking_around_is_no_use() {
    let scene = Scene::new();
    scene.load("a", "docker.io/acme/one:1");
    scene.load("b", "docker.io/acme/two:1");
    age(&scene);
    for arguments in [
        &["images"][..],
        &["inspect", "acme/one:1", "acme/two:1"],
        &["history", "acme/one:1"],
        &["image", "exists", "acme/one:1"],
        &["system", "df", "-v"],
        &["system", "check"],
    ] {
        scene.must(arguments);
        assert_eq!(unused(&scene).lines().count(), 2, "{arguments:?}");
    }
    scene.must(&["inspect", "acme/one:1"]);
    let pruned = scene.must(&["image", "prune", "-a", "-f", "--filter", "last-used=7d"]);
    assert!(pruned.contains("untagged: acme/two:1\n") && !pruned.contains("acme/one:1"), "{pruned}");
}

/// The system calls that wait for a disk.
fn syncs(scene: &Scene, arguments: &[&str]) -> usize {
    let log = scene.path("strace.log");
    let mut command = Command::new("strace");
    command.args(["-f", "-e", "trace=fsync,fdatasync,sync_file_range,syncfs", "-o"]).arg(&log);
    let traced = scene.command(arguments);
    command
        .arg(traced.get_program())
        .args(traced.get_args())
        .env_clear()
        .envs(traced.get_envs().filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned()))));
    let output = command.output().expect("strace");
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    std::fs::read_to_string(&log).expect("the log").lines().filter(|line| line.contains("sync")).count()
}

#[test]
fn noting_it_waits_for_no_disk() {
    if Command::new("strace").arg("-V").output().is_err() {
        eprintln!("skipped: there is no strace");
        return;
    }
    let scene = Scene::new();
    for number in 0..12 {
        scene.load(&format!("{number}"), &format!("docker.io/acme/web:{number}"));
    }
    age(&scene);
    scene.must(&["inspect", "acme/web:0"]);
    for number in 1..12 {
        assert_eq!(syncs(&scene, &["inspect", &format!("acme/web:{number}")]), 0, "{number}");
    }
    assert_eq!(scene.must(&["images", "-q", "--filter", "last-used=7d"]), "");
    assert!(syncs(&scene, &["tag", "acme/web:0", "acme/other:1"]) > 0, "and a tag does: the log tells");
}

#[test]
fn a_store_that_cannot_note_it_is_used_all_the_same() {
    let scene = Scene::new();
    scene.load("a", "docker.io/acme/one:1");
    age(&scene);
    scene.must(&["inspect", "acme/one:1"]);
    std::fs::remove_dir_all(scene.path("store/uses")).expect("the notes");
    std::fs::write(scene.path("store/uses"), "no directory at all").expect("damage");
    let inspected = scene.dhow(&["inspect", "--format", "{{.RepoTags}}", "acme/one:1"]);
    assert_eq!((inspected.stdout.as_str(), inspected.stderr.as_str()), ("[acme/one:1]\n", ""), "{inspected}");
    let tagged = scene.dhow(&["tag", "acme/one:1", "acme/two:1"]);
    assert!(tagged.code == 0 && tagged.stderr.contains("store/uses"), "{tagged}");
}
