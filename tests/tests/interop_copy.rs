//! `copy` and skopeo: the same bytes in every place that both know, whoever of them brought them there.

#![allow(clippy::disallowed_methods, reason = "test files are scratch files")]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use dhow_testkit::images::{Compression, Format, sha256};
use dhow_testkit::peers::{self, Registry};
use dhow_tests::interop::{Bench, Served, must, remote_digest};

const KINDS: [(Format, Compression); 5] = [
    (Format::Oci, Compression::Gzip),
    (Format::Oci, Compression::None),
    (Format::Oci, Compression::Zstd),
    (Format::Docker, Compression::Gzip),
    (Format::Docker, Compression::None),
];

fn text(path: &Path) -> &str {
    path.to_str().expect("a printable path")
}

/// The digest of the manifest, computed here over the bytes that skopeo reads.
#[track_caller]
fn raw_digest(name: &str) -> String {
    let mut skopeo = peers::skopeo().expect("skopeo");
    let output = peers::run(skopeo.args(["inspect", "--raw", name])).unwrap_or_else(|error| panic!("{error}"));
    sha256(&output.stdout)
}

/// Every file of a folder with its content.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let read = |path: &Path| fs::read(path).expect("a file");
    entries.map(|path| (path.file_name().expect("a name").to_string_lossy().into_owned(), read(&path))).collect()
}

#[test]
fn every_place_keeps_the_digest() {
    if peers::available(peers::skopeo()).is_none() {
        return;
    }
    let bench = Bench::new();
    let dhow = bench.dhow("store");
    let served = Served::start(&dhow, &bench.path("registry"));
    for (number, (format, compression)) in KINDS.into_iter().enumerate() {
        let image = bench.image(&format!("copy-{number}"), format, compression);
        let origin = format!("docker://{}", served.name(&format!("acme/app:{number}")));
        image.publish(origin.trim_start_matches("docker://"));
        let place = |transport: &str, name: &str| {
            format!("{transport}:{}{name}", text(&bench.path(&format!("{transport}-{number}"))))
        };
        let chain = [
            place("dir", ""),
            place("oci", ":v1"),
            place("oci-archive", ":example.test/app:1"),
            format!("store:acme/kept:{number}"),
            place("docker-archive", ":acme/app:1"),
        ];
        let mut from = origin;
        for to in &chain {
            dhow.must(&["copy", "--quiet", &from, to]);
            // Of an OCI layout, skopeo reads nothing but OCI's own media types.
            let readable = to.starts_with("dir:") || (to.starts_with("oci") && format == Format::Oci);
            if readable {
                assert_eq!(raw_digest(to), image.manifest.digest, "{to} of {format:?} {compression:?}");
            }
            from = to.clone();
        }
        // Dhow's archives are OCI layouts too, so that even a docker archive gives back what was put in.
        let back = format!("docker://{}", served.name(&format!("acme/back:{number}")));
        let digestfile = bench.path(&format!("digest-{number}"));
        let said = dhow.must(&["copy", "--digestfile", text(&digestfile), &from, &back]);
        assert!(said.ends_with(&format!("Digest: {}\n", image.manifest.digest)), "{said}");
        assert_eq!(fs::read_to_string(&digestfile).expect("the file"), image.manifest.digest);
        assert_eq!(remote_digest(back.trim_start_matches("docker://")), image.manifest.digest);
        dhow.must_be_clean(&format!("{format:?} {compression:?}"));
    }
}

