//! `diff`: which files differ between two images, or between an image and what its last layer lies on.

use std::fs::File;

use dhow_base::Result;
use dhow_layer::erofs::{FileType, Union, UnionNode};

use crate::context::Context;
use crate::rootfs::{FileKind, RootFs, absolute, below};

/// What happened to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Only the second has it.
    Added,
    /// Both have it, differently.
    Changed,
    /// Only the first has it.
    Deleted,
}

impl Change {
    /// Docker's letter.
    pub fn letter(self) -> char {
        match self {
            Self::Added => 'A',
            Self::Changed => 'C',
            Self::Deleted => 'D',
        }
    }
}

/// One file that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// What happened.
    pub change: Change,
    /// Its path from the root, with the first slash.
    pub path: Vec<u8>,
    /// What it is: in the second, or in the first if it is only there.
    pub kind: FileKind,
    /// Bytes of content in the first; none if it is not there.
    pub size_before: Option<u64>,
    /// Bytes of content in the second; none if it is not there.
    pub size_after: Option<u64>,
}

/// Calls `each` with what differs, names in the order of their bytes. Without `second`, the first image is compared with
/// what it is without its last layer. Differing times alone are no difference: rebuilding an image changes them all.
///
/// # Errors
/// Those of finding and unpacking the images, and those of `each`.
pub fn diff(
    context: &Context,
    first: &str,
    second: Option<&str>,
    mut each: impl FnMut(Difference) -> Result<()>,
) -> Result<()> {
    let mut after = RootFs::look(context, second.unwrap_or(first))?;
    let mut before = if second.is_some() { RootFs::look(context, first)? } else { after.below() };
    if second.is_some() && before.id == after.id {
        return Ok(());
    }
    let (before_root, after_root) = (before.union.root()?, after.union.root()?);
    let buffers = [vec![0; CHUNK], vec![0; CHUNK]];
    let mut comparison = Comparison { before: &mut before, after: &mut after, each: &mut each, buffers };
    comparison.run(&before_root, &after_root)
}

/// Bytes that are compared at once.
const CHUNK: usize = 128 << 10;

struct Comparison<'a> {
    before: &'a mut RootFs,
    after: &'a mut RootFs,
    each: &'a mut dyn FnMut(Difference) -> Result<()>,
    buffers: [Vec<u8>; 2],
}

/// Something that is left to compare.
struct Pair {
    path: Vec<u8>,
    before: Option<UnionNode>,
    after: Option<UnionNode>,
}

impl Comparison<'_> {
    fn run(&mut self, before: &UnionNode, after: &UnionNode) -> Result<()> {
        // Directories nest deeply: no recursion.
        let mut open = self.inside(b"", Some(before), Some(after))?;
        while let Some(Pair { path, before, after }) = open.pop() {
            self.compare(&path, before.as_ref(), after.as_ref())?;
            let directory = |node: Option<UnionNode>| node.filter(UnionNode::is_directory);
            let (before, after) = (directory(before), directory(after));
            if before.is_some() || after.is_some() {
                open.extend(self.inside(&path, before.as_ref(), after.as_ref())?);
            }
        }
        Ok(())
    }

    /// What is in two directories, last name first.
    fn inside(&self, path: &[u8], before: Option<&UnionNode>, after: Option<&UnionNode>) -> Result<Vec<Pair>> {
        let list =
            |union: &Union<File>, node: Option<&UnionNode>| node.map_or(Ok(Vec::new()), |node| union.names(node));
        let mut names = list(&self.before.union, before)?;
        names.extend(list(&self.after.union, after)?);
        names.sort();
        names.dedup();
        let child = |union: &Union<File>, node: Option<&UnionNode>, name: &[u8]| match node {
            Some(node) => union.child(node, name),
            None => Ok(None),
        };
        let mut pairs = Vec::with_capacity(names.len());
        for name in names.iter().rev() {
            let before = child(&self.before.union, before, name)?;
            let after = child(&self.after.union, after, name)?;
            pairs.push(Pair { path: below(path, name), before, after });
        }
        Ok(pairs)
    }

    fn compare(&mut self, path: &[u8], before: Option<&UnionNode>, after: Option<&UnionNode>) -> Result<()> {
        let change = match (before, after) {
            (Some(before), Some(after)) if self.are_equal(before, after)? => return Ok(()),
            (Some(_), Some(_)) => Change::Changed,
            (None, Some(_)) => Change::Added,
            (Some(_), None) => Change::Deleted,
            (None, None) => return Ok(()),
        };
        let size = |node: &UnionNode| if node.inode().kind == FileType::File { node.inode().size } else { 0 };
        let kind = after.or(before).map_or(FileType::File, |node| node.inode().kind);
        (self.each)(Difference {
            change,
            path: absolute(path),
            kind: FileKind::of(kind),
            size_before: before.map(size),
            size_after: after.map(size),
        })
    }

    fn are_equal(&mut self, before: &UnionNode, after: &UnionNode) -> Result<bool> {
        let (old, new) = (before.inode(), after.inode());
        if old.kind != new.kind || old.device != new.device {
            return Ok(false);
        }
        let (old_union, new_union) = (&self.before.union, &self.after.union);
        let (old_attributes, new_attributes) = (old_union.attributes(before)?, new_union.attributes(after)?);
        let same = |a: &dhow_layer::erofs::Attributes, b: &dhow_layer::erofs::Attributes| {
            (a.mode, a.uid, a.gid, &a.xattrs) == (b.mode, b.uid, b.gid, &b.xattrs)
        };
        if !same(&old_attributes, &new_attributes) {
            return Ok(false);
        }
        match old.kind {
            FileType::Symlink => Ok(old_union.read_link(before)? == new_union.read_link(after)?),
            FileType::File if old.size != new.size => Ok(false),
            FileType::File if old_union.is_same_file(before, new_union, after) => Ok(true),
            FileType::File => self.have_equal_content(before, after),
            _ => Ok(true),
        }
    }

    fn have_equal_content(&mut self, before: &UnionNode, after: &UnionNode) -> Result<bool> {
        self.before.fetch(before)?;
        self.after.fetch(after)?;
        let [old, new] = &mut self.buffers;
        let mut offset = 0;
        while offset < before.inode().size {
            let read = self.before.union.read(before, old, offset)?;
            let mut other = 0;
            while other < read {
                let more = self.after.union.read(after, &mut new[other..read], offset + other as u64)?;
                if more == 0 {
                    return Ok(false);
                }
                other += more;
            }
            if read == 0 || old[..read] != new[..read] {
                return Ok(false);
            }
            offset += read as u64;
        }
        Ok(true)
    }
}
