//! Layers that become files while they arrive: the same bytes as when all is known, or none at all.

use std::io::{self, Read};

use dhow_base::Kind;
use dhow_layer::erofs::{Workspace, convert, convert_passing};
use dhow_layer::{Compression, Decoder, Limits, encode};
use dhow_spec::Digest;
use dhow_spec::digest::Algorithm;

use crate::Tar;

fn scratch() -> dhow_base::Result<Vec<u8>> {
    Ok(Vec::new())
}

#[test]
fn a_passing_layer_becomes_the_same_file() {
    let tar = Tar::new().directory("etc").file("etc/passwd", b"root").symlink("etc/mtab", "/proc/mounts").finish();
    let diff_id = Digest::sha256(&tar);
    let mut expected: Vec<u8> = Vec::new();
    let workspace = Workspace { target: &mut expected, scratch: &scratch, below: &() };
    convert(&tar[..], &diff_id, workspace).expect("a layer");
    let mut found = Vec::new();
    let passed = convert_passing(&tar[..], Algorithm::Sha256, &mut found, &scratch).expect("a stream");
    passed.made.expect("a file");
    assert_eq!((passed.diff_id, passed.tar_bytes), (diff_id, tar.len() as u64));
    assert!(found == expected);
}

#[test]
fn the_digest_is_known_whatever_becomes_of_the_file() {
    let implied = Tar::new().file("etc/passwd", b"root").finish();
    let linked = Tar::new().hard_link("b", "a").file("c", &[7; 700_000]).finish();
    let no_tar = vec![b'x'; 3 << 20];
    for (bytes, kind) in [(implied, Kind::Unavailable), (linked, Kind::Unavailable), (no_tar, Kind::Corrupt)] {
        let passed = convert_passing(&bytes[..], Algorithm::Sha256, &mut Vec::new(), &scratch).expect("a stream");
        assert_eq!((passed.diff_id, passed.tar_bytes), (Digest::sha256(&bytes), bytes.len() as u64));
        assert_eq!(passed.made.map_err(|error| error.kind()), Err(kind));
    }
}

#[test]
fn a_stream_that_fails_says_why() {
    let tar = Tar::new().directory("etc").file("etc/big", &[5; 2 << 20]).finish();
    let mut packed = Vec::new();
    encode(&tar[..], &mut packed, Compression::Gzip).expect("encoding");
    packed.truncate(packed.len() - 20);
    let stream = Decoder::new(&packed[..], Limits::LAYER).expect("a decoder");
    let error = convert_passing(stream, Algorithm::Sha256, &mut Vec::new(), &scratch).expect_err("it is cut");
    assert_eq!(error.to_string(), "cannot inflate layer: the gzip stream ends too early");
    assert_eq!(error.kind(), Kind::Corrupt);

    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::from(io::ErrorKind::ConnectionReset))
        }
    }
    let stream = tar[..1000].chain(Broken);
    let error = convert_passing(stream, Algorithm::Sha256, &mut Vec::new(), &scratch).expect_err("it breaks");
    assert!(error.to_string().contains("connection reset"), "{error}");
}
