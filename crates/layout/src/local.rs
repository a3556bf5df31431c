//! Blobs that are ranges of local files: reading them, and copying them while their digest is proven.

use std::io::Read;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

use bytes::Bytes;
use dhow_base::{Error, Kind, Result, fs, interrupt, threads};
use dhow_content::{ByteStream, LocalBlob, Verifier};
use dhow_spec::Descriptor;
use futures::stream;

/// Bytes read from a file at once: large enough that the system calls do not show, small enough to stay in the cache.
const CHUNK_BYTES: usize = 256 << 10;

/// Blobs below this length are hashed on the calling thread: starting another one takes longer.
const PARALLEL_BYTES_MIN: u64 = 1 << 20;

/// Where one blob is.
#[derive(Clone, Debug)]
pub(crate) enum Located {
    /// In a file.
    File(LocalBlob),
    /// Made here.
    Memory(Bytes),
}

impl Located {
    /// Length in bytes.
    pub(crate) fn length(&self) -> u64 {
        match self {
            Self::File(blob) => blob.length,
            Self::Memory(bytes) => bytes.len() as u64,
        }
    }

    /// All bytes of a small blob; `what` names it in errors. As [`read_all`].
    pub(crate) fn read(&self, what: &str, bytes_max: u64) -> Result<Vec<u8>> {
        match self {
            Self::File(blob) => read_all(blob, what, bytes_max),
            Self::Memory(bytes) => Ok(bytes.to_vec()),
        }
    }

    /// The bytes of `range`. As [`read_local`].
    pub(crate) fn stream(self, descriptor: &Descriptor, range: Range<u64>) -> Result<ByteStream> {
        match self {
            Self::File(blob) => read_local(blob, descriptor, range),
            Self::Memory(bytes) => {
                let end = usize::try_from(range.end).unwrap_or(usize::MAX).min(bytes.len());
                let start = usize::try_from(range.start).unwrap_or(usize::MAX).min(end);
                Ok(Box::pin(stream::iter([Ok(bytes.slice(start..end))])))
            }
        }
    }
}

/// A file as a blob; nothing when it is not there.
///
/// # Errors
/// [`Kind::Corrupt`] when something other than a plain file has the name, else the operating system's.
pub(crate) fn open_file(path: PathBuf) -> Result<Option<LocalBlob>> {
    let failed = |error| Error::io(format_args!("cannot read {path:?}"), error);
    // Looked at before it is opened: opening a pipe would wait for ever.
    match std::fs::metadata(&path) {
        Ok(metadata) if metadata.is_file() => {}
        Ok(_) => return Err(Error::new(Kind::Corrupt, format!("{path:?} is no plain file"))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    }
    let file = fs::open(&path)?;
    let length = file.metadata().map_err(failed)?.len();
    Ok(Some(LocalBlob { file: Arc::new(file), path, offset: 0, length }))
}

/// The bytes of `range` of a blob, as they are on disk.
///
/// # Errors
/// [`Kind::Corrupt`] when the blob has another length than the descriptor says.
pub fn read_local(blob: LocalBlob, descriptor: &Descriptor, range: Range<u64>) -> Result<ByteStream> {
    check_length(&blob, descriptor)?;
    let end = range.end.min(blob.length);
    Ok(Box::pin(stream::try_unfold((blob, range.start), move |(blob, position)| async move {
        if position >= end {
            return Ok(None);
        }
        let length = usize::try_from(end - position).unwrap_or(usize::MAX).min(CHUNK_BYTES);
        let mut chunk = vec![0; length];
        fs::Cursor::new(&blob.file, blob.offset + position)
            .read_exact(&mut chunk)
            .map_err(|error| Error::io(format_args!("cannot read {:?}", blob.path), error))?;
        Ok(Some((Bytes::from(chunk), (blob, position + length as u64))))
    })))
}

/// Reads a small blob whole.
///
/// # Errors
/// [`Kind::LimitExceeded`] when it is longer than `bytes_max`, else the operating system's.
pub(crate) fn read_all(blob: &LocalBlob, what: &str, bytes_max: u64) -> Result<Vec<u8>> {
    if blob.length > bytes_max {
        let message = format!("{what} has {} bytes, at most {bytes_max} are accepted", blob.length);
        return Err(Error::new(Kind::LimitExceeded, message));
    }
    let mut bytes = vec![0; usize::try_from(blob.length).unwrap_or(0)];
    fs::Cursor::new(&blob.file, blob.offset)
        .read_exact(&mut bytes)
        .map_err(|error| Error::io(format_args!("cannot read {what} from {:?}", blob.path), error))?;
    Ok(bytes)
}

/// Refuses a blob whose length is not the one its descriptor announces.
pub(crate) fn check_length(blob: &LocalBlob, descriptor: &Descriptor) -> Result<()> {
    if blob.length == descriptor.size {
        return Ok(());
    }
    let message = format!("{} has {} bytes, {} were announced", descriptor.digest, blob.length, descriptor.size);
    Err(Error::new(Kind::Corrupt, message))
}

/// Runs `copy` and hashes the same bytes meanwhile on a second thread, so that the slower of both sets the pace.
///
/// The hashing thread reads the file by itself: the bytes are in the page cache, and a copy inside the kernel never
/// shows them to this process.
///
/// # Errors
/// Those of `copy`, and of reading the file.
pub(crate) fn copy_and_hash(
    blob: &LocalBlob,
    verifier: &mut Verifier,
    copy: impl FnOnce() -> Result<()>,
) -> Result<()> {
    if blob.length < PARALLEL_BYTES_MIN {
        copy()?;
        return hash(blob, verifier);
    }
    thread::scope(|scope| {
        let hashing = threads::start_in(scope, "hash", || hash(blob, verifier))?;
        let copied = copy();
        let hashed = hashing.join().unwrap_or_else(|_| Err(Error::new(Kind::Internal, "the hashing thread panicked")));
        copied.and(hashed)
    })
}

/// Shows a file to a verifier.
///
/// # Errors
/// Those of reading it; [`Kind::Corrupt`] when it is longer than the blob.
pub(crate) fn hash(blob: &LocalBlob, verifier: &mut Verifier) -> Result<()> {
    let mut chunk = vec![0; CHUNK_BYTES.min(usize::try_from(blob.length).unwrap_or(CHUNK_BYTES))];
    let mut cursor = fs::Cursor::new(&blob.file, blob.offset);
    let mut left = blob.length;
    while left > 0 {
        interrupt::check()?;
        let length = usize::try_from(left).unwrap_or(usize::MAX).min(chunk.len());
        cursor
            .read_exact(&mut chunk[..length])
            .map_err(|error| Error::io(format_args!("cannot read {:?}", blob.path), error))?;
        verifier.update(&chunk[..length])?;
        left -= length as u64;
    }
    Ok(())
}
