//! Open directories, and what they shall look like once nothing is made in them any more.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::rc::Rc;

use dhow_base::beneath::{self, Dir, Stat};
use dhow_base::{Error, Result};

use super::failure::Failure;
use super::files;
use crate::tar::{RelativePath, Time};

/// Directories kept open, of the descriptors that a process usually has; beyond it all are settled and opened anew when needed.
const OPEN_MAX: usize = 256;

/// Of fewer descriptors, one in so many is for a directory.
const OPEN_SHARE: usize = 4;

/// Mode of directories that no layer has an entry for, as containerd makes them.
const IMPLIED_MODE: u32 = 0o755;

/// An access control list that files made in a directory would inherit.
pub(super) const DEFAULT_ACL: &[u8] = b"system.posix_acl_default";

/// A directory in which files are made: until it is settled, its owner has all rights and its times are wrong.
#[derive(Debug)]
pub(super) struct OpenDirectory {
    pub(super) dir: Dir,
    mode: Cell<u32>,
    modified: Cell<(i64, u32)>,
    default_acl: RefCell<Option<Vec<u8>>>,
    /// Whose files are that are made in it, once one was; nothing where they are not made as they are asked for.
    gives: Cell<Option<Option<(u32, u32)>>>,
    path: RelativePath,
}

impl OpenDirectory {
    /// Where it is. In a layer that hides something of others, no symbolic link is on the way.
    pub(super) fn path(&self) -> &RelativePath {
        &self.path
    }

    /// Where a name in it is.
    pub(super) fn path_of(&self, name: &OsStr) -> Result<RelativePath, Failure> {
        self.path.join(name.as_bytes()).map_err(|error| Failure::say(error.to_string()))
    }

    /// Takes over a directory as it is; `mode` is what it had before it was opened.
    fn take(dir: Dir, mode: Option<u32>, path: &RelativePath) -> io::Result<Self> {
        let found = dir.stat()?;
        let mode = mode.unwrap_or(found.mode);
        let default_acl = beneath::xattrs(&dir)?.into_iter().find(|(name, _)| name == DEFAULT_ACL);
        if default_acl.is_some() {
            beneath::remove_xattr(&dir, DEFAULT_ACL)?;
        }
        if found.mode & 0o700 != 0o700 {
            beneath::set_mode(&dir, found.mode | 0o700)?;
        }
        Ok(Self {
            dir,
            mode: Cell::new(mode),
            modified: Cell::new(found.modified),
            default_acl: RefCell::new(default_acl.map(|(_, value)| value)),
            gives: Cell::default(),
            path: path.clone(),
        })
    }

    /// Takes over a directory that was made a moment ago in one that is open, so that nothing is set on it.
    fn take_new(dir: Dir, found: &Stat, path: &RelativePath) -> Self {
        Self {
            dir,
            mode: Cell::new(found.mode),
            modified: Cell::new(found.modified),
            default_acl: RefCell::default(),
            gives: Cell::default(),
            path: path.clone(),
        }
    }

    /// Owner and group of a file that was just made in it, if it also has the mode it was asked for with: the first one is
    /// looked at, and shows what all are like.
    pub(super) fn gives(&self, file: &File, mode: u32) -> io::Result<Option<(u32, u32)>> {
        if let Some(known) = self.gives.get() {
            return Ok(known);
        }
        let found = beneath::stat_open(file)?;
        let gives = (found.mode == mode).then_some((found.uid, found.gid));
        self.gives.set(Some(gives));
        Ok(gives)
    }

    /// Owner and group of what is made in it, if that is known.
    pub(super) fn owner_of_new(&self) -> Option<(u32, u32)> {
        self.gives.get().flatten()
    }

    /// What it shall look like.
    pub(super) fn set(&self, mode: u32, modified: Time, default_acl: Option<Vec<u8>>) {
        self.mode.set(mode);
        self.modified.set((modified.seconds, modified.nanoseconds));
        *self.default_acl.borrow_mut() = default_acl;
        // With another group, or the bit that hands it down, it gives something else.
        self.gives.set(None);
    }

    fn settle(&self) -> Result<()> {
        let settle = || -> io::Result<()> {
            if let Some(acl) = &*self.default_acl.borrow() {
                beneath::set_xattr(&self.dir, DEFAULT_ACL, acl)?;
            }
            beneath::set_mode(&self.dir, self.mode.get())?;
            let (seconds, nanoseconds) = self.modified.get();
            beneath::set_modified(&self.dir, seconds, nanoseconds)
        };
        settle()
            .map_err(|error| Error::io(format_args!("cannot set mode and time of directory {:?}", self.path), error))
    }
}

/// A directory that was just made.
pub(super) struct Made {
    pub(super) directory: Rc<OpenDirectory>,
    /// Its owner and group, if it has what new ones have.
    pub(super) owner: Option<(u32, u32)>,
}

