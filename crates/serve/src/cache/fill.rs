//! One blob on its way from its registry: written down, proven, and read by all who wait for it while it comes.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use dhow_base::{Error, Kind, Result, fs};
use dhow_spec::digest::{Digest, Hasher};
use futures::StreamExt as _;
use tokio::sync::{mpsc, watch};

use super::names::Copied;
use super::shelf::Shelf;
use super::upstream::{Arriving, Upstream};

/// Read for one waiter at once, in bytes.
const CHUNK_BYTES: u64 = 256 << 10;

/// Pieces that have arrived are written together, up to so many.
const PIECES: usize = 32;

/// How often a transfer that brings nothing is begun again.
const ATTEMPTS: usize = 3;

/// How far a blob is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Progress {
    /// Bytes in the file.
    written: u64,
    /// Length of the blob in bytes, as its registry says; nothing until it answers, and where it does not say.
    pub(crate) size: Option<u64>,
    pub(crate) state: State,
}

/// Whether a blob is still on its way.
#[derive(Clone, Debug, Default)]
pub(crate) enum State {
    /// Its registry has not answered.
    #[default]
    Asked,
    /// Bytes come.
    Arriving,
    /// All bytes are there, and proven.
    Proven,
    /// There is no such blob.
    Missing,
    /// It will not come.
    Failed(Arc<Error>),
}

impl Progress {
    /// What waiters may have. The last byte is held back until the digest is proven, so that nobody ever gets the whole of
    /// something else.
    fn readable(&self) -> u64 {
        match self.state {
            State::Proven => self.written,
            State::Asked | State::Arriving => self.written.min(self.size.unwrap_or(u64::MAX)).saturating_sub(1),
            State::Missing | State::Failed(_) => 0,
        }
    }
}

/// A blob on its way. Cloning is cheap.
#[derive(Clone, Debug)]
pub(crate) struct Fill {
    file: Arc<File>,
    progress: watch::Receiver<Progress>,
}

impl Fill {
    /// Begins; what is returned beside it does the work, and is to be run in a task of its own.
    pub(crate) fn begin(
        shelf: Arc<Shelf>,
        upstream: Arc<dyn Upstream>,
        copied: Copied,
        digest: Digest,
        bytes_max: u64,
    ) -> Result<(Self, impl Future<Output = ()> + Send + 'static)> {
        let path = shelf.incoming();
        let file = Arc::new(fs::open_or_create(&path)?);
        let (sender, progress) = watch::channel(Progress::default());
        let fill = Self { file: Arc::clone(&file), progress };
        let mut work = Work { shelf, upstream, copied, digest, bytes_max, path, file, progress: sender };
        Ok((fill, async move {
            let outcome = work.run().await;
            let _ = fs::remove_file(&work.path);
            work.progress.send_modify(|progress| {
                progress.state = match outcome {
                    Ok(state) => state,
                    Err(error) => State::Failed(Arc::new(error)),
                };
            });
        }))
    }

    /// Waits until it is known whether the blob is there, and how long it is if that is said.
    pub(crate) async fn begun(&mut self) -> Progress {
        let known = self.progress.wait_for(|progress| !matches!(progress.state, State::Asked)).await;
        known.map(|progress| progress.clone()).unwrap_or_default()
    }

    /// Waits until all of it is there, or will never be.
    pub(crate) async fn ended(&mut self) -> State {
        let has_ended = |progress: &Progress| !matches!(progress.state, State::Asked | State::Arriving);
        let ended = self.progress.wait_for(has_ended).await;
        ended.map(|progress| progress.state.clone()).unwrap_or_default()
    }

    /// Sends a part of the blob as it comes; of one whose length is not known, everything.
    pub(crate) fn read(&self, range: Option<Range<u64>>) -> mpsc::Receiver<std::io::Result<Bytes>> {
        let (sender, receiver) = mpsc::channel(2);
        let (file, mut progress) = (Arc::clone(&self.file), self.progress.clone());
        let mut range = range.unwrap_or(0..u64::MAX);
        tokio::spawn(async move {
            while !range.is_empty() {
                let chunk = match next_end(&mut progress, &range).await {
                    Ok(end) if end == range.start => return,
                    Ok(end) => read(&file, range.start..end.min(range.start + CHUNK_BYTES)).await,
                    Err(error) => Err(error),
                };
                let (length, is_last) = chunk.as_ref().map_or((0, true), |bytes| (bytes.len() as u64, false));
                range.start += length;
                // Nobody reads any more, or nothing more can be read.
                if sender.send(chunk).await.is_err() || is_last {
                    return;
                }
            }
        });
        receiver
    }
}

/// Where the bytes end that can be read now, beyond the range's start; the start itself at the end of the blob.
async fn next_end(progress: &mut watch::Receiver<Progress>, range: &Range<u64>) -> std::io::Result<u64> {
    let is_enough = |progress: &Progress| {
        progress.readable() > range.start || matches!(progress.state, State::Proven | State::Missing | State::Failed(_))
    };
    let progress = progress.wait_for(is_enough).await.map_err(std::io::Error::other)?;
    match &progress.state {
        State::Failed(error) => Err(std::io::Error::other(error.to_string())),
        State::Missing => Err(std::io::Error::other("there is no such blob")),
        _ => Ok(progress.readable().clamp(range.start, range.end)),
    }
}

