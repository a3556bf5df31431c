//! Tar headers as this crate writes them: the same bytes for the same content, always.

use dhow_base::{Error, Kind, Result};
use tar_core::{EntryBuilder, EntryType};

/// Length of a tar block in bytes.
pub(crate) const BLOCK_BYTES: u64 = 512;

/// What a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MemberType {
    /// A file of this many bytes.
    File(u64),
    /// A directory.
    Directory,
}

/// The header blocks of a member: owner 0:0, time zero, mode 0644 or 0755; PAX records only where ustar is too narrow.
///
/// # Errors
/// [`Kind::Internal`] when the header cannot be made, which no digest or size can cause.
pub(crate) fn header(name: &str, member: MemberType) -> Result<Vec<u8>> {
    let (entry_type, mode, size) = match member {
        MemberType::File(size) => (EntryType::Regular, 0o644, size),
        MemberType::Directory => (EntryType::Directory, 0o755, 0),
    };
    let mut builder = EntryBuilder::new_ustar();
    let failed = |error| Error::new(Kind::Internal, format!("cannot make a tar header for {name:?}: {error}"));
    builder.path(name).entry_type(entry_type);
    builder.mode(mode).and_then(|builder| builder.uid(0)).and_then(|builder| builder.gid(0)).map_err(failed)?;
    builder.size(size).and_then(|builder| builder.mtime(0)).map_err(failed)?;
    Ok(builder.finish_bytes())
}

/// Zero bytes that fill the last block of a member.
pub(crate) fn padding(size: u64) -> &'static [u8] {
    const ZEROS: [u8; BLOCK_BYTES as usize] = [0; BLOCK_BYTES as usize];
    let over = size % BLOCK_BYTES;
    if over == 0 { &[] } else { &ZEROS[over as usize..] }
}

#[cfg(test)]
mod tests {
    use tar_core::parse::{ParseEvent, Parser};

    use super::*;

    #[test]
    fn long_names_and_sizes_survive() {
        let long = format!("blobs/sha512/{}", "a".repeat(128));
        for (name, size) in [("index.json", 0), (long.as_str(), 7), ("blobs/x", 9 << 30), (&long, 1 << 40)] {
            let bytes = header(name, MemberType::File(size)).expect("a header");
            assert_eq!(bytes.len() as u64 % BLOCK_BYTES, 0);
            match Parser::with_defaults().parse(&bytes).expect("a valid header") {
                ParseEvent::Entry { consumed, entry } => {
                    assert_eq!((consumed, entry.size), (bytes.len(), size));
                    assert_eq!(entry.path_lossy(), name);
                }
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn padding_fills_the_block() {
        assert_eq!([0, 1, 511, 512, 513].map(|size| padding(size).len()), [0, 511, 1, 0, 511]);
    }
}
