//! Verbs that ask a registry without pulling: `tags`, `digest`, `referrers`, `blob`, `rm-remote`, `inspect --remote`, `search`.

#![allow(clippy::disallowed_methods, reason = "scratch files of the test itself")]

use dhow_testkit::images::sha256;
use dhow_testkit::peers::{self, Registry};
use dhow_tests::multi::Multi;
use dhow_tests::scene::{Scene, Server, mask};
use insta::assert_snapshot;
use serde_json::Value;

/// A registry with an image under `acme/web:v1` and `v2`; the store is empty of it.
fn published() -> (Scene, Server, String) {
    let scene = Scene::new();
    let server = scene.serve();
    let name = server.name("acme/web:v1");
    scene.load("a", &name);
    scene.must(&["push", "-q", &name]);
    scene.must(&["copy", "-q", &name, &format!("docker://{}", server.name("acme/web:v2"))]);
    scene.must(&["rmi", "-f", &name]);
    (scene, server, name)
}

#[test]
fn tags() {
    let (scene, server, _) = published();
    let web = server.name("acme/web");
    assert_eq!(scene.must(&["tags", &web]), "v1\nv2\n");
    assert_eq!(scene.must(&["tags", "--limit", "1", &format!("docker://{web}")]), "v1\n");
    assert_eq!(scene.must(&["tags", "--full-ref", "--limit=1", &web]), "[REGISTRY]/acme/web:v1\n");
    assert_eq!(scene.must(&["tags", "--format", "{{.Name}} {{.Tag}}", "--limit=1", &web]), "[REGISTRY]/acme/web v1\n");
    let json = scene.must(&["tags", "--format", "json", &web]);
    assert_eq!(json, "{\"repository\":\"[REGISTRY]/acme/web\",\"tags\":[\"v1\",\"v2\"]}\n");
    assert_snapshot!(scene.dhow(&["tags", &server.name("acme/nope")]), @r"
    exit 1
    [err]
    repository [REGISTRY]/acme/nope not found: name unknown: repository name not known to registry
    ");
    assert_snapshot!(scene.dhow(&["tags", &server.name("acme/web:v1")]), @r"
    exit 1
    [err]
    invalid repository name ([REGISTRY]/acme/web:v1), cannot specify a tag or digest
    ");
}

#[test]
fn names_in_archives_and_layouts() {
    let (scene, _server, name) = published();
    let from = format!("docker://{name}");
    scene.must(&["copy", "-q", "--additional-tag", "x.test/b:2", &from, "docker-archive:a.tar:acme/web:v1"]);
    assert_eq!(scene.must(&["tags", "docker-archive:a.tar"]), "acme/web:v1\nx.test/b:2\n");
    scene.must(&["copy", "-q", &from, "docker-archive:b.tar"]);
    assert_eq!(scene.must(&["tags", "--full-ref", "docker-archive:b.tar"]), "docker-archive:b.tar:@0\n");
    for tag in ["v1", "some/thing:v2"] {
        scene.must(&["copy", "-q", &from, &format!("oci:layout:{tag}")]);
    }
    assert_eq!(scene.must(&["tags", "oci:layout"]), "v1\nsome/thing:v2\n");
    assert_eq!(
        scene.must(&["tags", "--limit", "1", "--format", "{{.Name}} {{.Tag}}", "oci:layout"]),
        "oci:layout v1\n"
    );
    scene.must(&["copy", "-q", &from, "oci:nameless"]);
    let json = scene.must(&["tags", "--format", "json", "oci:nameless"]);
    assert_eq!(json, "{\"repository\":\"oci:nameless\",\"tags\":[\"@sha256:<manifest-a>\"]}\n");
    assert_eq!(scene.dhow(&["tags", "oci:none"]).code, 1);
}

#[test]
fn digests() {
    let (scene, server, name) = published();
    assert_eq!(scene.must(&["digest", &name, &server.name("acme/web:v2")]), "sha256:<manifest-a>\n".repeat(2));
    assert_eq!(scene.must(&["digest", "--full-ref", &name]), "[REGISTRY]/acme/web@sha256:<manifest-a>\n");
    let json = scene.must(&["digest", "--format", "json", &name]);
    assert_eq!(json, "{\"reference\":\"[REGISTRY]/acme/web:v1\",\"digest\":\"sha256:<manifest-a>\"}\n");
    let image = Multi::new(&scene);
    let multi = image.publish(&scene, &server, "acme/app:v1");
    assert_eq!(scene.must(&["digest", &multi]), "sha256:<index>\n");
    assert_ne!(scene.must(&["digest", "--platform", "linux/arm64", &multi]), "sha256:<index>\n");
    assert_snapshot!(scene.dhow(&["digest", &server.name("acme/web:v9"), &name]), @r"
    exit 1
    [out]
    sha256:<manifest-a>
    [err]
    manifest for [REGISTRY]/acme/web:v9 not found: manifest unknown: manifest unknown
    ");
}

#[test]
fn removals() {
    let (scene, server, name) = published();
    let tag = |tag: &str| server.name(&format!("acme/web:{tag}"));
    assert_eq!(scene.must(&["rm-remote", &name]), "Untagged: [REGISTRY]/acme/web:v1\n");
    assert_eq!(scene.must(&["tags", &server.name("acme/web")]), "v2\n", "the other tag of the same manifest stays");
    assert_snapshot!(scene.dhow(&["rm-remote", "--force", &name, &tag("v2")]), @r"
    exit 1
    [out]
    Untagged: [REGISTRY]/acme/web:v2
    [err]
    [REGISTRY]/acme/web:v1: there is no such manifest in the registry
    ");
    assert_snapshot!(scene.dhow(&["rm-remote", &server.name("acme/web")]), @r"
    exit 1
    [err]
    [REGISTRY]/acme/web: say what to remove, by a tag or a digest
    ");
    scene.load("a", &name);
    scene.must(&["push", "-q", &name]);
    let removed = scene.must(&["rm-remote", "--manifest", &name]);
    assert_eq!(removed, "Deleted: [REGISTRY]/acme/web@sha256:<manifest-a>\n");
    assert_eq!(scene.dhow(&["digest", &name]).code, 1);
}

/// Debian's registry removes by digest only, and dhow says what the way out is.
#[test]
fn a_registry_that_keeps_tags_says_so() {
    let scene = Scene::new();
    let Some(registry) = peers::available(Registry::start(&scene.path("debian"))) else { return };
    scene.call(&registry.address().to_string(), "[DEBIAN]");
    let name = registry.name("acme/web:v1");
    scene.load("a", &name);
    scene.must(&["push", "-q", &name]);
    let refused = scene.dhow(&["rm-remote", &name]);
    assert_eq!((refused.code, refused.stdout.as_str()), (1, ""), "{refused}");
    assert!(refused.stderr.starts_with("[DEBIAN]/acme/web:v1: the registry [DEBIAN] removes no tags: "), "{refused}");
    let removed = scene.must(&["rm-remote", "--manifest", &name]);
    assert_eq!(removed, "Deleted: [DEBIAN]/acme/web@sha256:<manifest-a>\n");
}

#[test]
fn referrers() {
    let (scene, server, name) = published();
    assert_eq!(scene.must(&["referrers", &name]), "DIGEST    ARTIFACT TYPE   SIZE\n");
    let json = scene.must(&["referrers", "--format", "json", &name]);
    assert_eq!(json, "{\"subject\":\"sha256:<manifest-a>\",\"referrers\":[]}\n");
    let unknown = server.name(&format!("acme/web@sha256:{}", "ab".repeat(32)));
    assert_eq!(scene.must(&["referrers", "--format", "{{.Digest}}", &unknown]), "");
}

/// As `crane blob` has it.
#[test]
fn blobs() {
    let scene = Scene::new();
    let server = scene.serve();
    let name = server.name("acme/web:v1");
    let sample = scene.load("a", &name);
    scene.must(&["push", "-q", &name]);
    let of = |digest: &str| server.name(&format!("acme/web@{digest}"));
    for digest in [&sample.id, &sample.lower, &sample.upper] {
        let output = scene.command(&["blob", &of(digest)]).output().expect("the program");
        assert!(output.status.success() && output.stderr.is_empty(), "{}", scene.transcript(&output));
        assert_eq!(sha256(&output.stdout), *digest);
    }
    let missing = sha256(b"missing");
    scene.call(&missing, "<missing>");
    assert_snapshot!(scene.dhow(&["blob", &of(&missing)]), @r"
    exit 1
    [err]
    [REGISTRY]/acme/web@<missing>: there is no such blob in the registry
    ");
    assert_snapshot!(scene.dhow(&["blob", &name]), @r"
    exit 1
    [err]
    [REGISTRY]/acme/web:v1: a blob has no name but its digest
    ");
    let path = scene.path("registry/blobs").join(sample.upper.replace(':', "/"));
    let length = path.metadata().expect("the layer").len();
    std::fs::write(&path, vec![0; usize::try_from(length).expect("a length")]).expect("damaged");
    let damaged = scene.dhow(&["blob", &of(&sample.upper)]);
    assert!(
        damaged.code == 1 && damaged.stderr.contains("what the registry sent has another digest"),
        "{}",
        damaged.stderr
    );
}

#[test]
fn inspecting_without_a_pull() {
    let (scene, server, name) = published();
    let said = scene.must(&["inspect", "--remote", &name]);
    assert_snapshot!(mask(&said, "Created"), @r#"
    {
        "Name": "[REGISTRY]/acme/web",
        "Digest": "sha256:<manifest-a>",
        "RepoTags": [
            "v1",
            "v2"
        ],
        "Created": "[...]",
        "DockerVersion": "",
        "Labels": null,
        "Architecture": "amd64",
        "Os": "linux",
        "Layers": [
            "sha256:<lower>",
            "sha256:<upper-a>"
        ],
        "LayersData": [
            {
                "MIMEType": "application/vnd.oci.image.layer.v1.tar",
                "Digest": "sha256:<lower>",
                "Size": 2048,
                "Annotations": null
            },
            {
                "MIMEType": "application/vnd.oci.image.layer.v1.tar",
                "Digest": "sha256:<upper-a>",
                "Size": 2048,
                "Annotations": null
            }
        ],
        "Env": null
    }
    "#);
    assert_eq!(
        scene.must(&["inspect", "--remote", "-n", "--format", "{{.Digest}} {{len .RepoTags}}", &name]),
        "sha256:<manifest-a> 0\n"
    );
    let raw = scene.must(&["inspect", "--remote", "--raw", &name]);
    let raw: Value = serde_json::from_str(&raw).expect("JSON");
    assert_eq!(raw["config"]["digest"], "sha256:<id-a>");
    let config = scene.must(&["inspect", "--remote", "--image-config", &name]);
    assert!(config.starts_with("{\n    \"") && config.contains("\"diff_ids\": [\n"), "{config}");
    assert_eq!(scene.must(&["images", "-q"]), "", "nothing was pulled");
    assert_snapshot!(scene.dhow(&["inspect", "--raw", &server.name("acme/web:v1")]), @r"
    exit 1
    [err]
    --raw goes with --remote
    ");
}

/// Templates see the types that skopeo has, of the config those that OCI has for it.
#[test]
fn templates_of_what_is_inspected() {
    let (scene, _server, name) = published();
    scene.must(&[
        "mutate",
        "-l",
        "a=b",
        "-e",
        "A=1",
        "--set-platform",
        "linux/arm64",
        "-t",
        &name,
        &format!("docker://{name}"),
    ]);
    for (options, template, expected) in [
        (
            &["-n"][..],
            "{{.Labels}} {{.Env}} {{.Os}}/{{.Architecture}} {{.RepoTags}}",
            "map[a:b] [A=1] linux/arm64 []\n",
        ),
        (&["-n"], "{{index .Labels \"none\"}}.{{.DockerVersion}}.", "..\n"),
        (&["-n"], "{{range .LayersData}}{{.Size}}\\n{{end}}", "2048\n2048\n\n"),
        (&["-n"], "{{range .Env}}{{.}}{{\"\\n\"}}{{end}}", "A=1\n"),
        (&[], "{{.Os}}\\t{{len .RepoTags}}\\n", "linux\t2\n"),
        (
            &["--image-config"],
            "{{.OS}}/{{.Architecture}} {{.Config.Labels.a}} {{.Config.Env}}",
            "linux/arm64 b [A=1]\n",
        ),
        (&["--image-config"], "{{len .RootFS.DiffIDs}} {{.Config.Entrypoint}} {{.Author}}", "2 [] \n"),
    ] {
        let arguments = [&["inspect", "--remote"], options, &["--format", template, &name]].concat();
        assert_eq!(scene.must(&arguments), expected, "{template}");
    }
    let config = scene.must(&["inspect", "--remote", "--image-config", "--format", "json", &name]);
    assert_eq!((config.lines().count(), config.contains("\"Labels\":{\"a\":\"b\"}")), (1, true), "{config}");
    assert_snapshot!(scene.dhow(&["inspect", "--remote", "--raw", "--format", "{{.}}", &name]), @r"
    exit 1
    [err]
    conflicting options: --raw and --format exclude each other
    ");
}

#[test]
fn other_places_are_inspected() {
    let (scene, _server, name) = published();
    let from = format!("docker://{name}");
    let looked = |place: &str, options: &[&str]| scene.must(&[&["inspect", "--remote"], options, &[place]].concat());
    let shown = |place: &str| looked(place, &["--format", "{{.Name}} {{.Digest}} {{len .Layers}} {{.RepoTags}}"]);
    let raw = looked(&name, &["--raw"]);
    for (to, place, called) in [
        ("oci:layout:v1", "oci:layout", ""),
        ("oci-archive:a.tar:v1", "oci-archive:a.tar:v1", ""),
        ("dir:folder", "dir:folder", ""),
        ("docker-archive:b.tar:acme/web:v1", "docker-archive:b.tar:acme/web:v1", "docker.io/acme/web"),
        ("kept:v1", "store:kept:v1", "docker.io/library/kept"),
    ] {
        scene.must(&["copy", "-q", &from, to]);
        assert_eq!(shown(place), format!("{called} sha256:<manifest-a> 2 []\n"), "{place}");
        assert_eq!(looked(place, &["--raw"]), raw, "{place}");
    }
    assert_snapshot!(scene.dhow(&["inspect", "--remote", "oci:layout:v2"]), @r#"
    exit 1
    [err]
    oci:layout:v2 has no image "v2"
    "#);
    assert_snapshot!(scene.dhow(&["inspect", "--remote", "dir:none"]), @r#"
    exit 1
    [err]
    cannot read "none": no such file or directory
    "#);
}

#[test]
fn searching() {
    let (scene, server, _) = published();
    // A registry without a search tells what it has.
    let found = scene.must(&["search", &server.name("we")]);
    let lines: Vec<Vec<&str>> = found.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines, [vec!["NAME", "DESCRIPTION", "STARS", "OFFICIAL"], vec!["[REGISTRY]/acme/web", "0"]], "{found}");
    let json = scene.must(&["search", "--format", "json", &server.name("we")]);
    assert_eq!(
        json,
        "{\"Description\":\"\",\"IsOfficial\":\"false\",\"Name\":\"[REGISTRY]/acme/web\",\"StarCount\":\"0\"}\n"
    );
    assert_eq!(scene.must(&["search", "--format", "{{.Name}}", "--filter", "stars=1", &server.name("we")]), "");
    assert_eq!(scene.must(&["search", "--limit", "0", &server.name("we")]), found);
    for (arguments, expected) in [
        (&["--limit", "101", "x"][..], "limit 101 is outside the range of [1, 100]"),
        (&["--filter", "nope=1", "x"], "invalid filter 'nope'"),
        (&["--filter", "stars=many", "x"], "invalid filter 'stars=many'"),
    ] {
        let arguments: Vec<&str> = std::iter::once("search").chain(arguments.iter().copied()).collect();
        let said = scene.dhow(&arguments);
        assert_eq!((said.code, said.stderr.trim_end()), (1, expected), "{arguments:?}");
    }
}

/// Podman's `search --list-tags`; of templates it takes no notice there.
#[test]
fn tags_are_listed_by_podman_s_search() {
    let (scene, server, _) = published();
    let web = server.name("acme/web");
    let list = |options: &[&str]| {
        let said = scene.podman(&[&["search", "--list-tags"], options].concat());
        (said.code, format!("{}{}", said.stdout, said.stderr))
    };
    let rows = |text: &str| -> Vec<Vec<String>> {
        text.lines().map(|line| line.split_whitespace().map(str::to_owned).collect()).collect()
    };
    let (code, table) = list(&["--format", "{{.ID}}", &format!("docker://{web}:v2")]);
    assert_eq!((code, rows(&table)), (0, rows("NAME TAG\n[REGISTRY]/acme/web v1\n[REGISTRY]/acme/web v2")), "{table}");
    let (code, json) = list(&["--format", "json", "--limit", "1", &web]);
    let json: Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!((code, json), (0, serde_json::json!([{ "Name": "[REGISTRY]/acme/web", "Tags": ["v1"] }])));
    let refused = "Error: filters are not applicable to list tags result\n";
    assert_eq!(list(&["--filter", "stars=1", &web]), (125, refused.to_owned()));
    assert_eq!(list(&[&server.name("acme/nope")]).0, 125);
}
