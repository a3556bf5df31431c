//! One gzip member after the other: [RFC 1952](https://www.rfc-editor.org/rfc/rfc1952) around raw deflate data.
//!
//! The codec could do this itself, but not without working out the CRC-32, a twentieth of all the time that a pull or load
//! takes: whoever holds the content to a SHA-256 needs no second sum.

use flate2::{Crc, Decompress, FlushDecompress, Status};

use crate::Compression;
use crate::codec::Step;
use crate::decoder::DecodeError;

/// The first bytes of a header: magic number, method, flags, time, extra flags, operating system.
const FIXED_BYTES: usize = 10;
/// CRC-32 and length modulo 2^32.
const TRAILER_BYTES: usize = 8;

const FLAG_HEADER_CRC: u8 = 1 << 1;
const FLAG_EXTRA: u8 = 1 << 2;
const FLAG_NAME: u8 = 1 << 3;
const FLAG_COMMENT: u8 = 1 << 4;
const FLAGS_RESERVED: u8 = 0xe0;

/// A member, in the middle of it or about to begin.
#[derive(Debug)]
pub(crate) struct Member {
    inflater: Decompress,
    part: Part,
    /// Of the header so far.
    header_crc: Crc,
    /// Of the content so far; none when nobody asks.
    crc: Option<Crc>,
    /// Bytes of content so far, modulo 2^32.
    length: u32,
}

/// What comes next.
#[derive(Clone, Copy, Debug)]
enum Part {
    Fixed(Collected<FIXED_BYTES>),
    ExtraLength(u8, Collected<2>),
    Extra(u8, u16),
    Text(u8),
    HeaderCrc(Collected<2>),
    Body,
    Trailer(Collected<TRAILER_BYTES>),
    End,
}

/// A field that may arrive in pieces.
#[derive(Clone, Copy, Debug)]
struct Collected<const N: usize> {
    bytes: [u8; N],
    have: usize,
}

impl<const N: usize> Collected<N> {
    const EMPTY: Self = Self { bytes: [0; N], have: 0 };

    /// Takes what it still needs; the number of bytes taken.
    fn take(&mut self, input: &[u8]) -> usize {
        let count = input.len().min(N - self.have);
        self.bytes[self.have..self.have + count].copy_from_slice(&input[..count]);
        self.have += count;
        count
    }

    fn is_full(&self) -> bool {
        self.have == N
    }
}

impl Member {
    pub(crate) fn new() -> Self {
        Self {
            inflater: Decompress::new(false),
            part: Part::Fixed(Collected::EMPTY),
            header_crc: Crc::new(),
            crc: Some(Crc::new()),
            length: 0,
        }
    }

    /// Leaves the CRC-32 of the content alone, in this member and those that follow.
    pub(crate) fn ignore_crc(&mut self) {
        self.crc = None;
    }

    /// Makes ready for the next member.
    pub(crate) fn restart(&mut self) {
        self.inflater.reset(false);
        self.part = Part::Fixed(Collected::EMPTY);
        self.header_crc.reset();
        if let Some(crc) = &mut self.crc {
            crc.reset();
        }
        self.length = 0;
    }

