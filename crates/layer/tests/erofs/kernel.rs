//! The reader against the folder that was archived, and the kernel's EROFS against both.

#![allow(clippy::disallowed_methods, reason = "makes files for other programs to read")]

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use dhow_layer::erofs::{HEAD_BYTES, Union};
use dhow_testkit::peers;

use crate::facts::{assert_same, of_folder, of_union};
use crate::source::{gnu_tar, odd_tree};
use crate::{converted, stacked};

/// A mount that goes with its value.
pub(crate) struct Mount(pub(crate) PathBuf);

impl Mount {
    /// Mounts a layer file over a loop device.
    pub(crate) fn loop_device(image: &Path, folder: &Path) -> io::Result<Self> {
        if !peers::is_root() {
            return Err(io::Error::other("mounting takes root"));
        }
        let mut mount = Command::new("mount");
        let output = mount.args(["-t", "erofs", "-o", "ro,loop"]).arg(image).arg(folder).output()?;
        if !output.status.success() {
            let message = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(io::Error::other(format!("the kernel cannot mount EROFS: {message}")));
        }
        Ok(Self(folder.to_owned()))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn reader_and_kernel_see_what_was_archived() {
    let scratch = tempfile::tempdir().expect("scratch");
    let [source, mount] = ["source", "mount"].map(|name| scratch.path().join(name));
    fs::create_dir(&source).expect("source");
    fs::create_dir(&mount).expect("mount");
    odd_tree(&source);
    let expected = of_folder(&source);
    for arguments in [&["--sparse"][..], &["--sparse", "--sparse-version=0.1"], &[]] {
        let tar = gnu_tar(&source, arguments);
        assert_same(&of_union(&stacked(std::slice::from_ref(&tar))), &expected);
        let (file, converted) = converted(&tar, &()).expect("a layer");
        assert!(!converted.summary.needs_below);
        assert_eq!(converted.tar_bytes, tar.len() as u64);
        assert_eq!(file[HEAD_BYTES as usize..][..tar.len()], tar, "the tar bytes stand in the file as they are");
        let image = scratch.path().join("layer.erofs");
        fs::write(&image, &file).expect("write");
        let Some(mounted) = peers::available(Mount::loop_device(&image, &mount)) else { return };
        assert_same(&of_folder(&mounted.0), &expected);
    }
}

#[test]
fn checkers_of_erofs_utils_find_nothing() {
    // That of Debian 12 (1.5) only reads blocks of 4,096 bytes; from 1.6 on any.
    let fsck = match newer_fsck() {
        Ok(fsck) => fsck,
        // No package of Debian 12 has it: its absence fails nothing.
        Err(error) => return eprintln!("skipped: {error}"),
    };
    let scratch = tempfile::tempdir().expect("scratch");
    let source = scratch.path().join("source");
    fs::create_dir(&source).expect("source");
    odd_tree(&source);
    let (file, _) = converted(&gnu_tar(&source, &["--sparse"]), &()).expect("a layer");
    let image = scratch.path().join("layer.erofs");
    fs::write(&image, &file).expect("write");
    let output = Command::new(fsck).arg(&image).output().expect("fsck");
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
}

fn newer_fsck() -> io::Result<PathBuf> {
    let too_old = || io::Error::other("fsck.erofs 1.6 or newer is not installed");
    let output = Command::new("fsck.erofs").arg("--version").output().map_err(|_| too_old())?;
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    let number = text.split_whitespace().find_map(|word| {
        let mut parts = word.trim_start_matches('v').split('.');
        Some((parts.next()?.parse::<u32>().ok()?, parts.next()?.parse::<u32>().ok()?))
    });
    if number.is_some_and(|number| number >= (1, 6)) { Ok(PathBuf::from("fsck.erofs")) } else { Err(too_old()) }
}

#[test]
fn much_metadata_takes_the_way_over_scratch_files() {
    // Each needs blocks of its own: together more than is held in memory.
    let targets: Vec<String> = (0..1000).map(|number| format!("{number}/").repeat(250)).collect();
    let mut tar = crate::Tar::new();
    for (number, target) in targets.iter().enumerate() {
        tar = tar.symlink(&format!("d{}/l{number}", number % 97), target);
    }
    let union: Union<Vec<u8>> = stacked(&[tar.finish()]);
    let root = union.root().expect("root");
    assert_eq!(union.names(&root).expect("names").len(), 97);
    for number in [0, 500, 999] {
        let path = format!("d{}/l{number}", number % 97);
        let link = union.find_exactly(path.as_bytes()).expect("read").expect("there");
        assert_eq!(union.read_link(&link).expect("link"), targets[number].as_bytes());
    }
}
