//! docker, podman and skopeo with a registry whose content is in a real S3 server; skopeo with one in Microsoft's stand-in
//! for Azure.

use dhow_testkit::images::{Compression, Format};
use dhow_testkit::peers::{self, Azurite, Docker, Podman, Seaweed, available};
use dhow_tests::crash::Dhow;
use dhow_tests::interop::{Bench, Served, must, remote_digest};

fn serve(dhow: &Dhow, store: &Seaweed) -> Served {
    Served::on_bucket(dhow, &format!("s3://{}/images", Seaweed::BUCKET), &store.environment())
}

#[test]
fn skopeo_pushes_and_pulls_to_the_byte() {
    let (Some(store), Some(_)) = (available(Seaweed::start()), available(peers::skopeo())) else { return };
    let bench = Bench::new();
    let dhow = bench.dhow("store");
    // Pushed through one server, pulled through another.
    let (one, other) = (serve(&dhow, &store), serve(&dhow, &store));
    for (format, compression) in [(Format::Oci, Compression::Zstd), (Format::Docker, Compression::Gzip)] {
        let image = bench.image(&format!("skopeo-{format:?}"), format, compression);
        let path = format!("acme/{format:?}:1").to_lowercase();
        image.publish(&one.name(&path));
        assert_eq!(remote_digest(&other.name(&path)), image.manifest.digest, "{format:?}");
        let back = bench.path(&format!("back-{format:?}"));
        let mut skopeo = peers::skopeo().expect("skopeo");
        skopeo.args(["copy", "--quiet", "--preserve-digests", "--src-tls-verify=false"]);
        must(skopeo.arg(format!("docker://{}", other.name(&path))).arg(format!("dir:{}", back.display())));
        dhow.must(&["pull", &other.name(&path)]);
    }
    dhow.must_be_clean("after pulling from a bucket");
}

#[test]
#[ignore = "fetches Azurite from npm's registry; CONTRIBUTING.md says how to run it"]
fn azure_keeps_images_for_any_number_of_servers() {
    let (Some(store), Some(_)) = (available(Azurite::start()), available(peers::skopeo())) else { return };
    let bench = Bench::new();
    let dhow = bench.dhow("store");
    let location = format!("az://{}/images", Azurite::CONTAINER);
    let [one, other] = [(); 2].map(|()| Served::on_bucket(&dhow, &location, &store.environment()));
    let image = bench.image("azure", Format::Oci, Compression::Gzip);
    image.publish(&one.name("acme/app:1"));
    assert_eq!(remote_digest(&other.name("acme/app:1")), image.manifest.digest);
    dhow.must(&["pull", &other.name("acme/app:1")]);
    let upkeep = |arguments: &[&str]| {
        let mut command = dhow.command(&[arguments, &["--storage", &location]].concat());
        must(command.envs(store.environment()))
    };
    assert!(upkeep(&["serve", "scrub"]).ends_with("no problems"));
    assert!(upkeep(&["serve", "gc", "--grace", "0s"]).contains("Removed 0 blobs"));
    assert_eq!(remote_digest(&one.name("acme/app:1")), image.manifest.digest);
}

#[test]
fn podman_pushes_and_pulls() {
    let bench = Bench::new();
    let Some(store) = available(Seaweed::start()) else { return };
    let Some(podman) = available(Podman::open(&bench.path("podman"))) else { return };
    let dhow = bench.dhow("store");
    let (one, other) = (serve(&dhow, &store), serve(&dhow, &store));
    let image = bench.image("podman-bucket", Format::Oci, Compression::Gzip);
    image.publish(&one.name("acme/source:1"));
    must(podman.command().args(["pull", "--quiet", "--tls-verify=false", &other.name("acme/source:1")]));
    let (pushed, seen) = (one.name("acme/pushed:1"), other.name("acme/pushed:1"));
    must(podman.command().args([
        "push",
        "--quiet",
        "--tls-verify=false",
        &other.name("acme/source:1"),
        &format!("docker://{pushed}"),
    ]));
    dhow.must(&["pull", &seen]);
    assert_eq!(remote_digest(&pushed), remote_digest(&seen));
}

#[test]
fn docker_pushes_and_pulls() {
    let bench = Bench::new();
    let Some(store) = available(Seaweed::start()) else { return };
    let Some(docker) = available(Docker::start(&bench.path("docker"))) else { return };
    let dhow = bench.dhow("store");
    let (one, other) = (serve(&dhow, &store), serve(&dhow, &store));
    let image = bench.image("docker-bucket", Format::Docker, Compression::Gzip);
    let (source, mounted) = (one.name("acme/source:1"), one.name("acme/mounted:1"));
    image.publish(&source);
    must(docker.command().args(["pull", "--quiet", &source]));
    must(docker.command().args(["tag", &source, &mounted]));
    must(docker.command().args(["push", &mounted]));
    // Through a server that docker does not know to have the layers: it uploads them.
    let uploaded = other.name("acme/uploaded:1");
    must(docker.command().args(["tag", &source, &uploaded]));
    must(docker.command().args(["push", &uploaded]));
    // What docker uploads it compresses itself: the manifests differ, the image does not.
    let ids = [other.name("acme/mounted:1"), one.name("acme/uploaded:1")].map(|name| {
        dhow.must(&["pull", &name]);
        dhow.must(&["inspect", "--format", "{{.Id}}", &name])
    });
    assert_eq!(ids[0], ids[1]);
}
