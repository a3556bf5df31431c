//! The way to an entry of a layer that is being written, over links of the same layer.

use dhow_base::{Error, Kind, Result};

use super::format::{BLOCK_BYTES, COMPACT_BYTES, DataLayout, EXTENDED_BYTES, SLOT_BYTES};
use super::inode::{FileType, Inode};
use super::storage::Storage;
use super::tree::{BORROWED, NEW, Node, NodeId, NodeKind, OPAQUE, ROOT};
use super::union::UnionNode;
use super::writer::{LayerWriter, too_much};
use super::xattr;

/// Most symbolic links on the way to an entry, as Linux has it, and most names that are left to go then.
const LINKS_MAX: u32 = 40;
const PARTS_AHEAD_MAX: usize = 4096;

/// A name on the way to a file.
pub(super) struct Step {
    pub(super) name: Vec<u8>,
    /// What this layer has there.
    pub(super) own: Option<NodeId>,
    /// What the layers below have there, unless this layer hides it.
    pub(super) below: Option<UnionNode>,
}

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
                Some((child, node)) if node.kind.is_directory() => {
                    self.tree.node_mut(child).flags &= !BORROWED;
                    child
                }
                None => {
                    let is_new = self.tree.is_under_opaque(id);
                    let child = self.tree.insert(id, &part, NodeKind::Implied, 0)?;
                    self.tree.node_mut(child).flags = if is_new { NEW } else { 0 };
                    child
                }
                Some((_, Node { kind: NodeKind::Whiteout, .. })) => {
                    let child = self.tree.insert(id, &part, NodeKind::Implied, 0)?;
                    self.tree.node_mut(child).flags = OPAQUE | NEW;
                    child
                }
                // A file of the layers below gives way, as if no hard link had named it.
                Some((_, node)) if node.flags & BORROWED != 0 => {
                    let child = self.tree.insert(id, &part, NodeKind::Implied, 0)?;
                    self.tree.node_mut(child).flags = 0;
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

    /// The names that lead to a file, without the symbolic links to its directory. Nothing is made. Links of this layer are followed, and
    /// those of the layers below where this one has nothing in their place; without `below` those are as if they were not there.
    pub(super) fn steps(&self, path: &[u8], below: Option<UnionNode>) -> Result<Vec<Step>> {
        let sees_below = below.is_some();
        let root = Step { name: Vec::new(), own: Some(ROOT), below };
        let mut way = Vec::new();
        let (mut ahead, mut links) = (parts(path), 0);
        while let Some(part) = ahead.pop() {
            if part == b".." {
                way.pop();
                continue;
            }
            let step = self.step(way.last().unwrap_or(&root), part)?;
            let target = if ahead.is_empty() { None } else { self.target_of(&step, sees_below)? };
            let Some(target) = target else {
                way.push(step);
                continue;
            };
            links += 1;
            if links > LINKS_MAX || ahead.len() > PARTS_AHEAD_MAX {
                return Err(refuse(path, &step.name, "one symbolic link too many"));
            }
            ahead.extend(parts(&target));
            if target.starts_with(b"/") {
                way.clear();
            }
        }
        Ok(way)
    }

    fn step(&self, above: &Step, name: Vec<u8>) -> Result<Step> {
        let own = above.own.and_then(|above| self.tree.child(above, &name));
        let hides =
            own.map(|id| self.tree.node(id)).is_some_and(|own| !own.kind.is_directory() || own.flags & OPAQUE != 0);
        let below = match &above.below {
            Some(directory) if !hides => self.below.child(directory, &name)?,
            _ => None,
        };
        // What is no directory below goes for one of this layer.
        let below = below.filter(|below| own.is_none() || below.is_directory());
        Ok(Step { name, own, below })
    }

    /// What is behind a step if that is a symbolic link. A borrowed one is one of the layers below.
    fn target_of(&self, step: &Step, sees_below: bool) -> Result<Option<Vec<u8>>> {
        match (step.own.map(|id| *self.tree.node(id)), &step.below) {
            (Some(own), _) if own.flags & BORROWED != 0 && !sees_below => Ok(None),
            (Some(Node { kind: NodeKind::Leaf(FileType::Symlink), place, .. }), _) => {
                self.noted_target(place).map(Some)
            }
            (None, Some(below)) if below.inode().kind == FileType::Symlink => self.below.target(below).map(Some),
            _ => Ok(None),
        }
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
