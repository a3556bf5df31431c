//! `cp` with a container: files out of it and into it, by docker's rules.
//!
//! A container's files change while they are copied, and links in them are its own: the root is opened once, and everything else is looked up
//! beneath it.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use dhow_base::beneath::{Dir, FileKind};
use dhow_base::fs::FileLock;
use dhow_base::{Error, Kind, Result};
use dhow_layer::diff::{DiffOptions, Written, write_named};
use dhow_layer::unpack::{IdMap, Owners};
use dhow_layer::{Decoder, Limits, decode_error};
use dhow_sandbox::container::{Look, look, root_of_running, user_in};

use super::run::files;
use super::run_mounts::shown_mounts;
use super::settings::Configuration;
use super::{Machine, Record, directory, hold, running};
use crate::context::Context;
use crate::cp::{Copied, Failed, Moved, arrive, unpack};
use crate::naming::Naming;

/// Links that are followed before a path is given up, as the kernel has it (path_resolution(7)).
const LINKS_MAX: u32 = 40;

/// How to copy.
#[derive(Clone, Copy, Debug, Default)]
pub struct CopyOptions {
    /// Copies what a symbolic link points to, not the link.
    pub follow_link: bool,
    /// Out of a container: keeps owners and devices, which takes root's rights. Into it: files belong to the container's user.
    pub archive: bool,
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
    record: &Record,
    machine: Machine,
    path: &str,
    options: CopyOptions,
    output: &mut (dyn Write + Send),
) -> Result<Copied> {
    let place = Place::open(context, record, machine, Access::Read)?;
    let source = place.source(path, options.follow_link)?;
    source.write((!source.contents_only).then_some(source.shown.as_slice()), DiffOptions::default(), output)
}

/// Copies a container's file or directory onto this machine: into `target` if it is a directory, else to that name.
///
/// # Errors
/// As [`copy_to_archive`]; docker's for targets that do not fit.
pub fn copy_to_path(
    context: &Context,
    record: &Record,
    machine: Machine,
    path: &str,
    options: CopyOptions,
    target: &Path,
) -> Result<Copied, Failed> {
    let place = Place::open(context, record, machine, Access::Read)?;
    let source = place.source(path, options.follow_link)?;
    let (landing, name) = source.moved().landing(target).map_err(Failed::Here)?;
    let owners = if options.archive && machine.may_own() { Owners::Keep(IdMap::default()) } else { Owners::Caller };
    let copied = arrive(&landing, owners, &format!("{target:?}"), |output| {
        source.write((name != b".").then_some(name.as_slice()), DiffOptions::default(), output)
    });
    Ok(copied?)
}

/// Copies into a container: into the directory that is at `path`, else to that name.
///
/// # Errors
/// [`Kind::NotFound`] in docker's words when the directory above is missing, [`Kind::Denied`] where the container can only be read; those of
/// reading the source.
pub fn copy_into(
    context: &Context,
    record: &Record,
    machine: Machine,
    source: Incoming<'_>,
    path: &str,
    options: CopyOptions,
) -> Result<Copied, Failed> {
    let local = match source {
        Incoming::Path(source) => {
            let found = local(source, options.follow_link).map_err(|error| match (context.naming(), error.kind()) {
                (Naming::Podman, Kind::NotFound) => {
                    let message = format!("{source:?} could not be found on the host: no such file or directory");
                    Error::new(Kind::NotFound, message)
                }
                _ => error,
            });
            Some(found.map_err(Failed::Here)?)
        }
        Incoming::Archive(_) => None,
    };
    let place = Place::open(context, record, machine, Access::Write)?;
    let shown = format!("{}:{path}", place.name);
    let (landing, name) = match (&local, place.target(path)?) {
        (None, Target { directory: Some(directory), .. }) => (directory, None),
        (None, _) => {
            let message = format!("destination {shown:?} must be a directory");
            return Err(Failed::Here(Error::new(Kind::Invalid, message)));
        }
        (Some(local), target) => target.landing(local.moved()).map_err(Failed::Here)?,
    };
    if landing.is_read_only().map_err(|error| Error::io(format_args!("cannot copy to {shown:?}"), error))? {
        let what = if place.read_only { "container rootfs" } else { "mounted volume" };
        return Err(Error::new(Kind::Denied, format!("{what} is marked read-only")).into());
    }
    let owners = if machine.may_own() { Owners::Keep(IdMap::default()) } else { Owners::Caller };
    match (source, local) {
        (Incoming::Archive(archive), _) => {
            let mut counted = Counted { reader: archive, bytes: 0 };
            let failed = |error| decode_error("cannot read the archive", error);
            let notes = Decoder::new(&mut counted, Limits::LAYER)
                .map_err(failed)
                .and_then(|archive| unpack(&landing, owners, archive))
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
            Ok(arrive(&landing, owners, &format!("{shown:?}"), |output| local.write(name.as_deref(), diff, output))?)
        }
        (Incoming::Path(_), None) => Err(Error::new(Kind::Internal, "a path was not opened").into()),
    }
}

