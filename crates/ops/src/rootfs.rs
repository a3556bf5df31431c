//! The files of an image, read out of its layers: what `ls`, `cat`, `cp` and `diff` share.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;

use dhow_base::{Error, Kind, Result};
use dhow_layer::erofs::{FileType, Inode, Keep, Union, UnionNode, Visit};
use dhow_spec::Digest;
use dhow_store::{ContainerRecord, OpenLayer, Store};

use crate::content_error::explain;
use crate::context::Context;

/// Most files of a layer whose content is fetched without all of the layer.
const FETCHED_FILES_MAX: usize = 1 << 10;

/// A path in an image: `IMAGE:/path`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The image, as it was given.
    pub image: String,
    /// The path, with its slash.
    pub path: String,
}

impl Place {
    /// Reads `IMAGE:/path`; nothing when there is no `:/` in it, or it begins like a path of this machine.
    pub fn parse(text: &str) -> Option<Self> {
        if text.starts_with(['/', '.']) {
            return None;
        }
        let (image, _) = text.split_once(":/").filter(|(image, _)| !image.is_empty())?;
        Some(Self { image: image.to_owned(), path: text[image.len() + 1..].to_owned() })
    }

    /// As [`Place::parse`]; an image alone is its root directory.
    pub fn or_root(text: &str) -> Self {
        Self::parse(text).unwrap_or_else(|| Self { image: text.to_owned(), path: "/".to_owned() })
    }

    /// As [`Place::parse`].
    ///
    /// # Errors
    /// [`Kind::Invalid`] saying how places are written.
    pub fn require(text: &str) -> Result<Self> {
        Self::parse(text).ok_or_else(|| {
            Error::new(Kind::Invalid, format!("{text:?} is no path in an image"))
                .with_hint("write IMAGE:/path, for example alpine:3.20:/etc/passwd")
        })
    }

    pub(crate) fn missing(&self) -> Error {
        let message = format!("Could not find the file {} in image {}", self.path, self.image);
        Error::new(Kind::NotFound, message)
    }
}

/// An image as a file system.
#[derive(Debug)]
pub(crate) struct RootFs {
    pub(crate) id: Digest,
    pub(crate) union: Union<File>,
    /// Where content comes from that is not there yet; none when all is.
    looked_into: Option<(Store, Vec<OpenLayer>)>,
}

impl RootFs {
    /// Finds an image and unpacks those layers that are not yet.
    ///
    /// # Errors
    /// Those of finding the image, and of unpacking.
    pub(crate) fn open(context: &Context, image: &str) -> Result<Self> {
        let store = context.store()?;
        let id = context.find(image)?.image_id;
        let layers = store.unpack(&id).map_err(|error| explain(image, error))?;
        Ok(Self { union: dhow_store::union(&layers), id, looked_into: None })
    }

    /// The image that a container was made from, also one that was removed by force since.
    ///
    /// # Errors
    /// As [`RootFs::open`].
    pub(crate) fn of_container(context: &Context, record: &ContainerRecord) -> Result<Self> {
        let (store, id) = (context.store()?, record.image_id.clone());
        let layers = store.unpack(&id).map_err(|error| explain(id.as_str(), error))?;
        Ok(Self { union: dhow_store::union(&layers), id, looked_into: None })
    }

    /// Finds an image and looks into its layers: names and attributes of all files are known then, content has to be
    /// [fetched](RootFs::fetch).
    ///
    /// # Errors
    /// As [`RootFs::open`].
    pub(crate) fn look(context: &Context, image: &str) -> Result<Self> {
        Self::look_into(context, image, &Keep::Nothing, &|_| false)
    }

    /// As [`RootFs::look`], no further than it takes to tell what is at a place, unless that is a directory. The content of what is
    /// there is mostly at hand then, if it is wanted.
    ///
    /// # Errors
    /// As [`RootFs::open`].
    pub(crate) fn look_for(context: &Context, place: &Place, follow_last: bool, wants_content: bool) -> Result<Self> {
        let path = place.path.as_bytes();
        let keep = match (wants_content, path.iter().all(|byte| matches!(byte, b'/' | b'.'))) {
            (false, _) => Keep::Nothing,
            (true, false) => Keep::Path(path.to_vec()),
            (true, true) if context.store()?.is_writable() => return Self::open(context, &place.image),
            (true, true) => Keep::Everything,
        };
        let is_enough = |topmost: &Union<File>| {
            let found = topmost.resolve(path, follow_last);
            // What a directory holds, and is, the layers below may say as well.
            matches!(found, Ok(Some((_, node))) if !node.is_directory())
        };
        Self::look_into(context, &place.image, &keep, &is_enough)
    }

    fn look_into(
        context: &Context,
        image: &str,
        keep: &Keep,
        is_enough: &(dyn Fn(&Union<File>) -> bool + Sync),
    ) -> Result<Self> {
        let store = context.store()?;
        let id = context.find(image)?.image_id;
        let opened = store.look_into(&id, keep, is_enough).map_err(|error| explain(image, error))?;
        let Some(opened) = opened else { return Self::open(context, image) };
        let union = Union::new(opened.iter().map(|open| open.image.clone()).collect());
        Ok(Self { id, union, looked_into: Some((store.clone(), opened)) })
    }

