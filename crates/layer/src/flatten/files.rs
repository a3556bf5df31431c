//! Many layers made one by way of the files that they show: where names alone do not tell which file a hard link means.

use std::io::Write;
use std::sync::Arc;

use dhow_base::Result;
use dhow_spec::digest::Algorithm;

use super::Layers;
use crate::diff::write_union;
use crate::erofs::{Form, Image, Storage, Union, Workspace, convert_kept, convert_passing};

/// As [`flatten`](super::flatten()), whatever hard links lead through. The files come in the order of their names; each layer is kept whole in
/// a scratch file.
///
/// # Errors
/// [`Kind::Corrupt`](dhow_base::Kind::Corrupt) for layers that cannot be unpacked; those of reading and writing.
pub fn flatten_files<S: Storage>(
    layers: &dyn Layers,
    scratch: &dyn Fn() -> Result<S>,
    writer: &mut dyn Write,
) -> Result<()> {
    let mut images: Vec<Arc<Image<S>>> = Vec::new();
    for layer in 0..layers.count() {
        let mut target = scratch()?;
        let passed = convert_passing(layers.open(layer)?, Algorithm::Sha256, Form::File, &mut target, scratch)?;
        if passed.needs_below {
            let workspace = Workspace { target: &mut target, scratch, below: &Union::new(images.clone()) };
            convert_kept(&passed.diff_id, passed.tar_bytes, workspace)?;
        } else {
            passed.made?;
        }
        images.push(Arc::new(Image::open(target)?));
    }
    write_union(&Union::new(images), writer).map(drop)
}
