//! The decompressors behind one face: a step takes some input, gives some output and says whether a frame ended.

use std::fmt;
use std::io;

use zstd::stream::raw::{DParameter, InBuffer, Operation, OutBuffer};

use crate::Compression;
use crate::decoder::DecodeError;
use crate::member::Member;

/// Largest window a zstd frame may ask for: 2^27 bytes, what `zstd -d` itself accepts.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;

/// Memory an xz stream may need; `xz -9` needs 65 MiB.
const XZ_MEMORY_MAX: u64 = 128 << 20;

/// What one step did.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    /// Input bytes used up.
    pub(crate) consumed: usize,
    /// Output bytes made.
    pub(crate) produced: usize,
    /// Whether a gzip member, zstd frame, bzip2 or xz stream is complete, its checksum proven.
    pub(crate) frame_ended: bool,
}

/// One decompressor in the middle of a frame, or about to begin one.
pub(crate) enum Codec {
    Gzip(Member),
    Zstd(zstd::stream::raw::Decoder<'static>),
    Bzip2(bzip2::Decompress),
    Xz(liblzma::stream::Stream),
}

impl Codec {
    /// A decompressor at the beginning of a frame; none for uncompressed data.
    pub(crate) fn new(compression: Compression) -> io::Result<Option<Self>> {
        Ok(Some(match compression {
            Compression::None => return Ok(None),
            Compression::Gzip => Self::Gzip(Member::new()),
            Compression::Zstd => {
                let mut decoder = zstd::stream::raw::Decoder::new()?;
                decoder.set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_LOG_MAX))?;
                Self::Zstd(decoder)
            }
            Compression::Bzip2 => Self::Bzip2(bzip2::Decompress::new(false)),
            Compression::Xz => {
                Self::Xz(liblzma::stream::Stream::new_stream_decoder(XZ_MEMORY_MAX, 0).map_err(io::Error::from)?)
            }
        }))
    }

    /// Moves as many bytes as it can from `input` to `output`.
    pub(crate) fn step(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, DecodeError> {
        match self {
            Self::Gzip(member) => member.step(input, output),
            Self::Zstd(codec) => {
                let (mut from, mut to) = (InBuffer::around(input), OutBuffer::around(output));
                let remaining = codec.run(&mut from, &mut to).map_err(|error| damaged(Compression::Zstd, error))?;
                Ok(step(from.pos() as u64, to.pos() as u64, remaining == 0))
            }
            Self::Bzip2(codec) => {
                let (before_in, before_out) = (codec.total_in(), codec.total_out());
                let status = codec.decompress(input, output).map_err(|error| damaged(Compression::Bzip2, error))?;
                let ended = status == bzip2::Status::StreamEnd;
                Ok(step(codec.total_in() - before_in, codec.total_out() - before_out, ended))
            }
            Self::Xz(codec) => {
                let (before_in, before_out) = (codec.total_in(), codec.total_out());
                let status =
                    codec.process(input, output, liblzma::stream::Action::Run).map_err(|error| match error {
                        liblzma::stream::Error::MemLimit => DecodeError::Memory(Compression::Xz, XZ_MEMORY_MAX),
                        other => damaged(Compression::Xz, other),
                    })?;
                let ended = status == liblzma::stream::Status::StreamEnd;
                Ok(step(codec.total_in() - before_in, codec.total_out() - before_out, ended))
            }
        }
    }

    /// Leaves checksums alone that cost time of their own.
    pub(crate) fn ignore_checksums(&mut self) {
        if let Self::Gzip(member) = self {
            member.ignore_crc();
        }
    }

    /// Makes ready for the next frame of the same stream.
    pub(crate) fn next_frame(&mut self) -> io::Result<()> {
        let compression = match self {
            // zstd goes on by itself.
            Self::Zstd(_) => return Ok(()),
            Self::Gzip(member) => {
                member.restart();
                return Ok(());
            }
            Self::Bzip2(_) => Compression::Bzip2,
            Self::Xz(_) => Compression::Xz,
        };
        if let Some(fresh) = Self::new(compression)? {
            *self = fresh;
        }
        Ok(())
    }
}

impl fmt::Debug for Codec {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Gzip(_) => "Gzip",
            Self::Zstd(_) => "Zstd",
            Self::Bzip2(_) => "Bzip2",
            Self::Xz(_) => "Xz",
        })
    }
}

/// One step's figures; both counts are at most the length of a buffer.
fn step(consumed: u64, produced: u64, frame_ended: bool) -> Step {
    Step { consumed: consumed as usize, produced: produced as usize, frame_ended }
}

fn damaged(compression: Compression, detail: impl fmt::Display) -> DecodeError {
    DecodeError::Damaged(compression, detail.to_string())
}
