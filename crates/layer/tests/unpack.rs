//! Layers onto directories: what the tree looks like afterwards, entry by entry.

#![allow(clippy::disallowed_methods, reason = "scratch files of the test itself")]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::Path;

use dhow_base::beneath::Dir;
use dhow_layer::tar::TarLimits;
use dhow_layer::unpack::{IdMap, IdRange, Note, Owners, Unpacker};
use rustix::process::{Resource, Rlimit};
use rustix::thread::{CapabilitySet, CapabilitySets};
use tar::{Builder, EntryType, Header};

/// A layer under construction.
struct Layer(Builder<Vec<u8>>);

impl Layer {
    fn new() -> Self {
        Self(Builder::new(Vec::new()))
    }

    fn entry(
        mut self,
        kind: EntryType,
        path: &str,
        mode: u32,
        target: &str,
        data: &[u8],
        pax: &[(&str, &[u8])],
    ) -> Self {
        if !pax.is_empty() {
            self.0.append_pax_extensions(pax.iter().copied()).expect("records");
        }
        let mut header = Header::new_ustar();
        // Names go in raw: the builder's own check is what is to be tested here.
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        header.as_old_mut().linkname[..target.len()].copy_from_slice(target.as_bytes());
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(if is_root() { 11 } else { 0 });
        header.set_gid(if is_root() { 22 } else { 0 });
        header.set_mtime(1_600_000_000);
        header.set_size(data.len() as u64);
        if kind == EntryType::Char || kind == EntryType::Block {
            header.set_device_major(1).expect("a number");
            header.set_device_minor(3).expect("a number");
        }
        header.set_cksum();
        self.0.append(&header, data).expect("an entry");
        self
    }

    fn dir(self, path: &str, mode: u32) -> Self {
        self.entry(EntryType::Directory, path, mode, "", b"", &[])
    }

    fn file(self, path: &str, data: &str) -> Self {
        self.entry(EntryType::Regular, path, 0o644, "", data.as_bytes(), &[])
    }

    fn symlink(self, path: &str, target: &str) -> Self {
        self.entry(EntryType::Symlink, path, 0o777, target, b"", &[])
    }

    fn link(self, path: &str, target: &str) -> Self {
        self.entry(EntryType::Link, path, 0o644, target, b"", &[])
    }

    fn done(self) -> Vec<u8> {
        self.0.into_inner().expect("an archive")
    }
}

fn is_root() -> bool {
    fs::metadata("/proc/self").expect("proc").uid() == 0
}

fn owners() -> Owners {
    if is_root() { Owners::Keep(IdMap::default()) } else { Owners::Caller }
}

fn unpack(into: &Path, layers: Vec<Vec<u8>>, owners: Owners) -> Result<Vec<Note>, String> {
    let root = Dir::open(into).expect("the directory");
    let mut unpacker = Unpacker::new(root, owners).expect("an unpacker");
    for (index, layer) in layers.iter().enumerate() {
        unpacker.layer(&layer[..], &format!("layer {index}"), TarLimits::LAYER).map_err(|error| error.to_string())?;
    }
    unpacker.finish().map(|unpacked| unpacked.notes).map_err(|error| error.to_string())
}

/// What is in a tree: `d 755`, `f 644 content`, `l target`, and so on; without the root.
fn listing(root: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut pending = vec![root.to_owned()];
    while let Some(directory) = pending.pop() {
        for entry in fs::read_dir(&directory).expect("a directory") {
            let path = entry.expect("an entry").path();
            let metadata = path.symlink_metadata().expect("metadata");
            let mode = metadata.permissions().mode() & 0o7777;
            let kind = metadata.file_type();
            let text = if kind.is_dir() {
                pending.push(path.clone());
                format!("d {mode:o}")
            } else if kind.is_symlink() {
                format!("l {}", fs::read_link(&path).expect("a link").display())
            } else if kind.is_file() {
                format!("f {mode:o} {}", fs::read_to_string(&path).expect("text"))
            } else if kind.is_fifo() {
                format!("p {mode:o}")
            } else {
                format!("{} {mode:o} {:x}", if kind.is_block_device() { "b" } else { "c" }, metadata.rdev())
            };
            found.insert(path.strip_prefix(root).expect("below").display().to_string(), text);
        }
    }
    found
}

