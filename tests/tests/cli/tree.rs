//! `image tree`

use dhow_testkit::images::{Blob, Compression, Entry, Format, Layout, Recipe, tar_of};
use dhow_tests::scene::Scene;
use insta::assert_snapshot;

#[test]
fn layers_with_sizes_and_the_images_that_end_there() {
    let scene = Scene::new();
    scene.load("a", "docker.io/library/alpine:3.20");
    scene.must(&["tag", "alpine:3.20", "acme/web:v1"]);
    let tree = scene.must(&["image", "tree", "alpine:3.20"]);
    let lines: Vec<&str> = tree.lines().collect();
    assert_eq!(
        lines[..4],
        [
            "Image ID: id-a--------",
            "Tags:     [docker.io/acme/web:v1 docker.io/library/alpine:3.20]",
            "Size:     4.096kB",
            "Image Layers"
        ]
    );
    assert!(lines[4].starts_with("├── ID: ") && lines[4].ends_with(" Size: 2.048kB"), "{tree}");
    let top = " Size: 2.048kB Top Layer of: [docker.io/acme/web:v1 docker.io/library/alpine:3.20]";
    assert!(lines[5].starts_with("└── ID: ") && lines[5].ends_with(top), "{tree}");
    assert_eq!(lines.len(), 6);
    assert_eq!(scene.dhow(&["image", "tree", "nope"]).stderr, "No such image: nope:latest\n");
}

/// Images that grow out of each other: each letter is a layer, and an image has the letters of its name.
fn grove(scene: &Scene, names: &[&str]) {
    let mut layout = Layout::create(&scene.path("grove")).expect("a layout");
    let layer = |letter: char| {
        let content = letter.to_string();
        let tar = tar_of(&[Entry { path: &format!("layer-{letter}"), mode: 0o644, content: content.as_bytes() }]);
        layout.layer(&*tar.expect("a tar"), Format::Oci, Compression::None).expect("a layer")
    };
    let image = |name: &&str| {
        let recipe = Recipe { architecture: "amd64".to_owned(), ..Recipe::default() };
        layout.image(&name.chars().map(layer).collect::<Vec<_>>(), &recipe).expect("an image")
    };
    let images: Vec<(Blob, String)> =
        names.iter().map(|name| (image(name), format!("docker.io/grove/{name}:v1"))).collect();
    layout.name_images(images.iter().map(|(image, name)| (image, name.as_str()))).expect("names");
    layout.archive(&scene.path("grove.tar")).expect("an archive");
    scene.must(&["load", "-i", "grove.tar"]);
}

/// Chain IDs say nothing: the tree without them.
fn without_ids(tree: &str) -> String {
    let line = |line: &str| match line.split_once("ID: ") {
        Some((before, rest)) => format!("{before}{}\n", rest.split_once(' ').map_or("", |(_, rest)| rest)),
        None => format!("{line}\n"),
    };
    tree.lines().map(line).collect()
}

#[test]
fn what_is_built_upon_an_image_as_podman_draws_it() {
    let scene = Scene::new();
    grove(&scene, &["x", "xa", "xb", "xac", "xacd", "xbe"]);
    assert_snapshot!(without_ids(&scene.must(&["image", "tree", "--whatrequires", "grove/x:v1"])), @r"
    Image 
    Tags:     [docker.io/grove/x:v1]
    Size:     2.048kB
    Image Layers
    ├── Size: 2.048kB Top Layer of: [docker.io/grove/x:v1]
    ├── Size: 2.048kB Top Layer of: [docker.io/grove/xa:v1]
    │   ├── Size: 2.048kB Top Layer of: [docker.io/grove/xac:v1]
    │   └── Size: 2.048kB Top Layer of: [docker.io/grove/xacd:v1]
    └── Size: 2.048kB Top Layer of: [docker.io/grove/xb:v1]
        └── Size: 2.048kB Top Layer of: [docker.io/grove/xbe:v1]
    ");
    assert_snapshot!(without_ids(&scene.must(&["image", "tree", "--whatrequires", "grove/xb:v1"])), @r"
    Image 
    Tags:     [docker.io/grove/xb:v1]
    Size:     4.096kB
    Image Layers
    └── Size: 2.048kB Top Layer of: [docker.io/grove/xb:v1]
        └── Size: 2.048kB Top Layer of: [docker.io/grove/xbe:v1]
    ");
    assert_eq!(scene.dhow(&["image", "tree", "--whatrequires", "nope"]).stderr, "No such image: nope:latest\n");
}
