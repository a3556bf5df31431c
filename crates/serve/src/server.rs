//! The socket, the connections on it, and their end.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use dhow_base::error::words;
use dhow_base::{Error, Kind, Result};
use hyper::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::{interval, sleep, timeout};
use tokio_rustls::TlsAcceptor;

use crate::access::Identities;
use crate::cache::Cache;
use crate::configuration::CacheSection;
use crate::connection::Connection;
use crate::kernel::KernelQueue;
use crate::live::Live;
use crate::options::{Limits, ServeOptions};
use crate::registry::Registry;
use crate::storage::{Bucket, Folder, Storage, bucket};

/// How often uploads are looked through for those that nobody goes on with.
const EXPIRY_INTERVAL: Duration = Duration::from_secs(10 * 60);

/// Pause after the system refused a connection, most often for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Most bytes that one HTTP/1.1 connection holds; also the largest piece of a body that is received at once.
const CONNECTION_BUFFER_BYTES: usize = 256 << 10;

/// How long a client may take to agree on TLS. Less than [`Limits::drain`], so that silent ones do not hold up the end.
const HANDSHAKE_WAIT: Duration = Duration::from_secs(10);

/// What one HTTP/2 client may send ahead, in bytes: enough for a fast network at a distance.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 2 << 20;

/// A registry that has its folder and its socket, and waits to be [run](Server::run).
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    home: Home,
}

/// A registry on one of the storages, and what ends when nothing uses it any more.
#[derive(Debug)]
enum Home {
    Folder(Arc<Registry<Folder>>, oneshot::Receiver<Infallible>),
    Bucket(Arc<Registry<Bucket>>, oneshot::Receiver<Infallible>),
}

impl Home {
    async fn open(live: Live, options: ServeOptions) -> Result<Self> {
        let bucket = match (&options.storage, &options.images) {
            (Some(storage), None) => Some(bucket::open(storage, options.read_only).await?),
            _ => None,
        };
        let cache = cache(&live, &options)?;
        if let Some(bucket) = bucket {
            let (registry, unused) = Registry::new(bucket, live, cache, options);
            return Ok(Self::Bucket(registry, unused));
        }
        let folder = match options.images {
            None => Folder::open(&options.root, options.read_only)?,
            Some(_) => Folder::unopened(&options.root),
        };
        let (registry, unused) = Registry::new(folder, live, cache, options);
        Ok(Self::Folder(registry, unused))
    }

    fn live(&self) -> &Live {
        match self {
            Self::Folder(registry, _) => &registry.live,
            Self::Bucket(registry, _) => &registry.live,
        }
    }
}

/// Opens the folder or the object store and binds `listen`, an address and port such as `127.0.0.1:5000` or `[::1]:0`.
///
/// # Errors
/// [`Kind::Invalid`] when `listen` is no address or the system refuses it, or the configuration cannot be, [`Kind::Unavailable`] when another server
/// writes to the folder, [`Kind::Unsupported`] when a newer version made it, else the operating system's.
pub async fn bind(listen: &str, options: ServeOptions) -> Result<Server> {
    let home = Home::open(Live::open(options.source.clone())?, options).await?;
    let live = home.live();
    let failed = |error: io::Error| {
        let hint = match error.kind() {
            io::ErrorKind::AddrInUse => "another program listens there; choose another port",
            io::ErrorKind::PermissionDenied => "ports below 1024 are for root; choose a higher one",
            _ => "give an address and a port, such as 127.0.0.1:5000",
        };
        let message = format!("cannot listen on {listen:?}: {}", words(&error));
        Error::new(Kind::Invalid, message).with_hint(hint).with_source(error)
    };
    let listener = TcpListener::bind(listen).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    if live.access().has_accounts() && live.tls().is_none() && !address.ip().is_loopback() {
        tracing::warn!(
            "passwords for {address} travel in the clear: set tls.certificate and tls.key, or put a proxy with TLS before it"
        );
    }
    Ok(Server { listener, address, home })
}

/// The copies, if the configuration has upstreams.
fn cache(live: &Live, options: &ServeOptions) -> Result<Option<Cache>> {
    let section = &live.first().cache;
    match &options.upstream {
        Some(upstream) if !section.upstreams.is_empty() => {
            Cache::open(section, &options.cache, options.limits.blob_bytes, Arc::clone(upstream)).map(Some)
        }
        None if !section.upstreams.is_empty() => {
            Err(Error::new(Kind::Unsupported, "this program has no way to the registries of cache.upstreams"))
        }
        _ if *section != CacheSection::default() => Err(Error::new(Kind::Invalid, "cache has no upstreams")
            .with_hint("add [[cache.upstreams]], or leave the table out")),
        _ => Ok(None),
    }
}

