//! The table of a tar's members, made from its headers alone. Nothing is ever unpacked: a member is a range of the file.

use std::collections::HashMap;
use std::path::Path;

use dhow_base::{Error, Kind, Result, fs};
use dhow_content::LocalBlob;
use tar_core::parse::{Limits, ParseEvent, ParsedEntry, Parser};
use tar_core::{EntryType, HEADER_SIZE};

use crate::tar_header::BLOCK_BYTES;

/// Most members an archive may have.
const MEMBERS_MAX: usize = 1_000_000;

/// Most bytes that all names and link targets may take together.
const NAME_BYTES_MAX: usize = 64 << 20;

/// Longest name or link target, in bytes: PATH_MAX.
pub(crate) const PATH_BYTES_MAX: u32 = 4096;

/// Bytes read for a header: its block and the first ones behind it, where small members and the next header are.
const WINDOW_BYTES: usize = 8 << 10;

/// Most bytes of headers in front of one member: long names, PAX records, sparse maps.
const WINDOW_BYTES_MAX: usize = 2 << 20;

/// What a member is, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Member {
    /// A file; offset from the beginning of the archive and length, in bytes.
    File { offset: u64, length: u64 },
    /// A symbolic link and its target as written.
    Symlink(String),
    /// A hard link and the name of the member it stands for.
    HardLink(String),
    /// A directory.
    Directory,
    /// Devices, pipes, sparse files and types nobody knows: their content cannot be asked for.
    Other,
}

/// All members of a tar, by name without `./` and trailing slash. Of several with one name the last counts, as it does
/// when the archive is unpacked.
#[derive(Debug)]
pub(crate) struct Members {
    archive: LocalBlob,
    pub(crate) table: HashMap<String, Member>,
    name_bytes: usize,
}

impl Members {
    /// Reads all headers of an uncompressed tar.
    ///
    /// # Errors
    /// [`Kind::Invalid`] when it is no tar, [`Kind::Corrupt`] when it is cut short or has members whose names leave it,
    /// [`Kind::LimitExceeded`] for too many members.
    pub(crate) fn index(archive: LocalBlob) -> Result<Self> {
        let limits = Limits { max_path_len: Some(PATH_BYTES_MAX), ..Limits::default() };
        let mut parser = Parser::new(limits);
        parser.set_allow_empty_path(true);
        let mut window = Window::new(&archive);
        let mut members = Self { archive: archive.clone(), table: HashMap::new(), name_bytes: 0 };
        loop {
            let position = window.position;
            let bytes = window.bytes()?;
            if ends(bytes) {
                break;
            }
            let event = parser.parse(bytes).map_err(|error| members.no_header(position, &error))?;
            match event {
                ParseEvent::NeedData { min_bytes } => {
                    if !window.want(min_bytes)? {
                        return Err(members.no_header(position, &"unexpected EOF"));
                    }
                }
                ParseEvent::GlobalExtensions { consumed, .. } => window.advance(consumed as u64),
                ParseEvent::End { .. } => break,
                ParseEvent::Entry { consumed, entry } => {
                    let length = members.add(position + consumed as u64, &entry)?;
                    window.advance((consumed as u64).saturating_add(length));
                }
                ParseEvent::SparseEntry { consumed, entry, .. } => {
                    members.check_data(position + consumed as u64, entry.size)?;
                    members.insert(&entry.path, Member::Other)?;
                    let length = padded(entry.size);
                    window.advance((consumed as u64).saturating_add(length));
                }
            }
        }
        Ok(members)
    }

    /// Records an entry whose data begins at `offset`; returns the length of its data with padding.
    fn add(&mut self, offset: u64, entry: &ParsedEntry<'_>) -> Result<u64> {
        let old_style = entry.header.as_old().linkflag == [0];
        let member = match entry.entry_type {
            EntryType::Regular if old_style && entry.path.ends_with(b"/") => Member::Directory,
            EntryType::Regular | EntryType::Continuous => Member::File { offset, length: entry.size },
            EntryType::Directory => Member::Directory,
            EntryType::Symlink => Member::Symlink(target(entry)),
            EntryType::Link => Member::HardLink(target(entry)),
            _ => Member::Other,
        };
        // As in Go's archive/tar, and so in docker and containerd: these types have no data, whatever their size says.
        let header_only = matches!(member, Member::Directory | Member::Symlink(_) | Member::HardLink(_))
            || matches!(entry.entry_type, EntryType::Char | EntryType::Block | EntryType::Fifo);
        let length = if header_only { 0 } else { entry.size };
        self.check_data(offset, length)?;
        self.insert(&entry.path, member)?;
        Ok(padded(length))
    }

    fn check_data(&self, offset: u64, length: u64) -> Result<()> {
        match offset.checked_add(length) {
            Some(end) if end <= self.archive.length => Ok(()),
            _ => Err(self.corrupt("unexpected EOF")),
        }
    }

