//! Tar entries as they are always written: ustar headers, with PAX records for what those cannot hold.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::io::{self, Read, Write};

use dhow_base::beneath::{Dir, FileKind};
use dhow_base::{Error, Kind, Result};
use tar::{EntryType, Header};

use super::Written;
use super::node::Node;
use crate::tar::RelativePath;

/// Largest number that seven octal digits hold: owners above need a PAX record.
const OCTAL_ID_MAX: u32 = 0o7_777_777;

/// Largest size and time that eleven octal digits hold.
const OCTAL_SIZE_MAX: u64 = 0o77_777_777_777;

/// Bytes moved at once.
const CHUNK_BYTES: usize = 128 << 10;

pub(super) struct TarWriter<W> {
    output: W,
    bytes: u64,
    /// Those of them that tell of parts of seconds.
    fraction_bytes: u64,
    entries: u64,
    buffer: Vec<u8>,
    /// What all names begin with: nothing, `./` or `/`.
    prefix: &'static [u8],
    /// First names of files with several, which were written.
    written: HashSet<RelativePath>,
}

impl<W: Write> TarWriter<W> {
    pub(super) fn new(output: W) -> Self {
        Self {
            output,
            bytes: 0,
            fraction_bytes: 0,
            entries: 0,
            buffer: vec![0; CHUNK_BYTES],
            prefix: b"",
            written: HashSet::new(),
        }
    }

    /// Has names begin as those of what is called `.` or `/` do.
    pub(super) fn call_top(&mut self, shown: &[u8]) {
        self.prefix = match shown {
            b"." => b"./",
            b"/" => b"/",
            _ => b"",
        };
    }

    pub(super) fn has_written(&self, first: &RelativePath) -> bool {
        self.written.contains(first)
    }

    pub(super) fn remember(&mut self, first: RelativePath) {
        self.written.insert(first);
    }

    /// Writes a file; the content of a regular one is read from its directory.
    pub(super) fn node(&mut self, node: &Node, source: Option<(&Dir, &OsStr)>) -> Result<()> {
        let (kind, size) = match node.kind() {
            FileKind::File => (EntryType::Regular, node.stat.size),
            FileKind::Directory => (EntryType::Directory, 0),
            FileKind::Symlink => (EntryType::Symlink, 0),
            FileKind::Fifo => (EntryType::Fifo, 0),
            FileKind::CharDevice => (EntryType::Char, 0),
            FileKind::BlockDevice => (EntryType::Block, 0),
            FileKind::Socket => return Ok(()),
        };
        self.header(node, kind, &node.target, size)?;
        match source {
            Some((dir, name)) if size > 0 => self.content(node, dir, name, size),
            _ => Ok(()),
        }
    }

    /// Writes another name of a file that was written.
    pub(super) fn link(&mut self, node: &Node, first: &RelativePath) -> Result<()> {
        let first = [self.prefix, first.as_bytes()].concat();
        self.header(node, EntryType::Link, &first, 0)
    }

    /// Writes that a name of lower layers is gone.
    pub(super) fn whiteout(&mut self, directory: &RelativePath, name: &[u8]) -> Result<()> {
        self.marker(directory, &[b".wh.", name].concat())
    }

    /// Writes that all of lower layers in a directory is gone.
    pub(super) fn opaque(&mut self, directory: &RelativePath) -> Result<()> {
        self.marker(directory, b".wh..wh..opq")
    }

    /// Ends the archive; returns its length.
    pub(super) fn finish(mut self) -> Result<u64> {
        self.put(&[0; 1024])?;
        self.output.flush().map_err(cannot_write)?;
        Ok(self.bytes)
    }

    /// Ends the archive; returns what it became.
    pub(super) fn written(self) -> Result<Written> {
        let (fraction_bytes, files) = (self.fraction_bytes, self.entries);
        Ok(Written { bytes: self.finish()?, fraction_bytes, files })
    }

