//! `system check`, `system sync-view`

#![allow(clippy::disallowed_methods, reason = "damages scratch files")]

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
    let blob = scene.path("store/blobs").join(image.upper.replace(':', "/"));
    let mut permissions = blob.metadata().expect("the blob").permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o644);
    std::fs::set_permissions(&blob, permissions).expect("write access");
    let mut bytes = std::fs::read(&blob).expect("the blob");
    bytes[600] ^= 1;
    std::fs::write(&blob, bytes).expect("damage");
    let checked = scene.dhow(&["system", "check"]);
    assert_eq!(checked.code, 1, "{checked}");
    assert!(checked.stdout.contains("<upper-a>"), "{checked}");
    assert!(checked.stdout.ends_with("): 1 problem\n"), "{checked}");
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
