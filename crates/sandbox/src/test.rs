//! Layer files for tests, and the test that every way to mount them shows the same.

#![allow(clippy::disallowed_methods, reason = "tries to write where nothing may be written")]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use dhow_base::Result;
use dhow_base::fs as durable;
use dhow_layer::erofs::{FileStorage, Image, Union, Workspace, convert};
use dhow_spec::Digest;
use dhow_testkit::peers;

use crate::fuse::session;
use crate::layers::{Backing, mount_layers, unmount};

/// An entry of a layer.
pub(crate) enum Entry<'a> {
    Directory(&'a str),
    File(&'a str, &'a [u8]),
    HardLink(&'a str, &'a str),
    Symlink(&'a str, &'a str),
}

/// Makes layer files, the lowest first.
pub(crate) fn layers(folder: &Path, layers: &[&[Entry<'_>]]) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = Vec::new();
    for entries in layers {
        let tar = archive(entries);
        let path = folder.join(format!("{}.erofs", paths.len()));
        let file = durable::open_or_create(&path).expect("a file");
        let scratch: &dyn Fn() -> Result<FileStorage> =
            &|| Ok(FileStorage::new(tempfile::tempfile().expect("a scratch file"), Path::new("scratch")));
        let below = union(&paths);
        let mut target = FileStorage::new(file, &path);
        convert(&*tar, &Digest::sha256(&tar), Workspace { target: &mut target, scratch, below: &below })
            .expect("a layer");
        paths.push(path);
    }
    paths
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
                _ => fs::read(&path).expect("content"),
            };
            let name = path.strip_prefix(root).expect("below").display().to_string();
            let (mode, uid, gid, time) = (metadata.mode(), metadata.uid(), metadata.gid(), metadata.mtime());
            let hash = Digest::sha256(&content);
            found.insert(name, format!("{mode:o} {uid}:{gid} {time} {} {hash}", content.len()));
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
    let differ: Vec<_> = seen[0].iter().filter(|(name, facts)| seen[2].get(*name) != Some(facts)).collect();
    assert!(differ.is_empty() && seen[0].len() == seen[2].len(), "over FUSE: {differ:?}");
}
