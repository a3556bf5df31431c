//! `cat`: the content of a file of an image.

use std::io::Write;

use dhow_base::{Error, Kind, Result};
use dhow_layer::erofs::FileType;

use crate::content_error::explain;
use crate::context::Context;
pub use crate::rootfs::Place;
use crate::rootfs::RootFs;

/// Bytes that are read at once.
const CHUNK_BYTES: usize = 256 << 10;

/// Writes the content of a file; links are followed inside of the image.
///
/// # Errors
/// Those of finding and unpacking the image, [`Kind::NotFound`] when there is no such file, [`Kind::Invalid`] when it has no
/// content, and those of writing.
pub fn cat(context: &Context, place: &Place, output: &mut dyn Write) -> Result<()> {
    let mut root = RootFs::look_for(context, place, true, true)?;
    let (_, node) = root.find(place, true)?;
    let what = match node.inode().kind {
        FileType::File => None,
        FileType::Directory => Some("is a directory"),
        _ => Some("is no regular file"),
    };
    if let Some(what) = what {
        return Err(Error::new(Kind::Invalid, format!("{} in image {} {what}", place.path, place.image)));
    }
    root.fetch(&node).map_err(|error| explain(&place.image, error))?;
    let mut buffer = vec![0; CHUNK_BYTES];
    let mut offset = 0;
    loop {
        let read = root.union.read(&node, &mut buffer, offset)?;
        if read == 0 {
            return Ok(());
        }
        output.write_all(&buffer[..read]).map_err(|error| Error::io("cannot write", error))?;
        offset += read as u64;
    }
}
