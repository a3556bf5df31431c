//! Memory that begins with what the image has in its place.

use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;

use dhow_base::beneath::{Dir, FileKind, Stat};
use rustix::fs::{Mode, OFlags, fchmod, fstat, openat};
use rustix::io::Errno;

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// Gives memory the rights of the directory that it is mounted over, as runc does.
pub(super) fn take_mode(from: &OwnedFd, to: &OwnedFd) -> Result<(), Errno> {
    fchmod(openat(to, ".", DIRECTORY, Mode::empty())?, Mode::from_raw_mode(fstat(from)?.st_mode & 0o7777))
}

/// Copies what is in one directory to another, which is empty.
pub(super) fn fill(from: &OwnedFd, to: &OwnedFd) -> io::Result<()> {
    let open = |at: &OwnedFd| openat(at, ".", DIRECTORY, Mode::empty()).map(Dir::from).map_err(io::Error::from);
    let (from, to) = (open(from)?, open(to)?);
    copy_entries(&from, &to)
}

fn copy_entries(from: &Dir, to: &Dir) -> io::Result<()> {
    for name in from.names()? {
        let name = OsStr::from_bytes(&name);
        if let Some(stat) = from.stat_of(name)? {
            copy_entry(from, to, name, &stat)?;
        }
    }
    Ok(())
}

/// Hard links become files of their own, and devices, which would not work, are left out.
fn copy_entry(from: &Dir, to: &Dir, name: &OsStr, stat: &Stat) -> io::Result<()> {
    match stat.kind {
        FileKind::Directory => {
            to.make_dir(name)?;
            copy_entries(&from.child(name)?, &to.child(name)?)?;
        }
        FileKind::File => {
            let mut source = from.open_file(name.as_ref())?;
            io::copy(&mut source, &mut to.make_file(name)?)?;
        }
        FileKind::Symlink => to.make_symlink(name, &from.read_link(name)?)?,
        FileKind::Fifo => to.make_node(name, FileKind::Fifo, (0, 0))?,
        _ => return Ok(()),
    }
    to.set_owner_of(name, stat.uid, stat.gid)?;
    if stat.kind != FileKind::Symlink {
        to.set_mode_of(name, stat.mode & 0o7777)?;
    }
    to.set_modified_of(name, stat.modified.0, stat.modified.1)
}
