//! Trees into layers and back: what is unpacked is what was packed, whatever it was.

#![allow(clippy::disallowed_methods, reason = "scratch files of the test itself")]

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use dhow_base::beneath::{self, Dir, FileKind};
use dhow_layer::diff::{
    DiffOptions, diff, write_named, write_tree, write_union, write_union_at, write_upper_directory,
};
use dhow_layer::erofs::{Image, Union, Workspace, convert};
use dhow_layer::tar::{EntryKind, RelativePath, TarLimits, TarReader};
use dhow_layer::unpack::{IdMap, Owners, Unpacker};
use dhow_spec::Digest;
use proptest::prelude::*;

/// A file of a tree under construction.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Spec {
    kind: Kind,
    mode: u32,
    owner: u32,
    time: (i64, u32),
    xattr: Option<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    File(Vec<u8>),
    Directory,
    Symlink(String),
    Fifo,
    Device,
    /// Another name of the n-th file before it, if there is one.
    Link(usize),
}

type Tree = BTreeMap<String, Spec>;

fn is_root() -> bool {
    fs::metadata("/proc/self").expect("proc").uid() == 0
}

fn owners() -> Owners {
    if is_root() { Owners::Keep(IdMap::default()) } else { Owners::Caller }
}

fn build(path: &Path, tree: &Tree) -> Dir {
    let root = Dir::open(path).expect("the root");
    let mut files: Vec<&str> = Vec::new();
    for (name, spec) in tree {
        let (above, last) = name.rsplit_once('/').unwrap_or(("", name));
        // A path whose parent is no directory of the tree stays out.
        let Ok(dir) = root.enter(Path::new(above)) else { continue };
        if !above.is_empty() && !tree.get(above).is_some_and(|spec| spec.kind == Kind::Directory) {
            continue;
        }
        let last = last.as_ref();
        match &spec.kind {
            Kind::File(content) => {
                let file = dir.make_file(last).expect("a file");
                beneath::write_at(&file, content, 0).expect("content");
                files.push(name);
            }
            Kind::Directory => dir.make_dir(last).expect("a directory"),
            Kind::Symlink(target) => dir.make_symlink(last, target.as_bytes()).expect("a link"),
            Kind::Fifo => dir.make_node(last, FileKind::Fifo, (0, 0)).expect("a pipe"),
            Kind::Device if is_root() => dir.make_node(last, FileKind::CharDevice, (1, 3)).expect("a device"),
            Kind::Device => continue,
            Kind::Link(number) => {
                let Some(target) = files.get(number % files.len().max(1)) else { continue };
                let (target_above, target_last) = target.rsplit_once('/').unwrap_or(("", target));
                let target_dir = root.enter(Path::new(target_above)).expect("its directory");
                target_dir.make_link(target_last.as_ref(), &dir, last).expect("a link");
                continue;
            }
        }
        if is_root() {
            dir.set_owner_of(last, spec.owner, spec.owner + 1).expect("an owner");
        }
        if matches!(spec.kind, Kind::File(_) | Kind::Directory)
            && let Some(value) = spec.xattr
        {
            dir.set_xattr_of(last, b"user.k", &[value]).expect("an attribute");
        }
        if !matches!(spec.kind, Kind::Symlink(_)) {
            dir.set_mode_of(last, spec.mode).expect("a mode");
        }
    }
    // Times last, from below: making files changes those of directories.
    for (name, spec) in tree.iter().rev() {
        let (above, last) = name.rsplit_once('/').unwrap_or(("", name));
        if !matches!(spec.kind, Kind::Link(_))
            && let Ok(dir) = root.enter(Path::new(above))
            && dir.stat_of(last.as_ref()).expect("stat").is_some()
        {
            dir.set_modified_of(last.as_ref(), spec.time.0, spec.time.1).expect("a time");
        }
    }
    root
}

