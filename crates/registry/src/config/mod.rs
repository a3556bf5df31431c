//! What the machine and the user have configured of registries: mirrors, moved names, short names, certificates.
//!
//! Three families of files say it: containers' `registries.conf`, containerd's `hosts.toml` and docker's `daemon.json`.
//! `docs/reference/registries.md` says in the user's words which of them counts for what. Everything here is read when it is
//! first needed; `Registries::routes` is the answer for one name.

pub(crate) mod certs;
pub mod containers;
pub mod daemon;
pub mod hosts;
mod load;
pub mod network;
mod read;
pub mod short_names;
pub(crate) mod site;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock};

use dhow_base::{Error, Kind, Result};
use dhow_spec::{Reference, Repository};
use url::Url;

use certs::Tls;
use containers::{Containers, File, Registry, Serves};
use daemon::Daemon;
use hosts::{Host, Hosts};
use read::{invalid, one_line, toml};
use short_names::{Habit, Resolution};
use site::{Route, Site};

/// Whose configuration counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Family {
    /// All of it, in dhow's order.
    #[default]
    All,
    /// Docker's alone.
    Docker,
    /// That of podman, skopeo and buildah alone.
    Containers,
}

/// Where configuration may be. A default one names no files, so that nothing is configured.
#[derive(Clone, Debug, Default)]
pub struct ConfigFiles {
    /// Whose of them counts.
    pub family: Family,
    /// `registries.conf` that is read before its drop-ins: the first of these that is there.
    pub registries: Vec<PathBuf>,
    /// Whether one of them has to be there.
    pub registries_required: bool,
    /// The one of these whose drop-ins replace those of the machine: the user's own.
    pub user_registries: Option<PathBuf>,
    /// Folder of drop-ins of the whole machine.
    pub system_drop_ins: Option<PathBuf>,
    /// Folder of drop-ins of the user.
    pub user_drop_ins: Option<PathBuf>,
    /// Where chosen short names are recorded.
    pub recorded: Option<PathBuf>,
    /// `daemon.json`: the first of these that is there.
    pub daemon: Vec<PathBuf>,
    /// Folders of `<registry>/hosts.toml`: the first that has one for a registry counts.
    pub hosts: Vec<PathBuf>,
    /// Docker's folders of `<registry>/*.crt`.
    pub docker_certs: Vec<PathBuf>,
    /// Podman's folders of `<registry>/*.crt`.
    pub containers_certs: Vec<PathBuf>,
    /// A folder of certificates instead of all others (`--cert-dir`).
    pub cert_dir: Option<PathBuf>,
    /// Hosts of token services that may see the credentials of registries in other domains.
    pub token_hosts: Vec<String>,
}

/// The configuration of registries, read as far as it was needed.
#[derive(Debug, Default)]
pub struct Registries {
    files: ConfigFiles,
    read: OnceLock<Vec<File>>,
    /// What is needed of all names: without the files that have aliases only.
    containers: OnceLock<Containers>,
    /// The same with those files.
    aliased: OnceLock<Containers>,
    daemon: OnceLock<Daemon>,
    hosts: Mutex<HashMap<String, Arc<HostsAt>>>,
    tls: Mutex<HashMap<String, Arc<Tls>>>,
}

/// What containerd's folders have for one registry.
#[derive(Debug, Default)]
struct HostsAt {
    /// The `hosts.toml` that counts.
    hosts: Option<Hosts>,
    /// Folders without one.
    bare: Vec<PathBuf>,
}

impl Registries {
    /// Reads nothing yet.
    pub fn new(files: ConfigFiles) -> Self {
        Self { files, ..Self::default() }
    }

    /// What a name as a user types it stands for.
    ///
    /// # Errors
    /// Those of [`short_names`] and of reading the configuration.
    pub fn resolve(&self, text: &str) -> Result<Resolution> {
        let habit = self.habit();
        if habit == Habit::Docker || !short_names::is_short(text) {
            return Ok(Resolution::itself(Reference::parse(text)?));
        }
        let (recorded, file) = self.recorded()?;
        short_names::resolve(text, habit, self.aliased()?, &recorded, &file)
    }

