//! What the tests of the command line share: the real binary in an environment of its own, and what it says as one text.

#![allow(clippy::disallowed_methods, reason = "test files are scratch files")]

use std::fmt;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use dhow_testkit::helper::Helpers;
use dhow_testkit::images::{Blob, Compression, Entry, Format, Layout, Recipe, tar_of};
use serde_json::{Map, Value, json};
use tempfile::TempDir;

use crate::binary;

/// When the images of these tests say they were made: so late that their age reads the same for ever.
const CREATED: &str = "2200-01-01T00:00:00Z";

/// A folder with a home, a store and a configuration, and names for what differs from run to run.
#[derive(Debug)]
pub struct Scene {
    folder: TempDir,
    names: Mutex<Vec<(String, String)>>,
}

/// What a command said and how it ended.
#[derive(Debug)]
pub struct Transcript {
    /// Exit code; 128 and the signal when one ended it.
    pub code: i32,
    /// Standard output, with names for what differs from run to run.
    pub stdout: String,
    /// Standard error, likewise.
    pub stderr: String,
}

impl fmt::Display for Transcript {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "exit {}", self.code)?;
        for (stream, text) in [("out", &self.stdout), ("err", &self.stderr)] {
            if !text.is_empty() {
                writeln!(formatter, "[{stream}]\n{}", text.strip_suffix('\n').unwrap_or(text))?;
            }
        }
        Ok(())
    }
}

impl Default for Scene {
    fn default() -> Self {
        Self::new()
    }
}

