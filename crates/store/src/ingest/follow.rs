//! The threads that prove a blob while it arrives.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dhow_base::fs as durable;
use dhow_base::{Error, Kind, Result, priority};
use dhow_content::{Verified, Verifier};
use dhow_layer::erofs::Form;
use dhow_layer::{Compression, Limits, Uncompressed, uncompressed_digest, uncompressed_digest_by};
use dhow_spec::Descriptor;
use dhow_spec::digest::Algorithm;
use futures::channel::oneshot;

use super::progress::{Progress, Tail};
use crate::unpacked::{Passing, Unnamed};
use crate::wait;

/// The verifier hashes pieces of this many bytes: small enough to stay in the second-level cache.
const CHUNK_BYTES: usize = 256 << 10;

/// Blobs up to this size are proven when they are committed: starting threads costs more than hashing them.
pub(crate) const INLINE_BYTES_MAX: u64 = 64 << 10;

/// What is known once all bytes have passed.
pub(crate) struct Proven {
    pub(crate) verified: Verified,
    /// What the layer inflates to, or why it does not; absent when nobody asked.
    pub(crate) uncompressed: Option<Result<Uncompressed>>,
    /// What was made of the layer on the way.
    pub(crate) unnamed: Option<Unnamed>,
}

/// What inflating a layer has shown, and the file that was made of it.
type Inflated = Result<(Uncompressed, Option<Unnamed>)>;

impl Proven {
    fn new(verified: Verified, inflated: Option<Inflated>) -> Self {
        let (uncompressed, unnamed) = match inflated {
            Some(Ok((uncompressed, unnamed))) => (Some(Ok(uncompressed)), unnamed),
            Some(Err(error)) => (Some(Err(error)), None),
            None => (None, None),
        };
        Self { verified, uncompressed, unnamed }
    }
}

/// What to prove of one blob.
#[derive(Clone, Debug)]
pub(crate) struct Task {
    pub(crate) progress: Arc<Progress>,
    pub(crate) path: PathBuf,
    pub(crate) blob: Descriptor,
    /// Whether to inflate it and work out its diff ID.
    pub(crate) inflate: bool,
    /// What to make of it on the way, if anything.
    pub(crate) passing: Option<Passing>,
}

/// The threads at work.
#[derive(Debug)]
pub(crate) struct Followers {
    verified: oneshot::Receiver<Result<Verified>>,
    inflated: Option<oneshot::Receiver<Inflated>>,
}

impl Followers {
    pub(crate) fn start(task: &Task) -> Result<Self> {
        let (tail, other) = (task.tail()?, task.clone());
        let verified = wait::start("verify", move || verify(tail, &other.blob))?;
        let inflated = if task.inflate {
            let (tail, task) = (task.tail()?, task.clone());
            Some(wait::start("inflate", move || inflate(tail, &task))?)
        } else {
            None
        };
        Ok(Self { verified, inflated })
    }

    /// Those of a blob that was hashed on its way, and is as it is uncompressed.
    pub(crate) fn passed(verified: oneshot::Receiver<Result<Verified>>, task: &Task) -> Self {
        let inflated = task.inflate.then(|| {
            let (sender, receiver) = oneshot::channel();
            // The receiver is here.
            let _ = sender.send(Ok((uncompressed(&task.blob), None)));
            receiver
        });
        Self { verified, inflated }
    }

    /// Waits for the threads. They end soon after the last byte was written.
    pub(crate) async fn finish(self) -> Result<Proven> {
        let verified = self.verified.await.unwrap_or_else(|_| Err(panicked()))?;
        let inflated = match self.inflated {
            Some(receiver) => Some(receiver.await.unwrap_or_else(|_| Err(panicked()))),
            None => None,
        };
        Ok(Proven::new(verified, inflated))
    }
}

fn panicked() -> Error {
    Error::new(Kind::Internal, "a verifying thread panicked")
}

impl Task {
    pub(super) fn tail(&self) -> Result<Tail> {
        Ok(Tail::new(self.progress.clone(), durable::open(&self.path)?))
    }

    /// Proves a blob of which everything is there, on this thread.
    pub(crate) fn run(&self) -> Result<Proven> {
        let verified = verify(self.tail()?, &self.blob)?;
        let inflated = if self.inflate { Some(inflate(self.tail()?, self)) } else { None };
        Ok(Proven::new(verified, inflated))
    }
}

fn verify(mut tail: Tail, blob: &Descriptor) -> Result<Verified> {
    let mut verifier = Verifier::new(blob);
    let mut buffer = vec![0; CHUNK_BYTES.min(usize::try_from(blob.size).unwrap_or(CHUNK_BYTES).max(1))];
    loop {
        match tail.read(&mut buffer).map_err(|error| Error::io("cannot read back what was fetched", error))? {
            0 => {
                tail.start_writeback(true);
                return verifier.finish();
            }
            read => {
                verifier.update(&buffer[..read])?;
                priority::give_way();
            }
        }
        tail.start_writeback(false);
    }
}

fn inflate(tail: Tail, task: &Task) -> Inflated {
    if let Some(passing) = task.passing.as_ref().filter(|passing| passing.form == Form::File) {
        return passing.pass(&task.blob.digest, tail);
    }
    let mut first = [0; Compression::DETECT_BYTES];
    let length = tail.peek(&mut first).map_err(|error| Error::io("cannot read back what was fetched", error))?;
    let compression = Compression::detect(&first[..length]);
    if compression == Compression::None && task.blob.digest.algorithm() == Algorithm::Sha256 {
        return Ok((uncompressed(&task.blob), None));
    }
    match &task.passing {
        Some(passing) => passing.pass(&task.blob.digest, tail),
        None => Ok((uncompressed_digest(tail, Limits::LAYER)?, None)),
    }
}

/// What is known of a layer that is not compressed: its own digest is the diff ID, and whoever hashes it proves that.
fn uncompressed(blob: &Descriptor) -> Uncompressed {
    Uncompressed { compression: Compression::None, diff_id: blob.digest.clone(), size: blob.size }
}

/// Works out what a stored layer inflates to, hashed with `algorithm`.
pub(crate) fn inflate_file(path: &Path, blob: &Descriptor, algorithm: Algorithm) -> Result<Uncompressed> {
    let file: File = durable::open(path)?;
    let mut first = [0; Compression::DETECT_BYTES];
    let read = std::os::unix::fs::FileExt::read_at(&file, &mut first, 0)
        .map_err(|error| Error::io(format_args!("cannot read {path:?}"), error))?;
    let compression = Compression::detect(&first[..read]);
    if compression == Compression::None && blob.digest.algorithm() == algorithm {
        return Ok(Uncompressed { compression, diff_id: blob.digest.clone(), size: blob.size });
    }
    uncompressed_digest_by(algorithm, file, Limits::LAYER)
}
