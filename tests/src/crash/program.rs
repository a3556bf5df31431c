//! The program under test, run on one store.

use std::fs::File;
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::binary;

/// How long any one command may take before it counts as hung: a flush on a disk that others write to takes a minute now and then.
const PATIENCE: Duration = Duration::from_secs(180);

/// `dhow` with a store and a configuration of its own.
#[derive(Clone, Debug)]
pub struct Dhow {
    binary: PathBuf,
    root: PathBuf,
    boot_id: Option<PathBuf>,
}

/// What a command did.
#[derive(Clone, Debug)]
pub struct Ran {
    /// The command's words, for messages.
    pub words: String,
    /// How it ended.
    pub status: ExitStatus,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Ran {
    /// Whether it exited with 0: what it did is promised.
    pub fn is_acknowledged(&self) -> bool {
        self.status.success()
    }

    /// Everything, for messages.
    pub fn told(&self) -> String {
        format!("`dhow {}` ended with {}\n{}{}", self.words, self.status, self.stdout, self.stderr)
    }
}

impl Dhow {
    /// The program on the store at `root`.
    ///
    /// # Panics
    /// When the program cannot be built.
    pub fn on(root: &Path) -> Self {
        Self { binary: binary::path(), root: root.to_owned(), boot_id: None }
    }

    /// Lets the program believe that the machine was started anew: it sees the content of `boot_id`, a file, as the
    /// kernel's boot ID. Needs root.
    #[must_use]
    pub fn after_reboot(self, boot_id: &Path) -> Self {
        Self { boot_id: Some(boot_id.to_owned()), ..self }
    }

    /// The store.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A command, ready to be started.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = match &self.boot_id {
            None => Command::new(&self.binary),
            Some(boot_id) => {
                // In a mount namespace of its own, so that nothing else on the machine sees it.
                let script = r#"mount --bind "$0" /proc/sys/kernel/random/boot_id && exec "$@""#;
                let mut command = Command::new("unshare");
                command
                    .args(["--mount", "--propagation", "private", "sh", "-c", script])
                    .arg(boot_id)
                    .arg(&self.binary);
                command
            }
        };
        command.args(words).stdin(Stdio::null());
        command.env("DHOW_ROOT", &self.root).env("DOCKER_CONFIG", "/nonexistent").env("DHOW_SYSROOT", "/nonexistent");
        for name in ["DHOW_FAULT", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "CONTAINERS_REGISTRIES_CONF"] {
            command.env_remove(name);
        }
        command
    }

    /// Starts a command whose output nobody reads.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(&self, words: &[&str]) -> Child {
        let mut command = self.command(words);
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("start dhow")
    }

    /// Runs a command to its end.
    ///
    /// # Panics
    /// When it cannot be started, or hangs.
    pub fn run(&self, words: &[&str]) -> Ran {
        // Files, not pipes: a pipe that fills up while the deadline is watched would be a hang of the test's own making.
        let [mut stdout, mut stderr] = [tempfile::tempfile(), tempfile::tempfile()].map(|file| file.expect("a file"));
        let copy = |file: &File| file.try_clone().expect("a second handle");
        let mut command = self.command(words);
        let mut child = command.stdout(copy(&stdout)).stderr(copy(&stderr)).spawn().expect("start dhow");
        let status = wait(&mut child, words);
        let ran = Ran { words: words.join(" "), status, stdout: all(&mut stdout), stderr: all(&mut stderr) };
        if std::env::var_os("DHOW_TEST_TRACE").is_some() {
            eprintln!("{}", ran.told());
        }
        assert!(!ran.stderr.contains("panicked"), "{}", ran.told());
        ran
    }

    /// Runs a command that must succeed; returns its standard output.
    ///
    /// # Panics
    /// When it fails.
    #[track_caller]
    pub fn must(&self, words: &[&str]) -> String {
        let ran = self.run(words);
        assert!(ran.is_acknowledged(), "{}", ran.told());
        ran.stdout
    }

    /// Asserts that the store is clean, without repairing anything.
    ///
    /// # Panics
    /// When it is not.
    #[track_caller]
    pub fn must_be_clean(&self, when: &str) {
        let ran = self.run(&["system", "check"]);
        assert!(ran.is_acknowledged(), "{when}: {}", ran.told());
    }
}

fn wait(child: &mut Child, words: &[&str]) -> ExitStatus {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = child.try_wait().expect("wait for dhow") {
            return status;
        }
        if Instant::now() >= deadline {
            let _ = child.kill();
            let _ = child.wait();
            panic!("`dhow {}` hangs", words.join(" "));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn all(file: &mut File) -> String {
    let mut bytes = Vec::new();
    file.rewind().and_then(|()| file.read_to_end(&mut bytes)).expect("read the output");
    String::from_utf8_lossy(&bytes).into_owned()
}