/// Everything that there is to say about each file of a tree.
fn snapshot(root: &Dir) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut first_names: BTreeMap<(u64, u64), String> = BTreeMap::new();
    fn walk(
        dir: &Dir,
        prefix: &str,
        found: &mut BTreeMap<String, String>,
        first_names: &mut BTreeMap<(u64, u64), String>,
    ) {
        let mut names = dir.names().expect("names");
        names.sort();
        for name in names {
            let name = String::from_utf8(name).expect("UTF-8");
            let path = format!("{prefix}{name}");
            let stat = dir.stat_of(name.as_ref()).expect("stat").expect("it");
            let first = first_names.entry(stat.identity).or_insert_with(|| path.clone()).clone();
            let target = match stat.kind {
                FileKind::Symlink => dir.read_link(name.as_ref()).expect("a target"),
                FileKind::File => {
                    let mut content = Vec::new();
                    let mut file = dir.open_file(Path::new(&name)).expect("a file");
                    std::io::Read::read_to_end(&mut file, &mut content).expect("content");
                    content
                }
                _ => Vec::new(),
            };
            let xattrs = dir.xattrs_of(name.as_ref()).expect("attributes");
            let text = format!(
                "{:?} {:o} {}:{} {:?} {:?} {target:?} {xattrs:?} is {first}",
                stat.kind, stat.mode, stat.uid, stat.gid, stat.modified, stat.device
            );
            found.insert(path.clone(), text);
            if stat.kind == FileKind::Directory {
                walk(&dir.child(name.as_ref()).expect("a directory"), &format!("{path}/"), found, first_names);
            }
        }
    }
    walk(root, "", &mut found, &mut first_names);
    found
}

fn unpack(layers: &[&[u8]]) -> (tempfile::TempDir, Dir) {
    let scratch = tempfile::tempdir_in("/var/tmp").expect("a folder");
    let mut unpacker = Unpacker::new(Dir::open(scratch.path()).expect("the root"), owners()).expect("an unpacker");
    for layer in layers {
        unpacker.layer(*layer, "layer", TarLimits::LAYER).expect("it unpacks");
    }
    let unpacked = unpacker.finish().expect("it finishes");
    assert_eq!(unpacked.notes, []);
    (scratch, unpacked.root)
}

/// The layers as files, laid over each other.
fn stacked(layers: &[&[u8]]) -> Union<Vec<u8>> {
    let mut images: Vec<Arc<Image<Vec<u8>>>> = Vec::new();
    for layer in layers {
        let (below, mut target) = (Union::new(images.clone()), Vec::new());
        let scratch = || Ok(Vec::new());
        let workspace = Workspace { target: &mut target, scratch: &scratch, below: &below };
        convert(*layer, &Digest::sha256(layer), workspace).expect("a layer");
        images.push(Arc::new(Image::open(target).expect("its own file")));
    }
    Union::new(images)
}

fn names() -> impl Strategy<Value = String> + Clone {
    let name = prop_oneof!["[a-d]", Just("a.b".to_owned()), Just("é".to_owned()), Just("n".repeat(130))];
    proptest::collection::vec(name, 1..4).prop_map(|names| names.join("/"))
}

fn specs() -> impl Strategy<Value = Spec> + Clone {
    let kind = prop_oneof![
        3 => proptest::collection::vec(any::<u8>(), 0..3).prop_map(Kind::File),
        4 => Just(Kind::Directory),
        1 => "[a-d/.]{1,8}".prop_map(Kind::Symlink),
        1 => "[a-d]{120,130}".prop_map(Kind::Symlink),
        1 => Just(Kind::Fifo),
        1 => Just(Kind::Device),
        2 => (0_usize..4).prop_map(Kind::Link),
    ];
    let mode = prop_oneof![Just(0o755_u32), Just(0o700), Just(0o2711), Just(0o4755)];
    let owner = prop_oneof![Just(0_u32), Just(1000), Just(3_000_000)];
    let time = prop_oneof![Just((1_600_000_000_i64, 0_u32)), Just((1_600_000_000, 5)), Just((-2, 250_000_000))];
    (kind, mode, owner, time, proptest::option::weighted(0.2, 0_u8..2))
        .prop_map(|(kind, mode, owner, time, xattr)| Spec { kind, mode, owner, time, xattr })
}

