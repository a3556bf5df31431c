//! Copies of what other registries have, fetched when they are first asked for.
//!
//! However many clients ask for the same blob at once, its registry is asked once, and all of them get the bytes as they
//! come. Content is kept only when it is proven. What a tag stands for is asked anew after a while; when its registry
//! cannot be reached, what is here is served, with a warning.

mod answer;
mod fill;
mod lists;
mod names;
mod shelf;
mod upstream;

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use dhow_base::{Error, Kind, Result, fs};
use dhow_spec::Tag;
use dhow_spec::digest::Digest;
use tokio::sync::{Mutex as Gate, Semaphore};
use tokio::time::timeout;

pub(crate) use answer::send_file;
use fill::{Fill, blocking};
pub use names::copy_of;
pub(crate) use names::{Copied, Names};
use shelf::{Held, Shelf, now_seconds};
pub use upstream::{Arriving, Fetched, Reply, Upstream};

use crate::configuration::CacheSection;

/// Bytes that are kept unless it is said.
pub(crate) const BYTES: u64 = 10 << 30;

/// How long what a tag stands for is taken for true, in seconds, unless it is said.
const FRESH_SECONDS: u64 = 60;

/// Blobs on their way at once.
const FILLS_MAX: usize = 64;

/// How long a registry may take to say what a tag stands for, or what is in a list, when there is something to serve in its
/// place.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long a registry that could not be reached is left alone, when there is something to serve in its place.
const PAUSE: Duration = Duration::from_secs(10);

/// The copies of all upstreams.
#[derive(Debug)]
pub(crate) struct Cache {
    names: Names,
    upstream: Arc<dyn Upstream>,
    shelf: Arc<Shelf>,
    fresh_seconds: u64,
    blob_bytes_max: u64,
    fills: Mutex<HashMap<Digest, UnderWay>>,
    slots: Arc<Semaphore>,
    gates: Mutex<HashMap<String, Weak<Gate<()>>>>,
    /// When registries could not be reached last.
    down: Mutex<HashMap<String, Instant>>,
    hits: AtomicU64,
    misses: AtomicU64,
    stale: AtomicU64,
}

/// A blob on its way, and the repositories that have it according to their registry.
#[derive(Debug)]
struct UnderWay {
    fill: Fill,
    homes: HashSet<String>,
}

/// A manifest or index, and whether it may be an old one.
#[derive(Debug)]
pub(crate) struct Manifest {
    pub(crate) digest: Digest,
    pub(crate) media_type: String,
    pub(crate) held: Held,
    pub(crate) is_stale: bool,
}

/// A blob that is here, or comes.
#[derive(Debug)]
pub(crate) enum Blob {
    Held(Held),
    Arriving(Fill),
}

impl Cache {
    /// Opens the folder of copies.
    ///
    /// # Errors
    /// [`Kind::Invalid`] when the configuration cannot be, and those of the folder.
    pub(crate) fn open(
        section: &CacheSection,
        folder: &Path,
        blob_bytes_max: u64,
        upstream: Arc<dyn Upstream>,
    ) -> Result<Self> {
        let names = Names::new(section)?;
        let shelf = Shelf::open(folder, section.bytes.unwrap_or(BYTES))?;
        Ok(Self {
            names,
            upstream,
            shelf: Arc::new(shelf),
            fresh_seconds: section.fresh_seconds.unwrap_or(FRESH_SECONDS),
            blob_bytes_max,
            fills: Mutex::default(),
            slots: Arc::new(Semaphore::new(FILLS_MAX)),
            gates: Mutex::default(),
            down: Mutex::default(),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
            stale: AtomicU64::new(0),
        })
    }

    /// The names of all copies.
    pub(crate) fn names(&self) -> &Names {
        &self.names
    }

    /// The manifest or index that a tag stands for; nothing when there is none.
    pub(crate) async fn tagged(&self, copied: &Copied, tag: &Tag) -> Result<Option<Manifest>> {
        let (asked, home) = (now_seconds(), copied.name.as_str());
        let gate = self.gate(format!("{home}:{tag}"));
        let _alone = gate.lock().await;
        let known = self.shelf.tag(home, tag.as_str());
        // Whoever waited at the gate gets what the one before found out.
        if let Some((digest, checked)) = &known
            && (checked + self.fresh_seconds > asked || *checked >= asked)
            && let Some(manifest) = self.held(copied, digest)?
        {
            self.hits.fetch_add(1, Ordering::Relaxed);
            return Ok(Some(manifest));
        }
        let copy = known.map(|(digest, _)| self.held(copied, &digest)).transpose()?.flatten();
        let asking = self.upstream.resolve(&copied.original, tag);
        match (self.ask(copied, asking, copy.is_some()).await, copy) {
            (Ok(Some(digest)), _) => {
                let manifest = self.manifest(copied, &digest).await?;
                self.shelf.set_tag(home, tag.as_str(), manifest.as_ref().map(|manifest| &manifest.digest))?;
                Ok(manifest)
            }
            (Ok(None), _) => {
                self.shelf.set_tag(home, tag.as_str(), None)?;
                Ok(None)
            }
            (Err(error), Some(copy)) if error.kind().is_transient() => {
                tracing::warn!(repository = home, %tag, %error, "what is here is served in place of what may be newer");
                self.stale.fetch_add(1, Ordering::Relaxed);
                Ok(Some(Manifest { is_stale: true, ..copy }))
            }
            (Err(error), _) => Err(error),
        }
    }

