//! `rmi`, `image rm`

use dhow_store::ContainerState;
use dhow_tests::scene::Scene;
use insta::assert_snapshot;

use crate::rows;

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

#[test]
fn containers_stand_in_the_way() {
    let scene = Scene::new();
    let image = scene.load("a", "docker.io/library/alpine:3.20");
    rows::container(&scene, "alpine:3.20", "cd", ContainerState::Created, "{}");
    assert_snapshot!(scene.docker(&["rmi", "alpine:3.20"]), @r#"
    exit 1
    [err]
    Error response from daemon: conflict: unable to remove repository reference "alpine:3.20" (must force) - container cdcdcdcdcdcd is using its referenced image id-a--------
    "#);
    assert_snapshot!(scene.docker(&["rmi", &image.id]), @r"
    exit 1
    [err]
    Error response from daemon: conflict: unable to delete id-a-------- (must be forced) - image is being used by stopped container cdcdcdcdcdcd
    ");
    rows::container(&scene, "alpine:3.20", "ef", ContainerState::Running, "{}");
    assert_snapshot!(scene.docker(&["rmi", "-f", &image.id]), @r"
    exit 1
    [err]
    Error response from daemon: conflict: unable to delete id-a-------- (cannot be forced) - image is being used by running container efefefefefef
    ");
    assert_snapshot!(scene.docker(&["rmi", "-f", "alpine:3.20"]), @r"
    exit 0
    [out]
    Untagged: alpine:3.20
    ");
    assert_eq!(scene.must(&["images", "-q", "-f", "dangling=true"]), "id-a--------\n");
}

#[test]
fn force_removes_what_stopped_containers_use() {
    let scene = Scene::new();
    let image = scene.load("a", "docker.io/library/alpine:3.20");
    rows::container(&scene, "alpine:3.20", "cd", ContainerState::Exited, "{}");
    let removed = scene.dhow(&["rmi", "--force", "alpine:3.20"]);
    assert_eq!(removed.code, 0, "{removed}");
    assert!(removed.stdout.starts_with("Untagged: alpine:3.20\nDeleted: sha256:<id-a>\n"), "{removed}");
    scene.load("b", "docker.io/library/alpine:3.20");
    rows::container(&scene, "alpine:3.20", "ef", ContainerState::Exited, "{}");
    assert_eq!(scene.dhow(&["rmi", "-f", &image.id]).code, 0, "missing, but forced");
    assert_eq!(scene.must(&["images", "-q"]), "id-b--------\n");
}

#[test]
fn a_tag_beside_a_digest_is_repeated() {
    let scene = Scene::new();
    let server = scene.serve();
    let name = server.name("acme/web:v1");
    let image = scene.load("a", &name);
    scene.must(&["push", "-q", &name]);
    let removed = scene.must(&["rmi", &format!("{name}@{}", image.manifest.digest)]);
    assert_eq!(removed, "Untagged: [REGISTRY]/acme/web:v1@sha256:<manifest-a>\n");
    assert_eq!(scene.must(&["images", "--format", "{{.Tag}}"]), "v1\n");
}

#[test]
fn an_image_without_a_tag_goes_by_its_digest() {
    let scene = Scene::new();
    let server = scene.serve();
    scene.load("a", "docker.io/library/alpine:3.20");
    let name = server.name("acme/web:v1");
    scene.must(&["tag", "alpine:3.20", &name]);
    scene.must(&["push", "-q", &name]);
    scene.must(&["rmi", "alpine:3.20", &name]);
    scene.must(&["pull", "-q", &name]);
    scene.load("b", "docker.io/library/other:1");
    scene.must(&["tag", "other:1", &name]);
    let by_digest = scene.must(&["images", "--digests", "--no-trunc", "-f", "dangling=true"]);
    assert!(by_digest.contains("sha256:<manifest-a>"), "a digest is no tag: {by_digest}");
    let digest = rows::store(&scene).images().expect("images");
    let digest = digest.iter().flat_map(|image| &image.repo_digests).next().expect("a digest").1.to_string();
    let removed = scene.dhow(&["rmi", &format!("{}@{digest}", server.name("acme/web"))]);
    assert_eq!(removed.code, 0, "{removed}");
    assert!(
        removed.stdout.starts_with("Untagged: [REGISTRY]/acme/web@sha256:<manifest-a>\nDeleted: sha256:<id-a>\n"),
        "{removed}"
    );
}

#[test]
fn everything_goes_at_once() {
    let scene = Scene::new();
    scene.load("a", "docker.io/library/alpine:3.20");
    scene.must(&["tag", "alpine:3.20", "acme/web:v1"]);
    scene.load("b", "docker.io/library/other:1");
    rows::container(&scene, "other:1", "cd", ContainerState::Exited, "{}");
    let removed = scene.dhow(&["rmi", "--all"]);
    assert_eq!(removed.code, 1, "{removed}");
    assert!(removed.stdout.starts_with("Untagged: acme/web:v1\nUntagged: alpine:3.20\nDeleted: sha256:<id-a>\n"));
    assert_eq!(
        removed.stderr,
        "conflict: unable to delete id-b-------- (must be forced) - image is being used by stopped container cdcdcdcdcdcd\n"
    );
    assert_eq!(scene.dhow(&["rmi", "-a", "-f"]).code, 0);
    assert_eq!(scene.must(&["images", "-q"]), "");
    assert_eq!(scene.dhow(&["rmi", "-a"]).to_string(), "exit 0\n");
    assert_eq!(scene.dhow(&["rmi"]).code, 1);
    assert_snapshot!(scene.dhow(&["rmi", "-a", "x"]), @r"
    exit 1
    [err]
    either name images or give --all or --filter, not both
    ");
}

#[test]
fn what_fits_a_filter_goes() {
    let scene = Scene::new();
    scene.load("a", "docker.io/library/alpine:3.20");
    scene.must(&["tag", "alpine:3.20", "acme/web:v1"]);
    scene.load("b", "docker.io/acme/other:1");
    let removed = scene.dhow(&["rmi", "--filter", "reference=acme/*"]);
    assert_eq!(removed.code, 0, "{removed}");
    assert!(removed.stdout.contains("Untagged: acme/web:v1\n"), "{removed}");
    assert!(removed.stdout.contains("Untagged: acme/other:1\nDeleted: sha256:<id-b>\n"), "{removed}");
    let left = scene.must(&["images", "-n"]);
    assert!(left.starts_with("alpine ") && left.lines().count() == 1, "{left}");
}

/// Faults can be armed in builds with debug assertions only.
#[test]
#[cfg(debug_assertions)]
fn names_that_are_gone_are_told_when_the_content_stays() {
    for compat in ["docker", "podman"] {
        let scene = Scene::new();
        scene.load("a", "docker.io/library/alpine:3.20");
        let mut command = scene.command(&["--compat", compat, "rmi", "alpine:3.20"]);
        let removed = scene.run(command.env("DHOW_FAULT", "store.collect.trashed=error"));
        assert_ne!(removed.code, 0, "{removed}");
        assert!(removed.stdout.contains("Untagged: ") && removed.stdout.contains("Deleted: "), "{removed}");
        assert!(removed.stderr.contains("the content stays for the next prune"), "{removed}");
        assert_eq!(scene.must(&["images", "-q"]), "");
    }
}

#[test]
fn missing_images_can_be_ignored() {
    let scene = Scene::new();
    assert_eq!(scene.dhow(&["rmi", "-i", "nope", "neither"]).to_string(), "exit 0\n");
    scene.load("a", "docker.io/library/alpine:3.20");
    scene.must(&["tag", "alpine:3.20", "acme/web:v1"]);
    let id = rows::store(&scene).images().expect("images")[0].id.to_string();
    let mixed = scene.dhow(&["rmi", "--ignore", "nope", &id]);
    assert_eq!(mixed.code, 1);
    assert!(mixed.stderr.contains("must be forced") && mixed.stderr.lines().count() == 1, "{mixed}");
}

#[test]
fn one_platform_goes() {
    let scene = Scene::new();
    scene.load("a", "docker.io/library/alpine:3.20");
    assert_snapshot!(scene.docker(&["rmi", "--platform", "linux/amd64", "alpine:3.20"]), @r"
    exit 1
    [err]
    Error response from daemon: Content will be removed from all images referencing this variant. Use —-force to force delete.
    ");
    assert_snapshot!(scene.dhow(&["rmi", "-f", "--platform", "linux/amd64,linux/s390x", "alpine:3.20"]), @r"
    exit 0
    [err]
    image with reference alpine:3.20 was found but does not provide the specified platform (linux/s390x)
    ");
    assert_eq!(scene.must(&["images", "-q"]), "id-a--------\n", "all or none of the platforms");
    let removed = scene.dhow(&["rmi", "-f", "--platform", "linux/amd64", "alpine:3.20"]);
    assert!(removed.stdout.starts_with("Untagged: alpine:3.20\nDeleted: sha256:<id-a>\n"), "{removed}");
}
