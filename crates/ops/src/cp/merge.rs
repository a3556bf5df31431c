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

/// Makes a directory of one's own in `directory`. Returns its name.
pub(super) fn make_aside(directory: &Dir) -> io::Result<OsString> {
    let mut serial = 0_u32;
    loop {
        let name = OsString::from(format!(".dhow-cp-{}-{serial}", std::process::id()));
        match directory.make_dir(&name) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => serial += 1,
            Err(error) => return Err(error),
            Ok(()) => return Ok(name),
        }
    }
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
