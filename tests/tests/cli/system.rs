//! `system check`, `system sync-view`

#![allow(clippy::disallowed_methods, reason = "damages scratch files")]

use dhow_testkit::registry::{Access, ScriptedRegistry};
use dhow_tests::scene::Scene;
use insta::assert_snapshot;

#[test]
fn a_healthy_store() {
    let scene = Scene::new();
    scene.load("a", "docker.io/library/alpine:3.20");
    let checked = scene.dhow(&["system", "check"]);
    assert_eq!((checked.code, checked.stderr.as_str()), (0, ""), "{checked}");
    assert!(
        checked.stdout.starts_with("Checked 4 blobs (") && checked.stdout.ends_with("): no problems\n"),
        "{checked}"
    );
    assert_snapshot!(scene.dhow(&["system", "sync-view"]), @"exit 0");
}

#[test]
fn a_damaged_blob_is_named() {
    let scene = Scene::new();
    let image = scene.load("a", "docker.io/library/alpine:3.20");
    damage(&scene, &image.upper);
    let checked = scene.dhow(&["system", "check"]);
    assert_eq!(checked.code, 1, "{checked}");
    assert!(checked.stdout.contains("<upper-a>"), "{checked}");
    assert!(checked.stdout.ends_with("): 1 problem\n"), "{checked}");
}

/// Podman says nothing of a store in order.
#[test]
fn podman_tells_of_damage_alone() {
    let scene = Scene::new();
    let image = scene.load("a", "docker.io/library/alpine:3.20");
    for options in [&["-q"][..], &["--quick", "--max", "1h"], &["-r"], &["--force"]] {
        let checked = scene.podman(&[&["system", "check"], options].concat());
        assert_eq!(checked.to_string(), "exit 0\n", "{options:?}");
    }
    damage(&scene, &image.upper);
    let checked = scene.podman(&["system", "check"]);
    assert_eq!(
        (checked.code, checked.stderr.as_str()),
        (125, "Error: damage detected in local storage\n"),
        "{checked}"
    );
    assert!(checked.stdout.contains("<upper-a>"), "{checked}");
    assert_eq!(scene.podman(&["system", "check", "--repair"]).code, 125, "nobody has the blob");
}

#[test]
fn a_lost_database_is_made_anew() {
    let scene = Scene::new();
    scene.load("a", "docker.io/library/alpine:3.20");
    scene.must(&["tag", "alpine:3.20", "registry.example/acme/web:v1"]);
    for suffix in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(scene.path("store").join(format!("meta.db{suffix}")));
    }
    let checked = scene.dhow(&["system", "check"]);
    assert_eq!((checked.code, checked.stdout.as_str()), (1, ""), "{checked}");
    assert!(checked.stderr.contains("its meta.db is missing"), "{checked}");
    let checked = scene.dhow(&["system", "check", "--repair"]);
    assert_eq!((checked.code, checked.stderr.as_str()), (0, ""), "{checked}");
    let told = "meta.db was damaged or missing and has been made anew: 4 blobs proven, 2 names\n";
    assert!(checked.stdout.starts_with(told), "{checked}");
    assert!(checked.stdout.ends_with("): no problems\n"), "{checked}");
    assert_eq!(scene.must(&["images", "-q", "registry.example/acme/web"]), scene.must(&["images", "-q", "alpine"]));
}

/// Damages the bytes of a stored blob, and keeps their number.
fn damage(scene: &Scene, digest: &str) {
    let blob = stored(scene, digest);
    writable(&blob);
    let mut bytes = std::fs::read(&blob).expect("the blob");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&blob, bytes).expect("damage");
}

fn stored(scene: &Scene, digest: &str) -> std::path::PathBuf {
    scene.path("store/blobs").join(digest.replace(':', "/"))
}

fn writable(path: &std::path::Path) {
    let mut permissions = path.metadata().expect("the file").permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o644);
    std::fs::set_permissions(path, permissions).expect("write access");
}

