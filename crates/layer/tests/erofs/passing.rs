//! Layers that become files while they arrive: the same bytes as when all is known, or none at all.

use std::io::{self, Read};

use dhow_base::Kind;
use dhow_layer::erofs::{Form, Keep, Workspace, convert, convert_kept, convert_passing, outline};
use dhow_layer::{Compression, Decoder, Layer, Limits, Proof, encode};
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
    let passed = convert_passing(&tar[..], Algorithm::Sha256, Form::File, &mut found, &scratch).expect("a stream");
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
        let passed =
            convert_passing(&bytes[..], Algorithm::Sha256, Form::File, &mut Vec::new(), &scratch).expect("a stream");
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
    let error =
        convert_passing(stream, Algorithm::Sha256, Form::File, &mut Vec::new(), &scratch).expect_err("it is cut");
    assert_eq!(error.to_string(), "cannot inflate layer: the gzip stream ends too early");
    assert_eq!(error.kind(), Kind::Corrupt);

    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::from(io::ErrorKind::ConnectionReset))
        }
    }
    let stream = tar[..1000].chain(Broken);
    let error =
        convert_passing(stream, Algorithm::Sha256, Form::File, &mut Vec::new(), &scratch).expect_err("it breaks");
    assert!(error.to_string().contains("connection reset"), "{error}");
}

/// What takes something from the layers below is made of the tar that was kept, to the same bytes as when all is known.
#[test]
fn a_kept_tar_becomes_the_same_file() {
    let lower =
        Tar::new().directory("usr").directory("usr/lib").file("usr/lib/a", b"shared").symlink("l", "usr").finish();
    let below = crate::stacked(std::slice::from_ref(&lower));
    let implied = Tar::new().file("usr/lib/b", &[3; 70_000]).finish();
    let linked = Tar::new().directory("usr").hard_link("usr/again", "usr/lib/a").file("c", b"c").finish();
    let nothing_below = Tar::new().file("new/path/d", b"d").finish();
    for tar in [implied, linked, nothing_below] {
        let diff_id = Digest::sha256(&tar);
        let mut expected: Vec<u8> = Vec::new();
        convert(&tar[..], &diff_id, Workspace { target: &mut expected, scratch: &scratch, below: &below })
            .expect("a layer");
        let mut found = Vec::new();
        let passed = convert_passing(&tar[..], Algorithm::Sha256, Form::File, &mut found, &scratch).expect("a stream");
        assert!(passed.needs_below && passed.made.is_err());
        // Whatever an attempt without them left behind is none of the file's.
        found.extend_from_slice(&[0xff; 9000]);
        let workspace = Workspace { target: &mut found, scratch: &scratch, below: &below };
        let made = convert_kept(&diff_id, passed.tar_bytes, workspace).expect("a layer");
        assert_eq!((made.tar_bytes, made.summary.needs_below), (tar.len() as u64, true));
        assert!(found == expected);
    }
    // What is no layer is none afterwards either.
    let mut found = Vec::new();
    let no_tar = vec![b'x'; 3 << 20];
    let passed = convert_passing(&no_tar[..], Algorithm::Sha256, Form::File, &mut found, &scratch).expect("a stream");
    assert!(!passed.needs_below && passed.made.is_err());
}

/// Without content, an outline that is made as a layer passes is the one that is made of it later.
#[test]
fn a_passing_layer_leaves_its_outline() {
    let implied =
        Tar::new().file("etc/passwd", b"root").symlink("etc/mtab", "/proc/mounts").file("etc/.wh.old", b"").finish();
    let long = Tar::new().directory("a").file("a/big", &[5; 2 << 20]).hard_link("b", "a/big").finish();
    for tar in [implied, long] {
        let diff_id = Digest::sha256(&tar);
        let mut expected = Vec::new();
        let layer = Layer::new("layer", &diff_id, Proof::DiffId, &tar[..]);
        outline(layer, &Keep::Nothing, &mut expected, &scratch).expect("a layer").expect("an outline");
        let mut found = Vec::new();
        let passed =
            convert_passing(&tar[..], Algorithm::Sha256, Form::Outline, &mut found, &scratch).expect("a stream");
        passed.made.expect("an outline");
        assert_eq!((passed.diff_id, passed.tar_bytes), (diff_id, tar.len() as u64));
        assert!(found == expected);
    }
}

/// Where there can be none, or none that is worth its memory, the digest is known all the same.
#[test]
fn a_layer_may_pass_without_an_outline() {
    let linked = Tar::new().hard_link("b", "a").file("c", b"c").finish();
    let no_tar = vec![b'x'; 3 << 20];
    let many = (0..=1 << 15).fold(Tar::new(), |tar, number| tar.file(&format!("{number}"), b"")).finish();
    for (bytes, kind) in [(linked, Kind::Unavailable), (no_tar, Kind::Corrupt), (many, Kind::LimitExceeded)] {
        let passed = convert_passing(&bytes[..], Algorithm::Sha256, Form::Outline, &mut Vec::new(), &scratch);
        let passed = passed.expect("a stream");
        assert_eq!((passed.diff_id, passed.tar_bytes), (Digest::sha256(&bytes), bytes.len() as u64));
        assert_eq!(passed.made.map_err(|error| error.kind()), Err(kind));
    }
}