impl Scene {
    /// An empty one.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn new() -> Self {
        let folder = TempDir::new().expect("a folder");
        fs::create_dir(folder.path().join("home")).expect("a home");
        let names = vec![(folder.path().to_string_lossy().into_owned(), "[FOLDER]".to_owned())];
        Self { folder, names: Mutex::new(names) }
    }

    /// A path in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Shows `text` as `name` from now on.
    ///
    /// # Panics
    /// When another test thread panicked with the names in hand.
    pub fn call(&self, text: &str, name: &str) {
        self.names.lock().expect("names").push((text.to_owned(), name.to_owned()));
    }

    /// Shows a digest as `<name>` in full, and as `name` filled up to twelve characters where it is shortened.
    pub fn call_digest(&self, digest: &str, name: &str) {
        let hex = digest.trim_start_matches("sha256:");
        self.call(hex, &format!("<{name}>"));
        self.call(&hex[..12], &format!("{name:-<12}"));
    }

    /// The program by another name, as a link to it; its standard input is empty.
    ///
    /// # Panics
    /// When the link cannot be made.
    pub fn command_as(&self, program: &str, arguments: &[&str]) -> Command {
        let link = self.path(program);
        if !link.exists() {
            std::os::unix::fs::symlink(binary::path(), &link).expect("a link");
        }
        let mut command = Command::new(link);
        command.args(arguments).stdin(Stdio::null()).current_dir(self.folder.path());
        command.env_clear().env("HOME", self.path("home")).env("DHOW_ROOT", self.path("store"));
        let search = format!("{}:/usr/bin:/bin", self.path("bin").display());
        command.env("DOCKER_CONFIG", self.path("docker-config")).env("TZ", "UTC").env("PATH", search);
        // How registries are configured on this machine is none of a test's business.
        command.env("DHOW_SYSROOT", self.path("root"));
        // Podman's credentials of whoever runs the tests are looked for here.
        command.env("XDG_RUNTIME_DIR", self.path("run"));
        command
    }

    /// `dhow` with arguments.
    pub fn command(&self, arguments: &[&str]) -> Command {
        self.command_as("dhow", arguments)
    }

    /// Runs `dhow`.
    pub fn dhow(&self, arguments: &[&str]) -> Transcript {
        self.run(&mut self.command(arguments))
    }

    /// Runs `dhow` through a link named `docker`.
    pub fn docker(&self, arguments: &[&str]) -> Transcript {
        self.run(&mut self.command_as("docker", arguments))
    }

    /// Runs `dhow` through a link named `podman`.
    pub fn podman(&self, arguments: &[&str]) -> Transcript {
        self.run(&mut self.command_as("podman", arguments))
    }

    /// Runs `dhow`, which must succeed, and returns its standard output.
    ///
    /// # Panics
    /// When it fails.
    #[track_caller]
    pub fn must(&self, arguments: &[&str]) -> String {
        let transcript = self.dhow(arguments);
        assert_eq!(transcript.code, 0, "dhow {}: {transcript}", arguments.join(" "));
        transcript.stdout
    }

    /// Puts credential helpers on the search path.
    ///
    /// # Panics
    /// When they cannot be installed.
    pub fn helpers(&self, characters: &[&str]) -> Helpers {
        Helpers::install(&self.path("bin"), characters).expect("credential helpers")
    }

    /// Writes docker's `config.json`.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn configure(&self, text: &str) {
        fs::create_dir_all(self.path("docker-config")).expect("a folder");
        fs::write(self.path("docker-config/config.json"), text).expect("config.json");
    }

    /// Writes a file of the system's configuration, such as `etc/containers/registries.conf`.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn system(&self, path: &str, text: &str) {
        let path = self.path("root").join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, text).expect("a file");
    }

    /// Docker's `config.json`.
    ///
    /// # Panics
    /// When there is none.
    pub fn configuration(&self) -> String {
        fs::read_to_string(self.path("docker-config/config.json")).expect("config.json")
    }

    /// Runs `dhow` with bytes on its standard input.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn fed(&self, arguments: &[&str], input: &[u8]) -> Transcript {
        let mut command = self.command(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("start dhow");
        // A program that does not read its input may be gone already.
        let _ = child.stdin.take().expect("its input").write_all(input);
        self.transcript(&child.wait_with_output().expect("its output"))
    }

    /// Runs a command of this scene.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn run(&self, command: &mut Command) -> Transcript {
        self.transcript(&command.output().expect("start the program"))
    }

    /// What a finished command said.
    pub fn transcript(&self, output: &Output) -> Transcript {
        let code = output.status.code().or_else(|| output.status.signal().map(|signal| 128 + signal));
        Transcript { code: code.unwrap_or(-1), stdout: self.shown(&output.stdout), stderr: self.shown(&output.stderr) }
    }

    /// A text with names for what differs from run to run.
    ///
    /// # Panics
    /// When another test thread panicked with the names in hand.
    pub fn shown(&self, bytes: &[u8]) -> String {
        let names = self.names.lock().expect("names");
        names.iter().fold(String::from_utf8_lossy(bytes).into_owned(), |text, (from, to)| text.replace(from, to))
    }

    /// A text with `/scene` in place of this scene's folder, and everything else as it is.
    pub fn shown_paths(&self, text: &str) -> String {
        text.replace(&*self.folder.path().to_string_lossy(), "/scene")
    }

    /// A small image of two layers, always the same for the same `salt`. Its digests are called `id`, `manifest`,
    /// `lower` and `upper`, each with the salt behind it.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn image(&self, salt: &str) -> Sample {
        self.image_with(salt, CREATED, &[])
    }

    /// As [`Scene::image`], made at a time of one's choice and with labels.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn image_with(&self, salt: &str, created: &str, labels: &[(&str, &str)]) -> Sample {
        let layout = Layout::create(&self.path(&format!("layout-{salt}"))).expect("a layout");
        let entry = |path, content| tar_of(&[Entry { path, mode: 0o644, content }]).expect("a tar");
        let layer = |tar: Vec<u8>| layout.layer(&*tar, Format::Oci, Compression::None).expect("a layer");
        let lower = layer(entry("etc/os-release", b"NAME=scene\n"));
        let upper = layer(entry("etc/salt", salt.as_bytes()));
        let history = json!([
            { "created": created, "created_by": "COPY / / # buildkit", "comment": "buildkit.dockerfile.v0" },
            { "created": created, "created_by": format!("RUN /bin/sh -c echo {salt} > /etc/salt # buildkit") },
            { "created": created, "created_by": "CMD [\"/bin/sh\"]", "empty_layer": true },
        ]);
        let mut extra = Map::from_iter([("created".to_owned(), json!(created)), ("history".to_owned(), history)]);
        if !labels.is_empty() {
            let labels: Map<String, Value> =
                labels.iter().map(|(name, value)| ((*name).into(), json!(value))).collect();
            extra.insert("config".to_owned(), json!({ "Labels": labels }));
        }
        let recipe = Recipe { config_extra: extra, architecture: "amd64".to_owned(), ..Recipe::default() };
        let manifest = layout.image(&[lower.clone(), upper.clone()], &recipe).expect("an image");
        let parsed: Value =
            serde_json::from_slice(&fs::read(layout.path(&manifest.digest)).expect("the manifest")).expect("JSON");
        let id = parsed["config"]["digest"].as_str().expect("a config").to_owned();
        for (digest, name) in [(&id, "id"), (&manifest.digest, "manifest"), (&upper.blob.digest, "upper")] {
            self.call_digest(digest, &format!("{name}-{salt}"));
        }
        self.call_digest(&lower.blob.digest, "lower");
        Sample { layout, manifest, id, lower: lower.blob.digest, upper: upper.blob.digest }
    }

    /// Loads an image under a name.
    pub fn load(&self, salt: &str, name: &str) -> Sample {
        self.load_image(self.image(salt), name)
    }

    /// Loads an image that was made, under a name.
    pub fn load_image(&self, image: Sample, name: &str) -> Sample {
        let archive = image.archive(&[name]);
        self.must(&["load", "-i", &archive.to_string_lossy()]);
        image
    }

    /// Runs `dhow serve` on a folder of its own; its address is called `[REGISTRY]`.
    ///
    /// # Panics
    /// When it does not say where it listens.
    pub fn serve(&self) -> Server {
        let folder = self.path("registry");
        let mut command = self.command(&["serve", "--listen", "127.0.0.1:0", "--root-dir"]);
        let server = Server::start(command.arg(&folder));
        self.call(&server.address, "[REGISTRY]");
        server
    }
}

