//! Memory that begins with what the image has in its place.

use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;

use dhow_base::beneath::{Dir, FileKind, Stat};
use rustix::fs::{Mode, OFlags, fchmod, fchown, fstat, openat};
use rustix::io::Errno;
use rustix::process::{Gid, Uid};

use super::super::users::Identity;

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// Gives memory the rights of the directory that it is mounted over, as runc does.
pub(super) fn take_mode(from: &OwnedFd, to: &OwnedFd) -> Result<(), Errno> {
    fchmod(openat(to, ".", DIRECTORY, Mode::empty())?, Mode::from_raw_mode(fstat(from)?.st_mode & 0o7777))
}

/// Gives memory to a user, without what is in it.
pub(super) fn take_owner(owner: &Identity, of: &OwnedFd) -> Result<(), Errno> {
    let (uid, gid) = (Some(Uid::from_raw(owner.uid)), Some(Gid::from_raw(owner.gid)));
    fchown(openat(of, ".", DIRECTORY, Mode::empty())?, uid, gid)
}

/// Copies what is in one directory to another, which is empty.
pub(super) fn fill(from: &OwnedFd, to: &OwnedFd) -> io::Result<()> {
    let open = |at: &OwnedFd| openat(at, ".", DIRECTORY, Mode::empty()).map(Dir::from).map_err(io::Error::from);
    copy_tree(open(from)?, open(to)?)
}

/// A directory of which one directory is being copied.
struct Level {
    /// What is left to copy of it.
    names: std::vec::IntoIter<Vec<u8>>,
    /// The one that is being copied.
    name: Vec<u8>,
    stat: Stat,
    /// What it is itself, here and there.
    identities: [(u64, u64); 2],
}

/// Two directories are open at a time, however deep it goes.
fn copy_tree(mut from: Dir, mut to: Dir) -> io::Result<()> {
    let mut levels: Vec<Level> = Vec::new();
    let mut names = from.names()?.into_iter();
    loop {
        let Some(name) = names.next() else {
            let Some(level) = levels.pop() else { return Ok(()) };
            let [identity, other] = level.identities;
            (from, to) = (above(&from, identity)?, above(&to, other)?);
            dress(&to, OsStr::from_bytes(&level.name), &level.stat)?;
            names = level.names;
            continue;
        };
        let shown = OsStr::from_bytes(&name);
        match from.stat_of(shown)? {
            None => {}
            Some(stat) if stat.kind == FileKind::Directory => {
                to.make_dir(shown)?;
                let (inner, other) = (from.child(shown)?, to.child(shown)?);
                let identities = [from.stat()?.identity, to.stat()?.identity];
                let left = std::mem::replace(&mut names, inner.names()?.into_iter());
                levels.push(Level { names: left, name, stat, identities });
                (from, to) = (inner, other);
            }
            Some(stat) => copy_entry(&from, &to, shown, &stat)?,
        }
    }
}

/// The directory that one is in, which must be the one that it was found in.
fn above(dir: &Dir, identity: (u64, u64)) -> io::Result<Dir> {
    let above = dir.child("..".as_ref())?;
    match above.stat()?.identity == identity {
        true => Ok(above),
        false => Err(io::Error::other("a directory was moved meanwhile")),
    }
}

/// Hard links become files of their own, and devices, which would not work, are left out.
fn copy_entry(from: &Dir, to: &Dir, name: &OsStr, stat: &Stat) -> io::Result<()> {
    match stat.kind {
        FileKind::File => {
            let mut source = from.open_file(name.as_ref())?;
            io::copy(&mut source, &mut to.make_file(name)?)?;
        }
        FileKind::Symlink => to.make_symlink(name, &from.read_link(name)?)?,
        FileKind::Fifo => to.make_node(name, FileKind::Fifo, (0, 0))?,
        _ => return Ok(()),
    }
    dress(to, name, stat)
}

/// Owner, rights and time, once all else is there.
fn dress(to: &Dir, name: &OsStr, stat: &Stat) -> io::Result<()> {
    to.set_owner_of(name, stat.uid, stat.gid)?;
    if stat.kind != FileKind::Symlink {
        to.set_mode_of(name, stat.mode & 0o7777)?;
    }
    to.set_modified_of(name, stat.modified.0, stat.modified.1)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    use super::*;

    const LEVELS: usize = 1500;

    /// Deeper than a process may have files open.
    #[test]
    fn trees_of_any_depth_are_copied() {
        let limit = getrlimit(Resource::Nofile);
        let fewer = Rlimit { current: limit.current.map(|current| current.min(1024)), ..limit };
        setrlimit(Resource::Nofile, fewer).expect("a limit");
        let folder = dhow_testkit::peers::scratch().expect("a folder");
        let root = Dir::open(folder.path()).expect("the folder");
        let [from, to] = ["from", "to"].map(|name| {
            root.make_dir(name.as_ref()).expect("a directory");
            root.child(name.as_ref()).expect("the directory")
        });
        let name = OsStr::new("d");
        let mut dir = from.child(".".as_ref()).expect("the top");
        for _ in 0..LEVELS {
            dir.make_dir(name).expect("a directory");
            dir.set_mode_of(name, 0o711).expect("its mode");
            dir = dir.child(name).expect("the directory");
        }
        dir.make_file("file".as_ref()).and_then(|mut file| file.write_all(b"deep")).expect("a file");
        dir.make_symlink("link".as_ref(), b"file").expect("a link");
        copy_tree(from, to.child(".".as_ref()).expect("the target")).expect("a copy");

        let mut dir = to;
        for _ in 0..LEVELS {
            assert_eq!(dir.stat_of(name).expect("a stat").expect("a directory").mode, 0o711);
            dir = dir.child(name).expect("the next");
        }
        let text = io::read_to_string(dir.open_file("file".as_ref()).expect("the file")).expect("its text");
        assert_eq!((text.as_str(), dir.read_link("link".as_ref()).expect("the link")), ("deep", b"file".to_vec()));
        // What removes the folder opens all of it at once.
        for name in ["from", "to"] {
            root.remove_tree(name.as_ref()).expect("removal");
        }
    }
}