#[track_caller]
fn check(layers: Vec<Layer>, expected: &[(&str, &str)]) {
    let scratch = tempfile::tempdir().expect("a folder");
    unpack(scratch.path(), layers.into_iter().map(Layer::done).collect(), owners()).expect("it unpacks");
    let expected: BTreeMap<String, String> =
        expected.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
    assert_eq!(listing(scratch.path()), expected);
}

#[track_caller]
fn refuse(layers: Vec<Layer>, expected: &str) {
    let scratch = tempfile::tempdir().expect("a folder");
    let outcome = unpack(scratch.path(), layers.into_iter().map(Layer::done).collect(), owners());
    let error = outcome.expect_err(expected);
    assert!(error.contains(expected), "{error:?} does not say {expected:?}");
}

#[test]
fn every_type_with_its_metadata() {
    let scratch = tempfile::tempdir().expect("a folder");
    let layer = Layer::new()
        .dir("./", 0o750)
        .dir("d/", 0o1777)
        .entry(EntryType::Regular, "d/set-id", 0o6755, "", b"x", &[("mtime", b"1500000000.123456789")])
        .entry(EntryType::Regular, "d/none", 0, "", b"secret", &[("SCHILY.xattr.user.note", b"v\0w")])
        .symlink("d/s", "../elsewhere")
        .link("hard", "d/set-id")
        .entry(EntryType::Fifo, "pipe", 0o620, "", b"", &[])
        .file("implied/deep/f", "1")
        .done();
    unpack(scratch.path(), vec![layer], owners()).expect("it unpacks");
    let stat = |path: &str| scratch.path().join(path).symlink_metadata().expect("metadata");
    assert_eq!((stat("").mode() & 0o7777, stat("d").mode() & 0o7777), (0o750, 0o1777));
    assert_eq!((stat("d/set-id").mode() & 0o7777, stat("d/none").mode() & 0o7777), (0o6755, 0));
    assert_eq!((stat("d/set-id").mtime(), stat("d/set-id").mtime_nsec()), (1_500_000_000, 123_456_789));
    for path in ["", "d", "d/s", "pipe"] {
        assert_eq!((stat(path).mtime(), stat(path).mtime_nsec()), (1_600_000_000, 0), "{path}");
    }
    assert_eq!((stat("implied").mode() & 0o7777, stat("implied/deep").mtime()), (0o755, 0));
    assert_eq!((stat("pipe").mode() & 0o7777, stat("pipe").file_type().is_fifo()), (0o620, true));
    assert_eq!((stat("hard").ino(), stat("hard").nlink()), (stat("d/set-id").ino(), 2));
    if is_root() {
        for path in ["", "d", "d/s", "d/set-id", "pipe"] {
            assert_eq!((stat(path).uid(), stat(path).gid()), (11, 22), "{path}");
        }
        let dir = Dir::open(&scratch.path().join("d")).expect("d");
        let xattrs = dir.xattrs_of("none".as_ref()).expect("attributes");
        assert!(xattrs.contains(&(b"user.note".to_vec(), b"v\0w".to_vec())), "{xattrs:?}");
    }
}

