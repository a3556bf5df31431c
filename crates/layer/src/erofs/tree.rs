//! The names of a layer while it passes. Made for a million of them: 16 bytes each, their text, and a table to find them.

use std::hash::{BuildHasher, RandomState};

use dhow_base::{Error, Kind, Result};

/// Number of a node. A node's parent always has a smaller one.
pub(super) type NodeId = u32;

/// The root directory.
pub(super) const ROOT: NodeId = 0;

/// Names are kept in pieces of this size, so that growing never copies them.
const PIECE_BYTES: usize = 1 << 20;

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NodeKind {
    /// A directory: `place` is where its attributes are noted.
    Directory,
    /// A directory that only the path of something else tells of.
    Implied,
    /// Anything with an inode already: `place` is its slot.
    Leaf(super::inode::FileType),
    /// A mark that the name is not there.
    Whiteout,
}

impl NodeKind {
    pub(super) fn is_directory(self) -> bool {
        matches!(self, Self::Directory | Self::Implied)
    }
}

/// One name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Node {
    pub(super) parent: NodeId,
    name: u32,
    /// What `kind` says of it.
    pub(super) place: u32,
    name_length: u8,
    pub(super) kind: NodeKind,
    /// [`OPAQUE`], [`SHARED`], [`DEAD`], [`IMPLIED`], [`BORROWED`], [`NEW`].
    pub(super) flags: u8,
}

/// Hides what lower layers have in the directory.
pub(super) const OPAQUE: u8 = 1;
/// The inode has or had other names.
pub(super) const SHARED: u8 = 2;
/// Replaced by a later entry, with everything below.
pub(super) const DEAD: u8 = 4;
/// A directory of an outline that was implied: what it is like is found when the layers are laid over each other.
pub(super) const IMPLIED: u8 = 8;
/// A file of the layers below that is here as the target of a hard link, or a directory that is for such a file alone: the layer's own
/// whiteouts hide it.
pub(super) const BORROWED: u8 = 16;
/// A directory that was implied where the layer had removed what is below: it is not like that.
pub(super) const NEW: u8 = 32;

/// All names.
#[derive(Debug)]
pub(super) struct Tree {
    nodes: Vec<Node>,
    names: Vec<Vec<u8>>,
    /// Open addressing: a node's number plus one, 0 for an empty place. The length is a power of two.
    table: Vec<u32>,
    hasher: RandomState,
}

impl Tree {
    pub(super) fn new() -> Self {
        let root = Node { parent: ROOT, name: 0, place: 0, name_length: 0, kind: NodeKind::Implied, flags: 0 };
        Self { nodes: vec![root], names: Vec::new(), table: vec![0; 64], hasher: RandomState::new() }
    }

    pub(super) fn len(&self) -> u32 {
        self.nodes.len() as u32
    }