impl Server {
    /// Whether it speaks HTTPS.
    pub fn is_secure(&self) -> bool {
        self.home.live().tls().is_some()
    }

    /// The address that clients can reach; its port was chosen by the system when 0 was asked for.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown` ends, then lets requests under way finish ([`Limits::drain`]) and takes no new ones.
    /// Afterwards the folder is free for another server.
    ///
    /// Use a runtime with as many threads as there are processors: what is sent and received is copied on them.
    ///
    /// # Errors
    /// None for what a client does; those go to the log.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<()> {
        match self.home {
            Home::Folder(registry, unused) => run(self.listener, registry, unused, shutdown).await,
            Home::Bucket(registry, unused) => run(self.listener, registry, unused, shutdown).await,
        }
        Ok(())
    }
}

async fn run<S: Storage>(
    listener: TcpListener,
    registry: Arc<Registry<S>>,
    unused: oneshot::Receiver<Infallible>,
    shutdown: impl Future<Output = ()>,
) {
    let slots = Arc::new(Semaphore::new(registry.limits.connections));
    let graceful = GracefulShutdown::new();
    let (stop, stopped) = oneshot::channel();
    tokio::spawn(expire_uploads(Arc::clone(&registry), stopped));
    let (stop_watching, watching_stopped) = oneshot::channel();
    tokio::spawn(Arc::clone(&registry.live).watch(watching_stopped));
    let mut shutdown = pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &slots) => accepted,
            () = &mut shutdown => break,
        };
        let Some((stream, peer, slot)) = accepted else { continue };
        let serving = serve(stream, peer, Arc::clone(&registry), graceful.watcher());
        tokio::spawn(async move {
            serving.await;
            drop(slot);
        });
    }
    let patience = registry.limits.drain;
    drop((listener, stop, stop_watching, registry));
    let drained = async { tokio::join!(graceful.shutdown(), unused) };
    if timeout(patience, drained).await.is_err() {
        tracing::warn!("requests were still under way when the server stopped");
    }
}

/// The next connection, once there is room for one; nothing when it went wrong.
async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let slot = Arc::clone(slots).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, peer)) => Some((stream, peer, slot)),
        Err(error) => {
            tracing::warn!(%error, "cannot accept a connection");
            sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

async fn serve<S: Storage>(stream: TcpStream, peer: SocketAddr, registry: Arc<Registry<S>>, watcher: Watcher) {
    let live = Arc::clone(&registry.live);
    let _counted = live.metrics.connections.count();
    // Answers are written whole; waiting for more to send only delays them.
    let _ = stream.set_nodelay(true);
    let limits = &registry.limits;
    let mut identities = Identities::default();
    let (connection, kernel) = match registry.live.tls() {
        None => {
            let kernel = KernelQueue::default();
            (Connection::plain(stream, kernel.clone(), limits.send_idle), Some(kernel))
        }
        Some(tls) => match timeout(HANDSHAKE_WAIT.min(limits.header_wait), TlsAcceptor::from(tls).accept(stream)).await
        {
            Ok(Ok(stream)) => {
                let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
                identities = certificate.map(Identities::of).unwrap_or_default();
                (Connection::tls(stream, limits.send_idle), None)
            }
            Ok(Err(error)) => return tracing::debug!(%peer, %error, "a client and this server do not agree on TLS"),
            Err(_) => return tracing::debug!(%peer, "a client takes too long to agree on TLS"),
        },
    };
    let builder = builder(&registry.limits);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(identities.clone());
        let answer = Arc::clone(&registry).answer(request, kernel.clone(), peer);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let serving = builder.serve_connection(connection, service).into_owned();
    if let Err(error) = watcher.watch(serving).await {
        tracing::debug!(%peer, error, "a connection broke");
    }
}

/// How connections are served.
pub(crate) fn builder(limits: &Limits) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_wait)
        .max_buf_size(CONNECTION_BUFFER_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(limits.header_wait)
        .max_concurrent_streams(limits.streams_per_connection)
        .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX))
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES);
    builder
}

/// Looks through the uploads from time to time, until the other end of `stopped` is dropped.
async fn expire_uploads<S: Storage>(registry: Arc<Registry<S>>, mut stopped: oneshot::Receiver<Infallible>) {
    if registry.read_only || registry.images.is_some() {
        return;
    }
    let mut ticks = interval(EXPIRY_INTERVAL);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = &mut stopped => return,
        }
        match registry.expire_uploads().await {
            Ok(0) => {}
            Ok(expired) => tracing::info!(expired, "forgot uploads that nobody went on with"),
            Err(error) => tracing::error!(%error, "cannot look through the uploads"),
        }
    }
}
