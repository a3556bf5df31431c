//! The stream with its position, read in large pieces.

use std::io::{self, Read};

/// Bytes asked from the reader at once.
const BUFFER_BYTES: usize = 256 << 10;

/// Moves a reader on without reading: by how many bytes it could, of those asked for.
pub(super) type PassOver<R> = fn(&mut R, u64) -> io::Result<u64>;

pub(super) struct Input<R> {
    reader: R,
    pass_over: Option<PassOver<R>>,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    /// Position of `start` in the stream.
    offset: u64,
    ended: bool,
}

impl<R: Read> Input<R> {
    pub(super) fn new(reader: R) -> Self {
        let buffer = vec![0; BUFFER_BYTES].into_boxed_slice();
        Self { reader, pass_over: None, buffer, start: 0, end: 0, offset: 0, ended: false }
    }

    /// Has what is skipped beyond the buffer passed over instead of read.
    pub(super) fn passing_over(mut self, pass_over: PassOver<R>) -> Self {
        self.pass_over = Some(pass_over);
        self
    }

    /// Bytes handed out so far.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    pub(super) fn into_reader(self) -> R {
        self.reader
    }

    /// Reads until `want` bytes are there or the stream ends.
    fn fill_to(&mut self, want: usize) -> io::Result<()> {
        if self.end - self.start >= want {
            return Ok(());
        }
        self.buffer.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        while self.end < want && !self.ended {
            match self.reader.read(&mut self.buffer[self.end..]) {
                Ok(0) => self.ended = true,
                Ok(count) => self.end += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Up to `N` bytes; fewer only at the end of the stream.
    pub(super) fn take<const N: usize>(&mut self) -> io::Result<([u8; N], usize)> {
        self.fill_to(N)?;
        let count = N.min(self.end - self.start);
        let mut bytes = [0; N];
        bytes[..count].copy_from_slice(&self.buffer[self.start..self.start + count]);
        self.consume(count);
        Ok((bytes, count))
    }

    /// The next bytes, at most `max`; empty only at the end of the stream or for a `max` of 0.
    pub(super) fn chunk(&mut self, max: u64) -> io::Result<&[u8]> {
        let count = self.peek(max)?;
        Ok(self.taken(count))
    }

    /// How many bytes a chunk of at most `max` has.
    pub(super) fn peek(&mut self, max: u64) -> io::Result<usize> {
        if max > 0 {
            self.fill_to(1)?;
        }
        Ok(usize::try_from(max).unwrap_or(usize::MAX).min(self.end - self.start))
    }

    /// Hands out `count` bytes that [`Input::peek`] found.
    pub(super) fn taken(&mut self, count: usize) -> &[u8] {
        let start = self.start;
        self.consume(count);
        &self.buffer[start..start + count]
    }

    /// Passes over `count` bytes; returns how many of them the stream lacked.
    pub(super) fn skip(&mut self, mut count: u64) -> io::Result<u64> {
        if let Some(pass_over) = self.pass_over {
            count -= self.chunk_here(count);
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

    /// Hands out what the buffer has of the next `max` bytes: how many they are.
    fn chunk_here(&mut self, max: u64) -> u64 {
        let count = usize::try_from(max).unwrap_or(usize::MAX).min(self.end - self.start);
        self.consume(count);
        count as u64
    }

    fn consume(&mut self, count: usize) {
        self.start += count;
        self.offset += count as u64;
    }
}
