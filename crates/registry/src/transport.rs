//! One HTTP request and its answer, without a thought for registries: connections, retries, errors in words.

use std::collections::HashSet;
use std::path::Path;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use dhow_base::{Error, Kind, Result};
use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use url::Url;

use crate::client::ClientOptions;
use crate::config::certs::Tls;
use crate::config::site::Site;
use crate::courtesy::RateLimits;
use crate::failure::{Failure, classify};
use crate::gate::Permit;
use crate::host::{Reach, api_authority, reach, shown};
use crate::retry::{is_overload, is_retryable, retry_after};
use crate::traffic::Way;
use crate::warning::Warnings;
use connections::Kinds;

mod answer;
mod connections;

pub(crate) use answer::Answer;

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
    /// Whether the user said that it must be HTTPS, also on this machine.
    pub(crate) demands_tls: bool,
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
        let demands_tls = tls_verify == Some(true);
        Self { verify, trusts_plain, demands_tls, tls: Arc::clone(&site.tls), host, dial_timeout: site.dial_timeout }
    }

    /// For a URL that the user gave, whatever it is of: with no certificates but the system's.
    pub(crate) fn of_address(verify: bool) -> Self {
        Self { verify, trusts_plain: true, demands_tls: false, tls: Arc::default(), host: None, dial_timeout: None }
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
    /// A host that never answered is not tried again when it cannot be reached: its name or port is wrong more often
    /// than it is just starting. Who breaks a connection off is there.
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
                    let worth_it = !failure.is_unreachable() || self.has_reached(&attempt.url);
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
