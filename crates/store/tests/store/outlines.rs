//! Outlines of layers that nobody unpacked.

use std::fs;
use std::path::Path;

use dhow_base::{Kind, fault};
use dhow_layer::erofs::{Keep, Union, UnionNode};
use dhow_store::Store;
use dhow_testkit::images::{self, Compression, Entry, Format, Layout, Recipe, pseudo_random};

use crate::child::command;
use crate::common::{Remote, assert_sound, open, open_at, remove, root_of, scratch};

const NAME: &str = "acme/outlines:1";

/// An image of five layers.
fn image() -> Remote {
    let directory = scratch();
    let layout = Layout::create(directory.path()).unwrap();
    let layers: Vec<_> = ["a", "b", "c", "d", "e"]
        .map(|path| images::tar_of(&[Entry { path, mode: 0o644, content: b"x" }]).unwrap())
        .iter()
        .map(|tar| layout.layer(&**tar, Format::Oci, Compression::Gzip).unwrap())
        .collect();
    let manifest = layout.image(&layers, &Recipe::default()).unwrap();
    Remote::from_layout(&layout, &manifest)
}

/// Looks into all layers. Returns how many there are.
fn look(store: &Store) -> dhow_base::Result<usize> {
    let id = store.find(NAME)?.image_id;
    Ok(store.look_into(&id, &Keep::Nothing, &|_| false)?.map_or(0, |layers| layers.len()))
}

pub(crate) fn child(root: &Path, armed: &str) {
    fault::arm_from_text(armed).unwrap();
    assert!(look(&open_at(root).unwrap()).is_err());
}

/// Names of what the store has of layers: outlines, and what is left of some that were not finished.
fn files(root: &Path) -> (usize, usize) {
    let names = fs::read_dir(root.join("layers/v1")).unwrap().flatten().map(|entry| entry.file_name());
    let (outlines, others): (Vec<_>, Vec<_>) = names.partition(|name| name.to_string_lossy().ends_with(".outline"));
    (outlines.len(), others.len())
}

/// None has its name before all are on the disk, and none stays without one.
#[test]
fn outlines_get_their_names_after_one_flush() {
    let directory = scratch();
    let (root, store) = (root_of(&directory), open(&directory));
    image().pull(&store, &[NAME]).unwrap();
    for number in 0..5 {
        let fault = format!("fs.flush.file:{number}=error");
        assert!(command("outlines", directory.path(), &root, &[&fault]).status().unwrap().success(), "{fault}");
        assert_eq!(files(&root), (0, 0), "{fault}");
    }
    // A crash leaves what the next run removes.
    assert!(!command("outlines", directory.path(), &root, &["fs.flush.file:3=abort"]).status().unwrap().success());
    assert_eq!(files(&root), (0, 5));
    assert_eq!((look(&store).unwrap(), files(&root)), (5, (5, 0)));
}

/// An image of three layers: a small one, a large one, and a large one of `last`.
fn large(last: &[u8], compression: Compression) -> Remote {
    let directory = scratch();
    let layout = Layout::create(directory.path()).unwrap();
    let noise = pseudo_random("outlines", 2 << 20);
    let files = [("a/noise", &noise[..]), ("b/text", b"text"), ("b/other", b"other")];
    let entries = files.map(|(path, content)| Entry { path, mode: 0o644, content });
    let small = images::tar_of(&[Entry { path: "small", mode: 0o644, content: b"x" }]).unwrap();
    let layers: Vec<_> = [&small[..], &images::tar_of(&entries).unwrap(), last]
        .map(|tar| layout.layer(tar, Format::Oci, compression).unwrap())
        .into();
    Remote::from_layout(&layout, &layout.image(&layers, &Recipe::default()).unwrap())
}

/// What is inflated anyway leaves an outline, and nothing is inflated for names again.
#[test]
fn a_pull_leaves_outlines_of_large_layers() {
    let directory = scratch();
    let (root, store) = (root_of(&directory), open(&directory));
    // No tar, which the pull of an image does not mind.
    let remote = large(&pseudo_random("no tar", 2 << 20), Compression::Zstd);
    let session = store.begin("pull").unwrap();
    remote.fetch(&session).unwrap();
    assert_eq!(files(&root).0, 0, "nothing counts before it is on the disk");
    session.commit(&[remote.target(&[NAME])]).unwrap();
    drop(session);
    assert_eq!(files(&root), (1, 0));
    assert_sound(&store, "after the pull");
    remove(&store, NAME).unwrap();
    store.collect().unwrap();
    assert_eq!(files(&root), (0, 0));
    // Layers that are as they are were not inflated.
    large(&pseudo_random("no tar", 2 << 20), Compression::None).pull(&store, &[NAME]).unwrap();
    assert_eq!(files(&root), (0, 0));
}

/// The first content that is asked for is fetched alone, then all of the layer is.
#[test]
fn content_of_an_outline_is_fetched() {
    let directory = scratch();
    let (root, store) = (root_of(&directory), open(&directory));
    let last = images::tar_of(&[Entry { path: "c", mode: 0o644, content: &pseudo_random("c", 2 << 20) }]).unwrap();
    large(&last, Compression::Gzip).pull(&store, &[NAME]).unwrap();
    assert_eq!(files(&root), (2, 0));
    let id = store.find(NAME).unwrap().image_id;
    let look = || store.look_into(&id, &Keep::Nothing, &|_| false).unwrap().expect("outlines");
    let union = |opened: &[dhow_store::OpenLayer]| Union::new(opened.iter().map(|open| open.image.clone()).collect());
    let found = |union: &Union<fs::File>, path: &str| -> UnionNode {
        let (_, node) = union.resolve(path.as_bytes(), true).unwrap().expect("a file");
        node
    };
    let read = |union: &Union<fs::File>, path: &str| {
        let mut bytes = vec![0; 10];
        union.read(&found(union, path), &mut bytes, 0).map(|length| bytes[..length].to_vec())
    };
    let opened = look();
    let mut files_of = union(&opened);
    assert_eq!(read(&files_of, "b/text").map_err(|error| error.kind()), Err(Kind::Unavailable));
    let keep = Keep::At(files_of.data_start(&found(&files_of, "b/text")).into_iter().collect());
    files_of.replace(1, store.complete(&opened[1], keep.clone()).unwrap()).unwrap();
    assert_eq!(read(&files_of, "b/text").unwrap(), b"text");
    assert_eq!(read(&files_of, "b/other").map_err(|error| error.kind()), Err(Kind::Unavailable));
    // It stays, also for who comes next; a second wish has all of the layer.
    let opened = look();
    files_of = union(&opened);
    assert_eq!(read(&files_of, "b/text").unwrap(), b"text");
    files_of.replace(1, store.complete(&opened[1], keep).unwrap()).unwrap();
    assert_eq!(read(&files_of, "b/other").unwrap(), b"other");
    assert_sound(&store, "with outlines");
}
