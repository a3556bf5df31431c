//! A container's files, for who looks into them from outside.

use std::fmt::Display;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use dhow_base::{Error, Kind, Result, threads};
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};
use rustix::io::Errno;
use rustix::mount::{MountAttrFlags, UnmountFlags};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};

use super::inside::{Inside, restrict, view};
use super::processes::{JustEnded, KnownProcess};
use super::spec::{Habits, MountSpec, RootFiles, StartFailure};
use super::{calls, rootfs, users};

/// What to look at.
#[derive(Clone, Copy, Debug)]
pub struct Look<'a> {
    /// The files of a container that does not run.
    pub files: &'a RootFiles,
    /// An empty directory of this machine, over which they are mounted where nobody else sees it.
    pub mount_point: &'a Path,
    /// What is mounted in them: files and directories of this machine.
    pub mounts: &'a [MountSpec],
    /// Whether the files can only be read; what is mounted in them says so itself.
    pub read_only: bool,
    /// Whether this process is root in a user namespace.
    pub in_user_namespace: bool,
}

/// Whether this process has left the machine's mounts.
static HAS_LEFT: AtomicBool = AtomicBool::new(false);

/// The files of a container that does not run, as one directory. The process leaves the machine's mounts for that: call it in a process that
/// does nothing else, before it has threads. Several containers can be looked into one after the other.
///
/// # Errors
/// [`Kind::Unsupported`] where nothing can be mounted.
pub fn look(look: &Look<'_>) -> Result<OwnedFd> {
    leave_mounts()?;
    rootfs::look(look).map_err(|failure| Error::new(Kind::Unsupported, failure.message))
}

/// Makes a directory in a container's files, with those above it, as the start of a container does, and looks no longer. Where nothing can
/// be mounted nothing is made.
///
/// # Errors
/// [`Kind::Conflict`] in docker's words where something else has the name.
pub fn make_directory(at: &Look<'_>, path: &str) -> Result<()> {
    let Ok(root) = look(at) else { return Ok(()) };
    let before = rustix::process::umask(Mode::from_raw_mode(0o022));
    let made = rootfs::make_working_directory(&Inside::new(root), path);
    rustix::process::umask(before);
    // Nobody else sees the mount, and it would end with this process.
    let _ = rustix::mount::unmount(at.mount_point, UnmountFlags::DETACH);
    made.map_err(|failure| Error::new(Kind::Conflict, failure.message))
}

/// Leaves the machine's mounts, once. To leave again would be to leave those of the first look, which nobody had then: the kernel takes them
/// apart, and below the directory that is open there would be no volumes any more.
fn leave_mounts() -> Result<()> {
    if !HAS_LEFT.load(Ordering::Relaxed) {
        calls::unshare(UnshareFlags::NEWNS).map_err(|error| calls::not_left(calls::LEAVING, error))?;
        HAS_LEFT.store(true, Ordering::Relaxed);
    }
    Ok(())
}

/// The root directory of a container that runs, as its processes see it, with all that is mounted in it. Nothing below may be looked up but
/// beneath it: links in it are the container's.
///
/// # Errors
/// [`JustEnded`], [`Kind::Denied`] for who may not look into it.
pub fn root_of_running(process: &KnownProcess) -> Result<OwnedFd> {
    let directory = Directory::open(process)?;
    directory.at("root", OFlags::PATH | OFlags::DIRECTORY)
}

/// The files of a container that runs, without those that are mounted in it, read-only.
///
/// # Errors
/// As [`root_of_running`].
pub fn files_of_running(process: &KnownProcess) -> Result<OwnedFd> {
    view_of_running(process, MountAttrFlags::MOUNT_ATTR_RDONLY)
}

/// The files of a container that runs, without those that are mounted in it, attached nowhere yet.
pub(super) fn view_of_running(process: &KnownProcess, attributes: MountAttrFlags) -> Result<OwnedFd> {
    let seen = view_in(&Directory::open(process)?, "/", attributes)?;
    seen.map_err(|error| cannot(&"its files", error))
}

/// The shared memory of a container that runs, attached nowhere yet; nothing where it has none.
pub(super) fn memory_in(process: &Directory) -> Result<Option<OwnedFd>> {
    match view_in(process, "/dev/shm", MountAttrFlags::empty())? {
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        seen => seen.map(Some).map_err(|error| cannot(&"its memory", error)),
    }
}

/// A view of a directory of a container that runs, which is reached through no link.
fn view_in(process: &Directory, path: &str, attributes: MountAttrFlags) -> Result<Result<OwnedFd, Errno>> {
    let mounts = process.at("ns/mnt", OFlags::RDONLY)?;
    // Where a process is in the tree of mounts belongs to a thread that shares it with no other: this one does nothing else.
    let seen = thread::scope(|scope| {
        let looking = threads::start_in(scope, "look", || seen_from(&mounts, path, attributes))?;
        Ok::<_, Error>(looking.join())
    })?;
    seen.map_err(|_| Error::new(Kind::Internal, "the thread that looks at a container panicked"))
}

fn seen_from(mounts: &OwnedFd, path: &str, attributes: MountAttrFlags) -> Result<OwnedFd, Errno> {
    let errno = |error: std::io::Error| Errno::from_io_error(&error).unwrap_or(Errno::IO);
    calls::unshare(UnshareFlags::FS).map_err(errno)?;
    move_into_link_name_space(mounts.as_fd(), Some(LinkNameSpaceType::Mount))?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let found = openat2(CWD, path, flags, Mode::empty(), ResolveFlags::NO_SYMLINKS)?;
    let seen = view(&found, false)?;
    // Here, where this thread has the rights to: elsewhere it may have none.
    restrict(&seen, attributes, false)?;
    Ok(seen)
}

/// User and group that a name or number stands for in a container's files; root for an empty one.
///
/// # Errors
/// [`Kind::Invalid`] in docker's words when there is no such user.
pub fn user_in(root: impl AsFd, user: &str) -> Result<(u32, u32)> {
    let root =
        root.as_fd().try_clone_to_owned().map_err(|error| Error::io("cannot read a container's files", error))?;
    let failed = |failure: StartFailure| Error::new(Kind::Invalid, failure.message);
    let identity = users::look_up(&Inside::new(root), user, &[], Habits::default()).map_err(failed)?;
    Ok((identity.uid, identity.gid))
}

/// What the machine says of one process. Of another one that gets its number later it says nothing.
pub(super) struct Directory(OwnedFd);

impl Directory {
    pub(super) fn open(process: &KnownProcess) -> Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = openat(CWD, format!("/proc/{}", process.id()), flags, Mode::empty());
        let opened = opened.map_err(|error| cannot(&"its process", error))?;
        if process.is_there() { Ok(Self(opened)) } else { Err(cannot(&"its process", Errno::SRCH)) }
    }

    pub(super) fn at(&self, name: &str, flags: OFlags) -> Result<OwnedFd> {
        openat(&self.0, name, flags | OFlags::CLOEXEC, Mode::empty()).map_err(|error| cannot(&"its process", error))
    }
}

fn cannot(what: &dyn Display, error: Errno) -> Error {
    match error {
        Errno::SRCH | Errno::NOENT => JustEnded.into(),
        Errno::PERM | Errno::ACCESS => {
            Error::new(Kind::Denied, format!("cannot look at a container that runs: {what} belongs to somebody else"))
        }
        error => Error::io(format_args!("cannot look at a container that runs: {what}"), error.into()),
    }
}
