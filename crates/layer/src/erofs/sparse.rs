//! Sparse files, whose tar members hold their parts without the gaps: the only data that is stored once more.

use dhow_base::{Error, Kind, Result};

use super::format::{BLOCK_BITS, BLOCK_BYTES, HEAD_BYTES, HOLE};
use super::storage::Storage;

/// Chunks begin so long: a page.
const CHUNK_BITS_MIN: u8 = 12;

/// Chunks grow until a file has no more than so many: a table of 1 MiB.
const CHUNKS_MAX: u64 = 1 << 18;

/// Most parts of all sparse files of a layer, which are held in memory: 16 MiB.
pub(super) const PARTS_MAX: usize = 1 << 20;

/// Most bytes of the tables of all sparse files of a layer.
pub(super) const TABLES_BYTES_MAX: u64 = 256 << 20;

/// A sparse file of which the inode is written and the data is not.
#[derive(Debug)]
pub(super) struct Sparse {
    /// Where its table of chunks stands among the leaves.
    pub(super) table: u64,
    /// Its length in bytes.
    pub(super) size: u64,
    /// Where its stored bytes begin in the tar.
    pub(super) data_offset: u64,
    /// Position in the file and length of each stored part, ascending and apart from each other.
    pub(super) parts: Vec<(u64, u64)>,
    pub(super) chunk_bits: u8,
}

/// The length of chunks, as a power of two, for a file of `size` bytes.
pub(super) fn chunk_bits(size: u64) -> u8 {
    let mut bits = CHUNK_BITS_MIN;
    while size.div_ceil(1 << bits) > CHUNKS_MAX {
        bits += 1;
    }
    bits
}

/// What an inode says of its chunks.
pub(super) fn chunk_format(chunk_bits: u8) -> u32 {
    u32::from(chunk_bits - BLOCK_BITS)
}

impl Sparse {
    /// Bytes of its table.
    pub(super) fn table_bytes(&self) -> u64 {
        self.size.div_ceil(1 << self.chunk_bits) * 4
    }

    /// Proves that the parts are in order and within the file.
    pub(super) fn check(&self) -> Result<()> {
        let mut end = 0;
        for (offset, length) in &self.parts {
            let next = offset.checked_add(*length).filter(|next| *offset >= end && *next <= self.size);
            end = next.ok_or_else(|| Error::new(Kind::Corrupt, "the parts of a sparse file overlap or leave it"))?;
        }
        Ok(())
    }

    /// Bytes of data with the zeros that fill its chunks up.
    pub(super) fn stored_bytes(&self) -> u64 {
        let mut bytes = 0;
        self.chunks(|_, length| bytes += length);
        bytes
    }

    /// Calls `each` with the number and stored length of every chunk that has data.
    fn chunks(&self, mut each: impl FnMut(u64, u64)) {
        let mut next = 0;
        for (offset, length) in self.parts.iter().filter(|(_, length)| *length > 0) {
            let (first, last) = (offset >> self.chunk_bits, (offset + length - 1) >> self.chunk_bits);
            for chunk in first.max(next)..=last {
                let rest = self.size - (chunk << self.chunk_bits);
                each(chunk, rest.min(1 << self.chunk_bits).next_multiple_of(BLOCK_BYTES));
            }
            next = next.max(last + 1);
        }
    }

    /// Where its parts stand in the file's tar.
    pub(super) fn in_tar(&self) -> (u64, u64) {
        let start = HEAD_BYTES.saturating_add(self.data_offset);
        (start, self.parts.iter().fold(start, |end, (_, length)| end.saturating_add(*length)))
    }

    /// Writes the table of its chunks, whose data begins at `start`, to `table_at`.
    pub(super) fn write_table(&self, target: &mut impl Storage, start: u64, table_at: u64) -> Result<Vec<u32>> {
        let count = usize::try_from(self.table_bytes() / 4).map_err(|_| too_long())?;
        let mut table = vec![HOLE; count];
        let mut at = start;
        let mut is_addressable = true;
        self.chunks(|chunk, length| {
            let block = u32::try_from(at / BLOCK_BYTES).ok().filter(|block| *block != HOLE);
            is_addressable &= block.is_some();
            table[chunk as usize] = block.unwrap_or(HOLE);
            at += length;
        });
        if !is_addressable {
            return Err(too_long());
        }
        let bytes: Vec<u8> = table.iter().flat_map(|block| block.to_le_bytes()).collect();
        target.write_at(&bytes, table_at)?;
        Ok(table)
    }

    /// Copies the parts out of the tar to their chunks.
    pub(super) fn write_parts(&self, target: &mut impl Storage, table: &[u32]) -> Result<()> {
        let mut buffer = vec![0; 128 << 10];
        let mut from = self.in_tar().0;
        for (offset, length) in &self.parts {
            let (mut position, end) = (*offset, offset + length);
            while position < end {
                let chunk = position >> self.chunk_bits;
                let chunk_end = (chunk + 1) << self.chunk_bits;
                let count = (end.min(chunk_end) - position).min(buffer.len() as u64);
                let piece = &mut buffer[..count as usize];
                target.read_exact_at(piece, from)?;
                let to = u64::from(table[chunk as usize]) * BLOCK_BYTES + (position - (chunk << self.chunk_bits));
                target.write_at(piece, to)?;
                position += count;
                from += count;
            }
        }
        Ok(())
    }
}

/// What cannot be addressed with 32 bits of blocks.
pub(super) fn too_long() -> Error {
    Error::new(Kind::LimitExceeded, "the layer is too long to be unpacked into one file: more than 2 TiB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_grow_with_the_file() {
        assert_eq!(chunk_bits(0), 12);
        assert_eq!(chunk_bits(1 << 30), 12);
        assert_eq!(chunk_bits((1 << 30) + 1), 13);
        assert_eq!(chunk_bits(16 << 40), 26);
    }

    #[test]
    fn parts_land_in_their_chunks() {
        let mut file = vec![0; HEAD_BYTES as usize];
        file.extend(b"abcdefgh");
        let sparse = Sparse {
            table: 0,
            size: 20_001,
            data_offset: 0,
            parts: vec![(4094, 4), (20_000, 1), (20_001, 0)],
            chunk_bits: 12,
        };
        sparse.check().expect("in order");
        // Two whole chunks and one of 3,617 bytes.
        assert_eq!((sparse.table_bytes(), sparse.stored_bytes()), (20, 2 * 4096 + 4096));
        let start = 8192;
        let table = sparse.write_table(&mut file, start, 0).expect("write");
        sparse.write_parts(&mut file, &table).expect("write");
        let blocks: Vec<u32> =
            file[..20].chunks(4).map(|entry| u32::from_le_bytes(entry.try_into().expect("4"))).collect();
        assert_eq!(blocks, [16, 24, HOLE, HOLE, 32]);
        assert_eq!(&file[8192 + 4094..8192 + 4098], b"abcd");
        assert_eq!(file[16_384 + 20_000 - 16_384], b'e');
    }

    #[test]
    fn parts_out_of_order_are_refused() {
        for parts in [vec![(5, 1), (4, 1)], vec![(0, 11)], vec![(u64::MAX, 2)]] {
            let sparse = Sparse { table: 0, size: 10, data_offset: 0, parts, chunk_bits: 12 };
            assert_eq!(sparse.check().map_err(|error| error.kind()), Err(Kind::Corrupt));
        }
    }
}
