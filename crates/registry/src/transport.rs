//! One HTTP request and its answer, without a thought for registries: connections, retries, errors in words.

use std::collections::HashSet;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use dhow_base::{Error, Kind, Result, limits};
use futures::{Stream, StreamExt};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue, LOCATION};
use reqwest::redirect::Policy;
use reqwest::{ClientBuilder, Method, StatusCode};
use url::Url;

use crate::client::ClientOptions;
use crate::config::certs::Tls;
use crate::config::site::Site;
use crate::courtesy::RateLimits;
use crate::error::WireError;
use crate::failure::{Failure, classify};
use crate::gate::Permit;
use crate::host::{Reach, api_authority, reach, shown};
use crate::retry::{is_overload, is_retryable, retry_after};
use crate::traffic::{Traffic, Way};
use crate::warning::Warnings;

/// How long a connection may take to be made.
const CONNECT_PATIENCE: Duration = Duration::from_secs(30);

/// After so long without a byte the other side is asked whether it still knows the connection. One whose reset got lost would
/// be waited for until the end of all patience; a server that is only slow answers.
const KEEPALIVE: Duration = Duration::from_secs(5);

/// Flow-control windows of HTTP/2 in bytes. The protocol's default of 64 KiB would hold a transfer over 50 ms to 1.3 MB/s.
/// All windows together are the most that waits in memory when the store is slower than the network.
const STREAM_WINDOW: u32 = 4 << 20;
const CONNECTION_WINDOW: u32 = 8 << 20;

/// Connections with HTTP/2 that long bodies have beside the first: registries and the networks before them hold single
/// connections to a rate, and on a lossy way the congestion window of one is not enough.
const LANES: usize = 8;
const LANE_WINDOW: u32 = 3 << 20;

/// A request that can be sent again.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// How long the answer may take, where that is not what the options say.
    pub(crate) patience: Option<Duration>,
    pub(crate) security: Arc<Security>,
    /// Whether it passes the host's gate. What somebody with a permit waits for does not: it would wait for itself.
    pub(crate) gated: bool,
    /// Whether one body is so long that it should not share its connection with others.
    pub(crate) bulk: bool,
}

/// How a registry is spoken to, and the hosts that it leads to.
#[derive(Debug)]
pub(crate) struct Security {
    /// Whether certificates are checked.
    pub(crate) verify: bool,
    /// Whether the user wants plain HTTP to do.
    pub(crate) trusts_plain: bool,
    /// Certificates. Those of this client are shown to the registry's own host alone.
    tls: Arc<Tls>,
    host: Option<String>,
    /// How long a connection may take to be made, where that is configured.
    dial_timeout: Option<Duration>,
}

impl Security {
    /// For a registry; `tls_verify` is what the user said for this run.
    pub(crate) fn of(site: &Site, tls_verify: Option<bool>) -> Self {
        let verify = tls_verify.unwrap_or(!site.insecure);
        let trusts_plain = !verify || site.api.as_ref().is_some_and(|api| api.scheme() == "http");
        let at = match &site.api {
            Some(api) => Some(api.clone()),
            None => Url::parse(&format!("https://{}/", api_authority(&site.domain))).ok(),
        };
        let host = at.and_then(|url| url.host_str().map(str::to_owned));
        Self { verify, trusts_plain, tls: Arc::clone(&site.tls), host, dial_timeout: site.dial_timeout }
    }

    /// For a URL that the user gave, whatever it is of: with no certificates but the system's.
    pub(crate) fn of_address(verify: bool) -> Self {
        Self { verify, trusts_plain: true, tls: Arc::default(), host: None, dial_timeout: None }
    }

    /// The host that the registry's API is at, when it is an address.
    pub(crate) fn host(&self) -> Option<&str> {
        self.host.as_deref()
    }

    /// Whether this client's certificate is for that URL.
    fn identifies_at(&self, url: &Url) -> bool {
        self.certificate_for(url).is_some()
    }

