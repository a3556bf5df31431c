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
