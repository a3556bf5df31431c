//! The stream with its position.

use std::io::{self, BufRead};

/// Moves a reader on without reading: by how many bytes it could, of those asked for.
pub(super) type PassOver<R> = fn(&mut R, u64) -> io::Result<u64>;

pub(super) struct Input<R> {
    reader: R,
    pass_over: Option<PassOver<R>>,
    /// Bytes of the reader's buffer that were handed out: it has to keep them until the next call.
    handed_out: usize,
    /// Position in the stream.
    offset: u64,
    ended: bool,
}

impl<R: BufRead> Input<R> {
    pub(super) fn new(reader: R) -> Self {
        Self { reader, pass_over: None, handed_out: 0, offset: 0, ended: false }
    }

    /// Has what is skipped passed over instead of read.
    pub(super) fn passing_over(mut self, pass_over: PassOver<R>) -> Self {
        self.pass_over = Some(pass_over);
        self
    }

    /// Bytes handed out so far.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    pub(super) fn into_reader(mut self) -> R {
        self.give_back();
        self.reader
    }

    /// The reader may use the room of what was handed out again.
    fn give_back(&mut self) {
        self.reader.consume(self.handed_out);
        self.handed_out = 0;
    }

    /// The next bytes, at most `max`; empty only at the end of the stream or for a `max` of 0.
    pub(super) fn chunk(&mut self, max: u64) -> io::Result<&[u8]> {
        self.give_back();
        if max == 0 || self.ended {
            return Ok(&[]);
        }
        while let Err(error) = self.reader.fill_buf() {
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error);
            }
        }
        // It reads nothing now that there is something: asked twice, because the loop cannot hand out what it borrows.
        let buffer = self.reader.fill_buf()?;
        self.ended = buffer.is_empty();
        self.handed_out = usize::try_from(max).unwrap_or(usize::MAX).min(buffer.len());
        self.offset += self.handed_out as u64;
        Ok(&buffer[..self.handed_out])
    }

    /// Up to `N` bytes; fewer only at the end of the stream.
    pub(super) fn take<const N: usize>(&mut self) -> io::Result<([u8; N], usize)> {
        let (mut bytes, mut filled) = ([0; N], 0);
        while filled < N {
            let chunk = self.chunk((N - filled) as u64)?;
            if chunk.is_empty() {
                break;
            }
            bytes[filled..filled + chunk.len()].copy_from_slice(chunk);
            filled += chunk.len();
        }
        Ok((bytes, filled))
    }

    /// Passes over `count` bytes; returns how many of them the stream lacked.
    pub(super) fn skip(&mut self, mut count: u64) -> io::Result<u64> {
        if let Some(pass_over) = self.pass_over {
            self.give_back();
            let passed = pass_over(&mut self.reader, count)?;
            self.offset += passed;
            count -= passed;
        }
        while count > 0 {
            let skipped = self.chunk(count)?.len() as u64;
            if skipped == 0 {
                break;
            }
            count -= skipped;
        }
        Ok(count)
    }
}
