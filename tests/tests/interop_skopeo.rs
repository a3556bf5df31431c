//! dhow and skopeo: archives both ways, the store read in place, indexes with several platforms.

use std::path::Path;

use dhow_testkit::images::{Compression, Format, sha256};
use dhow_testkit::peers;
use dhow_tests::interop::{Bench, Served, assert_image, must, remote_digest};

const KINDS: [(Format, Compression); 5] = [
    (Format::Oci, Compression::Gzip),
    (Format::Oci, Compression::None),
    (Format::Oci, Compression::Zstd),
    (Format::Docker, Compression::Gzip),
    (Format::Docker, Compression::None),
];

#[track_caller]
fn raw_digest(name: &str) -> String {
    let mut skopeo = peers::skopeo().expect("skopeo");
    let output = peers::run(skopeo.args(["inspect", "--raw", name])).unwrap_or_else(|error| panic!("{error}"));
    sha256(&output.stdout)
}

/// The digest of the config, as skopeo reads it out of any of its transports.
#[track_caller]
fn config_digest(name: &str) -> String {
    let mut skopeo = peers::skopeo().expect("skopeo");
    let output =
        peers::run(skopeo.args(["inspect", "--config", "--raw", name])).unwrap_or_else(|error| panic!("{error}"));
    sha256(&output.stdout)
}

#[track_caller]
fn copy(from: &str, to: &str) {
    must(peers::skopeo().expect("skopeo").args(["copy", "--quiet", from, to]));
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a printable path")
}

#[test]
fn skopeo_reads_what_dhow_saved() {
    if peers::available(peers::skopeo()).is_none() {
        return;
    }
    let bench = Bench::new();
    let dhow = bench.dhow("store");
    let served = Served::start(&dhow, &bench.path("registry"));
    for (number, (format, compression)) in KINDS.into_iter().enumerate() {
        let image = bench.image(&format!("skopeo-save-{number}"), format, compression);
        let name = served.name(&format!("acme/app:{number}"));
        image.publish(&name);
        dhow.must(&["pull", &name]);
        let archive = bench.path(&format!("saved-{number}.tar"));
        dhow.must(&["save", "-o", text(&archive), &name]);
        // One file, read as both of the formats that it is.
        assert_eq!(
            raw_digest(&format!("oci-archive:{}", text(&archive))),
            image.manifest.digest,
            "{format:?} {compression:?}"
        );
        assert_eq!(
            config_digest(&format!("docker-archive:{}", text(&archive))),
            image.id(),
            "{format:?} {compression:?}"
        );
        // Reading all of it proves every layer's digest.
        let unpacked = bench.path(&format!("unpacked-{number}"));
        copy(&format!("docker-archive:{}", text(&archive)), &format!("dir:{}", text(&unpacked)));
    }
}

#[test]
fn dhow_loads_what_skopeo_wrote() {
    if peers::available(peers::skopeo()).is_none() {
        return;
    }
    let bench = Bench::new();
    for (number, (format, compression)) in KINDS.into_iter().enumerate() {
        let image = bench.image(&format!("skopeo-load-{number}"), format, compression);
        for transport in ["oci-archive", "docker-archive", "oci"] {
            if transport == "docker-archive" && compression == Compression::Zstd {
                // skopeo itself does not write such an archive.
                continue;
            }
            let what = format!("{transport} of {format:?} {compression:?}");
            let file = bench.path(&format!("{transport}-{number}"));
            let name = format!("example.test/acme/app:{number}");
            copy(&image.source(), &format!("{transport}:{}:{name}", text(&file)));
            let dhow = bench.dhow(&format!("store-{transport}-{number}"));
            let said = dhow.must(&["load", "-i", text(&file)]);
            assert!(said.contains(&format!("Loaded image: {name}")), "{what}: {said}");
            // skopeo rewrites the config when it turns one family of media types into the other: it says which it wrote.
            let id = config_digest(&format!("{transport}:{}", text(&file)));
            assert_image(&dhow, &name, &id, None);
            dhow.must_be_clean(&what);
        }
    }
}

#[test]
fn skopeo_copies_through_dhow_serve_unchanged() {
    if peers::available(peers::skopeo()).is_none() {
        return;
    }
    let bench = Bench::new();
    let served = Served::start(&bench.dhow("store"), &bench.path("registry"));
    for (number, (format, compression)) in KINDS.into_iter().enumerate() {
        let image = bench.image(&format!("skopeo-serve-{number}"), format, compression);
        let name = served.name(&format!("acme/app:{number}"));
        image.publish(&name);
        let back = bench.path(&format!("back-{number}"));
        let mut skopeo = peers::skopeo().expect("skopeo");
        skopeo.args(["copy", "--quiet", "--preserve-digests", "--src-tls-verify=false"]);
        must(skopeo.arg(format!("docker://{name}")).arg(format!("dir:{}", text(&back))));
        assert_eq!(raw_digest(&format!("dir:{}", text(&back))), image.manifest.digest, "{format:?} {compression:?}");
    }
}

#[test]
fn skopeo_reads_the_store_in_place() {
    if peers::available(peers::skopeo()).is_none() {
        return;
    }
    let bench = Bench::new();
    let dhow = bench.dhow("store");
    let served = Served::start(&dhow, &bench.path("registry"));
    let image = bench.image("in-place", Format::Oci, Compression::Gzip);
    let name = served.name("acme/app:1");
    image.publish(&name);
    dhow.must(&["pull", &name]);
    assert_eq!(raw_digest(&format!("oci:{}", text(dhow.root()))), image.manifest.digest);
    copy(&format!("oci:{}", text(dhow.root())), &format!("dir:{}", text(&bench.path("copy"))));
}

#[test]
fn an_index_keeps_its_digest_and_each_platform_can_be_pulled() {
    if peers::available(peers::skopeo()).is_none() {
        return;
    }
    let bench = Bench::new();
    let dhow = bench.dhow("store");
    let served = Served::start(&dhow, &bench.path("registry"));
    for format in [Format::Oci, Format::Docker] {
        let sample = bench.index(format);
        let name = served.name(&format!("acme/multi:{}", format!("{format:?}").to_lowercase()));
        sample.publish(&name);
        for platform in ["linux/amd64", "linux/arm64"] {
            let store = bench.dhow(&format!("store-{format:?}-{}", platform.replace('/', "-")));
            store.must(&["pull", "--platform", platform, &name]);
            let seen = dhow_tests::interop::inspect(&store, &name);
            assert_eq!(seen["Architecture"], platform.trim_start_matches("linux/"), "{format:?}");
            let digests = seen["RepoDigests"].to_string();
            // A tag records what the registry answered: the index.
            assert!(digests.contains(&sample.manifest.digest), "{format:?} {platform}: {digests}");
        }
        // With both platforms there, the index itself travels.
        dhow.must(&["pull", "--platform", "linux/amd64", &name]);
        dhow.must(&["pull", "--platform", "linux/arm64", &name]);
        let pushed = served.name(&format!("acme/again:{}", format!("{format:?}").to_lowercase()));
        dhow.must(&["tag", &name, &pushed]);
        dhow.must(&["push", &pushed]);
        assert_eq!(remote_digest(&pushed), sample.manifest.digest, "{format:?}");
    }
}
