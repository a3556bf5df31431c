//! What was copied, where it shall be: by docker's rules for the place, and all of it or nothing.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, BufReader, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::thread;

use dhow_base::beneath::Dir;
use dhow_base::error::words;
use dhow_base::{Error, Kind, Result, interrupt, threads};
use dhow_layer::tar::TarLimits;
use dhow_layer::unpack::{Note, Owners, Unpacker};

use super::merge::{self, Aside};
use super::{Clash, Copied};
use crate::naming::Naming;

/// Bytes of an archive that are read at once.
const READ_BYTES: usize = 256 << 10;

/// Links that are followed before a path is given up, as the kernel has it (path_resolution(7)).
const LINKS_MAX: u32 = 40;

/// Podman's words for a directory that is copied to where a file is.
pub(crate) const DIRECTORY_ONTO_FILE: &str = "destination must be a directory when copying a directory";

/// What is copied, as far as it matters for where it goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moved<'a> {
    /// Whether it is a directory.
    pub(crate) is_directory: bool,
    /// What is in the directory, not the directory.
    pub(crate) contents_only: bool,
    /// Its last name; empty for the root.
    pub(crate) name: &'a [u8],
}

impl Moved<'_> {
    /// The directory of this machine to work in, and the name that it gets there; `.` stands for what is in it alone.
    pub(crate) fn landing(&self, target: &Path, naming: Naming) -> Result<(Dir, Vec<u8>)> {
        check_output(target, naming)?;
        let (directory, name) = self.place(target, naming)?;
        let opened = Dir::open(&directory);
        let opened = opened.map_err(|error| Error::io(format_args!("cannot copy to {directory:?}"), error))?;
        Ok((opened, name))
    }

    fn place(&self, target: &Path, naming: Naming) -> Result<(PathBuf, Vec<u8>)> {
        let is_podman = naming == Naming::Podman;
        let missing = || {
            Error::new(Kind::NotFound, format!("{target:?} could not be found on the host: no such file or directory"))
        };
        let wants_directory = target.as_os_str().as_bytes().ends_with(b"/");
        let found = match fs::metadata(target) {
            Ok(metadata) => Some(metadata.is_dir()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(Error::io(format_args!("cannot copy to {target:?}"), error)),
        };
        let real = |path: &Path| {
            let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
            fs::canonicalize(path).map_err(|error| match error.kind() {
                io::ErrorKind::NotFound if is_podman => missing(),
                io::ErrorKind::NotFound => {
                    Error::new(Kind::NotFound, format!("invalid output path: directory {path:?} does not exist"))
                }
                _ => Error::io(format_args!("cannot copy to {path:?}"), error),
            })
        };
        let beside = |path: &Path| {
            let name = path.file_name().map(OsStr::as_bytes).unwrap_or_default().to_vec();
            real(path.parent().unwrap_or(Path::new("."))).map(|directory| (directory, name))
        };
        match found {
            Some(true) if self.contents_only => Ok((real(target)?, b".".to_vec())),
            Some(true) => Ok((real(target)?, self.name.to_vec())),
            Some(false) if self.is_directory && is_podman => Err(Error::new(Kind::Invalid, DIRECTORY_ONTO_FILE)),
            Some(false) if self.is_directory || wants_directory => {
                let message = if self.is_directory { "cannot copy directory" } else { "not a directory" };
                Err(Error::new(Kind::Invalid, format!("{message}: {target:?} is a file")))
            }
            Some(false) => beside(&real(target)?),
            None if wants_directory && is_podman => Err(missing()),
            None if wants_directory && !self.is_directory => {
                Err(Error::new(Kind::NotFound, format!("no such directory: {target:?}")))
            }
            None => beside(&behind_links(target)?),
        }
    }
}

/// Refuses a place of this machine that no copy may go to, whatever it is of: a device stays what it is, and the directory above has to be there
/// (docker/cli, `ValidateOutputPath`).
///
/// # Errors
/// [`Kind::NotFound`] and [`Kind::Invalid`], in each client's words.
pub fn check_output(target: &Path, naming: Naming) -> Result<()> {
    let shown = std::path::absolute(target).unwrap_or_else(|_| target.to_owned());
    let invalid = |message: String| Err(Error::new(Kind::Invalid, message));
    if let (Naming::Docker, Some(above)) = (naming, shown.parent())
        && fs::metadata(above).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
    {
        let message = format!("invalid output path: directory {above:?} does not exist");
        return Err(Error::new(Kind::NotFound, message));
    }
    match (fs::metadata(target).map(|metadata| metadata.file_type()), naming) {
        (Ok(kind), _) if kind.is_dir() || kind.is_file() => Ok(()),
        (Ok(_), Naming::Podman) => {
            invalid(format!("invalid destination: {shown:?} must be a directory or a regular file"))
        }
        (Ok(kind), Naming::Docker) if kind.is_char_device() || kind.is_block_device() => {
            invalid(format!("invalid output path: {shown:?} must be a directory or a regular file: got a device"))
        }
        (Err(error), Naming::Docker) if error.kind() == io::ErrorKind::NotADirectory => {
            invalid(format!("stat {}: {}", shown.display(), words(&error)))
        }
        _ => Ok(()),
    }
}

