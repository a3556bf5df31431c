//! Blobs on their way in: any order, cut off, wrong, and wanted by several at once.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use dhow_base::Kind;
use dhow_base::progress::{Event, Observer, Silent};
use dhow_content::{Begin, Ingest, LocalBlob, Sink, Source};
use dhow_spec::digest::Algorithm;
use dhow_spec::{Descriptor, Digest, MediaType};
use dhow_store::{Session, StoreIngest};
use dhow_testkit::images::{self, Compression, Entry, Format, Layer, Layout, Recipe};
use futures::executor::block_on;
use proptest::prelude::*;

use crate::common::*;

fn begin(session: &Session, blob: &Descriptor) -> StoreIngest {
    match block_on(session.ingest(blob, &Silent)).unwrap() {
        Begin::Write(ingest) => ingest,
        other => panic!("{other:?}"),
    }
}

fn write(ingest: &StoreIngest, bytes: &[u8], offset: usize, length: usize) -> dhow_base::Result<()> {
    block_on(ingest.write(offset as u64, Bytes::copy_from_slice(&bytes[offset..offset + length])))
}

fn stored(session: &Session, blob: &Descriptor) -> Vec<u8> {
    std::fs::read(session.store().local(blob).unwrap().path).unwrap()
}

#[test]
fn parts_from_many_threads_in_any_order_make_the_blob() {
    let directory = scratch();
    let session = open(&directory).begin("test").unwrap();
    let bytes = images::pseudo_random("parts", 3 << 20);
    let blob = plain(&bytes);
    let ingest = begin(&session, &blob);
    thread::scope(|scope| {
        for thread in 0..4_usize {
            let (ingest, bytes) = (&ingest, &bytes);
            scope.spawn(move || {
                for part in (0..48).rev().filter(|part| part % 4 == thread) {
                    write(ingest, bytes, part * 65_536, 30_000).unwrap();
                    write(ingest, bytes, part * 65_536 + 30_000, 35_536).unwrap();
                }
            });
        }
    });
    assert!(ingest.missing().is_empty());
    block_on(ingest.commit()).unwrap();
    assert_eq!(stored(&session, &blob), bytes);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn a_cut_transfer_goes_on_where_it_stopped(
        length in 1_usize..200_000,
        cuts in proptest::collection::vec((any::<u32>(), any::<u32>()), 0..12),
    ) {
        let directory = scratch();
        let bytes = images::pseudo_random("cut", length);
        let blob = plain(&bytes);
        let mut there = vec![false; length];
        for (offset, part) in cuts {
            let session = open(&directory).begin("test").unwrap();
            let ingest = begin(&session, &blob);
            let missing: u64 = ingest.missing().iter().map(|range| range.end - range.start).sum();
            prop_assert_eq!(missing, there.iter().filter(|there| !**there).count() as u64);
            let offset = offset as usize % length;
            let end = (offset + 1 + part as usize % 50_000).min(length);
            if there[offset..end].iter().any(|there| *there) {
                prop_assert!(write(&ingest, &bytes, offset, end - offset).is_err(), "bytes are written once");
            } else {
                write(&ingest, &bytes, offset, end - offset).unwrap();
                there[offset..end].fill(true);
            }
        }
        let session = open(&directory).begin("test").unwrap();
        let ingest = begin(&session, &blob);
        for range in ingest.missing() {
            write(&ingest, &bytes, range.start as usize, (range.end - range.start) as usize).unwrap();
        }
        block_on(ingest.commit()).unwrap();
        prop_assert_eq!(stored(&session, &blob), bytes);
        prop_assert_eq!(std::fs::read_dir(root_of(&directory).join("ingest")).unwrap().count(), 0);
    }
}

