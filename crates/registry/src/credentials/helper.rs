//! Credential helpers: the programs `docker-credential-<name>` that keep credentials in a system's keychain.
//!
//! The protocol is that of docker-credential-helpers: the action is the argument, the rest goes through standard input
//! and output; a failure's message is on standard output.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use dhow_base::secret::Secret;
use dhow_base::{Error, Kind, Result};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::Credential;
use super::process::{self, End};

/// How long a helper may take. It may wait for a person who unlocks the keychain.
const PATIENCE: Duration = Duration::from_secs(120);

/// Longest part of a helper's message that is passed on, in characters.
const MESSAGE_CHARS_MAX: usize = 1000;

/// Longest name of a helper.
const NAME_BYTES_MAX: usize = 128;

/// What helpers say when they have nothing.
const NOT_FOUND: &str = "credentials not found in native keychain";

/// The user name that marks a secret as a refresh token.
const TOKEN_USERNAME: &str = "<token>";

/// The helpers that are installed.
#[derive(Clone, Debug)]
pub struct Helpers {
    search: OsString,
    patience: Duration,
}

/// What is exchanged with a helper about one server.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Message {
    #[serde(rename = "ServerURL", default)]
    server_url: String,
    #[serde(default)]
    username: String,
    #[serde(default)]
    secret: String,
}

/// What a helper can be told to do, with docker's words for its failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Get,
    Store,
    Erase,
    List,
}

impl Action {
    fn argument(self) -> &'static str {
        match self {
            Action::Get => "get",
            Action::Store => "store",
            Action::Erase => "erase",
            Action::List => "list",
        }
    }

    fn words(self) -> &'static str {
        match self {
            Action::Get => "error getting credentials",
            Action::Store => "error storing credentials",
            Action::Erase => "error erasing credentials",
            Action::List => "error listing credentials",
        }
    }
}

impl Helpers {
    /// Looks for helpers in the folders of `search`, which has the form of the variable `PATH`.
    pub fn new(search: impl Into<OsString>) -> Self {
        Self { search: search.into(), patience: PATIENCE }
    }

    /// Whether a helper is there.
    pub fn has(&self, name: &str) -> bool {
        is_name(name) && self.find(&program(name)).is_some()
    }

    /// The full path of a program. Relative folders of the search path are passed over, as in Go: what lies in the current
    /// folder may be anybody's.
    pub(super) fn find(&self, program: &str) -> Option<PathBuf> {
        let folders = std::env::split_paths(&self.search).filter(|folder| folder.is_absolute());
        folders.map(|folder| folder.join(program)).find(|candidate| {
            candidate.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
        })
    }

    /// Asks a helper for the credential of a server.
    ///
    /// # Errors
    /// [`Kind::Invalid`] for names that are not those of helpers and servers; [`Kind::Unsupported`] when the helper is not
    /// installed; [`Kind::Io`] when it fails, in docker's words.
    pub fn get(&self, name: &str, server: &str) -> Result<Option<Credential>> {
        let input = server_line(name, server)?;
        let Some(output) = self.run(name, Action::Get, input, None)? else { return Ok(None) };
        let answer: Message = parse(name, Action::Get, &output)?;
        let secret = Secret::new(answer.secret);
        let credential = match answer.username.as_str() {
            TOKEN_USERNAME => Credential::identity_token("", secret),
            _ => Credential::password(answer.username, secret),
        };
        let has_any =
            !credential.password.is_empty() || credential.identity_token.iter().any(|token| !token.is_empty());
        Ok(has_any.then_some(credential))
    }

    /// Has a helper keep the credential of a server.
    ///
    /// # Errors
    /// As [`Helpers::get`].
    pub fn store(&self, name: &str, server: &str, credential: &Credential) -> Result<()> {
        server_line(name, server)?;
        let (username, secret) = match &credential.identity_token {
            Some(token) => (TOKEN_USERNAME, token),
            None => (credential.username.as_str(), &credential.password),
        };
        let message = Message {
            server_url: server.to_owned(),
            username: username.to_owned(),
            secret: secret.expose().to_owned(),
        };
        let input = serde_json::to_vec(&message)
            .map_err(|error| Error::new(Kind::Internal, format!("cannot form a message to {name}: {error}")))?;
        self.run(name, Action::Store, input, Some(secret)).map(drop)
    }

    /// Has a helper forget the credential of a server; that it has none is no error.
    ///
    /// # Errors
    /// As [`Helpers::get`].
    pub fn erase(&self, name: &str, server: &str) -> Result<()> {
        let input = server_line(name, server)?;
        self.run(name, Action::Erase, input, None).map(drop)
    }

