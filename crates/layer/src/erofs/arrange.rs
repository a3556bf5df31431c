//! The end of a layer: puts directories together and lays everything out behind the tar.

use std::collections::HashMap;

use dhow_base::{Error, Kind, Result};
use dhow_spec::Digest;

use super::format::{BLOCK_BYTES, DataLayout, EXTENDED_BYTES, HEAD_BYTES, Head, SLOT_BYTES};
use super::inode::{Attributes, FileType, Inode, Mtime, Record, UNION_OFFSET, links_field};
use super::list;
use super::ranges::Ranges;
use super::sparse::too_long;
use super::storage::Storage;
use super::tree::{IMPLIED, NEW, NodeId, NodeKind, OPAQUE, ROOT, SHARED, Tree};
use super::writer::{LayerWriter, Summary, tail_gap, too_much};
use super::xattr::{self, Marks};

/// Most names that one file may have: as many as ext4 takes and a compact inode can count.
const LINKS_MAX: u32 = 65_000;

/// Most bytes of a directory's last block that stand behind its inode.
const TAIL_BYTES_MAX: u64 = BLOCK_BYTES - SLOT_BYTES;

/// A directory on its way out.
#[derive(Clone, Copy, Debug)]
struct Directory {
    /// Where its attributes are noted.
    note: u32,
    /// Where its inode goes, from the start of the metadata.
    slot: u32,
}

/// A part of the file that is written from its start to its end.
struct Region {
    next: u64,
    buffer: Vec<u8>,
}

impl Region {
    fn new(start: u64) -> Self {
        Self { next: start, buffer: Vec::new() }
    }

    fn position(&self) -> u64 {
        self.next + self.buffer.len() as u64
    }

    fn append(&mut self, target: &mut impl Storage, bytes: &[u8]) -> Result<()> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= 256 << 10 { self.flush(target) } else { Ok(()) }
    }

    fn pad_to(&mut self, target: &mut impl Storage, position: u64) -> Result<()> {
        let gap = position.saturating_sub(self.position());
        self.append(target, &vec![0; usize::try_from(gap).map_err(|_| too_long())?])
    }

    fn flush(&mut self, target: &mut impl Storage) -> Result<()> {
        target.write_at(&self.buffer, self.next)?;
        self.next += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}

pub(super) fn arrange<S: Storage>(
    mut writer: LayerWriter<'_, S>,
    target: &mut impl Storage,
    tar_bytes: u64,
    diff_id: &Digest,
) -> Result<Summary> {
    let names_root = writer.tree.node(ROOT).kind == NodeKind::Directory;
    let order = writer.tree.sort();
    let time = *writer.time.get_or_insert_default();
    add_whiteout(&mut writer, &order)?;
    writer.leaves.align(BLOCK_BYTES, writer.make)?;
    let data_start = HEAD_BYTES.saturating_add(tar_bytes).next_multiple_of(HEAD_BYTES);
    let sparse_bytes: u64 = writer.sparse.iter().map(super::sparse::Sparse::stored_bytes).sum();
    let borrowed_bytes: u64 = writer.borrowed.iter().map(|file| file.size.next_multiple_of(BLOCK_BYTES)).sum();
    let meta_start = data_start.saturating_add(sparse_bytes).saturating_add(borrowed_bytes);
    let mut plan = Plan { directories: Vec::new(), slots_bytes: SLOT_BYTES, data_bytes: 0 };
    plan.place_all(&mut writer, &order, time)?;
    let leaves_start = (meta_start + plan.slots_bytes).next_multiple_of(BLOCK_BYTES);
    let lists_start = leaves_start + writer.leaves.position();
    let end = (lists_start + plan.data_bytes).next_multiple_of(HEAD_BYTES);
    let blocks = u32::try_from(end / BLOCK_BYTES).map_err(|_| too_long())?;
    target.set_length(end)?;
    let places = Places { meta_start, leaves_start, lists_start };
    writer.leaves.copy_to(target, leaves_start)?;
    places.write_directories(&writer, &plan, &order, time, target)?;
    let mut content = writer.content.take();
    places.write_data(&writer, data_start, target, &mut content)?;
    places.count_links(&writer, &order, target)?;
    let content = content.map(|content| write_content(&content, target, end)).transpose()?;
    let head = Head {
        diff_id: diff_id.clone(),
        tar_bytes,
        names_root,
        needs_below: writer.needs_below,
        meta_block: u32::try_from(meta_start / BLOCK_BYTES).map_err(|_| too_long())?,
        // The first block has room for any tail, so that it is one of the first slots.
        root_slot: plan.directories.first().and_then(|root| u16::try_from(root.slot).ok()).ok_or_else(too_much)?,
        inodes: u64::from(writer.inodes),
        blocks,
        time: (time.seconds, time.nanoseconds),
        has_chunks: writer.has_placed_chunks || !writer.sparse.is_empty(),
        devices: writer.devices,
        content,
    };
    target.write_at(&head.encode(), 0)?;
    Ok(Summary { inodes: head.inodes, bytes: end, needs_below: head.needs_below })
}

