//! The file of an image's stack of layers.

use std::fs::{self, File};
use std::time::{Duration, SystemTime};

use dhow_store::{Stacked, Store};
use dhow_testkit::images::{self, Compression, Entry, Format, Layout, Recipe};

use crate::common::{Remote, open, scratch};

/// An image whose second layer needs the first one (it names a file of a directory that it does not name).
fn image() -> Remote {
    let directory = scratch();
    let layout = Layout::create(directory.path()).unwrap();
    let file = |path, content| Entry { path, mode: 0o644, content };
    let layers = [vec![file("etc/a", b"low"), file("b", b"b")], vec![file("etc/a", b"high")]];
    let layers = layers
        .map(|entries| layout.layer(&*images::tar_of(&entries).unwrap(), Format::Oci, Compression::Gzip).unwrap());
    let manifest = layout.image(&layers, &Recipe::default()).unwrap();
    Remote::from_layout(&layout, &manifest)
}

/// A store with the image, unpacked and its stack made.
fn stacked(store: &Store) -> Stacked {
    image().pull(store, &["acme/stack:1"]).unwrap();
    let id = store.find("acme/stack:1").unwrap().image_id;
    assert_eq!(store.known_stack(&id), None, "nothing is unpacked");
    let unpacked = store.unpack(&id).unwrap();
    assert_eq!(store.known_stack(&id), None, "no stack was made");
    let file = store.stack(&id, &unpacked).expect("a stack");
    let stacked = store.known_stack(&id).expect("it is known");
    let layers: Vec<_> = unpacked.iter().map(|layer| layer.path.clone()).collect();
    assert_eq!(stacked, Stacked { file, layers });
    stacked
}

#[test]
fn a_stack_is_known_while_its_layers_are_what_it_was_made_for() {
    let directory = scratch();
    let store = open(&directory);
    let stacked = stacked(&store);
    let id = store.find("acme/stack:1").unwrap().image_id;
    let is_known = || store.known_stack(&id).is_some();
    for layer in &stacked.layers {
        let whole = fs::read(layer).unwrap();
        fs::write(layer, &whole[..whole.len() - 1]).unwrap();
        assert!(!is_known(), "a layer is too short");
        fs::remove_file(layer).unwrap();
        assert!(!is_known(), "a layer is missing");
        fs::write(layer, &whole).unwrap();
        assert!(is_known());
    }
    let whole = fs::read(&stacked.file).unwrap();
    let other_layer = {
        let mut bytes = whole.clone();
        let tag = bytes.windows(4).position(|four| four == &stacked_tag(&stacked)[..4]).unwrap();
        bytes[tag] = if bytes[tag] == b'0' { b'1' } else { b'0' };
        bytes
    };
    let other_kind = [b"dhowlayr", &whole[8..]].concat();
    for (what, bytes) in
        [("of another layer", &other_layer), ("no stack", &other_kind), ("short", &whole[..4000].to_vec())]
    {
        fs::write(&stacked.file, bytes).unwrap();
        assert!(!is_known(), "{what}");
    }
    let unpacked = store.unpack(&id).unwrap();
    store.stack(&id, &unpacked).expect("it is made anew");
    assert!(is_known() && fs::read(&stacked.file).unwrap() == whole);
}

/// The diff ID of the first layer in hexadecimal digits, from the name of its file.
fn stacked_tag(stacked: &Stacked) -> Vec<u8> {
    let name = stacked.layers[0].file_name().unwrap().to_str().unwrap();
    let (_, hex) = name.split_once('-').unwrap();
    hex.as_bytes().to_vec()
}

#[test]
fn who_asks_for_a_stack_uses_its_layers() {
    let directory = scratch();
    let store = open(&directory);
    let stacked = stacked(&store);
    let id = store.find("acme/stack:1").unwrap().image_id;
    let long_ago = SystemTime::now() - Duration::from_secs(30 * 24 * 60 * 60);
    let files = || stacked.layers.iter().chain([&stacked.file]);
    files().for_each(|path| File::open(path).unwrap().set_modified(long_ago).unwrap());
    store.known_stack(&id).unwrap();
    for path in files() {
        let age = fs::metadata(path).unwrap().modified().unwrap().elapsed().unwrap_or_default();
        assert!(age < Duration::from_secs(60 * 60), "{path:?} would be the first to go");
    }
}