    /// The servers that a helper has credentials for, each with its user.
    ///
    /// # Errors
    /// As [`Helpers::get`].
    pub fn list(&self, name: &str) -> Result<BTreeMap<String, String>> {
        match self.run(name, Action::List, Vec::new(), None)? {
            Some(output) => parse(name, Action::List, &output),
            None => Ok(BTreeMap::new()),
        }
    }

    /// What the helper answered; `None` when it has no such credential.
    fn run(&self, name: &str, action: Action, input: Vec<u8>, secret: Option<&Secret>) -> Result<Option<Vec<u8>>> {
        let program = program(name);
        if !is_name(name) {
            let message = format!("{name:?} is not the name of a credential helper: a path is never run");
            return Err(Error::new(Kind::Invalid, message).with_hint("correct it in the configuration"));
        }
        let failed =
            |kind, why: &str, said: &str| Error::new(kind, format!("{} - err: {why}, out: `{said}`", action.words()));
        let Some(path) = self.find(&program) else {
            let why = format!("exec: \"{program}\": executable file not found in $PATH");
            let hint = format!("install {program}, or remove {name:?} from the configuration");
            return Err(failed(Kind::Unsupported, &why, "").with_hint(hint));
        };
        tracing::debug!(program, action = action.argument(), "running a credential helper");
        let end = process::run(&path, action.argument(), input, self.patience);
        match end.map_err(|error| cannot_run(&program, error))? {
            End::TimedOut => {
                Err(failed(Kind::Io, &format!("{program} did not end within {} seconds", self.patience.as_secs()), ""))
            }
            End::Endless => Err(failed(Kind::Io, &format!("{program} says more than credentials can be"), "")),
            End::Exited { status, stdout, .. } if status.success() => Ok(Some(stdout)),
            End::Exited { stdout, stderr, .. } if says_not_found(&stdout) || says_not_found(&stderr) => Ok(None),
            End::Exited { status, stdout, stderr } => {
                let why = status.to_string().replace("exit status: ", "exit status ");
                let said = [&stdout, &stderr].map(|said| printable(said, secret));
                let said: Vec<&str> = said.iter().map(String::as_str).filter(|said| !said.is_empty()).collect();
                Err(failed(Kind::Io, &why, &said.join("; ")))
            }
        }
    }
}

fn program(name: &str) -> String {
    format!("docker-credential-{name}")
}

/// Whether a name can only be that of a program on the search path: no separators, nothing hidden.
fn is_name(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    name.len() <= NAME_BYTES_MAX
        && name.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric())
        && name.bytes().all(is_plain)
}

/// The server as a helper reads it. A line break in it would be the start of something else to some helpers, as it was to
/// git's (CVE-2020-5260, CVE-2024-50349).
fn server_line(name: &str, server: &str) -> Result<Vec<u8>> {
    let is_odd = |character: char| character.is_control() || character.is_whitespace();
    if server.is_empty() || server.starts_with('-') || server.contains(is_odd) {
        let message = format!("docker-credential-{name} cannot be asked about {server:?}: that is no registry");
        return Err(Error::new(Kind::Invalid, message));
    }
    Ok(server.as_bytes().to_vec())
}

fn parse<T: DeserializeOwned>(name: &str, action: Action, output: &[u8]) -> Result<T> {
    serde_json::from_slice(output).map_err(|error| {
        // The output may be a secret, and so may what the parser quotes of it.
        let place = format!("line {}, column {}", error.line(), error.column());
        let message =
            format!("{}: {} answered with what is not the JSON expected ({place})", action.words(), program(name));
        Error::new(Kind::Io, message)
    })
}

fn cannot_run(program: &str, error: io::Error) -> Error {
    Error::new(Kind::Io, format!("cannot run {program}: {error}")).with_source(error)
}

fn says_not_found(said: &[u8]) -> bool {
    String::from_utf8_lossy(said).contains(NOT_FOUND)
}

/// What a helper said, as far as it may be shown: without what was given to it in confidence, on one line.
fn printable(said: &[u8], secret: Option<&Secret>) -> String {
    let text = String::from_utf8_lossy(said);
    // A helper that fails after it has begun to answer.
    if text.contains("\"Secret\"") {
        return "[not shown: it may contain a secret]".to_owned();
    }
    let text = match secret.filter(|secret| !secret.is_empty()) {
        Some(secret) => text.replace(secret.expose(), "[secret]"),
        None => text.into_owned(),
    };
    let line: String = text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    line.chars().take(MESSAGE_CHARS_MAX).collect()
}

#[cfg(test)]
#[path = "helper_tests.rs"]
mod tests;
