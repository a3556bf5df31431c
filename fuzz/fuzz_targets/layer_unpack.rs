//! Any bytes as layers that are unpacked above each other: nothing beside the root is made or changed, and what becomes of layers
//! that are sound is what their files of one piece say.
//!
//! The first byte tells where the second layer begins, in sixteenths of the rest.

#![no_main]

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use dhow_base::Result;
use dhow_base::beneath::Dir;
use dhow_layer::erofs::{Image, Union, Visit, Workspace, convert};
use dhow_layer::tar::TarLimits;
use dhow_layer::unpack::{Owners, Unpacker};
use dhow_spec::Digest;
use libfuzzer_sys::fuzz_target;

/// All paths below a directory.
fn paths(directory: &Path, prefix: &[u8], found: &mut BTreeSet<Vec<u8>>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = [prefix, b"/", entry.file_name().as_bytes()].concat();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            paths(&entry.path(), &path, found);
        }
        found.insert(path);
    }
}

fn unpacked(root: &Path, layers: &[&[u8]]) -> Result<()> {
    let root = Dir::open(root).expect("the root");
    let mut unpacker = Unpacker::new(root, Owners::Record)?;
    for layer in layers {
        unpacker.layer(*layer, "fuzz", TarLimits::LAYER)?;
    }
    unpacker.finish().map(drop)
}

/// All paths, and those of directories.
fn stacked(layers: &[&[u8]]) -> Result<(BTreeSet<Vec<u8>>, BTreeSet<Vec<u8>>)> {
    let mut images: Vec<Arc<Image<Vec<u8>>>> = Vec::new();
    for layer in layers {
        let below = Union::new(images.clone());
        let mut file = Vec::new();
        let scratch: &dyn Fn() -> Result<Vec<u8>> = &|| Ok(Vec::new());
        convert(*layer, &Digest::sha256(layer), Workspace { target: &mut file, scratch, below: &below })?;
        images.push(Arc::new(Image::open(file)?));
    }
    let union = Union::new(images);
    let (mut found, mut directories) = (BTreeSet::new(), BTreeSet::new());
    union.walk(&union.root()?, |path, node| {
        let path = [b"/", path].concat();
        if node.is_directory() {
            directories.insert(path.clone());
        }
        found.insert(path);
        Ok(Visit::Enter)
    })?;
    Ok((found, directories))
}

fuzz_target!(|bytes: &[u8]| {
    let Some((cut, rest)) = bytes.split_first() else { return };
    let (lower, upper) = rest.split_at(rest.len() * usize::from(cut % 16) / 16);
    let layers: Vec<&[u8]> = [lower, upper].into_iter().filter(|layer| !layer.is_empty()).collect();
    let scratch = tempfile::tempdir().expect("a folder");
    let root = scratch.path().join("root");
    fs::create_dir(&root).expect("the root");
    let made = unpacked(&root, &layers);
    assert_eq!(fs::read_dir(scratch.path()).expect("the folder").count(), 1, "something beside the root was made");
    if made.is_ok()
        && let Ok((expected, directories)) = stacked(&layers)
    {
        let mut found = BTreeSet::new();
        paths(&root, b"", &mut found);
        assert!(found.is_subset(&expected), "{found:?} {expected:?}");
        // A whiteout in a directory that nobody has makes that directory on overlayfs, and so in a layer's file.
        assert!(expected.difference(&found).all(|path| directories.contains(path)), "{found:?} {expected:?}");
    }
});
