//! `tag`

use dhow_tests::scene::Scene;
use insta::assert_snapshot;

#[test]
fn is_silent() {
    let scene = Scene::new();
    let image = scene.load("a", "docker.io/library/alpine:3.20");
    for source in ["alpine:3.20", "docker.io/library/alpine:3.20", &image.id, &image.id[7..15]] {
        assert_eq!(scene.dhow(&["tag", source, "acme/web:v1"]).to_string(), "exit 0\n", "{source}");
    }
    assert_eq!(scene.must(&["images", "-q", "acme/web:v1"]), "id-a--------\n");
}

#[test]
fn refuses_in_docker_s_words() {
    let scene = Scene::new();
    scene.load("a", "docker.io/library/alpine:3.20");
    let digest = format!("acme/web@sha256:{}", "ab".repeat(32));
    assert_snapshot!(scene.docker(&["tag", "nope", "acme/web"]), @r"
    exit 1
    [err]
    Error response from daemon: No such image: nope:latest
    ");
    assert_snapshot!(scene.docker(&["tag", "alpine:3.20", "Acme/Web"]), @r#"
    exit 1
    [err]
    Error parsing reference: "Acme/Web" is not a valid repository/tag: invalid reference format: repository name (Web) must be lowercase
    "#);
    assert_snapshot!(scene.docker(&["tag", "no pe", "acme/web"]), @r#"
    exit 1
    [err]
    Error parsing reference: "no pe" is not a valid repository/tag: invalid reference format
    "#);
    let hex = "ab".repeat(32);
    for source in [hex.clone(), format!("sha256:{hex}")] {
        let tagged = scene.docker(&["tag", &source, "acme/web"]);
        assert!(tagged.stderr.starts_with("Error response from daemon: No such image: "), "{source}: {tagged}");
    }
    assert_snapshot!(scene.docker(&["tag", "alpine:3.20", &digest]), @r"
    exit 1
    [err]
    refusing to create a tag with a digest reference
    ");
}

/// As docker reads it: what follows the first name is a name.
#[test]
fn flags_end_at_the_first_name() {
    let scene = Scene::new();
    scene.load("a", "alpine:3.20");
    for (arguments, code) in [(&["tag", "alpine:3.20", "-x"][..], 1), (&["tag", "-x", "alpine:3.20"], 125)] {
        assert_eq!(scene.dhow(arguments).code, code, "{arguments:?}");
    }
    assert_snapshot!(scene.dhow(&["tag", "alpine:3.20", "-x"]), @r#"
    exit 1
    [err]
    Error parsing reference: "-x" is not a valid repository/tag: invalid reference format
    "#);
    scene.must(&["tag", "--", "alpine:3.20", "web"]);
}
