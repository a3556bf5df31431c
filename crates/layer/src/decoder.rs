//! Inflating hostile streams: any number of frames, bounded output, no trailing bytes.

use std::fmt;
use std::io::{self, Read};

use dhow_base::{Error, Kind, limits, priority};

use crate::Compression;
use crate::codec::Codec;

/// Input is read in pieces of this size; with smaller ones the per-call costs of the codecs show.
const INPUT_BYTES: usize = 256 << 10;

/// Output that took long enough to ask whether something else is more urgent.
const GIVE_WAY_BYTES: usize = 64 << 10;

/// Bounds on what a stream may become, so that a small bomb cannot fill disk or time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most bytes of output.
    pub output_bytes_max: u64,
    /// Most bytes of output for one byte of input, once the output is longer than `ratio_free_bytes`.
    pub ratio_max: u64,
    /// Output up to which no ratio is asked for.
    pub ratio_free_bytes: u64,
}

impl Limits {
    /// For layers. gzip cannot pass 1032:1 and honest layers with huge sparse files come close to it, so the ratio only
    /// bites for the other formats, and only where the output would hurt.
    pub const LAYER: Self =
        Self { output_bytes_max: limits::BLOB_BYTES_MAX, ratio_max: 1100, ratio_free_bytes: 16 << 30 };

    /// At most `output_bytes_max` bytes, at any ratio.
    pub const fn bytes(output_bytes_max: u64) -> Self {
        Self { output_bytes_max, ratio_max: u64::MAX, ratio_free_bytes: 0 }
    }
}

/// Why a stream cannot be inflated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The input stops in the middle of a frame.
    #[error("the {0} stream ends too early")]
    Truncated(Compression),
    /// The input breaks the format's rules, or its checksum is wrong.
    #[error("the {0} stream is damaged: {1}")]
    Damaged(Compression, String),
    /// Bytes that are no further frame follow the last one.
    #[error("unexpected data follows the {0} stream")]
    TrailingData(Compression),
    /// Inflating it takes more memory than allowed.
    #[error("the {0} stream needs more than {1} bytes of memory to inflate")]
    Memory(Compression, u64),
    /// The output is longer than [`Limits::output_bytes_max`].
    #[error("the {0} stream inflates to more than {1} bytes")]
    TooLong(Compression, u64),
    /// The output passes [`Limits::ratio_max`].
    #[error("the {0} stream inflates to more than {1} times its size")]
    Ratio(Compression, u64),
}

impl DecodeError {
    /// The kind callers act on.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Truncated(_) | Self::Damaged(..) | Self::TrailingData(_) => Kind::Corrupt,
            Self::Memory(..) | Self::TooLong(..) | Self::Ratio(..) => Kind::LimitExceeded,
        }
    }
}

impl From<DecodeError> for Error {
    fn from(error: DecodeError) -> Self {
        Self::new(error.kind(), error.to_string()).with_source(error)
    }
}

impl From<DecodeError> for io::Error {
    fn from(error: DecodeError) -> Self {
        Self::new(io::ErrorKind::InvalidData, error)
    }
}

/// Turns an error read from a [`Decoder`] into one with the right kind; `what` names the object and what was done to it.
///
/// A [`DecodeError`] or an [`Error`] that a reader below passed through keeps its kind, anything else is an I/O error.
pub fn decode_error(what: impl fmt::Display, error: io::Error) -> Error {
    if let Some(inner) = error.get_ref().and_then(|inner| inner.downcast_ref::<DecodeError>()) {
        return Error::from(inner.clone()).context(what);
    }
    match error.downcast::<Error>() {
        Ok(inner) => inner.context(what),
        Err(error) => Error::io(what, error),
    }
}

/// Reads what a stream inflates to.
///
/// Bytes go straight into the caller's buffer: give it one of 256 KiB or more for full speed. All frames are read, and
/// the end of the output is only reported when the last frame was complete and nothing follows it.
#[derive(Debug)]
pub struct Decoder<R> {
    reader: R,
    compression: Compression,
    codec: Option<Codec>,
    limits: Limits,
    input: Vec<u8>,
    start: usize,
    end: usize,
    input_ended: bool,
    state: State,
    bytes_in: u64,
    bytes_out: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Between frames.
    Boundary,
    /// In the middle of one.
    Frame,
    /// Everything was read.
    Finished,
}

impl<R: Read> Decoder<R> {
    /// Reads the first bytes and tells the compression by them.
    ///
    /// # Errors
    /// The reader's; failing to allocate a codec.
    pub fn new(reader: R, limits: Limits) -> io::Result<Self> {
        let mut decoder = Self::with_compression(reader, Compression::None, limits)?;
        decoder.fill_to(Compression::DETECT_BYTES)?;
        decoder.compression = Compression::detect(&decoder.input[..decoder.end]);
        decoder.codec = Codec::new(decoder.compression)?;
        Ok(decoder)
    }

