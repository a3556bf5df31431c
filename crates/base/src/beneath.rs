//! Files beneath a directory, by descriptor: the door to trees whose names come from elsewhere.
//!
//! No call takes a path that the kernel could follow out of the tree: a directory is opened once, beneath its root only
//! (openat2(2) with `RESOLVE_IN_ROOT`), and everything else takes one name in an open directory and never follows a link.
//! Errors are plain: who calls knows which entry of what they are about.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{self, AtFlags, Dir as Listing, FileType, FlockOperation, Mode, OFlags, RenameFlags, ResolveFlags};
use rustix::io::Errno;

use crate::fault;

mod named;
mod open;
mod remove;
mod stat;

pub use open::{
    descriptors_max, remove_xattr, set_length, set_mode, set_modified, set_owner, set_xattr, stat_open, umask,
    write_at, xattrs,
};
use stat::stat;
pub use stat::{FileKind, Stat};

/// How often openat2(2) is asked again when a rename elsewhere made the kernel unsure (`EAGAIN`).
const RESOLVE_ATTEMPTS: u32 = 1000;

/// An open directory.
#[derive(Debug)]
pub struct Dir {
    descriptor: OwnedFd,
}

impl Dir {
    /// Opens a directory by a path that is trusted; a symbolic link as its last component is refused.
    ///
    /// # Errors
    /// The operating system's.
    pub fn open(path: &Path) -> io::Result<Self> {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        Ok(Self { descriptor: fs::open(path, DIRECTORY | OFlags::NOFOLLOW, Mode::empty())? })
    }

    /// Opens a directory below this one. Symbolic links on the way lead where they would if this directory were `/`.
    ///
    /// # Errors
    /// The operating system's; [`io::ErrorKind::Unsupported`] before Linux 5.6.
    pub fn enter(&self, relative: &Path) -> io::Result<Self> {
        let path = if relative.as_os_str().is_empty() { Path::new(".") } else { relative };
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        self.resolve(path, DIRECTORY, resolve).map(|descriptor| Self { descriptor })
    }

    /// As [`Dir::enter`], refusing every symbolic link on the way.
    ///
    /// # Errors
    /// As there; `ELOOP` for a link.
    pub fn enter_plain(&self, relative: &Path) -> io::Result<Self> {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        self.resolve(relative, DIRECTORY, resolve).map(|descriptor| Self { descriptor })
    }

    /// Opens a file or directory below this one for reading, refusing every symbolic link on the way.
    ///
    /// # Errors
    /// As [`Dir::enter`]; `ELOOP` for a link.
    pub fn open_file(&self, relative: &Path) -> io::Result<File> {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
        self.resolve(relative, flags, resolve).map(File::from)
    }