    /// Where this client's certificate for that URL was read.
    pub(crate) fn certificate_for(&self, url: &Url) -> Option<&Path> {
        let is_own = url.scheme() == "https" && url.host_str() == self.host.as_deref();
        self.tls.identities.first().filter(|_| is_own).map(|(path, _)| path.as_path())
    }
}

/// What tells connections apart that must not be mixed.
#[derive(Debug, PartialEq, Eq)]
struct Kinds {
    is_loopback: bool,
    verify: bool,
    /// Certificates, where there are any.
    tls: Option<Arc<Tls>>,
    identifies: bool,
    dial_timeout: Option<Duration>,
    /// Which of several connections with HTTP/2, where one would carry everything.
    lane: usize,
}

/// The connections of a client. Building a TLS client means loading root certificates, so each kind is built when it is
/// first needed: a run that only speaks plain HTTP never pays for it.
#[derive(Debug)]
pub(crate) struct Transport {
    pub(crate) options: ClientOptions,
    /// What every request to a registry itself has.
    pub(crate) headers: HeaderMap,
    clients: Mutex<Vec<(Kinds, reqwest::Client)>>,
    /// Counts long bodies, which take the lanes in turn.
    turns: AtomicUsize,
    /// Origins that answered at least once.
    reached: Mutex<HashSet<String>>,
    /// What registries wanted the user to know so far.
    pub(crate) warnings: Warnings,
    /// Of whose limits the user was told.
    pub(crate) limits: RateLimits,
}

impl Transport {
    pub(crate) fn new(options: ClientOptions) -> Result<Self> {
        Ok(Self {
            headers: registry_headers(&options.headers)?,
            options,
            clients: Mutex::default(),
            turns: AtomicUsize::new(0),
            reached: Mutex::default(),
            warnings: Warnings::default(),
            limits: RateLimits::default(),
        })
    }

