//! Whose the files are that root makes in somebody else's place: theirs, who else could not use the place afterwards.
//!
//! Who owns a directory may put links in it, so nothing is given away by its path: only what was made just now, through the descriptor
//! of a directory that is the owner's as well.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};

use rustix::fs::{Mode, OFlags, fchown, fstat, mkdirat, open, openat};
use rustix::process::{Gid, Uid};

/// Somebody else's places.
static PLACES: RwLock<Vec<Place>> = RwLock::new(Vec::new());

#[derive(Debug)]
struct Place {
    root: PathBuf,
    owner: (Uid, Gid),
    private: &'static [&'static str],
}

/// Gives what root makes below `root` from now on, by the functions of this module, to the owner of `root`; not what is within the entries
/// of the directories `private`, which are named from there. Does nothing for who is not root, and in root's own places.
pub fn give_to_owner(root: &Path, private: &'static [&'static str]) {
    let Ok(found) = rustix::fs::stat(root) else { return };
    if !rustix::process::geteuid().is_root() || found.st_uid == 0 {
        return;
    }
    let Ok(root) = std::path::absolute(root) else { return };
    let owner = (Uid::from_raw(found.st_uid), Gid::from_raw(found.st_gid));
    let mut places = PLACES.write().unwrap_or_else(PoisonError::into_inner);
    if places.iter().all(|place| place.root != root) {
        places.push(Place { root, owner, private });
    }
}

impl Place {
    fn has(&self, path: &Path) -> bool {
        let Ok(within) = path.strip_prefix(&self.root) else { return false };
        let is_private =
            |private: &&str| within.strip_prefix(private).is_ok_and(|within| within.components().count() > 1);
        !self.private.iter().any(is_private)
    }
}

/// Where something is to be made that is given away.
#[derive(Debug)]
pub(super) struct Gift {
    directory: OwnedFd,
    name: OsString,
    owner: (Uid, Gid),
}

impl Gift {
    /// What is made at a path, if it is to be given to somebody: it is in the place and in a directory of theirs.
    pub(super) fn at(path: &Path) -> Option<Self> {
        let places = PLACES.read().unwrap_or_else(PoisonError::into_inner);
        if places.is_empty() {
            return None;
        }
        let whole = std::path::absolute(path).ok()?;
        let owner = places.iter().find(|place| place.has(&whole))?.owner;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = open(path.parent()?, flags, Mode::empty()).ok()?;
        let is_theirs = fstat(&directory).is_ok_and(|found| found.st_uid == owner.0.as_raw());
        is_theirs.then(|| Some(Self { directory, name: path.file_name()?.to_owned(), owner }))?
    }

    /// Makes a file, open for reading and writing, that is not there yet.
    pub(super) fn make_file(&self, mode: u32) -> io::Result<File> {
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::CLOEXEC;
        let file = openat(&self.directory, &self.name, flags, Mode::from_raw_mode(mode))?;
        self.give(&file);
        Ok(File::from(file))
    }

    /// Makes a directory that is not there yet.
    pub(super) fn make_directory(&self, mode: u32) -> io::Result<()> {
        mkdirat(&self.directory, &self.name, Mode::from_raw_mode(mode))?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        if let Ok(made) = openat(&self.directory, &self.name, flags, Mode::empty())
            && fstat(&made).is_ok_and(|found| found.st_uid == 0)
        {
            self.give(&made);
        }
        Ok(())
    }

    /// Where root may not give files away, as on NFS without root's rights, they are not root's either.
    fn give(&self, made: impl AsFd) {
        let _ = fchown(made, Some(self.owner.0), Some(self.owner.1));
    }
}
