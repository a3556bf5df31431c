//! What a file is, without its name and data.

use dhow_base::{Error, Kind, Result};

use super::format::{COMPACT_BYTES, DataLayout, EXTENDED_BYTES, damaged, u16_at, u32_at, u64_at};

/// Type of a file, as the type bits of `st_mode` have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FileType {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
    /// A named pipe.
    Fifo,
    /// A socket; no tar has one, other writers' images might.
    Socket,
}

impl FileType {
    const ALL: [(Self, u16, u8); 7] = [
        (Self::File, 0o10, 1),
        (Self::Directory, 0o4, 2),
        (Self::CharDevice, 0o2, 3),
        (Self::BlockDevice, 0o6, 4),
        (Self::Fifo, 0o1, 5),
        (Self::Socket, 0o14, 6),
        (Self::Symlink, 0o12, 7),
    ];

    /// The type bits of `st_mode`.
    pub fn mode_bits(self) -> u32 {
        let bits = Self::ALL.iter().find(|(kind, ..)| *kind == self).map_or(0, |(_, bits, _)| *bits);
        u32::from(bits) << 12
    }

    pub(super) fn from_mode(mode: u16) -> Option<Self> {
        Self::ALL.iter().find(|(_, bits, _)| *bits == mode >> 12).map(|(kind, ..)| *kind)
    }

    /// The type that directory entries have a number for.
    pub(super) fn from_directory(number: u8) -> Option<Self> {
        Self::ALL.iter().find(|(.., known)| *known == number).map(|(kind, ..)| *kind)
    }

    /// The number that directory entries have for it.
    pub(super) fn in_directory(self) -> u8 {
        Self::ALL.iter().find(|(kind, ..)| *kind == self).map_or(0, |(.., number)| *number)
    }
}

/// A point in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mtime {
    /// Seconds since 1970, negative before.
    pub seconds: i64,
    /// Nanoseconds on top.
    pub nanoseconds: u32,
}

/// An extended attribute.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Xattr {
    /// Its whole name.
    pub name: Vec<u8>,
    /// Its value.
    pub value: Vec<u8>,
}

/// What every kind of file has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// Permission bits, at most 0o7777.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Time of the last change of its content.
    pub mtime: Mtime,
    /// Extended attributes.
    pub xattrs: Vec<Xattr>,
}

/// An inode as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inode {
    /// Its number: the slot in the metadata.
    pub nid: u64,
    /// Its type.
    pub kind: FileType,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Time of the last change of its content.
    pub mtime: Mtime,
    /// Number of names.
    pub links: u32,
    /// Length in bytes: of a file's data, of a link's target, of a directory's entries.
    pub size: u64,
    /// Device number: major, minor.
    pub device: (u32, u32),
    pub(super) layout: DataLayout,
    /// First block, device number or chunk format.
    pub(super) union: u32,
    pub(super) xattr_count: u16,
    /// Length of the inode itself.
    pub(super) own_bytes: usize,
}

/// The fields of an inode as they are written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record {
    pub(super) kind: FileType,
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) mtime: Mtime,
    pub(super) links: u32,
    pub(super) size: u64,
    pub(super) layout: DataLayout,
    pub(super) union: u32,
    pub(super) xattr_count: u16,
    pub(super) number: u32,
}

/// Where the number of names stands in an inode, and how long it is.
pub(super) fn links_field(is_compact: bool) -> (usize, usize) {
    if is_compact { (6, 2) } else { (44, 4) }
}

/// Where the first block stands in an inode of either kind.
pub(super) const UNION_OFFSET: u64 = 16;

impl Record {
    pub(super) fn new(kind: FileType, attributes: &Attributes) -> Self {
        Self {
            kind,
            mode: attributes.mode,
            uid: attributes.uid,
            gid: attributes.gid,
            mtime: attributes.mtime,
            links: 1,
            size: 0,
            layout: DataLayout::Plain,
            union: 0,
            xattr_count: 0,
            number: 0,
        }
    }

    /// Whether the short form can hold it, which has no time of its own.
    pub(super) fn is_compact(&self, time: Mtime) -> bool {
        let short = u32::from(u16::MAX);
        self.mtime == time
            && self.uid <= short
            && self.gid <= short
            && self.links <= short
            && self.size <= u64::from(u32::MAX)
    }

