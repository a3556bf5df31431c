//! Proving what a layer inflates to.

use std::io::Read;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use dhow_base::{Error, Kind, Result, priority, threads};
use dhow_spec::digest::{Algorithm, Digest, Hasher};

use crate::pool::{Piece, Pool};
use crate::{Compression, Decoder, Limits, decode_error};

/// Pieces in use beside a hashing thread: those being filled and hashed, those that wait, and the one that is read.
pub(crate) const PIECES: usize = 8;

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
    let ((), diff_id) = hashed_beside(algorithm, |sender| {
        let pool = Pool::new(PIECES);
        loop {
            let mut piece = pool.take(0);
            piece.fill_from(&mut decoder).map_err(failed)?;
            if piece.is_empty() || sender.send(Arc::new(piece)).is_err() {
                return Ok(());
            }
        }
    })?;
    Ok(Uncompressed { compression: decoder.compression(), diff_id, size: decoder.bytes_out() })
}

/// Has a second thread work out the digest of all pieces that `work` sends.
///
/// # Errors
/// Those of `work`; [`Kind::Unavailable`] when no thread can be started.
pub(crate) fn hashed_beside<T>(
    algorithm: Algorithm,
    work: impl FnOnce(Sender<Arc<Piece>>) -> Result<T>,
) -> Result<(T, Digest)> {
    thread::scope(|scope| {
        let (sender, pieces) = mpsc::channel();
        let hashing = threads::start_in(scope, "hash", move || digest_of(algorithm, pieces))?;
        let done = work(sender);
        let digest = hashing.join().map_err(|_| Error::new(Kind::Internal, "the hashing thread panicked"))?;
        Ok((done?, digest))
    })
}

/// The digest of all pieces, worked out as they come.
pub(crate) fn digest_of(algorithm: Algorithm, pieces: Receiver<Arc<Piece>>) -> Digest {
    let mut hasher = Hasher::new(algorithm);
    for piece in pieces {
        hasher.update(&piece);
        priority::give_way();
    }
    hasher.finish()
}
