//! The content that a cache keeps: in a folder, and never more than its limit.
//!
//! `blobs/<algorithm>/<hex>` holds content that was proven, `records/<algorithm>/<hex>` who may have it: the repositories
//! that have it according to their registry, and the tags that stand for it. All records are in memory too, since the
//! least recently used has to be found at once. Losing any file loses a copy, nothing else.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use dhow_base::fs::{self, Durability, FileLock, LockMode};
use dhow_base::{Error, Kind, Result};
use dhow_spec::digest::{Algorithm, Digest};
use serde::{Deserialize, Serialize};

/// What `cache.json` holds: the number of the format.
const MARKER: &str = "{\"format\":1}\n";

const RECORD_BYTES_MAX: u64 = 1 << 20;

/// File systems give out space in blocks; each content has its own and one for its record.
const BLOCK_BYTES: u64 = 4096;

/// The time of use is written down this often at most.
const STAMP_INTERVAL: Duration = Duration::from_secs(60);

/// Repositories and tags remembered for one content. Whoever is forgotten is asked for again.
const NAMES_MAX: usize = 1000;

/// The folder, and what is known of what is in it.
#[derive(Debug)]
pub(crate) struct Shelf {
    root: PathBuf,
    bytes_max: u64,
    index: Mutex<Index>,
    /// Times that content was removed to make room.
    pub(crate) evictions: AtomicU64,
    serial: AtomicU64,
    _lock: FileLock,
}

#[derive(Debug, Default)]
struct Index {
    entries: HashMap<Digest, Entry>,
    /// By the count of uses at the last one; the first goes first.
    order: BTreeMap<u64, Digest>,
    tags: HashMap<(String, String), Digest>,
    uses: u64,
    bytes: u64,
}

#[derive(Debug)]
struct Entry {
    size: u64,
    use_count: u64,
    stamped: SystemTime,
    record: Record,
}

/// What is written beside content.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Record {
    /// The media type of a manifest or index.
    media_type: Option<String>,
    /// Repositories that have it.
    homes: BTreeSet<String>,
    /// Tags that stand for it, and when that was last said, in seconds since 1970.
    tags: BTreeMap<String, BTreeMap<String, u64>>,
}

/// Content that is here.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) file: Arc<File>,
    pub(crate) size: u64,
    pub(crate) media_type: Option<String>,
}

impl Shelf {
    /// Opens a folder, made when it is not there. Reads all records.
    ///
    /// # Errors
    /// [`Kind::Unavailable`] when another server has it, [`Kind::Unsupported`] when its format is another, else the
    /// operating system's.
    pub(crate) fn open(root: &Path, bytes_max: u64) -> Result<Self> {
        fs::create_dir_all(root)?;
        let Some(lock) = FileLock::try_acquire(&root.join("lock"), LockMode::Exclusive)? else {
            let message = format!("another server keeps its copies in {root:?}");
            return Err(Error::new(Kind::Unavailable, message).with_hint("stop it, or set another cache.dir"));
        };
        let marker = root.join("cache.json");
        match fs::read_limited(&marker, 4096) {
            Ok(found) if found == MARKER.as_bytes() => {}
            Ok(_) => {
                let message = format!("the cache in {root:?} has a format that this program does not know");
                return Err(Error::new(Kind::Unsupported, message).with_hint("remove the folder: it holds copies only"));
            }
            Err(error) if error.kind() == Kind::NotFound => {
                fs::write_atomic(&marker, MARKER.as_bytes(), 0o600, Durability::Cached)?;
            }
            Err(error) => return Err(error),
        }
        for algorithm in Algorithm::ALL {
            fs::create_dir_all(&root.join("blobs").join(algorithm.as_str()))?;
            fs::create_dir_all(&root.join("records").join(algorithm.as_str()))?;
        }
        // What was on its way when an earlier server ended.
        fs::remove_dir_all(&root.join("incoming"))?;
        fs::create_dir_all(&root.join("incoming"))?;
        let index = Mutex::new(Index::read(root)?);
        let (evictions, serial) = (AtomicU64::new(0), AtomicU64::new(0));
        let shelf = Self { root: root.to_owned(), bytes_max, index, evictions, serial, _lock: lock };
        shelf.make_room(&mut shelf.lock(), 0)?;
        Ok(shelf)
    }

    /// A file for content on its way.
    pub(crate) fn incoming(&self) -> PathBuf {
        self.root.join("incoming").join(self.serial.fetch_add(1, Ordering::Relaxed).to_string())
    }