    pub(super) fn encode(&self, is_compact: bool) -> Vec<u8> {
        let format = u16::from(!is_compact) | self.layout.bits() << 1;
        let mode = (self.kind.mode_bits() | self.mode & 0o7777) as u16;
        let mut bytes = Vec::with_capacity(EXTENDED_BYTES);
        bytes.extend(format.to_le_bytes());
        bytes.extend(self.xattr_count.to_le_bytes());
        bytes.extend(mode.to_le_bytes());
        if is_compact {
            bytes.extend((self.links as u16).to_le_bytes());
            bytes.extend((self.size as u32).to_le_bytes());
            bytes.extend([0; 4]);
            bytes.extend(self.union.to_le_bytes());
            bytes.extend(self.number.to_le_bytes());
            bytes.extend((self.uid as u16).to_le_bytes());
            bytes.extend((self.gid as u16).to_le_bytes());
            bytes.resize(COMPACT_BYTES, 0);
        } else {
            bytes.extend([0; 2]);
            bytes.extend(self.size.to_le_bytes());
            bytes.extend(self.union.to_le_bytes());
            bytes.extend(self.number.to_le_bytes());
            bytes.extend(self.uid.to_le_bytes());
            bytes.extend(self.gid.to_le_bytes());
            bytes.extend(self.mtime.seconds.to_le_bytes());
            bytes.extend(self.mtime.nanoseconds.to_le_bytes());
            bytes.extend(self.links.to_le_bytes());
            bytes.resize(EXTENDED_BYTES, 0);
        }
        bytes
    }
}

impl Inode {
    /// Reads an inode from bytes that hold at least one extended inode, or one compact inode at the file's end.
    pub(super) fn decode(bytes: &[u8], nid: u64, time: (i64, u32)) -> Result<Self> {
        let format = u16_at(bytes, 0);
        let layout = DataLayout::from_bits(format >> 1).ok_or_else(|| damaged("an inode has an unknown layout"))?;
        let mode = u16_at(bytes, 4);
        let kind = FileType::from_mode(mode).ok_or_else(|| damaged("an inode has an unknown type"))?;
        let union = u32_at(bytes, 16);
        let device = match kind {
            FileType::CharDevice | FileType::BlockDevice => decode_device(union),
            _ => (0, 0),
        };
        let mode = u32::from(mode & 0o7777);
        let common = Self {
            nid,
            kind,
            mode,
            uid: 0,
            gid: 0,
            mtime: Mtime { seconds: time.0, nanoseconds: time.1 },
            links: 0,
            size: 0,
            device,
            layout,
            union,
            xattr_count: u16_at(bytes, 2),
            own_bytes: COMPACT_BYTES,
        };
        if format & 1 == 0 {
            return Ok(Self {
                links: u32::from(u16_at(bytes, 6)),
                size: u64::from(u32_at(bytes, 8)),
                uid: u32::from(u16_at(bytes, 24)),
                gid: u32::from(u16_at(bytes, 26)),
                ..common
            });
        }
        if bytes.len() < EXTENDED_BYTES {
            return Err(damaged("an inode is cut off"));
        }
        Ok(Self {
            size: u64_at(bytes, 8),
            uid: u32_at(bytes, 24),
            gid: u32_at(bytes, 28),
            mtime: Mtime { seconds: u64_at(bytes, 32).cast_signed(), nanoseconds: u32_at(bytes, 40) },
            links: u32_at(bytes, 44),
            own_bytes: EXTENDED_BYTES,
            ..common
        })
    }

    /// Whether it is overlayfs's whiteout: a character device 0:0.
    pub fn is_whiteout(&self) -> bool {
        self.kind == FileType::CharDevice && self.device == (0, 0)
    }
}

/// A device number as Linux keeps it on disk in 32 bits (`new_encode_dev`): 12 bits of major, 20 of minor.
pub(super) fn encode_device(major: u32, minor: u32) -> Result<u32> {
    if major >= 1 << 12 || minor >= 1 << 20 {
        let message = format!("the device number {major}:{minor} is larger than Linux has them");
        return Err(Error::new(Kind::Unsupported, message));
    }
    Ok(minor & 0xff | major << 8 | (minor & !0xff) << 12)
}

fn decode_device(encoded: u32) -> (u32, u32) {
    (encoded >> 8 & 0xfff, encoded & 0xff | encoded >> 12 & !0xff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_survive() {
        let attributes = Attributes {
            mode: 0o4755,
            uid: 1000,
            gid: 65_535,
            mtime: Mtime { seconds: -5, nanoseconds: 7 },
            xattrs: Vec::new(),
        };
        let record =
            Record { size: 4_000_000_000, links: 3, union: 99, number: 5, ..Record::new(FileType::File, &attributes) };
        assert!(record.is_compact(attributes.mtime) && !record.is_compact(Mtime::default()));
        for is_compact in [true, false] {
            let bytes = record.encode(is_compact);
            let inode = Inode::decode(&bytes, 1, (-5, 7)).expect("own inode");
            assert_eq!((inode.mode, inode.uid, inode.gid), (0o4755, 1000, 65_535));
            assert_eq!((inode.mtime, inode.size, inode.links), (attributes.mtime, 4_000_000_000, 3));
            assert_eq!((inode.kind, inode.own_bytes), (FileType::File, bytes.len()));
            let (offset, length) = links_field(is_compact);
            assert_eq!(bytes[offset], 3, "{length}");
        }
    }

    #[test]
    fn devices_survive_and_have_a_largest() {
        for (major, minor) in [(0, 0), (1, 3), (8, 300), (4095, (1 << 20) - 1)] {
            assert_eq!(decode_device(encode_device(major, minor).expect("a device")), (major, minor));
        }
        assert!(encode_device(4096, 0).is_err() && encode_device(0, 1 << 20).is_err());
    }
}
