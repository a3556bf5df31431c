//! Inflating ahead of whoever reads, on a thread of its own, and working out the digest of what comes out on another one.

use std::io::{self, BufRead, Read};
use std::iter;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, Scope, ScopedJoinHandle};

use dhow_base::{Error, Kind, Result, threads};
use dhow_spec::Digest;
use dhow_spec::digest::Algorithm;

use crate::diff_id::digest_of;
use crate::pool::{Piece, Pool};
use crate::{Compression, Decoder, Limits, Uncompressed};

/// Pieces of a layer that wait to be read or hashed: 2.5 MiB.
const PIECES: usize = 10;

/// The same of all layers that are taken in order: 56 MiB. Nearly as much of the next one is there when its turn comes.
const PIECES_IN_ORDER: usize = 224;

/// What a thread inflates, in order.
#[derive(Debug)]
pub struct Ahead {
    pieces: Receiver<io::Result<Arc<Piece>>>,
    piece: Option<Arc<Piece>>,
    position: usize,
}

impl BufRead for Ahead {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.piece.as_ref().is_some_and(|piece| self.position == piece.len()) {
            self.piece = None;
        }
        if self.piece.is_none() {
            // The other thread is done when there is none.
            self.piece = self.pieces.recv().ok().transpose()?;
            self.position = 0;
        }
        Ok(self.piece.as_ref().map_or(&[], |piece| &piece[self.position..]))
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
    let pool = (Pool::new(PIECES), 0);
    thread::scope(|scope| begin(scope, pool, (algorithm, None), || Decoder::new(reader, limits))?.consume(consume))
}

/// A layer as it is stored.
pub struct Layer<'a> {
    /// What errors call it.
    pub name: String,
    /// Digest of what it inflates to.
    pub diff_id: &'a Digest,
    /// What shows that it does.
    pub proof: Proof,
    /// Opens it, on the thread that inflates it.
    pub open: Opening<'a>,
}

/// What shows that a layer inflates to what it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// The diff ID is worked out.
    DiffId,
    /// This blob's diff ID was proven earlier. What may have happened to it since is an accident, which gzip's CRC-32 finds in a tenth of
    /// the time. For what has no checksum of its own, or need not have one, the diff ID is worked out again.
    Checksum,
}

/// Opens a layer, which may take until it arrives.
pub type Opening<'a> = Box<dyn FnOnce() -> Result<Box<dyn Read + Send + 'a>> + Send + 'a>;

/// Inflates the layers of an image for somebody who takes them one after the other, each as [`Layer::inflate`] does. While one is
/// taken, the next one is begun: to inflate takes longer than most of what is done with it, and is no work for two cores.
pub fn inflate_in_order<'scope, 'a: 'scope>(
    scope: &'scope Scope<'scope, '_>,
    layers: impl IntoIterator<Item = Layer<'a>>,
) -> impl Iterator<Item = Result<Inflating<'scope>>> {
    let pool = Pool::new(PIECES_IN_ORDER);
    let mut layers = layers.into_iter().enumerate();
    let mut layers = iter::from_fn(move || {
        let (number, layer) = layers.next()?;
        Some(layer.begin(scope, (Arc::clone(&pool), number)))
    });
    let mut next = layers.next();
    iter::from_fn(move || {
        let current = next.take();
        next = layers.next();
        current
    })
}

impl<'a> Layer<'a> {
    /// A layer that is open already.
    pub fn new(name: impl Into<String>, diff_id: &'a Digest, proof: Proof, reader: impl Read + Send + 'a) -> Self {
        Self { name: name.into(), diff_id, proof, open: Box::new(|| Ok(Box::new(reader))) }
    }

    /// As [`inflate_ahead`], and proves the layer. What is found is the diff ID, with length and compression.
    ///
    /// # Errors
    /// As there; [`Kind::Corrupt`] when it has another diff ID.
    pub fn inflate<T>(self, consume: impl FnOnce(Ahead) -> Result<T>) -> Result<(T, Uncompressed)> {
        thread::scope(|scope| self.begin(scope, (Pool::new(PIECES), 0))?.consume(consume))
    }

    fn begin<'scope>(self, scope: &'scope Scope<'scope, '_>, pool: (Arc<Pool>, usize)) -> Result<Inflating<'scope>>
    where
        'a: 'scope,
    {
        let Self { name, diff_id, proof, open } = self;
        let decoder = move || Decoder::new(open().map_err(io::Error::other)?, Limits::LAYER);
        let inflating = begin(scope, pool, (diff_id.algorithm(), Some(proof)), decoder)?;
        Ok(Inflating { expected: Some((name, diff_id.clone())), ..inflating })
    }
}

