//! HTTP/1.1 by hand (RFC 9112), as much as the clients of a registry use.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::sync::Arc;

/// Longest line of a request.
const LINE_BYTES_MAX: u64 = 64 << 10;

/// A connection, encrypted or not.
pub(super) trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

/// A request without its body.
#[derive(Clone, Debug)]
pub(super) struct Head {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) query: String,
    /// Names in lower case.
    pub(super) headers: Vec<(String, String)>,
}

impl Head {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn content_length(&self) -> Option<u64> {
        self.header("content-length")?.parse().ok()
    }

    fn is_chunked(&self) -> bool {
        self.header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked"))
    }
}

/// An answer before it is written.
#[derive(Clone, Debug)]
pub(super) struct Exchange {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Arc<[u8]>,
}

impl Exchange {
    pub(super) fn new(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Arc::from([]) }
    }

    pub(super) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(super) fn with_body(mut self, body: impl Into<Arc<[u8]>>) -> Self {
        self.body = body.into();
        self
    }

    pub(super) fn json(status: u16, value: &serde_json::Value) -> Self {
        Self::new(status).with("Content-Type", "application/json").with_body(value.to_string().into_bytes())
    }

    pub(super) fn error(status: u16, code: &str, message: &str) -> Self {
        Self::json(status, &serde_json::json!({ "errors": [{ "code": code, "message": message }] }))
    }

    /// An error with its detail, as most registries send it.
    pub(super) fn detailed(status: u16, (code, message): (&str, &str), detail: &serde_json::Value) -> Self {
        Self::json(status, &serde_json::json!({ "errors": [{ "code": code, "message": message, "detail": detail }] }))
    }

    /// The older form of an error body, which token services use.
    pub(super) fn details(status: u16, details: &str) -> Self {
        Self::json(status, &serde_json::json!({ "details": details }))
    }

    pub(super) fn set(&mut self, name: &str, value: &str) {
        self.remove(name);
        self.headers.push((name.to_owned(), value.to_owned()));
    }

    pub(super) fn remove(&mut self, name: &str) {
        self.headers.retain(|(key, _)| !key.eq_ignore_ascii_case(name));
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.headers.iter().any(|(key, _)| key.eq_ignore_ascii_case(name))
    }
}

/// Reads a request's head; `None` when the client closed the connection.
pub(super) fn read_head<S: Stream>(stream: &mut BufReader<S>) -> io::Result<Option<Head>> {
    let line = read_line(stream)?;
    if line.is_empty() {
        return Ok(None);
    }
    let mut words = line.split(' ');
    let (Some(method), Some(target)) = (words.next(), words.next()) else {
        return Err(io::Error::from(io::ErrorKind::InvalidData));
    };
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut headers = Vec::new();
    loop {
        let line = read_line(stream)?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?;
        headers.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
    }
    Ok(Some(Head { method: method.to_owned(), path: path.to_owned(), query: query.to_owned(), headers }))
}

fn read_line<S: Stream>(stream: &mut BufReader<S>) -> io::Result<String> {
    let mut line = Vec::new();
    stream.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line)?;
    let text = String::from_utf8(line).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

/// Reads a request's body in pieces. `take` sees each piece and returns whether to go on.
pub(super) fn read_body<S: Stream>(
    stream: &mut BufReader<S>,
    head: &Head,
    mut take: impl FnMut(&[u8]) -> bool,
) -> io::Result<bool> {
    if head.header("expect").is_some_and(|value| value.eq_ignore_ascii_case("100-continue")) {
        stream.get_mut().write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    if !head.is_chunked() {
        return read_exactly(stream, head.content_length().unwrap_or(0), &mut take);
    }
    loop {
        let size = read_line(stream)?;
        let size = size.split(';').next().unwrap_or_default().trim();
        let size = u64::from_str_radix(size, 16).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
        if size == 0 {
            read_line(stream)?;
            return Ok(true);
        }
        if !read_exactly(stream, size, &mut take)? {
            return Ok(false);
        }
        read_line(stream)?;
    }
}

fn read_exactly<S: Stream>(
    stream: &mut BufReader<S>,
    length: u64,
    take: &mut impl FnMut(&[u8]) -> bool,
) -> io::Result<bool> {
    let mut left = length;
    let mut buffer = vec![0; 64 << 10];
    while left > 0 {
        let want = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let read = stream.read(&mut buffer[..want])?;
        if read == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
        }
        if !take(&buffer[..read]) {
            return Ok(false);
        }
        left -= read as u64;
    }
    Ok(true)
}

/// The status line and headers of an answer.
pub(super) fn head_bytes(answer: &Exchange) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {} {}\r\n", answer.status, reason(answer.status));
    for (name, value) in &answer.headers {
        head.push_str(name);
        head.push_str(": ");
        head.push_str(value);
        head.push_str("\r\n");
    }
    head.push_str("\r\n");
    head.into_bytes()
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        206 => "Partial Content",
        307 => "Temporary Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        413 => "Content Too Large",
        416 => "Range Not Satisfiable",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        503 => "Service Unavailable",
        _ => "Scripted",
    }
}
