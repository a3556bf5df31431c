//! Any bytes behind a sound head as a layer file: no panic, no endless walk, and no more data than was asked for.
//!
//! The first byte tells what the rest is: a layer file, or a tar that becomes one and then has to be readable.

#![no_main]

use std::sync::Arc;

use dhow_base::Result;
use dhow_layer::erofs::{Image, Union, Visit, Workspace, convert};
use dhow_spec::Digest;
use libfuzzer_sys::fuzz_target;

fn exhaust(file: Vec<u8>) -> Result<()> {
    let union = Union::new(vec![Arc::new(Image::open(file)?)]);
    let mut buffer = [0; 4096];
    let root = union.root()?;
    union.walk(&root, |path, node| {
        assert!(!path.is_empty() && !path.split(|byte| *byte == b'/').any(|name| matches!(name, b"" | b"." | b"..")));
        union.attributes(node)?;
        let size = node.inode().size;
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
});
