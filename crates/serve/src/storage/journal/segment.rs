//! One half of the journal: a file that is written from its beginning, again and again.

use std::fs::File;
use std::path::{Path, PathBuf};

use dhow_base::{Result, fs};

/// By how much a file grows at once. What lies within its length is flushed without a word to the file system's own
/// journal, which is what makes a flush cheap; so its length changes seldom.
const GROWTH_BYTES: u64 = 256 << 10;

/// Where the halves are.
pub(super) fn paths(root: &Path) -> [PathBuf; 2] {
    let directory = directory(root);
    ["0", "1"].map(|name| directory.join(name))
}

pub(super) fn directory(root: &Path) -> PathBuf {
    root.join("journal")
}

/// An open half.
#[derive(Debug)]
pub(super) struct Segment {
    path: PathBuf,
    file: File,
    length: u64,
    /// Where the next record goes.
    pub(super) position: u64,
}

impl Segment {
    /// Opens a half to be written from its beginning, and makes its name durable.
    pub(super) fn begin(path: &Path) -> Result<Self> {
        let file = fs::open_or_create(path)?;
        let length = file.metadata().map_or(0, |metadata| metadata.len());
        if length == 0 {
            // Also for what was removed here before: else a power cut could bring an old half back beside this one.
            path.parent().map_or(Ok(()), fs::sync_dir)?;
        }
        Ok(Self { path: path.to_owned(), file, length, position: 0 })
    }

    /// Writes whole records durably. `bytes` is lent: it comes back as it was.
    pub(super) fn append(&mut self, bytes: &mut Vec<u8>) -> Result<()> {
        let (end, written) = (self.position + bytes.len() as u64, bytes.len());
        let length = end.max(self.length).next_multiple_of(GROWTH_BYTES);
        if length > self.length {
            bytes.resize(written + usize::try_from(length - end).unwrap_or(0), 0);
        }
        let flushed = fs::write_at(&self.file, &self.path, bytes, self.position)
            .and_then(|()| fs::sync_data(&self.file, &self.path));
        bytes.truncate(written);
        flushed?;
        (self.position, self.length) = (end, self.length.max(length));
        Ok(())
    }
}
