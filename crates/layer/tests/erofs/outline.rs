//! Outlines: names and attributes are those of whole files, content is there or refused, never wrong.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use dhow_base::{Kind, Result};
use dhow_layer::erofs::{Converted, FileType, Image, Keep, ReadAt, Storage, Union, Visit, outline};
use dhow_layer::{Compression, Layer, Proof, encode};
use dhow_spec::Digest;
use proptest::prelude::*;

use crate::facts::{assert_same, of_union};
use crate::source::{gnu_tar, odd_tree};
use crate::{Tar, converted, stacked};

fn scratch() -> Result<Vec<u8>> {
    Ok(Vec::new())
}

fn of_blob(blob: &[u8], diff_id: &Digest, keep: &Keep, file: &mut Vec<u8>) -> Result<Option<Converted>> {
    outline(Layer::new("layer", diff_id, Proof::DiffId, blob), keep, file, &scratch)
}

/// The outline of a tar, packed as gzip, if it can have one.
pub(crate) fn outlined(tar: &[u8], keep: &Keep) -> Option<Vec<u8>> {
    let mut blob = Vec::new();
    encode(tar, &mut blob, Compression::Gzip).expect("encoding");
    let mut file = Vec::new();
    let made = of_blob(&blob, &Digest::sha256(tar), keep, &mut file).expect("a layer")?;
    assert_eq!(made.tar_bytes, tar.len() as u64);
    Some(file)
}

fn image(tar: &[u8], keep: &Keep) -> Image<Vec<u8>> {
    Image::open_outline(outlined(tar, keep).expect("an outline")).expect("its own file")
}

fn outlines(tars: &[Vec<u8>], keep: &Keep) -> Union<Vec<u8>> {
    Union::new(tars.iter().map(|tar| Arc::new(image(tar, keep))).collect())
}

type Known = BTreeMap<Vec<u8>, (FileType, u64, u32, dhow_layer::erofs::Attributes, Option<Vec<u8>>)>;

/// All that can be known of a union without content.
fn known(union: &Union<impl ReadAt>) -> Known {
    let mut known = Known::new();
    let root = union.root().expect("root");
    let mut note = |path: &[u8], node: &dhow_layer::erofs::UnionNode| {
        let inode = node.inode();
        let attributes = union.attributes(node)?;
        assert_eq!((inode.mode, inode.uid, inode.gid), (attributes.mode, attributes.uid, attributes.gid));
        let target = if inode.kind == FileType::Symlink { Some(union.read_link(node)?) } else { None };
        let size = if inode.kind == FileType::Directory { 0 } else { inode.size };
        known.insert(path.to_vec(), (inode.kind, size, inode.links, attributes, target));
        Ok(Visit::Enter)
    };
    note(b"", &root).expect("the root");
    union.walk(&root, note).expect("walk");
    known
}

#[test]
fn an_outline_with_everything_is_the_layer() {
    let folder = tempfile::tempdir().expect("a folder");
    odd_tree(folder.path());
    let tar = gnu_tar(folder.path(), &["--sparse"]);
    let whole = stacked(std::slice::from_ref(&tar));
    let everything = outlines(std::slice::from_ref(&tar), &Keep::Everything);
    assert_same(&of_union(&everything), &of_union(&whole));
    // Without content all else is the same, and files that have some do not read as zeros.
    let nothing = outlines(std::slice::from_ref(&tar), &Keep::Nothing);
    assert_eq!(known(&nothing), known(&whole));
    let root = nothing.root().expect("root");
    let mut without = 0;
    nothing
        .walk(&root, |path, node| {
            let has_content = nothing.has_content(node)?;
            let mut bytes = vec![0; usize::try_from(node.inode().size).expect("small")];
            match nothing.read(node, &mut bytes, 0) {
                Ok(_) => assert!(has_content, "{path:?}"),
                Err(error) => {
                    assert!(error.kind() == Kind::Unavailable && !has_content, "{path:?}: {error}");
                    without += 1;
                }
            }
            Ok(Visit::Enter)
        })
        .expect("walk");
    assert!(without > 10, "{without}");
}

