//! The file system in memory: every name and every byte in two images, and the operations that change them.

use std::collections::{BTreeMap, HashMap};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use fuser::{Errno, FileType};

use super::Promise;
use super::names::{Change, Ino, Operation, Pending};
use super::pages::Content;

/// The inode of the root directory, as FUSE numbers it.
pub(super) const ROOT: Ino = 1;

/// Owner, permission bits and time of a node.
#[derive(Clone, Copy, Debug)]
pub(super) struct Metadata {
    pub(super) permissions: u16,
    pub(super) user: u32,
    pub(super) group: u32,
    pub(super) modified: SystemTime,
}

impl Metadata {
    pub(super) fn new(mode: u32, user: u32, group: u32) -> Self {
        Self { permissions: (mode & 0o7777) as u16, user, group, modified: SystemTime::now() }
    }
}

/// The names in a directory, in both images.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    pub(super) live: BTreeMap<OsString, Ino>,
    pub(super) synced: BTreeMap<OsString, Ino>,
}

#[derive(Clone, Debug)]
pub(super) enum Body {
    File(Content),
    Directory(Names),
    Symlink(PathBuf),
}

impl Body {
    pub(super) fn kind(&self) -> FileType {
        match self {
            Body::File(_) => FileType::RegularFile,
            Body::Directory(_) => FileType::Directory,
            Body::Symlink(_) => FileType::Symlink,
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) body: Body,
    pub(super) metadata: Metadata,
    pub(super) synced_metadata: Metadata,
    /// How many live names it has.
    pub(super) links: u32,
    /// The name it had last, for the log of syncs.
    pub(super) label: OsString,
}

impl Node {
    pub(super) fn new(body: Body, metadata: Metadata, label: &OsStr) -> Self {
        Self { body, metadata, synced_metadata: metadata, links: 0, label: label.to_owned() }
    }
}

/// A whole file system. Nodes are never freed before the next mount: what is unlinked now may still be durable.
#[derive(Debug)]
pub(super) struct Volume {
    pub(super) nodes: HashMap<Ino, Node>,
    pub(super) next: Ino,
    pub(super) pending: Pending,
    pub(super) promise: Promise,
    /// What was synced, in order.
    pub(super) syncs: Vec<String>,
    /// The sync (from 1) at which the power fails.
    pub(super) cut_at: Option<u64>,
    pub(super) dead: bool,
}

impl Volume {
    pub(super) fn new(nodes: HashMap<Ino, Node>, next: Ino, promise: Promise) -> Self {
        Self { nodes, next, pending: Pending::default(), promise, syncs: Vec::new(), cut_at: None, dead: false }
    }

    pub(super) fn node(&self, ino: Ino) -> Result<&Node, Errno> {
        if self.dead { Err(Errno::EIO) } else { self.nodes.get(&ino).ok_or(Errno::ENOENT) }
    }

    fn node_mut(&mut self, ino: Ino) -> Result<&mut Node, Errno> {
        if self.dead { Err(Errno::EIO) } else { self.nodes.get_mut(&ino).ok_or(Errno::ENOENT) }
    }

    fn names(&self, directory: Ino) -> Result<&BTreeMap<OsString, Ino>, Errno> {
        match &self.node(directory)?.body {
            Body::Directory(names) => Ok(&names.live),
            _ => Err(Errno::ENOTDIR),
        }
    }

    fn content_mut(&mut self, ino: Ino) -> Result<&mut Content, Errno> {
        let node = self.node_mut(ino)?;
        node.metadata.modified = SystemTime::now();
        match &mut node.body {
            Body::File(content) => Ok(content),
            Body::Directory(_) => Err(Errno::EISDIR),
            Body::Symlink(_) => Err(Errno::EINVAL),
        }
    }

    pub(super) fn lookup(&self, directory: Ino, name: &OsStr) -> Result<Ino, Errno> {
        self.names(directory)?.get(name).copied().ok_or(Errno::ENOENT)
    }

    /// The names in a directory with their nodes and kinds, `.` and `..` first.
    pub(super) fn list(&self, directory: Ino) -> Result<Vec<(Ino, FileType, OsString)>, Errno> {
        let names = self.names(directory)?;
        // The kernel resolves `..` itself; the number given here is never looked at.
        let dots = [".", ".."].map(|dot| (directory, FileType::Directory, OsString::from(dot)));
        let entries = names.iter().map(|(name, &ino)| Ok((ino, self.node(ino)?.body.kind(), name.clone())));
        dots.into_iter().map(Ok).chain(entries).collect()
    }

    pub(super) fn read(&self, ino: Ino, offset: u64, size: u64) -> Result<Vec<u8>, Errno> {
        match &self.node(ino)?.body {
            Body::File(content) => Ok(content.read(offset, size)),
            Body::Directory(_) => Err(Errno::EISDIR),
            Body::Symlink(_) => Err(Errno::EINVAL),
        }
    }

    pub(super) fn read_link(&self, ino: Ino) -> Result<&Path, Errno> {
        match &self.node(ino)?.body {
            Body::Symlink(target) => Ok(target),
            _ => Err(Errno::EINVAL),
        }
    }

    pub(super) fn write(&mut self, ino: Ino, offset: u64, bytes: &[u8]) -> Result<(), Errno> {
        self.content_mut(ino).map(|content| content.write(offset, bytes))
    }

    pub(super) fn set_length(&mut self, ino: Ino, length: u64) -> Result<(), Errno> {
        self.content_mut(ino).map(|content| content.set_length(length))
    }

