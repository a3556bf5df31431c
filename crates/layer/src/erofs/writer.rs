//! Notes the entries of a layer while its tar passes.

use std::fmt;

use dhow_base::{Error, Kind, Result};
use dhow_spec::Digest;

use super::below::Below;
use super::format::{BLOCK_BYTES, DataLayout, HEAD_BYTES, SLOT_BYTES};
use super::inode::{Attributes, FileType, Mtime, Record, encode_device};
use super::ranges::Ranges;
use super::sparse::{self, PARTS_MAX, Sparse, TABLES_BYTES_MAX};
use super::spill::Spill;
use super::storage::Storage;
use super::tree::{BORROWED, NodeId, NodeKind, OPAQUE, ROOT, SHARED, Tree};
use super::union::UnionNode;
use super::xattr::{self, Marks};
use crate::tar::split;

/// Data up to so many bytes is kept behind its inode.
const TAIL_BYTES_MAX: usize = (BLOCK_BYTES - SLOT_BYTES) as usize;

/// A file that was taken from the layers below: its inode is written, its data is not.
#[derive(Debug)]
pub(super) struct Borrowed {
    /// Where its inode stands among the leaves.
    pub(super) inode: u64,
    pub(super) size: u64,
    pub(super) node: UnionNode,
}

/// What became of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Number of inodes.
    pub inodes: u64,
    /// Length of the file in bytes.
    pub bytes: u64,
    /// Whether anything was taken from the layers below, or would have been if there were any: the file is then only right
    /// on top of the same layers.
    pub needs_below: bool,
}

/// Collects the entries of one layer, then writes the metadata behind its tar bytes.
///
/// Paths are relative, without `.` and `..`, their parts separated by one slash; the root is empty. A later entry takes the
/// place of an earlier one with the same path.
pub struct LayerWriter<'a, S> {
    pub(super) make: &'a dyn Fn() -> Result<S>,
    pub(super) below: &'a dyn Below,
    pub(super) tree: Tree,
    /// Inodes of all that is no directory, in the order they came.
    pub(super) leaves: Spill<S>,
    /// Attributes of directories.
    pub(super) directories: Spill<S>,
    /// The time that compact inodes share: that of the first entry.
    pub(super) time: Option<Mtime>,
    /// The one inode of all whiteouts.
    pub(super) whiteout: Option<u32>,
    pub(super) sparse: Vec<Sparse>,
    pub(super) borrowed: Vec<Borrowed>,
    /// Symbolic links too long to stand behind their inode: where the inode is, and its data, both among the leaves.
    pub(super) long_links: Vec<(u64, u64)>,
    pub(super) needs_below: bool,
    /// Files whose data is in that of other devices: how many of those there are.
    pub(super) devices: u16,
    /// Whether the chunks of a file were given as they are.
    pub(super) has_placed_chunks: bool,
    pub(super) inodes: u32,
    /// Of an outline: where the target holds content of files. None when it holds all of the tar.
    pub(super) content: Option<Ranges>,
    parts: usize,
    tables_bytes: u64,
}

impl<S> fmt::Debug for LayerWriter<'_, S> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("LayerWriter").field("inodes", &self.inodes).finish_non_exhaustive()
    }
}

impl<'a, S: Storage> LayerWriter<'a, S> {
    /// Begins a layer on top of `below`; `make` makes a scratch file when many entries come.
    pub fn new(below: &'a dyn Below, make: &'a dyn Fn() -> Result<S>) -> Self {
        Self {
            make,
            below,
            tree: Tree::new(),
            leaves: Spill::new(),
            directories: Spill::new(),
            time: None,
            whiteout: None,
            sparse: Vec::new(),
            borrowed: Vec::new(),
            long_links: Vec::new(),
            needs_below: false,
            devices: 0,
            has_placed_chunks: false,
            inodes: 0,
            content: None,
            parts: 0,
            tables_bytes: 0,
        }
    }

    /// A directory. Twice the same one keeps what is in it.
    ///
    /// # Errors
    /// [`Kind::Corrupt`] when something that is no directory is on its way, [`Kind::LimitExceeded`]; those of scratch files.
    pub fn directory(&mut self, path: &[u8], attributes: &Attributes, is_opaque: bool) -> Result<()> {
        let note = self.note(attributes)?;
        let id = match path.is_empty() {
            true => {
                let root = self.tree.node_mut(ROOT);
                (root.kind, root.place) = (NodeKind::Directory, note);
                ROOT
            }
            false => self.put(path, NodeKind::Directory, note)?,
        };
        if is_opaque {
            self.tree.node_mut(id).flags |= OPAQUE;
        }
        Ok(())
    }

