//! The state machine over a stream.

use std::fmt;
use std::io::{self, BufRead};
use std::time::{Duration, Instant};

use dhow_base::limits;

use super::entry::{Entry, EntryKind, Time};
use super::error::{TarCause, TarError};
use super::header::{BLOCK_BYTES, Header};
use super::input::Input;
use super::path::{PATH_BYTES_MAX, RelativePath};
use super::pax::{self, Pax};
use super::sparse;
use super::whiteout;

/// Longest PAX header, as in Go's `archive/tar`.
const EXTENSION_BYTES_MAX: u64 = 1 << 20;

/// Bounds on what a tar stream may cost. The length and ratio of a compressed stream are bounded where it is inflated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TarLimits {
    /// Most entries.
    pub entries_max: u64,
    /// Most bytes of files together, counted as stored in the stream.
    pub stored_bytes_max: u64,
    /// Most time between the first and the last byte; nothing for no bound.
    pub time_max: Option<Duration>,
}

impl TarLimits {
    /// For layers: 16 million entries, 1 TiB, a day.
    pub const LAYER: Self = Self {
        entries_max: 16 << 20,
        stored_bytes_max: limits::BLOB_BYTES_MAX,
        time_max: Some(Duration::from_secs(24 * 60 * 60)),
    };
}

/// Reads entries one after the other; the data of each is read, or passed over, before the next.
///
/// Memory stays constant whatever the stream holds: the reader's buffer, and the headers of one entry (at most some MiB). Data is handed
/// out where it stands in that buffer: give it one of 256 KiB or more for full speed.
pub struct TarReader<R> {
    input: Input<R>,
    limits: TarLimits,
    stream: String,
    whiteouts: bool,
    began: Instant,
    entries: u64,
    stored_bytes: u64,
    /// Bytes of the current entry's data not handed out yet, and of the padding behind it.
    data_left: u64,
    padding: u64,
    current: Current,
    ended: bool,
}

impl<R: BufRead> TarReader<R> {
    /// Reads the uncompressed tar in `reader`; errors call it `stream`, for example `layer sha256:…`.
    pub fn new(reader: R, stream: impl Into<String>, limits: TarLimits) -> Self {
        Self {
            input: Input::new(reader),
            limits,
            stream: stream.into(),
            whiteouts: true,
            began: Instant::now(),
            entries: 0,
            stored_bytes: 0,
            data_left: 0,
            padding: 0,
            current: Current::default(),
            ended: false,
        }
    }

    /// Has the data of entries that nobody reads passed over by `pass_over`, which moves the reader on by as many bytes as it can of
    /// those asked for, and says how many: for tars that need not be read from end to end.
    #[must_use]
    pub(crate) fn passing_over(mut self, pass_over: fn(&mut R, u64) -> io::Result<u64>) -> Self {
        self.input = self.input.passing_over(pass_over);
        self
    }

    /// Takes names as they are: for archives that are no layers, in which nothing stands for a removal.
    #[must_use]
    pub fn without_whiteouts(mut self) -> Self {
        self.whiteouts = false;
        self
    }

    /// The next entry; nothing at the end of the archive.
    ///
    /// # Errors
    /// [`TarError`], after which the reader is of no more use.
    pub fn next_entry(&mut self) -> Result<Option<Entry>, TarError> {
        self.read_entry().map_err(|cause| self.failed(cause))
    }

    /// The next bytes of the current entry's data as they are stored; empty when there are no more.
    ///
    /// # Errors
    /// [`TarError`] when the stream fails or ends too early.
    pub fn data(&mut self) -> Result<&[u8], TarError> {
        self.data_up_to(u64::MAX)
    }

    /// As [`TarReader::data`], at most `max` bytes: what belongs to one extent of a sparse file.
    ///
    /// # Errors
    /// As [`TarReader::data`].
    pub(crate) fn data_up_to(&mut self, max: u64) -> Result<&[u8], TarError> {
        self.check_time().map_err(|cause| self.failed(cause))?;
        if self.data_left == 0 {
            return Ok(&[]);
        }
        let (stream, current) = (&self.stream, &self.current);
        let chunk = self.input.chunk(self.data_left.min(max));
        let chunk = chunk.map_err(|error| failure(stream, current, TarCause::Read(error)))?;
        if chunk.is_empty() && max > 0 {
            return Err(failure(stream, current, TarCause::Truncated));
        }
        self.data_left -= chunk.len() as u64;
        Ok(chunk)
    }

