//! A stack of layers as one file system, without mounting it: overlayfs's rules.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use dhow_base::{Error, Kind, Result};

use super::format::damaged;
use super::image::{DirectoryEntry, Image};
use super::inode::{Attributes, FileType, Inode, Mtime};
use super::storage::ReadAt;

/// Most symbolic links on the way to a file, as Linux has it.
const LINKS_MAX: u32 = 40;

/// Longest path, links resolved.
const PATH_BYTES_MAX: usize = 64 << 10;

/// The layers, lowest first.
pub struct Union<R> {
    layers: Vec<Arc<Image<R>>>,
}

impl<R> fmt::Debug for Union<R> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Union").field("layers", &self.layers.len()).finish_non_exhaustive()
    }
}

impl<R> Clone for Union<R> {
    fn clone(&self) -> Self {
        Self { layers: self.layers.clone() }
    }
}

/// A file of the union.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnionNode {
    inode: Inode,
    /// The layer of the inode; none for a root that no layer names.
    layer: Option<usize>,
    /// What a directory is merged of, highest first.
    parts: Vec<(usize, Inode)>,
}

/// A name in a directory.
#[derive(Debug)]
pub(super) struct Named {
    pub(super) name: Vec<u8>,
    /// Layer and inode, where no other layer has a part in it.
    place: Option<(usize, u64)>,
}

impl UnionNode {
    /// What it is.
    pub fn inode(&self) -> &Inode {
        &self.inode
    }

    /// Whether it is a directory.
    pub fn is_directory(&self) -> bool {
        self.inode.kind == FileType::Directory
    }

    /// What tells files from each other: equal for the names of one file.
    pub fn identity(&self) -> (usize, u64) {
        (self.layer.unwrap_or(usize::MAX), self.inode.nid)
    }
}

impl<R: ReadAt> Union<R> {
    /// Stacks layers, the lowest first.
    pub fn new(layers: Vec<Arc<Image<R>>>) -> Self {
        Self { layers }
    }

    /// The layers, lowest first.
    pub(super) fn layers(&self) -> &[Arc<Image<R>>] {
        &self.layers
    }

    /// Number of inodes of all layers together, as they say.
    pub fn inodes(&self) -> u64 {
        self.layers.iter().map(|image| image.inodes()).sum()
    }

    /// The root directory. Its attributes are those of the highest layer that names it.
    ///
    /// # Errors
    /// [`Kind::Corrupt`].
    pub fn root(&self) -> Result<UnionNode> {
        let mut parts = Vec::new();
        let mut named = None;
        for (number, image) in self.layers.iter().enumerate().rev() {
            let root = image.root()?;
            if named.is_none() && image.names_root() {
                named = Some((number, root.clone()));
            }
            let is_opaque = image.is_opaque(&root)?;
            parts.push((number, root));
            if is_opaque {
                break;
            }
        }
        let (layer, inode) = match named {
            Some((layer, inode)) => (Some(layer), inode),
            None => (None, unnamed_root()),
        };
        Ok(UnionNode { inode, layer, parts })
    }

    /// The file with a name in a directory.
    ///
    /// # Errors
    /// [`Kind::Corrupt`].
    pub fn child(&self, directory: &UnionNode, name: &[u8]) -> Result<Option<UnionNode>> {
        let mut parts = Vec::new();
        for (layer, inode) in &directory.parts {
            let image = &self.layers[*layer];
            let Some(found) = image.lookup(inode, name)? else { continue };
            if found.is_whiteout() || (found.kind != FileType::Directory && !parts.is_empty()) {
                break;
            }
            if found.kind != FileType::Directory {
                return Ok(Some(UnionNode { inode: found, layer: Some(*layer), parts }));
            }
            let is_opaque = image.is_opaque(&found)?;
            parts.push((*layer, found));
            if is_opaque {
                break;
            }
        }
        if parts.is_empty() { Ok(None) } else { self.merged(parts).map(Some) }
    }

    /// A directory of these parts, highest first. It is what the highest says it is; one of an outline may leave that to those below.
    fn merged(&self, parts: Vec<(usize, Inode)>) -> Result<UnionNode> {
        let (highest, inode) = parts.first().cloned().ok_or_else(|| damaged("a directory of no layer"))?;
        let Inode { mode, uid, gid, mtime, .. } = self.telling(&parts)?.1;
        Ok(UnionNode { inode: Inode { mode, uid, gid, mtime, ..inode }, layer: Some(highest), parts })
    }

