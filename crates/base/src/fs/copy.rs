//! Bytes from one file to another, and readers that do not share a position.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::{Error, Kind, Result, interrupt};

/// Most bytes that the kernel is asked to copy in one call: the wish to end is heard between two calls.
const KERNEL_CHUNK_BYTES: u64 = 64 << 20;

/// Size of the buffer where the kernel cannot copy.
const BUFFER_BYTES: usize = 256 << 10;

/// Copies `length` bytes from `source` at `offset` to the current position of `target`, in the kernel where it can.
///
/// # Errors
/// [`Kind::Corrupt`] when the source ends early, [`Kind::Cancelled`] when the user wishes to end, else the operating system's; the
/// paths only name the files.
pub fn copy_range(source: &File, source_path: &Path, offset: u64, length: u64, target: &mut File) -> Result<()> {
    let failed = |error: io::Error| Error::io(format_args!("cannot copy {source_path:?}"), error);
    let (mut position, end) = (offset, offset + length);
    while position < end {
        interrupt::check()?;
        let mut from = position;
        let chunk = usize::try_from((end - position).min(KERNEL_CHUNK_BYTES)).unwrap_or(usize::MAX);
        match rustix::fs::copy_file_range(source, Some(&mut from), &*target, None, chunk) {
            Ok(0) => return Err(ends_early(source_path, position, end)),
            Ok(copied) => position += copied as u64,
            // Pipes, other file systems and old kernels: the plain way.
            Err(_) if position == offset => return copy_buffered(source, source_path, offset, length, target),
            Err(error) => return Err(failed(error.into())),
        }
    }
    Ok(())
}

/// Copies `length` bytes from `source` at `offset` to any writer.
///
/// # Errors
/// As [`copy_range`].
pub fn copy_buffered(
    source: &File,
    source_path: &Path,
    offset: u64,
    length: u64,
    target: &mut impl Write,
) -> Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    let (mut position, end) = (offset, offset + length);
    while position < end {
        interrupt::check()?;
        let want = usize::try_from(end - position).unwrap_or(usize::MAX).min(buffer.len());
        let read = source
            .read_at(&mut buffer[..want], position)
            .map_err(|error| Error::io(format_args!("cannot read {source_path:?}"), error))?;
        if read == 0 {
            return Err(ends_early(source_path, position, end));
        }
        target
            .write_all(&buffer[..read])
            .map_err(|error| Error::io(format_args!("cannot copy {source_path:?}"), error))?;
        position += read as u64;
    }
    Ok(())
}

fn ends_early(path: &Path, position: u64, end: u64) -> Error {
    Error::new(Kind::Corrupt, format!("{path:?} ends at byte {position}, expected {end}"))
}

/// Reads from `file` at its own cursor, which other readers of the same descriptor do not move.
#[derive(Debug)]
pub struct Cursor<'a> {
    file: &'a File,
    position: u64,
}

impl<'a> Cursor<'a> {
    /// Starts at `position`.
    pub fn new(file: &'a File, position: u64) -> Self {
        Self { file, position }
    }
}

impl Read for Cursor<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buffer, self.position)?;
        self.position += read as u64;
        Ok(read)
    }
}

impl Seek for Cursor<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::Current(delta) => self.position.checked_add_signed(delta),
            SeekFrom::End(delta) => self.file.metadata()?.len().checked_add_signed(delta),
        };
        self.position = target.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(self.position)
    }
}
