//! Connections: one client of the HTTP library for each kind that must not be mixed with others.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use dhow_base::{Error, Kind, Result};
use reqwest::ClientBuilder;
use reqwest::redirect::Policy;

use super::{Attempt, Transport};
use crate::config::certs::Tls;
use crate::failure::innermost;
use crate::host::{Reach, reach};

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

/// What tells connections apart that must not be mixed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Kinds {
    is_loopback: bool,
    verify: bool,
    /// Certificates, where there are any.
    tls: Option<Arc<Tls>>,
    identifies: bool,
    dial_timeout: Option<Duration>,
    /// Which of several connections with HTTP/2, where one would carry everything.
    lane: usize,
}

impl Transport {
    /// The client for a request, built when it is first needed.
    pub(super) fn client(&self, attempt: &Attempt) -> Result<reqwest::Client> {
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
            let why = match innermost(&error) {
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