/// Writes the table of an outline's content behind everything else. Returns what its head says of it.
fn write_content(content: &Ranges, target: &mut impl Storage, end: u64) -> Result<(u64, u32)> {
    let count = u32::try_from(content.len()).map_err(|_| too_much())?;
    target.write_at(&content.encode(), end)?;
    Ok((end, count))
}

/// Writes the one inode of all whiteouts, if there are any.
fn add_whiteout<S: Storage>(writer: &mut LayerWriter<'_, S>, order: &[NodeId]) -> Result<()> {
    let is_whiteout = |id: &&NodeId| writer.tree.node(**id).kind == NodeKind::Whiteout;
    let count = order.iter().filter(is_whiteout).count();
    if count == 0 {
        return Ok(());
    }
    let links = u32::try_from(count).map_err(|_| too_much())?;
    writer.inodes = writer.inodes.checked_add(1).ok_or_else(too_much)?;
    let record = Record { links, number: writer.inodes, ..Record::new(FileType::CharDevice, &Attributes::default()) };
    writer.leaves.align(SLOT_BYTES, writer.make)?;
    writer.whiteout = Some(u32::try_from(writer.leaves.position() / SLOT_BYTES).map_err(|_| too_much())?);
    writer.leaves.append(&record.encode(false), writer.make)
}

/// Where directories go.
struct Plan {
    /// In the order of their nodes.
    directories: Vec<Directory>,
    /// Bytes of inodes of directories, from the start of the metadata. The first slot stays free: nobody shows a file whose
    /// number is 0.
    slots_bytes: u64,
    /// Bytes of lists of names that do not stand behind their inode.
    data_bytes: u64,
}

/// The children of each live directory, in the order of the nodes.
struct Children<'a> {
    order: &'a [NodeId],
    cursor: usize,
}

impl<'a> Children<'a> {
    fn of(&mut self, tree: &Tree, id: NodeId) -> &'a [NodeId] {
        let rest = &self.order[self.cursor..];
        let count = rest.iter().take_while(|child| tree.node(**child).parent == id).count();
        self.cursor += count;
        &rest[..count]
    }
}

fn is_live_directory(tree: &Tree, id: NodeId) -> bool {
    let node = tree.node(id);
    node.kind.is_directory() && node.flags & super::tree::DEAD == 0
}

impl Plan {
    /// Decides where each directory goes. Afterwards the `place` of a directory's node is its number in the plan.
    fn place_all<S: Storage>(&mut self, writer: &mut LayerWriter<'_, S>, order: &[NodeId], time: Mtime) -> Result<()> {
        let mut children = Children { order, cursor: 0 };
        for id in 0..writer.tree.len() {
            if !is_live_directory(&writer.tree, id) {
                continue;
            }
            imply(writer, id)?;
            let inside = children.of(&writer.tree, id);
            let shape = Shape::of(writer, id, inside, time)?;
            self.slots_bytes += tail_gap(self.slots_bytes, shape.before_tail(), shape.tail_bytes());
            let slot = u32::try_from(self.slots_bytes / SLOT_BYTES).map_err(|_| too_much())?;
            self.slots_bytes += shape.before_tail() + shape.tail_bytes();
            self.slots_bytes = self.slots_bytes.next_multiple_of(SLOT_BYTES);
            self.data_bytes += shape.list_bytes();
            let node = writer.tree.node_mut(id);
            self.directories.push(Directory { note: node.place, slot });
            node.place = u32::try_from(self.directories.len() - 1).map_err(|_| too_much())?;
            writer.inodes = writer.inodes.checked_add(1).ok_or_else(too_much)?;
        }
        Ok(())
    }
}

/// Gives a directory that the layer does not name the attributes that it has below.
fn imply<S: Storage>(writer: &mut LayerWriter<'_, S>, id: NodeId) -> Result<()> {
    if writer.tree.node(id).kind != NodeKind::Implied {
        return Ok(());
    }
    writer.needs_below |= id != ROOT;
    let is_marked = id != ROOT && writer.content.is_some() && !writer.tree.is_under_opaque(id);
    let is_new = id == ROOT || writer.tree.node(id).flags & NEW != 0;
    let known = if is_new || is_marked { None } else { writer.below.directory(&writer.tree.path(id))? };
    let attributes = known.unwrap_or_else(|| Attributes { mode: 0o755, ..Attributes::default() });
    let note = writer.note(&attributes)?;
    let node = writer.tree.node_mut(id);
    (node.kind, node.place) = (NodeKind::Directory, note);
    if is_marked {
        node.flags |= IMPLIED;
    }
    Ok(())
}

