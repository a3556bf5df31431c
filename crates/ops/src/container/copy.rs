//! `cp` with a container: files out of it and into it, by docker's rules.
//!
//! A container's files change while they are copied, and links in them are its own: the root is opened once, and everything else is looked up
//! beneath it.

mod between;
mod place;
mod way;

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use dhow_base::beneath::{Dir, FileKind};
use dhow_base::{Error, Kind, Result};
use dhow_layer::diff::{DiffOptions, Written, write_named};
use dhow_layer::unpack::{IdMap, Owners};
use dhow_layer::{Decoder, Limits, decode_error};
use dhow_sandbox::container::user_in;

use super::{Machine, Record};
use crate::context::Context;
use crate::cp::{Clash, Copied, Failed, Moved, arrive, name_in_archive, unpack};
use crate::naming::Naming;
pub use between::copy_between;
use place::{Access, Place};
use way::Way;

/// How to copy.
#[derive(Clone, Copy, Debug, Default)]
pub struct CopyOptions {
    /// Copies what a symbolic link points to, not the link.
    pub follow_link: bool,
    /// Out of a container: keeps owners and devices, which takes root's rights. Into it: files belong to the container's user.
    pub archive: bool,
    /// What happens where kinds of files differ.
    pub clash: Clash,
}

/// A path in a container.
#[derive(Clone, Copy, Debug)]
pub struct InContainer<'a> {
    /// The container.
    pub record: &'a Record,
    /// What the user called the container, its ID or name; errors call it so too, as docker's and podman's do.
    pub named: &'a str,
    /// The path in it.
    pub path: &'a str,
}