    /// Asks a registry for what may change; not for long, and not again and again, when there is a copy.
    async fn ask<T>(&self, copied: &Copied, asking: Reply<'_, T>, has_copy: bool) -> Result<T> {
        let is_down = |down: &mut HashMap<String, Instant>| {
            down.retain(|_, since| since.elapsed() < PAUSE);
            down.contains_key(&copied.registry)
        };
        let unavailable = |why: &str| Error::new(Kind::Unavailable, format!("{} {why}", copied.registry));
        if has_copy && is_down(&mut lock(&self.down)) {
            return Err(unavailable("could not be reached a moment ago"));
        }
        let answer = match has_copy {
            true => timeout(PATIENCE, asking).await.unwrap_or_else(|_| Err(unavailable("does not answer"))),
            false => asking.await,
        };
        if answer.as_ref().is_err_and(|error| error.kind() == Kind::Unavailable) {
            lock(&self.down).insert(copied.registry.clone(), Instant::now());
        }
        answer
    }

    /// The manifest or index of a digest; nothing when there is none.
    pub(crate) async fn manifest(&self, copied: &Copied, digest: &Digest) -> Result<Option<Manifest>> {
        if let Some(manifest) = self.held(copied, digest)? {
            self.hits.fetch_add(1, Ordering::Relaxed);
            return Ok(Some(manifest));
        }
        let home = copied.name.as_str();
        let gate = self.gate(format!("{home}@{digest}"));
        let _alone = gate.lock().await;
        if self.shelf.knows(digest) && self.upstream.has_document(&copied.original, digest).await? {
            self.shelf.adopt(home, digest, None)?;
        }
        if let Some(manifest) = self.held(copied, digest)? {
            return Ok(Some(manifest));
        }
        self.misses.fetch_add(1, Ordering::Relaxed);
        let Some(fetched) = self.upstream.document(&copied.original, digest).await? else { return Ok(None) };
        let Fetched { media_type, bytes, .. } = fetched;
        let actual = Digest::of(digest.algorithm(), &bytes);
        if actual != *digest {
            let message = format!("{} sent {actual} when asked for {digest}", copied.registry);
            return Err(Error::new(Kind::Corrupt, message));
        }
        let (shelf, name, digest) = (Arc::clone(&self.shelf), copied.name.clone(), digest.clone());
        let file = blocking(move || keep_bytes(&shelf, name.as_str(), &digest, &bytes, &media_type)).await?;
        Ok(Some(file))
    }

    fn held(&self, copied: &Copied, digest: &Digest) -> Result<Option<Manifest>> {
        let Some(held) = self.shelf.find(copied.name.as_str(), digest)? else { return Ok(None) };
        let Some(media_type) = held.media_type.clone() else { return Ok(None) };
        Ok(Some(Manifest { digest: digest.clone(), media_type, held, is_stale: false }))
    }

    /// A blob; nothing when there is none. A blob that is not here begins to come.
    pub(crate) async fn blob(self: &Arc<Self>, copied: &Copied, digest: &Digest) -> Result<Option<Blob>> {
        let home = copied.name.as_str();
        if let Some(held) = self.shelf.find(home, digest)? {
            self.hits.fetch_add(1, Ordering::Relaxed);
            return Ok(Some(Blob::Held(held)));
        }
        let gate = self.gate(format!("{home}@{digest}"));
        let alone = gate.lock().await;
        // In this order: what ends in between is here by then.
        let under_way = lock(&self.fills).get(digest).map(|under| (under.fill.clone(), under.homes.contains(home)));
        if let Some(held) = self.shelf.find(home, digest)? {
            return Ok(Some(Blob::Held(held)));
        }
        let mut fill = match under_way {
            Some((fill, true)) => fill,
            // It comes or is here for another repository: whether this one has it, only its registry knows.
            Some((fill, false)) => {
                if self.upstream.blob_size(&copied.original, digest).await?.is_none() {
                    return Ok(None);
                }
                match lock(&self.fills).get_mut(digest) {
                    Some(under) => drop(under.homes.insert(home.to_owned())),
                    None => self.shelf.adopt(home, digest, None)?,
                }
                fill
            }
            None if self.shelf.knows(digest) => {
                if self.upstream.blob_size(&copied.original, digest).await?.is_none() {
                    return Ok(None);
                }
                self.shelf.adopt(home, digest, None)?;
                match self.shelf.find(home, digest)? {
                    Some(held) => return Ok(Some(Blob::Held(held))),
                    None => self.begin(copied, digest)?,
                }
            }
            None => self.begin(copied, digest)?,
        };
        // While this waits for the registry's first word, all who ask for the same stand at the gate; then they join.
        let progress = fill.begun().await;
        drop(alone);
        match progress.state {
            fill::State::Missing => Ok(None),
            fill::State::Failed(error) => Err(Error::new(error.kind(), error.to_string())),
            _ => Ok(Some(Blob::Arriving(fill))),
        }
    }

