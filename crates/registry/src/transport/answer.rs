//! The answer to a request, and its body as it comes.

use std::time::Duration;

use bytes::Bytes;
use dhow_base::{Error, Kind, Result, limits};
use futures::{Stream, StreamExt};
use reqwest::header::{HeaderMap, LOCATION};
use reqwest::{Method, StatusCode};
use url::Url;

use crate::error::WireError;
use crate::failure::innermost;
use crate::gate::Permit;
use crate::host::shown;
use crate::traffic::Traffic;

/// How long each read of a small body may take.
const BODY_PATIENCE: Duration = Duration::from_secs(30);

/// How long each read of an error's body may take: the error is known without it.
const ERROR_BODY_PATIENCE: Duration = Duration::from_secs(5);

/// The answer to a request; its body is still to be read.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(super) response: reqwest::Response,
    pub(crate) method: Method,
    /// Where the answer came from: the last of the redirects.
    pub(crate) url: Url,
    /// Whether that is another origin than the registry's.
    pub(crate) is_foreign: bool,
    /// Held until the body has come.
    pub(super) permit: Option<Permit>,
    pub(super) traffic: Traffic,
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
                    let why = format!("the connection broke: {}", innermost(&error.without_url()));
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