    /// Takes the stream for what the caller knows it is.
    ///
    /// # Errors
    /// Failing to allocate a codec.
    fn with_compression(reader: R, compression: Compression, limits: Limits) -> io::Result<Self> {
        Ok(Self {
            reader,
            compression,
            codec: Codec::new(compression)?,
            limits,
            input: vec![0; INPUT_BYTES],
            start: 0,
            end: 0,
            input_ended: false,
            state: State::Frame,
            bytes_in: 0,
            bytes_out: 0,
        })
    }

    /// Leaves gzip's CRC-32 unproven from here on: for callers who hold the output to a digest.
    pub fn ignoring_checksums(mut self) -> Self {
        if let Some(codec) = &mut self.codec {
            codec.ignore_checksums();
        }
        self
    }

    /// How the stream is compressed.
    pub fn compression(&self) -> Compression {
        self.compression
    }

    /// Bytes of input used so far.
    pub fn bytes_in(&self) -> u64 {
        self.bytes_in
    }

    /// Bytes of output made so far.
    pub fn bytes_out(&self) -> u64 {
        self.bytes_out
    }

    /// Makes at least `want` unused input bytes available, fewer only when the input ends.
    fn fill_to(&mut self, want: usize) -> io::Result<()> {
        while self.end - self.start < want && !self.input_ended {
            if self.start > 0 {
                self.input.copy_within(self.start..self.end, 0);
                (self.start, self.end) = (0, self.end - self.start);
            }
            match self.reader.read(&mut self.input[self.end..]) {
                Ok(0) => self.input_ended = true,
                Ok(read) => self.end += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Uncompressed data: what was read for detection, then the reader itself.
    fn pass_through(&mut self, output: &mut [u8]) -> io::Result<usize> {
        let held = &self.input[self.start..self.end];
        let count = if held.is_empty() {
            self.reader.read(output)?
        } else {
            let count = held.len().min(output.len());
            output[..count].copy_from_slice(&held[..count]);
            self.start += count;
            count
        };
        self.bytes_in += count as u64;
        self.account(count)
    }

    fn account(&mut self, produced: usize) -> io::Result<usize> {
        self.bytes_out += produced as u64;
        let Limits { output_bytes_max, ratio_max, ratio_free_bytes } = self.limits;
        if self.bytes_out > output_bytes_max {
            return Err(DecodeError::TooLong(self.compression, output_bytes_max).into());
        }
        if self.bytes_out > ratio_free_bytes && self.bytes_out > self.bytes_in.saturating_mul(ratio_max) {
            return Err(DecodeError::Ratio(self.compression, ratio_max).into());
        }
        Ok(produced)
    }

    /// After a frame: finds the beginning of the next one, or the end.
    fn cross_boundary(&mut self) -> io::Result<()> {
        if self.compression == Compression::Xz {
            self.skip_xz_padding()?;
        }
        self.fill_to(Compression::DETECT_BYTES)?;
        let next = &self.input[self.start..self.end];
        if next.is_empty() {
            self.state = State::Finished;
        } else if Compression::detect(next) == self.compression {
            if let Some(codec) = &mut self.codec {
                codec.next_frame()?;
            }
            self.state = State::Frame;
        } else {
            return Err(DecodeError::TrailingData(self.compression).into());
        }
        Ok(())
    }

    /// Stream padding of the .xz format (section 2.2): zero bytes, a multiple of four of them.
    fn skip_xz_padding(&mut self) -> io::Result<()> {
        let mut skipped = 0;
        loop {
            self.fill_to(1)?;
            let zeros = self.input[self.start..self.end].iter().take_while(|byte| **byte == 0).count();
            self.start += zeros;
            skipped += zeros;
            if self.start < self.end || self.input_ended {
                break;
            }
        }
        self.bytes_in += skipped as u64;
        if skipped.is_multiple_of(4) { Ok(()) } else { Err(DecodeError::TrailingData(self.compression).into()) }
    }
}

impl<R: Read> Read for Decoder<R> {
    fn read(&mut self, output: &mut [u8]) -> io::Result<usize> {
        if output.is_empty() {
            return Ok(0);
        }
        if self.codec.is_none() {
            return self.pass_through(output);
        }
        loop {
            match self.state {
                State::Finished => return Ok(0),
                State::Boundary => self.cross_boundary()?,
                State::Frame => {}
            }
            if self.state != State::Frame {
                continue;
            }
            self.fill_to(1)?;
            let Some(codec) = &mut self.codec else { return Ok(0) };
            let turn = priority::turn();
            let step = codec.step(&self.input[self.start..self.end], output)?;
            drop(turn);
            self.start += step.consumed;
            self.bytes_in += step.consumed as u64;
            if step.frame_ended {
                self.state = State::Boundary;
            }
            if step.produced > 0 {
                if step.produced > GIVE_WAY_BYTES {
                    priority::give_way();
                }
                return self.account(step.produced);
            }
            if !step.frame_ended && step.consumed == 0 && self.start == self.end && self.input_ended {
                return Err(DecodeError::Truncated(self.compression).into());
            }
        }
    }
}
