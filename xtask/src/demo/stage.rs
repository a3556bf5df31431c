//! Where the demonstration happens: scratch stores, and a registry on loopback.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tempfile::TempDir;

/// Stores and a registry that vanish at the end.
pub(crate) struct Stage {
    registry: Registry,
    program: PathBuf,
    folder: TempDir,
}

impl Stage {
    /// Starts `dhow serve` on a free port.
    pub(crate) fn set(program: PathBuf) -> Result<Self> {
        let folder = dhow_testkit::peers::scratch()?;
        let registry = Registry::start(&program, folder.path())?;
        println!("── dhow serve listens on {}", registry.address);
        Ok(Self { registry, program, folder })
    }

    /// A path in the scratch folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A store by its name.
    pub(crate) fn store(&self, name: &'static str) -> Store {
        Store { name, root: self.path(name), program: self.program.clone(), home: self.path("home") }
    }

    /// An image's name in the registry.
    pub(crate) fn registry_name(&self, image: &str) -> String {
        format!("{}/{image}", self.registry.address)
    }
}

struct Registry {
    child: Child,
    address: String,
}

impl Registry {
    fn start(program: &Path, folder: &Path) -> Result<Self> {
        let mut child = Command::new(program)
            .arg("--root")
            .arg(folder.join("served"))
            .args(["serve", "--listen", "127.0.0.1:0"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start dhow serve")?;
        let mut line = String::new();
        let output = child.stdout.take().context("dhow serve has no output")?;
        BufReader::new(output).read_line(&mut line)?;
        let address = line.trim().rsplit("://").next().unwrap_or_default().to_owned();
        let registry = Self { child, address };
        ensure!(registry.address.contains(':'), "dhow serve said {line:?}");
        Ok(registry)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `dhow` on one store.
pub(crate) struct Store {
    name: &'static str,
    root: PathBuf,
    program: PathBuf,
    home: PathBuf,
}

impl Store {
    /// The store's folder.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Runs a command for the reader to see; returns how long it took.
    pub(crate) fn show(&self, words: &[&str]) -> Result<Duration> {
        println!("   {} store $ dhow {}", self.name, words.join(" "));
        let start = Instant::now();
        let output = self.run(words)?;
        let took = start.elapsed();
        for line in output.lines() {
            println!("      {line}");
        }
        println!("      ({:.3} s)", took.as_secs_f64());
        Ok(took)
    }

    /// What `inspect` says of an image.
    pub(crate) fn inspect(&self, image: &str) -> Result<Value> {
        super::only(&self.run(&["inspect", image])?)
    }

    fn run(&self, words: &[&str]) -> Result<String> {
        let output = Command::new(&self.program)
            .env("HOME", &self.home)
            .env("DOCKER_CONFIG", self.home.join(".docker"))
            .env("DHOW_SYSROOT", &self.home)
            .arg("--root")
            .arg(&self.root)
            .args(words)
            .stdin(Stdio::null())
            .output()
            .context("cannot run dhow")?;
        let told = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "`dhow {}` ended with {}: {}", words.join(" "), output.status, told.trim());
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}