#[test]
fn an_outline_is_never_taken_for_a_layer() {
    let tar = Tar::new().directory("a").file("a/b", b"content").finish();
    let outline = outlined(&tar, &Keep::Everything).expect("an outline");
    let error = Image::open(outline.clone()).expect_err("no layer");
    assert!(error.to_string().contains("it is an outline"), "{error}");
    let (whole, _) = converted(&tar, &()).expect("a layer");
    let error = Image::open_outline(whole).expect_err("no outline");
    assert!(error.to_string().contains("it is no outline"), "{error}");
    let union = outlines(&[tar], &Keep::Everything);
    let error = dhow_layer::erofs::write_stack(&union, &Digest::sha256(b""), &mut Vec::new(), &scratch);
    assert_eq!(error.map_err(|error| error.kind()), Err(Kind::Internal));
    // Nor by others: the tool that checks such file systems, and the kernel through it, find none.
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("outline");
    write(&path, &outline);
    if let Ok(output) = Command::new("fsck.erofs").arg(&path).output() {
        assert!(!output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }
}

#[allow(clippy::disallowed_methods, reason = "for another program to read")]
fn write(path: &Path, bytes: &[u8]) {
    std::fs::write(path, bytes).expect("write");
}

/// What an outline without content says of places is enough to have just the files that are wanted then.
#[test]
fn content_is_kept_by_its_place() {
    let tar = Tar::new()
        .directory("a")
        .file("a/first", b"first")
        .file("a/second", &[2; 1500])
        .file("a/empty", b"")
        .hard_link("a/link", "a/second")
        .symlink("a/symlink", "first")
        .finish();
    let tars = [tar];
    let nothing = outlines(&tars, &Keep::Nothing);
    assert!(image(&tars[0], &Keep::Nothing).has_no_content());
    let found = |path: &str| nothing.resolve(path.as_bytes(), false).expect("reading").expect("a file").1;
    let start = |path: &str| nothing.data_start(&found(path));
    assert_eq!([start("a"), start("a/empty"), start("a/symlink")], [None; 3]);
    assert_eq!(start("a/link"), start("a/second"));
    let wanted: BTreeSet<u64> = start("a/link").into_iter().collect();
    let keep = Keep::At(wanted.clone());
    let image = image(&tars[0], &keep);
    assert!(image.has_data_at(&wanted) && !image.has_no_content() && !image.has_all_content());
    assert!(!image.has_data_at(&start("a/first").into_iter().collect()));
    // The nodes that were found in the one mean the same in the other.
    let some = outlines(&tars, &keep);
    let mut bytes = [0; 2000];
    for (path, length) in [("a/link", 1500), ("a/second", 1500), ("a/empty", 0)] {
        assert!(some.has_content(&found(path)).expect("reading"), "{path}");
        assert_eq!(some.read(&found(path), &mut bytes, 0).expect(path), length);
    }
    assert_eq!(bytes[..1500], [2; 1500]);
    assert!(!some.has_content(&found("a/first")).expect("reading"));
}

#[test]
fn what_will_be_asked_for_is_kept() {
    let etc = Tar::new()
        .directory("etc")
        .symlink("etc/os-release", "../usr/lib/os-release")
        .symlink("etc/localtime", "/usr/share/zoneinfo/UTC")
        .file("etc/hosts", b"hosts")
        .directory("usr")
        .directory("usr/share")
        .directory("usr/share/zoneinfo")
        .file("usr/share/zoneinfo/UTC", b"UTC0")
        .file("usr/share/zoneinfo/CET", b"CET-1")
        .finish();
    let usr = Tar::new().file("usr/lib/os-release", b"NAME=x").file("usr/lib/other", b"other").finish();
    let check = |path: &str, there: &[&str]| {
        let union = outlines(&[etc.clone(), usr.clone()], &Keep::Path(path.as_bytes().to_vec()));
        let mut found = Vec::new();
        let root = union.root().expect("root");
        union
            .walk(&root, |path, node| {
                if node.inode().kind == FileType::File && union.has_content(node)? {
                    found.push(String::from_utf8_lossy(path).into_owned());
                }
                Ok(Visit::Enter)
            })
            .expect("walk");
        assert_eq!(found, there, "{path}");
    };
    check("/etc/hosts", &["etc/hosts"]);
    check("/etc/os-release", &["usr/lib/os-release"]);
    check("/etc/localtime", &["usr/share/zoneinfo/UTC"]);
    check("/etc/", &["etc/hosts"]);
    check("/usr/share", &["usr/share/zoneinfo/CET", "usr/share/zoneinfo/UTC"]);
    check("/nowhere", &[]);
    // Over a link of a directory that nobody knows of yet.
    check("/lib/other", &["usr/lib/other"]);
    let union = outlines(&[etc, usr], &Keep::Path(b"/etc/os-release".to_vec()));
    let (path, node) = union.resolve(b"/etc/os-release", true).expect("no error").expect("a file");
    let mut data = vec![0; 10];
    let read = union.read(&node, &mut data, 0).expect("content");
    assert_eq!((path.as_slice(), &data[..read]), (&b"usr/lib/os-release"[..], &b"NAME=x"[..]));
}

#[test]
fn implied_directories_are_as_below_however_deep() {
    let mode = |mode: u32| move |header: &mut tar::Header| header.set_mode(mode);
    let base = Tar::new()
        .entry(b'5', "a", "", b"", mode(0o700))
        .entry(b'5', "a/b", "", b"", mode(0o711))
        .file("a/b/low", b"1")
        .file("file", b"")
        .finish();
    let second = Tar::new().file("a/b/c/d", b"2").file("file/x", b"").finish();
    let third = Tar::new().entry(b'5', "a", "", b"", mode(0o750)).file("a/b/c/e", b"3").file("new/f", b"").finish();
    let tars = [base, second, third];
    assert_eq!(known(&outlines(&tars, &Keep::Nothing)), known(&stacked(&tars)));
    let union = outlines(&tars, &Keep::Everything);
    let tree = of_union(&union);
    for (path, mode) in [("a", 0o40_750), ("a/b", 0o40_711), ("a/b/c", 0o40_755), ("new", 0o40_755), ("file", 0o40_755)]
    {
        assert_eq!(tree[path.as_bytes()].mode, mode, "{path}");
    }
    assert_same(&tree, &of_union(&stacked(&tars)));
}

#[test]
fn layers_that_need_those_below_have_no_outline() {
    let linked = Tar::new().directory("a").hard_link("a/b", "elsewhere/c").finish();
    let hidden_late = Tar::new().file("a/b/c", b"").directory("a").file("a/.wh..wh..opq", b"").finish();
    for tar in [linked, hidden_late] {
        assert_eq!(outlined(&tar, &Keep::Nothing), None);
    }
    // What is made behind that is new.
    let hidden = Tar::new().directory("a").file("a/.wh..wh..opq", b"").file("a/b/c", b"").finish();
    assert!(outlined(&hidden, &Keep::Nothing).is_some());
}

#[test]
fn what_is_not_proven_is_no_outline() {
    let tar = Tar::new().file("a", b"x").finish();
    let mut file: Vec<u8> = Vec::new();
    let other = Digest::sha256(b"something else");
    let error = of_blob(&tar, &other, &Keep::Everything, &mut file).expect_err("wrong");
    assert!(error.kind() == Kind::Corrupt && error.to_string().contains("diff ID mismatch"), "{error}");
    assert!(Image::open_outline(file).is_err());
    let cut = &tar[..tar.len() - 1200];
    assert!(of_blob(cut, &Digest::sha256(&tar), &Keep::Nothing, &mut Vec::new()).is_err());
}

/// Counts what is written.
struct Counting {
    bytes: Vec<u8>,
    written: RefCell<u64>,
}

impl ReadAt for Counting {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.bytes.read_at(buffer, offset)
    }
}

