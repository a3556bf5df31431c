//! The decoder against honest, cut, padded, joined and exploding streams of every format.

#![allow(clippy::unwrap_used, reason = "tests report by panicking")]

use std::io::{self, Read, Write};

use dhow_base::Kind;
use dhow_layer::{Compression, Decoder, Limits, decode_error, uncompressed_digest};
use dhow_spec::digest::Digest;
use proptest::prelude::*;

const ALL: [Compression; 4] = [Compression::Gzip, Compression::Zstd, Compression::Bzip2, Compression::Xz];

fn compress(compression: Compression, bytes: &[u8]) -> Vec<u8> {
    match compression {
        Compression::None => bytes.to_vec(),
        Compression::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(3));
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        Compression::Zstd => zstd::encode_all(bytes, 1).unwrap(),
        Compression::Bzip2 => {
            let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        Compression::Xz => {
            let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 0);
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
    }
}

/// Gives at most `step` bytes a call, as a socket does.
struct Trickle<'a> {
    bytes: &'a [u8],
    step: usize,
}

impl Read for Trickle<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.step.min(buffer.len()).min(self.bytes.len());
        buffer[..count].copy_from_slice(&self.bytes[..count]);
        self.bytes = &self.bytes[count..];
        Ok(count)
    }
}

fn decode(bytes: &[u8], limits: Limits) -> dhow_base::Result<Vec<u8>> {
    let mut decoder = Decoder::new(bytes, limits).map_err(|error| decode_error("test", error))?;
    let mut output = Vec::new();
    decoder.read_to_end(&mut output).map_err(|error| decode_error("test", error))?;
    Ok(output)
}

fn text(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index / 5 % 97) as u8 ^ (index % 11) as u8).collect()
}

/// CVE-2021-20291: an xz stream that broke off had its readers wait for ever.
#[test]
fn truncation_is_an_error_at_every_byte() {
    for compression in ALL {
        let packed = compress(compression, &text(2000));
        for cut in Compression::DETECT_BYTES..packed.len() {
            let error = decode(&packed[..cut], Limits::LAYER).expect_err("cut short");
            assert_eq!(error.kind(), Kind::Corrupt, "{compression} cut at {cut}: {error}");
        }
    }
}

#[test]
fn trailing_data_is_an_error() {
    for compression in ALL {
        for tail in [&b"x"[..], b"garbage that is longer than any magic", &[0; 7], &[0; 600]] {
            if compression == Compression::Xz && tail.len() == 600 {
                continue; // Stream padding, allowed by the format.
            }
            let packed = [compress(compression, &text(2000)), tail.to_vec()].concat();
            let error = decode(&packed, Limits::LAYER).expect_err("trailing data");
            assert_eq!(error.kind(), Kind::Corrupt, "{compression}: {error}");
        }
    }
}

#[test]
fn xz_padding_between_streams_is_skipped() {
    let one = compress(Compression::Xz, b"one");
    let packed = [one.as_slice(), &[0; 8], &one, &[0; 4]].concat();
    assert_eq!(decode(&packed, Limits::LAYER).unwrap(), b"oneone");
}

#[test]
fn zstd_skippable_frames_are_skipped() {
    let skippable = [&[0x5a, 0x2a, 0x4d, 0x18, 3, 0, 0, 0][..], b"toc"].concat();
    let packed = [skippable.clone(), compress(Compression::Zstd, b"data"), skippable].concat();
    assert_eq!(decode(&packed, Limits::LAYER).unwrap(), b"data");
}

#[test]
fn zstd_window_beyond_the_limit_is_refused() {
    // Frame header: no content size, window descriptor 0xa8 = 2^31 bytes; then an empty last raw block.
    let packed = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa8, 0x01, 0x00, 0x00];
    assert!(decode(&packed, Limits::LAYER).is_err());
}

