//! One entry onto the tree.

use std::ffi::OsStr;
use std::io::{self, BufRead};
use std::os::unix::ffi::OsStrExt;
use std::rc::Rc;
use std::sync::Arc;

use dhow_base::beneath::{self, Dir, FileKind};
use dhow_base::fs::start_writeback;

use super::Unpacker;
use super::directories::{DEFAULT_ACL, OpenDirectory};
use super::failure::Failure;
use super::files::{self, Born, Job, SMALL_BYTES_MAX};
use super::owners::Owners;
use crate::tar::{Entry, EntryKind, RelativePath, SparseMap, TarReader};

/// Attributes that come with the file system rather than with the layer.
const KEPT_XATTRS: &[&[u8]] = &[b"security.selinux", b"security.ima", b"security.evm"];

impl Unpacker {
    pub(super) fn make<R: BufRead>(&mut self, entry: &Entry, reader: &mut TarReader<R>) -> Result<(), Failure> {
        self.directories.trim(&entry.path)?;
        match &entry.kind {
            EntryKind::AufsMetadata => return Ok(()),
            EntryKind::Whiteout(_) => return self.hide(&entry.path, false),
            EntryKind::Opaque => return self.hide(&entry.path, true),
            _ => {}
        }
        let Some((above, name)) = entry.path.split() else { return self.make_root(entry) };
        let (above, name) = (RelativePath::parse(above).unwrap_or_default(), OsStr::from_bytes(name));
        let opened = self.open_above(&above)?;
        let is_elsewhere = self.seen.is_some() && *opened.path() != above;
        let moved =
            is_elsewhere.then(|| opened.path_of(name).map(|path| Entry { path, ..entry.clone() })).transpose()?;
        let (entry, above) = (moved.as_ref().unwrap_or(entry), opened);
        if let Some(seen) = &mut self.seen {
            seen.add(&entry.path);
        }
        match &entry.kind {
            EntryKind::Directory { opaque } => self.make_directory(entry, &above, name, *opaque),
            EntryKind::File { size, sparse } => self.make_file(entry, &above, name, *size, sparse.as_ref(), reader),
            EntryKind::HardLink { target } => self.make_link(target, &above, name),
            EntryKind::Symlink { target } => {
                self.replacing(&above, name, |dir| dir.make_symlink(name, target))?;
                self.finish_special(entry, &above, name, false)
            }
            EntryKind::Fifo => self.make_node(entry, &above, name, FileKind::Fifo, (0, 0)),
            EntryKind::CharDevice { major, minor } => {
                self.make_node(entry, &above, name, FileKind::CharDevice, (*major, *minor))
            }
            EntryKind::BlockDevice { major, minor } => {
                self.make_node(entry, &above, name, FileKind::BlockDevice, (*major, *minor))
            }
            EntryKind::Whiteout(_) | EntryKind::Opaque | EntryKind::AufsMetadata => Ok(()),
        }
    }

    /// The entry of the root itself, which can be nothing but a directory.
    fn make_root(&mut self, entry: &Entry) -> Result<(), Failure> {
        let EntryKind::Directory { opaque } = entry.kind else {
            return Err(Failure::say("the root can only be a directory".to_owned()));
        };
        if opaque {
            self.hide(&entry.path, true)?;
        }
        let root = self.directories.open(&RelativePath::root(), false)?;
        self.dress(entry, &root, None)
    }

    fn make_directory(
        &mut self,
        entry: &Entry,
        above: &OpenDirectory,
        name: &OsStr,
        opaque: bool,
    ) -> Result<(), Failure> {
        match above.dir.make_dir(name) {
            Ok(()) => {
                self.has_made(&entry.path);
                let made = self.directories.adopt_new(above, &entry.path, name)?;
                return self.dress(entry, &made.directory, made.owner);
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let found = above.dir.stat_of(name).map_err(|error| Failure::io("cannot stat", error))?;
                if found.is_none_or(|found| found.kind != FileKind::Directory) {
                    self.remove(above, name)?;
                    self.bring_back(&entry.path, above, name)?;
                }
            }
            Err(error) => return Err(Failure::io("cannot create the directory", error)),
        }
        if opaque {
            self.hide(&entry.path, true)?;
        }
        let opened = self.directories.adopt(above, &entry.path, name)?;
        self.dress(entry, &opened, None)
    }