    fn resolve(&self, path: &Path, flags: OFlags, resolve: ResolveFlags) -> io::Result<OwnedFd> {
        for _ in 0..RESOLVE_ATTEMPTS {
            match fs::openat2(&self.descriptor, path, flags, Mode::empty(), resolve) {
                Ok(descriptor) => return Ok(descriptor),
                Err(Errno::AGAIN) => {}
                Err(Errno::NOSYS) => {
                    let message = "the kernel has no openat2 (Linux 5.6), or a sandbox forbids it";
                    return Err(io::Error::new(io::ErrorKind::Unsupported, message));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(Errno::AGAIN.into())
    }

    /// Opens the directory of that name, not following a link.
    ///
    /// # Errors
    /// The operating system's.
    pub fn child(&self, name: &OsStr) -> io::Result<Self> {
        let opened = fs::openat(&self.descriptor, name, DIRECTORY | OFlags::NOFOLLOW, Mode::empty())?;
        Ok(Self { descriptor: opened })
    }

    /// What this directory is.
    ///
    /// # Errors
    /// The operating system's.
    pub fn stat(&self) -> io::Result<Stat> {
        Ok(stat(&fs::fstat(&self.descriptor)?))
    }

    /// What has this name, not following a link; nothing when nothing has.
    ///
    /// # Errors
    /// The operating system's.
    pub fn stat_of(&self, name: &OsStr) -> io::Result<Option<Stat>> {
        match fs::statat(&self.descriptor, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(found) => Ok(Some(stat(&found))),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether nothing can be changed in it, because what is mounted here can only be read.
    ///
    /// # Errors
    /// The operating system's.
    pub fn is_read_only(&self) -> io::Result<bool> {
        Ok(fs::fstatvfs(&self.descriptor)?.f_flag.contains(fs::StatVfsMountFlags::RDONLY))
    }

    /// Whether this is the directory of an identity ([`Stat::identity`]), or one below it, at any depth.
    ///
    /// # Errors
    /// The operating system's.
    pub fn is_at_or_below(&self, identity: (u64, u64)) -> io::Result<bool> {
        let mut own = self.stat()?.identity;
        let mut above: Option<Self> = None;
        while own != identity {
            let from = above.as_ref().unwrap_or(self);
            let next = Self { descriptor: fs::openat(&from.descriptor, "..", DIRECTORY, Mode::empty())? };
            let found = next.stat()?.identity;
            // Above the root is the root.
            if found == own {
                return Ok(false);
            }
            (own, above) = (found, Some(next));
        }
        Ok(true)
    }

    /// The names in it, in no order.
    ///
    /// # Errors
    /// The operating system's.
    pub fn names(&self) -> io::Result<Vec<Vec<u8>>> {
        let mut names = Vec::new();
        for entry in Listing::read_from(&self.descriptor)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                names.push(name.to_vec());
            }
        }
        Ok(names)
    }

    /// The target of a symbolic link.
    ///
    /// # Errors
    /// The operating system's.
    pub fn read_link(&self, name: &OsStr) -> io::Result<Vec<u8>> {
        Ok(fs::readlinkat(&self.descriptor, name, Vec::new())?.into_bytes())
    }

    /// Makes a directory with mode 0700.
    ///
    /// # Errors
    /// The operating system's.
    pub fn make_dir(&self, name: &OsStr) -> io::Result<()> {
        fault::point("beneath.mkdir")?;
        Ok(fs::mkdirat(&self.descriptor, name, Mode::RWXU)?)
    }

    /// Makes a file with mode 0600 for writing; what has the name already is an error.
    ///
    /// # Errors
    /// The operating system's.
    pub fn make_file(&self, name: &OsStr) -> io::Result<File> {
        self.make_file_with(name, 0o600)
    }

    /// The same with another mode, of which the [`umask`] takes bits away.
    ///
    /// # Errors
    /// The operating system's.
    pub fn make_file_with(&self, name: &OsStr, mode: u32) -> io::Result<File> {
        fault::point("beneath.create")?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(File::from(fs::openat(&self.descriptor, name, flags, Mode::from_raw_mode(mode))?))
    }

    /// Makes a symbolic link that says `target`.
    ///
    /// # Errors
    /// The operating system's.
    pub fn make_symlink(&self, name: &OsStr, target: &[u8]) -> io::Result<()> {
        fault::point("beneath.symlink")?;
        Ok(fs::symlinkat(OsStr::from_bytes(target), &self.descriptor, name)?)
    }

    /// Gives the file `name` in this directory the name `new` in `other`; a symbolic link is linked itself.
    ///
    /// # Errors
    /// The operating system's.
    pub fn make_link(&self, name: &OsStr, other: &Self, new: &OsStr) -> io::Result<()> {
        fault::point("beneath.link")?;
        Ok(fs::linkat(&self.descriptor, name, &other.descriptor, new, AtFlags::empty())?)
    }

    /// Makes a device or a named pipe with mode 0600.
    ///
    /// # Errors
    /// The operating system's; `EPERM` for devices without the right to make them.
    pub fn make_node(&self, name: &OsStr, kind: FileKind, device: (u32, u32)) -> io::Result<()> {
        fault::point("beneath.mknod")?;
        let kind = match kind {
            FileKind::CharDevice => FileType::CharacterDevice,
            FileKind::BlockDevice => FileType::BlockDevice,
            FileKind::Fifo => FileType::Fifo,
            _ => return Err(Errno::INVAL.into()),
        };
        let device = fs::makedev(device.0, device.1);
        Ok(fs::mknodat(&self.descriptor, name, kind, Mode::RUSR | Mode::WUSR, device)?)
    }

    /// Removes a file that is no directory; a missing one is fine.
    ///
    /// # Errors
    /// The operating system's.
    pub fn remove_file(&self, name: &OsStr) -> io::Result<()> {
        fault::point("beneath.unlink")?;
        missing_is_fine(fs::unlinkat(&self.descriptor, name, AtFlags::empty()))
    }

    /// Gives `name` the name `new` in `other`, which must be free.
    ///
    /// # Errors
    /// The operating system's.
    pub fn rename(&self, name: &OsStr, other: &Self, new: &OsStr) -> io::Result<()> {
        fault::point("beneath.rename")?;
        Ok(fs::renameat_with(&self.descriptor, name, &other.descriptor, new, RenameFlags::NOREPLACE)?)
    }

    /// Gives `name` the name `new` in this directory, in the place of an empty directory or of nothing.
    ///
    /// # Errors
    /// The operating system's; `ENOTEMPTY` or `EEXIST` when a directory there is not empty.
    pub fn rename_over(&self, name: &OsStr, new: &OsStr) -> io::Result<()> {
        fault::point("beneath.rename")?;
        Ok(fs::renameat(&self.descriptor, name, &self.descriptor, new)?)
    }

    /// Swaps two names of this directory in one step.
    ///
    /// # Errors
    /// The operating system's; some file systems cannot.
    pub fn exchange(&self, name: &OsStr, other: &OsStr) -> io::Result<()> {
        fault::point("beneath.exchange")?;
        Ok(fs::renameat_with(&self.descriptor, name, &self.descriptor, other, RenameFlags::EXCHANGE)?)
    }

    /// Takes the directory for oneself, as a mark for later runs that somebody works in it; whether it was free. The mark
    /// goes with this value, or with the process.
    ///
    /// # Errors
    /// The operating system's.
    pub fn try_lock(&self) -> io::Result<bool> {
        match fs::flock(&self.descriptor, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(true),
            Err(Errno::WOULDBLOCK) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes everything of the file system that this directory is in to the disk.
    ///
    /// # Errors
    /// The operating system's.
    pub fn sync_file_system(&self) -> io::Result<()> {
        fault::point("beneath.syncfs")?;
        Ok(fs::syncfs(&self.descriptor)?)
    }

    /// Makes the names in this directory durable.
    ///
    /// # Errors
    /// The operating system's.
    pub fn sync(&self) -> io::Result<()> {
        fault::point("beneath.sync")?;
        Ok(fs::fsync(&self.descriptor)?)
    }
}

impl From<OwnedFd> for Dir {
    /// A directory that was opened elsewhere.
    fn from(descriptor: OwnedFd) -> Self {
        Self { descriptor }
    }
}

impl AsFd for Dir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

fn missing_is_fine(outcome: rustix::io::Result<()>) -> io::Result<()> {
    match outcome {
        Err(Errno::NOENT) => Ok(()),
        other => Ok(other?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch() -> tempfile::TempDir {
        tempfile::tempdir().expect("a scratch folder")
    }

    #[test]
    fn links_lead_nowhere_outside() {
        let (scratch, outside) = (scratch(), scratch());
        let root = Dir::open(scratch.path()).expect("the root");
        for (name, target) in [("absolute", outside.path().as_os_str().as_bytes()), ("up", b"../../../..")] {
            root.make_symlink(OsStr::new(name), target).expect("a link");
        }
        assert!(root.enter(Path::new("absolute")).is_err());
        let up = root.enter(Path::new("up")).expect("the root again");
        assert_eq!(up.stat().expect("stat").identity, root.stat().expect("stat").identity);
        let error = root.set_mode_of(OsStr::new("absolute"), 0o777).expect_err("a link");
        assert_eq!(error.raw_os_error(), Some(Errno::LOOP.raw_os_error()));
        assert!(root.child(OsStr::new("absolute")).is_err());
        assert!(root.open_file(Path::new("up/x")).is_err());
    }

    #[test]
    fn what_is_below_a_directory_is_known_at_any_depth() {
        let scratch = scratch();
        let root = Dir::open(scratch.path()).expect("the root");
        for name in ["a", "b"] {
            root.make_dir(OsStr::new(name)).expect("a directory");
        }
        let (a, b) = (root.child(OsStr::new("a")).expect("a"), root.child(OsStr::new("b")).expect("b"));
        a.make_dir(OsStr::new("c")).expect("a directory");
        let c = a.child(OsStr::new("c")).expect("c");
        let identity = |directory: &Dir| directory.stat().expect("stat").identity;
        for (below, above, expected) in
            [(&c, &a, true), (&c, &root, true), (&a, &a, true), (&a, &c, false), (&b, &a, false), (&root, &a, false)]
        {
            assert_eq!(below.is_at_or_below(identity(above)).expect("the way up"), expected);
        }
    }

    #[test]
    fn trees_of_any_depth_are_removed() {
        let scratch = scratch();
        let root = Dir::open(scratch.path()).expect("the root");
        let mut below = Dir::open(scratch.path()).expect("the root");
        for depth in 0..1500 {
            let name = OsStr::new(if depth == 0 { "top" } else { "d" });
            below.make_dir(name).expect("a directory");
            below = below.child(name).expect("it");
            below.make_file(OsStr::new("f")).expect("a file");
            if depth % 7 == 0 {
                set_mode(&below, 0o500).expect("fewer rights");
                set_mode(&below, 0o700).expect("more rights");
            }
        }
        root.remove_tree(OsStr::new("top")).expect("removal");
        assert!(root.names().expect("names").is_empty());
        root.remove_tree(OsStr::new("top")).expect("nothing to remove");
    }
}
