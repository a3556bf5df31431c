//! Collection of content that nobody needs, and proof of what is kept. Both run beside a server on the same folder.
//!
//! What is needed is worked out without a lock; what is not is removed in small batches, each under a lock that keeps
//! pushes waiting for some milliseconds. Under it, what could have changed is looked at once more (`storage::pin` tells
//! the other side). Stopped anywhere, everything is whole, and the next run goes on with what is left.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use dhow_base::fs::{self, FileLock, LockMode};
use dhow_base::limits::MANIFEST_BYTES_MAX;
use dhow_base::{Error, Kind, Result};
use dhow_spec::digest::{Algorithm, Digest, Hasher};
use serde_json::Value;

use crate::name::RepositoryName;
use crate::options::ObjectStorage;
use crate::storage::{Sweeping, bucket, folder};

/// How many files one batch removes. Pushes wait for it.
const BATCH: usize = 256;

/// The system stamps files with a clock that goes in steps; this is longer than any.
const CLOCK_STEP: Duration = Duration::from_millis(100);

/// The first 16 bytes of a digest. Two that share them would only both be kept.
type Id = [u8; 16];

/// What to collect.
#[derive(Clone, Debug)]
pub struct CollectOptions {
    /// The registry's folder.
    pub root: PathBuf,
    /// Content that came or was used in a push later than this long ago stays, whether it is needed or not: a client may
    /// have uploaded it for a manifest that is still to come.
    pub grace: Duration,
    /// Removes nothing, and only says what would be.
    pub dry_run: bool,
}

/// What a collection did, or would do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Repositories looked through.
    pub repositories: u64,
    /// Manifests and indexes that say what is needed.
    pub manifests: u64,
    /// Blobs that a repository had and that none of its manifests needs.
    pub unlinked: u64,
    /// Content removed because no repository has it.
    pub removed: u64,
    /// Bytes of that content.
    pub bytes: u64,
    /// Why some repositories were left as they are.
    pub problems: Vec<String>,
}

/// Removes what no manifest of a repository needs, and then content that no repository has.
///
/// Memory: 35 bytes or less for each blob that is kept, and as much for each that the largest repository needs.
///
/// # Errors
/// [`Kind::Unavailable`] when another collection runs on the folder, [`Kind::NotFound`] when there is no registry in it,
/// else the operating system's.
pub fn collect(options: &CollectOptions) -> Result<Collected> {
    let waiting = match folder::check_settled(&options.root) {
        Ok(()) => None,
        // A server that was killed on a full disk: only removing something makes room for what it left to be done.
        Err(error) if error.kind() == Kind::NoSpace => Some(needed_by_unsettled(&options.root)?),
        Err(error) => return Err(error),
    };
    let is_settled = waiting.is_none();
    let lock = (!options.dry_run).then(|| only_one(&options.root)).transpose()?;
    let oldest = SystemTime::now().checked_sub(options.grace + CLOCK_STEP).unwrap_or(SystemTime::UNIX_EPOCH);
    let mut collection = Collection {
        root: &options.root,
        oldest,
        dry_run: options.dry_run,
        kept: waiting.clone().unwrap_or_default(),
        waiting: waiting.unwrap_or_default(),
        done: Collected::default(),
    };
    collection.repositories(&options.root.join("repositories"), "")?;
    collection.contents()?;
    drop(lock);
    let mut done = collection.done;
    if !is_settled
        && !options.dry_run
        && let Err(error) = folder::check_settled(&options.root)
    {
        done.problems.push(format!("a server was killed, and what it left to be done still cannot be: {error}"));
    }
    Ok(done)
}

/// What must not go because changes need it that there was no room to make: content that they name, and what is named in
/// it, as far as it comes with them.
fn needed_by_unsettled(root: &Path) -> Result<HashSet<Id>> {
    let mut needed = HashSet::new();
    for (content, bytes) in folder::unsettled(root)? {
        let digest = content.as_ref().and_then(|key| key.as_str().strip_prefix("blobs/")?.split_once('/'));
        needed.extend(digest.and_then(|(name, hex)| id_of(Algorithm::from_name(name)?, hex)));
        if let Ok(document) = serde_json::from_slice(&bytes) {
            digests_in(&document, &mut needed);
        }
    }
    Ok(needed)
}

/// As [`collect`], in an object store, and at most one at a time from wherever it runs.
///
/// Memory: some 20 bytes for each blob that is kept.
///
/// # Errors
/// [`Kind::Unavailable`] when another collection runs on it, [`Kind::NotFound`] when there is no registry in it, else the
/// store's.
pub async fn collect_bucket(storage: &ObjectStorage, grace: Duration, dry_run: bool) -> Result<Collected> {
    bucket::collect(&bucket::open(storage, true).await?, grace, dry_run).await
}

/// As [`scrub`], in an object store.
///
/// # Errors
/// [`Kind::NotFound`] when there is no registry in it, else the store's when it cannot be listed.
pub async fn scrub_bucket(storage: &ObjectStorage) -> Result<Scrubbed> {
    bucket::scrub(&bucket::open(storage, true).await?).await
}