/// A tree, and another that has much in common with it.
fn trees() -> impl Strategy<Value = (Tree, Tree)> {
    let tree = proptest::collection::btree_map(names(), specs(), 0..14);
    (tree.clone(), tree, any::<u16>()).prop_map(|(lower, other, choice)| {
        let mut upper = lower.clone();
        for (index, (name, spec)) in other.into_iter().enumerate() {
            if choice >> (index % 16) & 1 == 1 {
                upper.insert(name, spec);
            } else {
                upper.remove(&name);
            }
        }
        let gone: Vec<String> = upper
            .keys()
            .enumerate()
            .filter(|(index, _)| choice >> (index % 15) & 3 == 3)
            .map(|(_, name)| name.clone())
            .collect();
        for name in gone {
            upper.remove(&name);
        }
        (lower, upper)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_differs_applied_gives_the_other((lower, upper) in trees()) {
        let folders = [(); 2].map(|()| tempfile::tempdir_in("/var/tmp").expect("a folder"));
        let lower_root = build(folders[0].path(), &lower);
        let upper_root = build(folders[1].path(), &upper);
        let options = DiffOptions::default();
        let (mut base, mut layer, mut again) = (Vec::new(), Vec::new(), Vec::new());
        write_tree(&lower_root, &mut base, options).expect("the lower tree");
        let written = diff(Some(&lower_root), &upper_root, &mut layer, options).expect("the difference");
        prop_assert_eq!(written, layer.len() as u64);
        diff(Some(&lower_root), &upper_root, &mut again, options).expect("the difference");
        prop_assert!(layer == again);
        let (_base_folder, base_root) = unpack(&[&base]);
        prop_assert_eq!(snapshot(&base_root), snapshot(&lower_root));
        let (_folder, root) = unpack(&[&base, &layer]);
        prop_assert_eq!(snapshot(&root), snapshot(&upper_root));
        // Packed again it is the same, byte for byte.
        let (mut packed, mut repacked) = (Vec::new(), Vec::new());
        write_tree(&upper_root, &mut packed, options).expect("the upper tree");
        write_tree(&root, &mut repacked, options).expect("the upper tree");
        prop_assert!(packed == repacked);
        // And read out of the layer files without unpacking.
        let mut exported = Vec::new();
        let union = stacked(&[&base, &layer]);
        let written = write_union(&union, &mut exported).expect("the union");
        prop_assert_eq!(written, exported.len() as u64);
        prop_assert!(exported == packed);
        for name in root.names().expect("its names") {
            let (_, node) = union.resolve(&name, false).expect("a lookup").expect("what has the name");
            for shown in [Some(&b"copy"[..]), Some(b"."), Some(b"/"), None].into_iter().filter(|shown| *shown == Some(b"copy") || node.is_directory()) {
                let (mut read, mut walked) = (Vec::new(), Vec::new());
                let counted = write_union_at(&union, &node, shown, &mut read).expect("a part of the union");
                let expected = write_named(&root, OsStr::from_bytes(&name), shown, &mut walked, options);
                prop_assert_eq!(counted, expected.expect("a part of the tree"));
                prop_assert!(read == walked, "{name:?} {shown:?}");
            }
        }
        if snapshot(&lower_root) == snapshot(&upper_root) {
            prop_assert_eq!(layer, vec![0; 1024]);
        }
    }
}

/// Docker writes and reads whiteouts whose own name no file could have.
#[test]
fn the_longest_names_can_be_removed() {
    let folders = [(); 2].map(|()| tempfile::tempdir_in("/var/tmp").expect("a folder"));
    let name = "n".repeat(255);
    for file in [folders[0].path().join(&name), folders[0].path().join("kept"), folders[1].path().join("kept")] {
        fs::write(file, "1").expect("a file");
    }
    let [lower, upper] = folders.each_ref().map(|folder| Dir::open(folder.path()).expect("the folder"));
    let options = DiffOptions::default();
    let (mut base, mut layer, mut packed) = (Vec::new(), Vec::new(), Vec::new());
    write_tree(&lower, &mut base, options).expect("the lower tree");
    diff(Some(&lower), &upper, &mut layer, options).expect("the difference");
    let (_folder, root) = unpack(&[&base, &layer]);
    assert_eq!(snapshot(&root).into_keys().filter(|path| path.contains("nnn")).count(), 0);
    write_union(&stacked(&[&base, &layer]), &mut packed).expect("the union");
    assert!(!String::from_utf8_lossy(&packed).contains("nnn"));
    // A name that is too long for what it removes is none.
    assert!(RelativePath::parse(format!(".wh.{name}n").as_bytes()).is_err());
}

/// Names can be deeper than any path: who has moved a tree into another one.
#[test]
fn a_path_that_is_too_long_is_told_by_its_ends() {
    let folder = tempfile::tempdir_in("/var/tmp").expect("a folder");
    let root = Dir::open(folder.path()).expect("the folder");
    let name = "n".repeat(250);
    let mut dir = root.child(".".as_ref()).expect("the folder");
    for _ in 0..17 {
        dir.make_dir(name.as_ref()).expect("a directory");
        dir = dir.child(name.as_ref()).expect("a directory");
    }
    let told = write_tree(&root, &mut Vec::new(), DiffOptions::default()).expect_err("it is too deep").to_string();
    assert_eq!(told, format!("cannot archive {name:?}, 16 levels below {name:?}: the path is longer than 4095 bytes"));
    root.remove_tree(name.as_ref()).expect("the tree goes");
}

/// They stand for removals in layers alone.
#[test]
fn names_of_whiteouts_are_names_in_archives() {
    let folder = tempfile::tempdir_in("/var/tmp").expect("a folder");
    for name in [".wh.f", ".wh..wh..opq", ".wh..", "f"] {
        fs::write(folder.path().join(name), "1").expect("a file");
    }
    let root = Dir::open(folder.path()).expect("the folder");
    let told = diff(None, &root, &mut Vec::new(), DiffOptions::default()).expect_err("it is no layer").to_string();
    assert!(told.contains("cannot be in a layer"), "{told}");
    let mut archive = Vec::new();
    write_tree(&root, &mut archive, DiffOptions::default()).expect("an archive");
    let target = tempfile::tempdir_in("/var/tmp").expect("a folder");
    let unpacker = Unpacker::new(Dir::open(target.path()).expect("the folder"), owners()).expect("its root");
    let mut unpacker = unpacker.without_whiteouts();
    unpacker.layer(&*archive, "the archive", TarLimits::LAYER).expect("an archive");
    let unpacked = unpacker.finish().expect("the files");
    assert_eq!(snapshot(&unpacked.root), snapshot(&root));
}

#[test]
fn gnu_tar_reads_what_is_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let spec = |kind| Spec { kind, mode: 0o750, owner: 3_000_000, time: (1_600_000_000, 5), xattr: None };
    let long = format!("d/{}", "n".repeat(200));
    let tree: Tree = [
        ("d".to_owned(), spec(Kind::Directory)),
        (long.clone(), spec(Kind::File(b"hello".to_vec()))),
        ("z".to_owned(), spec(Kind::Link(0))),
    ]
    .into();
    let root = build(folder.path(), &tree);
    let mut archive = Vec::new();
    write_tree(&root, &mut archive, DiffOptions::default()).expect("an archive");
    let path = folder.path().join("archive");
    fs::write(&path, &archive).expect("a file");
    let listed = std::process::Command::new("tar").arg("-tvf").arg(&path).output().expect("tar");
    let text = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert!(listed.status.success() && listed.stderr.is_empty(), "{text} {}", String::from_utf8_lossy(&listed.stderr));
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines.len() == 3 && lines[0].ends_with(" d/") && lines[1].ends_with(&long), "{text}");
    assert!(lines[2].contains(&format!("z link to {long}")), "{text}");
}

