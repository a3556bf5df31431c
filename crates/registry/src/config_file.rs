//! Docker's `config.json`: where credentials are kept in plain entries.

use std::fmt;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use dhow_base::fs::{self, Durability};
use dhow_base::secret::Secret;
use dhow_base::{Error, Kind, Result, limits};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::credentials::{Credential, CredentialSource};

/// The key under which docker keeps Docker Hub's credential.
pub const HUB_KEY: &str = "https://index.docker.io/v1/";

/// Names that all mean Docker Hub.
const HUB_HOSTS: [&str; 3] = ["docker.io", "index.docker.io", "registry-1.docker.io"];

/// A `config.json`, read whole. Keys that dhow does not know are kept, in their order.
#[derive(Clone)]
pub struct DockerConfig {
    path: PathBuf,
    root: Map<String, Value>,
}

impl DockerConfig {
    /// Reads the file; a missing one is an empty configuration.
    ///
    /// # Errors
    /// [`Kind::Invalid`] when it is not a JSON object, else those of reading it.
    pub fn load(path: &Path) -> Result<Self> {
        let bytes = match fs::read_limited(path, limits::API_BODY_BYTES_MAX) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == Kind::NotFound => b"{}".to_vec(),
            Err(error) => return Err(error),
        };
        Self::parse(path, &bytes)
    }

    /// Takes `bytes` for the content of the file at `path`.
    ///
    /// # Errors
    /// [`Kind::Invalid`] when they are not a JSON object.
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<Self> {
        let text = if bytes.iter().all(u8::is_ascii_whitespace) { b"{}" } else { bytes };
        let root = serde_json::from_slice(text).map_err(|error| {
            // The parser's message may quote the text, which may be a secret: only the place is told.
            let (line, column) = (error.line(), error.column());
            let message = format!("cannot read {path:?}: not a JSON object (line {line}, column {column})");
            Error::new(Kind::Invalid, message).with_hint("repair the file, or move it away and log in again")
        })?;
        Ok(Self { path: path.to_owned(), root })
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The name of the credential helper (`pass` for `docker-credential-pass`) that keeps the credential of `host`.
    pub fn helper(&self, host: &str) -> Option<&str> {
        self.own_helper(host).or_else(|| self.text("credsStore"))
    }

    fn own_helper(&self, host: &str) -> Option<&str> {
        let helpers = self.root.get("credHelpers")?.as_object()?;
        spellings(host).iter().find_map(|key| helpers.get(key)?.as_str()).filter(|name| !name.is_empty())
    }

    fn text(&self, key: &str) -> Option<&str> {
        self.root.get(key)?.as_str().filter(|text| !text.is_empty())
    }

    fn entry(&self, host: &str) -> Option<&Map<String, Value>> {
        let entries = self.root.get("auths")?.as_object()?;
        if let Some(exact) = entries.get(&key(host)) {
            return exact.as_object();
        }
        // Older tools wrote the key with a scheme or a path.
        let wanted = hostnames(host);
        entries.iter().find(|(key, _)| wanted.contains(&hostname(key))).and_then(|(_, entry)| entry.as_object())
    }

    /// The credential for a registry.
    ///
    /// # Errors
    /// [`Kind::Invalid`] when the entry cannot be read, [`Kind::Unsupported`] when a credential helper keeps it.
    pub fn get(&self, host: &str) -> Result<Option<Credential>> {
        let entry = self.entry(host);
        if let Some(credential) = entry.map(|entry| self.decode(host, entry)).transpose()?.flatten() {
            return Ok(Some(credential));
        }
        // With a global helper every login leaves an empty entry here, so no entry means no login.
        let kept_elsewhere = self.own_helper(host).or_else(|| entry.and_then(|_| self.text("credsStore")));
        match kept_elsewhere {
            Some(helper) => Err(self.needs_helper(host, helper)),
            None => Ok(None),
        }
    }

    fn needs_helper(&self, host: &str, helper: &str) -> Error {
        let message = format!(
            "the credential for {host} is kept by docker-credential-{helper} (according to {:?}), which dhow does not use yet",
            self.path
        );
        let hint = "use a configuration without credential helpers: dhow --config DIRECTORY login …";
        Error::new(Kind::Unsupported, message).with_hint(hint)
    }

    fn decode(&self, host: &str, entry: &Map<String, Value>) -> Result<Option<Credential>> {
        let field = |name: &str| entry.get(name).and_then(Value::as_str).unwrap_or_default();
        let token = |name: &str| Some(field(name)).filter(|token| !token.is_empty()).map(Secret::new);
        let (mut username, mut password) = (field("username").to_owned(), Secret::new(field("password")));
        if !field("auth").is_empty() {
            (username, password) = decode_auth(field("auth")).ok_or_else(|| {
                let message = format!("Invalid auth configuration file: the entry of {host} in {:?}", self.path);
                Error::new(Kind::Invalid, message).with_hint(format!("log in again: dhow login {host}"))
            })?;
        }
        let (identity_token, registry_token) = (token("identitytoken"), token("registrytoken"));
        let credential = Credential { username, password, identity_token, registry_token };
        let empty = credential.password.is_empty()
            && credential.identity_token.is_none()
            && credential.registry_token.is_none();
        Ok((!empty).then_some(credential))
    }

    /// Keeps a credential, and writes the file.
    ///
    /// # Errors
    /// [`Kind::Unsupported`] when the configuration names a credential helper for the registry, else those of writing.
    pub fn store(&mut self, host: &str, credential: &Credential) -> Result<()> {
        if let Some(helper) = self.helper(host) {
            return Err(self.needs_helper(host, helper));
        }
        let mut entry = Map::new();
        if !credential.username.is_empty() || !credential.password.is_empty() {
            entry.insert("auth".into(), json!(credential.basic().expose()));
        }
        for (name, token) in
            [("identitytoken", &credential.identity_token), ("registrytoken", &credential.registry_token)]
        {
            if let Some(token) = token {
                entry.insert(name.into(), json!(token.expose()));
            }
        }
        self.entries_mut()?.insert(key(host), Value::Object(entry));
        self.write()
    }

    /// Forgets the credential of a registry under every spelling of its key, and writes the file if one was there.
    ///
    /// # Errors
    /// [`Kind::Unsupported`] when a credential helper keeps it, else those of writing.
    pub fn erase(&mut self, host: &str) -> Result<bool> {
        let helper = self.helper(host).filter(|_| self.own_helper(host).is_some() || self.entry(host).is_some());
        if let Some(helper) = helper {
            return Err(self.needs_helper(host, helper));
        }
        if !self.root.contains_key("auths") {
            return Ok(false);
        }
        let entries = self.entries_mut()?;
        let removed = spellings(host).iter().filter(|key| entries.shift_remove(*key).is_some()).count();
        if removed > 0 {
            self.write()?;
        }
        Ok(removed > 0)
    }

    fn entries_mut(&mut self) -> Result<&mut Map<String, Value>> {
        let path = &self.path;
        let entries = self.root.entry("auths").or_insert_with(|| json!({}));
        entries
            .as_object_mut()
            .ok_or_else(|| Error::new(Kind::Invalid, format!("{path:?}: \"auths\" is not an object")))
    }

    fn write(&self) -> Result<()> {
        let mut bytes = Vec::new();
        let indent = serde_json::ser::PrettyFormatter::with_indent(b"\t");
        let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, indent);
        self.root.serialize(&mut serializer).map_err(|error| {
            Error::new(Kind::Internal, format!("cannot write {:?}: {error}", self.path)).with_source(error)
        })?;
        // Through links, so that a file kept elsewhere (in a repository of settings) is changed there.
        let target = std::fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        if let Some(directory) = target.parent().filter(|directory| !directory.as_os_str().is_empty()) {
            fs::create_dir_all(directory)?;
        }
        fs::write_atomic(&target, &bytes, 0o600, Durability::Durable)
    }
}

