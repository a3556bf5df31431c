//! Blobs on their way through temporary files: read and proven, written and hashed.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::Path;
use std::sync::Arc;

use dhow_base::{Error, Result, fs};
use dhow_content::{LocalBlob, Source, Verifier};
use dhow_layer::{Decoder, Limits};
use dhow_spec::digest::{Algorithm, Hasher};
use dhow_spec::{Descriptor, Digest};
use futures::TryStreamExt;

/// A blob as a range of a local file: where it lies, or in a temporary file. Only in the latter case is it proven.
///
/// # Errors
/// Those of the source and of temporary files.
pub(crate) async fn at_hand(source: &impl Source, blob: &Descriptor, directory: &Path) -> Result<LocalBlob> {
    match source.local(blob) {
        Some(local) => Ok(local),
        None => spool(source, blob, directory).await,
    }
}

/// Reads a blob into a temporary file and proves it.
async fn spool(source: &impl Source, blob: &Descriptor, directory: &Path) -> Result<LocalBlob> {
    let file = dhow_layout::nameless_file(directory)?;
    let mut verifier = Verifier::new(blob);
    let mut stream = source.read(blob, 0..blob.size).await?;
    let mut position = 0;
    while let Some(bytes) = stream.try_next().await? {
        verifier.update(&bytes)?;
        fs::write_at(&file, directory, &bytes, position)?;
        position += bytes.len() as u64;
    }
    verifier.finish()?;
    Ok(LocalBlob { file: Arc::new(file), path: "a layer".into(), offset: 0, length: blob.size })
}

/// Keeps bytes that were made as a blob.
///
/// # Errors
/// Those of temporary files.
pub(crate) fn keep(bytes: &[u8], directory: &Path) -> Result<LocalBlob> {
    let file = dhow_layout::nameless_file(directory)?;
    fs::write_at(&file, directory, bytes, 0)?;
    Ok(LocalBlob { file: Arc::new(file), path: "a config".into(), offset: 0, length: bytes.len() as u64 })
}

/// A reader of a blob that proves what it reads: its end is only reported when size and digest are right.
#[derive(Debug)]
pub(crate) struct Proving<'a> {
    reader: fs::Cursor<'a>,
    left: u64,
    verifier: Verifier,
}

impl<'a> Proving<'a> {
    pub(crate) fn new(blob: &'a LocalBlob, descriptor: &Descriptor) -> Self {
        let reader = fs::Cursor::new(&blob.file, blob.offset);
        Self { reader, left: blob.length, verifier: Verifier::new(descriptor) }
    }

    /// The same, inflated.
    ///
    /// # Errors
    /// Those of reading the first bytes.
    pub(crate) fn inflated(blob: &'a LocalBlob, descriptor: &Descriptor) -> io::Result<Decoder<Self>> {
        Decoder::new(Self::new(blob, descriptor), Limits::LAYER)
    }
}

impl Read for Proving<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let count = self.reader.read(&mut buffer[..most])?;
        self.left -= count as u64;
        self.verifier.update(&buffer[..count]).map_err(io::Error::other)?;
        if count == 0 && !buffer.is_empty() {
            self.verifier.clone().finish().map_err(io::Error::other)?;
        }
        Ok(count)
    }
}

/// A writer that hashes what it writes.
#[derive(Debug)]
pub(crate) struct Hashing<W: Write> {
    writer: BufWriter<W>,
    hasher: Hasher,
    length: u64,
}

impl<W: Write> Hashing<W> {
    pub(crate) fn new(writer: W) -> Self {
        Self { writer: BufWriter::with_capacity(256 << 10, writer), hasher: Hasher::new(Algorithm::Sha256), length: 0 }
    }

    /// The digest and length of everything, which is written then.
    ///
    /// # Errors
    /// Those of writing.
    pub(crate) fn finish(mut self) -> Result<(Digest, u64)> {
        self.writer.flush().map_err(|error| Error::io("cannot write a temporary file", error))?;
        Ok((self.hasher.finish(), self.length))
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.writer.write(bytes)?;
        self.hasher.update(&bytes[..count]);
        self.length += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

/// A reader that hashes what passes.
#[derive(Debug)]
pub(crate) struct HashingReader<R> {
    reader: R,
    hasher: Hasher,
}

impl<R: Read> HashingReader<R> {
    pub(crate) fn new(reader: R, algorithm: Algorithm) -> Self {
        Self { reader, hasher: Hasher::new(algorithm) }
    }

    /// The digest of what passed.
    pub(crate) fn finish(self) -> (R, Digest) {
        (self.reader, self.hasher.finish())
    }
}

impl<R: Read> Read for HashingReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        Ok(count)
    }
}

/// Another handle of a temporary file, for a thread.
///
/// # Errors
/// The operating system's.
pub(crate) fn handle(file: &File) -> Result<File> {
    file.try_clone().map_err(|error| Error::io("cannot write a temporary file", error))
}
