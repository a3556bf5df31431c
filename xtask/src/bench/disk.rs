//! A fresh journaled file system for every repetition.
//!
//! Continuous-integration hosts often have an ext4 without a journal, mounted with `discard`, as their root: there,
//! making files after a large deletion is 10 to 40 times slower, for every tool. A loop-mounted file system in memory has
//! a journal, no history, and the same speed for everybody.

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use anyhow::{Context, Result};

use crate::shell;

/// Room for the largest peer: podman holds an image once as layers and for a while again as temporary files.
const SIZE_BYTES: u64 = 8 << 30;

/// As much of the file below a file system has its memory from the beginning: a disk need not look for room while it is written
/// to. What is written beyond keeps it for the file systems after.
const READY_BYTES: u64 = 2 << 30;

/// The file below a file system that is not mounted any more, for the next one. It has no name, so that it vanishes with this
/// program however that ends.
static SPARE: Mutex<Option<File>> = Mutex::new(None);

/// A mounted file system; unmounted and deleted when dropped.
pub(crate) struct Disk {
    folder: tempfile::TempDir,
    mounted: PathBuf,
    image: Option<File>,
}

impl Disk {
    /// Makes and mounts one.
    pub(crate) fn fresh() -> Result<Self> {
        Self::made(&[])
    }

    /// Makes and mounts one with room for millions of small files.
    pub(crate) fn of_many_files() -> Result<Self> {
        // Blocks of 4 KiB: with smaller ones a directory's index ends at some 200,000 names.
        Self::made(&["-i", "3072", "-b", "4096", "-I", "128"])
    }

    fn made(options: &[&str]) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("dhow-bench-").tempdir_in(memory())?;
        let image = image()?;
        let image_path = format!("/proc/{}/fd/{}", std::process::id(), image.as_raw_fd());
        shell::output(
            Command::new("mkfs.ext4")
                // Nothing is left for the kernel to initialise in the background of a measurement.
                .args(["-q", "-F", "-m", "0", "-E", "lazy_itable_init=0,lazy_journal_init=0,nodiscard"])
                .args(options)
                .arg(&image_path),
        )?;
        let mounted = folder.path().join("mounted");
        fs::create_dir(&mounted)?;
        shell::output(Command::new("mount").args(["-o", "loop"]).arg(&image_path).arg(&mounted))
            .context("cannot mount a file system on a loop device")?;
        Ok(Self { folder, mounted, image: Some(image) })
    }

    /// Where it is mounted.
    pub(crate) fn path(&self) -> &Path {
        &self.mounted
    }

    /// Flushes all of it, as `sync -f` does.
    pub(crate) fn sync(&self) -> Result<()> {
        rustix::fs::syncfs(File::open(&self.mounted)?).context("cannot sync the file system")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // A daemon that has just ended may hold it for a moment longer.
        for arguments in [&["--quiet"][..], &["--quiet", "--lazy"]] {
            if Command::new("umount")
                .args(arguments)
                .arg(self.folder.path().join("mounted"))
                .status()
                .is_ok_and(|s| s.success())
            {
                // What is only unmounted later may still be written to.
                if arguments.len() == 1 {
                    *SPARE.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = self.image.take();
                }
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(200));
        }
    }
}

/// The file below a file system: the spare one, or a new one.
fn image() -> Result<File> {
    if let Some(spare) = SPARE.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take() {
        return Ok(spare);
    }
    let image = tempfile::tempfile_in(memory())?;
    image.set_len(SIZE_BYTES)?;
    rustix::fs::fallocate(&image, rustix::fs::FallocateFlags::empty(), 0, READY_BYTES)?;
    Ok(image)
}

/// Memory-backed, so that the measured machine's disk does not decide who wins.
pub(crate) fn memory() -> &'static Path {
    Path::new("/dev/shm")
}
