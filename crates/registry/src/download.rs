//! A file behind a URL that the user gave, for `import`: no registry, so no token, no credential that is kept, no mirror.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dhow_base::{Error, Kind, Result};
use futures::Stream;
use reqwest::header::HeaderMap;
use reqwest::{Method, StatusCode};
use url::Url;

use crate::client::Client;
use crate::host::{may_lead, same_origin, shown, without_userinfo};
use crate::transport::{Answer, Attempt, Security};

/// Most redirects that are followed, as Go does.
const REDIRECTS_MAX: usize = 10;

/// Most of a refusal's body that is shown, in bytes.
const REFUSAL_BYTES_MAX: u64 = 4096;

/// A file on its way.
#[derive(Debug)]
pub struct Download {
    answer: Answer,
    /// How long the server may stand still.
    patience: Duration,
}

impl Download {
    /// The length that the server announces, in bytes.
    pub fn length(&self) -> Option<u64> {
        self.answer.content_length()
    }

    /// The bytes as they come.
    ///
    /// # Errors
    /// Of the stream: [`Kind::Unavailable`] when it breaks off or stands still.
    pub fn stream(self) -> impl Stream<Item = Result<Bytes>> + Send + 'static {
        self.answer.stream(self.patience)
    }
}

/// A URL as it may be shown and noted: without what may be a password or a token.
pub fn shown_url(url: &str) -> String {
    Url::parse(url).map_or_else(|_| without_userinfo(url), |url| shown(&url))
}

impl Client {
    /// Asks for the file behind an `http` or `https` URL. A name and a password in it are for its own origin. Certificates are
    /// checked unless [`tls_verify`](crate::ClientOptions::tls_verify) is off; redirects are followed, but neither from HTTPS
    /// to plain HTTP nor from the outside to the inside of a network.
    ///
    /// # Errors
    /// [`Kind::Invalid`] for what is no such URL or a redirect that is not followed; [`Kind::NotFound`] and
    /// [`Kind::Unavailable`] with the server's status; those of reaching it.
    pub async fn download(&self, url: &str) -> Result<Download> {
        let transport = self.transport();
        let invalid = |why: &str| Error::new(Kind::Invalid, format!("{:?}: {why}", without_userinfo(url)));
        let first = Url::parse(url).map_err(|error| invalid(&error.to_string()))?;
        if !matches!(first.scheme(), "http" | "https") || !first.has_host() {
            return Err(invalid("it is no HTTP address"));
        }
        let security = Security::of_address(transport.options.tls_verify.unwrap_or(true));
        let mut attempt = Attempt {
            method: Method::GET,
            url: first.clone(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
            patience: None,
            security: Arc::new(security),
            gated: false,
            bulk: true,
        };
        for _ in 0..=REDIRECTS_MAX {
            let answer = transport.send_with_retries(&attempt, true).await?;
            if !answer.status().is_redirection() || answer.status() == StatusCode::NOT_MODIFIED {
                return opened(answer, transport.options.body_patience).await;
            }
            attempt.url = next(&first, &attempt.url, &answer)?;
        }
        Err(Error::new(Kind::Invalid, format!("{}: more than {REDIRECTS_MAX} redirects", shown(&first))))
    }
}

/// Where a redirect leads.
fn next(first: &Url, from: &Url, answer: &Answer) -> Result<Url> {
    let refused = |why: &str| Error::new(Kind::Invalid, format!("{}: {why}", shown(from)));
    let mut next = answer.location()?.ok_or_else(|| refused("a redirect that leads nowhere"))?;
    if from.scheme() == "https" && next.scheme() == "http" {
        return Err(refused("it is redirected from HTTPS to plain HTTP, which is not followed"));
    }
    if !may_lead(first, &next) {
        return Err(refused(&format!("it is redirected to {}, which only this machine can see", shown(&next))));
    }
    if !same_origin(&next, from) {
        // What another server puts there is none of the user's.
        let _ = next.set_username("");
        let _ = next.set_password(None);
    }
    Ok(next)
}

/// A file, or what the server says instead.
async fn opened(answer: Answer, patience: Duration) -> Result<Download> {
    let status = answer.status();
    if status.is_success() {
        return Ok(Download { answer, patience });
    }
    let name = shown(&answer.url);
    let kind = match status.as_u16() {
        404 | 410 => Kind::NotFound,
        401 | 407 => Kind::Unauthorized,
        403 => Kind::Denied,
        429 => Kind::RateLimited,
        _ if status.is_server_error() => Kind::Unavailable,
        _ => Kind::Invalid,
    };
    let said = answer.bytes(REFUSAL_BYTES_MAX).await.unwrap_or_default();
    let text: String = String::from_utf8_lossy(&said).chars().filter(|letter| !letter.is_control()).take(200).collect();
    let said = if text.trim().is_empty() { String::new() } else { format!(": {}", text.trim()) };
    // In docker's words (moby `builder/remotecontext`).
    Err(Error::new(kind, format!("failed to GET {name} with status {status}{said}")))
}
