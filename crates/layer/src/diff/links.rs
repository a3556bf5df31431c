//! Which names are one file.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use dhow_base::beneath::{Dir, FileKind};
use dhow_base::{Error, Result};

use super::node::Node;
use crate::tar::RelativePath;

/// The files of a tree that have several names there, each with its names in order.
#[derive(Debug, Default)]
pub(super) struct Links(HashMap<(u64, u64), Vec<RelativePath>>);

impl Links {
    pub(super) fn read(root: &Dir) -> Result<Self> {
        Self::read_as(root, RelativePath::root(), &[])
    }

    /// As [`Links::read`], with names below `top`, and without what is in the `hollow` directories there.
    pub(super) fn read_as(root: &Dir, top: RelativePath, hollow: &[&str]) -> Result<Self> {
        let failed = |path: &RelativePath, error| Error::io(format_args!("cannot read {path:?}"), error);
        let mut links: HashMap<(u64, u64), Vec<RelativePath>> = HashMap::new();
        let mut pending = vec![(top.clone(), root.child(OsStr::new(".")).map_err(|error| failed(&top, error))?)];
        while let Some((path, dir)) = pending.pop() {
            for name in dir.names().map_err(|error| failed(&path, error))? {
                let below = super::below(&path, &name)?;
                let name = OsStr::from_bytes(&name);
                let Some(found) = dir.stat_of(name).map_err(|error| failed(&below, error))? else { continue };
                if found.kind == FileKind::Directory {
                    if path == top && hollow.iter().any(|hollow| name == *hollow) {
                        continue;
                    }
                    pending.push((below.clone(), dir.child(name).map_err(|error| failed(&below, error))?));
                } else if found.links > 1 {
                    links.entry(found.identity).or_default().push(below);
                }
            }
        }
        links.retain(|_, names| names.len() > 1);
        for names in links.values_mut() {
            // The order of the walk: by components, not by bytes, in which `/` is above `.`.
            names.sort_by(|a, b| a.components().cmp(b.components()));
        }
        Ok(Self(links))
    }

    /// All names of a file; nothing when it has one.
    pub(super) fn group(&self, node: &Node) -> Option<&[RelativePath]> {
        self.0.get(&node.identity()).map(Vec::as_slice)
    }

    /// The name that the walk meets first.
    pub(super) fn first(&self, node: &Node) -> Option<&RelativePath> {
        self.group(node).and_then(<[_]>::first)
    }
}
