//! `image prune`

use dhow_tests::scene::Scene;
use insta::assert_snapshot;

fn one_dangling_image() -> Scene {
    let scene = Scene::new();
    scene.load("a", "docker.io/library/alpine:3.20");
    scene.load("b", "docker.io/library/alpine:3.20");
    scene
}

#[test]
fn asks_first() {
    let scene = one_dangling_image();
    let question = "WARNING! This will remove all dangling images.\nAre you sure you want to continue? [y/N] ";
    for answer in ["", "n\n", "yes\n"] {
        let declined = scene.fed(&["image", "prune"], answer.as_bytes());
        assert_eq!(
            (declined.code, declined.stdout.as_str(), declined.stderr.as_str()),
            (0, question, ""),
            "{answer:?}"
        );
    }
    assert_eq!(scene.must(&["images", "-q"]).lines().count(), 2);
    assert_snapshot!(scene.dhow(&["image", "prune", "-a"]), @r"
    exit 0
    [out]
    WARNING! This will remove all images without at least one container associated to them.
    Are you sure you want to continue? [y/N] 
    ");
}

#[test]
fn removes_what_nothing_names() {
    let scene = one_dangling_image();
    let pruned = scene.fed(&["image", "prune"], b"y\n");
    assert_eq!(pruned.code, 0);
    assert!(pruned.stdout.contains("[y/N] Deleted Images:\ndeleted: sha256:<id-a>\n"), "{pruned}");
    assert!(pruned.stdout.contains("\n\nTotal reclaimed space: "), "{pruned}");
    assert_eq!(scene.must(&["images", "-q"]), "id-b--------\n");
    assert_snapshot!(scene.dhow(&["image", "prune", "-f"]), @r"
    exit 0
    [out]
    Total reclaimed space: 0B
    ");
}

#[test]
fn removes_what_nothing_uses() {
    let scene = one_dangling_image();
    let pruned = scene.dhow(&["image", "prune", "-a", "-f"]);
    assert_eq!(pruned.code, 0);
    assert!(pruned.stdout.contains("untagged: alpine:3.20\n"), "{pruned}");
    assert_eq!(scene.must(&["images", "-q"]), "");
}

#[test]
fn filters_are_not_ignored() {
    let scene = one_dangling_image();
    assert_snapshot!(scene.dhow(&["image", "prune", "-f", "--filter", "label!=keep"]), @r"
    exit 1
    [err]
    image prune does not support --filter yet; nothing was removed
    ");
    assert_eq!(scene.must(&["images", "-q"]).lines().count(), 2);
}
