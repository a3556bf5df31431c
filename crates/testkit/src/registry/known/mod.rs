//! The registries that people use, scripted: each with what is known of it, in a file of its own.
//!
//! They answer under their real names: [`crate::proxy::Proxy`] leads a client there that has it as its proxy and trusts
//! [`super::KNOWN_AUTHORITY`]. So a client shows what it does for that very name. That real clients get on with them
//! (`tests/tests/registries/`) is what says that they are like the originals, as far as they go.

use std::io;
use std::path::Path;

use super::{Access, KNOWN_AUTHORITY, ScriptedRegistry, UploadRules, Ways};
use crate::proxy::Proxy;

mod amazon;
mod azure;
mod docker_hub;
mod github;
mod google;
mod harbor;
mod quay;

/// What a registry is like.
#[derive(Clone, Debug)]
pub struct Recipe {
    /// What people call it.
    pub name: &'static str,
    /// What references begin with.
    pub domain: &'static str,
    /// All names that it answers to: its API, its token service, its storage.
    pub hosts: &'static [&'static str],
    /// A repository of the account.
    pub repository: &'static str,
    /// User name and password, as somebody logs in with them.
    pub account: (&'static str, &'static str),
    /// Who may do what.
    pub access: Access,
    /// How uploads are taken.
    pub uploads: UploadRules,
    /// What else is different.
    pub ways: Ways,
    /// Tags of one page.
    pub tags_per_page: usize,
}

impl Recipe {
    /// What must never be seen anywhere but in a request to who it is for: passwords, tokens, signatures.
    pub fn secrets(&self) -> Vec<&str> {
        let mut secrets = vec![self.account.1, SECRET];
        if let Access::Service(service) = &self.access {
            secrets.extend(service.refresh_tokens.iter().map(String::as_str));
        }
        secrets
    }
}

/// What every token and signature of these registries contains.
pub const SECRET: &str = "-secret";

/// All of them.
pub fn recipes() -> [Recipe; 7] {
    [
        docker_hub::recipe(),
        github::recipe(),
        google::recipe(),
        amazon::recipe(),
        azure::recipe(),
        quay::recipe(),
        harbor::recipe(),
    ]
}

/// One of them, by what people call it.
///
/// # Panics
/// When there is none of that name.
pub fn recipe(name: &str) -> Recipe {
    recipes().into_iter().find(|recipe| recipe.name == name).unwrap_or_else(|| panic!("no registry named {name}"))
}

/// A running one, with the way to it.
#[derive(Debug)]
pub struct Known {
    /// What it is like.
    pub recipe: Recipe,
    /// The registry.
    pub registry: ScriptedRegistry,
    /// The proxy that knows its names.
    pub proxy: Proxy,
}

impl Known {
    /// Starts it.
    ///
    /// # Panics
    /// When no port can be opened.
    pub fn start(recipe: Recipe) -> Self {
        let (registry, proxy) = (ScriptedRegistry::start_known(), Proxy::start());
        for host in recipe.hosts {
            proxy.route(&format!("{host}:443"), registry.address());
        }
        registry.set_access(recipe.access.clone());
        registry.set_uploads(recipe.uploads);
        registry.set_ways(recipe.ways.clone());
        registry.set_tags_per_page(recipe.tags_per_page);
        registry.create_repository(recipe.repository);
        Self { recipe, registry, proxy }
    }

    /// `ghcr.io/acme/app:<tag>`.
    pub fn reference(&self, tag: &str) -> String {
        format!("{}/{}:{tag}", self.recipe.domain, self.recipe.repository)
    }

    /// The environment that leads a client here; `folder` gets the file with the authority.
    ///
    /// # Errors
    /// That the file cannot be written.
    #[allow(clippy::disallowed_methods, reason = "writes a scratch file")]
    pub fn environment(&self, folder: &Path) -> io::Result<Vec<(&'static str, String)>> {
        let authority = folder.join("known-authority.pem");
        std::fs::write(&authority, KNOWN_AUTHORITY)?;
        let proxy = format!("http://{}", self.proxy.authority());
        let authority = authority.display().to_string();
        Ok(vec![("HTTPS_PROXY", proxy.clone()), ("https_proxy", proxy), ("SSL_CERT_FILE", authority)])
    }

    /// The requests to one of its names.
    pub fn requests_to(&self, host: &str) -> Vec<super::Request> {
        let is_there = |request: &super::Request| request.header("host") == Some(host);
        self.registry.requests().into_iter().filter(is_there).collect()
    }

    /// Whether a request may show what somebody has of this registry: to the hosts of its API and token service it may,
    /// to its storage it may not.
    ///
    /// # Panics
    /// When its storage got an `Authorization` or a cookie.
    #[track_caller]
    pub fn assert_storage_saw_nothing(&self) {
        let Some(storage) = self.recipe.ways.storage else { return };
        for request in self.requests_to(storage.host) {
            let shown: Vec<_> = ["authorization", "cookie"].iter().filter_map(|name| request.header(name)).collect();
            assert!(shown.is_empty(), "{}: {} got {shown:?}", self.recipe.name, storage.host);
        }
    }
}
