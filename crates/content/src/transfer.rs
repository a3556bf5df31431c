//! One blob from a source into an ingest: in parts, from where it stopped, with pauses between failed attempts.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use dhow_base::progress::Event;
use dhow_base::{Error, Kind, Result};
use dhow_spec::Descriptor;
use futures::TryStreamExt;
use futures::stream::{self, StreamExt};

use crate::about::about;
use crate::copy::CopyOptions;
use crate::origin::Origin;
use crate::pause::pause;
use crate::place::{Begin, Ingest, Sink, Source};
use crate::window::{self, Window};

/// What became of a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transferred {
    /// It was not there: so many bytes came from the source, those of attempts that failed too.
    Moved {
        bytes: u64,
    },
    Present,
}

/// Failures beyond those in a row that a transfer may have for each of its retries, and the bytes that earn it one more: who
/// breaks off after a few bytes each time, whether by fault or by intent, would otherwise never be given up.
const SETBACKS_PER_RETRY: u64 = 4;
const BYTES_PER_SETBACK: u64 = 64 << 10;

/// Which side of a transfer failed: a source is asked again for the rest, a sink is asked what it has.
#[derive(Debug)]
pub(crate) enum Broken {
    Source(Error),
    Sink(Error),
}

/// Copies one blob. A blob that was resumed and turns out wrong is fetched once more from zero: the bytes of the earlier
/// run may be the wrong ones. A sink that fails in a way that may pass is begun anew, since only it knows what it kept.
///
/// # Errors
/// The failure of either place, noted to be about this blob.
pub(crate) async fn transfer<S: Source, D: Sink>(
    source: &S,
    sink: &D,
    blob: &Descriptor,
    options: CopyOptions<'_>,
    window: &Window,
) -> Result<Transferred> {
    move_one(source, sink, blob, options, window).await.map_err(|error| about(&blob.digest, error))
}

async fn move_one<S: Source, D: Sink>(
    source: &S,
    sink: &D,
    blob: &Descriptor,
    options: CopyOptions<'_>,
    window: &Window,
) -> Result<Transferred> {
    let digest = blob.digest.as_str();
    let mut refetched = false;
    let mut setbacks = Setbacks::new(options.retries);
    let mut least_missing = u64::MAX;
    let read = AtomicU64::new(0);
    loop {
        let Some(ingest) = begin(sink, blob, &options).await? else { return Ok(Transferred::Present) };
        let missing = missing_bytes(&ingest.missing());
        let resumed = missing < blob.size;
        if resumed && let Some(origin) = ingest.origin() {
            source.recall(blob, &origin);
        }
        let outcome = match fill((source, &ingest), blob, &options, &read, window).await {
            Ok(()) => {
                options.observer.event(Event::Verifying { digest });
                ingest.commit().await
            }
            Err(Broken::Source(error)) if resumed && source.has_changed(blob) => {
                tracing::debug!(digest, %error, "what an earlier run left is of no use, starting over");
                ingest.discard()?;
                continue;
            }
            Err(Broken::Source(error)) if error.kind() != Kind::Corrupt => return Err(error),
            Err(Broken::Source(error)) if !source.distrust(blob) => return Err(error),
            Err(Broken::Source(error)) => {
                tracing::debug!(digest, %error, "fetching it from elsewhere");
                continue;
            }
            Err(Broken::Sink(error)) => Err(error),
        };
        match outcome {
            Ok(()) => {
                options.observer.event(Event::Fetched { digest });
                return Ok(Transferred::Moved { bytes: read.into_inner() });
            }
            Err(error) if error.kind() == Kind::Corrupt && source.distrust(blob) => {
                tracing::debug!(digest, %error, "fetching it from elsewhere");
            }
            Err(error) if error.kind() == Kind::Corrupt && resumed && !refetched => {
                tracing::warn!(digest, %error, "the resumed blob is wrong, fetching it again from the start");
                refetched = true;
            }
            Err(error) if error.kind().is_transient() => {
                // What the sink has is known when it is begun anew. The first time there is nothing to compare it with.
                let gained = if least_missing == u64::MAX { 0 } else { least_missing.saturating_sub(missing) };
                least_missing = least_missing.min(missing);
                if !setbacks.may_go_on(gained) {
                    return Err(setbacks.told(error));
                }
                tracing::debug!(digest, %error, "the place broke off, asking what it has");
                wait(setbacks.in_a_row, missing, blob, &options).await;
            }
            Err(error) => return Err(error),
        }
    }
}

/// Begins to write a blob; nothing where the sink has it already, which is told.
async fn begin<D: Sink>(sink: &D, blob: &Descriptor, options: &CopyOptions<'_>) -> Result<Option<D::Ingest>> {
    let digest = blob.digest.as_str();
    match sink.ingest(blob, options.observer).await? {
        Begin::Write(ingest) => return Ok(Some(ingest)),
        Begin::Present => options.observer.event(Event::Present { digest }),
        Begin::Mounted { from } => options.observer.event(Event::Mounted { digest, from: &from }),
    }
    Ok(None)
}

