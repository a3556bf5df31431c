//! One registry as a client knows it: its scheme, what it demands, the tokens it gave; and requests to it, with
//! authentication and redirects.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use dhow_base::secret::Secret;
use dhow_base::{Error, Kind, Result};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, StatusCode};
use url::Url;

use crate::authenticator::{Authenticator, Shown};
use crate::config::site::Site;
use crate::credentials::Credential;
use crate::failure::{Failure, request_words};
use crate::gate::Permit;
use crate::host::{Reach, api_authority, may_lead, reach, same_origin, shown};
use crate::quirks::{self, Quirks, UploadStyle};
use crate::traffic::Way;
use crate::transport::{Answer, Attempt, Security, Transport};

/// Most redirects that are followed, as Go does.
const REDIRECTS_MAX: usize = 10;

/// Chunks that a registry is offered after it refused a whole blob as too large, and the smallest it is offered.
const CHUNK_BYTES_FIRST: u64 = 16 << 20;
const CHUNK_BYTES_MIN: u64 = 512 << 10;

/// How often one call may learn a new demand or renew a token.
const AUTHENTICATIONS_MAX: usize = 2;

/// One request to a registry.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) target: Target,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// Token scopes that the request needs, such as `repository:library/alpine:pull`.
    pub(crate) scopes: Vec<String>,
    /// How long the answer may take, where that is not what the options say.
    pub(crate) patience: Option<Duration>,
    /// Whether it waits for the host's gate; see [`Attempt`].
    pub(crate) gated: bool,
    /// Whether one body is so long that it should not share its connection with others.
    pub(crate) bulk: bool,
}

/// Where a request goes.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    /// A path of the API, from `/v2/` on, with its query.
    Path(String),
    /// An absolute URL that the registry gave, such as an upload's location.
    Url(Url),
}

impl Call {
    pub(crate) fn new(method: Method, target: Target, scopes: Vec<String>) -> Self {
        let (headers, body) = (HeaderMap::new(), Bytes::new());
        Self { method, target, headers, body, scopes, patience: None, gated: true, bulk: false }
    }
}

/// One registry.
#[derive(Debug)]
pub(crate) struct Endpoint {
    /// What is configured of it; its domain is as references name it: `docker.io`.
    site: Site,
    security: Arc<Security>,
    /// Headers for it alone.
    headers: HeaderMap,
    base: OnceLock<Url>,
    first_contact: tokio::sync::Mutex<()>,
    authenticator: Authenticator,
    /// Whether a range was asked for and ignored.
    ignores_ranges: AtomicBool,
    quirks: Mutex<Quirks>,
}

impl Endpoint {
    /// `tls_verify` is what the user said for this run.
    pub(crate) fn new(site: Site, account: &str, tls_verify: Option<bool>) -> Self {
        let security = Arc::new(Security::of(&site, tls_verify));
        Self {
            base: OnceLock::new(),
            first_contact: tokio::sync::Mutex::default(),
            authenticator: Authenticator::new(&site.domain, account, Arc::clone(&security)),
            ignores_ranges: AtomicBool::new(false),
            quirks: Mutex::new(quirks::of(&site.domain)),
            headers: site_headers(&site),
            security,
            site,
        }
    }

    /// For a login: with this credential, and asking for a refresh token.
    pub(crate) fn for_login(site: Site, tls_verify: Option<bool>, credential: Credential) -> Self {
        let domain = site.domain.clone();
        let endpoint = Self::new(site, &domain, tls_verify);
        let authenticator = Authenticator::for_login(&domain, credential, Arc::clone(&endpoint.security));
        Self { authenticator, ..endpoint }
    }

    pub(crate) fn domain(&self) -> &str {
        &self.site.domain
    }

    /// The permit for one blob on its way up, from the first question to the registry's last word. Whoever reads bytes for
    /// the blob takes the permit for that afterwards, so that nobody waits in a circle.
    pub(crate) async fn upload_permit(&self, transport: &Transport) -> Permit {
        let host = match &self.site.api {
            Some(api) => api.authority().to_owned(),
            None => api_authority(&self.site.domain).to_owned(),
        };
        transport.options.traffic.gate(&host, Way::Up).enter().await
    }

