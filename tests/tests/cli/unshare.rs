//! `unshare`, and plain trees for who is not root: with the users of `/etc/subuid`, and without.

#![allow(clippy::disallowed_methods, reason = "scratch files of the test itself")]

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use dhow_testkit::peers::{self, available};
use dhow_tests::binary;
use insta::assert_snapshot;
use tempfile::TempDir;

/// The ordinary user, and the users that are its to give to processes, where it has any.
const UID: u32 = 65534;
const FIRST: u32 = 300_000;

/// What a command said: exit code, standard output, standard error.
type Said = (Option<i32>, String, String);

/// An ordinary user with a folder and a copy of the program.
pub(crate) struct User {
    folder: TempDir,
    has_ranges: bool,
}

impl User {
    pub(crate) fn new(has_ranges: bool) -> Option<Self> {
        let needed = peers::find("newuidmap").and_then(|_| peers::find("unshare")).and_then(|_| peers::find("setpriv"));
        let needed = match peers::is_root() {
            true => needed.map(drop),
            false => Err(std::io::Error::other("another user is only had by root")),
        };
        available(needed)?;
        let folder = TempDir::new().expect("a folder");
        fs::copy(binary::path(), folder.path().join("dhow")).expect("the program");
        let ranges = if has_ranges { format!("{UID}:{FIRST}:65536\n") } else { String::new() };
        fs::write(folder.path().join("ranges"), ranges).expect("the ranges");
        std::os::unix::fs::chown(folder.path(), Some(UID), Some(UID)).expect("an owner");
        Some(Self { folder, has_ranges })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs dhow as that user, in a mount namespace where the files with its ranges are these.
    pub(crate) fn dhow(&self, arguments: &[&str]) -> Said {
        self.dhow_with(arguments, &[])
    }

    fn dhow_with(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Said {
        let output = self.command(arguments).envs(variables.iter().copied()).output().expect("unshare");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    }

    /// A command line for dhow as that user.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let script = "mount --bind ranges /etc/subuid; mount --bind ranges /etc/subgid
            exec setpriv --reuid=65534 --regid=65534 --clear-groups -- \"$@\"";
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-euc", script, "sh"]).arg(self.path("dhow")).args(arguments);
        command.env_clear().env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin").env("HOME", self.folder.path());
        command.env("DHOW_ROOT", self.path("store")).current_dir(self.folder.path());
        command
    }

    #[track_caller]
    pub(crate) fn must(&self, arguments: &[&str]) -> String {
        let (code, out, err) = self.dhow(arguments);
        assert_eq!(code, Some(0), "{arguments:?}: {err}");
        out
    }

    /// Brings an image whose files belong to several users, some out of others' sight.
    fn load_image(&self, words: &[&str]) {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, uid, mode) in [("var/", 0, 0o755), ("var/www/", 33, 0o700), ("var/www/secret", 33, 0o600)] {
            let mut header = tar::Header::new_ustar();
            header.set_entry_type(if name.ends_with('/') {
                tar::EntryType::Directory
            } else {
                tar::EntryType::Regular
            });
            header.set_mode(mode);
            header.set_uid(uid);
            header.set_gid(uid);
            header.set_mtime(1_700_000_000);
            header.set_size(0);
            builder.append_data(&mut header, name, &b""[..]).expect("append");
        }
        fs::write(self.path("root.tar"), builder.into_inner().expect("a tar")).expect("an archive");
        self.must(&["import", "root.tar", "acme/owned:1"]);
        self.must(&["save", "-o", "image.tar", "acme/owned:1"]);
        self.must(&["rmi", "acme/owned:1"]);
        self.must(&[&["load", "-q", "-i", "image.tar"], words].concat());
    }

    fn trees(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.path("store/layers/trees-v1")).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect()
    }
}

fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn owner(path: &Path) -> u32 {
    fs::metadata(path).unwrap_or_else(|error| panic!("{path:?}: {error}")).uid()
}