/// An image whose bytes are known.
#[derive(Debug)]
pub struct Sample {
    /// Where it is.
    pub layout: Layout,
    /// Its manifest.
    pub manifest: Blob,
    /// Its image ID.
    pub id: String,
    /// Digest of its lower layer, the same for every salt.
    pub lower: String,
    /// Digest of its upper layer.
    pub upper: String,
}

impl Sample {
    /// An archive with this image under full names (`docker.io/acme/web:v1`).
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn archive(&self, names: &[&str]) -> PathBuf {
        let mut layout = Layout::open(self.layout.root()).expect("the layout");
        layout.name_images(names.iter().map(|&name| (&self.manifest, name))).expect("names");
        let target = self.layout.root().with_extension("tar");
        layout.archive(&target).expect("an archive");
        target
    }
}

/// A running `dhow serve`; killed when dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    address: String,
    /// The first line it printed.
    pub greeting: String,
    told: Arc<Mutex<String>>,
    listener: JoinHandle<()>,
}

impl Server {
    /// Starts it and waits until it listens.
    ///
    /// # Panics
    /// When it does not say where.
    pub fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("start dhow serve");
        let (told, stderr) = (Arc::new(Mutex::new(String::new())), child.stderr.take().expect("its errors"));
        let heard = Arc::clone(&told);
        let listener = thread::spawn(move || {
            for line in BufReader::new(stderr).lines() {
                let mut heard = heard.lock().expect("what was heard");
                heard.push_str(&line.expect("text"));
                heard.push('\n');
            }
        });
        let mut greeting = String::new();
        let stdout = child.stdout.take().expect("its output");
        BufReader::new(stdout).read_line(&mut greeting).expect("its first line");
        let address = greeting.trim().rsplit("http://").next().unwrap_or_default().to_owned();
        let server = Self { child, address, greeting, told, listener };
        if server.address.is_empty() {
            panic!("dhow serve does not listen: {}", server.ended().1);
        }
        server
    }

    /// What it said on standard error so far.
    ///
    /// # Panics
    /// When that is no text.
    pub fn told(&self) -> String {
        self.told.lock().expect("text").clone()
    }

    /// `127.0.0.1:<port>/<image>`.
    pub fn name(&self, image: &str) -> String {
        format!("{}/{image}", self.address)
    }

    /// Host and port.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Sends SIGTERM and waits; returns the exit code.
    ///
    /// # Panics
    /// When it cannot be signalled.
    pub fn stop(mut self) -> Option<i32> {
        self.terminate();
        self.child.wait().expect("its end").code()
    }

    /// Sends SIGTERM.
    ///
    /// # Panics
    /// When it cannot be signalled.
    pub fn terminate(&self) {
        signal(&self.child, "TERM");
    }

    /// Waits for its end; returns the exit code, and what it said on standard error.
    ///
    /// # Panics
    /// When it cannot be waited for.
    pub fn ended(mut self) -> (Option<i32>, String) {
        let code = self.child.wait().expect("its end").code();
        while !self.listener.is_finished() {
            thread::sleep(Duration::from_millis(5));
        }
        (code, self.told())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a signal to a child.
///
/// # Panics
/// When there is no `kill`.
pub fn signal(child: &Child, name: &str) {
    let status = Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status();
    assert!(status.expect("kill").success());
}

/// Replaces the value of a JSON member, wherever it stands on a line, that differs from run to run.
pub fn mask(text: &str, member: &str) -> String {
    let start = format!("\"{member}\": \"");
    let lines = text.lines().map(|line| match line.split_once(&start) {
        Some((before, after)) => {
            let rest = after.split_once('"').map_or("", |(_, rest)| rest);
            format!("{before}{start}[...]\"{rest}\n")
        }
        None => format!("{line}\n"),
    });
    lines.collect()
}

/// Whether a folder has anything in it.
pub fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).map_or(true, |mut entries| entries.next().is_none())
}