    fn client(&self, attempt: &Attempt) -> Result<reqwest::Client> {
        let (url, security) = (&attempt.url, &attempt.security);
        let is_loopback = reach(url) == Reach::Loopback;
        // With HTTP/1.1 every request under way has a connection anyway; over TLS it may be HTTP/2, where all share one.
        let has_lanes = attempt.bulk && (!is_loopback || self.options.parts.loopback) && url.scheme() == "https";
        let lane = if has_lanes { 1 + self.turns.fetch_add(1, Ordering::Relaxed) % LANES } else { 0 };
        let tls = Some(&security.tls).filter(|tls| !tls.is_empty() && url.scheme() == "https").cloned();
        let identifies = security.identifies_at(url);
        let (verify, dial_timeout) = (security.verify && !is_loopback, security.dial_timeout);
        let kinds = Kinds { is_loopback, verify, tls, identifies, dial_timeout, lane };
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, client)) = clients.iter().find(|(known, _)| *known == kinds) {
            return Ok(client.clone());
        }
        let client = self.build(&kinds)?;
        clients.push((kinds, client.clone()));
        Ok(client)
    }

    fn build(&self, kinds: &Kinds) -> Result<reqwest::Client> {
        // With HTTP/2 a stream that stands still is given up, its connection is not: without pings every further attempt
        // would go into the same silence. Both waits together end before the stream's own patience does.
        let ping = self.options.body_patience / 3;
        let builder = reqwest::Client::builder()
            .user_agent(&self.options.user_agent)
            .redirect(Policy::none())
            .referer(false)
            .connect_timeout(kinds.dial_timeout.unwrap_or(CONNECT_PATIENCE))
            .tcp_keepalive(KEEPALIVE)
            .tcp_keepalive_interval(KEEPALIVE)
            .tcp_keepalive_retries(3)
            .http2_initial_stream_window_size(if kinds.lane == 0 { STREAM_WINDOW } else { LANE_WINDOW })
            .http2_initial_connection_window_size(if kinds.lane == 0 { CONNECTION_WINDOW } else { LANE_WINDOW })
            .http2_keep_alive_interval(ping)
            .http2_keep_alive_timeout(ping)
            // Certificates prove nothing on this machine that plain HTTP, allowed there too, would not give away.
            .tls_danger_accept_invalid_certs(!kinds.verify);
        // Proxies have no way to reach what is local here.
        let builder = if kinds.is_loopback { builder.no_proxy() } else { self.options.proxies.apply(builder) };
        let tls = kinds.tls.as_deref();
        let builder = match tls {
            Some(tls) => with_certificates(builder, tls, kinds)?,
            None => builder,
        };
        builder.build().map_err(|error| {
            let error = error.without_url();
            let why = match crate::failure::innermost(&error) {
                // What `openssl x509 -req` makes without extensions.
                why if why.contains("UnsupportedCertVersion") => {
                    "a certificate is of X.509 version 1; version 3 is needed (openssl x509 -req -extfile …)".to_owned()
                }
                why => why,
            };
            match tls {
                Some(tls) => {
                    Error::new(Kind::Invalid, format!("cannot use the certificates in {}: {why}", tls.files()))
                        .with_source(error)
                }
                None => Error::new(Kind::Internal, format!("cannot set up TLS: {why}"))
                    .with_hint("are the system's root certificates (ca-certificates) installed?")
                    .with_source(error),
            }
        })
    }

    /// Sends a request once. Redirects are answers like any other here.
    pub(crate) async fn send_once(&self, attempt: &Attempt) -> Result<Answer, Failure> {
        let permit = match attempt.gated {
            true => Some(self.options.traffic.gate(&host(&attempt.url), Way::Down).enter().await),
            false => None,
        };
        let request = self.request(attempt)?.body(attempt.body.clone());
        let patience = attempt.patience.unwrap_or(self.options.response_patience);
        self.options.traffic.pace(attempt.body.len()).await;
        match tokio::time::timeout(patience, request.send()).await {
            Ok(answer) => self.answer(attempt, answer, permit).await,
            Err(_) => {
                if let Some(permit) = permit {
                    permit.overloaded(None);
                }
                Err(Failure::silence(attempt, patience))
            }
        }
    }

    /// Sends a request whose body comes as a stream of exactly `length` bytes; it cannot be repeated.
    pub(crate) async fn send_stream(
        &self,
        attempt: &Attempt,
        body: reqwest::Body,
        length: u64,
    ) -> Result<Answer, Failure> {
        let request = self.request(attempt)?.header(reqwest::header::CONTENT_LENGTH, length).body(body);
        self.answer(attempt, request.send().await, None).await
    }

    fn request(&self, attempt: &Attempt) -> Result<reqwest::RequestBuilder> {
        let client = self.client(attempt)?;
        Ok(client.request(attempt.method.clone(), attempt.url.clone()).headers(attempt.headers.clone()))
    }

    async fn answer(
        &self,
        attempt: &Attempt,
        answer: Result<reqwest::Response, reqwest::Error>,
        permit: Option<Permit>,
    ) -> Result<Answer, Failure> {
        match answer {
            Ok(response) => {
                let permit = permit.and_then(|permit| self.kept(attempt, &response, permit));
                self.reached.lock().unwrap_or_else(PoisonError::into_inner).insert(origin(&attempt.url));
                tracing::debug!(method = %attempt.method, url = shown(&attempt.url), status = response.status().as_u16());
                Ok(Answer {
                    response,
                    method: attempt.method.clone(),
                    url: attempt.url.clone(),
                    is_foreign: false,
                    permit,
                    traffic: self.options.traffic.clone(),
                })
            }
            Err(error) => {
                if let Some(permit) = permit.filter(|_| error.is_timeout()) {
                    permit.overloaded(None);
                }
                let proxies = Some(&self.options.proxies).filter(|_| reach(&attempt.url) != Reach::Loopback);
                let failure =
                    classify(attempt, error, proxies.and_then(|proxies| proxies.shown_for(&attempt.url))).await;
                tracing::debug!(method = %attempt.method, url = shown(&attempt.url), error = %failure.error);
                Err(failure)
            }
        }
    }

    /// The permit, where a body follows that it is for. An answer that is only looked at must hold nobody up: what comes of it
    /// may need another.
    fn kept(&self, attempt: &Attempt, response: &reqwest::Response, mut permit: Permit) -> Option<Permit> {
        let status = response.status();
        if is_overload(status) {
            let longest = self.options.retry.longest_retry_after;
            permit.overloaded(retry_after(response.headers()).filter(|pause| *pause <= longest));
            return None;
        }
        permit.succeeded();
        (attempt.method == Method::GET && status.is_success()).then_some(permit)
    }

    /// Sends a request, and again when the failure may pass. The last answer is returned whatever its status.
    ///
    /// A host that never answered is not tried again when the connection fails: its name or port is wrong more often
    /// than it is just starting.
    pub(crate) async fn send_with_retries(&self, attempt: &Attempt, retry_transport: bool) -> Result<Answer, Failure> {
        let policy = &self.options.retry;
        let mut failed = 0;
        loop {
            let outcome = self.send_once(attempt).await;
            failed += 1;
            let pause = match &outcome {
                Ok(answer) if is_retryable(answer.status()) => policy.pause(failed, retry_after(answer.headers())),
                Err(failure) if failure.may_pass() && failure.is_connect && policy.trusts_names => {
                    policy.pause(failed, None)
                }
                Err(failure) if failure.may_pass() && retry_transport => {
                    let worth_it = !failure.is_connect || self.has_reached(&attempt.url);
                    policy.pause(failed, None).filter(|_| worth_it)
                }
                _ => None,
            };
            let Some(pause) = pause else { return outcome };
            drop(outcome);
            tracing::info!(url = shown(&attempt.url), ?pause, failed, "trying again");
            tokio::time::sleep(pause).await;
        }
    }

    fn has_reached(&self, url: &Url) -> bool {
        self.reached.lock().unwrap_or_else(PoisonError::into_inner).contains(&origin(url))
    }
}

