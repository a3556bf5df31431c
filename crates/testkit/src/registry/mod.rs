//! A registry that runs inside the test and does what the test tells it: it lies, breaks off, stalls, redirects, refuses.
//!
//! It listens on a free port of 127.0.0.1, keeps its content in memory, and writes down every request. It shares no code
//! with what it tests, and speaks HTTP/1.1 by hand, so that it can also speak it wrongly.
//!
//! ```no_run
//! use dhow_testkit::registry::{Effect, Route, Rule, ScriptedRegistry};
//!
//! let registry = ScriptedRegistry::start();
//! let image = registry.put_image("app", "v1", &[b"a layer".to_vec()]);
//! // The first GET of a blob breaks off after three bytes.
//! registry.script(Rule::on(Route::Blob).method("GET").effect(Effect::CutAfter(3)).times(1));
//! // … run the client against `registry.authority()` …
//! assert_eq!(registry.count("GET", Route::Blob), 2);
//! assert!(registry.bytes_sent_of(&image.layers[0]) < 20);
//! ```

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

mod access;
mod content;
mod http;
mod routes;
mod script;
mod server;
mod service;
mod tls;
mod ways;

pub mod known;

pub use access::{Access, base64};
pub use content::{Image, digest_of};
pub use script::{Effect, Route, Rule};
pub use service::{Asked, Exchange, TokenService};
pub use tls::{
    AUTHORITY, CERTIFIED, CERTIFIED_KEY, CLIENT_CERTIFICATE, CLIENT_KEY, KNOWN_AUTHORITY,
    server_config as tls_server_config,
};
pub use ways::{Deletes, Pulls, Refusal, Storage, Ways};

use content::Content;

/// One request as the registry saw it, and what it answered.
#[derive(Clone, Debug)]
pub struct Request {
    /// `GET`, `HEAD`, …
    pub method: String,
    /// The path without its query.
    pub path: String,
    /// The query without its `?`; empty when there is none.
    pub query: String,
    /// Headers, names in lower case, in the order they came.
    pub headers: Vec<(String, String)>,
    /// What kind of page was asked for.
    pub route: Route,
    /// Bytes of the request's body that arrived.
    pub received: u64,
    /// The answer's status; 0 when the connection was closed without one.
    pub status: u16,
    /// Bytes of the answer's body that were handed to the connection.
    pub sent: u64,
}

impl Request {
    /// The first header of that name (in lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// `GET /v2/app/manifests/v1?query`: a line to compare sequences of requests by.
    pub fn line(&self) -> String {
        let query = if self.query.is_empty() { String::new() } else { format!("?{}", self.query) };
        format!("{} {}{query}", self.method, self.path)
    }
}

/// How the registry takes uploads.
#[derive(Clone, Copy, Debug)]
pub struct UploadRules {
    /// Whether `POST …?mount=` mounts; if not, it opens an upload.
    pub mounts: bool,
    /// Whether a body may come with the final `PUT`.
    pub put_with_body: bool,
    /// Whether `PATCH` is known at all.
    pub patch: bool,
    /// Whether a second `PATCH` replaces what the first brought, as GHCR's does.
    pub patch_overwrites: bool,
    /// Longest request body; longer ones are answered with 413.
    pub body_bytes_max: u64,
    /// Sent as `OCI-Chunk-Min-Length` when not 0.
    pub chunk_bytes_min: u64,
    /// Whether a `PATCH` may bring a part, with a `Content-Range`.
    pub chunks: bool,
    /// Longest body of one request at an upload, when another limit holds for the bodies of `PUT` than for those of `PATCH`.
    pub put_bytes_max: u64,
    /// Whether the `Location` of an upload is absolute.
    pub absolute_location: bool,
    /// Whether the `Location` of an upload is outside of the API's pages, and a part of the path says nothing to a client.
    pub opaque_location: bool,
}

impl Default for UploadRules {
    fn default() -> Self {
        Self {
            mounts: true,
            put_with_body: true,
            patch: true,
            patch_overwrites: false,
            body_bytes_max: u64::MAX,
            chunk_bytes_min: 0,
            chunks: true,
            put_bytes_max: u64::MAX,
            absolute_location: false,
            opaque_location: false,
        }
    }
}

/// What all connections share.
#[derive(Debug)]
struct Shared {
    address: SocketAddr,
    tls: Option<tls::Proof>,
    stop: AtomicBool,
    /// Bytes of answers' bodies, those under way included.
    sent: AtomicU64,
    /// Requests that are being answered.
    under_way: AtomicUsize,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    content: Content,
    access: Access,
    tokens: access::Tokens,
    rules: Vec<Rule>,
    uploads: UploadRules,
    ways: Ways,
    tags_per_page: usize,
    log: Vec<(u64, Request)>,
    requests: u64,
}

