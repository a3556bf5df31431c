//! `images`, `image ls`

use dhow_tests::scene::Scene;
use insta::assert_snapshot;

fn two_images() -> Scene {
    let scene = Scene::new();
    scene.load("a", "docker.io/library/alpine:3.20");
    scene.must(&["tag", "alpine:3.20", "ghcr.io/acme/web:v1"]);
    scene.must(&["tag", "alpine:3.20", "alpine"]);
    scene.load("b", "docker.io/acme/other:latest");
    scene
}

#[test]
fn an_empty_store_has_a_header() {
    let scene = Scene::new();
    assert_snapshot!(scene.dhow(&["images"]), @r"
    exit 0
    [out]
    REPOSITORY   TAG       IMAGE ID   CREATED   SIZE
    ");
    assert_snapshot!(scene.dhow(&["images", "-q"]), @"exit 0");
}

#[test]
fn one_row_for_each_tag() {
    let scene = two_images();
    assert_snapshot!(scene.dhow(&["images", "alpine"]), @r"
    exit 0
    [out]
    REPOSITORY   TAG       IMAGE ID       CREATED                  SIZE
    alpine       3.20      id-a--------   Less than a second ago   4.1kB
    alpine       latest    id-a--------   Less than a second ago   4.1kB
    ");
    let all = scene.must(&["image", "ls"]);
    assert_eq!(all.lines().count(), 5, "{all}");
    assert!(all.contains("\nghcr.io/acme/web   v1        id-a--------   Less than a second ago   4.1kB\n"), "{all}");
}

#[test]
fn dangling_images_have_no_name() {
    let scene = two_images();
    scene.load("c", "docker.io/acme/other:latest");
    assert_snapshot!(scene.dhow(&["images", "--filter", "dangling=true"]), @r"
    exit 0
    [out]
    REPOSITORY   TAG       IMAGE ID       CREATED                  SIZE
    <none>       <none>    id-b--------   Less than a second ago   4.1kB
    ");
    assert_snapshot!(scene.dhow(&["images", "-q", "--filter", "dangling=true"]), @r"
    exit 0
    [out]
    id-b--------
    ");
}

#[test]
fn ids_in_full() {
    let scene = two_images();
    assert_snapshot!(scene.dhow(&["images", "-q", "--no-trunc", "ghcr.io/acme/web"]), @r"
    exit 0
    [out]
    sha256:<id-a>
    ");
}

#[test]
fn formats_for_machines() {
    let scene = two_images();
    assert_snapshot!(scene.dhow(&["images", "--format", "json", "acme/other"]), @r#"
    exit 0
    [out]
    {"Containers":"N/A","CreatedAt":"2200-01-01 00:00:00 +0000 UTC","CreatedSince":"Less than a second ago","Digest":"\u003cnone\u003e","ID":"id-b--------","Repository":"acme/other","SharedSize":"N/A","Size":"4.1kB","Tag":"latest","UniqueSize":"N/A","VirtualSize":"4.096kB"}
    "#);
    assert_snapshot!(scene.dhow(&["images", "--format", "raw", "acme/other"]), @r"
    exit 0
    [out]
    repository: acme/other
    tag: latest
    image_id: id-b--------
    created_at: 2200-01-01 00:00:00 +0000 UTC
    virtual_size: 4.1kB
    ");
    assert_snapshot!(scene.dhow(&["images", "--format", "{{.ID}}"]), @r#"
    exit 1
    [err]
    --format "{{.ID}}" is not supported: only "table", "json" and "raw" are, Go templates are not yet
    "#);
}

#[test]
fn bad_filters() {
    let scene = Scene::new();
    assert_snapshot!(scene.docker(&["images", "--filter", "foo=bar"]), @r"
    exit 1
    [err]
    Error response from daemon: invalid filter 'foo'
    ");
    assert_snapshot!(scene.docker(&["images", "--filter", "dangling=x"]), @r"
    exit 1
    [err]
    Error response from daemon: invalid filter 'dangling=[x]'
    ");
}

#[test]
fn a_typing_mistake_gets_a_hint() {
    let scene = Scene::new();
    assert_snapshot!(scene.docker(&["images", "ls"]), @r#"
    exit 0
    [out]
    REPOSITORY   TAG       IMAGE ID   CREATED   SIZE
    [err]
    No images found matching "ls": did you mean "docker image ls"?
    "#);
}
