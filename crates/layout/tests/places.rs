//! The shared suite of all places, over a layout directory and over an archive that is written and read back.

#![allow(clippy::unwrap_used, reason = "tests report by panicking")]
#![allow(clippy::disallowed_methods, reason = "test files are scratch files")]

use std::path::Path;

use dhow_base::fs::{FileLock, LockMode};
use dhow_base::progress::Silent;
use dhow_base::{Kind, fault};
use dhow_content::suite::{self, Sample};
use dhow_content::{CopyOptions, Resolve, Sink, TagSink, copy, copy_blob, read_document};
use dhow_layout::{Archive, ArchiveInput, ArchiveWriter, OciDirectory, Output, SavedImage, SkopeoDirectory, choose};
use dhow_spec::Reference;
use futures::executor::block_on;

fn reference(text: &str) -> Reference {
    Reference::parse(text).unwrap()
}

fn file_output(path: &Path) -> Output {
    let file = std::fs::OpenOptions::new().read(true).write(true).create_new(true).open(path).unwrap();
    Output::file(file, path).unwrap()
}

fn open(path: &Path, spool: &Path) -> dhow_base::Result<Archive> {
    Archive::open(ArchiveInput::File(std::fs::File::open(path).unwrap(), path.to_owned()), spool)
}

fn save(samples: &[(&Sample, &[&str])], output: Output) -> Output {
    let writer = ArchiveWriter::new(output);
    let mut images = Vec::new();
    for (sample, names) in samples {
        block_on(copy(&sample.place, &writer, &sample.index, &CopyOptions::new(&Silent))).unwrap();
        images.push(SavedImage {
            root: sample.index.clone(),
            manifest: Some(sample.manifest.clone()),
            names: names.iter().map(|name| reference(name)).collect(),
            labels: Vec::new(),
        });
    }
    writer.finish(&images).unwrap()
}

#[test]
fn directory_keeps_the_contract() {
    let temporary = tempfile::tempdir().unwrap();
    let place = OciDirectory::create(&temporary.path().join("layout")).unwrap();
    block_on(suite::check(&place, &place));
}

#[test]
fn directory_names_documents() {
    let temporary = tempfile::tempdir().unwrap();
    let root = temporary.path().join("layout");
    let place = OciDirectory::create(&root).unwrap();
    assert_eq!(place.images().map_err(|error| error.kind()), Err(Kind::Invalid), "an empty layout has no images");
    let (one, two) = (suite::sample("one"), suite::sample("two"));
    for sample in [&one, &two] {
        block_on(copy(&sample.place, &place, &sample.index, &CopyOptions::new(&Silent))).unwrap();
        let document = block_on(read_document(&place, &sample.index)).unwrap();
        place.list(&document).unwrap();
        block_on(place.tag(&reference("app:1"), &document)).unwrap();
        let found = block_on(place.resolve(&reference("docker.io/library/app:1"))).unwrap();
        assert_eq!(found.digest, sample.index.digest, "the newest wins");
    }
    let images = OciDirectory::open(&root).unwrap().images().unwrap();
    assert_eq!(images.len(), 1);
    assert_eq!(images[0].names, [reference("app:1")]);
    let missing = block_on(place.resolve(&reference("other:1"))).expect_err("nothing has this name");
    assert_eq!(missing.kind(), Kind::NotFound);
    let other = temporary.path().join("other");
    std::fs::create_dir(&other).unwrap();
    assert_eq!(OciDirectory::open(&other).map_err(|error| error.kind()).err(), Some(Kind::Invalid));
}

