//! Layers of several gzip members, as `copy --recompress gzip` writes them, in docker, podman and skopeo.

#![allow(clippy::disallowed_methods, reason = "scratch files")]

use dhow_testkit::images::Layout;
use dhow_testkit::images::{Compression, Entry, Format, Recipe, sha256, tar_of};
use dhow_testkit::peers::{self, Docker, Podman, Registry, available};
use dhow_tests::interop::Bench;

/// More than three blocks of 1 MiB that do not compress to nothing.
fn content() -> Vec<u8> {
    let mut state = 88_172_645_463_325_252_u64;
    (0..3_600_000_u32)
        .map(|position| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            if position % 3 == 0 { (state >> 32) as u8 } else { b'x' }
        })
        .collect()
}

#[test]
fn docker_podman_and_skopeo_take_layers_of_several_members() {
    let bench = Bench::new();
    let Some(registry) = available(Registry::start(&bench.path("registry"))) else { return };
    let layout = Layout::create(&bench.path("layout")).expect("a layout");
    let tar = tar_of(&[Entry { path: "etc/large", mode: 0o644, content: &content() }]).expect("a tar");
    let layer = layout.layer(&*tar, Format::Oci, Compression::Zstd).expect("a layer");
    let manifest = layout.image(&[layer], &Recipe::default()).expect("an image");
    let mut layout = Layout::open(layout.root()).expect("the layout");
    layout.name(&manifest, &["it"]).expect("a name");
    let source = format!("oci:{}:it", layout.root().display());
    let name = registry.name("acme/members:v1");
    let dhow = bench.dhow("store");
    dhow.must(&["copy", "-q", "--recompress", "gzip", &source, &format!("docker://{name}")]);

    // The blob is what this test is about.
    let out = bench.path("out");
    dhow.must(&["copy", "-q", &format!("docker://{name}"), &format!("oci:{}:it", out.display())]);
    let blobs = std::fs::read_dir(out.join("blobs/sha256")).expect("blobs").map(|entry| entry.expect("a blob").path());
    let zipped: Vec<Vec<u8>> = blobs.map(|path| std::fs::read(path).expect("a blob")).collect();
    let zipped = zipped.iter().find(|bytes| bytes.starts_with(b"\x1f\x8b")).expect("a gzip layer");
    let members = zipped.windows(10).filter(|window| window.starts_with(b"\x1f\x8b\x08\0\0\0\0\0")).count();
    assert!(members >= 4, "{members} members");

    let diff_id = sha256(&tar);
    if let Some(mut skopeo) = available(peers::skopeo()) {
        let folder = format!("dir:{}", bench.path("skopeo").display());
        peers::run(skopeo.args(["copy", "-q", "--src-tls-verify=false"]).arg(format!("docker://{name}")).arg(folder))
            .expect("skopeo");
    }
    if let Some(docker) = available(Docker::start(&bench.path("docker"))) {
        // Pulling, docker inflates the layer and compares the diff ID.
        peers::run(docker.command().args(["pull", "-q", &name])).expect("docker pull");
        let mut inspect = docker.command();
        let shown = inspect.args(["inspect", "-f", "{{json .RootFS.Layers}}", &name]);
        assert_eq!(peers::stdout_of(shown).expect("docker inspect"), format!("[\"{diff_id}\"]"));
    }
    if let Some(podman) = available(Podman::open(&bench.path("podman"))) {
        peers::run(podman.command().args(["pull", "-q", "--tls-verify=false", &name])).expect("podman pull");
        let mut inspect = podman.command();
        let shown = inspect.args(["inspect", "-f", "{{json .RootFS.Layers}}", &name]);
        assert_eq!(peers::stdout_of(shown).expect("podman inspect"), format!("[\"{diff_id}\"]"));
    }
}
