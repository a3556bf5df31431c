//! Files that are written and read at positions; in memory for tests and small scratch.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use dhow_base::fs as durable;
use dhow_base::{Error, Result};

use super::format::damaged;

/// Something that is read at positions.
pub trait ReadAt {
    /// Reads bytes at `offset`; fewer than asked for only where it ends.
    ///
    /// # Errors
    /// The operating system's.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Fills `buffer` from `offset` on.
    ///
    /// # Errors
    /// [`dhow_base::Kind::Corrupt`] when it ends before, else the operating system's.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> Result<()> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.read_at(&mut buffer[filled..], offset.saturating_add(filled as u64)) {
                Ok(0) => return Err(damaged("it ends too early")),
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::io("cannot read an unpacked layer", error)),
            }
        }
        Ok(())
    }
}

/// Something that is also written at positions; gaps read as zeros.
pub trait Storage: ReadAt {
    /// Writes all of `bytes` at `offset`.
    ///
    /// # Errors
    /// The operating system's, with the path.
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> Result<()>;

    /// Cuts or extends it.
    ///
    /// # Errors
    /// The operating system's, with the path.
    fn set_length(&mut self, length: u64) -> Result<()>;
}

/// A file on disk.
#[derive(Debug)]
pub struct FileStorage {
    file: File,
    path: PathBuf,
}

impl FileStorage {
    /// Takes an open file; `path` names it in errors.
    pub fn new(file: File, path: &Path) -> Self {
        Self { file, path: path.to_owned() }
    }

    /// The file.
    pub fn into_file(self) -> File {
        self.file
    }
}

impl ReadAt for FileStorage {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        FileExt::read_at(&self.file, buffer, offset)
    }
}

impl Storage for FileStorage {
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> Result<()> {
        durable::write_at(&self.file, &self.path, bytes, offset)
    }

    fn set_length(&mut self, length: u64) -> Result<()> {
        durable::set_length(&self.file, &self.path, length)
    }
}

impl ReadAt for File {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        FileExt::read_at(self, buffer, offset)
    }
}

impl ReadAt for Vec<u8> {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let rest = usize::try_from(offset).ok().and_then(|offset| self.get(offset..)).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }
}

impl Storage for Vec<u8> {
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> Result<()> {
        let start = usize::try_from(offset).map_err(|_| damaged("it is too long for memory"))?;
        let end = start + bytes.len();
        if self.len() < end {
            self.resize(end, 0);
        }
        self[start..end].copy_from_slice(bytes);
        Ok(())
    }

    fn set_length(&mut self, length: u64) -> Result<()> {
        self.resize(usize::try_from(length).map_err(|_| damaged("it is too long for memory"))?, 0);
        Ok(())
    }
}
