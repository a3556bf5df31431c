//! A server to test with, and what every test asks of it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use dhow_serve::{Limits, ObjectStorage, ServeOptions, bind};
use dhow_spec::{Digest, MediaType};
use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub(crate) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// Says where the tests of `registry_bucket.rs` keep content: the address of an S3 server, or nothing for memory.
pub(crate) const S3_VARIABLE: &str = "DHOW_TEST_S3";

/// Whether the content is in an object store.
pub(crate) fn is_bucket() -> bool {
    env!("CARGO_CRATE_NAME") == "registry_bucket"
}

/// Where a registry keeps its content, if it is not the folder. Each gets a place of its own.
#[allow(clippy::disallowed_methods, reason = "the tests' own variable")]
fn storage() -> Option<ObjectStorage> {
    static SERIAL: AtomicU64 = AtomicU64::new(0);

    if !is_bucket() {
        return None;
    }
    let Ok(endpoint) = std::env::var(S3_VARIABLE) else { return Some(ObjectStorage::new("memory://")) };
    let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
    let mut storage = ObjectStorage::new(format!("s3://registry/{}-{serial}", std::process::id()));
    let options = [("endpoint", endpoint.as_str()), ("region", "us-east-1"), ("skip-signature", "true")];
    storage.options.0.extend(options.map(|(name, value)| (name.to_owned(), value.to_owned())));
    Some(storage)
}

/// A running registry and a client for it. The folder is deleted at the end, if it was made here.
pub(crate) struct Registry {
    pub(crate) client: Client,
    pub(crate) address: SocketAddr,
    pub(crate) root: PathBuf,
    _folder: Option<TempDir>,
    stop: oneshot::Sender<()>,
    running: JoinHandle<dhow_base::Result<()>>,
}

impl Registry {
    pub(crate) async fn start() -> Self {
        Self::with_limits(Limits::default()).await
    }

    pub(crate) async fn with_limits(limits: Limits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut options = ServeOptions::new(folder.path().join("registry"));
        (options.limits, options.storage) = (limits, storage());
        let mut registry = Self::serve(options).await;
        registry._folder = Some(folder);
        registry
    }

    pub(crate) async fn open(root: &Path, limits: Limits) -> Self {
        let mut options = ServeOptions::new(root);
        options.limits = limits;
        Self::serve(options).await
    }

    pub(crate) async fn serve(options: ServeOptions) -> Self {
        let root = options.root.clone();
        let server = bind("127.0.0.1:0", options).await.unwrap();
        let address = server.local_addr();
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(server.run(async { drop(stopped.await) }));
        Self { client: Client::new(), address, root, _folder: None, stop, running }
    }

    /// With a configuration file of this text; `accounts` is a file beside it.
    pub(crate) async fn configured(text: &str) -> Self {
        Self::configured_in(tempfile::tempdir().unwrap(), text).await
    }

    pub(crate) async fn configured_in(folder: TempDir, text: &str) -> Self {
        let mut options = ServeOptions::new(folder.path().join("registry"));
        options.source.file = Some(folder.path().join("serve.toml"));
        options.storage = storage();
        write(&folder.path().join("accounts"), ACCOUNTS);
        write(&folder.path().join("serve.toml"), text);
        let mut registry = Self::serve(options).await;
        registry._folder = Some(folder);
        registry
    }

    /// Whether the content lies in `root`.
    pub(crate) fn is_folder(&self) -> bool {
        self.root.exists()
    }

    /// What is kept of uploads, as far as it can be seen: an object store forgets those that have ended later on.
    pub(crate) fn uploads_left(&self) -> usize {
        if self.is_folder() { std::fs::read_dir(self.root.join("uploads")).unwrap().count() } else { 0 }
    }

