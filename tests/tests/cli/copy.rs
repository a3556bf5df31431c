//! `copy` and `sync`

#![allow(clippy::disallowed_methods, reason = "writes scratch files")]

use std::io::Read as _;

use dhow_tests::multi::Multi;
use dhow_tests::scene::{Scene, Server};
use insta::assert_snapshot;

/// A registry with an image under `acme/web:v1` and `v2`.
fn published() -> (Scene, Server, String) {
    let scene = Scene::new();
    let server = scene.serve();
    let name = server.name("acme/web:v1");
    scene.load("a", &name);
    scene.must(&["push", "-q", &name]);
    scene.must(&["copy", "-q", &name, &format!("docker://{}", server.name("acme/web:v2"))]);
    (scene, server, name)
}

#[test]
fn what_a_copy_says() {
    let (scene, server, name) = published();
    let from = format!("docker://{name}");
    let said = scene.must(&["copy", &from, &format!("docker://{}", server.name("acme/other:v1"))]);
    let mut lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.pop(), Some("Digest: sha256:<manifest-a>"));
    lines.sort_unstable();
    assert_snapshot!(lines.join("\n"), @r"
    lower-------: Mounted from acme/web
    upper-a-----: Mounted from acme/web
    ");
    assert_snapshot!(scene.dhow(&["copy", "-q", "--digestfile", "digest", &from, "dir:folder"]), @"exit 0");
    let digest = std::fs::read(scene.path("digest")).expect("the file");
    assert_eq!(scene.shown(&digest), "sha256:<manifest-a>");
    assert_snapshot!(scene.dhow(&["copy", "dir:folder", "kept"]), @r"
    exit 0
    [out]
    lower-------: Already exists
    upper-a-----: Already exists
    Digest: sha256:<manifest-a>
    ");
    assert!(scene.must(&["images"]).contains("\nkept   "), "{}", scene.must(&["images"]));
}

#[test]
fn a_part_of_an_index_is_told() {
    let scene = Scene::new();
    let server = scene.serve();
    let image = Multi::new(&scene);
    let name = format!("docker://{}", image.publish(&scene, &server, "acme/app:v1"));
    let said = scene.dhow(&["copy", "-q", "--platform", "linux/amd64,linux/arm64", &name, "oci:layout:v1"]);
    assert_eq!((said.code, said.stdout.as_str()), (0, ""), "{said}");
    assert!(
        said.stderr.contains("Only a part of the image was copied, under a new index: linux/amd64, linux/arm64"),
        "{said}"
    );
    assert_snapshot!(scene.dhow(&["copy", "--platform", "linux/s390x", &name, "oci:layout:v2"]), @r"
    exit 1
    [err]
    no matching manifest for linux/s390x in the manifest list entries
    ");
    // What the layout has of an index goes on from there.
    scene.must(&["copy", "-q", "-a", "oci:layout:v1", "oci-archive:layout.tar:v1"]);
    scene.must(&["copy", "-q", "--all", "oci-archive:layout.tar", "kept:v1"]);
    let shown = scene.must(&["image", "inspect", "--platform", "linux/arm64", "kept:v1"]);
    assert!(shown.contains("\"Architecture\": \"arm64\""), "{shown}");
}

#[test]
fn refuses_what_makes_no_sense() {
    let (scene, server, name) = published();
    let from = format!("docker://{name}");
    let taken = scene.path("taken");
    std::fs::create_dir(&taken).expect("a folder");
    std::fs::write(taken.join("notes"), "mine").expect("a file");
    scene.must(&["copy", "-q", &from, "docker-archive:a.tar:acme/web:v1"]);
    let other = format!("docker://{}@sha256:{}", server.name("acme/web"), "ab".repeat(32));
    for (arguments, expected) in [
        (&["ostree://x", "y"][..], "\"ostree://x\": there is no transport \"ostree\""),
        (&["nope", "dir:x"], "No such image: nope:latest"),
        (&[&from, "dir:taken"], "\"taken\" is not empty and holds no image of this format"),
        (&[&from, "oci:taken"], "\"taken\" is not empty and no OCI image layout"),
        (&[&from, "docker-archive:a.tar:x"], "a.tar: docker-archive doesn't support modifying existing images"),
        (&["docker-archive:a.tar:other:1", "dir:x"], "a.tar has no image \"other:1\""),
        (&[&from, &other], "the destination says digest sha256:abab"),
        (&["--format", "v2s1", &from, "dir:x"], "--format \"v2s1\" is not supported: it is \"oci\" or \"v2s2\""),
        (&["--recompress", "xz", &from, "dir:x"], "--recompress \"xz\" is not supported: it is \"gzip\", \"zstd\""),
        (
            &["--preserve-digests", "--format", "oci", &from, "dir:x"],
            "conflicting options: --preserve-digests excludes",
        ),
        (&["--all", "--platform", "linux/arm64", &from, "dir:x"], "conflicting options: --all, --platform and"),
        (
            &["--multi-arch", "none", &from, "dir:x"],
            "--multi-arch \"none\" is not supported: it is \"system\", \"all\" or",
        ),
        (
            &["--multi-arch", "index-only", "--all", &from, "dir:x"],
            "conflicting options: --all and --multi-arch index-only",
        ),
        (&["--multi-arch", "index-only", "--format", "oci", &from, "dir:x"], "--multi-arch index-only cannot go with"),
        (&["--multi-arch", "index-only", &from, "x"], "--multi-arch index-only: the local store keeps no index"),
        (&["--referrers", &from, "dir:x"], "--referrers: the destination keeps no referrers"),
        (&["--dest-compress-format", "xz", &from, "dir:x"], "--dest-compress-format \"xz\" is not supported: it is"),
        (
            &["--recompress", "gzip", "--dest-compress-format", "zstd", &from, "dir:x"],
            "conflicting options: --recompress",
        ),
        (&["--dest-compress-level", "99", &from, "dir:x"], "--dest-compress-level is a number from 1 to 9"),
        (&["--dest-decompress", "--dest-compress", &from, "dir:x"], "conflicting options: --dest-decompress excludes"),
        (&["--additional-tag", "a:1", &from, "dir:x"], "--additional-tag gives names in a docker-archive: destination"),
        (&["--additional-tag", "a", &from, "docker-archive:b.tar"], "--additional-tag \"a\" is no name with a tag"),
        (&["--src-username", "me", &from, "dir:x"], "--src-username needs --src-password beside it"),
        (&["--dest-password", "secret", &from, "dir:x"], "--dest-password needs --dest-username beside it"),
        (
            &["--src-creds", "a:b", "--src-username", "a", "--src-password", "b", &from, "dir:x"],
            "conflicting options: --src-creds and --src-username exclude each other",
        ),
        (
            &["--dcreds", "a:b", "--dest-username", "a", "--dest-password", "b", &from, "dir:x"],
            "conflicting options: --dest-creds and --dest-username exclude each other",
        ),
        (
            &["--screds", "a:b", "--src-username", "a", &from, "dir:x"],
            "conflicting options: --src-creds and --src-username exclude each other",
        ),
        (&["--referrers", &from, "x"], "--referrers: the local store keeps no referrers"),
    ] {
        let arguments: Vec<&str> = std::iter::once("copy").chain(arguments.iter().copied()).collect();
        let said = scene.dhow(&arguments);
        assert_eq!((said.code, said.stdout.as_str()), (1, ""), "{arguments:?}: {said}");
        assert!(said.stderr.starts_with(expected), "{arguments:?}: {said}");
    }
    assert!(!scene.path("x").join("manifest.json").exists());
    assert_eq!(std::fs::read_to_string(taken.join("notes")).expect("the file"), "mine");
}

#[test]
fn skopeo_s_spellings() {
    let (scene, _server, name) = published();
    let from = format!("docker://{name}");
    let digest = |arguments: &[&str]| {
        let said = scene.must(&[&["copy"], arguments].concat());
        said.lines().find(|line| line.starts_with("Digest: ")).expect("a digest").to_owned()
    };
    scene.must(&[
        "copy",
        "-q",
        "--additional-tag",
        "acme/b:2,acme/c:3",
        "--additional-tag",
        "acme/a:1",
        &from,
        "docker-archive:t.tar:acme/a:1",
    ]);
    let loaded = scene.must(&["load", "-i", "t.tar"]);
    assert_eq!(loaded, "Loaded image: acme/a:1\nLoaded image: acme/b:2\nLoaded image: acme/c:3\n");
    let zstd = digest(&["--dest-compress-format", "zstd", "--dest-compress-level", "3", &from, "dir:z1"]);
    assert_eq!(zstd, digest(&["--recompress", "zstd", &from, "dir:z2"]));
    // Of what is compressed `--dest-compress` changes nothing.
    let same = digest(&["--dest-compress", "--dest-precompute-digests", &from, "dir:s1"]);
    assert_eq!(same, digest(&["--dest-compress", "dir:s1", "dir:s2"]));
    let kept = digest(&["--dest-oci-accept-uncompressed-layers", &from, "dir:s3"]);
    assert_eq!(kept, digest(&[&from, "dir:s4"]));
    scene.must(&["export", &name, "-o", "flat.tar"]);
    scene.must(&["import", "flat.tar", "plain:1"]);
    let compressed = digest(&["--dest-compress", "plain:1", "dir:p1"]);
    assert_ne!(compressed, digest(&["plain:1", "dir:p2"]));
    assert_eq!(compressed, digest(&["--recompress", "gzip", "plain:1", "dir:p3"]));
}

/// An archive that dhow wrote, as Docker's own store writes it since 25: only `manifest.json` is another.
fn as_docker_saves(scene: &Scene, archive: &str, target: &str) {
    let mut members = tar::Archive::new(std::fs::File::open(scene.path(archive)).expect("an archive"));
    let mut builder = tar::Builder::new(std::fs::File::create(scene.path(target)).expect("a file"));
    for member in members.entries().expect("members") {
        let mut member = member.expect("a member");
        let (mut header, path) = (member.header().clone(), member.path().expect("a path").into_owned());
        let mut content = Vec::new();
        member.read_to_end(&mut content).expect("its content");
        if path.to_string_lossy() == "manifest.json" {
            let text = String::from_utf8(content).expect("text");
            content = text.replace("\"Layers\":", "\"LayerSources\":{},\"Layers\":").into_bytes();
            header.set_size(content.len() as u64);
        }
        builder.append_data(&mut header, &path, &*content).expect("a member");
    }
    builder.finish().expect("the end");
}

/// What no registry knows yet goes there compressed, and under one digest, on whatever way.
#[test]
fn what_was_made_here_goes_to_registries_compressed() {
    let (scene, server, name) = published();
    scene.must(&["export", &name, "-o", "flat.tar"]);
    scene.must(&["import", "flat.tar", "plain:1"]);
    let digest_in = |file: &str| std::fs::read_to_string(scene.path(file)).expect("the file");
    let copied = |arguments: &[&str], tag: &str| {
        let target = format!("docker://{}", server.name(tag));
        scene.must(&[&["copy", "-q", "--digestfile", "copied"], arguments, &[&target]].concat());
        digest_in("copied")
    };
    scene.must(&["copy", "-q", "--digestfile", "plain", "plain:1", "oci:layout"]);
    scene.must(&["save", "-o", "plain.tar", "plain:1"]);
    as_docker_saves(&scene, "plain.tar", "docker.tar");
    let loaded = scene.dhow(&["--root", "other", "load", "-i", "docker.tar"]);
    assert_eq!(loaded.code, 0, "{loaded}");
    let layer = scene.must(&["inspect", "--format", "{{index .RootFS.Layers 0}}", "plain:1"]);
    let layer = scene.path("store/blobs").join(layer.trim().replace(':', "/"));
    assert!(layer.exists());
    let compressed = copied(&["plain:1"], "acme/a:1");
    assert_ne!(compressed, digest_in("plain"));
    assert!(!layer.exists(), "the plain layer is needed no more");
    assert_eq!(copied(&["docker-archive:docker.tar"], "acme/b:1"), compressed);
    for (store, tag) in [("store", "acme/c:1"), ("other", "acme/d:1")] {
        scene.must(&["--root", store, "tag", "plain:1", &server.name(tag)]);
        let pushed = scene.must(&["--root", store, "push", &server.name(tag)]);
        assert!(pushed.contains(&compressed), "{store}: {pushed}");
    }
    // What was saved here says that no registry knew it.
    assert_eq!(copied(&["docker-archive:plain.tar"], "acme/f:1"), compressed);
    // The digest of a layout is known to whoever made it.
    for (from, tag) in [("oci:layout", "acme/e:1"), ("oci-archive:docker.tar", "acme/g:1")] {
        assert_eq!(copied(&[from], tag), digest_in("plain"), "{from}");
    }
    assert_eq!(copied(&["--preserve-digests", "docker-archive:docker.tar"], "acme/h:1"), digest_in("plain"));
}

/// What skopeo does only when it is asked.
#[test]
fn layers_without_compression_and_indexes_without_images() {
    let (scene, server, name) = published();
    let from = format!("docker://{name}");
    scene.must(&["copy", "-q", "--dest-compress-format", "gzip", "--dest-force-compress-format", &from, "dir:gzip"]);
    scene.must(&["copy", "-q", "--image-parallel-copies", "2", "--dest-decompress", "dir:gzip", "dir:plain"]);
    let layers = |place: &str, what: &str| {
        let template = format!("{{{{range .LayersData}}}}{{{{.{what}}}}}\\n{{{{end}}}}");
        scene.must(&["inspect", "--remote", "--format", &template, place])
    };
    assert_eq!(layers("dir:plain", "Digest").trim_end(), "sha256:<lower>\nsha256:<upper-a>");
    assert!(layers("dir:gzip", "MIMEType").starts_with("application/vnd.oci.image.layer.v1.tar+gzip\n"));
    assert!(layers("dir:plain", "MIMEType").starts_with("application/vnd.oci.image.layer.v1.tar\n"));
    let chunked = scene.dhow(&["copy", "-q", "--dest-compress-format", "zstd:chunked", &from, "dir:zstd"]);
    assert_snapshot!(chunked, @r"
    exit 0
    [err]
    Layers are compressed with zstd, without the table of contents of zstd:chunked
    ");
    assert!(layers("dir:zstd", "MIMEType").starts_with("application/vnd.oci.image.layer.v1.tar+zstd\n"));

    let image = Multi::new(&scene);
    let multi = format!("docker://{}", image.publish(&scene, &server, "acme/app:v1"));
    let said = scene.must(&["copy", "--multi-arch", "index-only", &multi, "dir:index"]);
    assert_eq!(said, "Digest: sha256:<index>\n");
    let mut names: Vec<_> = std::fs::read_dir(scene.path("index")).expect("a folder").flatten().collect();
    names.sort_by_key(std::fs::DirEntry::file_name);
    assert_eq!(names.iter().map(std::fs::DirEntry::file_name).collect::<Vec<_>>(), ["manifest.json", "version"]);
    // Where everything else is already, another name is all that it takes.
    let full = |tag: &str| format!("docker://{}", server.name(&format!("acme/full:{tag}")));
    scene.must(&["copy", "-q", "--all", &multi, &full("v1")]);
    scene.must(&["copy", "-q", "--multi-arch=index-only", &multi, &full("v2")]);
    assert_eq!(scene.must(&["digest", &full("v2")]), "sha256:<index>\n");
    scene.must(&["copy", "-q", "--multi-arch=index-only", &from, "dir:single"]);
    assert!(scene.path("single").join("version").exists(), "an image that is no index goes as ever");
}

/// Skopeo chooses by them from indexes; an image that is none goes whatever it is for.
#[test]
fn overrides_choose_only_where_there_is_a_choice() {
    let (scene, server, name) = published();
    let from = format!("docker://{name}");
    let digest = |arguments: &[&str]| scene.must(&[&["copy"], arguments].concat()).lines().last().map(str::to_owned);
    let expected = Some("Digest: sha256:<manifest-a>".to_owned());
    assert_eq!(digest(&["--override-arch", "s390x", &from, "dir:one"]), expected);
    assert_eq!(digest(&["--override-os", "windows", "--override-arch", "amd64", &from, "oci:two"]), expected);
    let refused = scene.dhow(&["copy", "--platform", "linux/s390x", &from, "dir:three"]);
    assert!(refused.code == 1 && refused.stderr.contains("does not match the specified platform"), "{refused}");
    let image = Multi::new(&scene);
    image.publish(&scene, &server, "acme/web:multi");
    let said = scene.must(&["sync", "--override-arch", "arm64", "--dest", "dir", &server.name("acme/web"), "usb"]);
    assert!(said.contains("Digest: sha256:<arm64>\n") && said.ends_with("Copied 3 of 3 images\n"), "{said}");
}

/// `skopeo copy -q … docker-archive:/dev/stdout:NAME | docker load`.
#[test]
fn archives_go_to_standard_output_and_into_pipes() {
    let (scene, _server, name) = published();
    let from = format!("docker://{name}");
    let output = scene.command(&["copy", &from, "docker-archive:/dev/stdout:acme/piped:1"]).output().expect("a copy");
    assert!(output.status.success() && output.stderr.is_empty(), "{}", scene.transcript(&output));
    let load = |archive: &[u8]| scene.fed(&["load"], archive).to_string();
    assert_eq!(load(&output.stdout), "exit 0\n[out]\nLoaded image: acme/piped:1\n");
    // A file that is written on stays as it was before that.
    let into = std::fs::File::options().create(true).append(true).open(scene.path("appended")).expect("a file");
    std::fs::write(scene.path("appended"), "before").expect("written");
    let mut command = scene.command(&["copy", "-q", &from, "oci-archive:/dev/stdout:two"]);
    assert!(command.stdout(into).status().expect("a copy").success());
    let appended = std::fs::read(scene.path("appended")).expect("the file");
    let archive = appended.strip_prefix(b"before").expect("what was there");
    assert!(load(archive).starts_with("exit 0\n"));

    let pipe = scene.path("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo").success());
    let mut copying =
        scene.command(&["copy", "-q", &from, "docker-archive:pipe:acme/named:1"]).spawn().expect("a copy");
    let archive = std::fs::read(&pipe).expect("the archive");
    assert!(copying.wait().expect("its end").success());
    assert_eq!(load(&archive), "exit 0\n[out]\nLoaded image: acme/named:1\n");
    assert!(pipe.exists(), "the pipe stays");
}

#[test]
fn layouts_share_a_folder_of_blobs() {
    let (scene, _server, name) = published();
    let from = format!("docker://{name}");
    for layout in ["oci:one:v1", "oci:two:v1"] {
        scene.must(&["copy", "-q", "--dest-shared-blob-dir", "shared", &from, layout]);
    }
    let count = |path: &str| std::fs::read_dir(scene.path(path)).expect("a folder").count();
    assert_eq!((count("shared/sha256"), count("one/blobs"), count("two/blobs")), (4, 0, 0));
    let said = scene.must(&["copy", "--src-shared-blob-dir", "shared", "oci:two", "oci:three:v1"]);
    assert!(said.ends_with("Digest: sha256:<manifest-a>\n"), "{said}");
    assert_eq!(count("three/blobs/sha256"), 4);
    assert_eq!(scene.dhow(&["copy", "oci:two", "dir:four"]).code, 1, "the blobs are elsewhere");
}

#[test]
fn a_repository_into_a_folder_and_on() {
    let (scene, server, _) = published();
    assert_snapshot!(scene.dhow(&["sync", "--src", "docker", "--dest", "dir", "--dry-run", &server.name("acme/web"), "usb"]), @r"
    exit 0
    [out]
    Would copy docker://[REGISTRY]/acme/web:v1 to dir:usb/web:v1
    Would copy docker://[REGISTRY]/acme/web:v2 to dir:usb/web:v2
    ");
    assert!(!scene.path("usb").exists());
    let spelt = scene.must(&["sync", "--dry-run", &format!("docker://{}", server.name("acme/web")), "dir:usb"]);
    assert!(spelt.lines().all(|line| line.contains(" to dir:usb/web:")), "{spelt}");
    let said = scene.must(&["sync", "--dest", "dir", &server.name("acme/web"), "usb"]);
    assert!(said.starts_with("Copying docker://[REGISTRY]/acme/web:v1 to dir:usb/web:v1\n"), "{said}");
    assert!(said.ends_with("Digest: sha256:<manifest-a>\nCopied 2 of 2 images\n"), "{said}");
    assert_snapshot!(scene.dhow(&["sync", "-q", "--src", "dir", "usb", &server.name("mirror/")]), @r"
    exit 0
    [out]
    docker://[REGISTRY]/mirror/web:v1
    docker://[REGISTRY]/mirror/web:v2
    ");
    assert_eq!(scene.must(&["digest", &server.name("mirror/web:v2")]), "sha256:<manifest-a>\n");
}

#[test]
fn lists_of_images() {
    let (scene, server, name) = published();
    let write = |file: &str, text: &str| std::fs::write(scene.path(file), text).expect("a list");
    write("list", &format!("# one\n{name}\n{}\n", server.name("acme/nope:v1")));
    let said = scene.dhow(&["sync", "-q", "--keep-going", "--src", "list", "list", &server.name("kept")]);
    assert_snapshot!(said, @r"
    exit 1
    [out]
    docker://[REGISTRY]/kept/web:v1
    [err]
    docker://[REGISTRY]/acme/nope:v1 was not copied
    manifest for [REGISTRY]/acme/nope:v1 not found: manifest unknown: manifest unknown
    ");
    let yaml = format!(
        "{}:\n  images-by-tag-regex:\n    acme/web: ^v[2-9]$\n  images:\n    acme/web: [v1]\n",
        server.address()
    );
    write("list.yaml", &yaml);
    let unsaid = scene.dhow(&["sync", "list.yaml", &server.name("kept2")]);
    assert!(unsaid.to_string().contains("list.yaml is a file: --src yaml reads it"), "{unsaid}");
    let said = scene.must(&["sync", "-q", "--src", "yaml", "list.yaml", &server.name("kept2")]);
    assert_eq!(said, "docker://[REGISTRY]/kept2/web:v2\ndocker://[REGISTRY]/kept2/web:v1\n");
    write("versions.yaml", &format!("{}:\n  images-by-semver:\n    acme/web: \">= 1.1\"\n", server.address()));
    let digests = ["--digestfile", "digests", "--append-suffix", "-new"];
    let said = scene
        .must(&[&["sync", "-q", "--src", "yaml"][..], &digests, &["versions.yaml", &server.name("kept3")]].concat());
    assert_eq!(said, "docker://[REGISTRY]/kept3/web:v2-new\n");
    let digests = std::fs::read(scene.path("digests")).expect("the digests");
    assert_eq!(scene.shown(&digests), "sha256:<manifest-a> docker://[REGISTRY]/kept3/web:v2-new\n");
    write("twice", &format!("{name}\n{}\n", server.name("kept/web:v1")));
    assert_snapshot!(scene.dhow(&["sync", "--src", "list", "--dest", "dir", "twice", "usb"]), @r"
    exit 1
    [err]
    docker://[REGISTRY]/acme/web:v1 and docker://[REGISTRY]/kept/web:v1 would both go to dir:usb/web:v1
    ");
    assert_snapshot!(scene.dhow(&["sync", "--src", "list", "nowhere", "x.example"]), @r#"
    exit 1
    [err]
    cannot open "nowhere": no such file or directory
    "#);
}
