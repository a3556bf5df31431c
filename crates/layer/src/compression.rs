//! Telling the compression of a stream by its first bytes.

use std::fmt;

/// How a stream is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Compression {
    /// Not at all, or in no way known here.
    None,
    /// RFC 1952, one or more members.
    Gzip,
    /// RFC 8878, one or more frames, skippable ones included.
    Zstd,
    /// bzip2, one or more streams.
    Bzip2,
    /// The .xz container, one or more streams.
    Xz,
}

impl Compression {
    /// How many first bytes [`Compression::detect`] looks at; fewer are fine when the stream is shorter.
    pub const DETECT_BYTES: usize = 10;

    /// Tells the compression by content, whatever a media type or file name says.
    ///
    /// bzip2 is recognised by its block magic too, because `BZh` alone may begin a file name in a plain tar.
    pub fn detect(first: &[u8]) -> Self {
        const BZIP2_BLOCK: [u8; 6] = [0x31, 0x41, 0x59, 0x26, 0x53, 0x59];
        const BZIP2_END: [u8; 6] = [0x17, 0x72, 0x45, 0x38, 0x50, 0x90];
        match first {
            [0x1f, 0x8b, 0x08, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Self::Xz,
            [b'B', b'Z', b'h', b'1'..=b'9', block @ ..]
                if block.starts_with(&BZIP2_BLOCK) || block.starts_with(&BZIP2_END) =>
            {
                Self::Bzip2
            }
            _ => Self::None,
        }
    }

    /// The name users know it by.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "uncompressed",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Bzip2 => "bzip2",
            Self::Xz => "xz",
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn detects_by_magic() {
        for (first, expected) in [
            (&b""[..], Compression::None),
            (b"\x1f\x8b\x08\0", Compression::Gzip),
            (b"\x1f\x8b\x07\0", Compression::None),
            (b"\x28\xb5\x2f\xfd", Compression::Zstd),
            (b"\x53\x2a\x4d\x18", Compression::Zstd),
            (b"\xfd7zXZ\0", Compression::Xz),
            (b"BZh91AY&SY", Compression::Bzip2),
            (b"BZh9\x17\x72\x45\x38\x50\x90", Compression::Bzip2),
            (b"BZh91-file-name", Compression::None),
            (b"BZh01AY&SY", Compression::None),
        ] {
            assert_eq!(Compression::detect(first), expected, "{first:?}");
        }
    }
}
