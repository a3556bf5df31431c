//! Parts of a blob for a place that takes its bytes in order: fetched ahead over several connections, into memory that all
//! blobs of a copy share.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use dhow_base::Result;
use futures::StreamExt;
use futures::future::{Either, select};
use futures::stream::FuturesUnordered;

use crate::origin::Origin;
use crate::place::{Ingest, Source};
use crate::transfer::{Broken, Progress, Target, fill_range};

/// Longest part, in bytes: at 20 MB/s it takes half again as long as the question over a way of 50 ms.
pub(crate) const PART_BYTES_MAX: u64 = 3 << 19;

/// A part is handed on in copies of so many bytes: a slice would keep all of it for as long as the place has that, and the next
/// part would need memory of its own.
const PIECE_BYTES: usize = 128 << 10;

/// Parts that all blobs of a copy together may have in memory, beside the one that each may have in any case. Six blobs at
/// once then hold 21 MiB: the rest of the program fits beside that into 64 MiB.
const AHEAD_MAX: usize = 8;

/// The memory for parts, which the blobs of one copy share.
#[derive(Debug, Default)]
pub(crate) struct Window {
    ahead: AtomicUsize,
    transfers: AtomicUsize,
    /// Memory of parts that were written, for the next ones.
    idle: Mutex<Vec<BytesMut>>,
}

impl Window {
    /// A share for one more blob.
    pub(crate) fn share(&self) -> Share<'_> {
        self.transfers.fetch_add(1, Ordering::Relaxed);
        Share { window: self, held: 0 }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<BytesMut>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one blob holds of the memory.
#[derive(Debug)]
pub(crate) struct Share<'a> {
    window: &'a Window,
    held: usize,
}

impl Share<'_> {
    /// Takes room for one more part if there is any. There always is for the first: no blob waits for another one.
    fn take(&mut self) -> bool {
        if self.held > 0 {
            let fair = AHEAD_MAX / self.window.transfers.load(Ordering::Relaxed).max(1);
            let more = |ahead| (ahead < AHEAD_MAX).then_some(ahead + 1);
            if self.held > fair.max(1)
                || self.window.ahead.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_err()
            {
                return false;
            }
        }
        self.held += 1;
        true
    }

    /// Gives the room of one part back.
    fn give(&mut self) {
        if self.held > 1 {
            self.window.ahead.fetch_sub(1, Ordering::Relaxed);
        }
        self.held = self.held.saturating_sub(1);
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        while self.held > 0 {
            self.give();
        }
        self.window.transfers.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Fetches the parts, `at_once` of them at a time where there is room, and writes them in the order in which they come out of
/// the iterator. Fetching goes on while a part is written: whoever reads from a registry may hold up others there.
pub(crate) async fn fill<S: Source, I: Ingest>(
    (source, ingest): (&S, &I),
    parts: impl Iterator<Item = Range<u64>>,
    at_once: usize,
    mut share: Share<'_>,
    progress: &Progress<'_>,
) -> Result<(), Broken> {
    let mut parts = parts.peekable();
    let mut order = VecDeque::new();
    let mut fetched = BTreeMap::new();
    let mut fetching = FuturesUnordered::new();
    let mut writing = None;
    loop {
        while fetching.len() < at_once && parts.peek().is_some() && share.take() {
            let Some(part) = parts.next() else { break };
            order.push_back(part.start);
            fetching.push(fetch(source, part, share.window, progress));
        }
        if writing.is_none()
            && let Some(bytes) = order.front().and_then(|start| fetched.remove(start))
        {
            let start = order.pop_front().unwrap_or_default();
            writing = Some(Box::pin(write((source, ingest), start, bytes, share.window, progress)));
        }
        let arrived = match writing.take() {
            None => match fetching.next().await {
                Some(part) => part?,
                // What is fetched is written, and there was room for more of it.
                None => return Ok(()),
            },
            Some(under_way) if fetching.is_empty() => {
                under_way.await?;
                share.give();
                continue;
            }
            Some(under_way) => match select(under_way, fetching.select_next_some()).await {
                Either::Left((written, _)) => {
                    written?;
                    share.give();
                    continue;
                }
                Either::Right((part, under_way)) => {
                    writing = Some(under_way);
                    part?
                }
            },
        };
        let (start, bytes) = arrived;
        fetched.insert(start, bytes);
    }
}

async fn fetch<S: Source>(
    source: &S,
    part: Range<u64>,
    window: &Window,
    progress: &Progress<'_>,
) -> Result<(u64, BytesMut), Broken> {
    let start = part.start;
    let mut bytes = window.idle().pop().unwrap_or_default();
    bytes.reserve(usize::try_from(part.end - start).unwrap_or_default());
    let buffer = Buffer(Mutex::new(bytes));
    fill_range(source, &buffer, part, progress).await?;
    Ok((start, buffer.0.into_inner().unwrap_or_else(PoisonError::into_inner)))
}

async fn write<S: Source, I: Ingest>(
    (source, ingest): (&S, &I),
    start: u64,
    mut bytes: BytesMut,
    window: &Window,
    progress: &Progress<'_>,
) -> Result<(), Broken> {
    ingest.note_origin(source.origin(progress.blob).as_ref()).map_err(Broken::Sink)?;
    let mut position = start;
    for piece in bytes.chunks(PIECE_BYTES) {
        ingest.write(position, Bytes::copy_from_slice(piece)).await.map_err(Broken::Sink)?;
        position += piece.len() as u64;
    }
    bytes.clear();
    window.idle().push(bytes);
    Ok(())
}

/// One part in memory; its bytes come in order.
struct Buffer(Mutex<BytesMut>);

impl Target for Buffer {
    fn comes_from(&self, _: Option<&Origin>) -> Result<()> {
        Ok(())
    }

    async fn put(&self, _: u64, bytes: Bytes) -> Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_blob_has_a_part_and_the_others_are_shared() {
        let window = Window::default();
        let taken = |share: &mut Share<'_>| (0..100).take_while(|_| share.take()).count();
        let mut first = window.share();
        assert_eq!(taken(&mut first), 1 + AHEAD_MAX, "alone, it has all");
        let mut second = window.share();
        assert_eq!(taken(&mut second), 1, "but never the last");
        (0..4).for_each(|_| first.give());
        assert!(!first.take(), "who has more than its share gets no more");
        assert_eq!(taken(&mut second), 4);
        drop(first);
        assert_eq!(taken(&mut second), AHEAD_MAX - 4);
        drop(second);
        assert_eq!((window.ahead.into_inner(), window.transfers.into_inner()), (0, 0));
    }
}
