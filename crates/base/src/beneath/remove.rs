//! Removing trees of any depth.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{self, AtFlags, Dir as Listing, FileType};
use rustix::io::Errno;

use super::{Dir, FileKind, missing_is_fine, set_mode};
use crate::fault;

/// How deep a tree is removed before what is below is moved up: descriptors are scarce, and names nest 2,000 deep.
const REMOVE_DEPTH_MAX: usize = 64;

impl Dir {
    /// Removes whatever has this name with all below it; a missing one is fine. Needs no more than some dozen descriptors,
    /// however deep it goes, and gives itself the rights of an owner where they are missing.
    ///
    /// # Errors
    /// The operating system's.
    pub fn remove_tree(&self, name: &OsStr) -> io::Result<()> {
        match self.stat_of(name)? {
            None => return Ok(()),
            Some(found) if found.kind != FileKind::Directory => return self.remove_file(name),
            Some(_) => {}
        }
        let mut moved = 0_u64;
        let top = self.child_with_rights(name)?;
        let mut pending = vec![(top, Vec::new())];
        loop {
            let Some((dir, _)) = pending.last() else { return Ok(()) };
            match next_child(dir)? {
                Some(child) => {
                    let child = OsStr::from_bytes(&child);
                    if pending.len() < REMOVE_DEPTH_MAX {
                        let opened = pending[pending.len() - 1].0.child_with_rights(child)?;
                        pending.push((opened, child.as_bytes().to_vec()));
                    } else {
                        // Up to the top, which is emptied again before it is removed.
                        moved += 1;
                        let new = format!(".dhow-moved-up-{}-{moved}", std::process::id());
                        let below = &pending[pending.len() - 1].0;
                        below.child_with_rights(child)?;
                        fs::renameat(&below.descriptor, child, &pending[0].0.descriptor, new.as_str())?;
                    }
                }
                None => {
                    let Some((_, removed)) = pending.pop() else { return Ok(()) };
                    match pending.last() {
                        Some((above, _)) => rmdir(above, OsStr::from_bytes(&removed))?,
                        None => return rmdir(self, name),
                    }
                }
            }
        }
    }

    /// Opens the directory of that name and sees to it that its owner may change it.
    ///
    /// # Errors
    /// The operating system's.
    pub fn child_with_rights(&self, name: &OsStr) -> io::Result<Self> {
        let opened = match self.child(name) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                self.set_mode_of(name, 0o700)?;
                self.child(name)?
            }
            other => other?,
        };
        let mode = opened.stat()?.mode;
        if mode & 0o700 != 0o700 {
            set_mode(&opened, mode | 0o700)?;
        }
        Ok(opened)
    }
}

/// Removes files of a directory until one is a directory itself, whose name is returned; nothing when it is empty.
fn next_child(dir: &Dir) -> io::Result<Option<Vec<u8>>> {
    for entry in Listing::read_from(&dir.descriptor)? {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        match fs::unlinkat(&dir.descriptor, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(Errno::ISDIR) => return Ok(Some(name.to_bytes().to_vec())),
            // POSIX's answer for directories; Linux has it for files of others in a sticky directory too.
            Err(Errno::PERM) if entry.file_type() == FileType::Directory => return Ok(Some(name.to_bytes().to_vec())),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(None)
}

fn rmdir(dir: &Dir, name: &OsStr) -> io::Result<()> {
    fault::point("beneath.rmdir")?;
    missing_is_fine(fs::unlinkat(&dir.descriptor, name, AtFlags::REMOVEDIR))
}
