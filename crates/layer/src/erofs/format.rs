//! Numbers and fixed structures of the file (kernel documentation, "EROFS on-disk format"; `docs/formats/layer.md`).

use dhow_base::{Error, Kind, Result};
use dhow_spec::Digest;

/// Length of the head: what stands before the tar bytes. A page, so that their pages are the file's.
pub const HEAD_BYTES: u64 = 4096;

/// A block is as long as a block of tar, so that every member's data begins a block.
pub(super) const BLOCK_BITS: u8 = 9;
pub(super) const BLOCK_BYTES: u64 = 1 << BLOCK_BITS;

/// Inodes are numbered by slots of this many bytes from the start of the metadata.
pub(super) const SLOT_BYTES: u64 = 32;

pub(super) const COMPACT_BYTES: usize = 32;
pub(super) const EXTENDED_BYTES: usize = 64;

/// A directory entry without its name.
pub(super) const DIRENT_BYTES: usize = 12;

/// Marks a chunk without data.
pub(super) const HOLE: u32 = u32::MAX;

const SUPER_OFFSET: usize = 1024;
const MAGIC: u32 = 0xe0f5_e1e2;
const COMPAT_CHECKSUM: u32 = 1;
const COMPAT_MTIME: u32 = 2;
const INCOMPAT_CHUNKED: u32 = 4;
const INCOMPAT_DEVICES: u32 = 8;

/// The table of devices begins behind the head; its place is counted in its own entries of 128 bytes.
const DEVICES_SLOT: u16 = (HEAD_BYTES / 128) as u16;

/// What the part of the head before the superblock begins with.
const OWN_MAGIC: &[u8; 8] = b"dhowlayr";
const OWN_VERSION: u32 = 1;

/// The same in the file of a stack of layers, and in an outline.
const STACK_MAGIC: &[u8; 8] = b"dhowstck";
const OUTLINE_MAGIC: &[u8; 8] = b"dhowoutl";
const DIFF_ID_OFFSET: usize = 40;
const DIFF_ID_BYTES_MAX: usize = 160;
const CONTENT_OFFSET: usize = DIFF_ID_OFFSET + DIFF_ID_BYTES_MAX;

/// How the data of an inode is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DataLayout {
    /// All data in consecutive blocks.
    Plain,
    /// Whole blocks as `Plain`, the rest behind the inode.
    Inline,
    /// Chunks of equal length, each somewhere or nowhere.
    Chunks,
}

impl DataLayout {
    pub(super) fn bits(self) -> u16 {
        match self {
            Self::Plain => 0,
            Self::Inline => 2,
            Self::Chunks => 4,
        }
    }

    pub(super) fn from_bits(bits: u16) -> Option<Self> {
        [Self::Plain, Self::Inline, Self::Chunks].into_iter().find(|layout| layout.bits() == bits)
    }
}

/// What the head says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// The layer's diff ID.
    pub(super) diff_id: Digest,
    /// Length of the tar bytes.
    pub(super) tar_bytes: u64,
    /// Whether the tar names its root directory.
    pub(super) names_root: bool,
    /// Whether anything in the file was taken from the layers below.
    pub(super) needs_below: bool,
    /// First block of the metadata.
    pub(super) meta_block: u32,
    /// Slot of the root directory.
    pub(super) root_slot: u16,
    /// Number of inodes.
    pub(super) inodes: u64,
    /// Blocks of the whole file.
    pub(super) blocks: u32,
    /// The time of all compact inodes, in seconds and nanoseconds.
    pub(super) time: (i64, u32),
    /// Whether an inode consists of chunks.
    pub(super) has_chunks: bool,
    /// How many other files the data is in: none but for a stack of layers.
    pub(super) devices: u16,
    /// Of an outline: where the table of its content begins, and how many ranges it has.
    pub(super) content: Option<(u64, u32)>,
}

const NAMES_ROOT: u32 = 1;
const NEEDS_BELOW: u32 = 2;

