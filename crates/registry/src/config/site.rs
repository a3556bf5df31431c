//! Where an image may be fetched from: one of the answers that the configuration gives for a name.

use std::sync::Arc;
use std::time::Duration;

use dhow_base::secret::Secret;
use dhow_spec::Repository;
use url::Url;

use super::certs::Tls;

/// One registry or mirror, and how it is spoken to.
#[derive(Clone, Debug)]
pub(crate) struct Site {
    /// As references name it, and messages: `docker.io`, `mirror.example:5000`.
    pub(crate) domain: String,
    /// The root of its API where the configuration gives its address; else it is found by the domain.
    pub(crate) api: Option<Url>,
    /// Whether it need not prove who it is.
    pub(crate) insecure: bool,
    pub(crate) tls: Arc<Tls>,
    /// How long a connection to it may take to be made, where the configuration says.
    pub(crate) dial_timeout: Option<Duration>,
    /// Headers for it alone.
    pub(crate) headers: Vec<(String, Secret)>,
    /// The registry that it is asked for the content of, where it is a proxy of several (distribution spec, `ns`).
    pub(crate) namespace: Option<String>,
    /// Whether it stands in for another registry.
    pub(crate) is_mirror: bool,
}

impl Site {
    /// A registry of which nothing is configured.
    pub(crate) fn plain(domain: &str) -> Self {
        Self {
            domain: domain.to_owned(),
            api: None,
            insecure: false,
            tls: Arc::default(),
            dial_timeout: None,
            headers: Vec::new(),
            namespace: None,
            is_mirror: false,
        }
    }

    /// What tells it from others in this run.
    pub(crate) fn key(&self) -> String {
        let api = self.api.as_ref().map_or("", Url::as_str);
        let namespace = self.namespace.as_deref().unwrap_or_default();
        format!("{} {api} {} {} {namespace}", self.domain, self.insecure, self.is_mirror)
    }
}

/// A repository at a site.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    /// The repository as it is called there.
    pub(crate) repository: Repository,
    pub(crate) site: Site,
    /// Whether what it says of tags counts.
    pub(crate) resolves: bool,
}