    /// Gives an open directory what its entry says; rights and times come when it is settled. A new one, whose owner is given,
    /// has nothing that has to go.
    fn dress(
        &mut self,
        entry: &Entry,
        directory: &Rc<OpenDirectory>,
        new_owner: Option<(u32, u32)>,
    ) -> Result<(), Failure> {
        let failed = |error| Failure::io("cannot replace the extended attributes", error);
        let stale = if new_owner.is_some() { Vec::new() } else { beneath::xattrs(&directory.dir).map_err(failed)? };
        for (name, _) in stale {
            if !KEPT_XATTRS.contains(&name.as_slice()) && !entry.xattrs.iter().any(|xattr| xattr.name == name) {
                beneath::remove_xattr(&directory.dir, &name).map_err(failed)?;
            }
        }
        let is_plain = new_owner.is_some() && entry.xattrs.is_empty();
        let born = Born { owner: new_owner, mode: is_plain.then_some(entry.mode) };
        files::set_metadata(&directory.dir, entry, born, &self.owners, &self.notes)?;
        // Until it is settled, files are made in it.
        if !is_plain && entry.mode & 0o700 != 0o700 {
            beneath::set_mode(&directory.dir, entry.mode | 0o700)
                .map_err(|error| Failure::io("cannot set the mode", error))?;
        }
        let default_acl = entry.xattrs.iter().find(|xattr| xattr.name == DEFAULT_ACL).map(|acl| acl.value.clone());
        directory.set(entry.mode, entry.mtime, default_acl);
        Ok(())
    }

    fn make_file<R: BufRead>(
        &mut self,
        entry: &Entry,
        above: &OpenDirectory,
        name: &OsStr,
        size: u64,
        sparse: Option<&SparseMap>,
        reader: &mut TarReader<R>,
    ) -> Result<(), Failure> {
        let mode = self.mode_at_birth(entry);
        let file = self.replacing(above, name, |dir| dir.make_file_with(name, mode))?;
        let owner = above.gives(&file, mode).map_err(|error| Failure::io("cannot look at it", error))?;
        let born = Born { owner, mode: owner.map(|_| mode) };
        let (mut content, mut asked) = (Vec::new(), 0);
        match sparse {
            Some(map) => {
                let failed = |error| Failure::io("cannot write", error);
                beneath::set_length(&file, size).map_err(failed)?;
                for extent in map.extents() {
                    let (mut offset, end) = (extent.offset, extent.offset + extent.length);
                    while offset < end {
                        let chunk = reader.data_up_to(end - offset)?;
                        beneath::write_at(&file, chunk, offset).map_err(failed)?;
                        offset += chunk.len() as u64;
                    }
                }
            }
            None if size <= SMALL_BYTES_MAX => {
                content.reserve_exact(size as usize);
                while reader.data_left() > 0 {
                    content.extend_from_slice(reader.data()?);
                }
            }
            None => {
                let mut offset = 0;
                while reader.data_left() > 0 {
                    let chunk = reader.data()?;
                    beneath::write_at(&file, chunk, offset).map_err(|error| Failure::io("cannot write", error))?;
                    offset += chunk.len() as u64;
                    if self.writes_back && offset - asked >= files::WRITEBACK_BYTES {
                        start_writeback(&file, asked..offset);
                        asked = offset;
                    }
                }
            }
        }
        let write_back = (self.writes_back && size >= files::WRITEBACK_BYTES_MIN).then_some(asked..size);
        let (entry, layer) = (entry.clone(), Arc::clone(&self.layer_name));
        self.writers.push(Job { file, born, content, write_back, entry, layer })
    }

    /// The mode that a file is made with: its own, if it then has that, and nothing stands in the way of its attributes: who has not root's
    /// rights sets them on files that can be written only. The root keeps everybody else out.
    fn mode_at_birth(&self, entry: &Entry) -> u32 {
        let is_given = self.umask.is_some_and(|umask| entry.mode & umask == 0) && entry.mode & !0o777 == 0;
        let has_attributes = !entry.xattrs.is_empty() || matches!(self.owners, Owners::Record);
        let is_in_the_way = has_attributes && entry.mode & 0o200 == 0;
        if is_given && !is_in_the_way { entry.mode } else { 0o600 }
    }

