//! A container's files, and what is at a path in them.

use std::ffi::OsString;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use dhow_base::beneath::{Dir, FileKind};
use dhow_base::fs::FileLock;
use dhow_base::{Error, Kind, Result};
use dhow_layer::diff::DiffOptions;
use dhow_sandbox::container::{Look, MountSpec, RootFiles, look, root_of_running};

use super::way::{Way, above, joined};
use super::{InContainer, Source};
use crate::container::run::files;
use crate::container::run_mounts::shown_mounts;
use crate::container::settings::Configuration;
use crate::container::turn::Seen;
use crate::container::{Machine, Turn, directory};
use crate::context::Context;
use crate::cp::{Copied, DIRECTORY_ONTO_FILE, Failed, Moved};
use crate::naming::Naming;

/// Links that are followed before a path is given up, as the kernel has it (path_resolution(7)).
const LINKS_MAX: u32 = 40;

/// What is to be done in a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    Write,
}

/// A container's files.
pub(super) struct Place<'a> {
    pub(super) root: Dir,
    pub(super) named: String,
    pub(super) naming: Naming,
    pub(super) user: String,
    pub(super) read_only: bool,
    /// One that runs may be removed while it is read.
    seen: Option<Seen<'a>>,
}

/// A container whose files nobody else changes from outside; they are not looked into yet.
pub(super) struct Ready<'a> {
    files: ReadyFiles<'a>,
    named: String,
    naming: Naming,
    user: String,
    read_only: bool,
}

enum ReadyFiles<'a> {
    /// Those of a container that runs.
    Open(OwnedFd, Seen<'a>),
    /// Those of one that does not.
    Still { files: Box<RootFiles>, mounts: Vec<MountSpec>, mount_point: PathBuf, lock: FileLock },
}

impl<'a> Ready<'a> {
    /// Waits for the container. What is mounted is read here: `look` leaves the machine's mounts, and what others mount then is not seen.
    pub(super) fn take(context: &'a Context, at: InContainer<'a>, machine: Machine) -> Result<Self> {
        let store = context.store()?;
        let InContainer { record, named, .. } = at;
        let directory = directory(store, &record.container.id)?;
        let configuration = Configuration::parse(&record.configuration)?;
        let read_only = configuration.settings.read_only;
        let files = Turn::open(store, record, named, |turn| match turn {
            Turn::Running(process) => Ok(ReadyFiles::Open(root_of_running(&process)?, Seen { store, record, named })),
            Turn::Still(lock) => {
                let files = Box::new(files(store, record, &directory, machine)?);
                let mounts = shown_mounts(store, &configuration, &directory, machine)?;
                Ok(ReadyFiles::Still { files, mounts, mount_point: directory.join("merged"), lock })
            }
        })?;
        Ok(Self {
            files,
            named: named.to_owned(),
            naming: context.naming(),
            user: configuration.config.user,
            read_only,
        })
    }

    pub(super) fn open(self, machine: Machine, access: Access) -> Result<Place<'a>> {
        let Self { files, named, naming, user, read_only } = self;
        let (root, seen) = match files {
            ReadyFiles::Open(root, seen) => (root, Some(seen)),
            ReadyFiles::Still { files, mounts, mount_point, lock } => {
                // The mounts end with this process, and whoever starts the container meanwhile would mount its files once more.
                lock.keep();
                let root = look(&Look {
                    files: &files,
                    mount_point: &mount_point,
                    mounts: &mounts,
                    read_only: read_only || access == Access::Read,
                    in_user_namespace: machine.in_user_namespace,
                })?;
                (root, None)
            }
        };
        Ok(Place { root: Dir::from(root), named, naming, user, read_only, seen })
    }
}

/// Directories of a container's root that are the kernel's.
const KERNEL_S: [&str; 3] = ["dev", "proc", "sys"];

