//! Outlines of layers that nobody unpacked.

use std::fs;
use std::path::Path;

use dhow_base::fault;
use dhow_layer::erofs::Keep;
use dhow_store::Store;
use dhow_testkit::images::{self, Compression, Entry, Format, Layout, Recipe};

use crate::child::command;
use crate::common::{Remote, open, open_at, root_of, scratch};

const NAME: &str = "acme/outlines:1";

/// An image of five layers.
fn image() -> Remote {
    let directory = scratch();
    let layout = Layout::create(directory.path()).unwrap();
    let layers: Vec<_> = ["a", "b", "c", "d", "e"]
        .map(|path| images::tar_of(&[Entry { path, mode: 0o644, content: b"x" }]).unwrap())
        .iter()
        .map(|tar| layout.layer(&**tar, Format::Oci, Compression::Gzip).unwrap())
        .collect();
    let manifest = layout.image(&layers, &Recipe::default()).unwrap();
    Remote::from_layout(&layout, &manifest)
}

/// Looks into all layers. Returns how many there are.
fn look(store: &Store) -> dhow_base::Result<usize> {
    let id = store.find(NAME)?.image_id;
    Ok(store.look_into(&id, &Keep::Nothing, &|_| false)?.map_or(0, |layers| layers.len()))
}

pub(crate) fn child(root: &Path, armed: &str) {
    fault::arm_from_text(armed).unwrap();
    assert!(look(&open_at(root).unwrap()).is_err());
}

/// Names of what the store has of layers: outlines, and what is left of some that were not finished.
fn files(root: &Path) -> (usize, usize) {
    let names = fs::read_dir(root.join("layers/v1")).unwrap().flatten().map(|entry| entry.file_name());
    let (outlines, others): (Vec<_>, Vec<_>) = names.partition(|name| name.to_string_lossy().ends_with(".outline"));
    (outlines.len(), others.len())
}

/// None has its name before all are on the disk, and none stays without one.
#[test]
fn outlines_get_their_names_after_one_flush() {
    let directory = scratch();
    let (root, store) = (root_of(&directory), open(&directory));
    image().pull(&store, &[NAME]).unwrap();
    for number in 0..5 {
        let fault = format!("fs.flush.file:{number}=error");
        assert!(command("outlines", directory.path(), &root, &[&fault]).status().unwrap().success(), "{fault}");
        assert_eq!(files(&root), (0, 0), "{fault}");
    }
    // A crash leaves what the next run removes.
    assert!(!command("outlines", directory.path(), &root, &["fs.flush.file:3=abort"]).status().unwrap().success());
    assert_eq!(files(&root), (0, 5));
    assert_eq!((look(&store).unwrap(), files(&root)), (5, (5, 0)));
}
