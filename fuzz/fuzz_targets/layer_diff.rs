//! Two trees out of any bytes: the difference of them, applied to the first, gives the second.
//!
//! The first byte tells where the second tree's archive begins, in sixteenths of the rest.

#![no_main]

use std::fs;
use std::path::Path;

use dhow_base::Result;
use dhow_base::beneath::Dir;
use dhow_layer::diff::{DiffOptions, diff, write_tree};
use dhow_layer::tar::TarLimits;
use dhow_layer::unpack::{Owners, Unpacker};
use libfuzzer_sys::fuzz_target;

fn unpacked(root: &Path, layers: &[&[u8]]) -> Result<Dir> {
    let mut unpacker = Unpacker::new(Dir::open(root).expect("the root"), Owners::Caller)?;
    for layer in layers {
        unpacker.layer(*layer, "fuzz", TarLimits::LAYER)?;
    }
    Ok(unpacker.finish()?.root)
}

fn packed(root: &Dir) -> Vec<u8> {
    let mut archive = Vec::new();
    write_tree(root, &mut archive, DiffOptions::default()).expect("an archive of what was unpacked");
    archive
}

fuzz_target!(|bytes: &[u8]| {
    let Some((cut, rest)) = bytes.split_first() else { return };
    let (first, second) = rest.split_at(rest.len() * usize::from(cut % 16) / 16);
    let scratch = tempfile::tempdir().expect("a folder");
    let folder = |name: &str| {
        let path = scratch.path().join(name);
        fs::create_dir(&path).expect("a folder");
        path
    };
    let (Ok(lower), Ok(upper)) = (unpacked(&folder("lower"), &[first]), unpacked(&folder("upper"), &[second])) else {
        return;
    };
    let mut change = Vec::new();
    diff(Some(&lower), &upper, &mut change, DiffOptions::default()).expect("a difference");
    let applied = unpacked(&folder("applied"), &[&packed(&lower), &change]).expect("what was written is read");
    assert!(packed(&applied) == packed(&upper), "the difference gives another tree");
});
