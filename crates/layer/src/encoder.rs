//! Compressing a tar stream.

use std::io::{self, Read, Write};
use std::num::NonZeroUsize;
use std::thread;

use crate::compression::Compression;
use crate::gzip;

/// Level of zstd: its default.
const ZSTD_LEVEL: i32 = 3;

/// Most threads that compress: beyond, reading and hashing on one thread is what takes the time.
const THREADS_MAX: usize = 16;

/// Bytes moved at once.
const CHUNK_BYTES: usize = 256 << 10;

/// Writes all of `reader` to `writer` in this compression, on as many threads as the machine has; returns how many bytes
/// were read.
///
/// The same input gives the same output on every machine with this version of the program; another version of the
/// compressor may give other bytes, and so another digest.
///
/// # Errors
/// Those of reading and writing; [`io::ErrorKind::Unsupported`] for compressions that are only read.
pub fn encode(reader: impl Read, writer: impl Write, compression: Compression) -> io::Result<u64> {
    let threads = thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    encode_on(threads.min(NonZeroUsize::new(THREADS_MAX).unwrap_or(threads)), reader, writer, compression)
}

/// As [`encode`], on this many threads. The bytes do not depend on their number.
///
/// # Errors
/// As [`encode`].
pub fn encode_on(
    threads: NonZeroUsize,
    mut reader: impl Read,
    mut writer: impl Write,
    compression: Compression,
) -> io::Result<u64> {
    match compression {
        Compression::Gzip => {
            let count = gzip::write(&mut reader, &mut writer, threads)?;
            writer.flush()?;
            Ok(count)
        }
        Compression::Zstd => {
            let mut encoder = zstd::stream::write::Encoder::new(writer, ZSTD_LEVEL)?;
            encoder.include_checksum(true)?;
            // One worker cuts its input as many do; none at all would cut it otherwise.
            encoder.multithread(u32::try_from(threads.get()).unwrap_or(1))?;
            let count = copy(&mut reader, &mut encoder)?;
            encoder.finish()?.flush()?;
            Ok(count)
        }
        Compression::None => {
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
        let original: Vec<u8> = (0..3_000_000_u32).flat_map(|number| (number / 7).to_le_bytes()).collect();
        for compression in [Compression::Gzip, Compression::Zstd, Compression::None] {
            let mut written = Vec::new();
            let count = encode(&*original, &mut written, compression).expect("encoding");
            assert_eq!(count, original.len() as u64);
            let mut decoder = Decoder::new(&*written, Limits::LAYER).expect("a decoder");
            let mut read = Vec::new();
            decoder.read_to_end(&mut read).expect("decoding");
            assert!(read == original, "{compression:?}");
            assert_eq!(decoder.compression(), compression);
            for threads in [1, 2, 7] {
                let mut again = Vec::new();
                let threads = NonZeroUsize::new(threads).expect("some");
                encode_on(threads, &*original, &mut again, compression).expect("encoding");
                assert!(again == written, "{compression:?} differs on {threads} threads");
            }
        }
        let refused = encode(&b"x"[..], io::sink(), Compression::Xz).expect_err("xz is only read");
        assert_eq!(refused.kind(), io::ErrorKind::Unsupported);
    }
}
