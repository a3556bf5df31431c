//! The way to an entry of a layer that is being written, over links of the same layer.

use dhow_base::{Error, Kind, Result};

use super::format::{BLOCK_BYTES, COMPACT_BYTES, DataLayout, EXTENDED_BYTES, SLOT_BYTES};
use super::inode::{FileType, Inode};
use super::storage::Storage;
use super::tree::{Node, NodeId, NodeKind, OPAQUE, ROOT};
use super::writer::{LayerWriter, too_much};
use super::xattr;

/// Most symbolic links on the way to an entry, as Linux has it, and most names that are left to go then.
const LINKS_MAX: u32 = 40;
const PARTS_AHEAD_MAX: usize = 4096;

impl<S: Storage> LayerWriter<'_, S> {
    /// The directory at a path, implied where it does not exist. Symbolic links of this layer on the way are followed as if
    /// its root were `/`, as docker and containerd do it; those of the layers below are not looked at.
    pub(super) fn directory_node(&mut self, path: &[u8]) -> Result<NodeId> {
        let (mut id, mut links) = (ROOT, 0);
        let mut ahead = parts(path);
        while let Some(part) = ahead.pop() {
            if part == b".." {
                id = self.tree.node(id).parent;
                continue;
            }
            let child = self.tree.child(id, &part).map(|child| (child, *self.tree.node(child)));
            id = match child {
                Some((child, node)) if node.kind.is_directory() => child,
                None => self.tree.insert(id, &part, NodeKind::Implied, 0)?,
                Some((_, Node { kind: NodeKind::Whiteout, .. })) => {
                    let child = self.tree.insert(id, &part, NodeKind::Implied, 0)?;
                    self.tree.node_mut(child).flags = OPAQUE;
                    child
                }
                Some((child, Node { kind: NodeKind::Leaf(FileType::Symlink), place, .. })) => {
                    links += 1;
                    let target = self.noted_target(place)?;
                    if links > LINKS_MAX || ahead.len() > PARTS_AHEAD_MAX {
                        return Err(refuse(path, &self.tree.path(child), "one symbolic link too many"));
                    }
                    ahead.extend(parts(&target));
                    if target.starts_with(b"/") { ROOT } else { id }
                }
                Some((child, _)) => return Err(refuse(path, &self.tree.path(child), "no directory in it")),
            };
        }
        Ok(id)
    }

    /// A path of a file, without the symbolic links of this layer that lead to its directory. Nothing is made.
    pub(super) fn without_links(&self, path: &[u8]) -> Result<Vec<u8>> {
        let Some(slash) = path.iter().rposition(|byte| *byte == b'/') else { return Ok(path.to_vec()) };
        // What this layer has at each name, if anything.
        let mut way: Vec<(Vec<u8>, Option<NodeId>)> = Vec::new();
        let (mut ahead, mut links) = (parts(&path[..slash]), 0);
        while let Some(part) = ahead.pop() {
            if part == b".." {
                way.pop();
                continue;
            }
            let above = way.last().map_or(Some(ROOT), |(_, id)| *id);
            let child = above.and_then(|above| self.tree.child(above, &part));
            let Some(Node { kind: NodeKind::Leaf(FileType::Symlink), place, .. }) = child.map(|id| *self.tree.node(id))
            else {
                way.push((part, child));
                continue;
            };
            links += 1;
            let target = self.noted_target(place)?;
            if links > LINKS_MAX || ahead.len() > PARTS_AHEAD_MAX {
                return Err(refuse(path, &part, "one symbolic link too many"));
            }
            ahead.extend(parts(&target));
            if target.starts_with(b"/") {
                way.clear();
            }
        }
        let mut parts: Vec<&[u8]> = way.iter().map(|(part, _)| &part[..]).collect();
        parts.push(&path[slash + 1..]);
        Ok(parts.join(&b'/'))
    }

    /// What a symbolic link says whose inode is among the leaves.
    fn noted_target(&self, place: u32) -> Result<Vec<u8>> {
        let position = u64::from(place) * SLOT_BYTES;
        let mut bytes = vec![0; COMPACT_BYTES];
        self.leaves.read(&mut bytes, position)?;
        if bytes[0] & 1 != 0 {
            bytes.resize(EXTENDED_BYTES, 0);
            self.leaves.read(&mut bytes, position)?;
        }
        let inode = Inode::decode(&bytes, 0, (0, 0))?;
        let behind = position + (inode.own_bytes + xattr::area_bytes(inode.xattr_count)) as u64;
        let is_inline = inode.layout == DataLayout::Inline;
        let mut target = vec![0; usize::try_from(inode.size).map_err(|_| too_much())?];
        self.leaves.read(&mut target, if is_inline { behind } else { behind.next_multiple_of(BLOCK_BYTES) })?;
        Ok(target)
    }
}

/// The names of a path, the last one first.
fn parts(path: &[u8]) -> Vec<Vec<u8>> {
    let parts = path.rsplit(|byte| *byte == b'/').filter(|part| !part.is_empty() && *part != b".");
    parts.map(<[u8]>::to_vec).collect()
}

fn refuse(path: &[u8], on_its_way: &[u8], what: &str) -> Error {
    let [path, on_its_way] = [path, on_its_way].map(String::from_utf8_lossy);
    Error::new(Kind::Corrupt, format!("the layer has entries in {path:?}, but {on_its_way:?} is {what}"))
}