/// The directories of a tree.
#[derive(Debug)]
pub(super) struct Directories {
    root: Rc<OpenDirectory>,
    by_path: HashMap<RelativePath, Rc<OpenDirectory>>,
    /// Two paths lead to one directory where a link is on the way.
    by_identity: HashMap<(u64, u64), Rc<OpenDirectory>>,
    open_max: usize,
    /// User and group of directories that no entry speaks of; nothing for those of who unpacks.
    implied_owner: Option<(u32, u32)>,
}

impl Directories {
    /// Begins at an empty directory, to which `implied_owner` counts too.
    pub(super) fn new(root: Dir, implied_owner: Option<(u32, u32)>) -> io::Result<Self> {
        let open_max = OPEN_MAX.min(beneath::descriptors_max() / OPEN_SHARE).max(1);
        let identity = root.stat()?.identity;
        match give(&root, implied_owner) {
            // The first entry says so, with what to do.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
            given => given?,
        }
        let root = OpenDirectory::take(root, None, &RelativePath::root())?;
        root.set(IMPLIED_MODE, Time::default(), None);
        let root = Rc::new(root);
        let by_identity = HashMap::from([(identity, Rc::clone(&root))]);
        Ok(Self { by_path: HashMap::new(), by_identity, root, open_max, implied_owner })
    }

    /// Whether a path was found to lead to a directory, since the last entry that replaced a directory or link.
    pub(super) fn is_known(&self, path: &RelativePath) -> bool {
        path.is_root() || self.by_path.contains_key(path)
    }

    /// Opens a directory that is there, has the rights to be opened, and is reached without a symbolic link.
    pub(super) fn open_plain(&mut self, path: &RelativePath) -> Result<Option<Rc<OpenDirectory>>, Failure> {
        // What else may fail is told by who goes there step by step.
        self.root.dir.enter_plain(path.as_path()).ok().map(|dir| self.keep(path, dir, None)).transpose()
    }

    /// Opens a directory; with `make`, it and those above it are made where nothing has the name.
    pub(super) fn open(&mut self, path: &RelativePath, make: bool) -> Result<Rc<OpenDirectory>, Failure> {
        if path.is_root() {
            return Ok(Rc::clone(&self.root));
        }
        if let Some(known) = self.by_path.get(path) {
            return Ok(Rc::clone(known));
        }
        match self.root.dir.enter(path.as_path()) {
            Ok(dir) => return self.keep(path, dir, None),
            Err(error) if error.kind() == io::ErrorKind::NotFound && make => {}
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
            Err(error) => return Err(cannot_open(path, error)),
        }
        if make
            && let Some((parent, name)) = path.split()
            && let Ok(above) = self.open(&RelativePath::parse(parent).unwrap_or_default(), false)
        {
            return self.open_below(&above, path, OsStr::from_bytes(name), make);
        }
        // From the root down, so that each is in reach: those above keep their owner's rights while they are open.
        let mut prefix = RelativePath::root();
        let mut above = Rc::clone(&self.root);
        for name in path.components() {
            prefix = prefix.join(name).map_err(|error| Failure::say(error.to_string()))?;
            above = match self.by_path.get(&prefix) {
                Some(known) => Rc::clone(known),
                None => self.open_below(&above, &prefix, OsStr::from_bytes(name), make)?,
            };
            if make {
                self.spare(&prefix, &above)?;
            }
        }
        Ok(above)
    }

    /// Opens the directory of this name in `above`; with `make`, it is made where nothing has the name.
    pub(super) fn open_below(
        &mut self,
        above: &OpenDirectory,
        path: &RelativePath,
        name: &OsStr,
        make: bool,
    ) -> Result<Rc<OpenDirectory>, Failure> {
        match self.root.dir.enter(path.as_path()) {
            Ok(dir) => self.keep(path, dir, None),
            Err(error) if error.kind() == io::ErrorKind::NotFound && make => {
                // A link that leads nowhere has the name; making a directory in its place would hide what it says.
                above.dir.make_dir(name).map_err(|error| cannot_open(path, error))?;
                let opened = self.adopt(above, path, name)?;
                let (uid, gid) = self.implied_owner.unwrap_or_default();
                give(&opened.dir, self.implied_owner).map_err(|error| files::cannot_chown(uid, gid, error))?;
                opened.set(IMPLIED_MODE, Time::default(), None);
                Ok(opened)
            }
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => self.adopt(above, path, name),
            Err(error) => Err(cannot_open(path, error)),
        }
    }

