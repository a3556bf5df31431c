//! `unpack` by an ordinary user.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use dhow_testkit::peers::{self, available, is_root};
use dhow_tests::interop::{Bench, Sample, must};
use dhow_tests::ordinary::{Ids, user};

use crate::by_dhow;
use crate::images::odd_image;
use crate::listing::{Except, LIST, Listing, assert_equal, assert_same, listed, listing, told};

/// Runs what is added without any rights.
pub(crate) fn ordinary_user() -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
    command
}

/// Without root's rights everything but owners and devices is the same, and a note says what is not.
#[test]
fn an_ordinary_user_gets_the_same_files() {
    if !is_root() {
        eprintln!("skipped: the image that is unpacked is made by root");
        return;
    }
    let bench = Bench::new();
    let image = odd_image(&bench);
    let ours = by_dhow(&bench, &image);
    let folder = bench.path("of-a-user");
    fs::create_dir(&folder).expect("a folder");
    must(Command::new("chown").arg("65534:65534").arg(&folder));
    must(Command::new("chmod").args(["-R", "a+rX"]).arg(image.layout.root()));
    let user = |arguments: &[&str]| {
        let mut command = ordinary_user();
        command.arg(dhow_tests::binary::path()).args(arguments);
        command.current_dir(&folder).env("DHOW_ROOT", folder.join("store")).env("HOME", &folder);
        command
    };
    // The scratch folder is for its owner only.
    must(Command::new("chmod").arg("a+x").arg(folder.parent().expect("the bench")));
    must(&mut user(&["load", "--input", image.layout.root().to_str().expect("a path")]));
    let output = user(&["unpack", &image.id(), "files"]).output().expect("dhow");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    assert!(said.contains("left out devices"), "{said}");
    assert!(said.contains("left out extended attributes (security.*: operation not permitted"), "{said}");
    let except = Except { owners: true, ..Except::default() };
    assert_same(&folder.join("files"), &ours, except, "an ordinary user");
}

/// Runs what is added as an ordinary user with many users of its own.
pub(crate) fn user_of_many(folder: &Path, words: &[&str]) -> Command {
    user(folder, Ids::Many, words)
}

/// A folder of an ordinary user's with the program and the image in it.
pub(crate) fn home_of_user(bench: &Bench, image: &Sample) -> PathBuf {
    let folder = bench.path("of-a-user");
    fs::create_dir_all(folder.join("run")).expect("a folder");
    fs::copy(dhow_tests::binary::path(), folder.join("dhow")).expect("the program");
    let layout = folder.join("layout");
    must(Command::new("cp").arg("-r").arg(image.layout.root()).arg(&layout));
    must(Command::new("chown").args(["-R", "65534:65534"]).arg(&folder));
    must(Command::new("chmod").arg("a+x").arg(folder.parent().expect("the bench")));
    folder
}

/// What only root of the machine can make, and whose times lie on the way to it.
pub(crate) fn without_privileges(mut tree: Listing) -> Listing {
    tree.retain(|path, cells| !path.is_empty() && !matches!(cells[0].as_str(), "char" | "block"));
    for cells in tree.values_mut() {
        let shown: Vec<&str> = cells[5].split(',').filter(|xattr| xattr.starts_with("system.posix_acl")).collect();
        cells[5] = shown.join(",");
    }
    tree
}

/// What podman makes of the image, for a user with users of its own.
pub(crate) fn by_podman(folder: &Path, except: Except) -> Option<Listing> {
    available(peers::find("podman"))?;
    let podman = ["podman", "--root", "podman", "--runroot", "podman-run", "--storage-driver", "vfs"];
    let archive = "docker-archive:image.tar:localhost/it:1";
    must(&mut user_of_many(folder, &["skopeo", "copy", "-q", "oci:layout:it", archive]));
    must(&mut user_of_many(folder, &[&podman[..], &["load", "-q", "-i", "image.tar"]].concat()));
    let mounted = [&podman[..], &["unshare"], &podman[..], &["image", "mount", "localhost/it:1"]].concat();
    let mounted = must(&mut user_of_many(folder, &mounted));
    let words = [&podman[..], &["unshare", "python3", "-c", LIST, mounted.trim()]].concat();
    let theirs = listed(&told(user_of_many(folder, &words)), except);
    // It leaves a process that keeps its namespaces.
    if let Ok(process) = fs::read_to_string(folder.join("run/libpod/tmp/pause.pid")) {
        must(Command::new("kill").arg(process.trim()));
    }
    Some(theirs)
}

/// An ordinary user with users of its own gets what root gets, owners too, and what podman makes of it for such a user; without,
/// what umoci makes of it.
#[test]
fn an_ordinary_user_beside_podman_and_umoci() {
    if !is_root() {
        eprintln!("skipped: the image that is unpacked is made by root");
        return;
    }
    let bench = Bench::new();
    let image = odd_image(&bench);
    let ours = listing(&by_dhow(&bench, &image), Except::default());
    let folder = home_of_user(&bench, &image);
    must(&mut user_of_many(&folder, &["./dhow", "load", "-q", "-i", "layout"]));
    must(&mut user_of_many(&folder, &["./dhow", "unshare", "./dhow", "unpack", &image.id(), "files"]));
    let list = |by: &[&str], path: &str| {
        let words = [by, &["python3", "-c", LIST, path]].concat();
        listed(&told(user_of_many(&folder, &words)), Except::default())
    };
    let many = list(&["./dhow", "unshare"], "files");
    assert_equal(&without_privileges(many.clone()), &without_privileges(ours), "root");
    if available(peers::find("umoci")).is_some() {
        must(&mut user_of_many(&folder, &["./dhow", "unpack", "--owners", "caller", &image.id(), "alone"]));
        must(&mut user_of_many(&folder, &["umoci", "unpack", "--rootless", "--image", "layout:it", "bundle"]));
        let except = Except { owners: true, root: true, ..Except::default() };
        let mine = listing(&folder.join("alone"), except);
        let theirs = listing(&folder.join("bundle/rootfs"), except);
        // Where a device would be, umoci leaves an empty file.
        let devices = ["/block", "/char", "/char-again"];
        let theirs = theirs.into_iter().filter(|(path, _)| !devices.contains(&path.as_str())).collect();
        assert_equal(&mine, &theirs, "umoci");
    }
    let except = Except { user_xattrs: true, habits: true, ..Except::default() };
    if let Some(theirs) = by_podman(&folder, except) {
        let words = ["./dhow", "unshare", "python3", "-c", LIST, "files"];
        let mine = listed(&told(user_of_many(&folder, &words)), except);
        assert_equal(&without_privileges(mine), &without_privileges(theirs), "podman");
    }
    must(&mut user_of_many(&folder, &["./dhow", "unshare", "sh", "-c", "rm -rf files podman"]));
}
