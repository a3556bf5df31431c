//! What an image brings along must not decide what runs on this machine, nor who may read it.

#![allow(clippy::disallowed_methods, reason = "scratch files of the test itself")]

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use dhow_testkit::images::{Entry, tar_of};
use dhow_tests::scene::Scene;

use crate::copying::import;

/// Names that others ran, of programs, plugins and hooks.
const NAMES: &[&str] = &[
    "xz",
    "unxz",
    "gzip",
    "gunzip",
    "pigz",
    "unpigz",
    "igzip",
    "zstd",
    "bzip2",
    "tar",
    "git",
    "sh",
    "docker-evil",
    "dhow-evil",
    "podman-evil",
    "runc",
    "crun",
    "newuidmap-hook",
    "nft",
    "iptables",
];

/// Programs that leave a trace when they run.
fn traps(scene: &Scene, folder: &str) {
    let folder = scene.path(folder);
    fs::create_dir_all(&folder).expect("a folder");
    for name in NAMES {
        let path = folder.join(name);
        fs::write(&path, format!("#!/bin/dash\necho {name} >> {}\n", scene.path("ran").display())).expect("a program");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("a mode");
    }
}

#[track_caller]
fn assert_nothing_ran(scene: &Scene, what: &str) {
    assert!(!scene.path("ran").exists(), "{what} ran {:?}", fs::read_to_string(scene.path("ran")));
}

fn packed(program: &str, bytes: &[u8]) -> Option<Vec<u8>> {
    let mut child = Command::new(program).arg("-c").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().ok()?;
    child.stdin.take()?.write_all(bytes).ok()?;
    Some(child.wait_with_output().ok()?.stdout)
}

/// CVE-2026-41567: docker ran `xz` and `unpigz` as the search path, or the container, has them. CVE-2019-14271: its helper loaded
/// libraries of the container. CVE-2026-53488: labels of an image became what a runtime runs.
#[test]
fn cve_2026_41567_no_program_of_others_unpacks() {
    let scene = Scene::new();
    // The first folder of the scene's search path.
    traps(&scene, "bin");
    let tar = tar_of(&[Entry { path: "etc/motd", mode: 0o644, content: b"hello\n" }]).expect("an archive");
    let mut packings = 0;
    for program in ["xz", "gzip", "bzip2", "zstd"] {
        let Some(bytes) = packed(&format!("/usr/bin/{program}"), &tar).filter(|bytes| !bytes.is_empty()) else {
            continue;
        };
        fs::write(scene.path("packed"), bytes).expect("a file");
        scene.must(&["import", "packed", "acme/packed:1"]);
        assert_eq!(scene.must(&["cat", "acme/packed:1:/etc/motd"]), "hello\n");
        packings += 1;
    }
    assert!(packings >= 2, "only {packings} programs pack here");
    let label = scene.path("bin/sh");
    let label = label.to_str().expect("a path");
    let labels = [
        ("io.kubernetes.cri.hook", label),
        ("org.criu.config", label),
        ("run.oci.handler", label),
        ("com.docker.hook.prestart", label),
    ];
    let image = scene.image_with("labels", "2020-01-01T00:00:00Z", &labels);
    scene.load_image(image, "docker.io/acme/labels:1");
    import(
        &scene,
        "acme/libraries:1",
        &[
            "etc/",
            "etc/nsswitch.conf",
            "etc/ld.so.preload",
            "lib/",
            "lib/libnss_files.so.2",
            "usr/",
            "usr/bin/",
            "usr/bin/xz",
        ],
    );
    for name in ["acme/labels:1", "acme/libraries:1"] {
        let output =
            scene.command(&["cp", &format!("{name}:/."), "copied"]).env("LD_DEBUG", "files").output().expect("dhow");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let copied = scene.path("copied");
        let copied = copied.to_str().expect("a path");
        // The last line says where the copy went.
        let loads_copied = said.lines().any(|line| line.contains(copied) && !line.starts_with("Successfully copied "));
        assert!(output.status.success() && !loads_copied, "{said}");
        assert!(!said.contains("libnss"), "a library was loaded for names: {said}");
        scene.must(&["unpack", "--force", name, "files"]);
        scene.must(&["save", "-o", "saved.tar", name]);
        scene.must(&["load", "-i", "saved.tar"]);
    }
    assert_nothing_ran(&scene, "an image");
}

/// CVE-2025-15558: plugins from a folder that others can write to.
#[test]
fn cve_2025_15558_there_are_no_plugins() {
    let scene = Scene::new();
    traps(&scene, "bin");
    for folder in ["home/.docker/cli-plugins", "docker-config/cli-plugins"] {
        traps(&scene, folder);
    }
    for word in ["evil", "nosuch"] {
        assert_ne!(scene.dhow(&[word]).code, 0);
        assert_ne!(scene.docker(&[word]).code, 0);
        assert_ne!(scene.podman(&[word, "--help"]).code, 0);
    }
    scene.dhow(&["help"]);
    assert_nothing_ran(&scene, "the command line");
}

/// CVE-2021-41091 and CVE-2024-25621: folders of the store that everybody could look into, where programs with set-user-ID bits lie.
#[test]
fn cve_2021_41091_the_store_is_its_owners() {
    let scene = Scene::new();
    let umask = "umask 000; exec \"$@\"";
    let mut command = Command::new("/bin/sh");
    scene.load("a", "docker.io/acme/a:1");
    let inner = scene.command(&["unpack", "acme/a:1", "files"]);
    command.args(["-c", umask, "sh"]).arg(inner.get_program()).args(inner.get_args()).current_dir(scene.path(""));
    command.env_clear().envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    assert!(command.status().expect("dhow").success());
    scene.must(&["cat", "acme/a:1:/etc/salt"]);
    let mode = |path: &Path| fs::metadata(path).expect("metadata").permissions().mode() & 0o777;
    assert_eq!(mode(&scene.path("store")), 0o700);
    for below in ["blobs", "layers", "trash", "ingest"] {
        let path = scene.path("store").join(below);
        assert!(!path.exists() || mode(&path) & 0o077 == 0, "{below} has mode {:o}", mode(&path));
    }
}