    /// Whether the registry is on this machine.
    pub(crate) fn is_loopback(&self) -> bool {
        let url = self.site.api.clone().map_or_else(|| self.url_with("http"), Ok);
        url.is_ok_and(|url| reach(&url) == Reach::Loopback)
    }

    pub(crate) fn ignores_ranges(&self) -> bool {
        self.ignores_ranges.load(Ordering::Relaxed)
    }

    pub(crate) fn note_ignored_range(&self) {
        self.ignores_ranges.store(true, Ordering::Relaxed);
    }

    /// How blobs are sent to this registry.
    pub(crate) fn upload_style(&self) -> UploadStyle {
        self.quirks.lock().unwrap_or_else(PoisonError::into_inner).upload
    }

    /// Has blobs sent in another way.
    pub(crate) fn set_upload_style(&self, style: UploadStyle) {
        self.quirks.lock().unwrap_or_else(PoisonError::into_inner).upload = style;
    }

    /// Whether a blob may come in several requests.
    pub(crate) fn takes_chunks(&self) -> bool {
        self.quirks.lock().unwrap_or_else(PoisonError::into_inner).takes_chunks
    }

    /// Whether its word that it keeps a referrer is enough.
    pub(crate) fn keeps_referrers(&self) -> bool {
        self.quirks.lock().unwrap_or_else(PoisonError::into_inner).keeps_referrers
    }

    /// Whether reads of manifests count against a limit, and HEADs do not.
    pub(crate) fn counts_reads(&self) -> bool {
        self.quirks.lock().unwrap_or_else(PoisonError::into_inner).counts_reads
    }

    #[cfg(test)]
    pub(crate) fn doubt_referrers(&self) {
        self.quirks.lock().unwrap_or_else(PoisonError::into_inner).keeps_referrers = false;
    }

    /// Has blobs sent in smaller requests, after one was too large; `false` when they cannot be any smaller.
    pub(crate) fn shrink_uploads(&self) -> bool {
        let mut quirks = self.quirks.lock().unwrap_or_else(PoisonError::into_inner);
        let smaller = match quirks.upload {
            _ if !quirks.takes_chunks => return false,
            UploadStyle::Put | UploadStyle::Patch => CHUNK_BYTES_FIRST,
            UploadStyle::Chunks(size) if size > CHUNK_BYTES_MIN => (size / 4).max(CHUNK_BYTES_MIN),
            UploadStyle::Chunks(_) => return false,
        };
        tracing::info!(domain = self.site.domain, smaller, "the registry wants smaller requests");
        quirks.upload = UploadStyle::Chunks(smaller);
        true
    }

    /// The refresh token that the token service gave at login.
    pub(crate) fn refresh_token(&self) -> Option<Secret> {
        self.authenticator.refresh_token()
    }

    fn url_with(&self, scheme: &str) -> Result<Url> {
        let domain = &self.site.domain;
        Url::parse(&format!("{scheme}://{}/", api_authority(domain)))
            .map_err(|error| Error::new(Kind::Invalid, format!("invalid registry name {domain:?}: {error}")))
    }

    /// Schemes in the order they are tried. On this machine plain HTTP comes first: nobody else hears it, and registries
    /// there seldom have certificates. Who asks for certificates to be checked wants HTTPS there, too.
    fn candidates(&self) -> Result<Vec<Url>> {
        if let Some(api) = &self.site.api {
            return Ok(vec![api.clone()]);
        }
        let (plain, tls) = (self.url_with("http")?, self.url_with("https")?);
        Ok(match (reach(&plain), self.security.verify) {
            _ if self.security.demands_tls => vec![tls],
            (Reach::Loopback, _) => vec![plain, tls],
            (_, true) => vec![tls],
            (_, false) => vec![tls, plain],
        })
    }

    /// Sends a request. The answer may have any status.
    pub(crate) async fn send(&self, transport: &Transport, call: &Call) -> Result<Answer> {
        if let Some(base) = self.base.get() {
            return Ok(self.authenticated(transport, base, call, true).await?);
        }
        let guard = self.first_contact.lock().await;
        if let Some(base) = self.base.get() {
            drop(guard);
            return Ok(self.authenticated(transport, base, call, true).await?);
        }
        let (base, answer) = self.make_contact(transport, call).await?;
        self.base.get_or_init(|| base);
        Ok(answer)
    }