#[test]
fn layers_replace_hide_and_merge() {
    let base = || Layer::new().dir("d", 0o700).file("d/a", "1").file("d/b", "1").file("f", "1").symlink("s", "d");
    check(vec![base()], &[("d", "d 700"), ("d/a", "f 644 1"), ("d/b", "f 644 1"), ("f", "f 644 1"), ("s", "l d")]);
    // A directory's entry replaces its metadata, not its content; an implied directory keeps what the layer below said.
    let upper = Layer::new().dir("d", 0o711).file("d/a", "2");
    check(
        vec![base(), upper],
        &[("d", "d 711"), ("d/a", "f 644 2"), ("d/b", "f 644 1"), ("f", "f 644 1"), ("s", "l d")],
    );
    let upper = Layer::new().file("d/c", "2").file("d/.wh.a", "").file(".wh.f", "").file(".wh.nothing", "");
    check(vec![base(), upper], &[("d", "d 700"), ("d/b", "f 644 1"), ("d/c", "f 644 2"), ("s", "l d")]);
    // Whiteouts hide lower layers only, wherever in the layer they stand.
    let upper = Layer::new()
        .file("d/new", "2")
        .file("d/.wh..wh..opq", "")
        .file("d/newer", "2")
        .file("f", "2")
        .file(".wh.f", "");
    check(
        vec![base(), upper],
        &[("d", "d 700"), ("d/new", "f 644 2"), ("d/newer", "f 644 2"), ("f", "f 644 2"), ("s", "l d")],
    );
    let upper = Layer::new().file("d/new", "2").file(".wh.d", "");
    check(vec![base(), upper], &[("d", "d 700"), ("d/new", "f 644 2"), ("f", "f 644 1"), ("s", "l d")]);
    let upper = Layer::new().file(".wh..wh..opq", "").file("only", "2");
    check(vec![base(), upper], &[("only", "f 644 2")]);
    let opaque: &[(&str, &[u8])] = &[("SCHILY.xattr.trusted.overlay.opaque", b"y")];
    let upper = Layer::new().entry(EntryType::Directory, "d", 0o755, "", b"", opaque).file("d/c", "2");
    check(vec![base(), upper], &[("d", "d 755"), ("d/c", "f 644 2"), ("f", "f 644 1"), ("s", "l d")]);
    // Types change; what replaces a directory takes its content along.
    let upper = Layer::new().file("d", "2").dir("f", 0o755).file("f/x", "2").dir("s", 0o755);
    check(vec![base(), upper], &[("d", "f 644 2"), ("f", "d 755"), ("f/x", "f 644 2"), ("s", "d 755")]);
    // In the first layer nothing is hidden.
    let first = Layer::new().file("a", "1").file(".wh.a", "").file(".wh..wh..opq", "").file(".wh..wh.plnk/1", "");
    check(vec![first], &[("a", "f 644 1")]);
    // A directory that only whiteouts speak of is there all the same, in whatever layer, as with docker, podman and layers as files.
    let first = Layer::new().file("b/.wh.x", "").file("c/d/.wh..wh..opq", "");
    let upper = Layer::new().file("e/.wh.x", "").file("f/g/.wh..wh..opq", "");
    let made = ["b", "c", "c/d", "e", "f", "f/g"].map(|path| (path, "d 755"));
    check(vec![first, upper], &made);
    // So it is the layer's own, and stays when what is above it turns out to be opaque.
    let first = Layer::new().file("e/f/x", "1").file("e/g", "1");
    let upper = Layer::new().file("e/f/.wh..wh..opq", "").file("e/h/.wh.x", "").file("e/.wh..wh..opq", "");
    check(vec![first, upper], &["e", "e/f", "e/h"].map(|path| (path, "d 755")));
}

/// As in containerd on overlayfs, which sees one layer at a time.
#[test]
fn a_directory_merges_with_those_below_whatever_had_its_name_before() {
    let base = || Layer::new().dir("d", 0o700).file("d/a", "1").file("d/e/b", "1").dir("e", 0o755);
    let whole = [("d", "d 711"), ("d/a", "f 644 1"), ("d/e", "d 755"), ("d/e/b", "f 644 1"), ("e", "d 755")];
    check(vec![base(), Layer::new().symlink("d", "e").dir("d", 0o711)], &whole);
    check(vec![base(), Layer::new().file("d", "2").dir("d", 0o711)], &whole);
    check(vec![base(), Layer::new().file("d/e", "2").file("d", "2").dir("d", 0o711).dir("d/e", 0o755)], &whole);
    // What the layer itself had in it is gone, and so is what a whiteout hides.
    check(vec![base(), Layer::new().file("d/own", "2").file("d", "2").dir("d", 0o711)], &whole);
    let bare = [("d", "d 711"), ("e", "d 755")];
    check(vec![base(), Layer::new().file("d", "2").file(".wh.d", "").dir("d", 0o711)], &bare);
    // The next layer knows nothing of it.
    check(vec![base(), Layer::new().symlink("d", "e"), Layer::new().dir("d", 0o711)], &bare);
    // Nothing of what is kept aside meanwhile is left or gets in the way.
    check(
        vec![base(), Layer::new().file("d", "2").file(".wh..wh..opq", "").file("f", "2")],
        &[("d", "f 644 2"), ("f", "f 644 2")],
    );
    check(
        vec![base(), Layer::new().entry(EntryType::Link, "d", 0o644, "d/a", b"", &[])],
        &[("d", "f 644 1"), ("e", "d 755")],
    );
}

