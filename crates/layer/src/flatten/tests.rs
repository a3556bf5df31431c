use std::collections::BTreeMap;

use super::*;

/// A member of a layer: name, type flag, content or link target.
type Entry = (&'static str, u8, &'static str);

fn tar_of(entries: &[Entry]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (path, kind, content) in entries {
        let mut builder = tar_core::EntryBuilder::new_ustar();
        builder.path(*path).entry_type(tar_core::EntryType::from_byte(*kind));
        builder.mode(0o644).unwrap().uid(0).unwrap().gid(0).unwrap().mtime(0).unwrap();
        let data = if matches!(kind, b'0' | b'x') { content.as_bytes() } else { b"" };
        builder.size(data.len() as u64).unwrap();
        if matches!(kind, b'1' | b'2') {
            builder.link_name(*content);
        }
        bytes.extend(builder.finish_bytes());
        bytes.extend(data);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
    }
    bytes.extend([0; 1024]);
    bytes
}

struct InMemory(Vec<Vec<u8>>);

impl Layers for InMemory {
    fn count(&self) -> usize {
        self.0.len()
    }

    fn open(&self, layer: usize) -> Result<Box<dyn Read + '_>> {
        Ok(Box::new(self.0[layer].as_slice()))
    }
}

fn flattened(layers: &[&[Entry]]) -> Result<Vec<u8>> {
    let mut output = Vec::new();
    let layers = InMemory(layers.iter().map(|layer| tar_of(layer)).collect());
    if !flatten(&layers, &mut output)? {
        output.clear();
        flatten_files(&layers, &|| Ok(Vec::new()), &mut output)?;
    }
    Ok(output)
}

/// What unpacking gives, by an oracle that knows nothing of layers: name to content, `/`, `-> target`. A hard link takes the
/// content of its target, which has to be there.
fn unpacked(tar: &[u8]) -> BTreeMap<String, String> {
    let mut members = Members::new(tar);
    let mut files = BTreeMap::new();
    while let Some(member) = members.next().unwrap() {
        let path = String::from_utf8(member.path.clone()).unwrap();
        let target = member.target.clone().map(|target| String::from_utf8(target).unwrap());
        let content = match (member.kind, target) {
            (MemberKind::Directory, _) => "/".to_owned(),
            (MemberKind::HardLink, Some(target)) => files
                .get(&target)
                .cloned()
                .unwrap_or_else(|| panic!("{path} is linked to {target} before that is there")),
            (_, Some(target)) if !target.is_empty() => format!("-> {target}"),
            _ => {
                let mut data = Vec::new();
                members.copy_data(&mut data).unwrap();
                String::from_utf8(data).unwrap().trim_end_matches('\0').to_owned()
            }
        };
        files.insert(path, content);
    }
    files
}

/// Layers lowest first, against what they show together.
#[track_caller]
fn check(layers: &[&[Entry]], expected: &[(&str, &str)]) {
    let tar = flattened(layers).unwrap();
    let expected: BTreeMap<String, String> =
        expected.iter().map(|(path, content)| ((*path).to_owned(), (*content).to_owned())).collect();
    assert_eq!(unpacked(&tar), expected);
    assert_eq!(tar, flattened(layers).unwrap(), "it is always the same");
}

const DIRECTORY: u8 = b'5';
const FILE: u8 = b'0';
const LINK: u8 = b'1';
const SYMLINK: u8 = b'2';

#[test]
fn whiteouts_and_opaque_directories_hide() {
    let below: &[Entry] = &[
        ("a/", DIRECTORY, ""),
        ("a/one", FILE, "1"),
        ("a/two", FILE, "2"),
        ("b/", DIRECTORY, ""),
        ("b/old", FILE, "old"),
        ("c/", DIRECTORY, ""),
        ("c/deep/file", FILE, "deep"),
        ("./d", FILE, "file"),
        ("e/", DIRECTORY, ""),
        ("e/x", FILE, "x"),
    ];
    let above: &[Entry] = &[
        ("a/.wh.one", FILE, ""),
        ("b/", DIRECTORY, ""),
        ("b/.wh..wh..opq", FILE, ""),
        ("b/new", FILE, "new"),
        (".wh.c", FILE, ""),
        ("d/", DIRECTORY, ""),
        ("d/inside", FILE, "inside"),
        ("e", SYMLINK, "a"),
        (".wh..wh.plnk", DIRECTORY, ""),
    ];
    check(
        &[below, above],
        &[("a", "/"), ("a/two", "2"), ("b", "/"), ("b/new", "new"), ("d", "/"), ("d/inside", "inside"), ("e", "-> a")],
    );
}

