//! `push`

#![allow(clippy::disallowed_methods, reason = "scratch files of the test itself")]

use std::fs;

use dhow_spec::Digest;
use dhow_testkit::images::{Compression, Format, Layout, Recipe};
use dhow_tests::interop::pushed_digest;
use dhow_tests::scene::{Scene, Server};
use insta::assert_snapshot;
use serde_json::json;

use super::files::{Entry, tar_of};

/// A registry, and an image that is tagged for it as `acme/web:v1`.
fn tagged() -> (Scene, Server, String) {
    let scene = Scene::new();
    let server = scene.serve();
    let name = server.name("acme/web:v1");
    scene.load("a", &name);
    (scene, server, name)
}

#[test]
fn top_layer_first_then_the_digest() {
    let (scene, _server, name) = tagged();
    let output = scene.must(&["push", &name]);
    let lines: Vec<&str> = output.lines().collect();
    assert_snapshot!(lines[..3].join("\n"), @r"
    The push refers to repository [[REGISTRY]/acme/web]
    upper-a-----: Preparing
    lower-------: Preparing
    ");
    let mut pushed = lines[3..5].to_vec();
    pushed.sort_unstable();
    assert_eq!(pushed, ["lower-------: Pushed", "upper-a-----: Pushed"]);
    assert_eq!(lines[5], "v1: digest: sha256:<manifest-a> size: 656");
    assert_eq!(lines.len(), 6, "{output}");
}

/// Docker reaches the registry before it speaks of layers.
#[test]
fn nothing_is_prepared_for_a_registry_that_does_not_answer() {
    let scene = Scene::new();
    scene.load("a", "127.0.0.1:1/acme/web:v1");
    assert_snapshot!(scene.dhow(&["push", "127.0.0.1:1/acme/web:v1"]), @r#"
    exit 1
    [out]
    The push refers to repository [127.0.0.1:1/acme/web]
    [err]
    Get "http://127.0.0.1:1/v2/": dial tcp 127.0.0.1:1: connect: connection refused
    "#);
}

#[test]
fn what_is_there_is_not_sent_again() {
    let (scene, _server, name) = tagged();
    scene.must(&["push", "-q", &name]);
    let output = scene.must(&["push", &name]);
    assert!(output.contains("\nlower-------: Layer already exists\n"), "{output}");
    assert!(output.contains("\nupper-a-----: Layer already exists\n"), "{output}");
    assert!(!output.contains("Pushed"), "{output}");
}

#[test]
fn layers_are_mounted_from_a_repository_that_has_them() {
    let (scene, server, name) = tagged();
    scene.must(&["push", "-q", &name]);
    let copy = server.name("acme/copy:v1");
    scene.must(&["tag", &name, &copy]);
    let output = scene.must(&["push", &copy]);
    assert!(output.contains("\nlower-------: Mounted from acme/web\n"), "{output}");
    assert!(output.contains("\nupper-a-----: Mounted from acme/web\n"), "{output}");
}

/// What scripts ask for after a push: the digest that the registry knows the image by.
#[test]
fn what_was_pushed_is_known_by_its_digest() {
    let (scene, _server, name) = tagged();
    let digests = || scene.must(&["images", "--digests"]);
    assert!(digests().contains("   <none>   "), "{}", digests());
    scene.must(&["push", "-q", &name]);
    assert!(digests().contains("   sha256:<manifest-a>   id-a--------   "), "{}", digests());
    let inspected = scene.must(&["inspect", &name]);
    assert!(inspected.contains("\"[REGISTRY]/acme/web@sha256:<manifest-a>\""), "{inspected}");
    let removed = scene.must(&["rmi", &name]);
    assert!(removed.starts_with(&format!("Untagged: {}\n", scene.shown(name.as_bytes()))), "{removed}");
    assert!(removed.contains("Untagged: [REGISTRY]/acme/web@sha256:<manifest-a>\nDeleted: "), "{removed}");
    assert_eq!(scene.must(&["images", "-q"]), "");
}

#[test]
fn quiet_prints_the_name() {
    let (scene, _server, name) = tagged();
    assert_snapshot!(scene.dhow(&["push", "-q", &name]), @r"
    exit 0
    [out]
    [REGISTRY]/acme/web:v1
    ");
}

#[test]
fn all_tags() {
    let (scene, server, name) = tagged();
    scene.must(&["tag", &name, &server.name("acme/web:v2")]);
    let output = scene.must(&["push", "-a", &server.name("acme/web")]);
    for tag in ["v1", "v2"] {
        assert!(output.contains(&format!("\n{tag}: digest: sha256:<manifest-a> size: ")), "{output}");
    }
    assert_eq!(output.matches("The push refers to repository").count(), 1, "{output}");
}

#[test]
fn refuses_in_docker_s_words() {
    let (scene, server, name) = tagged();
    let digest = format!("acme/web@sha256:{}", "ab".repeat(32));
    assert_snapshot!(scene.docker(&["push", &digest]), @r"
    exit 1
    [err]
    cannot push a digest reference
    ");
    assert_snapshot!(scene.docker(&["push", "-a", &name]), @r"
    exit 1
    [err]
    tag can't be used with --all-tags/-a
    ");
    assert_snapshot!(scene.docker(&["push", "acme/nope"]), @r"
    exit 1
    [out]
    Using default tag: latest
    The push refers to repository [docker.io/acme/nope]
    [err]
    An image does not exist locally with the tag: acme/nope
    ");
    assert_snapshot!(scene.docker(&["push", &server.name("acme/web:v9")]), @r"
    exit 1
    [out]
    The push refers to repository [[REGISTRY]/acme/web]
    [err]
    tag does not exist: [REGISTRY]/acme/web:v9
    ");
}

/// As docker sends them. What was compressed is kept in place of what was not, under all names of the image.
#[test]
fn layers_that_were_made_here_travel_as_gzip() {
    let scene = Scene::new();
    let server = scene.serve();
    let (name, other) = (server.name("acme/made:v1"), server.name("acme/made:v2"));
    assert_eq!(scene.fed(&["import", "-", &name], &tar_of(&[Entry::File("a", &[b'a'; 100_000])])).code, 0);
    scene.must(&["tag", &name, &other]);
    let id = scene.must(&["images", "-q", "--no-trunc", &name]);
    let pushed = pushed_digest(&scene.must(&["push", &name]));
    let manifest = scene.must(&["manifest", "inspect", &name]);
    assert!(manifest.contains("application/vnd.oci.image.layer.v1.tar+gzip"), "{manifest}");
    assert_eq!(scene.must(&["images", "-q", "--no-trunc"]), id.repeat(2));
    let blobs = || fs::read_dir(scene.path("store/blobs/sha256")).expect("blobs").count();
    assert_eq!(blobs(), 3, "a layer, a config, a manifest");
    let again = scene.must(&["push", &other]);
    assert!(again.contains("Layer already exists"), "{again}");
    assert_eq!(pushed_digest(&again), pushed);
    assert_eq!(scene.must(&["cat", &format!("{name}:/a")]).len(), 100_000);
    assert!(scene.must(&["system", "check"]).ends_with(": no problems\n"));
    scene.must(&["rmi", &name, &other]);
    assert_eq!(blobs(), 0);
    scene.must(&["pull", "-q", &name]);
    assert_eq!(scene.must(&["images", "-q", "--no-trunc"]), id);
}

/// An image has layers of both kinds when it was made of one that came uncompressed.
#[test]
fn only_layers_that_were_made_here_are_compressed() {
    let Some(scene) = super::run::scene() else { return };
    let server = scene.serve();
    let (base, made) = (server.name("acme/base:v1"), server.name("acme/made:v1"));
    let mut layout = Layout::create(&scene.path("plain")).expect("a layout");
    let layer = layout.layer(&*tar_of(&[Entry::File("a", b"a")]), Format::Oci, Compression::None).expect("a layer");
    let recipe = Recipe { architecture: "amd64".to_owned(), ..Recipe::default() };
    let image = layout.image(&[layer], &recipe).expect("an image");
    layout.name_images([(&image, "plain")]).expect("names");
    scene.must(&["copy", "-q", "oci:plain", &format!("docker://{base}")]);
    scene.must(&["create", "--name", "one", &base, "none"]);
    scene.must(&["cp", "plain/index.json", "one:/b"]);
    scene.must(&["commit", "one", &made]);
    scene.must(&["push", "-q", &made]);
    let manifest = scene.must(&["manifest", "inspect", &made]);
    assert_eq!(manifest.matches("image.layer.v1.tar\"").count(), 1, "{manifest}");
    assert_eq!(manifest.matches("image.layer.v1.tar+gzip\"").count(), 1, "{manifest}");
    assert!(scene.must(&["cat", &format!("{made}:/b")]).contains("manifests"));
}

/// What `docker save` writes of an image of plain layers.
fn docker_archive(name: &str, layers: &[&[u8]]) -> Vec<u8> {
    let diff_ids: Vec<String> = layers.iter().map(|layer| Digest::sha256(layer).to_string()).collect();
    let rootfs = json!({ "type": "layers", "diff_ids": diff_ids });
    let config = json!({ "architecture": "amd64", "os": "linux", "rootfs": rootfs, "history": [] }).to_string();
    let paths: Vec<String> = (0..layers.len()).map(|number| format!("{number}/layer.tar")).collect();
    let manifest = json!([{ "Config": "c.json", "RepoTags": [name], "Layers": paths }]).to_string();
    let mut entries: Vec<Entry<'_>> = paths.iter().zip(layers).map(|(path, layer)| Entry::File(path, layer)).collect();
    entries.extend([Entry::File("c.json", config.as_bytes()), Entry::File("manifest.json", manifest.as_bytes())]);
    tar_of(&entries)
}

/// A registry that does not take the image says so before anything is compressed.
#[test]
fn nothing_is_compressed_for_a_registry_that_does_not_answer() {
    let scene = Scene::new();
    let server = scene.serve();
    let name = server.name("acme/made:v1");
    drop(server);
    let layer = tar_of(&[Entry::File("a", &[b'a'; 100_000])]);
    assert_eq!(scene.fed(&["load"], &docker_archive(&name, &[&layer])).code, 0);
    assert_eq!(scene.dhow(&["push", &name]).code, 1);
    let digest = Digest::sha256(&layer);
    assert_eq!(fs::read(scene.path("store/blobs/sha256").join(digest.hex())).expect("the layer"), layer);
}

/// What another image here has with gzip is taken from there. The plain layer is damaged, so that reading it would fail.
#[test]
fn a_layer_is_compressed_once() {
    let scene = Scene::new();
    let server = scene.serve();
    let (base, built) = (server.name("acme/base:v1"), server.name("acme/built:v1"));
    let lower = tar_of(&[Entry::File("a", &[b'a'; 100_000])]);
    let upper = tar_of(&[Entry::File("b", b"b")]);
    for archive in [docker_archive(&base, &[&lower]), docker_archive(&built, &[&lower, &upper])] {
        assert_eq!(scene.fed(&["load"], &archive).code, 0);
    }
    scene.must(&["push", &base]);
    let plain = scene.path("store/blobs/sha256").join(Digest::sha256(&lower).hex());
    assert_eq!(fs::read(&plain).expect("the other image still needs it"), lower);
    fs::write(&plain, vec![0; lower.len()]).expect("damaged");
    scene.must(&["push", &built]);
    scene.must(&["rmi", &built]);
    scene.must(&["pull", "-q", &built]);
    assert_eq!(scene.must(&["cat", &format!("{built}:/a")]).len(), 100_000);
}

/// A docker-archive has no manifest: the one that the image gets here is nobody's yet, and what `docker save` wrote plain was compressed
/// before, or is to be.
#[test]
fn plain_layers_of_a_docker_archive_travel_as_gzip() {
    let scene = Scene::new();
    let server = scene.serve();
    let (loaded, copied) = (server.name("acme/loaded:v1"), server.name("acme/copied:v1"));
    let archive = docker_archive(&loaded, &[&tar_of(&[Entry::File("a", &[b'a'; 100_000])])]);
    assert_eq!(scene.fed(&["load"], &archive).code, 0);
    let id = scene.must(&["images", "-q", "--no-trunc", &loaded]);
    let pushed = pushed_digest(&scene.must(&["push", &loaded]));
    let manifest = scene.must(&["manifest", "inspect", &loaded]);
    assert!(manifest.contains("application/vnd.docker.image.rootfs.diff.tar.gzip"), "{manifest}");
    assert_eq!(scene.must(&["images", "-q", "--no-trunc"]), id);
    assert_eq!(scene.must(&["cat", &format!("{loaded}:/a")]).len(), 100_000);
    assert!(scene.must(&["system", "check"]).ends_with(": no problems\n"));
    // Loaded again, it is the plain one again, and becomes the same.
    assert_eq!(scene.fed(&["load"], &archive).code, 0);
    assert_eq!(pushed_digest(&scene.must(&["push", &loaded])), pushed);
    fs::write(scene.path("plain.tar"), &archive).expect("an archive");
    scene.must(&["rmi", "-f", &loaded]);
    scene.must(&["pull", "-q", &loaded]);
    assert_eq!(scene.must(&["images", "-q", "--no-trunc"]), id);
    scene.must(&["rmi", &loaded]);
    scene.must(&["copy", "-q", "docker-archive:plain.tar", &format!("store:{copied}")]);
    assert_eq!(pushed_digest(&scene.must(&["push", &copied])), pushed);
}

/// An archive says of an image that no registry knew it: wherever it is loaded, its layers leave as they would have where it was made.
#[test]
fn layers_that_were_made_elsewhere_travel_as_gzip() {
    let scene = Scene::new();
    let server = scene.serve();
    let (name, copied) = (server.name("acme/made:v1"), server.name("acme/copied:v1"));
    assert_eq!(scene.fed(&["import", "-", &name], &tar_of(&[Entry::File("a", &[b'a'; 100_000])])).code, 0);
    scene.must(&["save", "-o", "made.tar", &name]);
    assert_eq!(scene.podman(&["save", "--format", "oci-dir", "-o", "made", &name]).code, 0);
    for (store, archive) in [("one", "made.tar"), ("two", "made")] {
        scene.must(&["--root", store, "load", "-i", archive]);
        // Handed on, it is still one that no registry knows.
        scene.must(&["--root", store, "save", "-o", &format!("{store}.tar"), &name]);
    }
    assert_eq!(
        fs::read(scene.path("one.tar")).expect("an archive"),
        fs::read(scene.path("made.tar")).expect("an archive")
    );
    let pushed = pushed_digest(&scene.must(&["push", &name]));
    for store in ["one", "two"] {
        let again = server.name(&format!("acme/{store}:v1"));
        scene.must(&["--root", store, "tag", &name, &again]);
        assert_eq!(pushed_digest(&scene.must(&["--root", store, "push", &again])), pushed);
    }
    scene.must(&["copy", "-q", "docker-archive:one.tar", &format!("docker://{copied}")]);
    assert!(scene.must(&["manifest", "inspect", &copied]).contains("image.layer.v1.tar+gzip"));
    let unpublished = |archive: &str| {
        let bytes = fs::read(scene.path(archive)).expect("an archive");
        bytes.windows(16).any(|window| window == b"dhow.unpublished")
    };
    scene.must(&["save", "-o", "known.tar", &name]);
    assert_eq!((unpublished("made.tar"), unpublished("known.tar")), (true, false));
}

/// What somebody else may know by its digest keeps that.
#[test]
fn layers_that_came_uncompressed_go_as_they_came() {
    let scene = Scene::new();
    let server = scene.serve();
    let (name, other) = (server.name("acme/plain:v1"), server.name("acme/other:v1"));
    let mut layout = Layout::create(&scene.path("plain")).expect("a layout");
    let layer = layout.layer(&*tar_of(&[Entry::File("a", b"a")]), Format::Oci, Compression::None).expect("a layer");
    let image = layout.image(&[layer], &Recipe::default()).expect("an image");
    layout.name_images([(&image, "plain")]).expect("names");
    scene.must(&["copy", "-q", "oci:plain", &format!("docker://{name}")]);
    scene.must(&["pull", "-q", &name]);
    scene.must(&["tag", &name, &other]);
    assert_eq!(pushed_digest(&scene.must(&["push", &other])), scene.shown(image.digest.as_bytes()));
}
