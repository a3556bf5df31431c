//! Any bytes behind a sound head as a layer file or an outline: no panic, no endless walk, and no more data than was asked for.
//!
//! The first byte tells what the rest is: a layer file or outline, or a tar that becomes both and then has to be readable.

#![no_main]

use std::sync::Arc;

use dhow_base::Result;
use dhow_layer::erofs::{Image, Keep, Union, Visit, Workspace, convert, outline};
use dhow_layer::{Layer, Proof};
use dhow_spec::Digest;
use libfuzzer_sys::fuzz_target;

fn exhaust(file: Vec<u8>) -> Result<()> {
    let image = Image::open(file.clone()).or_else(|_| Image::open_outline(file))?;
    let union = Union::new(vec![Arc::new(image)]);
    let mut buffer = [0; 4096];
    let root = union.root()?;
    union.walk(&root, |path, node| {
        assert!(!path.is_empty() && !path.split(|byte| *byte == b'/').any(|name| matches!(name, b"" | b"." | b"..")));
        union.attributes(node)?;
        let size = node.inode().size;
        let has_content = union.has_content(node)?;
        assert!(has_content || union.read(node, &mut buffer, 0).is_err());
        assert!(union.read(node, &mut buffer, 0)? as u64 <= size);
        union.read(node, &mut buffer, size.saturating_sub(1))?;
        let _ = union.read_link(node);
        Ok(Visit::Enter)
    })
}

fuzz_target!(|bytes: &[u8]| {
    let Some((kind, rest)) = bytes.split_first() else { return };
    if kind & 1 == 0 {
        let _ = exhaust(rest.to_vec());
        return;
    }
    let mut file = Vec::new();
    let scratch: &dyn Fn() -> Result<Vec<u8>> = &|| Ok(Vec::new());
    let workspace = Workspace { target: &mut file, scratch, below: &() };
    if convert(rest, &Digest::sha256(rest), workspace).is_ok() {
        exhaust(file).expect("what was written can be read");
    }
    let mut file = Vec::new();
    let diff_id = Digest::sha256(rest);
    let layer = Layer::new("layer", &diff_id, Proof::DiffId, rest);
    if let Ok(Some(_)) = outline(layer, &Keep::Everything, &mut file, scratch) {
        exhaust(file).expect("what was written can be read");
    }
});
