//! Places in a container's root, which its image may have filled with links of all kinds.
//!
//! Every path is looked up by openat2(2) with `RESOLVE_IN_ROOT`: links lead to where they would lead for a process in the container, and
//! never out of it. What is found is a descriptor, and mounts are attached to descriptors: no path is walked twice.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{Mode, OFlags, ResolveFlags, mkdirat, openat2};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, fsconfig_create, fsconfig_set_flag,
    fsconfig_set_string, fsmount, fsopen, move_mount, open_tree,
};

use super::calls;
use super::manner::Propagation;

/// Links that are followed before a path is given up, as the kernel has it (path_resolution(7)).
const LINKS_MAX: u32 = 40;

/// The root of a container's files.
pub(crate) struct Inside {
    root: OwnedFd,
}

impl Inside {
    pub(crate) fn new(root: OwnedFd) -> Self {
        Self { root }
    }

    /// What is at a path, links followed within the root.
    pub(crate) fn find(&self, path: &Path) -> Result<OwnedFd, Errno> {
        self.open(path, OFlags::PATH)
    }

    /// Opens what is at a path.
    pub(crate) fn open(&self, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
        let relative = path.strip_prefix("/").unwrap_or(path);
        let relative = if relative.as_os_str().is_empty() { Path::new(".") } else { relative };
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        retry(|| openat2(&self.root, relative, flags | OFlags::CLOEXEC, Mode::empty(), resolve))
    }

    /// A directory that must not be reached through a link: what is mounted there must be found there.
    pub(crate) fn plain_directory(&self, name: &str) -> Result<OwnedFd, Errno> {
        match mkdirat(&self.root, name, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error),
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        retry(|| openat2(&self.root, name, flags, Mode::empty(), resolve))
    }

    /// A directory, made with those above it where they are missing, also where a link leads to what is missing.
    pub(crate) fn directory(&self, path: &Path) -> Result<OwnedFd, Errno> {
        let path = self.without_links(path)?;
        let mut so_far = Path::new("/").to_path_buf();
        let mut current = self.find(&so_far)?;
        for part in path.components() {
            let Component::Normal(name) = part else { continue };
            so_far.push(name);
            let found = self.open(&so_far, OFlags::PATH | OFlags::DIRECTORY);
            current = match found {
                Err(Errno::NOENT) => {
                    mkdirat(&current, name, Mode::from_raw_mode(0o755))?;
                    self.open(&so_far, OFlags::PATH | OFlags::DIRECTORY)?
                }
                found => found?,
            };
        }
        Ok(current)
    }

    /// Where a path leads within the root, whether what is there exists or not. Only a hint: whoever uses it looks it up again, beneath the
    /// root.
    fn without_links(&self, path: &Path) -> Result<PathBuf, Errno> {
        let mut left: Vec<OsString> = path.components().rev().map(|part| part.as_os_str().to_owned()).collect();
        let (mut so_far, mut links) = (PathBuf::from("/"), 0);
        while let Some(part) = left.pop() {
            let name = match Path::new(&part).components().next() {
                Some(Component::Normal(name)) => name,
                Some(Component::ParentDir) => {
                    so_far.pop();
                    continue;
                }
                Some(Component::RootDir) => {
                    so_far = PathBuf::from("/");
                    continue;
                }
                _ => continue,
            };
            let below = so_far.join(name);
            let Ok(found) = self.open(&below, OFlags::PATH | OFlags::NOFOLLOW) else {
                so_far = below;
                continue;
            };
            // What links of the kernel's own say is no path: the kernel follows them itself, or is told not to (CVE-2024-21626).
            if rustix::fs::fstatfs(&found).is_ok_and(|about| about.f_type == rustix::fs::PROC_SUPER_MAGIC) {
                so_far = below;
                continue;
            }
            match rustix::fs::readlinkat(&found, "", Vec::new()) {
                Ok(target) => {
                    links += 1;
                    if links > LINKS_MAX {
                        return Err(Errno::LOOP);
                    }
                    let target = PathBuf::from(OsStr::from_bytes(target.as_bytes()));
                    left.extend(target.components().rev().map(|part| part.as_os_str().to_owned()));
                }
                Err(_) => so_far = below,
            }
        }
        Ok(so_far)
    }

    /// What a file can be mounted on: a file that is there, or an empty one.
    pub(crate) fn file(&self, path: &Path) -> Result<OwnedFd, Errno> {
        let path = &self.without_links(path)?;
        match self.find(path) {
            Err(Errno::NOENT) => {}
            found => return found,
        }
        let parent = self.directory(path.parent().unwrap_or(Path::new("/")))?;
        let name = path.file_name().ok_or(Errno::INVAL)?;
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::openat(&parent, name, flags, Mode::from_raw_mode(0o755))?;
        self.find(path)
    }

    /// The same descriptor, on its own.
    pub(crate) fn into_root(self) -> OwnedFd {
        self.root
    }

    /// The root itself.
    pub(crate) fn root(&self) -> &OwnedFd {
        &self.root
    }
}

/// Looks up again what changed while it was looked up.
fn retry(look_up: impl Fn() -> Result<OwnedFd, Errno>) -> Result<OwnedFd, Errno> {
    for _ in 0..100 {
        match look_up() {
            Err(Errno::AGAIN | Errno::INTR) => {}
            done => return done,
        }
    }
    Err(Errno::AGAIN)
}

/// Attaches a mount to what a descriptor stands for.
pub(crate) fn attach(mount: impl AsFd, target: impl AsFd) -> Result<(), Errno> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(mount, "", target, "", flags)
}

/// A new file system, attached nowhere yet.
pub(crate) fn file_system(kind: &str, options: &[(&str, &str)], attributes: MountAttrFlags) -> Result<OwnedFd, Errno> {
    let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    // What lists of mounts show it as; docker's call it by its kind, unless told.
    if !options.iter().any(|(name, _)| *name == "source") {
        fsconfig_set_string(context.as_fd(), "source", kind)?;
    }
    for (name, value) in options {
        if value.is_empty() {
            fsconfig_set_flag(context.as_fd(), *name)?;
        } else {
            fsconfig_set_string(context.as_fd(), *name, *value)?;
        }
    }
    fsconfig_create(context.as_fd())?;
    fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}

/// A second view of what a descriptor stands for, attached nowhere yet.
pub(crate) fn view(of: impl AsFd, recursive: bool) -> Result<OwnedFd, Errno> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    if recursive {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    open_tree(of, "", flags)
}

/// Says whether mounts that are made later pass from and to a mount, or all below it.
pub(crate) fn propagate(mount: impl AsFd, propagation: Propagation) -> Result<(), Errno> {
    calls::change_propagation(mount, propagation.flags().bits(), propagation.is_recursive())
        .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
}

/// Restricts a mount, and with `recursive` all below it.
pub(crate) fn restrict(mount: impl AsFd, attributes: MountAttrFlags, recursive: bool) -> Result<(), Errno> {
    if attributes.is_empty() {
        return Ok(());
    }
    calls::add_mount_attributes(mount, u64::from(attributes.bits()), recursive)
        .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
}