impl Head {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![0; HEAD_BYTES as usize];
        let mut own = Vec::with_capacity(SUPER_OFFSET);
        own.extend(match self.content {
            Some(_) => OUTLINE_MAGIC,
            None if self.devices > 0 => STACK_MAGIC,
            None => OWN_MAGIC,
        });
        own.extend(OWN_VERSION.to_le_bytes());
        let flags = u32::from(self.names_root) * NAMES_ROOT + u32::from(self.needs_below) * NEEDS_BELOW;
        own.extend(flags.to_le_bytes());
        own.extend(HEAD_BYTES.to_le_bytes());
        own.extend(self.tar_bytes.to_le_bytes());
        own.extend((u64::from(self.meta_block) * BLOCK_BYTES).to_le_bytes());
        own.extend(self.diff_id.as_str().as_bytes());
        bytes[..own.len()].copy_from_slice(&own);
        if let Some((start, count)) = self.content {
            bytes[CONTENT_OFFSET..CONTENT_OFFSET + 8].copy_from_slice(&start.to_le_bytes());
            bytes[CONTENT_OFFSET + 8..CONTENT_OFFSET + 12].copy_from_slice(&count.to_le_bytes());
        }
        let superblock = &mut bytes[SUPER_OFFSET..SUPER_OFFSET + BLOCK_BYTES as usize];
        let mut put = |offset: usize, field: &[u8]| superblock[offset..offset + field.len()].copy_from_slice(field);
        // Without its number nothing takes an outline for a file system.
        put(0, &if self.content.is_some() { 0 } else { MAGIC }.to_le_bytes());
        put(8, &(COMPAT_CHECKSUM | COMPAT_MTIME).to_le_bytes());
        put(12, &[BLOCK_BITS]);
        put(14, &self.root_slot.to_le_bytes());
        put(16, &self.inodes.to_le_bytes());
        put(24, &self.time.0.to_le_bytes());
        put(32, &self.time.1.to_le_bytes());
        put(36, &self.blocks.to_le_bytes());
        put(40, &self.meta_block.to_le_bytes());
        put(48, &uuid(&self.diff_id));
        let has_devices = self.devices > 0;
        let incompatible = u32::from(self.has_chunks) * INCOMPAT_CHUNKED + u32::from(has_devices) * INCOMPAT_DEVICES;
        put(80, &incompatible.to_le_bytes());
        if has_devices {
            put(86, &self.devices.to_le_bytes());
            put(88, &DEVICES_SLOT.to_le_bytes());
        }
        let checksum = crc32c(superblock);
        superblock[4..8].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self> {
        let own = bytes.get(..SUPER_OFFSET).ok_or_else(|| damaged("it is too short"))?;
        let superblock =
            bytes.get(SUPER_OFFSET..SUPER_OFFSET + BLOCK_BYTES as usize).ok_or_else(|| damaged("it is too short"))?;
        let is_outline = own.starts_with(OUTLINE_MAGIC);
        let magic = if is_outline { 0 } else { MAGIC };
        let is_ours = is_outline || own.starts_with(OWN_MAGIC);
        if !is_ours || u32_at(own, 8) != OWN_VERSION || u32_at(superblock, 0) != magic {
            return Err(damaged("it is no layer file of this version"));
        }
        let mut unsummed = superblock.to_vec();
        unsummed[4..8].fill(0);
        if crc32c(&unsummed) != u32_at(superblock, 4) {
            return Err(damaged("the checksum of its superblock is wrong"));
        }
        let incompatible = u32_at(superblock, 80);
        if superblock[12] != BLOCK_BITS || superblock[13] != 0 || superblock[90] != 0 || incompatible > INCOMPAT_CHUNKED
        {
            return Err(damaged("its superblock has features that layer files have not"));
        }
        let text = &own[DIFF_ID_OFFSET..DIFF_ID_OFFSET + DIFF_ID_BYTES_MAX];
        let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
        let diff_id = std::str::from_utf8(text).ok().and_then(|text| Digest::parse(text).ok());
        let flags = u32_at(own, 12);
        let (inodes, blocks) = (u64_at(superblock, 16), u32_at(superblock, 36));
        if inodes > u64::from(blocks) * (BLOCK_BYTES / SLOT_BYTES) {
            return Err(damaged("it has more inodes than room for them"));
        }
        Ok(Self {
            diff_id: diff_id.ok_or_else(|| damaged("it has no diff ID"))?,
            tar_bytes: u64_at(own, 24),
            names_root: flags & NAMES_ROOT != 0,
            needs_below: flags & NEEDS_BELOW != 0,
            meta_block: u32_at(superblock, 40),
            root_slot: u16_at(superblock, 14),
            inodes,
            blocks,
            time: (u64_at(superblock, 24).cast_signed(), u32_at(superblock, 32)),
            has_chunks: incompatible & INCOMPAT_CHUNKED != 0,
            devices: 0,
            content: is_outline.then(|| (u64_at(own, CONTENT_OFFSET), u32_at(own, CONTENT_OFFSET + 8))),
        })
    }
}