#[test]
fn folders_are_those_of_skopeo_file_by_file() {
    if peers::available(peers::skopeo()).is_none() {
        return;
    }
    let bench = Bench::new();
    let dhow = bench.dhow("store");
    for (number, format) in [Format::Oci, Format::Docker].into_iter().enumerate() {
        for (what, image, all) in [
            ("image", bench.image(&format!("folder-{number}"), format, Compression::Gzip), None),
            ("index", bench.index(format), Some("--all")),
        ] {
            let (theirs, ours) =
                (bench.path(&format!("theirs-{what}-{number}")), bench.path(&format!("ours-{what}-{number}")));
            let source = image.source();
            must(
                peers::skopeo()
                    .expect("skopeo")
                    .args(["copy", "-q", "--preserve-digests"])
                    .args(all)
                    .args([source.as_str(), &format!("dir:{}", text(&theirs))]),
            );
            let mut arguments = vec!["copy", "--preserve-digests"];
            arguments.extend(all);
            let target = format!("dir:{}", text(&ours));
            arguments.extend([source.as_str(), &target]);
            dhow.must(&arguments);
            assert_eq!(files(&ours), files(&theirs), "{what} {format:?}");
        }
    }
}

#[test]
fn a_shared_folder_of_blobs_is_skopeo_s() {
    if peers::available(peers::skopeo()).is_none() {
        return;
    }
    let bench = Bench::new();
    let dhow = bench.dhow("store");
    let image = bench.image("shared", Format::Oci, Compression::Gzip);
    let place = |name: &str| format!("oci:{}:v1", text(&bench.path(name)));
    let (shared, theirs) = (bench.path("shared"), bench.path("theirs"));
    dhow.must(&["copy", "-q", "--dest-shared-blob-dir", text(&shared), &image.source(), &place("one")]);
    let mut skopeo = peers::skopeo().expect("skopeo");
    must(skopeo.args(["copy", "-q", "--src-shared-blob-dir", text(&shared), &place("one"), &place("two")]));
    assert_eq!(raw_digest(&place("two")), image.manifest.digest);
    let mut skopeo = peers::skopeo().expect("skopeo");
    must(skopeo.args(["copy", "-q", "--dest-shared-blob-dir", text(&theirs), &image.source(), &place("three")]));
    dhow.must(&["copy", "-q", "--src-shared-blob-dir", text(&theirs), &place("three"), &place("four")]);
    assert_eq!(raw_digest(&place("four")), image.manifest.digest);
    assert_eq!(files(&shared.join("sha256")), files(&theirs.join("sha256")));
}

/// Names move between the images of a layout, and what has none any more stays listed.
#[test]
fn layouts_list_what_skopeo_lists() {
    if peers::available(peers::skopeo()).is_none() {
        return;
    }
    let bench = Bench::new();
    let dhow = bench.dhow("store");
    let (one, two) =
        (bench.image("one", Format::Oci, Compression::Gzip), bench.image("two", Format::Oci, Compression::Gzip));
    let (ours, theirs) = (bench.path("ours"), bench.path("theirs"));
    let listed = |layout: &Path| {
        let index = fs::read(layout.join("index.json")).expect("an index");
        let index: serde_json::Value = serde_json::from_slice(&index).expect("JSON");
        let entries = index["manifests"].as_array().cloned().expect("entries").into_iter();
        entries.map(|entry| (entry["digest"].clone(), entry["annotations"].clone())).collect::<Vec<_>>()
    };
    for (image, name) in [(&one, "v1"), (&two, "v1"), (&one, "v2"), (&two, "v3"), (&one, "v1"), (&one, "v1")] {
        dhow.must(&["copy", "-q", &image.source(), &format!("oci:{}:{name}", text(&ours))]);
        let mut skopeo = peers::skopeo().expect("skopeo");
        must(skopeo.args(["copy", "-q", &image.source(), &format!("oci:{}:{name}", text(&theirs))]));
        assert_eq!(listed(&ours), listed(&theirs), "{name}");
    }
    let mode = |folder: &Path| folder.metadata().expect("a folder").permissions().mode();
    for folder in ["", "blobs", "blobs/sha256"] {
        assert_eq!(mode(&ours.join(folder)), mode(&theirs.join(folder)), "{folder}");
    }
}