#[test]
fn archive_gives_back_what_was_written() {
    let temporary = tempfile::tempdir().unwrap();
    let path = temporary.path().join("archive.tar");
    let (one, two) = (suite::sample("one"), suite::sample("two"));
    save(&[(&one, &["app:1", "registry.example/app:2"]), (&two, &[])], file_output(&path));
    let archive = open(&path, temporary.path()).unwrap();
    assert_eq!(archive.images().len(), 2);
    assert_eq!(archive.images()[0].root, one.index);
    assert_eq!(archive.images()[0].names, [reference("app:1"), reference("registry.example/app:2")]);
    assert!(archive.images()[1].names.is_empty());
    for sample in [&one, &two] {
        block_on(suite::check_content(sample, &archive, &sample.manifest));
        assert!(archive.is_complete(&sample.index).unwrap());
        let index = block_on(read_document(&archive, &sample.index)).unwrap();
        assert_eq!(archive.complete_members(index.document()).unwrap().len(), 2);
    }
    assert_eq!(block_on(archive.resolve(&reference("app:1"))).unwrap().digest, one.index.digest);
}

#[test]
fn stream_and_file_outputs_are_the_same_bytes() {
    let temporary = tempfile::tempdir().unwrap();
    let path = temporary.path().join("file.tar");
    let sample = suite::sample("same");
    save(&[(&sample, &["app:1"])], file_output(&path));
    let streamed = temporary.path().join("stream.tar");
    save(&[(&sample, &["app:1"])], Output::stream(std::fs::File::create_new(&streamed).unwrap()));
    assert_eq!(std::fs::read(&path).unwrap(), std::fs::read(&streamed).unwrap());
}

#[test]
fn archive_in_a_file_takes_failed_blobs_back() {
    let temporary = tempfile::tempdir().unwrap();
    let path = temporary.path().join("archive.tar");
    let writer = ArchiveWriter::new(file_output(&path));
    block_on(suite::check_wrong_bytes(&writer));
    let sample = suite::sample("after");
    block_on(copy(&sample.place, &writer, &sample.manifest, &CopyOptions::new(&Silent))).unwrap();
    writer
        .finish(&[SavedImage { root: sample.manifest.clone(), manifest: None, names: Vec::new(), labels: Vec::new() }])
        .unwrap();
    let archive = open(&path, temporary.path()).unwrap();
    block_on(suite::check_content(&sample, &archive, &sample.manifest));
}

#[test]
fn stream_is_broken_by_a_failed_blob() {
    let sample = suite::sample("broken");
    let writer = ArchiveWriter::new(Output::stream(std::io::sink()));
    let mut wrong = sample.manifest.clone();
    wrong.digest = dhow_spec::Digest::sha256(b"other");
    assert!(block_on(copy(&sample.place, &writer, &wrong, &CopyOptions::new(&Silent))).is_err());
    // Nothing was written yet, so the right image still fits; a blob that breaks off halfway does not.
    block_on(copy(&sample.place, &writer, &sample.manifest, &CopyOptions::new(&Silent))).unwrap();
    let blob = dhow_spec::Descriptor::new(dhow_spec::MediaType::OciLayer, dhow_spec::Digest::sha256(b"x"), 1);
    match block_on(Sink::ingest(&writer, &blob, &Silent)).unwrap() {
        dhow_content::Begin::Write(ingest) => drop(ingest),
        other => panic!("{other:?}"),
    }
    assert!(writer.finish(&[]).is_err());
}

#[test]
fn finishing_without_the_image_is_refused() {
    let sample = suite::sample("absent");
    let writer = ArchiveWriter::new(Output::stream(std::io::sink()));
    let image = SavedImage { root: sample.manifest, manifest: None, names: Vec::new(), labels: Vec::new() };
    assert_eq!(writer.finish(&[image]).map_err(|error| error.kind()).err(), Some(Kind::Internal));
}

#[test]
fn skopeo_s_folder_keeps_the_contract() {
    let temporary = tempfile::tempdir().unwrap();
    let place = SkopeoDirectory::create(&temporary.path().join("image")).unwrap();
    block_on(suite::check(&place, &place));
}

