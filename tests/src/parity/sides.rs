//! The two programs, each with images, a configuration, a folder and registries of its own.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::net::TcpListener;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use dhow_testkit::peers;
use dhow_testkit::registry::{Access, Effect, Route, Rule, ScriptedRegistry};

use super::boxes;
use super::case::Case;
use super::judge::Said;
use super::names::{Names, without_timing};
use super::pictures::{Gallery, State};
use super::shape::split;
use crate::binary;

/// Who keeps a side's images.
#[derive(Debug)]
enum Keeper {
    /// A daemon behind this socket; images are removed one by one.
    Daemon(PathBuf),
    /// A folder, which is deleted.
    Store(PathBuf),
}

/// A program called `docker`, and everything it can see.
#[derive(Debug)]
pub struct Side {
    program: PathBuf,
    keeper: Keeper,
    folder: PathBuf,
    names: Names,
    // Kept for as long as the side runs.
    _registries: Vec<ScriptedRegistry>,
    state: Option<String>,
}

/// The real docker, speaking to the daemon behind a socket.
///
/// # Errors
/// That there is no client.
pub fn docker_side(socket: PathBuf, folder: &Path, gallery: &Gallery) -> io::Result<Side> {
    Ok(Side::new(peers::find("docker")?, Keeper::Daemon(socket), folder, gallery))
}

/// The version of the docker client: what `docker --version` says between `version ` and the comma.
///
/// # Errors
/// That there is no client.
pub fn client_version() -> io::Result<String> {
    let said = peers::stdout_of(Command::new(peers::find("docker")?).arg("--version"))?;
    let version = said.split("version ").nth(1).unwrap_or(&said).split([',', ' ']).next();
    Ok(version.unwrap_or_default().to_owned())
}

impl Side {
    /// dhow through a link named `docker`.
    ///
    /// # Panics
    /// When the link cannot be made.
    pub fn dhow(folder: &Path, gallery: &Gallery) -> Self {
        let bin = folder.with_extension("bin");
        fs::create_dir_all(&bin).expect("a folder");
        let link = bin.join("docker");
        std::os::unix::fs::symlink(binary::path(), &link).expect("a link");
        Self::new(link, Keeper::Store(folder.with_extension("store")), folder, gallery)
    }

    fn new(program: PathBuf, keeper: Keeper, folder: &Path, gallery: &Gallery) -> Self {
        let mut names = Names::default();
        gallery.name(&mut names);
        names.call(folder.to_string_lossy(), "[FOLDER]");
        let open = ScriptedRegistry::start();
        gallery.publish(&open);
        let locked = ScriptedRegistry::start();
        gallery.publish(&locked);
        locked.set_access(Access::basic("bob", "secret"));
        let broken = ScriptedRegistry::start();
        broken.script(Rule::on(Route::Manifest).path("/busy/").effect(Effect::error(
            429,
            "TOOMANYREQUESTS",
            "You have reached your pull rate limit.",
        )));
        broken.script(Rule::on(Route::Manifest).path("/denied/").effect(Effect::error(
            403,
            "DENIED",
            "requested access to the resource is denied",
        )));
        broken.script(Rule::on(Route::Manifest).path("/html/").effect(Effect::Answer {
            status: 404,
            headers: Vec::new(),
            body: b"<html>no</html>".to_vec(),
        }));
        broken.script(Rule::on(Route::Manifest).path("/sick/").effect(Effect::status(503)));
        for (registry, name) in [(&open, "[REGISTRY]"), (&locked, "[LOCKED]"), (&broken, "[BROKEN]")] {
            names.call(registry.authority(), name);
        }
        names.call(nobody_s_address(), "[NOWHERE]");
        fs::create_dir_all(folder.join("home")).expect("a home");
        for fixture in gallery.fixtures(folder) {
            assert!(fixture.exists(), "{fixture:?}");
        }
        let registries = vec![open, locked, broken];
        Self { program, keeper, folder: folder.to_owned(), names, _registries: registries, state: None }
    }

    /// Brings the images into a state; nothing happens where it is there already.
    ///
    /// # Panics
    /// When a command to do so fails.
    pub fn enter(&mut self, name: &str, state: &State, gallery: &Gallery) {
        let config = self.folder.join("config");
        if config.exists() {
            fs::remove_dir_all(&config).expect("the old configuration");
        }
        if self.state.as_deref() == Some(name) {
            return;
        }
        self.clear();
        if !state.loaded.is_empty() {
            let archive = self.folder.with_extension("tar");
            gallery.archive(&archive, state.loaded);
            self.must(&["load".into(), "-i".into(), archive.into()]);
        }
        for image in state.pulled {
            self.must(&["pull".into(), self.names.filled(image).into()]);
        }
        for container in state.containers {
            let id = match &self.keeper {
                Keeper::Daemon(_) => boxes::make(&mut self.command(), container),
                Keeper::Store(folder) => boxes::record(folder, container),
            };
            self.names.call_again(&id, &format!("box.{}", container.name));
        }
        self.state = Some(name.to_owned());
    }