    /// The first request finds out which scheme the registry speaks: no request is made only for that.
    async fn make_contact(&self, transport: &Transport, call: &Call) -> Result<(Url, Answer)> {
        let candidates = self.candidates()?;
        let [first, second] = candidates.as_slice() else {
            let answer = self.authenticated(transport, &candidates[0], call, true).await?;
            return Ok((candidates[0].clone(), answer));
        };
        let plain_first = first.scheme() == "http";
        let refused = match self.authenticated(transport, first, call, false).await {
            // What a TLS server answers to plain HTTP: a 400 (Go, nginx), or something that is not HTTP at all.
            Ok(answer) if plain_first && answer.status() == StatusCode::BAD_REQUEST => Ok(answer),
            Ok(answer) => return Ok((first.clone(), answer)),
            Err(failure) if !failure.is_transport => return Err(failure.into()),
            // Both schemes share a port on this machine, so that a refused connection is refused for both.
            Err(failure) if plain_first && failure.is_unreachable() => return Err(failure.into()),
            Err(failure) => Err(failure),
        };
        match self.authenticated(transport, second, call, false).await {
            Ok(answer) => Ok((second.clone(), answer)),
            Err(failure) if !failure.is_transport => Err(failure.into()),
            Err(failure) => match refused {
                Ok(answer) => Ok((first.clone(), answer)),
                Err(before) if before.is_unreachable() && failure.is_unreachable() => Err(failure.into()),
                // Neither scheme worked: the first one's failure may have been one that passes.
                Err(_) => Ok((first.clone(), self.authenticated(transport, first, call, true).await?)),
            },
        }
    }

    async fn authenticated(
        &self,
        transport: &Transport,
        base: &Url,
        call: &Call,
        retry: bool,
    ) -> Result<Answer, Failure> {
        let url = match &call.target {
            Target::Path(path) => {
                let path = self.api_path(path);
                base.join(&path).map_err(|error| Error::new(Kind::Invalid, format!("{path}: {error}")))?
            }
            Target::Url(url) => url.clone(),
        };
        let is_own = same_origin(&url, base);
        let mut scopes = call.scopes.clone();
        let mut rounds = 0;
        loop {
            let (shown, own) = match is_own {
                true => self.own_headers(transport, &call.method, &url, &scopes).await?,
                false => (Shown::Nothing, HeaderMap::new()),
            };
            let answer = self.follow(transport, base, url.clone(), call, own.clone(), retry).await?;
            let refused = answer.status() == StatusCode::UNAUTHORIZED && is_own && !answer.is_foreign;
            if !refused || rounds == AUTHENTICATIONS_MAX {
                return Ok(answer);
            }
            let shown = (shown, own.get(AUTHORIZATION));
            if !self.authenticator.learn(transport, base, &answer, shown, &mut scopes).await? {
                return Ok(answer);
            }
            rounds += 1;
        }
    }

    /// A path of the API as this registry has it.
    fn api_path(&self, path: &str) -> String {
        let mut path = path.to_owned();
        if let (Some(api), Some(rest)) = (&self.site.api, path.strip_prefix("/v2")) {
            path = format!("{}{rest}", api.path().trim_end_matches('/'));
        }
        if let Some(namespace) = &self.site.namespace {
            path.push(if path.contains('?') { '&' } else { '?' });
            path.extend(["ns=", namespace]);
        }
        path
    }

    /// What a request to the registry has and no other host gets to see: who asks, and what the user configured.
    async fn own_headers(
        &self,
        transport: &Transport,
        method: &Method,
        url: &Url,
        scopes: &[String],
    ) -> Result<(Shown, HeaderMap)> {
        let (shown, authorization) = self.authenticator.authorize(transport, method, url, scopes).await?;
        // What the user set for registries is not for those that stand in for one.
        let mut headers = if self.site.is_mirror { HeaderMap::new() } else { transport.headers.clone() };
        headers.extend(self.headers.clone());
        headers.extend(authorization.map(|value| (AUTHORIZATION, value)));
        Ok((shown, headers))
    }