#[test]
fn skopeo_s_folder_is_about_one_image_at_a_time() {
    let temporary = tempfile::tempdir().unwrap();
    let root = temporary.path().join("image");
    let (one, two) = (suite::sample("one"), suite::sample("two"));
    let write = |sample: &Sample| {
        let place = SkopeoDirectory::create(&root).unwrap();
        let options = CopyOptions { leave_root: true, ..CopyOptions::new(&Silent) };
        let copied = block_on(copy(&sample.place, &place, &sample.index, &options)).unwrap();
        place.finish(copied.documents.last().unwrap(), &copied.documents).unwrap();
        std::fs::read_dir(&root).unwrap().count()
    };
    let files = write(&one);
    std::fs::write(root.join("notes"), "mine").unwrap();
    assert_eq!(write(&two), files + 1, "what the first image alone needed is gone, what is no part of it stays");
    let place = SkopeoDirectory::open(&root).unwrap();
    assert_eq!(place.root().unwrap().descriptor().digest, two.index.digest);
    let other = OciDirectory::create(&temporary.path().join("layout")).unwrap();
    block_on(copy(&place, &other, &two.index, &CopyOptions::new(&Silent))).unwrap();
    let occupied = temporary.path().join("occupied");
    std::fs::create_dir(&occupied).unwrap();
    std::fs::write(occupied.join("notes"), "mine").unwrap();
    assert_eq!(SkopeoDirectory::create(&occupied).map_err(|error| error.kind()).err(), Some(Kind::Invalid));
    assert_eq!(SkopeoDirectory::open(&occupied).map_err(|error| error.kind()).err(), Some(Kind::Invalid));
}

#[test]
fn those_who_write_to_skopeo_s_folder_take_turns() {
    let temporary = tempfile::tempdir().unwrap();
    let root = temporary.path().join("image");
    let write = |sample: &Sample, place: &SkopeoDirectory| {
        let options = CopyOptions { leave_root: true, ..CopyOptions::new(&Silent) };
        let copied = block_on(copy(&sample.place, place, &sample.index, &options)).unwrap();
        place.finish(copied.documents.last().unwrap(), &copied.documents).unwrap();
    };
    let (one, two) = (suite::sample("one"), suite::sample("two"));
    let first = SkopeoDirectory::create(&root).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| write(&two, &SkopeoDirectory::create(&root).unwrap()));
        block_on(copy_blob(&one.place, &first, &one.blobs[1], &CopyOptions::new(&Silent))).unwrap();
        let second = FileLock::try_acquire(&root.join("version"), LockMode::Exclusive).unwrap();
        assert!(second.is_none(), "the folder is the first one's");
        write(&one, &first);
        drop(first);
    });
    let place = SkopeoDirectory::open(&root).unwrap();
    assert_eq!(place.root().unwrap().descriptor().digest, two.index.digest);
    block_on(suite::check_content(&two, &place, &two.manifest));
    assert_eq!(std::fs::read_to_string(root.join("version")).unwrap(), "Directory Transport Version: 1.1\n");
}

/// The kernel tells of a failed sync once: the next one of the same file would succeed.
#[test]
fn what_a_failed_sync_lost_is_written_anew() {
    let temporary = tempfile::tempdir().unwrap();
    let sample = suite::sample("sync");
    let root = temporary.path().join("layout");
    let place = OciDirectory::create(&root).unwrap();
    let fill = || block_on(copy(&sample.place, &place, &sample.manifest, &CopyOptions::new(&Silent))).unwrap();
    let name = || {
        let document = block_on(read_document(&place, &sample.manifest)).unwrap();
        block_on(place.tag(&reference("app:1"), &document))
    };
    fill();
    let lost = root.join("blobs/sha256").join(sample.blobs[1].digest.hex());
    fault::arm_at("fs.flush.file", &lost, 0, fault::Action::Error);
    assert_eq!(name().map_err(|error| error.kind()), Err(Kind::Io));
    assert!(!lost.exists());
    assert_eq!(name().map_err(|error| error.kind()), Err(Kind::NotFound), "it was not written again");
    fill();
    name().unwrap();
    assert!(lost.exists());
}