/// The failures of one transfer, and whether it may go on.
struct Setbacks {
    retries: u32,
    /// Failures since one moved anything, which counts as the first of a new row.
    in_a_row: u32,
    all: u64,
    gained_bytes: u64,
}

impl Setbacks {
    fn new(retries: u32) -> Self {
        Self { retries, in_a_row: 0, all: 0, gained_bytes: 0 }
    }

    /// Counts a failure before which so many bytes moved. Bytes show that the way is open, so that only failures in a row
    /// without any count; but few bytes excuse few failures.
    fn may_go_on(&mut self, gained_bytes: u64) -> bool {
        self.in_a_row = if gained_bytes > 0 { 1 } else { self.in_a_row + 1 };
        self.all += 1;
        self.gained_bytes += gained_bytes;
        self.in_a_row <= self.retries && self.all <= self.allowed()
    }

    fn allowed(&self) -> u64 {
        u64::from(self.retries) * SETBACKS_PER_RETRY + self.gained_bytes / BYTES_PER_SETBACK
    }

    /// The last failure; where it was not the one too many in a row, with how it came to be too many.
    fn told(&self, error: Error) -> Error {
        if self.in_a_row > self.retries || !error.kind().is_transient() {
            return error;
        }
        error.context(format_args!("given up after {} attempts that brought {} bytes", self.all, self.gained_bytes))
    }
}

/// Pauses after a failure, and says so.
async fn wait(failures: u32, seed: u64, blob: &Descriptor, options: &CopyOptions<'_>) {
    let wait = options.retry_pause.unwrap_or_else(|| backoff(failures, seed));
    let seconds = wait.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX);
    options.observer.event(Event::Retrying { digest: blob.digest.as_str(), seconds });
    pause(wait).await;
}

fn missing_bytes(ranges: &[Range<u64>]) -> u64 {
    ranges.iter().map(|range| range.end - range.start).sum()
}

async fn fill<S: Source, I: Ingest>(
    (source, ingest): (&S, &I),
    blob: &Descriptor,
    options: &CopyOptions<'_>,
    read: &AtomicU64,
    window: &Window,
) -> Result<(), Broken> {
    let missing = ingest.missing();
    if missing_bytes(&missing) == blob.size
        && let Some(local) = source.local(blob)
        && ingest.write_local(&local).await.map_err(Broken::Sink)?
    {
        read.fetch_add(blob.size, Ordering::Relaxed);
        options.observer.event(Event::Moved { digest: blob.digest.as_str(), done: blob.size, total: blob.size });
        return Ok(());
    }
    let parts = source.parts(blob);
    let progress = Progress { blob, options, done: AtomicU64::new(blob.size - missing_bytes(&missing)), read };
    if !ingest.takes_any_order() && parts.at_once > 1 {
        let ranges = split(missing, parts.size.min(window::PART_BYTES_MAX));
        return window::fill((source, ingest), ranges, parts.at_once, window.share(), &progress).await;
    }
    let target = Direct(ingest);
    stream::iter(split(missing, parts.size))
        .map(|range| fill_range(source, &target, range, &progress))
        .buffer_unordered(parts.at_once.max(1))
        .try_collect()
        .await
}

/// What the bytes of a range are written to.
pub(crate) trait Target: Sync {
    /// Is told where the next bytes come from.
    fn comes_from(&self, origin: Option<&Origin>) -> Result<()>;

    /// Takes bytes.
    fn put(&self, offset: u64, bytes: Bytes) -> impl Future<Output = Result<()>> + Send;
}

/// The place itself.
struct Direct<'a, I>(&'a I);

impl<I: Ingest> Target for Direct<'_, I> {
    fn comes_from(&self, origin: Option<&Origin>) -> Result<()> {
        self.0.note_origin(origin)
    }

    fn put(&self, offset: u64, bytes: Bytes) -> impl Future<Output = Result<()>> + Send {
        self.0.write(offset, bytes)
    }
}

/// Cuts ranges into parts of at most `size` bytes, at multiples of `size`, so that every run asks for the same parts.
fn split(ranges: Vec<Range<u64>>, size: u64) -> impl Iterator<Item = Range<u64>> {
    ranges.into_iter().flat_map(move |range| {
        let mut start = range.start;
        std::iter::from_fn(move || {
            let boundary = (start / size).saturating_add(1).saturating_mul(size);
            let part = start..range.end.min(boundary);
            start = part.end;
            (!part.is_empty()).then_some(part)
        })
    })
}

/// How far a blob is.
pub(crate) struct Progress<'a> {
    pub(crate) blob: &'a Descriptor,
    options: &'a CopyOptions<'a>,
    /// Bytes of the blob at the destination.
    done: AtomicU64,
    /// Bytes that came from the source.
    read: &'a AtomicU64,
}

