//! `manifest`

#![allow(clippy::disallowed_methods, reason = "reads scratch files")]

use dhow_testkit::images::sha256;
use dhow_tests::multi::Multi;
use dhow_tests::scene::{Scene, Server};
use insta::assert_snapshot;
use serde_json::{Value, json};

/// A registry with two images of one platform each, `acme/app:amd` and `acme/app:arm`, and an index of three, `acme/multi:v1`.
struct Registry {
    scene: Scene,
    server: Server,
    multi: Multi,
}

impl Registry {
    fn new() -> Self {
        let scene = Scene::new();
        let server = scene.serve();
        let multi = Multi::new(&scene);
        let name = multi.publish(&scene, &server, "acme/multi:v1");
        let store = scene.path("store-of-publisher");
        for (platform, tag) in [("linux/amd64", "amd"), ("linux/arm/v7", "arm")] {
            let single = server.name(&format!("acme/app:{tag}"));
            let run = |arguments: &[&str]| {
                scene.must(&[&["--root", store.to_str().expect("a printable path")], arguments].concat())
            };
            run(&["tag", &name, &single]);
            run(&["push", "-q", "--platform", platform, &single]);
        }
        Self { scene, server, multi }
    }

    /// Runs `docker manifest` with names of this registry in place of those that begin with `@`.
    fn docker(&self, arguments: &[&str]) -> dhow_tests::scene::Transcript {
        self.scene.docker(&self.named(arguments).iter().map(String::as_str).collect::<Vec<_>>())
    }

    fn dhow(&self, arguments: &[&str]) -> dhow_tests::scene::Transcript {
        self.scene.dhow(&self.named(arguments).iter().map(String::as_str).collect::<Vec<_>>())
    }

    fn named(&self, arguments: &[&str]) -> Vec<String> {
        let name = |word: &&str| match word.strip_prefix('@') {
            Some(image) => self.server.name(image),
            None => (*word).to_owned(),
        };
        std::iter::once("manifest".to_owned()).chain(arguments.iter().map(name)).collect()
    }

    /// The bytes under a tag.
    fn served(&self, image: &str, tag: &str) -> Vec<u8> {
        let registry = self.scene.path("registry");
        let digest = std::fs::read_to_string(registry.join("repositories").join(image).join("_tags").join(tag));
        std::fs::read(registry.join("blobs").join(digest.expect("a tag").replace(':', "/"))).expect("a document")
    }
}

