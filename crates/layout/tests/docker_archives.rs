//! Docker archives, old and new, honest and hostile.

#![allow(clippy::unwrap_used, reason = "tests report by panicking")]

mod common;

use common::{Entries, Entry, bzip2, config, file, gzip, layer, load, open, open_stream, symlink, tar};
use dhow_base::Kind;
use dhow_spec::{Digest, MediaType, Reference};
use proptest::prelude::*;

fn reference(text: &str) -> Reference {
    Reference::parse(text).unwrap()
}

/// What docker before version 25 wrote: two layers, the second by a link, and one config.
fn old_docker() -> (Entries, Digest) {
    let layers = [layer("one"), layer("two")];
    let config = config(&layers.each_ref().map(|layer| Digest::sha256(layer)));
    let id = Digest::sha256(&config);
    let [one, two] = layers;
    let manifest = format!(
        r#"[{{"Config":"{0}.json","RepoTags":["acme/app:1","localhost:5000/app:2"],"Layers":["aa/layer.tar","bb/layer.tar"]}}]"#,
        id.hex()
    );
    let entries = vec![
        file(format!("{}.json", id.hex()), config),
        ("aa/".to_owned(), Entry::Directory),
        file("aa/VERSION", "1.0"),
        file("aa/json", r#"{"id":"aa"}"#),
        file("aa/layer.tar", one),
        ("bb/".to_owned(), Entry::Directory),
        symlink("bb/layer.tar", "../cc/layer.tar"),
        file("cc/layer.tar", two),
        file("manifest.json", manifest),
        file("repositories", r#"{"acme/app":{"1":"bb"}}"#),
    ];
    (entries, id)
}

/// An archive with one image of one layer under the given path, its diff ID the given one.
fn one_layer(path: &str, member: Entry, diff_id: &Digest) -> Vec<u8> {
    let config = config(std::slice::from_ref(diff_id));
    let manifest = format!(r#"[{{"Config":"c.json","RepoTags":null,"Layers":["{path}"]}}]"#);
    tar(&[file("c.json", config), (path.to_owned(), member), file("manifest.json", manifest)])
}

#[test]
fn old_docker_archive_keeps_the_image_id() {
    let (entries, id) = old_docker();
    let archive = open(&tar(&entries)).unwrap();
    let [image] = archive.images() else { panic!("{:?}", archive.images()) };
    assert_eq!(image.names, [reference("acme/app:1"), reference("localhost:5000/app:2")]);
    assert_eq!(image.root.media_type, MediaType::DockerManifest);
    let temporary = tempfile::tempdir().unwrap();
    let seen = load(&archive, &temporary.path().join("layout")).unwrap();
    assert_eq!(seen, [format!("{} {id}", image.root.digest)]);
}

#[test]
fn compressed_layers_are_kept_and_exotic_ones_inflated() {
    let plain = layer("x");
    let diff_id = Digest::sha256(&plain);
    for (packed, expected) in [
        (plain.clone(), MediaType::DockerLayer),
        (gzip(&plain), MediaType::DockerLayerGzip),
        (zstd::encode_all(plain.as_slice(), 1).unwrap(), MediaType::OciLayerZstd),
        (bzip2(&plain), MediaType::DockerLayer),
    ] {
        let expected_digest =
            if expected == MediaType::DockerLayer { diff_id.clone() } else { Digest::sha256(&packed) };
        for path in ["l.tar".to_owned(), format!("blobs/sha256/{}", expected_digest.hex())] {
            let archive = open(&one_layer(&path, Entry::File(packed.clone()), &diff_id)).unwrap();
            let root = &archive.images()[0].root;
            let document = futures::executor::block_on(dhow_content::read_document(&archive, root)).unwrap();
            let layer = &document.document().as_manifest().unwrap().layers[0];
            assert_eq!((&layer.media_type, &layer.digest), (&expected, &expected_digest));
            load(&archive, &tempfile::tempdir().unwrap().path().join("layout")).unwrap();
        }
    }
}

#[test]
fn wrong_layers_are_named_in_dockers_words() {
    let (mut entries, _) = old_docker();
    let wrong = layer("other");
    let found = Digest::sha256(&wrong);
    entries.retain(|(name, _)| name != "aa/layer.tar");
    entries.push(file("aa/layer.tar", wrong.clone()));
    let expected = Digest::sha256(&layer("one"));
    let archive = open(&tar(&entries)).unwrap();
    let error = load(&archive, &tempfile::tempdir().unwrap().path().join("layout")).expect_err("wrong layer");
    assert_eq!(error.kind(), Kind::Corrupt);
    assert_eq!(error.to_string(), format!("invalid diffID for layer 0: expected \"{expected}\", got \"{found}\""));

    let path = format!("blobs/sha256/{}", found.hex());
    let error = open(&one_layer(&path, Entry::File(wrong), &expected)).expect_err("the name tells");
    assert_eq!(error.to_string(), format!("invalid diffID for layer 0: expected \"{expected}\", got \"{found}\""));
}

#[test]
fn layer_counts_must_agree() {
    let config = config(&[Digest::sha256(b"1"), Digest::sha256(b"2")]);
    let manifest = r#"[{"Config":"c.json","Layers":["a","b","c"]}]"#;
    let error = open(&tar(&[file("c.json", config), file("manifest.json", manifest)])).expect_err("three for two");
    assert_eq!(error.to_string(), "invalid manifest, layers length mismatch: expected 3, got 2");
}

#[test]
fn layers_are_never_looked_for_outside() {
    let diff_id = Digest::sha256(b"");
    let config = config(std::slice::from_ref(&diff_id));
    let manifest = |path: &str| file("manifest.json", format!(r#"[{{"Config":"c.json","Layers":["{path}"]}}]"#));
    let with = |path: &str, extra: &[(String, Entry)]| {
        let mut entries = vec![file("c.json", config.clone()), manifest(path)];
        entries.extend_from_slice(extra);
        open(&tar(&entries)).expect_err(path)
    };
    for (path, extra, kind) in [
        ("/etc/passwd", vec![], Kind::Corrupt),
        ("../../etc/passwd", vec![], Kind::Corrupt),
        ("l", vec![symlink("l", "/etc/passwd")], Kind::Corrupt),
        ("l", vec![symlink("l", "../x")], Kind::Corrupt),
        ("d/l", vec![symlink("d", "d")], Kind::Corrupt),
        ("l", vec![symlink("l", "m"), symlink("m", "l")], Kind::Corrupt),
        ("l", vec![("l".to_owned(), Entry::HardLink("l".to_owned()))], Kind::Corrupt),
        ("l", vec![("l".to_owned(), Entry::Device)], Kind::Corrupt),
        ("l", vec![("l".to_owned(), Entry::Directory)], Kind::Corrupt),
        ("l", vec![symlink("l", "gone")], Kind::NotFound),
        ("l", vec![], Kind::NotFound),
    ] {
        let error = with(path, &extra);
        assert_eq!(error.kind(), kind, "{path} {extra:?}: {error}");
    }
    for name in ["../evil", "/evil", "a/../../evil"] {
        let error = open(&tar(&[file("a", ""), file(name, "x")])).expect_err("a name that leads outside");
        assert_eq!(error.kind(), Kind::Corrupt, "{name}: {error}");
    }
}

#[test]
fn links_through_directories_and_hard_links_work() {
    let plain = layer("x");
    let diff_id = Digest::sha256(&plain);
    let manifest = r#"[{"Config":"conf/c.json","RepoTags":[],"Layers":["d/hard"]}]"#;
    let entries = [
        file("real/c.json", config(&[diff_id])),
        symlink("conf", "./real"),
        file("real/l", plain),
        ("real/hard".to_owned(), Entry::HardLink("real/l".to_owned())),
        symlink("d", "conf/../real"),
        file("manifest.json", manifest),
    ];
    let archive = open(&tar(&entries)).unwrap();
    load(&archive, &tempfile::tempdir().unwrap().path().join("layout")).unwrap();
}

#[test]
fn the_last_of_two_members_counts() {
    let (mut entries, id) = old_docker();
    entries.insert(0, file("manifest.json", "[]"));
    entries.insert(0, file("aa/layer.tar", "early"));
    assert_eq!(open(&tar(&entries)).unwrap().images().len(), 1);
    entries.push(file("manifest.json", "[]"));
    let error = open(&tar(&entries)).expect_err("the list is empty");
    assert_eq!((error.kind(), error.to_string().as_str()), (Kind::Invalid, "the archive holds no images"));
    let _ = id;
}

#[test]
fn odd_documents_are_refused() {
    for (manifest, kind) in [
        ("{}", Kind::Corrupt),
        ("[", Kind::Corrupt),
        (r#"[{"Config":"a","Config":"b"}]"#, Kind::Corrupt),
        (r#"[{"Config":"missing"}]"#, Kind::NotFound),
        (r#"[{"Config":"c","RepoTags":["UPPER CASE"],"Layers":[]}]"#, Kind::Invalid),
    ] {
        let error = open(&tar(&[file("c", config(&[])), file("manifest.json", manifest)])).expect_err(manifest);
        assert_eq!(error.kind(), kind, "{manifest}: {error}");
    }
    let long = vec![b' '; (8 << 20) + 1];
    let error = open(&tar(&[file("manifest.json", long)])).expect_err("too long");
    assert_eq!(error.kind(), Kind::LimitExceeded);
}

#[test]
fn what_is_no_image_archive_is_not_recognised() {
    for bytes in [&b""[..], b"root:x:0:0", &[7; 5000], &tar(&[file("etc/passwd", "root")]), &gzip(b"")] {
        let error = open(bytes).expect_err("no archive");
        assert_eq!((error.kind(), error.to_string().as_str()), (Kind::Invalid, "unrecognized image format"));
        assert_eq!(open_stream(bytes).expect_err("no archive").kind(), Kind::Invalid);
    }
    let cut = &tar(&[file("a", vec![1; 5000])])[..3000];
    assert_eq!(open(cut).expect_err("cut off").kind(), Kind::Corrupt);
}

#[test]
fn pax_size_wins_over_the_header() {
    // CVE-2025-62518: the header says 0 bytes, the PAX record in front says how long the data is. A reader that believes
    // the header takes the data, itself a tar, for further members.
    let inner =
        tar(&[file("manifest.json", r#"[{"Config":"evil.json","Layers":[]}]"#), file("evil.json", config(&[]))]);
    let record = |length: usize| format!("{} size={length}\n", 9 + length.to_string().len());
    let record = record(inner.len());
    assert_eq!(record.len(), record.split(' ').next().unwrap().parse::<usize>().unwrap());
    let mut pax = tar::Header::new_ustar();
    pax.set_path("pax").unwrap();
    pax.set_entry_type(tar::EntryType::XHeader);
    pax.set_size(record.len() as u64);
    pax.set_cksum();
    let mut bytes = pax.as_bytes().to_vec();
    bytes.extend_from_slice(record.as_bytes());
    bytes.resize(1024, 0);
    let mut header = tar::Header::new_ustar();
    header.set_path("data").unwrap();
    header.set_size(0);
    header.set_cksum();
    bytes.extend_from_slice(header.as_bytes());
    bytes.extend_from_slice(&inner);
    let (entries, id) = old_docker();
    bytes.extend_from_slice(&tar(&entries));
    let archive = open(&bytes).unwrap();
    let seen = load(&archive, &tempfile::tempdir().unwrap().path().join("layout")).unwrap();
    assert!(seen[0].ends_with(&id.to_string()), "{seen:?}");
}

#[test]
fn links_and_directories_have_no_data_whatever_their_size() {
    let mut bytes = tar(&[symlink("l", "x")]);
    bytes.truncate(512);
    let mut header = tar::Header::from_byte_slice(&bytes).clone();
    header.set_size(1 << 30);
    header.set_cksum();
    let (entries, _) = old_docker();
    let archive = [header.as_bytes().to_vec(), tar(&entries)].concat();
    assert_eq!(open(&archive).unwrap().images().len(), 1);
}

/// A legacy archive: a chain of two layers and a third beside it.
fn legacy() -> Entries {
    vec![
        file(
            "aa/json",
            r#"{"id":"aa","created":"2014-01-02T03:04:05.100Z","container_config":{"Cmd":["/bin/sh","-c","a && b"]}}"#,
        ),
        file("aa/layer.tar", layer("base")),
        file(
            "bb/json",
            r#"{"id":"bb","parent":"aa","created":"2014-01-02T03:04:06Z","os":"linux","architecture":"amd64","Size":3}"#,
        ),
        file("bb/layer.tar", layer("top")),
        file("cc/json", r#"{"id":"cc","created":"2014-01-02T03:04:07Z"}"#),
        file("cc/layer.tar", layer("alone")),
    ]
}

#[test]
fn legacy_archives_become_images() {
    let mut entries = legacy();
    let untagged = open(&tar(&entries)).unwrap();
    assert_eq!(untagged.images().len(), 2, "the layers that are no one's parent");
    entries.push(file("repositories", r#"{"old/app":{"1":"bb","2":"bb"}}"#));
    let archive = open(&tar(&entries)).unwrap();
    let [image] = archive.images() else { panic!("{:?}", archive.images()) };
    assert_eq!(image.names, [reference("old/app:1"), reference("old/app:2")]);
    let document = futures::executor::block_on(dhow_content::read_document(&archive, &image.root)).unwrap();
    let config = &document.document().as_manifest().unwrap().config;
    let bytes = futures::executor::block_on(dhow_content::read_small(&archive, config, 1 << 20)).unwrap();
    let [one, two] = [layer("base"), layer("top")].map(|layer| Digest::sha256(&layer));
    let expected = format!(
        r#"{{"architecture":"amd64","created":"2014-01-02T03:04:06Z","history":[{{"created":"2014-01-02T03:04:05.1Z","created_by":"/bin/sh -c a \u0026\u0026 b"}},{{"created":"2014-01-02T03:04:06Z"}}],"os":"linux","rootfs":{{"type":"layers","diff_ids":["{one}","{two}"]}}}}"#
    );
    assert_eq!(String::from_utf8(bytes).unwrap(), expected);
    load(&archive, &tempfile::tempdir().unwrap().path().join("layout")).unwrap();
}

#[test]
fn broken_legacy_chains_are_refused() {
    for (name, json) in [("aa/json", r#"{"id":"aa","parent":"bb"}"#), ("aa/json", r#"{"id":"aa","parent":"zz"}"#)] {
        let mut entries = legacy();
        entries.push(file(name, json));
        entries.push(file("repositories", r#"{"old/app":{"1":"bb"}}"#));
        assert_eq!(open(&tar(&entries)).expect_err(json).kind(), Kind::Corrupt, "{json}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn order_spelling_and_wrapping_do_not_matter(
        order in Just((0..10).collect::<Vec<usize>>()).prop_shuffle(),
        dot in any::<bool>(),
        cut in any::<bool>(),
        long in any::<bool>(),
        wrap in 0..4,
        stream in any::<bool>(),
    ) {
        let (entries, _) = old_docker();
        let expected = open(&tar(&entries)).unwrap().images().to_vec();
        let mut mixed: Entries = order.iter().map(|index| entries[*index].clone()).collect();
        if dot {
            mixed.iter_mut().for_each(|(name, _)| name.insert_str(0, "./"));
        }
        if long {
            mixed.insert(3, file("x".repeat(300), vec![1; 700]));
        }
        let mut bytes = tar(&mixed);
        if cut {
            bytes.truncate(bytes.len() - 1024);
        }
        let bytes = match wrap {
            0 => bytes,
            1 => gzip(&bytes),
            2 => zstd::encode_all(bytes.as_slice(), 1).unwrap(),
            _ => bzip2(&bytes),
        };
        let archive = if stream { open_stream(&bytes) } else { open(&bytes) }.unwrap();
        prop_assert_eq!(archive.images(), expected.as_slice());
    }

    #[test]
    fn damage_does_not_panic(place in any::<prop::sample::Index>(), value in any::<u8>(), cut in any::<bool>()) {
        let (entries, _) = old_docker();
        let mut bytes = tar(&entries);
        let place = place.index(bytes.len());
        bytes[place] = value;
        if cut {
            bytes.truncate(place);
        }
        let _ = open(&bytes);
    }

    #[test]
    fn arbitrary_bytes_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..3000)) {
        let _ = open(&bytes);
    }
}