#[test]
fn what_skopeo_wrote_is_read() {
    if peers::available(peers::skopeo()).is_none() {
        return;
    }
    let bench = Bench::new();
    let dhow = bench.dhow("store");
    let served = Served::start(&dhow, &bench.path("registry"));
    let image = bench.image("theirs", Format::Oci, Compression::Gzip);
    for (transport, name, keeps) in [
        ("dir", "", true),
        ("oci", ":v1", true),
        ("oci-archive", ":v1", true),
        ("docker-archive", ":acme/app:1", false),
    ] {
        let place = format!("{transport}:{}{name}", text(&bench.path(transport)));
        must(peers::skopeo().expect("skopeo").args(["copy", "-q", &image.source(), &place]));
        let target = served.name(&format!("acme/{transport}:1"));
        dhow.must(&["copy", "-q", &place, &format!("docker://{target}")]);
        if keeps {
            assert_eq!(remote_digest(&target), image.manifest.digest, "{transport}");
        }
        // Whoever reads it gets an image whose layers are what its config says.
        let store = bench.dhow(&format!("store-{transport}"));
        store.must(&["pull", "-q", &target]);
        store.must_be_clean(transport);
    }
}

/// What docker writes has no manifest and no compression: the one that is made is as the place has it.
#[test]
fn archives_without_manifests_become_what_a_place_holds() {
    if peers::available(peers::skopeo()).is_none() {
        return;
    }
    let bench = Bench::new();
    let dhow = bench.dhow("store");
    let served = Served::start(&dhow, &bench.path("registry"));
    let image = bench.image("bare", Format::Docker, Compression::Gzip);
    let place = |transport: &str, name: &str| format!("{transport}:{}:v1", text(&bench.path(name)));
    let archive = place("docker-archive", "archive");
    must(peers::skopeo().expect("skopeo").args(["copy", "-q", &image.source(), &archive]));
    let types = |options: &[&str], to: &str| {
        dhow.must(&[&["copy", "-q"], options, &[&archive, to]].concat());
        let raw = dhow.must(&["inspect", "--remote", "--raw", to]);
        let manifest: serde_json::Value = serde_json::from_str(&raw).expect("a manifest");
        assert_eq!(manifest["config"]["digest"], image.id(), "{to}: the image stays the same");
        let layers = manifest["layers"].as_array().expect("layers").iter();
        let mut types: Vec<String> = layers.map(|layer| layer["mediaType"].to_string().replace('"', "")).collect();
        types.dedup();
        types.join(" ")
    };
    let target = format!("docker://{}", served.name("acme/bare:1"));
    assert_eq!(types(&[], &target), "application/vnd.docker.image.rootfs.diff.tar.gzip");
    for transport in ["oci", "oci-archive"] {
        let to = place(transport, transport);
        assert_eq!(types(&[], &to), "application/vnd.oci.image.layer.v1.tar+gzip");
        // Reading all of it proves that it is what its manifest says.
        let read = format!("dir:{}", text(&bench.path(&format!("read-{transport}"))));
        must(peers::skopeo().expect("skopeo").args(["copy", "-q", &to, &read]));
    }
    let plain = place("oci", "plain");
    assert_eq!(types(&["--dest-oci-accept-uncompressed-layers"], &plain), "application/vnd.oci.image.layer.v1.tar");
    assert_eq!(types(&["--recompress", "zstd"], &place("oci", "zstd")), "application/vnd.oci.image.layer.v1.tar+zstd");
}