#[test]
fn bytes_that_went_bad_on_disk_are_found_and_forgotten() {
    let directory = scratch();
    let session = open(&directory).begin("test").unwrap();
    let bytes = images::pseudo_random("bad", 200_000);
    let blob = plain(&bytes);
    let ingest = begin(&session, &blob);
    write(&ingest, &bytes, 0, 150_000).unwrap();
    drop(ingest);
    let path = root_of(&directory).join("ingest").join(format!("sha256-{}", blob.digest.hex()));
    let mut on_disk = std::fs::read(&path).unwrap();
    on_disk[70_000] ^= 1;
    std::fs::write(&path, on_disk).unwrap();
    let ingest = begin(&session, &blob);
    assert_eq!(ingest.missing()[0].start, 150_000);
    write(&ingest, &bytes, 150_000, 50_000).unwrap();
    let error = block_on(ingest.commit()).unwrap_err();
    assert_eq!(error.kind(), Kind::Corrupt, "{error}");
    assert!(!session.store().has_blob(&blob.digest).unwrap());
    let ingest = begin(&session, &blob);
    assert_eq!(ingest.missing()[0], 0..200_000);
    write(&ingest, &bytes, 0, 200_000).unwrap();
    block_on(ingest.commit()).unwrap();
}

#[test]
fn sizes_are_kept() {
    let directory = scratch();
    let session = open(&directory).begin("test").unwrap();
    let bytes = images::pseudo_random("sizes", 1000);
    let blob = plain(&bytes);
    let ingest = begin(&session, &blob);
    let error = block_on(ingest.write(900, Bytes::from(vec![0; 101]))).unwrap_err();
    assert_eq!(error.kind(), Kind::Corrupt, "past the end: {error}");
    write(&ingest, &bytes, 0, 999).unwrap();
    assert_eq!(block_on(ingest.commit()).unwrap_err().kind(), Kind::Internal, "a byte is missing");
    let ingest = begin(&session, &blob);
    write(&ingest, &bytes, 999, 1).unwrap();
    block_on(ingest.commit()).unwrap();
    let lie = Descriptor { size: 999, ..blob };
    let error = block_on(session.ingest(&lie, &Silent)).map(|_| ()).unwrap_err();
    assert_eq!(error.kind(), Kind::Corrupt, "{error}");
    let empty = plain(b"");
    block_on(begin(&session, &empty).commit()).unwrap();
    assert_eq!(stored(&session, &empty), b"");
}

#[test]
fn a_local_file_is_copied_and_proven() {
    let directory = scratch();
    let session = open(&directory).begin("test").unwrap();
    let bytes = images::pseudo_random("local", 17 << 20);
    let path = directory.path().join("archive");
    std::fs::write(&path, [&b"head"[..], &bytes, b"tail"].concat()).unwrap();
    let file = std::sync::Arc::new(std::fs::File::open(&path).unwrap());
    let local = |offset| LocalBlob { file: file.clone(), path: path.clone(), offset, length: bytes.len() as u64 };
    let blob = plain(&bytes);
    let ingest = begin(&session, &blob);
    assert!(block_on(ingest.write_local(&local(3))).unwrap());
    assert_eq!(block_on(ingest.commit()).unwrap_err().kind(), Kind::Corrupt, "one byte off");
    let ingest = begin(&session, &blob);
    assert!(block_on(ingest.write_local(&local(4))).unwrap());
    block_on(ingest.commit()).unwrap();
    assert_eq!(stored(&session, &blob), bytes);
}

#[derive(Default)]
struct Waits(AtomicUsize);

