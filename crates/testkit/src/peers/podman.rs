//! Podman with a store of its own.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{find, is_root, run};

/// Podman whose images are in a folder of its own.
#[derive(Debug)]
pub struct Podman {
    program: PathBuf,
    folder: PathBuf,
    storage_driver: &'static str,
}

impl Podman {
    /// Prepares a store in `folder/root`; takes the overlay driver, or vfs where that does not work.
    ///
    /// # Errors
    /// That podman is not installed, not root, or cannot open its store.
    pub fn open(folder: &Path) -> io::Result<Self> {
        if !is_root() {
            // A second user name space with subordinate ids would be needed for what root tests already.
            return Err(io::Error::other("podman with a store of its own is tested as root only"));
        }
        fs::create_dir_all(folder.join("tmp"))?;
        // Podman refuses a credentials file that is named but not there.
        fs::write(folder.join("auth.json"), "{}")?;
        let mut podman = Self { program: find("podman")?, folder: folder.to_owned(), storage_driver: "overlay" };
        if run(podman.command().arg("images")).is_err() {
            podman.storage_driver = "vfs";
            run(podman.command().arg("images"))?;
        }
        Ok(podman)
    }

    /// Podman on this store. Its temporary files are on the store's file system too.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command
            .env("TMPDIR", self.folder.join("tmp"))
            .env("REGISTRY_AUTH_FILE", self.folder.join("auth.json"))
            .arg("--root")
            .arg(self.folder.join("root"))
            .arg("--runroot")
            .arg(self.folder.join("run"))
            .args(["--storage-driver", self.storage_driver])
            .args(["--cgroup-manager", "cgroupfs", "--events-backend", "none"]);
        command
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        // The overlay driver bind-mounts its folder onto itself, which keeps it from being deleted.
        let _ =
            Command::new("umount").arg("--lazy").arg(self.folder.join("root/overlay")).stderr(Stdio::null()).status();
    }
}
