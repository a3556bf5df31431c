//! dhow and the real docker engine: each reads what the other wrote, digests and IDs the same on both sides.

use std::process::Command;

use dhow_testkit::images::{Compression, Format, pseudo_random, sha256};
use dhow_testkit::peers::{self, Docker};
use dhow_tests::interop::{Bench, Served, assert_image, must, pushed_digest, remote_digest};

/// docker 20.10 does not know zstd; everything else it must take.
const KINDS: [(Format, Compression); 4] = [
    (Format::Oci, Compression::Gzip),
    (Format::Oci, Compression::None),
    (Format::Docker, Compression::Gzip),
    (Format::Docker, Compression::None),
];

fn docker(bench: &Bench) -> Option<Docker> {
    peers::available(Docker::start(&bench.path("docker")))
}

#[track_caller]
fn id_in_docker(docker: &Docker, name: &str) -> String {
    must(docker.command().args(["image", "inspect", "--format", "{{.Id}}", name]))
}

/// A file of the image, as a container made from it would see it.
#[track_caller]
fn file_in_docker(docker: &Docker, image: &str, path: &str) -> Vec<u8> {
    let container = must(docker.command().args(["create", "--network", "none", image]));
    let mut copy = docker.command();
    copy.args(["cp", &format!("{container}:{path}"), "-"]);
    let tar = peers::run(&mut copy).unwrap_or_else(|error| panic!("{error}")).stdout;
    must(docker.command().args(["rm", &container]));
    let mut archive = tar::Archive::new(&*tar);
    let mut entry = archive.entries().expect("a tar").next().expect("an entry").expect("a header");
    let mut content = Vec::new();
    std::io::Read::read_to_end(&mut entry, &mut content).expect("content");
    content
}

#[test]
fn docker_pulls_from_dhow_serve_what_dhow_pushed() {
    let bench = Bench::new();
    let Some(docker) = docker(&bench) else { return };
    let dhow = bench.dhow("store");
    let served = Served::start(&dhow, &bench.path("registry"));
    for (number, (format, compression)) in KINDS.into_iter().enumerate() {
        let salt = format!("docker-pull-{number}");
        let image = bench.image(&salt, format, compression);
        let (source, pushed) =
            (served.name(&format!("acme/source:{number}")), served.name(&format!("acme/pushed:{number}")));
        image.publish(&source);
        dhow.must(&["pull", &source]);
        dhow.must(&["tag", &source, &pushed]);
        dhow.must(&["push", &pushed]);
        assert_eq!(remote_digest(&pushed), image.manifest.digest, "{format:?} {compression:?}");
        must(docker.command().args(["pull", "--quiet", &pushed]));
        assert_eq!(id_in_docker(&docker, &pushed), image.id(), "{format:?} {compression:?}");
        let noise = file_in_docker(&docker, &pushed, "/bin/noise");
        assert_eq!(sha256(&noise), sha256(&pseudo_random(&salt, noise.len())), "{format:?} {compression:?}");
    }
}

#[test]
fn dhow_pulls_from_dhow_serve_what_docker_pushed() {
    let bench = Bench::new();
    let Some(docker) = docker(&bench) else { return };
    let dhow = bench.dhow("store");
    let served = Served::start(&dhow, &bench.path("registry"));
    let image = bench.image("docker-push", Format::Docker, Compression::Gzip);
    let (source, pushed) = (served.name("acme/source:1"), served.name("acme/other/pushed:1"));
    image.publish(&source);
    must(docker.command().args(["pull", "--quiet", &source]));
    must(docker.command().args(["tag", &source, &pushed]));
    // The layers are in the registry already: docker mounts them from the other repository.
    let digest = pushed_digest(&must(docker.command().args(["push", &pushed])));
    assert_eq!(remote_digest(&pushed), digest);
    dhow.must(&["pull", &pushed]);
    assert_image(&dhow, &pushed, &image.id(), Some(&digest));

    // Into a registry that has nothing, docker compresses and uploads everything anew.
    let empty = Served::start(&dhow, &bench.path("empty-registry"));
    let pushed = empty.name("acme/pushed:1");
    must(docker.command().args(["tag", &source, &pushed]));
    let digest = pushed_digest(&must(docker.command().args(["push", &pushed])));
    let second = bench.dhow("second-store");
    second.must(&["pull", &pushed]);
    assert_image(&second, &pushed, &image.id(), Some(&digest));
    second.must_be_clean("after pulling what docker pushed");
}

