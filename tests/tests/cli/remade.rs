//! `mutate`, `append`, `flatten`, `rebase`, `validate`

#![allow(clippy::disallowed_methods, reason = "writes scratch files")]

use dhow_testkit::images::{Entry, tar_of};
use dhow_tests::multi::Multi;
use dhow_tests::scene::{Scene, Server};
use insta::assert_snapshot;
use serde_json::Value;

/// A registry with an image under `acme/web:v1`; the store has it too.
fn published() -> (Scene, Server, String) {
    let scene = Scene::new();
    let server = scene.serve();
    let name = server.name("acme/web:v1");
    scene.load("a", &name);
    scene.must(&["push", "-q", &name]);
    (scene, server, format!("docker://{name}"))
}

/// A tar of one file in the scene's folder.
fn layer(scene: &Scene, file: &str, path: &str, content: &str) -> Vec<u8> {
    let tar = tar_of(&[Entry { path, mode: 0o644, content: content.as_bytes() }]).expect("a tar");
    std::fs::write(scene.path(file), &tar).expect("a file");
    tar
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// What a registry keeps of an image: its manifest and its config.
fn kept(scene: &Scene, name: &str) -> (Value, Value) {
    let raw = scene.must(&["inspect", "--remote", "--raw", name]);
    let config = scene.must(&["inspect", "--remote", "--raw", "--image-config", name]);
    (json(&raw), json(&config))
}

#[test]
fn mutating_changes_what_is_asked_for_and_nothing_else() {
    let (scene, server, web) = published();
    let (before, config) = kept(&scene, &web);
    let new = server.name("acme/web:v2");
    let arguments =
        ["-l", "stage=test", "-a", "note=<x>", "-e", "A=1", "-e", "B=x,y", "--entrypoint", "sh,-c", "-u", "bob"];
    let mut all = vec!["mutate", &web, "-t", &new, "-w", "/srv", "--exposed-ports", "80/tcp,443/tcp", "--cmd", "-x"];
    all.extend(arguments);
    let said = scene.must(&all);
    assert_eq!(said, scene.must(&all), "the same every time");
    assert!(said.starts_with("[REGISTRY]/acme/web@sha256:"), "{said}");
    assert_eq!(said.trim_end(), scene.must(&["digest", "--full-ref", &new]).trim_end());
    let (after, changed) = kept(&scene, &new);
    assert_eq!(after["layers"], before["layers"]);
    assert_eq!(after["annotations"]["note"], "<x>");
    assert_eq!((&changed["rootfs"], &changed["history"]), (&config["rootfs"], &config["history"]));
    assert_eq!(changed["created"], config["created"]);
    let expected = serde_json::json!({
        "Labels": { "stage": "test" }, "Env": ["A=1", "B=x,y"], "Entrypoint": ["sh", "-c"], "Cmd": ["-x"], "User": "bob",
        "WorkingDir": "/srv", "ExposedPorts": { "80/tcp": {}, "443/tcp": {} },
    });
    assert_eq!(changed["config"], expected);
    // Nothing to change: the same bytes.
    let same = scene.must(&["mutate", &web, "-t", &server.name("acme/web:same")]);
    assert_eq!(same, "[REGISTRY]/acme/web@sha256:<manifest-a>\n");
    // Without a name the result takes that of the image, a digest goes into the same repository.
    let by_digest = format!("docker://{}@{}", server.name("acme/web"), digest(&scene, &web));
    let said = scene.must(&["mutate", &by_digest, "-l", "a=b"]);
    assert_eq!(scene.must(&["digest", &web]), "sha256:<manifest-a>\n", "{said}");
    let said = scene.must(&["mutate", &web, "-l", "a=b"]);
    assert_eq!(scene.must(&["digest", "--full-ref", &web]), said);
    assert_snapshot!(scene.dhow(&["mutate", &web, "-l", "empty="]), @r#"
    exit 1
    [err]
    parsing label "empty", value is empty
    "#);
}

/// The digest of an image in full, of which transcripts show a name.
fn digest(scene: &Scene, name: &str) -> String {
    let output = scene.command(&["digest", name]).output().expect("dhow");
    String::from_utf8(output.stdout).expect("text").trim().to_owned()
}

#[test]
fn images_of_the_store_are_changed_in_the_store() {
    let scene = Scene::new();
    scene.load("a", "docker.io/acme/web:v1");
    let said = scene.must(&["mutate", "acme/web:v1", "-l", "a=b", "-t", "acme/web:v2"]);
    assert!(said.starts_with("docker.io/acme/web@sha256:"), "{said}");
    assert_eq!(scene.must(&["inspect", "-f", "{{.Config.Labels}}", "acme/web:v2"]), "map[a:b]\n");
    assert_eq!(scene.must(&["inspect", "-f", "{{.Config.Labels}}", "acme/web:v1"]), "map[]\n");
    scene.must(&["mutate", "acme/web:v1", "--set-platform", "linux/arm64/v8", "-o", "out.tar"]);
    assert_eq!(scene.must(&["validate", "--tarball", "out.tar"]), "PASS: out.tar\n");
    scene.must(&["load", "-q", "-i", "out.tar"]);
    assert_eq!(scene.must(&["inspect", "-f", "{{.Architecture}}", "acme/web:v1"]), "arm64\n");
    scene.must(&["mutate", "acme/web:v2", "--set-platform", "windows/amd64:10.0.20348", "-o", "windows.tar"]);
    scene.must(&["load", "-q", "-i", "windows.tar"]);
    let shown = scene.must(&["inspect", "-f", "{{.Os}} {{.OsVersion}}", "acme/web:v2"]);
    assert_eq!(shown, "windows 10.0.20348\n");
    let wrong = scene.run(&mut scene.command(&["mutate", "acme/web:v1", "--set-platform", "windows/amd64:"]));
    assert!(wrong.to_string().contains("a platform is os/arch[/variant][:osversion]"), "{wrong}");
    let time = scene.run(scene.command(&["mutate", "acme/web:v2", "-l", "c=d"]).env("SOURCE_DATE_EPOCH", "86400"));
    assert_eq!(time.code, 0, "{time}");
    assert_eq!(scene.must(&["inspect", "-f", "{{.Created}}", "acme/web:v2"]), "1970-01-02T00:00:00Z\n");
    let wrong = scene.run(scene.command(&["mutate", "acme/web:v2"]).env("SOURCE_DATE_EPOCH", "today"));
    assert_snapshot!(wrong, @r#"
    exit 1
    [err]
    SOURCE_DATE_EPOCH="today" is no time: it is a number of seconds since 1970
    "#);
}

#[test]
fn layers_are_appended_byte_for_byte() {
    let (scene, server, web) = published();
    let tar = layer(&scene, "new.tar", "etc/new", "new");
    let name = server.name("acme/web:more");
    scene.must(&["append", "-b", &web, "-f", "new.tar", "--new_tag", &name, "--set-base-image-annotations"]);
    let (manifest, config) = kept(&scene, &name);
    let diff_id = dhow_testkit::images::sha256(&tar);
    assert_eq!(config["rootfs"]["diff_ids"][2], diff_id);
    assert_eq!(manifest["layers"].as_array().map(Vec::len), Some(3));
    assert_eq!(
        scene.shown(manifest["annotations"]["org.opencontainers.image.base.name"].as_str().unwrap().as_bytes()),
        "[REGISTRY]/acme/web:v1"
    );
    assert_eq!(
        scene.must(&["validate", &format!("docker://{name}")]),
        format!("PASS: docker://[REGISTRY]/acme/web:more\n")
    );
    // A layer that is compressed already stays as it is.
    let gzip = std::process::Command::new("gzip").args(["-nk", "new.tar"]).current_dir(scene.path("")).status();
    assert!(gzip.is_ok_and(|status| status.success()), "gzip");
    let zipped = std::fs::read(scene.path("new.tar.gz")).expect("the file");
    scene.must(&["append", "-f", "new.tar.gz", "-t", "made/of:nothing"]);
    scene.must(&["copy", "-q", "made/of:nothing", "oci:layout:it"]);
    let blob = dhow_testkit::images::sha256(&zipped);
    assert!(scene.path(&format!("layout/blobs/sha256/{}", blob.trim_start_matches("sha256:"))).exists());
    let file = std::fs::File::open(scene.path("new.tar")).expect("a file");
    let piped = scene.run(scene.command(&["append", "-f", "-", "-t", "made/of:pipe"]).stdin(file));
    assert_eq!(piped.code, 0, "{piped}");
    std::fs::write(scene.path("junk"), "no tar at all, only words".repeat(100)).expect("a file");
    for (arguments, expected) in [
        (&["append", "-t", "x"][..], "there is nothing to append: give a tar with -f"),
        (&["append", "-f", "new.tar"], "what is made without a base needs a name"),
        (&["append", "-f", "nope.tar", "-t", "x"], "cannot open layer \"nope.tar\": no such file or directory"),
        (&["append", "-f", "junk", "-t", "x"], "layer \"junk\": a layer is no proper tar"),
        (&["append", "-f", "/", "-t", "x"], "layer \"/\": it is a directory"),
    ] {
        let refused = scene.dhow(arguments);
        assert!(refused.code == 1 && refused.stderr.contains(expected), "{arguments:?}: {refused}");
    }
}

#[test]
fn flattened_images_show_the_same() {
    let (scene, server, web) = published();
    layer(&scene, "gone.tar", "etc/.wh.salt", "");
    let name = format!("docker://{}", server.name("acme/web:gone"));
    scene.must(&["append", "-b", &web, "-f", "gone.tar", "-t", &name]);
    let flat = scene.must(&["flatten", &name, "-t", &server.name("acme/web:flat")]);
    assert_eq!(flat, scene.must(&["flatten", &name, "-t", &server.name("acme/web:flat")]), "the same every time");
    let (manifest, config) = kept(&scene, &server.name("acme/web:flat"));
    assert_eq!(manifest["layers"].as_array().map(Vec::len), Some(1));
    assert_eq!(config["history"].as_array().map(Vec::len), Some(1));
    assert!(config["history"][0]["created_by"].as_str().is_some_and(|by| by.starts_with("dhow flatten sha256:")));
    scene.must(&["pull", "-q", &server.name("acme/web:flat")]);
    scene.must(&["copy", "-q", &server.name("acme/web:flat"), "oci:layout:it"]);
    let blob = manifest["layers"][0]["digest"].as_str().unwrap().trim_start_matches("sha256:");
    let listed =
        std::process::Command::new("tar").arg("-tzf").arg(scene.path(&format!("layout/blobs/sha256/{blob}"))).output();
    assert_eq!(String::from_utf8_lossy(&listed.expect("tar").stdout), "etc/os-release\n");
}

#[test]
fn all_platforms_of_an_index_are_changed_together() {
    let scene = Scene::new();
    let server = scene.serve();
    let image = Multi::new(&scene);
    let name = format!("docker://{}", image.publish(&scene, &server, "acme/app:v1"));
    assert_snapshot!(scene.dhow(&["mutate", &name, "-l", "a=b"]), @r"
    exit 1
    [err]
    docker://[REGISTRY]/acme/app:v1 is an index of several platforms, which its name would no longer stand for
    ");
    let all = scene.dhow(&["mutate", &name, "-l", "a=b", "--all-platforms", "-t", &server.name("acme/app:v2")]);
    assert_eq!(all.code, 0, "{all}");
    let index = json(&scene.must(&["inspect", "--remote", "--raw", &server.name("acme/app:v2")]));
    let before = json(&scene.must(&["inspect", "--remote", "--raw", &name]));
    let platforms = |index: &Value| -> Vec<Value> {
        let members = index["manifests"].as_array().cloned().unwrap_or_default();
        let platforms = members.into_iter().map(|member| member["platform"].clone());
        platforms.filter(|platform| platform["os"] != "unknown").collect()
    };
    assert_eq!(platforms(&index), platforms(&before));
    for platform in ["linux/amd64", "linux/arm64"] {
        let config = scene.must(&[
            "inspect",
            "--remote",
            "--platform",
            platform,
            "--format",
            "{{.Labels}}",
            &server.name("acme/app:v2"),
        ]);
        assert_eq!(config, "map[a:b]\n", "{platform}");
    }
    scene.must(&["flatten", &name, "-t", &server.name("acme/app:flat")]);
    assert_eq!(
        scene.must(&["validate", "--remote", &server.name("acme/app:flat")]),
        "PASS: [REGISTRY]/acme/app:flat\n"
    );
}

#[test]
fn rebasing_moves_the_upper_layers() {
    let (scene, server, web) = published();
    let base = |tag: &str| format!("docker://{}", server.name(&format!("acme/base:{tag}")));
    layer(&scene, "one.tar", "base", "one");
    layer(&scene, "two.tar", "base", "two");
    layer(&scene, "app.tar", "app", "app");
    scene.must(&["append", "-f", "one.tar", "-t", &base("v1")]);
    scene.must(&[
        "append",
        "-b",
        &base("v1"),
        "-f",
        "app.tar",
        "-t",
        &server.name("acme/app:v1"),
        "--set-base-image-annotations",
    ]);
    let app = format!("docker://{}", server.name("acme/app:v1"));
    let same = scene.dhow(&["rebase", &app]);
    assert!(same.code == 0 && same.stderr.contains("has the base already: nothing was changed"), "{same}");
    scene.must(&["append", "-f", "two.tar", "-t", &base("v1")]);
    let said = scene.must(&["rebase", &app, "--rebased", &server.name("acme/app:v2")]);
    assert_eq!(said, scene.must(&["digest", "--full-ref", &server.name("acme/app:v2")]));
    let (manifest, config) = kept(&scene, &server.name("acme/app:v2"));
    let (new_base, _) = kept(&scene, &base("v1"));
    let (old, _) = kept(&scene, &app);
    assert_eq!(manifest["layers"][0], new_base["layers"][0]);
    assert_eq!(manifest["layers"][1], old["layers"][1]);
    assert_eq!(
        (manifest["layers"].as_array().map(Vec::len), config["history"].as_array().map(Vec::len)),
        (Some(2), Some(2))
    );
    let digest = format!("{}\n", manifest["annotations"]["org.opencontainers.image.base.digest"].as_str().unwrap());
    assert_eq!(scene.shown(digest.as_bytes()), scene.must(&["digest", &base("v1")]));
    assert_eq!(scene.must(&["validate", "--remote", &server.name("acme/app:v2")]), "PASS: [REGISTRY]/acme/app:v2\n");
    for (arguments, expected) in [
        (vec!["rebase", &web], "nothing says what the new base of docker://[REGISTRY]/acme/web:v1 is"),
        (vec!["rebase", &web, "--new_base", &app, "--old_base", &app], "is not based on"),
        (vec!["rebase"], "say which image to rebase"),
    ] {
        let refused = scene.dhow(&arguments);
        assert!(refused.code == 1 && refused.stderr.contains(expected), "{arguments:?}: {refused}");
    }
}

#[test]
fn damaged_images_are_told() {
    let (scene, _server, web) = published();
    scene.must(&["copy", "-q", &web, "oci:layout:it"]);
    assert_eq!(
        scene.must(&["validate", "oci:layout:it", &web]),
        "PASS: oci:layout:it\nPASS: docker://[REGISTRY]/acme/web:v1\n"
    );
    assert_eq!(scene.must(&["validate", "--fast", "oci:layout:it"]), "PASS: oci:layout:it\n");
    let raw = scene.command(&["inspect", "--remote", "--raw", &web]).output().expect("dhow").stdout;
    let manifest = json(&String::from_utf8(raw).expect("text"));
    let digest = manifest["layers"][1]["digest"].as_str().unwrap();
    let path = scene.path(&format!("layout/blobs/sha256/{}", digest.trim_start_matches("sha256:")));
    let mut bytes = std::fs::read(&path).expect("the layer");
    bytes[600] ^= 1;
    std::fs::write(&path, bytes).expect("the layer");
    assert_snapshot!(scene.dhow(&["validate", "oci:layout:it"]), @r"
    exit 1
    [out]
    FAIL: oci:layout:it: manifest sha256:<manifest-a>: layer[1] sha256:<upper-a>: cannot read a layer: digest mismatch: expected sha256:<upper-a>, got sha256:7d200d401ccf6bce2ed778f009c11e444376abf0bada8cfa760efad52bee6570
    ");
    std::fs::remove_file(&path).expect("the layer");
    let missing = scene.dhow(&["validate", "--fast", "oci:layout:it"]);
    assert!(missing.code == 1 && missing.stdout.starts_with("FAIL: oci:layout:it: manifest "), "{missing}");
    assert_snapshot!(scene.dhow(&["validate"]), @r"
    exit 1
    [err]
    there is nothing to validate
    ");
}