/// As in engines on overlayfs, which see one layer at a time: `erofs::overlay` has the same of layers as files.
#[test]
fn an_entry_hides_what_lower_layers_have_in_the_place_of_its_directories() {
    let base =
        || Layer::new().file("usr/lib/x", "1").symlink("lib", "usr/lib").symlink("gone", "nowhere").file("f", "1");
    let below = [("usr", "d 755"), ("usr/lib", "d 755"), ("usr/lib/x", "f 644 1")];
    let with = |own: &[(&'static str, &'static str)]| [&below[..], own].concat();
    let upper = Layer::new().file("lib/y", "2").file("lib/z", "2").file("gone/a", "2").file("f/b/c", "2");
    let own = [
        ("lib", "d 755"),
        ("lib/y", "f 644 2"),
        ("lib/z", "f 644 2"),
        ("gone", "d 755"),
        ("gone/a", "f 644 2"),
        ("f", "d 755"),
        ("f/b", "d 755"),
        ("f/b/c", "f 644 2"),
    ];
    check(vec![base(), upper], &with(&own));
    // A layer's own links lead on, onto what is below them too; they are its own however late they came.
    let upper = Layer::new().symlink("lib", "usr/lib").file("lib/y", "2").symlink("a", "/lib").file("a/z", "2");
    let own = [
        ("lib", "l usr/lib"),
        ("a", "l /lib"),
        ("usr/lib/y", "f 644 2"),
        ("usr/lib/z", "f 644 2"),
        ("gone", "l nowhere"),
        ("f", "f 644 1"),
    ];
    check(vec![base(), upper], &with(&own));
    // What came by a link is the layer's own in its place too, so that its whiteouts leave it there.
    let upper = Layer::new()
        .symlink("lib", "usr/lib")
        .file("lib/y", "2")
        .dir("lib/d", 0o755)
        .file("lib/d/z", "2")
        .file("usr/lib/.wh..wh..opq", "")
        .file("lib/.wh.y", "");
    let own = [
        ("lib", "l usr/lib"),
        ("usr/lib/y", "f 644 2"),
        ("usr/lib/d", "d 755"),
        ("usr/lib/d/z", "f 644 2"),
        ("gone", "l nowhere"),
        ("f", "f 644 1"),
    ];
    let mut expected = with(&own);
    expected.retain(|(path, _)| *path != "usr/lib/x");
    check(vec![base(), upper], &expected);
    // Own links onto links of lower layers, and whiteouts below those.
    let upper =
        Layer::new().symlink("a", "x/../lib").file("a/y", "2").file("gone/.wh.b", "").file("f/.wh..wh..opq", "");
    let own = [
        ("lib", "d 755"),
        ("lib/y", "f 644 2"),
        ("a", "l x/../lib"),
        ("x", "d 755"),
        ("gone", "d 755"),
        ("f", "d 755"),
    ];
    check(vec![base(), upper], &with(&own));
    let upper = Layer::new().symlink("r", "s").symlink("s", "r").file("r/a", "2");
    refuse(vec![base(), upper], "is one symbolic link too many on its way");
    refuse(vec![base(), Layer::new().file("own", "2").file("own/a", "2")], "\"own\" is no directory");
}

#[test]
fn hard_links_within_and_across_layers() {
    let base = Layer::new().file("d/a", "1");
    let upper = Layer::new().file("x", "old").link("x", "d/a").link("d/a", "d/a").link("y", "/x");
    check(vec![base, upper], &[("d", "d 755"), ("d/a", "f 644 1"), ("x", "f 644 1"), ("y", "f 644 1")]);
    refuse(
        vec![Layer::new().link("x", "nothing")],
        "layer 0: entry 1 \"x\": the target of the hard link, \"nothing\", does",
    );
    refuse(vec![Layer::new().dir("d", 0o755).link("x", "d")], "is a directory");
}

/// As the file that is made of a layer has it (`tests/erofs/overlay.rs`).
#[test]
fn targets_of_hard_links_go_through_links_of_the_layers_below() {
    let base = || Layer::new().file("d/a", "1").symlink("l", "/d");
    let of_base = [("d", "d 755"), ("d/a", "f 644 1"), ("l", "l /d")];
    let with = |more: &[(&'static str, &'static str)]| [&of_base[..], more].concat();
    check(vec![base(), Layer::new().link("x", "l/a")], &with(&[("x", "f 644 1")]));
    check(vec![base(), Layer::new().file("d/b", "2").link("x", "l/b")], &with(&[("d/b", "f 644 2"), ("x", "f 644 2")]));
    refuse(vec![base(), Layer::new().file("l/b", "2").link("x", "l/a")], "does not exist");
}

