//! How much memory a collection takes, measured in a process of its own: `DHOW_TEST_BLOBS=1000000` is the full size.

#![allow(clippy::unwrap_used, reason = "a failed operation fails the test")]

use std::fmt;
use std::process::Command;
use std::time::Duration;

use async_trait::async_trait;
use dhow_spec::digest::Digest;
use futures::stream::{self, BoxStream, StreamExt as _};
use object_store::memory::InMemory;
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartId, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt as _, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

use super::collect;
use crate::name::RepositoryName;
use crate::storage::Key;
use crate::storage::bucket::objects::Objects;
use crate::storage::bucket::record::{self, Link, ManifestHead};
use crate::storage::bucket::{Bucket, keys};

const BLOBS_VARIABLE: &str = "DHOW_TEST_BLOBS";
const BLOBS: u64 = 50_000;

/// Blobs that one manifest needs, and that one repository has.
const PER_MANIFEST: u64 = 100;
const PER_REPOSITORY: u64 = 10_000;

/// For each blob, and in any case, in bytes: 256 MiB for a million.
const EACH_MAX: u64 = 256;
const ONCE_MAX: u64 = 12 << 20;

#[allow(clippy::disallowed_methods, reason = "tests are told by the environment how much to do")]
fn blobs() -> u64 {
    std::env::var(BLOBS_VARIABLE).map_or(BLOBS, |text| text.parse().expect("a number of blobs"))
}

#[test]
fn memory_stays_within_its_bound() {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "storage::bucket::collect::memory::measure", "--ignored", "--nocapture", "--test-threads=1"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
#[ignore = "run by another test, alone in its process"]
fn measure() {
    let blobs = blobs();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let bucket = Bucket::new(Objects::new(Vast { blobs }, Path::default(), "vast://"));
    let before = peak_bytes();
    let done = runtime.block_on(collect(&bucket, Duration::ZERO, true)).unwrap();
    let taken = peak_bytes() - before;
    println!("{blobs} blobs: {} KiB", taken >> 10);
    assert_eq!((done.manifests, done.unlinked, done.problems.len()), (blobs / PER_MANIFEST, 0, 0), "{done:?}");
    assert!(taken <= ONCE_MAX + blobs * EACH_MAX, "{taken} bytes for {blobs} blobs");
}

/// What this process has taken at most.
fn peak_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}

/// A registry of any size, all of whose blobs are needed. It is worked out, not kept.
#[derive(Debug)]
struct Vast {
    blobs: u64,
}

fn blob(number: u64) -> Digest {
    Digest::sha256(&number.to_le_bytes())
}

fn repository(number: u64) -> RepositoryName {
    RepositoryName::parse(&format!("team/r{number}")).unwrap()
}

/// Of the manifest that needs the blobs from `first` on, which its digest ends with: nobody compares that.
fn manifest_key(first: u64) -> String {
    let digest = Digest::parse(&format!("sha256:{first:064x}")).unwrap();
    Key::manifest(&repository(first / PER_REPOSITORY), &digest).as_str().to_owned()
}

impl Vast {
    fn objects(&self, below: &str) -> Box<dyn Iterator<Item = String> + Send> {
        match below {
            keys::REPOSITORIES => Box::new((0..self.blobs).step_by(PER_MANIFEST as usize).map(manifest_key)),
            keys::BLOBS => {
                let link = |number: u64| keys::link(&repository(number / PER_REPOSITORY), &blob(number));
                Box::new((0..self.blobs).map(link))
            }
            _ => Box::new(std::iter::empty()),
        }
    }

    fn content(&self, key: &str) -> Option<Vec<u8>> {
        if key == keys::MARKER {
            return Some(b"{\"format\":1}".to_vec());
        }
        if key.starts_with(keys::BLOBS) {
            return Some(record::write(&Link { size: 1, at: None }, b"x").unwrap().to_vec());
        }
        let (_, digest) = keys::manifest(key)?;
        let first = u64::from_str_radix(&digest.hex()[48..], 16).ok()?;
        let layers = (first..(first + PER_MANIFEST).min(self.blobs)).map(
            |number| serde_json::json!({ "mediaType": "application/x", "digest": blob(number).as_str(), "size": 1 }),
        );
        let manifest = serde_json::json!({ "schemaVersion": 2, "layers": layers.collect::<Vec<_>>() }).to_string();
        let head = ManifestHead { media_type: Some("application/x".to_owned()), push: String::new(), going: None };
        Some(record::write(&head, manifest.as_bytes()).unwrap().to_vec())
    }
}

impl fmt::Display for Vast {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Vast")
    }
}

fn unasked() -> Error {
    Error::NotSupported { source: "a dry run only reads".into() }
}

#[async_trait]
impl ObjectStore for Vast {
    async fn put_opts(&self, _: &Path, _: PutPayload, _: PutOptions) -> Result<PutResult> {
        Err(unasked())
    }

    async fn put_multipart_opts(&self, _: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        Err(unasked())
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let memory = InMemory::new();
        if let Some(bytes) = self.content(location.as_ref()) {
            memory.put(location, bytes.into()).await?;
        }
        memory.get_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        locations.map(|_| Err(unasked())).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let meta = |key: String| ObjectMeta {
            location: Path::from(key),
            last_modified: std::time::SystemTime::UNIX_EPOCH.into(),
            size: 1,
            e_tag: None,
            version: None,
        };
        stream::iter(self.objects(prefix.map_or("", Path::as_ref)).map(move |key| Ok(meta(key)))).boxed()
    }

    async fn list_with_delimiter(&self, _: Option<&Path>) -> Result<ListResult> {
        Err(unasked())
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        Err(unasked())
    }
}

#[async_trait]
impl MultipartStore for Vast {
    async fn create_multipart(&self, _: &Path) -> Result<MultipartId> {
        Err(unasked())
    }

    async fn put_part(&self, _: &Path, _: &MultipartId, _: usize, _: PutPayload) -> Result<PartId> {
        Err(unasked())
    }

    async fn complete_multipart(&self, _: &Path, _: &MultipartId, _: Vec<PartId>) -> Result<PutResult> {
        Err(unasked())
    }

    async fn abort_multipart(&self, _: &Path, _: &MultipartId) -> Result<()> {
        Err(unasked())
    }
}
