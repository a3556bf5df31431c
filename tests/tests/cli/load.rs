//! `load`

use dhow_tests::scene::Scene;
use insta::assert_snapshot;

#[test]
fn names_what_was_loaded() {
    let scene = Scene::new();
    let image = scene.image("a");
    let archive = image.archive(&["docker.io/library/alpine:3.20", "docker.io/acme/web:v1"]);
    let archive = archive.to_str().expect("a path");
    assert_snapshot!(scene.dhow(&["load", "-i", archive]), @r"
    exit 0
    [out]
    Loaded image: alpine:3.20
    Loaded image: acme/web:v1
    ");
}

#[test]
#[allow(clippy::disallowed_methods, reason = "reads a scratch file")]
fn takes_a_pipe() {
    let scene = Scene::new();
    let archive = scene.image("a").archive(&["docker.io/library/alpine:3.20"]);
    let bytes = std::fs::read(archive).expect("the archive");
    assert_snapshot!(scene.fed(&["load", "-q"], &bytes), @r"
    exit 0
    [out]
    Loaded image: alpine:3.20
    ");
}

#[test]
fn a_moved_tag_is_told() {
    let scene = Scene::new();
    scene.load("a", "docker.io/library/alpine:3.20");
    let archive = scene.image("b").archive(&["docker.io/library/alpine:3.20"]);
    assert_snapshot!(scene.dhow(&["load", "-i", archive.to_str().expect("a path")]), @r"
    exit 0
    [out]
    The image alpine:3.20 already exists, renaming the old one with ID sha256:<id-a> to empty string
    Loaded image: alpine:3.20
    ");
}

#[test]
fn an_image_without_a_name_is_told_by_its_id() {
    let scene = Scene::new();
    scene.load("a", "docker.io/library/alpine:3.20");
    let id = scene.must(&["images", "-q", "--no-trunc"]);
    assert_eq!(id, "sha256:<id-a>\n");
    let archive = scene.path("nameless.tar");
    let archive = archive.to_str().expect("a path");
    let image = scene.image("a");
    scene.must(&["save", "-o", archive, &image.id]);
    scene.must(&["rmi", "alpine:3.20"]);
    assert_snapshot!(scene.dhow(&["load", "-i", archive]), @r"
    exit 0
    [out]
    Loaded image ID: sha256:<id-a>
    ");
}

/// containerd's exports have names by digest.
#[test]
fn a_name_by_digest_is_no_tag() {
    let scene = Scene::new();
    let image = scene.image("a");
    let [own, other] = [&image.manifest.digest, &image.id].map(|digest| format!("docker.io/acme/web@{digest}"));
    let archive = image.archive(&[&own, &other]);
    assert_snapshot!(scene.dhow(&["load", "-i", archive.to_str().expect("a path")]), @r"
    exit 0
    [out]
    Loaded image ID: sha256:<id-a>
    ");
    assert_eq!(
        scene.must(&["inspect", "-f", "{{.RepoTags}} {{.RepoDigests}}", &own]),
        "[] [acme/web@sha256:<manifest-a>]\n"
    );
}

#[test]
fn what_is_no_archive_is_refused() {
    let scene = Scene::new();
    assert_snapshot!(scene.docker(&["load", "-i", "/nonexistent/x.tar"]), @r"
    exit 1
    [err]
    open /nonexistent/x.tar: no such file or directory
    ");
    let refused = scene.fed(&["load"], b"this is not an archive");
    assert_eq!((refused.code, refused.stdout.as_str()), (1, ""), "{refused}");
    assert_eq!(scene.must(&["images", "-q"]), "");
    assert_snapshot!(scene.docker(&["load", "-i", "/dev/null"]), @r"
    exit 1
    [err]
    unrecognized image format
    ");
}
