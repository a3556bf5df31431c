//! Directories of lower layers that something else of the layer under way has taken the name of.
//!
//! Where every layer is unpacked apart, as containerd does for overlayfs, the last entry of a name counts, and where that is a
//! directory it merges with those below, whatever the layer had under the name before. So such a directory is kept until its layer ends.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::os::unix::ffi::OsStrExt;

use dhow_base::Result;
use dhow_base::beneath::{self, Dir, FileKind};

use super::Unpacker;
use super::directories::OpenDirectory;
use super::failure::Failure;
use crate::tar::RelativePath;

/// Where they are kept: in a directory of the root whose name no layer can know.
#[derive(Debug)]
pub(super) struct Aside {
    /// Name of the directory, which is there once something was kept in it.
    name: OsString,
    is_made: bool,
    /// Names in it, by the path that each had.
    kept: HashMap<RelativePath, OsString>,
    serial: u64,
}

impl Default for Aside {
    fn default() -> Self {
        let name = format!(".dhow-aside-{:016x}", RandomState::new().hash_one(0)).into();
        Self { name, is_made: false, kept: HashMap::new(), serial: 0 }
    }
}

impl Aside {
    /// Whether this is the directory's own name in the root.
    pub(super) fn is_at(&self, path: &RelativePath) -> bool {
        self.is_made && path.as_bytes() == self.name.as_bytes()
    }

    /// A whiteout speaks of a path: what was there does not come back.
    pub(super) fn forget_below(&mut self, path: &RelativePath) {
        self.kept.retain(|kept, _| !kept.is_within(path));
    }
}

impl Unpacker {
    /// Makes room for what is no directory. A directory is kept aside: it may be of the layers below, or have the file that a hard link names.
    pub(super) fn make_way(&mut self, above: &OpenDirectory, name: &OsStr) -> Result<(), Failure> {
        let failed = |error| Failure::io("cannot move what is in its place", error);
        let found = above.dir.stat_of(name).map_err(failed)?;
        let Some(found) = found.filter(|found| found.kind == FileKind::Directory) else {
            return self.remove(above, name);
        };
        // Open directories may lie in it.
        self.directories.forget(above)?;
        let root = self.directories.open(&RelativePath::root(), false)?;
        if !self.aside.is_made {
            root.dir.make_dir(&self.aside.name).map_err(failed)?;
            self.aside.is_made = true;
        }
        let kept = OsString::from(self.aside.serial.to_string());
        self.aside.serial += 1;
        let aside = root.dir.child(&self.aside.name).map_err(failed)?;
        move_directory(&above.dir, name, (&aside, &kept), found.mode).map_err(failed)?;
        // The first layer has none below it.
        if self.seen.is_some() {
            self.aside.kept.insert(above.path_of(name)?, kept);
        }
        Ok(())
    }

    /// Makes a directory in the place of something else of its layer: the one of the layers below, if there was one.
    pub(super) fn bring_back(
        &mut self,
        path: &RelativePath,
        above: &OpenDirectory,
        name: &OsStr,
    ) -> Result<(), Failure> {
        let Some(kept) = self.aside.kept.remove(path) else {
            self.has_made(path);
            return above.dir.make_dir(name).map_err(|error| Failure::io("cannot create the directory", error));
        };
        self.move_back(&kept, path, above, name)?;
        // What hid these lost its name with what had the name of this one.
        let mut below: Vec<_> = self.aside.kept.keys().filter(|kept| kept.is_within(path)).cloned().collect();
        below.sort();
        for path in below {
            let (Some(kept), Some((above, name))) = (self.aside.kept.remove(&path), path.split()) else { continue };
            let above = self.directories.open(&RelativePath::parse(above).unwrap_or_default(), false)?;
            self.move_back(&kept, &path, &above, OsStr::from_bytes(name))?;
        }
        Ok(())
    }

    fn move_back(
        &mut self,
        kept: &OsStr,
        path: &RelativePath,
        above: &OpenDirectory,
        name: &OsStr,
    ) -> Result<(), Failure> {
        let failed = |error| Failure::io("cannot bring back what was in its place", error);
        let root = self.directories.open(&RelativePath::root(), false)?;
        let aside = root.dir.child(&self.aside.name).map_err(failed)?;
        let mode = aside.stat_of(kept).map_err(failed)?.map_or(0, |found| found.mode);
        move_directory(&aside, kept, (&above.dir, name), mode).map_err(failed)?;
        self.remove_own_below(path, above, name)
    }

    /// Removes what the layer itself had in a directory before that lost its name.
    fn remove_own_below(&mut self, path: &RelativePath, above: &OpenDirectory, name: &OsStr) -> Result<(), Failure> {
        let opened = self.directories.adopt(above, path, name)?;
        let names = opened.dir.names().map_err(|error| Failure::io(format!("cannot list {path:?}"), error))?;
        for name in names {
            let (child, name) = (opened.path_of(OsStr::from_bytes(&name))?, OsStr::from_bytes(&name));
            if self.seen.as_ref().is_none_or(|seen| !seen.has(&child)) {
                continue;
            }
            let found = opened.dir.stat_of(name).map_err(|error| Failure::io("cannot stat", error))?;
            match found.is_some_and(|found| found.kind == FileKind::Directory) {
                true if !self.made.has(&child) => self.remove_own_below(&child, &opened, name)?,
                _ => self.remove(&opened, name)?,
            }
        }
        Ok(())
    }

    /// The layer has ended: what is aside is hidden for good.
    pub(super) fn drop_aside(&mut self) -> Result<(), Failure> {
        if self.aside.is_made {
            let root = self.directories.open(&RelativePath::root(), false)?;
            root.dir
                .remove_tree(&self.aside.name)
                .map_err(|error| Failure::io("cannot remove what is hidden", error))?;
            self.aside = Aside::default();
        }
        Ok(())
    }
}

/// Moves a directory, which takes rights on it where it is not root who does.
fn move_directory(from: &Dir, name: &OsStr, (to, new): (&Dir, &OsStr), mode: u32) -> io::Result<()> {
    match from.rename(name, to, new) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            let dir = from.child_with_rights(name)?;
            from.rename(name, to, new)?;
            beneath::set_mode(&dir, mode)
        }
        other => other,
    }
}
