//! Streams and files that lie.

use std::sync::Arc;

use dhow_base::{Kind, Result};
use dhow_layer::erofs::{Image, Union, Visit, Workspace, convert};
use dhow_spec::Digest;
use proptest::prelude::*;

use crate::{Tar, converted};

/// Reads all there is to read. It may fail, and must end.
fn exhaust(file: Vec<u8>) -> Result<()> {
    let union = Union::new(vec![Arc::new(Image::open(file)?)]);
    let mut buffer = [0; 4096];
    let root = union.root()?;
    union.walk(&root, |_, node| {
        union.attributes(node)?;
        union.read(node, &mut buffer, 0)?;
        union.read(node, &mut buffer, node.inode().size.saturating_sub(1))?;
        let _ = union.read_link(node);
        Ok(Visit::Enter)
    })
}

fn sample() -> Vec<u8> {
    static SAMPLE: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
    SAMPLE.get_or_init(make_sample).clone()
}

fn make_sample() -> Vec<u8> {
    let tar = Tar::new()
        .directory("a")
        .xattrs(&[("user.x", b"value")])
        .file("a/b", &[7; 1000])
        .symlink("a/c", "b")
        .hard_link("d", "a/b")
        .directory("a/e")
        .symlink("long", &"l/".repeat(400))
        .finish();
    converted(&tar, &()).expect("a layer").0
}

#[test]
fn a_wrong_diff_id_is_refused() {
    let tar = Tar::new().file("a", b"x").finish();
    let mut file = Vec::new();
    let scratch: &dyn Fn() -> Result<Vec<u8>> = &|| Ok(Vec::new());
    let expected = Digest::sha256(b"something else");
    let error = convert(&tar[..], &expected, Workspace { target: &mut file, scratch, below: &() }).expect_err("wrong");
    assert_eq!(error.kind(), Kind::Corrupt);
    assert!(error.to_string().starts_with("unpacked diff ID mismatch: expected sha256:"), "{error}");
    assert!(Image::open(file).is_err(), "what is not proven has no head");
}

#[test]
fn entries_below_a_file_or_too_many_links_are_refused() {
    for tar in [Tar::new().file("a", b""), Tar::new().symlink("a", "a"), Tar::new().symlink("a", "a/a/a/a")] {
        let error = converted(&tar.file("a/b", b"").finish(), &()).expect_err("no directory");
        assert_eq!(error.kind(), Kind::Corrupt, "{error}");
    }
}

#[test]
fn the_sample_is_sound() {
    exhaust(sample()).expect("sound");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn damaged_files_end_in_an_error_or_not_at_all_wrong(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
        let mut file = sample();
        // Behind the superblock's checksum: the metadata at the end.
        let start = file.len() - 4096;
        for (place, value) in changes {
            let place = start + place.index(file.len() - start);
            file[place] = value;
        }
        let _ = exhaust(file);
    }

    #[test]
    fn cut_files_end_in_an_error(length in 0_usize..4096) {
        let mut file = sample();
        file.truncate(length);
        prop_assert!(exhaust(file).is_err());
    }
}