#[test]
fn a_list_is_created_annotated_pushed_and_removed() {
    let registry = Registry::new();
    assert_snapshot!(registry.docker(&["create", "@acme/list:1", "@acme/app:arm", "@acme/app:amd"]), @r"
    exit 0
    [out]
    Created manifest list [REGISTRY]/acme/list:1
    ");
    assert_snapshot!(registry.docker(&["annotate", "@acme/list:1", "@acme/app:arm", "--variant", "v6"]), @"exit 0");
    assert_snapshot!(registry.docker(&["inspect", "@acme/list:1"]), @r#"
    exit 0
    [out]
    {
       "schemaVersion": 2,
       "mediaType": "application/vnd.oci.image.index.v1+json",
       "manifests": [
          {
             "mediaType": "application/vnd.oci.image.manifest.v1+json",
             "size": 476,
             "digest": "sha256:<amd64>",
             "platform": {
                "architecture": "amd64",
                "os": "linux"
             }
          },
          {
             "mediaType": "application/vnd.oci.image.manifest.v1+json",
             "size": 476,
             "digest": "sha256:<v7>",
             "platform": {
                "architecture": "arm",
                "os": "linux",
                "variant": "v6"
             }
          }
       ]
    }
    "#);
    let output = registry.docker(&["push", "-p", "@acme/list:1"]);
    let index = registry.served("acme/list", "1");
    registry.scene.call_digest(&sha256(&index), "list");
    assert_snapshot!(registry.scene.shown(output.to_string().as_bytes()), @r"
    exit 0
    [out]
    Pushed ref [REGISTRY]/acme/list@sha256:<amd64> with digest: sha256:<amd64>
    Pushed ref [REGISTRY]/acme/list@sha256:<v7> with digest: sha256:<v7>
    sha256:<list>
    ");
    // What was shown is what was pushed, and docker writes the same bytes.
    let parsed: Value = serde_json::from_slice(&index).expect("JSON");
    assert_eq!(parsed["manifests"][1]["platform"], json!({ "architecture": "arm", "os": "linux", "variant": "v6" }));
    assert_snapshot!(registry.docker(&["push", "@acme/list:1"]), @r"
    exit 1
    [err]
    No such manifest: [REGISTRY]/acme/list:1
    ");
    // Everything below it came along.
    let list = registry.server.name("acme/list:1");
    registry.scene.must(&["pull", "-q", "--all-platforms", &list]);
}

#[test]
fn lists_are_extended_only_when_asked() {
    let registry = Registry::new();
    assert_eq!(registry.docker(&["create", "@acme/list:1", "@acme/app:amd"]).code, 0);
    assert_snapshot!(registry.docker(&["create", "@acme/list:1", "@acme/app:arm"]), @r"
    exit 1
    [err]
    refusing to amend an existing manifest list with no --amend flag
    ");
    assert_eq!(registry.docker(&["create", "--amend", "@acme/list:1", "@acme/app:arm"]).code, 0);
    let list: Value = serde_json::from_str(&registry.docker(&["inspect", "@acme/list:1"]).stdout).expect("JSON");
    assert_eq!(list["manifests"].as_array().map(Vec::len), Some(2));
    assert_snapshot!(registry.docker(&["rm", "@acme/list:1", "@acme/none", "BAD"]), @r"
    exit 1
    [err]
    No such manifest: [REGISTRY]/acme/none:latest
    invalid reference format: repository name (library/BAD) must be lowercase
    ");
    assert_eq!(registry.dhow(&["exists", "@acme/list:1"]).code, 1);
}

#[test]
fn what_cannot_be_in_a_list_is_refused() {
    let registry = Registry::new();
    assert_snapshot!(registry.docker(&["create", "@acme/list:1", "@acme/multi:v1"]), @r"
    exit 1
    [err]
    [REGISTRY]/acme/multi:v1 is a manifest list
    ");
    // Nothing of a list that failed is kept.
    assert_snapshot!(registry.docker(&["create", "@acme/list:1", "@acme/app:amd", "@acme/app:nope"]), @r"
    exit 1
    [err]
    no such manifest: [REGISTRY]/acme/app:nope
    ");
    assert_eq!(registry.dhow(&["exists", "@acme/list:1"]).code, 1);
    assert_eq!(registry.docker(&["create", "acme/list:1", "@acme/app:amd"]).code, 0);
    assert_snapshot!(registry.docker(&["push", "acme/list:1"]), @r"
    exit 1
    [err]
    cannot use source images from a different registry than the target image: [REGISTRY] != docker.io
    ");
    assert_snapshot!(registry.docker(&["inspect", "acme/list:1"]), @r"
    exit 1
    [err]
    failed to assemble ManifestDescriptor: cannot use source images from a different registry than the target image: [REGISTRY] != docker.io
    ");
    assert_snapshot!(registry.docker(&["annotate", "acme/list:1", "@acme/app:amd", "--os", "windows", "--arch", "arm64"]), @r"
    exit 1
    [err]
    manifest entry for image has unsupported os/arch combination: windows/arm64
    ");
    assert_snapshot!(registry.docker(&["annotate", "acme/list:1", "@acme/app:nope", "--arch", "arm64"]), @r"
    exit 1
    [err]
    manifest for image [REGISTRY]/acme/app:nope does not exist in acme/list:1
    ");
}

#[test]
fn wrong_numbers_of_arguments() {
    let scene = Scene::new();
    assert_snapshot!(scene.docker(&["manifest", "create", "acme/list:1"]), @r"
    exit 1
    [err]
    docker: 'docker manifest create' requires at least 2 arguments

    Usage:  docker manifest create MANIFEST_LIST MANIFEST [MANIFEST...]

    See 'docker manifest create --help' for more information
    ");
    assert_snapshot!(scene.docker(&["manifest", "inspect"]), @r"
    exit 1
    [err]
    docker: 'docker manifest inspect' requires at least 1 and at most 2 arguments

    Usage:  docker manifest inspect [OPTIONS] [MANIFEST_LIST] MANIFEST

    Run 'docker manifest inspect --help' for more information
    ");
    assert_snapshot!(scene.docker(&["manifest", "push"]), @r"
    exit 1
    [err]
    docker: 'docker manifest push' requires 1 argument

    Usage:  docker manifest push [OPTIONS] MANIFEST_LIST [DESTINATION]

    Run 'docker manifest push --help' for more information
    ");
}

#[test]
fn inspecting_what_a_registry_has() {
    let registry = Registry::new();
    assert_snapshot!(registry.docker(&["inspect", "@acme/multi:nope"]), @r"
    exit 1
    [err]
    no such manifest: [REGISTRY]/acme/multi:nope
    ");
    let manifest = registry.docker(&["inspect", "@acme/app:arm"]).stdout;
    assert!(manifest.starts_with("{\n\t\"schemaVersion\": 2,\n\t\"mediaType\": \""), "{manifest}");
    // Attestations are in the list as they are in the index.
    assert_snapshot!(registry.docker(&["inspect", "@acme/multi:v1"]), @r#"
    exit 0
    [out]
    {
       "schemaVersion": 2,
       "mediaType": "application/vnd.oci.image.index.v1+json",
       "manifests": [
          {
             "mediaType": "application/vnd.oci.image.manifest.v1+json",
             "size": 476,
             "digest": "sha256:<amd64>",
             "platform": {
                "architecture": "amd64",
                "os": "linux"
             }
          },
          {
             "mediaType": "application/vnd.oci.image.manifest.v1+json",
             "size": 476,
             "digest": "sha256:<arm64>",
             "platform": {
                "architecture": "arm64",
                "os": "linux"
             }
          },
          {
             "mediaType": "application/vnd.oci.image.manifest.v1+json",
             "size": 476,
             "digest": "sha256:<v7>",
             "platform": {
                "architecture": "arm",
                "os": "linux",
                "variant": "v7"
             }
          },
          {
             "mediaType": "application/vnd.oci.image.manifest.v1+json",
             "size": 386,
             "digest": "sha256:<attests-amd64>",
             "platform": {
                "architecture": "unknown",
                "os": "unknown"
             }
          },
          {
             "mediaType": "application/vnd.oci.image.manifest.v1+json",
             "size": 386,
             "digest": "sha256:<attests-arm64>",
             "platform": {
                "architecture": "unknown",
                "os": "unknown"
             }
          }
       ]
    }
    "#);
    let said = registry.docker(&["inspect", "-v", "@acme/app:arm"]).stdout;
    let verbose: Value = serde_json::from_str(&said).expect("JSON");
    let keys: Vec<&String> = verbose.as_object().expect("an object").keys().collect();
    assert_eq!(keys, ["Ref", "Descriptor", "Raw", "OCIManifest"]);
    assert_eq!(verbose["Descriptor"]["platform"], json!({ "architecture": "arm", "os": "linux", "variant": "v7" }));
    let said = registry.docker(&["inspect", "-v", "@acme/multi:v1"]).stdout;
    let verbose: Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!(verbose.as_array().map(Vec::len), Some(5));
    assert_eq!(verbose[4]["Descriptor"]["platform"]["os"], "unknown");
    assert_eq!(verbose[0]["Ref"], "[REGISTRY]/acme/multi:v1@sha256:<amd64>");
}

#[test]
fn lists_survive_in_the_store_and_are_no_images() {
    let registry = Registry::new();
    registry.docker(&["create", "@acme/list:1", "@acme/app:amd"]);
    assert_eq!(registry.scene.must(&["images", "-q"]), "");
    registry.scene.must(&["image", "prune", "-a", "-f"]);
    registry.scene.must(&["system", "check"]);
    assert_eq!(registry.dhow(&["exists", "@acme/list:1"]).code, 0);
}

#[test]
fn podman_s_verbs() {
    let registry = Registry::new();
    assert_snapshot!(registry.dhow(&["create", "@acme/list:1"]), @r"
    exit 0
    [out]
    Created manifest list [REGISTRY]/acme/list:1
    ");
    // Of an index, the member for one platform or all of them.
    let added = registry.dhow(&["add", "@acme/list:1", "@acme/multi:v1", "--arch", "arm64"]);
    assert_eq!(added.code, 0, "{added}");
    let list: Value = serde_json::from_str(&registry.dhow(&["inspect", "@acme/list:1"]).stdout).expect("JSON");
    assert_eq!(list["manifests"][0]["digest"], "sha256:<arm64>");
    assert_eq!(registry.dhow(&["add", "--all", "@acme/list:1", "docker://BAD"]).code, 1);
    let multi = format!("docker://{}", registry.server.name("acme/multi:v1"));
    assert_eq!(registry.dhow(&["add", "--all", "@acme/list:1", &multi]).code, 0);
    let list: Value = serde_json::from_str(&registry.dhow(&["inspect", "@acme/list:1"]).stdout).expect("JSON");
    assert_eq!(list["manifests"].as_array().map(Vec::len), Some(5));
    for digest in &registry.multi.members[1..] {
        assert_eq!(registry.dhow(&["remove", "@acme/list:1", digest]).code, 0);
    }
    let absent = format!("sha256:{}", "ab".repeat(32));
    assert_snapshot!(registry.dhow(&["remove", "@acme/list:1", &absent]), @r"
    exit 1
    [err]
    no instance with digest sha256:abababababababababababababababababababababababababababababababab found in manifest list
    ");
    let digest = &registry.multi.members[0];
    assert_eq!(registry.dhow(&["annotate", "@acme/list:1", digest, "--annotation", "a=b=c"]).code, 0);
    let output = registry.dhow(&["push", "@acme/list:1", "@acme/other:2"]);
    assert_eq!(output.code, 0, "{output}");
    let index: Value = serde_json::from_slice(&registry.served("acme/other", "2")).expect("JSON");
    assert_eq!(index["mediaType"], "application/vnd.oci.image.index.v1+json");
    assert_eq!(index["manifests"][0]["annotations"], json!({ "a": "b=c" }));
}

/// Podman's lists go to other registries, and out of registries, with all that is in them.
#[test]
fn podman_s_lists_go_anywhere() {
    let (scene, other) = (Scene::new(), Scene::new());
    let (here, there) = (scene.serve(), other.serve());
    scene.load("a", "localhost/web:1");
    scene.load("b", "localhost/web:2");
    for (number, tag) in [("1", "a"), ("2", "b")] {
        scene.podman(&["push", "-q", &format!("web:{number}"), &here.name(&format!("web:{tag}"))]);
    }
    let [first, second] = [here.name("web:a"), here.name("web:b")];
    assert_eq!(scene.podman(&["manifest", "create", "list", &first, &second]).code, 0);
    let pushed = scene.podman(&["manifest", "push", "-q", "--all", "list", &there.name("elsewhere:1")]);
    assert_eq!(pushed.to_string(), "exit 0\n", "to another registry");
    for place in ["oci-archive:all.tar", "oci:folder:1", "dir:plain"] {
        let pushed = scene.podman(&["manifest", "push", "-q", "--all", "list", place]);
        assert_eq!(pushed.to_string(), "exit 0\n", "{place}");
    }
    assert_eq!(scene.podman(&["push", "-q", "list", "oci:folder:2"]).code, 0);
    for place in ["oci-archive:all.tar", "oci:folder:1", "oci:folder:2", "dir:plain"] {
        let copied = scene.dhow(&["copy", "--all", place, &format!("docker://{}", there.name("copied:1"))]);
        assert_eq!(copied.code, 0, "{place}: {copied}");
        let index = scene.podman(&["manifest", "inspect", &there.name("copied:1")]).stdout;
        let index: Value = serde_json::from_str(&index).expect("JSON");
        assert_eq!(index["manifests"].as_array().map(Vec::len), Some(2), "{place}: {index}");
    }
    let refused = scene.podman(&["manifest", "push", "-q", "list", "docker-archive:one.tar"]);
    let why = "destination transport \"docker-archive\" does not support copying multiple images as a group";
    assert_eq!((refused.code, refused.stderr.contains(why)), (125, true), "{refused}");
    // Of a list in a registry, the member for this machine begins another one.
    let whole = there.name("elsewhere:1");
    for (options, count) in [(&["--all"][..], 2), (&[], 1)] {
        let list = format!("of-{count}");
        let create = [&["manifest", "create", "--amend"], options, &[&list, &whole]].concat();
        assert_eq!(scene.podman(&create).code, 0, "{options:?}");
        let index = scene.podman(&["manifest", "inspect", &list]).stdout;
        assert_eq!(index.matches("\"digest\"").count(), count, "{index}");
    }
    let refused = scene.podman(&["manifest", "rm", "web:1"]);
    assert_eq!((refused.code, refused.stderr.as_str()), (125, "Error: web:1: image is not a manifest list\n"));
}
