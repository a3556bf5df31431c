//! docker, podman and skopeo pull copies from `dhow serve`, and the images that `dhow serve --local` offers.

#![allow(clippy::disallowed_methods, reason = "writes scratch files")]

use std::fs;

use dhow_testkit::images::{Compression, Format};
use dhow_testkit::peers::{self, Docker, Podman};
use dhow_tests::interop::{Bench, Sample, Served, must, remote_digest};
use dhow_tests::scene::Server;

/// A registry that dhow takes for Docker Hub, and a cache of it.
struct Stage {
    origin: Served,
    cache: Server,
    image: Sample,
    bench: Bench,
}

impl Stage {
    fn new(format: Format) -> Option<Self> {
        peers::available(peers::skopeo())?;
        let bench = Bench::new();
        let dhow = bench.dhow("store");
        let origin = Served::start(&dhow, &bench.path("origin"));
        let image = bench.image("cached", format, Compression::Gzip);
        image.publish(&origin.name("acme/app:1"));
        let configuration = bench.path("root/etc/containers");
        fs::create_dir_all(&configuration).expect("a folder");
        let hub =
            format!("[[registry]]\nprefix = \"docker.io\"\nlocation = \"{}\"\ninsecure = true\n", origin.address());
        fs::write(configuration.join("registries.conf"), hub).expect("a file");
        let folder = bench.path("hosted");
        let mut command = dhow.command(&["serve", "--listen", "127.0.0.1:0", "--upstream", "hub=docker.io"]);
        command.args(["--cache-default", "hub", "--cache-fresh-seconds", "0", "--root-dir"]).arg(folder);
        let cache = Server::start(command.env("DHOW_SYSROOT", bench.path("root")));
        Some(Self { origin, cache, image, bench })
    }
}

#[test]
fn docker_pulls_from_it_as_its_mirror_and_by_name() {
    let Some(stage) = Stage::new(Format::Docker) else { return };
    let mirror = format!("--registry-mirror=http://{}", stage.cache.address());
    let Some(docker) = peers::available(Docker::start_with(&stage.bench.path("docker"), &[&mirror], &[])) else {
        return;
    };
    for name in ["acme/app:1".to_owned(), stage.cache.name("hub/acme/app:1")] {
        must(docker.command().args(["pull", "--quiet", &name]));
        let id = must(docker.command().args(["image", "inspect", "--format", "{{.Id}}", &name]));
        assert_eq!(id, stage.image.id(), "{name}");
        must(docker.command().args(["image", "rm", &name]));
    }
    let refused = docker.command().args(["pull", &stage.cache.name("hub/acme/none:1")]).output().expect("docker");
    assert!(!refused.status.success());
}

#[test]
fn podman_and_skopeo_pull_from_it_also_when_the_origin_is_gone() {
    let Some(stage) = Stage::new(Format::Oci) else { return };
    let Some(podman) = peers::available(Podman::open(&stage.bench.path("podman"))) else { return };
    let named = stage.cache.name("hub/acme/app:1");
    assert_eq!(remote_digest(&named), stage.image.manifest.digest);
    let mirrored = stage.bench.path("mirrored.conf");
    let text = format!(
        "[[registry]]\nprefix = \"docker.io\"\nlocation = \"docker.io\"\n\
         [[registry.mirror]]\nlocation = \"{}/hub\"\ninsecure = true\n",
        stage.cache.address()
    );
    fs::write(&mirrored, text).expect("a file");
    let pull = |name: &str| {
        let mut command = podman.command();
        command.env("CONTAINERS_REGISTRIES_CONF", &mirrored);
        must(command.args(["pull", "--quiet", "--tls-verify=false", name]));
        let id = must(podman.command().args(["image", "inspect", "--format", "{{.Id}}", name]));
        assert_eq!(format!("sha256:{id}"), stage.image.id(), "{name}");
        must(podman.command().args(["rmi", "--force", name]));
    };
    pull("docker.io/acme/app:1");
    drop(stage.origin);
    pull("docker.io/acme/app:1");
    pull(&named);
    assert_eq!(remote_digest(&named), stage.image.manifest.digest);
}

#[test]
fn the_images_of_a_machine_are_pulled_by_others() {
    let bench = Bench::new();
    if peers::available(peers::skopeo()).is_none() {
        return;
    }
    let dhow = bench.dhow("store");
    let image = bench.image("local", Format::Oci, Compression::Gzip);
    let source = format!("oci:{}:it", image.layout.root().display());
    dhow.must(&["copy", "-q", &source, "acme/app:1"]);
    let server = Server::start(&mut dhow.command(&["serve", "--local", "--listen", "127.0.0.1:0"]));
    for name in ["acme/app:1", "docker.io/acme/app:1"] {
        assert_eq!(remote_digest(&server.name(name)), image.manifest.digest, "{name}");
    }
    if let Some(docker) = peers::available(Docker::start(&bench.path("docker"))) {
        must(docker.command().args(["pull", "--quiet", &server.name("acme/app:1")]));
        let id = must(docker.command().args(["image", "inspect", "--format", "{{.Id}}", &server.name("acme/app:1")]));
        assert_eq!(id, image.id());
        let refused = docker.command().args(["push", &server.name("acme/app:1")]).output().expect("docker");
        assert!(!refused.status.success());
    }
    if let Some(podman) = peers::available(Podman::open(&bench.path("podman"))) {
        must(podman.command().args(["pull", "--quiet", "--tls-verify=false", &server.name("docker.io/acme/app:1")]));
    }
}
