//! Files that were made aside, moved to where they shall be. No name is followed as a link on the way.

use std::ffi::{OsStr, OsString};
use std::fmt::Display;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use dhow_base::beneath::{Dir, FileKind};
use dhow_base::{Error, Kind, Result};
use dhow_layer::diff::{DiffOptions, write_named};
use dhow_layer::unpack::Owners;

use super::{Clash, Copied, arrive};

/// How names of directories begin that copies are made in.
const ASIDE: &str = ".dhow-cp-";

/// A directory of one's own within another, locked: a free one was left by who was killed.
pub(super) struct Aside {
    pub(super) name: OsString,
    directory: Dir,
}

impl Aside {
    /// Makes one, and removes those that were left.
    pub(super) fn make(directory: &Dir) -> io::Result<Self> {
        remove_left(directory);
        for serial in 0_u32.. {
            let name = OsString::from(format!("{ASIDE}{}-{serial}", std::process::id()));
            match directory.make_dir(&name) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                made => made?,
            }
            match directory.child(&name) {
                Ok(own) if is_own(directory, &name, &own)? => return Ok(Self { name, directory: own }),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
            // Somebody took it for left before it was locked.
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    /// It, to be worked in.
    pub(super) fn open(&self) -> io::Result<Dir> {
        self.directory.child(OsStr::new("."))
    }
}

/// Takes the lock of a directory that was just made; whether it is still there. What knows no locks is taken for left by nobody.
fn is_own(directory: &Dir, name: &OsStr, made: &Dir) -> io::Result<bool> {
    let is_locked = made.try_lock().unwrap_or(true);
    let there = directory.stat_of(name)?.map(|stat| stat.identity);
    Ok(is_locked && there == Some(made.stat()?.identity))
}

/// Removes directories of copies that nobody makes any more. What cannot be removed stays.
fn remove_left(directory: &Dir) {
    for name in directory.names().unwrap_or_default().into_iter().filter(|name| is_aside(name)) {
        let name = OsString::from_vec(name);
        if let Ok(left) = directory.child(&name)
            && left.try_lock().unwrap_or(false)
        {
            let _ = directory.remove_tree(&name);
        }
    }
}

/// Whether a name has two numbers behind its beginning.
fn is_aside(name: &[u8]) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let numbers = std::str::from_utf8(name).ok().and_then(|name| name.strip_prefix(ASIDE)?.split_once('-'));
    numbers.is_some_and(|(process, serial)| is_number(process) && is_number(serial))
}

/// Moves everything in `from` into `into`: a directory onto one that is there joins it, any other file takes the place of
/// one that is there. Whether a directory and another file give way to each other `clash` says.
pub(super) fn move_into(from: &Dir, into: &Dir, owners: &Owners, clash: Clash) -> Result<()> {
    let failed = |what: &dyn Display, error| Error::io(format_args!("cannot write {what}"), error);
    for name in from.names().map_err(|error| failed(&"the copy", error))? {
        let name = OsString::from_vec(name);
        let shown = String::from_utf8_lossy(name.as_bytes()).into_owned();
        let failed = |error| failed(&format_args!("{shown:?}"), error);
        let Some(new) = from.stat_of(&name).map_err(failed)? else { continue };
        let old = into.stat_of(&name).map_err(failed)?;
        let is_directory = new.kind == FileKind::Directory;
        match old.map(|old| old.kind == FileKind::Directory) {
            None => {}
            Some(true) if is_directory => {
                join(from, into, &name, owners, clash).map_err(failed)??;
                continue;
            }
            Some(true) if clash == Clash::Replaced => into.remove_tree(&name).map_err(failed)?,
            Some(false) if !is_directory || clash == Clash::Replaced => into.remove_file(&name).map_err(failed)?,
            Some(was_directory) => {
                let [old, new] =
                    if was_directory { ["directory", "non-directory"] } else { ["non-directory", "directory"] };
                return Err(Error::new(Kind::Conflict, format!("cannot overwrite {old} {shown:?} with {new}")));
            }
        }
        match from.rename(&name, into, &name) {
            // Something else is mounted there, such as a volume of a container.
            Err(error) if error.kind() == io::ErrorKind::CrossesDevices => carry(from, into, &name, owners, clash)?,
            renamed => renamed.map_err(failed)?,
        }
    }
    Ok(())
}

/// Copies what cannot be moved.
fn carry(from: &Dir, into: &Dir, name: &OsStr, owners: &Owners, clash: Clash) -> Result<()> {
    let copy = |output: &mut (dyn io::Write + Send)| {
        let written = write_named(from, name, Some(name.as_bytes()), output, DiffOptions::default())?;
        Ok(Copied { files: written.files, bytes: written.bytes, notes: Vec::new() })
    };
    arrive(into, owners.clone(), clash, &format!("{name:?}"), copy).map(drop)
}

/// A directory onto the one that has its name.
fn join(from: &Dir, into: &Dir, name: &OsStr, owners: &Owners, clash: Clash) -> io::Result<Result<()>> {
    let new = from.stat_of(name)?;
    let opened = from.child_with_rights(name)?;
    let target = into.child(name)?;
    if let Err(error) = move_into(&opened, &target, owners, clash) {
        return Ok(Err(error));
    }
    if let Some(new) = new {
        // It may be somebody else's, in which one may write: it stays as it is then.
        let _ = into.set_mode_of(name, new.mode);
        let _ = into.set_modified_of(name, new.modified.0, new.modified.1);
    }
    Ok(Ok(()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_works_in_any_more_is_removed() {
        let folder = dhow_testkit::peers::scratch().expect("a folder");
        let directory = Dir::open(folder.path()).expect("the folder");
        let others = [".dhow-cp-", ".dhow-cp-1", ".dhow-cp-1-", ".dhow-cp-a-1", ".dhow-cp-1-2-3", "cp"];
        for name in others.into_iter().chain([".dhow-cp-1-0", ".dhow-cp-2-17"]) {
            directory.make_dir(name.as_ref()).expect("a directory");
        }
        directory.child(".dhow-cp-2-17".as_ref()).expect("it").make_file("f".as_ref()).expect("a file");
        let one = Aside::make(&directory).expect("one's own");
        let other = Aside::make(&directory).expect("another");
        let names = || {
            let mut names = directory.names().expect("names");
            names.sort();
            names.into_iter().map(OsString::from_vec).collect::<Vec<_>>()
        };
        let with = |own: &[&OsString]| {
            let mut names: Vec<OsString> = others.iter().map(OsString::from).collect();
            names.extend(own.iter().copied().cloned());
            names.sort();
            names
        };
        assert_eq!(names(), with(&[&one.name, &other.name]));
        // As after a kill.
        let left = other.name.clone();
        drop(other);
        let last = Aside::make(&directory).expect("one more");
        assert_eq!(last.name, left);
        assert_eq!(names(), with(&[&one.name, &last.name]));
    }
}
