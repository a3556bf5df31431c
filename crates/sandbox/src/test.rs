//! Layer files for tests, and the test that every way to mount them shows the same.

#![allow(clippy::disallowed_methods, reason = "tries to write where nothing may be written")]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::thread;

use dhow_base::Result;
use dhow_base::beneath::xattrs;
use dhow_base::fs as durable;
use dhow_layer::erofs::{FileStorage, Image, Union, Workspace, convert, is_stack_of, write_stack};
use dhow_spec::Digest;
use dhow_testkit::peers;

use crate::fuse::session;
use crate::layers::{Backing, mount_layers, mount_stack, unmount};

/// An entry of a layer.
pub(crate) enum Entry<'a> {
    Directory(&'a str),
    File(&'a str, &'a [u8]),
    HardLink(&'a str, &'a str),
    Symlink(&'a str, &'a str),
}

/// Makes layer files, the lowest first.
pub(crate) fn layers(folder: &Path, layers: &[&[Entry<'_>]]) -> Vec<PathBuf> {
    layers_of(folder, &layers.iter().map(|entries| archive(entries)).collect::<Vec<_>>())
}

/// Makes layer files of tars, the lowest first.
fn layers_of(folder: &Path, tars: &[Vec<u8>]) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = Vec::new();
    for tar in tars {
        let path = folder.join(format!("{}.erofs", paths.len()));
        let file = durable::open_or_create(&path).expect("a file");
        let scratch: &dyn Fn() -> Result<FileStorage> =
            &|| Ok(FileStorage::new(tempfile::tempfile().expect("a scratch file"), Path::new("scratch")));
        let below = union(&paths);
        let mut target = FileStorage::new(file, &path);
        convert(&**tar, &Digest::sha256(tar), Workspace { target: &mut target, scratch, below: &below })
            .expect("a layer");
        paths.push(path);
    }
    paths
}

/// Makes the file of a stack.
fn stack(folder: &Path, layers: &[PathBuf]) -> PathBuf {
    let path = folder.join("stack.erofs");
    let scratch: &dyn Fn() -> Result<FileStorage> =
        &|| Ok(FileStorage::new(tempfile::tempfile().expect("a scratch file"), Path::new("scratch")));
    let union = union(layers);
    let mut target = FileStorage::new(durable::open_or_create(&path).expect("a file"), &path);
    write_stack(&union, &Digest::sha256(b"stack"), &mut target, scratch).expect("a stack");
    let file = target.into_file();
    assert!(is_stack_of(&file, &union).expect("readable"));
    assert!(Image::open(file).is_err(), "it is no layer");
    path
}

/// Layer files as one file system.
pub(crate) fn union(paths: &[PathBuf]) -> Union<File> {
    let image = |path: &PathBuf| Arc::new(Image::open(File::open(path).expect("its file")).expect("a layer"));
    Union::new(paths.iter().map(image).collect())
}

fn archive(entries: &[Entry<'_>]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (number, entry) in entries.iter().enumerate() {
        let mut header = tar::Header::new_gnu();
        header.set_mtime(1_700_000_000 + number as u64);
        header.set_uid(7);
        header.set_gid(8);
        header.set_mode(0o644);
        header.set_size(0);
        let mut link = |kind, path: &str, target: &str| {
            header.set_entry_type(kind);
            builder.append_link(&mut header, path, target)
        };
        match entry {
            Entry::HardLink(path, target) => link(tar::EntryType::Link, path, target),
            Entry::Symlink(path, target) => link(tar::EntryType::Symlink, path, target),
            Entry::Directory(path) => {
                header.set_entry_type(tar::EntryType::Directory);
                header.set_mode(0o755);
                builder.append_data(&mut header, path, &b""[..])
            }
            Entry::File(path, data) => {
                header.set_size(data.len() as u64);
                builder.append_data(&mut header, path, *data)
            }
        }
        .expect("an entry");
    }
    builder.into_inner().expect("an archive")
}

/// What is below a directory: type and mode, owner, time, content.
fn listing(root: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut pending = vec![root.to_owned()];
    while let Some(directory) = pending.pop() {
        for entry in fs::read_dir(&directory).expect("a directory") {
            let path = entry.expect("an entry").path();
            let metadata = path.symlink_metadata().expect("metadata");
            let content = match metadata.file_type() {
                kind if kind.is_dir() => {
                    pending.push(path.clone());
                    Vec::new()
                }
                kind if kind.is_symlink() => {
                    fs::read_link(&path).expect("a link").into_os_string().into_encoded_bytes()
                }
                kind if kind.is_file() => fs::read(&path).expect("content"),
                _ => Vec::new(),
            };
            let name = path.strip_prefix(root).expect("below").display().to_string();
            let (mode, uid, gid, time) = (metadata.mode(), metadata.uid(), metadata.gid(), metadata.mtime());
            let (nanoseconds, device) = (metadata.mtime_nsec(), metadata.rdev());
            // Overlayfs has its own count for directories.
            let links = if metadata.is_dir() { 0 } else { metadata.nlink() };
            let hash = Digest::sha256(&content);
            let has_xattrs = metadata.is_file() || metadata.is_dir();
            let xattrs =
                if has_xattrs { xattrs(File::open(&path).expect("it opens")).expect("xattrs") } else { Vec::new() };
            let facts =
                format!("{mode:o} {uid}:{gid} {time}.{nanoseconds} {device:x} {links} {} {hash}", content.len());
            found.insert(name, format!("{facts} {xattrs:?}"));
        }
    }
    found
}

fn may_mount() -> io::Result<()> {
    match peers::is_root() {
        true => Ok(()),
        false => Err(io::Error::other("the kernel's mounts take root")),
    }
}

#[test]
fn the_file_itself_a_loop_device_and_fuse_show_the_same() {
    if peers::available(may_mount()).is_none() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let large: Vec<u8> = (0..3_000_000_u32).map(|number| (number / 7) as u8).collect();
    let many: Vec<String> = (0..3000).map(|number| format!("many/file-with-a-longer-name-{number}")).collect();
    let mut base = vec![
        Entry::Directory("d"),
        Entry::File("d/large", &large),
        Entry::HardLink("d/linked", "d/large"),
        Entry::File("d/gone", b"x"),
        Entry::Symlink("s", "d/large"),
        Entry::Directory("opaque"),
        Entry::File("opaque/hidden", b"x"),
        Entry::Directory("many"),
    ];
    base.extend(many.iter().map(|name| Entry::File(name, b"")));
    let upper = [
        Entry::Directory("."),
        Entry::Directory("d"),
        Entry::File("d/.wh.gone", b""),
        Entry::File("d/new", b"new"),
        Entry::File("opaque/.wh..wh..opq", b""),
        Entry::File("opaque/shown", b"y"),
        // A whiteout of nothing, in a directory that only this layer has.
        Entry::File("own/.wh.nothing", b""),
        Entry::File("own/file", b""),
    ];
    let layers = layers(folder.path(), &[&base, &upper]);
    let (work, target) = (folder.path().join("work"), folder.path().join("target"));
    for path in [&work, &target] {
        durable::create_dir_all(path).expect("a folder");
    }
    let mut seen = Vec::new();
    for backing in [Backing::Any, Backing::Loop] {
        mount_layers(&layers, &work, &target, backing).unwrap_or_else(|error| panic!("{backing:?}: {error}"));
        seen.push(listing(&target));
        unmount(&target, false).unwrap_or_else(|error| panic!("{backing:?}: {error}"));
    }
    mount_stack(&stack(folder.path(), &layers), &layers, &target).expect("a stack");
    let of_stack = listing(&target);
    unmount(&target, false).expect("unmounts");
    assert!(of_stack == seen[0], "{:?}", differences(&of_stack, &seen[0]));
    let files = layers.iter().map(|path| File::open(path).expect("a layer")).collect();
    let session = session(files, &target).expect("a FUSE mount");
    let serving = thread::spawn(|| session.run());
    seen.push(listing(&target));
    assert!(fs::write(target.join("d/new"), "changed").is_err());
    assert!(!target.join("nothing").exists() && !target.join("nothing").exists());
    unmount(&target, false).expect("unmounts");
    serving.join().expect("no panic").expect("a clean end");
    assert_eq!(seen[0].len(), 3010);
    assert!(seen[0].contains_key("opaque/shown") && !seen[0].contains_key("opaque/hidden"));
    assert!(seen[0] == seen[1], "over a loop device");
    assert!(seen[0] == seen[2], "over FUSE: {:?}", differences(&seen[0], &seen[2]));
}

fn differences<'l>(a: &'l BTreeMap<String, String>, b: &'l BTreeMap<String, String>) -> Vec<(&'l String, &'l String)> {
    let missing = |from: &'l BTreeMap<String, String>, other: &'l BTreeMap<String, String>| {
        from.iter().filter(|(name, facts)| other.get(*name) != Some(facts)).collect::<Vec<_>>()
    };
    [missing(a, b), missing(b, a)].concat()
}