/// What is to be done in a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    Read,
    Write,
}

/// A container's files.
struct Place {
    root: Dir,
    name: String,
    naming: Naming,
    user: String,
    read_only: bool,
    /// Held while a container that does not run is looked into: nobody starts or removes it.
    _lock: Option<FileLock>,
}

impl Place {
    fn open(context: &Context, record: &Record, machine: Machine, access: Access) -> Result<Self> {
        let store = context.store()?;
        let id = &record.container.id;
        let name = record.container.name.clone().unwrap_or_else(|| record.container.short_id().to_owned());
        let directory = directory(store, id)?;
        let configuration = Configuration::parse(&record.configuration)?;
        let read_only = configuration.settings.read_only;
        let (root, lock) = if record.container.is_running() {
            let process = running(&directory, &name)?;
            (root_of_running(process.id, || process.is_there())?, None)
        } else {
            let lock = hold(&directory, &name)?;
            let files = files(store, record, &directory, machine)?;
            let mounts = shown_mounts(store, &configuration, &directory)?;
            let root = look(&Look {
                files: &files,
                mount_point: &directory.join("merged"),
                mounts: &mounts,
                read_only: read_only || access == Access::Read,
                in_user_namespace: machine.in_user_namespace,
            })?;
            (root, Some(lock))
        };
        let (user, naming) = (configuration.config.user, context.naming());
        Ok(Self { root: Dir::from(root), name, naming, user, read_only, _lock: lock })
    }

    fn missing(&self, path: &str) -> Error {
        let message = match self.naming {
            Naming::Docker => format!("Could not find the file {path} in container {}", self.name),
            Naming::Podman => {
                format!("{path:?} could not be found on container {}: no such file or directory", self.name)
            }
        };
        Error::new(Kind::NotFound, message)
    }

    /// Errors of looking up what the user named.
    fn failed(&self, path: &str, error: io::Error) -> Error {
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => self.missing(path),
            _ => Error::io(format_args!("cannot look up {path:?} in container {}", self.name), error),
        }
    }

    /// What is at a path, the links above it followed; the last one only with `follow`, or where the path ends with a slash.
    fn source(&self, path: &str, follow: bool) -> Result<Source> {
        let mut way = Way::parse(path.as_bytes());
        let shown = way.parts.last().cloned().unwrap_or_default();
        let contents_only = way.contents_only || way.parts.is_empty();
        for _ in 0..LINKS_MAX {
            let found = self.find(&way).map_err(|error| self.failed(path, error))?;
            let Some(kind) = found.kind else { return Err(self.missing(path)) };
            if kind == FileKind::Symlink && follow {
                let target = found.directory.read_link(&found.name).map_err(|error| self.failed(path, error))?;
                way = way.through(&target);
                continue;
            }
            let Found { directory, name, .. } = found;
            return Ok(Source { directory, name, is_directory: kind == FileKind::Directory, contents_only, shown });
        }
        Err(Error::new(Kind::Invalid, format!("too many links at {path} in container {}", self.name)))
    }

    /// What is at a path that is copied to: links are followed, to the last.
    fn target(&self, path: &str) -> Result<Target> {
        let mut way = Way::parse(path.as_bytes());
        let wants_directory = way.wants_directory;
        let mut above = above(path).to_owned();
        for _ in 0..LINKS_MAX {
            let found = match self.find(&way) {
                Ok(found) => found,
                // The directory above is missing, or is none.
                Err(error) if self.naming == Naming::Docker => return Err(self.failed(&above, error)),
                Err(error) => return Err(self.failed(path, error)),
            };
            match found.kind {
                // It leads to no directory. Docker looks no further then, and does not replace it either.
                Some(FileKind::Symlink) if wants_directory && self.naming == Naming::Docker => {
                    let beside = Some((found.directory, found.name));
                    return Ok(Target { directory: None, beside, exists: false, stays: true, wants_directory });
                }
                Some(FileKind::Symlink) => {
                    let target = found.directory.read_link(&found.name).map_err(|error| self.failed(path, error))?;
                    way = way.through(&target);
                    above = format!("/{}", joined(way.above()).display());
                }
                Some(FileKind::Directory) => {
                    let directory = found.directory.child(&found.name).map_err(|error| self.failed(path, error))?;
                    return Ok(Target {
                        directory: Some(directory),
                        beside: None,
                        exists: true,
                        stays: true,
                        wants_directory,
                    });
                }
                kind => {
                    let beside = Some((found.directory, found.name));
                    let exists = kind.is_some();
                    return Ok(Target { directory: None, beside, exists, stays: exists, wants_directory });
                }
            }
        }
        Err(Error::new(Kind::Invalid, format!("too many links at {path} in container {}", self.name)))
    }

    fn find(&self, way: &Way) -> io::Result<Found> {
        let last = way.parts.last().map_or(&b"."[..], Vec::as_slice);
        if way.wants_directory
            && let Ok(directory) = self.root.enter(&joined(&way.parts))
        {
            return Ok(Found { directory, name: OsString::from("."), kind: Some(FileKind::Directory) });
        }
        let directory = self.root.enter(&joined(way.above()))?;
        let name = OsString::from_vec(last.to_vec());
        let kind = directory.stat_of(&name)?.map(|stat| stat.kind);
        if way.wants_directory && kind.is_some_and(|kind| kind != FileKind::Symlink) {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        Ok(Found { directory, name, kind })
    }
}

