//! `cp`: files out of an image, onto this machine or as a tar archive, by docker's rules.

mod arrive;
mod merge;

use std::io::Write;
use std::path::Path;

use dhow_base::{Error, Result};
use dhow_layer::diff::{Written, write_union_at};
use dhow_layer::erofs::UnionNode;
use dhow_layer::unpack::{IdMap, Owners};

use crate::content_error::explain;
use crate::context::Context;
use crate::naming::Naming;
pub use crate::rootfs::Place;
use crate::rootfs::RootFs;
pub use arrive::check_output;
pub(crate) use arrive::{DIRECTORY_ONTO_FILE, Moved, arrive, unpack};

/// What happens where a directory is copied to the name of another file, or another file to that of a directory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Clash {
    /// Nothing is copied.
    #[default]
    Refused,
    /// What is there gives way, a directory with all that is in it (podman's `cp --overwrite`).
    Replaced,
}

/// What to copy.
#[derive(Clone, Debug)]
pub struct Request {
    /// Where from.
    pub source: Place,
    /// Copies what a symbolic link points to, not the link.
    pub follow_link: bool,
    /// Keeps owners and devices, which takes root's rights; without it files belong to who copies.
    pub archive: bool,
    /// What happens where kinds of files differ.
    pub clash: Clash,
}

/// What was copied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// Files of any kind, directories included.
    pub files: u64,
    /// Bytes of the tar archive that they would make with times in whole seconds, which is what docker counts.
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
    let path = request.source.path.as_bytes();
    let real = if request.follow_link && !path.ends_with(b"/") { &source.real } else { &source.name };
    source.write(name_in_archive(path, real, source.contents_only, context.naming()), output)
}

/// Copies onto this machine: into `target` if it is a directory, else to that name.
///
/// # Errors
/// As [`to_archive`]; docker's for targets that do not fit.
pub fn to_path(context: &Context, request: &Request, target: &Path) -> Result<Copied, Failed> {
    let source = Source::open(context, request)?;
    let what =
        Moved { is_directory: source.node.is_directory(), contents_only: source.contents_only, name: &source.name };
    let (root, name) = what.landing(target, context.naming()).map_err(Failed::Here)?;
    let owners = if request.archive { Owners::Keep(IdMap::default()) } else { Owners::Caller };
    Ok(arrive(&root, owners, request.clash, &format!("{target:?}"), |output| {
        source.write((name != b".").then_some(name.as_slice()), output)
    })?)
}

/// What is copied.
struct Source<'r> {
    request: &'r Request,
    root: RootFs,
    node: UnionNode,
    /// Its last name; empty for the root.
    name: Vec<u8>,
    /// The one that it has, behind links that were followed.
    real: Vec<u8>,
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
        let real = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default().to_vec();
        let name = match given {
            "" | "." | ".." => real.clone(),
            given => given.as_bytes().to_vec(),
        };
        let contents_only = means_contents(place.path.as_bytes()) || name.is_empty();
        Ok(Self { request, root, node, name, real, contents_only })
    }

    /// Writes the archive, in which the source has a name; without one, what is in the directory alone.
    fn write(&self, name: Option<&[u8]>, output: &mut (dyn Write + Send)) -> Result<Copied> {
        let Written { bytes, fraction_bytes, files } = write_union_at(&self.root.union, &self.node, name, output)?;
        tracing::debug!(image = self.request.source.image, files, "copied");
        Ok(Copied { files, bytes: bytes - fraction_bytes, notes: Vec::new() })
    }
}

/// What the first entry of an archive is called, which somebody gets who asked for no place: docker's begins with `./` or `/` where `path` ends
/// with a dot or is the root, of which podman has what is in it alone.
pub(crate) fn name_in_archive<'n>(
    path: &[u8],
    real: &'n [u8],
    contents_only: bool,
    naming: Naming,
) -> Option<&'n [u8]> {
    match naming {
        Naming::Docker if means_contents(path) => Some(b"."),
        Naming::Docker if real.is_empty() => Some(b"/"),
        Naming::Docker => Some(real),
        Naming::Podman => (!contents_only && !real.is_empty()).then_some(real),
    }
}

/// Whether a path of a source stands for what is in the directory, not for the directory: its last name is `.`, slashes behind it aside
/// (moby, `archive.specifiesCurrentDir`).
pub(crate) fn means_contents(path: &[u8]) -> bool {
    let end = path.iter().rposition(|byte| *byte != b'/').map_or(0, |last| last + 1);
    path[..end] == *b"." || path[..end].ends_with(b"/.")
}