impl<'a> Place<'a> {
    pub(super) fn open(context: &'a Context, at: InContainer<'a>, machine: Machine, access: Access) -> Result<Self> {
        Ready::take(context, at, machine)?.open(machine, access)
    }

    /// Writes an archive of what is in it.
    pub(super) fn write(
        &self,
        source: &Source,
        shown: Option<&[u8]>,
        options: DiffOptions,
        output: &mut (dyn Write + Send),
    ) -> Result<Copied> {
        // What the kernel shows of the machine in one that runs is no file of the container's, and would never end.
        let is_whole = self.seen.is_some() && source.real.is_empty();
        let options = DiffOptions { hollow: if is_whole { &KERNEL_S } else { &[] }, ..options };
        let written = source.write(shown, options, output);
        if let Some(seen) = &self.seen { seen.judge(written) } else { written }
    }

    pub(super) fn missing(&self, path: &str) -> Error {
        let message = match self.naming {
            Naming::Docker => format!("Could not find the file {path} in container {}", self.named),
            Naming::Podman => {
                format!("{path:?} could not be found on container {}: no such file or directory", self.named)
            }
        };
        Error::new(Kind::NotFound, message)
    }

    /// Errors of looking up what the user named.
    fn failed(&self, path: &str, error: io::Error) -> Error {
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => self.missing(path),
            _ => Error::io(format_args!("cannot look up {path:?} in container {}", self.named), error),
        }
    }

    /// What is at a path, the links above it followed; the last one only with `follow`, or where the path ends with a slash.
    pub(super) fn source(&self, path: &str, follow: bool) -> Result<Source> {
        let mut way = Way::to_source(path.as_bytes(), self.naming);
        let mut path = path.to_owned();
        let shown = way.parts.last().cloned().unwrap_or_default();
        let contents_only = way.contents_only || way.parts.is_empty();
        for _ in 0..LINKS_MAX {
            let found = self.find(&way).map_err(|error| self.failed(&path, error))?;
            let Some(kind) = found.kind else { return Err(self.missing(&path)) };
            if kind == FileKind::Symlink && follow {
                let target = found.directory.read_link(&found.name).map_err(|error| self.failed(&path, error))?;
                way = way.through(&target);
                // Docker's client asks for what the link leads to, and knows the link no more.
                if self.naming == Naming::Docker {
                    path = format!("/{}", joined(&way.parts).display());
                }
                continue;
            }
            if kind == FileKind::Symlink && way.wants_directory {
                // It leads to none.
                return Err(self.missing(&path));
            }
            let Found { directory, name, .. } = found;
            let real = way.parts.pop().unwrap_or_default();
            return Ok(Source {
                directory,
                name,
                is_directory: kind == FileKind::Directory,
                contents_only,
                shown,
                real,
            });
        }
        Err(Error::new(Kind::Invalid, format!("too many links at {path} in container {}", self.named)))
    }

    /// What is at a path that is copied to: links are followed, to the last.
    pub(super) fn target(&self, path: &str) -> Result<Target> {
        let mut way = Way::parse(path.as_bytes());
        let wants_directory = way.wants_directory;
        let mut above = above(path).to_owned();
        for _ in 0..LINKS_MAX {
            let found = match self.find(&way) {
                Ok(found) => found,
                Err(error) => {
                    let named = if self.naming == Naming::Docker { &above } else { path };
                    let stranded = Some(self.failed(named, error));
                    return Ok(Target { stranded, wants_directory, ..Target::default() });
                }
            };
            match found.kind {
                // It leads to no directory. Docker looks no further then, and does not replace it either.
                Some(FileKind::Symlink) if wants_directory && self.naming == Naming::Docker => {
                    let [link, above] =
                        [&way.parts[..], way.above()].map(|parts| format!("/{}", joined(parts).display()));
                    let blocked = Some(format!("cannot overwrite non-directory {link:?} with directory {above:?}"));
                    let beside = Some((found.directory, found.name));
                    return Ok(Target { beside, blocked, wants_directory, ..Target::default() });
                }
                Some(FileKind::Symlink) => {
                    let target = found.directory.read_link(&found.name).map_err(|error| self.failed(path, error))?;
                    way = way.through(&target);
                    above = format!("/{}", joined(way.above()).display());
                }
                Some(FileKind::Directory) => {
                    let directory = found.directory.child(&found.name).map_err(|error| self.failed(path, error))?;
                    let directory = Some(directory);
                    return Ok(Target { directory, exists: true, wants_directory, ..Target::default() });
                }
                kind => {
                    let beside = Some((found.directory, found.name));
                    let is_device = matches!(kind, Some(FileKind::CharDevice | FileKind::BlockDevice));
                    return Ok(Target {
                        beside,
                        exists: kind.is_some(),
                        is_device,
                        wants_directory,
                        ..Target::default()
                    });
                }
            }
        }
        Err(Error::new(Kind::Invalid, format!("too many links at {path} in container {}", self.named)))
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

/// A place in a container that is copied to.
#[derive(Default)]
pub(super) struct Target {
    /// The directory that is there.
    directory: Option<Dir>,
    /// Else the one above, and the name in it.
    beside: Option<(Dir, OsString)>,
    /// Or why there is neither: the one above is missing, or is none.
    stranded: Option<Error>,
    /// Whether the path leads to something.
    exists: bool,
    /// Whether that is a device, which stays what it is.
    is_device: bool,
    /// Why no directory can be made, where the name is that of a link.
    blocked: Option<String>,
    wants_directory: bool,
}

impl Target {
    /// The directory to work in, and the name that the source gets there; none for what is in it alone (moby `archive.PrepareArchiveCopy`).
    /// `path` is what the user called this in `place`.
    pub(super) fn landing(
        self,
        place: &Place<'_>,
        path: &str,
        source: Moved<'_>,
    ) -> Result<(Dir, Option<Vec<u8>>), Failed> {
        if let Some(directory) = self.directory {
            return Ok((directory, (!source.contents_only).then(|| source.name.to_vec())));
        }
        let is_podman = place.naming == Naming::Podman;
        if self.is_device && !is_podman {
            let shown = format!("{}:{path}", place.named);
            let message = format!("destination {shown:?} must be a directory or a regular file: got a device");
            return Err(Failed::Here(Error::new(Kind::Invalid, message)));
        }
        if !self.exists && self.wants_directory && is_podman {
            return Err(place.missing(path).into());
        }
        // Docker's client says so without asking its daemon any more.
        if !self.exists && self.wants_directory && !source.is_directory {
            return Err(Failed::Here(Error::new(Kind::NotFound, "no such directory")));
        }
        if let Some(error) = self.stranded {
            return Err(error.into());
        }
        let Some((directory, name)) = self.beside else {
            return Err(Error::new(Kind::Internal, "a place has no directory above it").into());
        };
        if let Some(message) = self.blocked.filter(|_| source.is_directory) {
            return Err(Error::new(Kind::Invalid, message).into());
        }
        if self.exists && source.is_directory {
            let message = if is_podman { DIRECTORY_ONTO_FILE } else { "cannot copy directory" };
            return Err(Failed::Here(Error::new(Kind::Invalid, message)));
        }
        Ok((directory, Some(name.into_vec())))
    }

    /// The directory that an archive is unpacked into.
    pub(super) fn landing_of_archive(self, place: &Place<'_>, path: &str, shown: &str) -> Result<Dir, Failed> {
        let message = match (self.directory, place.naming) {
            (Some(directory), _) => return Ok(directory),
            (None, Naming::Podman) if !self.exists && path.ends_with('/') => return Err(place.missing(path).into()),
            (None, Naming::Podman) => "destination must be a directory when copying from stdin".to_owned(),
            (None, Naming::Docker) => format!("destination {shown:?} must be a directory"),
        };
        Err(Failed::Here(Error::new(Kind::Invalid, message)))
    }
}
