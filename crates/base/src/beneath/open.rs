//! What works on open files and directories, whatever names they have: owner, rights, times, attributes, content.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{self, Gid, Mode, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

use super::stat::{Stat, stat};
use crate::fault;
use crate::fs as durable;

/// What an open file or directory is.
///
/// # Errors
/// The operating system's.
pub fn stat_open(file: impl AsFd) -> io::Result<Stat> {
    Ok(stat(&fs::fstat(file)?))
}

/// The bits that this process takes away from the modes of what it makes; nothing where the system does not tell (Linux 4.7).
pub fn umask() -> Option<u32> {
    /// Longer than any.
    const STATUS_BYTES_MAX: u64 = 1 << 20;
    let status = durable::read_limited(Path::new("/proc/self/status"), STATUS_BYTES_MAX).ok()?;
    let status = String::from_utf8_lossy(&status);
    let line = status.lines().find_map(|line| line.strip_prefix("Umask:"))?;
    u32::from_str_radix(line.trim(), 8).ok()
}

/// So many files this process may have open at once (getrlimit(2), `RLIMIT_NOFILE`).
pub fn descriptors_max() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX)
}

/// Sets owner and group of an open file or directory.
///
/// # Errors
/// The operating system's.
pub fn set_owner(file: impl AsFd, uid: u32, gid: u32) -> io::Result<()> {
    fault::point("beneath.chown")?;
    Ok(fs::fchown(file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?)
}

/// Sets the permission bits of an open file or directory.
///
/// # Errors
/// The operating system's.
pub fn set_mode(file: impl AsFd, mode: u32) -> io::Result<()> {
    fault::point("beneath.chmod")?;
    Ok(fs::fchmod(file, Mode::from_raw_mode(mode))?)
}

/// Sets the time of the last change (and access) of an open file or directory.
///
/// # Errors
/// The operating system's.
pub fn set_modified(file: impl AsFd, seconds: i64, nanoseconds: u32) -> io::Result<()> {
    fault::point("beneath.utimes")?;
    Ok(fs::futimens(file, &timestamps(seconds, nanoseconds))?)
}

/// Sets an extended attribute of an open file or directory.
///
/// # Errors
/// The operating system's.
pub fn set_xattr(file: impl AsFd, xattr: &[u8], value: &[u8]) -> io::Result<()> {
    fault::point("beneath.setxattr")?;
    Ok(fs::fsetxattr(file, OsStr::from_bytes(xattr), value, XattrFlags::empty())?)
}

/// Removes an extended attribute of an open file or directory; a missing one is fine.
///
/// # Errors
/// The operating system's.
pub fn remove_xattr(file: impl AsFd, xattr: &[u8]) -> io::Result<()> {
    match fs::fremovexattr(file, OsStr::from_bytes(xattr)) {
        Err(Errno::NODATA) => Ok(()),
        other => Ok(other?),
    }
}

/// The extended attributes of an open file or directory, sorted by name; none where the file system has none.
///
/// # Errors
/// The operating system's.
pub fn xattrs(file: impl AsFd) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let file = file.as_fd();
    let list = read_growing(|buffer| fs::flistxattr(file, buffer))?;
    collect_xattrs(&list, |xattr| read_growing(|buffer| fs::fgetxattr(file, xattr, buffer)))
}

/// Writes all of `bytes` at `offset` of a file that is being made.
///
/// # Errors
/// The operating system's.
pub fn write_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    fault::point("beneath.write")?;
    std::os::unix::fs::FileExt::write_all_at(file, bytes, offset)
}

/// Sets the length of a file that is being made: what was not written is a hole.
///
/// # Errors
/// The operating system's.
pub fn set_length(file: &File, length: u64) -> io::Result<()> {
    Ok(fs::ftruncate(file, length)?)
}

/// The values of the attributes that a list names, sorted by name.
pub(super) fn collect_xattrs(
    list: &[u8],
    value: impl Fn(&OsStr) -> io::Result<Vec<u8>>,
) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let mut xattrs = Vec::new();
    for name in list.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        match value(OsStr::from_bytes(name)) {
            Ok(value) => xattrs.push((name.to_vec(), value)),
            // Removed meanwhile.
            Err(error) if error.raw_os_error() == Some(Errno::NODATA.raw_os_error()) => {}
            Err(error) => return Err(error),
        }
    }
    xattrs.sort();
    Ok(xattrs)
}

/// Calls for a result of unknown length, with a larger buffer until it fits.
pub(super) fn read_growing(read: impl Fn(&mut [u8]) -> rustix::io::Result<usize>) -> io::Result<Vec<u8>> {
    let mut buffer = vec![0; 1024];
    loop {
        match read(&mut buffer) {
            Ok(length) => {
                buffer.truncate(length);
                return Ok(buffer);
            }
            Err(Errno::RANGE) if buffer.len() < 1 << 20 => buffer.resize(buffer.len() * 4, 0),
            Err(Errno::OPNOTSUPP) => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        }
    }
}

/// The time of the last access and change alike.
pub(super) fn timestamps(seconds: i64, nanoseconds: u32) -> Timestamps {
    let time = Timespec { tv_sec: seconds, tv_nsec: i64::from(nanoseconds) };
    Timestamps { last_access: time, last_modification: time }
}
