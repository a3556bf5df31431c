//! Everything that this machine knows of credentials, in one order.
//!
//! Docker's files come first, since dhow behaves as docker; podman's are found too. `docs/reference/credentials.md` is the
//! order in the user's words.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use dhow_base::secret::Secret;
use dhow_base::{Error, Kind, Result};
use dhow_spec::Repository;

use super::file::AuthFile;
use super::helper::Helpers;
use super::keys::{self, Dialect};
use super::{Credential, CredentialSource};

/// What stands for a path in messages about `DOCKER_AUTH_CONFIG`.
const ENVIRONMENT: &str = "DOCKER_AUTH_CONFIG";

/// What stands for podman's files among the helpers of `registries.conf`.
const FILES: &str = "containers-auth.json";

/// Where credentials may be.
#[derive(Clone, Debug, Default)]
pub struct Places {
    /// The one file to use, in podman's dialect (`--authfile`, `REGISTRY_AUTH_FILE`); nothing else counts then.
    pub auth_file: Option<PathBuf>,
    /// The value of `DOCKER_AUTH_CONFIG`: entries that come before those of all files.
    pub environment: Option<Secret>,
    /// Docker's `config.json`.
    pub docker_config: PathBuf,
    /// Podman's files, in the order they are looked into.
    pub containers: Vec<PathBuf>,
    /// Where programs are looked for: the value of `PATH`.
    pub search_path: OsString,
}

/// The credentials of a user.
#[derive(Clone, Debug)]
pub struct Keychain {
    helpers: Helpers,
    environment: Option<AuthFile>,
    /// The file that a login is kept in.
    own: AuthFile,
    others: Vec<AuthFile>,
    /// Where podman's credentials are, in order: helpers, and its files under [`FILES`]. Empty for the files alone.
    order: Vec<String>,
}

/// Where a login was kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// As it is, in this file.
    File(PathBuf),
    /// The same was in this file before, which was left alone.
    AsBefore(PathBuf),
    /// By the credential helper of this name.
    Helper(String),
}

/// What a logout could not do.
#[derive(Debug, Default)]
pub struct Erased {
    /// The keys that could not be erased, when that was so for all spellings of a registry's name.
    pub failures: Vec<(String, Error)>,
    /// Other places that still have an entry for it.
    pub remaining: Vec<PathBuf>,
}

impl Keychain {
    /// Reads the files. Missing ones are empty; those of other programs that cannot be read are passed over with a
    /// warning.
    ///
    /// # Errors
    /// When docker's file, the one file to use, or the environment's value cannot be read.
    pub fn open(places: &Places) -> Result<Self> {
        let helpers = Helpers::new(&places.search_path);
        if let Some(path) = &places.auth_file {
            let own = AuthFile::load(path, Dialect::Containers)?;
            return Ok(Self { helpers, environment: None, own, others: Vec::new(), order: Vec::new() });
        }
        let parse = |text: &Secret| AuthFile::parse(Path::new(ENVIRONMENT), Dialect::Docker, text.expose().as_bytes());
        let load = |path: &PathBuf| match AuthFile::load(path, Dialect::Containers) {
            // The directory is somebody else's: root's, where only root's podman has run.
            Err(error) if error.kind() == Kind::Denied && path.symlink_metadata().is_err() => {
                tracing::debug!("{error}");
                None
            }
            loaded => loaded.inspect_err(|error| tracing::warn!("{error}; its credentials are not used")).ok(),
        };
        Ok(Self {
            helpers,
            environment: places.environment.as_ref().map(parse).transpose()?,
            own: AuthFile::load(&places.docker_config, Dialect::Docker)?,
            others: places.containers.iter().filter_map(load).collect(),
            order: Vec::new(),
        })
    }

    /// Has podman's credentials where `registries.conf` says (`credential-helpers`): in these helpers, in this order, among
    /// which `containers-auth.json` stands for the files.
    #[must_use]
    pub fn with_order(self, order: Vec<String>) -> Self {
        // Files alone are the rule anyway.
        let order = if order.iter().all(|name| name == FILES) { Vec::new() } else { order };
        Self { order, ..self }
    }

    /// The key that a login to `server` is kept under.
    pub fn key(&self, server: &str) -> String {
        self.own.dialect().key(server)
    }

    /// The headers that `config.json` has for registries.
    pub fn registry_headers(&self) -> Vec<(String, String)> {
        self.own.registry_headers()
    }

    fn files(&self) -> impl Iterator<Item = &AuthFile> {
        self.environment.iter().chain([&self.own]).chain(&self.others)
    }

    /// The files of which the place in the order of helpers is told there: podman's.
    fn ordered_files(&self) -> impl Iterator<Item = &AuthFile> {
        self.files().filter(|file| file.dialect() == Dialect::Containers)
    }

