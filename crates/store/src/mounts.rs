//! Which images are mounted, and where. What a record says only counts while the mount is there.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dhow_base::fs::{self as durable, Durability, FileLock, LockMode};
use dhow_base::{Error, Kind, Result};
use dhow_spec::Digest;
use serde::{Deserialize, Serialize};

use crate::store::Store;

/// Longest record read, in bytes.
const RECORD_BYTES_MAX: u64 = 64 << 10;

/// How long to wait for another process that mounts or unmounts.
const PATIENCE: Duration = Duration::from_secs(60);

/// What shows the files of a mounted image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum MountedBy {
    /// The kernel.
    #[default]
    Kernel,
    /// A process, over FUSE.
    Fuse,
    /// Nothing: they are there, unpacked.
    Tree,
}

/// An image that was mounted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MountRecord {
    /// The image's ID.
    pub image_id: Digest,
    /// How often it was mounted more than unmounted.
    pub count: u32,
    /// What shows its files.
    #[serde(default)]
    pub by: MountedBy,
    /// The boot of the machine in which that was.
    boot: String,
    /// The mount namespace in which it is seen.
    namespace: String,
}

/// The right to change mounts; one process has it at a time.
#[derive(Debug)]
pub struct Mounts<'s> {
    pub(crate) store: &'s Store,
    _lock: FileLock,
}

impl Store {
    /// Begins to change mounts.
    ///
    /// # Errors
    /// [`Kind::Denied`] when the store can only be read; [`Kind::Unavailable`] when another process takes too long.
    pub fn change_mounts(&self) -> Result<Mounts<'_>> {
        self.require_writable()?;
        durable::create_dir_all(&self.paths().mounts())?;
        let lock = FileLock::acquire(&self.paths().mounts().join("lock"), LockMode::Exclusive, PATIENCE)?;
        Ok(Mounts { store: self, _lock: lock })
    }

    /// What was mounted, by image ID; whether it still is, the kernel says.
    pub fn mount_records(&self) -> Vec<MountRecord> {
        let entries = fs::read_dir(self.paths().mounts()).into_iter().flatten().flatten();
        let mut records: Vec<MountRecord> = entries.filter_map(|entry| read(&entry.path())).collect();
        records.sort_by(|a, b| a.image_id.cmp(&b.image_id));
        records
    }

    /// The directory of an image's mount: absolute, without links.
    ///
    /// # Errors
    /// Those of looking it up.
    pub fn mount_directory(&self, image_id: &Digest) -> Result<PathBuf> {
        Ok(self.real_root()?.join("mounts").join(image_id.as_str().replacen(':', "-", 1)))
    }

    /// The file that the process which serves a mount over FUSE keeps locked.
    ///
    /// # Errors
    /// As [`Store::mount_directory`].
    pub fn mount_server(&self, image_id: &Digest) -> Result<PathBuf> {
        Ok(self.mount_directory(image_id)?.join("server"))
    }

    /// Whether a mount is of use, if the kernel has it: one over FUSE is not when its process is dead. Nothing is asked of the
    /// process itself, which might hang.
    pub fn is_served(&self, record: &MountRecord) -> bool {
        if record.by != MountedBy::Fuse {
            return true;
        }
        // Shared, so that two who ask at the same time do not take each other for the process.
        let is_free = |path: PathBuf| FileLock::try_acquire(&path, LockMode::Shared).map(|lock| lock.is_some());
        !self.mount_server(&record.image_id).and_then(is_free).unwrap_or(false)
    }

    /// Whether this process would see a mount if it were still there.
    pub fn sees_mount(&self, record: &MountRecord) -> bool {
        record.boot != self.boot() || record.namespace == namespace()
    }
}

fn read(directory: &Path) -> Option<MountRecord> {
    let bytes = durable::read_limited(&directory.join("mount.json"), RECORD_BYTES_MAX).ok()?;
    serde_json::from_slice(&bytes).ok()
}

pub(crate) fn namespace() -> String {
    fs::read_link("/proc/self/ns/mnt").map_or_else(|_| String::new(), |link| link.to_string_lossy().into_owned())
}

impl Mounts<'_> {
    /// The record of an image, if there is one.
    ///
    /// # Errors
    /// Those of looking the directory up.
    pub fn record(&self, image_id: &Digest) -> Result<Option<MountRecord>> {
        Ok(read(&self.store.mount_directory(image_id)?))
    }

    /// Makes the directory of an image's mount, with empty directories `merged` and `work`.
    ///
    /// # Errors
    /// The operating system's.
    pub fn prepare(&self, image_id: &Digest) -> Result<PathBuf> {
        let directory = self.store.mount_directory(image_id)?;
        for name in ["merged", "work"] {
            durable::create_dir_all(&directory.join(name))?;
        }
        Ok(directory)
    }

    /// Notes that an image is mounted, so many times, and by what.
    ///
    /// # Errors
    /// The operating system's.
    pub fn note(&self, image_id: &Digest, count: u32, by: MountedBy) -> Result<()> {
        let boot = self.store.boot().to_owned();
        let record = MountRecord { image_id: image_id.clone(), count, by, boot, namespace: namespace() };
        let text = serde_json::to_vec(&record).map_err(|error| Error::new(Kind::Internal, error.to_string()))?;
        let path = self.store.mount_directory(image_id)?.join("mount.json");
        durable::write_atomic(&path, &text, 0o600, Durability::Cached)
    }

    /// Forgets a mount that is not there any more.
    ///
    /// # Errors
    /// The operating system's.
    pub fn forget(&self, image_id: &Digest) -> Result<()> {
        durable::remove_dir_all(&self.store.mount_directory(image_id)?)
    }

    /// The directories of all mounts, those without a record too.
    pub fn directories(&self) -> Vec<(Digest, PathBuf)> {
        let entries = fs::read_dir(self.store.paths().mounts()).into_iter().flatten().flatten();
        let named = |entry: fs::DirEntry| {
            let image_id = Digest::parse(&entry.file_name().to_str()?.replacen('-', ":", 1)).ok()?;
            let directory = self.store.mount_directory(&image_id).ok()?;
            Some((image_id, directory))
        };
        entries.filter_map(named).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::OpenOptions;

    #[test]
    fn who_asks_is_not_taken_for_the_process_that_serves() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("store"), &OpenOptions::default()).unwrap();
        let image_id = Digest::sha256(b"image");
        let mounts = store.change_mounts().unwrap();
        mounts.prepare(&image_id).unwrap();
        mounts.note(&image_id, 1, MountedBy::Fuse).unwrap();
        let record = mounts.record(&image_id).unwrap().unwrap();
        let server = store.mount_server(&image_id).unwrap();
        for (mode, is_served) in [(LockMode::Shared, false), (LockMode::Exclusive, true)] {
            let _lock = FileLock::try_acquire(&server, mode).unwrap().unwrap();
            assert_eq!(store.is_served(&record), is_served, "{mode:?}");
        }
        assert!(!store.is_served(&record));
    }
}