/// Whether these bytes are the head of the file of a stack, of this version and so many layers.
pub(super) fn is_stack_head(bytes: &[u8], devices: usize) -> bool {
    let superblock = bytes.get(SUPER_OFFSET..SUPER_OFFSET + BLOCK_BYTES as usize);
    superblock.is_some_and(|superblock| usize::from(u16_at(superblock, 86)) == devices)
        && bytes.starts_with(STACK_MAGIC)
        && u32_at(bytes, 8) == OWN_VERSION
}

/// What is wrong with a layer file.
pub(super) fn damaged(what: &str) -> Error {
    Error::new(Kind::Corrupt, format!("the unpacked layer is damaged: {what}"))
}

/// A UUID (RFC 9562, version 8) that is the same for the same layer.
fn uuid(diff_id: &Digest) -> [u8; 16] {
    let mut bytes = [0; 16];
    let hex = diff_id.hex().as_bytes();
    let digit = |position: usize| hex.get(position).and_then(|byte| char::from(*byte).to_digit(16)).unwrap_or(0) as u8;
    for (position, byte) in bytes.iter_mut().enumerate() {
        *byte = digit(2 * position) << 4 | digit(2 * position + 1);
    }
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    bytes
}

/// CRC-32C without the final inversion, as EROFS has it.
fn crc32c(bytes: &[u8]) -> u32 {
    bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| crc >> 1 ^ (0x82f6_3b78 & (crc & 1).wrapping_neg()))
    })
}

pub(super) fn u16_at(bytes: &[u8], offset: usize) -> u16 {
    u16::from_le_bytes([bytes[offset], bytes[offset + 1]])
}

pub(super) fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    u32::from(u16_at(bytes, offset)) | u32::from(u16_at(bytes, offset + 2)) << 16
}

pub(super) fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    u64::from(u32_at(bytes, offset)) | u64::from(u32_at(bytes, offset + 4)) << 32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn head_survives_and_its_checksum_is_compared() {
        let head = Head {
            diff_id: Digest::sha256(b"layer"),
            tar_bytes: 10_240,
            names_root: true,
            needs_below: false,
            meta_block: 28,
            root_slot: 1,
            inodes: 3,
            blocks: 40,
            time: (-1, 999_999_999),
            has_chunks: true,
            devices: 0,
            content: None,
        };
        let outline = Head { content: Some((24_576, 7)), ..head.clone() };
        let bytes = outline.encode();
        assert_eq!(Head::decode(&bytes).expect("own head"), outline);
        assert_eq!(u32_at(&bytes, SUPER_OFFSET), 0, "an outline is no file system");
        let mut bytes = head.encode();
        assert_eq!(Head::decode(&bytes).expect("own head"), head);
        bytes[SUPER_OFFSET + 40] ^= 1;
        assert!(Head::decode(&bytes).expect_err("changed").to_string().contains("checksum"));
    }

    #[test]
    fn checksum_is_that_of_the_castagnoli_polynomial() {
        // RFC 3720, appendix B.4: 32 bytes of zeros, inverted at the end.
        assert_eq!(!crc32c(&[0; 32]), 0x8a91_36aa);
    }
}
