//! A small registry that speaks HTTP/2 over TLS, and breaks streams and connections in ways that only HTTP/2 has.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use dhow_registry::{Access, ClientOptions, Remote};
use dhow_spec::{Descriptor, Digest, Repository};
use dhow_testkit::registry::tls_server_config;
use futures::{StreamExt, stream};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Body as _, Frame, Incoming};
use hyper::header::{CONTENT_RANGE, CONTENT_TYPE, LOCATION, RANGE};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Barrier, Notify};
use tokio_rustls::TlsAcceptor;

/// Frames of a body, in bytes.
const FRAME_BYTES: usize = 16 << 10;

/// What goes wrong, once.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// `RST_STREAM` after so many bytes of the answer's body, when the client is known to have them.
    Reset(usize, Arc<Notify>),
    /// The connection falls silent at that point, and stays open.
    Silence(usize, Arc<Notify>),
    /// `RST_STREAM` after so many bytes of the request's body, which are kept.
    ResetRequest(usize),
    /// This status, without a look at the request's body; the stream is reset behind it.
    Refuse(u16),
    /// The same, with the stream left open: the client could send on if its window let it.
    RefuseOpen(u16),
}

/// A request that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) connection: usize,
    pub(crate) version: Version,
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) range: Option<String>,
    /// Length of the body that the client announced.
    pub(crate) length: Option<u64>,
}

#[derive(Debug, Default)]
struct Shared {
    pages: Mutex<HashMap<String, (String, Bytes)>>,
    uploads: Mutex<Vec<Vec<u8>>>,
    seen: Mutex<Vec<Seen>>,
    faults: Mutex<Vec<(Method, String, Fault)>>,
    gather: Mutex<Option<Arc<Barrier>>>,
    connections: AtomicUsize,
}

/// The registry. It runs on the runtime of the test and ends with it.
#[derive(Debug)]
pub(crate) struct Http2Registry {
    address: SocketAddr,
    shared: Arc<Shared>,
}

type Body = UnsyncBoxBody<Bytes, io::Error>;

impl Http2Registry {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let (address, shared) = (listener.local_addr().unwrap(), Arc::<Shared>::default());
        let acceptor = TlsAcceptor::from(tls_server_config(&["h2", "http/1.1"]).unwrap());
        let of_task = Arc::clone(&shared);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(acceptor.clone(), stream, Arc::clone(&of_task)));
            }
        });
        Self { address, shared }
    }

    /// The repository `app`.
    pub(crate) fn remote(&self, access: Access, options: ClientOptions) -> Remote {
        let repository = Repository::parse(&format!("{}/app", self.address)).unwrap();
        super::common::client(options).repository(&repository, access).unwrap()
    }

    pub(crate) fn put_manifest(&self, manifest: &Descriptor, bytes: Bytes) {
        let page = (manifest.media_type.as_str().to_owned(), bytes);
        self.shared.pages.lock().unwrap().insert(format!("/v2/app/manifests/{}", manifest.digest), page);
    }

    pub(crate) fn put_blob(&self, bytes: Bytes) {
        self.shared.put_blob(bytes);
    }

    pub(crate) fn blob(&self, digest: &Digest) -> Option<Bytes> {
        self.shared.pages.lock().unwrap().get(&format!("/v2/app/blobs/{digest}")).map(|(_, bytes)| bytes.clone())
    }

    /// The next request of that method whose path contains `part` goes wrong.
    pub(crate) fn script(&self, method: Method, part: &str, fault: Fault) {
        self.shared.faults.lock().unwrap().push((method, part.to_owned(), fault));
    }

    /// No blob is sent before so many were asked for.
    pub(crate) fn gather(&self, blobs: usize) {
        *self.shared.gather.lock().unwrap() = Some(Arc::new(Barrier::new(blobs)));
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().unwrap().clone()
    }
}

impl Shared {
    fn put_blob(&self, bytes: Bytes) {
        let page = ("application/octet-stream".to_owned(), bytes);
        self.pages.lock().unwrap().insert(format!("/v2/app/blobs/{}", Digest::sha256(&page.1)), page);
    }

    fn fault(&self, method: &Method, path: &str) -> Option<Fault> {
        let mut faults = self.faults.lock().unwrap();
        let index = faults.iter().position(|(of, part, _)| of == method && path.contains(part.as_str()))?;
        Some(faults.remove(index).2)
    }
}

async fn serve(acceptor: TlsAcceptor, stream: TcpStream, shared: Arc<Shared>) {
    let silent = Arc::<AtomicBool>::default();
    // The client tries plain HTTP first: that connection ends here.
    let Ok(stream) = acceptor.accept(Line { stream, silent: Arc::clone(&silent) }).await else { return };
    let connection = shared.connections.fetch_add(1, Ordering::SeqCst);
    let service = service_fn(move |request| answer(Arc::clone(&shared), connection, Arc::clone(&silent), request));
    let mut server = auto::Builder::new(TokioExecutor::new());
    // A stream that is left open must not use up its connection.
    server.http2().initial_stream_window_size(1 << 20).initial_connection_window_size(16 << 20);
    let _ = server.serve_connection(TokioIo::new(stream), service).await;
}