/// A run that is killed in the middle of making a layout leaves some of these.
#[test]
fn a_layout_that_was_begun_is_ended() {
    let sample = suite::sample("begun");
    let (marker, index) = ("oci-layout", "index.json");
    for left in [&[marker][..], &[marker, ".index.json.7-0.tmp"], &[marker, index]] {
        let temporary = tempfile::tempdir().unwrap();
        let root = temporary.path();
        OciDirectory::create(root).unwrap();
        std::fs::write(root.join(marker), "").unwrap();
        std::fs::write(root.join(".index.json.7-0.tmp"), "{").unwrap();
        for entry in std::fs::read_dir(root).unwrap().map(Result::unwrap).filter(|entry| entry.path().is_file()) {
            if !left.iter().any(|left| entry.file_name() == *left) {
                std::fs::remove_file(entry.path()).unwrap();
            }
        }
        let place = OciDirectory::create(root).unwrap_or_else(|error| panic!("{left:?}: {error}"));
        block_on(copy(&sample.place, &place, &sample.manifest, &CopyOptions::new(&Silent))).unwrap();
        place.list(&block_on(read_document(&place, &sample.manifest)).unwrap()).unwrap();
        let images = OciDirectory::open(root).unwrap().images().unwrap();
        assert_eq!(images.len(), 1, "{left:?}");
        let names = std::fs::read_dir(root).unwrap().count();
        assert_eq!(names, 3, "{left:?}: blobs, index.json, oci-layout");
    }
    let taken = tempfile::tempdir().unwrap();
    std::fs::write(taken.path().join("mine"), "").unwrap();
    assert_eq!(OciDirectory::create(taken.path()).map(drop).map_err(|error| error.kind()), Err(Kind::Invalid));
}

/// What a run leaves that is killed before it gives a name: all of an image, or one layer.
fn leave_in<S: Sink>(place: &S, sample: &Sample, whole: bool) {
    let options = CopyOptions::new(&Silent);
    if whole {
        block_on(copy(&sample.place, place, &sample.index, &options)).unwrap();
    } else {
        block_on(copy_blob(&sample.place, place, &sample.blobs[1], &options)).unwrap();
    }
}

/// A run that was killed, or another at the same time, has written blobs and perhaps not flushed them.
#[test]
fn what_is_found_in_a_folder_is_flushed_before_it_gets_a_name() {
    let temporary = tempfile::tempdir().unwrap();
    let sample = suite::sample("found");
    let options = CopyOptions { leave_root: true, ..CopyOptions::new(&Silent) };
    let blob = &sample.blobs[1];
    let root = block_on(read_document(&sample.place, &sample.index)).unwrap();
    for (number, whole) in [true, false].into_iter().enumerate() {
        let (layout, folder) =
            (temporary.path().join(format!("oci-{number}")), temporary.path().join(format!("dir-{number}")));
        leave_in(&OciDirectory::create(&layout).unwrap(), &sample, whole);
        leave_in(&SkopeoDirectory::create(&folder).unwrap(), &sample, whole);

        let path = layout.join("blobs/sha256").join(blob.digest.hex());
        fault::arm_at("fs.flush.file", &path, 0, fault::Action::Error);
        let place = OciDirectory::create(&layout).unwrap();
        block_on(copy(&sample.place, &place, &sample.index, &CopyOptions::new(&Silent))).unwrap();
        let listed = place.list(&root);
        assert_eq!(listed.map_err(|error| error.kind()), Err(Kind::Io), "whole: {whole}");

        let path = folder.join(blob.digest.hex());
        fault::arm_at("fs.flush.file", &path, 0, fault::Action::Error);
        let place = SkopeoDirectory::create(&folder).unwrap();
        let copied = block_on(copy(&sample.place, &place, &sample.index, &options)).unwrap();
        let finished = place.finish(&root, &copied.documents);
        assert_eq!(finished.map_err(|error| error.kind()), Err(Kind::Io), "whole: {whole}");
    }
}