/// A name in an open directory.
struct Found {
    directory: Dir,
    name: OsString,
    /// Nothing when nothing has the name.
    kind: Option<FileKind>,
}

/// A path as docker takes it: from the root, and cleaned without looking (Go's `filepath.Clean`).
#[derive(Clone, Debug, PartialEq, Eq)]
struct Way {
    parts: Vec<Vec<u8>>,
    /// It ends with `/` or `/.`.
    wants_directory: bool,
    /// It ends with `/.`.
    contents_only: bool,
}

impl Way {
    fn parse(path: &[u8]) -> Self {
        let contents_only = path == b"." || path.ends_with(b"/.");
        let mut way = Self { parts: Vec::new(), wants_directory: contents_only || path.ends_with(b"/"), contents_only };
        way.walk(path);
        way
    }

    fn walk(&mut self, path: &[u8]) {
        for part in path.split(|byte| *byte == b'/') {
            match part {
                b"" | b"." => {}
                b".." => drop(self.parts.pop()),
                part => self.parts.push(part.to_vec()),
            }
        }
    }

    /// The directory that its last name is in.
    fn above(&self) -> &[Vec<u8>] {
        self.parts.split_last().map_or(&[][..], |(_, above)| above)
    }

    /// Where the link at its end leads.
    fn through(&self, target: &[u8]) -> Self {
        let mut way = Self { contents_only: false, ..self.clone() };
        match target.starts_with(b"/") {
            true => way.parts.clear(),
            false => drop(way.parts.pop()),
        }
        way.walk(target);
        way
    }
}

/// The path of the directory above, as docker tells it.
fn above(path: &str) -> &str {
    let path = path.trim_end_matches('/');
    path.rsplit_once('/').map_or(path, |(above, _)| if above.is_empty() { "/" } else { above })
}

fn joined(parts: &[Vec<u8>]) -> std::path::PathBuf {
    OsString::from_vec(parts.join(&b'/')).into()
}

/// What is copied, in an open directory.
struct Source {
    directory: Dir,
    name: OsString,
    is_directory: bool,
    contents_only: bool,
    /// The name that it was asked for by; empty for a root.
    shown: Vec<u8>,
}

impl Source {
    fn moved(&self) -> Moved<'_> {
        Moved { is_directory: self.is_directory, contents_only: self.contents_only, name: &self.shown }
    }

    fn write(&self, shown: Option<&[u8]>, options: DiffOptions, output: &mut (dyn Write + Send)) -> Result<Copied> {
        let Written { bytes, files } = write_named(&self.directory, &self.name, shown, output, options)?;
        Ok(Copied { files, bytes, notes: Vec::new() })
    }
}

