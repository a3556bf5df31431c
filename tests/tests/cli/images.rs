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

/// `old` (2020, label a=1), `new` (2030, labels a=2 and b), `plain` (2200, no label).
fn three_ages() -> Scene {
    let scene = Scene::new();
    let old = scene.image_with("old", "2020-01-01T00:00:00Z", &[("a", "1")]);
    scene.load_image(old, "docker.io/acme/old:1");
    let new = scene.image_with("new", "2130-01-01T00:00:00Z", &[("a", "2"), ("b", "")]);
    scene.load_image(new, "docker.io/acme/new:1");
    scene.load("plain", "docker.io/library/plain:latest");
    scene
}

/// The repositories that filters leave, without `acme/`.
#[track_caller]
fn check(scene: &Scene, filters: &[&str], expected: &str) {
    let mut arguments = vec!["images", "--format", "json"];
    arguments.extend(filters.iter().flat_map(|filter| ["--filter", filter]));
    let lines = scene.must(&arguments);
    let rows = lines.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"));
    let found: Vec<String> =
        rows.map(|row| row["Repository"].as_str().unwrap_or_default().replace("acme/", "")).collect();
    assert_eq!(found.join(" "), expected, "{filters:?}");
}

#[test]
fn filters_by_label() {
    let scene = three_ages();
    check(&scene, &["label=a"], "new old");
    check(&scene, &["label=a=1"], "old");
    check(&scene, &["label=a", "label=b"], "new");
    check(&scene, &["label!=a"], "plain");
    check(&scene, &["label!=a=1", "label!=b"], "plain");
    check(&scene, &["label=a", "label!=b"], "old");
    check(&scene, &["label=x"], "");
}

#[test]
fn filters_by_time() {
    let scene = three_ages();
    check(&scene, &["until=2100-01-01"], "old");
    check(&scene, &["until=24h"], "old");
    check(&scene, &["until=1w2d"], "old");
    check(&scene, &["until=2200-01-01T00:00:00Z"], "new old");
    check(&scene, &["until=-1000000h"], "new old");
    check(&scene, &["before=plain"], "new old");
    check(&scene, &["before=plain", "before=acme/new:1"], "old");
    check(&scene, &["since=acme/old:1"], "plain new");
    check(&scene, &["since=acme/old:1", "since=acme/new:1"], "plain");
    check(&scene, &["since=acme/old:1", "before=plain"], "new");
    check(&scene, &["unused-for=1h"], "");
    check(&scene, &["unused-for=0s"], "plain new old");
}

#[test]
fn filters_by_name_and_id_and_use() {
    let scene = three_ages();
    let id = scene.must(&["images", "-q", "--no-trunc", "plain"]);
    assert_eq!(id.trim(), "sha256:<id-plain>");
    check(&scene, &["reference=acme/*"], "new old");
    check(&scene, &["reference=acme/*:1", "reference=plain"], "plain new old");
    check(&scene, &["reference=*"], "plain");
    check(&scene, &["readonly=false"], "plain new old");
    check(&scene, &["readonly=true"], "");
    crate::rows::container(&scene, "plain", "ab", dhow_store::ContainerState::Exited, "{}");
    check(&scene, &["containers=true"], "plain");
    check(&scene, &["containers=false"], "new old");
    check(&scene, &["dangling=false", "containers=false"], "new old");
    let found = crate::rows::store(&scene).find("plain").expect("plain").image_id;
    check(&scene, &[&format!("id={}", found.short())], "plain");
    check(&scene, &[&format!("id={found}"), "id=ffffffffffffff"], "plain");
}

#[test]
fn filters_that_cannot_be_read() {
    let scene = three_ages();
    for (filter, message) in [
        ("until=7x", "failed to parse value as time or duration: \"7x\""),
        ("until=2024-13-01", "parsing time \"2024-13-01\": month out of range"),
        ("before=nope", "No such image: nope:latest"),
        ("since=nope", "No such image: nope:latest"),
        ("reference=a[", "syntax error in pattern"),
        ("dangling=yes", "invalid filter 'dangling=[yes]'"),
        ("containers=x", "invalid filter 'containers=[x]'"),
    ] {
        let refused = scene.docker(&["images", "-f", filter]);
        assert_eq!((refused.code, refused.stdout.as_str()), (1, ""), "{filter}");
        assert_eq!(refused.stderr, format!("Error response from daemon: {message}\n"), "{filter}");
    }
    let both = scene.docker(&["images", "-f", "dangling=true", "-f", "dangling=false"]);
    assert_eq!(both.stderr, "Error response from daemon: invalid filter 'dangling=[true false]'\n");
}

#[test]
fn sorted_and_without_a_header() {
    let scene = three_ages();
    let order = |by: &str| {
        let text = scene.must(&["images", "-n", "--sort", by]);
        text.lines().map(|line| line.split(' ').next().unwrap_or_default().to_owned()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(order("created"), "plain acme/new acme/old");
    assert_eq!(order("repository"), "acme/new acme/old plain");
    assert_eq!(order("tag"), "acme/new acme/old plain");
    let ids = scene.must(&["images", "-q", "--no-trunc", "--sort", "id"]);
    assert_eq!(ids.lines().count(), 3);
    let refused = scene.dhow(&["images", "--sort", "x"]);
    assert_eq!(refused.code, 125, "{refused}");
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

/// From a thousand rows on the list is kept; nobody sees that but by the time it takes.
#[allow(clippy::disallowed_methods, reason = "damages a scratch file")]
#[test]
fn a_long_list_is_always_that_of_now() {
    let scene = Scene::new();
    scene.load("a", "docker.io/library/alpine:3.20");
    let names: Vec<String> = (0..1200).map(|number| format!("acme/web:v{number}")).collect();
    scene.must(&["tag", "alpine:3.20"].into_iter().chain(names.iter().map(String::as_str)).collect::<Vec<_>>());
    let kept = scene.path("store/facts/v1/rows");
    let list = || {
        let lists = [scene.must(&["images", "--no-trunc"]), scene.must(&["images", "--no-trunc"])];
        assert_eq!(lists[0], lists[1]);
        assert!(kept.exists());
        // With this filter, which takes all, everything is put together anew.
        assert_eq!(lists[0], scene.must(&["images", "--no-trunc", "-f", "dangling=false"]));
        assert_eq!(lists[0], scene.must(&["images", "--no-trunc", "-f", "label!=none"]));
        assert_eq!(scene.must(&["images", "-q", "-f", "label=none"]), "");
        lists[0].clone()
    };
    assert_eq!(list().lines().count(), 1202);
    scene.must(&["untag", "alpine:3.20", "acme/web:v7"]);
    let less = list();
    assert_eq!((less.lines().count(), less.contains(" v7 ")), (1201, false));
    let sorted = scene.must(&["images", "--sort", "tag", "--format", "{{.Tag}}"]);
    assert_eq!(sorted.lines().take(3).collect::<Vec<_>>(), ["3.20", "v0", "v1"]);
    scene.load("b", "docker.io/acme/web:v8");
    assert_eq!(scene.must(&["images", "-q", "acme/web:v8"]), "id-b--------\n");
    assert!(list().contains("<id-b>"), "the new image");
    // What was damaged counts for nothing.
    let text = std::fs::read_to_string(&kept).expect("a list");
    std::fs::write(&kept, &text[..text.len() / 2]).expect("a cut list");
    assert_eq!(scene.must(&["images"]).lines().count(), 1201);
}
