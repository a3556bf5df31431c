//! Everything below a directory of a union.

use dhow_base::Result;

use super::format::damaged;
use super::storage::ReadAt;
use super::union::{Union, UnionNode};

/// Deepest directory: no path that a tar may have is longer.
const DEPTH_MAX: usize = 2048;

/// What to do after a file was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visit {
    /// Go on, into it if it is a directory.
    Enter,
    /// Leave out what is below it.
    Skip,
}

impl<R: ReadAt> Union<R> {
    /// Calls `visit` with every file below a directory and its path from there, parents before children, names in the order
    /// of their bytes.
    ///
    /// # Errors
    /// [`dhow_base::Kind::Corrupt`]; those of `visit`, which end it.
    pub fn walk(&self, start: &UnionNode, mut visit: impl FnMut(&[u8], &UnionNode) -> Result<Visit>) -> Result<()> {
        let mut open = vec![(start.clone(), self.entries(start)?.into_iter())];
        let mut path: Vec<u8> = Vec::new();
        let mut lengths: Vec<usize> = Vec::new();
        // Every directory is in one place: more of them than inodes means that they go round in circles.
        let mut directories_left = self.inodes();
        while let Some((directory, entries)) = open.last_mut() {
            let Some(entry) = entries.next() else {
                open.pop();
                path.truncate(lengths.pop().unwrap_or(0));
                continue;
            };
            let Some(child) = self.child_at(directory, &entry)? else { continue };
            let before = path.len();
            if before > 0 {
                path.push(b'/');
            }
            path.extend_from_slice(&entry.name);
            let enter = visit(&path, &child)? == Visit::Enter && child.is_directory();
            if !enter {
                path.truncate(before);
                continue;
            }
            directories_left = directories_left.saturating_sub(1);
            if open.len() >= DEPTH_MAX || directories_left == 0 {
                return Err(damaged("its directories are nested too deeply"));
            }
            lengths.push(before);
            let entries = self.entries(&child)?.into_iter();
            open.push((child, entries));
        }
        Ok(())
    }
}
