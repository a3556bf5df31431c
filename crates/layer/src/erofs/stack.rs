//! One file for a stack of layers: the metadata of their union, and no data. That stays in the layers' files, which the kernel
//! takes as further devices of one file system, so that a mount of many layers costs what a mount of one does.

use std::collections::HashMap;
use std::sync::Arc;

use dhow_base::{Error, Kind, Result};
use dhow_spec::Digest;

use super::format::{BLOCK_BYTES, DataLayout, HEAD_BYTES, HOLE, is_stack_head, u32_at};
use super::image::Image;
use super::inode::{Attributes, FileType};
use super::sparse::too_long;
use super::storage::{ReadAt, Storage};
use super::union::{Union, UnionNode};
use super::walk::Visit;
use super::writer::{LayerWriter, Summary};

/// Length of what the table says of one device: a tag of 64 bytes, its blocks, its place among all blocks, zeros (kernel
/// documentation, `struct erofs_deviceslot`).
const SLOT_BYTES: usize = 128;
const TAG_BYTES: usize = 64;

/// Where the blocks of the first layer are numbered from: the file's own blocks come before, 8 GiB at most.
const FIRST_BLOCK: u32 = 1 << 24;

/// Most devices that are numbered.
const DEVICES_MAX: usize = u16::MAX as usize;

/// The blocks of each layer's file as the numbers go on from one to the next.
struct Devices {
    first_blocks: Vec<u32>,
    table: Vec<u8>,
}

impl Devices {
    fn of<R: ReadAt>(layers: &[Arc<Image<R>>]) -> Result<Self> {
        let mut devices = Self { first_blocks: Vec::with_capacity(layers.len()), table: Vec::new() };
        let mut next = FIRST_BLOCK;
        if layers.len() > DEVICES_MAX {
            return Err(too_long());
        }
        for layer in layers {
            let mut slot = [0; SLOT_BYTES];
            let tag = layer.diff_id().hex().as_bytes();
            let tag = &tag[..tag.len().min(TAG_BYTES)];
            slot[..tag.len()].copy_from_slice(tag);
            slot[TAG_BYTES..TAG_BYTES + 4].copy_from_slice(&layer.blocks().to_le_bytes());
            slot[TAG_BYTES + 4..TAG_BYTES + 8].copy_from_slice(&next.to_le_bytes());
            devices.table.extend(slot);
            devices.first_blocks.push(next);
            next = next.checked_add(layer.blocks()).filter(|next| *next < HOLE).ok_or_else(too_long)?;
        }
        Ok(devices)
    }
}

/// Whether a file is that of a stack of exactly these layer files.
///
/// # Errors
/// [`Kind::Corrupt`] when it is too short; the operating system's.
pub fn is_stack_of<R: ReadAt>(file: &impl ReadAt, union: &Union<R>) -> Result<bool> {
    let expected = Devices::of(union.layers())?.table;
    let mut head = vec![0; HEAD_BYTES as usize + expected.len()];
    file.read_exact_at(&mut head, 0)?;
    let (head, table) = head.split_at(HEAD_BYTES as usize);
    Ok(is_stack_head(head, union.layers().len()) && table == expected)
}

/// A layer's file, as the file of a stack says it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StackedFile {
    /// The layer's diff ID in hexadecimal digits; of a longer one than SHA-256's, the first 64.
    pub diff_id: String,
    /// Length in bytes.
    pub bytes: u64,
}

