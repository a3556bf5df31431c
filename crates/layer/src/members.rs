//! The members of a tar stream with the exact bytes of their headers, so that they can be passed on as they came.

use std::io::{self, BufReader, Read, Write};

use dhow_base::{Error, Kind, Result};
use tar_core::parse::{Limits as ParserLimits, ParseEvent, ParsedEntry, Parser};
use tar_core::{EntryType, HEADER_SIZE, PaxExtensions};

use crate::decode_error;
use crate::tar::{TarCause, TarError, TarLimits, TarReader};

/// Length of a tar block in bytes.
pub(crate) const BLOCK_BYTES: u64 = HEADER_SIZE as u64;

/// Longest name or link target, in bytes: PATH_MAX.
const PATH_BYTES_MAX: u32 = 4096;

/// Most bytes of headers in front of one member: long names, PAX records, sparse maps.
const HEADER_BYTES_MAX: usize = 2 << 20;

/// Bytes read at once.
const WINDOW_BYTES: usize = 256 << 10;

/// What a member is, as far as it matters for what lies above and below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MemberKind {
    /// A directory.
    Directory,
    /// Another name of a file.
    HardLink,
    /// Everything else that has a name: files, symbolic links, devices, pipes.
    Other,
}

/// One member; its data is what the stream gives next.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) kind: MemberKind,
    /// The name without empty and `.` components; empty for the root directory.
    pub(crate) path: Vec<u8>,
    /// The target of a link as written.
    pub(crate) target: Option<Vec<u8>>,
    /// Its header blocks as they came: long names, PAX records, the header, the map of a sparse file.
    pub(crate) header: Vec<u8>,
    /// The PAX records among them.
    pub(crate) pax: Vec<u8>,
}

/// What stands at one position.
enum Found {
    /// Less than a header; holds how many bytes are needed.
    Less(usize),
    /// Nothing that counts, of so many bytes.
    Nothing(usize),
    /// A member, the length of its header, and that of its data.
    Member(Member, usize, u64),
    /// The end of the archive.
    End,
}

/// Reads members one after the other.
pub(crate) struct Members<R> {
    reader: R,
    parser: Parser,
    window: Vec<u8>,
    start: usize,
    ended: bool,
    /// Bytes of data and padding of the last member that were not taken.
    left: u64,
}

impl<R: Read> Members<R> {
    pub(crate) fn new(reader: R) -> Self {
        let limits = ParserLimits { max_path_len: Some(PATH_BYTES_MAX), ..ParserLimits::default() };
        let mut parser = Parser::new(limits);
        parser.set_allow_empty_path(true);
        // It knows no times before 1970, and no way to pass over those alone.
        parser.set_ignore_pax_errors(true);
        Self { reader, parser, window: Vec::new(), start: 0, ended: false, left: 0 }
    }

    /// The next member; what was not taken of the data of the last one is passed over. PAX headers for the whole archive
    /// have no effect, as in docker and containerd.
    ///
    /// # Errors
    /// [`Kind::Corrupt`] for what is no tar, is cut short, or has a member that lies outside of the layer.
    pub(crate) fn next(&mut self) -> Result<Option<Member>> {
        self.copy_data(&mut io::sink())?;
        let mut want = 2 * HEADER_SIZE;
        loop {
            self.fill_to(want)?;
            let bytes = &self.window[self.start..];
            if bytes.len() < 2 * HEADER_SIZE && bytes.iter().all(|byte| *byte == 0) {
                return self.end();
            }
            let held = bytes.len();
            let found = match self.parser.parse(bytes).map_err(|error| damaged(&error))? {
                ParseEvent::NeedData { min_bytes } => Found::Less(min_bytes),
                ParseEvent::GlobalExtensions { consumed, .. } => Found::Nothing(consumed),
                ParseEvent::End { .. } => Found::End,
                ParseEvent::Entry { consumed, entry } | ParseEvent::SparseEntry { consumed, entry, .. } => {
                    let (member, length) = described(&entry, &bytes[..consumed])?;
                    Found::Member(member, consumed, length)
                }
            };
            match found {
                Found::Less(_) if self.ended => return Err(damaged(&"it ends in the middle of a header")),
                Found::Less(_) if held > HEADER_BYTES_MAX => {
                    let message = format!("a layer has a header of more than {HEADER_BYTES_MAX} bytes");
                    return Err(Error::new(Kind::LimitExceeded, message));
                }
                // The parser may ask for no more than it has, when it cannot know how long a sparse map is.
                Found::Less(min_bytes) => want = min_bytes.max(held.saturating_mul(2)),
                Found::Nothing(consumed) => {
                    self.start += consumed;
                    want = 2 * HEADER_SIZE;
                }
                Found::End => return self.end(),
                Found::Member(member, consumed, length) => {
                    self.start += consumed;
                    self.left = length.checked_next_multiple_of(BLOCK_BYTES).unwrap_or(u64::MAX);
                    return Ok(Some(member));
                }
            }
        }
    }

    /// Writes the data of the last member with its padding.
    ///
    /// # Errors
    /// [`Kind::Corrupt`] when it is cut short; those of writing.
    pub(crate) fn copy_data(&mut self, writer: &mut impl Write) -> Result<()> {
        while self.left > 0 {
            if self.start == self.window.len() {
                self.fill_to(1)?;
            }
            let held = &self.window[self.start..];
            if held.is_empty() {
                return Err(damaged(&"it ends in the middle of a file"));
            }
            let count = held.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
            writer.write_all(&held[..count]).map_err(|error| Error::io("cannot write a layer", error))?;
            self.start += count;
            self.left -= count as u64;
        }
        Ok(())
    }

