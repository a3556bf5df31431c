//! The programs, each with images, a configuration, a folder and registries of its own.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::net::TcpListener;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use dhow_testkit::peers::{self, Podman};
use dhow_testkit::registry::{Access, Effect, Route, Rule, ScriptedRegistry};

use super::boxes;
use super::case::Case;
use super::judge::Said;
use super::names::{Names, without_graph_driver, without_timing};
use super::pictures::{Gallery, State};
use super::shape::split;
use crate::binary;

/// The tool that dhow is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// Docker's client and daemon.
    Docker,
    /// Podman.
    Podman,
}

impl Peer {
    /// The first word of its command lines, which is also the name of the link that dhow is called through.
    pub fn word(self) -> &'static str {
        match self {
            Peer::Docker => "docker",
            Peer::Podman => "podman",
        }
    }

    /// Where its credentials are, below the side's folder.
    fn credentials(self) -> &'static str {
        match self {
            Peer::Docker => "config/config.json",
            Peer::Podman => "run/containers/auth.json",
        }
    }
}

/// Who keeps a side's images.
#[derive(Debug)]
enum Keeper {
    /// A daemon behind this socket; images are removed one by one.
    Daemon(PathBuf),
    /// Podman, whose own way to remove everything is used.
    Podman(Podman),
    /// A folder, which is deleted.
    Store(PathBuf),
}

/// A program called as the peer is, and everything it can see.
#[derive(Debug)]
pub struct Side {
    peer: Peer,
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
    Ok(Side::new(Peer::Docker, peers::find("docker")?, Keeper::Daemon(socket), folder, gallery))
}

/// The real podman, with a store of its own beside its folder.
///
/// # Errors
/// That there is none, or that it cannot open its store.
pub fn podman_side(folder: &Path, gallery: &Gallery) -> io::Result<Side> {
    let podman = Podman::open(&folder.with_extension("store"))?;
    Ok(Side::new(Peer::Podman, peers::find("podman")?, Keeper::Podman(podman), folder, gallery))
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
    /// dhow through a link named as the peer.
    ///
    /// # Panics
    /// When the link cannot be made.
    pub fn dhow(peer: Peer, folder: &Path, gallery: &Gallery) -> Self {
        let bin = folder.with_extension("bin");
        fs::create_dir_all(&bin).expect("a folder");
        let link = bin.join(peer.word());
        std::os::unix::fs::symlink(binary::path(), &link).expect("a link");
        Self::new(peer, link, Keeper::Store(folder.with_extension("store")), folder, gallery)
    }

    fn new(peer: Peer, program: PathBuf, keeper: Keeper, folder: &Path, gallery: &Gallery) -> Self {
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
        if peer == Peer::Podman {
            containers_configuration(folder, registries.iter().map(ScriptedRegistry::authority));
            names.call(folder.with_extension("store").to_string_lossy(), "[STORE]");
        }
        Self { peer, program, keeper, folder: folder.to_owned(), names, _registries: registries, state: None }
    }

    /// Brings the images into a state; nothing happens where it is there already.
    ///
    /// # Panics
    /// When a command to do so fails.
    pub fn enter(&mut self, name: &str, state: &State, gallery: &Gallery) {
        let config = self.folder.join(self.peer.credentials());
        if config.exists() {
            fs::remove_file(&config).expect("the old configuration");
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
                Keeper::Podman(_) => panic!("podman runs nothing here: no state of its cases has containers"),
            };
            self.names.call_again(&id, &format!("box.{}", container.name));
        }
        for line in state.done {
            let words = split(&self.names.filled(line)).expect("words");
            self.must(&words.iter().map(OsString::from).collect::<Vec<_>>());
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
            Keeper::Podman(_) => {
                self.must(&["rmi", "--all", "--force"].map(OsString::from));
            }
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

    /// Writes docker's `config.json` or podman's `auth.json`.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn configure(&self, json: &str) {
        let path = self.folder.join(self.peer.credentials());
        fs::create_dir_all(path.parent().expect("a folder")).expect("the configuration's folder");
        fs::write(path, self.names.filled(json)).expect("the configuration");
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
        let word = self.peer.word();
        assert_eq!(words.remove(0), word, "{}: a case runs {word}", case.place);
        let mut command = self.command();
        if case.terminal {
            let program = std::mem::replace(&mut command, Command::new(peers::find("script").expect("script")));
            let before = program.get_args().map(|argument| argument.to_string_lossy());
            let start: Vec<_> = std::iter::once(self.program.to_string_lossy()).chain(before).collect();
            let typed = line.replacen(word, &start.join(" "), 1);
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
        let text = |bytes: &[u8]| {
            let shown = without_timing(&self.names.shown(bytes));
            if self.peer == Peer::Podman { without_graph_driver(&shown) } else { shown }
        };
        Said { out: text(&output.stdout), err: text(&output.stderr), code, file }
    }

    fn command(&self) -> Command {
        let mut command = match &self.keeper {
            Keeper::Podman(podman) => podman.command(),
            Keeper::Daemon(_) | Keeper::Store(_) => Command::new(&self.program),
        };
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("TZ", "UTC");
        command.env("HOME", self.folder.join("home")).current_dir(&self.folder).stdin(Stdio::null());
        match self.peer {
            Peer::Docker => command.env("DOCKER_CONFIG", self.folder.join("config")),
            Peer::Podman => command
                .env("XDG_RUNTIME_DIR", self.folder.join("run"))
                .env("CONTAINERS_REGISTRIES_CONF", self.folder.join("home/registries.conf"))
                .env("TMPDIR", self.folder.join("home")),
        };
        match &self.keeper {
            Keeper::Daemon(socket) => command.env("DOCKER_HOST", format!("unix://{}", socket.display())),
            Keeper::Store(folder) => command.env("DHOW_ROOT", folder).env("DHOW_SYSROOT", self.folder.join("root")),
            Keeper::Podman(_) => &mut command,
        };
        command
    }
}

/// Podman's registries, all of which are on this machine and speak plain HTTP, and its policy, which lets everything in.
fn containers_configuration(folder: &Path, registries: impl Iterator<Item = String>) {
    let home = folder.join("home/.config/containers");
    fs::create_dir_all(&home).expect("a folder");
    fs::create_dir_all(folder.join("run/containers")).expect("a folder");
    fs::write(home.join("policy.json"), r#"{"default":[{"type":"insecureAcceptAnything"}]}"#).expect("a policy");
    let tables = registries.map(|registry| format!("[[registry]]\nlocation = \"{registry}\"\ninsecure = true\n"));
    let text = "unqualified-search-registries = [\"docker.io\"]\n".to_owned() + &tables.collect::<String>();
    fs::write(folder.join("home/registries.conf"), text).expect("registries.conf");
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