/// What is copied from this machine.
fn local(path: &Path, follow: bool) -> Result<Source> {
    let bytes = path.as_os_str().as_bytes();
    let shown = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => {
            Error::new(Kind::NotFound, format!("lstat {}: no such file or directory", shown.display()))
        }
        io::ErrorKind::NotADirectory => Error::new(Kind::Invalid, format!("not a directory: {path:?}")),
        _ => Error::io(format_args!("cannot read {path:?}"), error),
    };
    let way = Way::parse(bytes);
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
        return Ok(Source { directory, name: file, is_directory, contents_only, shown: name });
    }
    let name = path.file_name().unwrap_or_default().to_owned();
    let above = path.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let directory = fs::canonicalize(above).and_then(|above| Dir::open(&above)).map_err(failed)?;
    let is_directory = directory.stat_of(&name).map_err(failed)?.is_some_and(|stat| stat.kind == FileKind::Directory);
    let shown = name.as_bytes().to_vec();
    Ok(Source { directory, name, is_directory, contents_only: false, shown })
}

/// A place in a container that is copied to.
struct Target {
    /// The directory that is there.
    directory: Option<Dir>,
    /// Else the one above, and the name in it.
    beside: Option<(Dir, OsString)>,
    /// Whether the path leads to something.
    exists: bool,
    /// Whether the name is one of something that no directory may take the place of.
    stays: bool,
    wants_directory: bool,
}

impl Target {
    /// The directory to work in, and the name that the source gets there; none for what is in it alone (moby `archive.PrepareArchiveCopy`).
    fn landing(self, source: Moved<'_>) -> Result<(Dir, Option<Vec<u8>>)> {
        if let Some(directory) = self.directory {
            return Ok((directory, (!source.contents_only).then(|| source.name.to_vec())));
        }
        let Some((directory, name)) = self.beside else {
            return Err(Error::new(Kind::Internal, "a place has no directory above it"));
        };
        match (self.exists, source.is_directory) {
            (true, true) => Err(Error::new(Kind::Invalid, "cannot copy directory")),
            (false, true) if self.stays => {
                let message = format!("cannot overwrite non-directory {name:?} with a directory");
                Err(Error::new(Kind::Invalid, message))
            }
            (false, false) if self.wants_directory => Err(Error::new(Kind::NotFound, "no such directory")),
            _ => Ok((directory, Some(name.into_vec()))),
        }
    }
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
    fn ways_are_cleaned_as_docker_cleans_them() {
        let check = |path: &str, expected: &str, wants_directory: bool, contents_only: bool| {
            let way = Way::parse(path.as_bytes());
            let found = (joined(&way.parts), way.wants_directory, way.contents_only);
            assert_eq!(found, (expected.into(), wants_directory, contents_only), "{path}");
        };
        check("/etc/passwd", "etc/passwd", false, false);
        check("etc//./x/", "etc/x", true, false);
        check("/a/../../b/.", "b", true, true);
        check("/", "", true, false);
        check(".", "", true, true);
        check("/..", "", false, false);
    }

    #[test]
    fn links_lead_on_from_where_they_are() {
        let check = |path: &str, target: &str, expected: &str| {
            let way = Way::parse(path.as_bytes()).through(target.as_bytes());
            assert_eq!(joined(&way.parts).to_str(), Some(expected), "{path} -> {target}");
        };
        check("/a/b", "c", "a/c");
        check("/a/b", "/c/d", "c/d");
        check("/a/b", "../../../x", "x");
    }

    #[test]
    fn what_is_copied_from_this_machine() {
        let folder = dhow_testkit::peers::scratch().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        fs::create_dir(path("d")).expect("a directory");
        dhow_base::fs::write_atomic(&path("f"), b"x", 0o644, dhow_base::fs::Durability::Cached).expect("a file");
        std::os::unix::fs::symlink("d", path("link")).expect("a link");
        let check = |name: &str, follow: bool, expected: &str| {
            let text = match local(&path(name), follow) {
                Ok(Source { is_directory, contents_only, shown, .. }) => {
                    format!("{} {is_directory} {contents_only}", String::from_utf8_lossy(&shown))
                }
                Err(error) => error.to_string().replace(&*folder.path().to_string_lossy(), ""),
            };
            assert_eq!(text, expected, "{name}");
        };
        check("f", false, "f false false");
        check("d", false, "d true false");
        check("d/", false, "d true false");
        check("d/.", false, "d true true");
        check("d/..", false, &format!("{} true false", folder.path().file_name().expect("a name").to_string_lossy()));
        check("link", false, "link false false");
        check("link", true, "link true false");
        check("link/", false, "link true false");
        check("f/", false, "not a directory: \"/f/\"");
        check("none", false, "lstat /none: no such file or directory");
    }
}
