//! Room for archives that cannot be read at random: streams, and everything compressed.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use dhow_base::fs::AtomicFile;
use dhow_base::{Error, Result, fs, interrupt, limits};
use dhow_content::LocalBlob;
use dhow_layer::{Compression, Decoder, Limits, decode_error};

/// Bytes moved at once.
const CHUNK_BYTES: usize = 512 << 10;

/// An archive may inflate to 1 GiB unasked; beyond that, no honest one passes this ratio.
const LIMITS: Limits = Limits { output_bytes_max: limits::BLOB_BYTES_MAX, ratio_max: 1100, ratio_free_bytes: 1 << 30 };

/// Inflates `reader`, whatever its compression, into a file in `directory` that has no name.
///
/// The file's space is given back when the last handle is closed, even if the process is killed.
///
/// # Errors
/// Corrupt or exploding input, and those of the file system.
pub(crate) fn spool(reader: impl Read, name: &Path, directory: &Path) -> Result<LocalBlob> {
    let failed = |error| decode_error(format_args!("cannot read archive {name:?}"), error);
    let mut decoder = Decoder::new(reader, LIMITS).map_err(failed)?;
    let file = nameless(directory)?;
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut length = 0;
    loop {
        interrupt::check()?;
        match decoder.read(&mut chunk) {
            Ok(0) => break,
            Ok(count) => {
                fs::write_at(&file, directory, &chunk[..count], length)?;
                length += count as u64;
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failed(error)),
        }
    }
    Ok(LocalBlob { file: Arc::new(file), path: name.to_owned(), offset: 0, length })
}

/// Tells the compression of a blob by its first bytes.
///
/// # Errors
/// The operating system's.
pub(crate) fn compression_of(blob: &LocalBlob) -> Result<Compression> {
    let mut first = Vec::with_capacity(Compression::DETECT_BYTES);
    fs::Cursor::new(&blob.file, blob.offset)
        .take(blob.length.min(Compression::DETECT_BYTES as u64))
        .read_to_end(&mut first)
        .map_err(|error| Error::io(format_args!("cannot read {:?}", blob.path), error))?;
    Ok(Compression::detect(&first))
}

/// A file that has no name, for what is needed only now: its space is given back when the last handle is closed, even if
/// the process is killed.
///
/// # Errors
/// The operating system's.
pub fn nameless(directory: &Path) -> Result<File> {
    fs::create_dir_all(directory)?;
    let mut named = AtomicFile::create(&directory.join("spool"), 0o600)?;
    named.file().try_clone().map_err(|error| Error::io(format_args!("cannot write in {directory:?}"), error))
}