/// The files in `damaged/`.
fn set_aside(scene: &Scene) -> Vec<String> {
    let entries = std::fs::read_dir(scene.path("store/damaged")).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn what_is_damaged_or_missing_is_fetched_again() {
    let scene = Scene::new();
    let server = scene.serve();
    let image = scene.load("a", "docker.io/library/alpine:3.20");
    let name = server.name("acme/web:v1");
    scene.must(&["tag", "alpine:3.20", &name]);
    scene.must(&["push", &name]);
    scene.must(&["rmi", "alpine:3.20"]);
    damage(&scene, &image.upper);
    for digest in [&image.id, &image.manifest.digest] {
        std::fs::remove_file(stored(&scene, digest)).expect("a blob");
    }
    let found = scene.dhow(&["system", "check"]);
    assert_eq!((found.code, found.stdout.lines().count()), (1, 4), "{found}");
    let refused = scene.dhow(&["system", "check", "--pull"]);
    assert_snapshot!(refused, @r"
    exit 1
    [err]
    --pull goes with --repair: without it nothing is changed
    ");
    let moved = scene.dhow(&["system", "check", "--repair"]);
    assert_eq!(moved.code, 1, "{moved}");
    assert!(moved.stdout.contains("moved aside to damaged/sha256-<upper-a>"), "{moved}");
    assert!(moved.stdout.contains("manifest sha256:<manifest-a> of [REGISTRY]/acme/web:v1"), "{moved}");
    // What is kept of the image stays, however often others are collected.
    for _ in 0..2 {
        scene.load("b", "docker.io/library/other:1");
        scene.must(&["rmi", "other:1"]);
    }
    assert!(stored(&scene, &image.lower).exists() && set_aside(&scene).len() == 1, "{moved}");
    let mended = scene.dhow(&["system", "check", "--repair", "--pull"]);
    assert_eq!((mended.code, mended.stderr.as_str()), (0, ""), "{mended}");
    for line in [
        "manifest sha256:<manifest-a> of [REGISTRY]/acme/web:v1 and 1 more is missing (fetched again from [REGISTRY]/acme/web)\n",
        "sha256:<id-a> of [REGISTRY]/acme/web:v1 and 1 more is missing (fetched again from [REGISTRY]/acme/web)\n",
        "sha256:<upper-a> of [REGISTRY]/acme/web:v1 and 1 more is missing (fetched again from [REGISTRY]/acme/web)\n",
        "): no problems\n",
    ] {
        assert!(mended.stdout.contains(line), "{line}{mended}");
    }
    assert_eq!(set_aside(&scene), Vec::<String>::new());
    let checked = scene.dhow(&["system", "check"]);
    assert!(checked.code == 0 && checked.stdout.ends_with("): no problems\n"), "{checked}");
    scene.must(&["save", "-o", &scene.path("saved.tar").to_string_lossy(), &name]);
}

#[test]
fn one_run_mends_what_it_finds() {
    let scene = Scene::new();
    let server = scene.serve();
    let image = scene.load("a", &server.name("acme/web:v1"));
    scene.must(&["push", &server.name("acme/web:v1")]);
    damage(&scene, &image.upper);
    let mended = scene.dhow(&["system", "check", "--repair", "--pull"]);
    assert_eq!((mended.code, mended.stderr.as_str()), (0, ""), "{mended}");
    let told = "the bytes of layer sha256:<upper-a> of [REGISTRY]/acme/web:v1 and 1 more are not those of its digest (fetched again from [REGISTRY]/acme/web)\n";
    assert!(mended.stdout.starts_with(told) && mended.stdout.lines().count() == 2, "{mended}");
    assert_eq!(set_aside(&scene), Vec::<String>::new());
}

#[test]
fn what_no_registry_has_is_said_and_kept() {
    let scene = Scene::new();
    let server = scene.serve();
    let here = scene.load("a", &server.name("acme/web:v1"));
    scene.must(&["push", &server.name("acme/web:v1")]);
    let gone = scene.load("b", &server.name("acme/gone:v1"));
    let nowhere = scene.load("c", "127.0.0.1:1/acme/none:v1");
    for image in [&here, &gone, &nowhere] {
        damage(&scene, &image.upper);
    }
    let mended = scene.dhow(&["system", "check", "--repair", "--pull"]);
    assert_eq!((mended.code, mended.stderr.as_str()), (1, ""), "{mended}");
    for line in [
        "<upper-a> of [REGISTRY]/acme/web:v1 and 1 more are not those of its digest (fetched again from [REGISTRY]/acme/web)\n",
        "<upper-b> of [REGISTRY]/acme/gone:v1 are not those of its digest (moved aside to damaged/sha256-<upper-b>)\n",
        "layer sha256:<upper-b> of [REGISTRY]/acme/gone:v1 is missing, and cannot be fetched again: [REGISTRY]/acme/gone: ",
        "layer sha256:<upper-c> of 127.0.0.1:1/acme/none:v1 is missing, and cannot be fetched again: 127.0.0.1:1/acme/none: ",
        "connection refused\n",
        "): 2 problems\n",
    ] {
        assert!(mended.stdout.contains(line), "{line}{mended}");
    }
    assert_eq!(set_aside(&scene).len(), 2, "{mended}");
    assert_eq!(scene.must(&["images", "-q"]).lines().count(), 3, "no name is lost");
    // The next pull of the image, by whatever way, makes the damaged copy needless.
    scene.load("b", "docker.io/library/again:1");
    let mended = scene.dhow(&["system", "check", "--repair"]);
    assert!(mended.stdout.contains("is the damaged copy of a blob that is here again (removed)"), "{mended}");
    assert_eq!(set_aside(&scene).len(), 1, "{mended}");
}

#[test]
fn names_that_a_rebuild_cannot_keep_are_pulled_again() {
    let scene = Scene::new();
    let server = scene.serve();
    let image = scene.load("a", &server.name("acme/web:v1"));
    scene.load("b", "docker.io/library/kept:1");
    scene.must(&["tag", &server.name("acme/web:v1"), "docker.io/library/alias:2"]);
    scene.must(&["push", &server.name("acme/web:v1")]);
    std::fs::remove_file(stored(&scene, &image.upper)).expect("a blob");
    std::fs::write(scene.path("store/meta.db"), "no database").expect("damage");
    for suffix in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(scene.path("store").join(format!("meta.db{suffix}")));
    }
    let mended = scene.dhow(&["system", "check", "--repair", "--pull"]);
    assert_eq!((mended.code, mended.stderr.as_str()), (0, ""), "{mended}");
    assert!(mended.stdout.contains("made anew: 6 blobs proven, 3 names\n"), "{mended}");
    assert_eq!(scene.must(&["images", "-q"]).lines().count(), 3);
    assert_eq!(scene.must(&["images", "-q", "alias:2"]), scene.must(&["images", "-q", &server.name("acme/web:v1")]));
}

#[test]
fn each_registry_is_asked_as_whom_it_knows_us() {
    let scene = Scene::new();
    let (first, second) = (ScriptedRegistry::start(), ScriptedRegistry::start());
    scene.call(&first.authority(), "[FIRST]");
    scene.call(&second.authority(), "[SECOND]");
    let image = scene.load("a", &format!("{}/acme/web:v1", first.authority()));
    for registry in [&first, &second] {
        let name = format!("{}/acme/web:v1", registry.authority());
        scene.must(&["tag", &format!("{}/acme/web:v1", first.authority()), &name]);
        scene.must(&["push", &name]);
    }
    first.remove_blob(&image.upper);
    first.set_access(Access::bearer("ann", "one"));
    second.set_access(Access::basic("bob", "two"));
    for (registry, user, password) in [(&first, "ann", "one"), (&second, "bob", "two")] {
        scene.must(&["login", "-u", user, "-p", password, &registry.authority()]);
    }
    for digest in [&image.upper, &image.lower] {
        damage(&scene, digest);
    }
    let mended = scene.dhow(&["system", "check", "--repair", "--pull"]);
    assert_eq!((mended.code, mended.stderr.as_str()), (0, ""), "{mended}");
    let from = |blob: &str, registry: &str| {
        // Whose name comes first depends on the ports.
        let end = format!(" are not those of its digest (fetched again from {registry}/acme/web)");
        mended.stdout.lines().any(|line| line.contains(&format!("<{blob}> of ")) && line.ends_with(&end))
    };
    assert!(from("upper-a", "[SECOND]"), "{mended}");
    assert!(from("lower", "[FIRST]") || from("lower", "[SECOND]"), "{mended}");
    scene.must(&["logout", &second.authority()]);
    damage(&scene, &image.upper);
    let refused = scene.dhow(&["system", "check", "--repair", "--pull"]);
    assert_eq!(refused.code, 1, "{refused}");
    for why in ["[SECOND]/acme/web: Get ", "no basic auth credentials", "[FIRST]/acme/web: blob unknown"] {
        assert!(refused.stdout.contains(why), "each says why: {refused}");
    }
}
