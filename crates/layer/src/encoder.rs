//! Compressing a tar stream, on one thread.

use std::io::{self, Read, Write};

use flate2::GzBuilder;

use crate::compression::Compression;

/// Level of gzip: zlib's default, which docker and skopeo use too.
const GZIP_LEVEL: u32 = 6;

/// Level of zstd: its default.
const ZSTD_LEVEL: i32 = 3;

/// Bytes moved at once.
const CHUNK_BYTES: usize = 256 << 10;

/// Writes all of `reader` to `writer` in this compression; returns how many bytes were read.
///
/// The same input gives the same output on every machine with this version of the program; another version of the
/// compressor may give other bytes, and so another digest.
///
/// # Errors
/// Those of reading and writing; [`io::ErrorKind::Unsupported`] for compressions that are only read.
pub fn encode(mut reader: impl Read, writer: impl Write, compression: Compression) -> io::Result<u64> {
    match compression {
        Compression::Gzip => {
            // No name and no time: neither is content.
            let mut encoder = GzBuilder::new().write(writer, flate2::Compression::new(GZIP_LEVEL));
            let count = copy(&mut reader, &mut encoder)?;
            encoder.finish()?.flush()?;
            Ok(count)
        }
        Compression::Zstd => {
            let mut encoder = zstd::stream::write::Encoder::new(writer, ZSTD_LEVEL)?;
            encoder.include_checksum(true)?;
            let count = copy(&mut reader, &mut encoder)?;
            encoder.finish()?.flush()?;
            Ok(count)
        }
        Compression::None => {
            let mut writer = writer;
            let count = copy(&mut reader, &mut writer)?;
            writer.flush()?;
            Ok(count)
        }
        other => Err(io::Error::new(io::ErrorKind::Unsupported, format!("{} is only read", other.as_str()))),
    }
}

fn copy(reader: &mut impl Read, writer: &mut impl Write) -> io::Result<u64> {
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut total = 0;
    loop {
        match reader.read(&mut chunk) {
            Ok(0) => return Ok(total),
            Ok(count) => {
                writer.write_all(&chunk[..count])?;
                total += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decoder::{Decoder, Limits};

    #[test]
    fn what_is_written_is_read_back() {
        let original: Vec<u8> = (0..700_000_u32).flat_map(|number| (number / 7).to_le_bytes()).collect();
        for compression in [Compression::Gzip, Compression::Zstd, Compression::None] {
            let mut written = Vec::new();
            let count = encode(&*original, &mut written, compression).expect("encoding");
            assert_eq!(count, original.len() as u64);
            let mut decoder = Decoder::new(&*written, Limits::LAYER).expect("a decoder");
            let mut read = Vec::new();
            decoder.read_to_end(&mut read).expect("decoding");
            assert!(read == original, "{compression:?}");
            assert_eq!(decoder.compression(), compression);
            let mut again = Vec::new();
            encode(&*original, &mut again, compression).expect("encoding");
            assert!(again == written, "{compression:?} differs from run to run");
        }
        let refused = encode(&b"x"[..], io::sink(), Compression::Xz).expect_err("xz is only read");
        assert_eq!(refused.kind(), io::ErrorKind::Unsupported);
    }
}