impl Shared {
    /// Writes a request down, or what became of it since.
    fn note(&self, serial: u64, request: &Request) {
        let mut state = self.state();
        match state.log.iter_mut().rev().find(|(other, _)| *other == serial) {
            Some((_, entry)) => entry.clone_from(request),
            None => state.log.push((serial, request.clone())),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The registry. It stops when dropped.
#[derive(Debug)]
pub struct ScriptedRegistry {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl ScriptedRegistry {
    /// Starts an empty registry that speaks plain HTTP and lets everybody do everything.
    ///
    /// # Panics
    /// When no port can be opened.
    pub fn start() -> Self {
        Self::start_at(IpAddr::V4(Ipv4Addr::LOCALHOST))
    }

    /// As [`ScriptedRegistry::start`], at an address of this machine that is not the loopback's: clients treat those
    /// registries as distant.
    ///
    /// # Panics
    /// When no port can be opened.
    pub fn start_at(address: IpAddr) -> Self {
        Self::start_with(None, address)
    }

    /// Starts one that speaks HTTPS, with a certificate that no system trusts.
    ///
    /// # Panics
    /// When no port can be opened.
    pub fn start_tls() -> Self {
        Self::start_with(Some(tls::Proof::SelfSigned), IpAddr::V4(Ipv4Addr::LOCALHOST))
    }

    /// Starts one that speaks HTTPS as `registry.test` (or a name below it, or `mirror.test`), with a certificate of
    /// [`AUTHORITY`]. No name service knows the name: [`crate::proxy::Proxy`] leads there.
    ///
    /// # Panics
    /// When no port can be opened.
    pub fn start_certified() -> Self {
        Self::start_with(Some(tls::Proof::Certified), IpAddr::V4(Ipv4Addr::LOCALHOST))
    }

    /// As [`ScriptedRegistry::start_certified`], for clients that show a certificate of [`AUTHORITY`] alone.
    ///
    /// # Panics
    /// When no port can be opened.
    pub fn start_mutual() -> Self {
        Self::start_with(Some(tls::Proof::Mutual), IpAddr::V4(Ipv4Addr::LOCALHOST))
    }

    /// Starts one that speaks HTTPS under the names of the well-known registries, with a certificate of
    /// [`KNOWN_AUTHORITY`]. [`crate::proxy::Proxy`] leads there.
    ///
    /// # Panics
    /// When no port can be opened.
    pub fn start_known() -> Self {
        Self::start_with(Some(tls::Proof::Known), IpAddr::V4(Ipv4Addr::LOCALHOST))
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.shared.address
    }

    fn start_with(tls: Option<tls::Proof>, address: IpAddr) -> Self {
        let listener = TcpListener::bind((address, 0)).expect("a free port");
        let address = listener.local_addr().expect("the port that was bound");
        let state = State {
            content: Content::default(),
            access: Access::Open,
            tokens: access::Tokens::default(),
            rules: Vec::new(),
            uploads: UploadRules::default(),
            ways: Ways::default(),
            tags_per_page: usize::MAX,
            log: Vec::new(),
            requests: 0,
        };
        let shared = Arc::new(Shared {
            address,
            tls,
            stop: AtomicBool::new(false),
            sent: AtomicU64::new(0),
            under_way: AtomicUsize::new(0),
            state: Mutex::new(state),
        });
        let of_thread = Arc::clone(&shared);
        let thread = std::thread::spawn(move || server::accept(&listener, &of_thread));
        Self { shared, thread: Some(thread) }
    }

    /// `127.0.0.1:<port>`: what references begin with.
    pub fn authority(&self) -> String {
        self.shared.address.to_string()
    }

    /// `http://127.0.0.1:<port>` or `https://…`.
    pub fn url(&self) -> String {
        let scheme = if self.shared.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.shared.address)
    }

    /// Adds a rule. Rules are tried in the order they were added; the first that matches acts.
    pub fn script(&self, rule: Rule) {
        self.shared.state().rules.push(rule);
    }

    /// Removes all rules.
    pub fn clear_script(&self) {
        self.shared.state().rules.clear();
    }

    /// Says who may do what from now on. Tokens given before stay valid.
    pub fn set_access(&self, access: Access) {
        self.shared.state().access = access;
    }

    /// Has `sign` write the tokens, for a registry that proves them itself. It gets the user's name, empty for nobody, and the
    /// scopes that are granted, such as `repository:a/b:pull,push`.
    pub fn sign_tokens(&self, sign: impl Fn(&str, &[String]) -> String + Send + 'static) {
        self.shared.state().tokens.signer = Some(Box::new(sign));
    }

    /// Takes back all tokens given so far.
    pub fn revoke_tokens(&self) {
        self.shared.state().tokens.revoke();
    }

    /// Gives out another refresh token when the one before it is used, which is no longer accepted then.
    pub fn rotate_refresh_token(&self, next: &str) {
        self.shared.state().tokens.next_refresh = Some(next.to_owned());
    }

    /// Has tokens given from now on end after so long, which is also what clients are told, in whole seconds.
    pub fn set_token_lifetime(&self, lifetime: Duration) {
        self.shared.state().tokens.lifetime = access::Lifetime(lifetime);
    }

    /// Changes where the registry differs from others.
    pub fn set_ways(&self, ways: Ways) {
        self.shared.state().ways = ways;
    }

    /// Changes how uploads are taken.
    pub fn set_uploads(&self, rules: UploadRules) {
        self.shared.state().uploads = rules;
    }

    /// Cuts tag lists into pages.
    pub fn set_tags_per_page(&self, tags: usize) {
        self.shared.state().tags_per_page = tags.max(1);
    }

    /// Makes a repository that has nothing yet.
    pub fn create_repository(&self, repository: &str) {
        self.shared.state().content.create(repository);
    }

    /// Stores a blob and returns its digest.
    pub fn put_blob(&self, repository: &str, bytes: &[u8]) -> String {
        self.shared.state().content.put_blob(repository, bytes.to_vec())
    }

    /// Stores a manifest under its digest, and under `tag` when that is not empty; returns the digest.
    pub fn put_manifest(&self, repository: &str, tag: &str, media_type: &str, bytes: &[u8]) -> String {
        self.shared.state().content.put_manifest(repository, tag, media_type, bytes.to_vec())
    }

    /// Stores an OCI image of the given layers, which are taken as uncompressed tar streams.
    pub fn put_image(&self, repository: &str, tag: &str, layers: &[Vec<u8>]) -> Image {
        self.shared.state().content.put_image(repository, tag, layers)
    }

    /// Forgets a blob everywhere.
    pub fn remove_blob(&self, digest: &str) {
        self.shared.state().content.remove_blob(digest);
    }

    /// The bytes of a blob that a repository has.
    pub fn blob(&self, repository: &str, digest: &str) -> Option<Vec<u8>> {
        self.shared.state().content.blob(repository, digest).map(|bytes| bytes.to_vec())
    }

    /// Media type and bytes of a manifest, by tag or digest.
    pub fn manifest(&self, repository: &str, reference: &str) -> Option<(String, Vec<u8>)> {
        let state = self.shared.state();
        let (_, manifest) = state.content.manifest(repository, reference)?;
        Some((manifest.media_type.clone(), manifest.bytes.to_vec()))
    }

    /// What a tag stands for.
    pub fn tag(&self, repository: &str, tag: &str) -> Option<String> {
        self.shared.state().content.manifest(repository, tag).map(|(digest, _)| digest)
    }

    /// How many uploads are open.
    pub fn open_uploads(&self) -> usize {
        self.shared.state().content.uploads.len()
    }

    /// All requests so far, in the order their answers began. Whoever has read an answer finds its request here.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.state().log.iter().map(|(_, request)| request.clone()).collect()
    }

    /// The requests so far as lines ([`Request::line`]).
    pub fn lines(&self) -> Vec<String> {
        self.shared.state().log.iter().map(|(_, request)| request.line()).collect()
    }

    /// How many requests of that method and kind came.
    pub fn count(&self, method: &str, route: Route) -> usize {
        let fits = |request: &&Request| request.method == method && (route == Route::Any || request.route == route);
        self.shared.state().log.iter().map(|(_, request)| request).filter(fits).count()
    }

    /// Bytes of a blob that were sent, over all requests.
    pub fn bytes_sent_of(&self, digest: &str) -> u64 {
        let state = self.shared.state();
        let requests = state.log.iter().map(|(_, request)| request);
        requests.filter(|request| request.path.ends_with(digest)).map(|request| request.sent).sum()
    }

    /// Bytes of answers' bodies that were handed to connections so far, those of answers under way included.
    pub fn bytes_sent(&self) -> u64 {
        self.shared.sent.load(Ordering::SeqCst)
    }

    /// How many requests are being answered at this moment.
    pub fn under_way(&self) -> usize {
        self.shared.under_way.load(Ordering::SeqCst)
    }

    /// Forgets the requests so far.
    pub fn clear_log(&self) {
        self.shared.state().log.clear();
    }
}

impl Drop for ScriptedRegistry {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        // Wakes the thread that waits for connections; those under way end with their clients or with the test.
        let _ = TcpStream::connect(self.shared.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
