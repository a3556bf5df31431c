//! Containers: made from an image, run in the foreground, committed, removed. A container is a means here, not a service: what runs, runs
//! as long as the command that started it.
//!
//! `containers/<id>` in the store has its files, and a lock that is held as long as its process may run. Who finds a container that is
//! recorded as running, with a lock that nobody holds, knows that it did not end well.

mod capabilities;
mod commit;
mod copy;
mod create;
mod details;
mod files;
mod find;
mod hosts;
mod image_files;
mod joins;
mod last_run;
mod leftovers;
mod mount;
mod mounts;
mod names;
mod pause;
mod process;
mod remove;
mod rename;
mod resolv;
mod run;
mod run_config;
mod run_mounts;
mod settings;
mod turn;
mod volume_files;
mod volume_fill;
mod volume_options;
mod volumes;
mod working_directory;

use std::fs;
use std::path::PathBuf;

use dhow_base::{Error, Result};
use dhow_store::Store;

pub use capabilities::Capabilities;
pub use commit::{CommitRequest, commit};
pub use copy::{CopyOptions, InContainer, Incoming, copy_between, copy_into, copy_to_archive, copy_to_path};
pub use create::{Made, create, mounted_image};
pub use details::{
    Details, details, has_image, has_mounted, image_of, joins, kept_ids, streams_of, uses_volume, volume_directory,
    working_directory,
};
pub use dhow_sandbox::container::{
    CAPABILITIES, Controllers, END_OF_CONTAINER, Ended, FIRST_PROCESS, Habits, Limits, Masking, NamespaceKind,
    Propagation, Shared, StartCause, StartFailure, StartStage, Streams, Ulimit, Unwritten, capability_number,
    check_profile, controllers, default_capabilities, end_unwatched, first_process,
};
pub use dhow_sandbox::user_namespace::{self, KeptIds};
pub use dhow_store::{Container, ContainerRecord as Record, ContainerState as State};
pub(crate) use files::file_bytes;
pub use files::{changed_file_bytes, changes, export};
pub(crate) use find::find_among;
pub use find::{find, list};
pub use joins::{Joins, Other, whose_users, whose_users_has};
pub use last_run::LastRun;
pub(crate) use leftovers::{discard, discard_left, recover, remove_left};
pub(crate) use mount::end as end_mount;
pub use mount::{MountedContainer, forget_ended, mount, mounted, unmount};
pub(crate) use mounts::cleaned;
pub use mounts::{Dialect, Given, Mount, MountKind, Refusal};
pub(crate) use names::new_id;
pub use names::short_id;
pub use process::process_of;
pub(crate) use process::{end_left, kill, process};
pub use remove::{Pruned, RemoveOptions, prune, remove};
pub use rename::rename;
pub use run::{Run, Witness, run, start};
pub(crate) use run_config::is_signal;
pub use run_mounts::{LOCAL_TIME, time_zone_file};
pub use settings::{ImageVolumes, Network, Options, PortBinding, SCRATCH, Settings};
pub(crate) use turn::{Turn, change_volumes, try_hold};
pub use volume_files::{export_volume, import_volume};
pub use volume_options::VolumeOptions;
pub use volumes::{
    NewVolume, VolumeDetails, create_volume, is_empty_volume, prune_volumes, remove_volume, volume, volumes,
};

/// What this process may do on the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Whether it is in a user namespace of its own, as root.
    pub in_user_namespace: bool,
    /// Whether there are other users than root in it.
    pub has_users: bool,
    /// Whom it is there instead of root, with root's rights.
    pub kept_ids: Option<KeptIds>,
}

impl Machine {
    /// Whether files can be given to others.
    pub(crate) fn may_own(self) -> bool {
        !self.in_user_namespace || self.has_users
    }
}

/// The directory of a container: absolute, without links.
pub(crate) fn directory(store: &Store, id: &str) -> Result<PathBuf> {
    Ok(root(store, "containers")?.join(id))
}

/// A part of the store: absolute, without links.
pub(crate) fn root(store: &Store, part: &str) -> Result<PathBuf> {
    let root = fs::canonicalize(store.root())
        .map_err(|error| Error::io(format_args!("cannot look up {:?}", store.root()), error))?;
    Ok(root.join(part))
}

/// Now, in nanoseconds since 1970.
pub(crate) fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.ok().and_then(|since| i64::try_from(since.as_nanos()).ok()).unwrap_or(0)
}