/// Where a copy into a container comes from.
pub enum Incoming<'a> {
    /// A file or directory of this machine.
    Path(&'a Path),
    /// A tar archive, compressed or not.
    Archive(&'a mut dyn Read),
}

/// Writes a tar archive of a container's file, or of its directory with all that is in it.
///
/// # Errors
/// [`Kind::NotFound`] in docker's words when there is no such path; those of looking into the container and of writing.
pub fn copy_to_archive(
    context: &Context,
    from: InContainer<'_>,
    machine: Machine,
    options: CopyOptions,
    output: &mut (dyn Write + Send),
) -> Result<Copied> {
    check_path(context, from.path)?;
    let place = Place::open(context, from, machine, Access::Read)?;
    let source = place.source(from.path, options.follow_link)?;
    let shown = name_in_archive(from.path.as_bytes(), &source.real, source.contents_only, context.naming());
    place.write(&source, shown, DiffOptions::default(), output)
}

/// Copies a container's file or directory onto this machine: into `target` if it is a directory, else to that name.
///
/// # Errors
/// As [`copy_to_archive`]; docker's for targets that do not fit.
pub fn copy_to_path(
    context: &Context,
    from: InContainer<'_>,
    machine: Machine,
    options: CopyOptions,
    target: &Path,
) -> Result<Copied, Failed> {
    check_path(context, from.path)?;
    let place = Place::open(context, from, machine, Access::Read)?;
    let source = place.source(from.path, options.follow_link)?;
    let (landing, name) = source.moved().landing(target, context.naming()).map_err(Failed::Here)?;
    let owners = if options.archive && machine.may_own() { Owners::Keep(IdMap::default()) } else { Owners::Caller };
    let copied = arrive(&landing, owners, options.clash, &format!("{target:?}"), |output| {
        place.write(&source, (name != b".").then_some(name.as_slice()), DiffOptions::default(), output)
    });
    Ok(copied?)
}

/// Refuses a source without a path as docker's daemon does, and in its words.
fn check_path(context: &Context, path: &str) -> Result<()> {
    match path.is_empty() && context.naming() == Naming::Docker {
        true => Err(Error::new(Kind::Invalid, "bad parameter: pathcannot be empty")),
        false => Ok(()),
    }
}

/// Copies into a container: into the directory that is at the path, else to that name.
///
/// # Errors
/// [`Kind::NotFound`] in docker's words when the directory above is missing, [`Kind::Denied`] where the container can only be read; those of
/// reading the source.
pub fn copy_into(
    context: &Context,
    source: Incoming<'_>,
    to: InContainer<'_>,
    machine: Machine,
    options: CopyOptions,
) -> Result<Copied, Failed> {
    let local = match source {
        Incoming::Path(source) => {
            let found = local(source, options.follow_link, context.naming()).map_err(|error| {
                match (context.naming(), error.kind()) {
                    (Naming::Podman, Kind::NotFound) => {
                        let message = format!("{source:?} could not be found on the host: no such file or directory");
                        Error::new(Kind::NotFound, message)
                    }
                    _ => error,
                }
            });
            Some(found.map_err(Failed::Here)?)
        }
        Incoming::Archive(_) => None,
    };
    let shown = format!("{}:{}", to.named, to.path);
    // Docker's client finds no directory where no path is said.
    if to.path.is_empty() && context.naming() == Naming::Docker {
        let message = match &local {
            None => Some(format!("destination {shown:?} must be a directory")),
            Some(local) => (!local.is_directory).then(|| "no such directory".to_owned()),
        };
        if let Some(message) = message {
            return Err(Failed::Here(Error::new(Kind::Invalid, message)));
        }
    }
    let place = Place::open(context, to, machine, Access::Write)?;
    let target = place.target(to.path)?;
    let (landing, name) = match &local {
        None => (target.landing_of_archive(&place, to.path, &shown)?, None),
        Some(local) => target.landing(&place, to.path, local.moved())?,
    };
    check_writable(&place, &landing, &shown)?;
    let owners = if machine.may_own() { Owners::Keep(IdMap::default()) } else { Owners::Caller };
    match (source, local) {
        (Incoming::Archive(archive), _) => {
            let mut counted = Counted { reader: archive, bytes: 0 };
            let failed = |error| decode_error("cannot read the archive", error);
            let notes = Decoder::new(&mut counted, Limits::LAYER)
                .map_err(failed)
                .and_then(|archive| unpack(&landing, owners, options.clash, archive, |_| Ok(())))
                .map_err(|error| error.context(format_args!("cannot copy to {shown:?}")))?;
            Ok(Copied { files: 0, bytes: counted.bytes, notes })
        }
        (_, Some(local)) => {
            // Root's are as they are with docker.
            let has_owner = !place.user.is_empty() || place.naming == Naming::Podman;
            let owner = match (options.archive, has_owner) {
                (true, true) => Some(user_in(&place.root, &place.user)?),
                _ => None,
            };
            let diff = DiffOptions { owner, ..DiffOptions::default() };
            Ok(arrive(&landing, owners, options.clash, &format!("{shown:?}"), |output| {
                local.write(name.as_deref(), diff, output)
            })?)
        }
        (Incoming::Path(_), None) => Err(Error::new(Kind::Internal, "a path was not opened").into()),
    }
}

/// Refuses a directory that can only be read, in docker's words.
fn check_writable(place: &Place<'_>, landing: &Dir, shown: &str) -> Result<()> {
    if !landing.is_read_only().map_err(|error| Error::io(format_args!("cannot copy to {shown:?}"), error))? {
        return Ok(());
    }
    let what = if place.read_only { "container rootfs" } else { "mounted volume" };
    Err(Error::new(Kind::Denied, format!("{what} is marked read-only")))
}

/// What is copied, in an open directory.
struct Source {
    directory: Dir,
    name: OsString,
    is_directory: bool,
    contents_only: bool,
    /// The name that it was asked for by; empty for a root.
    shown: Vec<u8>,
    /// The one that it has, behind links that were followed.
    real: Vec<u8>,
}

impl Source {
    fn moved(&self) -> Moved<'_> {
        Moved { is_directory: self.is_directory, contents_only: self.contents_only, name: &self.shown }
    }

    fn write(&self, shown: Option<&[u8]>, options: DiffOptions, output: &mut (dyn Write + Send)) -> Result<Copied> {
        let Written { bytes, fraction_bytes, files } =
            write_named(&self.directory, &self.name, shown, output, options)?;
        Ok(Copied { files, bytes: bytes - fraction_bytes, notes: Vec::new() })
    }
}

