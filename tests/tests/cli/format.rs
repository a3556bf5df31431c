//! `--format` with Go templates

#![allow(clippy::disallowed_methods, reason = "writes a config.json")]

use std::fs;

use dhow_tests::scene::Scene;
use insta::assert_snapshot;

fn scene() -> Scene {
    let scene = Scene::new();
    scene.load("a", "docker.io/library/alpine:3.20");
    scene.must(&["tag", "alpine:3.20", "ghcr.io/acme/web:v1"]);
    scene
}

fn configure(scene: &Scene, config: &str) {
    let folder = scene.path("docker-config");
    fs::create_dir_all(&folder).expect("a folder");
    fs::write(folder.join("config.json"), config).expect("a configuration");
}

#[test]
fn one_line_for_each_row() {
    let scene = scene();
    let format = "{{.Repository}}:{{.Tag}} {{truncate .ID 12}} {{upper .Size}}{{if eq .Tag \"v1\"}} !{{end}}";
    assert_snapshot!(scene.docker(&["images", "--format", format]), @"
    exit 0
    [out]
    alpine:3.20 id-a-------- 4.1KB
    ghcr.io/acme/web:v1 id-a-------- 4.1KB !
    ");
    let all =
        "{{.Containers}} {{.CreatedAt}} {{.CreatedSince}} {{.Digest}} {{.SharedSize}} {{.UniqueSize}} {{.VirtualSize}}";
    assert_snapshot!(scene.docker(&["images", "--format", all, "alpine"]), @"
    exit 0
    [out]
    N/A 2200-01-01 00:00:00 +0000 UTC Less than a second ago <none> N/A N/A 4.096kB
    ");
    let history = "{{.CreatedSince}}|{{.Size}}|{{json .Comment}}";
    assert_snapshot!(scene.docker(&["history", "--format", history, "alpine:3.20"]), @r#"
    exit 0
    [out]
    Less than a second ago|0B|""
    Less than a second ago|2.05kB|""
    Less than a second ago|2.05kB|"buildkit.dockerfile.v0"
    "#);
}

#[test]
fn a_table_of_one_s_own() {
    let scene = scene();
    assert_snapshot!(scene.docker(&["images", "--format", r"table {{.Repository}}:{{.Tag}}\t{{lower .Size}}"]), @"
    exit 0
    [out]
    REPOSITORY:TAG        SIZE
    alpine:3.20           4.1kb
    ghcr.io/acme/web:v1   4.1kb
    ");
    assert_snapshot!(scene.docker(&["images", "--digests", "--format", "table {{.Tag}}", "alpine"]), @"
    exit 0
    [out]
    TAG       DIGEST
    3.20      <none>
    ");
    let empty = Scene::new();
    assert_snapshot!(empty.docker(&["images", "--format", r"table {{.ID}}\t{{.Tag}}"]), @"
    exit 0
    [out]
    IMAGE ID   TAG
    ");
}

#[test]
fn mistakes_in_go_s_words() {
    let scene = scene();
    assert_snapshot!(scene.docker(&["images", "--format", "{{.Nope}}"]), @r#"
    exit 1
    [err]
    template parsing error: template: :1:2: executing "" at <.Nope>: can't evaluate field Nope in type *formatter.imageContext
    "#);
    assert_snapshot!(scene.docker(&["history", "--format", "{{.ID", "alpine:3.20"]), @"
    exit 1
    [err]
    template parsing error: template: :1: unclosed action
    ");
    assert_snapshot!(scene.docker(&["images", "--format", "{{foo .ID}}"]), @r#"
    exit 1
    [err]
    template parsing error: template: :1: function "foo" not defined
    "#);
}

#[test]
fn the_configuration_has_a_format() {
    let scene = scene();
    configure(&scene, r#"{"imagesFormat": "table {{.Tag}}"}"#);
    assert_snapshot!(scene.docker(&["images"]), @"
    exit 0
    [out]
    TAG
    3.20
    v1
    ");
    assert_snapshot!(scene.docker(&["images", "-q", "alpine"]), @"
    exit 0
    [out]
    id-a--------
    ");
    assert_snapshot!(scene.docker(&["images", "--format", "{{.Repository}}", "alpine"]), @"
    exit 0
    [out]
    alpine
    ");
}

#[test]
fn an_object_by_template() {
    let scene = scene();
    let format = "{{.ID}} {{index .RepoTags 0}} {{.Os}}/{{.Architecture}} {{.Size}} {{len .RootFS.Layers}} \
                  {{.Config.WorkingDir}} {{json .Config}} {{.RootFS.Type}} {{if .Config.User}}user{{else}}nobody{{end}}";
    assert_snapshot!(scene.docker(&["inspect", "-f", format, "alpine:3.20"]), @r#"
    exit 0
    [out]
    sha256:<id-a> alpine:3.20 linux/amd64 4096 2 / {"WorkingDir":"/"} layers nobody
    "#);
    assert_snapshot!(scene.docker(&["image", "inspect", "-f", "{{.Id}}", "alpine:3.20", "ghcr.io/acme/web:v1"]), @"
    exit 0
    [out]
    sha256:<id-a>
    sha256:<id-a>
    ");
    assert_snapshot!(scene.docker(&["image", "inspect", "-f", "{{.Id}} {{.ID}}", "alpine:3.20"]), @r#"
    exit 1
    [out]

    [err]
    template parsing error: template: :1:10: executing "" at <.ID>: map has no entry for key "ID"
    "#);
    assert_snapshot!(scene.docker(&["inspect", "-f", "{{.Id}}", "nope", "alpine:3.20"]), @"
    exit 1
    [out]
    sha256:<id-a>
    [err]
    Error: No such object: nope
    ");
    assert_snapshot!(scene.docker(&["image", "inspect", "-f", "{{.Id}}", "nope"]), @"
    exit 1
    [out]

    [err]
    Error response from daemon: No such image: nope:latest
    ");
    assert_snapshot!(scene.docker(&["inspect", "-f", "{{.Id", "alpine:3.20"]), @"
    exit 64
    [err]
    template parsing error: template: :1: unclosed action
    ");
    assert_snapshot!(scene.docker(&["inspect", "-f", "{{range .RootFS.Layers}}{{println .}}{{end}}", "alpine:3.20"]), @"
    exit 0
    [out]
    sha256:<lower>
    sha256:<upper-a>
    ");
}