async fn read(file: &Arc<File>, range: Range<u64>) -> std::io::Result<Bytes> {
    let file = Arc::clone(file);
    let read = tokio::task::spawn_blocking(move || {
        let mut bytes = vec![0; usize::try_from(range.end - range.start).map_err(std::io::Error::other)?];
        file.read_exact_at(&mut bytes, range.start)?;
        Ok(Bytes::from(bytes))
    });
    read.await.map_err(std::io::Error::other)?
}

/// What fetches one blob.
struct Work {
    shelf: Arc<Shelf>,
    upstream: Arc<dyn Upstream>,
    copied: Copied,
    digest: Digest,
    bytes_max: u64,
    path: PathBuf,
    file: Arc<File>,
    progress: watch::Sender<Progress>,
}

impl Work {
    async fn run(&mut self) -> Result<State> {
        let Some((size, stream)) = self.upstream.blob(&self.copied.original, &self.digest).await? else {
            return Ok(State::Missing);
        };
        let bytes_max = self.bytes_max;
        if size.is_some_and(|size| size > bytes_max) {
            let message = format!("{} has more than {bytes_max} bytes, which is the limit", self.digest);
            return Err(Error::new(Kind::LimitExceeded, message));
        }
        self.progress.send_modify(|progress| {
            progress.size = size;
            progress.state = State::Arriving;
        });
        let actual = self.receive(size, stream).await?.finish();
        if actual != self.digest {
            let message = format!("{} sent {actual} when asked for {}", self.copied.registry, self.digest);
            return Err(Error::new(Kind::Corrupt, message));
        }
        let (shelf, digest) = (Arc::clone(&self.shelf), self.digest.clone());
        let (name, path, file) = (self.copied.name.clone(), self.path.clone(), Arc::clone(&self.file));
        blocking(move || {
            sync(&path, &file)?;
            shelf.keep(name.as_str(), &digest, &path, None).map(drop)
        })
        .await?;
        Ok(State::Proven)
    }

    /// Takes in the bytes, and asks for the rest of them when a transfer breaks.
    async fn receive(&mut self, size: Option<u64>, mut stream: Arriving) -> Result<Hasher> {
        let mut hasher = Hasher::new(self.digest.algorithm());
        let mut written = 0;
        let mut idle = 0;
        loop {
            let before = written;
            let broken = self.receive_some(size, stream, &mut hasher, &mut written).await;
            idle = if written > before { 0 } else { idle + 1 };
            let error = match (broken, size) {
                (Ok(()), Some(size)) if written < size => {
                    Error::new(Kind::Unavailable, format!("{} ended early", self.copied.registry))
                }
                (Ok(()), _) => return Ok(hasher),
                (Err(error), _) => error,
            };
            // Without a length nobody could say what the rest is.
            let Some(size) = size.filter(|_| error.kind().is_transient() && idle < ATTEMPTS) else { return Err(error) };
            tracing::info!(digest = %self.digest, written, %error, "a transfer broke, and is gone on with");
            stream = self.upstream.rest(&self.copied.original, &self.digest, size, written).await?;
        }
    }

    async fn receive_some(
        &self,
        size: Option<u64>,
        stream: Arriving,
        hasher: &mut Hasher,
        written: &mut u64,
    ) -> Result<()> {
        let mut pieces = stream.ready_chunks(PIECES);
        while let Some(arrived) = pieces.next().await {
            let mut broken = None;
            let mut batch = Vec::with_capacity(arrived.len());
            for piece in arrived {
                match piece {
                    Ok(bytes) => batch.push(bytes),
                    Err(error) => broken = Some(error),
                }
            }
            let length: u64 = batch.iter().map(|bytes| bytes.len() as u64).sum();
            let end = *written + length;
            if end > size.unwrap_or(self.bytes_max) {
                let message = format!("{} sent more bytes of {} than it has", self.copied.registry, self.digest);
                return Err(Error::new(Kind::Corrupt, message));
            }
            let (file, path, offset, mut taken) = (Arc::clone(&self.file), self.path.clone(), *written, hasher.clone());
            *hasher = blocking(move || {
                let mut offset = offset;
                for bytes in &batch {
                    fs::write_at(&file, &path, bytes, offset)?;
                    taken.update(bytes);
                    offset += bytes.len() as u64;
                }
                Ok(taken)
            })
            .await?;
            *written = end;
            self.progress.send_modify(|progress| progress.written = end);
            if let Some(error) = broken {
                return Err(error);
            }
        }
        Ok(())
    }
}

/// Brings a file to the disk: after a power cut, no content may be other than its name says.
fn sync(path: &Path, file: &Arc<File>) -> Result<()> {
    let file = file.try_clone().map_err(|error| Error::io(format_args!("cannot open {path:?}"), error))?;
    fs::flush(&[(path.to_owned(), file)], &[])
}

/// Runs `work` on a blocking thread.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let failed = |error| Error::new(Kind::Internal, format!("a thread of the cache failed: {error}"));
    tokio::task::spawn_blocking(work).await.map_err(failed)?
}
