//! `--platform` and `--all-platforms` of `pull`, `push`, `save`, `load`, `image inspect` and `history`.

#![allow(clippy::disallowed_methods, reason = "reads scratch files")]

use std::path::Path;

use dhow_testkit::images::sha256;
use dhow_tests::multi::Multi;
use dhow_tests::scene::{Scene, Server};
use insta::assert_snapshot;
use serde_json::Value;

/// A registry with the image under `acme/app:v1`, and an empty store.
fn published() -> (Scene, Server, Multi, String) {
    let scene = Scene::new();
    let server = scene.serve();
    let image = Multi::new(&scene);
    let name = image.publish(&scene, &server, "acme/app:v1");
    (scene, server, image, name)
}

/// The bytes that a tag of `dhow serve` stands for.
fn served(scene: &Scene, image: &str, tag: &str) -> Vec<u8> {
    let registry = scene.path("registry");
    let link = registry.join("repositories").join(image).join("_tags").join(tag);
    let digest = std::fs::read_to_string(&link).unwrap_or_else(|error| panic!("{link:?}: {error}"));
    std::fs::read(registry.join("blobs").join(digest.replace(':', "/"))).expect("a document")
}

/// The digests of an index's members.
fn members(index: &[u8]) -> Vec<String> {
    let index: Value = serde_json::from_slice(index).expect("JSON");
    let members = index["manifests"].as_array().expect("an index");
    members.iter().map(|member| member["digest"].as_str().expect("a digest").to_owned()).collect()
}

/// The members of the image by their position.
fn those(image: &Multi, positions: &[usize]) -> Vec<String> {
    positions.iter().map(|position| image.members[*position].clone()).collect()
}

/// The ID of one platform of an image.
fn id_for(scene: &Scene, name: &str, platform: &str) -> String {
    let said = scene.must(&["image", "inspect", "--platform", platform, name]);
    let parsed: Value = serde_json::from_str(&said).expect("JSON");
    parsed[0]["Id"].as_str().expect("an ID").to_owned()
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a printable path")
}