    fn make_link(&mut self, target: &RelativePath, above: &OpenDirectory, name: &OsStr) -> Result<(), Failure> {
        let Some((target_above, target_name)) = target.split() else {
            return Err(Failure::say("a hard link to the root".to_owned()));
        };
        let (target_above, target_name) =
            (RelativePath::parse(target_above).unwrap_or_default(), OsStr::from_bytes(target_name));
        // A directory that was reached by a link is not kept: what is known of paths in a layer leads through none.
        let is_plain =
            self.directories.is_known(&target_above) || self.directories.open_plain(&target_above)?.is_some();
        let target_above = self.directories.open(&target_above, false)?;
        let made = self.link_to(target, (&target_above, target_name), (above, name));
        if !is_plain {
            self.directories.forget(above)?;
        }
        made
    }

    fn link_to(
        &mut self,
        target: &RelativePath,
        (target_above, target_name): (&OpenDirectory, &OsStr),
        (above, name): (&OpenDirectory, &OsStr),
    ) -> Result<(), Failure> {
        let failed = |error| Failure::io(format!("cannot link to {target:?}"), error);
        let Some(found) = target_above.dir.stat_of(target_name).map_err(failed)? else {
            if self.left_out.has(&target_above.path_of(target_name)?) {
                self.remove(above, name)?;
                return self.leave_out(above, name);
            }
            return Err(Failure::say(format!("the target of the hard link, {target:?}, does not exist")));
        };
        if found.kind == FileKind::Directory {
            return Err(Failure::say(format!("the target of the hard link, {target:?}, is a directory")));
        }
        let existing = above.dir.stat_of(name).map_err(failed)?;
        if existing.is_some_and(|existing| existing.identity == found.identity) {
            return Ok(());
        }
        let linked = |dir: &Dir| target_above.dir.make_link(target_name, dir, name);
        self.replacing(above, name, linked).map_err(|failure| failure.context(format!("cannot link to {target:?}")))
    }

    fn make_node(
        &mut self,
        entry: &Entry,
        above: &OpenDirectory,
        name: &OsStr,
        kind: FileKind,
        device: (u32, u32),
    ) -> Result<(), Failure> {
        if self.owners == Owners::Record {
            // The attribute says what it is; without root's rights nothing else can.
            let file = self.replacing(above, name, |dir| dir.make_file(name))?;
            let (born, layer) = (Born::default(), Arc::clone(&self.layer_name));
            let job = Job { file, born, content: Vec::new(), write_back: None, entry: entry.clone(), layer };
            return self.writers.push(job);
        }
        match self.replacing(above, name, |dir| dir.make_node(name, kind, device)) {
            Ok(()) => self.finish_special(entry, above, name, true),
            Err(failure) if failure.is_denied() && kind != FileKind::Fifo => self.leave_out(above, name),
            Err(failure) => Err(failure),
        }
    }

    /// Notes that a device was not made, for hard links to it too.
    fn leave_out(&mut self, above: &OpenDirectory, name: &OsStr) -> Result<(), Failure> {
        let path = above.path_of(name)?;
        self.left_out.add(&path);
        self.notes.add("devices", "making them needs root's rights", &path);
        Ok(())
    }

    /// Owner, attributes, rights and time of what cannot be opened.
    fn finish_special(
        &mut self,
        entry: &Entry,
        above: &OpenDirectory,
        name: &OsStr,
        has_mode: bool,
    ) -> Result<(), Failure> {
        let dir = &above.dir;
        match &self.owners {
            Owners::Keep(map) => {
                let (uid, gid) = map.map(entry.uid, entry.gid)?;
                if above.owner_of_new() != Some((uid, gid)) {
                    dir.set_owner_of(name, uid, gid).map_err(|error| files::cannot_chown(uid, gid, error))?;
                }
            }
            Owners::Record if (entry.uid, entry.gid) != (0, 0) => {
                // The kernel keeps user attributes off symbolic links.
                self.notes.add("owners of symbolic links", "they cannot have the attribute", &entry.path);
            }
            Owners::Record | Owners::Caller => {}
        }
        for xattr in &entry.xattrs {
            let set = dir.set_xattr_of(name, &xattr.name, &xattr.value);
            set.or_else(|error| files::tolerate(xattr, error, entry, &self.notes))?;
        }
        if has_mode {
            dir.set_mode_of(name, entry.mode).map_err(|error| Failure::io("cannot set the mode", error))?;
        }
        dir.set_modified_of(name, entry.mtime.seconds, entry.mtime.nanoseconds)
            .map_err(|error| Failure::io("cannot set the time", error))
    }

