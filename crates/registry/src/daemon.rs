//! A Docker engine, as far as images go in and out of it: its API's `GET /images/get` and `POST /images/load`.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use dhow_base::{Error, Kind, Result, limits};
use dhow_content::ByteStream;
use futures::{StreamExt, TryStreamExt};
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE};
use reqwest::{Response, StatusCode};
use serde::Deserialize;
use url::Url;

/// Where an engine listens unless something else is said.
pub const DEFAULT_HOST: &str = "unix:///var/run/docker.sock";

/// How long an engine may be silent: it packs and unpacks whole images between two bytes.
const PATIENCE: Duration = Duration::from_secs(15 * 60);

/// Bytes read from the archive at once.
const CHUNK_BYTES: usize = 256 << 10;

/// The way to a Docker engine.
#[derive(Debug)]
pub struct Daemon {
    client: reqwest::Client,
    base: Url,
    host: String,
}

#[derive(Deserialize)]
struct Refusal {
    message: String,
}

/// A line of what the engine says while it loads.
#[derive(Deserialize)]
struct Line {
    #[serde(default)]
    error: Option<String>,
}

impl Daemon {
    /// Prepares the way; nothing is opened yet. `host` is `unix://PATH` or `tcp://HOST:PORT`, as in `DOCKER_HOST`.
    ///
    /// # Errors
    /// [`Kind::Invalid`] for anything else.
    pub fn new(host: &str) -> Result<Self> {
        let builder = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
        let (builder, base) = match host.split_once("://") {
            Some(("unix", path)) if path.starts_with('/') => {
                (builder.unix_socket(Path::new(path)), "http://docker/".to_owned())
            }
            Some(("tcp" | "http", authority)) if !authority.is_empty() => (builder, format!("http://{authority}/")),
            _ => {
                let message = format!("{host:?} is no address of a Docker engine");
                return Err(Error::new(Kind::Invalid, message).with_hint("give unix:///PATH or tcp://HOST:PORT"));
            }
        };
        let base = Url::parse(&base).map_err(|error| Error::new(Kind::Invalid, format!("{host:?}: {error}")))?;
        let client = builder.build().map_err(|error| {
            Error::new(Kind::Internal, format!("cannot prepare the way to {host}: {}", error.without_url()))
        })?;
        Ok(Self { client, base, host: host.to_owned() })
    }

    /// The image of that name or ID as `docker save` writes it.
    ///
    /// # Errors
    /// [`Kind::NotFound`] in the engine's words; [`Kind::Unavailable`] when it cannot be reached.
    pub async fn save(&self, name: &str) -> Result<ByteStream> {
        let mut url = self.url("images/get")?;
        url.query_pairs_mut().append_pair("names", name);
        let response = self.answer(self.client.get(url)).await?;
        let host = self.host.clone();
        let stream = response.bytes_stream().map_err(move |error| broke(&host, &error.without_url()));
        Ok(stream.boxed())
    }

    /// Loads an archive of `length` bytes, read from the file's position on.
    ///
    /// # Errors
    /// The engine's, in its words; [`Kind::Unavailable`] when it cannot be reached.
    pub async fn load(&self, archive: File, length: u64) -> Result<()> {
        let mut url = self.url("images/load")?;
        url.query_pairs_mut().append_pair("quiet", "1");
        let body = futures::stream::try_unfold(archive, |mut archive| async move {
            let mut chunk = vec![0; CHUNK_BYTES];
            let count = archive.read(&mut chunk)?;
            chunk.truncate(count);
            Ok::<_, std::io::Error>((count > 0).then(|| (Bytes::from(chunk), archive)))
        });
        let request = self.client.post(url).header(CONTENT_TYPE, "application/x-tar").header(CONTENT_LENGTH, length);
        let response = self.answer(request.body(reqwest::Body::wrap_stream(body))).await?;
        let said = self.text(response).await?;
        // One JSON object a line; a failure is one of them, since the answer has begun by then.
        let failed =
            said.lines().filter_map(|line| serde_json::from_str::<Line>(line).ok()).find_map(|line| line.error);
        match failed {
            None => Ok(()),
            Some(error) => Err(Error::new(Kind::Invalid, format!("the engine at {}: {error}", self.host))),
        }
    }

    fn url(&self, path: &str) -> Result<Url> {
        self.base.join(path).map_err(|error| Error::new(Kind::Internal, format!("{path}: {error}")))
    }

    async fn answer(&self, request: reqwest::RequestBuilder) -> Result<Response> {
        let response = match tokio::time::timeout(PATIENCE, request.send()).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => {
                let error = error.without_url();
                let why = crate::failure::innermost(&error);
                let message = format!("cannot reach the Docker engine at {}: {why}", self.host);
                return Err(
                    Error::new(Kind::Unavailable, message).with_hint("is it running? DOCKER_HOST says where it is")
                );
            }
            Err(_) => {
                let message = format!("the Docker engine at {} does not answer", self.host);
                return Err(Error::new(Kind::Unavailable, message));
            }
        };
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let said = self.text(response).await.unwrap_or_default();
        let message = serde_json::from_str::<Refusal>(&said).map_or(said, |refusal| refusal.message);
        // What an engine has not, older ones report as a failure of their own.
        let is_missing = status == StatusCode::NOT_FOUND || message.contains("does not exist");
        let kind = if is_missing { Kind::NotFound } else { Kind::Invalid };
        Err(Error::new(kind, format!("the engine at {}: {message}", self.host)))
    }

    async fn text(&self, response: Response) -> Result<String> {
        let mut stream = response.bytes_stream();
        let mut said = Vec::new();
        while let Some(bytes) = stream.next().await {
            said.extend_from_slice(&bytes.map_err(|error| broke(&self.host, &error.without_url()))?);
            if said.len() as u64 > limits::API_BODY_BYTES_MAX {
                let message = format!("the engine at {} says too much", self.host);
                return Err(Error::new(Kind::LimitExceeded, message));
            }
        }
        Ok(String::from_utf8_lossy(&said).into_owned())
    }
}

fn broke(host: &str, error: &reqwest::Error) -> Error {
    let why = crate::failure::innermost(error);
    Error::new(Kind::Unavailable, format!("the connection to the Docker engine at {host} broke: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for (host, base) in [(DEFAULT_HOST, "http://docker/"), ("tcp://127.0.0.1:2375", "http://127.0.0.1:2375/")] {
            assert_eq!(Daemon::new(host).expect(host).base.as_str(), base);
        }
        for host in ["", "unix://relative", "ssh://host", "/var/run/docker.sock", "tcp://"] {
            assert_eq!(Daemon::new(host).expect_err(host).kind(), Kind::Invalid);
        }
    }
}