/// CVE-2017-14992, CVE-2024-29902 and CVE-2024-29903.
#[test]
fn bombs_are_stopped() {
    let zeros = vec![0; 4 << 20];
    for compression in ALL {
        let packed = compress(compression, &zeros);
        let error = decode(&packed, Limits::bytes(1 << 20)).expect_err("too long");
        assert_eq!(error.kind(), Kind::LimitExceeded, "{compression}: {error}");
        let limits = Limits { output_bytes_max: u64::MAX, ratio_max: 10, ratio_free_bytes: 1 << 20 };
        let error = decode(&packed, limits).expect_err("ratio");
        assert_eq!(error.kind(), Kind::LimitExceeded, "{compression}: {error}");
        assert_eq!(decode(&packed, Limits::bytes(4 << 20)).unwrap().len(), zeros.len());
    }
    assert_eq!(decode(&text(100), Limits::bytes(99)).map_err(|error| error.kind()), Err(Kind::LimitExceeded));
}

#[test]
fn errors_of_the_reader_keep_their_kind() {
    #[derive(Debug)]
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other(dhow_base::Error::new(Kind::Unavailable, "gone")))
        }
    }
    let error = Decoder::new(Broken, Limits::LAYER).map_err(|error| decode_error("cannot inflate x", error));
    let error = error.expect_err("the reader fails");
    assert_eq!((error.kind(), error.to_string()), (Kind::Unavailable, "cannot inflate x: gone".to_owned()));
}

#[test]
fn digest_of_what_is_inside() {
    let plain = text(3 << 20);
    for compression in ALL.into_iter().chain([Compression::None]) {
        let found = uncompressed_digest(compress(compression, &plain).as_slice(), Limits::LAYER).unwrap();
        assert_eq!((found.compression, found.size), (compression, plain.len() as u64));
        assert_eq!(found.diff_id, Digest::sha256(&plain));
        let packed = compress(compression, &plain);
        let cut = uncompressed_digest(&packed[..packed.len() - 1], Limits::LAYER);
        assert_eq!(cut.is_err(), compression != Compression::None);
    }
    assert_eq!(uncompressed_digest(&[][..], Limits::LAYER).unwrap().size, 0);
}

proptest! {
    #[test]
    fn frames_join_however_the_bytes_arrive(
        parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..3000), 1..4),
        step in 1_usize..5000,
        buffer in 1_usize..5000,
    ) {
        for compression in ALL {
            let packed: Vec<u8> = parts.iter().flat_map(|part| compress(compression, part)).collect();
            let mut decoder = Decoder::new(Trickle { bytes: &packed, step }, Limits::LAYER).unwrap();
            prop_assert_eq!(decoder.compression(), compression);
            let mut output = Vec::new();
            let mut chunk = vec![0; buffer];
            loop {
                let read = decoder.read(&mut chunk).unwrap();
                if read == 0 {
                    break;
                }
                output.extend_from_slice(&chunk[..read]);
            }
            prop_assert_eq!(&output, &parts.concat());
            prop_assert_eq!(decoder.bytes_in(), packed.len() as u64);
            prop_assert_eq!(decoder.read(&mut chunk).unwrap(), 0);
        }
    }

    #[test]
    fn damage_never_goes_unnoticed(place in 0_usize..2000, flip in 1_u8..=255) {
        let plain = text(5000);
        for compression in [Compression::Gzip, Compression::Bzip2, Compression::Xz] {
            let mut packed = compress(compression, &plain);
            let place = Compression::DETECT_BYTES + place % (packed.len() - Compression::DETECT_BYTES);
            packed[place] ^= flip;
            if let Ok(output) = decode(&packed, Limits::bytes(1 << 20)) {
                prop_assert_eq!(output, plain.clone());
            }
        }
    }

    #[test]
    fn arbitrary_bytes_do_not_panic(magic in 0_usize..4, tail in prop::collection::vec(any::<u8>(), 0..2000)) {
        let head = compress(ALL[magic], b"");
        let keep = head.len().min(10);
        let _ = decode(&[&head[..keep], &tail].concat(), Limits::bytes(1 << 20));
    }
}
