//! `image tree`

use dhow_tests::scene::Scene;

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