    /// Opens the directory that has this very name in `above`, whatever rights it gives.
    pub(super) fn adopt(
        &mut self,
        above: &OpenDirectory,
        path: &RelativePath,
        name: &OsStr,
    ) -> Result<Rc<OpenDirectory>, Failure> {
        if let Some(known) = self.by_path.get(path) {
            return Ok(Rc::clone(known));
        }
        let failed = |error| cannot_open(path, error);
        let mode = above.dir.stat_of(name).map_err(failed)?.map(|found| found.mode);
        let dir = above.dir.child_with_rights(name).map_err(failed)?;
        self.keep(path, dir, mode)
    }

    /// Opens a directory that was just made under this name in `above`.
    pub(super) fn adopt_new(
        &mut self,
        above: &OpenDirectory,
        path: &RelativePath,
        name: &OsStr,
    ) -> Result<Made, Failure> {
        let opened = above.dir.child(name).and_then(|dir| Ok((dir.stat()?, dir)));
        match opened {
            Ok((found, dir)) if found.mode & 0o700 == 0o700 => {
                let opened = Rc::new(OpenDirectory::take_new(dir, &found, path));
                self.by_path.insert(path.clone(), Rc::clone(&opened));
                self.by_identity.insert(found.identity, Rc::clone(&opened));
                Ok(Made { directory: opened, owner: Some((found.uid, found.gid)) })
            }
            // An odd umask.
            _ => Ok(Made { directory: self.adopt(above, path, name)?, owner: None }),
        }
    }

    fn keep(&mut self, path: &RelativePath, dir: Dir, mode: Option<u32>) -> Result<Rc<OpenDirectory>, Failure> {
        let failed = |error| cannot_open(path, error);
        let identity = dir.stat().map_err(failed)?.identity;
        let opened = match self.by_identity.get(&identity) {
            Some(known) => Rc::clone(known),
            None => Rc::new(OpenDirectory::take(dir, mode, path).map_err(failed)?),
        };
        self.by_path.insert(path.clone(), Rc::clone(&opened));
        self.by_identity.insert(identity, Rc::clone(&opened));
        Ok(opened)
    }

    /// Closes all when too many are open, but for the directory that `next` is in. Only between two entries: what is still used
    /// must not be settled.
    pub(super) fn trim(&mut self, next: &RelativePath) -> Result<()> {
        if !self.are_many() {
            return Ok(());
        }
        let above = next.parent().unwrap_or_default();
        match self.by_path.get(&above).cloned() {
            Some(opened) => self.spare(&above, &opened),
            None => self.settle(),
        }
    }

    /// As [`Directories::trim`], on the way down to an entry, of which nothing but the directory at `path` is used yet.
    pub(super) fn spare(&mut self, path: &RelativePath, used: &Rc<OpenDirectory>) -> Result<()> {
        if self.are_many() {
            self.forget(used)?;
            self.by_path.insert(path.clone(), Rc::clone(used));
        }
        Ok(())
    }

    fn are_many(&self) -> bool {
        self.by_identity.len() > self.open_max || self.by_path.len() > 4 * self.open_max
    }

    /// Gives all open directories their rights and times, and closes them.
    pub(super) fn settle(&mut self) -> Result<()> {
        self.by_path.clear();
        for (identity, opened) in self.by_identity.drain().collect::<Vec<_>>() {
            if Rc::ptr_eq(&opened, &self.root) {
                self.by_identity.insert(identity, opened);
            } else {
                opened.settle()?;
            }
        }
        Ok(())
    }

    /// Closes all but one that is in use, because what they are named or reached by is about to go.
    pub(super) fn forget(&mut self, used: &OpenDirectory) -> Result<()> {
        self.by_path.clear();
        for (identity, opened) in self.by_identity.drain().collect::<Vec<_>>() {
            if Rc::ptr_eq(&opened, &self.root) || std::ptr::eq(&*opened, used) {
                self.by_identity.insert(identity, opened);
            } else {
                opened.settle()?;
            }
        }
        Ok(())
    }

    /// Settles the root as well, and hands it out.
    pub(super) fn close(mut self) -> Result<Dir> {
        self.settle()?;
        self.by_identity.clear();
        self.root.settle()?;
        match Rc::try_unwrap(self.root) {
            Ok(root) => Ok(root.dir),
            Err(_) => Err(Error::new(dhow_base::Kind::Internal, "the root of the tree is still in use")),
        }
    }
}

/// Gives a directory to its owner, if it is not already that one's.
fn give(dir: &Dir, owner: Option<(u32, u32)>) -> io::Result<()> {
    let Some((uid, gid)) = owner else { return Ok(()) };
    let found = dir.stat()?;
    if (found.uid, found.gid) == (uid, gid) { Ok(()) } else { beneath::set_owner(dir, uid, gid) }
}

fn cannot_open(path: &RelativePath, error: io::Error) -> Failure {
    let what = format!("cannot open directory {path:?}");
    if error.kind() == io::ErrorKind::AlreadyExists {
        return Failure::nowhere(&what);
    }
    Failure::io(what, error)
}
