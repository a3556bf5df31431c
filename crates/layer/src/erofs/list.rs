//! The list of names of a directory, in blocks as it is written.

use dhow_base::Result;

use super::format::{BLOCK_BYTES, DIRENT_BYTES};
use super::inode::FileType;
use super::tree::{NodeId, Tree};

/// Length of a directory's list: entries do not cross blocks.
pub(super) fn size(tree: &Tree, children: &[NodeId]) -> u64 {
    let (mut whole, mut used) = (0, 0);
    for (name, _) in entries(tree, children) {
        let length = (DIRENT_BYTES + name.len()) as u64;
        if used + length > BLOCK_BYTES {
            whole += BLOCK_BYTES;
            used = 0;
        }
        used += length;
    }
    whole + used
}

/// Calls `emit` with every block of a directory's list; all but the last are whole. `number` tells the number and type of an entry by its
/// name and node.
pub(super) fn each_block(
    tree: &Tree,
    children: &[NodeId],
    number: impl Fn(&[u8], Option<NodeId>) -> (u64, FileType),
    mut emit: impl FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    let mut names: Vec<(&[u8], u64, FileType)> = Vec::new();
    let mut used = 0;
    for (name, child) in entries(tree, children) {
        let length = DIRENT_BYTES + name.len();
        if used + length > BLOCK_BYTES as usize {
            let mut block = encode_block(&names);
            block.resize(BLOCK_BYTES as usize, 0);
            emit(&block)?;
            names.clear();
            used = 0;
        }
        let (slot, kind) = number(name, child);
        names.push((name, slot, kind));
        used += length;
    }
    emit(&encode_block(&names))
}

/// Names of a directory in the order of their bytes, with `.` and `..`, which are no nodes of its own.
fn entries<'a>(tree: &'a Tree, children: &'a [NodeId]) -> impl Iterator<Item = (&'a [u8], Option<NodeId>)> {
    let before = |name: &'static [u8]| children.partition_point(move |child| tree.name(*child) < name);
    let (own, parent) = (before(b"."), before(b".."));
    let named = |range: &'a [NodeId]| range.iter().map(|child| (tree.name(*child), Some(*child)));
    named(&children[..own])
        .chain([(&b"."[..], None)])
        .chain(named(&children[own..parent]))
        .chain([(&b".."[..], None)])
        .chain(named(&children[parent..]))
}

fn encode_block(names: &[(&[u8], u64, FileType)]) -> Vec<u8> {
    let mut block = Vec::with_capacity(BLOCK_BYTES as usize);
    let mut name_offset = names.len() * DIRENT_BYTES;
    for (name, slot, kind) in names {
        block.extend(slot.to_le_bytes());
        block.extend((name_offset as u16).to_le_bytes());
        block.extend([kind.in_directory(), 0]);
        name_offset += name.len();
    }
    names.iter().for_each(|(name, ..)| block.extend_from_slice(name));
    block
}
