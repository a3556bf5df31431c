//! `unpack` beside umoci, podman and docker: the same image gives the same files, entry by entry.

#![allow(clippy::disallowed_methods, reason = "scratch files of the test itself")]

mod application;
mod images;
mod listing;
mod mounts;
mod outlines;
mod rootless_docker;
mod trees;
mod users;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use dhow_testkit::debian;
use dhow_testkit::peers::{self, Docker, Podman, available, is_root};
use dhow_tests::crash::Dhow;
use dhow_tests::interop::{Bench, Sample, must};

use images::{links_image, odd_image};
use listing::{Except, assert_same, listing};
use mounts::every_mount_is_what_is_unpacked;
use outlines::outlines_say_what_is_unpacked;

/// What the image is called in dhow and docker.
const NAME: &str = "registry.example/acme/odd:1";

fn load(dhow: &Dhow, image: &Sample) {
    dhow.must(&["load", "--input", image.layout.root().to_str().expect("a path")]);
    dhow.must(&["tag", &image.id(), NAME]);
}

/// Loads the image and unpacks it with dhow.
fn by_dhow(bench: &Bench, image: &Sample) -> PathBuf {
    let dhow = bench.dhow("store");
    load(&dhow, image);
    let target = bench.path("by-dhow");
    let said = dhow.run(&["unpack", NAME, target.to_str().expect("a path")]);
    assert!(said.is_acknowledged() && said.stderr.is_empty() && said.stdout.is_empty(), "{}", said.told());
    target
}

fn against_umoci(bench: &Bench, image: &Sample, ours: &Path) {
    let Some(umoci) = available(peers::find("umoci")) else { return };
    let bundle = bench.path("by-umoci");
    let source = format!("{}:it", image.layout.root().display());
    must(Command::new(umoci).args(["unpack", "--image", &source]).arg(&bundle));
    assert_same(ours, &bundle.join("rootfs"), Except { root: true, ..Except::default() }, "umoci");
}

fn against_podman(bench: &Bench, image: &Sample, ours: &Path) {
    let Some(podman) = available(Podman::open(&bench.path("podman"))) else { return };
    // podman makes a name of a layout's path, which has capitals here.
    let archive = bench.path("for-podman.tar");
    let mut skopeo = peers::skopeo().expect("skopeo");
    skopeo.arg("copy").arg(format!("oci:{}:it", image.layout.root().display()));
    must(skopeo.arg(format!("docker-archive:{}:localhost/it:1", archive.display())));
    must(podman.command().args(["load", "--quiet", "--input"]).arg(&archive));
    let id = must(podman.command().args(["images", "--quiet", "--no-trunc"]));
    let mounted = must(podman.command().args(["image", "mount", id.trim()]));
    let result = std::panic::catch_unwind(|| {
        let except = Except { root: true, user_xattrs: true, habits: true, ..Except::default() };
        assert_same(ours, Path::new(mounted.trim()), except, "podman");
    });
    must(podman.command().args(["image", "unmount", id.trim()]));
    if let Err(panic) = result {
        std::panic::resume_unwind(panic);
    }
}

fn against_docker(bench: &Bench, ours: &Path) {
    let Some(docker) = available(Docker::start(&bench.path("docker"))) else { return };
    let archive = bench.path("archive.tar");
    bench.dhow("store").must(&["save", "--output", archive.to_str().expect("a path"), NAME]);
    must(docker.command().args(["load", "--quiet", "--input"]).arg(&archive));
    let container = must(docker.command().args(["create", NAME, "/bin/sh"]));
    let exported = bench.path("exported.tar");
    must(docker.command().args(["export", "--output"]).arg(&exported).arg(container.trim()));
    let target = bench.path("by-docker");
    fs::create_dir(&target).expect("a folder");
    must(
        Command::new("tar")
            .args(["--xattrs", "--xattrs-include=*", "--numeric-owner", "-xpf"])
            .arg(&exported)
            .arg("-C")
            .arg(&target),
    );
    let except = Except { fractions: true, container: true, user_xattrs: true, habits: true, ..Except::default() };
    assert_same(ours, &target, except, "docker");
    // What dhow exports of the image unpacks to the same, and is the same archive whoever unpacked it.
    let (export, again) = (bench.path("by-dhow.tar"), bench.path("again.tar"));
    for path in [&export, &again] {
        bench.dhow("store").must(&["export", "--output", path.to_str().expect("a path"), NAME]);
    }
    assert!(fs::read(&export).expect("an archive") == fs::read(&again).expect("an archive"));
    let extracted = bench.path("extracted");
    fs::create_dir(&extracted).expect("a folder");
    let mut tar = Command::new("tar");
    tar.args(["--xattrs", "--xattrs-include=*", "--numeric-owner", "-xpf"]).arg(&export).arg("-C").arg(&extracted);
    must(&mut tar);
    assert_same(ours, &extracted, Except { root: true, ..Except::default() }, "export");
}

