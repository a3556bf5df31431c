//! A FUSE file system that forgets whatever was not synced.
//!
//! It lives in memory and keeps two images: the one that programs see, and the one a disk would hold. `fsync` and
//! `fdatasync` of a file carry its bytes from the first to the second; names get there when their directory is synced.
//! At a chosen sync the power fails: everything fails with `EIO` from then on, and the next mount shows only
//! what had become durable. A program that keeps its promises loses nothing that it acknowledged.
//!
//! Locks are left to the kernel, files can be mapped, so SQLite runs on it in any journal mode.
//! Needs `/dev/fuse`, and either root or `fusermount3`; [`Forgetful::possible`] says beforehand whether they are there.

mod image;
mod names;
mod pages;
mod random;
mod session;
#[cfg(test)]
mod sqlite_tests;
#[cfg(test)]
mod tests;
mod volume;

use std::collections::HashMap;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use fuser::{BackgroundSession, Config, MountOption};
use rustix::mount::UnmountFlags;

pub use image::Image;
pub use random::{Random, chance};
use session::{Server, Shared, lock};

/// How long an unmount waits for programs that are still ending, before it fails.
const UNMOUNT_PATIENCE: Duration = Duration::from_secs(10);

/// What a sync promises about names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Promise {
    /// No more than POSIX does: names become durable when their own directory is synced, and a file's sync says nothing
    /// about them. A rename stays one step, also across directories.
    #[default]
    Posix,
    /// As ext4 and XFS do in practice: any sync commits every earlier change of names.
    Journaled,
}

/// What becomes of changes that no sync covered. A real kernel may write back all of them, none, or any part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsynced {
    /// All are lost.
    Lost,
    /// Names and lengths are kept, bytes are not: new files are full of zeros, the well-known trap of delayed allocation.
    NamesKept,
    /// All are kept, as after a mere crash of the program.
    Kept,
    /// Names and pages are kept or lost one by one, by a coin with this seed.
    Random(u64),
}

/// Mounts forgetful file systems.
#[derive(Clone, Debug, Default)]
pub struct Forgetful {
    image: Image,
    promise: Promise,
}

impl Forgetful {
    /// Whether this process can mount FUSE file systems; for [`crate::peers::available`].
    ///
    /// # Errors
    /// The operating system's, naming `/dev/fuse`.
    pub fn possible() -> io::Result<()> {
        let opened = std::fs::OpenOptions::new().read(true).write(true).open("/dev/fuse");
        opened.map(drop).map_err(|error| io::Error::new(error.kind(), format!("/dev/fuse: {error}")))
    }

    /// Starts from an image instead of an empty disk.
    #[must_use]
    pub fn from_image(image: &Image) -> Self {
        Self { image: image.clone(), promise: Promise::default() }
    }

    /// Chooses what a sync promises about names.
    #[must_use]
    pub fn promise(self, promise: Promise) -> Self {
        Self { promise, ..self }
    }

    /// Mounts an empty disk that promises no more than POSIX on an existing directory.
    ///
    /// # Errors
    /// The operating system's.
    pub fn mount(mountpoint: &Path) -> io::Result<Handle> {
        Self::default().mount_at(mountpoint)
    }

    /// Mounts on an existing directory.
    ///
    /// # Errors
    /// The operating system's.
    pub fn mount_at(&self, mountpoint: &Path) -> io::Result<Handle> {
        let owner = std::fs::metadata(mountpoint).map(|metadata| (metadata.uid(), metadata.gid()))?;
        let volume = Arc::new(Mutex::new(self.image.start(self.promise, owner)));
        let server = Server { volume: Arc::clone(&volume), listings: Mutex::new((0, HashMap::new())) };
        let mut config = Config::default();
        let name = MountOption::FSName("forgetful".to_owned());
        config.mount_options = vec![name, MountOption::DefaultPermissions, MountOption::NoDev, MountOption::NoSuid];
        let session = fuser::spawn_mount(server, mountpoint, &config)?;
        Ok(Handle { mountpoint: mountpoint.to_owned(), promise: self.promise, volume, session: Some(session) })
    }
}

/// A mounted forgetful file system; dropped, it is unmounted and gone.
#[derive(Debug)]
pub struct Handle {
    mountpoint: PathBuf,
    promise: Promise,
    volume: Shared,
    session: Option<BackgroundSession>,
}

impl Handle {
    /// Where it is mounted.
    pub fn mountpoint(&self) -> &Path {
        &self.mountpoint
    }

    /// How many syncs took effect since the mount, of files and directories.
    pub fn syncs(&self) -> u64 {
        lock(&self.volume).syncs.len() as u64
    }

    /// What was synced since the mount, in order; a directory ends in a slash.
    pub fn sync_log(&self) -> Vec<String> {
        lock(&self.volume).syncs.clone()
    }

    /// Lets the power fail when sync number `n` (from 1, counted since the mount) is asked for, before it takes effect.
    pub fn cut_at(&self, n: u64) {
        lock(&self.volume).cut_at = Some(n);
    }

    /// Lets the power fail now.
    pub fn cut(&self) {
        lock(&self.volume).dead = true;
    }

    /// Whether the power has failed.
    pub fn is_cut(&self) -> bool {
        lock(&self.volume).dead
    }

    /// What a power cut at this moment would leave.
    pub fn survivors(&self, unsynced: Unsynced) -> Image {
        lock(&self.volume).survivors(unsynced)
    }

    /// Unmounts and mounts again with only what is durable; syncs count from zero and no cut is planned.
    ///
    /// # Errors
    /// The operating system's; `EBUSY` when a program still uses the file system after some patience.
    pub fn remount_durable(self) -> io::Result<Self> {
        self.remount(Unsynced::Lost)
    }

    /// As [`Handle::remount_durable`], with another fate for what was not synced.
    ///
    /// # Errors
    /// As [`Handle::remount_durable`].
    pub fn remount(mut self, unsynced: Unsynced) -> io::Result<Self> {
        // First the image: unmounting lets the kernel write back what programs have only mapped.
        let image = self.survivors(unsynced);
        self.unmount()?;
        Forgetful { image, promise: self.promise }.mount_at(&self.mountpoint)
    }

    /// Unmounts; what the disk held is gone with it.
    ///
    /// # Errors
    /// As [`Handle::remount_durable`].
    pub fn unmount(&mut self) -> io::Result<()> {
        let Some(session) = self.session.take() else { return Ok(()) };
        let deadline = Instant::now() + UNMOUNT_PATIENCE;
        while let Err(error) = unmount_once(&self.mountpoint, UnmountFlags::empty()) {
            if error.kind() != io::ErrorKind::ResourceBusy || Instant::now() >= deadline {
                // Out of sight at least; it goes when the last program lets go of it.
                let _ = unmount_once(&self.mountpoint, UnmountFlags::DETACH);
                return Err(error);
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        session.join()
    }
}

/// Without root, only the helper that mounted may unmount.
fn unmount_once(mountpoint: &Path, flags: UnmountFlags) -> io::Result<()> {
    match rustix::mount::unmount(mountpoint, flags) {
        Err(rustix::io::Errno::PERM) => {}
        done => return Ok(done?),
    }
    let mode = if flags.contains(UnmountFlags::DETACH) { "-uz" } else { "-u" };
    let helper = Command::new("fusermount3").arg(mode).arg(mountpoint).stderr(Stdio::null()).status()?;
    if helper.success() { Ok(()) } else { Err(io::Error::from(io::ErrorKind::ResourceBusy)) }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // A failure has no one to go to; the process that holds files open keeps the mount alive until it ends.
        let _ = self.unmount();
    }
}
