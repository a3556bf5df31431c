//! Owner, rights, times and extended attributes of what has a name in an open directory; a symbolic link is never followed.

use std::ffi::OsStr;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{self, AtFlags, Gid, Mode, OFlags, Uid, XattrFlags};
use rustix::io::Errno;

use super::open::{collect_xattrs, read_growing, timestamps};
use super::stat::stat;
use super::{Dir, FileKind};

impl Dir {
    /// Sets owner and group of what has this name, not following a link.
    ///
    /// # Errors
    /// The operating system's.
    pub fn set_owner_of(&self, name: &OsStr, uid: u32, gid: u32) -> io::Result<()> {
        let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
        Ok(fs::chownat(&self.descriptor, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)?)
    }

    /// Sets the permission bits of a file of any type but a symbolic link, which has none.
    ///
    /// # Errors
    /// The operating system's; `ELOOP` for a link.
    pub fn set_mode_of(&self, name: &OsStr, mode: u32) -> io::Result<()> {
        // chmod(2) has no form that does not follow: the file is pinned first, and the pinned one is changed.
        let pinned =
            fs::openat(&self.descriptor, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
        if stat(&fs::fstat(&pinned)?).kind == FileKind::Symlink {
            return Err(Errno::LOOP.into());
        }
        Ok(fs::chmod(format!("/proc/self/fd/{}", pinned.as_raw_fd()), Mode::from_raw_mode(mode))?)
    }

    /// Sets the time of the last change (and access) of what has this name, not following a link.
    ///
    /// # Errors
    /// The operating system's.
    pub fn set_modified_of(&self, name: &OsStr, seconds: i64, nanoseconds: u32) -> io::Result<()> {
        let times = timestamps(seconds, nanoseconds);
        Ok(fs::utimensat(&self.descriptor, name, &times, AtFlags::SYMLINK_NOFOLLOW)?)
    }

    /// Sets an extended attribute of what has this name, not following a link.
    ///
    /// # Errors
    /// The operating system's; user attributes are for files and directories only.
    pub fn set_xattr_of(&self, name: &OsStr, xattr: &[u8], value: &[u8]) -> io::Result<()> {
        Ok(fs::lsetxattr(self.proc_path(name), OsStr::from_bytes(xattr), value, XattrFlags::empty())?)
    }

    /// The extended attributes of what has this name, sorted, not following a link.
    ///
    /// # Errors
    /// The operating system's.
    pub fn xattrs_of(&self, name: &OsStr) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let path = self.proc_path(name);
        let list = read_growing(|buffer| fs::llistxattr(&path, buffer))?;
        collect_xattrs(&list, |xattr| read_growing(|buffer| fs::lgetxattr(&path, xattr, buffer)))
    }

    /// A single name behind an open directory: the kernel goes from the descriptor on, not through the path it once had.
    fn proc_path(&self, name: &OsStr) -> Vec<u8> {
        let mut path = format!("/proc/self/fd/{}/", self.descriptor.as_raw_fd()).into_bytes();
        path.extend_from_slice(name.as_bytes());
        path
    }
}
