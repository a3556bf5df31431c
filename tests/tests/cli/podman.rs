//! What only a link named `podman` does; `tests/parity/podman` compares the rest with the real one.

#![allow(clippy::disallowed_methods, reason = "archives to import are scratch files")]

use dhow_tests::scene::Scene;
use insta::assert_snapshot;

#[test]
fn names_are_the_same_whoever_gave_them() {
    let scene = Scene::new();
    scene.load("a", "docker.io/library/web:1");
    assert_eq!(scene.podman(&["tag", "web:1", "mine"]).code, 0);
    assert_snapshot!(scene.podman(&["images", "--format", "{{.Repository}}:{{.Tag}}"]), @r"
    exit 0
    [out]
    docker.io/library/web:1
    localhost/mine:latest
    ");
    assert_snapshot!(scene.dhow(&["images", "--format", "{{.Repository}}:{{.Tag}}"]), @r"
    exit 0
    [out]
    web:1
    localhost/mine:latest
    ");
    for name in ["mine", "localhost/mine", "web:1", "docker.io/library/web:1", "library/web:1"] {
        assert_eq!(scene.podman(&["image", "exists", name]).code, 0, "{name}");
    }
    // Docker's names are Docker Hub's.
    assert_eq!(scene.dhow(&["image", "exists", "mine"]).code, 1);
}

#[test]
fn this_machine_s_names_come_before_docker_hub_s() {
    let scene = Scene::new();
    scene.load("a", "docker.io/library/web:1");
    scene.load("b", "localhost/web:1");
    let id = |output: String| output.trim().to_owned();
    let shown = scene.podman(&["inspect", "-f", "{{.Id}}", "web:1"]);
    assert_eq!(id(shown.stdout), "<id-b>");
    assert_eq!(id(scene.must(&["inspect", "-f", "{{.Id}}", "web:1"])), "sha256:<id-a>");
}

#[test]
fn images_are_pulled_out_of_files_and_folders() {
    let scene = Scene::new();
    scene.load("a", "docker.io/acme/web:1");
    for place in ["dir:folder", "oci:layout:acme/oci:2"] {
        scene.must(&["copy", "-q", "acme/web:1", place]);
    }
    scene.must(&["save", "-o", "both.tar", "acme/web:1"]);
    scene.must(&["rmi", "acme/web:1"]);
    let pulls = ["docker-archive:both.tar", "oci-archive:both.tar", "dir:folder", "oci:layout:acme/oci:2"];
    for place in pulls {
        assert_eq!(scene.podman(&["pull", place]).to_string(), "exit 0\n[out]\n<id-a>\n", "{place}");
    }
    let names = scene.must(&["images", "--format", "{{.Repository}}:{{.Tag}}"]);
    assert_eq!(names, "acme/web:1\nlocalhost/acme/oci:2\nlocalhost/folder:latest\n");
    assert_eq!(scene.podman(&["pull", "dir:nowhere"]).code, 125);
}

#[test]
fn a_digest_is_listed_where_there_is_no_tag() {
    let scene = Scene::new();
    let server = scene.serve();
    let image = scene.load("a", &server.name("acme/web:1"));
    scene.must(&["push", "-q", &server.name("acme/web:1")]);
    scene.must(&["image", "prune", "-af"]);
    let list = || scene.podman(&["images", "--format", "{{.Repository}}:{{.Tag}}"]).stdout;
    scene.podman(&["pull", "-q", &server.name(&format!("acme/web@{}", image.manifest.digest))]);
    assert_eq!(list(), "[REGISTRY]/acme/web:<none>\n");
    scene.podman(&["tag", &image.id, "other:1"]);
    assert_eq!(list(), "localhost/other:1\n");
}

/// Where there is no choice, podman takes the image there is.
#[test]
fn an_image_for_another_platform_is_pulled_with_a_warning() {
    let scene = Scene::new();
    let server = scene.serve();
    let name = server.name("acme/web:1");
    scene.load("a", &name);
    scene.must(&["push", "-q", &name]);
    assert_snapshot!(scene.podman(&["pull", "-q", "--platform", "linux/s390x", &name]), @r"
    exit 0
    [out]
    <id-a>
    [err]
    WARNING: image platform (linux/amd64) does not match the expected platform (linux/s390x)
    ");
    assert_eq!(scene.podman(&["pull", "-q", "--arch", "amd64", &name]).stderr, "");
}

#[test]
fn archives_without_registries_are_this_machine_s() {
    let scene = Scene::new();
    scene.load("a", "docker.io/library/web:1");
    let saved = scene.podman(&["save", "-q", "-o", "full.tar", "docker.io/library/web:1"]);
    assert_eq!(saved.code, 0, "{saved}");
    assert_eq!(scene.podman(&["rmi", "-af"]).code, 0);
    assert_snapshot!(scene.podman(&["load", "-q", "-i", "full.tar"]), @r"
    exit 0
    [out]
    Loaded image: docker.io/library/web:1
    ");
}

#[test]
fn errors_keep_podman_s_codes() {
    let scene = Scene::new();
    let sample = scene.load("a", "localhost/web:1");
    scene.must(&["tag", "localhost/web:1", "localhost/web:2"]);
    assert_snapshot!(scene.podman(&["rmi", "nope"]), @r"
    exit 1
    [err]
    Error: nope: image not known
    ");
    assert_snapshot!(scene.podman(&["rmi", &sample.id[7..19]]), @r#"
    exit 125
    [err]
    Error: unable to delete image "<id-a>" by ID with more than one tag ([localhost/web:1 localhost/web:2]): please force removal
    "#);
    assert_snapshot!(scene.podman(&["images", "--sort", "nope"]), @r#"
    exit 125
    [err]
    Error: "nope" is not a valid field for sorting. Choose from: id, repository, size, tag, created
    "#);
}

#[test]
fn flags_about_other_machines_are_refused_and_those_about_storage_are_not() {
    let scene = Scene::new();
    for flag in [&["--remote"][..], &["-r"], &["--url=unix:///x"], &["--connection", "x"]] {
        let output = scene.podman(&[flag, &["images"]].concat());
        assert_eq!(output.code, 125, "{flag:?}: {output}");
        assert!(output.stderr.contains("is not supported: dhow works on this machine"), "{flag:?}: {output}");
    }
    let flags = ["--storage-driver", "vfs", "--runroot=/x", "--storage-opt", "a=b", "--cgroup-manager=cgroupfs"];
    assert_eq!(scene.podman(&[&flags[..], &["images", "-q"]].concat()).code, 0);
    assert_eq!(scene.docker(&["--runroot=/x", "images"]).code, 125);
}

#[test]
fn a_newer_image_is_pulled_and_what_is_here_will_do() {
    let scene = Scene::new();
    let server = scene.serve();
    let name = server.name("web:1");
    for letter in ["a", "b"] {
        scene.load(letter, "localhost/web:1");
        assert_eq!(scene.podman(&["push", "-q", "web:1", &name]).code, 0);
        let pulled = scene.podman(&["pull", "--policy", "newer", &name]);
        assert_eq!((pulled.code, pulled.stdout), (0, format!("<id-{letter}>\n")), "{}", pulled.stderr);
        assert!(pulled.stderr.starts_with("Trying to pull"), "{}", pulled.stderr);
        let same = scene.podman(&["pull", "--policy", "newer", &name]);
        assert_eq!(same.to_string(), format!("exit 0\n[out]\n<id-{letter}>\n"));
    }
    drop(server);
    let kept = scene.podman(&["pull", "-q", "--policy", "newer", &name]);
    assert_eq!(kept.to_string(), "exit 0\n[out]\n<id-b>\n");
    assert_eq!(scene.podman(&["pull", "-q", &name]).code, 125);
}

#[test]
fn what_is_said_before_a_command_has_podman_s_codes() {
    let scene = Scene::new();
    scene.load("a", "localhost/web:1");
    assert_snapshot!(scene.podman(&["--log-level", "loud", "images"]), @r#"
    exit 1
    [err]
    Log Level "loud" is not supported, choose from: trace, debug, info, warn, warning, error, fatal, panic
    "#);
    assert_snapshot!(scene.podman(&["--debug", "--log-level=info", "images"]), @r"
    exit 1
    [err]
    Setting --log-level and --debug is not allowed
    ");
    let file = scene.path("out");
    std::fs::write(&file, "what was there before, and is longer than what comes").expect("a file");
    let out = file.to_str().expect("a path");
    for arguments in [&["--noout", "images", "-q"][..], &["--out", out, "images", "-q", "--no-trunc"]] {
        assert_eq!(scene.podman(arguments).to_string(), "exit 0\n", "{arguments:?}");
    }
    let written = std::fs::read_to_string(&file).expect("the file");
    assert!(written.starts_with("sha256:") && written.len() == 72, "{written}");
    assert_eq!(scene.podman(&["--out", "/nowhere/file", "images"]).code, 1);
}

#[test]
fn lists_go_by_their_names() {
    let scene = Scene::new();
    assert_snapshot!(scene.podman(&["manifest", "create", "list"]), @r"
    exit 0
    [out]
    localhost/list:latest
    ");
    assert_eq!(scene.podman(&["manifest", "exists", "localhost/list:latest"]).code, 0);
    assert_snapshot!(scene.podman(&["manifest", "rm", "list", "nope"]), @r"
    exit 1
    [out]
    Untagged: localhost/list:latest
    [err]
    Error: nope: image not known
    ");
    let missing = scene.podman(&["manifest", "create", "other", "oci-archive:nope.tar"]);
    assert!(missing.code == 125 && missing.stderr.contains("nope.tar: no such file or directory"), "{missing}");
    assert_eq!(scene.podman(&["manifest", "exists", "other"]).code, 1);
}

/// An image that was imported here, one out of an archive and one of a registry become one index.
#[test]
fn lists_are_made_of_what_is_here() {
    let scene = Scene::new();
    let server = scene.serve();
    std::fs::write(scene.path("empty.tar"), [0; 1024]).expect("an archive");
    for (name, architecture) in [("here:1", "arm64"), ("gone:1", "s390x")] {
        let imported = scene.podman(&["import", "-q", "--arch", architecture, "empty.tar", name]);
        assert_eq!(imported.code, 0, "{imported}");
    }
    scene.load("a", "localhost/web:1");
    scene.podman(&["push", "-q", "web:1", &server.name("web:1")]);
    scene.podman(&["save", "-q", "--format", "oci-archive", "-o", "gone.tar", "gone:1"]);
    scene.podman(&["rmi", "gone:1"]);
    let web = server.name("web:1");
    scene.podman(&["manifest", "create", "nothing"]);
    assert_eq!(scene.podman(&["manifest", "push", "nothing", &server.name("nothing:1")]).code, 0);
    let created = scene.podman(&["manifest", "create", "list:1", "containers-storage:localhost/here:1", &web]);
    assert_eq!(created.to_string(), "exit 0\n[out]\nlocalhost/list:1\n");
    let added = scene.podman(&["manifest", "add", "--variant", "v9", "list:1", "oci-archive:gone.tar"]);
    assert_eq!(added.to_string(), "exit 0\n[out]\nlocalhost/list:1\n");
    // A name that no registry has; it is in the list already.
    assert_eq!(scene.podman(&["manifest", "add", "list:1", "localhost/here:1"]).code, 0);
    let platforms = |shown: &str| -> Vec<String> {
        let index: serde_json::Value = serde_json::from_str(shown).expect("JSON");
        let platform = |member: &serde_json::Value| member["platform"]["architecture"].as_str().map(str::to_owned);
        let mut platforms: Vec<String> =
            index["manifests"].as_array().expect("manifests").iter().filter_map(platform).collect();
        platforms.sort();
        platforms
    };
    let expected = ["amd64", "arm64", "s390x"];
    assert_eq!(platforms(&scene.podman(&["manifest", "inspect", "list:1"]).stdout), expected);
    let name = server.name("all:1");
    let pushed = scene.podman(&["manifest", "push", "--all", "list:1", &format!("docker://{name}")]);
    assert_eq!((pushed.code, pushed.stdout.as_str()), (0, ""), "{pushed}");
    assert_eq!(platforms(&scene.must(&["manifest", "inspect", &name])), expected);
    for platform in ["linux/arm64", "linux/s390x/v9", "linux/amd64"] {
        let pulled = scene.dhow(&["pull", "-q", "--platform", platform, &name]);
        assert_eq!(pulled.code, 0, "{platform}: {pulled}");
    }
    let layout = scene.podman(&["manifest", "push", "list:1", "oci:layout:all"]);
    assert_eq!(layout.code, 0, "{layout}");
    let raw = scene.must(&["inspect", "--remote", "--raw", "oci:layout:all"]);
    assert_eq!(platforms(&raw), expected);
    std::fs::remove_file(scene.path("gone.tar")).expect("remove");
    let unfound = scene.podman(&["manifest", "push", "list:1", &server.name("other:1")]);
    assert!(unfound.code == 125 && unfound.stderr.contains("gone.tar: no such file or directory"), "{unfound}");
}

#[test]
fn lists_are_tagged_pushed_and_removed_as_images_are() {
    let scene = Scene::new();
    let server = scene.serve();
    scene.load("a", "localhost/web:1");
    let lists = |names: &[&str]| -> Vec<i32> {
        names.iter().map(|name| scene.podman(&["manifest", "exists", name]).code).collect()
    };
    scene.podman(&["push", "-q", "web:1", &server.name("list:a")]);
    scene.podman(&["manifest", "create", "list:1", &server.name("list:a")]);
    assert_eq!(scene.podman(&["tag", "list:1", "list:2", "list:3"]).code, 0);
    assert_eq!(lists(&["list:1", "list:2", "list:3", "list:4"]), [0, 0, 0, 1]);
    let pushed = scene.podman(&["push", "list:1", &server.name("list:1")]);
    assert_eq!((pushed.code, pushed.stdout.as_str()), (0, ""), "{pushed}");
    assert_eq!(scene.podman(&["push", "--format", "oci", "list:1", &server.name("list:1")]).code, 125);
    let index: serde_json::Value =
        serde_json::from_str(&scene.podman(&["manifest", "inspect", &server.name("list:1")]).stdout).expect("JSON");
    assert_eq!(index["manifests"].as_array().map(Vec::len), Some(1), "{index}");
    assert_snapshot!(scene.podman(&["rmi", "list:1", "web:1", "list:1", "nope"]), @r"
    exit 1
    [out]
    Untagged: localhost/web:1
    Untagged: localhost/list:1
    Deleted: <id-a>
    [err]
    Error: nope: image not known
    ");
    assert_eq!(
        scene.podman(&["rmi", "--all"]).to_string(),
        "exit 0\n[out]\nUntagged: localhost/list:2\nUntagged: localhost/list:3\n"
    );
    for prune in [&["image", "prune", "--all", "--force"][..], &["system", "prune", "--all", "--force"]] {
        scene.podman(&["manifest", "create", "list:1"]);
        assert_eq!(scene.podman(&[prune, &["--filter", "until=1h"]].concat()).code, 0);
        assert_eq!(lists(&["list:1"]), [0]);
        assert!(scene.podman(prune).stdout.contains("localhost/list:1\n"));
        assert_eq!(lists(&["list:1"]), [1]);
    }
}

#[test]
fn images_are_pushed_to_files_and_changed_on_the_way() {
    let scene = Scene::new();
    let server = scene.serve();
    scene.load("a", "localhost/web:1");
    let whole = scene.podman(&["push", "--digestfile", "digest", "web:1", "oci-archive:web.tar:web:2"]);
    assert_eq!((whole.code, whole.stdout.as_str()), (0, ""), "{whole}");
    assert!(whole.stderr.starts_with("Getting image source signatures\nCopying blob sha256:"), "{whole}");
    let end = "Copying config sha256:<id-a>\nWriting manifest to image destination\nStoring signatures\n";
    assert!(whole.stderr.ends_with(end), "{whole}");
    let digest = std::fs::read_to_string(scene.path("digest")).expect("the digest");
    let inspected = scene.must(&["copy", "-q", "--digestfile", "copied", "oci-archive:web.tar:web:2", "copied:1"]);
    let copied = std::fs::read_to_string(scene.path("copied")).expect("the digest");
    assert_eq!((inspected.as_str(), copied), ("", digest));
    assert_snapshot!(scene.podman(&["load", "-q", "-i", "web.tar"]), @r"
    exit 0
    [out]
    Loaded image: localhost/web:2
    ");
    let name = server.name("web:3");
    for (flags, media_type) in [
        (&["--format", "v2s2"][..], "application/vnd.docker.distribution.manifest.v2+json"),
        (&["--format=oci", "--compression-format", "gzip"], "application/vnd.oci.image.manifest.v1+json"),
        (
            &["--compress", "--force-compression", "--disable-content-trust"],
            "application/vnd.oci.image.manifest.v1+json",
        ),
    ] {
        let pushed = scene.podman(&[&["push", "-q"], flags, &["web:1", &name]].concat());
        assert_eq!((pushed.code, pushed.stderr.as_str()), (0, ""), "{flags:?}: {pushed}");
        let shown = scene.must(&["manifest", "inspect", &name]);
        assert!(shown.contains(media_type), "{flags:?}: {shown}");
    }
    for (arguments, told) in [
        (&["--sign-by", "me"][..], "--sign-by is not supported: images are not signed yet"),
        (
            &["--encryption-key", "k"],
            "--encryption-key is not supported: layers are pushed as they are, and not encrypted",
        ),
        (&["--format", "v2s1"], "--format \"v2s1\" is not supported: it is \"oci\" or \"v2s2\""),
        (&["--compression-format=lz4"], "--compression-format \"lz4\" is not supported: it is \"gzip\" or \"zstd\""),
    ] {
        let refused = scene.podman(&[&["push"], arguments, &["web:1", &name]].concat());
        assert_eq!((refused.code, refused.stderr), (125, format!("Error: {told}\n")), "{arguments:?}");
    }
    let unknown = scene.podman(&["push", "web:1", "ftp:/x"]);
    let told = "Error: Invalid image name \"ftp:/x\", unknown transport \"ftp\"\n";
    assert!(unknown.code == 125 && unknown.stderr.ends_with(told), "{unknown}");
}

#[test]
fn places_that_cannot_be_opened_are_told_in_podman_s_words() {
    let scene = Scene::new();
    scene.load("a", "docker.io/library/web:1");
    std::fs::write(scene.path("taken.tar"), "something").expect("a file");
    std::fs::create_dir(scene.path("taken")).expect("a folder");
    std::fs::write(scene.path("taken/notes"), "mine").expect("a file");
    for (target, expected) in [
        ("docker-archive:taken.tar", "docker-archive doesn't support modifying existing images"),
        (
            "docker-archive:taken.tar:docker.io/library/foo:1",
            "docker-archive doesn't support modifying existing images",
        ),
        ("docker-archive:gone/x.tar", "opening file \"gone/x.tar\": open gone/x.tar: no such file or directory"),
        ("dir:taken", "not a containers image directory, don't want to overwrite important data"),
    ] {
        let told = scene.podman(&["push", "web:1", target]);
        let expected = format!("Error: initializing destination {target}: {expected}\n");
        assert!(told.code == 125 && told.stderr.ends_with(&expected), "{target}: {told}");
    }
}

#[test]
fn what_podman_has_and_dhow_has_not_is_told_with_a_way() {
    let scene = Scene::new();
    for (words, way) in [
        ("image sign", "cosign sign"),
        ("image trust", "cosign verify"),
        ("image scp", "dhow save IMAGE | ssh HOST dhow load"),
        ("build", "dhow copy containers-storage:NAME NAME"),
    ] {
        let arguments: Vec<&str> = words.split(' ').chain(["x"]).collect();
        let told = scene.podman(&arguments);
        assert!(told.stderr.starts_with(&format!("Error: unrecognized command `podman {words}`: ")), "{told}");
        assert!(told.code == 125 && told.stderr.contains(way), "{told}");
        let told = scene.docker(&arguments);
        assert!(told.stderr.starts_with(&format!("docker: unknown command: docker {words}: ")), "{told}");
        assert!(told.code == 1 && told.stderr.contains(way), "{told}");
    }
}

#[test]
fn archives_of_files_are_imported_as_podman_imports_them() {
    let scene = Scene::new();
    std::fs::write(scene.path("files.tar"), [0; 1024]).expect("an archive");
    let imported = scene.podman(&[
        "import",
        "--arch",
        "arm64",
        "--variant",
        "v8",
        "-c",
        "CMD=ls",
        "-c",
        "ENV=A=b",
        "-m",
        "files",
        "files.tar",
        "web:1",
    ]);
    assert_eq!(imported.code, 0, "{imported}");
    assert!(imported.stderr.starts_with("Getting image source signatures\nCopying blob sha256:"), "{imported}");
    assert!(imported.stderr.ends_with("Writing manifest to image destination\nStoring signatures\n"), "{imported}");
    let shown = "{{.Architecture}} {{.Config.Cmd}} {{.Config.Env}} {{.Comment}} {{.RepoTags}}";
    assert_snapshot!(scene.podman(&["image", "inspect", "-f", shown, "localhost/web:1"]), @r"
    exit 0
    [out]
    arm64 [/bin/sh -c ls] [A=b] files [localhost/web:1]
    ");
    assert_snapshot!(scene.podman(&["import", "-q", "-c", "FOO=ls", "files.tar"]), @r#"
    exit 125
    [err]
    Error: invalid change "FOO=ls" - invalid instruction FOO
    "#);
    assert_snapshot!(scene.podman(&["import", "nothing.tar"]), @r#"
    exit 125
    [err]
    Error: error opening "nothing.tar": open nothing.tar: no such file or directory
    "#);
    assert_snapshot!(scene.podman(&["import", "files.tar", "Bad:Name"]), @r#"
    exit 125
    [err]
    Error: normalizing name "Bad:Name": normalizing name "Bad:Name": repository name must be lowercase
    "#);
}

#[test]
fn differences_have_no_sizes_and_podman_s_json() {
    let scene = Scene::new();
    scene.load("a", "localhost/web:1");
    scene.load("b", "localhost/web:2");
    assert_snapshot!(scene.podman(&["image", "diff", "web:1", "web:2"]), @r"
    exit 0
    [out]
    C /etc/salt
    ");
    assert_snapshot!(scene.podman(&["diff", "--format", "json", "web:1"]), @r#"
    exit 0
    [out]
    {
         "added": [
              "/etc/salt"
         ]
    }
    "#);
    assert_snapshot!(scene.podman(&["image", "diff", "--format", "table", "web:1"]), @r"
    exit 125
    [err]
    Error: only supported value for '--format' is 'json'
    ");
    assert_snapshot!(scene.podman(&["image", "diff", "nope"]), @r"
    exit 125
    [err]
    Error: nope not found: nope: image not known
    ");
}

#[test]
fn lists_take_what_podman_says_of_them() {
    let scene = Scene::new();
    let server = scene.serve();
    let (image, list) = (server.name("web:1"), server.name("list:1"));
    scene.load("a", &image);
    scene.must(&["push", "-q", &image]);
    assert_eq!(scene.podman(&["manifest", "create", "--all", &list, &image]).code, 0);
    let pushed = scene.podman(&[
        "manifest",
        "push",
        "-q",
        "--digestfile",
        "digest",
        "--creds",
        "a:b",
        "--remove-signatures",
        &list,
    ]);
    assert_eq!((pushed.code, pushed.stderr.as_str()), (0, ""), "{pushed}");
    let digest = std::fs::read_to_string(scene.path("digest")).expect("the digest");
    assert_eq!(scene.must(&["digest", &list]).trim(), digest);
    let failed = scene.podman(&["manifest", "create", "--all", "new", &image, &server.name("nope:1")]);
    assert_eq!(failed.code, 125, "{failed}");
    assert_eq!(scene.podman(&["manifest", "exists", "new"]).code, 1, "half a list is none");
    assert_eq!(scene.podman(&["manifest", "rm", "--ignore", "new", &list]).code, 0);
    assert_eq!(scene.podman(&["manifest", "inspect", "-v", &list]).code, 0, "the registry has it");
    // A list is of this machine until it is pushed.
    assert_eq!(scene.podman(&["manifest", "create", "here", &image]).code, 0);
    assert!(scene.podman(&["manifest", "inspect", "here"]).stdout.contains("sha256:<manifest-a>"));
    for (arguments, flag) in [
        (&["manifest", "create", "--annotation", "a=b", "list"][..], "--annotation"),
        (&["manifest", "annotate", "--index", "list", "x"], "--index"),
        (&["manifest", "push", "--format", "oci", "list"], "--format"),
        (&["manifest", "push", "--sign-by", "me", "list"], "--sign-by"),
    ] {
        let refused = scene.podman(arguments);
        let told = format!("Error: {flag} is not supported: ");
        assert!(refused.code == 125 && refused.stderr.starts_with(&told), "{arguments:?}: {refused}");
    }
    assert_snapshot!(scene.podman(&["system", "prune", "--external"]), @r"
    exit 0
    [out]
    Total reclaimed space: 0B
    ");
}