    fn marker(&mut self, directory: &RelativePath, name: &[u8]) -> Result<()> {
        let path = directory.join(name).map_err(|error| Error::new(Kind::Invalid, error.to_string()))?;
        let mut header = Header::new_ustar();
        header.set_entry_type(EntryType::Regular);
        let mut records = Vec::new();
        set_name(&mut header.as_old_mut().name, path.as_bytes(), "path", &mut records);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mode(0);
        header.set_size(0);
        header.set_mtime(0);
        self.put_header(header, records)
    }

    fn header(&mut self, node: &Node, kind: EntryType, target: &[u8], size: u64) -> Result<()> {
        let mut header = Header::new_ustar();
        let mut records: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        let mut name = [self.prefix, node.path.as_bytes()].concat();
        if kind == EntryType::Directory && !name.ends_with(b"/") {
            name.push(b'/');
        }
        header.set_entry_type(kind);
        set_name(&mut header.as_old_mut().name, &name, "path", &mut records);
        set_name(&mut header.as_old_mut().linkname, target, "linkpath", &mut records);
        let stat = &node.stat;
        header.set_mode(if kind == EntryType::Symlink { 0o777 } else { stat.mode });
        for (key, id) in [("uid", stat.uid), ("gid", stat.gid)] {
            let octal = if id > OCTAL_ID_MAX {
                records.push((key.into(), id.to_string().into_bytes()));
                0
            } else {
                u64::from(id)
            };
            if key == "uid" { header.set_uid(octal) } else { header.set_gid(octal) }
        }
        if size > OCTAL_SIZE_MAX {
            records.push((b"size".to_vec(), size.to_string().into_bytes()));
        }
        header.set_size(if size > OCTAL_SIZE_MAX { 0 } else { size });
        let (seconds, nanoseconds) = stat.modified;
        let octal = u64::try_from(seconds).ok().filter(|seconds| *seconds <= OCTAL_SIZE_MAX);
        if octal.is_none() || nanoseconds != 0 {
            records.push((b"mtime".to_vec(), decimal_time(seconds, nanoseconds).into_bytes()));
        }
        header.set_mtime(octal.unwrap_or(0));
        if matches!(kind, EntryType::Char | EntryType::Block) {
            let (major, minor) = stat.device;
            let failed = |error| Error::io(format_args!("cannot write device {:?}", node.path), error);
            header.set_device_major(major).map_err(failed)?;
            header.set_device_minor(minor).map_err(failed)?;
        }
        // The other names of a file have its attributes already.
        if kind != EntryType::Link {
            for (xattr, value) in &node.xattrs {
                records.push(([b"SCHILY.xattr.", xattr.as_slice()].concat(), value.clone()));
            }
        }
        if octal.is_some() && nanoseconds != 0 {
            let others = records.iter().filter(|(key, _)| key != b"mtime");
            self.fraction_bytes += extended_bytes(&records) - extended_bytes(others);
        }
        self.put_header(header, records)
    }

    fn put_header(&mut self, mut header: Header, mut records: Vec<(Vec<u8>, Vec<u8>)>) -> Result<()> {
        if !records.is_empty() {
            records.sort();
            let data: Vec<u8> = records.iter().flat_map(|(key, value)| record(key, value)).collect();
            let mut extended = Header::new_ustar();
            extended.set_entry_type(EntryType::XHeader);
            extended.as_old_mut().name[..11].copy_from_slice(b"PaxHeaders/");
            extended.set_mode(0o644);
            extended.set_uid(0);
            extended.set_gid(0);
            extended.set_mtime(0);
            extended.set_size(data.len() as u64);
            extended.set_cksum();
            self.put(extended.as_bytes())?;
            self.put(&data)?;
            self.pad(data.len() as u64)?;
        }
        header.set_cksum();
        self.entries += 1;
        self.put(header.as_bytes())
    }

    fn content(&mut self, node: &Node, dir: &Dir, name: &OsStr, size: u64) -> Result<()> {
        let failed = |error: io::Error| Error::io(format_args!("cannot read {:?}", node.path), error);
        let mut file = dir.open_file(name.as_ref()).map_err(failed)?;
        let mut left = size;
        while left > 0 {
            let want = usize::try_from(left).unwrap_or(usize::MAX).min(self.buffer.len());
            let count = file.read(&mut self.buffer[..want]).map_err(failed)?;
            if count == 0 {
                let message = format!("{:?} became shorter while it was read", node.path);
                return Err(Error::new(Kind::Conflict, message));
            }
            self.output.write_all(&self.buffer[..count]).map_err(cannot_write)?;
            self.bytes += count as u64;
            left -= count as u64;
        }
        self.pad(size)
    }