/// A whiteout holds for the layers below, not for its own, wherever it stands in it.
#[test]
fn a_layer_hides_nothing_of_its_own() {
    let below: &[Entry] = &[("a/", DIRECTORY, ""), ("a/x", FILE, "old"), ("a/y", FILE, "old")];
    let above: &[Entry] =
        &[("a/", DIRECTORY, ""), ("a/x", FILE, "new"), ("a/.wh..wh..opq", FILE, ""), (".wh.a", FILE, "")];
    check(&[below, above], &[("a", "/"), ("a/x", "new")]);
    // Replaced in the middle: what the lowest had below the directory is gone, although the top has one again.
    let middle: &[Entry] = &[("a", FILE, "file")];
    let top: &[Entry] = &[("a/", DIRECTORY, ""), ("a/z", FILE, "z")];
    check(&[below, middle, top], &[("a", "/"), ("a/z", "z")]);
    // The last of several of one name counts.
    check(&[&[("x", FILE, "first"), ("x", FILE, "second")]], &[("x", "second")]);
}

#[test]
fn hard_links_follow_their_file() {
    let below: &[Entry] = &[("file", FILE, "content"), ("other", LINK, "file")];
    // To a file of the layer below.
    check(&[below, &[("new", LINK, "file")]], &[("file", "content"), ("other", "content"), ("new", "content")]);
    // To a name that is itself a link.
    check(&[below, &[("new", LINK, "other")]], &[("file", "content"), ("other", "content"), ("new", "content")]);
    // The file is removed under its own name.
    check(&[below, &[(".wh.file", FILE, "")]], &[("other", "content")]);
    // It is replaced.
    check(&[below, &[("file", FILE, "new")]], &[("file", "new"), ("other", "content")]);
    // Linked above, then removed still further above.
    check(
        &[below, &[("new", LINK, "file"), ("newer", LINK, "new")], &[(".wh.file", FILE, ""), (".wh.other", FILE, "")]],
        &[("new", "content"), ("newer", "content")],
    );
    check(
        &[&[("a", FILE, "1"), ("b", LINK, "a"), ("c", LINK, "b")], &[("b", FILE, "2"), ("a", FILE, "3")]],
        &[("a", "3"), ("b", "2"), ("c", "1")],
    );
    // Linked above and here, and gone under its own name.
    check(
        &[&[("a", FILE, "1"), ("b", LINK, "a")], &[("c", LINK, "a")], &[(".wh.a", FILE, "")]],
        &[("b", "1"), ("c", "1")],
    );
    let error = flattened(&[&[("a", LINK, "nothing")]]).unwrap_err();
    assert!(error.to_string().contains("\"nothing\", does not exist"), "{error}");
}

#[test]
fn hard_links_lead_through_symbolic_links() {
    let usr: &[Entry] = &[("lib", SYMLINK, "usr/lib"), ("usr/lib/x", FILE, "1")];
    let shown = [("lib", "-> usr/lib"), ("usr", "/"), ("usr/lib", "/"), ("usr/lib/x", "1"), ("y", "1")];
    // Of its own layer, of one below, and where the file lies between.
    check(&[&[usr[0], usr[1], ("y", LINK, "lib/x")]], &shown);
    check(&[usr, &[("y", LINK, "lib/x")]], &shown);
    check(&[&[usr[0]], &[usr[1]], &[("y", LINK, "lib/x")]], &shown);
    // What a layer below has under the name is hidden by the link.
    check(&[&[("lib/x", FILE, "2")], &[usr[0], usr[1], ("y", LINK, "lib/x")]], &shown);
}

/// As when they are unpacked.
#[test]
fn names_are_cleaned_and_times_can_be_before_1970() {
    check(&[&[("a/../b", FILE, "1"), ("c/./d", FILE, "2")], &[("x/../.wh.b", FILE, "")]], &[("c/d", "2")]);
    let old = tar_of(&[("pax", b'x', "14 mtime=-5.5\n"), ("a/../b", FILE, "content")]);
    assert_eq!(crate::check_tar(old.as_slice()).expect("a tar"), 1);
}