    /// Bytes of the current entry's data that [`TarReader::data`] did not hand out yet.
    pub(crate) fn data_left(&self) -> u64 {
        self.data_left
    }

    /// Bytes of the uncompressed stream used so far.
    pub fn offset(&self) -> u64 {
        self.input.offset()
    }

    /// Reads what follows the end of the archive up to the end of the stream, and returns the reader below.
    ///
    /// # Errors
    /// The reader's.
    pub fn finish(mut self) -> Result<R, TarError> {
        loop {
            match self.input.chunk(u64::MAX) {
                Ok([]) => return Ok(self.input.into_reader()),
                Ok(_) => {}
                Err(error) => return Err(self.failed(TarCause::Read(error))),
            }
            self.check_time().map_err(|cause| self.failed(cause))?;
        }
    }

    fn failed(&self, cause: TarCause) -> TarError {
        failure(&self.stream, &self.current, cause)
    }

    fn check_time(&self) -> Result<(), TarCause> {
        match self.limits.time_max {
            Some(time_max) if self.began.elapsed() > time_max => {
                Err(TarCause::Limit("the time in seconds", time_max.as_secs()))
            }
            _ => Ok(()),
        }
    }

    fn read_entry(&mut self) -> Result<Option<Entry>, TarCause> {
        if self.ended {
            return Ok(None);
        }
        self.check_time()?;
        if self.input.skip(self.data_left).map_err(TarCause::Read)? > 0 {
            return Err(TarCause::Truncated);
        }
        // An archive may end right behind the data of its last entry; some writers leave the padding out.
        self.input.skip(self.padding).map_err(TarCause::Read)?;
        (self.data_left, self.padding) = (0, 0);
        let header_offset = self.input.offset();
        self.current = Current { number: self.entries + 1, name: Vec::new(), offset: header_offset };
        let mut extensions = Extensions::default();
        loop {
            let Some(block) = self.header_block()? else {
                return if extensions.is_empty() { Ok(None) } else { Err(TarCause::Orphaned) };
            };
            let header = Header::new(&block)?;
            match header.type_flag() {
                b'x' | b'L' | b'K' | b'g' => self.read_extension(&header, &mut extensions)?,
                _ => return self.finish_entry(&header, extensions, header_offset).map(Some),
            }
        }
    }

    /// The next block that is no end mark.
    fn header_block(&mut self) -> Result<Option<[u8; BLOCK_BYTES]>, TarCause> {
        let (block, count) = self.input.take::<BLOCK_BYTES>().map_err(TarCause::Read)?;
        let is_zero = block.iter().all(|byte| *byte == 0);
        if count < BLOCK_BYTES {
            self.ended = true;
            return if is_zero { Ok(None) } else { Err(TarCause::Truncated) };
        }
        if !is_zero {
            return Ok(Some(block));
        }
        self.ended = true;
        let (second, _) = self.input.take::<BLOCK_BYTES>().map_err(TarCause::Read)?;
        if second.iter().any(|byte| *byte != 0) {
            return Err(TarCause::LoneZeroBlock);
        }
        Ok(None)
    }

    fn read_extension(&mut self, header: &Header<'_>, extensions: &mut Extensions) -> Result<(), TarCause> {
        let size = header.size()?;
        if size > EXTENSION_BYTES_MAX {
            return Err(TarCause::Limit("the length of an extension header", EXTENSION_BYTES_MAX));
        }
        let mut data = Vec::with_capacity(size as usize);
        while (data.len() as u64) < size {
            let chunk = self.input.chunk(size - data.len() as u64).map_err(TarCause::Read)?;
            if chunk.is_empty() {
                return Err(TarCause::Truncated);
            }
            data.extend_from_slice(chunk);
        }
        if self.input.skip(padding(size)).map_err(TarCause::Read)? > 0 {
            return Err(TarCause::Truncated);
        }
        let twice = match header.type_flag() {
            b'x' => extensions.pax.replace(Pax::parse(&data)?).is_some(),
            b'L' => extensions.long_name.replace(until_zero(data)).is_some(),
            b'K' => extensions.long_link.replace(until_zero(data)).is_some(),
            _ => {
                // Global headers belong to no entry: the archive may end behind one.
                pax::check_global(&data)?;
                self.count_entry()?;
                false
            }
        };
        if twice { Err(TarCause::Ambiguous("an extension header".to_owned())) } else { Ok(()) }
    }

