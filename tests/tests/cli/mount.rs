//! `image mount` and `image unmount`.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::Command;

use dhow_testkit::peers;
use dhow_tests::scene::Scene;
use insta::assert_snapshot;

use crate::files::load;

/// A scene whose mounts go before its folder does.
struct Mounting(Scene);

impl Drop for Mounting {
    fn drop(&mut self) {
        self.0.dhow(&["image", "unmount", "--all", "--force"]);
    }
}

fn may_mount() -> io::Result<()> {
    let is_there = |name: &str| fs::read_to_string("/proc/filesystems").is_ok_and(|all| all.contains(name));
    match (peers::is_root(), is_there("erofs") && is_there("overlay")) {
        (true, true) => Ok(()),
        (false, _) => Err(io::Error::other("mounting takes root")),
        (true, false) => Err(io::Error::other("this kernel has no EROFS or no overlayfs")),
    }
}

#[test]
fn an_image_is_mounted_counted_listed_and_unmounted() {
    if peers::available(may_mount()).is_none() {
        return;
    }
    let mounting = Mounting(Scene::new());
    let scene = &mounting.0;
    load(scene, "docker.io/acme/files:v1");
    assert_eq!(scene.must(&["image", "mount"]), "");
    let path = PathBuf::from(scene.command(&["image", "mount", "acme/files:v1"]).output().map_or_else(
        |error| panic!("{error}"),
        |output| String::from_utf8_lossy(&output.stdout).trim_end().to_owned(),
    ));
    assert_eq!(fs::read_to_string(path.join("etc/passwd")).expect("a file"), "root:x:0:0\nuser:x:1:1\n");
    assert_eq!(fs::read_to_string(path.join("lib/y")).expect("a file"), "library");
    let writable = fs::OpenOptions::new().write(true).open(path.join("etc/passwd"));
    assert!(!path.join("etc/old").exists() && writable.is_err());
    let mode = Command::new("stat").args(["-c", "%a %A"]).arg(path.join("tmp")).output().expect("stat");
    assert_eq!(String::from_utf8_lossy(&mode.stdout), "1777 drwxrwxrwt\n");
    assert_eq!(scene.must(&["image", "mount"]).split_whitespace().next(), Some("docker.io/acme/files:v1"));
    // As often as it was mounted.
    scene.must(&["image", "mount", "acme/files:v1"]);
    scene.must(&["image", "unmount", "acme/files:v1"]);
    assert!(path.join("etc/passwd").exists());
    scene.must(&["image", "umount", "acme/files:v1"]);
    assert!(!path.exists());
    assert_snapshot!(scene.dhow(&["image", "unmount", "acme/files:v1"]).stderr, @"image acme/files:v1 is not mounted");
}

#[test]
fn what_was_unmounted_by_others_is_forgotten_and_what_a_crash_left_is_taken_away() {
    if peers::available(may_mount()).is_none() {
        return;
    }
    let mounting = Mounting(Scene::new());
    let scene = &mounting.0;
    load(scene, "docker.io/acme/files:v1");
    let mount = || {
        let output = scene.command(&["image", "mount", "acme/files:v1"]).output().expect("dhow runs");
        PathBuf::from(String::from_utf8_lossy(&output.stdout).trim_end())
    };
    let path = mount();
    assert!(Command::new("umount").arg(&path).status().expect("umount").success());
    assert_eq!(scene.must(&["image", "mount"]), "");
    assert_eq!(mount(), path);
    // Mounted, and killed before that was noted.
    let record = path.parent().expect("a parent").join("mount.json");
    assert!(Command::new("rm").arg(&record).status().expect("rm").success());
    assert_eq!(scene.must(&["image", "mount"]), "");
    assert_eq!(mount(), path);
    assert_eq!(
        fs::read_to_string("/proc/self/mountinfo").expect("a table").matches(&*path.to_string_lossy()).count(),
        1
    );
}

#[test]
fn arguments_are_podman_s() {
    let scene = Scene::new();
    assert_snapshot!(scene.dhow(&["image", "mount", "--all", "x"]).stderr, @"when using the --all switch, you may not pass any image names or IDs");
    assert_snapshot!(scene.dhow(&["image", "unmount"]).stderr, @"image name or ID must be specified");
}
