//! From a tar that stands in a layer's file already to the file: for layers that passed before anybody knew what lies below.

use std::io::{self, Read};

use dhow_base::Result;
use dhow_spec::Digest;

use super::convert::{Converted, Workspace, note};
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
    let kept = Kept { target: &*target, position: HEAD_BYTES, end };
    let mut reader = TarReader::new(kept, format!("layer {diff_id}"), TarLimits::LAYER)
        .passing_over(|kept, count| Ok(kept.pass_over(count)));
    while let Some(entry) = reader.next_entry()? {
        note(&mut writer, entry)?;
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
    position: u64,
    end: u64,
}

impl<S: Storage> Read for Kept<'_, S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end - self.position).unwrap_or(usize::MAX);
        let most = buffer.len().min(left).min(READ_BYTES_MAX);
        let read = self.target.read_at(&mut buffer[..most], self.position)?;
        self.position += read as u64;
        Ok(read)
    }
}

impl<S> Kept<'_, S> {
    fn pass_over(&mut self, count: u64) -> u64 {
        let passed = count.min(self.end - self.position);
        self.position += passed;
        passed
    }
}