/// A layer that a thread inflates.
#[derive(Debug)]
pub struct Inflating<'scope> {
    /// What errors call it, and its diff ID, if that is known.
    expected: Option<(String, Digest)>,
    /// The pieces, and the number that it has among those who share them.
    pool: (Arc<Pool>, usize),
    ahead: Ahead,
    inflating: ScopedJoinHandle<'scope, Option<Inflated>>,
    hashing: ScopedJoinHandle<'scope, Digest>,
}

impl Inflating<'_> {
    /// Hands it over to `consume`, which reads to the end.
    ///
    /// # Errors
    /// As [`Layer::inflate`].
    pub fn consume<T>(self, consume: impl FnOnce(Ahead) -> Result<T>) -> Result<(T, Uncompressed)> {
        let (pool, number) = &self.pool;
        pool.begin_turn(*number);
        let consumed = consume(self.ahead);
        let panicked = |_| Error::new(Kind::Internal, "a thread that inflates or hashes panicked");
        let inflated = self.inflating.join().map_err(panicked)?;
        let hashed = self.hashing.join().map_err(panicked)?;
        let unread = || Error::new(Kind::Internal, "the layer was not read to its end");
        let (consumed, Inflated { compression, size, is_hashed }) = (consumed?, inflated.ok_or_else(unread)?);
        let diff_id = match self.expected {
            Some((_, expected)) if !is_hashed || expected == hashed => expected,
            Some((name, expected)) => {
                let message = format!("{name}: unpacked diff ID mismatch: expected {expected}, got {hashed}");
                return Err(Error::new(Kind::Corrupt, message));
            }
            None => hashed,
        };
        Ok((consumed, Uncompressed { compression, diff_id, size }))
    }
}

/// What the inflating thread knows at its end.
#[derive(Debug)]
struct Inflated {
    compression: Compression,
    size: u64,
    /// Whether the other thread saw it, too.
    is_hashed: bool,
}

fn begin<'scope, R: Read>(
    scope: &'scope Scope<'scope, '_>,
    pool: (Arc<Pool>, usize),
    (algorithm, proof): (Algorithm, Option<Proof>),
    decoder: impl FnOnce() -> io::Result<Decoder<R>> + Send + 'scope,
) -> Result<Inflating<'scope>> {
    let (to_reader, pieces) = channel();
    let (to_hash, hashed) = channel::<Arc<Piece>>();
    let hashing = threads::start_in(scope, "hash", move || digest_of(algorithm, hashed))?;
    let (its_pool, number) = (Arc::clone(&pool.0), pool.1);
    let decoder = move || Ok(choose_sums(decoder()?, proof));
    let inflate = move || inflate(decoder, || its_pool.take(number), &to_reader, &to_hash);
    let inflating = threads::start_in(scope, "inflate", inflate)?;
    Ok(Inflating { expected: None, pool, ahead: Ahead { pieces, piece: None, position: 0 }, inflating, hashing })
}

/// The decoder, with or without its checksum, and whether what comes out is hashed. Where nothing was known before, it is both.
fn choose_sums<R: Read>(decoder: Decoder<R>, proof: Option<Proof>) -> (Decoder<R>, bool) {
    match proof {
        None => (decoder, true),
        Some(Proof::Checksum) if decoder.compression() == Compression::Gzip => (decoder, false),
        Some(_) => (decoder.ignoring_checksums(), true),
    }
}

