//! A fresh journaled file system for every repetition.
//!
//! Continuous-integration hosts often have an ext4 without a journal, mounted with `discard`, as their root: there,
//! making files after a large deletion is 10 to 40 times slower, for every tool. A loop-mounted file system in memory has
//! a journal, no history, and the same speed for everybody.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::shell;

/// Room for the largest peer: podman holds an image once as layers and for a while again as temporary files.
const SIZE_BYTES: u64 = 8 << 30;

/// A mounted file system; unmounted and deleted when dropped.
pub(crate) struct Disk {
    folder: tempfile::TempDir,
    mounted: PathBuf,
}

impl Disk {
    /// Makes and mounts one.
    pub(crate) fn fresh() -> Result<Self> {
        Self::made(&[])
    }

    /// Makes and mounts one with room for millions of small files.
    pub(crate) fn of_many_files() -> Result<Self> {
        Self::made(&["-i", "2048", "-b", "1024", "-I", "128"])
    }

    fn made(options: &[&str]) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("dhow-bench-").tempdir_in(memory())?;
        let image = folder.path().join("disk.ext4");
        File::create(&image)?.set_len(SIZE_BYTES)?;
        shell::output(
            Command::new("mkfs.ext4")
                // Nothing is left for the kernel to initialise in the background of a measurement.
                .args(["-q", "-F", "-m", "0", "-E", "lazy_itable_init=0,lazy_journal_init=0,nodiscard"])
                .args(options)
                .arg(&image),
        )?;
        let mounted = folder.path().join("mounted");
        fs::create_dir(&mounted)?;
        shell::output(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(&mounted))
            .context("cannot mount a file system on a loop device")?;
        Ok(Self { folder, mounted })
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
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(200));
        }
    }
}

/// Memory-backed, so that the measured machine's disk does not decide who wins.
pub(crate) fn memory() -> &'static Path {
    Path::new("/dev/shm")
}
