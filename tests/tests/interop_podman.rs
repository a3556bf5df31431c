//! dhow and the real podman: each reads what the other wrote, digests and IDs the same on both sides.

use dhow_testkit::images::{Compression, Format, pseudo_random, sha256};
use dhow_testkit::peers::{self, Podman};
use dhow_tests::interop::{Bench, Served, assert_image, must, remote_digest};

const KINDS: [(Format, Compression); 5] = [
    (Format::Oci, Compression::Gzip),
    (Format::Oci, Compression::None),
    (Format::Oci, Compression::Zstd),
    (Format::Docker, Compression::Gzip),
    (Format::Docker, Compression::None),
];

fn podman(bench: &Bench) -> Option<Podman> {
    peers::available(Podman::open(&bench.path("podman")))
}

/// Podman prints IDs without the algorithm.
#[track_caller]
fn id_in_podman(podman: &Podman, name: &str) -> String {
    format!("sha256:{}", must(podman.command().args(["image", "inspect", "--format", "{{.Id}}", name])))
}

/// The digest of a file of the image, read from where podman mounts it.
#[allow(clippy::disallowed_methods, reason = "reads what podman mounted")]
#[track_caller]
fn file_in_podman(podman: &Podman, image: &str, path: &str) -> Vec<u8> {
    let mounted = must(podman.command().args(["image", "mount", image]));
    let content = std::fs::read(format!("{mounted}/{path}")).expect("the file");
    must(podman.command().args(["image", "unmount", image]));
    content
}

#[test]
fn podman_pulls_from_dhow_serve_what_dhow_pushed() {
    let bench = Bench::new();
    let Some(podman) = podman(&bench) else { return };
    let dhow = bench.dhow("store");
    let served = Served::start(&dhow, &bench.path("registry"));
    for (number, (format, compression)) in KINDS.into_iter().enumerate() {
        let salt = format!("podman-pull-{number}");
        let image = bench.image(&salt, format, compression);
        let (source, pushed) =
            (served.name(&format!("acme/source:{number}")), served.name(&format!("acme/pushed:{number}")));
        image.publish(&source);
        dhow.must(&["pull", &source]);
        dhow.must(&["tag", &source, &pushed]);
        dhow.must(&["push", &pushed]);
        assert_eq!(remote_digest(&pushed), image.manifest.digest, "{format:?} {compression:?}");
        must(podman.command().args(["pull", "--quiet", "--tls-verify=false", &pushed]));
        assert_eq!(id_in_podman(&podman, &pushed), image.id(), "{format:?} {compression:?}");
        let noise = file_in_podman(&podman, &pushed, "bin/noise");
        assert_eq!(sha256(&noise), sha256(&pseudo_random(&salt, noise.len())), "{format:?} {compression:?}");
    }
}

#[test]
fn dhow_pulls_from_dhow_serve_what_podman_pushed() {
    let bench = Bench::new();
    let Some(podman) = podman(&bench) else { return };
    let dhow = bench.dhow("store");
    let served = Served::start(&dhow, &bench.path("registry"));
    for format in ["oci", "v2s2"] {
        let image = bench.image(&format!("podman-push-{format}"), Format::Oci, Compression::Gzip);
        let (source, pushed) =
            (served.name(&format!("acme/source:{format}")), served.name(&format!("acme/pushed:{format}")));
        image.publish(&source);
        must(podman.command().args(["pull", "--quiet", "--tls-verify=false", &source]));
        must(podman.command().args(["push", "--quiet", "--tls-verify=false", "--format", format, &source, &pushed]));
        dhow.must(&["pull", &pushed]);
        assert_image(&dhow, &pushed, &image.id(), Some(&remote_digest(&pushed)));
    }
    dhow.must_be_clean("after pulling what podman pushed");
}

#[test]
fn podman_loads_what_dhow_saved() {
    let bench = Bench::new();
    let Some(podman) = podman(&bench) else { return };
    let dhow = bench.dhow("store");
    let served = Served::start(&dhow, &bench.path("registry"));
    for (number, (format, compression)) in KINDS.into_iter().enumerate() {
        let image = bench.image(&format!("podman-load-{number}"), format, compression);
        let name = served.name(&format!("acme/saved:{number}"));
        image.publish(&name);
        dhow.must(&["pull", &name]);
        let archive = bench.path(&format!("saved-{number}.tar"));
        dhow.must(&["save", "--output", archive.to_str().expect("a path"), &name]);
        let said = must(podman.command().args(["load", "--quiet", "--input"]).arg(&archive));
        assert!(said.contains(&name), "{said}");
        assert_eq!(id_in_podman(&podman, &name), image.id(), "{format:?} {compression:?}");
    }
}

#[test]
fn dhow_loads_what_podman_saved() {
    let bench = Bench::new();
    let Some(podman) = podman(&bench) else { return };
    let dhow = bench.dhow("store");
    let served = Served::start(&dhow, &bench.path("registry"));
    let image = bench.image("podman-save", Format::Oci, Compression::Gzip);
    let name = served.name("acme/app:1");
    image.publish(&name);
    must(podman.command().args(["pull", "--quiet", "--tls-verify=false", &name]));
    for format in ["docker-archive", "oci-archive", "oci-dir"] {
        let archive = bench.path(&format!("podman-{format}"));
        must(podman.command().args(["save", "--quiet", "--format", format, "--output"]).arg(&archive).arg(&name));
        let store = bench.dhow(&format!("store-{format}"));
        let said = store.must(&["load", "--input", archive.to_str().expect("a path")]);
        assert!(said.contains("Loaded image"), "{format}: {said}");
        assert_image(&store, &image.id(), &image.id(), None);
        store.must_be_clean(&format!("after loading podman's {format}"));
    }
}
