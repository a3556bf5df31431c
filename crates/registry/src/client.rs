//! The client: what all requests of one run share.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dhow_base::secret::Secret;
use dhow_base::{Error, Kind, Result};
use dhow_spec::{Reference, Repository};
use reqwest::{Method, StatusCode};

use crate::config::Registries;
use crate::config::site::{Route, Site};
use crate::credentials::{Anonymous, Credential, CredentialSource, keys};
use crate::endpoint::{Call, Endpoint, Target};
use crate::host::shown;
use crate::mirrors::{Mirror, Mirrors};
use crate::proxy::Proxies;
use crate::quirks::UploadStyle;
use crate::remote::{Access, Remote};
use crate::retry::RetryPolicy;
use crate::search::{self, Hit};
use crate::tags;
use crate::traffic::Traffic;
use crate::transport::Transport;

/// How a client behaves.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// Whether registries must prove by certificate who they are. Without it, plain HTTP is accepted too. Registries on
    /// this machine (loopback) may always speak plain HTTP, and their certificates are not checked.
    /// `None` leaves it to what is configured of each registry; without any configuration they must.
    pub tls_verify: Option<bool>,
    /// What is configured of registries.
    pub registries: Arc<Registries>,
    /// Which proxies requests go through.
    pub proxies: Proxies,
    /// Who the client says it is.
    pub credentials: Arc<dyn CredentialSource>,
    /// The `User-Agent` header.
    pub user_agent: String,
    /// Headers that go along with every request to a registry itself.
    pub headers: Vec<(String, String)>,
    /// When failed requests are repeated.
    pub retry: RetryPolicy,
    /// How long a registry may take to answer a request.
    pub response_patience: Duration,
    /// How long a transfer may stand still.
    pub body_patience: Duration,
    /// When large blobs are fetched in parts.
    pub parts: PartPolicy,
    /// How blobs are uploaded; `None` for what is known to suit each registry.
    pub upload_style: Option<UploadStyle>,
    /// What the clients of this process share.
    pub traffic: Traffic,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            tls_verify: None,
            registries: Arc::default(),
            proxies: Proxies::default(),
            credentials: Arc::new(Anonymous),
            user_agent: concat!("dhow/", env!("CARGO_PKG_VERSION")).to_owned(),
            headers: Vec::new(),
            retry: RetryPolicy::default(),
            response_patience: Duration::from_secs(60),
            body_patience: Duration::from_secs(60),
            parts: PartPolicy::default(),
            upload_style: None,
            traffic: Traffic::default(),
        }
    }
}

/// When a blob is fetched in several parts at once, and in which.
///
/// One connection seldom fills the way to a distant registry: SOCI's measurements recommend parts of 8 to 16 MB, 10 to 20 at
/// once. How many of them are really under way is the host's gate's to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartPolicy {
    /// Blobs shorter than this are fetched in one piece, in bytes.
    pub blob_bytes_min: u64,
    /// Length of a part in bytes.
    pub size: u64,
    /// Parts of one blob at once.
    pub at_once: usize,
    /// Whether registries on this machine are asked for parts too.
    pub loopback: bool,
}

impl Default for PartPolicy {
    fn default() -> Self {
        Self { blob_bytes_min: 32 << 20, size: 16 << 20, at_once: 16, loopback: false }
    }
}

/// What a login brought.
#[derive(Clone, Debug, Default)]
pub struct LoginOutcome {
    /// A refresh token, which is stored instead of the password.
    pub identity_token: Option<Secret>,
}

/// A client of any number of registries: connections, and what was learnt about each. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    transport: Transport,
    endpoints: Mutex<HashMap<String, Arc<Endpoint>>>,
}

impl Client {
    /// Makes a client. Nothing is opened before the first request.
    ///
    /// # Errors
    /// [`Kind::Invalid`] when the user agent or a header cannot be sent.
    pub fn new(options: ClientOptions) -> Result<Self> {
        if reqwest::header::HeaderValue::from_str(&options.user_agent).is_err() {
            let message = format!("the user agent {:?} cannot be sent as a header", options.user_agent);
            return Err(Error::new(Kind::Invalid, message));
        }
        Ok(Self { shared: Arc::new(Shared { transport: Transport::new(options)?, endpoints: Mutex::default() }) })
    }

