//! Files by number, as the kernel asks for them.

use std::collections::HashMap;
use std::fs::File;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dhow_base::Result;
use dhow_layer::erofs::{Union, UnionNode};

/// The root's number (`FUSE_ROOT_ID`).
pub(super) const ROOT: u64 = 1;

/// Bits of a number that say which inode of a layer it is; a layer's number, counted from one, stands above. No layer file
/// has inodes beyond 2³⁷.
const INODE_BITS: u32 = 40;

/// A union whose files have numbers. A file's number says where its inode is, so that nothing is kept of files; of a
/// directory it does not say what it is merged of, so that directories are kept for as long as the kernel knows them.
pub(super) struct Tree {
    pub(super) union: Union<File>,
    root: Arc<UnionNode>,
    directories: Mutex<HashMap<u64, Known>>,
    /// The names of the directory that is listed just now, by number.
    listing: Mutex<Option<(u64, Names)>>,
}

/// Names of a directory.
pub(super) type Names = Arc<Vec<Vec<u8>>>;

/// A directory that the kernel knows.
struct Known {
    node: Arc<UnionNode>,
    parent: u64,
    /// How often the kernel was told of it and has not forgotten it yet.
    count: u64,
}

impl Tree {
    pub(super) fn new(union: Union<File>) -> Result<Self> {
        let root = Arc::new(union.root()?);
        Ok(Self { union, root, directories: Mutex::default(), listing: Mutex::default() })
    }

    /// The file with a number; nothing when there is none.
    pub(super) fn node(&self, number: u64) -> Result<Option<Arc<UnionNode>>> {
        if number == ROOT {
            return Ok(Some(Arc::clone(&self.root)));
        }
        if let Some(known) = locked(&self.directories).get(&number) {
            return Ok(Some(Arc::clone(&known.node)));
        }
        let layer = usize::try_from(number >> INODE_BITS).unwrap_or(usize::MAX).checked_sub(1);
        let nid = number & ((1 << INODE_BITS) - 1);
        let Some(layer) = layer else { return Ok(None) };
        Ok(self.union.file((layer, nid))?.map(Arc::new))
    }

    /// The file with a name in a directory, and its number.
    pub(super) fn child(&self, directory: &UnionNode, name: &[u8]) -> Result<Option<(u64, UnionNode)>> {
        Ok(self.union.child(directory, name)?.map(|node| (self.number(&node), node)))
    }

    fn number(&self, node: &UnionNode) -> u64 {
        let (layer, nid) = node.identity();
        // A layer file that lies could have its root in a directory once more.
        if self.root.identity() == (layer, nid) {
            return ROOT;
        }
        (layer as u64 + 1) << INODE_BITS | nid
    }

    /// Notes that the kernel was told of a file.
    pub(super) fn remember(&self, number: u64, node: UnionNode, parent: u64) {
        if number == ROOT || !node.is_directory() {
            return;
        }
        let mut directories = locked(&self.directories);
        directories.entry(number).or_insert_with(|| Known { node: Arc::new(node), parent, count: 0 }).count += 1;
    }

    /// Notes that the kernel forgot a file as often as it says.
    pub(super) fn forget(&self, number: u64, count: u64) {
        let mut directories = locked(&self.directories);
        if let Some(known) = directories.get_mut(&number) {
            known.count = known.count.saturating_sub(count);
            if known.count == 0 {
                directories.remove(&number);
            }
        }
    }

    /// The number of the directory that a directory is in.
    pub(super) fn parent(&self, number: u64) -> u64 {
        locked(&self.directories).get(&number).map_or(ROOT, |known| known.parent)
    }

    /// The names in a directory. Those listed last are kept, since the kernel asks for them piece by piece.
    pub(super) fn names(&self, number: u64, directory: &UnionNode) -> Result<Names> {
        if let Some((listed, names)) = &*locked(&self.listing)
            && *listed == number
        {
            return Ok(Arc::clone(names));
        }
        let names = Arc::new(self.union.names(directory)?);
        *locked(&self.listing) = Some((number, Arc::clone(&names)));
        Ok(names)
    }

    /// Lets the names of a directory go whose end was reached.
    pub(super) fn listed(&self, number: u64) {
        let mut listing = locked(&self.listing);
        if listing.as_ref().is_some_and(|(listed, _)| *listed == number) {
            *listing = None;
        }
    }

    #[cfg(test)]
    pub(super) fn known(&self) -> usize {
        locked(&self.directories).len()
    }
}

/// What is behind the lock is whole at any time: a thread that panicked left nothing half done.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test::{self, Entry};

    #[test]
    fn directories_are_kept_while_the_kernel_knows_them_and_files_are_found_by_number() {
        let folder = tempfile::tempdir().expect("a folder");
        let layers = test::layers(
            folder.path(),
            &[
                &[Entry::Directory("d"), Entry::File("d/a", b"lower"), Entry::HardLink("d/b", "d/a")],
                &[Entry::Directory("d"), Entry::File("d/c", b"upper")],
            ],
        );
        let tree = Tree::new(test::union(&layers)).expect("a tree");
        let root = tree.node(ROOT).expect("no error").expect("the root");
        let (number, directory) = tree.child(&root, b"d").expect("no error").expect("d");
        tree.remember(number, directory.clone(), ROOT);
        tree.remember(number, directory, ROOT);
        let directory = tree.node(number).expect("no error").expect("d by number");
        assert_eq!(tree.union.names(&directory).expect("names"), [b"a", b"b", b"c"]);
        let number_of = |name: &[u8]| tree.child(&directory, name).expect("no error").expect("a file").0;
        assert_eq!(number_of(b"a"), number_of(b"b"));
        assert_ne!(number_of(b"a"), number_of(b"c"));
        let file = tree.node(number_of(b"c")).expect("no error").expect("c by number");
        let mut data = [0; 16];
        assert_eq!(tree.union.read(&file, &mut data, 0).expect("data"), 5);
        assert_eq!(&data[..5], b"upper");
        tree.forget(number, 1);
        assert_eq!((tree.known(), tree.parent(number)), (1, ROOT));
        tree.forget(number, 1);
        assert_eq!(tree.known(), 0);
        // A directory that nobody told of, and what is in no layer.
        for wrong in [number, 0, 2, 9 << INODE_BITS | 1, u64::MAX] {
            assert!(!matches!(tree.node(wrong), Ok(Some(_))), "{wrong}");
        }
    }
}
