//! Inflating ahead of whoever reads, on a thread of its own, and working out the digest of what comes out on another one.

use std::io::{self, BufRead, Read};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use dhow_base::{Error, Kind, Result, priority};
use dhow_spec::Digest;
use dhow_spec::digest::{Algorithm, Hasher};

use crate::{Decoder, Limits, Uncompressed};

/// Bytes that travel between the threads at once.
const CHUNK_BYTES: usize = 256 << 10;

/// Chunks that wait to be read, and to be hashed: 2 MiB.
const CHUNKS: usize = 8;

/// Bytes that two threads read.
type Chunk = Arc<Vec<u8>>;

/// What a thread inflates, in order.
#[derive(Debug)]
pub struct Ahead {
    chunks: Receiver<io::Result<Chunk>>,
    chunk: Chunk,
    position: usize,
}

impl BufRead for Ahead {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.position == self.chunk.len() {
            match self.chunks.recv() {
                Ok(chunk) => (self.chunk, self.position) = (chunk?, 0),
                // The other thread is done.
                Err(_) => break,
            }
        }
        Ok(&self.chunk[self.position..])
    }

    fn consume(&mut self, count: usize) {
        self.position += count;
    }
}

impl Read for Ahead {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(buffer)?;
        self.consume(count);
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
    run(algorithm, || Decoder::new(reader, limits), consume)
}

/// As [`inflate_ahead`], for a layer called `name` in errors, whose diff ID proves what it inflates to: no other checksum is worked
/// out. What is found is the diff ID, with length and compression.
///
/// # Errors
/// As there; [`Kind::Corrupt`] when it has another diff ID.
pub fn inflate_proven<T>(
    name: &str,
    diff_id: &Digest,
    reader: impl Read + Send,
    consume: impl FnOnce(Ahead) -> Result<T>,
) -> Result<(T, Uncompressed)> {
    let decoder = || Decoder::new(reader, Limits::LAYER).map(Decoder::ignoring_checksums);
    let (consumed, found) = run(diff_id.algorithm(), decoder, consume)?;
    if found.diff_id != *diff_id {
        let message = format!("{name}: unpacked diff ID mismatch: expected {diff_id}, got {}", found.diff_id);
        return Err(Error::new(Kind::Corrupt, message));
    }
    Ok((consumed, found))
}

fn run<T, R: Read + Send>(
    algorithm: Algorithm,
    decoder: impl FnOnce() -> io::Result<Decoder<R>> + Send,
    consume: impl FnOnce(Ahead) -> Result<T>,
) -> Result<(T, Uncompressed)> {
    thread::scope(|scope| {
        let (to_reader, chunks) = sync_channel(CHUNKS);
        let (to_hash, hashed) = sync_channel::<Chunk>(CHUNKS);
        let hashing = scope.spawn(move || {
            let mut hasher = Hasher::new(algorithm);
            for chunk in hashed {
                hasher.update(&chunk);
                priority::give_way();
            }
            hasher.finish()
        });
        let inflating = scope.spawn(move || inflate(decoder, &to_reader, &to_hash));
        let consumed = consume(Ahead { chunks, chunk: Arc::default(), position: 0 });
        let panicked = |_| Error::new(Kind::Internal, "a thread that inflates or hashes panicked");
        let inflated = inflating.join().map_err(panicked)?;
        let diff_id = hashing.join().map_err(panicked)?;
        let unread = || Error::new(Kind::Internal, "the layer was not read to its end");
        let (consumed, decoder) = (consumed?, inflated.ok_or_else(unread)?);
        Ok((consumed, Uncompressed { compression: decoder.compression(), diff_id, size: decoder.bytes_out() }))
    })
}

/// The decoder at its end; nothing when the other side stopped reading or was told of an error.
fn inflate<R: Read>(
    decoder: impl FnOnce() -> io::Result<Decoder<R>>,
    to_reader: &SyncSender<io::Result<Chunk>>,
    to_hash: &SyncSender<Chunk>,
) -> Option<Decoder<R>> {
    let fail = |error: io::Error| {
        // Nobody listens any more when this fails.
        let _ = to_reader.send(Err(error));
    };
    let mut decoder = decoder().map_err(fail).ok()?;
    let mut pool: Vec<Chunk> = Vec::new();
    loop {
        let mut chunk = free_chunk(&mut pool);
        chunk.resize(CHUNK_BYTES, 0);
        let filled = fill(&mut decoder, &mut chunk).map_err(fail).ok()?;
        if filled == 0 {
            return Some(decoder);
        }
        chunk.truncate(filled);
        let chunk = Arc::new(chunk);
        pool.push(Arc::clone(&chunk));
        to_hash.send(Arc::clone(&chunk)).ok()?;
        to_reader.send(Ok(chunk)).ok()?;
    }
}

/// A chunk that nobody reads any more, or a new one: to give memory back and get it anew costs as much as to hash what is in it.
fn free_chunk(pool: &mut Vec<Chunk>) -> Vec<u8> {
    let free = pool.iter().position(|chunk| Arc::strong_count(chunk) == 1);
    free.and_then(|free| Arc::into_inner(pool.swap_remove(free))).unwrap_or_default()
}

/// Reads until the chunk is full or the stream ends.
fn fill(reader: &mut impl Read, chunk: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < chunk.len() {
        match reader.read(&mut chunk[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
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
        let diff_id = Digest::sha256(&original);
        let (bytes, _) = inflate_proven("layer", &diff_id, &packed[..], read).expect("it is what it should be");
        assert!(bytes == original);
        let other = inflate_proven("layer", &Digest::sha256(b"other"), &packed[..], read).expect_err("it is not");
        assert!(other.to_string().starts_with("layer: unpacked diff ID mismatch"), "{other}");
        // A reader that gives up ends the thread.
        let stopped = inflate_ahead(Algorithm::Sha256, &packed[..], Limits::LAYER, |_| Ok(()));
        assert_eq!(stopped.map_err(|error| error.kind()).err(), Some(Kind::Internal));
    }
}