/// The layers' files that the file of a stack of so many was made for, lowest first. Nothing when it is none, or one of another version.
///
/// # Errors
/// [`Kind::Corrupt`] when it is too short; the operating system's.
pub fn stacked_files(file: &impl ReadAt, layers: usize) -> Result<Option<Vec<StackedFile>>> {
    let mut head = vec![0; HEAD_BYTES as usize + layers * SLOT_BYTES];
    file.read_exact_at(&mut head, 0)?;
    let (head, table) = head.split_at(HEAD_BYTES as usize);
    let slot = |slot: &[u8]| {
        let tag = slot[..TAG_BYTES].split(|byte| *byte == 0).next().unwrap_or_default();
        let bytes = u64::from(u32_at(slot, TAG_BYTES)) * BLOCK_BYTES;
        StackedFile { diff_id: String::from_utf8_lossy(tag).into_owned(), bytes }
    };
    Ok(is_stack_head(head, layers).then(|| table.chunks_exact(SLOT_BYTES).map(slot).collect()))
}

/// Writes the file of a stack called `id`. The kernel has to be given the layers' files as devices, in order; only those files.
///
/// # Errors
/// [`Kind::Corrupt`], [`Kind::LimitExceeded`]; those of writing.
pub fn write_stack<R: ReadAt, S: Storage>(
    union: &Union<R>,
    id: &Digest,
    target: &mut S,
    scratch: &dyn Fn() -> Result<S>,
) -> Result<Summary> {
    if union.layers().iter().any(|layer| layer.is_outline()) {
        return Err(Error::new(Kind::Internal, "a stack is made of whole layers, not of outlines"));
    }
    let devices = Devices::of(union.layers())?;
    let mut writer = LayerWriter::new(&(), scratch);
    writer.devices = union.layers().len() as u16;
    let root = union.root()?;
    writer.directory(b"", &union.attributes(&root)?, false)?;
    // Files with several names, by the first one.
    let mut names: HashMap<(usize, u64), Vec<u8>> = HashMap::new();
    union.walk(&root, |path, node| {
        if !node.is_directory() && node.inode().links > 1 {
            if let Some(first) = names.get(&node.identity()) {
                writer.hard_link(path, first)?;
                return Ok(Visit::Enter);
            }
            names.insert(node.identity(), path.to_vec());
        }
        let attributes = union.attributes(node)?;
        match node.inode().kind {
            FileType::Directory => writer.directory(path, &attributes, false)?,
            FileType::Symlink => writer.symlink(path, &attributes, &union.read_link(node)?)?,
            FileType::File => file(&mut writer, union, &devices, (path, &attributes, node))?,
            kind => writer.special(path, &attributes, kind, node.inode().device)?,
        }
        Ok(Visit::Enter)
    })?;
    target.write_at(&devices.table, HEAD_BYTES)?;
    let summary = writer.finish(target, devices.table.len() as u64, id)?;
    if summary.bytes / BLOCK_BYTES > u64::from(FIRST_BLOCK) {
        return Err(too_long());
    }
    Ok(summary)
}

fn file<R: ReadAt, S: Storage>(
    writer: &mut LayerWriter<'_, S>,
    union: &Union<R>,
    devices: &Devices,
    (path, attributes, node): (&[u8], &Attributes, &UnionNode),
) -> Result<()> {
    let (layer, inode) = (node.identity().0, node.inode());
    let first = *devices.first_blocks.get(layer).ok_or_else(|| Error::new(Kind::Internal, "a file of no layer"))?;
    let moved = |block: u32| block.checked_add(first).filter(|block| *block < HOLE).ok_or_else(too_long);
    match inode.layout {
        DataLayout::Plain if inode.size == 0 => writer.placed_file(path, attributes, 0, 0),
        DataLayout::Plain => writer.placed_file(path, attributes, inode.size, moved(inode.union)?),
        DataLayout::Chunks => {
            let table = union.layers()[layer].chunk_table(inode)?;
            let table = table.into_iter().map(|block| if block == HOLE { Ok(HOLE) } else { moved(block) });
            writer.placed_chunks(path, attributes, (inode.size, inode.union), &table.collect::<Result<Vec<u32>>>()?)
        }
        DataLayout::Inline => Err(Error::new(Kind::Unsupported, "a layer keeps data of files behind their inodes")),
    }
}
