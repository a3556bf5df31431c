//! `ls`: what is in a directory of an image.

use dhow_base::Result;
use dhow_layer::erofs::{FileType, Visit};

use crate::context::Context;
pub use crate::rootfs::{FileEntry, FileKind, Place};
use crate::rootfs::{RootFs, absolute, below};

/// What to list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// Everything below, not only what is in the directory itself.
    pub recursive: bool,
    /// The directory itself in place of what is in it.
    pub itself: bool,
    /// A symbolic link itself, if that is what the path names.
    pub keep_link: bool,
}

/// Calls `each` with the files, names in the order of their bytes, a directory before what is in it. A file is listed alone.
///
/// # Errors
/// Those of finding and unpacking the image, [`dhow_base::Kind::NotFound`] when there is no such path, and those of `each`.
pub fn ls(
    context: &Context,
    place: &Place,
    request: Request,
    mut each: impl FnMut(FileEntry) -> Result<()>,
) -> Result<()> {
    let follow_last = !(request.keep_link || request.itself);
    let root = RootFs::look_for(context, place, follow_last, false)?;
    let union = &root.union;
    let (path, node) = root.find(place, follow_last)?;
    if request.itself || node.inode().kind != FileType::Directory {
        return each(FileEntry::read(union, absolute(&path), &node)?);
    }
    if request.recursive {
        return union.walk(&node, |inner, child| {
            each(FileEntry::read(union, absolute(&below(&path, inner)), child)?)?;
            Ok(Visit::Enter)
        });
    }
    for name in union.names(&node)? {
        if let Some(child) = union.child(&node, &name)? {
            each(FileEntry::read(union, absolute(&below(&path, &name)), &child)?)?;
        }
    }
    Ok(())
}
