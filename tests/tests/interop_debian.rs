//! A whole Debian through dhow, docker and podman: thousands of files, links, devices and owners, not made for a test.

use std::path::Path;
use std::process::{Command, Stdio};

use dhow_testkit::debian;
use dhow_testkit::images::{Compression, Format, Layout, Recipe};
use dhow_testkit::peers::{self, Docker, Podman};
use dhow_tests::interop::{Bench, Sample, Served, assert_image, must, remote_digest};

fn pack(bench: &Bench, tree: &Path) -> Sample {
    let mut layout = Layout::create(&bench.path("debian")).expect("a layout");
    let layer = |arguments: &[&str]| {
        let mut tar = Command::new("tar")
            .current_dir(tree)
            .args(["--sort=name", "--numeric-owner", "--xattrs", "--format=pax", "--create", "--file=-", "--anchored"])
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .expect("tar");
        let stream = tar.stdout.take().expect("its output");
        let layer = layout.layer(stream, Format::Oci, Compression::Gzip).expect("a layer");
        assert!(tar.wait().expect("tar").success());
        layer
    };
    let layers = [layer(&["--exclude=./usr/share/*", "."]), layer(&["usr/share"])];
    let recipe = Recipe { entrypoint: vec!["/bin/sh".to_owned()], ..Recipe::default() };
    let manifest = layout.image(&layers, &recipe).expect("an image");
    layout.name(&manifest, &["it"]).expect("its name");
    Sample { layout, manifest }
}

#[test]
fn a_real_distribution_travels_unchanged() {
    let tree = debian::cache().join("rootfs");
    // A mirror that does not answer is nothing that this machine could install, and no failure of dhow's.
    if let Err(error) = debian::tree(&tree, "") {
        eprintln!("skipped: {error}");
        return;
    }
    let bench = Bench::new();
    let Some(docker) = peers::available(Docker::start(&bench.path("docker"))) else { return };
    let Some(podman) = peers::available(Podman::open(&bench.path("podman"))) else { return };
    let image = pack(&bench, &tree);
    let dhow = bench.dhow("store");
    let served = Served::start(&dhow, &bench.path("registry"));
    let (source, pushed) = (served.name("acme/debian:source"), served.name("acme/debian:pushed"));
    image.publish(&source);
    dhow.must(&["pull", &source]);
    dhow.must(&["tag", &source, &pushed]);
    dhow.must(&["push", &pushed]);
    assert_eq!(remote_digest(&pushed), image.manifest.digest);

    must(docker.command().args(["pull", "--quiet", &pushed]));
    assert_eq!(must(docker.command().args(["image", "inspect", "--format", "{{.Id}}", &pushed])), image.id());
    let from_docker = bench.path("docker.tar");
    must(docker.command().args(["save", "--output"]).arg(&from_docker).arg(&pushed));
    let second = bench.dhow("second-store");
    second.must(&["load", "--input", from_docker.to_str().expect("a path")]);
    assert_image(&second, &pushed, &image.id(), None);
    second.must_be_clean("after loading what docker saved");

    let saved = bench.path("dhow.tar");
    dhow.must(&["save", "--output", saved.to_str().expect("a path"), &pushed]);
    must(podman.command().args(["load", "--quiet", "--input"]).arg(&saved));
    let id = must(podman.command().args(["image", "inspect", "--format", "{{.Id}}", &pushed]));
    assert_eq!(format!("sha256:{id}"), image.id());
    dhow.must_be_clean("after all of it");
}