#[test]
fn upper_directories_of_overlay_mounts_become_layers() {
    if !is_root() {
        eprintln!("skipped: needs root to make devices");
        return;
    }
    let folder = tempfile::tempdir_in("/var/tmp").expect("a folder");
    let root = Dir::open(folder.path()).expect("the root");
    root.make_node("gone".as_ref(), FileKind::CharDevice, (0, 0)).expect("a whiteout");
    root.make_dir("d".as_ref()).expect("a directory");
    root.set_xattr_of("d".as_ref(), b"trusted.overlay.opaque", b"y").expect("an attribute");
    root.make_file("kept".as_ref()).expect("a file");
    let mut layer = Vec::new();
    write_upper_directory(&root, &mut layer).expect("a layer");
    let mut reader = TarReader::new(&layer[..], "layer", TarLimits::LAYER);
    let mut kinds = Vec::new();
    while let Some(entry) = reader.next_entry().expect("an entry") {
        let kind = match entry.kind {
            EntryKind::Whiteout(_) => "whiteout",
            EntryKind::Opaque => "opaque",
            EntryKind::Directory { .. } => "directory",
            _ => "file",
        };
        kinds.push(format!("{kind} {}", entry.path));
    }
    assert_eq!(kinds, ["directory d", "opaque d", "whiteout gone", "file kept"]);
}