    /// One repository of a registry, to read from or to write to as well. Mirrors are not asked.
    ///
    /// # Errors
    /// Those of reading the configuration; [`Kind::Denied`] when it blocks the repository.
    pub fn repository(&self, repository: &Repository, access: Access) -> Result<Remote> {
        let route = self.registries().primary(repository, access == Access::Push)?;
        Ok(self.remote(repository, route, access))
    }

    /// Where an image is read from: the repository of its registry, and the mirrors that are asked before.
    ///
    /// # Errors
    /// As [`Client::repository`].
    pub fn source(&self, reference: &Reference) -> Result<Remote> {
        let mut routes = self.registries().routes(reference)?;
        let own = routes.pop().ok_or_else(|| Error::new(Kind::Internal, "a name without a registry"))?;
        let mirrors = routes.into_iter().map(|route| {
            let resolves = route.resolves;
            Mirror::new(self.remote(reference.repository(), route, Access::Pull), resolves)
        });
        let mirrors = Mirrors::new(mirrors.collect());
        Ok(self.remote(reference.repository(), own, Access::Pull).with_mirrors(mirrors))
    }

    /// What is configured of registries.
    pub fn registries(&self) -> &Registries {
        &self.transport().options.registries
    }

    fn remote(&self, name: &Repository, route: Route, access: Access) -> Remote {
        let credentials = &self.transport().options.credentials;
        let account = match route.site.is_mirror {
            true => credentials.account(&route.repository),
            false => credentials.account_at(name, &route.repository),
        };
        Remote::new(self.clone(), self.endpoint(route.site, account), route.repository, access)
    }

    /// Proves a credential to a registry: an authenticated `GET /v2/` must be answered with 200. `host` may also be a key
    /// of `config.json`, such as Docker Hub's.
    ///
    /// # Errors
    /// [`Kind::Unauthorized`] in docker's words when the registry does not accept it, and those of reaching it.
    pub async fn login(&self, host: &str, credential: &Credential) -> Result<LoginOutcome> {
        let site = self.registries().registry(&keys::domain(host))?;
        let endpoint = Endpoint::for_login(site, self.transport().options.tls_verify, credential.clone());
        let call = Call::new(Method::GET, Target::Path("/v2/".to_owned()), Vec::new());
        let answer = endpoint.send(self.transport(), &call).await?;
        let status = answer.status();
        if status != StatusCode::OK {
            let message = format!("login attempt to {} failed with status: {status}", shown(&answer.url));
            let wire = answer.wire_error().await;
            return Err(Error::new(wire.kind(), message));
        }
        Ok(LoginOutcome { identity_token: endpoint.refresh_token() })
    }

    /// The repositories of a registry whose path `takes`, at most so many.
    ///
    /// # Errors
    /// Those of the registry; most keep the list for administrators or have none.
    pub async fn catalog(
        &self,
        domain: &str,
        takes: &(dyn Fn(&str) -> bool + Sync),
        most: usize,
    ) -> Result<Vec<Repository>> {
        let host = self.host(domain)?;
        tags::catalog(self, &host, takes, most).await
    }

    /// Searches for repositories by docker's API, version 1, which Docker Hub and a few others have.
    ///
    /// # Errors
    /// [`Kind::Unsupported`] when the registry has no search; those of reaching it.
    pub async fn search(&self, domain: &str, term: &str, most: usize) -> Result<Vec<Hit>> {
        let host = self.host(domain)?;
        search::search(self, &host, domain, term, most).await
    }

    /// A registry itself, as whoever the user is there.
    fn host(&self, domain: &str) -> Result<Arc<Endpoint>> {
        Ok(self.endpoint(self.registries().registry(domain)?, domain.to_owned()))
    }

    pub(crate) fn transport(&self) -> &Transport {
        &self.shared.transport
    }

    /// One for each account: what a registry lets one of them do says nothing about the others.
    fn endpoint(&self, site: Site, account: String) -> Arc<Endpoint> {
        let mut endpoints = self.shared.endpoints.lock().unwrap_or_else(PoisonError::into_inner);
        let key = format!("{} {account}", site.key());
        let make = || {
            let endpoint = Endpoint::new(site, &account, self.transport().options.tls_verify);
            if let Some(style) = self.transport().options.upload_style {
                endpoint.set_upload_style(style);
            }
            Arc::new(endpoint)
        };
        endpoints.entry(key).or_insert_with(make).clone()
    }
}
