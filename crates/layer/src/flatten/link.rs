//! Hard links whose file is in another layer, or is hidden under its own name.

use std::collections::BTreeMap;

use dhow_base::{Error, Kind, Result};
use tar_core::{EntryBuilder, EntryType, HEADER_SIZE, PaxExtensions};

use crate::members::{BLOCK_BYTES, Member};

/// Hard links that wait for their file, by its name. The order is always the same.
pub(super) type WaitingLinks = BTreeMap<Vec<u8>, Vec<Member>>;

/// The headers of a member under another name, with another link target.
///
/// Everything else stays as it is; PAX records say what is new, since every reader takes them first.
///
/// # Errors
/// [`Kind::Internal`] when the header cannot be found, which a parsed one always can.
pub(super) fn renamed(member: &Member, path: &[u8], target: Option<&[u8]>) -> Result<Vec<u8>> {
    let mut records = Vec::new();
    for extension in PaxExtensions::new(&member.pax).flatten() {
        let key = extension.key_bytes();
        // A sparse file of PAX has its name elsewhere.
        if key != b"path" && key != b"linkpath" && key != b"GNU.sparse.name" {
            record(&mut records, key, extension.value_bytes());
        }
        if key == b"GNU.sparse.name" {
            record(&mut records, key, path);
        }
    }
    record(&mut records, b"path", path);
    if let Some(target) = target.or(member.target.as_deref()) {
        record(&mut records, b"linkpath", target);
    }
    let mut header = extension_header(&records)?;
    header.extend_from_slice(&member.header[main_header(&member.header)?..]);
    Ok(header)
}

/// A PAX record: its own length, a key, a value (POSIX pax, «pax Extended Header»).
fn record(records: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length.to_string().len() + rest != length {
        length = length.to_string().len() + rest;
    }
    records.extend_from_slice(length.to_string().as_bytes());
    records.push(b' ');
    records.extend_from_slice(key);
    records.push(b'=');
    records.extend_from_slice(value);
    records.push(b'\n');
}

fn extension_header(records: &[u8]) -> Result<Vec<u8>> {
    let failed = |error| Error::new(Kind::Internal, format!("cannot make a tar header: {error}"));
    let mut builder = EntryBuilder::new_ustar();
    builder.path("PaxHeaders/member").entry_type(EntryType::XHeader);
    builder.mode(0o644).and_then(|builder| builder.uid(0)).and_then(|builder| builder.gid(0)).map_err(failed)?;
    builder.size(records.len() as u64).and_then(|builder| builder.mtime(0)).map_err(failed)?;
    let mut bytes = builder.finish_bytes();
    bytes.extend_from_slice(records);
    bytes.resize(bytes.len().next_multiple_of(HEADER_SIZE), 0);
    Ok(bytes)
}

/// Where the header itself begins, behind long names and PAX records.
fn main_header(blocks: &[u8]) -> Result<usize> {
    let missing = || Error::new(Kind::Internal, "a tar header has no end");
    let mut position = 0;
    loop {
        let block = blocks.get(position..position + HEADER_SIZE).ok_or_else(missing)?;
        if !matches!(block[156], b'x' | b'g' | b'L' | b'K' | b'X') {
            return Ok(position);
        }
        let size = tar_core::Header::from_bytes(block.try_into().map_err(|_| missing())?).entry_size();
        let size = size.map_err(|_| missing())?.checked_next_multiple_of(BLOCK_BYTES).ok_or_else(missing)?;
        position += HEADER_SIZE + usize::try_from(size).map_err(|_| missing())?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_count_themselves() {
        for length in [1, 2, 85, 86, 87, 88, 980, 981, 982, 983, 984] {
            let mut records = Vec::new();
            record(&mut records, b"path", &vec![b'a'; length]);
            let found = PaxExtensions::new(&records).next().expect("a record").expect("a good one");
            assert_eq!((found.key_bytes(), found.value_bytes().len()), (&b"path"[..], length));
        }
    }
}
