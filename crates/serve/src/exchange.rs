//! Requests as bytes and their answers as bytes, without a socket.
//!
//! Everything that a client can say goes through here as it does in a server: heads, queries, bodies, chunks, certificates
//! aside. So one fuzz target meets all parsers of headers and bodies, in the order in which a client does.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use dhow_base::{Error, Kind, Result};
use hyper::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex, split};

use crate::access::Identities;
use crate::configuration::{Configuration, Source};
use crate::live::Live;
use crate::options::{ObjectStorage, ServeOptions};
use crate::registry::Registry;
use crate::server::builder;
use crate::storage::{Bucket, bucket};

/// What a connection holds of either direction, in bytes.
const BUFFER_BYTES: usize = 64 << 10;

/// A registry in memory, whose requests come as bytes.
#[derive(Debug)]
pub struct Exchange {
    bucket: Bucket,
}

impl Exchange {
    /// An empty registry.
    ///
    /// # Errors
    /// None that memory has.
    pub async fn new() -> Result<Self> {
        Ok(Self { bucket: bucket::open(&ObjectStorage::new("memory://"), false).await? })
    }

    /// What a server with this configuration answers to a client that sends these bytes and nothing more.
    ///
    /// # Errors
    /// [`Kind::Invalid`] when the configuration cannot be.
    pub async fn answer(&self, configuration: &Configuration, requests: &[u8]) -> Result<Vec<u8>> {
        let source = Source { overrides: configuration.clone(), ..Source::default() };
        let options = ServeOptions { limits: configuration.limits()?, source: source.clone(), ..ServeOptions::new("") };
        let mut builder = builder(&options.limits);
        // The end of what is sent is not the end of what is wanted.
        builder.http1().half_close(true);
        let (registry, _unused) = Registry::new(self.bucket.clone(), Live::open(source)?, None, options);
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(Identities::default());
            let answer = Arc::clone(&registry).answer(request, None, SocketAddr::from(([127, 0, 0, 1], 1)));
            async move { Ok::<_, Infallible>(answer.await) }
        });
        let (client, server) = duplex(BUFFER_BYTES);
        let serving = builder.serve_connection(TokioIo::new(server), service);
        let asking = async {
            let (mut reader, mut writer) = split(client);
            let sending = async {
                // A server that has heard enough hangs up.
                let _ = writer.write_all(requests).await;
                let _ = writer.shutdown().await;
            };
            let mut answers = Vec::new();
            let (_, received) = tokio::join!(sending, reader.read_to_end(&mut answers));
            received.map(|_| answers)
        };
        let (_, answers) = tokio::join!(serving, asking);
        answers.map_err(|error| Error::new(Kind::Internal, "an answer in memory broke off").with_source(error))
    }
}

#[cfg(test)]
mod tests {
    use dhow_spec::Digest;

    use super::*;

    async fn status(exchange: &Exchange, configuration: &Configuration, requests: &str) -> (String, String) {
        let answer = exchange.answer(configuration, requests.as_bytes()).await.expect("an answer");
        let answer = String::from_utf8(answer).expect("text");
        (answer.lines().next().unwrap_or_default().to_owned(), answer)
    }

    #[tokio::test]
    async fn bytes_are_answered_as_by_a_server() {
        let (exchange, open) = (Exchange::new().await.expect("a registry"), Configuration::default());
        let digest = Digest::sha256(b"bytes");
        let push =
            format!("POST /v2/a/blobs/uploads/?digest={digest} HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nbytes");
        let pull = format!("GET /v2/a/blobs/{digest} HTTP/1.1\r\nHost: x\r\nRange: bytes=1-\r\n\r\n");
        let (first, both) = status(&exchange, &open, &format!("{push}{pull}")).await;
        assert_eq!(first, "HTTP/1.1 201 Created");
        assert!(both.contains("HTTP/1.1 206 Partial Content") && both.ends_with("\r\n\r\nytes"), "{both}");
        assert_eq!(status(&exchange, &open, &push.replace("bytes", "byte")).await.0, "HTTP/1.1 400 Bad Request");
        let closed = Configuration::parse(
            "[[access.rules]]\nusers = [\"anonymous\"]\nallow = [\"push\"]\nrepositories = [\"**\"]",
            std::path::Path::new("/"),
        );
        let closed = closed.expect("a configuration");
        assert_eq!(status(&exchange, &closed, &pull).await.0, "HTTP/1.1 403 Forbidden");
        assert_eq!(status(&exchange, &open, "nonsense\r\n\r\n").await.0, "HTTP/1.1 400 Bad Request");
        assert_eq!(status(&exchange, &open, "").await.0, "");
    }
}