    /// A regular file whose `size` bytes stand at `data_offset` in the tar.
    ///
    /// # Errors
    /// As [`LayerWriter::directory`].
    pub fn file(&mut self, path: &[u8], attributes: &Attributes, size: u64, data_offset: u64) -> Result<()> {
        let position = HEAD_BYTES.saturating_add(data_offset);
        if !position.is_multiple_of(BLOCK_BYTES) {
            return Err(Error::new(Kind::Internal, "the data of a tar member does not begin a block"));
        }
        let block = u32::try_from(position.saturating_add(size) / BLOCK_BYTES)
            .map(|_| (position / BLOCK_BYTES) as u32)
            .map_err(|_| sparse::too_long())?;
        let union = if size == 0 { 0 } else { block };
        let record = Record { size, union, ..Record::new(FileType::File, attributes) };
        let place = self.leaf(record, attributes, &[])?;
        self.put(path, NodeKind::Leaf(FileType::File), place).map(drop)
    }

    /// A regular file of which only parts (position and length) are stored, one after the other, at `data_offset`.
    ///
    /// # Errors
    /// As [`LayerWriter::directory`]; [`Kind::Corrupt`] when the parts overlap.
    pub fn sparse_file(
        &mut self,
        path: &[u8],
        attributes: &Attributes,
        size: u64,
        data_offset: u64,
        parts: Vec<(u64, u64)>,
    ) -> Result<()> {
        self.parts += parts.len();
        let chunk_bits = sparse::chunk_bits(size);
        let mut sparse = Sparse { table: 0, size, data_offset, parts, chunk_bits };
        sparse.check()?;
        self.tables_bytes += sparse.table_bytes();
        if self.parts > PARTS_MAX || self.tables_bytes > TABLES_BYTES_MAX {
            return Err(Error::new(Kind::LimitExceeded, "the sparse files of the layer have too many parts"));
        }
        let union = sparse::chunk_format(chunk_bits);
        let layout = DataLayout::Chunks;
        let record = Record { size, union, layout, ..Record::new(FileType::File, attributes) };
        let place = self.leaf(record, attributes, &[])?;
        sparse.table = self.leaves.position();
        self.leaves.append_zeros(sparse.table_bytes(), self.make)?;
        self.sparse.push(sparse);
        self.put(path, NodeKind::Leaf(FileType::File), place).map(drop)
    }

    /// A regular file whose data stands in consecutive blocks from `block` on.
    pub(super) fn placed_file(&mut self, path: &[u8], attributes: &Attributes, size: u64, block: u32) -> Result<()> {
        let record = Record { size, union: block, ..Record::new(FileType::File, attributes) };
        let place = self.leaf(record, attributes, &[])?;
        self.put(path, NodeKind::Leaf(FileType::File), place).map(drop)
    }

    /// A regular file of a size and a format of chunks, whose chunks begin at these blocks.
    pub(super) fn placed_chunks(
        &mut self,
        path: &[u8],
        attributes: &Attributes,
        (size, format): (u64, u32),
        table: &[u32],
    ) -> Result<()> {
        self.has_placed_chunks = true;
        let layout = DataLayout::Chunks;
        let record = Record { size, union: format, layout, ..Record::new(FileType::File, attributes) };
        let place = self.leaf(record, attributes, &[])?;
        let table: Vec<u8> = table.iter().flat_map(|block| block.to_le_bytes()).collect();
        self.leaves.append(&table, self.make)?;
        self.put(path, NodeKind::Leaf(FileType::File), place).map(drop)
    }

    /// A symbolic link.
    ///
    /// # Errors
    /// As [`LayerWriter::directory`].
    pub fn symlink(&mut self, path: &[u8], attributes: &Attributes, target: &[u8]) -> Result<()> {
        let place = self.link_inode(attributes, target)?;
        self.put(path, NodeKind::Leaf(FileType::Symlink), place).map(drop)
    }

    fn link_inode(&mut self, attributes: &Attributes, target: &[u8]) -> Result<u32> {
        let record = Record { size: target.len() as u64, ..Record::new(FileType::Symlink, attributes) };
        if target.len() <= TAIL_BYTES_MAX {
            return self.leaf(Record { layout: DataLayout::Inline, ..record }, attributes, target);
        }
        let place = self.leaf(record, attributes, &[])?;
        self.leaves.align(BLOCK_BYTES, self.make)?;
        self.long_links.push((u64::from(place) * SLOT_BYTES, self.leaves.position()));
        self.leaves.append(target, self.make)?;
        Ok(place)
    }

    /// A device or named pipe; a character device 0:0 is a [whiteout](LayerWriter::whiteout) instead.
    ///
    /// # Errors
    /// As [`LayerWriter::directory`]; [`Kind::Unsupported`] for numbers that Linux does not have.
    pub fn special(&mut self, path: &[u8], attributes: &Attributes, kind: FileType, device: (u32, u32)) -> Result<()> {
        let place = self.special_inode(attributes, kind, device)?;
        self.put(path, NodeKind::Leaf(kind), place).map(drop)
    }