    /// Content that a repository has. This is a use of it.
    pub(crate) fn find(&self, home: &str, digest: &Digest) -> Result<Option<Held>> {
        let mut index = self.lock();
        if !index.entries.get(digest).is_some_and(|entry| entry.record.homes.contains(home)) {
            return Ok(None);
        }
        let Ok(file) = fs::open(&self.blob(digest)) else {
            // Somebody took it away.
            self.remove(&mut index, digest)?;
            return Ok(None);
        };
        index.note_use(digest);
        let Some(entry) = index.entries.get_mut(digest) else { return Ok(None) };
        let now = SystemTime::now();
        if now.duration_since(entry.stamped).is_ok_and(|passed| passed > STAMP_INTERVAL) {
            entry.stamped = now;
            // Only the order after a restart hangs on it.
            let _ = file.set_modified(now);
        }
        Ok(Some(Held { file: Arc::new(file), size: entry.size, media_type: entry.record.media_type.clone() }))
    }

    /// Whether content is here, whoever has it.
    pub(crate) fn knows(&self, digest: &Digest) -> bool {
        self.lock().entries.contains_key(digest)
    }

    /// Notes that a repository has content that is here; whoever says so has asked its registry.
    pub(crate) fn adopt(&self, home: &str, digest: &Digest, media_type: Option<String>) -> Result<()> {
        let mut index = self.lock();
        let Some(entry) = index.entries.get_mut(digest) else { return Ok(()) };
        let is_new = entry.record.homes.len() < NAMES_MAX && entry.record.homes.insert(home.into());
        if is_new || (entry.record.media_type.is_none() && media_type.is_some()) {
            entry.record.media_type = media_type.or(entry.record.media_type.take());
            self.write(digest, &entry.record)?;
        }
        Ok(())
    }

    /// Takes in content that was proven and flushed, and lies at `path`. What is larger than everything together may be
    /// is not kept. Returns whether it is.
    pub(crate) fn keep(&self, home: &str, digest: &Digest, path: &Path, media_type: Option<String>) -> Result<bool> {
        let size = path.metadata().map_err(|error| Error::io(format_args!("cannot read {path:?}"), error))?.len();
        let mut index = self.lock();
        if index.entries.contains_key(digest) || !self.make_room(&mut index, charge(size))? {
            fs::remove_file(path)?;
            drop(index);
            self.adopt(home, digest, media_type)?;
            return Ok(self.knows(digest));
        }
        let record = Record { media_type, homes: BTreeSet::from([home.into()]), tags: BTreeMap::new() };
        // The record first: content without one would belong to nobody.
        self.write(digest, &record)?;
        fs::rename(path, &self.blob(digest))?;
        index.add(digest, size, SystemTime::now(), record);
        Ok(true)
    }

    /// What a tag stands for, and when that was last said, in seconds since 1970.
    pub(crate) fn tag(&self, home: &str, tag: &str) -> Option<(Digest, u64)> {
        let index = self.lock();
        let digest = index.tags.get(&(home.to_owned(), tag.to_owned()))?;
        let checked = index.entries.get(digest)?.record.tags.get(home)?.get(tag)?;
        Some((digest.clone(), *checked))
    }

    /// Notes what a tag stands for as of now; nothing when there is none any more.
    pub(crate) fn set_tag(&self, home: &str, tag: &str, digest: Option<&Digest>) -> Result<()> {
        let mut index = self.lock();
        let key = (home.to_owned(), tag.to_owned());
        let before = index.tags.get(&key).cloned();
        if let Some(before) = before.filter(|before| Some(before) != digest)
            && let Some(entry) = index.entries.get_mut(&before)
        {
            entry.record.forget_tag(home, tag);
            self.write(&before, &entry.record)?;
        }
        index.tags.remove(&key);
        let Some(digest) = digest else { return Ok(()) };
        let Some(entry) = index.entries.get_mut(digest) else { return Ok(()) };
        let is_full = entry.record.tags.values().map(BTreeMap::len).sum::<usize>() >= NAMES_MAX;
        if is_full && entry.record.tags.get(home).is_none_or(|tags| !tags.contains_key(tag)) {
            return Ok(());
        }
        entry.record.tags.entry(home.into()).or_default().insert(tag.to_owned(), now_seconds());
        self.write(digest, &entry.record)?;
        index.tags.insert(key, digest.clone());
        Ok(())
    }

    /// Removes content for which no tag stands any more.
    pub(crate) fn discard_untagged(&self, digest: &Digest) -> Result<()> {
        let mut index = self.lock();
        match index.entries.get(digest).is_some_and(|entry| entry.record.tags.is_empty()) {
            true => self.remove(&mut index, digest),
            false => Ok(()),
        }
    }