#[test]
fn an_index_whole_or_the_image_for_one_platform() {
    if peers::available(peers::skopeo()).is_none() || peers::available(peers::find("docker-registry")).is_none() {
        return;
    }
    let bench = Bench::new();
    let dhow = bench.dhow("store");
    let served = Served::start(&dhow, &bench.path("registry"));
    let debian = Registry::start(&bench.path("debian")).expect("docker-registry");
    for format in [Format::Oci, Format::Docker] {
        let sample = bench.index(format);
        let tag = format!("{format:?}").to_lowercase();
        let origin = served.name(&format!("acme/multi:{tag}"));
        sample.publish(&origin);
        let origin = format!("docker://{origin}");
        let theirs = |arguments: &[&str]| {
            let folder = bench.path(&format!("theirs-{tag}-{}", arguments.len()));
            let mut skopeo = peers::skopeo().expect("skopeo");
            must(
                skopeo
                    .args(arguments)
                    .args(["copy", "-q", "--src-tls-verify=false", &origin])
                    .arg(format!("dir:{}", text(&folder))),
            );
            raw_digest(&format!("dir:{}", text(&folder)))
        };
        let ours = |name: &str, arguments: &[&str]| {
            let target = format!("{}/acme/{name}:{tag}", debian.address());
            let mut all = vec!["copy", "-q"];
            all.extend(arguments);
            let to = format!("docker://{target}");
            all.extend([origin.as_str(), &to]);
            dhow.must(&all);
            remote_digest(&target)
        };
        assert_eq!(ours("all", &["--all"]), sample.manifest.digest);
        assert_eq!(ours("all-again", &["-a"]), sample.manifest.digest);
        assert_eq!(ours("system", &[]), theirs(&[]), "this machine's image");
        let other = theirs(&["--override-arch", "arm64"]);
        assert_eq!(ours("other", &["--override-arch", "arm64"]), other);
        assert_eq!(ours("platform", &["--platform", "linux/arm64"]), other);
        assert_eq!(
            ours("both", &["--platform", "linux/amd64,linux/arm64"]),
            sample.manifest.digest,
            "that is all of it"
        );
        // Into the store as pull does: the tag is the index, of which this machine's image is there.
        dhow.must(&["copy", "-q", &origin, &format!("acme/kept:{tag}")]);
        let digests = dhow.must(&["images", "--digests", &format!("acme/kept:{tag}")]);
        assert!(dhow.must(&["images"]).contains("acme/kept"), "{digests}");
    }
}

#[test]
fn recompressed_and_converted_images_are_what_skopeo_takes() {
    if peers::available(peers::skopeo()).is_none() {
        return;
    }
    let bench = Bench::new();
    let dhow = bench.dhow("store");
    let served = Served::start(&dhow, &bench.path("registry"));
    let image = bench.image("recompress", Format::Oci, Compression::Gzip);
    let origin = served.name("acme/app:1");
    image.publish(&origin);
    let copy = |arguments: &[&str], tag: &str| {
        let target = served.name(&format!("acme/{tag}:1"));
        let (from, to) = (format!("docker://{origin}"), format!("docker://{target}"));
        let mut all = vec!["copy", "-q"];
        all.extend(arguments);
        all.extend([from.as_str(), &to]);
        dhow.must(&all);
        target
    };
    let raw = |name: &str| -> serde_json::Value {
        let mut skopeo = peers::skopeo().expect("skopeo");
        let said = must(skopeo.args(["inspect", "--raw", "--tls-verify=false"]).arg(format!("docker://{name}")));
        serde_json::from_str(&said).expect("JSON")
    };
    // Everything is read by skopeo, and every layer proven against the config by a pull.
    let sound = |name: &str| {
        let folder = bench.path(&name.replace(['/', ':'], "-"));
        let mut skopeo = peers::skopeo().expect("skopeo");
        must(
            skopeo
                .args(["copy", "-q", "--src-tls-verify=false"])
                .arg(format!("docker://{name}"))
                .arg(format!("dir:{}", text(&folder))),
        );
        let store = bench.dhow(&format!("store-{}", name.replace(['/', ':'], "-")));
        store.must(&["pull", "-q", name]);
        store.must_be_clean(name);
    };
    let zstd = copy(&["--recompress", "zstd"], "zstd");
    assert_eq!(raw(&zstd)["layers"][0]["mediaType"], "application/vnd.oci.image.layer.v1.tar+zstd");
    assert_eq!(raw(&zstd)["config"], raw(&origin)["config"], "the image ID stays");
    sound(&zstd);
    assert_eq!(remote_digest(&copy(&["--recompress", "zstd"], "again")), remote_digest(&zstd), "the same every time");
    assert_eq!(remote_digest(&copy(&["--recompress", "gzip"], "gzip")), image.manifest.digest, "it is gzip already");
    let docker = copy(&["--format", "v2s2"], "docker");
    assert_eq!(raw(&docker)["mediaType"], "application/vnd.docker.distribution.manifest.v2+json");
    assert_eq!(raw(&docker)["layers"][0]["digest"], raw(&origin)["layers"][0]["digest"]);
    sound(&docker);
    let refused =
        dhow.command(&["copy", "--format", "v2s2", &format!("docker://{zstd}"), "store:x"]).output().expect("dhow");
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("no layers compressed with zstd"), "{refused:?}");
}

