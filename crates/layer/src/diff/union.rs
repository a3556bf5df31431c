//! The files of an image into an archive, read out of its unpacked layers.

use std::collections::HashMap;
use std::io::Write;

use dhow_base::beneath::{FileKind, Stat};
use dhow_base::{Error, Kind, Result};

use super::Written;
use super::node::Node;
use super::writer::TarWriter;
use crate::erofs::{Attributes, FileType, ReadAt, Union, UnionNode, Visit, Xattr};
use crate::tar::RelativePath;

/// Writes all files of a union, without an entry for the root, as [`write_tree`](super::write_tree) writes the tree that they
/// would make on disk; returns the bytes written. Owners, devices and attributes are as the layers have them, whoever calls.
///
/// # Errors
/// [`Kind::Corrupt`] for damaged layer files; those of writing; [`Kind::Invalid`] for a name that means a removal in a layer.
pub fn write_union<R: ReadAt>(union: &Union<R>, output: impl Write) -> Result<u64> {
    write_union_at(union, &union.root()?, None, output).map(|written| written.bytes)
}

/// Writes one file of a union, with all that is below it, as if it were called `shown`, which may be `.` and `/`, too; without `shown`,
/// what is in that directory alone. So [`write_named`](super::write_named) writes what is on disk.
///
/// # Errors
/// As [`write_union`].
pub fn write_union_at<R: ReadAt>(
    union: &Union<R>,
    top: &UnionNode,
    shown: Option<&[u8]>,
    output: impl Write,
) -> Result<Written> {
    let mut walk = Walk { union, writer: TarWriter::new(output), first_names: HashMap::new() };
    walk.writer.call_top(shown.unwrap_or_default());
    let name = shown.map(|shown| if matches!(shown, b"." | b"/") { b"" } else { shown });
    if let Some(name) = name {
        walk.add(name, top)?;
    }
    if top.is_directory() {
        let above = name.filter(|name| !name.is_empty()).map(|name| [name, b"/"].concat()).unwrap_or_default();
        union.walk(top, |path, found| {
            walk.add(&[above.as_slice(), path].concat(), found)?;
            Ok(Visit::Enter)
        })?;
    }
    walk.writer.written()
}

struct Walk<'u, R, W> {
    union: &'u Union<R>,
    writer: TarWriter<W>,
    /// Files with several names, by the first one that the walk met.
    first_names: HashMap<(usize, u64), RelativePath>,
}

impl<R: ReadAt, W: Write> Walk<'_, R, W> {
    fn add(&mut self, path: &[u8], found: &UnionNode) -> Result<()> {
        let path = RelativePath::parse(path).map_err(|error| Error::new(Kind::Corrupt, error.to_string()))?;
        if path.name().is_some_and(|name| name.starts_with(b".wh.")) {
            let message = format!("{path:?} cannot be in an archive: names that begin with .wh. stand for removals");
            return Err(Error::new(Kind::Invalid, message));
        }
        let node = describe(self.union, path, found)?;
        if !found.is_directory() && found.inode().links > 1 {
            if let Some(first) = self.first_names.get(&found.identity()) {
                return self.writer.link(&node, first);
            }
            self.first_names.insert(found.identity(), node.path.clone());
        }
        self.writer.node(&node, None)?;
        match node.kind() {
            FileKind::File => {
                self.writer.stream(node.stat.size, |buffer, offset| self.union.read(found, buffer, offset))
            }
            _ => Ok(()),
        }
    }
}

/// What stat(2) would say of a file if the union were mounted, and its extended attributes.
///
/// # Errors
/// [`Kind::Corrupt`].
pub fn stat<R: ReadAt>(union: &Union<R>, found: &UnionNode) -> Result<(Stat, Vec<Xattr>)> {
    let inode = found.inode();
    let Attributes { mode, uid, gid, mtime, xattrs } = union.attributes(found)?;
    let kind = match inode.kind {
        FileType::File => FileKind::File,
        FileType::Directory => FileKind::Directory,
        FileType::Symlink => FileKind::Symlink,
        FileType::CharDevice => FileKind::CharDevice,
        FileType::BlockDevice => FileKind::BlockDevice,
        FileType::Fifo => FileKind::Fifo,
        FileType::Socket => FileKind::Socket,
    };
    let stat = Stat {
        kind,
        mode,
        uid,
        gid,
        size: inode.size,
        allocated_bytes: 0,
        modified: (mtime.seconds, mtime.nanoseconds),
        identity: (0, inode.nid),
        links: u64::from(inode.links),
        device: inode.device,
    };
    Ok((stat, xattrs))
}

fn describe<R: ReadAt>(union: &Union<R>, path: RelativePath, found: &UnionNode) -> Result<Node> {
    let (stat, xattrs) = stat(union, found)?;
    let target = if stat.kind == FileKind::Symlink { union.read_link(found)? } else { Vec::new() };
    let mut xattrs: Vec<(Vec<u8>, Vec<u8>)> = xattrs.into_iter().map(|xattr| (xattr.name, xattr.value)).collect();
    xattrs.sort();
    Ok(Node { path, stat, target, xattrs, is_opaque: false, is_incomplete: false, is_written: true })
}