    fn count_entry(&mut self) -> Result<(), TarCause> {
        self.entries += 1;
        if self.entries > self.limits.entries_max {
            return Err(TarCause::Limit("the number of entries", self.limits.entries_max));
        }
        Ok(())
    }

    fn finish_entry(
        &mut self,
        header: &Header<'_>,
        extensions: Extensions,
        header_offset: u64,
    ) -> Result<Entry, TarCause> {
        self.count_entry()?;
        let mut pax = extensions.pax.unwrap_or_default();
        let name = pax.sparse.name.take().or(pax.path.take());
        let name = settled("the name", name, extensions.long_name)?.unwrap_or_else(|| header.name());
        self.current = Current { number: self.entries, name, offset: header_offset };
        let link = settled("the link target", pax.link_path.take(), extensions.long_link)?;
        let link = link.unwrap_or_else(|| header.link_name().to_vec());
        let path = RelativePath::parse(&self.current.name)?;
        let (kind, stored_bytes) = self.kind_of(header, &mut pax, link)?;
        let (path, kind) = if self.whiteouts { whiteout::classify(path, kind)? } else { (path, kind) };
        self.stored_bytes = self.stored_bytes.saturating_add(stored_bytes);
        if self.stored_bytes > self.limits.stored_bytes_max {
            return Err(TarCause::Limit("the length of all files", self.limits.stored_bytes_max));
        }
        (self.data_left, self.padding) = (stored_bytes, padding(stored_bytes));
        Ok(Entry {
            path,
            kind,
            mode: header.mode()?,
            uid: owner("uid", pax.uid, || header.uid())?,
            gid: owner("gid", pax.gid, || header.gid())?,
            mtime: match pax.mtime {
                Some(time) => time,
                None => Time { seconds: header.mtime()?, nanoseconds: 0 },
            },
            xattrs: pax.xattrs,
            number: self.entries,
            header_offset,
            data_offset: self.input.offset(),
            stored_bytes,
        })
    }

    /// What the current entry is, and how much of the stream its data takes.
    fn kind_of(&mut self, header: &Header<'_>, pax: &mut Pax, link: Vec<u8>) -> Result<(EntryKind, u64), TarCause> {
        let stated_size = match pax.size {
            Some(size) => size,
            None => header.size()?,
        };
        let opaque = whiteout::take_overlay_xattrs(&mut pax.xattrs);
        let kind = match header.type_flag() {
            // Before POSIX, a slash at the end was what made a directory.
            0 if self.current.name.ends_with(b"/") => EntryKind::Directory { opaque },
            0 | b'0' | b'7' | b'S' => return self.file(header, pax, stated_size),
            b'1' => EntryKind::HardLink { target: hard_link_target(&link)? },
            b'2' => EntryKind::Symlink { target: symlink_target(link)? },
            b'3' => device(header, |major, minor| EntryKind::CharDevice { major, minor })?,
            b'4' => device(header, |major, minor| EntryKind::BlockDevice { major, minor })?,
            b'5' => EntryKind::Directory { opaque },
            b'6' => EntryKind::Fifo,
            other => return Err(TarCause::Type(other)),
        };
        Ok((kind, 0))
    }

