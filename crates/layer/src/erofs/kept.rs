//! From a tar that stands in a layer's file already to the file: for layers that passed before anybody knew what lies below.

use std::io::{self, BufRead, Read};
use std::ops::Range;

use dhow_base::Result;
use dhow_spec::Digest;

use super::convert::{Converted, Workspace};
use super::format::HEAD_BYTES;
use super::storage::Storage;
use super::writer::LayerWriter;
use crate::tar::{TarLimits, TarReader};

/// Makes the file of a layer whose `tar_bytes` stand in the target behind [`HEAD_BYTES`] bytes of room, as
/// [`convert_passing`](super::convert_passing) left and proved them. Nothing is inflated, hashed or written once more.
///
/// # Errors
/// Those of [`convert`](super::convert()), but for another diff ID.
pub fn convert_kept<S: Storage>(diff_id: &Digest, tar_bytes: u64, workspace: Workspace<'_, S>) -> Result<Converted> {
    let Workspace { target, scratch, below } = workspace;
    let end = HEAD_BYTES.saturating_add(tar_bytes);
    // An attempt without the layers below may have written something behind.
    target.set_length(end)?;
    let mut writer = LayerWriter::new(below, scratch);
    let kept = Kept { target: &*target, position: HEAD_BYTES, end, buffer: [0; READ_BYTES_MAX], unused: 0..0 };
    let mut reader = TarReader::new(kept, format!("layer {diff_id}"), TarLimits::LAYER)
        .passing_over(|kept, count| Ok(kept.pass_over(count)));
    while let Some(entry) = reader.next_entry()? {
        writer.entry(entry)?;
    }
    reader.finish()?;
    let summary = writer.finish(target, tar_bytes, diff_id)?;
    Ok(Converted { tar_bytes, summary })
}

/// Bytes that are read at once: the headers of a few small files, and little of a large one, whose content nobody asks for.
const READ_BYTES_MAX: usize = 4 << 10;

/// The tar in a layer's file.
struct Kept<'a, S> {
    target: &'a S,
    /// Behind what is in the buffer.
    position: u64,
    end: u64,
    buffer: [u8; READ_BYTES_MAX],
    /// What was read and not used.
    unused: Range<usize>,
}

impl<S: Storage> BufRead for Kept<'_, S> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.unused.is_empty() {
            let most = usize::try_from(self.end - self.position).unwrap_or(usize::MAX).min(READ_BYTES_MAX);
            let read = self.target.read_at(&mut self.buffer[..most], self.position)?;
            self.position += read as u64;
            self.unused = 0..read;
        }
        Ok(&self.buffer[self.unused.clone()])
    }

    fn consume(&mut self, count: usize) {
        self.unused.start += count;
    }
}

impl<S: Storage> Read for Kept<'_, S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(buffer)?;
        self.consume(count);
        Ok(count)
    }
}

impl<S> Kept<'_, S> {
    fn pass_over(&mut self, count: u64) -> u64 {
        let here = count.min(self.unused.len() as u64);
        self.unused.start += here as usize;
        let beyond = (count - here).min(self.end - self.position);
        self.position += beyond;
        here + beyond
    }
}
