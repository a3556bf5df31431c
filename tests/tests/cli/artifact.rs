//! `artifact`

#![allow(clippy::disallowed_methods, reason = "writes scratch files")]

use dhow_testkit::images::sha256;
use dhow_testkit::peers::{self, Registry};
use dhow_tests::scene::{Scene, Server};
use insta::assert_snapshot;

use super::files::{Entry, tar_of};

/// A registry, and two files.
fn scene() -> (Scene, Server) {
    let scene = Scene::new();
    let server = scene.serve();
    std::fs::write(scene.path("notes.txt"), "hello\n").expect("a file");
    std::fs::write(scene.path("data.json"), "{\"a\":1}").expect("a file");
    scene.call(sha256(b"hello\n").trim_start_matches("sha256:"), "<notes>");
    scene.call(sha256(b"{\"a\":1}").trim_start_matches("sha256:"), "<data>");
    (scene, server)
}

#[test]
fn files_in_and_out() {
    let (scene, server) = scene();
    let name = server.name("acme/files:v1");
    let push = [
        "artifact",
        "push",
        "--artifact-type",
        "application/x-files",
        "--annotation",
        "by=me",
        &name,
        "notes.txt",
        "data.json:application/json",
    ];
    let pushed = scene.must(&push);
    assert!(pushed.starts_with("[REGISTRY]/acme/files:v1@sha256:"), "{pushed}");
    assert_eq!(scene.must(&push), pushed, "the same files have the same digest");
    let digest = pushed.trim().rsplit("sha256:").next().expect("a digest").to_owned();
    scene.call(&digest, "<artifact>");
    assert_snapshot!(scene.must(&["artifact", "inspect", &name]), @r#"
    {
        "reference": "[REGISTRY]/acme/files:v1",
        "digest": "sha256:<artifact>",
        "artifactType": "application/x-files",
        "subject": null,
        "annotations": {
            "by": "me"
        },
        "files": [
            {
                "name": "notes.txt",
                "mediaType": "application/octet-stream",
                "digest": "sha256:<notes>",
                "size": 6,
                "annotations": {
                    "org.opencontainers.image.title": "notes.txt"
                }
            },
            {
                "name": "data.json",
                "mediaType": "application/json",
                "digest": "sha256:<data>",
                "size": 7,
                "annotations": {
                    "org.opencontainers.image.title": "data.json"
                }
            }
        ]
    }
    "#);
    assert_snapshot!(scene.dhow(&["artifact", "pull", "-o", "out", &name]), @r"
    exit 0
    [out]
    out/notes.txt
    out/data.json
    ");
    assert_eq!(std::fs::read(scene.path("out/notes.txt")).expect("a file"), b"hello\n");
    std::fs::write(scene.path("out/notes.txt"), "mine").expect("a file");
    assert_snapshot!(scene.dhow(&["artifact", "pull", "-o", "out", &name]), @r#"
    exit 1
    [err]
    "out/notes.txt" is there already
    "#);
    assert_eq!(std::fs::read(scene.path("out/notes.txt")).expect("a file"), b"mine");
    scene.must(&["artifact", "pull", "--force", "--output", "out", &name]);
    assert_eq!(std::fs::read(scene.path("out/notes.txt")).expect("a file"), b"hello\n");
    let image = server.name("acme/files:image");
    scene.load("a", &image);
    scene.must(&["push", "-q", &image]);
    assert_snapshot!(scene.must(&["artifact", "ls", &server.name("acme/files")]), @r"
    TAG       ARTIFACT TYPE         FILES     SIZE      DIGEST
    v1        application/x-files   2         13B       sha256:<artifact>
    ");
    assert_snapshot!(scene.dhow(&["artifact", "pull", &image]), @r"
    exit 1
    [err]
    [REGISTRY]/acme/files:image is an image and no artifact
    ");
    assert_eq!(scene.must(&["artifact", "rm", &name]), "Untagged: [REGISTRY]/acme/files:v1\n");
    assert_eq!(scene.must(&["artifact", "ls", "--format", "json", &server.name("acme/files")]), "[]\n");
}

/// On dhow's registry, which knows referrers, and on Debian's, which does not.
#[test]
fn what_an_artifact_is_about() {
    let (scene, server) = scene();
    let debian = peers::available(Registry::start(&scene.path("debian")));
    let names =
        std::iter::once(server.name("acme/web")).chain(debian.as_ref().map(|registry| registry.name("acme/web")));
    for repository in names {
        let image = format!("{repository}:v1");
        scene.load("a", &image);
        scene.must(&["push", "-q", &image]);
        let pushed = scene.dhow(&[
            "artifact",
            "push",
            "--artifact-type",
            "x/note",
            "--subject",
            &image,
            &repository,
            "notes.txt",
        ]);
        assert_eq!((pushed.code, pushed.stdout.contains("/acme/web@sha256:")), (0, true), "{pushed}");
        let digest = pushed.stdout.trim().rsplit("@").next().expect("a digest");
        assert_eq!(
            scene.must(&["referrers", "--format", "{{.Digest}} {{.ArtifactType}}", &image]),
            format!("{digest} x/note\n")
        );
        scene.must(&["artifact", "rm", &format!("{repository}@{digest}")]);
        assert_eq!(scene.must(&["referrers", "--format", "{{.Digest}}", &image]), "", "{repository}");
    }
    assert_snapshot!(scene.dhow(&["artifact", "push", "--subject", &server.name("other/app:v1"), &server.name("acme/web"), "notes.txt"]), @r"
    exit 1
    [err]
    the subject [REGISTRY]/other/app:v1 is not in [REGISTRY]/acme/web: a registry knows referrers within a repository
    ");
}

/// An artifact of one file that is called so.
fn manifest_titled(title: &str) -> String {
    format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","artifactType":"x/y","config":{{"mediaType":"application/vnd.oci.empty.v1+json","digest":"{0}","size":2}},"layers":[{{"mediaType":"x/y","digest":"{0}","size":2,"annotations":{{"org.opencontainers.image.title":"{title}"}}}}]}}"#,
        sha256(b"{}")
    )
}

/// A name in an artifact is somebody else's text (CVE-2021-21272, CVE-2026-50162), and what has that name here may be a link
/// (CVE-2026-50163).
#[test]
fn names_that_lead_out_of_the_folder_are_refused() {
    let (scene, server) = scene();
    let manifest = manifest_titled("../escaped");
    let folder = dhow_tests::interop::skopeo_folder(&scene.path("evil"), manifest.as_bytes(), &[b"{}"]);
    let name = server.name("acme/evil:v1");
    scene.must(&["copy", "-q", &folder, &format!("docker://{name}")]);
    assert_snapshot!(scene.dhow(&["artifact", "pull", "-o", "out", &name]), @r#"
    exit 1
    [err]
    the artifact calls a file "../escaped", which is not written: it leads elsewhere
    "#);
    assert!(!scene.path("escaped").exists());
    let manifest = manifest_titled("notes.txt");
    let folder = dhow_tests::interop::skopeo_folder(&scene.path("plain"), manifest.as_bytes(), &[b"{}"]);
    scene.must(&["copy", "-q", &folder, &format!("docker://{name}")]);
    std::fs::write(scene.path("victim"), "untouched").expect("a file");
    std::fs::create_dir_all(scene.path("linked")).expect("a folder");
    std::os::unix::fs::symlink(scene.path("victim"), scene.path("linked/notes.txt")).expect("a link");
    let pulled = scene.dhow(&["artifact", "pull", "-o", "linked", &name]);
    assert_eq!(std::fs::read_to_string(scene.path("victim")).expect("the file"), "untouched", "{pulled}");
}

/// Directories are what they are with oras: a tar with gzip, in which all names begin with that of the directory.
#[test]
fn directories_in_and_out() {
    let (scene, server) = scene();
    let name = server.name("acme/tree:v1");
    std::fs::create_dir_all(scene.path("tree/deep")).expect("folders");
    std::fs::write(scene.path("tree/deep/file"), "content").expect("a file");
    for target in ["deep/../deep/file", "../tree/deep", "/etc"] {
        std::os::unix::fs::symlink(target, scene.path("tree/odd")).expect("a link");
        scene.must(&["artifact", "push", &name, "tree"]);
        let pulled = scene.dhow(&["artifact", "pull", "-o", "refused", &name]);
        let said = format!("its link \"tree/odd\" to {target:?} is not written: it leads elsewhere");
        assert!(pulled.code == 1 && pulled.to_string().contains(&said), "{pulled}");
        assert_eq!(std::fs::read_dir(scene.path("refused")).expect("the folder").count(), 0, "nothing is left");
        std::fs::remove_file(scene.path("tree/odd")).expect("the link");
    }
    std::os::unix::fs::symlink("deep/file", scene.path("tree/link")).expect("a link");
    let pushed = scene.must(&["artifact", "push", &name, "tree/", "notes.txt"]);
    assert_eq!(
        scene.must(&["artifact", "push", &name, "tree", "notes.txt"]),
        pushed,
        "the same files have the same digest"
    );
    let shown = scene.must(&["artifact", "inspect", &name]);
    for said in [
        r#""name": "tree""#,
        r#""mediaType": "application/vnd.oci.image.layer.v1.tar+gzip""#,
        r#""io.deis.oras.content.unpack": "true""#,
        r#""io.deis.oras.content.digest": "sha256:"#,
    ] {
        assert!(shown.contains(said), "{said}: {shown}");
    }
    assert_eq!(scene.must(&["artifact", "pull", "-o", "out", &name]), "out/tree\nout/notes.txt\n");
    assert_eq!(std::fs::read_to_string(scene.path("out/tree/link")).expect("the file"), "content");
    let modified = |path: &str| scene.path(path).metadata().and_then(|found| found.modified()).expect("its time");
    assert_eq!(modified("out/tree/deep/file"), modified("tree/deep/file"));
    let again = scene.dhow(&["artifact", "pull", "-o", "out", &name]);
    assert!(again.code == 1 && again.to_string().contains("\"out/tree\" is there already"), "{again}");
    std::fs::write(scene.path("out/tree/deep/file"), "mine").expect("a file");
    std::fs::write(scene.path("out/tree/other"), "mine").expect("a file");
    scene.must(&["artifact", "pull", "-f", "-o", "out", &name]);
    assert_eq!(std::fs::read_to_string(scene.path("out/tree/deep/file")).expect("the file"), "content");
    assert_eq!(std::fs::read_to_string(scene.path("out/tree/other")).expect("what was there stays"), "mine");
}

/// As with oras: tags behind commas; with a config, that says what it is.
#[test]
fn several_tags_and_a_config() {
    let (scene, server) = scene();
    let repository = server.name("acme/several");
    let of = |tag: &str| format!("{repository}:{tag}");
    let config = ["--config-file", "data.json:application/x-config"];
    let pushed = scene.must(&[&["artifact", "push"], &config[..], &[&of("v1,v2,latest"), "notes.txt"]].concat());
    assert!(pushed.starts_with("[REGISTRY]/acme/several:v1@sha256:"), "{pushed}");
    let shown = |tag: &str| scene.must(&["inspect", "--remote", "--raw", &of(tag)]);
    assert!(shown("v1") == shown("v2") && shown("v1") == shown("latest"));
    assert!(!shown("v1").contains("artifactType") && shown("v1").contains("application/x-config"), "{}", shown("v1"));
    let found = scene.must(&["artifact", "inspect", "--format", "json", &of("v1")]);
    assert!(found.contains(r#""artifactType":"application/x-config""#), "{found}");
    scene.must(&[&["artifact", "push", "--artifact-type", "x/y"], &config[..], &[&of("v3")]].concat());
    assert!(shown("v3").contains(r#""artifactType":"x/y""#), "{}", shown("v3"));
    assert_snapshot!(scene.dhow(&["artifact", "push", &of("v1,v 2"), "notes.txt"]), @r#"
    exit 1
    [err]
    [REGISTRY]/acme/several:v1,v 2: "v 2" is no tag
    "#);
}

/// An artifact of files that are called so, the first of them said to be a directory's tar.
fn manifest_of_tree(tar: &[u8], titles: &[&str]) -> String {
    let layer = |(number, title): (usize, &&str)| {
        let unpack = if number == 0 { r#","io.deis.oras.content.unpack":"true""# } else { "" };
        format!(
            r#"{{"mediaType":"x/y","digest":"{}","size":{},"annotations":{{"org.opencontainers.image.title":"{title}"{unpack}}}}}"#,
            sha256(tar),
            tar.len()
        )
    };
    let layers: Vec<String> = titles.iter().enumerate().map(layer).collect();
    format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","artifactType":"x/y","config":{{"mediaType":"application/vnd.oci.empty.v1+json","digest":"{}","size":2}},"layers":[{}]}}"#,
        sha256(b"{}"),
        layers.join(",")
    )
}

#[test]
fn directories_hold_nothing_but_themselves() {
    let (scene, server) = scene();
    let name = server.name("acme/evil:v1");
    let tar = tar_of(&[Entry::File("tree/a", b"a"), Entry::File("b", b"b")]);
    for (titles, said) in [
        (&["tree"][..], "its tar has other names than those below \"tree\""),
        (&["tree", "tree/link/x"], "which lies in another one of it, \"tree\""),
    ] {
        let manifest = manifest_of_tree(&tar, titles);
        let path = scene.path(&format!("evil-{}", titles.len()));
        let folder = dhow_tests::interop::skopeo_folder(&path, manifest.as_bytes(), &[b"{}", &tar]);
        scene.must(&["copy", "-q", &folder, &format!("docker://{name}")]);
        let pulled = scene.dhow(&["artifact", "pull", "-o", "out", &name]);
        assert!(pulled.code == 1 && pulled.to_string().contains(said), "{pulled}");
        assert!(!scene.path("out/tree").exists() && !scene.path("out/b").exists());
    }
}