    /// A regular file and how much of the stream its data takes, once a map in front of it was read.
    fn file(&mut self, header: &Header<'_>, pax: &mut Pax, stated: u64) -> Result<(EntryKind, u64), TarCause> {
        let (map, real_size, stored) = if header.type_flag() == b'S' {
            if !header.is_gnu() {
                return Err(TarCause::Sparse("the header is not GNU tar's"));
            }
            let (first, extended, real_size) = header.gnu_sparse();
            let real_size = super::numeric::parse(real_size).and_then(|size| u64::try_from(size).ok());
            let map = sparse::old_gnu(&mut self.input, first, extended)?;
            (map, real_size.ok_or(TarCause::Number("realsize"))?, stated)
        } else if pax.sparse.is_1_0()? {
            let (map, map_bytes) = sparse::pax_1_0(&mut self.input, stated)?;
            (map, pax.sparse.real_size.ok_or(TarCause::Sparse("the real size is missing"))?, stated - map_bytes)
        } else if let Some(map) = pax.sparse.map.take() {
            (map, pax.sparse.real_size.ok_or(TarCause::Sparse("the real size is missing"))?, stated)
        } else {
            return Ok((EntryKind::File { size: stated, sparse: None }, stated));
        };
        let sparse = Some(map.finish(real_size, stored)?);
        Ok((EntryKind::File { size: real_size, sparse }, stored))
    }
}

impl<R> fmt::Debug for TarReader<R> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("TarReader").field("stream", &self.stream).finish_non_exhaustive()
    }
}

/// The entry that errors are about.
#[derive(Default)]
struct Current {
    number: u64,
    name: Vec<u8>,
    /// Where its first header begins in the stream.
    offset: u64,
}

fn failure(stream: &str, current: &Current, cause: TarCause) -> TarError {
    let entry = (current.number > 0).then(|| (current.number, current.name.clone()));
    TarError { stream: stream.to_owned(), entry, offset: current.offset, cause }
}

/// The extension headers in front of an entry, at most one of each kind.
#[derive(Default)]
struct Extensions {
    pax: Option<Pax>,
    long_name: Option<Vec<u8>>,
    long_link: Option<Vec<u8>>,
}

impl Extensions {
    fn is_empty(&self) -> bool {
        self.pax.is_none() && self.long_name.is_none() && self.long_link.is_none()
    }
}

/// What a PAX header and a header of GNU's say of the same thing; nothing where neither does.
fn settled(what: &str, pax: Option<Vec<u8>>, gnu: Option<Vec<u8>>) -> Result<Option<Vec<u8>>, TarCause> {
    match (pax, gnu) {
        (Some(one), Some(other)) if one != other => Err(TarCause::Ambiguous(what.to_owned())),
        (one, other) => Ok(one.or(other)),
    }
}

/// Bytes from the end of data of this length to the next block.
fn padding(length: u64) -> u64 {
    length.wrapping_neg() % BLOCK_BYTES as u64
}

fn until_zero(mut text: Vec<u8>) -> Vec<u8> {
    if let Some(end) = text.iter().position(|byte| *byte == 0) {
        text.truncate(end);
    }
    text
}

fn owner(
    name: &'static str,
    stated: Option<i64>,
    header: impl FnOnce() -> Result<i64, TarCause>,
) -> Result<u32, TarCause> {
    let id = match stated {
        Some(id) => id,
        None => header()?,
    };
    match u32::try_from(id) {
        Ok(id) if id != u32::MAX => Ok(id),
        _ => Err(TarCause::Owner(name, id)),
    }
}

fn device(header: &Header<'_>, kind: impl FnOnce(u32, u32) -> EntryKind) -> Result<EntryKind, TarCause> {
    let (major, minor) = header.device()?;
    // What Linux's dev_t holds: 12 and 20 bits (include/linux/kdev_t.h).
    if major >= 1 << 12 {
        return Err(TarCause::Number("devmajor"));
    }
    if minor >= 1 << 20 {
        return Err(TarCause::Number("devminor"));
    }
    Ok(kind(major, minor))
}

fn hard_link_target(target: &[u8]) -> Result<RelativePath, TarCause> {
    let target = RelativePath::parse(target).map_err(|error| match error {
        super::path::PathError::Escapes => TarCause::LinkTarget("it leads out of the root"),
        _ => TarCause::LinkTarget("it is no path"),
    })?;
    if target.is_root() { Err(TarCause::LinkTarget("it is a directory")) } else { Ok(target) }
}

fn symlink_target(target: Vec<u8>) -> Result<Vec<u8>, TarCause> {
    if target.is_empty() {
        return Err(TarCause::LinkTarget("it is empty"));
    }
    if target.len() > PATH_BYTES_MAX || target.contains(&0) {
        return Err(TarCause::LinkTarget("it is too long or has a zero byte"));
    }
    Ok(target)
}
