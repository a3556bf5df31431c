//! Inflating ahead of whoever reads, on a thread of its own, with the digest of what comes out.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use dhow_base::{Error, Kind, Result};
use dhow_spec::digest::{Algorithm, Hasher};

use crate::{Decoder, Limits, Uncompressed};

/// Bytes that travel between the threads at once.
const CHUNK_BYTES: usize = 256 << 10;

/// Chunks that wait to be read: 2 MiB.
const CHUNKS: usize = 8;

/// What a thread inflates, in order.
#[derive(Debug)]
pub struct Ahead {
    chunks: Receiver<io::Result<Vec<u8>>>,
    chunk: Vec<u8>,
    position: usize,
}

impl Read for Ahead {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.position == self.chunk.len() {
            match self.chunks.recv() {
                Ok(chunk) => (self.chunk, self.position) = (chunk?, 0),
                // The other thread is done.
                Err(_) => return Ok(0),
            }
        }
        let count = buffer.len().min(self.chunk.len() - self.position);
        buffer[..count].copy_from_slice(&self.chunk[self.position..self.position + count]);
        self.position += count;
        Ok(count)
    }
}

/// Hands what a stream of any compression inflates to over to `consume`, which reads to the end, and works out its digest.
///
/// # Errors
/// Those of `consume`, which are given those of inflating as it reads; [`Kind::Internal`] when it did not read to the end.
pub fn inflate_ahead<T>(
    algorithm: Algorithm,
    reader: impl Read + Send,
    limits: Limits,
    consume: impl FnOnce(Ahead) -> Result<T>,
) -> Result<(T, Uncompressed)> {
    thread::scope(|scope| {
        let (sender, chunks) = sync_channel(CHUNKS);
        let inflating = scope.spawn(move || inflate(algorithm, reader, limits, &sender));
        let consumed = consume(Ahead { chunks, chunk: Vec::new(), position: 0 });
        let inflated = inflating.join().map_err(|_| Error::new(Kind::Internal, "the inflating thread panicked"))?;
        let unread = || Error::new(Kind::Internal, "the layer was not read to its end");
        Ok((consumed?, inflated.ok_or_else(unread)?))
    })
}

/// Nothing when the other side stopped reading or was told of an error.
fn inflate(
    algorithm: Algorithm,
    reader: impl Read,
    limits: Limits,
    chunks: &SyncSender<io::Result<Vec<u8>>>,
) -> Option<Uncompressed> {
    let fail = |error: io::Error| {
        // Nobody listens any more when this fails.
        let _ = chunks.send(Err(error));
    };
    let mut decoder = match Decoder::new(reader, limits) {
        Ok(decoder) => decoder,
        Err(error) => {
            fail(error);
            return None;
        }
    };
    let mut hasher = Hasher::new(algorithm);
    loop {
        let mut chunk = vec![0; CHUNK_BYTES];
        let mut filled = 0;
        while filled < chunk.len() {
            match decoder.read(&mut chunk[filled..]) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    fail(error);
                    return None;
                }
            }
        }
        if filled == 0 {
            let (compression, size) = (decoder.compression(), decoder.bytes_out());
            return Some(Uncompressed { compression, diff_id: hasher.finish(), size });
        }
        chunk.truncate(filled);
        hasher.update(&chunk);
        chunks.send(Ok(chunk)).ok()?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Compression, decode_error, encode, uncompressed_digest};

    #[test]
    fn what_is_read_is_what_is_hashed() {
        let original: Vec<u8> = (0..1_000_000_u32).flat_map(|number| (number / 3).to_le_bytes()).collect();
        let mut packed = Vec::new();
        encode(&original[..], &mut packed, Compression::Gzip).expect("encoding");
        let read = |mut ahead: Ahead| {
            let mut bytes = Vec::new();
            ahead.read_to_end(&mut bytes).map_err(|error| decode_error("layer", error))?;
            Ok(bytes)
        };
        let (bytes, found) = inflate_ahead(Algorithm::Sha256, &packed[..], Limits::LAYER, read).expect("it inflates");
        assert!(bytes == original);
        assert_eq!(found, uncompressed_digest(&packed[..], Limits::LAYER).expect("a digest"));

        let cut = &packed[..packed.len() / 2];
        let error = inflate_ahead(Algorithm::Sha256, cut, Limits::LAYER, read).expect_err("it is cut");
        assert_eq!(
            (error.kind(), error.to_string()),
            (Kind::Corrupt, "layer: the gzip stream ends too early".to_owned())
        );
        // A reader that gives up ends the thread.
        let stopped = inflate_ahead(Algorithm::Sha256, &packed[..], Limits::LAYER, |_| Ok(()));
        assert_eq!(stopped.map_err(|error| error.kind()).err(), Some(Kind::Internal));
    }
}