#[test]
fn docker_loads_what_dhow_saved() {
    let bench = Bench::new();
    let Some(docker) = docker(&bench) else { return };
    let dhow = bench.dhow("store");
    let served = Served::start(&dhow, &bench.path("registry"));
    for (number, (format, compression)) in KINDS.into_iter().enumerate() {
        let salt = format!("docker-load-{number}");
        let image = bench.image(&salt, format, compression);
        let name = served.name(&format!("acme/saved:{number}"));
        image.publish(&name);
        dhow.must(&["pull", &name]);
        let archive = bench.path(&format!("saved-{number}.tar"));
        dhow.must(&["save", "--output", archive.to_str().expect("a path"), &name]);
        let said = must(docker.command().args(["load", "--input"]).arg(&archive));
        assert!(said.contains(&format!("Loaded image: {name}")), "{said}");
        assert_eq!(id_in_docker(&docker, &name), image.id(), "{format:?} {compression:?}");
        let noise = file_in_docker(&docker, &name, "/bin/noise");
        assert_eq!(sha256(&noise), sha256(&pseudo_random(&salt, noise.len())), "{format:?} {compression:?}");
    }
}

#[test]
fn dhow_loads_what_docker_saved() {
    let bench = Bench::new();
    let Some(docker) = docker(&bench) else { return };
    let dhow = bench.dhow("store");
    let served = Served::start(&dhow, &bench.path("registry"));
    let image = bench.image("docker-save", Format::Oci, Compression::Gzip);
    let name = served.name("acme/app:1");
    image.publish(&name);
    must(docker.command().args(["pull", "--quiet", &name]));
    must(docker.command().args(["tag", &name, "local-name:2"]));
    let archive = bench.path("docker.tar");
    must(docker.command().args(["save", "--output"]).arg(&archive).args([&name, "local-name:2"]));
    let path = archive.to_str().expect("a path");

    let said = dhow.must(&["load", "--input", path]);
    assert!(
        said.contains(&format!("Loaded image: {name}\n")) && said.contains("Loaded image: local-name:2\n"),
        "{said}"
    );
    assert_image(&dhow, "local-name:2", &image.id(), None);

    // The same through a pipe and compressed, as it comes from another machine.
    let piped = bench.dhow("piped-store");
    let mut gzip =
        Command::new("gzip").arg("--stdout").arg(&archive).stdout(std::process::Stdio::piped()).spawn().expect("gzip");
    let stdout = gzip.stdout.take().expect("its output");
    let said = must(piped.command(&["load"]).stdin(stdout));
    assert!(gzip.wait().expect("gzip").success());
    assert!(said.contains("Loaded image: local-name:2"), "{said}");
    assert_image(&piped, &name, &image.id(), None);
    piped.must_be_clean("after loading what docker saved");

    // And back: what dhow pushes of it, docker takes, under the same ID.
    let back = served.name("acme/back:1");
    dhow.must(&["tag", "local-name:2", &back]);
    dhow.must(&["push", &back]);
    // As docker would have, plain as the layers are in the archive.
    let manifest = dhow.must(&["manifest", "inspect", &back]);
    assert!(manifest.contains("application/vnd.docker.image.rootfs.diff.tar.gzip"), "{manifest}");
    must(docker.command().args(["rmi", "--force", &image.id()]));
    must(docker.command().args(["pull", "--quiet", &back]));
    assert_eq!(id_in_docker(&docker, &back), image.id());
}
