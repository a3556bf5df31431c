//! What a file is.

use rustix::fs::{self, FileType};

/// The unit of `st_blocks`, whatever the file system's own is (stat(3type)).
const BLOCK_BYTES: u64 = 512;

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Its type.
    pub kind: FileKind,
    /// Permission bits, at most 0o7777.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Length in bytes; of a symbolic link, that of its target.
    pub size: u64,
    /// Bytes allocated on disk.
    pub allocated_bytes: u64,
    /// Time of the last change of content: seconds since 1970 and nanoseconds.
    pub modified: (i64, u32),
    /// Device and inode number: the same for two names of one file.
    pub identity: (u64, u64),
    /// Names of this file.
    pub links: u64,
    /// Major and minor number of a device.
    pub device: (u32, u32),
}

/// The types of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A named pipe.
    Fifo,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
    /// A socket, which archives do not hold.
    Socket,
}

/// What the system says of a file.
pub(super) fn stat(found: &fs::Stat) -> Stat {
    let kind = match FileType::from_raw_mode(found.st_mode) {
        FileType::Directory => FileKind::Directory,
        FileType::Symlink => FileKind::Symlink,
        FileType::Fifo => FileKind::Fifo,
        FileType::CharacterDevice => FileKind::CharDevice,
        FileType::BlockDevice => FileKind::BlockDevice,
        FileType::Socket => FileKind::Socket,
        FileType::RegularFile | FileType::Unknown => FileKind::File,
    };
    Stat {
        kind,
        mode: found.st_mode & 0o7777,
        uid: found.st_uid,
        gid: found.st_gid,
        size: u64::try_from(found.st_size).unwrap_or(0),
        allocated_bytes: u64::try_from(found.st_blocks).unwrap_or(0).saturating_mul(BLOCK_BYTES),
        modified: (found.st_mtime, u32::try_from(found.st_mtime_nsec).unwrap_or(0)),
        identity: (found.st_dev, found.st_ino),
        links: found.st_nlink,
        device: (fs::major(found.st_rdev), fs::minor(found.st_rdev)),
    }
}
