//! One 512-byte header block.

use super::error::TarCause;
use super::numeric;

/// Bytes of a block; headers take one, data is padded to a multiple.
pub(super) const BLOCK_BYTES: usize = 512;

/// A header block whose checksum is right.
pub(super) struct Header<'a> {
    block: &'a [u8; BLOCK_BYTES],
    format: Format,
}

/// Which fields behind the first 257 bytes mean something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    V7,
    Ustar,
    Star,
    Gnu,
}

/// The checksum of a block, in which eight spaces stand for the sum itself. Without a condition for each byte the compiler looks at
/// many at once.
fn sum(block: &[u8; BLOCK_BYTES], value: impl Fn(u8) -> i32) -> i64 {
    let of = |bytes: &[u8]| bytes.iter().map(|byte| value(*byte)).sum::<i32>();
    i64::from(of(block) - of(&block[148..156]) + 8 * i32::from(b' '))
}

impl<'a> Header<'a> {
    /// Checks the sum, in which some old writers took bytes as signed.
    pub(super) fn new(block: &'a [u8; BLOCK_BYTES]) -> Result<Self, TarCause> {
        let stated = numeric::octal(&block[148..156]).ok_or(TarCause::Checksum)?;
        if stated != sum(block, i32::from) && stated != sum(block, |byte| byte.cast_signed().into()) {
            return Err(TarCause::Checksum);
        }
        let format = match (&block[257..263], &block[263..265]) {
            (b"ustar\0", b"00") if &block[508..512] == b"tar\0" => Format::Star,
            (b"ustar\0", b"00") => Format::Ustar,
            (b"ustar ", b" \0") => Format::Gnu,
            _ => Format::V7,
        };
        Ok(Self { block, format })
    }

    pub(super) fn type_flag(&self) -> u8 {
        self.block[156]
    }

    pub(super) fn is_gnu(&self) -> bool {
        self.format == Format::Gnu
    }

    /// The name, with the prefix where the format has one.
    pub(super) fn name(&self) -> Vec<u8> {
        let name = text(&self.block[..100]);
        let prefix = match self.format {
            Format::Ustar => text(&self.block[345..500]),
            Format::Star => text(&self.block[345..476]),
            Format::V7 | Format::Gnu => &[],
        };
        if prefix.is_empty() { name.to_vec() } else { [prefix, b"/", name].concat() }
    }

    pub(super) fn link_name(&self) -> &'a [u8] {
        text(&self.block[157..257])
    }

    pub(super) fn mode(&self) -> Result<u32, TarCause> {
        // Some writers put the type's bits there as well.
        Ok((self.number("mode", 100..108)? & 0o7777) as u32)
    }

    pub(super) fn uid(&self) -> Result<i64, TarCause> {
        self.number("uid", 108..116)
    }

    pub(super) fn gid(&self) -> Result<i64, TarCause> {
        self.number("gid", 116..124)
    }

    pub(super) fn size(&self) -> Result<u64, TarCause> {
        u64::try_from(self.number("size", 124..136)?).map_err(|_| TarCause::Number("size"))
    }

    pub(super) fn mtime(&self) -> Result<i64, TarCause> {
        self.number("mtime", 136..148)
    }

    /// Major and minor number of a device.
    pub(super) fn device(&self) -> Result<(u32, u32), TarCause> {
        if self.format == Format::V7 {
            return Ok((0, 0));
        }
        let narrow = |name, range| u32::try_from(self.number(name, range)?).map_err(|_| TarCause::Number(name));
        Ok((narrow("devmajor", 329..337)?, narrow("devminor", 337..345)?))
    }

    /// The old GNU sparse fields: four extents, whether more follow, and the file's real size.
    pub(super) fn gnu_sparse(&self) -> (&'a [u8], bool, &'a [u8]) {
        (&self.block[386..482], self.block[482] != 0, &self.block[483..495])
    }

    fn number(&self, name: &'static str, range: std::ops::Range<usize>) -> Result<i64, TarCause> {
        numeric::parse(&self.block[range]).ok_or(TarCause::Number(name))
    }
}

/// A field up to its first zero byte.
fn text(field: &[u8]) -> &[u8] {
    let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    &field[..end]
}
