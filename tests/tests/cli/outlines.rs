//! What comes after an image was looked into: outlines of its layers are in the store then, and no whole layer.

#![allow(clippy::disallowed_methods, reason = "scratch files of the test itself")]

use std::fs;

use dhow_tests::scene::Scene;

use crate::failures::Mounted;
use crate::files::{layer_files, load};
use crate::run;

const NAME: &str = "acme/files:v1";

/// The endings of the names of the files that layers have in the store.
fn endings(scene: &Scene) -> Vec<String> {
    let ending = |(name, _): (String, u64)| name.rsplit('.').next().unwrap_or_default().to_owned();
    layer_files(scene).into_iter().map(ending).collect()
}

/// A store in which an image was looked into.
fn looked_into() -> Scene {
    let scene = Scene::new();
    load(&scene, "docker.io/acme/files:v1");
    scene.must(&["ls", "-R", &format!("{NAME}:/")]);
    assert_eq!(endings(&scene), ["outline", "outline"]);
    scene
}

#[test]
fn what_needs_whole_layers_takes_no_outline_for_one() {
    let without = Scene::new();
    load(&without, "docker.io/acme/files:v1");
    for (words, file) in [
        (&["export", "-o", "result", NAME][..], "result"),
        (&["unpack", NAME, "result"], "result/etc/passwd"),
        (&["cp", "acme/files:v1:/", "result"], "result/usr/lib/y"),
    ] {
        let scene = looked_into();
        assert_eq!(scene.must(words), without.must(words), "{words:?}");
        let read = |scene: &Scene| fs::read(scene.path(file)).unwrap_or_else(|error| panic!("{words:?}: {error}"));
        assert!(read(&scene) == read(&without), "{words:?}");
        fs::remove_dir_all(without.path("result"))
            .or_else(|_| fs::remove_file(without.path("result")))
            .expect("removed");
        // Whole layers take the place of outlines.
        let endings = endings(&scene);
        assert!(endings == ["outline"; 2] || endings == ["erofs"; 2], "{words:?}: {endings:?}");
        scene.must(&["system", "check"]);
    }
}

#[test]
fn a_container_has_its_files_though_the_image_was_looked_into() {
    let Some(scene) = run::scene() else { return };
    scene.must(&["ls", "-R", "box:/"]);
    assert!(endings(&scene).iter().all(|ending| ending == "outline"), "{:?}", layer_files(&scene));
    run::says(&scene, &[], "test -s /bin/sh && echo whole", "whole\n");
    assert!(!endings(&scene).iter().any(|ending| ending == "outline"), "{:?}", layer_files(&scene));
}

#[test]
fn outlines_are_healthy_counted_and_pruned() {
    for prune in [&["image", "prune", "-af"][..], &["system", "prune", "-af"], &["rmi", NAME]] {
        let scene = looked_into();
        scene.must(&["system", "check"]);
        let parts = scene.must(&["system", "df", "--disk", "--format", "json"]);
        let layers = parts.lines().find(|line| line.contains("\"layers\"")).expect("a row");
        assert!(layers.contains("\"files\":2,"), "{layers}");
        scene.must(prune);
        assert_eq!(layer_files(&scene), [], "{prune:?}");
    }
}

#[test]
fn an_image_of_a_store_that_can_only_be_read_can_be_looked_into() {
    let commands = [
        &["ls", "-lR", "acme/files:v1:/"][..],
        &["cat", "acme/files:v1:/lib/x"],
        &["cp", "acme/files:v1:/usr", "-"],
        &["cp", "acme/files:v1:/", "-"],
        &["diff", NAME],
    ];
    let without = Scene::new();
    load(&without, "docker.io/acme/files:v1");
    let scene = Scene::new();
    load(&scene, "docker.io/acme/files:v1");
    let store = scene.path("store");
    let source = store.to_string_lossy();
    let binds = [&["--bind", &*source][..], &["-o", "remount,ro,bind"]];
    let Some(_mounted) = Mounted::new(&store, &binds) else { return };
    for words in commands {
        assert_eq!(scene.must(words), without.must(words), "{words:?}");
    }
    assert_eq!(layer_files(&scene), []);
    let told = scene.command(&["ls", "acme/files:v1:/"]).env("TMPDIR", "/nowhere").output().expect("dhow");
    let expected = "cannot look into a layer of a store that can only be read: cannot write to \"/nowhere\"";
    let told = String::from_utf8_lossy(&told.stderr).into_owned();
    assert!(told.contains(expected), "{told}");
}