/// GNU tar's archive of a folder with something of every kind.
fn odd_tar(folder: &Path) -> Vec<u8> {
    let root = folder.join("odd");
    fs::create_dir_all(root.join("d/e")).expect("folders");
    let sparse = File::create(root.join("d/sparse")).expect("a file");
    sparse.set_len(3 << 20).expect("a length");
    for offset in [0, 70_000, (3 << 20) - 100] {
        std::os::unix::fs::FileExt::write_all_at(&sparse, b"some data", offset).expect("data");
    }
    fs::hard_link(root.join("d/sparse"), root.join("linked")).expect("a link");
    fs::write(root.join("d/file"), vec![b'x'; 5000]).expect("a file");
    std::os::unix::fs::symlink("t".repeat(900), root.join("long link")).expect("a link");
    std::os::unix::fs::lchown(root.join("d/file"), Some(70_000), Some(4_000_000_000)).expect("an owner");
    // Not all file systems have attributes.
    let _ = dhow_base::beneath::set_xattr(File::open(root.join("d/sparse")).expect("it"), b"user.long", &[b'v'; 2500]);
    let mut made = Command::new("sh");
    made.arg("-c").arg("mknod null c 1 3 && mkfifo d/fifo && chmod 4711 d/fifo").current_dir(&root);
    assert!(made.status().expect("sh runs").success());
    let mut tar = Command::new("tar");
    tar.args(["--format=posix", "--sparse", "--xattrs", "--xattrs-include=*", "--sort=name", "-C"]).arg(&root);
    let output = tar.args(["-cf", "-", "."]).output().expect("tar runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

#[test]
fn a_stack_shows_what_overlayfs_does() {
    if peers::available(may_mount()).is_none() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let mut tars = vec![odd_tar(folder.path())];
    let names: Vec<String> = (0..45).map(|number| format!("d/e/{number}")).collect();
    for (number, name) in names.iter().enumerate() {
        // Each adds a file, takes the place of one, and removes what another one has added.
        let gone = format!("d/e/.wh.{}", number / 2);
        let mut entries = vec![Entry::File(name, name.as_bytes()), Entry::File("d/file", name.as_bytes())];
        if number % 3 == 2 {
            entries.push(Entry::File(&gone, b""));
        }
        tars.push(archive(&entries));
    }
    tars.push(archive(&[Entry::Directory("."), Entry::HardLink("d/again", "linked")]));
    let layers = layers_of(folder.path(), &tars);
    let (work, target) = (folder.path().join("work"), folder.path().join("target"));
    for path in [&work, &target] {
        durable::create_dir_all(path).expect("a folder");
    }
    mount_layers(&layers, &work, &target, Backing::Any).expect("overlayfs");
    let mut expected = listing(&target);
    unmount(&target, false).expect("unmounts");
    // Overlayfs counts the names that the file has in its layer, the stack those that it shows: the other one is hidden.
    let sparse = expected.get_mut("d/sparse").expect("a sparse file");
    assert!(sparse.contains(" 0 2 3145728 "), "{sparse}");
    *sparse = sparse.replacen(" 0 2 3145728 ", " 0 1 3145728 ", 1);
    mount_stack(&stack(folder.path(), &layers), &layers, &target).expect("a stack");
    let found = listing(&target);
    unmount(&target, false).expect("unmounts");
    assert!(expected.len() > 30 && expected.contains_key("d/again"), "{expected:?}");
    assert!(found == expected, "{:?}", differences(&found, &expected));
}