    /// Reads what follows the last member: whoever proves the stream has to see it all.
    fn end(&mut self) -> Result<Option<Member>> {
        self.start = self.window.len();
        io::copy(&mut self.reader, &mut io::sink()).map_err(|error| decode_error("cannot read a layer", error))?;
        self.ended = true;
        Ok(None)
    }

    /// Has at least this many bytes in the window, fewer only at the end.
    fn fill_to(&mut self, want: usize) -> Result<()> {
        if self.window.len() - self.start >= want || self.ended {
            return Ok(());
        }
        self.window.drain(..self.start);
        self.start = 0;
        while self.window.len() < want && !self.ended {
            let held = self.window.len();
            self.window.resize(held.max(want) + WINDOW_BYTES, 0);
            let read = match self.reader.read(&mut self.window[held..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(None),
                Err(error) => Err(decode_error("cannot read a layer", error)),
                Ok(count) => Ok(Some(count)),
            };
            self.window.truncate(held + read.as_ref().ok().copied().flatten().unwrap_or(0));
            self.ended = read? == Some(0);
        }
        Ok(())
    }
}

impl<R> std::fmt::Debug for Members<R> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Members").field("left", &self.left).finish_non_exhaustive()
    }
}

/// What the parser found, and the length of its data.
fn described(entry: &ParsedEntry<'_>, header: &[u8]) -> Result<(Member, u64)> {
    check_numbers(entry.pax.unwrap_or_default())?;
    let old_directory = entry.header.as_old().linkflag == [0] && entry.path.ends_with(b"/");
    let kind = match entry.entry_type {
        EntryType::Directory => MemberKind::Directory,
        EntryType::Regular if old_directory => MemberKind::Directory,
        EntryType::Link => MemberKind::HardLink,
        _ => MemberKind::Other,
    };
    // As in Go's archive/tar, and so in docker and containerd: these types have no data, whatever their size says.
    let has_data = kind == MemberKind::Other
        && !matches!(entry.entry_type, EntryType::Symlink | EntryType::Char | EntryType::Block | EntryType::Fifo);
    let member = Member {
        kind,
        path: normalized(&entry.path)?,
        target: entry.link_target.as_deref().map(<[u8]>::to_vec),
        header: header.to_vec(),
        pax: entry.pax.map(<[u8]>::to_vec).unwrap_or_default(),
    };
    Ok((member, if has_data { entry.size } else { 0 }))
}

/// Refuses PAX records that tell the length of data in no number, which the parser passes over.
fn check_numbers(pax: &[u8]) -> Result<()> {
    for record in PaxExtensions::new(pax).flatten() {
        let key = record.key_bytes();
        let is_number = key == b"size"
            || (key.starts_with(b"GNU.sparse.") && !matches!(key, b"GNU.sparse.name" | b"GNU.sparse.map"));
        if is_number && record.value().ok().and_then(|value| value.parse::<u64>().ok()).is_none() {
            let (key, value) = (String::from_utf8_lossy(key), String::from_utf8_lossy(record.value_bytes()));
            return Err(damaged(&format_args!("invalid PAX {key} value: {value:?}")));
        }
    }
    Ok(())
}

/// A name without empty, `.` and `..` components and without a leading slash, as when it is unpacked.
///
/// # Errors
/// [`Kind::Corrupt`] for one that leaves the layer.
pub(crate) fn normalized(path: &[u8]) -> Result<Vec<u8>> {
    let mut name: Vec<u8> = Vec::with_capacity(path.len());
    for component in path.split(|byte| *byte == b'/') {
        match component {
            b"" | b"." => {}
            b".." if name.is_empty() => {
                let path = String::from_utf8_lossy(path).into_owned();
                return Err(Error::new(Kind::Corrupt, format!("a layer has the member {path:?}, which lies outside")));
            }
            b".." => name.truncate(name.iter().rposition(|byte| *byte == b'/').unwrap_or(0)),
            _ => {
                if !name.is_empty() {
                    name.push(b'/');
                }
                name.extend_from_slice(component);
            }
        }
    }
    Ok(name)
}

fn damaged(what: &dyn std::fmt::Display) -> Error {
    Error::new(Kind::Corrupt, format!("a layer is no proper tar: {what}"))
}

/// Reads a tar to the end of the stream, as it is read when it is unpacked; returns the number of its members.
///
/// # Errors
/// [`Kind::Corrupt`] for what is no tar, is cut short, or has a member that lies outside of the layer.
pub fn check_tar(reader: impl Read) -> Result<u64> {
    let improper = |error: TarError| match error {
        TarError { cause: TarCause::Read(cause), .. } => decode_error("cannot read a layer", cause),
        error => damaged(&error),
    };
    let stream = BufReader::with_capacity(WINDOW_BYTES, reader);
    let mut reader = TarReader::new(stream, "the tar", TarLimits::LAYER).without_whiteouts();
    let mut count = 0;
    while reader.next_entry().map_err(improper)?.is_some() {
        count += 1;
    }
    reader.finish().map_err(improper)?;
    Ok(count)
}
