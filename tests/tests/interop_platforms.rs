//! Parts of indexes and lists of manifests, as docker, podman, skopeo and docker-registry see them.

#![allow(clippy::disallowed_methods, reason = "reads scratch files")]

use std::path::Path;
use std::process::Command;

use dhow_testkit::images::{Blob, Compression, Entry, Format, Layout, Recipe, tar_of};
use dhow_testkit::peers::{self, Docker, Podman, Registry};
use dhow_tests::interop::{Bench, Sample, Served, must, remote_digest};
use serde_json::Value;

const ARCHITECTURES: [&str; 3] = ["amd64", "arm64", "s390x"];

fn text(path: &Path) -> &str {
    path.to_str().expect("a printable path")
}

fn image(layout: &Layout, format: Format, architecture: &str) -> Blob {
    let tar = tar_of(&[Entry { path: "etc/arch", mode: 0o644, content: architecture.as_bytes() }]).expect("a tar");
    let layer = layout.layer(&*tar, format, Compression::Gzip).expect("a layer");
    let recipe = Recipe { format, architecture: architecture.to_owned(), ..Recipe::default() };
    layout.image(&[layer], &recipe).expect("an image")
}

/// An index over three architectures, and its manifests.
fn index(bench: &Bench, format: Format) -> (Sample, Vec<Blob>) {
    let layout = Layout::create(&bench.path(&format!("index-{format:?}"))).expect("a layout");
    let manifests: Vec<Blob> =
        ARCHITECTURES.into_iter().map(|architecture| image(&layout, format, architecture)).collect();
    let members: Vec<(Blob, &str)> = manifests.iter().cloned().zip(ARCHITECTURES).collect();
    let manifest = layout.index(&members, format).expect("an index");
    (Sample { layout, manifest }, manifests)
}

/// The digests of the members of what skopeo reads under a name.
#[track_caller]
fn members(name: &str) -> Vec<String> {
    let mut skopeo = peers::skopeo().expect("skopeo");
    let raw = must(skopeo.args(["inspect", "--raw", "--tls-verify=false", name]));
    let index: Value = serde_json::from_str(&raw).expect("JSON");
    let members = index["manifests"].as_array().unwrap_or_else(|| panic!("no index: {raw}"));
    members.iter().map(|member| member["digest"].as_str().expect("a digest").to_owned()).collect()
}

#[test]
fn skopeo_takes_the_part_of_an_index_that_dhow_pushed_and_saved() {
    if peers::available(peers::skopeo()).is_none() {
        return;
    }
    let bench = Bench::new();
    let dhow = bench.dhow("store");
    let served = Served::start(&dhow, &bench.path("registry"));
    for format in [Format::Oci, Format::Docker] {
        let (sample, manifests) = index(&bench, format);
        let tag = format!("{format:?}").to_lowercase();
        let (name, part) = (served.name(&format!("acme/all:{tag}")), served.name(&format!("acme/part:{tag}")));
        sample.publish(&name);
        dhow.must(&["pull", "--all-platforms", &name]);
        dhow.must(&["tag", &name, &part]);
        dhow.must(&["push", "--platform", "linux/s390x,linux/amd64", &part]);
        let kept = vec![manifests[0].digest.clone(), manifests[2].digest.clone()];
        assert_eq!(members(&format!("docker://{part}")), kept, "{format:?}");
        // Reading all of it proves every digest, and that nothing is promised which is not there.
        let copied = bench.path(&format!("copied-{tag}"));
        let mut skopeo = peers::skopeo().expect("skopeo");
        skopeo.args(["copy", "--quiet", "--all", "--preserve-digests", "--src-tls-verify=false"]);
        must(skopeo.args([&format!("docker://{part}"), &format!("dir:{}", text(&copied))]));

        let archive = bench.path(&format!("part-{tag}.tar"));
        dhow.must(&["save", "-o", text(&archive), "--platform", "linux/s390x,linux/amd64", &name]);
        if format == Format::Oci {
            assert_eq!(members(&format!("oci-archive:{}", text(&archive))), kept);
            let copied = bench.path("copied-archive");
            let mut skopeo = peers::skopeo().expect("skopeo");
            skopeo.args(["copy", "--quiet", "--all"]);
            must(skopeo.args([&format!("oci-archive:{}", text(&archive)), &format!("dir:{}", text(&copied))]));
        }
        // What was pushed and what was saved are the same index.
        let other = bench.dhow(&format!("other-{tag}"));
        other.must(&["load", "-i", text(&archive)]);
        let again = served.name(&format!("acme/again:{tag}"));
        other.must(&["tag", &name, &again]);
        other.must(&["push", &again]);
        assert_eq!(remote_digest(&again), remote_digest(&part), "{format:?}");
    }
}