#[test]
fn a_command_is_root_among_the_users_own_users() {
    let Some(user) = User::new(true) else { return };
    assert_eq!(user.must(&["unshare", "id", "-u"]), "0\n");
    assert_eq!(words(&user.must(&["unshare", "cat", "/proc/self/uid_map"])), "0 65534 1 1 300000 65536");
    assert_eq!(words(&user.must(&["unshare", "cat", "/proc/self/gid_map"])), "0 65534 1 1 300000 65536");
    assert_eq!(user.dhow(&["unshare", "sh", "-c", "exit 7"]).0, Some(7));
    let said = |said: Said| format!("{:?} {}{}", said.0.unwrap_or(-1), said.1, said.2);
    assert_snapshot!(said(user.dhow(&["unshare", "nosuch"])), @r#"127 exec: "nosuch": executable file not found in $PATH"#);
    assert_snapshot!(said(user.dhow(&["unshare", "/etc/passwd"])), @"126 fork/exec /etc/passwd: permission denied");
    assert_snapshot!(said(user.dhow(&["--compat", "podman", "unshare"])), @"125 Error: no command specified and no $SHELL specified");
    assert_eq!(user.dhow_with(&["unshare"], &[("SHELL", "/bin/false")]).0, Some(1));
    // In there the program works on the same store, as root would, and becomes nobody else once more.
    user.load_image(&[]);
    let dhow = user.path("dhow");
    let dhow = dhow.to_str().expect("a path");
    assert_eq!(user.must(&["unshare", dhow, "unshare", "id", "-u"]), "0\n");
    assert_eq!(user.must(&["unshare", dhow, "images", "-q"]), user.must(&["images", "-q"]));
    user.must(&["unshare", dhow, "unpack", "acme/owned:1", "files"]);
    assert_eq!(owner(&user.path("files/var/www/secret")), FIRST + 33 - 1);
    assert_eq!(user.must(&["unshare", "stat", "-c", "%u", "files/var/www/secret"]), "33\n");
    user.must(&["unshare", "rm", "-r", "files"]);
    assert!(!user.path("files").exists());
}

#[test]
fn without_ranges_there_is_one_user() {
    let Some(user) = User::new(false) else { return };
    assert!(!user.has_ranges);
    assert_eq!(words(&user.must(&["unshare", "cat", "/proc/self/uid_map"])), "0 65534 1");
    user.load_image(&["--unpack=tree"]);
    let found = user.trees();
    let [tree] = found.as_slice() else { panic!("{found:?}") };
    assert!(tree.to_string_lossy().ends_with(".single"), "{tree:?}");
    assert_eq!(owner(&tree.join("root/var/www/secret")), UID);
}

#[test]
fn root_needs_no_unshare() {
    if !peers::is_root() {
        return;
    }
    let scene = dhow_tests::scene::Scene::new();
    assert_snapshot!(scene.podman(&["unshare", "id"]), @r"
    exit 125
    [err]
    Error: please use unshare with rootless
    ");
}

/// As the files of containers: to the users of the image, as far as the caller may give files to others; and they can be removed.
#[test]
fn a_tree_of_the_users_own_users_is_made_shared_and_removed() {
    let Some(user) = User::new(true) else { return };
    user.load_image(&["--unpack=tree"]);
    let found = user.trees();
    let [tree] = found.as_slice() else { panic!("{found:?}") };
    let secret = tree.join("root/var/www/secret");
    assert_eq!((owner(&secret), owner(&tree.join("root/var"))), (FIRST + 33 - 1, UID));
    let inode = fs::metadata(&secret).expect("a file").ino();
    user.must(&["load", "-q", "-i", "image.tar", "--unpack=tree"]);
    assert_eq!(fs::metadata(&secret).expect("a file").ino(), inode, "what is there is not made again");
    user.must(&["system", "check"]);

    // Its maker died: what it left is removed by whoever may.
    fs::rename(tree, format!("{}.part", tree.display())).expect("renamed");
    user.must(&["load", "-q", "-i", "image.tar", "--unpack=tree"]);
    assert_eq!(user.trees().len(), 1, "{:?}", user.trees());
    user.must(&["rmi", "acme/owned:1"]);
    assert_eq!(user.trees(), [] as [PathBuf; 0]);
    let deadline = Instant::now() + Duration::from_secs(60);
    let is_tree = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().starts_with("tree-");
    let left = || fs::read_dir(user.path("store/trash")).expect("the trash").flatten().filter(is_tree).count();
    while left() > 0 {
        assert!(Instant::now() < deadline, "the trash is not emptied");
        std::thread::sleep(Duration::from_millis(20));
    }
}