    /// The part that says what a directory is like: the highest that is not only implied, else the highest.
    fn telling<'p>(&self, parts: &'p [(usize, Inode)]) -> Result<&'p (usize, Inode)> {
        for part in parts {
            if !self.layers[part.0].is_implied(&part.1)? {
                return Ok(part);
            }
        }
        parts.first().ok_or_else(|| damaged("a directory of no layer"))
    }

    /// The file with an identity; nothing for directories and whiteouts, which say too little alone.
    ///
    /// # Errors
    /// [`Kind::Corrupt`].
    pub fn file(&self, identity: (usize, u64)) -> Result<Option<UnionNode>> {
        let (layer, nid) = identity;
        let Some(image) = self.layers.get(layer) else { return Ok(None) };
        let inode = image.inode(nid)?;
        let is_file = inode.kind != FileType::Directory && !inode.is_whiteout();
        Ok(is_file.then(|| UnionNode { inode, layer: Some(layer), parts: Vec::new() }))
    }

    /// The names in a directory, in the order of their bytes.
    ///
    /// # Errors
    /// [`Kind::Corrupt`].
    pub fn names(&self, directory: &UnionNode) -> Result<Vec<Vec<u8>>> {
        Ok(self.entries(directory)?.into_iter().map(|entry| entry.name).collect())
    }

    /// As [`Union::names`], with where the files are as far as the directories tell.
    pub(super) fn entries(&self, directory: &UnionNode) -> Result<Vec<Named>> {
        if let [(layer, inode)] = directory.parts.as_slice() {
            // Nothing to merge, as in most directories: the names are in order already.
            let mut names = Vec::new();
            self.layers[*layer].read_directory(inode, |entry| {
                if !self.is_whiteout(*layer, &entry)? {
                    names.push(Named { name: entry.name, place: Some((*layer, entry.nid)) });
                }
                Ok(())
            })?;
            return Ok(names);
        }
        // What has a name: nothing, a file of one layer, or what the layers below may have a part in.
        let mut names: BTreeMap<Vec<u8>, Option<Option<(usize, u64)>>> = BTreeMap::new();
        for (layer, inode) in &directory.parts {
            self.layers[*layer].read_directory(inode, |entry| {
                if names.contains_key(&entry.name) {
                    return Ok(());
                }
                let found = match entry.kind {
                    _ if self.is_whiteout(*layer, &entry)? => None,
                    Some(FileType::Directory) | None => Some(None),
                    Some(_) => Some(Some((*layer, entry.nid))),
                };
                names.insert(entry.name, found);
                Ok(())
            })?;
        }
        let named = |(name, found): (Vec<u8>, Option<_>)| found.map(|place| Named { name, place });
        Ok(names.into_iter().filter_map(named).collect())
    }

    fn is_whiteout(&self, layer: usize, entry: &DirectoryEntry) -> Result<bool> {
        match entry.kind {
            Some(FileType::CharDevice) | None => Ok(self.layers[layer].inode(entry.nid)?.is_whiteout()),
            Some(_) => Ok(false),
        }
    }

    /// The file of an entry of a directory.
    pub(super) fn child_at(&self, directory: &UnionNode, entry: &Named) -> Result<Option<UnionNode>> {
        let Some((layer, nid)) = entry.place else { return self.child(directory, &entry.name) };
        let inode = self.layers[layer].inode(nid)?;
        let is_directory = inode.kind == FileType::Directory;
        if is_directory && directory.parts.len() > 1 {
            // The entry said otherwise.
            return self.child(directory, &entry.name);
        }
        if is_directory {
            return self.merged(vec![(layer, inode)]).map(Some);
        }
        Ok(Some(UnionNode { inode, layer: Some(layer), parts: Vec::new() }))
    }

    /// Attributes, those of overlayfs left out.
    ///
    /// # Errors
    /// [`Kind::Corrupt`].
    pub fn attributes(&self, node: &UnionNode) -> Result<Attributes> {
        match node.layer {
            Some(layer) => match node.parts.iter().position(|(part, _)| *part == layer) {
                Some(from) => {
                    let (layer, inode) = self.telling(&node.parts[from..])?;
                    self.layers[*layer].attributes(inode)
                }
                None => self.layers[layer].attributes(&node.inode),
            },
            None => Ok(Attributes { mode: node.inode.mode, ..Attributes::default() }),
        }
    }

    /// Whether a file is the same file of the same layer as one of another union.
    pub fn is_same_file(&self, node: &UnionNode, other: &Self, others: &UnionNode) -> bool {
        let (Some(layer), Some(others_layer)) = (node.layer, others.layer) else { return false };
        let (image, others_image) = (&self.layers[layer], &other.layers[others_layer]);
        // A layer's file has what it has from its tar alone, or else from the layers below as well; an outline never has.
        let are_alike = match (image.is_outline(), others_image.is_outline()) {
            (true, true) => true,
            _ => !image.needs_below() && !others_image.needs_below(),
        };
        are_alike && image.diff_id() == others_image.diff_id() && node.inode.nid == others.inode.nid
    }

    /// Whether the content of a file can be read, which those of [outlines](super::outline()) mostly cannot.
    ///
    /// # Errors
    /// [`Kind::Corrupt`].
    pub fn has_content(&self, node: &UnionNode) -> Result<bool> {
        match (node.layer, node.is_directory()) {
            (Some(layer), false) => self.layers[layer].has_content(&node.inode),
            _ => Ok(true),
        }
    }

    /// Where the data of a file begins in the file of its layer; nothing of one that has none, or has it in several places.
    pub fn data_start(&self, node: &UnionNode) -> Option<u64> {
        node.layer.and_then(|layer| self.layers[layer].data_start(&node.inode))
    }

    /// The layers without the topmost.
    pub fn below(&self) -> Self {
        let below = self.layers.split_last().map_or(&[][..], |(_, below)| below);
        Self { layers: below.to_vec() }
    }

    /// Puts another file of the same layer in the place of one.
    ///
    /// # Errors
    /// [`Kind::Internal`] when there is no such layer.
    pub fn replace(&mut self, layer: usize, image: Arc<Image<R>>) -> Result<()> {
        let known = self.layers.get_mut(layer).filter(|known| known.diff_id() == image.diff_id());
        *known.ok_or_else(|| Error::new(Kind::Internal, "a file of another layer"))? = image;
        Ok(())
    }

    /// Reads a file's data from `offset` on. Returns how much; 0 at the end.
    ///
    /// # Errors
    /// [`Kind::Corrupt`].
    pub fn read(&self, node: &UnionNode, buffer: &mut [u8], offset: u64) -> Result<usize> {
        match (node.layer, node.is_directory()) {
            (Some(layer), false) => self.layers[layer].read(&node.inode, buffer, offset),
            _ => Ok(0),
        }
    }

    /// What a symbolic link says.
    ///
    /// # Errors
    /// [`Kind::Corrupt`]; [`Kind::Invalid`] when it is none.
    pub fn read_link(&self, node: &UnionNode) -> Result<Vec<u8>> {
        match node.layer {
            Some(layer) => self.layers[layer].read_link(&node.inode),
            None => Err(Error::new(Kind::Invalid, "not a symbolic link")),
        }
    }

    /// The file at a path, no symbolic link followed.
    ///
    /// # Errors
    /// [`Kind::Corrupt`].
    pub fn find_exactly(&self, path: &[u8]) -> Result<Option<UnionNode>> {
        let mut node = self.root()?;
        for name in path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
            match self.child(&node, name)? {
                Some(child) => node = child,
                None => return Ok(None),
            }
        }
        Ok(Some(node))
    }

    /// The file at a path. Symbolic links are followed as a process with this root would: never out of it. The last one is
    /// only if `follow_last`. Returns the path without links as well, with no slash before it.
    ///
    /// # Errors
    /// [`Kind::Corrupt`]; [`Kind::Invalid`] for too many links.
    pub fn resolve(&self, path: &[u8], follow_last: bool) -> Result<Option<(Vec<u8>, UnionNode)>> {
        // Where we are, and the way there: `..` goes back on it.
        let mut way: Vec<(Vec<u8>, UnionNode)> = Vec::new();
        let root = self.root()?;
        let mut ahead: Vec<Vec<u8>> = parts(path).rev().collect();
        let must_be_directory = path.ends_with(b"/") || path.ends_with(b"/.");
        let mut links = 0;
        while let Some(name) = ahead.pop() {
            let here = way.last().map_or(&root, |(_, node)| node);
            if !here.is_directory() {
                return Ok(None);
            }
            if name == b".." {
                way.pop();
                continue;
            }
            let Some(child) = self.child(here, &name)? else { return Ok(None) };
            let is_last = ahead.is_empty();
            if child.inode.kind != FileType::Symlink || (is_last && !follow_last && !must_be_directory) {
                way.push((name, child));
                continue;
            }
            links += 1;
            let target = self.read_link(&child)?;
            let ahead_bytes: usize = ahead.iter().map(Vec::len).sum();
            if links > LINKS_MAX || ahead_bytes + target.len() > PATH_BYTES_MAX {
                let message = format!("{:?}: too many levels of symbolic links", String::from_utf8_lossy(path));
                return Err(Error::new(Kind::Invalid, message));
            }
            if target.starts_with(b"/") {
                way.clear();
            }
            ahead.extend(parts(&target).rev());
        }
        let node = way.last().map_or(root, |(_, node)| node.clone());
        if must_be_directory && !node.is_directory() {
            return Ok(None);
        }
        let names: Vec<Vec<u8>> = way.into_iter().map(|(name, _)| name).collect();
        Ok(Some((names.join(&b'/'), node)))
    }
}

/// The names of a path, without those that mean nothing.
fn parts(path: &[u8]) -> impl DoubleEndedIterator<Item = Vec<u8>> {
    path.split(|byte| *byte == b'/').filter(|name| !name.is_empty() && *name != b".").map(<[u8]>::to_vec)
}

/// A root that no layer names.
fn unnamed_root() -> Inode {
    Inode {
        nid: 1,
        kind: FileType::Directory,
        mode: 0o755,
        uid: 0,
        gid: 0,
        mtime: Mtime::default(),
        links: 2,
        size: 0,
        device: (0, 0),
        layout: super::format::DataLayout::Plain,
        union: 0,
        xattr_count: 0,
        own_bytes: super::format::EXTENDED_BYTES,
    }
}
