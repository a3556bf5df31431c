//! What a server is told at its start.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use dhow_base::limits::{BLOB_BYTES_MAX, MANIFEST_BYTES_MAX};
use dhow_base::{Error, Kind, Result};
use serde::Deserialize;

use crate::access_log::AccessLog;
use crate::cache::Upstream;
use crate::configuration::Source;
use crate::images::Images;

/// A place in an object store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectStorage {
    /// `s3://bucket/prefix`, `gs://bucket/prefix`, `az://container/prefix` or `memory://`, which forgets at the end.
    pub location: String,
    /// What the configuration says: endpoint, region, credentials, by names with dashes.
    pub options: StoreOptions,
    /// What the environment says, by the names that the store's own tools have for it; `options` win.
    pub environment: StoreOptions,
    /// The promise that only one server writes to it: then it need not heed conditions.
    pub single_replica: bool,
}

impl ObjectStorage {
    /// A place, with neither options nor environment.
    pub fn new(location: impl Into<String>) -> Self {
        Self {
            location: location.into(),
            options: StoreOptions::default(),
            environment: StoreOptions::default(),
            single_replica: false,
        }
    }
}

/// How to reach an object store. There are keys among it, so only names are ever shown.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct StoreOptions(pub BTreeMap<String, String>);

impl StoreOptions {
    /// Reads `<name>=<value>` each; the last one of a name counts.
    ///
    /// # Errors
    /// [`Kind::Invalid`] for a text without a name. It is not shown: it may be a key.
    pub fn parse(texts: &[String]) -> Result<Self> {
        let pair = |text: &String| {
            let (name, value) = text.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or_else(|| {
                Error::new(Kind::Invalid, "a setting of the object store has no name")
                    .with_hint("write <name>=<value>, such as endpoint=http://127.0.0.1:8333")
            })?;
            Ok((name.to_owned(), value.to_owned()))
        };
        texts.iter().map(pair).collect::<Result<_>>().map(Self)
    }
}

impl fmt::Debug for StoreOptions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.0.keys()).finish()
    }
}

/// How to serve.
#[derive(Clone, Debug)]
pub struct ServeOptions {
    /// The folder that holds the registry; made when it is not there, unless `read_only`.
    pub root: PathBuf,
    /// Where the registry is instead of in the folder.
    pub storage: Option<ObjectStorage>,
    /// Answers every request that would change something with 405. Any number of read-only servers, and one that
    /// writes, may share a folder.
    pub read_only: bool,
    /// Shows people with a browser what the registry holds.
    pub page: bool,
    /// Bounds on what clients may use.
    pub limits: Limits,
    /// Where a line for each answered request goes, if anywhere.
    pub access_log: Option<AccessLog>,
    /// Images that are offered in place of the folder, which is not opened then.
    pub images: Option<Arc<dyn Images>>,
    /// The folder of copies, if the configuration has upstreams.
    pub cache: PathBuf,
    /// The way to the registries that are copied.
    pub upstream: Option<Arc<dyn Upstream>>,
    /// Who may do what, and which tags stay: read at the start, and again when a file changes.
    pub source: Source,
}

impl ServeOptions {
    /// Serves `root`, writable, with the web page and the default limits.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            storage: None,
            read_only: false,
            page: true,
            limits: Limits::default(),
            access_log: None,
            images: None,
            cache: PathBuf::new(),
            upstream: None,
            source: Source::default(),
        }
    }
}

/// Bounds on what clients may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections served at once; further ones wait in the system's queue.
    pub connections: usize,
    /// Requests under way at once on one HTTP/2 connection.
    pub streams_per_connection: u32,
    /// Longest head of a request, in bytes.
    pub header_bytes: usize,
    /// Longest manifest or index, in bytes.
    pub manifest_bytes: u64,
    /// Longest blob, in bytes.
    pub blob_bytes: u64,
    /// Most names in one answer of the tag list, the catalogue or the referrers; the rest follows by `Link`.
    pub page_entries: usize,
    /// Tags that one manifest upload may set with `?tag=`.
    pub tags_per_manifest: usize,
    /// Upload sessions open at once.
    pub upload_sessions: usize,
    /// How long an upload session is kept without a byte arriving.
    pub upload_idle: Duration,
    /// How long a client may take to send a request's head.
    pub header_wait: Duration,
    /// How long a client may pause while sending a body.
    pub receive_idle: Duration,
    /// How long a client may take nothing of an answer that is being sent.
    pub send_idle: Duration,
    /// How long requests under way may go on after the server was told to stop.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1024,
            streams_per_connection: 100,
            header_bytes: 32 << 10,
            manifest_bytes: MANIFEST_BYTES_MAX,
            blob_bytes: BLOB_BYTES_MAX,
            page_entries: 10_000,
            tags_per_manifest: 100,
            upload_sessions: 10_000,
            upload_idle: Duration::from_secs(24 * 60 * 60),
            header_wait: Duration::from_secs(30),
            receive_idle: Duration::from_secs(60),
            send_idle: Duration::from_secs(60),
            drain: Duration::from_secs(30),
        }
    }
}

impl Limits {
    /// What [`Limits::set`] knows.
    pub const NAMES: [&str; 13] = [
        "connections",
        "streams-per-connection",
        "header-bytes",
        "manifest-bytes",
        "blob-bytes",
        "page-entries",
        "tags-per-manifest",
        "upload-sessions",
        "upload-idle-seconds",
        "header-wait-seconds",
        "receive-idle-seconds",
        "send-idle-seconds",
        "drain-seconds",
    ];

    /// Sets a limit by its name in the configuration: that of the field with dashes, and `-seconds` behind a time.
    ///
    /// # Errors
    /// [`Kind::Invalid`] for a name that no limit has, and for a value that would shut everybody out.
    pub fn set(&mut self, name: &str, value: u64) -> Result<()> {
        let count = usize::try_from(value).unwrap_or(usize::MAX);
        let seconds = Duration::from_secs(value);
        match name {
            "drain-seconds" => self.drain = seconds,
            _ if value == 0 => {
                return Err(Error::new(Kind::Invalid, format!("the limit {name:?} cannot be 0")));
            }
            // More than the semaphore that counts them can hold is as good as no limit.
            "connections" => self.connections = count.min(1 << 20),
            "streams-per-connection" => self.streams_per_connection = u32::try_from(value).unwrap_or(u32::MAX),
            "header-bytes" => self.header_bytes = count,
            "manifest-bytes" => self.manifest_bytes = value,
            "blob-bytes" => self.blob_bytes = value,
            "page-entries" => self.page_entries = count,
            "tags-per-manifest" => self.tags_per_manifest = count,
            "upload-sessions" => self.upload_sessions = count,
            "upload-idle-seconds" => self.upload_idle = seconds,
            "header-wait-seconds" => self.header_wait = seconds,
            "receive-idle-seconds" => self.receive_idle = seconds,
            "send-idle-seconds" => self.send_idle = seconds,
            _ => {
                return Err(Error::new(Kind::Invalid, format!("there is no limit {name:?}"))
                    .with_hint("docs/serve/configuration.md has them all"));
            }
        }
        Ok(())
    }
}