    /// Says that the images are not in the state any more that they were brought into.
    pub fn leave(&mut self) {
        self.state = None;
    }

    fn clear(&self) {
        match &self.keeper {
            Keeper::Store(folder) if folder.exists() => fs::remove_dir_all(folder).expect("the old store"),
            Keeper::Store(_) => {}
            Keeper::Daemon(_) => {
                for (list, remove) in [
                    (&["ps", "-aq"][..], &["rm", "-f", "-v"][..]),
                    (&["volume", "ls", "-q"], &["volume", "rm"]),
                    (&["images", "-aq"], &["rmi", "-f"]),
                ] {
                    let ids = self.must(&list.iter().map(OsString::from).collect::<Vec<_>>());
                    let mut ids: Vec<&str> = ids.lines().collect();
                    ids.sort_unstable();
                    ids.dedup();
                    if !ids.is_empty() {
                        self.must(&remove.iter().copied().chain(ids).map(OsString::from).collect::<Vec<_>>());
                    }
                }
            }
        }
    }

    /// Writes the client's `config.json`.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn configure(&self, json: &str) {
        fs::create_dir_all(self.folder.join("config")).expect("the configuration's folder");
        fs::write(self.folder.join("config/config.json"), self.names.filled(json)).expect("the configuration");
    }

    /// Runs a command line that must succeed.
    ///
    /// # Panics
    /// When it fails.
    pub fn prepare(&self, line: &str) {
        let words = split(&self.names.filled(line)).expect("words");
        self.must(&words[1..].iter().map(OsString::from).collect::<Vec<_>>());
    }

    fn must(&self, arguments: &[OsString]) -> String {
        peers::stdout_of(self.command().args(arguments)).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Runs the command line of a case.
    ///
    /// # Panics
    /// When it cannot be started, or its line cannot be understood.
    pub fn run(&self, case: &Case) -> Said {
        let line = self.names.filled(&case.line);
        let mut words = split(&line).unwrap_or_else(|problem| panic!("{}: {problem}", case.place));
        assert_eq!(words.remove(0), "docker", "{}: a case runs docker", case.place);
        let mut command = self.command();
        if case.terminal {
            let program = std::mem::replace(&mut command, Command::new(peers::find("script").expect("script")));
            let typed = line.replacen("docker", &self.program.to_string_lossy(), 1);
            command.args(["-qec", &format!("stty cols 80; {typed}"), "/dev/null"]);
            command.env_clear().envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
            command.env("TERM", "xterm").env("SHELL", "/bin/sh").current_dir(&self.folder);
        } else {
            command.args(words);
        }
        let output = fed(&mut command, case.input.as_bytes());
        let code = output.status.code().or_else(|| output.status.signal().map(|signal| 128 + signal)).unwrap_or(-1);
        let file = case.file.as_ref().map(|name| match fs::read(self.folder.join(name)) {
            Ok(bytes) => self.names.shown(&bytes),
            Err(error) => error.kind().to_string(),
        });
        let text = |bytes: &[u8]| without_timing(&self.names.shown(bytes));
        Said { out: text(&output.stdout), err: text(&output.stderr), code, file }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.env_clear().env("PATH", "/usr/bin:/bin").env("TZ", "UTC").env("HOME", self.folder.join("home"));
        command.env("DOCKER_CONFIG", self.folder.join("config")).current_dir(&self.folder).stdin(Stdio::null());
        match &self.keeper {
            Keeper::Daemon(socket) => command.env("DOCKER_HOST", format!("unix://{}", socket.display())),
            Keeper::Store(folder) => command.env("DHOW_ROOT", folder).env("DHOW_SYSROOT", self.folder.join("root")),
        };
        command
    }
}

fn fed(command: &mut Command, input: &[u8]) -> Output {
    if input.is_empty() {
        return command.output().expect("start the program");
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("start the program");
    // A program that does not read its input may be gone already.
    let _ = child.stdin.take().expect("its input").write_all(input);
    child.wait_with_output().expect("its output")
}

/// A loopback address where nobody listens.
fn nobody_s_address() -> String {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port").to_string()
}