/// What there is to know at the end; nothing when the other side stopped reading or was told of an error.
fn inflate<R: Read>(
    decoder: impl FnOnce() -> io::Result<(Decoder<R>, bool)>,
    empty: impl Fn() -> Piece,
    to_reader: &Sender<io::Result<Arc<Piece>>>,
    to_hash: &Sender<Arc<Piece>>,
) -> Option<Inflated> {
    let fail = |error: io::Error| {
        // Nobody listens any more when this fails.
        let _ = to_reader.send(Err(error));
    };
    let (mut decoder, is_hashed) = decoder().map_err(fail).ok()?;
    loop {
        let mut piece = empty();
        piece.fill_from(&mut decoder).map_err(fail).ok()?;
        if piece.is_empty() {
            return Some(Inflated { compression: decoder.compression(), size: decoder.bytes_out(), is_hashed });
        }
        let piece = Arc::new(piece);
        if is_hashed {
            to_hash.send(Arc::clone(&piece)).ok()?;
        }
        to_reader.send(Ok(piece)).ok()?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::PIECE_BYTES;
    use crate::{decode_error, encode, uncompressed_digest};

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
        let (bytes, proven) = Layer::new("layer", &found.diff_id, Proof::DiffId, &packed[..])
            .inflate(read)
            .expect("it is what it should be");
        assert!(bytes == original);
        assert_eq!(proven, found);
        let other = Digest::sha256(b"other");
        let other = Layer::new("layer", &other, Proof::DiffId, &packed[..]).inflate(read).expect_err("it is not");
        assert!(other.to_string().starts_with("layer: unpacked diff ID mismatch"), "{other}");
        // A reader that gives up ends the thread.
        let stopped = inflate_ahead(Algorithm::Sha256, &packed[..], Limits::LAYER, |_| Ok(()));
        assert_eq!(stopped.map_err(|error| error.kind()).err(), Some(Kind::Internal));
    }

    /// Damage that a checksum finds is found either way; another layer only where the diff ID is worked out.
    #[test]
    fn a_checksum_stands_in_for_a_diff_id_only_where_there_must_be_one() {
        let original: Vec<u8> = (0..100_000_u32).flat_map(|number| (number / 3).to_le_bytes()).collect();
        let read = |mut ahead: Ahead| {
            let mut bytes = Vec::new();
            ahead.read_to_end(&mut bytes).map_err(|error| decode_error("layer", error))?;
            Ok(bytes)
        };
        let (right, other) = (Digest::sha256(&original), Digest::sha256(b"other"));
        for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
            let mut packed = Vec::new();
            encode(&original[..], &mut packed, compression).expect("encoding");
            let inflate = |diff_id, packed: &[u8]| Layer::new("layer", diff_id, Proof::Checksum, packed).inflate(read);
            let (bytes, found) = inflate(&right, &packed).expect("it is what it was");
            assert!(bytes == original && found.diff_id == right && found.compression == compression, "{compression}");
            assert_eq!(inflate(&other, &packed).is_ok(), compression == Compression::Gzip, "{compression}");
            // The last byte of gzip is of the length; the fifth but last of the checksum.
            for at in [packed.len() / 2, packed.len() - 5] {
                let mut damaged = packed.clone();
                damaged[at] ^= 1;
                assert_eq!(
                    inflate(&right, &damaged).expect_err("damaged").kind(),
                    Kind::Corrupt,
                    "{compression} at {at}"
                );
            }
        }
    }

    /// A layer longer than all pieces together, packed, and its diff ID.
    fn long_layer(byte: u8) -> (Vec<u8>, Digest) {
        let original = vec![byte; (PIECES_IN_ORDER + 5) * PIECE_BYTES + 1];
        let mut packed = Vec::new();
        encode(&original[..], &mut packed, Compression::Gzip).expect("encoding");
        (packed, Digest::sha256(&original))
    }

    #[test]
    fn layers_come_in_order_however_long_they_are() {
        let layers = [1, 2, 3].map(long_layer);
        let packed =
            |name: &str, (packed, diff_id): &'_ (Vec<u8>, Digest)| (name.to_owned(), packed.clone(), diff_id.clone());
        let take = |layers: &[(String, Vec<u8>, Digest)], fail_at: usize| -> Result<Vec<u8>> {
            thread::scope(|scope| {
                let stored = layers.iter().map(|(name, packed, diff_id)| Layer {
                    name: name.clone(),
                    diff_id,
                    proof: Proof::DiffId,
                    open: Box::new(move || {
                        let missing = || Error::new(Kind::NotFound, format!("{name} is gone"));
                        if packed.is_empty() { Err(missing()) } else { Ok(Box::new(&packed[..])) }
                    }),
                });
                let mut seen = Vec::new();
                for (number, inflating) in inflate_in_order(scope, stored).enumerate() {
                    let read = |mut ahead: Ahead| {
                        let mut bytes = Vec::new();
                        if number == fail_at {
                            return Err(Error::new(Kind::Io, "no room"));
                        }
                        ahead.read_to_end(&mut bytes).map_err(|error| decode_error("reading", error))?;
                        Ok(bytes[0])
                    };
                    seen.push(inflating?.consume(read)?.0);
                }
                Ok(seen)
            })
        };
        let mut named: Vec<_> =
            ["a", "b", "c"].into_iter().zip(&layers).map(|(name, layer)| packed(name, layer)).collect();
        assert_eq!(take(&named, usize::MAX).expect("all are read"), [1, 2, 3]);
        // Whoever gives up leaves no thread waiting.
        assert_eq!(take(&named, 1).expect_err("the second fails").kind(), Kind::Io);
        named[1].2 = Digest::sha256(b"other");
        let error = take(&named, usize::MAX).expect_err("the second is another");
        assert!(error.to_string().starts_with("b: unpacked diff ID mismatch"), "{error}");
        named[1].1.clear();
        let error = take(&named, usize::MAX).expect_err("the second is gone");
        assert_eq!((error.kind(), error.to_string()), (Kind::NotFound, "reading: b is gone".to_owned()));
    }
}