    /// Writes the content of the file whose header was written last, `size` bytes, as `read` gives it from a position on.
    pub(super) fn stream(&mut self, size: u64, mut read: impl FnMut(&mut [u8], u64) -> Result<usize>) -> Result<()> {
        let mut done = 0;
        while done < size {
            let want = usize::try_from(size - done).unwrap_or(usize::MAX).min(self.buffer.len());
            let count = read(&mut self.buffer[..want], done)?;
            if count == 0 {
                return Err(Error::new(Kind::Corrupt, "a file is shorter than it says"));
            }
            self.output.write_all(&self.buffer[..count]).map_err(cannot_write)?;
            self.bytes += count as u64;
            done += count as u64;
        }
        self.pad(size)
    }

    fn pad(&mut self, length: u64) -> Result<()> {
        let padding = (length.wrapping_neg() % 512) as usize;
        self.put(&[0; 512][..padding])
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.output.write_all(bytes).map_err(cannot_write)?;
        self.bytes += bytes.len() as u64;
        Ok(())
    }
}

/// How much an archive is longer by such records of an entry.
fn extended_bytes<'r>(records: impl IntoIterator<Item = &'r (Vec<u8>, Vec<u8>)>) -> u64 {
    match records.into_iter().map(|(key, value)| record(key, value).len() as u64).sum::<u64>() {
        0 => 0,
        bytes => 512 + bytes.next_multiple_of(512),
    }
}

/// Puts a name into its field, and into a PAX record where it does not fit or is not ASCII, as Go does.
fn set_name(field: &mut [u8], name: &[u8], key: &str, records: &mut Vec<(Vec<u8>, Vec<u8>)>) {
    let count = name.len().min(field.len());
    field[..count].copy_from_slice(&name[..count]);
    if name.len() > field.len() || !name.is_ascii() {
        records.push((key.into(), name.to_vec()));
    }
}

fn decimal_time(seconds: i64, nanoseconds: u32) -> String {
    // Time runs forward from `seconds`, the text is a signed decimal.
    let total = i128::from(seconds) * 1_000_000_000 + i128::from(nanoseconds);
    let sign = if total < 0 { "-" } else { "" };
    let (whole, fraction) = (total.unsigned_abs() / 1_000_000_000, total.unsigned_abs() % 1_000_000_000);
    match fraction {
        0 => format!("{sign}{whole}"),
        _ => format!("{sign}{whole}.{}", format!("{fraction:09}").trim_end_matches('0')),
    }
}

/// A PAX record, whose length counts its own digits.
fn record(key: &[u8], value: &[u8]) -> Vec<u8> {
    let body = key.len() + value.len() + 3;
    let mut length = body + 1;
    while length != body + length.to_string().len() {
        length = body + length.to_string().len();
    }
    [length.to_string().as_bytes(), b" ", key, b"=", value, b"\n"].concat()
}

fn cannot_write(error: io::Error) -> Error {
    Error::io("cannot write the archive", error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_records() {
        for (time, text) in [
            ((0, 0), "0"),
            ((1, 500_000_000), "1.5"),
            ((-2, 750_000_000), "-1.25"),
            ((-1, 999_999_999), "-0.000000001"),
            ((-3, 0), "-3"),
        ] {
            assert_eq!(decimal_time(time.0, time.1), text);
        }
        for (value, expected) in [(91, "97 "), (93, "99 "), (94, "101 ")] {
            let record = record(b"k", &vec![b'v'; value]);
            assert!(record.starts_with(expected.as_bytes()), "{value}: {:?}", String::from_utf8_lossy(&record[..5]));
            assert_eq!(record.len().to_string(), expected.trim());
        }
    }
}
