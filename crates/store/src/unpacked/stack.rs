//! The file of an image's stack of layers: the kernel mounts one file system then instead of one for each layer.

use std::path::PathBuf;

use dhow_base::fs as durable;
use dhow_base::{Kind, Result};
use dhow_layer::erofs::{FileStorage, is_stack_of, write_stack};
use dhow_spec::Digest;

use super::{UnpackedLayer, union};
use crate::store::Store;
use crate::wait;

/// Most inodes for each layer with which a stack is made. Once it takes some 2.4 µs of processor time for each, and a layer more costs
/// every mount 110 µs (`docs/design/layers.md`).
const INODES_PER_LAYER_MAX: u64 = 1000;

impl Store {
    /// The file of the stack of an image's layers, which are all of `unpacked`: made now if it is not there, and if that takes
    /// little beside what it saves. Nothing where it is not to be had; the layers do as well, one by one.
    pub fn stack(&self, image_id: &Digest, unpacked: &[UnpackedLayer]) -> Option<PathBuf> {
        let stack = self.known_or_new_stack(image_id, unpacked);
        stack.inspect_err(|error| tracing::debug!(%image_id, %error, "there is no file of its stack")).ok().flatten()
    }

    fn known_or_new_stack(&self, image_id: &Digest, unpacked: &[UnpackedLayer]) -> Result<Option<PathBuf>> {
        let Some(top) = self.layers(image_id)?.pop() else { return Ok(None) };
        let path = self.paths().stack(&top.chain_id);
        let union = union(unpacked);
        match durable::open(&path) {
            Ok(file) if is_stack_of(&file, &union)? => {
                durable::touch(&file);
                return Ok(Some(path));
            }
            Err(error) if error.kind() != Kind::NotFound => return Err(error),
            // None, or one of files that were made in another way.
            Ok(_) | Err(_) => {}
        }
        let layers = u64::try_from(unpacked.len()).unwrap_or(u64::MAX);
        if union.inodes() > layers.saturating_mul(INODES_PER_LAYER_MAX) || !self.is_writable() {
            return Ok(None);
        }
        let part = self.paths().unpacked_part_of_stack(&top.chain_id);
        // Whoever makes it just now is ready before this one would be; the layers do as well.
        let Some(lock) = wait::try_lock(&part)? else { return Ok(None) };
        let write = || -> Result<()> {
            durable::set_length(lock.file(), &part, 0)?;
            let mut target = FileStorage::new(durable::open_or_create(&part)?, &part);
            write_stack(&union, &top.chain_id, &mut target, &|| self.scratch_file())?;
            durable::flush(&[(part.clone(), target.into_file())], &[])?;
            durable::rename(&part, &path)
        };
        let written = write();
        if written.is_err() {
            let _ = durable::remove_file(&part);
        }
        written.map(|()| Some(path))
    }
}