/// Deeper than a process may have files open.
#[test]
fn the_deepest_directories_take_few_descriptors() {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    let fewer = Rlimit { current: limit.current.map(|current| current.min(1024)), ..limit };
    rustix::process::setrlimit(Resource::Nofile, fewer).expect("a limit");
    let deep = |depth: usize| "d/".repeat(depth);
    let put = |layer: Layer, kind, path: String| layer.entry(kind, "x", 0o755, "", b"", &[("path", path.as_bytes())]);
    let each = || (1..1500).fold(Layer::new(), |layer, depth| put(layer, EntryType::Directory, deep(depth)));
    let implied = || put(Layer::new(), EntryType::Regular, deep(1500) + "x");
    for layers in [vec![implied()], vec![Layer::new().file("a", "1"), implied()], vec![implied(), each()]] {
        let scratch = tempfile::tempdir().expect("a folder");
        unpack(scratch.path(), layers.into_iter().map(Layer::done).collect(), owners()).expect("it unpacks");
        let file = scratch.path().join(format!("{}x", deep(1500)));
        assert!(file.symlink_metadata().expect("the file").is_file());
        // What removes the folder opens all of it at once.
        Dir::open(scratch.path()).expect("the root").remove_tree("d".as_ref()).expect("removal");
    }
}

#[test]
fn directories_that_nobody_may_enter() {
    let base = Layer::new().dir("d", 0o000).file("d/a", "1").dir("d/e", 0o500).file("d/e/b", "1");
    let upper = Layer::new().file("d/e/c", "2").file("d/.wh.a", "");
    let scratch = tempfile::tempdir().expect("a folder");
    unpack(scratch.path(), vec![base.done(), upper.done()], owners()).expect("it unpacks");
    let mode = |path: &str| scratch.path().join(path).symlink_metadata().map(|found| found.mode() & 0o7777);
    assert_eq!(mode("d").expect("d"), 0);
    fs::set_permissions(scratch.path().join("d"), fs::Permissions::from_mode(0o700)).expect("rights");
    assert_eq!(mode("d/e").expect("e"), 0o500);
    assert!(mode("d/a").is_err() && mode("d/e/b").is_ok() && mode("d/e/c").is_ok());
    let root = Dir::open(scratch.path()).expect("the root");
    root.remove_tree("d".as_ref()).expect("removal");
}

#[test]
fn sparse_files_have_holes() {
    let scratch = tempfile::tempdir().expect("a folder");
    let records: &[(&str, &[u8])] =
        &[("GNU.sparse.size", b"10485760"), ("GNU.sparse.map", b"4194304,5"), ("GNU.sparse.name", b"real")];
    let layer = Layer::new().entry(EntryType::Regular, "GNUSparseFile.0/real", 0o644, "", b"hello", records).done();
    unpack(scratch.path(), vec![layer], owners()).expect("it unpacks");
    let content = fs::read(scratch.path().join("real")).expect("the file");
    assert_eq!((content.len(), &content[4_194_304..4_194_309]), (10_485_760, &b"hello"[..]));
    assert!(content[..4_194_304].iter().all(|byte| *byte == 0));
    let metadata = fs::metadata(scratch.path().join("real")).expect("metadata");
    assert!(metadata.blocks() * 512 < 1 << 20, "{} blocks", metadata.blocks());
}

#[test]
fn large_files_and_many_entries() {
    let scratch = tempfile::tempdir().expect("a folder");
    let large: String = (0..100_000).map(|number| format!("{number:07}\n")).collect();
    let mut layer = Layer::new().file("large", &large);
    for directory in 0..400 {
        layer = layer.dir(&format!("d{directory}"), 0o755).file(&format!("d{directory}/f"), "x");
    }
    unpack(scratch.path(), vec![layer.done()], owners()).expect("it unpacks");
    assert_eq!(fs::read_to_string(scratch.path().join("large")).expect("the file"), large);
    let found = listing(scratch.path());
    assert_eq!(found.len(), 801);
    for directory in 0..400 {
        let metadata = fs::metadata(scratch.path().join(format!("d{directory}"))).expect("metadata");
        assert_eq!(metadata.mtime(), 1_600_000_000);
    }
}

