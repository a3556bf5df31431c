//! Disks that forget what was not synced, with a store on them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use dhow_testkit::forgetful::{Forgetful, Handle, Image, Unsynced};
use dhow_testkit::peers;
use tempfile::TempDir;

use super::Dhow;

/// Size of the block device below ext4, in bytes. Sparse, so it costs only what is written.
const DEVICE_BYTES: u64 = 128 << 20;

/// What the store stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The forgetful file system itself, which promises no more than POSIX. The store takes every FUSE file system for
    /// a network's and uses a rollback journal there.
    Posix,
    /// A real ext4 on a disk image inside the forgetful file system: its journal is replayed after the cut, and the
    /// store uses a write-ahead log.
    Ext4,
}

/// Makes disks of one kind.
#[derive(Clone, Copy, Debug)]
pub struct Disk {
    kind: Kind,
}

impl Disk {
    /// Says whether this machine can have such disks; for [`peers::available`].
    ///
    /// # Errors
    /// What is missing.
    pub fn possible(kind: Kind) -> io::Result<Self> {
        if !peers::is_root() {
            // Also for the boot ID that a command is shown after the cut.
            return Err(io::Error::other("pulling the plug on a disk needs root"));
        }
        Forgetful::possible()?;
        if kind == Kind::Ext4 {
            peers::find("mkfs.ext4")?;
            if !Path::new("/dev/loop-control").exists() {
                return Err(io::Error::other("/dev/loop-control is missing"));
            }
        }
        Ok(Self { kind })
    }

    /// The fates of unsynced changes that differ on such a disk.
    pub fn fates(self, seed: u64) -> Vec<Unsynced> {
        match self.kind {
            Kind::Posix => vec![Unsynced::Lost, Unsynced::NamesKept, Unsynced::Random(seed)],
            // Its one file has one name.
            Kind::Ext4 => vec![Unsynced::Lost, Unsynced::Random(seed)],
        }
    }

    /// An empty disk.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn blank(self) -> Image {
        if self.kind == Kind::Posix {
            return Image::default();
        }
        let directory = TempDir::new().expect("a directory");
        let handle = Forgetful::mount(directory.path()).expect("mount");
        let device = device(&handle);
        fs::File::create(&device).and_then(|file| file.set_len(DEVICE_BYTES)).expect("a disk image");
        // Without the lazy parts nothing writes to the disk later of its own accord.
        let options = "lazy_itable_init=0,lazy_journal_init=0,nodiscard";
        run(Command::new("mkfs.ext4").args(["-q", "-F", "-E", options]).arg(&device));
        handle.survivors(Unsynced::Kept)
    }

    /// Switches a disk on.
    ///
    /// # Panics
    /// When it cannot be mounted: a journaling file system must come back from any power cut.
    pub fn attach(self, image: &Image) -> Attached {
        let scratch = TempDir::new().expect("a directory");
        let [below, top] = ["below", "top"].map(|name| scratch.path().join(name));
        fs::create_dir(&below).and_then(|()| fs::create_dir(&top)).expect("mount points");
        let boot_id = scratch.path().join("boot_id");
        fs::write(&boot_id, format!("{:?}\n", Instant::now())).expect("a boot ID");
        let handle = Forgetful::from_image(image).mount_at(&below).expect("mount");
        let top = (self.kind == Kind::Ext4).then(|| {
            run(Command::new("mount").args(["-o", "loop,noatime"]).arg(device(&handle)).arg(&top));
            top
        });
        let before = handle.syncs();
        Attached { top, handle, before, boot_id, _scratch: scratch }
    }
}

/// A disk that is switched on.
#[derive(Debug)]
pub struct Attached {
    /// Where ext4 is mounted.
    top: Option<PathBuf>,
    handle: Handle,
    /// Syncs that mounting took.
    before: u64,
    boot_id: PathBuf,
    _scratch: TempDir,
}

impl Attached {
    /// Where the file system is.
    pub fn path(&self) -> &Path {
        self.top.as_deref().unwrap_or(self.handle.mountpoint())
    }

    /// The program on this disk, as if the machine had been started when the disk was attached.
    pub fn dhow(&self) -> Dhow {
        // Two levels that the store has to make itself.
        Dhow::on(&self.path().join("data/dhow")).after_reboot(&self.boot_id)
    }

    /// Lets the power fail at the `n`-th sync from the attachment on, counted from 1.
    pub fn cut_at(&self, n: u64) {
        self.handle.cut_at(self.before + n);
    }

    /// Whether the power has failed.
    pub fn is_cut(&self) -> bool {
        self.handle.is_cut()
    }

    /// What was synced since the attachment.
    pub fn sync_log(&self) -> String {
        self.handle.sync_log().split_off(usize::try_from(self.before).unwrap_or(0)).join(" ")
    }

    /// Lets the power fail now, if it has not, and returns what is left.
    pub fn cut(&self, unsynced: Unsynced) -> Image {
        self.handle.cut();
        self.handle.survivors(unsynced)
    }

    /// Switches the disk off in good order.
    ///
    /// # Panics
    /// When a program still uses it.
    pub fn shut_down(mut self) -> Image {
        if let Some(top) = self.top.take() {
            run(Command::new("umount").arg(top));
        }
        self.handle.survivors(Unsynced::Kept)
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        let Some(top) = self.top.take() else { return };
        // Nothing of it is wanted any more, and a dead disk makes for a quick unmount.
        self.handle.cut();
        let deadline = Instant::now() + Duration::from_secs(10);
        let unmount =
            || Command::new("umount").arg(&top).stderr(Stdio::null()).status().is_ok_and(|done| done.success());
        while !unmount() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn device(handle: &Handle) -> PathBuf {
    handle.mountpoint().join("disk")
}

fn run(command: &mut Command) {
    let output = command.output().expect("start a mount tool");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_synced_survives_on_both_kinds_of_disk() {
        for kind in [Kind::Posix, Kind::Ext4] {
            let Some(disk) = peers::available(Disk::possible(kind)) else { continue };
            let attached = disk.attach(&disk.blank());
            let path = attached.path().to_owned();
            fs::write(path.join("synced"), b"bytes").expect("write");
            fs::File::open(path.join("synced")).and_then(|file| file.sync_all()).expect("sync");
            fs::File::open(&path).and_then(|directory| directory.sync_all()).expect("sync");
            fs::write(path.join("new"), b"bytes").expect("write");
            for unsynced in [Unsynced::Lost, Unsynced::Random(1), Unsynced::Random(2)] {
                let later = disk.attach(&attached.cut(unsynced));
                assert_eq!(fs::read(later.path().join("synced")).expect("read"), b"bytes", "{kind:?} {unsynced:?}");
                let is_there = later.path().join("new").exists();
                assert!(!is_there || unsynced != Unsynced::Lost, "{kind:?}: a new name without a sync");
            }
        }
    }
}