/// Answers a request. An error becomes `RST_STREAM`.
async fn answer(
    shared: Arc<Shared>,
    connection: usize,
    silent: Arc<AtomicBool>,
    request: Request<Incoming>,
) -> io::Result<Response<Body>> {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let range = request.headers().get(RANGE).map(|range| range.to_str().unwrap().to_owned());
    shared.seen.lock().unwrap().push(Seen {
        connection,
        version: request.version(),
        method: method.to_string(),
        path: path.clone(),
        range: range.clone(),
        length: request.body().size_hint().exact(),
    });
    let fault = shared.fault(&method, &path);
    match fault {
        Some(Fault::Refuse(status)) => return Ok(empty(status)),
        Some(Fault::RefuseOpen(status)) => {
            tokio::spawn(async move {
                std::future::pending::<()>().await;
                drop(request);
            });
            return Ok(empty(status));
        }
        _ => {}
    }
    if let Some(number) = path.strip_prefix("/v2/app/blobs/uploads/") {
        return match number.parse() {
            Ok(number) => upload(&shared, number, fault, request).await,
            Err(_) => {
                let mut uploads = shared.uploads.lock().unwrap();
                uploads.push(Vec::new());
                Ok(at(uploads.len() - 1, 202))
            }
        };
    }
    let Some((media_type, bytes)) = shared.pages.lock().unwrap().get(&path).cloned() else { return Ok(empty(404)) };
    let response = Response::builder().header(CONTENT_TYPE, media_type);
    if method == Method::HEAD {
        return Ok(response.header("content-length", bytes.len()).body(full(Bytes::new())).unwrap());
    }
    let gather = if path.contains("/blobs/") { shared.gather.lock().unwrap().clone() } else { None };
    if let Some(gather) = gather {
        gather.wait().await;
    }
    let (part, response) = match range.as_deref().and_then(bytes_of) {
        Some(part) => {
            let value = format!("bytes {}-{}/{}", part.start, part.end - 1, bytes.len());
            (part, response.status(StatusCode::PARTIAL_CONTENT).header(CONTENT_RANGE, value))
        }
        None => (0..bytes.len(), response),
    };
    let response = response.header("content-length", part.len());
    Ok(response.body(body(bytes.slice(part), fault, silent)).unwrap())
}

/// A range, which the tests always give an end.
fn bytes_of(range: &str) -> Option<Range<usize>> {
    let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
    Some(first.parse().ok()?..last.parse::<usize>().ok()? + 1)
}

fn body(bytes: Bytes, fault: Option<Fault>, silent: Arc<AtomicBool>) -> Body {
    let (end, when) = match &fault {
        Some(Fault::Reset(end, when) | Fault::Silence(end, when)) => (*end, Some(Arc::clone(when))),
        _ => (bytes.len(), None),
    };
    let frames: Vec<io::Result<Frame<Bytes>>> = (0..end)
        .step_by(FRAME_BYTES)
        .map(|start| Ok(Frame::data(bytes.slice(start..end.min(start + FRAME_BYTES)))))
        .collect();
    let last = stream::iter(when).then(move |when| {
        let (silent, falls_silent) = (Arc::clone(&silent), matches!(fault, Some(Fault::Silence(..))));
        async move {
            when.notified().await;
            if falls_silent {
                silent.store(true, Ordering::SeqCst);
                std::future::pending::<()>().await;
            }
            Err(io::Error::other("this stream is reset"))
        }
    });
    UnsyncBoxBody::new(StreamBody::new(stream::iter(frames).chain(last)))
}

async fn upload(
    shared: &Shared,
    number: usize,
    fault: Option<Fault>,
    request: Request<Incoming>,
) -> io::Result<Response<Body>> {
    let (parts, mut body) = request.into_parts();
    while let Some(frame) = body.frame().await {
        let data = frame.map_err(io::Error::other)?.into_data().unwrap_or_default();
        let mut uploads = shared.uploads.lock().unwrap();
        uploads[number].extend_from_slice(&data);
        if matches!(fault, Some(Fault::ResetRequest(end)) if uploads[number].len() >= end) {
            return Err(io::Error::other("this stream is reset"));
        }
    }
    let bytes = shared.uploads.lock().unwrap()[number].clone();
    if parts.method == Method::PUT {
        let digest = Digest::sha256(&bytes);
        let named = parts.uri.query().unwrap_or_default().replace("%3A", ":") == format!("digest={digest}");
        if named {
            shared.put_blob(bytes.into());
        }
        return Ok(empty(if named { 201 } else { 400 }));
    }
    let mut answer = at(number, if parts.method == Method::PATCH { 202 } else { 204 });
    let range = format!("0-{}", bytes.len().saturating_sub(1));
    answer.headers_mut().insert(RANGE, range.parse().unwrap());
    Ok(answer)
}

fn at(number: usize, status: u16) -> Response<Body> {
    let mut answer = empty(status);
    answer.headers_mut().insert(LOCATION, format!("/v2/app/blobs/uploads/{number}").parse().unwrap());
    answer
}

fn empty(status: u16) -> Response<Body> {
    Response::builder().status(status).body(full(Bytes::new())).unwrap()
}

fn full(bytes: Bytes) -> Body {
    UnsyncBoxBody::new(Full::new(bytes).map_err(|never: Infallible| match never {}))
}

/// A connection that can fall silent: it stays open, and nothing comes or goes.
struct Line {
    stream: TcpStream,
    silent: Arc<AtomicBool>,
}

impl AsyncRead for Line {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        if self.silent.load(Ordering::SeqCst) { Poll::Pending } else { polled }
    }
}

impl AsyncWrite for Line {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.silent.load(Ordering::SeqCst) {
            return Poll::Pending;
        }
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
