//! Changes of names that no sync has made durable yet, and what must become durable together.

use std::collections::BTreeSet;
use std::ffi::OsString;

/// An inode number.
pub(super) type Ino = u64;

/// One name gained or lost.
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub(super) directory: Ino,
    pub(super) name: OsString,
    /// What the name stands for from now on; `None` when it is gone.
    pub(super) node: Option<Ino>,
}

/// Changes that happen in one step: both sides of a rename, in whichever directories they are.
///
/// Every file system with a journal keeps a rename whole, so a file is never found under both names or under neither.
#[derive(Clone, Debug)]
pub(super) struct Operation {
    pub(super) changes: Vec<Change>,
    /// The directory that this operation removes or moves, if any.
    pub(super) directory: Option<Ino>,
}

impl Operation {
    fn touches(&self, directory: Ino) -> bool {
        self.changes.iter().any(|change| change.directory == directory)
    }

    /// Whether this operation makes no sense on disk without the earlier one.
    fn needs(&self, earlier: &Self) -> bool {
        let same_name = self.changes.iter().any(|mine| {
            earlier.changes.iter().any(|other| mine.directory == other.directory && mine.name == other.name)
        });
        // A directory goes only once what was in it went; and moves of directories keep their order, or they form rings.
        let directories =
            self.directory.is_some_and(|directory| earlier.touches(directory) || earlier.directory.is_some());
        same_name || directories
    }
}

/// The operations that no sync has covered, oldest first.
#[derive(Clone, Debug, Default)]
pub(super) struct Pending {
    operations: Vec<Operation>,
}

impl Pending {
    pub(super) fn push(&mut self, operation: Operation) {
        self.operations.push(operation);
    }

    pub(super) fn all(&self) -> &[Operation] {
        &self.operations
    }

    /// Takes out everything.
    pub(super) fn take_all(&mut self) -> Vec<Operation> {
        std::mem::take(&mut self.operations)
    }

    /// Takes out what a sync of `directory` makes durable: the changes in it, and the earlier ones these build on.
    pub(super) fn take_for(&mut self, directory: Ino) -> Vec<Operation> {
        let mut chosen = BTreeSet::new();
        for index in (0..self.operations.len()).rev() {
            let operation = &self.operations[index];
            let needed = || chosen.iter().any(|&later: &usize| self.operations[later].needs(operation));
            if operation.touches(directory) || needed() {
                chosen.insert(index);
            }
        }
        let (mut taken, mut left) = (Vec::new(), Vec::new());
        for (index, operation) in self.take_all().into_iter().enumerate() {
            if chosen.contains(&index) { taken.push(operation) } else { left.push(operation) }
        }
        self.operations = left;
        taken
    }

    /// A choice of operations that could have reached the disk by themselves: none without those it needs.
    pub(super) fn some(&self, mut keep: impl FnMut() -> bool) -> Vec<&Operation> {
        let mut lost: Vec<&Operation> = Vec::new();
        let mut kept = Vec::new();
        for operation in &self.operations {
            if lost.iter().all(|earlier| !operation.needs(earlier)) && keep() {
                kept.push(operation);
            } else {
                lost.push(operation);
            }
        }
        kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(directory: Ino, name: &str, node: Option<Ino>) -> Change {
        Change { directory, name: name.into(), node }
    }

    fn operation(changes: Vec<Change>) -> Operation {
        Operation { changes, directory: None }
    }

    #[test]
    fn a_sync_takes_its_directory_and_what_that_builds_on() {
        let mut pending = Pending::default();
        pending.push(operation(vec![change(1, "temporary", Some(9))]));
        pending.push(operation(vec![change(1, "other", Some(8))]));
        pending.push(operation(vec![change(1, "temporary", None), change(2, "final", Some(9))]));
        let taken = pending.take_for(2);
        assert_eq!(taken.len(), 2, "the rename and the creation before it, not the other file");
        assert_eq!(pending.all().len(), 1);
        assert_eq!(pending.all()[0].changes[0].name, "other");
    }

    #[test]
    fn removing_a_directory_needs_what_was_moved_out_of_it() {
        let mut pending = Pending::default();
        pending.push(operation(vec![change(5, "file", None), change(2, "file", Some(9))]));
        pending.push(Operation { changes: vec![change(1, "five", None)], directory: Some(5) });
        assert_eq!(pending.take_for(1).len(), 2);
    }

    #[test]
    fn a_random_choice_never_keeps_a_change_without_the_one_below_it() {
        let mut pending = Pending::default();
        pending.push(operation(vec![change(1, "a", Some(9))]));
        pending.push(operation(vec![change(1, "a", None), change(1, "b", Some(9))]));
        let mut turns = [false, true].into_iter();
        assert!(pending.some(|| turns.next().unwrap_or(true)).is_empty());
    }
}