/// Adds the certificates of a registry: authorities to those of the system, and this client's for the registry itself.
fn with_certificates(mut builder: ClientBuilder, tls: &Tls, kinds: &Kinds) -> Result<ClientBuilder> {
    let unusable = |path: &Path| Error::new(Kind::Invalid, format!("cannot use the certificates in {path:?}"));
    for (path, pem) in tls.authorities.iter().filter(|_| kinds.verify) {
        let found = reqwest::Certificate::from_pem_bundle(pem).map_err(|_| unusable(path))?;
        builder = builder.tls_certs_merge(found);
    }
    if let Some((path, pem)) = tls.identities.first().filter(|_| kinds.identifies) {
        if tls.identities.len() > 1 {
            tracing::debug!(?path, "the first of several client certificates is shown");
        }
        let identity = reqwest::Identity::from_pem(pem.expose().as_bytes()).map_err(|_| unusable(path))?;
        builder = builder.identity(identity);
    }
    Ok(builder)
}

/// Headers that the user configured. Their values may be secrets, so that they are in no message.
fn registry_headers(pairs: &[(String, String)]) -> Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        let invalid = || Error::new(Kind::Invalid, format!("the header {name:?} of the configuration cannot be sent"));
        let name = HeaderName::try_from(name.as_str()).map_err(|_| invalid())?;
        let mut value = HeaderValue::try_from(value.as_str()).map_err(|_| invalid())?;
        value.set_sensitive(true);
        headers.append(name, value);
    }
    Ok(headers)
}

/// Name and port of a host, whatever is spoken there.
fn host(url: &Url) -> String {
    format!("{}:{}", url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or_default())
}

fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}

/// The answer to a request; its body is still to be read.
#[derive(Debug)]
pub(crate) struct Answer {
    response: reqwest::Response,
    pub(crate) method: Method,
    /// Where the answer came from: the last of the redirects.
    pub(crate) url: Url,
    /// Whether that is another origin than the registry's.
    pub(crate) is_foreign: bool,
    /// Held until the body has come.
    permit: Option<Permit>,
    traffic: Traffic,
}

impl Answer {
    pub(crate) fn status(&self) -> StatusCode {
        self.response.status()
    }

