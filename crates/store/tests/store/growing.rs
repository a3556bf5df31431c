//! Trees that grow while the layers of their image arrive.

use std::fs;
use std::os::unix::fs::MetadataExt;

use bytes::Bytes;
use dhow_base::Kind;
use dhow_base::progress::Silent;
use dhow_content::{Begin, Ingest, Sink};
use dhow_store::{Ownership, Store};
use dhow_testkit::images::{self, Compression, Entry, Format, Layer, Layout, Recipe};
use futures::executor::block_on;

use crate::common::{Remote, assert_sound, descriptor, open, remove, scratch};

/// An image of three layers, each above the one before; and what a test changes of it.
fn image_with(change: impl FnOnce(&Layout, &mut Vec<Layer>)) -> (Remote, Vec<Layer>) {
    let directory = scratch();
    let layout = Layout::create(directory.path()).unwrap();
    let noise = [images::pseudo_random("a", 600 << 10), images::pseudo_random("b", 200 << 10)];
    let file = |path, content| Entry { path, mode: 0o644, content };
    let layers = [
        [file("etc/a", b"low"), file("noise", &noise[0])],
        [file("etc/a", b"high"), file("more", &noise[1])],
        [file("etc/.wh.a", b""), file("etc/b", b"b")],
    ];
    let mut layers: Vec<Layer> = layers
        .iter()
        .map(|entries| layout.layer(&*images::tar_of(entries).unwrap(), Format::Oci, Compression::Gzip).unwrap())
        .collect();
    change(&layout, &mut layers);
    let manifest = layout.image(&layers, &Recipe::default()).unwrap();
    (Remote::from_layout(&layout, &manifest), layers)
}

/// What is below `layers/trees-v1`, and what waits to be removed.
fn left(store: &Store) -> Vec<String> {
    let names = |folder: &str| {
        let entries = fs::read_dir(store.root().join(folder)).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect::<Vec<_>>()
    };
    [names("layers/trees-v1"), names("trash")].concat()
}

fn assert_tree(store: &Store, name: &str) {
    let id = store.find(name).unwrap().image_id;
    assert!(store.has_tree(&id, Ownership::Caller).unwrap());
    let tree = store.unpack_tree(&id, Ownership::Caller).unwrap();
    let names: Vec<String> = {
        let entries = fs::read_dir(tree.path.join("etc")).unwrap().flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    };
    assert_eq!(names, ["b"]);
    assert!(fs::read(tree.path.join("noise")).unwrap() == images::pseudo_random("a", 600 << 10));
    assert!(fs::read(tree.path.join("more")).unwrap() == images::pseudo_random("b", 200 << 10));
    assert_eq!(left(store).len(), 1, "{:?}", left(store));
}

#[test]
fn the_tree_is_there_with_the_commit_and_layers_are_proven_by_it() {
    let (remote, layers) = image_with(|_, _| {});
    let directory = scratch();
    let store = open(&directory);
    let session = store.begin("pull").unwrap().grow_trees(Ownership::Caller);
    remote.fetch(&session).unwrap();
    session.commit(&[remote.target(&["a:1"])]).unwrap();
    drop(session);
    assert_tree(&store, "a:1");
    let sizes: Vec<_> = layers.iter().map(|layer| Some(layer.uncompressed_size)).collect();
    let id = store.find("a:1").unwrap().image_id;
    assert_eq!(store.layers(&id).unwrap().iter().map(|layer| layer.size).collect::<Vec<_>>(), sizes);
    assert_sound(&store, "after a pull");

    // Once more, with the tree there and its image gone and fetched anew.
    let inode = |store: &Store| {
        let tree = store.unpack_tree(&id, Ownership::Caller).unwrap();
        fs::metadata(tree.path.join("noise")).unwrap().ino()
    };
    let before = inode(&store);
    remove(&store, "a:1").unwrap();
    let session = store.begin("pull").unwrap().grow_trees(Ownership::Caller);
    remote.fetch(&session).unwrap();
    session.commit(&[remote.target(&["a:2"])]).unwrap();
    assert_eq!(inode(&store), before, "what is there is not made again");
}