    /// Makes something in the place of whatever has the name.
    fn replacing<T>(
        &mut self,
        above: &OpenDirectory,
        name: &OsStr,
        make: impl Fn(&Dir) -> io::Result<T>,
    ) -> Result<T, Failure> {
        match make(&above.dir) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            other => return other.map_err(|error| Failure::io("cannot create it", error)),
        }
        self.make_way(above, name)?;
        make(&above.dir).map_err(|error| Failure::io("cannot create it", error))
    }

    pub(super) fn remove(&mut self, above: &OpenDirectory, name: &OsStr) -> Result<(), Failure> {
        let failed = |error| Failure::io("cannot remove what is in its place", error);
        let found = above.dir.stat_of(name).map_err(failed)?;
        match found.map(|found| found.kind) {
            None => Ok(()),
            // Open directories may lie in it, or have been reached through it.
            Some(FileKind::Directory | FileKind::Symlink) => {
                self.directories.forget(above)?;
                above.dir.remove_tree(name).map_err(failed)
            }
            Some(_) => above.dir.remove_file(name).map_err(failed),
        }
    }

    /// Removes what lower layers have at a path, or in the directory there.
    fn hide(&mut self, path: &RelativePath, only_below: bool) -> Result<(), Failure> {
        let Some((above, name)) = path.split() else {
            self.aside.forget_below(path);
            return self.hide_below(path, path);
        };
        let (above, name) = (RelativePath::parse(above).unwrap_or_default(), OsStr::from_bytes(name));
        // Docker and podman make the directory that is spoken of, and so does a layer's file, also where there is nothing to hide.
        let opened = self.open_above(if only_below { path } else { &above })?;
        let Some(seen) = &mut self.seen else { return Ok(()) };
        seen.add(opened.path());
        if only_below {
            self.aside.forget_below(opened.path());
            return self.hide_below(path, opened.path());
        }
        let found = opened.path_of(name)?;
        self.aside.forget_below(&found);
        if seen.has(&found) {
            return self.hide_below(path, &found);
        }
        self.remove(&opened, name)
    }

    /// Removes all in a directory that the layer under way does not have itself; the directory stays, and so do links.
    fn hide_below(&mut self, top: &RelativePath, path: &RelativePath) -> Result<(), Failure> {
        if self.seen.is_none() {
            return Ok(());
        }
        let mut pending = vec![path.clone()];
        while let Some(path) = pending.pop() {
            self.directories.trim(&path)?;
            let opened = match path.split() {
                None => self.directories.open(&path, false)?,
                Some((above, name)) => {
                    let above = RelativePath::parse(above).unwrap_or_default();
                    let above = match self.directories.open(&above, false) {
                        Ok(above) => above,
                        Err(failure) if failure.is_missing() => continue,
                        Err(failure) => return Err(failure),
                    };
                    let name = OsStr::from_bytes(name);
                    let found = above.dir.stat_of(name).map_err(|error| Failure::io("cannot stat", error))?;
                    if found.is_none_or(|found| found.kind != FileKind::Directory) {
                        continue;
                    }
                    self.directories.adopt(&above, &path, name)?
                }
            };
            let names = opened.dir.names().map_err(|error| Failure::io(format!("cannot list {top:?}"), error))?;
            for name in names {
                let child = path.join(&name).map_err(|error| Failure::say(error.to_string()))?;
                if self.aside.is_at(&child) {
                    continue;
                }
                if self.seen.as_ref().is_some_and(|seen| seen.has(&child)) {
                    pending.push(child);
                } else {
                    self.remove(&opened, OsStr::from_bytes(&name))?;
                }
            }
        }
        Ok(())
    }
}