#[test]
fn docker_and_podman_load_an_archive_with_a_part_of_an_index() {
    let bench = Bench::new();
    let dhow = bench.dhow("store");
    if peers::available(peers::skopeo()).is_none() {
        return;
    }
    let served = Served::start(&dhow, &bench.path("registry"));
    let (sample, _) = index(&bench, Format::Oci);
    let name = served.name("acme/all:1");
    sample.publish(&name);
    dhow.must(&["pull", "--all-platforms", &name]);
    let archive = bench.path("part.tar");
    dhow.must(&["save", "-o", text(&archive), "--platform", "linux/amd64,linux/arm64", &name]);
    // Readers without indexes get the host's platform.
    let host = dhow_tests::interop::inspect(&dhow, &name)["Id"].as_str().expect("an ID").to_owned();
    if let Some(docker) = peers::available(Docker::start(&bench.path("docker"))) {
        must(docker.command().args(["load", "--quiet", "--input"]).arg(&archive));
        assert_eq!(must(docker.command().args(["image", "inspect", "--format", "{{.Id}}", &name])), host);
    }
    if let Some(podman) = peers::available(Podman::open(&bench.path("podman"))) {
        must(podman.command().args(["load", "--quiet", "--input"]).arg(&archive));
        let id = must(podman.command().args(["image", "inspect", "--format", "{{.Id}}", &name]));
        assert_eq!(format!("sha256:{id}"), host);
    }
}

/// docker-registry with one image per architecture under `acme/<architecture>:1`.
fn singles(bench: &Bench, registry: &Registry, format: Format) -> Vec<String> {
    let layout = Layout::create(&bench.path("singles")).expect("a layout");
    let mut names = Vec::new();
    for architecture in &ARCHITECTURES[..2] {
        let manifest = image(&layout, format, architecture);
        let single = bench.path(&format!("single-{architecture}"));
        must(Command::new("cp").arg("-r").arg(layout.root()).arg(&single));
        let sample = Sample { layout: Layout::open(&single).expect("a layout"), manifest };
        let name = registry.name(&format!("acme/{architecture}:1"));
        sample.publish(&name);
        names.push(name);
    }
    names
}

#[test]
fn docker_writes_the_same_list() {
    let bench = Bench::new();
    let Some(docker) = peers::available(peers::find("docker")) else { return };
    let Some(registry) = peers::available(Registry::start(&bench.path("docker-registry"))) else { return };
    let names = singles(&bench, &registry, Format::Docker);
    let dhow = bench.dhow("store");
    let run = |arguments: &[&str]| {
        let mut command = Command::new(&docker);
        must(command.env("DOCKER_CONFIG", bench.path("config")).arg("manifest").args(arguments))
    };
    let (theirs, ours) = (registry.name("acme/theirs:1"), registry.name("acme/ours:1"));
    for (list, is_ours) in [(&theirs, false), (&ours, true)] {
        let both = |arguments: &[&str]| match is_ours {
            true => dhow.must(&[&["manifest"], arguments].concat()),
            false => run(arguments),
        };
        both(&["create", "--insecure", list, &names[1], &names[0]]);
        both(&["annotate", list, &names[1], "--variant", "v8"]);
        both(&["push", "--insecure", list]);
    }
    assert_eq!(remote_digest(&ours), remote_digest(&theirs));
    assert_eq!(dhow.must(&["manifest", "inspect", &theirs]).trim_end(), run(&["inspect", "--insecure", &ours]));
    assert_eq!(dhow.must(&["manifest", "inspect", &names[0]]).trim_end(), run(&["inspect", "--insecure", &names[0]]));
}

#[test]
fn podman_reads_the_list_that_dhow_pushed() {
    let bench = Bench::new();
    let Some(podman) = peers::available(Podman::open(&bench.path("podman"))) else { return };
    let Some(registry) = peers::available(Registry::start(&bench.path("docker-registry"))) else { return };
    let names = singles(&bench, &registry, Format::Oci);
    let dhow = bench.dhow("store");
    let list = registry.name("acme/list:1");
    dhow.must(&["manifest", "create", &list, &names[0], &names[1]]);
    let pushed = dhow.must(&["manifest", "push", &list]);
    assert_eq!(pushed.lines().last(), Some(remote_digest(&list).as_str()));
    // This verb has no flag for plain HTTP.
    let configuration = bench.path("registries.conf");
    let insecure = format!("[[registry]]\nlocation = \"{}\"\ninsecure = true\n", registry.address());
    std::fs::write(&configuration, insecure).expect("a configuration");
    let mut inspect = podman.command();
    let read = must(inspect.env("CONTAINERS_REGISTRIES_CONF", &configuration).args(["manifest", "inspect", &list]));
    let index: Value = serde_json::from_str(&read).expect("JSON");
    let seen: Vec<&str> = index["manifests"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|member| member["platform"]["architecture"].as_str())
        .collect();
    assert_eq!(seen, ["amd64", "arm64"], "{read}");
    must(podman.command().args(["pull", "--quiet", "--tls-verify=false", &list]));
}
