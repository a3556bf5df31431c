//! A program in files, processes and rights of its own.
//!
//! [`run`] watches: it starts this program again as the first process of the container ([`first_process`]), moves bytes between the
//! container's streams and those it was given, passes signals on, and ends when the container does. If it is killed, the kernel kills
//! the container: there is nothing that goes on alone.

mod calls;
mod init;
mod inside;
mod privileges;
mod rootfs;
mod seccomp;
mod spec;
mod streams;
mod users;
mod watch;

use std::os::fd::OwnedFd;
use std::path::Path;

use dhow_base::{Error, Kind, Result};
use rustix::thread::UnshareFlags;

pub use init::first_process;
pub use privileges::{CAPABILITIES, DEFAULT_CAPABILITIES, capability_number};
pub use spec::{MountSource, MountSpec, RootFiles, Spec, StartCause, StartFailure};
pub use streams::Streams;
pub use watch::{Ended, run};

pub(crate) use calls::unshare;

/// The word that makes this program the first process of a container; two numbers of descriptors follow.
pub const FIRST_PROCESS: &str = "__container";

/// A container's files as one directory, read-only, for who looks at a container that does not run. The process leaves the machine's
/// mounts for that: call it in a process that does nothing else, before it has threads.
///
/// # Errors
/// [`Kind::Unsupported`] where nothing can be mounted.
pub fn look(files: &RootFiles, mount_point: &Path, in_user_namespace: bool) -> Result<OwnedFd> {
    unshare(UnshareFlags::NEWNS).map_err(|error| Error::io("cannot leave the machine's mounts", error))?;
    rootfs::look(files, mount_point, in_user_namespace)
        .map_err(|failure| Error::new(Kind::Unsupported, failure.message))
}