    /// The credential that the helpers and files of `registries.conf` lead to. As podman, goes on after a failure, which is
    /// only told when nothing else has one.
    fn find_in_order(&self, account: &str) -> Result<Option<Credential>> {
        let domain = keys::hostname(account);
        let mut failure = None;
        for name in &self.order {
            let found = if name == FILES {
                self.ordered_files().find_map(|file| self.find(file, account).transpose()).transpose()
            } else {
                // Helpers know registries, no namespaces.
                self.helpers.get(name, &Dialect::Containers.key(domain)).map_err(|error| error.context(domain))
            };
            match found {
                Ok(Some(credential)) => {
                    tracing::debug!(account, helper = name, "found a credential");
                    return Ok(Some(credential));
                }
                Ok(None) => {}
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        failure.map_or(Ok(None), Err)
    }

    /// The credential that one file leads to: the narrowest namespace's, a helper's, the registry's.
    fn find(&self, file: &AuthFile, account: &str) -> Result<Option<Credential>> {
        let domain = keys::hostname(account);
        for namespace in keys::containing(account).filter(|account| *account != domain) {
            if let Some(credential) = file.get(namespace)? {
                return Ok(Some(credential));
            }
        }
        if let Some(credential) = self.ask_helper(file, domain)? {
            return Ok(Some(credential));
        }
        file.get(domain)
    }

    fn ask_helper(&self, file: &AuthFile, domain: &str) -> Result<Option<Credential>> {
        // The environment has entries only: docker takes no helper from there.
        if file.path() == Path::new(ENVIRONMENT) {
            return Ok(None);
        }
        let own = file.helper(domain);
        let Some(helper) = own.or(file.default_helper()) else { return Ok(None) };
        if own.is_none() && !file.has(domain) && !self.helpers.has(helper) {
            // Nothing says that it would know this registry: a configuration that came from another machine.
            tracing::debug!(helper, domain, "the default credential helper is not installed");
            return Ok(None);
        }
        self.helpers.get(helper, &file.dialect().key(domain)).map_err(|error| error.context(domain))
    }

    /// Keeps the credential of `server`, after a login.
    ///
    /// # Errors
    /// The helper's, and those of writing.
    pub fn store(&mut self, server: &str, credential: &Credential) -> Result<Kept> {
        self.reload()?;
        let key = self.key(server);
        if self.keeps_in_order() {
            return self.store_in_order(&key, credential);
        }
        self.store_in_file(&key, credential)
    }

    /// Whether logins go where `registries.conf` says: docker's file never had anything to do with that.
    fn keeps_in_order(&self) -> bool {
        !self.order.is_empty() && self.own.dialect() == Dialect::Containers
    }

    /// Stores with the first that can.
    fn store_in_order(&mut self, key: &str, credential: &Credential) -> Result<Kept> {
        let is_namespace = keys::subject(key) != keys::domain(key);
        let mut failure = None;
        for name in self.order.clone() {
            let kept = if name == FILES {
                self.store_in_file(key, credential)
            } else if is_namespace {
                let message = format!("namespaced key is not supported for credential helper {name:?}");
                Err(Error::new(Kind::Unsupported, message))
            } else {
                self.helpers.store(&name, key, credential).map(|()| Kept::Helper(name))
            };
            match kept {
                Ok(kept) => return Ok(kept),
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        Err(failure.unwrap_or_else(|| Error::new(Kind::Internal, "there is nowhere to keep a credential")))
    }

    fn store_in_file(&mut self, key: &str, credential: &Credential) -> Result<Kept> {
        let domain = keys::domain(key);
        let is_new = self.own.is_blank() && self.own.dialect() == Dialect::Docker;
        let installed = if is_new { self.installed_helper() } else { None };
        let is_namespace = keys::subject(key) != domain;
        let configured = self.own.helper(&domain).or(self.own.default_helper()).filter(|_| !is_namespace);
        let kept = match configured.or(installed) {
            Some(helper) => {
                self.helpers.store(helper, key, credential)?;
                Kept::Helper(helper.to_owned())
            }
            None => Kept::File(self.own.path().to_owned()),
        };
        let plain = matches!(kept, Kept::File(_)).then_some(credential);
        let mut changed = true;
        self.own.update(|file| {
            if let Some(helper) = installed {
                file.set_default_helper(helper);
            }
            changed = file.put(key, plain)?;
            Ok(changed || installed.is_some())
        })?;
        Ok(match kept {
            Kept::File(path) if !changed => Kept::AsBefore(path),
            kept => kept,
        })
    }

    /// The helper that docker takes by itself when nothing is configured: `pass` where it is set up, else the desktop's.
    fn installed_helper(&self) -> Option<&'static str> {
        let wanted = if self.helpers.find("pass").is_some() { "pass" } else { "secretservice" };
        self.helpers.has(wanted).then_some(wanted)
    }

    /// Forgets the credential of `server`, which need not have one.
    ///
    /// # Errors
    /// Those of reading and writing the file. A helper's failures are among the results.
    pub fn erase(&mut self, server: &str) -> Result<Erased> {
        self.reload()?;
        let key = self.key(server);
        let (account, domain) = (keys::subject(&key), keys::domain(&key));
        let mut failures = if account == domain { self.erase_at_helper(&key, &domain) } else { Vec::new() };
        if self.keeps_in_order() && account == domain {
            failures.extend(self.erase_in_order(&key));
        }
        if self.own.keys().any(|key| keys::subject(key) == account) {
            self.own.update(|file| file.remove(&account))?;
        }
        let elsewhere = self.environment.iter().chain(&self.others);
        let remaining = elsewhere.filter(|file| file.has(&account)).map(|file| file.path().to_owned()).collect();
        Ok(Erased { failures, remaining })
    }

    /// Has the helpers of `registries.conf` forget a registry.
    fn erase_in_order(&self, key: &str) -> Vec<(String, Error)> {
        let helpers = self.order.iter().filter(|name| *name != FILES);
        helpers.filter_map(|name| self.helpers.erase(name, key).err().map(|error| (key.to_owned(), error))).collect()
    }

    /// As docker, tries each spelling; one that works is enough.
    fn erase_at_helper(&self, key: &str, domain: &str) -> Vec<(String, Error)> {
        let Some(helper) = self.own.helper(domain).or(self.own.default_helper()) else { return Vec::new() };
        let mut spellings = vec![key.to_owned()];
        if key != keys::HUB_KEY {
            spellings.extend([format!("http://{domain}"), format!("https://{domain}")]);
        }
        let count = spellings.len();
        let erase = |key: String| self.helpers.erase(helper, &key).err().map(|error| (key, error));
        let failures: Vec<_> = spellings.into_iter().filter_map(erase).collect();
        if failures.len() == count { failures } else { Vec::new() }
    }

    /// Forgets all credentials of the file, and of the helpers that it names.
    ///
    /// # Errors
    /// As [`Keychain::erase`].
    pub fn erase_all(&mut self) -> Result<Erased> {
        self.reload()?;
        let mut kept = self.own.helpers();
        if let Some(helper) = self.own.default_helper() {
            let servers = self.helpers.list(helper)?.into_keys();
            kept.extend(servers.map(|server| (server, helper.to_owned())));
        }
        if self.keeps_in_order() {
            // One that is not installed has nothing.
            for helper in self.order.iter().filter(|name| *name != FILES && self.helpers.has(name)) {
                kept.extend(self.helpers.list(helper)?.into_keys().map(|server| (server, helper.clone())));
            }
        }
        let erase = |(server, helper): (String, String)| {
            self.helpers.erase(&helper, &server).err().map(|error| (server, error))
        };
        let failures = kept.into_iter().filter_map(erase).collect();
        if self.own.keys().next().is_some() {
            self.own.update(AuthFile::remove_all)?;
        }
        Ok(Erased { failures, remaining: Vec::new() })
    }

    /// Another program may have changed the file since.
    fn reload(&mut self) -> Result<()> {
        self.own = AuthFile::load(self.own.path(), self.own.dialect())?;
        Ok(())
    }
}

impl CredentialSource for Keychain {
    fn account(&self, repository: &Repository) -> String {
        let full = format!("{}/{}", repository.domain(), repository.path());
        let narrowest = keys::containing(&full).find(|account| self.files().any(|file| file.has(account)));
        narrowest.unwrap_or(repository.domain()).to_owned()
    }

    fn get(&self, account: &str) -> Result<Option<Credential>> {
        let is_ordered = !self.order.is_empty();
        for file in self.files().filter(|file| !is_ordered || file.dialect() != Dialect::Containers) {
            if let Some(credential) = self.find(file, account)? {
                tracing::debug!(account, file = ?file.path(), "found a credential");
                return Ok(Some(credential));
            }
        }
        self.find_in_order(account)
    }
}

/// A credential that the user gave for one registry and this run (`--creds`), before those that are stored.
#[derive(Debug)]
pub struct Given<S> {
    /// The registry, as references name it.
    pub domain: String,
    /// What it gets.
    pub credential: Credential,
    /// Where other registries' credentials come from.
    pub stored: S,
}

impl<S: CredentialSource> CredentialSource for Given<S> {
    fn account(&self, repository: &Repository) -> String {
        if repository.domain() == self.domain { self.domain.clone() } else { self.stored.account(repository) }
    }

    /// The user gave the credential for a name; the registry is where that name leads to.
    fn account_at(&self, name: &Repository, place: &Repository) -> String {
        if name.domain() == self.domain { self.domain.clone() } else { self.stored.account_at(name, place) }
    }

    fn get(&self, account: &str) -> Result<Option<Credential>> {
        if account == self.domain { Ok(Some(self.credential.clone())) } else { self.stored.get(account) }
    }
}

#[cfg(test)]
#[path = "keychain_tests.rs"]
mod tests;