#[test]
fn an_image_with_everything_in_it() {
    if !is_root() {
        eprintln!("skipped: an image with devices needs root");
        return;
    }
    let bench = Bench::new();
    let image = odd_image(&bench);
    let ours = by_dhow(&bench, &image);
    against_umoci(&bench, &image, &ours);
    against_podman(&bench, &image, &ours);
    against_docker(&bench, &ours);
    every_mount_is_what_is_unpacked(&bench, &image, &ours);
    let tree = listing(&ours, Except::default());
    let is_part = |path: &&str| path.split('/').count() == 2 && !path.contains('\u{fffd}');
    let parts: Vec<String> = tree.keys().map(String::as_str).filter(is_part).map(|path| path[1..].to_owned()).collect();
    let is_file = |path: &&str| tree[*path][0] == "file" && !path.contains('\u{fffd}');
    let mut files: Vec<(&str, &str)> =
        tree.keys().map(String::as_str).filter(is_file).map(|path| (&path[1..], &path[1..])).collect();
    files.push(("bin/uno", "usr/bin/uno"));
    assert!(parts.len() > 10 && files.len() > 10, "{parts:?} {files:?}");
    outlines_say_what_is_unpacked(&bench, &image, &ours, &parts, &files);
}

/// Engines that unpack every layer apart, as all do on overlayfs, make directories there; umoci and engines without overlayfs
/// follow the links.
#[test]
fn an_entry_hides_a_link_of_a_lower_layer() {
    if !is_root() {
        eprintln!("skipped: podman and docker with overlayfs need root");
        return;
    }
    let bench = Bench::new();
    let image = links_image(&bench);
    let ours = by_dhow(&bench, &image);
    assert!(ours.join("lib/y").is_file() && !ours.join("lib/x").exists() && !ours.join("usr/lib/y").exists());
    against_podman(&bench, &image, &ours);
    against_docker(&bench, &ours);
}

/// Debian in two layers.
#[test]
fn a_real_distribution() {
    let tree = debian::cache().join("rootfs");
    if let Err(error) = debian::tree(&tree, "") {
        return eprintln!("skipped: {error}");
    }
    let bench = Bench::new();
    let image = application::debian(&bench, &tree);
    let ours = by_dhow(&bench, &image);
    against_umoci(&bench, &image, &ours);
    against_podman(&bench, &image, &ours);
    against_docker(&bench, &ours);
    every_mount_is_what_is_unpacked(&bench, &image, &ours);
}

#[test]
fn an_application_of_forty_layers() {
    let cache = debian::cache();
    let tree = cache.join("rootfs");
    let packages = debian::tree(&tree, "")
        .and_then(|()| debian::packages(&tree, &["python3", "nginx-light"], &cache.join("packages")));
    let packages = match packages {
        Ok(packages) => packages,
        // A mirror that does not answer is nothing that this machine could install, and no failure of dhow's.
        Err(error) => return eprintln!("skipped: {error}"),
    };
    let bench = Bench::new();
    let image = application::image(&bench, &tree, &packages);
    let ours = by_dhow(&bench, &image);
    assert!(ours.join("usr/bin/python3").symlink_metadata().is_ok() && ours.join("usr/sbin/nginx").is_file());
    against_umoci(&bench, &image, &ours);
    against_podman(&bench, &image, &ours);
    against_docker(&bench, &ours);
    every_mount_is_what_is_unpacked(&bench, &image, &ours);
    let parts = ["etc", "opt", "srv", "var", "usr/bin"].map(str::to_owned);
    let python = fs::canonicalize(ours.join("usr/bin/python3")).expect("a program");
    let python = python.strip_prefix(&ours).expect("its path in the image").to_str().expect("text");
    let files = ["opt/app/app.py/__init__.py", "opt/links/two", "srv/data", "etc/passwd", "usr/bin/env"];
    let mut files: Vec<(&str, &str)> = files.map(|file| (file, file)).into();
    files.push(("opt/venv/bin/python", python));
    outlines_say_what_is_unpacked(&bench, &image, &ours, &parts, &files);
}
