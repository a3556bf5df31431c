//! All devices of the machine, for a container that is privileged.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Stat, chmodat, chownat, lstat, mknodat, openat};
use rustix::io::Errno;
use rustix::mount::MountAttrFlags;
use rustix::process::{Gid, Uid};

use super::super::super::inside::{Inside, attach, restrict, view};
use super::super::super::spec::{Spec, StartFailure};
use super::super::{beneath, failed};
use super::{devices_at, is_device};

/// Parts of `/dev` that each container has of its own, or none has (runc, `devices.GetDevices`).
const LEFT_OUT: [&str; 9] = ["pts", "shm", "fd", "mqueue", ".lxc", ".lxd-mounts", ".udev", "console", "ptmx"];

/// Adds all of them to a `/dev` that has what every container has.
pub(super) fn add_all(spec: &Spec, inside: &Inside, dev: &OwnedFd) -> Result<(), StartFailure> {
    for (source, target) in devices_at(Path::new("/dev"), Path::new("/dev")) {
        let below = source.strip_prefix("/dev").unwrap_or(&source);
        let first = below.components().next().map(|part| part.as_os_str().to_owned()).unwrap_or_default();
        // A terminal of the machine's is not for who is not root there, as with podman.
        let is_terminal = spec.in_user_namespace && first.to_string_lossy().starts_with("tty");
        if is_terminal || LEFT_OUT.iter().any(|name| first == **name) {
            continue;
        }
        let told = |error| failed(&target.to_string_lossy())(error);
        // It may have gone since it was listed.
        let Ok(stat) = lstat(&source) else { continue };
        if !is_device(FileType::from_raw_mode(stat.st_mode)) {
            continue;
        }
        let added = match spec.in_user_namespace {
            true => show(inside, &source, &target),
            false => make(inside, dev, below, &stat),
        };
        match added {
            // What every container has is there already.
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(told(error)),
        }
    }
    Ok(())
}

/// Makes a node like one of the machine's, with its owner and rights.
fn make(inside: &Inside, dev: &OwnedFd, below: &Path, stat: &Stat) -> Result<(), Errno> {
    let name = below.file_name().ok_or(Errno::INVAL)?;
    let directory = match below.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        Some(parent) => inside.directory(&PathBuf::from("/dev").join(parent))?,
        None => beneath(dev, ".")?,
    };
    let mode = Mode::from_raw_mode(stat.st_mode);
    mknodat(&directory, name, FileType::from_raw_mode(stat.st_mode), mode, stat.st_rdev)?;
    let (uid, gid) = (Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid)));
    chownat(&directory, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)?;
    chmodat(&directory, name, mode, AtFlags::empty())
}

/// Shows one of the machine's where none can be made.
fn show(inside: &Inside, source: &Path, target: &Path) -> Result<(), Errno> {
    if inside.open(target, OFlags::PATH | OFlags::NOFOLLOW).is_ok() {
        return Err(Errno::EXIST);
    }
    let found = openat(CWD, source, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    let seen = view(&found, false)?;
    restrict(&seen, MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC, false)?;
    attach(&seen, inside.file(target)?)
}
