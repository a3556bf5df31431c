//! Pieces of what is inflated: so many and no more, used again when nobody reads them any more.

use std::fmt;
use std::io::{self, Read};
use std::ops::Deref;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Bytes that travel between the threads at once.
pub(crate) const PIECE_BYTES: usize = 256 << 10;

/// Pieces that are left to the layer whose turn it is, however many the one after it would take.
const RESERVED: usize = 8;

/// The pieces of one image's layers.
#[derive(Debug)]
pub(crate) struct Pool {
    state: Mutex<State>,
    changed: Condvar,
    /// Most pieces that are in use at once.
    most: usize,
}

#[derive(Debug, Default)]
struct State {
    free: Vec<Vec<u8>>,
    in_use: usize,
    /// Number of the layer that is taken.
    turn: usize,
}

impl Pool {
    /// Of at most `most` pieces.
    pub(crate) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { state: Mutex::default(), changed: Condvar::new(), most })
    }

    /// Waits until there is a piece for the layer of that number. Its content is anything.
    pub(crate) fn take(self: &Arc<Self>, layer: usize) -> Piece {
        let too_many = |state: &mut State| {
            let reserved = if layer > state.turn { RESERVED } else { 0 };
            state.in_use + reserved >= self.most
        };
        let waited = self.changed.wait_while(self.lock(), too_many);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        state.in_use += 1;
        let bytes = state.free.pop();
        drop(state);
        // To give memory back and get it anew costs as much as to hash what is in it.
        Piece { bytes: bytes.unwrap_or_else(|| vec![0; PIECE_BYTES]), length: 0, pool: Arc::clone(self) }
    }

    /// From now on the layer of that number is taken.
    pub(crate) fn begin_turn(&self, layer: usize) {
        self.lock().turn = layer;
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A piece; it goes back when it is dropped.
pub(crate) struct Piece {
    bytes: Vec<u8>,
    length: usize,
    pool: Arc<Pool>,
}

impl Piece {
    /// Has `fill` write to it, which says how many bytes it is now.
    pub(crate) fn fill<E>(&mut self, fill: impl FnOnce(&mut [u8]) -> Result<usize, E>) -> Result<(), E> {
        self.length = fill(&mut self.bytes)?.min(self.bytes.len());
        Ok(())
    }

    /// Reads until it is full or the reader has no more.
    ///
    /// # Errors
    /// The reader's.
    pub(crate) fn fill_from(&mut self, reader: &mut impl Read) -> io::Result<()> {
        self.fill(|bytes| {
            let mut filled = 0;
            while filled < bytes.len() {
                match reader.read(&mut bytes[filled..]) {
                    Ok(0) => break,
                    Ok(read) => filled += read,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(filled)
        })
    }
}

impl Deref for Piece {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        let mut state = self.pool.lock();
        state.free.push(std::mem::take(&mut self.bytes));
        state.in_use -= 1;
        drop(state);
        self.pool.changed.notify_all();
    }
}

impl fmt::Debug for Piece {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Piece({} bytes)", self.length)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::thread;
    use std::time::Duration;

    use super::*;

    #[test]
    fn some_are_left_to_the_layer_whose_turn_it_is() {
        let pool = Pool::new(RESERVED + 2);
        let (taken, seen) = channel();
        thread::scope(|scope| {
            scope.spawn(|| {
                // Two for the second layer, and the third when its turn has come.
                for _ in 0..3 {
                    taken.send(pool.take(1)).expect("somebody looks");
                }
            });
            let ahead = [seen.recv().expect("a piece"), seen.recv().expect("a piece")];
            assert!(seen.recv_timeout(Duration::from_millis(50)).is_err());
            let own: Vec<Piece> = (0..RESERVED).map(|_| pool.take(0)).collect();
            pool.begin_turn(1);
            assert!(seen.recv_timeout(Duration::from_millis(50)).is_err());
            drop(own);
            seen.recv().expect("a piece");
            drop(ahead);
        });
        assert_eq!(pool.lock().in_use, 0);
    }

    #[test]
    fn a_piece_shows_what_was_put_in_it_last() {
        let pool = Pool::new(1);
        for content in [&b"first"[..], b"2nd"] {
            let mut piece = pool.take(0);
            let fill = |bytes: &mut [u8]| {
                bytes[..content.len()].copy_from_slice(content);
                Ok::<_, ()>(content.len())
            };
            piece.fill(fill).expect("nothing fails");
            assert_eq!(&*piece, content);
        }
        assert_eq!(pool.lock().free.len(), 1);
    }
}