/// What is copied from this machine.
fn local(path: &Path, follow: bool, naming: Naming) -> Result<Source> {
    let bytes = path.as_os_str().as_bytes();
    let shown = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => {
            Error::new(Kind::NotFound, format!("lstat {}: no such file or directory", shown.display()))
        }
        io::ErrorKind::NotADirectory => Error::new(Kind::Invalid, format!("not a directory: {path:?}")),
        _ => Error::io(format_args!("cannot read {path:?}"), error),
    };
    let way = Way::to_source(bytes, naming);
    let is_link = fs::symlink_metadata(path).map_err(failed)?.is_symlink();
    let goes_up = bytes == b".." || bytes.ends_with(b"/..");
    // What the name leads to, where it is not copied as a link.
    if way.wants_directory || goes_up || (is_link && follow) || way.parts.is_empty() {
        let real = fs::canonicalize(path).map_err(failed)?;
        let is_directory = real.is_dir();
        let own = real.file_name().map(OsStr::as_bytes).unwrap_or_default().to_vec();
        if way.wants_directory && !is_directory {
            return Err(Error::new(Kind::Invalid, format!("not a directory: {path:?}")));
        }
        let name = way.parts.last().filter(|_| !goes_up && !way.contents_only).cloned().unwrap_or(own);
        let contents_only = way.contents_only || name.is_empty();
        let (directory, file) = match real.file_name() {
            Some(file) if !is_directory => (real.parent().unwrap_or(Path::new("/")), file.to_owned()),
            _ => (real.as_path(), OsString::from(".")),
        };
        let directory = Dir::open(directory).map_err(failed)?;
        return Ok(Source { directory, name: file, is_directory, contents_only, shown: name.clone(), real: name });
    }
    let name = path.file_name().unwrap_or_default().to_owned();
    let above = path.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let directory = fs::canonicalize(above).and_then(|above| Dir::open(&above)).map_err(failed)?;
    let is_directory = directory.stat_of(&name).map_err(failed)?.is_some_and(|stat| stat.kind == FileKind::Directory);
    let shown = name.as_bytes().to_vec();
    Ok(Source { directory, name, is_directory, contents_only: false, real: shown.clone(), shown })
}

/// Counts what is read.
struct Counted<'a> {
    reader: &'a mut dyn Read,
    bytes: u64,
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.bytes += read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_copied_from_this_machine() {
        let folder = dhow_testkit::peers::scratch().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        fs::create_dir(path("d")).expect("a directory");
        dhow_base::fs::write_atomic(&path("f"), b"x", 0o644, dhow_base::fs::Durability::Cached).expect("a file");
        std::os::unix::fs::symlink("d", path("link")).expect("a link");
        let check_as = |naming: Naming, name: &str, follow: bool, expected: &str| {
            let text = match local(&path(name), follow, naming) {
                Ok(Source { is_directory, contents_only, shown, .. }) => {
                    format!("{} {is_directory} {contents_only}", String::from_utf8_lossy(&shown))
                }
                Err(error) => error.to_string().replace(&*folder.path().to_string_lossy(), ""),
            };
            assert_eq!(text, expected, "{name}");
        };
        let check = |name: &str, follow: bool, expected: &str| check_as(Naming::Docker, name, follow, expected);
        check("f", false, "f false false");
        check("d", false, "d true false");
        check("d/", false, "d true false");
        check("d/.", false, "d true true");
        check("d/./", false, "d true true");
        check_as(Naming::Podman, "d/./", false, "d true false");
        check_as(Naming::Podman, "d/.", false, "d true true");
        check("d/..", false, &format!("{} true false", folder.path().file_name().expect("a name").to_string_lossy()));
        check("link", false, "link false false");
        check("link", true, "link true false");
        check("link/", false, "link true false");
        check("f/", false, "not a directory: \"/f/\"");
        check("none", false, "lstat /none: no such file or directory");
    }
}