    /// The same without the topmost layer.
    pub(crate) fn below(&self) -> Self {
        let looked_into = self.looked_into.as_ref().map(|(store, opened)| {
            let lower = opened.split_last().map_or(&[][..], |(_, lower)| lower);
            (store.clone(), lower.to_vec())
        });
        Self { id: self.id.clone(), union: self.union.below(), looked_into }
    }

    /// Has the content of a file, or of all files below a directory, at hand.
    ///
    /// # Errors
    /// Those of unpacking the layers that have it.
    pub(crate) fn fetch(&mut self, node: &UnionNode) -> Result<()> {
        let Some((store, opened)) = &self.looked_into else { return Ok(()) };
        let union = &self.union;
        let mut lacking: BTreeMap<usize, Keep> = BTreeMap::new();
        let mut look_at = |node: &UnionNode| -> Result<Visit> {
            if !union.has_content(node)? {
                let keep = lacking.entry(node.identity().0).or_insert_with(|| Keep::At(BTreeSet::new()));
                match (&mut *keep, union.data_start(node)) {
                    (Keep::At(starts), Some(start)) if starts.len() < FETCHED_FILES_MAX => drop(starts.insert(start)),
                    _ => *keep = Keep::Everything,
                }
            }
            Ok(Visit::Enter)
        };
        match node.is_directory() {
            false => drop(look_at(node)?),
            true if opened.iter().any(|open| open.image.is_outline()) => union.walk(node, |_, child| look_at(child))?,
            true => {}
        }
        let complete = |(number, keep): (usize, Keep)| {
            let open = opened.get(number).ok_or_else(|| Error::new(Kind::Internal, "a file of no layer"))?;
            Ok((number, store.complete(open, keep)?))
        };
        let completed = lacking.into_iter().map(complete).collect::<Result<Vec<_>>>()?;
        for (number, image) in completed {
            self.union.replace(number, image)?;
        }
        Ok(())
    }

    /// The file at a place, and the path that leads there without links.
    ///
    /// # Errors
    /// [`Kind::NotFound`] in docker's words.
    pub(crate) fn find(&self, place: &Place, follow_last: bool) -> Result<(Vec<u8>, UnionNode)> {
        let found = self.union.resolve(place.path.as_bytes(), follow_last);
        found.map_err(|error| explain(&place.image, error))?.ok_or_else(|| place.missing())
    }
}

/// What a file is, in one letter and one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileKind {
    /// As `ls` has it.
    pub letter: char,
    /// In documents.
    pub word: &'static str,
}

impl FileKind {
    pub(crate) fn of(kind: FileType) -> Self {
        let (letter, word) = match kind {
            FileType::File => ('-', "file"),
            FileType::Directory => ('d', "directory"),
            FileType::Symlink => ('l', "symlink"),
            FileType::CharDevice => ('c', "char-device"),
            FileType::BlockDevice => ('b', "block-device"),
            FileType::Fifo => ('p', "fifo"),
            FileType::Socket => ('s', "socket"),
        };
        Self { letter, word }
    }
}

/// A file with all that lists show of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileEntry {
    /// Its path from the root, with the first slash; bytes of any kind.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: FileKind,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Bytes of its content; 0 of what has none.
    pub size: u64,
    /// Names that the file has in its layer.
    pub links: u32,
    /// Time of the last change of its content: seconds since 1970 and nanoseconds.
    pub modified: (i64, u32),
    /// What a symbolic link says.
    pub target: Option<Vec<u8>>,
    /// Major and minor number of a device.
    pub device: Option<(u32, u32)>,
    /// Names and values of extended attributes.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

impl FileEntry {
    pub(crate) fn read(union: &Union<File>, path: Vec<u8>, node: &UnionNode) -> Result<Self> {
        let Inode { kind, links, size, device, .. } = node.inode().clone();
        let attributes = union.attributes(node)?;
        let target = if kind == FileType::Symlink { Some(union.read_link(node)?) } else { None };
        let has_content = matches!(kind, FileType::File | FileType::Symlink);
        Ok(Self {
            path,
            kind: FileKind::of(kind),
            mode: attributes.mode,
            uid: attributes.uid,
            gid: attributes.gid,
            size: if has_content { size } else { 0 },
            links,
            modified: (attributes.mtime.seconds, attributes.mtime.nanoseconds),
            target,
            device: matches!(kind, FileType::CharDevice | FileType::BlockDevice).then_some(device),
            xattrs: attributes.xattrs.into_iter().map(|xattr| (xattr.name, xattr.value)).collect(),
        })
    }
}

/// A path from the root with its slash.
pub(crate) fn absolute(path: &[u8]) -> Vec<u8> {
    [b"/", path].concat()
}

/// A path below a directory.
pub(crate) fn below(directory: &[u8], path: &[u8]) -> Vec<u8> {
    if directory.is_empty() { path.to_vec() } else { [directory, b"/", path].concat() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        let check = |text: &str, expected: Option<(&str, &str)>| {
            let found = Place::parse(text).map(|place| (place.image, place.path));
            let found = found.as_ref().map(|(image, path)| (image.as_str(), path.as_str()));
            assert_eq!(found, expected, "{text}");
        };
        check("alpine:/etc", Some(("alpine", "/etc")));
        check("localhost:5000/a/b:tag:/", Some(("localhost:5000/a/b:tag", "/")));
        check("alpine:3.20:/a:/b", Some(("alpine:3.20", "/a:/b")));
        check("alpine:3.20", None);
        check("./x:/y", None);
        check("/x:/y", None);
        check(":/x", None);
        check("-", None);
    }
}