/// A directory's inode and how long everything of it is.
struct Shape {
    record: Record,
    is_compact: bool,
    xattrs: Vec<u8>,
}

impl Shape {
    /// `id`'s place must still be that of its note.
    fn of<S: Storage>(writer: &LayerWriter<'_, S>, id: NodeId, children: &[NodeId], time: Mtime) -> Result<Self> {
        Self::read(writer, id, writer.tree.node(id).place, children, time)
    }

    fn read<S: Storage>(
        writer: &LayerWriter<'_, S>,
        id: NodeId,
        note: u32,
        children: &[NodeId],
        time: Mtime,
    ) -> Result<Self> {
        let tree = &writer.tree;
        let mut noted = [0; EXTENDED_BYTES];
        writer.directories.read(&mut noted, u64::from(note) * 4)?;
        let inode = Inode::decode(&noted, 0, (0, 0))?;
        let mut area = vec![0; xattr::area_bytes(inode.xattr_count)];
        writer.directories.read(&mut area, u64::from(note) * 4 + EXTENDED_BYTES as u64)?;
        let marks = Marks {
            is_opaque: tree.node(id).flags & OPAQUE != 0,
            has_whiteouts: children.iter().any(|child| tree.node(*child).kind == NodeKind::Whiteout),
            is_implied: tree.node(id).flags & IMPLIED != 0,
        };
        let (xattrs, xattr_count) = match marks == Marks::default() {
            true => (area, inode.xattr_count),
            false => xattr::encode(&xattr::decode(&area)?, marks)?,
        };
        let subdirectories = children.iter().filter(|child| tree.node(**child).kind.is_directory()).count();
        let size = list::size(tree, children);
        let record = Record {
            kind: FileType::Directory,
            mode: inode.mode,
            uid: inode.uid,
            gid: inode.gid,
            mtime: inode.mtime,
            links: u32::try_from(subdirectories + 2).unwrap_or(u32::MAX),
            size,
            layout: if (1..=TAIL_BYTES_MAX).contains(&(size % BLOCK_BYTES)) {
                DataLayout::Inline
            } else {
                DataLayout::Plain
            },
            union: 0,
            xattr_count,
            number: 0,
        };
        Ok(Self { record, is_compact: record.is_compact(time), xattrs })
    }

    fn before_tail(&self) -> u64 {
        let own = if self.is_compact { super::format::COMPACT_BYTES } else { EXTENDED_BYTES };
        (own + self.xattrs.len()) as u64
    }

    fn tail_bytes(&self) -> u64 {
        if self.record.layout == DataLayout::Inline { self.record.size % BLOCK_BYTES } else { 0 }
    }

    /// Bytes of its list among the lists: whole blocks.
    fn list_bytes(&self) -> u64 {
        (self.record.size - self.tail_bytes()).next_multiple_of(BLOCK_BYTES)
    }
}

/// Where the parts of the metadata begin in the file.
struct Places {
    meta_start: u64,
    leaves_start: u64,
    lists_start: u64,
}

impl Places {
    fn write_directories<S: Storage>(
        &self,
        writer: &LayerWriter<'_, S>,
        plan: &Plan,
        order: &[NodeId],
        time: Mtime,
        target: &mut impl Storage,
    ) -> Result<()> {
        let tree = &writer.tree;
        let (mut inodes, mut lists) = (Region::new(self.meta_start), Region::new(self.lists_start));
        let mut children = Children { order, cursor: 0 };
        for id in (0..tree.len()).filter(|id| is_live_directory(tree, *id)) {
            let inside = children.of(tree, id);
            let Directory { note, slot } = plan.directories[tree.node(id).place as usize];
            let mut shape = Shape::read(writer, id, note, inside, time)?;
            shape.record.union = u32::try_from(lists.position() / BLOCK_BYTES).map_err(|_| too_long())?;
            shape.record.number = slot;
            inodes.pad_to(target, self.meta_start + u64::from(slot) * SLOT_BYTES)?;
            inodes.append(target, &shape.record.encode(shape.is_compact))?;
            inodes.append(target, &shape.xattrs)?;
            let slot_of = |directory: NodeId| u64::from(plan.directories[tree.node(directory).place as usize].slot);
            let number = |name: &[u8], child: Option<NodeId>| match (child, name) {
                (None, b".") => (slot_of(id), FileType::Directory),
                (None, _) => (slot_of(tree.node(id).parent), FileType::Directory),
                (Some(child), _) => self.number_of(writer, child, slot_of),
            };
            let tail_start = shape.record.size - shape.tail_bytes();
            let mut written = 0;
            list::each_block(tree, inside, number, |block| {
                let region = if written >= tail_start { &mut inodes } else { &mut lists };
                region.append(target, block)?;
                written += BLOCK_BYTES;
                Ok(())
            })?;
            let whole = lists.position().next_multiple_of(BLOCK_BYTES);
            lists.pad_to(target, whole)?;
        }
        inodes.flush(target)?;
        lists.flush(target)
    }

