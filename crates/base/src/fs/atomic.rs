//! Files that appear whole or not at all.

use std::fs::{self as std_fs, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::heir::Gift;
use super::{Durability, FileRange, copy_range, sync_dir};
use crate::fault;
use crate::{Error, Result};

/// Replaces `path` by `bytes` in one step: readers see the old or the new content, never a mixture.
///
/// The temporary file stands beside the target, because a rename is only atomic within one file system.
///
/// # Errors
/// The operating system's, with the path; the old content is untouched then.
pub fn write_atomic(path: &Path, bytes: &[u8], mode: u32, durability: Durability) -> Result<()> {
    let mut pending = AtomicFile::create(path, mode)?;
    pending.write_all(bytes)?;
    pending.commit(durability)
}

/// A file that takes its final name only at [`AtomicFile::commit`]; dropped before that, it leaves nothing behind.
#[derive(Debug)]
pub struct AtomicFile {
    file: File,
    temporary: PathBuf,
    target: PathBuf,
    committed: bool,
}

impl AtomicFile {
    /// Opens a temporary file beside `target`.
    ///
    /// # Errors
    /// The operating system's, with the path.
    pub fn create(target: &Path, mode: u32) -> Result<Self> {
        static SERIAL: AtomicU64 = AtomicU64::new(0);
        let name = target.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        loop {
            let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
            let temporary = target.with_file_name(format!(".{name}.{}-{serial}.tmp", std::process::id()));
            let made = match Gift::at(&temporary) {
                Some(gift) => gift.make_file(mode),
                None => OpenOptions::new().read(true).write(true).create_new(true).mode(mode).open(&temporary),
            };
            match made {
                Ok(file) => return Ok(Self { file, temporary, target: target.to_owned(), committed: false }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(Error::io(format_args!("cannot write {target:?}"), error)),
            }
        }
    }

    /// The open file, for callers that write through other means.
    pub fn file(&mut self) -> &mut File {
        &mut self.file
    }

    /// Appends bytes of another file.
    ///
    /// # Errors
    /// As [`copy_range`], with the target's path.
    pub fn copy(&mut self, source: FileRange<'_>) -> Result<()> {
        copy_range(source, &mut self.file, &format_args!("{:?}", self.target))
    }

    /// Appends bytes.
    ///
    /// # Errors
    /// The operating system's, with the target's path.
    pub fn write_all(&mut self, bytes: &[u8]) -> Result<()> {
        fault::point("fs.atomic.write")
            .and_then(|()| self.file.write_all(bytes))
            .map_err(|error| Error::io(format_args!("cannot write {:?}", self.target), error))
    }

    /// Gives the file its final name.
    ///
    /// # Errors
    /// The operating system's, with the target's path; the target is untouched then.
    pub fn commit(mut self, durability: Durability) -> Result<()> {
        let failed = |error| Error::io(format_args!("cannot write {:?}", self.target), error);
        if durability == Durability::Durable {
            fault::point_at("fs.atomic.sync", &self.target).and_then(|()| self.file.sync_all()).map_err(failed)?;
        }
        fault::point("fs.atomic.rename")
            .and_then(|()| std_fs::rename(&self.temporary, &self.target))
            .map_err(failed)?;
        self.committed = true;
        if durability == Durability::Durable {
            sync_dir(self.target.parent().unwrap_or(Path::new(".")))?;
        }
        Ok(())
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        if !self.committed {
            // Nothing useful can be done about a failure here; the name tells a later clean-up what it is.
            let _ = std_fs::remove_file(&self.temporary);
        }
    }
}
