//! Copying a local file that the kernel cannot share with the store: its bytes are hashed as they pass, and not read again.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};

use dhow_base::fs as durable;
use dhow_base::{Error, Kind, Result};
use dhow_content::{LocalBlob, Verified, Verifier};
use dhow_layer::Compression;
use dhow_spec::Descriptor;
use futures::channel::oneshot;

use crate::wait;

/// Bytes that pass at once: few enough to still be in the cache when they are hashed.
const PIECE_BYTES: usize = 256 << 10;

/// Pieces between the two threads.
const PIECES: usize = 3;

/// The side that copies. The bytes that it writes go to a thread that hashes them.
#[derive(Debug)]
pub(crate) struct Copier {
    full: SyncSender<Vec<u8>>,
    empty: Receiver<Vec<u8>>,
}

impl Copier {
    /// Starts the thread that hashes, and gives its result, which is there when the copier is dropped after the last byte.
    pub(crate) fn start(blob: &Descriptor) -> Result<(Self, oneshot::Receiver<Result<Verified>>)> {
        let (full, pieces) = sync_channel::<Vec<u8>>(PIECES);
        let (used, empty) = channel();
        let mut verifier = Verifier::new(blob);
        let verified = wait::start("verify", move || {
            for piece in pieces {
                verifier.update(&piece)?;
                // The copier may be done.
                let _ = used.send(piece);
            }
            verifier.finish()
        })?;
        Ok((Self { full, empty }, verified))
    }

    /// Copies a range of the blob.
    ///
    /// # Errors
    /// [`Kind::Corrupt`] when the source ends early, else the operating system's, with the path.
    pub(crate) fn copy(&self, source: &LocalBlob, range: Range<u64>, target: &File, path: &Path) -> Result<()> {
        let mut position = range.start;
        while position < range.end {
            let mut piece = self.empty.try_recv().unwrap_or_else(|_| vec![0; PIECE_BYTES]);
            let wanted = usize::try_from(range.end - position).unwrap_or(PIECE_BYTES).min(PIECE_BYTES);
            piece.resize(PIECE_BYTES, 0);
            let read = source
                .file
                .read_at(&mut piece[..wanted], source.offset + position)
                .map_err(|error| Error::io(format_args!("cannot read {:?}", source.path), error))?;
            if read == 0 {
                let message = format!("{:?} ends at byte {}", source.path, source.offset + position);
                return Err(Error::new(Kind::Corrupt, message));
            }
            piece.truncate(read);
            durable::write_at(target, path, &piece, position)?;
            position += read as u64;
            // It has ended when the bytes are not those announced, and says so.
            let _ = self.full.send(piece);
        }
        durable::start_writeback(target, range);
        Ok(())
    }
}

/// Whether a file and the store's cannot share blocks: then the kernel copies as slowly as anybody.
pub(crate) fn is_elsewhere(source: &LocalBlob, target: &File) -> bool {
    let device = |file: &File| file.metadata().ok().map(|metadata| metadata.dev());
    device(&source.file) != device(target)
}

/// Whether the file begins as an uncompressed one does.
pub(crate) fn is_plain(source: &LocalBlob) -> bool {
    let mut first = [0; Compression::DETECT_BYTES];
    let wanted = first.len().min(usize::try_from(source.length).unwrap_or(first.len()));
    source.file.read_exact_at(&mut first[..wanted], source.offset).is_ok()
        && Compression::detect(&first[..wanted]) == Compression::None
}
