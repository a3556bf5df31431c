//! What the handlers of all endpoints share.

use std::convert::Infallible;
use std::sync::Arc;

use dhow_base::Result;
use hyper::body::Incoming;
use hyper::http::request::Parts;
use hyper::{HeaderMap, Method, StatusCode, Uri, Version, header};
use tokio::sync::Semaphore;
use tokio::sync::oneshot::{self, Receiver, Sender};

use crate::access::{Access, Caller, Identities, Permit};
use crate::access_log::AccessLog;
use crate::cache::Cache;
use crate::failure::{Code, Failure, Outcome};
use crate::images::Images;
use crate::kernel::KernelQueue;
use crate::live::Live;
use crate::locks::RepositoryLocks;
use crate::options::{Limits, ServeOptions};
use crate::query::Query;
use crate::quota::{Intake, Reserved, Usages};
use crate::receive::Receiver as BodyReceiver;
use crate::sessions::Sessions;
use crate::storage::Storage;

/// Keeps the memory for parsing manifests in bounds, however many clients send large ones.
const LARGE_MANIFESTS: usize = 4;

/// One registry. Endpoints are methods of it, in a file for each kind of thing they address.
#[derive(Debug)]
pub(crate) struct Registry<S: Storage> {
    pub(crate) storage: S,
    pub(crate) sessions: Sessions<S::Upload>,
    pub(crate) locks: RepositoryLocks,
    /// How many large manifests may be in memory at once.
    pub(crate) large_manifests: Semaphore,
    pub(crate) limits: Limits,
    pub(crate) read_only: bool,
    /// Whether there is a web page.
    pub(crate) has_page: bool,
    pub(crate) live: Arc<Live>,
    pub(crate) access_log: Option<AccessLog>,
    /// Copies of other registries.
    pub(crate) cache: Option<Arc<Cache>>,
    /// What is offered in place of the storage's content.
    pub(crate) images: Option<Arc<dyn Images>>,
    /// What the namespaces with a quota hold.
    pub(crate) usages: Arc<Usages>,
    /// Dropped with the registry, which tells the server that nothing uses the storage any more.
    _in_use: Sender<Infallible>,
}

impl<S: Storage> Registry<S> {
    /// Makes a registry; what is returned beside it ends when the last request has let go of it.
    pub(crate) fn new(
        storage: S,
        live: Live,
        cache: Option<Cache>,
        options: ServeOptions,
    ) -> (Arc<Self>, Receiver<Infallible>) {
        let ServeOptions { limits, read_only, page, access_log, images, .. } = options;
        let sessions = Sessions::new(limits.upload_sessions, S::UPLOADS_IN_MEMORY);
        let (in_use, unused) = oneshot::channel();
        let registry = Self {
            storage,
            sessions,
            locks: RepositoryLocks::default(),
            large_manifests: Semaphore::new(LARGE_MANIFESTS),
            limits,
            read_only,
            // It shows what the storage has, which is not what is offered then.
            has_page: page && images.is_none(),
            live: Arc::new(live),
            access_log,
            cache: cache.map(Arc::new),
            images,
            usages: Arc::default(),
            _in_use: in_use,
        };
        (Arc::new(registry), unused)
    }

    /// Counts in what is about to come, if the quotas have room for it.
    pub(crate) async fn reserve(&self, call: &Call, intake: Intake<'_>) -> Outcome<Reserved> {
        self.usages.reserve(&self.storage, call.permit.access.quotas(), &intake).await
    }

    /// Forgets uploads that nobody has gone on with. Returns how many there were.
    pub(crate) async fn expire_uploads(&self) -> Result<usize> {
        let idle = self.limits.upload_idle;
        self.sessions.expire(idle);
        let active = self.sessions.ids();
        self.storage.expire_uploads(idle, move |id| active.contains(id)).await
    }
}

/// A request without its body.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) method: Method,
    uri: Uri,
    pub(crate) headers: HeaderMap,
    pub(crate) query: Query,
    /// Who sent it, and what that allows.
    pub(crate) permit: Permit,
    /// The names in the client's certificate.
    pub(crate) certificate: Identities,
    /// Set where the kernel may send files to the client.
    pub(crate) kernel: Option<KernelQueue>,
}

impl Call {
    pub(crate) fn new(
        parts: Parts,
        access: Arc<Access>,
        kernel: Option<KernelQueue>,
        head_bytes_max: usize,
    ) -> Outcome<Self> {
        if head_bytes(&parts) > head_bytes_max {
            let message = format!("the request's head is longer than {head_bytes_max} bytes");
            return Err(Failure::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, Code::Unsupported, message));
        }
        let query = Query::parse(parts.uri.query().unwrap_or_default())?;
        let kernel = kernel.filter(|_| parts.version != Version::HTTP_2);
        let permit = Permit { access, caller: Caller::default() };
        let certificate = parts.extensions.get().cloned().unwrap_or_default();
        Ok(Self { method: parts.method, uri: parts.uri, headers: parts.headers, query, permit, certificate, kernel })
    }

    /// The first value of a header. Text that is not ASCII is as good as none.
    pub(crate) fn header(&self, name: impl header::AsHeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// What the client calls this server: name or address, and the port where it is not the usual one.
    pub(crate) fn authority(&self) -> Option<&str> {
        // With HTTP/2 it stands in the address.
        self.uri.authority().map(|authority| authority.as_str()).or_else(|| self.header(header::HOST))
    }

    /// Whether only the head of the answer is wanted.
    pub(crate) fn is_head(&self) -> bool {
        self.method == Method::HEAD
    }

    /// The number in a query parameter.
    pub(crate) fn number(&self, key: &'static str) -> Outcome<Option<usize>> {
        let Some(text) = self.query.one(key)? else { return Ok(None) };
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !is_number {
            return Err(Failure::bad(Code::Unsupported, format!("the query parameter {key:?} is not a number")));
        }
        // One that does not fit is more than there can be.
        Ok(Some(text.parse().unwrap_or(usize::MAX)))
    }

    /// Takes the request's body to be read.
    pub(crate) fn receiver(&self, body: Incoming, limits: &Limits) -> BodyReceiver {
        let awaits_go_ahead = self.headers.contains_key(header::EXPECT);
        BodyReceiver::new(body, limits.receive_idle, awaits_go_ahead)
    }
}

/// Length of a request's head in bytes, but for a few separators.
fn head_bytes(parts: &Parts) -> usize {
    let address = parts.uri.path_and_query().map_or(0, |address| address.as_str().len());
    parts.headers.iter().fold(address, |bytes, (name, value)| bytes + name.as_str().len() + value.len())
}