impl Progress<'_> {
    fn moved(&self, bytes: u64) {
        self.read.fetch_add(bytes, Ordering::Relaxed);
        let done = self.done.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let (digest, total) = (self.blob.digest.as_str(), self.blob.size);
        self.options.observer.event(Event::Moved { digest, done, total });
    }
}

/// Fetches one range, going on behind the last byte received when the connection breaks.
pub(crate) async fn fill_range<S: Source, T: Target>(
    source: &S,
    target: &T,
    range: Range<u64>,
    progress: &Progress<'_>,
) -> Result<(), Broken> {
    let mut position = range.start;
    let mut setbacks = Setbacks::new(progress.options.retries);
    while position < range.end {
        let before = position;
        let error = match fill_once(source, target, &mut position, range.end, progress).await {
            Ok(()) => break,
            Err(Broken::Sink(error)) => return Err(Broken::Sink(error)),
            Err(Broken::Source(error)) => error,
        };
        if !error.kind().is_transient() || !setbacks.may_go_on(position - before) {
            return Err(Broken::Source(setbacks.told(error)));
        }
        tracing::debug!(digest = %progress.blob.digest, %error, position, "transfer interrupted");
        wait(setbacks.in_a_row, position, progress.blob, progress.options).await;
    }
    Ok(())
}

async fn fill_once<S: Source, T: Target>(
    source: &S,
    target: &T,
    position: &mut u64,
    end: u64,
    progress: &Progress<'_>,
) -> Result<(), Broken> {
    let digest = &progress.blob.digest;
    let mut stream = source.read(progress.blob, *position..end).await.map_err(Broken::Source)?;
    target.comes_from(source.origin(progress.blob).as_ref()).map_err(Broken::Sink)?;
    while let Some(bytes) = stream.try_next().await.map_err(Broken::Source)? {
        let length = bytes.len() as u64;
        if length > end - *position {
            let message = format!("{digest}: more bytes came than were asked for");
            return Err(Broken::Source(Error::new(Kind::Corrupt, message)));
        }
        target.put(*position, bytes).await.map_err(Broken::Sink)?;
        *position += length;
        progress.moved(length);
    }
    if *position < end {
        let message = format!("{digest}: the transfer ended at byte {position} of {end}");
        return Err(Broken::Source(Error::new(Kind::Unavailable, message)));
    }
    Ok(())
}

/// Half a second, doubled with each failure in a row up to 15 s, spread by up to a quarter so that many clients which
/// failed together do not come back together. The position serves as the seed: it differs between parts and attempts.
fn backoff(failures: u32, seed: u64) -> Duration {
    let base_ms = (500_u64 << (failures.saturating_sub(1)).min(5)).min(15_000);
    let spread = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
    Duration::from_millis(base_ms + base_ms / 4 * (spread % 1000) / 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_begin_at_multiples_of_their_size() {
        let parts: Vec<_> = split(vec![3..25, 40..41], 10).collect();
        assert_eq!(parts, [3..10, 10..20, 20..25, 40..41]);
        assert_eq!(split(vec![0..7, 9..10], u64::MAX).collect::<Vec<_>>(), [0..7, 9..10]);
        assert_eq!(split(Vec::new(), 10).count(), 0);
    }

    #[test]
    fn setbacks_in_a_row_end_the_transfer() {
        let mut setbacks = Setbacks::new(2);
        assert!(setbacks.may_go_on(0) && setbacks.may_go_on(0) && setbacks.may_go_on(9));
        assert!(setbacks.may_go_on(0) && !setbacks.may_go_on(0));
        assert_eq!(setbacks.told(Error::new(Kind::Unavailable, "it broke")).to_string(), "it broke");
        assert!(!Setbacks::new(0).may_go_on(1 << 20), "none at all");
    }

    #[test]
    fn crumbs_excuse_few_setbacks() {
        let mut setbacks = Setbacks::new(2);
        let survived = (0..100).take_while(|_| setbacks.may_go_on(10)).count();
        assert_eq!(survived, 8);
        let told = setbacks.told(Error::new(Kind::Unavailable, "it broke")).to_string();
        assert_eq!(told, "given up after 9 attempts that brought 90 bytes: it broke");
        let mut setbacks = Setbacks::new(2);
        assert!((0..10_000).all(|_| setbacks.may_go_on(BYTES_PER_SETBACK)), "a poor way is a way");
    }

    #[test]
    fn backoff_grows_and_is_bounded() {
        let waits: Vec<u128> = (1..9).map(|failures| backoff(failures, 7).as_millis()).collect();
        assert!(waits.windows(2).all(|pair| pair[0] <= pair[1]), "{waits:?}");
        assert!(waits[7] <= 18_750, "{waits:?}");
    }
}
