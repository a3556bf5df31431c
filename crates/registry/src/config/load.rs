//! Reading what is configured: each file when it is first needed, and once.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};

use dhow_base::{Error, Kind, Result};

use super::certs::Tls;
use super::containers::{Containers, File};
use super::daemon::Daemon;
use super::hosts::Hosts;
use super::read::{drop_ins, is_absent, read, read_daemon};
use super::{Family, HostsAt, Registries};

impl Registries {
    /// The certificates of a registry, read once.
    pub(super) fn tls(&self, domain: &str) -> Result<Arc<Tls>> {
        let mut known = self.tls.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tls) = known.get(domain) {
            return Ok(Arc::clone(tls));
        }
        let mut tls = Tls::default();
        if let Some(folder) = &self.files.cert_dir {
            if is_absent(folder) {
                return Err(Error::new(Kind::NotFound, format!("--cert-dir: there is no folder {folder:?}")));
            }
            tls.add_folder(folder)?;
        } else if is_one_name(domain) {
            let (docker, containers) = (&self.files.docker_certs, &self.files.containers_certs);
            // Podman looks into docker's folders, too.
            let containers = if self.files.family == Family::Docker { &[] } else { containers.as_slice() };
            for folder in containers.iter().chain(docker) {
                tls.add_folder(&folder.join(domain))?;
            }
            // As containerd, which goes by the names of files only where no hosts.toml says which they are.
            for folder in &self.hosts(domain)?.bare {
                tls.add_folder(folder)?;
            }
        }
        let tls = Arc::new(tls);
        known.insert(domain.to_owned(), Arc::clone(&tls));
        Ok(tls)
    }

    /// The folders that containerd would look for `hosts.toml` in, the best first.
    fn hosts_folders(&self, domain: &str) -> Vec<PathBuf> {
        if self.files.family != Family::All || !is_one_name(domain) {
            return Vec::new();
        }
        // A colon cannot be in names of all file systems: `host_5000_` stands for `host:5000`.
        let escaped = domain.rsplit_once(':').map(|(host, port)| format!("{host}_{port}_"));
        let names = escaped.into_iter().chain([domain.to_owned()]);
        names.flat_map(|name| self.files.hosts.iter().map(move |folder| folder.join(&name))).collect()
    }

    /// What containerd's folders have for a registry, read once.
    pub(super) fn hosts(&self, domain: &str) -> Result<Arc<HostsAt>> {
        let mut known = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(hosts) = known.get(domain) {
            return Ok(Arc::clone(hosts));
        }
        let mut at = HostsAt::default();
        let folders = self.hosts_folders(domain);
        let is_asked = !folders.is_empty();
        for folder in folders.into_iter().filter(|folder| !is_absent(folder)) {
            let path = folder.join("hosts.toml");
            if at.hosts.is_some() && path.exists() {
                continue;
            }
            match parse_hosts(&folder, &path)? {
                Some(hosts) => at.hosts = Some(hosts),
                None => at.bare.push(folder),
            }
        }
        if at.hosts.is_none() && is_asked {
            for folder in self.files.hosts.iter().map(|folder| folder.join("_default")) {
                at.hosts = parse_hosts(&folder, &folder.join("hosts.toml"))?;
                if at.hosts.is_some() {
                    break;
                }
            }
        }
        let at = Arc::new(at);
        known.insert(domain.to_owned(), Arc::clone(&at));
        Ok(at)
    }

    /// Docker's `daemon.json`.
    pub(super) fn daemon(&self) -> Result<&Daemon> {
        if let Some(daemon) = self.daemon.get() {
            return Ok(daemon);
        }
        let mut daemon = Daemon::default();
        if self.files.family != Family::Containers {
            for path in &self.files.daemon {
                if let Some(bytes) = read_daemon(path)? {
                    daemon =
                        Daemon::parse(&bytes).map_err(|error| error.context(format_args!("cannot use {path:?}")))?;
                    break;
                }
            }
        }
        Ok(self.daemon.get_or_init(|| daemon))
    }

    /// What `registries.conf` and its drop-ins say, short names left out.
    pub(super) fn containers(&self) -> Result<&Containers> {
        if let Some(containers) = self.containers.get() {
            return Ok(containers);
        }
        let containers = match self.files.family {
            Family::Docker => Containers::default(),
            Family::All | Family::Containers => {
                Containers::parse(self.read()?.iter().filter(|file| !file.has_only_aliases()))?
            }
        };
        Ok(self.containers.get_or_init(|| containers))
    }

    /// What the files say of short names too. The aliases that packages bring along are not even parsed where they do not
    /// count.
    pub(super) fn aliased(&self) -> Result<&Containers> {
        if let Some(containers) = self.aliased.get() {
            return Ok(containers);
        }
        let plain = self.containers()?;
        let with_packaged = self.files.family == Family::Containers || plain.searches();
        let wanted = |file: &&File| !file.has_only_aliases() || with_packaged || !file.is_packaged;
        let containers = match self.files.family {
            Family::Docker => Containers::default(),
            Family::All | Family::Containers => Containers::parse(self.read()?.iter().filter(wanted))?,
        };
        Ok(self.aliased.get_or_init(|| containers))
    }

    fn read(&self) -> Result<&[File]> {
        if let Some(files) = self.read.get() {
            return Ok(files);
        }
        let files = self.containers_files()?;
        Ok(self.read.get_or_init(|| files))
    }

    /// The files of `registries.conf`, as containers-registries.conf.d(5) has their order.
    fn containers_files(&self) -> Result<Vec<File>> {
        let mut all = Vec::new();
        let mut is_users = false;
        for path in &self.files.registries {
            if let Some(bytes) = read(path)? {
                is_users = self.files.user_registries.as_ref() == Some(path);
                all.push(File { path: path.clone(), bytes, is_packaged: false });
                break;
            }
        }
        if let (true, true, Some(path)) =
            (all.is_empty(), self.files.registries_required, self.files.registries.first())
        {
            let message = format!("registries configuration {path:?}: there is no such file");
            return Err(Error::new(Kind::NotFound, message).with_hint("CONTAINERS_REGISTRIES_CONF names it"));
        }
        let system = self.files.system_drop_ins.as_ref().filter(|_| !is_users);
        let folders = system.map(|folder| (folder, true)).into_iter();
        for (folder, is_packaged) in folders.chain(self.files.user_drop_ins.as_ref().map(|folder| (folder, false))) {
            for path in drop_ins(folder)? {
                if let Some(bytes) = read(&path)? {
                    all.push(File { path, bytes, is_packaged });
                }
            }
        }
        Ok(all)
    }
}

fn parse_hosts(folder: &Path, path: &Path) -> Result<Option<Hosts>> {
    let Some(bytes) = read_daemon(path)? else { return Ok(None) };
    let named = |error: Error| error.context(format_args!("cannot use {path:?}"));
    Hosts::parse(&bytes, folder).map(Some).map_err(named)
}

/// Whether a registry's name is one component of a path. Names of references always are; a login's is what a user typed.
fn is_one_name(domain: &str) -> bool {
    !domain.is_empty() && !domain.contains('/') && !domain.starts_with('.')
}