    pub(super) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id as usize]
    }

    pub(super) fn node_mut(&mut self, id: NodeId) -> &mut Node {
        &mut self.nodes[id as usize]
    }

    pub(super) fn name(&self, id: NodeId) -> &[u8] {
        let node = self.node(id);
        if node.name_length == 0 {
            return b"";
        }
        let (piece, start) = (node.name as usize / PIECE_BYTES, node.name as usize % PIECE_BYTES);
        &self.names[piece][start..start + usize::from(node.name_length)]
    }

    /// The child with a name.
    pub(super) fn child(&self, parent: NodeId, name: &[u8]) -> Option<NodeId> {
        match self.table[self.place_of(parent, name)] {
            0 => None,
            id => Some(id - 1),
        }
    }

    /// Adds a child, or puts it in the place of the one with that name.
    pub(super) fn insert(&mut self, parent: NodeId, name: &[u8], kind: NodeKind, place: u32) -> Result<NodeId> {
        if let Some(old) = self.child(parent, name) {
            if !self.node(old).kind.is_directory() || kind.is_directory() {
                let node = self.node_mut(old);
                (node.kind, node.place) = (kind, place);
                return Ok(old);
            }
            // What is below the old one goes with it.
            self.node_mut(old).flags |= DEAD;
        }
        let too_many = || Error::new(Kind::LimitExceeded, "the layer has more names than can be kept");
        let id = u32::try_from(self.nodes.len()).ok().filter(|id| *id < u32::MAX - 1).ok_or_else(too_many)?;
        let name_length = u8::try_from(name.len()).map_err(|_| too_many())?;
        let text = self.keep(name).ok_or_else(too_many)?;
        if self.nodes.len() * 4 >= self.table.len() * 3 {
            self.grow();
        }
        let at = self.place_of(parent, name);
        self.nodes.push(Node { parent, name: text, place, name_length, kind, flags: 0 });
        self.table[at] = id + 1;
        Ok(id)
    }

    fn keep(&mut self, name: &[u8]) -> Option<u32> {
        if self.names.last().is_none_or(|piece| piece.len() + name.len() > PIECE_BYTES) {
            self.names.push(Vec::with_capacity(if self.names.is_empty() { 4096 } else { PIECE_BYTES }));
        }
        let piece = self.names.len() - 1;
        let start = self.names[piece].len();
        self.names[piece].extend_from_slice(name);
        u32::try_from(piece * PIECE_BYTES + start).ok()
    }

    fn grow(&mut self) {
        let old = std::mem::take(&mut self.table);
        self.table = vec![0; old.len() * 2];
        for entry in old {
            if entry != 0 {
                let at = self.free_place(entry - 1);
                self.table[at] = entry;
            }
        }
    }

    fn free_place(&self, id: NodeId) -> usize {
        let mask = self.table.len() - 1;
        let mut at = self.hash(self.node(id).parent, self.name(id)) & mask;
        while self.table[at] != 0 {
            at = (at + 1) & mask;
        }
        at
    }

    /// Where the child with a name stands in the table, or belongs.
    fn place_of(&self, parent: NodeId, name: &[u8]) -> usize {
        let mask = self.table.len() - 1;
        let mut at = self.hash(parent, name) & mask;
        loop {
            match self.table[at] {
                0 => return at,
                entry if self.node(entry - 1).parent == parent && self.name(entry - 1) == name => return at,
                _ => at = (at + 1) & mask,
            }
        }
    }

    fn hash(&self, parent: NodeId, name: &[u8]) -> usize {
        // Keyed anew for each layer: nobody can choose names that collide.
        self.hasher.hash_one((parent, name)) as usize
    }

    /// The path of a node, without a slash before it.
    pub(super) fn path(&self, mut id: NodeId) -> Vec<u8> {
        let mut names = Vec::new();
        while id != ROOT {
            names.push(self.name(id));
            id = self.node(id).parent;
        }
        names.reverse();
        names.join(&b'/')
    }

    /// Whether a directory or one that it is in hides what the layers below have there.
    pub(super) fn is_under_opaque(&self, mut id: NodeId) -> bool {
        while self.node(id).flags & OPAQUE == 0 {
            if id == ROOT {
                return false;
            }
            id = self.node(id).parent;
        }
        true
    }

    /// Marks everything below a dead directory as dead, and what was borrowed and is hidden; gives the others sorted by parent and name.
    pub(super) fn sort(&mut self) -> Vec<NodeId> {
        let mut order = Vec::with_capacity(self.nodes.len());
        for id in 1..self.len() {
            let is_orphan = self.node(self.node(id).parent).flags & DEAD != 0;
            let is_hidden = self.node(id).flags & BORROWED != 0 && self.is_under_opaque(id);
            let node = self.node_mut(id);
            if is_orphan || is_hidden {
                node.flags |= DEAD;
            }
            if node.flags & DEAD == 0 {
                order.push(id);
            }
        }
        // The table is not needed any more, the sorted list is.
        self.table = vec![0; 1];
        order.sort_unstable_by(|a, b| {
            self.node(*a).parent.cmp(&self.node(*b).parent).then_with(|| self.name(*a).cmp(self.name(*b)))
        });
        order
    }
}

#[cfg(test)]
mod tests {
    use super::super::inode::FileType;
    use super::*;

    const LEAF: NodeKind = NodeKind::Leaf(FileType::File);

    #[test]
    fn finds_many_names() {
        let mut tree = Tree::new();
        let ids: Vec<NodeId> = (0..5000)
            .map(|number: u32| tree.insert(number % 7, format!("n{number}").as_bytes(), LEAF, number).expect("insert"))
            .collect();
        for (number, id) in (0_u32..).zip(ids) {
            assert_eq!(tree.child(number % 7, format!("n{number}").as_bytes()), Some(id));
            assert_eq!(tree.node(id).place, number);
        }
        assert_eq!(tree.child(0, b"n1"), None);
    }

    #[test]
    fn a_file_in_the_place_of_a_directory_takes_its_content_away() {
        let mut tree = Tree::new();
        let a = tree.insert(ROOT, b"a", NodeKind::Implied, 0).expect("a");
        let b = tree.insert(a, b"b", LEAF, 1).expect("b");
        assert_eq!(tree.path(b), b"a/b");
        let file = tree.insert(ROOT, b"a", LEAF, 2).expect("file");
        let first = tree.insert(ROOT, b"!", LEAF, 3).expect("another");
        assert_eq!(tree.child(ROOT, b"a"), Some(file));
        assert_eq!(tree.sort(), [first, file]);
    }

    #[test]
    fn a_node_is_small() {
        assert_eq!(size_of::<Node>(), 16);
    }
}