fn only_one(root: &Path) -> Result<FileLock> {
    FileLock::try_acquire(&root.join("collect.lock"), LockMode::Exclusive)?.ok_or_else(|| {
        Error::new(Kind::Unavailable, format!("another collection is running in {root:?}"))
            .with_hint("wait for its end")
    })
}

struct Collection<'a> {
    root: &'a Path,
    oldest: SystemTime,
    dry_run: bool,
    /// Content that some repository has.
    kept: HashSet<Id>,
    /// What changes need that are still to be made.
    waiting: HashSet<Id>,
    done: Collected,
}

/// What the manifests of one repository need.
#[derive(Default)]
struct Needed {
    manifests: HashSet<Id>,
    content: HashSet<Id>,
}

impl Collection<'_> {
    /// Every repository below a directory.
    fn repositories(&mut self, directory: &Path, prefix: &str) -> Result<()> {
        for component in names(directory)? {
            let component = component?;
            let (name, path) = (format!("{prefix}{component}"), directory.join(&component));
            if RepositoryName::parse(&name).is_some() {
                if path.join("_blobs").exists() || path.join("_manifests").exists() {
                    self.repository(&name, &path)?;
                }
                self.repositories(&path, &format!("{name}/"))?;
            }
        }
        Ok(())
    }

    fn repository(&mut self, name: &str, path: &Path) -> Result<()> {
        self.done.repositories += 1;
        let mut needed = Needed::default();
        let known = self.look_at_manifests(path, &mut needed);
        self.done.manifests += needed.manifests.len() as u64;
        if let Err(error) = &known {
            self.done.problems.push(format!("the blobs of {name} are left as they are: {error}"));
        }
        for algorithm in Algorithm::ALL {
            let directory = path.join("_blobs").join(algorithm.as_str());
            let mut batch = Vec::new();
            for hex in names(&directory)? {
                let hex = hex?;
                let Some(id) = id_of(algorithm, &hex) else { continue };
                let link = directory.join(&hex);
                if known.is_err() || self.is_needed(&needed, id) || !self.is_old(&link) {
                    self.kept.insert(id);
                    continue;
                }
                batch.push((id, link));
                if batch.len() == BATCH {
                    self.unlink(path, &mut needed, std::mem::take(&mut batch))?;
                }
            }
            self.unlink(path, &mut needed, batch)?;
        }
        // Manifests that came while this repository was looked through are kept by their time.
        self.kept.extend(&needed.manifests);
        Ok(())
    }

    /// Reads the manifests of a repository that were not read before. One that cannot be read does not keep the others
    /// from being known, since what is not known is removed.
    fn look_at_manifests(&self, repository: &Path, needed: &mut Needed) -> Result<()> {
        let mut result = Ok(());
        for algorithm in Algorithm::ALL {
            for hex in names(&repository.join("_manifests").join(algorithm.as_str()))? {
                let hex = hex?;
                let Some(id) = id_of(algorithm, &hex) else { continue };
                if needed.manifests.insert(id) {
                    let content = self.root.join("blobs").join(algorithm.as_str()).join(&hex);
                    match read(&content) {
                        Ok(document) => digests_in(&document, &mut needed.content),
                        Err(error) => result = Err(error),
                    }
                }
            }
        }
        result
    }

    /// Takes blobs from a repository, but for those that a manifest needs that has just come.
    fn unlink(&mut self, repository: &Path, needed: &mut Needed, batch: Vec<(Id, PathBuf)>) -> Result<()> {
        if batch.is_empty() {
            return Ok(());
        }
        let sweeping = (!self.dry_run).then(|| Sweeping::begin(self.root)).transpose()?;
        let known = match sweeping {
            Some(_) => self.look_at_manifests(repository, needed),
            None => Ok(()),
        };
        let mut changed = None;
        for (id, link) in batch {
            if known.is_err() || self.is_needed(needed, id) || !self.is_old(&link) {
                self.kept.insert(id);
                continue;
            }
            if !self.dry_run {
                fs::remove_file(&link)?;
                changed = link.parent().map(Path::to_owned);
            }
            self.done.unlinked += 1;
        }
        drop(sweeping);
        // Before the content goes: a repository never has a blob whose content is gone.
        changed.as_deref().map_or(Ok(()), fs::sync_dir)
    }

    /// Content that no repository has.
    fn contents(&mut self) -> Result<()> {
        for algorithm in Algorithm::ALL {
            let directory = self.root.join("blobs").join(algorithm.as_str());
            let mut batch = Vec::new();
            for hex in names(&directory)? {
                let hex = hex?;
                let path = directory.join(&hex);
                if id_of(algorithm, &hex).is_some_and(|id| !self.kept.contains(&id)) && self.is_old(&path) {
                    batch.push(path);
                }
                if batch.len() == BATCH {
                    self.remove(std::mem::take(&mut batch))?;
                }
            }
            self.remove(batch)?;
        }
        Ok(())
    }

    fn remove(&mut self, batch: Vec<PathBuf>) -> Result<()> {
        if batch.is_empty() {
            return Ok(());
        }
        let _sweeping = (!self.dry_run).then(|| Sweeping::begin(self.root)).transpose()?;
        for path in batch {
            // What a push has taken up since is young now.
            let Ok(metadata) = path.metadata() else { continue };
            if self.is_old(&path) {
                if !self.dry_run {
                    fs::remove_file(&path)?;
                }
                self.done.removed += 1;
                self.done.bytes += metadata.len();
            }
        }
        Ok(())
    }

    fn is_needed(&self, needed: &Needed, id: Id) -> bool {
        needed.content.contains(&id) || self.waiting.contains(&id)
    }

    fn is_old(&self, path: &Path) -> bool {
        path.metadata().and_then(|metadata| metadata.modified()).is_ok_and(|changed| changed < self.oldest)
    }
}

