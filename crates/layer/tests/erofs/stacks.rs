//! Random stacks of layers: the files of layers laid over each other show what `unpack` makes of the same archives.

use std::collections::BTreeSet;
use std::sync::Arc;

use dhow_base::Result;
use dhow_base::beneath::Dir;
use dhow_layer::erofs::{Image, Keep, Union};
use dhow_layer::tar::TarLimits;
use dhow_layer::unpack::{IdMap, Owners, Unpacker};
use proptest::prelude::*;

use crate::facts::{Tree, of_folder, of_union};
use crate::outline::outlined;
use crate::{Tar, converted};

/// What an entry of a layer says. Few names, so that entries come in each other's way.
#[derive(Clone, Debug)]
enum Said {
    Directory(String),
    File(String),
    Symlink(String, String),
    HardLink(String, String),
    Whiteout(String),
    Opaque(String),
}

fn path() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(vec!["a", "b", "c"]), 1..4).prop_map(|names| names.join("/"))
}

fn said() -> impl Strategy<Value = Said> {
    let target = prop_oneof![3 => path(), 1 => path().prop_map(|path| format!("/{path}")), 1 => Just("..".to_owned())];
    prop_oneof![
        3 => path().prop_map(Said::Directory),
        4 => path().prop_map(Said::File),
        2 => (path(), target).prop_map(|(path, target)| Said::Symlink(path, target)),
        2 => (path(), path()).prop_map(|(path, target)| Said::HardLink(path, target)),
        2 => path().prop_map(Said::Whiteout),
        1 => path().prop_map(Said::Opaque),
    ]
}

/// No path is named twice in a layer, which docker and podman refuse.
fn layer() -> impl Strategy<Value = Vec<Said>> {
    prop::collection::vec(said(), 1..7).prop_map(|mut entries| {
        let mut named = BTreeSet::new();
        entries.retain(|entry| match entry {
            Said::Directory(path) | Said::File(path) | Said::Symlink(path, _) | Said::HardLink(path, _) => {
                named.insert(path.clone())
            }
            Said::Whiteout(_) | Said::Opaque(_) => true,
        });
        entries
    })
}

fn stack() -> impl Strategy<Value = Vec<Vec<Said>>> {
    prop::collection::vec(layer(), 1..4)
}

/// An archive whose entries differ in mode, time and content from those of the other layers.
fn archive(layer: usize, entries: &[Said]) -> Vec<u8> {
    let mut tar = Tar::new();
    for (at, entry) in entries.iter().enumerate() {
        let number = (layer * 10 + at) as u64;
        let content = format!("{number}");
        let change = |header: &mut tar::Header| {
            header.set_mode(0o700 + (number % 8) as u32);
            header.set_mtime(1_700_000_000 + number);
        };
        tar = match entry {
            Said::Directory(path) => tar.entry(b'5', path, "", b"", change),
            Said::File(path) => tar.entry(b'0', path, "", content.as_bytes(), change),
            Said::Symlink(path, target) => tar.entry(b'2', path, target, b"", change),
            Said::HardLink(path, target) => tar.entry(b'1', path, target, b"", change),
            Said::Whiteout(path) => {
                let (above, name) = path.rsplit_once('/').unwrap_or(("", path));
                tar.entry(b'0', format!("{above}/.wh.{name}").trim_start_matches('/'), "", b"", change)
            }
            Said::Opaque(path) => tar.entry(b'0', &format!("{path}/.wh..wh..opq"), "", b"", change),
        };
    }
    tar.finish()
}

fn stacked(tars: &[Vec<u8>]) -> Result<Tree> {
    let mut images: Vec<Arc<Image<Vec<u8>>>> = Vec::new();
    for tar in tars {
        let below = Union::new(images.clone());
        images.push(Arc::new(Image::open(converted(tar, &below)?.0)?));
    }
    Ok(of_union(&Union::new(images)))
}

/// Nothing where a layer cannot be told of alone.
fn outlines(tars: &[Vec<u8>]) -> Option<Tree> {
    let image =
        |tar: &Vec<u8>| outlined(tar, &Keep::Everything).map(|file| Image::open_outline(file).expect("its file"));
    let images: Option<Vec<_>> = tars.iter().map(|tar| image(tar).map(Arc::new)).collect();
    images.map(|images| of_union(&Union::new(images)))
}

fn unpacked(tars: &[Vec<u8>]) -> Result<Tree> {
    let folder = dhow_testkit::peers::scratch().expect("a folder");
    let owners = if rustix::process::geteuid().is_root() { Owners::Keep(IdMap::default()) } else { Owners::Caller };
    let mut unpacker = Unpacker::new(Dir::open(folder.path()).expect("a folder"), owners)?;
    for (number, tar) in tars.iter().enumerate() {
        unpacker.layer(tar.as_slice(), &format!("layer {number}"), TarLimits::LAYER)?;
    }
    unpacker.finish()?;
    Ok(of_folder(folder.path()))
}

/// What can be compared: of several layers, names that lower ones have for a file are not counted when an upper one hides some, and whose the
/// files are is known to root alone.
fn comparable(mut tree: Tree, layers: usize) -> Tree {
    for facts in tree.values_mut() {
        facts.owner = (0, 0);
        if layers > 1 {
            facts.links = 0;
            facts.same_as.clear();
        }
    }
    tree
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn layers_over_each_other_show_what_unpack_makes(stack in stack()) {
        let tars: Vec<Vec<u8>> = stack.iter().enumerate().map(|(number, layer)| archive(number, layer)).collect();
        match (unpacked(&tars), stacked(&tars)) {
            (Ok(unpacked), Ok(shown)) => {
                let shown = comparable(shown, tars.len());
                prop_assert_eq!(&comparable(unpacked, tars.len()), &shown);
                if let Some(outlines) = outlines(&tars) {
                    prop_assert_eq!(comparable(outlines, tars.len()), shown);
                }
            }
            (Err(_), Err(_)) => {}
            (Ok(_), Err(error)) => prop_assert!(false, "only unpack takes it: {error}"),
            (Err(error), Ok(_)) => prop_assert!(false, "only unpack refuses it: {error}"),
        }
    }
}
