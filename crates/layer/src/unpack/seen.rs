//! Which paths a layer has itself, so that its whiteouts hide those of lower layers only (OCI image spec, layer.md).

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

use crate::tar::RelativePath;

/// A set of paths, kept as 64-bit hashes under a random key: a million of them take 18 MiB, and nobody who writes a layer
/// can make two collide.
#[derive(Debug, Default)]
pub(super) struct Seen {
    state: RandomState,
    hashes: HashSet<u64>,
}

impl Seen {
    /// Notes a path with all directories it lies in.
    pub(super) fn add(&mut self, path: &RelativePath) {
        let bytes = path.as_bytes();
        if !self.hashes.insert(self.state.hash_one(bytes)) {
            return;
        }
        for (index, _) in bytes.iter().enumerate().rev().filter(|(_, byte)| **byte == b'/') {
            if !self.hashes.insert(self.state.hash_one(&bytes[..index])) {
                return;
            }
        }
    }

    /// Notes a path alone.
    pub(super) fn add_alone(&mut self, path: &RelativePath) {
        self.hashes.insert(self.state.hash_one(path.as_bytes()));
    }

    /// Whether the path, or something below it, is the layer's own.
    pub(super) fn has(&self, path: &RelativePath) -> bool {
        self.hashes.contains(&self.state.hash_one(path.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_brings_those_above_along() {
        let path = |text: &str| RelativePath::parse(text.as_bytes()).expect("a path");
        let mut seen = Seen::default();
        seen.add(&path("a/b/c"));
        seen.add(&path("a/b2"));
        for (text, expected) in
            [("a", true), ("a/b", true), ("a/b/c", true), ("a/b2", true), ("a/c", false), ("b", false)]
        {
            assert_eq!(seen.has(&path(text)), expected, "{text}");
        }
    }
}
