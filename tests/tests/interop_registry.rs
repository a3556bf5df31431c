//! dhow and Debian's docker-registry: what is pushed can be pulled, by digest too, bit for bit.

use dhow_testkit::images::{Compression, Format};
use dhow_testkit::peers::{self, Registry};
use dhow_tests::interop::{Bench, assert_image, remote_digest};

const KINDS: [(Format, Compression); 5] = [
    (Format::Oci, Compression::Gzip),
    (Format::Oci, Compression::None),
    (Format::Oci, Compression::Zstd),
    (Format::Docker, Compression::Gzip),
    (Format::Docker, Compression::None),
];

fn registry(bench: &Bench, name: &str) -> Option<Registry> {
    peers::available(peers::skopeo())?;
    peers::available(Registry::start(&bench.path(name)))
}

#[test]
fn every_kind_of_image_keeps_its_digest() {
    let bench = Bench::new();
    let (Some(from), Some(to)) = (registry(&bench, "from"), registry(&bench, "to")) else { return };
    for (number, (format, compression)) in KINDS.into_iter().enumerate() {
        let what = format!("{format:?} {compression:?}");
        let image = bench.image(&format!("registry-{number}"), format, compression);
        let (source, target) = (from.name(&format!("acme/app:{number}")), to.name(&format!("acme/app:{number}")));
        image.publish(&source);
        let dhow = bench.dhow("store");
        dhow.must(&["pull", &source]);
        assert_image(&dhow, &source, &image.id(), Some(&image.manifest.digest));
        dhow.must(&["tag", &source, &target]);
        dhow.must(&["push", &target]);
        assert_eq!(remote_digest(&target), image.manifest.digest, "{what}");

        // A second store takes it by digest alone.
        let second = bench.dhow("second-store");
        let by_digest = format!("{}@{}", to.name("acme/app"), image.manifest.digest);
        second.must(&["pull", &by_digest]);
        assert_image(&second, &by_digest, &image.id(), Some(&image.manifest.digest));
    }
    bench.dhow("store").must_be_clean("after five pulls and pushes");
}

#[test]
fn all_tags_of_a_repository_come_along() {
    let bench = Bench::new();
    let Some(registry) = registry(&bench, "registry") else { return };
    let image = bench.image("all-tags", Format::Oci, Compression::Gzip);
    for tag in ["1", "1.2", "latest"] {
        image.publish(&registry.name(&format!("acme/tags:{tag}")));
    }
    let dhow = bench.dhow("store");
    dhow.must(&["pull", "--all-tags", &registry.name("acme/tags")]);
    let listed = dhow.must(&["images"]);
    assert_eq!(listed.matches(&registry.name("acme/tags")).count(), 3, "{listed}");
    for tag in ["1", "1.2", "latest"] {
        dhow.must(&["tag", &registry.name(&format!("acme/tags:{tag}")), &registry.name(&format!("acme/copies:{tag}"))]);
    }
    dhow.must(&["push", "--all-tags", &registry.name("acme/copies")]);
    for tag in ["1", "1.2", "latest"] {
        assert_eq!(remote_digest(&registry.name(&format!("acme/copies:{tag}"))), image.manifest.digest);
    }
}

#[test]
fn what_is_not_there_is_named() {
    let bench = Bench::new();
    let Some(registry) = registry(&bench, "registry") else { return };
    let dhow = bench.dhow("store");
    let missing = registry.name("acme/nothing:1");
    let ran = dhow.run(&["pull", &missing]);
    assert_eq!(ran.status.code(), Some(1), "{}", ran.told());
    assert!(ran.stderr.contains("manifest unknown") || ran.stderr.contains("not found"), "{}", ran.told());
    assert_eq!(dhow.must(&["images", "--quiet"]), "");
}
