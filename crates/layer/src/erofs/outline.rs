//! An outline: a layer's file without its content but for some of it, made while the layer is inflated and thrown away. What it
//! says of names and attributes is all that the file says.

use std::collections::BTreeSet;
use std::io::BufRead;

use dhow_base::Result;

use super::convert::Converted;
use super::format::HEAD_BYTES;
use super::passing::Unknown;
use super::ranges::Ranges;
use super::storage::Storage;
use super::writer::LayerWriter;
use crate::ahead::Layer;
use crate::tar::{Entry, EntryKind, TarLimits, TarReader};

/// Most files whose content is kept for their last name alone, and most bytes of theirs together: many have the same.
const NAMESAKES_MAX: usize = 64;
const NAMESAKE_BYTES_MAX: u64 = 16 << 20;

/// Most names that links lead to.
const NAMES_MAX: usize = 16;

/// Which content an outline has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keep {
    /// None.
    Nothing,
    /// What will be asked for when somebody asks for this path: of the file, of all below the directory, and where the path leads over
    /// symbolic links, of files with the same last name or the last name of a link.
    Path(Vec<u8>),
    /// That of the files whose data begins at these bytes of the layer's file, as an [image](super::Image::data_start) of it says.
    At(BTreeSet<u64>),
    /// All of it.
    Everything,
}

/// Makes the outline of a layer while its blob is inflated and proven. Nothing of the target counts before that.
/// Returns nothing when the layer cannot be told of without those below it: where it links to their files, or implies a directory
/// in one that it says later hides theirs.
///
/// # Errors
/// [`dhow_base::Kind::Corrupt`] when the stream is no layer or has another diff ID; [`dhow_base::Kind::LimitExceeded`]; those of
/// reading and writing.
pub fn outline<S: Storage>(
    layer: Layer<'_>,
    keep: &Keep,
    target: &mut S,
    scratch: &dyn Fn() -> Result<S>,
) -> Result<Option<Converted>> {
    let below = Unknown::default();
    let mut writer = LayerWriter::new(&below, scratch);
    let mut keeper = Keeper::new(keep);
    let (name, diff_id) = (layer.name.clone(), layer.diff_id);
    let noted = layer.inflate(|stream| {
        let mut reader = TarReader::new(stream, &name, TarLimits::LAYER);
        while let Some(entry) = reader.next_entry()? {
            if keeper.wants(&entry) {
                let start = HEAD_BYTES.saturating_add(entry.data_offset);
                let end = copy_data(&mut reader, target, start)?;
                keeper.has_kept(start, end);
            }
            writer.entry(entry)?;
        }
        reader.finish()?;
        Ok(())
    });
    let tar_bytes = match noted {
        Ok(((), inflated)) => inflated.size,
        Err(_) if below.is_asked() => return Ok(None),
        Err(error) => return Err(error),
    };
    writer.content = Some(keeper.finish(tar_bytes));
    match writer.finish(target, tar_bytes, diff_id) {
        Ok(summary) => Ok(Some(Converted { tar_bytes, summary })),
        Err(_) if below.is_asked() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes the data of the current entry to where it stands in a layer's file. Returns where it ends.
fn copy_data<R: BufRead>(reader: &mut TarReader<R>, target: &mut impl Storage, start: u64) -> Result<u64> {
    let mut at = start;
    loop {
        let data = reader.data()?;
        if data.is_empty() {
            return Ok(at);
        }
        target.write_at(data, at)?;
        at += data.len() as u64;
    }
}

/// Decides what is kept.
struct Keeper<'k> {
    keep: &'k Keep,
    /// Last names of files that may be meant.
    names: Vec<Vec<u8>>,
    namesakes: usize,
    namesake_bytes: u64,
    content: Ranges,
    /// Whether no data was left out since the last that was kept.
    joins: bool,
}

impl<'k> Keeper<'k> {
    fn new(keep: &'k Keep) -> Self {
        let names = match keep {
            Keep::Path(path) => vec![last_name(path).to_vec()],
            Keep::Nothing | Keep::At(_) | Keep::Everything => Vec::new(),
        };
        Self { keep, names, namesakes: 0, namesake_bytes: 0, content: Ranges::default(), joins: false }
    }

    fn wants(&mut self, entry: &Entry) -> bool {
        let path = entry.path.as_bytes();
        if let EntryKind::Symlink { target } = &entry.kind {
            let name = last_name(target);
            if self.names.len() < NAMES_MAX && self.is_namesake(path) && !self.names.iter().any(|known| known == name) {
                self.names.push(name.to_vec());
            }
        }
        if !matches!(entry.kind, EntryKind::File { .. }) || entry.stored_bytes == 0 {
            return false;
        }
        let wanted = match self.keep {
            Keep::Nothing => false,
            Keep::At(starts) => {
                starts.contains(&HEAD_BYTES.saturating_add(entry.data_offset))
                    && (self.joins || !self.content.is_full())
            }
            Keep::Everything => true,
            Keep::Path(_) if self.content.is_full() && !self.joins => false,
            Keep::Path(wanted) => is_at_or_below(path, wanted) || self.takes_namesake(path, entry.stored_bytes),
        };
        self.joins &= wanted;
        wanted
    }

    fn is_namesake(&self, path: &[u8]) -> bool {
        let name = last_name(path);
        self.names.iter().any(|known| known == name)
    }

    fn takes_namesake(&mut self, path: &[u8], bytes: u64) -> bool {
        let total = self.namesake_bytes.saturating_add(bytes);
        if !self.is_namesake(path) || self.namesakes >= NAMESAKES_MAX || total > NAMESAKE_BYTES_MAX {
            return false;
        }
        self.namesakes += 1;
        self.namesake_bytes = total;
        true
    }

    fn has_kept(&mut self, start: u64, end: u64) {
        if *self.keep != Keep::Everything {
            self.content.push(start, end, self.joins);
        }
        self.joins = true;
    }

    fn finish(mut self, tar_bytes: u64) -> Ranges {
        if *self.keep == Keep::Everything {
            self.content.push(HEAD_BYTES, HEAD_BYTES.saturating_add(tar_bytes), false);
        }
        self.content
    }
}

fn last_name(path: &[u8]) -> &[u8] {
    path.rsplit(|byte| *byte == b'/').find(|name| !name.is_empty()).unwrap_or_default()
}

/// Whether a path of a layer is the wanted one or leads on from it; the wanted one may have any slashes and dots in it.
fn is_at_or_below(path: &[u8], wanted: &[u8]) -> bool {
    let mut names = path.split(|byte| *byte == b'/');
    let mut wanted = wanted.split(|byte| *byte == b'/').filter(|name| !matches!(*name, b"" | b"."));
    wanted.all(|name| names.next() == Some(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_paths_are_meant() {
        for (path, wanted, expected) in [
            ("etc/passwd", "/etc/passwd", true),
            ("etc/passwd", "/etc", true),
            ("etc/passwd", "/etc/./", true),
            ("etc/passwd", "/", true),
            ("etcetera/passwd", "/etc", false),
            ("etc", "/etc/passwd", false),
            ("etc/passwd-", "/etc/passwd", false),
        ] {
            assert_eq!(is_at_or_below(path.as_bytes(), wanted.as_bytes()), expected, "{path} {wanted}");
        }
        assert_eq!(last_name(b"../usr/lib/os-release"), b"os-release");
        assert_eq!(last_name(b"a/b/"), b"b");
        assert_eq!(last_name(b""), b"");
    }
}