    pub(crate) fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    /// A header as text; unreadable ones count as absent.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers().get(name)?.to_str().ok()
    }

    /// The `Location` header as an absolute URL (it may be relative, RFC 9110 §10.2.2).
    pub(crate) fn location(&self) -> Result<Option<Url>> {
        let Some(text) = self.header(LOCATION.as_str()) else { return Ok(None) };
        let target = self.url.join(text).ok().filter(|url| url.has_host() && matches!(url.scheme(), "http" | "https"));
        match target {
            Some(target) => Ok(Some(target)),
            None => {
                let message = format!("{}: the answer leads to what is no HTTP address", shown(&self.url));
                Err(Error::new(Kind::Invalid, message))
            }
        }
    }

    /// The length that the answer announces, in bytes. Also right for HEAD.
    pub(crate) fn content_length(&self) -> Option<u64> {
        self.header("content-length")?.trim().parse().ok()
    }

    /// The body as it comes. Each wait is limited, the length is not.
    pub(crate) fn stream(self, patience: Duration) -> impl Stream<Item = Result<Bytes>> + Send + 'static {
        let name = shown(&self.url);
        let failed = move |why: String| Error::new(Kind::Unavailable, format!("{name}: {why}"));
        let (stream, permit, traffic) = (Box::pin(self.response.bytes_stream()), self.permit, self.traffic);
        futures::stream::unfold(Some((stream, permit, traffic, failed)), move |state| async move {
            let (mut stream, permit, traffic, failed) = state?;
            match tokio::time::timeout(patience, stream.next()).await {
                Ok(None) => None,
                Ok(Some(Ok(bytes))) => {
                    if let Some(permit) = &permit {
                        permit.moved(bytes.len());
                    }
                    traffic.pace(bytes.len()).await;
                    Some((Ok(bytes), Some((stream, permit, traffic, failed))))
                }
                Ok(Some(Err(error))) => {
                    let why = format!("the connection broke: {}", crate::failure::innermost(&error.without_url()));
                    Some((Err(failed(why)), None))
                }
                Err(_) => {
                    if let Some(permit) = &permit {
                        permit.overloaded(None);
                    }
                    Some((Err(failed(format!("no bytes came for {} seconds", patience.as_secs()))), None))
                }
            }
        })
    }

    /// The whole body.
    ///
    /// # Errors
    /// [`Kind::LimitExceeded`] when it is longer than `bytes_max`; [`Kind::Unavailable`] when it breaks off.
    pub(crate) async fn bytes(self, bytes_max: u64) -> Result<Vec<u8>> {
        let name = shown(&self.url);
        let too_long =
            || Error::new(Kind::LimitExceeded, format!("{name}: the answer is longer than {bytes_max} bytes"));
        if self.method != Method::HEAD && self.content_length().is_some_and(|length| length > bytes_max) {
            return Err(too_long());
        }
        let mut body = Vec::new();
        let mut stream = Box::pin(self.stream(BODY_PATIENCE));
        while let Some(bytes) = stream.next().await {
            body.extend_from_slice(&bytes?);
            if body.len() as u64 > bytes_max {
                return Err(too_long());
            }
        }
        Ok(body)
    }

    /// The error that this answer is. A body that cannot be read counts as empty.
    pub(crate) async fn wire_error(self) -> WireError {
        let (status, headers) = (self.status(), self.headers().clone());
        if self.is_foreign {
            return WireError::foreign(status, self.url.host_str().unwrap_or_default());
        }
        let mut body = Vec::new();
        let mut stream = Box::pin(self.stream(ERROR_BODY_PATIENCE));
        while let Some(Ok(bytes)) = stream.next().await {
            body.extend_from_slice(&bytes);
            if body.len() as u64 > limits::ERROR_BODY_BYTES_MAX {
                break;
            }
        }
        WireError::read(status, &headers, &body)
    }
}

/// How long each read of a small body may take.
const BODY_PATIENCE: Duration = Duration::from_secs(30);

/// How long each read of an error's body may take: the error is known without it.
const ERROR_BODY_PATIENCE: Duration = Duration::from_secs(5);