    /// Moves as many bytes as it can from `input` to `output`.
    pub(crate) fn step(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, DecodeError> {
        let (mut consumed, mut produced) = (0, 0);
        while consumed < input.len() && !matches!(self.part, Part::End) {
            let rest = &input[consumed..];
            if matches!(self.part, Part::Body) {
                let (used, made) = self.inflate(rest, &mut output[produced..])?;
                (consumed, produced) = (consumed + used, produced + made);
                if matches!(self.part, Part::Body) {
                    break;
                }
            } else {
                consumed += self.frame(rest)?;
            }
        }
        Ok(Step { consumed, produced, frame_ended: matches!(self.part, Part::End) })
    }

    fn inflate(&mut self, input: &[u8], output: &mut [u8]) -> Result<(usize, usize), DecodeError> {
        let (before_in, before_out) = (self.inflater.total_in(), self.inflater.total_out());
        let status = self
            .inflater
            .decompress(input, output, FlushDecompress::None)
            .map_err(|error| damaged(error.message().unwrap_or("bad data")))?;
        // Both are at most the length of a buffer.
        let used = (self.inflater.total_in() - before_in) as usize;
        let made = (self.inflater.total_out() - before_out) as usize;
        if let Some(crc) = &mut self.crc {
            crc.update(&output[..made]);
        }
        self.length = self.length.wrapping_add(made as u32);
        if status == Status::StreamEnd {
            self.part = Part::Trailer(Collected::EMPTY);
        }
        Ok((used, made))
    }

    /// Reads on in what is around the deflate data; the number of bytes used, at least one.
    fn frame(&mut self, input: &[u8]) -> Result<usize, DecodeError> {
        let (used, next) = match self.part {
            Part::Fixed(mut field) => {
                let used = field.take(input);
                (used, if field.is_full() { after_fixed(&field.bytes)? } else { Part::Fixed(field) })
            }
            Part::ExtraLength(flags, mut field) => {
                let used = field.take(input);
                let length = u16::from_le_bytes(field.bytes);
                (used, if field.is_full() { extra(flags, length) } else { Part::ExtraLength(flags, field) })
            }
            Part::Extra(flags, left) => {
                let used = input.len().min(left.into());
                (used, extra(flags, left - used as u16))
            }
            Part::Text(flags) => match input.iter().position(|byte| *byte == 0) {
                Some(end) => (end + 1, after_text(flags)),
                None => (input.len(), self.part),
            },
            Part::HeaderCrc(mut field) => {
                let used = field.take(input);
                // The lower half of the CRC-32 of all before it.
                if field.is_full() && u16::from_le_bytes(field.bytes) != self.header_crc.sum() as u16 {
                    return Err(damaged("header checksum mismatch"));
                }
                (used, if field.is_full() { Part::Body } else { Part::HeaderCrc(field) })
            }
            Part::Trailer(mut field) => {
                let used = field.take(input);
                (used, if field.is_full() { self.prove(field.bytes)? } else { Part::Trailer(field) })
            }
            Part::Body | Part::End => (0, self.part),
        };
        if !matches!(self.part, Part::HeaderCrc(_) | Part::Trailer(_)) {
            self.header_crc.update(&input[..used]);
        }
        self.part = next;
        Ok(used)
    }

    fn prove(&self, trailer: [u8; TRAILER_BYTES]) -> Result<Part, DecodeError> {
        let [a, b, c, d, length @ ..] = trailer;
        if self.crc.as_ref().is_some_and(|crc| crc.sum() != u32::from_le_bytes([a, b, c, d])) {
            return Err(damaged("incorrect data check"));
        }
        if self.length != u32::from_le_bytes(length) {
            return Err(damaged("incorrect length check"));
        }
        Ok(Part::End)
    }
}

fn after_fixed(fixed: &[u8; FIXED_BYTES]) -> Result<Part, DecodeError> {
    let [0x1f, 0x8b, method, flags, ..] = *fixed else { return Err(damaged("incorrect header check")) };
    if method != 8 {
        return Err(damaged("unknown compression method"));
    }
    if flags & FLAGS_RESERVED != 0 {
        return Err(damaged("unknown header flags set"));
    }
    Ok(if flags & FLAG_EXTRA != 0 { Part::ExtraLength(flags, Collected::EMPTY) } else { text(flags) })
}

fn extra(flags: u8, left: u16) -> Part {
    if left > 0 { Part::Extra(flags, left) } else { text(flags) }
}

/// Name and comment: each ends with a zero byte.
fn text(flags: u8) -> Part {
    match flags {
        flags if flags & (FLAG_NAME | FLAG_COMMENT) != 0 => Part::Text(flags),
        flags if flags & FLAG_HEADER_CRC != 0 => Part::HeaderCrc(Collected::EMPTY),
        _ => Part::Body,
    }
}

fn after_text(flags: u8) -> Part {
    text(if flags & FLAG_NAME != 0 { flags & !FLAG_NAME } else { flags & !FLAG_COMMENT })
}

fn damaged(detail: &str) -> DecodeError {
    DecodeError::Damaged(Compression::Gzip, detail.to_owned())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use proptest::prelude::*;

    use super::*;

    fn inflate(packed: &[u8], step: usize, ignore: bool) -> Result<(Vec<u8>, usize), DecodeError> {
        let mut member = Member::new();
        if ignore {
            member.ignore_crc();
        }
        let (mut output, mut buffer, mut used) = (Vec::new(), [0; 64], 0);
        loop {
            let end = packed.len().min(used + step);
            let done = member.step(&packed[used..end], &mut buffer)?;
            used += done.consumed;
            output.extend_from_slice(&buffer[..done.produced]);
            if done.frame_ended {
                return Ok((output, used));
            }
            if done.consumed == 0 && done.produced == 0 && end == packed.len() {
                return Err(DecodeError::Truncated(Compression::Gzip));
            }
        }
    }

    fn deflated(content: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(content).expect("memory");
        encoder.finish().expect("memory")
    }

    /// A member with every optional field that is given.
    fn member(content: &[u8], extra: Option<&[u8]>, name: Option<&str>, comment: Option<&str>, sum: bool) -> Vec<u8> {
        let flag = |present: bool, flag: u8| if present { flag } else { 0 };
        let flags = flag(extra.is_some(), FLAG_EXTRA)
            | flag(name.is_some(), FLAG_NAME)
            | flag(comment.is_some(), FLAG_COMMENT)
            | flag(sum, FLAG_HEADER_CRC);
        let mut packed = vec![0x1f, 0x8b, 8, flags, 0, 0, 0, 0, 0, 255];
        if let Some(extra) = extra {
            packed.extend((extra.len() as u16).to_le_bytes());
            packed.extend(extra);
        }
        for text in [name, comment].into_iter().flatten() {
            packed.extend(text.bytes());
            packed.push(0);
        }
        if sum {
            let mut crc = Crc::new();
            crc.update(&packed);
            packed.extend((crc.sum() as u16).to_le_bytes());
        }
        packed.extend(deflated(content));
        let mut crc = Crc::new();
        crc.update(content);
        packed.extend(crc.sum().to_le_bytes());
        packed.extend((content.len() as u32).to_le_bytes());
        packed
    }

    #[test]
    fn each_check_bites_and_only_the_crc_can_be_ignored() {
        let good = member(b"some content", None, Some("name"), None, true);
        let broken = |at: usize| {
            let mut packed = good.clone();
            packed[at] ^= 1;
            packed
        };
        let (crc, length) = (good.len() - 8, good.len() - 4);
        assert!(inflate(&broken(crc), 7, false).is_err());
        assert_eq!(inflate(&broken(crc), 7, true), Ok((b"some content".to_vec(), good.len())));
        for at in [0, 1, 2, 11, length] {
            assert!(inflate(&broken(at), 7, true).is_err(), "byte {at}");
        }
        let mut reserved = good;
        reserved[3] |= 0x20;
        assert!(inflate(&reserved, 7, true).is_err());
    }

    proptest! {
        #[test]
        fn every_header_is_passed_over_whatever_the_pieces(
            content in proptest::collection::vec(any::<u8>(), 0..300),
            extra in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..40)),
            name in proptest::option::of("[a-z]{0,20}"),
            comment in proptest::option::of("[a-z]{0,20}"),
            sum: bool,
            ignore: bool,
            step in 1_usize..50,
        ) {
            let packed = member(&content, extra.as_deref(), name.as_deref(), comment.as_deref(), sum);
            let with_tail = [packed.as_slice(), b"tail"].concat();
            prop_assert_eq!(inflate(&with_tail, step, ignore), Ok((content, packed.len())));
            for cut in 0..packed.len() {
                prop_assert!(inflate(&packed[..cut], step, ignore).is_err());
            }
        }

        /// What the codec's own reader of gzip takes is taken, with the same content, and nothing else.
        #[test]
        fn it_agrees_with_the_codec(mut packed in proptest::collection::vec(any::<u8>(), 10..80), at in 0_usize..90, bit in 0_u8..8) {
            let mut own = member(&packed, Some(b"ex"), Some("n"), Some("c"), true);
            let at = at % own.len();
            own[at] ^= 1 << bit;
            std::mem::swap(&mut packed, &mut own);
            let mut output = vec![0; 4096];
            let mut codec = Decompress::new_gzip(15);
            let theirs = match codec.decompress(&packed, &mut output, FlushDecompress::None) {
                Ok(Status::StreamEnd) => Some((output[..codec.total_out() as usize].to_vec(), codec.total_in() as usize)),
                _ => None,
            };
            prop_assert_eq!(inflate(&packed, 13, false).ok(), theirs);
        }
    }
}
