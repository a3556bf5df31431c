//! Archives made byte by byte: what each writer's oddities mean, and what is refused.

use std::io::Cursor;

use super::*;

/// A header as GNU tar writes it; fields are set by position.
struct Block([u8; 512]);

impl Block {
    fn new(name: &[u8], type_flag: u8, size: u64) -> Self {
        let mut block = [0; 512];
        block[..name.len()].copy_from_slice(name);
        block[257..265].copy_from_slice(b"ustar\x0000");
        block[156] = type_flag;
        Self(block)
            .set(100, b"0000644\0")
            .set(108, b"0001750\0")
            .set(116, b"0000144\0")
            .set(124, format!("{size:011o}\0").as_bytes())
            .set(136, b"14000000000\0")
    }

    fn set(mut self, at: usize, bytes: &[u8]) -> Self {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
        self
    }

    fn done(mut self) -> Vec<u8> {
        self.0[148..156].fill(b' ');
        let sum: u32 = self.0.iter().map(|byte| u32::from(*byte)).sum();
        self.0[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        self.0.to_vec()
    }
}

fn padded(data: &[u8]) -> Vec<u8> {
    let mut data = data.to_vec();
    data.resize(data.len().next_multiple_of(512), 0);
    data
}

fn member(type_flag: u8, data: &[u8]) -> Vec<u8> {
    [Block::new(b"extension", type_flag, data.len() as u64).done(), padded(data)].concat()
}

fn file(name: &str, data: &[u8]) -> Vec<u8> {
    [Block::new(name.as_bytes(), b'0', data.len() as u64).done(), padded(data)].concat()
}

fn pax(records: &[(&str, &str)]) -> Vec<u8> {
    let mut data = Vec::new();
    for (key, value) in records {
        let body = key.len() + value.len() + 3;
        let length = (body..).find(|length| length.to_string().len() + body == *length).expect("a length");
        data.extend_from_slice(format!("{length} {key}={value}\n").as_bytes());
    }
    member(b'x', &data)
}

/// All entries with their data, or the error's text behind the stream's name.
fn read(archive: &[u8]) -> Result<Vec<(Entry, Vec<u8>)>, String> {
    let mut reader = TarReader::new(archive, "layer", TarLimits::LAYER);
    let mut entries = Vec::new();
    let text = |error: TarError| error.to_string().trim_start_matches("layer: ").to_owned();
    while let Some(entry) = reader.next_entry().map_err(text)? {
        let mut data = Vec::new();
        loop {
            let chunk = reader.data().map_err(text)?;
            if chunk.is_empty() {
                break;
            }
            data.extend_from_slice(chunk);
        }
        assert_eq!(data.len() as u64, entry.stored_bytes);
        assert_eq!(archive[entry.data_offset as usize..][..data.len()], data);
        entries.push((entry, data));
    }
    Ok(entries)
}

fn one(archive: &[u8]) -> (Entry, Vec<u8>) {
    let mut entries = read(archive).expect("a readable archive");
    assert_eq!(entries.len(), 1);
    entries.remove(0)
}

fn refused(parts: &[Vec<u8>], expected: &str) {
    let error = read(&parts.concat()).expect_err(expected);
    assert!(error.contains(expected), "{error:?} does not say {expected:?}");
}

const END: [u8; 1024] = [0; 1024];

#[test]
fn an_entry_has_what_its_header_says() {
    let (entry, data) = one(&[&file("./a//b", b"hello")[..], &END].concat());
    assert_eq!(entry.path.to_string(), "a/b");
    assert_eq!(entry.kind, EntryKind::File { size: 5, sparse: None });
    assert_eq!((entry.mode, entry.uid, entry.gid), (0o644, 0o1750, 0o144));
    assert_eq!(entry.mtime, Time { seconds: 0o14000000000, nanoseconds: 0 });
    assert_eq!((entry.number, entry.header_offset, entry.data_offset, entry.stored_bytes), (1, 0, 512, 5));
    assert_eq!(data, b"hello");
}

#[test]
fn types_and_targets() {
    let check = |block: Block, expected: EntryKind| assert_eq!(one(&block.done()).0.kind, expected);
    let path = |text: &str| RelativePath::parse(text.as_bytes()).expect("a path");
    check(Block::new(b"d", b'5', 0), EntryKind::Directory { opaque: false });
    check(Block::new(b"d/", 0, 0), EntryKind::Directory { opaque: false });
    check(Block::new(b"d/", b'0', 0), EntryKind::File { size: 0, sparse: None });
    check(Block::new(b"f", b'7', 0), EntryKind::File { size: 0, sparse: None });
    check(Block::new(b"l", b'2', 0).set(157, b"../../x"), EntryKind::Symlink { target: b"../../x".to_vec() });
    check(Block::new(b"h", b'1', 7).set(157, b"/a/./b"), EntryKind::HardLink { target: path("a/b") });
    check(Block::new(b"p", b'6', 0), EntryKind::Fifo);
    let device = Block::new(b"c", b'3', 0).set(329, b"0000005\0").set(337, b"0000001\0");
    check(device, EntryKind::CharDevice { major: 5, minor: 1 });
    check(Block::new(b"c", b'3', 0), EntryKind::Whiteout(WhiteoutForm::Overlay));
    check(Block::new(b"b", b'4', 0), EntryKind::BlockDevice { major: 0, minor: 0 });
    refused(&[Block::new(b"d", b'D', 0).done()], "entries of type 'D' are not supported");
    refused(&[Block::new(b"l", b'2', 0).done()], "link target is not valid: it is empty");
    refused(&[Block::new(b"h", b'1', 0).set(157, b"../x").done()], "it leads out of the root");
}

#[test]
fn long_names_and_pax_records_override_the_header() {
    let long = "n/".repeat(200) + "end";
    let gnu =
        [member(b'L', format!("{long}\0").as_bytes()), member(b'K', b"target\0"), Block::new(b"s", b'2', 0).done()];
    let (entry, _) = one(&gnu.concat());
    assert_eq!(entry.path.to_string(), long);
    assert_eq!(entry.kind, EntryKind::Symlink { target: b"target".to_vec() });

    let records = [
        ("path", "p"),
        ("uid", "4294967294"),
        ("gid", "70000"),
        ("mtime", "-1.5"),
        ("size", "3"),
        ("comment", "x"),
        ("SCHILY.xattr.user.k", "v"),
    ];
    let archive = [pax(&records), Block::new(b"s", b'0', 1000).done(), padded(b"abc"), file("next", b"")];
    let entries = read(&archive.concat()).expect("readable");
    let (entry, data) = &entries[0];
    assert_eq!((entry.path.to_string(), entry.uid, entry.gid), ("p".to_owned(), u32::MAX - 1, 70000));
    assert_eq!(entry.mtime, Time { seconds: -2, nanoseconds: 500_000_000 });
    assert_eq!(entry.xattrs, [Xattr { name: b"user.k".to_vec(), value: b"v".to_vec() }]);
    assert_eq!((data.as_slice(), entries[1].0.path.to_string()), (&b"abc"[..], "next".to_owned()));
    assert_eq!(entries[1].0.header_offset, entry.data_offset + 512);
}

#[test]
fn odd_but_honest_headers() {
    let prefixed = Block::new(b"name", b'0', 0).set(345, b"a/prefix");
    assert_eq!(one(&prefixed.done()).0.path.to_string(), "a/prefix/name");
    let gnu = Block::new(b"name", b'0', 0).set(257, b"ustar  \0").set(345, b"ignored");
    assert_eq!(one(&gnu.done()).0.path.to_string(), "name");
    let negative = Block::new(b"name", b'0', 0).set(136, &[0xff; 12]);
    assert_eq!(one(&negative.done()).0.mtime, Time { seconds: -1, nanoseconds: 0 });
    let wide = Block::new(b"name", b'0', 0).set(108, &[0x80, 0, 0, 0, 0, 3, 0, 0]);
    assert_eq!(one(&wide.done()).0.uid, 0x30000);
    // A sum over signed bytes, as Sun's tar had it.
    let mut signed = Block::new(b"n\xff", b'0', 0).done();
    let sum: i32 = signed
        .iter()
        .enumerate()
        .map(|(index, byte)| match index {
            148..156 => i32::from(b' '),
            _ => i32::from(byte.cast_signed()),
        })
        .sum();
    signed[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    assert_eq!(one(&signed).0.path.as_bytes(), b"n\xff");
    // Global headers of `git archive`, no padding at the end, no end mark, zero bytes that make no block.
    let global = [member(b'g', b"13 comment=x\n"), file("f", b"12")].concat();
    assert_eq!(one(&global).1, b"12");
    assert_eq!(one(&global[..global.len() - 510]).1, b"12");
    assert_eq!(one(&[&global[..], &[0; 100]].concat()).1, b"12");
    assert_eq!(one(&[&global[..], &END, b"anything"].concat()).1, b"12");
}

#[test]
fn sparse_files_of_every_version() {
    let extents = [(512, 3), (2000, 2)].map(|(offset, length)| Extent { offset, length });
    let check = |parts: &[Vec<u8>]| {
        let entries = read(&parts.concat()).expect("readable");
        let EntryKind::File { size, sparse: Some(map) } = &entries[0].0.kind else { panic!("no sparse file") };
        assert_eq!((*size, map.extents(), entries[0].1.as_slice()), (4000, &extents[..], &b"abcde"[..]));
        assert_eq!(entries[0].0.path.to_string(), "real");
        assert_eq!(entries[1].0.path.to_string(), "next");
    };
    let octal = |number: u64| format!("{number:011o}\0").into_bytes();
    let data = || [padded(b"abcde"), file("next", b"x")].concat();
    let descriptors = [512, 3, 2000, 2, 4000, 0].map(octal).concat();
    let old = || Block::new(b"real", b'S', 5).set(257, b"ustar  \0").set(386, &descriptors).set(483, &octal(4000));
    check(&[old().done(), data()]);
    let first = Block::new(b"real", b'S', 5).set(257, b"ustar  \0").set(386, &descriptors[..24]);
    let extended = first.set(482, &[1]).set(483, &octal(4000)).done();
    check(&[extended, padded(&descriptors[24..]), data()]);
    let header = || Block::new(b"GNUSparseFile.0/real", b'0', 5).done();
    let offsets = [("512", "3"), ("2000", "2"), ("4000", "0")]
        .iter()
        .flat_map(|(offset, length)| [("GNU.sparse.offset", *offset), ("GNU.sparse.numbytes", *length)])
        .chain([("GNU.sparse.size", "4000"), ("GNU.sparse.name", "real")])
        .collect::<Vec<_>>();
    check(&[pax(&offsets), header(), data()]);
    let map = [("GNU.sparse.size", "4000"), ("GNU.sparse.name", "real"), ("GNU.sparse.map", "512,3,2000,2")];
    check(&[pax(&map), header(), data()]);
    let newest = [
        ("GNU.sparse.major", "1"),
        ("GNU.sparse.minor", "0"),
        ("GNU.sparse.realsize", "4000"),
        ("GNU.sparse.name", "real"),
    ];
    let header = || Block::new(b"GNUSparseFile.0/real", b'0', 517).done();
    check(&[pax(&newest), header(), padded(b"2\n512\n3\n2000\n2\n"), data()]);
    // The PAX size counts the map as well, and wins over the header's.
    let newest_with_size = [&newest[..], &[("size", "517")]].concat();
    check(&[pax(&newest_with_size), Block::new(b"x", b'0', 0).done(), padded(b"2\n512\n3\n2000\n2\n"), data()]);

    for map in ["5,1,5,1,0,3", "10,5,12,1", "0,4", "0,6", "3999,5", "9223372036854775807,9223372036854775807", "1"] {
        let records = [("GNU.sparse.size", "4000"), ("GNU.sparse.map", map)];
        refused(&[pax(&records), Block::new(b"f", b'0', 5).done(), data()], "sparse map is malformed");
    }
    let huge = [("GNU.sparse.size", "9223372036854775807"), ("GNU.sparse.map", "0,5")];
    refused(&[pax(&huge), Block::new(b"f", b'0', 5).done(), data()], "exceeds the limit");
    refused(&[pax(&newest), header(), padded(b"2\n512\n-3\n")], "it is no list of numbers");
    refused(&[pax(&newest), header(), padded(b"99999999\n")], "exceeds the limit");
    refused(&[pax(&newest), Block::new(b"x", b'0', 5).done(), padded(b"0\n")], "it is cut off");
}

#[test]
fn streams_that_mean_two_things_are_refused() {
    // TARmageddon (CVE-2025-62518): a reader that skips by the header's size finds other entries.
    let inner = file("smuggled", b"");
    let outer = [pax(&[("size", &inner.len().to_string())]), Block::new(b"outer", b'0', 0).done(), inner].concat();
    assert_eq!(one(&outer).0.path.to_string(), "outer");
    let named_twice = [member(b'L', b"one\0"), pax(&[("path", "two")]), file("f", b"")];
    refused(&named_twice, "the name is stated twice");
    refused(&[pax(&[("size", "1"), ("size", "2")]), file("f", b"")], "stated twice");
    refused(&[pax(&[("path", "a")]), pax(&[("path", "b")]), file("f", b"")], "stated twice");
    refused(&[member(b'g', b"9 size=5\n"), file("f", b"")], "global header changes");
    refused(&[file("f", b""), vec![0; 512], file("g", b"")], "a single zero block");
    refused(&[pax(&[("size", "-1")]), file("f", b"")], "malformed");
    refused(&[pax(&[("path", "a")]), END.to_vec()], "do not belong to an entry");
    refused(&[member(b'x', b"12 path=a\n"), file("f", b"")], "a record's length is wrong");
}

#[test]
fn damage_and_limits_name_the_entry() {
    refused(&[b"not a tar archive".to_vec()], "entry 1 at byte 0: unexpected EOF");
    refused(&[vec![b'x'; 512]], "entry 1 at byte 0: the header is damaged or this is no tar archive");
    refused(&[file("f", b""), file("g", b"data")[..514].to_vec()], "entry 2 \"g\": unexpected EOF");
    refused(&[file("../f", b"")], "entry 1 \"../f\": the path leads out of the root");
    refused(&[file(".wh..", b"")], "the whiteout does not name a file");
    refused(&[Block::new(b"f", b'0', 0).set(124, &[0xff; 12]).done()], "the field \"size\" has no valid number");
    refused(&[pax(&[("uid", "4294967296")]), file("f", b"")], "uid 4294967296 is out of range");
    refused(&[pax(&[("gid", "4294967295")]), file("f", b"")], "gid 4294967295 is out of range");
    refused(&[pax(&[("uid", "-1")]), file("f", b"")], "uid -1 is out of range");
    refused(&[Block::new(b"x", b'x', 2 << 20).done()], "the length of an extension header exceeds the limit");
    let many = vec![member(b'L', b"x"); 1].concat();
    refused(&[many.clone(), many], "stated twice");

    let archive = [file("a", b"12345"), file("b", b"67890")].concat();
    let limited = |limits: TarLimits| {
        let mut reader = TarReader::new(&archive[..], "layer 7", limits);
        loop {
            match reader.next_entry() {
                Ok(Some(_)) => {}
                Ok(None) => return None,
                Err(error) => return Some(dhow_base::Error::from(error).to_string()),
            }
        }
    };
    assert_eq!(limited(TarLimits::LAYER), None);
    let text = limited(TarLimits { entries_max: 1, ..TarLimits::LAYER });
    assert_eq!(text.as_deref(), Some("layer 7: entry 2 at byte 1024: the number of entries exceeds the limit of 1"));
    let text = limited(TarLimits { stored_bytes_max: 9, ..TarLimits::LAYER });
    assert_eq!(text.as_deref(), Some("layer 7: entry 2 \"b\": the length of all files exceeds the limit of 9"));
    let text = limited(TarLimits { time_max: Some(std::time::Duration::ZERO), ..TarLimits::LAYER });
    assert_eq!(text.as_deref(), Some("layer 7: the time in seconds exceeds the limit of 0"));
}

#[test]
fn overlay_attributes_never_come_through() {
    let records = [("SCHILY.xattr.trusted.overlay.opaque", "y"), ("SCHILY.xattr.trusted.overlay.redirect", "/etc")];
    let (entry, _) = one(&[pax(&records), Block::new(b"d", b'5', 0).done()].concat());
    assert_eq!((entry.kind, entry.xattrs.len()), (EntryKind::Directory { opaque: true }, 0));
}

/// Entries, and the error that ends them, are the same whether the data between them is read or passed over.
#[test]
fn what_is_passed_over_needs_no_reading() {
    let entries = |archive: &[u8], is_passed_over: bool| {
        let mut reader = TarReader::new(Cursor::new(archive), "stream", TarLimits::LAYER);
        if is_passed_over {
            reader = reader.passing_over(|reader, count| {
                let passed = count.min(reader.get_ref().len() as u64 - reader.position());
                reader.set_position(reader.position() + passed);
                Ok(passed)
            });
        }
        let mut entries = Vec::new();
        loop {
            match reader.next_entry() {
                Ok(Some(entry)) => entries.push(entry),
                Ok(None) => return (entries, reader.finish().err().map(|error| error.to_string())),
                Err(error) => return (entries, Some(error.to_string())),
            }
        }
    };
    let large = vec![7; 700_001];
    let archive = [
        file("large", &large),
        pax(&[("path", "b")]),
        file("x", b"small"),
        file("c", &large[..300_000]),
        vec![0; 1024],
    ]
    .concat();
    for end in (0..=archive.len()).step_by(509).chain([archive.len()]) {
        assert_eq!(entries(&archive[..end], true), entries(&archive[..end], false), "cut at {end}");
    }
}
