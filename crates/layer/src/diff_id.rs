//! Proving what a layer inflates to.

use std::io::Read;
use std::sync::mpsc;
use std::thread;

use dhow_base::{Error, Kind, Result, priority};
use dhow_spec::digest::{Algorithm, Digest, Hasher};

use crate::{Compression, Decoder, Limits, decode_error};

/// Bytes that travel from the inflating to the hashing thread at once.
const CHUNK_BYTES: usize = 512 << 10;

/// Chunks in use: one being filled, one being hashed, one waiting.
const CHUNKS: usize = 3;

/// What a layer blob inflates to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uncompressed {
    /// How the blob was compressed.
    pub compression: Compression,
    /// Digest of the uncompressed bytes: the layer's diff ID.
    pub diff_id: Digest,
    /// Length of the uncompressed bytes.
    pub size: u64,
}

/// Inflates a stream of any compression and works out the SHA-256 and length of what is inside.
///
/// # Errors
/// As [`uncompressed_digest_by`].
pub fn uncompressed_digest(reader: impl Read, limits: Limits) -> Result<Uncompressed> {
    uncompressed_digest_by(Algorithm::Sha256, reader, limits)
}

/// Inflates a stream of any compression and works out the digest and length of what is inside.
///
/// gzip's own checksum is not worked out beside it. Inflating happens on the calling thread and hashing on a second one, so that the slower of both sets the pace.
///
/// # Errors
/// [`Kind::Corrupt`] or [`Kind::LimitExceeded`] when the stream is no good, else the reader's error.
pub fn uncompressed_digest_by(algorithm: Algorithm, reader: impl Read, limits: Limits) -> Result<Uncompressed> {
    let failed = |error| decode_error("cannot inflate layer", error);
    let mut decoder = Decoder::new(reader, limits).map_err(failed)?.ignoring_checksums();
    let diff_id = thread::scope(|scope| {
        let (full_sender, full) = mpsc::sync_channel::<(Vec<u8>, usize)>(CHUNKS);
        let (empty_sender, empty) = mpsc::channel::<Vec<u8>>();
        let hashing = scope.spawn(move || {
            let mut hasher = Hasher::new(algorithm);
            for (chunk, length) in full {
                hasher.update(&chunk[..length]);
                priority::give_way();
                // The other side is gone when it has read everything; the chunk is then simply freed.
                let _ = empty_sender.send(chunk);
            }
            hasher.finish()
        });
        let mut spare = CHUNKS;
        let inflated = loop {
            let mut chunk = if spare > 0 {
                spare -= 1;
                vec![0; CHUNK_BYTES]
            } else {
                match empty.recv() {
                    Ok(chunk) => chunk,
                    Err(_) => break Ok(()),
                }
            };
            match fill(&mut decoder, &mut chunk) {
                Ok(0) => break Ok(()),
                Ok(length) if full_sender.send((chunk, length)).is_err() => break Ok(()),
                Ok(_) => {}
                Err(error) => break Err(failed(error)),
            }
        };
        drop(full_sender);
        let digest = hashing.join().map_err(|_| Error::new(Kind::Internal, "the hashing thread panicked"))?;
        inflated.map(|()| digest)
    })?;
    Ok(Uncompressed { compression: decoder.compression(), diff_id, size: decoder.bytes_out() })
}

/// Reads until the buffer is full or the input ends.
fn fill(reader: &mut impl Read, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