    fn special_inode(&mut self, attributes: &Attributes, kind: FileType, device: (u32, u32)) -> Result<u32> {
        let union = match kind {
            FileType::CharDevice | FileType::BlockDevice => encode_device(device.0, device.1)?,
            _ => 0,
        };
        self.leaf(Record { union, ..Record::new(kind, attributes) }, attributes, &[])
    }

    /// Another name of a file. One that only the layers below have is copied from there, as overlayfs does.
    ///
    /// # Errors
    /// As [`LayerWriter::directory`]; [`Kind::Corrupt`] when there is no such file.
    pub fn hard_link(&mut self, path: &[u8], target: &[u8]) -> Result<()> {
        let failed = |cause: &str| {
            let target = String::from_utf8_lossy(target);
            Error::new(Kind::Corrupt, format!("the target of the hard link, {target:?}, {cause}"))
        };
        // What the layers below have on the way to the link gives way, and is no target then.
        self.directory_node(split(path).0)?;
        let id = match self.found(target)? {
            Some(id) => id,
            None => self.found_below(target)?.ok_or_else(|| failed("does not exist"))?,
        };
        let node = *self.tree.node(id);
        match node.kind {
            NodeKind::Leaf(_) => {}
            NodeKind::Whiteout => return Err(failed("was removed")),
            NodeKind::Directory | NodeKind::Implied => return Err(failed("is a directory")),
        }
        if self.found(path)? == Some(id) {
            self.tree.node_mut(id).flags &= !BORROWED;
            return Ok(());
        }
        self.tree.node_mut(id).flags |= SHARED;
        let other = self.put(path, node.kind, node.place)?;
        self.tree.node_mut(other).flags |= SHARED;
        Ok(())
    }

    /// A file that is reached through the layers below, copied where this layer has it not yet.
    fn found_below(&mut self, path: &[u8]) -> Result<Option<NodeId>> {
        self.needs_below = true;
        let root = self.below.root()?.filter(|_| self.tree.node(ROOT).flags & OPAQUE == 0);
        let mut steps = self.steps(path, root)?;
        match steps.last_mut().map(|last| (last.own, last.below.take())) {
            Some((None, Some(node))) if !node.is_directory() => {
                let names: Vec<&[u8]> = steps.iter().map(|step| &step.name[..]).collect();
                self.borrow(&names.join(&b'/'), node).map(Some)
            }
            Some((own, _)) => Ok(own),
            None => Ok(None),
        }
    }

    /// Copies a file of the layers below.
    fn borrow(&mut self, path: &[u8], node: UnionNode) -> Result<NodeId> {
        let attributes = self.below.attributes(&node)?;
        let kind = node.inode().kind;
        let place = match kind {
            FileType::Symlink => {
                let target = self.below.target(&node)?;
                self.link_inode(&attributes, &target)?
            }
            FileType::File => {
                let size = node.inode().size;
                let place = self.leaf(Record { size, ..Record::new(kind, &attributes) }, &attributes, &[])?;
                self.borrowed.push(Borrowed { inode: u64::from(place) * SLOT_BYTES, size, node });
                place
            }
            _ => self.special_inode(&attributes, kind, node.inode().device)?,
        };
        let alone = self.borrowed_above(path);
        let id = self.put(path, NodeKind::Leaf(kind), place)?;
        self.tree.node_mut(id).flags |= BORROWED;
        for above in alone {
            if let Some(directory) = self.find(above) {
                self.tree.node_mut(directory).flags |= BORROWED;
            }
        }
        Ok(id)
    }