    fn insert(&mut self, path: &[u8], member: Member) -> Result<()> {
        // A name that is not UTF-8 cannot be asked for by any of the JSON documents.
        let Ok(path) = std::str::from_utf8(path) else { return Ok(()) };
        let Some(name) = normalize(path) else {
            return Err(self.corrupt(format_args!("the member {path:?} lies outside the archive")));
        };
        self.name_bytes += name.len()
            + match &member {
                Member::Symlink(target) | Member::HardLink(target) => target.len(),
                _ => 0,
            };
        if self.table.len() >= MEMBERS_MAX || self.name_bytes > NAME_BYTES_MAX {
            let message = format!("archive {:?} has too many members", self.archive.path);
            return Err(Error::new(Kind::LimitExceeded, message));
        }
        self.table.insert(name, member);
        Ok(())
    }

    /// What the archive is called.
    pub(crate) fn path(&self) -> &Path {
        &self.archive.path
    }

    /// The range of the file that a member takes.
    pub(crate) fn range(&self, offset: u64, length: u64) -> LocalBlob {
        LocalBlob { offset: self.archive.offset + offset, length, ..self.archive.clone() }
    }

    /// What does not begin with a header is no archive at all; later, an archive is damaged.
    fn no_header(&self, position: u64, what: &dyn std::fmt::Display) -> Error {
        match position {
            0 => Error::new(Kind::Invalid, "unrecognized image format").with_hint("the input is no tar archive"),
            _ => self.corrupt(what),
        }
    }

    fn corrupt(&self, what: impl std::fmt::Display) -> Error {
        Error::new(Kind::Corrupt, format!("archive {:?} is damaged: {what}", self.archive.path))
    }
}

/// The name without empty and `.` components; nothing when it is absolute or has a `..`.
pub(crate) fn normalize(path: &str) -> Option<String> {
    if path.starts_with('/') {
        return None;
    }
    let mut name = String::with_capacity(path.len());
    for component in path.split('/') {
        match component {
            "" | "." => {}
            ".." => return None,
            _ => {
                if !name.is_empty() {
                    name.push('/');
                }
                name.push_str(component);
            }
        }
    }
    Some(name)
}

/// A target that is not UTF-8 becomes one that no member has.
fn target(entry: &ParsedEntry<'_>) -> String {
    entry.link_target_lossy().map(std::borrow::Cow::into_owned).unwrap_or_default()
}

fn padded(length: u64) -> u64 {
    length.checked_next_multiple_of(BLOCK_BYTES).unwrap_or(u64::MAX)
}

/// Whether an archive ends here without the two zero blocks: at its end, or in zero bytes up to it.
fn ends(rest: &[u8]) -> bool {
    rest.len() < 2 * HEADER_SIZE && rest.iter().all(|byte| *byte == 0)
}

/// The headers at one position of the archive.
struct Window<'a> {
    archive: &'a LocalBlob,
    /// Of the next header, from the beginning of the archive.
    position: u64,
    /// Bytes that `buffer` shall hold from `position` on.
    want: usize,
    buffer: Vec<u8>,
    /// Position of the first byte of `buffer`.
    start: u64,
}

impl<'a> Window<'a> {
    fn new(archive: &'a LocalBlob) -> Self {
        Self { archive, position: 0, want: 2 * HEADER_SIZE, buffer: Vec::new(), start: 0 }
    }

    /// The bytes from the position on: at least as many as wanted, unless the archive ends.
    fn bytes(&mut self) -> Result<&[u8]> {
        let left = self.archive.length.saturating_sub(self.position);
        let want = usize::try_from(left).unwrap_or(usize::MAX).min(self.want);
        let held_end = self.start + self.buffer.len() as u64;
        if self.position < self.start || self.position + want as u64 > held_end {
            let length = usize::try_from(left).unwrap_or(usize::MAX).min(self.want.max(WINDOW_BYTES));
            self.buffer.resize(length, 0);
            self.start = self.position;
            let mut cursor = fs::Cursor::new(&self.archive.file, self.archive.offset + self.position);
            std::io::Read::read_exact(&mut cursor, &mut self.buffer)
                .map_err(|error| Error::io(format_args!("cannot read archive {:?}", self.archive.path), error))?;
        }
        let from = usize::try_from(self.position - self.start).unwrap_or(0).min(self.buffer.len());
        Ok(&self.buffer[from..])
    }

    /// Asks for more bytes at the same position, because the parser found too few; whether there are any.
    fn want(&mut self, min_bytes: usize) -> Result<bool> {
        let held = usize::try_from(self.start + self.buffer.len() as u64 - self.position).unwrap_or(0);
        let left = self.archive.length.saturating_sub(self.position);
        if held as u64 >= left {
            return Ok(false);
        }
        // The parser may ask for no more than it has, when it cannot know how long a sparse map is.
        self.want = min_bytes.max(held.saturating_mul(2));
        if self.want > WINDOW_BYTES_MAX {
            let message = format!("archive {:?} has a header of more than {WINDOW_BYTES_MAX} bytes", self.archive.path);
            return Err(Error::new(Kind::LimitExceeded, message));
        }
        Ok(true)
    }

    fn advance(&mut self, bytes: u64) {
        self.position = self.position.saturating_add(bytes);
        self.want = 2 * HEADER_SIZE;
    }
}
