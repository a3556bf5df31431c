//! A folder with a file of every kind, and its tar as GNU tar makes it.

#![allow(clippy::disallowed_methods, reason = "makes a folder for other programs to read")]

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, Timespec, Timestamps, Uid, XattrFlags};

use dhow_testkit::peers;

/// Makes the folder. What only root may make is only there as root.
pub(crate) fn odd_tree(root: &Path) {
    files(root);
    names(root);
    links(root);
    attributes(root);
    if peers::is_root() {
        special(root);
    }
    times(root);
}

fn files(root: &Path) {
    for length in [0, 1, 511, 512, 513, 4096, 5000, 1 << 20] {
        let data: Vec<u8> = (0..length).map(|number: usize| (number % 253) as u8).collect();
        fs::write(root.join(format!("file-{length}")), data).expect("file");
    }
    let sparse = fs::File::create(root.join("sparse")).expect("sparse");
    sparse.set_len(3 << 20).expect("length");
    for offset in [0, 70_000, 1 << 20, (3 << 20) - 100] {
        sparse.write_all_at(b"some data", offset).expect("data");
    }
    fs::File::create(root.join("hole")).expect("hole").set_len(5 << 20).expect("length");
}

fn names(root: &Path) {
    let large = root.join("large");
    fs::create_dir(&large).expect("large");
    for number in 0..700 {
        fs::write(large.join(format!("entry-{number:04}-{}", "x".repeat(number % 40))), b"").expect("entry");
    }
    let odd = root.join("odd names");
    fs::create_dir(&odd).expect("odd");
    for name in [&b"-a"[..], b"!b", b".hidden", b".-x", b"...", b"..z", b"\xff\xfe", b"new\nline", b"~"] {
        fs::write(odd.join(OsStr::from_bytes(name)), name).expect("odd name");
    }
    fs::write(odd.join("n".repeat(255)), b"long").expect("long name");
    fs::create_dir_all(root.join("a/b/c/d/e/f/g/h")).expect("deep");
    fs::create_dir(root.join("empty")).expect("empty");
}

fn links(root: &Path) {
    for length in [1, 100, 419, 447, 448, 480, 481, 512, 1000, 4000] {
        symlink("t/".repeat(length / 2) + &"t".repeat(length % 2), root.join(format!("link-{length}"))).expect("link");
    }
    fs::write(root.join("one"), b"three names").expect("one");
    fs::hard_link(root.join("one"), root.join("two")).expect("two");
    fs::hard_link(root.join("one"), root.join("a/three")).expect("three");
    fs::hard_link(root.join("sparse"), root.join("a/sparse too")).expect("sparse");
}

fn attributes(root: &Path) {
    let mode = |name: &str, mode| fs::set_permissions(root.join(name), fs::Permissions::from_mode(mode)).expect("mode");
    mode("file-1", 0o4755);
    mode("file-511", 0o2710);
    mode("empty", 0o1777);
    mode("file-513", 0);
    // Whatever the file system takes: not all have attributes.
    for (name, value) in [("user.short", vec![1]), ("user.long", vec![b'v'; 2500])] {
        let _ = rustix::fs::setxattr(root.join("file-512"), name, &value, XattrFlags::empty());
        let _ = rustix::fs::setxattr(root.join("a"), name, &value, XattrFlags::empty());
    }
}

fn special(root: &Path) {
    let make = |name: &str, kind, device| {
        rustix::fs::mknodat(CWD, root.join(name), kind, Mode::from(0o640), device).expect("special file");
    };
    make("fifo", FileType::Fifo, 0);
    make("null", FileType::CharacterDevice, rustix::fs::makedev(1, 3));
    make("block", FileType::BlockDevice, rustix::fs::makedev(259, 70_000));
    let own = |name: &str, uid, gid| {
        let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
        rustix::fs::chownat(CWD, root.join(name), Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW).expect("owner");
    };
    own("file-4096", 1000, 65_534);
    own("link-100", 70_000, 4_000_000_000);
    own("a", 12, 34);
    // A capability (VFS_CAP_REVISION_2) and an access list, as the kernel keeps them.
    let capability = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let _ = rustix::fs::setxattr(root.join("file-5000"), "security.capability", &capability, XattrFlags::empty());
    let _ = rustix::fs::setxattr(root.join("file-5000"), "trusted.mine", b"x", XattrFlags::empty());
}

fn times(root: &Path) {
    for (number, name) in (0_i64..).zip(["file-0", "file-512", "one", "link-1", "a/b"]) {
        let seconds = [1_234_567_890, -1, 0, 4_294_967_296, 978_307_200][number as usize];
        let time = Timespec { tv_sec: seconds, tv_nsec: 123_456_789 };
        let times = Timestamps { last_access: time, last_modification: time };
        rustix::fs::utimensat(CWD, root.join(name), &times, AtFlags::SYMLINK_NOFOLLOW).expect("time");
    }
}

/// The folder's tar with all that GNU tar can say of it.
pub(crate) fn gnu_tar(root: &Path, arguments: &[&str]) -> Vec<u8> {
    let options = ["--format=posix", "--xattrs", "--xattrs-include=*", "--acls", "--sort=name"];
    let output = Command::new("tar").args(options).args(arguments).arg("-C").arg(root).args(["-cf", "-", "."]).output();
    let output = output.expect("tar runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}
