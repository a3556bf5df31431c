//! `rmi`, `image rm`

use dhow_tests::scene::Scene;
use insta::assert_snapshot;

#[test]
fn a_name_goes_before_its_image() {
    let scene = Scene::new();
    scene.load("a", "docker.io/library/alpine:3.20");
    scene.must(&["tag", "alpine:3.20", "acme/web:v1"]);
    assert_snapshot!(scene.dhow(&["rmi", "alpine:3.20"]), @r"
    exit 0
    [out]
    Untagged: alpine:3.20
    ");
    let gone = scene.dhow(&["rmi", "acme/web:v1"]);
    assert_eq!((gone.code, gone.stderr.as_str()), (0, ""));
    assert!(gone.stdout.starts_with("Untagged: acme/web:v1\nDeleted: sha256:<id-a>\n"), "{gone}");
    assert_eq!(scene.must(&["images", "-q"]), "");
}

#[test]
fn an_id_with_several_names_must_be_forced() {
    let scene = Scene::new();
    let image = scene.load("a", "docker.io/library/alpine:3.20");
    scene.must(&["tag", "alpine:3.20", "acme/web:v1"]);
    assert_snapshot!(scene.docker(&["rmi", &image.id]), @r"
    exit 1
    [err]
    Error response from daemon: conflict: unable to delete id-a-------- (must be forced) - image is referenced in multiple repositories
    ");
    assert_eq!(scene.dhow(&["rmi", "-f", &image.id[7..19]]).code, 0);
    assert_eq!(scene.must(&["images", "-q"]), "");
}

#[test]
fn missing_images_are_no_failure_when_forced() {
    let scene = Scene::new();
    scene.load("a", "docker.io/library/alpine:3.20");
    assert_snapshot!(scene.docker(&["rmi", "-f", "nope"]), @r"
    exit 0
    [err]
    Error response from daemon: No such image: nope:latest
    ");
    let several = scene.docker(&["rmi", "nope", "alpine:3.20", "neither"]);
    assert!(several.stdout.starts_with("Untagged: alpine:3.20\nDeleted: sha256:<id-a>\n"), "{several}");
    assert_eq!(
        several.stderr,
        "Error response from daemon: No such image: nope:latest\n\
         Error response from daemon: No such image: neither:latest\n"
    );
    assert_eq!(several.code, 1);
}