    pub(super) fn length(&self, ino: Ino) -> Result<u64, Errno> {
        match &self.node(ino)?.body {
            Body::File(content) => Ok(content.len()),
            _ => Err(Errno::EINVAL),
        }
    }

    pub(super) fn set_metadata(&mut self, ino: Ino, change: impl FnOnce(&mut Metadata)) -> Result<(), Errno> {
        self.node_mut(ino).map(|node| change(&mut node.metadata))
    }

    /// Makes a node and its first name in one step.
    pub(super) fn make(&mut self, directory: Ino, name: &OsStr, body: Body, metadata: Metadata) -> Result<Ino, Errno> {
        if self.names(directory)?.contains_key(name) {
            return Err(Errno::EEXIST);
        }
        let ino = self.next;
        self.next += 1;
        self.nodes.insert(ino, Node::new(body, metadata, name));
        self.apply(vec![change(directory, name, Some(ino))], None);
        Ok(ino)
    }

    /// Gives a file another name.
    pub(super) fn link(&mut self, ino: Ino, directory: Ino, name: &OsStr) -> Result<(), Errno> {
        if self.names(directory)?.contains_key(name) {
            return Err(Errno::EEXIST);
        }
        self.node(ino)?;
        self.apply(vec![change(directory, name, Some(ino))], None);
        Ok(())
    }

    pub(super) fn unlink(&mut self, directory: Ino, name: &OsStr) -> Result<(), Errno> {
        let ino = self.lookup(directory, name)?;
        if matches!(self.node(ino)?.body, Body::Directory(_)) {
            return Err(Errno::EISDIR);
        }
        self.apply(vec![change(directory, name, None)], None);
        Ok(())
    }

    pub(super) fn remove_directory(&mut self, directory: Ino, name: &OsStr) -> Result<(), Errno> {
        let ino = self.lookup(directory, name)?;
        if !self.names(ino)?.is_empty() {
            return Err(Errno::ENOTEMPTY);
        }
        self.apply(vec![change(directory, name, None)], Some(ino));
        Ok(())
    }

    pub(super) fn rename(&mut self, from: (Ino, &OsStr), to: (Ino, &OsStr), replace: bool) -> Result<(), Errno> {
        let ino = self.lookup(from.0, from.1)?;
        let is_directory = matches!(self.node(ino)?.body, Body::Directory(_));
        let mut touched = is_directory.then_some(ino);
        if let Some(&target) = self.names(to.0)?.get(to.1) {
            if !replace {
                return Err(Errno::EEXIST);
            }
            if target == ino {
                return Ok(());
            }
            match (is_directory, &self.node(target)?.body) {
                (true, Body::Directory(names)) if names.live.is_empty() => touched = Some(target),
                (true, Body::Directory(_)) => return Err(Errno::ENOTEMPTY),
                (true, _) => return Err(Errno::ENOTDIR),
                (false, Body::Directory(_)) => return Err(Errno::EISDIR),
                (false, _) => {}
            }
        }
        self.apply(vec![change(from.0, from.1, None), change(to.0, to.1, Some(ino))], touched);
        Ok(())
    }

    /// Carries out changes of names that were found possible: live at once, durable at a sync.
    fn apply(&mut self, changes: Vec<Change>, directory: Option<Ino>) {
        for change in &changes {
            let replaced = self.nodes.get_mut(&change.directory).and_then(|node| {
                node.metadata.modified = SystemTime::now();
                let Body::Directory(names) = &mut node.body else { return None };
                set(&mut names.live, change)
            });
            if let Some(node) = replaced.and_then(|ino| self.nodes.get_mut(&ino)) {
                node.links = node.links.saturating_sub(1);
            }
            if let Some(node) = change.node.and_then(|ino| self.nodes.get_mut(&ino)) {
                node.links += 1;
                node.label.clone_from(&change.name);
            }
        }
        self.pending.push(Operation { changes, directory });
    }

    /// `fsync` of a file or directory; at the sync chosen for the cut, the power fails before it takes effect.
    pub(super) fn sync(&mut self, ino: Ino) -> Result<(), Errno> {
        let label = self.node(ino)?.label.to_string_lossy().into_owned();
        if self.cut_at == Some(self.syncs.len() as u64 + 1) {
            self.dead = true;
            return Err(Errno::EIO);
        }
        let node = self.node_mut(ino)?;
        node.synced_metadata = node.metadata;
        let is_directory = match &mut node.body {
            Body::File(content) => {
                content.sync();
                false
            }
            Body::Directory(_) => true,
            Body::Symlink(_) => false,
        };
        self.syncs.push(if is_directory { format!("{label}/") } else { label });
        let durable = match self.promise {
            Promise::Journaled => self.pending.take_all(),
            Promise::Posix if is_directory => self.pending.take_for(ino),
            Promise::Posix => Vec::new(),
        };
        for change in durable.iter().flat_map(|operation| &operation.changes) {
            if let Some(Node { body: Body::Directory(names), .. }) = self.nodes.get_mut(&change.directory) {
                set(&mut names.synced, change);
            }
        }
        Ok(())
    }
}

/// Carries out one change in one image; returns what the name stood for.
pub(super) fn set(names: &mut BTreeMap<OsString, Ino>, change: &Change) -> Option<Ino> {
    match change.node {
        Some(ino) => names.insert(change.name.clone(), ino),
        None => names.remove(&change.name),
    }
}

fn change(directory: Ino, name: &OsStr, node: Option<Ino>) -> Change {
    Change { directory, name: name.to_owned(), node }
}