    /// The names that a short name may stand for where it is looked up on this machine, best first, without a tag where it
    /// has none. Nothing for names that are not short, and where nothing is configured.
    ///
    /// # Errors
    /// Those of reading the configuration.
    pub fn resolve_here(&self, text: &str) -> Result<Vec<Reference>> {
        let habit = self.habit();
        if habit == Habit::Docker || !short_names::is_short(text) || Reference::parse(text).is_err() {
            return Ok(Vec::new());
        }
        let (recorded, file) = self.recorded()?;
        short_names::resolve_here(text, habit, self.aliased()?, &recorded, &file)
    }

    /// Where credentials are kept, in order, as `registries.conf` says (`credential-helpers`); nothing when it does not.
    ///
    /// # Errors
    /// Those of reading the configuration.
    pub fn credential_helpers(&self) -> Result<Vec<String>> {
        Ok(self.containers()?.credential_helpers.clone())
    }

    /// The registry that short names are looked for first in, if there is one.
    ///
    /// # Errors
    /// Those of reading the configuration.
    pub fn first_searched(&self) -> Result<Option<String>> {
        let search = self.containers()?.search.as_ref();
        Ok(search.and_then(|(registries, _)| registries.first().cloned()))
    }

    fn habit(&self) -> Habit {
        match self.files.family {
            Family::Docker => Habit::Docker,
            Family::All => Habit::Dhow,
            Family::Containers => Habit::Containers,
        }
    }

    /// The choices that were recorded, where they count, and their file.
    fn recorded(&self) -> Result<(BTreeMap<String, String>, PathBuf)> {
        let Some(file) = self.files.recorded.clone() else { return Ok(Default::default()) };
        let counts = self.habit() == Habit::Containers || self.containers()?.searches();
        let recorded = if counts { short_names::recorded(&file) } else { BTreeMap::new() };
        Ok((recorded, file))
    }

    /// Hosts of token services that may see the credentials of registries in other domains.
    pub(crate) fn token_hosts(&self) -> &[String] {
        &self.files.token_hosts
    }

    /// Remembers which of several registries a short name means.
    ///
    /// # Errors
    /// Those of writing the file.
    pub fn record(&self, text: &str, chosen: &Repository) -> Result<()> {
        match &self.files.recorded {
            Some(path) => short_names::record(path, text, chosen),
            None => Ok(()),
        }
    }

    /// The places that an image is looked for at, in order; the last one is the registry itself.
    pub(crate) fn routes(&self, reference: &Reference) -> Result<Vec<Route>> {
        let repository = reference.repository();
        let listed = self.listed(reference)?;
        if let Some(registry) = &listed {
            let mut routes = Vec::new();
            for mirror in registry.mirrors.iter().filter(|mirror| serves(mirror.serves, reference)) {
                let moved = registry.moved(reference, &mirror.location)?;
                let mut site = self.site(moved.repository().domain(), mirror.insecure)?;
                site.is_mirror = true;
                routes.push(Route { repository: moved.repository().clone(), site, resolves: true });
            }
            routes.push(self.listed_primary(registry, reference)?);
            return Ok(routes);
        }
        if let Some(hosts) = &self.hosts(repository.domain())?.hosts {
            return self.hosts_routes(repository, hosts);
        }
        let mut routes = Vec::new();
        if repository.domain() == "docker.io" {
            for mirror in &self.daemon()?.mirrors {
                let mut site = self.site(&authority(mirror), false)?;
                let mut api = mirror.clone();
                api.set_path("/v2");
                (site.api, site.is_mirror) = (Some(api), true);
                routes.push(Route { repository: at(repository, &site)?, site, resolves: true });
            }
        }
        routes.push(Route {
            repository: repository.clone(),
            site: self.site(repository.domain(), false)?,
            resolves: true,
        });
        Ok(routes)
    }

    /// The registry itself. For reading it may be another one than its name says; for writing it never is.
    pub(crate) fn primary(&self, repository: &Repository, is_write: bool) -> Result<Route> {
        let reference = Reference::from_repository(repository.clone());
        let Some(registry) = self.listed(&reference)? else {
            let mut routes = self.routes(&reference)?;
            return routes.pop().ok_or_else(|| Error::new(Kind::Internal, "a name without a registry"));
        };
        if !is_write {
            return self.listed_primary(&registry, &reference);
        }
        let site = self.site(repository.domain(), registry.insecure)?;
        Ok(Route { repository: repository.clone(), site, resolves: true })
    }

