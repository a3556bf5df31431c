//! What there is to know of the files of a tree, by path.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use dhow_layer::erofs::{FileType, ReadAt, Union, Visit};
use dhow_spec::Digest;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    pub mode: u32,
    pub owner: (u32, u32),
    pub mtime: (i64, i64),
    /// Of what is no directory.
    pub links: u64,
    pub device: (u32, u32),
    /// Digest of the data, or the target of a link.
    pub content: String,
    pub xattrs: BTreeMap<String, Vec<u8>>,
    /// The first path of the same file.
    pub same_as: Vec<u8>,
}

pub(crate) type Tree = BTreeMap<Vec<u8>, Facts>;

/// Of a folder on disk or a mount.
pub(crate) fn of_folder(root: &Path) -> Tree {
    let mut tree = Tree::new();
    let mut firsts = BTreeMap::new();
    let mut open = vec![root.to_owned()];
    while let Some(folder) = open.pop() {
        let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
        for entry in entries {
            let path = entry.expect("an entry").path();
            let metadata = fs::symlink_metadata(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
            let kind = metadata.file_type();
            let content = if kind.is_symlink() {
                format!("{:?}", fs::read_link(&path).expect("link"))
            } else if kind.is_file() {
                Digest::sha256(&fs::read(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"))).to_string()
            } else {
                String::new()
            };
            let is_device = kind.is_char_device() || kind.is_block_device();
            let device = if is_device { metadata.rdev() } else { 0 };
            let name = path.strip_prefix(root).expect("below").as_os_str().as_bytes().to_vec();
            let facts = Facts {
                mode: metadata.mode(),
                owner: (metadata.uid(), metadata.gid()),
                mtime: (metadata.mtime(), metadata.mtime_nsec()),
                links: if kind.is_dir() { 0 } else { metadata.nlink() },
                device: (rustix::fs::major(device), rustix::fs::minor(device)),
                content,
                xattrs: xattrs(&path),
                same_as: name.clone(),
            };
            firsts.entry(metadata.ino()).or_insert_with(Vec::new).push(name.clone());
            tree.insert(name, facts);
            if kind.is_dir() {
                open.push(path);
            }
        }
    }
    group(&mut tree, firsts.into_values());
    tree
}

fn group(tree: &mut Tree, groups: impl Iterator<Item = Vec<Vec<u8>>>) {
    for mut names in groups {
        names.sort();
        for name in &names {
            tree.get_mut(name).expect("seen").same_as.clone_from(&names[0]);
        }
    }
}

fn xattrs(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut names = vec![0; 1 << 16];
    let length = rustix::fs::llistxattr(path, &mut names).unwrap_or_else(|error| panic!("{path:?}: {error}"));
    let names = names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty());
    let value = |name: &[u8]| {
        let mut value = vec![0; 1 << 16];
        let length = rustix::fs::lgetxattr(path, OsString::from_vec(name.to_vec()), &mut value).expect("value");
        value.truncate(length);
        (String::from_utf8_lossy(name).into_owned(), value)
    };
    names.map(value).collect()
}

/// Of a union, by the reader.
pub(crate) fn of_union<R: ReadAt>(union: &Union<R>) -> Tree {
    let mut tree = Tree::new();
    let mut groups: BTreeMap<(usize, u64), Vec<Vec<u8>>> = BTreeMap::new();
    let root = union.root().expect("root");
    union
        .walk(&root, |path, node| {
            let inode = node.inode();
            let content = match inode.kind {
                FileType::Symlink => format!("{:?}", OsString::from_vec(union.read_link(node)?)),
                FileType::File => {
                    let mut data = vec![0; usize::try_from(inode.size).expect("small")];
                    let mut read = 0;
                    while read < data.len() {
                        read += union.read(node, &mut data[read..], read as u64)?;
                    }
                    Digest::sha256(&data).to_string()
                }
                _ => String::new(),
            };
            let attributes = union.attributes(node)?;
            let xattrs = attributes.xattrs.into_iter();
            let facts = Facts {
                mode: inode.kind.mode_bits() | attributes.mode,
                owner: (attributes.uid, attributes.gid),
                mtime: (attributes.mtime.seconds, i64::from(attributes.mtime.nanoseconds)),
                links: if node.is_directory() { 0 } else { u64::from(inode.links) },
                device: inode.device,
                content,
                xattrs: xattrs.map(|xattr| (String::from_utf8_lossy(&xattr.name).into_owned(), xattr.value)).collect(),
                same_as: path.to_vec(),
            };
            groups.entry(node.identity()).or_default().push(path.to_vec());
            tree.insert(path.to_vec(), facts);
            Ok(Visit::Enter)
        })
        .expect("walk");
    group(&mut tree, groups.into_values());
    tree
}

/// Compares two trees and names the first difference.
pub(crate) fn assert_same(found: &Tree, expected: &Tree) {
    for (path, facts) in expected {
        assert_eq!(found.get(path), Some(facts), "{:?}", String::from_utf8_lossy(path));
    }
    for path in found.keys() {
        assert!(expected.contains_key(path), "{:?} is too much", String::from_utf8_lossy(path));
    }
}
