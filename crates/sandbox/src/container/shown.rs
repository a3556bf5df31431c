//! A container's files as a directory of this machine.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::thread;

use dhow_base::{Error, Kind, Result, threads};
use rustix::mount::{MountAttrFlags, MountPropagationFlags, mount_change};
use rustix::thread::UnshareFlags;

use super::calls;
use super::inside::restrict;
use super::look::view_of_running;
use super::processes::KnownProcess;
use super::rootfs::{attach_at, failed, lay_over};
use super::spec::{RootFiles, StartFailure};

/// Mounts the files of a container that does not run at `target`, where everybody sees them who sees the machine's mounts: without its volumes,
/// and so that they can be written.
///
/// # Errors
/// [`Kind::Unsupported`] where nothing can be mounted.
pub fn show(files: &RootFiles, in_user_namespace: bool, target: &Path) -> Result<()> {
    // Layer files are mounted on the way where nobody else sees it. That belongs to a thread, and goes with it.
    let apart = thread::scope(|scope| {
        let mounting = threads::start_in(scope, "mount", || apart(files, in_user_namespace))?;
        Ok::<_, Error>(mounting.join())
    })?;
    let apart = apart.map_err(|_| Error::new(Kind::Internal, "the thread that mounts a container panicked"))?;
    let shown = apart.and_then(|mounted| attach(&mounted, target));
    shown.map_err(|failure| Error::new(Kind::Unsupported, failure.message))
}

/// As [`show()`], of a container that runs: a second view of the files that it has.
///
/// # Errors
/// As [`super::root_of_running`]; [`Kind::Unsupported`] where nothing can be mounted.
pub fn show_running(process: &KnownProcess, target: &Path) -> Result<()> {
    let seen = view_of_running(process, MountAttrFlags::MOUNT_ATTR_NODEV)?;
    attach(&seen, target).map_err(|failure| Error::new(Kind::Unsupported, failure.message))
}

fn apart(files: &RootFiles, in_user_namespace: bool) -> Result<OwnedFd, StartFailure> {
    let left = calls::unshare(UnshareFlags::NEWNS);
    left.map_err(|error| StartFailure::setup(calls::not_left(calls::LEAVING, error).to_string()))?;
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC).map_err(failed("/"))?;
    lay_over(files, in_user_namespace)
}

fn attach(mounted: &OwnedFd, target: &Path) -> Result<(), StartFailure> {
    let told = |error| failed(&target.to_string_lossy())(error);
    // What is made in a container is no way to the machine's devices.
    restrict(mounted, MountAttrFlags::MOUNT_ATTR_NODEV, false).map_err(told)?;
    attach_at(mounted, target).map_err(told)
}