impl Observer for Waits {
    fn event(&self, event: Event<'_>) {
        if matches!(event, Event::Waiting { .. }) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[test]
fn a_second_session_waits_and_finds_the_blob_or_takes_over() {
    for finishes in [true, false] {
        let directory = scratch();
        let store = open(&directory);
        let bytes = images::pseudo_random("shared", 300_000);
        let blob = plain(&bytes);
        let first = store.begin("first").unwrap();
        let ingest = begin(&first, &blob);
        write(&ingest, &bytes, 0, 100_000).unwrap();
        let waits = Waits::default();
        thread::scope(|scope| {
            let second = scope.spawn(|| {
                let session = open(&directory).begin("second").unwrap();
                match block_on(session.ingest(&blob, &waits)).unwrap() {
                    Begin::Present => None,
                    Begin::Write(ingest) => Some(ingest.missing()),
                    Begin::Mounted { .. } => panic!("nothing is mounted here"),
                }
            });
            while waits.0.load(Ordering::Relaxed) == 0 {
                thread::sleep(Duration::from_millis(1));
            }
            if finishes {
                write(&ingest, &bytes, 100_000, 200_000).unwrap();
                block_on(ingest.commit()).unwrap();
            } else {
                drop(ingest);
            }
            let missing = second.join().unwrap();
            assert_eq!(missing.is_none(), finishes);
            assert_eq!(missing.unwrap_or_default().len(), usize::from(!finishes));
        });
        assert_eq!(waits.0.load(Ordering::Relaxed), 1);
    }
}

/// A layout with one image, whose layers go through `change` before the config is written.
fn image_with(change: impl Fn(&Layout, &mut Vec<Layer>)) -> Remote {
    let directory = scratch();
    let layout = Layout::create(directory.path()).unwrap();
    let noise = images::pseudo_random("layer", 400_000);
    let tars = [
        images::tar_of(&[Entry { path: "a", mode: 0o644, content: b"a" }]).unwrap(),
        images::tar_of(&[Entry { path: "b", mode: 0o644, content: &noise }]).unwrap(),
        images::tar_of(&[Entry { path: "c", mode: 0o644, content: &[0; 100_000] }]).unwrap(),
    ];
    let mut layers = Vec::new();
    for (tar, compression) in tars.iter().zip([Compression::Zstd, Compression::Gzip, Compression::None]) {
        layers.push(layout.layer(tar.as_slice(), Format::Oci, compression).unwrap());
    }
    change(&layout, &mut layers);
    let recipe = Recipe { architecture: "amd64".to_owned(), ..Recipe::default() };
    let manifest = layout.image(&layers, &recipe).unwrap();
    Remote::from_layout(&layout, &manifest)
}

#[test]
fn diff_ids_are_proven_and_sizes_known() {
    let sizes = std::sync::Mutex::new(Vec::new());
    let remote = image_with(|_, layers| {
        sizes.lock().unwrap().extend(layers.iter().map(|layer| Some(layer.uncompressed_size)));
    });
    let sizes = sizes.into_inner().unwrap();
    let directory = scratch();
    let store = open(&directory);
    remote.pull(&store, &["a:1"]).unwrap();
    let image = store.images().unwrap().remove(0);
    assert_eq!(image.size, sizes.iter().copied().sum());
    assert_eq!(store.layers(&image.id).unwrap().iter().map(|layer| layer.size).collect::<Vec<_>>(), sizes);

    let directory = scratch();
    let store = open(&directory);
    let session = store.begin("pull").unwrap().prove_diff_ids(false);
    remote.fetch(&session).unwrap();
    session.commit(&[remote.target(&["a:1"])]).unwrap();
    assert_eq!(store.images().unwrap()[0].size, None, "nobody asked for it");
    assert_eq!(Some(store.measure(&image.id).unwrap()), sizes.iter().copied().sum());
    let measured = store.images().unwrap().remove(0);
    assert_eq!((measured.size, measured.platform, measured.references), (image.size, image.platform, image.references));
}

#[test]
fn a_layer_that_is_not_what_the_config_says_is_refused() {
    let lied = image_with(|_, layers| {
        layers[1].diff_id = layers[0].diff_id.clone();
    });
    let broken = |change: fn(&mut Vec<u8>)| {
        image_with(|layout, layers| {
            let mut bytes = std::fs::read(layout.path(&layers[1].blob.digest)).unwrap();
            change(&mut bytes);
            layers[1].blob = layout.blob(&layers[1].blob.media_type, &bytes).unwrap();
        })
    };
    for (remote, words) in [
        (lied, "unpacked diff ID mismatch"),
        // Random bytes, which are stored as they are: only the diff ID tells, gzip's own sum is not looked at.
        (broken(|bytes| *bytes.iter_mut().nth_back(1000).unwrap() ^= 0x55), "unpacked diff ID mismatch"),
        (broken(|bytes| bytes.truncate(bytes.len() / 2)), "gzip stream ends too early"),
        (broken(|bytes| *bytes.last_mut().unwrap() ^= 0x55), "gzip stream is damaged"),
    ] {
        let directory = scratch();
        let store = open(&directory);
        for attempt in 0..2 {
            let error = remote.pull(&store, &["a:1"]).unwrap_err();
            assert_eq!(error.kind(), Kind::Corrupt, "{error}");
            assert!(error.to_string().contains(words), "attempt {attempt}: {error}");
            assert!(store.images().unwrap().is_empty());
        }
        store.collect().unwrap();
        assert_eq!(store.check(false).unwrap().problems, []);
    }
}

/// Diff IDs may be of any algorithm that digests may be of.
#[test]
fn diff_ids_of_sha512_are_proven_too() {
    let sha512 = |bytes: &[u8]| Digest::of(Algorithm::Sha512, bytes).to_string();
    let tar = |path| images::tar_of(&[Entry { path, mode: 0o644, content: b"a" }]).unwrap();
    let honest = image_with(|_, layers| layers[0].diff_id = sha512(&tar("a")));
    let lied = image_with(|_, layers| layers[0].diff_id = sha512(&tar("b")));
    let directory = scratch();
    let store = open(&directory);
    honest.pull(&store, &["a:honest"]).unwrap();
    for attempt in 0..2 {
        let error = lied.pull(&store, &["a:lied"]).unwrap_err();
        assert_eq!(error.kind(), Kind::Corrupt, "attempt {attempt}: {error}");
        assert!(error.to_string().contains("unpacked diff ID mismatch: expected sha512:"), "{error}");
    }
}

/// A pull that stored only leaves the proof to whoever asks first.
#[test]
fn what_was_only_stored_is_proven_when_it_is_measured() {
    let lied = image_with(|_, layers| layers[1].diff_id = layers[0].diff_id.clone());
    let directory = scratch();
    let store = open(&directory);
    let session = store.begin("pull").unwrap().prove_diff_ids(false);
    lied.fetch(&session).unwrap();
    let image_id = session.commit(&[lied.target(&["a:1"])]).unwrap().image_of(&lied.root.digest).unwrap();
    for attempt in 0..2 {
        let error = store.measure(&image_id).unwrap_err();
        assert_eq!(error.kind(), Kind::Corrupt, "attempt {attempt}: {error}");
        assert!(error.to_string().contains("unpacked diff ID mismatch"), "attempt {attempt}: {error}");
    }
    assert_eq!(store.images().unwrap()[0].size, None);
}

/// Whoever knows a config can write a manifest around it with layers of his own.
#[test]
fn other_layers_under_a_known_config_are_refused() {
    let honest = image_with(|_, _| {});
    let lied = image_with(|layout, layers| {
        let evil = images::tar_of(&[Entry { path: "evil", mode: 0o755, content: b"evil" }]).unwrap();
        layers[0].blob = layout.layer(evil.as_slice(), Format::Oci, Compression::Gzip).unwrap().blob;
    });
    let short = image_with(|_, layers| layers[0].blob = layers[2].blob.clone());
    let recompressed = image_with(|layout, layers| {
        let tar = images::tar_of(&[Entry { path: "a", mode: 0o644, content: b"a" }]).unwrap();
        layers[0] = layout.layer(tar.as_slice(), Format::Oci, Compression::Gzip).unwrap();
    });
    let directory = scratch();
    let store = open(&directory);
    let image_id = honest.pull(&store, &["a:honest"]).unwrap().image_of(&honest.root.digest);
    for remote in [&lied, &short] {
        let error = remote.pull(&store, &["a:lied"]).unwrap_err();
        assert_eq!(error.kind(), Kind::Corrupt, "{error}");
        assert!(error.to_string().contains("unpacked diff ID mismatch"), "{error}");
        assert!(store.resolve(&reference("a:lied")).unwrap().is_none());
    }
    let committed = recompressed.pull(&store, &["a:recompressed"]).unwrap();
    assert_eq!(committed.image_of(&recompressed.root.digest), image_id, "another form of the same layers is no lie");
    assert_ne!(recompressed.root.digest, honest.root.digest);
}

#[test]
fn an_image_without_its_layers_gets_no_name() {
    let remote = Remote::small("incomplete");
    let directory = scratch();
    let store = open(&directory);
    let session = store.begin("pull").unwrap();
    let error = session.commit(&[remote.target(&["a"])]).unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound, "{error}");
    let document = block_on(dhow_content::read_document(&remote.place, &remote.root)).unwrap();
    block_on(session.put_document(&document)).unwrap();
    let error = session.commit(&[remote.target(&["a"])]).unwrap_err();
    assert!(error.to_string().starts_with("blob sha256:"), "{error}");
    assert_eq!(document.descriptor().media_type, MediaType::OciManifest);
    assert!(store.resolve(&reference("a")).unwrap().is_none());
}
