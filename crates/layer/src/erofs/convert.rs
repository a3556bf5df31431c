//! From a layer's tar stream to its file, in one pass.

use std::io::{self, BufRead, Read};
use std::sync::Arc;
use std::sync::mpsc::Sender;

use dhow_base::{Error, Kind, Result};
use dhow_spec::Digest;

use super::below::Below;
use super::format::HEAD_BYTES;
use super::inode::{Attributes, FileType, Mtime, Xattr};
use super::storage::Storage;
use super::writer::{LayerWriter, Summary};
use crate::decode_error;
use crate::diff_id::{PIECES, hashed_beside};
use crate::pool::{Piece, Pool};
use crate::tar::{Entry, EntryKind, TarLimits, TarReader};

/// Where a layer's file comes into being.
pub struct Workspace<'a, S> {
    /// The file, empty.
    pub target: &'a mut S,
    /// Makes a scratch file, which a layer of very many entries needs.
    pub scratch: &'a dyn Fn() -> Result<S>,
    /// The layers below.
    pub below: &'a dyn Below,
}

impl<S> std::fmt::Debug for Workspace<'_, S> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Workspace").finish_non_exhaustive()
    }
}

/// A layer that became a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Converted {
    /// Length of the tar in bytes.
    pub tar_bytes: u64,
    /// What it holds.
    pub summary: Summary,
}

/// Writes the file of a layer while its uncompressed stream passes, and proves the diff ID. Hashing has a thread of its own.
///
/// # Errors
/// [`Kind::Corrupt`] when the stream is no layer or has another diff ID; [`Kind::LimitExceeded`]; those of reading and
/// writing. The target's content means nothing then.
pub fn convert<S: Storage>(stream: impl Read, diff_id: &Digest, workspace: Workspace<'_, S>) -> Result<Converted> {
    let Workspace { target, scratch, below } = workspace;
    let mut writer = LayerWriter::new(below, scratch);
    let (tar_bytes, found) = hashed_beside(diff_id.algorithm(), |sender| {
        let tee = Tee::new(stream, Some(&mut *target), sender);
        let mut reader = TarReader::new(tee, "its tar", TarLimits::LAYER);
        while let Some(entry) = reader.next_entry()? {
            writer.entry(entry)?;
        }
        Ok(reader.finish()?.passed())
    })?;
    if found != *diff_id {
        let message = format!("unpacked diff ID mismatch: expected {diff_id}, got {found}");
        return Err(Error::new(Kind::Corrupt, message));
    }
    let summary = writer.finish(target, tar_bytes, diff_id)?;
    Ok(Converted { tar_bytes, summary })
}

impl<S: Storage> LayerWriter<'_, S> {
    /// Takes an entry for what it is.
    ///
    /// # Errors
    /// As [`LayerWriter::directory`] and [`LayerWriter::hard_link`], with the entry's path.
    pub fn entry(&mut self, entry: Entry) -> Result<()> {
        let Entry { path, kind, mode, uid, gid, mtime, xattrs, data_offset, .. } = entry;
        let xattrs = xattrs.into_iter().map(|xattr| Xattr { name: xattr.name, value: xattr.value }).collect();
        let mtime = Mtime { seconds: mtime.seconds, nanoseconds: mtime.nanoseconds };
        // What an archive says of the rights of a symbolic link is nothing that Linux could keep.
        let mode = if matches!(kind, EntryKind::Symlink { .. }) { 0o777 } else { mode };
        let attributes = Attributes { mode, uid, gid, mtime, xattrs };
        let at = path.as_bytes();
        let noted = match kind {
            EntryKind::Directory { opaque } => self.directory(at, &attributes, opaque),
            EntryKind::File { size, sparse: None } => self.file(at, &attributes, size, data_offset),
            EntryKind::File { size, sparse: Some(map) } => {
                let parts = map.extents().iter().map(|extent| (extent.offset, extent.length)).collect();
                self.sparse_file(at, &attributes, size, data_offset, parts)
            }
            EntryKind::Symlink { target } => self.symlink(at, &attributes, &target),
            EntryKind::HardLink { target } => self.hard_link(at, target.as_bytes()),
            EntryKind::CharDevice { major, minor } => {
                self.special(at, &attributes, FileType::CharDevice, (major, minor))
            }
            EntryKind::BlockDevice { major, minor } => {
                self.special(at, &attributes, FileType::BlockDevice, (major, minor))
            }
            EntryKind::Fifo => self.special(at, &attributes, FileType::Fifo, (0, 0)),
            EntryKind::Whiteout(_) => self.whiteout(at),
            EntryKind::Opaque => self.opaque(at),
            EntryKind::AufsMetadata => Ok(()),
        };
        noted.map_err(|error| error.context(format_args!("{:?}", String::from_utf8_lossy(at))))
    }
}

/// Hands a stream on, writes it to the target if there is one, and has it hashed.
pub(super) struct Tee<'a, R, S> {
    stream: R,
    target: Option<&'a mut S>,
    sender: Sender<Arc<Piece>>,
    pool: Arc<Pool>,
    piece: Option<Arc<Piece>>,
    /// Bytes of the piece that were handed on.
    used: usize,
    passed: u64,
}

impl<'a, R: Read, S: Storage> Tee<'a, R, S> {
    pub(super) fn new(stream: R, target: Option<&'a mut S>, sender: Sender<Arc<Piece>>) -> Self {
        Self { stream, target, sender, pool: Pool::new(PIECES), piece: None, used: 0, passed: 0 }
    }

    /// Bytes of the stream so far.
    pub(super) fn passed(&self) -> u64 {
        self.passed
    }

    /// Passes the rest of the stream on to the target and the hash alone.
    pub(super) fn drain(&mut self) -> Result<()> {
        loop {
            self.next_piece()?;
            if self.left().is_empty() {
                return Ok(());
            }
        }
    }

    fn next_piece(&mut self) -> Result<()> {
        (self.piece, self.used) = (None, 0);
        let mut piece = self.pool.take(0);
        piece.fill_from(&mut self.stream).map_err(|error| decode_error("cannot unpack", error))?;
        if piece.is_empty() {
            return Ok(());
        }
        if let Some(target) = &mut self.target {
            target.write_at(&piece, HEAD_BYTES + self.passed)?;
        }
        self.passed += piece.len() as u64;
        let piece = Arc::new(piece);
        if self.sender.send(Arc::clone(&piece)).is_err() {
            return Err(Error::new(Kind::Internal, "the hashing thread is gone"));
        }
        self.piece = Some(piece);
        Ok(())
    }

    /// What is at hand and was not handed on.
    fn left(&self) -> &[u8] {
        self.piece.as_ref().map_or(&[], |piece| &piece[self.used..])
    }
}

impl<R: Read, S: Storage> BufRead for Tee<'_, R, S> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.left().is_empty() {
            self.next_piece().map_err(io::Error::other)?;
        }
        Ok(self.left())
    }

    fn consume(&mut self, count: usize) {
        self.used += count;
    }
}

impl<R: Read, S: Storage> Read for Tee<'_, R, S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(buffer)?;
        self.consume(count);
        Ok(count)
    }
}
