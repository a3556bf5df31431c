//! dhow before one of the registries that people use, scripted, under its real name; and what must be said nowhere.

#![allow(clippy::disallowed_methods, reason = "test files are scratch files")]

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use dhow_testkit::proxy::Proxy;
use dhow_testkit::registry::known::{Known, Recipe};
use dhow_testkit::registry::{ScriptedRegistry, base64};

use crate::scene::{Sample, Scene, Transcript};

/// A scene whose network leads to one registry and nowhere else. Everything is run at the most talkative log level, and all
/// that was said is kept.
#[derive(Debug)]
pub struct Stage {
    /// Home, store and configuration.
    pub scene: Scene,
    /// The registry.
    pub known: Known,
    environment: Vec<(&'static str, String)>,
    said: Mutex<String>,
}

impl Stage {
    /// Starts a registry and makes a scene.
    ///
    /// # Panics
    /// When either cannot be made.
    pub fn new(recipe: Recipe) -> Self {
        let (scene, known) = (Scene::new(), Known::start(recipe));
        let environment = known.environment(&scene.path("home")).expect("the authority's file");
        Self { scene, known, environment, said: Mutex::default() }
    }

    /// `dhow` with arguments, its log in full.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.scene.command(&[&["--log-level", "trace"], arguments].concat());
        command.envs(self.environment.iter().map(|(name, value)| (*name, value)));
        command
    }

    /// Runs `dhow`.
    pub fn run(&self, arguments: &[&str]) -> Transcript {
        self.fed(arguments, b"")
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
        let output = child.wait_with_output().expect("its output");
        let text = [output.stdout.as_slice(), &output.stderr].concat();
        self.said.lock().unwrap_or_else(PoisonError::into_inner).push_str(&String::from_utf8_lossy(&text));
        self.scene.transcript(&output)
    }

    /// Runs `dhow`, which must succeed, and returns its standard output.
    ///
    /// # Panics
    /// When it fails.
    #[track_caller]
    pub fn must(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert_eq!(output.code, 0, "{arguments:?} at {}: {output}", self.known.recipe.name);
        output.stdout
    }

    /// Runs `dhow`, which must fail, and returns what it said without its log.
    ///
    /// # Panics
    /// When it succeeds.
    #[track_caller]
    pub fn refused(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert_ne!(output.code, 0, "{arguments:?} at {}: {output}", self.known.recipe.name);
        without_log(&output.stderr)
    }

    /// Logs in as the registry's account.
    ///
    /// # Panics
    /// When the registry does not take it.
    #[track_caller]
    pub fn log_in(&self) -> Transcript {
        let Recipe { domain, account: (user, password), name, .. } = &self.known.recipe;
        let output = self.fed(&["login", "--username", user, "--password-stdin", domain], password.as_bytes());
        assert_eq!(output.code, 0, "{name}: {output}");
        output
    }

    /// Puts an image into the registry, past its API.
    pub fn publish(&self, tag: &str, image: &Sample) {
        publish(&self.known.registry, self.known.recipe.repository, tag, image);
    }

    /// Gives another registry the image `v1`'s blobs as well.
    ///
    /// # Panics
    /// When the registry has no such image.
    pub fn publish_at(&self, other: &ScriptedRegistry) {
        let (registry, repository) = (&self.known.registry, self.known.recipe.repository);
        let (_, bytes) = registry.manifest(repository, "v1").expect("an image");
        let manifest: serde_json::Value = serde_json::from_slice(&bytes).expect("JSON");
        let layers = manifest["layers"].as_array().into_iter().flatten();
        for descriptor in layers.chain([&manifest["config"]]) {
            let digest = descriptor["digest"].as_str().expect("a digest");
            other.put_blob(repository, &registry.blob(repository, digest).expect("a blob"));
        }
    }

    /// The full name of a tag.
    pub fn name(&self, tag: &str) -> String {
        self.known.reference(tag)
    }

    /// Leads another name to another registry.
    pub fn lead(&self, host: &str, registry: &ScriptedRegistry) {
        lead(&self.known.proxy, host, registry);
    }

    /// Asserts that nothing that was said so far, nor anything in the store, has a secret.
    ///
    /// # Panics
    /// When it has one.
    #[track_caller]
    pub fn assert_no_secret_was_told(&self) {
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(said.contains("TRACE") || said.contains("DEBUG"), "the log was not on");
        for secret in secrets(&self.known.recipe) {
            let line = said.lines().find(|line| line.contains(&secret));
            assert_eq!(line, None, "{}: {secret} was told", self.known.recipe.name);
            for file in files(&self.scene.path("store")) {
                let bytes = std::fs::read(&file).unwrap_or_default();
                let has = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
                assert!(!has, "{}: {secret} is in {}", self.known.recipe.name, file.display());
            }
        }
    }

    /// Asserts that a registry got no secret: not in headers, not in an address.
    ///
    /// # Panics
    /// When it got one.
    #[track_caller]
    pub fn assert_knows_nothing(&self, other: &ScriptedRegistry) {
        for request in other.requests() {
            let all = format!("{request:?}");
            for secret in secrets(&self.known.recipe) {
                assert!(!all.contains(&secret), "{secret} came to another host: {all}");
            }
            assert_eq!(request.header("authorization"), None, "{all}");
        }
    }
}

/// Secrets of a registry as they may stand in a text: plain, and as HTTP Basic has them.
fn secrets(recipe: &Recipe) -> Vec<String> {
    let (user, password) = recipe.account;
    let plain = recipe.secrets().into_iter().map(str::to_owned);
    plain.chain([base64(format!("{user}:{password}").as_bytes())]).collect()
}

fn lead(proxy: &Proxy, host: &str, registry: &ScriptedRegistry) {
    proxy.route(&format!("{host}:443"), registry.address());
}

/// Puts an image into a registry, past its API.
///
/// # Panics
/// When its files cannot be read.
pub fn publish(registry: &ScriptedRegistry, repository: &str, tag: &str, image: &Sample) {
    let read = |digest: &str| std::fs::read(image.layout.path(digest)).expect("a blob");
    for digest in [&image.id, &image.lower, &image.upper] {
        registry.put_blob(repository, &read(digest));
    }
    registry.put_manifest(repository, tag, &image.manifest.media_type, &read(&image.manifest.digest));
}

/// What a program said on standard error besides its log, whose lines begin with a time.
pub fn without_log(text: &str) -> String {
    let is_log = |line: &&str| {
        let head: String = line.chars().take(5).collect();
        let levels = [" TRACE ", " DEBUG ", " INFO ", " WARN ", " ERROR ", "TRACE", "DEBUG"];
        levels.iter().any(|level| line.contains(level)) || head.starts_with("\u{1b}[")
    };
    text.lines().filter(|line| !is_log(line)).map(|line| format!("{line}\n")).collect()
}

/// All files below a folder.
fn files(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() && !path.is_symlink() {
            found.extend(files(&path));
        } else if path.is_file() {
            found.push(path);
        }
    }
    found
}