    /// Bytes of everything that is kept.
    pub(crate) fn bytes(&self) -> u64 {
        self.lock().bytes
    }

    /// Removes what was not used for longest until `bytes` more fit. Returns whether they can fit at all.
    fn make_room(&self, index: &mut Index, bytes: u64) -> Result<bool> {
        if bytes > self.bytes_max {
            return Ok(false);
        }
        while index.bytes + bytes > self.bytes_max {
            let Some(digest) = index.order.values().next().cloned() else { return Ok(true) };
            self.remove(index, &digest)?;
            self.evictions.fetch_add(1, Ordering::Relaxed);
        }
        Ok(true)
    }

    fn remove(&self, index: &mut Index, digest: &Digest) -> Result<()> {
        index.drop_entry(digest);
        fs::remove_file(&self.blob(digest))?;
        fs::remove_file(&self.record(digest)).map(drop)
    }

    fn write(&self, digest: &Digest, record: &Record) -> Result<()> {
        let text = serde_json::to_vec(record)
            .map_err(|error| Error::new(Kind::Internal, "cannot write a record").with_source(error))?;
        fs::write_atomic(&self.record(digest), &text, 0o600, Durability::Cached)
    }

    fn blob(&self, digest: &Digest) -> PathBuf {
        self.root.join("blobs").join(digest.algorithm().as_str()).join(digest.hex())
    }

    fn record(&self, digest: &Digest) -> PathBuf {
        self.root.join("records").join(digest.algorithm().as_str()).join(digest.hex())
    }

    fn lock(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Index {
    /// Everything in a folder, in the order of its last use.
    fn read(root: &Path) -> Result<Self> {
        let mut found = Vec::new();
        for algorithm in Algorithm::ALL {
            let directory = root.join("blobs").join(algorithm.as_str());
            let failed = |error| Error::io(format_args!("cannot list {directory:?}"), error);
            for entry in std::fs::read_dir(&directory).map_err(failed)? {
                let entry = entry.map_err(failed)?;
                let name = entry.file_name();
                let Ok(digest) = Digest::parse(&format!("{algorithm}:{}", name.to_string_lossy())) else { continue };
                let metadata = entry.metadata().map_err(failed)?;
                let record =
                    fs::read_limited(&root.join("records").join(algorithm.as_str()).join(&name), RECORD_BYTES_MAX);
                // A record that a power cut spoilt says nothing: its content is asked for anew.
                let record = record.ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
                found.push((
                    metadata.modified().unwrap_or(UNIX_EPOCH),
                    metadata.mtime_nsec(),
                    digest,
                    metadata.len(),
                    record,
                ));
            }
        }
        found.sort_by(|a, b| (a.0, a.1, &a.2.as_str()).cmp(&(b.0, b.1, &b.2.as_str())));
        let mut index = Self::default();
        for (stamped, _, digest, size, record) in found {
            index.add(&digest, size, stamped, record);
        }
        Ok(index)
    }

    fn add(&mut self, digest: &Digest, size: u64, stamped: SystemTime, record: Record) {
        for (home, tags) in &record.tags {
            self.tags.extend(tags.keys().map(|tag| ((home.clone(), tag.clone()), digest.clone())));
        }
        self.bytes += charge(size);
        self.entries.insert(digest.clone(), Entry { size, use_count: 0, stamped, record });
        self.note_use(digest);
    }

    fn note_use(&mut self, digest: &Digest) {
        self.uses += 1;
        let uses = self.uses;
        if let Some(entry) = self.entries.get_mut(digest) {
            self.order.remove(&entry.use_count);
            entry.use_count = uses;
            self.order.insert(uses, digest.clone());
        }
    }

    fn drop_entry(&mut self, digest: &Digest) {
        let Some(entry) = self.entries.remove(digest) else { return };
        self.order.remove(&entry.use_count);
        self.bytes -= charge(entry.size);
        for (home, tags) in entry.record.tags {
            for tag in tags.into_keys() {
                self.tags.remove(&(home.clone(), tag));
            }
        }
    }
}

impl Record {
    fn forget_tag(&mut self, home: &str, tag: &str) {
        if let Some(tags) = self.tags.get_mut(home) {
            tags.remove(tag);
            if tags.is_empty() {
                self.tags.remove(home);
            }
        }
    }
}

/// What content of so many bytes takes.
fn charge(size: u64) -> u64 {
    size.next_multiple_of(BLOCK_BYTES) + BLOCK_BYTES
}

/// The time now, in seconds since 1970.
pub(super) fn now_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |passed| passed.as_secs())
}

#[cfg(test)]
#[path = "shelf_tests.rs"]
mod tests;