/// Where a path leads that nothing is at: a symbolic link there may lead to where something can be (moby,
/// `archive.CopyInfoDestinationPath`).
fn behind_links(path: &Path) -> Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..LINKS_MAX {
        // One that ends with a slash would be looked up behind the link.
        let link: PathBuf = path.components().collect();
        let Ok(target) = fs::read_link(&link) else { return Ok(path) };
        path = link.parent().unwrap_or(Path::new("/")).join(target);
    }
    Err(Error::new(Kind::Invalid, format!("cannot copy to {path:?}: too many levels of symbolic links")))
}

/// Puts what `write` writes, a tar archive, into a directory, which errors call `shown`.
///
/// # Errors
/// Those of `write`, and those of [`unpack`].
pub(crate) fn arrive(
    directory: &Dir,
    owners: Owners,
    clash: Clash,
    shown: &str,
    write: impl FnOnce(&mut (dyn Write + Send)) -> Result<Copied> + Send,
) -> Result<Copied> {
    let (reader, mut writer) = io::pipe().map_err(|error| Error::io("cannot make a pipe", error))?;
    thread::scope(|scope| {
        let written = threads::start_in(scope, "copy", || {
            let written = write(&mut writer);
            // The other side waits for the end.
            drop(writer);
            written
        })?;
        let unpacked = unpack(directory, owners, clash, reader, |_| Ok(()));
        let written = written.join().map_err(|_| Error::new(Kind::Internal, "the reading thread panicked"))?;
        match (written, unpacked) {
            (Ok(copied), Ok(notes)) => Ok(Copied { notes, ..copied }),
            // Whoever failed first made the other fail.
            (Err(error), Err(_)) if !error.is_broken_pipe() => Err(error),
            (_, Err(error)) | (Err(error), Ok(_)) => Err(error.context(format_args!("cannot copy to {shown}"))),
        }
    })
}

/// Makes the files of an archive aside, in a directory that is nobody else's, and moves them to where they shall be once all are there
/// and `check` has seen them.
///
/// # Errors
/// Those of the archive, of `check`, and of what is in the way.
pub(crate) fn unpack(
    target: &Dir,
    owners: Owners,
    clash: Clash,
    reader: impl Read,
    check: impl FnOnce(&Dir) -> Result<()>,
) -> Result<Vec<String>> {
    let failed = |error| Error::io("cannot make a directory in it", error);
    let aside = Aside::make(target).map_err(failed)?;
    let unpack = || {
        let unpacker = Unpacker::new(aside.open().map_err(failed)?, owners.clone())?;
        let mut unpacker = unpacker.without_whiteouts();
        let reader = BufReader::with_capacity(READ_BYTES, Heeding(reader));
        unpacker.layer(reader, "the copy", TarLimits::LAYER)?;
        let unpacked = unpacker.finish()?;
        check(&unpacked.root)?;
        merge::move_into(&unpacked.root, target, &owners, clash)?;
        Ok(unpacked.notes.iter().map(told).collect())
    };
    let done = unpack();
    let name = &aside.name;
    let removed = target.remove_tree(name).map_err(|error| Error::io(format_args!("cannot remove {name:?}"), error));
    done.and_then(|notes| removed.map(|()| notes))
}

/// What is read, as long as the user does not wish to end.
struct Heeding<R>(R);

impl<R: Read> Read for Heeding<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        interrupt::check().map_err(io::Error::other)?;
        self.0.read(buffer)
    }
}

fn told(note: &Note) -> String {
    let Note { what, why, count, first } = note;
    let times = if *count == 1 { String::new() } else { format!(" and {} more", count - 1) };
    format!("{what}: {why} ({first:?}{times})")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_to_nothing_lead_to_where_the_copy_goes() {
        let folder = dhow_testkit::peers::scratch().expect("a folder");
        let root = fs::canonicalize(folder.path()).expect("its path");
        let path = |name: &str| root.join(name);
        fs::create_dir(path("d")).expect("a directory");
        for (target, name) in [("none", "d/one"), ("d/one", "two"), ("no/x", "deep"), ("b", "a"), ("a", "b")] {
            symlink(target, path(name)).expect("a link");
        }
        symlink(path("d/other"), path("absolute")).expect("a link");
        let check = |name: &str, is_directory: bool, expected: Result<&str, &str>| {
            let moved = Moved { is_directory, contents_only: false, name: b"f" };
            let placed = moved
                .place(&path(name), Naming::Docker)
                .map(|(directory, name)| directory.join(OsStr::from_bytes(&name)));
            let expected = expected.map(path).map_err(|message| message.replace('@', &root.to_string_lossy()));
            assert_eq!(placed.map_err(|error| error.to_string()), expected, "{name}");
        };
        check("d/one", false, Ok("d/none"));
        check("two", true, Ok("d/none"));
        check("absolute", false, Ok("d/other"));
        check("new", false, Ok("new"));
        check("deep", false, Err("invalid output path: directory \"@/no\" does not exist"));
        check("two/", false, Err("no such directory: \"@/two/\""));
        check("a", false, Err("cannot copy to \"@/a\": too many levels of symbolic links"));
    }
}
