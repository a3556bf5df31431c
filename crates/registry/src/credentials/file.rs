//! Files of credentials: docker's `config.json`, and podman's `auth.json`, which has the same form.

use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use dhow_base::fs::{self, Durability, FileLock, LockMode};
use dhow_base::secret::Secret;
use dhow_base::{Error, Kind, Result, limits};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::Credential;
use super::keys::{self, Dialect};

/// Prefix of the headers in `HttpHeaders` that are meant for registries; the others are for docker's daemon, which passes
/// only these on.
const REGISTRY_HEADERS: &str = "x-meta-";

/// How long another login may take to write the file.
const LOCK_PATIENCE: Duration = Duration::from_secs(10);

/// A file of credentials, read whole. Keys that dhow does not know are kept, in their order.
#[derive(Clone)]
pub struct AuthFile {
    path: PathBuf,
    dialect: Dialect,
    root: Map<String, Value>,
}

impl AuthFile {
    /// Reads the file; a missing one is an empty configuration.
    ///
    /// # Errors
    /// [`Kind::Invalid`] when it is not a JSON object, else those of reading it.
    pub fn load(path: &Path, dialect: Dialect) -> Result<Self> {
        let bytes = match fs::read_limited(path, limits::API_BODY_BYTES_MAX) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == Kind::NotFound => b"{}".to_vec(),
            Err(error) => return Err(error),
        };
        Self::parse(path, dialect, &bytes)
    }

    /// Takes `bytes` for the content of the file at `path`.
    ///
    /// # Errors
    /// [`Kind::Invalid`] when they are not a JSON object.
    pub fn parse(path: &Path, dialect: Dialect, bytes: &[u8]) -> Result<Self> {
        let text = if bytes.iter().all(u8::is_ascii_whitespace) { b"{}" } else { bytes };
        let root = serde_json::from_slice(text).map_err(|error| {
            // The parser's message may quote the text, which may be a secret: only the place is told.
            let (line, column) = (error.line(), error.column());
            let message = format!("cannot read {path:?}: not a JSON object (line {line}, column {column})");
            Error::new(Kind::Invalid, message).with_hint("repair the file, or move it away and log in again")
        })?;
        Ok(Self { path: path.to_owned(), dialect, root })
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whose habits it follows.
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// The name of the credential helper (`pass` for `docker-credential-pass`) that `credHelpers` names for a registry:
    /// under its own name, else by the longest pattern that fits.
    pub fn helper(&self, domain: &str) -> Option<&str> {
        let helpers = self.root.get("credHelpers")?.as_object()?;
        let named = |key: &str| helpers.get(key)?.as_str().filter(|name| !name.is_empty());
        let exact = keys::spellings(domain).iter().find_map(|key| named(key));
        exact.or_else(|| {
            let fitting = helpers.keys().filter(|key| key.contains('*') && keys::matches(key, domain));
            fitting.max_by_key(|key| (key.len(), *key)).and_then(|key| named(key))
        })
    }

    /// The name of the credential helper that `credsStore` names for all other registries.
    pub fn default_helper(&self) -> Option<&str> {
        self.text("credsStore")
    }

    /// The text of a setting; an empty one is as good as none.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.root.get(key)?.as_str().filter(|text| !text.is_empty())
    }

    /// `pruneFilters`: filters (`label=keep`, `until=24h`) that every prune has on top of its own.
    pub fn prune_filters(&self) -> Vec<String> {
        let filters = self.root.get("pruneFilters").and_then(Value::as_array);
        filters.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    }

    /// `proxies`: what containers are told of proxies, each variable in upper and in lower case. What is said of one engine
    /// (by its address) is passed over: there is none here, so that `default` counts.
    pub fn container_proxies(&self) -> Vec<(String, String)> {
        // The names of the variables and of the settings are docker's (docs.docker.com, "Use a proxy server with the Docker CLI").
        const SETTINGS: [(&str, &str); 5] = [
            ("HTTP_PROXY", "httpProxy"),
            ("HTTPS_PROXY", "httpsProxy"),
            ("NO_PROXY", "noProxy"),
            ("FTP_PROXY", "ftpProxy"),
            ("ALL_PROXY", "allProxy"),
        ];
        let Some(default) = self.root.get("proxies").and_then(|proxies| proxies.get("default")) else {
            return Vec::new();
        };
        let said = |key: &str| default.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
        let set = SETTINGS.iter().filter_map(|(name, key)| Some((*name, said(key)?)));
        set.flat_map(|(name, value)| [name.to_owned(), name.to_ascii_lowercase()].map(|name| (name, value.to_owned())))
            .collect()
    }

    /// The registries that `credHelpers` names without a pattern, each with its helper.
    pub(super) fn helpers(&self) -> Vec<(String, String)> {
        let helpers = self.root.get("credHelpers").and_then(Value::as_object);
        let named = helpers.into_iter().flatten().filter(|(key, _)| !key.contains('*'));
        named.filter_map(|(key, name)| Some((key.clone(), name.as_str()?.to_owned()))).collect()
    }

    /// Whether nothing was configured yet about where credentials are kept.
    pub(super) fn is_blank(&self) -> bool {
        let has_any = |name: &str| self.root.get(name).and_then(Value::as_object).is_some_and(|keys| !keys.is_empty());
        self.default_helper().is_none() && !has_any("credHelpers") && !has_any("auths")
    }

    /// Makes a credential helper the default for all registries.
    pub(super) fn set_default_helper(&mut self, name: &str) {
        self.root.insert("credsStore".to_owned(), json!(name));
    }

    /// The headers that are sent along to registries.
    pub(super) fn registry_headers(&self) -> Vec<(String, String)> {
        let headers = self.root.get("HttpHeaders").and_then(Value::as_object).into_iter().flatten();
        headers
            .filter(|(name, _)| name.to_ascii_lowercase().starts_with(REGISTRY_HEADERS))
            .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
            .collect()
    }

    fn entries(&self) -> Option<&Map<String, Value>> {
        self.root.get("auths")?.as_object()
    }

    /// The keys of all entries, those of helpers included.
    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        self.entries().into_iter().flatten().map(|(key, _)| key.as_str())
    }

    fn entry(&self, account: &str) -> Option<&Map<String, Value>> {
        let entries = self.entries()?;
        let of_registry = (!account.contains('/')).then(|| self.dialect.key(account));
        let exact = of_registry.and_then(|key| entries.get(&key)).or_else(|| entries.get(account));
        // Older tools wrote the key with a scheme or a path.
        let other = || entries.iter().find(|(key, _)| keys::subject(key) == account).map(|(_, entry)| entry);
        exact.or_else(other)?.as_object()
    }

    /// Whether there is an entry, perhaps an empty one, for exactly this registry or namespace.
    pub(super) fn has(&self, account: &str) -> bool {
        self.entry(account).is_some()
    }

    /// The credential that stands in the file for exactly this registry or namespace.
    ///
    /// # Errors
    /// [`Kind::Invalid`] when the entry cannot be read.
    pub fn get(&self, account: &str) -> Result<Option<Credential>> {
        let Some(entry) = self.entry(account) else { return Ok(None) };
        let field = |name: &str| entry.get(name).and_then(Value::as_str).unwrap_or_default();
        let token = |name: &str| Some(field(name)).filter(|token| !token.is_empty()).map(Secret::new);
        let (mut username, mut password) = (field("username").to_owned(), Secret::new(field("password")));
        if !field("auth").is_empty() {
            (username, password) = decode_auth(field("auth")).ok_or_else(|| {
                let message = format!("Invalid auth configuration file: the entry of {account} in {:?}", self.path);
                Error::new(Kind::Invalid, message).with_hint(format!("log in again: dhow login {account}"))
            })?;
        }
        let (identity_token, registry_token) = (token("identitytoken"), token("registrytoken"));
        let credential = Credential { username, password, identity_token, registry_token };
        Ok((!credential.is_empty()).then_some(credential))
    }

    /// Puts a credential into the file's text; `None` for one that a helper keeps, which docker marks by an empty entry.
    /// Says whether that changed anything.
    ///
    /// # Errors
    /// [`Kind::Invalid`] when `auths` is not an object.
    pub(super) fn put(&mut self, key: &str, credential: Option<&Credential>) -> Result<bool> {
        let mut entry = Map::new();
        if let Some(credential) = credential {
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
        }
        let entry = Value::Object(entry);
        let before = self.entries_mut()?.insert(key.to_owned(), entry.clone());
        Ok(before != Some(entry))
    }

    /// Takes the entries of a registry or namespace out of the file's text, under every spelling of its key.
    ///
    /// # Errors
    /// As [`AuthFile::put`].
    pub(super) fn remove(&mut self, account: &str) -> Result<bool> {
        if !self.root.contains_key("auths") {
            return Ok(false);
        }
        let entries = self.entries_mut()?;
        let before = entries.len();
        entries.retain(|key, _| keys::subject(key) != account);
        Ok(entries.len() < before)
    }

    /// Takes all entries out of the file's text. Says whether there were any.
    ///
    /// # Errors
    /// As [`AuthFile::put`].
    pub(super) fn remove_all(&mut self) -> Result<bool> {
        if !self.root.contains_key("auths") {
            return Ok(false);
        }
        let entries = self.entries_mut()?;
        let had_any = !entries.is_empty();
        entries.clear();
        Ok(had_any)
    }

    fn entries_mut(&mut self) -> Result<&mut Map<String, Value>> {
        let path = &self.path;
        let entries = self.root.entry("auths").or_insert_with(|| json!({}));
        entries
            .as_object_mut()
            .ok_or_else(|| Error::new(Kind::Invalid, format!("{path:?}: \"auths\" is not an object")))
    }

    /// Changes the file as it is now, under a lock, so that logins at the same time do not undo each other. It is written
    /// only when `change` says that it changed something.
    ///
    /// # Errors
    /// Those of reading, locking and writing.
    pub(super) fn update(&mut self, change: impl FnOnce(&mut Self) -> Result<bool>) -> Result<()> {
        // Through links, so that a file kept elsewhere (in a repository of settings) is changed there.
        let target = std::fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        if let Some(directory) = target.parent().filter(|directory| !directory.as_os_str().is_empty()) {
            fs::create_dir_all(directory)?;
        }
        let _lock = lock(&target)?;
        *self = Self::load(&self.path, self.dialect)?;
        if change(self)? { self.write(&target) } else { Ok(()) }
    }

    /// Writes as docker does: indented by tabs, for the owner alone, in one step.
    fn write(&self, target: &Path) -> Result<()> {
        let mut bytes = Vec::new();
        let indent = serde_json::ser::PrettyFormatter::with_indent(b"\t");
        let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, indent);
        self.root.serialize(&mut serializer).map_err(|error| {
            Error::new(Kind::Internal, format!("cannot write {:?}: {error}", self.path)).with_source(error)
        })?;
        fs::write_atomic(target, &bytes, 0o600, Durability::Durable)
    }
}

/// Locks the file itself: docker's folder gets no file of ours. Whoever had the lock before has replaced the file.
fn lock(path: &Path) -> Result<Option<FileLock>> {
    loop {
        let lock = match FileLock::acquire(path, LockMode::Exclusive, LOCK_PATIENCE) {
            Ok(lock) => lock,
            // A file that may not be written can be replaced all the same.
            Err(error) if error.kind() == Kind::Denied => return Ok(None),
            Err(error) => return Err(error),
        };
        let identity = |metadata: std::fs::Metadata| (metadata.dev(), metadata.ino());
        let locked = lock.file().metadata().map(identity).ok();
        if locked.is_some() && locked == std::fs::metadata(path).map(identity).ok() {
            return Ok(Some(lock));
        }
    }
}

impl fmt::Debug for AuthFile {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("AuthFile").field("path", &self.path).finish_non_exhaustive()
    }
}

/// `base64(user:password)`; docker ends passwords at a NUL that old versions wrote.
fn decode_auth(auth: &str) -> Option<(String, Secret)> {
    let text = String::from_utf8(STANDARD.decode(auth).ok()?).ok()?;
    let (username, password) = text.split_once(':')?;
    Some((username.to_owned(), Secret::new(password.trim_matches('\0'))))
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;