/// What a proof of all content found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scrubbed {
    /// Blobs, manifests and indexes that were read.
    pub contents: u64,
    /// Their bytes.
    pub bytes: u64,
    /// What is not what its name says, or cannot be read.
    pub problems: Vec<String>,
}

/// Reads all content and compares its digest with its name. Changes nothing, but for putting in order what a server left that
/// was killed.
///
/// # Errors
/// [`Kind::NotFound`] when there is no registry in the folder, else the operating system's when it cannot be listed.
pub fn scrub(root: &Path) -> Result<Scrubbed> {
    folder::check_settled(root)?;
    let mut done = Scrubbed::default();
    for algorithm in Algorithm::ALL {
        let directory = root.join("blobs").join(algorithm.as_str());
        for hex in names(&directory)? {
            let hex = hex?;
            let Ok(expected) = Digest::parse(&format!("{algorithm}:{hex}")) else {
                done.problems.push(format!("{:?} is no content's name", directory.join(&hex)));
                continue;
            };
            match hash(&directory.join(&hex), algorithm) {
                Ok(Some((actual, bytes))) => {
                    done.contents += 1;
                    done.bytes += bytes;
                    if actual != expected {
                        done.problems.push(format!("the content of {expected} is {actual}"));
                    }
                }
                // A collection took it away in between.
                Ok(None) => {}
                Err(error) => done.problems.push(error.to_string()),
            }
        }
    }
    Ok(done)
}

fn hash(path: &Path, algorithm: Algorithm) -> Result<Option<(Digest, u64)>> {
    use std::io::Read as _;

    const CHUNK_BYTES: usize = 1 << 20;
    let Some(mut file) = folder::found(path, std::fs::File::open(path))? else { return Ok(None) };
    let (mut hasher, mut bytes, mut buffer) = (Hasher::new(algorithm), 0, vec![0; CHUNK_BYTES]);
    loop {
        match file.read(&mut buffer).map_err(|error| Error::io(format_args!("cannot read {path:?}"), error))? {
            0 => return Ok(Some((hasher.finish(), bytes))),
            read => {
                hasher.update(&buffer[..read]);
                bytes += read as u64;
            }
        }
    }
}

fn read(manifest: &Path) -> Result<Value> {
    let bytes = fs::read_limited(manifest, MANIFEST_BYTES_MAX)?;
    serde_json::from_slice(&bytes)
        .map_err(|error| Error::new(Kind::Corrupt, format!("the manifest {manifest:?} cannot be read: {error}")))
}

/// The names in a directory, one after another, since there may be millions; none when it is not there.
fn names(directory: &Path) -> Result<impl Iterator<Item = Result<String>> + use<>> {
    let entries = folder::found(directory, std::fs::read_dir(directory))?;
    let directory = directory.to_owned();
    let name = move |entry: std::io::Result<std::fs::DirEntry>| match entry {
        Ok(entry) => entry.file_name().into_string().ok().map(Ok),
        Err(error) => Some(Err(Error::io(format_args!("cannot list {directory:?}"), error))),
    };
    Ok(entries.into_iter().flatten().filter_map(name))
}

fn id_of(algorithm: Algorithm, hex: &str) -> Option<Id> {
    Digest::parse(&format!("{algorithm}:{hex}")).ok()?;
    let mut id = [0; 16];
    for (byte, digits) in id.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(id)
}

/// Everything in a document that has the form of a digest, wherever it stands: what a future kind of manifest needs is
/// kept, too.
fn digests_in(value: &Value, found: &mut HashSet<Id>) {
    match value {
        Value::String(text) => {
            let digest = text.split_once(':').and_then(|(name, hex)| Some((Algorithm::from_name(name)?, hex)));
            found.extend(digest.and_then(|(algorithm, hex)| id_of(algorithm, hex)));
        }
        Value::Array(values) => values.iter().for_each(|value| digests_in(value, found)),
        Value::Object(members) => members.values().for_each(|value| digests_in(value, found)),
        _ => {}
    }
}
