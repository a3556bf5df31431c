//! The client that pushes: HTTP/1.1 on one connection, with as little as servers need, so that it costs them nothing.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// One connection that is kept open.
pub(super) struct Client {
    stream: BufReader<TcpStream>,
    address: SocketAddr,
}

/// An answer without its body.
pub(super) struct Answer {
    pub(super) status: u16,
    /// The path in `Location`, if there is one.
    pub(super) location: Option<String>,
}

impl Client {
    pub(super) fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        Ok(Self { stream: BufReader::new(stream), address })
    }

    /// Sends a request; `headers` are whole lines.
    pub(super) fn request(&mut self, method: &str, path: &str, headers: &str, body: &[u8]) -> Result<Answer> {
        let length = body.len();
        let head =
            format!("{method} {path} HTTP/1.1\r\nHost: {}\r\n{headers}Content-Length: {length}\r\n\r\n", self.address);
        // In one piece where it is small: two would be two packets for every server.
        let mut bytes = head.into_bytes();
        if length <= 64 << 10 {
            bytes.extend_from_slice(body);
            self.stream.get_mut().write_all(&bytes)?;
        } else {
            self.stream.get_mut().write_all(&bytes)?;
            self.stream.get_mut().write_all(body)?;
        }
        self.answer(method == "HEAD").with_context(|| format!("{method} {path}"))
    }

    /// As [`Client::request`], for a request that must be answered with `status`.
    pub(super) fn expect(
        &mut self,
        status: u16,
        method: &str,
        path: &str,
        headers: &str,
        body: &[u8],
    ) -> Result<Answer> {
        let answer = self.request(method, path, headers, body)?;
        if answer.status != status {
            bail!("{method} {path} was answered with {}, expected {status}", answer.status);
        }
        Ok(answer)
    }

    fn answer(&mut self, is_head: bool) -> Result<Answer> {
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        let status = line.split(' ').nth(1).and_then(|status| status.parse().ok()).context("no status line")?;
        let (mut location, mut length) = (None, 0);
        loop {
            line.clear();
            self.stream.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(": ") else { break };
            match name.to_ascii_lowercase().as_str() {
                "location" => location = Some(path_of(value).to_owned()),
                "content-length" => length = value.parse()?,
                "transfer-encoding" => bail!("a chunked answer, which this client does not read"),
                _ => {}
            }
        }
        if !is_head {
            std::io::copy(&mut self.stream.by_ref().take(length), &mut std::io::sink())?;
        }
        Ok(Answer { status, location })
    }
}

/// Servers may write the whole address.
fn path_of(location: &str) -> &str {
    match location.split_once("://") {
        Some((_, rest)) => rest.find('/').map_or("/", |start| &rest[start..]),
        None => location,
    }
}