#[test]
fn labels_are_any_text() {
    let temporary = tempfile::tempdir().unwrap();
    let root = temporary.path().join("layout");
    let place = OciDirectory::create(&root).unwrap();
    let (one, two) = (suite::sample("one"), suite::sample("two"));
    for (sample, label) in [(&one, "v1"), (&two, "example.test/app:2"), (&two, "v1"), (&one, "v0")] {
        block_on(copy(&sample.place, &place, &sample.index, &CopyOptions::new(&Silent))).unwrap();
        place.label(label, &block_on(read_document(&place, &sample.index)).unwrap()).unwrap();
    }
    let images = place.images().unwrap();
    let chosen = |text: Option<&str>| choose(&images, text, "it").map(|image| image.root.digest.clone());
    assert_eq!(chosen(Some("v1")).unwrap(), two.index.digest);
    assert_eq!(chosen(Some("example.test/app:2")).unwrap(), two.index.digest);
    assert_eq!(chosen(Some("v0")).unwrap(), one.index.digest);
    assert_eq!(chosen(Some(&format!("@{}", one.index.digest))).unwrap(), one.index.digest);
    assert_eq!(chosen(Some("@0")).unwrap(), images[0].root.digest);
    assert_eq!(chosen(Some("@7")).map_err(|error| error.kind()), Err(Kind::NotFound));
    let several = choose(&images, None, "it").expect_err("two images");
    assert_eq!((several.kind(), several.hint()), (Kind::Invalid, Some("their names: example.test/app:2, v0, v1")));
    assert_eq!(choose(&images[..1], None, "it").unwrap(), &images[0]);
}

/// Scripts look up in docker's older list what an archive has.
#[test]
fn archives_have_docker_s_older_list() {
    let temporary = tempfile::tempdir().unwrap();
    let path = temporary.path().join("archive.tar");
    let (one, two) = (suite::sample("one"), suite::sample("two"));
    save(&[(&one, &["web:latest", "example.com/web:2"]), (&two, &["web:2"])], file_output(&path));
    let listed = |path: &Path| {
        let mut archive = tar::Archive::new(std::fs::File::open(path).unwrap());
        let mut entries = archive.entries().unwrap().map(Result::unwrap);
        let list = entries.find(|entry| entry.path().unwrap() == Path::new("repositories"));
        list.map(|list| serde_json::from_reader::<_, serde_json::Value>(list).unwrap())
    };
    let [one, two] = [&one, &two].map(|sample| sample.blobs.last().unwrap().digest.hex());
    let expected = serde_json::json!({ "web": { "latest": one, "2": two }, "example.com/web": { "2": one } });
    assert_eq!(listed(&path), Some(expected));
    let nameless = temporary.path().join("nameless.tar");
    save(&[(&suite::sample("one"), &[])], file_output(&nameless));
    assert_eq!(listed(&nameless), None);
}

/// As skopeo has it: nothing that was put into a layout is taken off its list.
#[test]
fn what_loses_its_label_stays_listed() {
    let temporary = tempfile::tempdir().unwrap();
    let place = OciDirectory::create(&temporary.path().join("layout")).unwrap();
    let (one, two) = (suite::sample("one"), suite::sample("two"));
    let label = |sample: &Sample, label: &str| {
        block_on(copy(&sample.place, &place, &sample.index, &CopyOptions::new(&Silent))).unwrap();
        place.label(label, &block_on(read_document(&place, &sample.index)).unwrap()).unwrap();
        let entries = place.entries().unwrap().into_iter();
        let listed = entries.map(|entry| (entry.digest, entry.annotations.into_values().collect::<Vec<_>>()));
        listed.collect::<Vec<_>>()
    };
    let entry = |sample: &Sample, labels: &[&str]| {
        (sample.index.digest.clone(), labels.iter().map(|&label| label.to_owned()).collect::<Vec<_>>())
    };
    assert_eq!(label(&one, "v1"), [entry(&one, &["v1"])]);
    assert_eq!(label(&one, "v1"), [entry(&one, &["v1"])]);
    assert_eq!(label(&two, "v1"), [entry(&one, &[]), entry(&two, &["v1"])]);
    assert_eq!(label(&one, "v0"), [entry(&one, &["v0"]), entry(&two, &["v1"])]);
    assert_eq!(label(&two, "v2"), [entry(&one, &["v0"]), entry(&two, &["v1"]), entry(&two, &["v2"])]);
}