    fn begin(self: &Arc<Self>, copied: &Copied, digest: &Digest) -> Result<Fill> {
        self.misses.fetch_add(1, Ordering::Relaxed);
        let (shelf, upstream) = (Arc::clone(&self.shelf), Arc::clone(&self.upstream));
        let (fill, work) = Fill::begin(shelf, upstream, copied.clone(), digest.clone(), self.blob_bytes_max)?;
        let homes = HashSet::from([copied.name.to_string()]);
        lock(&self.fills).insert(digest.clone(), UnderWay { fill: fill.clone(), homes });
        let (cache, digest) = (Arc::clone(self), digest.clone());
        // A task of its own: it goes on to its end when the client who began it goes away.
        tokio::spawn(async move {
            let _slot = cache.slots.acquire().await;
            work.await;
            let ended = lock(&cache.fills).remove(&digest);
            for home in ended.into_iter().flat_map(|under| under.homes) {
                if let Err(error) = cache.shelf.adopt(&home, &digest, None) {
                    tracing::warn!(%error, "a copy is not noted for all who have it");
                }
            }
        });
        Ok(fill)
    }

    /// The length of a blob in bytes; nothing when there is none. Fetches nothing.
    pub(crate) async fn blob_size(&self, copied: &Copied, digest: &Digest) -> Result<Option<u64>> {
        if let Some(held) = self.shelf.find(copied.name.as_str(), digest)? {
            return Ok(Some(held.size));
        }
        self.upstream.blob_size(&copied.original, digest).await
    }

    /// Those who ask for the same thing go through one by one: the first finds out, the others find what it found.
    fn gate(&self, key: String) -> Arc<Gate<()>> {
        let mut gates = lock(&self.gates);
        if let Some(gate) = gates.get(&key).and_then(Weak::upgrade) {
            return gate;
        }
        // Every gate that is made may take one away that nobody stands at, so that there are never many.
        if gates.len() > 1024 {
            gates.retain(|_, gate| gate.strong_count() > 0);
        }
        let gate = Arc::new(Gate::new(()));
        gates.insert(key, Arc::downgrade(&gate));
        gate
    }

    /// Numbers for Prometheus.
    pub(crate) fn metrics(&self) -> String {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let lines = [
            ("dhow_cache_hits_total", "counter", "Requests answered with a copy.", of(&self.hits)),
            ("dhow_cache_misses_total", "counter", "Manifests and blobs fetched.", of(&self.misses)),
            ("dhow_cache_stale_total", "counter", "Requests answered with what may be old.", of(&self.stale)),
            ("dhow_cache_evictions_total", "counter", "Copies removed to make room.", of(&self.shelf.evictions)),
            ("dhow_cache_bytes", "gauge", "Bytes of all copies.", self.shelf.bytes()),
            ("dhow_cache_transfers", "gauge", "Blobs on their way.", lock(&self.fills).len() as u64),
        ];
        let line = |(name, kind, help, value)| format!("# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n");
        lines.into_iter().map(line).collect()
    }
}

/// Writes a manifest or index down and opens it.
fn keep_bytes(shelf: &Shelf, home: &str, digest: &Digest, bytes: &Bytes, media_type: &str) -> Result<Manifest> {
    let path = shelf.incoming();
    let file = fs::open_or_create(&path)?;
    fs::write_at(&file, &path, bytes, 0)?;
    fs::flush(&[(path.clone(), file)], &[])?;
    let file = Arc::new(fs::open(&path)?);
    shelf.keep(home, digest, &path, Some(media_type.to_owned()))?;
    let held = Held { file, size: bytes.len() as u64, media_type: Some(media_type.to_owned()) };
    Ok(Manifest { digest: digest.clone(), media_type: media_type.to_owned(), held, is_stale: false })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