impl fmt::Debug for DockerConfig {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("DockerConfig").field("path", &self.path).finish_non_exhaustive()
    }
}

impl CredentialSource for DockerConfig {
    fn get(&self, host: &str) -> Result<Option<Credential>> {
        DockerConfig::get(self, host)
    }
}

/// The key under which a registry's credential is stored.
pub fn key(host: &str) -> String {
    let name = hostname(host);
    if HUB_HOSTS.contains(&name) { HUB_KEY.to_owned() } else { name.to_owned() }
}

/// The name that references have for the registry which a key of `config.json` stands for.
pub fn domain(key: &str) -> String {
    let name = hostname(key);
    if HUB_HOSTS.contains(&name) { HUB_HOSTS[0].to_owned() } else { name.to_owned() }
}

/// A key without scheme and path, as docker compares keys.
fn hostname(key: &str) -> &str {
    let name = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
    name.split('/').next().unwrap_or(name)
}

fn hostnames(host: &str) -> Vec<&str> {
    let name = hostname(host);
    if HUB_HOSTS.contains(&name) { HUB_HOSTS.to_vec() } else { vec![name] }
}

/// Every key that may name a registry: the one dhow writes, the bare host, and the host behind either scheme.
fn spellings(host: &str) -> Vec<String> {
    let mut keys = vec![key(host), host.to_owned()];
    for name in hostnames(host) {
        keys.extend([name.to_owned(), format!("http://{name}"), format!("https://{name}")]);
    }
    let mut seen = std::collections::HashSet::new();
    keys.retain(|key| seen.insert(key.clone()));
    keys
}

/// `base64(user:password)`; docker ends passwords at a NUL that old versions wrote.
fn decode_auth(auth: &str) -> Option<(String, Secret)> {
    let text = String::from_utf8(STANDARD.decode(auth).ok()?).ok()?;
    let (username, password) = text.split_once(':')?;
    Some((username.to_owned(), Secret::new(password.trim_matches('\0'))))
}

#[cfg(test)]
#[path = "config_file_tests.rs"]
mod tests;
