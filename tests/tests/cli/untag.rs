//! `untag`, `image exists`

use dhow_tests::scene::Scene;
use insta::assert_snapshot;

#[test]
fn names_go_and_the_image_stays() {
    let scene = Scene::new();
    scene.load("a", "docker.io/library/alpine:3.20");
    scene.must(&["tag", "alpine:3.20", "acme/web:v1", "acme/web", "alpine"]);
    assert_eq!(scene.must(&["images", "-q"]).lines().count(), 4);
    assert_eq!(scene.dhow(&["untag", "alpine:3.20", "acme/web:v1", "alpine:latest"]).to_string(), "exit 0\n");
    assert_eq!(scene.must(&["images", "-q"]).lines().count(), 2);
    assert_snapshot!(scene.dhow(&["untag", "alpine:3.20", "acme/web", "nope"]), @r"
    exit 1
    [err]
    nope: tag not known
    ");
    assert_eq!(scene.must(&["images", "-q"]).lines().count(), 2, "all or none");
    assert_eq!(scene.dhow(&["image", "untag", "alpine:3.20"]).to_string(), "exit 0\n");
    assert_eq!(scene.must(&["images", "-q", "-f", "dangling=true"]), "id-a--------\n");
    assert_eq!(scene.dhow(&["untag", "nope"]).stderr, "No such image: nope:latest\n");
}

#[test]
fn the_exit_code_tells_whether_an_image_exists() {
    let scene = Scene::new();
    let image = scene.load("a", "docker.io/library/alpine:3.20");
    for name in ["alpine:3.20", "docker.io/library/alpine:3.20", &image.id, &image.id[7..15]] {
        assert_eq!(scene.dhow(&["image", "exists", name]).to_string(), "exit 0\n", "{name}");
    }
    for name in ["alpine", "nope", "ffffffffffff"] {
        assert_eq!(scene.dhow(&["image", "exists", name]).to_string(), "exit 1\n", "{name}");
    }
    assert_snapshot!(scene.dhow(&["image", "exists", "Not/A/Name"]), @r"
    exit 125
    [err]
    invalid reference format: repository name (A/Name) must be lowercase
    ");
}