    /// A registry by its name, for a login.
    pub(crate) fn registry(&self, domain: &str) -> Result<Site> {
        let insecure = self.containers()?.registry(domain).is_some_and(|registry| registry.insecure);
        match &self.hosts(domain)?.hosts {
            Some(hosts) => {
                let site = self.host_site(domain, hosts.server.as_ref().unwrap_or(&hosts.defaults))?;
                Ok(Site { insecure: site.insecure || insecure, ..site })
            }
            None => self.site(domain, insecure),
        }
    }

    /// What `registries.conf` says of an image.
    fn listed(&self, reference: &Reference) -> Result<Option<Registry>> {
        let Some(registry) = self.containers()?.registry(&reference.to_string()) else { return Ok(None) };
        if registry.blocked {
            let message = format!("registry {} is blocked in {}", registry.prefix, registry.file.display());
            return Err(Error::new(Kind::Denied, message)
                .with_hint("whoever looks after this machine does not want images from there"));
        }
        Ok(Some(registry.clone()))
    }

    fn listed_primary(&self, registry: &Registry, reference: &Reference) -> Result<Route> {
        let moved = registry.moved(reference, &registry.location)?;
        let site = self.site(moved.repository().domain(), registry.insecure)?;
        Ok(Route { repository: moved.repository().clone(), site, resolves: true })
    }

    fn hosts_routes(&self, repository: &Repository, hosts: &Hosts) -> Result<Vec<Route>> {
        let domain = repository.domain();
        let mut routes = Vec::new();
        for host in hosts.hosts.iter().filter(|host| host.pulls) {
            let mut site = self.host_site(domain, host)?;
            (site.is_mirror, site.namespace) = (true, Some(domain.to_owned()));
            routes.push(Route { repository: at(repository, &site)?, site, resolves: host.resolves });
        }
        let own = hosts.server.as_ref().unwrap_or(&hosts.defaults);
        let site = self.host_site(domain, own)?;
        routes.push(Route { repository: at(repository, &site)?, site, resolves: true });
        Ok(routes)
    }

    /// A host of the `hosts.toml` of a registry. Its name is that of its address: a credential is for that, whatever it
    /// stands in for.
    fn host_site(&self, of: &str, host: &Host) -> Result<Site> {
        let at = host.api.as_ref().map(authority).filter(|at| at != crate::host::api_authority(of));
        let domain = at.as_deref().unwrap_or(of);
        let mut site = self.site(domain, host.skip_verify)?;
        let mut tls = (*site.tls).clone();
        let named = |error: Error| error.context(format_args!("hosts.toml of {of}"));
        for path in &host.authorities {
            tls.add_authority(path).map_err(named)?;
        }
        for (certificate, key) in &host.clients {
            tls.add_client(certificate, key.as_deref()).map_err(named)?;
        }
        if tls != *site.tls {
            site.tls = Arc::new(tls);
        }
        // The registry itself is found by its name where the address says nothing else.
        site.api = host.api.clone().filter(|api| domain != of || api.scheme() != "https" || api.path() != "/v2");
        site.headers.clone_from(&host.headers);
        site.dial_timeout = host.dial_timeout;
        Ok(site)
    }

    fn site(&self, domain: &str, insecure: bool) -> Result<Site> {
        let insecure = insecure || self.daemon()?.is_insecure(domain);
        Ok(Site { insecure, tls: self.tls(domain)?, ..Site::plain(domain) })
    }
}

fn serves(mirror: Serves, reference: &Reference) -> bool {
    match mirror {
        Serves::All => true,
        Serves::Digests => reference.digest().is_some(),
        Serves::Tags => reference.digest().is_none(),
    }
}

/// A repository where a site has it. Under its own name there, so that only that host's credentials go there.
fn at(repository: &Repository, site: &Site) -> Result<Repository> {
    repository.at(&site.domain).ok_or_else(|| invalid(format!("{:?} is no name of a registry", site.domain)))
}

/// Host and port of a URL, as references name a registry.
fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

#[cfg(test)]
mod tests;
