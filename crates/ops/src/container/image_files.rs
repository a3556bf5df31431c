//! The files of an image, as a container needs them: for its root, or mounted in it.

use std::fs::File;
use std::path::{Path, PathBuf};

use dhow_base::beneath::{Dir, set_mode, set_modified, set_owner};
use dhow_base::{Error, Result};
use dhow_layer::erofs::{Attributes, Mtime};
use dhow_sandbox::container::{ImageFiles, Stack};
use dhow_spec::Digest;
use dhow_store::{Ownership, Store, UnpackedLayer};

use super::{KeptIds, Machine};

/// Fewest layers that are mounted as one stack: making its file, once, is not worth it for fewer.
const STACK_LAYERS_MIN: usize = 4;

/// The files of an image, unpacked now if they are not yet: layer files, or a tree where nothing but directories can be laid over each other.
/// `directory` is the container's.
pub(super) fn image_files(store: &Store, image_id: &Digest, directory: &Path, machine: Machine) -> Result<ImageFiles> {
    if machine.in_user_namespace {
        let lower = vec![tree(store, image_id, directory, machine)?];
        return Ok(ImageFiles { lower, lower_is_directory: true, stack: None });
    }
    let layers = store.unpack(image_id)?;
    Ok(ImageFiles { lower: visible(&layers)?, lower_is_directory: false, stack: stack_of(store, image_id, &layers) })
}

/// What the root directory of an image is like.
pub(super) fn root_attributes(
    store: &Store,
    image_id: &Digest,
    directory: &Path,
    machine: Machine,
) -> Result<Attributes> {
    if machine.in_user_namespace {
        return tree_attributes(&tree(store, image_id, directory, machine)?);
    }
    let union = dhow_store::union(&store.unpack(image_id)?);
    union.attributes(&union.root()?)
}

/// Makes a directory like the root of an image whose changes it takes: the topmost directory says what the root is like.
pub(super) fn dress(path: &Path, root: &Attributes, machine: Machine) -> Result<()> {
    let cannot = |error| Error::io(format_args!("cannot change {path:?}"), error);
    let open = File::open(path).map_err(cannot)?;
    if machine.may_own() {
        set_owner(&open, root.uid, root.gid).map_err(cannot)?;
    }
    set_mode(&open, root.mode & 0o7777).map_err(cannot)?;
    set_modified(&open, root.mtime.seconds, root.mtime.nanoseconds).map_err(cannot)
}

/// The files of an image where nothing but directories can be laid over each other: a tree that all containers of the image share.
fn tree(store: &Store, image_id: &Digest, directory: &Path, machine: Machine) -> Result<PathBuf> {
    if store.config(image_id)?.rootfs.diff_ids.is_empty() {
        return Ok(directory.join("lower"));
    }
    let ownership = match machine {
        Machine { kept_ids: Some(KeptIds { uid, gid }), .. } => Ownership::KeptIds { uid, gid },
        Machine { has_users: true, .. } => Ownership::Kept,
        _ => Ownership::Caller,
    };
    Ok(store.unpack_tree(image_id, ownership)?.path)
}

/// What the root of a tree is like.
fn tree_attributes(tree: &Path) -> Result<Attributes> {
    let stat = Dir::open(tree).and_then(|tree| tree.stat());
    let stat = stat.map_err(|error| Error::io(format_args!("cannot read {tree:?}"), error))?;
    let mtime = Mtime { seconds: stat.modified.0, nanoseconds: stat.modified.1 };
    Ok(Attributes { mode: stat.mode, uid: stat.uid, gid: stat.gid, mtime, xattrs: Vec::new() })
}

/// All layers as one file system, where there are so many that it is worth it.
fn stack_of(store: &Store, image_id: &Digest, layers: &[UnpackedLayer]) -> Option<Stack> {
    if layers.len() < STACK_LAYERS_MIN {
        return None;
    }
    let file = store.stack(image_id, layers)?;
    Some(Stack { file, layers: layers.iter().map(|layer| layer.path.clone()).collect() })
}

/// The layers, without those that a layer above hides as a whole, which overlayfs would not see.
fn visible(layers: &[UnpackedLayer]) -> Result<Vec<PathBuf>> {
    let mut first = 0;
    for (number, layer) in layers.iter().enumerate() {
        if layer.image.is_opaque(&layer.image.root()?)? {
            first = number;
        }
    }
    Ok(layers[first..].iter().map(|layer| layer.path.clone()).collect())
}
