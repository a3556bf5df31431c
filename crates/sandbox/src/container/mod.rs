//! A program in files, processes and rights of its own.
//!
//! [`run`] watches: it starts this program again as the first process of the container ([`first_process`]), moves bytes between the
//! container's streams and those it was given, passes signals on, and ends when the container does. If it is killed, the kernel kills
//! the container: there is nothing that goes on alone. Where processes of others are in its namespace, a helper does ([`end_unwatched`]).

mod calls;
mod cgroup;
mod init;
mod inside;
mod joined;
mod look;
mod manner;
mod pause;
mod privileges;
mod processes;
mod reaper;
mod rest;
mod rootfs;
mod seccomp;
mod shown;
mod spec;
mod streams;
mod ulimits;
mod users;
mod watch;

pub use cgroup::{Controllers, Group, Limits, controllers, remove_groups};
pub use init::first_process;
pub use joined::{Inherited, Joined, NamespaceKind, memory_of_running, namespace_of_running};
pub use look::{Look, files_of_running, look, make_directory, root_of_running, user_in};
pub use manner::{AccessTimes, Manner, Propagation};
pub use pause::{Paused, pause, resume};
pub use privileges::{CAPABILITIES, capability_number, default_capabilities};
pub use processes::{JustEnded, KnownProcess};
pub use rest::{END_OF_CONTAINER, end_unwatched};
pub use seccomp::{CallFilter, check_profile};
pub use shown::{show, show_running};
pub use spec::{
    Changes, Habits, ImageFiles, Masking, MountSource, MountSpec, RootFiles, Shared, Spec, Stack, StartCause,
    StartFailure, StartStage, Tmpfs,
};
pub use streams::{Streams, Unwritten};
pub use ulimits::Ulimit;
pub use watch::{Ended, PassedOn, run};

pub(crate) use calls::unshare;
pub(crate) use privileges::keep_capabilities;
pub(crate) use users::find as find_user;

/// The word that makes this program the first process of a container; two numbers of descriptors follow.
pub const FIRST_PROCESS: &str = "__container";