impl Storage for Counting {
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> Result<()> {
        *self.written.borrow_mut() += bytes.len() as u64;
        self.bytes.write_at(bytes, offset)
    }

    fn set_length(&mut self, length: u64) -> Result<()> {
        self.bytes.set_length(length)
    }
}

#[test]
fn content_that_nobody_wants_is_not_written() {
    let data = vec![7; 4 << 20];
    let tar = Tar::new().directory("a").file("a/large", &data).file("a/small", b"small").finish();
    let mut target = Counting { bytes: Vec::new(), written: RefCell::new(0) };
    let make = || Ok(Counting { bytes: Vec::new(), written: RefCell::new(0) });
    let keep = Keep::Path(b"a/small".to_vec());
    let diff_id = Digest::sha256(&tar);
    let layer = Layer::new("layer", &diff_id, Proof::DiffId, &tar[..]);
    outline(layer, &keep, &mut target, &make).expect("a layer").expect("an outline");
    assert!(*target.written.borrow() < 8192, "{} bytes", target.written.borrow());
}

/// A layer of a few names, so that layers touch each other's.
fn layer() -> impl Strategy<Value = Vec<u8>> {
    let name = prop::sample::select(vec!["a", "b", "c"]);
    let path = prop::collection::vec(name, 1..4).prop_map(|names| names.join("/"));
    let entry = (path, 0_u8..7, 0_u32..512);
    prop::collection::vec(entry, 0..8).prop_map(|entries| {
        let mut tar = Tar::new();
        for (path, kind, mode) in entries {
            let set = |header: &mut tar::Header| header.set_mode(mode);
            let (directory, name) = path.rsplit_once('/').unwrap_or(("", &path));
            let beside =
                |name: &str| if directory.is_empty() { name.to_owned() } else { format!("{directory}/{name}") };
            tar = match kind {
                0 | 1 => tar.entry(b'5', &path, "", b"", set),
                2 | 3 => tar.entry(b'0', &path, "", path.as_bytes(), set),
                4 => tar.symlink(&path, "../a"),
                5 => tar.file(&beside(&format!(".wh.{name}")), b""),
                _ => tar.file(&format!("{path}/.wh..wh..opq"), b""),
            };
        }
        tar.finish()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Layers above each other, each as a whole file or as an outline: lookups find the same.
    #[test]
    fn outlines_and_whole_files_tell_the_same(tars in prop::collection::vec(layer(), 1..5), choice in any::<u8>()) {
        let mut wholes: Vec<Arc<Image<Vec<u8>>>> = Vec::new();
        let mut mixed = Vec::new();
        for (number, tar) in tars.iter().enumerate() {
            // What is no layer is none in either form.
            let Ok((file, _)) = converted(tar, &Union::new(wholes.clone())) else { return Ok(()) };
            let whole = Arc::new(Image::open(file).expect("its own file"));
            let outline = (choice >> number & 1 == 0).then(|| outlined(tar, &Keep::Everything)).flatten();
            mixed.push(match outline {
                Some(outline) => Arc::new(Image::open_outline(outline).expect("its own file")),
                None => whole.clone(),
            });
            wholes.push(whole);
        }
        let (wholes, mixed) = (Union::new(wholes), Union::new(mixed));
        prop_assert_eq!(known(&mixed), known(&wholes));
        prop_assert_eq!(of_union(&mixed), of_union(&wholes));
        for path in ["a", "a/b", "b/a/c", "c/../a/b", "a/b/c/.."] {
            let found = |union: &Union<Vec<u8>>| union.resolve(path.as_bytes(), true).map(|found| found.map(|found| found.0));
            prop_assert_eq!(found(&mixed).ok(), found(&wholes).ok());
        }
    }

    #[test]
    fn damaged_outlines_end_in_an_error_or_not_at_all_wrong(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
        let tar = Tar::new().file("a/b", &[7; 1000]).symlink("a/c", "b").directory("d").finish();
        let mut file = outlined(&tar, &Keep::Path(b"a/b".to_vec())).expect("an outline");
        for (place, value) in changes {
            let place = place.index(file.len());
            file[place] = value;
        }
        let Ok(image) = Image::open_outline(file) else { return Ok(()) };
        let union = Union::new(vec![Arc::new(image)]);
        let Ok(root) = union.root() else { return Ok(()) };
        let mut buffer = [0; 4096];
        let _ = union.walk(&root, |_, node| {
            let _ = union.has_content(node);
            let _ = union.attributes(node);
            let _ = union.read(node, &mut buffer, 0);
            Ok(Visit::Enter)
        });
    }
}

/// Reads from a stream that ends with an error.
struct Broken;

impl Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::Error::from(io::ErrorKind::ConnectionReset))
    }
}

#[test]
fn a_stream_that_fails_says_why() {
    let tar = Tar::new().file("a", &[1; 100_000]).finish();
    let stream = tar[..1000].chain(Broken);
    let diff_id = Digest::sha256(&tar);
    let layer = Layer::new("layer", &diff_id, Proof::DiffId, stream);
    let error = outline(layer, &Keep::Nothing, &mut Vec::new(), &scratch).expect_err("it breaks");
    assert!(error.to_string().contains("connection reset"), "{error}");
}