    /// The directories above a path that this layer has not, or has for what is borrowed alone.
    fn borrowed_above<'p>(&self, path: &'p [u8]) -> Vec<&'p [u8]> {
        let above = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(slash, _)| &path[..slash]);
        above.filter(|above| self.find(above).is_none_or(|id| self.tree.node(id).flags & BORROWED != 0)).collect()
    }

    /// Hides what the layers below have at a path. An entry of this layer with the same path stays (OCI image spec,
    /// layer.md: whiteouts only apply to lower layers).
    ///
    /// # Errors
    /// As [`LayerWriter::directory`].
    pub fn whiteout(&mut self, path: &[u8]) -> Result<()> {
        match self.found(path)? {
            Some(id) if self.tree.node(id).flags & BORROWED != 0 => drop(self.put(path, NodeKind::Whiteout, 0)?),
            Some(id) if self.tree.node(id).kind.is_directory() => self.tree.node_mut(id).flags |= OPAQUE,
            Some(_) => {}
            None if path.is_empty() => self.tree.node_mut(ROOT).flags |= OPAQUE,
            None => drop(self.put(path, NodeKind::Whiteout, 0)?),
        }
        Ok(())
    }

    /// Hides what the layers below have in a directory.
    ///
    /// # Errors
    /// As [`LayerWriter::directory`].
    pub fn opaque(&mut self, path: &[u8]) -> Result<()> {
        let id = self.directory_node(path)?;
        self.tree.node_mut(id).flags |= OPAQUE;
        Ok(())
    }

    /// Writes the data that is stored anew, the metadata and the head. `target` holds the tar bytes behind
    /// [`HEAD_BYTES`] bytes of room.
    ///
    /// # Errors
    /// [`Kind::LimitExceeded`]; those of reading the layers below and of writing.
    pub fn finish(self, target: &mut impl Storage, tar_bytes: u64, diff_id: &Digest) -> Result<Summary> {
        super::arrange::arrange(self, target, tar_bytes, diff_id)
    }

    /// Whether this layer has something at a path so far, over links of its own if need be.
    ///
    /// # Errors
    /// As [`LayerWriter::directory`].
    pub fn has(&self, path: &[u8]) -> Result<bool> {
        Ok(self.found(path)?.is_some_and(|id| self.tree.node(id).kind != NodeKind::Whiteout))
    }

    /// What this layer has at a path, over links of its own if need be.
    fn found(&self, path: &[u8]) -> Result<Option<NodeId>> {
        match self.find(path) {
            None => Ok(self.steps(path, None)?.last().and_then(|last| last.own)),
            found => Ok(found),
        }
    }

    fn find(&self, path: &[u8]) -> Option<NodeId> {
        let mut parts = path.split(|byte| *byte == b'/').filter(|part| !part.is_empty());
        parts.try_fold(ROOT, |id, part| self.tree.child(id, part))
    }

    /// Gives a path its meaning.
    fn put(&mut self, path: &[u8], kind: NodeKind, place: u32) -> Result<NodeId> {
        let (parent, name) = split(path);
        if name.is_empty() {
            return Err(Error::new(Kind::Corrupt, "the layer's root is no directory"));
        }
        let parent = self.directory_node(parent)?;
        let was = self.tree.child(parent, name).map(|id| *self.tree.node(id));
        let id = self.tree.insert(parent, name, kind, place)?;
        let node = self.tree.node_mut(id);
        node.flags = match was {
            Some(was) if kind.is_directory() && was.kind.is_directory() => was.flags,
            // What was removed below stays so, whatever had the name in between.
            Some(was) if was.kind == NodeKind::Whiteout => OPAQUE,
            Some(was) => was.flags & OPAQUE,
            None => 0,
        };
        Ok(id)
    }

    /// Notes the attributes of a directory. Returns the place, in steps of four bytes.
    pub(super) fn note(&mut self, attributes: &Attributes) -> Result<u32> {
        self.time.get_or_insert(attributes.mtime);
        let (area, xattr_count) = xattr::encode(&attributes.xattrs, Marks::default())?;
        let record = Record { xattr_count, ..Record::new(FileType::Directory, attributes) };
        let position = u32::try_from(self.directories.position() / 4).map_err(|_| too_much())?;
        self.directories.append(&record.encode(false), self.make)?;
        self.directories.append(&area, self.make)?;
        Ok(position)
    }

    /// Writes the inode of something that is no directory, with what stands behind it. Returns its slot.
    fn leaf(&mut self, record: Record, attributes: &Attributes, tail: &[u8]) -> Result<u32> {
        let time = *self.time.get_or_insert(attributes.mtime);
        let (area, xattr_count) = xattr::encode(&attributes.xattrs, Marks::default())?;
        self.inodes = self.inodes.checked_add(1).ok_or_else(too_much)?;
        let record = Record { xattr_count, number: self.inodes, ..record };
        let inode = record.encode(record.is_compact(time));
        self.leaves.align(SLOT_BYTES, self.make)?;
        let before_tail = (inode.len() + area.len()) as u64;
        let gap = tail_gap(self.leaves.position(), before_tail, tail.len() as u64);
        self.leaves.append_zeros(gap, self.make)?;
        let slot = u32::try_from(self.leaves.position() / SLOT_BYTES).map_err(|_| too_much())?;
        self.leaves.append(&inode, self.make)?;
        self.leaves.append(&area, self.make)?;
        self.leaves.append(tail, self.make)?;
        Ok(slot)
    }
}

/// How much later an inode has to begin so that the data behind it does not cross the end of a block.
pub(super) fn tail_gap(position: u64, before_tail: u64, tail: u64) -> u64 {
    let mut gap = 0;
    while tail > 0 && (position + gap + before_tail) % BLOCK_BYTES + tail > BLOCK_BYTES {
        gap += SLOT_BYTES;
    }
    gap
}

pub(super) fn too_much() -> Error {
    Error::new(Kind::LimitExceeded, "the layer has more metadata than can be kept")
}