    /// The number and type that an entry has.
    fn number_of<S: Storage>(
        &self,
        writer: &LayerWriter<'_, S>,
        id: NodeId,
        slot_of: impl Fn(NodeId) -> u64,
    ) -> (u64, FileType) {
        let base = (self.leaves_start - self.meta_start) / SLOT_BYTES;
        let node = writer.tree.node(id);
        match node.kind {
            NodeKind::Directory | NodeKind::Implied => (slot_of(id), FileType::Directory),
            NodeKind::Leaf(kind) => (base + u64::from(node.place), kind),
            NodeKind::Whiteout => (base + u64::from(writer.whiteout.unwrap_or(0)), FileType::CharDevice),
        }
    }

    /// Writes the data that does not stand in the tar as it is, and where it is. An outline gets that of which it has the content.
    fn write_data<S: Storage>(
        &self,
        writer: &LayerWriter<'_, S>,
        start: u64,
        target: &mut impl Storage,
        content: &mut Option<Ranges>,
    ) -> Result<()> {
        let mut at = start;
        for sparse in &writer.sparse {
            let table = sparse.write_table(target, at, self.leaves_start + sparse.table)?;
            let end = at + sparse.stored_bytes();
            let (from, to) = sparse.in_tar();
            match content {
                Some(content) if !content.hold(from, to) => {}
                Some(content) => {
                    sparse.write_parts(target, &table)?;
                    content.push(at, end, false);
                }
                None => sparse.write_parts(target, &table)?,
            }
            at = end;
        }
        let mut buffer = vec![0; 256 << 10];
        for file in &writer.borrowed {
            self.write_block_number(target, file.inode, at)?;
            let mut done = 0;
            while done < file.size {
                let want = usize::try_from(file.size - done).unwrap_or(usize::MAX).min(buffer.len());
                let read = writer.below.read(&file.node, &mut buffer[..want], done)?;
                if read == 0 {
                    return Err(Error::new(Kind::Corrupt, "a file of the layers below ends too early"));
                }
                target.write_at(&buffer[..read], at + done)?;
                done += read as u64;
            }
            at += file.size.next_multiple_of(BLOCK_BYTES);
        }
        for (inode, data) in &writer.long_links {
            self.write_block_number(target, *inode, self.leaves_start + data)?;
        }
        Ok(())
    }

    fn write_block_number(&self, target: &mut impl Storage, inode: u64, data: u64) -> Result<()> {
        let block = u32::try_from(data / BLOCK_BYTES).map_err(|_| too_long())?;
        target.write_at(&block.to_le_bytes(), self.leaves_start + inode + UNION_OFFSET)
    }

    /// Writes the number of names of those inodes that have or had several.
    fn count_links<S: Storage>(
        &self,
        writer: &LayerWriter<'_, S>,
        order: &[NodeId],
        target: &mut impl Storage,
    ) -> Result<()> {
        let mut counts: HashMap<u32, u32> = HashMap::new();
        let shared = order.iter().map(|id| writer.tree.node(*id)).filter(|node| node.flags & SHARED != 0);
        for node in shared.filter(|node| matches!(node.kind, NodeKind::Leaf(_))) {
            *counts.entry(node.place).or_default() += 1;
        }
        for (place, count) in counts {
            if count > LINKS_MAX {
                let message = format!("a file of the layer has more than {LINKS_MAX} names");
                return Err(Error::new(Kind::LimitExceeded, message));
            }
            let position = u64::from(place) * SLOT_BYTES;
            let mut format = [0; 2];
            writer.leaves.read(&mut format, position)?;
            let (offset, length) = links_field(format[0] & 1 == 0);
            target.write_at(&count.to_le_bytes()[..length], self.leaves_start + position + offset as u64)?;
        }
        Ok(())
    }
}
