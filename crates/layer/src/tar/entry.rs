//! What a tar stream holds.

use super::path::RelativePath;
use super::sparse::SparseMap;

/// One entry: where it belongs, what it is, and where its data lies in the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its place below the root. Of a whiteout: what it hides. Of an opaque marker: the directory.
    pub path: RelativePath,
    /// What it is.
    pub kind: EntryKind,
    /// The permission bits, with set-user-ID, set-group-ID and sticky: at most 0o7777.
    pub mode: u32,
    /// Owner; never 2³² − 1, which chown(2) takes for "unchanged".
    pub uid: u32,
    /// Group, as `uid`.
    pub gid: u32,
    /// Time of the last change of its content.
    pub mtime: Time,
    /// Extended attributes in the stream's order, no name twice; those of overlayfs are left out.
    pub xattrs: Vec<Xattr>,
    /// Its number in the stream, from 1.
    pub number: u64,
    /// Position of its first header block (extension headers included), in bytes of the uncompressed stream.
    pub header_offset: u64,
    /// Position of its data in the uncompressed stream; with `stored_bytes` 0, of the next header.
    pub data_offset: u64,
    /// Length of its data in the stream, without padding. Of a sparse file only the extents are stored.
    pub stored_bytes: u64,
}

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file.
    File {
        /// Its length in bytes, holes included.
        size: u64,
        /// Which parts are stored; nothing when all of it is.
        sparse: Option<SparseMap>,
    },
    /// A directory.
    Directory {
        /// Whether overlayfs's attribute on it hides what lower layers have in it.
        opaque: bool,
    },
    /// A symbolic link; the target is any text without a zero byte, and only ever stored.
    Symlink {
        /// What the link says.
        target: Vec<u8>,
    },
    /// Another name of a file that this or a lower layer has.
    HardLink {
        /// That file.
        target: RelativePath,
    },
    /// A character device; 0:0 is read as a whiteout instead.
    CharDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A block device.
    BlockDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A named pipe.
    Fifo,
    /// Removes what lower layers have at the path (OCI image spec, layer.md, "Whiteouts").
    Whiteout(WhiteoutForm),
    /// Removes all that lower layers have in the directory at the path, but not the directory.
    Opaque,
    /// Left-overs of docker's AUFS driver (`.wh..wh.plnk` and such), which mean nothing elsewhere.
    AufsMetadata,
}

/// How a whiteout was spelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhiteoutForm {
    /// A file called `.wh.` and the name.
    Oci,
    /// A character device 0:0 with the name itself, as overlayfs keeps it.
    Overlay,
}

/// A point in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time {
    /// Seconds since 1970, negative before.
    pub seconds: i64,
    /// Nanoseconds on top, below 1,000,000,000.
    pub nanoseconds: u32,
}

/// An extended attribute.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Xattr {
    /// Its name with the namespace (`security.capability`): 1 to 255 bytes, none of them zero.
    pub name: Vec<u8>,
    /// Its value, at most 64 KiB.
    pub value: Vec<u8>,
}