    /// A file beside the registry's folder.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.root.with_file_name(name)
    }

    /// Stops the server and waits until it is gone.
    pub(crate) async fn stop(self) -> (PathBuf, Option<TempDir>, Client) {
        self.stop.send(()).unwrap();
        self.running.await.unwrap().unwrap();
        (self.root, self._folder, self.client)
    }

    /// Stops the server and starts another on the same folder.
    pub(crate) async fn restart(self) -> Self {
        let (root, _folder, client) = self.stop().await;
        Self { _folder, client, ..Self::open(&root, Limits::default()).await }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, self.url(path))
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        self.request(Method::GET, path).send().await.unwrap()
    }

    pub(crate) async fn delete(&self, path: &str) -> Response {
        self.request(Method::DELETE, path).send().await.unwrap()
    }

    /// Opens an upload session; returns its path.
    pub(crate) async fn begin(&self, repository: &str) -> String {
        let begun = self.request(Method::POST, &format!("/v2/{repository}/blobs/uploads/")).send().await.unwrap();
        assert_eq!(begun.status(), 202);
        location(&begun)
    }

    /// Pushes a blob in a single request.
    pub(crate) async fn push_blob(&self, repository: &str, bytes: impl Into<Vec<u8>>) -> Digest {
        let bytes = bytes.into();
        let digest = Digest::sha256(&bytes);
        let path = format!("/v2/{repository}/blobs/uploads/?digest={digest}");
        let pushed = self.request(Method::POST, &path).body(bytes).send().await.unwrap();
        assert_eq!(pushed.status(), 201, "{}", pushed.text().await.unwrap());
        digest
    }

    pub(crate) async fn put_manifest(&self, repository: &str, name: &str, media_type: &str, bytes: &str) -> Response {
        self.request(Method::PUT, &format!("/v2/{repository}/manifests/{name}"))
            .header("content-type", media_type)
            .body(bytes.to_owned())
            .send()
            .await
            .unwrap()
    }

    /// Pushes an image of one layer under a tag; returns the manifest.
    pub(crate) async fn push_image(&self, repository: &str, tag: &str, layer: &str) -> String {
        let config = self.push_blob(repository, "{}").await;
        let layer_digest = self.push_blob(repository, layer).await;
        let manifest = manifest(&config, 2, &layer_digest, layer.len() as u64).to_string();
        let pushed = self.put_manifest(repository, tag, OCI_MANIFEST, &manifest).await;
        assert_eq!(pushed.status(), 201, "{}", pushed.text().await.unwrap());
        manifest
    }

    /// Sends bytes as they are, and returns everything that comes back until the server closes.
    pub(crate) async fn raw(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        // A reset counts as a close: what was answered before it is what matters.
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// Status and first error code of a request sent as it is.
    pub(crate) async fn raw_outcome(&self, method: &str, target: &str, headers: &str) -> (u16, String) {
        let request = format!("{method} {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n");
        let answer = self.raw(&request).await;
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        let code = serde_json::from_str(body).ok().map(|body: Value| code_of(&body));
        (status, code.unwrap_or_default())
    }
}

/// Three accounts, all with the password [`PASSWORD`].
const ACCOUNTS: &str = "alice:$2y$05$abcdefghijklmnopqrstuuoXuKqgZXLiJqzfmMXDDhSFPIvxV7t8.\n\
                        bob:$2y$05$abcdefghijklmnopqrstuuoXuKqgZXLiJqzfmMXDDhSFPIvxV7t8.\n\
                        carol:$2y$05$abcdefghijklmnopqrstuuoXuKqgZXLiJqzfmMXDDhSFPIvxV7t8.\n";

pub(crate) const PASSWORD: &str = "hunter2";

#[allow(clippy::disallowed_methods, reason = "writes a scratch file")]
pub(crate) fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
}

/// The path that a `Location` header names.
pub(crate) fn location(response: &Response) -> String {
    response.headers()["location"].to_str().unwrap().to_owned()
}

pub(crate) fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

/// The JSON of an answer; null when it is none.
pub(crate) async fn json_of(response: Response) -> Value {
    serde_json::from_slice(&response.bytes().await.unwrap()).unwrap_or_default()
}

/// Status and first error code of an answer.
pub(crate) async fn outcome(response: Response) -> (u16, String) {
    let status = response.status().as_u16();
    let body = json_of(response).await;
    (status, code_of(&body))
}

fn code_of(body: &Value) -> String {
    body["errors"][0]["code"].as_str().unwrap_or_default().to_owned()
}

/// `(status, code)` to compare an outcome with.
pub(crate) fn failure(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

pub(crate) fn manifest(config: &Digest, config_size: u64, layer: &Digest, layer_size: u64) -> Value {
    json!({
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": { "mediaType": MediaType::OciConfig.as_str(), "digest": config.as_str(), "size": config_size },
        "layers": [{ "mediaType": MediaType::OciLayer.as_str(), "digest": layer.as_str(), "size": layer_size }],
    })
}

/// Bytes that look random and are the same in every run.
pub(crate) fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}
