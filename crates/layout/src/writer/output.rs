//! What an archive is written to.

use std::fmt;
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::PathBuf;

use dhow_base::{Error, Kind, Result, fs};
use dhow_content::LocalBlob;

/// What an archive is written to.
pub enum Output {
    /// A regular file: blobs are copied into it by the kernel.
    File {
        /// The open file.
        file: File,
        /// Its name, for messages.
        path: PathBuf,
        /// Where the next byte goes.
        position: u64,
    },
    /// Anything else, such as a pipe.
    Stream {
        /// The writer.
        writer: Box<dyn Write + Send>,
        /// Bytes written so far.
        position: u64,
    },
    /// The output was handed back by [`ArchiveWriter::finish`](crate::ArchiveWriter::finish).
    Gone,
}

impl Output {
    /// An open file, which is written from its current position on; taken for a stream when it is no regular file.
    ///
    /// # Errors
    /// The operating system's.
    pub fn file(mut file: File, path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        let failed = |error| Error::io(format_args!("cannot write {path:?}"), error);
        if !file.metadata().map_err(failed)?.is_file() {
            return Ok(Self::stream(file));
        }
        let position = file.stream_position().map_err(failed)?;
        Ok(Self::File { file, path, position })
    }

    /// Any writer.
    pub fn stream(writer: impl Write + Send + 'static) -> Self {
        Self::Stream { writer: Box::new(writer), position: 0 }
    }

    /// Where the next byte goes.
    pub(super) fn position(&self) -> u64 {
        match self {
            Self::File { position, .. } | Self::Stream { position, .. } => *position,
            Self::Gone => 0,
        }
    }

    pub(super) fn write_all(&mut self, bytes: &[u8]) -> Result<()> {
        match self {
            Self::File { file, path, position } => {
                file.write_all(bytes).map_err(|error| Error::io(format_args!("cannot write {path:?}"), error))?;
                *position += bytes.len() as u64;
            }
            Self::Stream { writer, position } => {
                writer.write_all(bytes).map_err(|error| Error::io("cannot write the archive", error))?;
                *position += bytes.len() as u64;
            }
            Self::Gone => return Err(gone()),
        }
        Ok(())
    }

    /// Appends a whole blob, in the kernel where it can.
    pub(super) fn append(&mut self, blob: &LocalBlob) -> Result<()> {
        let position = match self {
            Self::File { file, path, position } => {
                fs::copy_range(blob.bytes(), file, &format_args!("{path:?}"))?;
                position
            }
            Self::Stream { writer, position } => {
                fs::copy_buffered(blob.bytes(), writer, &"the archive")?;
                position
            }
            Self::Gone => return Err(gone()),
        };
        *position += blob.length;
        Ok(())
    }

    pub(super) fn flush(&mut self) -> Result<()> {
        match self {
            Self::Stream { writer, .. } => writer.flush().map_err(|error| Error::io("cannot write the archive", error)),
            _ => Ok(()),
        }
    }

    /// Forgets everything from `to` on; whether it could.
    pub(super) fn roll_back(&mut self, to: u64) -> bool {
        match self {
            Self::File { file, path, position } => {
                let done = fs::set_length(file, path, to).is_ok() && file.seek(SeekFrom::Start(to)).is_ok();
                *position = to;
                done
            }
            Self::Stream { .. } | Self::Gone => false,
        }
    }
}

fn gone() -> Error {
    Error::new(Kind::Internal, "the archive is finished")
}

impl fmt::Debug for Output {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, position, .. } => {
                formatter.debug_struct("File").field("path", path).field("position", position).finish()
            }
            Self::Stream { position, .. } => {
                formatter.debug_struct("Stream").field("position", position).finish_non_exhaustive()
            }
            Self::Gone => formatter.write_str("Gone"),
        }
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "scratch files of the test itself")]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_copy_that_fails_names_where_it_went() {
        let scratch = tempfile::tempdir().expect("a folder");
        let path = scratch.path().join("blob");
        std::fs::write(&path, "content").expect("a blob");
        let open = || File::open(&path).expect("the blob");
        let blob = |length| LocalBlob { file: Arc::new(open()), path: path.clone(), offset: 0, length };
        let said = |output: Output, length| {
            let mut output = output;
            output.append(&blob(length)).expect_err("nothing can be written").to_string()
        };
        let full = || Output::stream(std::fs::OpenOptions::new().write(true).open("/dev/full").expect("a full device"));
        assert_eq!(said(full(), 7), format!("cannot copy {path:?} to the archive: no space left on device"));
        let read_only = Output::file(open(), "the/file").expect("an output");
        let expected = format!("cannot copy {path:?} to \"the/file\": bad file descriptor");
        assert_eq!(said(read_only, 7), expected);
    }
}