/// Overlayfs may note of a directory where it was, by the machine's settings: what is in it would be missing.
#[test]
fn references_in_upper_directories_are_refused() {
    if !is_root() {
        eprintln!("skipped: needs root to set attributes");
        return;
    }
    let check = |name: &str, attribute: &str, expected: Option<&str>| {
        let folder = tempfile::tempdir_in("/var/tmp").expect("a folder");
        let root = Dir::open(folder.path()).expect("the root");
        root.make_dir("d".as_ref()).expect("a directory");
        root.make_file("f".as_ref()).expect("a file");
        root.set_xattr_of(name.as_ref(), attribute.as_bytes(), b"/old").expect("an attribute");
        let written = write_upper_directory(&root, &mut std::io::sink()).err().map(|error| error.to_string());
        assert_eq!(written.as_deref(), expected, "{attribute} of {name}");
    };
    let refused = |name| format!("{name:?} is not all here: overlayfs kept a reference in its place");
    check("d", "trusted.overlay.redirect", Some(&refused("d")));
    check("f", "trusted.overlay.metacopy", Some(&refused("f")));
    // Left on a file that was copied since.
    check("f", "trusted.overlay.redirect", None);
    check("d", "trusted.overlay.origin", None);
    // What a program in the container has made.
    check("d", "user.overlay.redirect", None);
}

/// Docker cuts times to seconds, so that its archives are shorter by what tells of parts of them.
#[test]
fn what_parts_of_seconds_take_is_told() {
    let folder = tempfile::tempdir_in("/var/tmp").expect("a folder");
    let at = |nanoseconds| SystemTime::UNIX_EPOCH + Duration::new(1_000_000_000, nanoseconds);
    let check = |name: &str, nanoseconds: u32, expected: u64| {
        let path = folder.path().join(name);
        fs::write(&path, "1").expect("a file");
        fs::File::options()
            .write(true)
            .open(&path)
            .and_then(|file| file.set_modified(at(nanoseconds)))
            .expect("a time");
        let directory = Dir::open(folder.path()).expect("a directory");
        let mut archive = Vec::new();
        let shown = Some(name.as_bytes());
        let written = write_named(&directory, OsStr::new(name), shown, &mut archive, DiffOptions::default());
        let written = written.expect("an archive");
        assert_eq!((written.bytes, written.fraction_bytes), (archive.len() as u64, expected), "{name} {nanoseconds}");
    };
    check("whole", 0, 0);
    check("part", 5, 1024);
    // A long name takes a record anyway.
    check(&"n".repeat(120), 5, 0);
}