#[test]
fn pulling_another_platform_adds_to_the_tag() {
    let (scene, _server, _, name) = published();
    let pull = |platform: &str| scene.must(&["pull", "--platform", platform, &name]);
    assert!(pull("linux/arm/v7").contains("Status: Downloaded newer image for"));
    assert_eq!(scene.must(&["images", "-q", "--no-trunc"]), "sha256:<id-v7>\n");
    assert!(pull("linux/arm64").contains("Status: Downloaded newer image for"));
    assert!(pull("linux/arm64").contains("Status: Image is up to date for"));
    assert_eq!(scene.must(&["images", "-q"]).lines().count(), 1);
    assert_eq!(id_for(&scene, &name, "linux/arm/v7"), "sha256:<id-v7>");
    assert_eq!(id_for(&scene, &name, "linux/arm64/v8"), "sha256:<id-arm64>");
    let said = scene.must(&["image", "inspect", "--platform", "linux/arm/v7", &name]);
    assert!(said.contains("\"[REGISTRY]/acme/app:v1\"") && said.contains("acme/app@sha256:<index>\""), "{said}");
    assert_snapshot!(scene.docker(&["image", "inspect", "--platform", "linux/amd64", &name]), @r"
    exit 1
    [out]
    []
    [err]
    Error response from daemon: image with reference [REGISTRY]/acme/app:v1 was found but does not provide the specified platform (linux/amd64)
    ");
}

#[test]
fn pulling_several_platforms() {
    let (scene, _server, _, name) = published();
    scene.must(&["pull", "-q", "--platform", "linux/amd64,linux/arm64", "--platform=linux/arm/v7", &name]);
    for (platform, id) in [("linux/amd64", "amd64"), ("linux/arm64", "arm64"), ("linux/arm/v7", "v7")] {
        assert_eq!(id_for(&scene, &name, platform), format!("sha256:<id-{id}>"));
    }
    let said = scene.must(&["pull", "--platform", "linux/arm64,linux/amd64", &name]);
    assert!(said.contains("Status: Image is up to date for"), "{said}");
}

#[test]
fn platforms_that_the_registry_has_not() {
    let (scene, _server, _, name) = published();
    assert_snapshot!(scene.docker(&["pull", "-q", "--platform", "linux/amd64,linux/s390x", &name]), @r"
    exit 1
    [err]
    no matching manifest for linux/s390x in the manifest list entries
    ");
    assert_eq!(scene.must(&["images", "-q"]), "");
    assert_snapshot!(scene.docker(&["pull", "--all-platforms", "--platform", "linux/arm64", &name]), @r"
    exit 1
    [err]
    conflicting options: cannot specify both --platform and --all-platforms
    ");
}

#[test]
fn all_platforms_are_passed_on_bit_by_bit() {
    let (scene, server, image, name) = published();
    let copy = server.name("acme/copy:v1");
    scene.must(&["pull", "-q", "--all-platforms", &name]);
    scene.must(&["tag", &name, &copy]);
    for arguments in [&["push", "-q", &copy][..], &["push", "-q", "--all-platforms", &copy]] {
        assert_eq!(scene.dhow(arguments).stderr, "");
        assert_eq!(sha256(&served(&scene, "acme/copy", "v1")), image.index.digest);
    }
    // With everything of it asked for one by one, too.
    let three = "linux/arm64,linux/arm/v7,linux/amd64";
    assert_eq!(scene.dhow(&["push", "-q", "--platform", three, &copy]).stderr, "");
    assert_eq!(sha256(&served(&scene, "acme/copy", "v1")), image.index.digest);
    let said = scene.must(&["pull", "--all-platforms", &name]);
    assert!(said.contains("Status: Image is up to date for"), "{said}");
}

#[test]
fn pushing_some_platforms_rewrites_the_index() {
    let (scene, server, image, name) = published();
    scene.must(&["pull", "-q", "--all-platforms", &name]);
    let copy = server.name("acme/copy:v1");
    scene.must(&["tag", &name, &copy]);
    let output = scene.dhow(&["push", "-q", "--platform", "linux/arm/v7", "--platform", "linux/arm64", &copy]);
    let index = served(&scene, "acme/copy", "v1");
    scene.call_digest(&sha256(&index), "subset");
    assert_snapshot!(scene.shown(output.to_string().as_bytes()), @r"
    exit 0
    [out]
    [REGISTRY]/acme/copy:v1
    [err]

     Info -> Only a part of the image was pushed, under a new index: linux/arm/v7, linux/arm64
             sha256:<index> -> sha256:<subset>
    ");
    assert_eq!(members(&index), those(&image, &[1, 2, 4]));
    let parsed: Value = serde_json::from_slice(&index).expect("JSON");
    assert_eq!(parsed["annotations"]["org.opencontainers.image.source"], "https://example.test");
    assert_eq!(parsed["manifests"][1]["platform"]["variant"], "v7");
    // What was made is complete in the registry: another store can pull it.
    scene.must(&["--root", text(&scene.path("other")), "pull", "-q", "--all-platforms", &copy]);
}

#[test]
fn pushing_what_is_here_of_an_index() {
    let (scene, server, image, name) = published();
    scene.must(&["pull", "-q", "--platform", "linux/arm64", &name]);
    let copy = server.name("acme/copy:v1");
    scene.must(&["tag", &name, &copy]);
    let [output, all] = [&["push", "-q", &copy][..], &["push", "-q", "--all-platforms", &copy]].map(|a| scene.dhow(a));
    assert_eq!(output.to_string(), all.to_string());
    assert_snapshot!(output, @r"
    exit 0
    [out]
    [REGISTRY]/acme/copy:v1
    [err]

     Info -> Not all multiplatform-content is present and only the available single-platform image was pushed
             sha256:<index> -> sha256:<arm64>
    ");
    assert_eq!(sha256(&served(&scene, "acme/copy", "v1")), image.members[1]);
    scene.must(&["pull", "-q", "--platform", "linux/amd64", &name]);
    let output = scene.dhow(&["push", "-q", "--all-platforms", &copy]);
    assert!(output.stderr.contains("under a new index: linux/arm64, linux/amd64\n"), "{output}");
    // Their attestations were not pulled: one platform is a manifest, which has none.
    assert_eq!(members(&served(&scene, "acme/copy", "v1")), those(&image, &[0, 1]));
}

#[test]
fn pushing_one_platform_of_an_index() {
    let (scene, server, image, name) = published();
    scene.must(&["pull", "-q", "--all-platforms", &name]);
    let copy = server.name("acme/copy:v1");
    scene.must(&["tag", &name, &copy]);
    assert_snapshot!(scene.docker(&["push", "-q", "--platform", "linux/arm/v7", &copy]), @r"
    exit 0
    [out]
    [REGISTRY]/acme/copy:v1
    [err]
     Info -> Using --platform pushes only the specified platform manifest of a multi-platform image index.
             Other components, like attestations, will not be included.
             To push the complete multi-platform image, remove the --platform flag.
    ");
    assert_eq!(sha256(&served(&scene, "acme/copy", "v1")), image.members[2]);
    let output = scene.docker(&["push", "-q", "--platform", "linux/arm64,linux/s390x", &copy]);
    assert_snapshot!(output, @r"
    exit 1
    [err]
    image with reference [REGISTRY]/acme/copy:v1 was found but does not provide the specified platform (linux/s390x)
    ");
}

#[test]
fn saving_and_loading_some_platforms() {
    let (scene, _server, _, name) = published();
    scene.must(&["pull", "-q", "--all-platforms", &name]);
    let output = scene.dhow(&["save", "-o", "some.tar", "--platform", "linux/amd64,linux/arm64", &name]);
    assert_eq!(output.code, 0, "{output}");
    assert!(output.stderr.contains("Only a part of the image was saved, under a new index"), "{output}");
    let other = scene.path("other");
    let there = |arguments: &[&str]| scene.dhow(&[&["--root", text(&other)], arguments].concat());
    assert_snapshot!(there(&["load", "-i", "some.tar"]), @r"
    exit 0
    [out]
    Loaded image: [REGISTRY]/acme/app:v1
    ");
    // What was loaded is complete: it goes out as it came.
    assert_snapshot!(there(&["save", "-o", "again.tar", &name]), @"exit 0");
    let bytes = |file: &str| std::fs::read(scene.path(file)).expect("an archive");
    assert!(bytes("some.tar") == bytes("again.tar"), "the archives differ");
    assert_snapshot!(there(&["image", "inspect", "--platform", "linux/arm/v7", &name]), @r"
    exit 1
    [out]
    []
    [err]
    image with reference [REGISTRY]/acme/app:v1 was found but does not provide the specified platform (linux/arm/v7)
    ");
    assert_snapshot!(scene.dhow(&["save", "-o", "one.tar", "--platform", "linux/arm64", &name]), @"exit 0");
    assert_snapshot!(scene.docker(&["save", "-o", "none.tar", "--platform", "linux/s390x", &name]), @r"
    exit 1
    [err]
    Error response from daemon: image with reference [REGISTRY]/acme/app:v1 was found but does not provide the specified platform (linux/s390x)
    ");
    assert!(!scene.path("none.tar").exists());
}

#[test]
fn saving_a_part_of_an_index_says_so() {
    let (scene, _server, _, name) = published();
    scene.must(&["pull", "-q", "--platform", "linux/arm64", &name]);
    assert_snapshot!(scene.dhow(&["save", "-o", "x.tar", &name]), @r"
    exit 0
    [err]

     Info -> Not all multiplatform-content is present and only the available single-platform image was saved
             sha256:<index> -> sha256:<arm64>
    ");
}

#[test]
fn loading_takes_all_platforms_or_those_asked_for() {
    let scene = Scene::new();
    let image = Multi::new(&scene);
    let name = "docker.io/acme/app:v1";
    let archive = image.archive(name);
    scene.must(&["load", "-q", "-i", text(&archive)]);
    for (platform, id) in [("linux/amd64", "amd64"), ("linux/arm64", "arm64"), ("linux/arm/v7", "v7")] {
        assert_eq!(id_for(&scene, "acme/app:v1", platform), format!("sha256:<id-{id}>"));
    }
    let other = scene.path("other");
    let there = |arguments: &[&str]| scene.docker(&[&["--root", text(&other)], arguments].concat());
    assert_snapshot!(there(&["load", "-i", text(&archive), "--platform", "linux/arm64"]), @r"
    exit 0
    [out]
    Loaded image: acme/app:v1
    ");
    assert_snapshot!(there(&["load", "-q", "-i", text(&archive), "--platform", "linux/s390x"]), @r"
    exit 1
    [err]
    no matching manifest for linux/s390x in the manifest list entries
    ");
    assert_snapshot!(there(&["load", "-q", "-i", text(&archive), "--platform", "linux/amd64,linux/s390x"]), @r"
    exit 1
    [out]
    Loaded image: acme/app:v1
    [err]
    image acme/app:v1 was loaded, but doesn't provide the requested platform ([linux/s390x])
    ");
    assert_eq!(there(&["image", "inspect", "--platform", "linux/amd64", "acme/app:v1"]).code, 0);
}

#[test]
fn loading_from_an_archive_with_a_part_of_the_index() {
    let scene = Scene::new();
    let image = Multi::new(&scene);
    image.remove(1);
    let archive = image.archive("docker.io/acme/app:v1");
    assert_snapshot!(scene.docker(&["load", "-q", "-i", text(&archive), "--platform", "linux/arm64"]), @r"
    exit 1
    [err]
    requested platform (linux/arm64) not found: content digest sha256:<arm64>: not found
    ");
    assert_eq!(scene.must(&["images", "-q"]), "");
    scene.must(&["load", "-q", "-i", text(&archive)]);
    assert_eq!(id_for(&scene, "acme/app:v1", "linux/arm/v7"), "sha256:<id-v7>");
    assert_eq!(scene.dhow(&["image", "inspect", "--platform", "linux/arm64", "acme/app:v1"]).code, 1);
}

#[test]
fn loading_one_image_for_another_platform() {
    let scene = Scene::new();
    let image = scene.image("a");
    let archive = image.archive(&["docker.io/acme/web:v1"]);
    assert_snapshot!(scene.docker(&["load", "-q", "-i", text(&archive), "--platform", "linux/arm64"]), @r"
    exit 1
    [out]
    Loaded image: acme/web:v1
    [err]
    image acme/web:v1 was loaded, but doesn't provide the requested platform ([linux/arm64])
    ");
    assert_snapshot!(scene.docker(&["load", "-q", "-i", text(&archive), "--platform", "linux/amd64"]), @r"
    exit 0
    [out]
    Loaded image: acme/web:v1
    ");
}

#[test]
fn indexes_in_indexes() {
    let scene = Scene::new();
    let server = scene.serve();
    let image = Multi::new(&scene).nest(&scene);
    let name = image.publish(&scene, &server, "acme/app:v1");
    scene.must(&["pull", "-q", "--platform", "linux/arm64,linux/s390x", &name]);
    assert_eq!(id_for(&scene, &name, "linux/arm64"), "sha256:<id-arm64>");
    assert_eq!(scene.dhow(&["image", "inspect", "--platform", "linux/amd64", &name]).code, 1);
    assert_snapshot!(scene.docker(&["pull", "-q", "--platform", "linux/arm64,linux/ppc64le", &name]), @r"
    exit 1
    [err]
    no matching manifest for linux/ppc64le in the manifest list entries
    ");
    let copy = server.name("acme/copy:v1");
    scene.must(&["tag", &name, &copy]);
    scene.must(&["push", "-q", "--all-platforms", &copy]);
    let outer = members(&served(&scene, "acme/copy", "v1"));
    assert_eq!(outer.len(), 2);
    let inner = scene.path("registry/blobs").join(outer[1].replace(':', "/"));
    assert_eq!(members(&std::fs::read(inner).expect("the inner index")), those(&image, &[1, 4]));
    // All of it is passed on bit by bit, however deep.
    scene.must(&["pull", "-q", "--all-platforms", &name]);
    scene.must(&["push", "-q", &copy]);
    assert_eq!(sha256(&served(&scene, "acme/copy", "v1")), image.index.digest);
}

#[test]
fn names_of_one_platform_are_those_of_the_whole() {
    let (scene, _server, image, name) = published();
    scene.must(&["pull", "-q", "--all-platforms", &name]);
    let id = id_for(&scene, &name, "linux/arm64");
    scene.must(&["tag", &name, "acme/same:v1"]);
    for manifest in &image.members[..3] {
        scene.must(&["tag", manifest, &format!("acme/one:{}", &manifest[7..19])]);
    }
    let said = scene.must(&["image", "inspect", "--platform", "linux/arm64", "acme/same:v1"]);
    let parsed: Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!(parsed[0]["RepoTags"], serde_json::json!(["[REGISTRY]/acme/app:v1", "acme/same:v1"]));
    assert_eq!(parsed[0]["Id"], id);
}

#[test]
fn the_history_of_one_platform() {
    let scene = Scene::new();
    let image = Multi::new(&scene);
    scene.must(&["load", "-q", "-i", text(&image.archive("docker.io/acme/app:v1"))]);
    let quiet = |platform: &str| scene.docker(&["history", "-q", "--no-trunc", "--platform", platform, "acme/app:v1"]);
    assert_snapshot!(quiet("linux/arm64"), @r"
    exit 0
    [out]
    sha256:<id-arm64>
    ");
    assert_snapshot!(quiet("linux/s390x"), @r"
    exit 1
    [err]
    Error response from daemon: image with reference acme/app:v1 was found but does not provide the specified platform (linux/s390x)
    ");
}