/// A manifest about another one, as cosign and oras write them.
fn about(subject: &str, size: usize) -> serde_json::Value {
    serde_json::json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "artifactType": "application/x-sbom",
        "config": { "mediaType": "application/vnd.oci.empty.v1+json", "digest": sha256(b"{}"), "size": 2 },
        "layers": [{ "mediaType": "application/vnd.oci.empty.v1+json", "digest": sha256(b"{}"), "size": 2 }],
        "subject": { "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": subject, "size": size },
        "annotations": { "org.example.about": "it" },
    })
}

#[test]
fn what_refers_to_an_image_comes_along() {
    if peers::available(peers::skopeo()).is_none() || peers::available(peers::find("docker-registry")).is_none() {
        return;
    }
    let bench = Bench::new();
    let dhow = bench.dhow("store");
    let served = Served::start(&dhow, &bench.path("registry"));
    let debian = Registry::start(&bench.path("debian")).expect("docker-registry");
    let image = bench.image("referred", Format::Oci, Compression::Gzip);
    let origin = served.name("acme/app:1");
    image.publish(&origin);
    // The SBOM goes in through a layout, and cosign's signature under its tag.
    let layout = bench.path("sbom");
    let size = fs::metadata(image.layout.path(&image.manifest.digest)).expect("the manifest").len();
    let sbom = about(&image.manifest.digest, usize::try_from(size).expect("a size")).to_string();
    let folder = dhow_tests::interop::skopeo_folder(&layout, sbom.as_bytes(), &[b"{}"]);
    dhow.must(&["copy", "-q", &folder, &format!("docker://{}", served.name("acme/app:sbom"))]);
    let signature = served.name(&format!("acme/app:{}.sig", image.manifest.digest.replace(':', "-")));
    bench.image("signature", Format::Oci, Compression::None).publish(&signature);
    let sbom = sha256(sbom.as_bytes());
    // Dhow's registry knows referrers; Debian's does not, so that the fallback tag has to do there.
    let there = format!("{}/acme/app:1", debian.address());
    let layout = format!("oci:{}:it", text(&bench.path("layout")));
    let back = served.name("acme/back:1");
    for (from, to) in [
        (format!("docker://{origin}"), format!("docker://{there}")),
        (format!("docker://{there}"), layout.clone()),
        (layout, format!("docker://{back}")),
    ] {
        let said = dhow.must(&["copy", "--referrers", &from, &to]);
        assert!(said.ends_with("Referrers: 2\n"), "{from} {to}: {said}");
    }
    for name in [&there, &back] {
        let repository = name.trim_end_matches(":1");
        let mut skopeo = peers::skopeo().expect("skopeo");
        let at = format!("docker://{repository}@{sbom}");
        assert_eq!(
            sha256(&peers::run(skopeo.args(["inspect", "--raw", "--tls-verify=false", &at])).expect("skopeo").stdout),
            sbom
        );
        let tag = signature.rsplit(':').next().expect("a tag");
        assert_eq!(remote_digest(&format!("{repository}:{tag}")), remote_digest(&signature));
        let listed = dhow.must(&["referrers", "--format", "json", name]);
        assert!(listed.contains(&sbom) && listed.contains("\"artifactType\":\"application/x-sbom\""), "{listed}");
    }
}
