//! Bytes from one file to another, and readers that do not share a position.

use std::fmt::Display;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::{Error, Kind, Result, interrupt};

/// Most bytes that the kernel is asked to copy in one call: the wish to end is heard between two calls.
const KERNEL_CHUNK_BYTES: u64 = 64 << 20;

/// Size of the buffer where the kernel cannot copy.
const BUFFER_BYTES: usize = 256 << 10;

/// Where bytes are copied from. The path names it in errors.
#[derive(Clone, Copy, Debug)]
pub struct FileRange<'a> {
    /// The file.
    pub file: &'a File,
    /// What it is called.
    pub path: &'a Path,
    /// Where the bytes begin.
    pub offset: u64,
    /// How many they are.
    pub length: u64,
}

/// Copies bytes to the current position of `target`, in the kernel where it can; `name` is what errors call the target.
///
/// # Errors
/// [`Kind::Corrupt`] when the source ends early, [`Kind::Cancelled`] when the user wishes to end, else the operating system's.
pub fn copy_range(source: FileRange<'_>, target: &mut File, name: &dyn Display) -> Result<()> {
    let FileRange { path, offset, length, .. } = source;
    let (mut position, end) = (offset, offset + length);
    while position < end {
        interrupt::check()?;
        let mut from = position;
        let chunk = usize::try_from((end - position).min(KERNEL_CHUNK_BYTES)).unwrap_or(usize::MAX);
        match rustix::fs::copy_file_range(source.file, Some(&mut from), &*target, None, chunk) {
            Ok(0) => return Err(ends_early(path, position, end)),
            Ok(copied) => position += copied as u64,
            // Pipes, other file systems and old kernels: the plain way.
            Err(_) if position == offset => return copy_buffered(source, target, name),
            Err(error) => return Err(not_copied(path, name, error.into())),
        }
    }
    Ok(())
}

/// As [`copy_range`], to any writer.
///
/// # Errors
/// As [`copy_range`].
pub fn copy_buffered(source: FileRange<'_>, target: &mut impl Write, name: &dyn Display) -> Result<()> {
    let FileRange { path, offset, length, .. } = source;
    let mut buffer = vec![0; BUFFER_BYTES];
    let (mut position, end) = (offset, offset + length);
    while position < end {
        interrupt::check()?;
        let want = usize::try_from(end - position).unwrap_or(usize::MAX).min(buffer.len());
        let read = source
            .file
            .read_at(&mut buffer[..want], position)
            .map_err(|error| Error::io(format_args!("cannot read {path:?}"), error))?;
        if read == 0 {
            return Err(ends_early(path, position, end));
        }
        target.write_all(&buffer[..read]).map_err(|error| not_copied(path, name, error))?;
        position += read as u64;
    }
    Ok(())
}

fn not_copied(path: &Path, name: &dyn Display, error: io::Error) -> Error {
    Error::io(format_args!("cannot copy {path:?} to {name}"), error)
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