#[test]
fn a_layer_that_is_not_what_the_config_says_leaves_no_tree() {
    let lied = |layers: &mut Vec<Layer>| layers[1].diff_id = layers[0].diff_id.clone();
    for (remote, words) in [
        (image_with(|_, layers| lied(layers)).0, "unpacked diff ID mismatch"),
        (
            image_with(|layout, layers| {
                let mut bytes = fs::read(layout.path(&layers[1].blob.digest)).unwrap();
                bytes.truncate(bytes.len() / 2);
                layers[1].blob = layout.blob(&layers[1].blob.media_type, &bytes).unwrap();
            })
            .0,
            "gzip stream ends too early",
        ),
    ] {
        let directory = scratch();
        let store = open(&directory);
        for _ in 0..2 {
            let session = store.begin("pull").unwrap().grow_trees(Ownership::Caller);
            remote.fetch(&session).unwrap();
            let error = session.commit(&[remote.target(&["a:1"])]).unwrap_err();
            assert_eq!(error.kind(), Kind::Corrupt, "{error}");
            assert!(error.to_string().contains(words), "{error}");
            assert_eq!(left(&store), [] as [String; 0]);
        }
        store.collect().unwrap();
        assert_sound(&store, words);
    }
}

/// What was inflated of the wrong bytes counts for nothing, neither as files nor as a proof.
#[test]
fn a_resumed_layer_that_was_wrong_is_right_in_the_end() {
    let (remote, layers) = image_with(|_, _| {});
    let directory = scratch();
    let store = open(&directory);
    let wrong = vec![0x55; 256 << 10];
    {
        let session = store.begin("pull").unwrap();
        let begun = block_on(session.ingest(&descriptor(&layers[0].blob), &Silent)).unwrap();
        let Begin::Write(ingest) = begun else { panic!("{begun:?}") };
        block_on(ingest.write(0, Bytes::from(wrong))).unwrap();
    }
    let session = store.begin("pull").unwrap().grow_trees(Ownership::Caller);
    remote.fetch(&session).unwrap();
    session.commit(&[remote.target(&["a:1"])]).unwrap();
    let id = store.find("a:1").unwrap().image_id;
    store.unpack_tree(&id, Ownership::Caller).unwrap();
    store.empty_trees_trash();
    assert_tree(&store, "a:1");
    assert_sound(&store, "after a pull that began with wrong bytes");
}

#[test]
fn who_gives_up_leaves_nothing_and_waits_for_nothing() {
    let (remote, layers) = image_with(|_, _| {});
    let directory = scratch();
    let store = open(&directory);
    let session = store.begin("pull").unwrap().grow_trees(Ownership::Caller);
    let document = block_on(dhow_content::read_document(&remote.place, &remote.root)).unwrap();
    let config = document.document().as_manifest().unwrap().config.clone();
    session.expect(&[document]);
    let fetch = dhow_content::CopyOptions::new(&Silent);
    block_on(dhow_content::copy_blob(&remote.place, &session, &config, &fetch)).unwrap();
    let begun = block_on(session.ingest(&descriptor(&layers[0].blob), &Silent)).unwrap();
    let Begin::Write(ingest) = begun else { panic!("{begun:?}") };
    let bytes = remote.place.get(&descriptor(&layers[0].blob).digest).unwrap();
    block_on(ingest.write(0, bytes.slice(..300 << 10))).unwrap();
    // The half of a layer is being unpacked now, or will be.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while !left(&store).iter().any(|name| name.ends_with(".part")) {
        assert!(std::time::Instant::now() < deadline, "no tree is begun: {:?}", left(&store));
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    drop((ingest, session));
    assert_eq!(left(&store), [] as [String; 0]);
    let session = store.begin("pull").unwrap().grow_trees(Ownership::Caller);
    remote.fetch(&session).unwrap();
    session.commit(&[remote.target(&["a:1"])]).unwrap();
    assert_tree(&store, "a:1");
}

#[test]
fn two_at_once_make_one_tree() {
    let (remote, _) = image_with(|_, _| {});
    let directory = scratch();
    let store = open(&directory);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let session = store.begin("pull").unwrap().grow_trees(Ownership::Caller);
                remote.fetch(&session).unwrap();
                let committed = session.commit(&[remote.target(&["a:1"])]).unwrap();
                let id = committed.image_of(&remote.root.digest).unwrap();
                store.unpack_tree(&id, Ownership::Caller).unwrap();
            });
        }
    });
    assert_tree(&store, "a:1");
}
