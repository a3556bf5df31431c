//! `cp`: files out of an image, onto this machine or as a tar archive, by docker's rules.

mod arrive;
mod merge;

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use dhow_base::{Error, Result};
use dhow_layer::erofs::{Attributes, FileType, Union, UnionNode, Visit};
use dhow_layer::unpack::{IdMap, Owners};

use crate::content_error::explain;
use crate::context::Context;
pub use crate::rootfs::Place;
use crate::rootfs::{RootFs, below};
pub(crate) use arrive::{Moved, arrive, unpack};

/// What to copy.
#[derive(Clone, Debug)]
pub struct Request {
    /// Where from.
    pub source: Place,
    /// Copies what a symbolic link points to, not the link.
    pub follow_link: bool,
    /// Keeps owners and devices, which takes root's rights; without it files belong to who copies.
    pub archive: bool,
}

/// What was copied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// Files of any kind, directories included.
    pub files: u64,
    /// Bytes of the tar archive that they make, which is what docker counts.
    pub bytes: u64,
    /// What could not be copied as it is in the image, a sentence each.
    pub notes: Vec<String>,
}

/// Why nothing was copied.
#[derive(Debug)]
pub enum Failed {
    /// On this machine: docker's client would say so.
    Here(Error),
    /// In the image or container: docker's daemon would.
    There(Error),
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::There(error)
    }
}

/// Writes a tar archive of a file, or of a directory with all that is in it.
///
/// # Errors
/// Those of finding and unpacking the image, [`dhow_base::Kind::NotFound`] when there is no such path, and those of writing.
pub fn to_archive(context: &Context, request: &Request, output: &mut (dyn Write + Send)) -> Result<Copied> {
    let source = Source::open(context, request)?;
    let name = if source.contents_only { b".".to_vec() } else { source.name.clone() };
    source.write(&name, output)
}

/// Copies onto this machine: into `target` if it is a directory, else to that name.
///
/// # Errors
/// As [`to_archive`]; docker's for targets that do not fit.
pub fn to_path(context: &Context, request: &Request, target: &Path) -> Result<Copied, Failed> {
    let source = Source::open(context, request)?;
    let what =
        Moved { is_directory: source.node.is_directory(), contents_only: source.contents_only, name: &source.name };
    let (root, name) = what.landing(target).map_err(Failed::Here)?;
    let owners = if request.archive { Owners::Keep(IdMap::default()) } else { Owners::Caller };
    Ok(arrive(&root, owners, &format!("{target:?}"), |output| source.write(&name, output))?)
}

/// What is copied.
struct Source<'r> {
    request: &'r Request,
    root: RootFs,
    node: UnionNode,
    /// Its last name; empty for the root.
    name: Vec<u8>,
    /// What is in the directory, not the directory.
    contents_only: bool,
}

impl<'r> Source<'r> {
    fn open(context: &Context, request: &'r Request) -> Result<Self> {
        let place = &request.source;
        let mut root = RootFs::look_for(context, place, request.follow_link, true)?;
        let (path, node) = root.find(place, request.follow_link)?;
        root.fetch(&node).map_err(|error| explain(&place.image, error))?;
        // The name is that of the operand: behind a link that is followed, another file has it.
        let given = place.path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        let name = match given {
            "" | "." | ".." => path.rsplit(|byte| *byte == b'/').next().unwrap_or_default().to_vec(),
            given => given.as_bytes().to_vec(),
        };
        let contents_only = place.path.ends_with("/.") || name.is_empty();
        Ok(Self { request, root, node, name, contents_only })
    }

    /// Writes the archive, in which the source has a name; `.` stands for what is in the directory alone.
    fn write(&self, name: &[u8], output: &mut (dyn Write + Send)) -> Result<Copied> {
        let mut archive = Archive {
            union: &self.root.union,
            builder: tar::Builder::new(Counted { output, bytes: 0 }),
            first_names: HashMap::new(),
            files: 0,
        };
        let prefix: &[u8] = if name == b"." { b"" } else { name };
        if !prefix.is_empty() {
            archive.add(prefix, &self.node)?;
        }
        if self.node.is_directory() {
            self.root.union.walk(&self.node, |path, node| {
                archive.add(&below(prefix, path), node)?;
                Ok(Visit::Enter)
            })?;
        }
        let files = archive.files;
        let mut counted = archive.builder.into_inner().map_err(|error| Error::io("cannot write", error))?;
        counted.flush().map_err(|error| Error::io("cannot write", error))?;
        tracing::debug!(image = self.request.source.image, files, "copied");
        Ok(Copied { files, bytes: counted.bytes, notes: Vec::new() })
    }
}

