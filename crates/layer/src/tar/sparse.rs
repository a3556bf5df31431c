//! Maps of sparse files: old GNU, and PAX 0.0, 0.1 and 1.0 (GNU tar manual, "Storing Sparse Files").

use std::io::BufRead;

use super::error::TarCause;
use super::header::BLOCK_BYTES;
use super::input::Input;
use super::numeric;

/// Most extents of one file: 4 MiB of map in memory.
const EXTENTS_MAX: usize = 1 << 18;

/// Largest real size of a sparse file: ext4's limit, and more than a `lastlog` that knows the largest user ID.
const REAL_BYTES_MAX: u64 = 16 << 40;

/// Which parts of a file are stored, in the order of the file; everything else is zero.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SparseMap {
    extents: Vec<Extent>,
}

/// A stored part of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Position in the file, in bytes.
    pub offset: u64,
    /// Length in bytes, never 0.
    pub length: u64,
}

impl SparseMap {
    /// The stored parts: ascending, apart from each other or adjacent, within the file; none is empty.
    pub fn extents(&self) -> &[Extent] {
        &self.extents
    }
}

/// A map under construction.
#[derive(Clone, Debug, Default)]
pub(super) struct Builder {
    extents: Vec<Extent>,
    /// End of the last extent, empty ones included.
    end: u64,
    stored: u64,
}

impl Builder {
    pub(super) fn push(&mut self, offset: u64, length: u64) -> Result<(), TarCause> {
        if offset < self.end {
            return Err(TarCause::Sparse("its extents overlap or are out of order"));
        }
        self.end = offset.checked_add(length).ok_or(TarCause::Sparse("an extent ends beyond every file"))?;
        if length == 0 {
            return Ok(());
        }
        if self.extents.len() == EXTENTS_MAX {
            return Err(TarCause::Limit("the number of extents", EXTENTS_MAX as u64));
        }
        // Bounded by `end`, because extents do not overlap.
        self.stored += length;
        self.extents.push(Extent { offset, length });
        Ok(())
    }

    /// Proves the map against the file's real size and what is stored in the stream.
    pub(super) fn finish(self, real_size: u64, stored: u64) -> Result<SparseMap, TarCause> {
        if real_size > REAL_BYTES_MAX {
            return Err(TarCause::Limit("the size of a sparse file", REAL_BYTES_MAX));
        }
        if self.end > real_size {
            return Err(TarCause::Sparse("an extent ends behind the file"));
        }
        if self.stored != stored {
            return Err(TarCause::Sparse("its extents are not as long as the stored data"));
        }
        Ok(SparseMap { extents: self.extents })
    }
}

/// Reads the extents of an old GNU header and of the blocks that extend it.
pub(super) fn old_gnu<R: BufRead>(input: &mut Input<R>, first: &[u8], mut extended: bool) -> Result<Builder, TarCause> {
    let mut map = Builder::default();
    push_descriptors(&mut map, first)?;
    while extended {
        let (block, count) = input.take::<BLOCK_BYTES>().map_err(TarCause::Read)?;
        if count < BLOCK_BYTES {
            return Err(TarCause::Truncated);
        }
        push_descriptors(&mut map, &block[..504])?;
        extended = block[504] != 0;
    }
    Ok(map)
}

fn push_descriptors(map: &mut Builder, descriptors: &[u8]) -> Result<(), TarCause> {
    for descriptor in descriptors.chunks_exact(24) {
        if descriptor.iter().all(|byte| *byte == 0) {
            break;
        }
        let number = |field| {
            let number = numeric::parse(field).and_then(|number| u64::try_from(number).ok());
            number.ok_or(TarCause::Sparse("an extent is no number"))
        };
        map.push(number(&descriptor[..12])?, number(&descriptor[12..])?)?;
    }
    Ok(())
}

/// Reads the map of PAX 1.0, which stands before the data: decimal lines, padded to a block. Returns the bytes it took.
pub(super) fn pax_1_0<R: BufRead>(input: &mut Input<R>, stored: u64) -> Result<(Builder, u64), TarCause> {
    let mut lines = Lines { input, left: stored, block: [0; BLOCK_BYTES], position: BLOCK_BYTES };
    let count = lines.number()?;
    if count > EXTENTS_MAX as u64 {
        return Err(TarCause::Limit("the number of extents", EXTENTS_MAX as u64));
    }
    let mut map = Builder::default();
    for _ in 0..count {
        map.push(lines.number()?, lines.number()?)?;
    }
    Ok((map, stored - lines.left))
}

struct Lines<'a, R> {
    input: &'a mut Input<R>,
    /// Bytes of the entry that were not read yet.
    left: u64,
    block: [u8; BLOCK_BYTES],
    position: usize,
}

impl<R: BufRead> Lines<'_, R> {
    fn number(&mut self) -> Result<u64, TarCause> {
        let mut value: Option<u64> = None;
        loop {
            let byte = self.byte()?;
            match (byte, value) {
                (b'\n', Some(value)) => return Ok(value),
                (b'0'..=b'9', _) => {
                    let digit = u64::from(byte - b'0');
                    let next = value.unwrap_or(0).checked_mul(10).and_then(|value| value.checked_add(digit));
                    value = Some(next.ok_or(TarCause::Sparse("a number is too large"))?);
                }
                _ => return Err(TarCause::Sparse("it is no list of numbers")),
            }
        }
    }

    fn byte(&mut self) -> Result<u8, TarCause> {
        if self.position == BLOCK_BYTES {
            self.left = self.left.checked_sub(BLOCK_BYTES as u64).ok_or(TarCause::Sparse("it is cut off"))?;
            let (block, count) = self.input.take::<BLOCK_BYTES>().map_err(TarCause::Read)?;
            if count < BLOCK_BYTES {
                return Err(TarCause::Truncated);
            }
            (self.block, self.position) = (block, 0);
        }
        self.position += 1;
        Ok(self.block[self.position - 1])
    }
}
