//! Containers of somebody who is not root.

#![allow(clippy::disallowed_methods, reason = "scratch files of the test itself")]

use std::fs;
use std::os::unix::fs::chown;
use std::path::PathBuf;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::run::{archive, scene};

/// The user and group that Linux has for nobody in particular.
const NOBODY: u32 = 65534;

/// A folder of an ordinary user's, with the program in it and the files of an image as `root.tar`.
pub(crate) struct Nobody {
    folder: TempDir,
}

impl Nobody {
    /// Makes one where containers can run.
    pub(crate) fn new() -> Option<Self> {
        scene()?;
        let nobody = Self { folder: TempDir::new().expect("a folder") };
        fs::copy(dhow_tests::binary::path(), nobody.path("dhow")).expect("the program");
        fs::write(nobody.path("root.tar"), archive(&[])).expect("an archive");
        chown(nobody.folder.path(), Some(NOBODY), Some(NOBODY)).expect("an owner");
        Some(nobody)
    }

    /// A path in the folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `dhow`, as that user.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("setpriv");
        command.args([format!("--reuid={NOBODY}"), format!("--regid={NOBODY}")]);
        command.arg("--clear-groups").arg(self.path("dhow")).args(arguments).current_dir(self.folder.path());
        command.env_clear().env("PATH", "/usr/bin:/bin");
        command.env("DHOW_ROOT", self.path("store")).env("HOME", self.folder.path());
        command
    }

    /// Runs it: the exit code, and what it said on standard output and standard error.
    pub(crate) fn run(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        let output = self.command(arguments).output().expect("setpriv");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    }

    /// Runs it, which must succeed, and returns its standard output.
    #[track_caller]
    pub(crate) fn must(&self, arguments: &[&str]) -> String {
        let (code, out, err) = self.run(arguments);
        assert_eq!(code, Some(0), "{arguments:?}: {err}");
        out
    }
}

impl Drop for Nobody {
    /// Trees that were given up are removed by a process of their own, which makes files in the folder that is to go.
    fn drop(&mut self) {
        let end = Instant::now() + Duration::from_secs(10);
        while self.is_in_use() && Instant::now() < end {
            sleep(Duration::from_millis(10));
        }
    }
}

impl Nobody {
    /// Whether a process has the folder for its home.
    fn is_in_use(&self) -> bool {
        let folder = self.folder.path().to_string_lossy();
        let processes = fs::read_dir("/proc").expect("processes").flatten();
        let mut variables = processes.filter_map(|process| fs::read(process.path().join("environ")).ok());
        variables.any(|variables| String::from_utf8_lossy(&variables).contains(&*folder))
    }
}
