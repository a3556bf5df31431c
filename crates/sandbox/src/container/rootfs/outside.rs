//! The machine's side of what is shown in a container: taken before this process is cut off from the machine's mounts, and given away.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use dhow_base::beneath::{Dir, FileKind};
use dhow_base::error::words;
use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, StatxFlags, chownat, fstat, openat, openat2, statx,
};
use rustix::io::Errno;
use rustix::process::{Gid, Uid};

use super::super::inside::view;
use super::super::manner::Propagation;
use super::super::spec::{Habits, MountSource, MountSpec, StartFailure};
use super::super::users::Identity;
use super::failed;

/// Places of the machine whose owners are not changed (podman, `pkg/chown`).
const KEPT: [&str; 24] = [
    "/",
    "/bin",
    "/boot",
    "/dev",
    "/etc",
    "/etc/passwd",
    "/etc/pki",
    "/etc/shadow",
    "/home",
    "/lib",
    "/lib64",
    "/media",
    "/opt",
    "/proc",
    "/root",
    "/run",
    "/sbin",
    "/srv",
    "/sys",
    "/tmp",
    "/usr",
    "/var",
    "/var/lib",
    "/var/log",
];

/// Opens what is to be shown, without its content.
pub(super) fn source(path: &Path, subpath: &str) -> Result<OwnedFd, StartFailure> {
    let found = openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
    let found = found.map_err(|error| failed(&path.to_string_lossy())(error))?;
    if subpath.is_empty() {
        return Ok(found);
    }
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    openat2(&found, subpath, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve).map_err(|error| match error {
        Errno::XDEV => StartFailure::setup(format!(
            "path concatenation escapes the base directory, base: {path:?}, subpath: {subpath:?}"
        )),
        error => {
            let whole = path.join(subpath);
            StartFailure::setup(format!("cannot access path {}: {}", whole.display(), words(&error.into())))
        }
    })
}

/// Views of those that are to stay connected with their sources, in the order of the mounts.
pub(super) fn connected(mounts: &[MountSpec], habits: Habits) -> Result<Vec<Option<OwnedFd>>, StartFailure> {
    mounts.iter().map(|mount| connection(mount, habits).transpose()).map(Option::transpose).collect()
}

fn connection(mount: &MountSpec, habits: Habits) -> Result<Option<OwnedFd>, StartFailure> {
    let Some(propagation) = mount.manner.propagation.filter(|propagation| propagation.is_connected()) else {
        return Ok(None);
    };
    let (path, recursive) = match &mount.what {
        MountSource::Bind { source, recursive } => (source, *recursive),
        MountSource::Volume(source) => (source, false),
        _ => return Ok(None),
    };
    let found = source(path, &mount.manner.subpath)?;
    if habits == Habits::Docker {
        check_shared(&found, path, propagation)?;
    }
    view(&found, recursive).map(Some).map_err(failed(&mount.target))
}

/// Docker does not let mounts pass where they would not (moby, `ensureShared`).
fn check_shared(found: &OwnedFd, path: &Path, propagation: Propagation) -> Result<(), StartFailure> {
    let told = |error| failed(&path.to_string_lossy())(error);
    let id = statx(found, "", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID).map_err(told)?.stx_mnt_id;
    let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let Some((point, fields)) = table.lines().find_map(|line| mount_of(line, id)) else { return Ok(()) };
    let is_shared = fields.iter().any(|field| field.starts_with("shared:"));
    let is_slave = fields.iter().any(|field| field.starts_with("master:"));
    let what = match propagation.is_shared() {
        true if !is_shared => "a shared mount",
        false if !is_shared && !is_slave => "a shared or slave mount",
        _ => return Ok(()),
    };
    Err(StartFailure::setup(format!("path {} is mounted on {point} but it is not {what}", path.display())))
}

/// Where a mount is, and what is said of its propagation, if a line is about it (proc_pid_mountinfo(5)).
fn mount_of(line: &str, id: u64) -> Option<(&str, Vec<&str>)> {
    let mut fields = line.split(' ');
    let is_it = fields.next()?.parse() == Ok(id);
    let point = fields.nth(3)?;
    is_it.then(|| (point, fields.skip(1).take_while(|field| *field != "-").collect()))
}

/// Gives what is to be shown to the container's user, with all that is in it.
pub(super) fn give_away(path: &Path, found: &OwnedFd, identity: &Identity) -> Result<(), StartFailure> {
    let (uid, gid) = (identity.uid, identity.gid);
    let real = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    if KEPT.iter().any(|kept| real == Path::new(kept)) {
        let shown = path.display();
        return Err(StartFailure::setup(format!(
            "chowning host path {:?} is not allowed. You can manually `chown -R {uid}:{gid} {shown}`",
            shown.to_string()
        )));
    }
    let cannot = |path: &Path, error: io::Error| {
        let why = format!("lchown {}: {}", path.display(), words(&error));
        StartFailure::setup(format!("failed to chown recursively host path: {why}"))
    };
    let stat = fstat(found).map_err(|error| cannot(path, error.into()))?;
    if (stat.st_uid, stat.st_gid) != (uid, gid) {
        let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
        chownat(found, "", uid, gid, AtFlags::EMPTY_PATH).map_err(|error| cannot(path, error.into()))?;
    }
    if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
        return Ok(());
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let top = openat(found, ".", flags, Mode::empty()).map_err(|error| cannot(path, error.into()))?;
    give_tree(Dir::from(top), (uid, gid)).map_err(|(below, error)| cannot(&path.join(below), error))
}

/// What is left to give away of a directory, and what the directory is.
struct Level {
    names: std::vec::IntoIter<Vec<u8>>,
    identity: (u64, u64),
}

/// One directory is open at a time, however deep it goes. A failure comes with the path below the top.
fn give_tree(top: Dir, owner: (u32, u32)) -> Result<(), (PathBuf, io::Error)> {
    let mut dir = top;
    let mut path = PathBuf::new();
    let mut levels: Vec<Level> = Vec::new();
    let mut names = dir.names().map_err(|error| (path.clone(), error))?.into_iter();
    loop {
        let Some(name) = names.next() else {
            let Some(level) = levels.pop() else { return Ok(()) };
            let above = dir.child("..".as_ref()).and_then(|above| match above.stat()?.identity == level.identity {
                true => Ok(above),
                false => Err(io::Error::other("a directory was moved meanwhile")),
            });
            dir = above.map_err(|error| (path.clone(), error))?;
            path.pop();
            names = level.names;
            continue;
        };
        let name = OsString::from_vec(name);
        let failed = |error| (path.join(&name), error);
        let Some(stat) = dir.stat_of(&name).map_err(failed)? else { continue };
        if (stat.uid, stat.gid) != owner {
            dir.set_owner_of(&name, owner.0, owner.1).map_err(failed)?;
        }
        if stat.kind == FileKind::Directory {
            let below = dir.child(&name).map_err(failed)?;
            let identity = dir.stat().map_err(failed)?.identity;
            let left = std::mem::replace(&mut names, below.names().map_err(failed)?.into_iter());
            levels.push(Level { names: left, identity });
            path.push(&name);
            dir = below;
        }
    }
}
