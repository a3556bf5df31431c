//! The file of an image's stack of layers: the kernel mounts one file system then instead of one for each layer.

use std::fs::{self, Metadata};
use std::path::PathBuf;
use std::time::Duration;

use dhow_base::fs as durable;
use dhow_base::{Error, Kind, Result};
use dhow_layer::erofs::{FileStorage, StackedFile, is_stack_of, stacked_files, write_stack};
use dhow_spec::Digest;

use super::{UnpackedLayer, union};
use crate::store::Store;
use crate::wait;

/// Most inodes for each layer with which a stack is made. Once it takes some 2.4 µs of processor time for each, and a layer more costs
/// every mount 110 µs (`docs/design/layers.md`).
const INODES_PER_LAYER_MAX: u64 = 1000;

/// How much older than the last use a layer's file may say it is, in the order in which files go when there are too many.
const USE_IS_KNOWN: Duration = Duration::from_secs(60 * 60);

/// All layers of an image as one file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stacked {
    /// The file of the stack.
    pub file: PathBuf,
    /// The layers' files, lowest first: where the data is.
    pub layers: Vec<PathBuf>,
}

impl Store {
    /// The stack of an image's layers, if there is one and every layer is unpacked to just what it was made for. No layer's file
    /// is opened for that.
    pub fn known_stack(&self, image_id: &Digest) -> Option<Stacked> {
        let stacked = self.stack_by_name(image_id);
        stacked
            .inspect_err(|error| tracing::debug!(%image_id, %error, "there is no stack to begin with"))
            .ok()
            .flatten()
    }

    fn stack_by_name(&self, image_id: &Digest) -> Result<Option<Stacked>> {
        let ids = self.layer_ids(image_id)?;
        let Some((_, top)) = ids.last() else { return Ok(None) };
        let path = self.paths().stack(top);
        let file = match durable::open(&path) {
            Err(error) if error.kind() == Kind::NotFound => return Ok(None),
            other => other?,
        };
        let Some(wanted) = stacked_files(&file, ids.len())? else { return Ok(None) };
        let layers = ids.iter().zip(&wanted).map(|(id, wanted)| self.layer_file(id, wanted));
        let Some(layers) = layers.collect::<Option<Vec<PathBuf>>>() else { return Ok(None) };
        durable::touch(&file);
        Ok(Some(Stacked { file: path, layers }))
    }

    /// The file of a layer, by its diff ID and chain ID, if it is what the stack was made for. What is in it follows from its name.
    fn layer_file(&self, (diff_id, chain_id): &(Digest, Digest), wanted: &StackedFile) -> Option<PathBuf> {
        if !diff_id.hex().starts_with(&wanted.diff_id) || wanted.diff_id.is_empty() {
            return None;
        }
        let named =
            [(diff_id, false), (chain_id, true)].map(|(id, needs_below)| self.paths().unpacked(id, needs_below));
        let (path, metadata) =
            named.into_iter().find_map(|path| fs::metadata(&path).ok().map(|found| (path, found)))?;
        if metadata.len() != wanted.bytes {
            return None;
        }
        if is_stale(&metadata)
            && let Ok(file) = durable::open(&path)
        {
            durable::touch(&file);
        }
        Some(path)
    }

    /// The file of the stack of an image's layers, which are all of `unpacked`: made now if it is not there, and if that takes
    /// little beside what it saves. Nothing where it is not to be had; the layers do as well, one by one.
    pub fn stack(&self, image_id: &Digest, unpacked: &[UnpackedLayer]) -> Option<PathBuf> {
        let stack = self.known_or_new_stack(image_id, unpacked);
        stack.inspect_err(|error| tracing::debug!(%image_id, %error, "there is no file of its stack")).ok().flatten()
    }

    fn known_or_new_stack(&self, image_id: &Digest, unpacked: &[UnpackedLayer]) -> Result<Option<PathBuf>> {
        let Some((_, top)) = self.layer_ids(image_id)?.pop() else { return Ok(None) };
        let path = self.paths().stack(&top);
        let union = union(unpacked);
        match durable::open(&path) {
            Ok(file) if is_stack_of(&file, &union).or_else(none_if_damaged)? => {
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
        let part = self.paths().unpacked_part_of_stack(&top);
        // Whoever makes it just now is ready before this one would be; the layers do as well.
        let Some(lock) = wait::try_lock(&part)? else { return Ok(None) };
        let write = || -> Result<()> {
            durable::set_length(lock.file(), &part, 0)?;
            let mut target = FileStorage::new(durable::open_or_create(&part)?, &part);
            write_stack(&union, &top, &mut target, &|| self.scratch_file())?;
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

/// Whether a file was last used so long ago that it must be said anew.
fn is_stale(metadata: &Metadata) -> bool {
    metadata.modified().ok().and_then(|used| used.elapsed().ok()).is_some_and(|age| age > USE_IS_KNOWN)
}

/// A file that is too short is none: it is made anew.
fn none_if_damaged(error: Error) -> Result<bool> {
    if error.kind() == Kind::Corrupt { Ok(false) } else { Err(error) }
}
