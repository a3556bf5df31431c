//! Which containers are mounted, and where. As with images, a record only counts while the mount is there.

use std::fs;
use std::path::{Path, PathBuf};

use dhow_base::fs::{self as durable, Durability};
use dhow_base::{Error, Kind, Result};
use rustix::fs::{AtFlags, CWD, unlinkat};
use serde::{Deserialize, Serialize};

use crate::mounts::{Mounts, namespace};
use crate::store::Store;

/// Longest record read, in bytes.
const RECORD_BYTES_MAX: u64 = 64 << 10;

/// A container that was mounted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerMount {
    /// The container's ID.
    pub container: String,
    /// How often it was mounted more than unmounted.
    pub count: u32,
    /// The mount namespace in which it is seen.
    pub namespace: String,
    /// Whether that is one of a user namespace of its owner's, into which only who is outside of it can look.
    #[serde(default)]
    pub in_user_namespace: bool,
    /// The boot of the machine in which that was.
    boot: String,
}

impl Store {
    /// What was mounted of containers, by their IDs; whether it still is, the kernel says.
    pub fn container_mounts(&self) -> Vec<ContainerMount> {
        let entries = fs::read_dir(self.paths().mounts()).into_iter().flatten().flatten();
        let mut mounts: Vec<ContainerMount> =
            entries.filter_map(|entry| self.container_mount(entry.file_name().to_str()?)).collect();
        mounts.sort_by(|a, b| a.container.cmp(&b.container));
        mounts
    }

    /// The record of a container that was mounted.
    pub fn container_mount(&self, id: &str) -> Option<ContainerMount> {
        let path = self.paths().mounts().join(id).join("mount.json");
        let bytes = durable::read_limited(&path, RECORD_BYTES_MAX).ok()?;
        serde_json::from_slice(&bytes).ok().filter(|mount: &ContainerMount| mount.container == id)
    }

    /// The directory over which a container is mounted: absolute, without links.
    ///
    /// # Errors
    /// Those of looking it up.
    pub fn container_mount_point(&self, id: &str) -> Result<PathBuf> {
        Ok(self.real_root()?.join("mounts").join(id).join("merged"))
    }

    /// Whether a mount, if it is not seen from here, may be there all the same: in another mount namespace of this run of the machine.
    pub fn may_be_elsewhere(&self, mount: &ContainerMount) -> bool {
        mount.boot == self.boot() && mount.namespace != namespace()
    }
}

impl Mounts<'_> {
    /// Notes that a container is mounted, so many times, and makes the directory for it.
    ///
    /// # Errors
    /// The operating system's.
    pub fn note_container(&self, id: &str, count: u32, in_user_namespace: bool) -> Result<()> {
        let point = self.store.container_mount_point(id)?;
        durable::create_dir_all(&point)?;
        let (boot, namespace) = (self.store.boot().to_owned(), namespace());
        let record = ContainerMount { container: id.to_owned(), count, namespace, in_user_namespace, boot };
        let text = serde_json::to_vec(&record).map_err(|error| Error::new(Kind::Internal, error.to_string()))?;
        durable::write_atomic(&point.with_file_name("mount.json"), &text, 0o600, Durability::Cached)
    }

    /// Forgets the mount of a container. What is still mounted, or not empty for another reason, stays: it may be the container's files.
    ///
    /// # Errors
    /// The operating system's.
    pub fn forget_container(&self, id: &str) -> Result<()> {
        let point = self.store.container_mount_point(id)?;
        let Some(directory) = point.parent() else { return Ok(()) };
        remove_empty(&point)?;
        durable::remove_file(&directory.join("mount.json"))?;
        remove_empty(directory)
    }
}

fn remove_empty(directory: &Path) -> Result<()> {
    match unlinkat(CWD, directory, AtFlags::REMOVEDIR) {
        Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
        Err(error) => Err(Error::io(format_args!("cannot remove {directory:?}"), error.into())),
    }
}