    /// Sends a request whose body is a stream, once, without redirects.
    pub(crate) async fn send_stream(
        &self,
        transport: &Transport,
        call: &Call,
        body: reqwest::Body,
        length: u64,
    ) -> Result<Answer> {
        let Target::Url(url) = &call.target else {
            return Err(Error::new(Kind::Internal, "a streamed request needs the location that the registry gave"));
        };
        let base = self.base.get().ok_or_else(|| Error::new(Kind::Internal, "a stream cannot be a first request"))?;
        let own = match same_origin(url, base) {
            true => self.own_headers(transport, &call.method, url, &call.scopes).await?.1,
            false => HeaderMap::new(),
        };
        let attempt = self.attempt(call, url.clone(), &own);
        let answer = self.received(transport, base, transport.send_stream(&attempt, body, length).await?);
        if answer.status() == StatusCode::UNAUTHORIZED {
            self.authenticator.forget_token(own.get(AUTHORIZATION));
        }
        Ok(answer)
    }

    /// Notes whose answer it is; the registry's own may have warnings.
    fn received(&self, transport: &Transport, base: &Url, mut answer: Answer) -> Answer {
        answer.is_foreign = !same_origin(&answer.url, base);
        if !answer.is_foreign {
            transport.warnings.note(&self.site.domain, answer.headers());
            transport.limits.note(&self.site.domain, answer.headers());
        }
        answer
    }

    /// Follows redirects by hand, so that nothing meant for the registry goes anywhere else.
    async fn follow(
        &self,
        transport: &Transport,
        base: &Url,
        mut url: Url,
        call: &Call,
        mut own: HeaderMap,
        retry: bool,
    ) -> Result<Answer, Failure> {
        for _ in 0..=REDIRECTS_MAX {
            let attempt = self.attempt(call, url.clone(), &own);
            // Where another place is asked next, that is better than to wait.
            let answer = match self.site.is_mirror {
                true => transport.send_once(&attempt).await?,
                false => transport.send_with_retries(&attempt, retry).await?,
            };
            let answer = self.received(transport, base, answer);
            let target = if is_redirect(answer.status()) { answer.location()? } else { None };
            let Some(target) = target else { return Ok(answer) };
            check_redirect(base, &answer, &target)?;
            if !same_origin(&url, &target) {
                // Once gone, never back: a later hop could be anybody's choice.
                own.clear();
            }
            url = target;
        }
        let message = format!("{}: stopped after {REDIRECTS_MAX} redirects", request_words(&call.method, &url));
        Err(Error::new(Kind::Unsupported, message).into())
    }

    fn attempt(&self, call: &Call, url: Url, own: &HeaderMap) -> Attempt {
        let mut headers = own.clone();
        headers.extend(call.headers.clone());
        let security = Arc::clone(&self.security);
        Attempt {
            method: call.method.clone(),
            url,
            headers,
            body: call.body.clone(),
            patience: call.patience,
            security,
            gated: call.gated,
            bulk: call.bulk,
        }
    }
}

/// The headers that the configuration has for a registry. What cannot be sent is left out, with a warning.
fn site_headers(site: &Site) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in &site.headers {
        let pair = HeaderName::try_from(name.as_str()).ok().zip(HeaderValue::try_from(value.expose()).ok());
        match pair {
            Some((name, mut value)) => {
                value.set_sensitive(true);
                headers.append(name, value);
            }
            None => tracing::warn!("{}: the header {name:?} of its hosts.toml cannot be sent", site.domain),
        }
    }
    headers
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

fn check_redirect(base: &Url, answer: &Answer, target: &Url) -> Result<()> {
    let refused = |why: &str| {
        let words = request_words(&answer.method, &answer.url);
        Err(Error::new(Kind::Denied, format!("{words}: the redirect to {} is refused: {why}", shown(target))))
    };
    if answer.url.scheme() == "https" && target.scheme() != "https" {
        return refused("it leaves HTTPS");
    }
    if !may_lead(base, target) {
        return refused("the address is in a private network");
    }
    let is_read = matches!(answer.method, Method::GET | Method::HEAD);
    let keeps_method = matches!(answer.status().as_u16(), 307 | 308);
    if is_read || (keeps_method && same_origin(&answer.url, target)) {
        return Ok(());
    }
    refused("only reads may be redirected to another host")
}
