//! A directory that appears under its name only when it is whole.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use dhow_base::beneath::{Dir, FileKind};
use dhow_base::{Error, Kind, Result};

/// Between the target's name and a number, in the names of directories under construction.
const MARK: &str = ".dhow-unpack-";

/// A directory under construction, beside the one that it is to become; dropped before that, it is removed.
///
/// It is marked by a lock as long as somebody works in it, so that the next run knows what a crash left and removes it.
#[derive(Debug)]
pub(crate) struct Pending {
    parent: Dir,
    parent_path: PathBuf,
    name: OsString,
    temporary: OsString,
    /// Holds the lock.
    _locked: Dir,
    is_placed: bool,
}

/// What may be in the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Existing {
    /// Nothing, or an empty directory.
    Refuse,
    /// A directory with anything in it, which is replaced.
    Replace,
}

impl Pending {
    /// Makes a directory that is to become `target`, and returns it with a handle to work in.
    pub(crate) fn new(target: &Path, existing: Existing) -> Result<(Self, Dir)> {
        let Some(name) = target.file_name() else {
            let message = format!("cannot unpack to {target:?}: a new directory takes the place, and needs a name");
            return Err(Error::new(Kind::Invalid, message).with_hint("name a directory that is not there yet"));
        };
        let parent_path = match target.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            _ => PathBuf::from("."),
        };
        let failed = |error: io::Error| Error::io(format_args!("cannot unpack to {target:?}"), error);
        // The parent is the user's own choice: links in it are followed.
        let parent_path = parent_path.canonicalize().map_err(failed)?;
        let parent = Dir::open(&parent_path).map_err(failed)?;
        check(&parent, target, name, existing)?;
        remove_left(&parent, name);
        for number in 0..u32::MAX {
            let mut temporary = OsString::from(".");
            temporary.push(name);
            temporary.push(format!("{MARK}{}-{number}", std::process::id()));
            match parent.make_dir(&temporary) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(error) => return Err(failed(error)),
            }
            let locked = parent.child(&temporary).map_err(failed)?;
            // Before anything is in it: another run may take it for a crash's until it is locked.
            if !locked.try_lock().map_err(failed)? {
                continue;
            }
            let Ok(work) = parent.child(&temporary) else { continue };
            let name = name.to_owned();
            let pending = Self { parent, parent_path, name, temporary, _locked: locked, is_placed: false };
            return Ok((pending, work));
        }
        Err(Error::new(Kind::Internal, format!("no temporary name is free beside {target:?}")))
    }

    /// Gives the directory its name, durably. Its content is on the disk already.
    pub(crate) fn place(mut self, existing: Existing) -> Result<()> {
        let target = self.parent_path.join(&self.name);
        let failed = |error: io::Error| Error::io(format_args!("cannot unpack to {target:?}"), error);
        match self.parent.rename_over(&self.temporary, &self.name) {
            Ok(()) => self.is_placed = true,
            Err(error) if existing == Existing::Replace && in_the_way(&error) => {
                check(&self.parent, &target, &self.name, existing)?;
                // From here on the temporary name is that of the old tree, which is removed when this is dropped.
                self.parent.exchange(&self.temporary, &self.name).map_err(failed)?;
            }
            Err(error) if in_the_way(&error) => return Err(occupied(&target)),
            Err(error) => return Err(failed(error)),
        }
        self.parent.sync().map_err(failed)
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if !self.is_placed
            && let Err(error) = self.parent.remove_tree(&self.temporary)
        {
            let path = self.parent_path.join(&self.temporary);
            tracing::warn!(?path, %error, "cannot remove what was unpacked");
        }
    }
}

/// Refuses targets that a rename could not or should not replace, before any work is done.
fn check(parent: &Dir, target: &Path, name: &OsStr, existing: Existing) -> Result<()> {
    let failed = |error: io::Error| Error::io(format_args!("cannot unpack to {target:?}"), error);
    let Some(found) = parent.stat_of(name).map_err(failed)? else { return Ok(()) };
    if found.kind != FileKind::Directory {
        let message = format!("cannot unpack to {target:?}: it exists and is no directory");
        return Err(Error::new(Kind::AlreadyExists, message).with_hint("name a directory that is not there yet"));
    }
    if found.identity.0 != parent.stat().map_err(failed)?.identity.0 {
        let message = format!("{target:?} is a mount point, which cannot be replaced");
        return Err(Error::new(Kind::Conflict, message).with_hint("unpack into a directory below it"));
    }
    if existing == Existing::Refuse && !parent.child(name).and_then(|dir| dir.names()).map_err(failed)?.is_empty() {
        return Err(occupied(target));
    }
    Ok(())
}

fn occupied(target: &Path) -> Error {
    Error::new(Kind::AlreadyExists, format!("cannot unpack to {target:?}: the directory is not empty"))
        .with_hint("name one that is not there yet; --force replaces it with all that is in it")
}

fn in_the_way(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory
    )
}

/// Removes what runs that were killed left for this target. That it does not work is no reason to stop.
fn remove_left(parent: &Dir, name: &OsStr) {
    let prefix = [b".", name.as_bytes(), MARK.as_bytes()].concat();
    for left in parent.names().unwrap_or_default().iter().filter(|left| left.starts_with(&prefix)) {
        let left = OsStr::from_bytes(left);
        let Ok(dir) = parent.child_with_rights(left) else { continue };
        if matches!(dir.try_lock(), Ok(true))
            && let Err(error) = parent.remove_tree(left)
        {
            tracing::warn!(?left, %error, "cannot remove what an earlier run left");
        }
    }
}