#[test]
fn damaged_layers_are_refused() {
    let whole = tar_of(&[("a", FILE, "content")]);
    for (bytes, expected) in [
        (whole[..600].to_vec(), "it ends in the middle of a file"),
        (whole[..300].to_vec(), "it ends in the middle of a header"),
        (vec![b'x'; 2048], "a layer is no proper tar"),
        (tar_of(&[("../a", FILE, "")]), "which lies outside"),
        (tar_of(&[("pax", b'x', "11 size=-5\n"), ("a", FILE, "")]), "invalid PAX size value: \"-5\""),
    ] {
        let error = flatten(&InMemory(vec![bytes]), &mut std::io::sink()).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
}

/// A time as a writer of PAX has it, or GNU tar in base-256, which has no fraction.
fn tar_of_time(seconds: i64, nanoseconds: Option<u32>) -> Vec<u8> {
    let Some(nanoseconds) = nanoseconds else {
        let mut tar = tar_of(&[("a", FILE, "content")]);
        let fill = if seconds < 0 { 0xff } else { 0 };
        tar[136..140].copy_from_slice(&[0x80 | fill, fill, fill, fill]);
        tar[140..148].copy_from_slice(&seconds.to_be_bytes());
        tar[148..156].fill(b' ');
        let sum: u32 = tar[..512].iter().map(|byte| u32::from(*byte)).sum();
        tar[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        return tar;
    };
    let total = i128::from(seconds) * 1_000_000_000 + i128::from(nanoseconds);
    let sign = if total < 0 { "-" } else { "" };
    let (whole, fraction) = (total.unsigned_abs() / 1_000_000_000, total.unsigned_abs() % 1_000_000_000);
    let body = format!(" mtime={sign}{whole}.{fraction:09}\n");
    let length = body.len() + 2;
    let record: &'static str = Box::leak(format!("{length}{body}").into_boxed_str());
    tar_of(&[("pax", b'x', record), ("a", FILE, "content")])
}

/// The time of the only member.
fn time_of(tar: &[u8]) -> (i64, u32) {
    let mut reader = crate::tar::TarReader::new(tar, "the tar", crate::tar::TarLimits::LAYER);
    let time = reader.next_entry().unwrap().expect("a member").mtime;
    (time.seconds, time.nanoseconds)
}

/// Long names come through as they were, and the header of a renamed file has its new one.
#[test]
fn long_names_survive() {
    let long: &'static str = Box::leak(format!("dir/{}", "n".repeat(300)).into_boxed_str());
    let longer: &'static str = Box::leak(format!("dir/{}", "m".repeat(400)).into_boxed_str());
    check(&[&[(long, FILE, "1"), (longer, LINK, long)]], &[(long, "1"), (longer, "1")]);
    check(&[&[(long, FILE, "1"), (longer, LINK, long)], &[(long, FILE, "2")]], &[(long, "2"), (longer, "1")]);
}

mod against_a_model {
    use proptest::prelude::*;

    use super::*;

    const NAMES: [&str; 6] = ["a", "b", "d", "d/x", "d/y", "d/e/z"];

    /// A layer of files, directories and removals: at most one entry to a name, parents before children.
    fn layer() -> impl Strategy<Value = Vec<Entry>> {
        prop::collection::vec(0..5_u8, NAMES.len()).prop_map(|choices| {
            let mut entries = Vec::new();
            for (name, choice) in NAMES.into_iter().zip(choices) {
                let in_file = entries
                    .iter()
                    .any(|(other, kind, _): &Entry| *kind == FILE && name.starts_with(&format!("{other}/")));
                let content = ["", "one", "two", "", ""][usize::from(choice)];
                match choice {
                    1 | 2 if !in_file && name != "d" => entries.push((name, FILE, content)),
                    3 if !in_file && name == "d" => entries.push((name, DIRECTORY, "")),
                    4 => {
                        let (directory, last) = name.rsplit_once('/').map_or(("", name), |(first, last)| (first, last));
                        let slash = if directory.is_empty() { "" } else { "/" };
                        let whiteout = format!("{directory}{slash}.wh.{last}");
                        entries.insert(0, (Box::leak(whiteout.into_boxed_str()), FILE, ""));
                    }
                    _ => {}
                }
            }
            entries
        })
    }

    /// Applies layers one after the other, from the lowest up.
    fn applied(layers: &[Vec<Entry>]) -> BTreeMap<String, String> {
        let mut files: BTreeMap<String, String> = BTreeMap::new();
        for layer in layers {
            for (path, kind, content) in layer {
                let (directory, last) = path.rsplit_once('/').unwrap_or(("", path));
                if let Some(removed) = last.strip_prefix(".wh.") {
                    let gone = if directory.is_empty() { removed.to_owned() } else { format!("{directory}/{removed}") };
                    files.retain(|name, _| *name != gone && !name.starts_with(&format!("{gone}/")));
                } else if *kind == DIRECTORY {
                    files.insert((*path).to_owned(), "/".to_owned());
                } else {
                    files.insert((*path).to_owned(), (*content).to_owned());
                }
            }
        }
        files
    }

    proptest! {
        #[test]
        fn times_of_all_centuries_survive(
            seconds in prop_oneof![-70_000_000_000_i64..70_000_000_000, -3_i64..3],
            nanoseconds in prop::option::of(prop_oneof![Just(0), 0..1_000_000_000_u32]),
        ) {
            let layers = InMemory(vec![tar_of_time(seconds, nanoseconds)]);
            let (mut by_names, mut by_files) = (Vec::new(), Vec::new());
            prop_assert!(flatten(&layers, &mut by_names).unwrap());
            flatten_files(&layers, &|| Ok(Vec::new()), &mut by_files).unwrap();
            let expected = (seconds, nanoseconds.unwrap_or(0));
            prop_assert_eq!((time_of(&by_names), time_of(&by_files)), (expected, expected));
        }

        #[test]
        fn flattening_shows_what_applying_does(layers in prop::collection::vec(layer(), 1..5)) {
            let tars = InMemory(layers.iter().map(|layer| tar_of(layer)).collect());
            let mut output = Vec::new();
            prop_assert!(flatten(&tars, &mut output).unwrap());
            prop_assert_eq!(unpacked(&output), applied(&layers));
        }
    }
}
