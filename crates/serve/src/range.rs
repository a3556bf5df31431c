//! Byte ranges: `Range` of a download (RFC 9110, section 14.2) and `Content-Range` of an upload's chunk, which the
//! distribution spec writes without a unit.

use std::ops::Range;

/// What a `Range` header asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Requested {
    /// The header is to be ignored and all bytes sent: another unit, several ranges, or no range at all.
    Everything,
    /// These bytes, never empty.
    Part(Range<u64>),
    /// Bytes that are not there.
    Unsatisfiable,
}

/// Reads a `Range` header for content of `size` bytes.
///
/// Several ranges are answered with everything, as the RFC allows: no client of a registry asks for them, and one that
/// did could make a short request cost a long answer. A range that ends before it begins is unsatisfiable here, as the
/// official conformance program wants it.
pub fn requested(header: &str, size: u64) -> Requested {
    let Some((unit, set)) = header.split_once('=') else { return Requested::Everything };
    if !unit.trim().eq_ignore_ascii_case("bytes") || set.contains(',') || size == 0 {
        return Requested::Everything;
    }
    let Some((first, last)) = set.trim().split_once('-') else { return Requested::Everything };
    let range = match (position(first), position(last)) {
        (Some(first), Some(last)) if first <= last => first..last.saturating_add(1).min(size),
        (Some(_), Some(_)) => return Requested::Unsatisfiable,
        (Some(first), None) if last.is_empty() => first..size,
        (None, Some(suffix)) if first.is_empty() => size.saturating_sub(suffix)..size,
        _ => return Requested::Everything,
    };
    if range.start < range.end { Requested::Part(range) } else { Requested::Unsatisfiable }
}

/// A decimal position; one that does not fit is as good as the end of everything.
fn position(digits: &str) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().unwrap_or(u64::MAX))
}

/// The bytes of a blob that a chunk claims to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkRange {
    /// Position of the chunk's first byte.
    pub first: u64,
    /// Number of bytes, at least 1.
    pub length: u64,
}

impl ChunkRange {
    /// Parses `<first>-<last>`, both inclusive, as the distribution spec writes it ("Pushing a blob in chunks").
    ///
    /// Nothing for any other text, one that ends before it begins, or one whose length does not fit.
    pub fn parse(header: &str) -> Option<Self> {
        let (first, last) = header.split_once('-')?;
        let number = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?;
        let (first, last): (u64, u64) = (number(first)?, number(last)?);
        let length = last.checked_sub(first)?.checked_add(1)?;
        first.checked_add(length)?;
        Some(Self { first, length })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ranges_of_a_download() {
        use Requested::*;
        for (header, expected) in [
            ("bytes=500-1499", Part(500..1500)),
            ("bytes=500-", Part(500..2048)),
            ("bytes=-500", Part(1548..2048)),
            ("bytes=-5000", Part(0..2048)),
            ("bytes=2000-5000", Part(2000..2048)),
            ("bytes=0-18446744073709551616", Part(0..2048)),
            ("Bytes= 0-0", Part(0..1)),
            ("bytes=500-0", Unsatisfiable),
            ("bytes=5000-10000", Unsatisfiable),
            ("bytes=2048-", Unsatisfiable),
            ("bytes=-0", Unsatisfiable),
            ("bytes=99999999999999999999-", Unsatisfiable),
            ("bytes=0-1,5-6", Everything),
            ("items=0-1", Everything),
            ("bytes=-", Everything),
            ("bytes=a-b", Everything),
            ("bytes=1-2-3", Everything),
            ("bytes=+1-2", Everything),
            ("bytes", Everything),
            ("", Everything),
        ] {
            assert_eq!(requested(header, 2048), expected, "{header}");
        }
        assert_eq!(requested("bytes=0-", 0), Everything);
    }

    #[test]
    fn ranges_of_a_chunk() {
        assert_eq!(ChunkRange::parse("0-0"), Some(ChunkRange { first: 0, length: 1 }));
        assert_eq!(ChunkRange::parse("5-9"), Some(ChunkRange { first: 5, length: 5 }));
        let overflowing =
            ["0-18446744073709551615", "18446744073709551615-18446744073709551615", "1-18446744073709551616"];
        for header in ["5-3", "-3", "5-", "", "-", "a-b", "+1-2", "bytes 0-5", "bytes=0-5", "0-5/6", "0 - 5"] {
            assert_eq!(ChunkRange::parse(header), None, "{header}");
        }
        for header in overflowing {
            assert_eq!(ChunkRange::parse(header), None, "{header}");
        }
    }

    proptest! {
        #[test]
        fn a_part_is_never_empty_or_outside(header in "(bytes=)?[0-9]{0,22}-[0-9]{0,22}", size in any::<u64>()) {
            if let Requested::Part(range) = requested(&header, size) {
                prop_assert!(range.start < range.end && range.end <= size);
            }
        }

        #[test]
        fn any_text_is_read_without_panic(header in ".{0,60}", size in any::<u64>()) {
            let _ = requested(&header, size);
            let _ = ChunkRange::parse(&header);
        }

        #[test]
        fn a_chunk_reads_back(first in 0u64..1 << 50, length in 1u64..1 << 50) {
            let header = format!("{first}-{}", first + length - 1);
            prop_assert_eq!(ChunkRange::parse(&header), Some(ChunkRange { first, length }));
        }
    }
}