/// A tar archive on its way out.
struct Archive<'a> {
    union: &'a Union<File>,
    builder: tar::Builder<Counted<'a>>,
    /// The name by which a file with several is in the archive already.
    first_names: HashMap<(usize, u64), Vec<u8>>,
    files: u64,
}

impl Archive<'_> {
    fn add(&mut self, name: &[u8], node: &UnionNode) -> Result<()> {
        let inode = node.inode();
        if inode.kind == FileType::Socket {
            // No archive has them.
            return Ok(());
        }
        self.files += 1;
        let attributes = self.union.attributes(node)?;
        let mut header = tar::Header::new_gnu();
        header.set_mode(attributes.mode);
        header.set_uid(attributes.uid.into());
        header.set_gid(attributes.gid.into());
        header.set_mtime(u64::try_from(attributes.mtime.seconds).unwrap_or(0));
        header.set_size(0);
        let shared = inode.links > 1 && inode.kind != FileType::Directory;
        let first = if shared { self.first_names.get(&node.identity()).cloned() } else { None };
        self.extend(&attributes, first.is_none())?;
        let failed = |error| Error::io(format_args!("cannot write {:?}", String::from_utf8_lossy(name)), error);
        if let Some(first) = first {
            header.set_entry_type(tar::EntryType::Link);
            return self.builder.append_link(&mut header, path(name), path(&first)).map_err(failed);
        }
        if shared {
            self.first_names.insert(node.identity(), name.to_vec());
        }
        let kind = match inode.kind {
            FileType::Symlink => {
                header.set_entry_type(tar::EntryType::Symlink);
                let target = self.union.read_link(node)?;
                return self.builder.append_link(&mut header, path(name), path(&target)).map_err(failed);
            }
            FileType::File => {
                header.set_size(inode.size);
                tar::EntryType::Regular
            }
            FileType::Directory => tar::EntryType::Directory,
            FileType::CharDevice => tar::EntryType::Char,
            FileType::BlockDevice => tar::EntryType::Block,
            FileType::Fifo | FileType::Socket => tar::EntryType::Fifo,
        };
        header.set_entry_type(kind);
        header
            .set_device_major(inode.device.0)
            .and_then(|()| header.set_device_minor(inode.device.1))
            .map_err(failed)?;
        let data = Data { union: self.union, node, offset: 0 };
        self.builder.append_data(&mut header, path(name), data).map_err(failed)
    }

    /// What the old header has no room for: parts of seconds, times before 1970, and extended attributes.
    fn extend(&mut self, attributes: &Attributes, with_xattrs: bool) -> Result<()> {
        let mut records: Vec<(String, Vec<u8>)> = Vec::new();
        let time = attributes.mtime;
        if time.nanoseconds != 0 || time.seconds < 0 {
            records.push(("mtime".to_owned(), pax_time(time.seconds, time.nanoseconds).into_bytes()));
        }
        for xattr in attributes.xattrs.iter().filter(|_| with_xattrs) {
            // Names that are no text cannot be told apart from others in a record.
            if let Ok(name) = std::str::from_utf8(&xattr.name) {
                records.push((format!("SCHILY.xattr.{name}"), xattr.value.clone()));
            }
        }
        let borrowed = records.iter().map(|(name, value)| (name.as_str(), value.as_slice()));
        self.builder.append_pax_extensions(borrowed).map_err(|error| Error::io("cannot write", error))
    }
}

/// A decimal number of seconds (pax(1), "pax Extended Header").
fn pax_time(seconds: i64, nanoseconds: u32) -> String {
    if seconds >= 0 || nanoseconds == 0 {
        return format!("{seconds}.{nanoseconds:09}");
    }
    format!("-{}.{:09}", (seconds + 1).unsigned_abs(), 1_000_000_000 - nanoseconds)
}

fn path(bytes: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(bytes))
}

/// Reads a file's content.
struct Data<'a> {
    union: &'a Union<File>,
    node: &'a UnionNode,
    offset: u64,
}

impl Read for Data<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.node.inode().kind != FileType::File {
            return Ok(0);
        }
        let read = self.union.read(self.node, buffer, self.offset).map_err(io::Error::other)?;
        self.offset += read as u64;
        Ok(read)
    }
}

/// Counts what is written.
struct Counted<'a> {
    output: &'a mut (dyn Write + Send),
    bytes: u64,
}

impl Write for Counted<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.output.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_before_1970_keep_their_parts() {
        assert_eq!(pax_time(5, 0), "5.000000000");
        assert_eq!(pax_time(5, 250_000_000), "5.250000000");
        assert_eq!(pax_time(-5, 0), "-5.000000000");
        // 4.75 seconds before: 5 before, and a quarter on top.
        assert_eq!(pax_time(-5, 250_000_000), "-4.750000000");
        assert_eq!(pax_time(-1, 999_999_999), "-0.000000001");
    }
}