#[test]
fn owners_are_recorded_where_they_cannot_be_kept() {
    let scratch = tempfile::tempdir_in("/var/tmp").expect("a folder");
    let layer = Layer::new().dir("d", 0o755).file("f", "1").entry(EntryType::Char, "null", 0o666, "", b"", &[]).done();
    let root = scratch.path();
    unpack(root, vec![layer.clone()], Owners::Record).expect("it unpacks");
    let dir = Dir::open(root).expect("the root");
    let (uid, gid) = if is_root() { (11, 22) } else { (0, 0) };
    for (name, expected) in [
        ("d", format!("{uid}:{gid}:0755:dir")),
        ("f", format!("{uid}:{gid}:0644:file")),
        ("null", format!("{uid}:{gid}:0666:char-1-3")),
    ] {
        let xattrs = dir.xattrs_of(name.as_ref()).expect("attributes");
        let xattr = xattrs.iter().find(|(name, _)| name == b"user.containers.override_stat").map(|(_, value)| value);
        assert_eq!(xattr.map(|value| String::from_utf8_lossy(value).into_owned()), Some(expected), "{name}");
        assert_eq!(
            root.join(name).symlink_metadata().expect("metadata").uid(),
            fs::metadata("/proc/self").expect("proc").uid()
        );
    }
    if is_root() {
        let scratch = tempfile::tempdir().expect("a folder");
        unpack(scratch.path(), vec![layer], Owners::Keep(IdMap::default())).expect("it unpacks");
        assert_eq!(listing(scratch.path())["null"], "c 666 103");
    }
}

#[test]
fn files_that_can_only_be_read_have_attributes_without_root() {
    let scratch = tempfile::tempdir_in("/var/tmp").expect("a folder");
    let none = CapabilitySet::empty();
    // Of this test's thread and of those that it starts.
    rustix::thread::set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })
        .expect("rights to give up");
    let note: &[(&str, &[u8])] = &[("SCHILY.xattr.user.note", b"v")];
    let layer = Layer::new()
        .entry(EntryType::Regular, "f", 0o444, "", b"x", note)
        .entry(EntryType::Directory, "d", 0o555, "", b"", note)
        .done();
    for (name, owners) in [("caller", Owners::Caller), ("record", Owners::Record)] {
        let root = scratch.path().join(name);
        fs::create_dir(&root).expect("a folder");
        let notes = unpack(&root, vec![layer.clone()], owners).expect("it unpacks");
        assert!(notes.is_empty(), "{notes:?}");
        assert_eq!(listing(&root), BTreeMap::from([("d".into(), "d 555".into()), ("f".into(), "f 444 x".into())]));
        let dir = Dir::open(&root).expect("the root");
        for path in ["f", "d"] {
            let xattrs = dir.xattrs_of(path.as_ref()).expect("attributes");
            assert!(xattrs.contains(&(b"user.note".to_vec(), b"v".to_vec())), "{name} {path} {xattrs:?}");
            let is_recorded = xattrs.iter().any(|(name, _)| name == b"user.containers.override_stat");
            assert_eq!(is_recorded, name == "record", "{path}");
        }
    }
}

/// In a user namespace nobody could write there if they were root's of the machine.
#[test]
fn directories_that_no_entry_speaks_of_belong_to_the_root_of_the_image() {
    if !is_root() {
        eprintln!("skipped: only root gives files to others");
        return;
    }
    let scratch = tempfile::tempdir_in("/var/tmp").expect("a folder");
    let range = |outside| vec![IdRange::new(0, outside, 65_536).expect("a range")];
    let map = IdMap { uids: range(100_000), gids: range(200_000) };
    unpack(scratch.path(), vec![Layer::new().file("a/b/f", "1").done()], Owners::Keep(map)).expect("it unpacks");
    for path in ["", "a", "a/b"] {
        let found = fs::metadata(scratch.path().join(path)).expect("metadata");
        assert_eq!((found.uid(), found.gid()), (100_000, 200_000), "{path:?}");
    }
}
