//! How much a namespace may hold: a repository and all below it.
//!
//! What is there is counted when the first push after the start comes in, and again when a push would not fit: what was
//! deleted or collected since has made room. In between, what comes in is added. Several servers on one storage know of
//! what the others took in from their last count.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use dhow_base::{Error, Kind, Result};
use dhow_spec::Tag;
use dhow_spec::digest::Digest;
use hyper::StatusCode;
use serde::Deserialize;
use serde_json::json;

use crate::failure::{Code, Failure, Outcome};
use crate::name::RepositoryName;
use crate::storage::{Committed, Holding, Storage};

/// A full namespace is counted this often at most, however many pushes it gets.
const COUNT_INTERVAL: Duration = Duration::from_secs(2);

/// Counts are renewed after this time, for what other servers took in.
const COUNT_AGE: Duration = Duration::from_secs(5 * 60);

/// What a namespace may hold; nothing where there is no bound.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quota {
    /// A repository name, or the beginning of some up to a `/`.
    pub namespace: String,
    /// Bytes of blobs and manifests, each counted once.
    pub bytes: Option<u64>,
    /// Repositories.
    pub repositories: Option<u64>,
    /// Tags.
    pub tags: Option<u64>,
}

impl Quota {
    /// Reads `<namespace>:<bound>=<number>,…`.
    ///
    /// # Errors
    /// [`Kind::Invalid`] that says what is wrong.
    pub fn parse(text: &str) -> Result<Self> {
        let invalid = || {
            Error::new(Kind::Invalid, format!("invalid quota {text:?}"))
                .with_hint("write <namespace>:<bounds>, such as team:bytes=10000000000,repositories=10,tags=100")
        };
        let (namespace, bounds) = text.split_once(':').ok_or_else(invalid)?;
        let mut quota = Self { namespace: namespace.to_owned(), ..Self::default() };
        for bound in bounds.split(',') {
            let (name, number) = bound.split_once('=').ok_or_else(invalid)?;
            let place = match name {
                "bytes" => &mut quota.bytes,
                "repositories" => &mut quota.repositories,
                "tags" => &mut quota.tags,
                _ => return Err(invalid()),
            };
            if place.replace(number.parse().map_err(|_| invalid())?).is_some() {
                return Err(invalid());
            }
        }
        quota.check()?;
        Ok(quota)
    }

    /// Refuses one that can never count, which is a slip of the pen.
    pub(crate) fn check(&self) -> Result<()> {
        if RepositoryName::parse(&self.namespace).is_none() {
            let message = format!("quotas: {:?} is neither a repository name nor the beginning of one", self.namespace);
            return Err(Error::new(Kind::Invalid, message));
        }
        if (self.bytes, self.repositories, self.tags) == (None, None, None) {
            let message = format!("quotas: the quota of {:?} bounds nothing", self.namespace);
            return Err(Error::new(Kind::Invalid, message).with_hint("set bytes, repositories or tags"));
        }
        Ok(())
    }

    fn covers(&self, repository: &RepositoryName) -> bool {
        let below = repository.as_str().strip_prefix(&self.namespace);
        below.is_some_and(|below| below.is_empty() || below.starts_with('/'))
    }
}

/// What the namespaces with a quota hold.
#[derive(Debug, Default)]
pub(crate) struct Usages {
    usages: Mutex<HashMap<String, Usage>>,
    /// One count at a time: it reads much.
    counting: tokio::sync::Mutex<()>,
}

/// What one namespace holds.
#[derive(Clone, Debug)]
struct Usage {
    /// Digests, and the bytes of each.
    content: HashMap<Digest, u64>,
    bytes: u64,
    repositories: HashSet<RepositoryName>,
    tags: HashSet<(RepositoryName, Tag)>,
    counted: Instant,
}

/// Something that is about to be taken in.
#[derive(Clone, Debug)]
pub(crate) struct Intake<'a> {
    pub(crate) repository: &'a RepositoryName,
    /// Nothing when the digest of what comes is not known yet.
    pub(crate) digest: Option<&'a Digest>,
    /// Length in bytes.
    pub(crate) size: u64,
    pub(crate) tags: &'a [Tag],
    /// It was only announced, and need not come: nothing is counted in.
    pub(crate) is_announced: bool,
}

impl<'a> Intake<'a> {
    /// A blob whose bytes are there.
    pub(crate) fn blob(repository: &'a RepositoryName, digest: &'a Digest, size: u64) -> Self {
        Self { repository, digest: Some(digest), size, tags: &[], is_announced: false }
    }

    /// A blob that was announced.
    pub(crate) fn announced(repository: &'a RepositoryName, digest: Option<&'a Digest>, size: u64) -> Self {
        Self { repository, digest, size, tags: &[], is_announced: true }
    }
}

/// What was added to the count for something that is being taken in. Dropped, it is taken away again.
#[derive(Debug)]
pub(crate) struct Reserved {
    usages: Arc<Usages>,
    added: Vec<Added>,
}

#[derive(Debug)]
struct Added {
    namespace: String,
    content: Option<Digest>,
    repository: Option<RepositoryName>,
    tags: Vec<(RepositoryName, Tag)>,
}

impl Reserved {
    /// It is in.
    pub(crate) fn keep(mut self) {
        self.added.clear();
    }

    /// It is in, if the bytes were the right ones.
    pub(crate) fn keep_if_stored(self, committed: Committed) -> Committed {
        if committed == Committed::Stored {
            self.keep();
        }
        committed
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        let mut usages = self.usages.lock();
        for added in self.added.drain(..) {
            if let Some(usage) = usages.get_mut(&added.namespace) {
                usage.take_away(added);
            }
        }
    }
}

impl Usages {
    /// Counts something in, if every quota that covers it has room.
    ///
    /// # Errors
    /// 403 `DENIED`, which docker shows with the message and does not try again.
    pub(crate) async fn reserve<S: Storage>(
        self: &Arc<Self>,
        storage: &S,
        quotas: &[Quota],
        intake: &Intake<'_>,
    ) -> Outcome<Reserved> {
        let mut reserved = Reserved { usages: Arc::clone(self), added: Vec::new() };
        for quota in quotas.iter().filter(|quota| quota.covers(intake.repository)) {
            let added = match self.try_add(quota, intake, COUNT_AGE) {
                Some(Ok(added)) => added,
                // Not counted yet or long ago, or full: then it is counted whether room was made.
                _ => {
                    self.count(storage, quota).await?;
                    self.try_add(quota, intake, Duration::MAX).unwrap_or_else(|| Err(not_counted()))?
                }
            };
            reserved.added.push(added);
        }
        Ok(reserved)
    }

    /// Nothing when there is no count that is young enough.
    fn try_add(&self, quota: &Quota, intake: &Intake<'_>, age_max: Duration) -> Option<Outcome<Added>> {
        let mut usages = self.lock();
        let usage = usages.get_mut(&quota.namespace).filter(|usage| usage.counted.elapsed() < age_max)?;
        Some(usage.add(quota, intake))
    }

    async fn count<S: Storage>(&self, storage: &S, quota: &Quota) -> Result<()> {
        let _alone = self.counting.lock().await;
        let is_young = |usage: &Usage| usage.counted.elapsed() < COUNT_INTERVAL;
        if self.lock().get(&quota.namespace).is_some_and(is_young) {
            return Ok(());
        }
        let usage = Usage::count(storage, &quota.namespace).await?;
        self.lock().insert(quota.namespace.clone(), usage);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Usage>> {
        self.usages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Usage {
    /// Counts what the storage holds.
    async fn count<S: Storage>(storage: &S, namespace: &str) -> Result<Self> {
        let mut usage = Self {
            content: HashMap::new(),
            bytes: 0,
            repositories: HashSet::new(),
            tags: HashSet::new(),
            counted: Instant::now(),
        };
        // A namespace that is no name has nothing.
        let Some(namespace) = RepositoryName::parse(namespace) else { return Ok(usage) };
        storage.holdings(&namespace, &mut |holding| usage.count_in(holding)).await?;
        Ok(usage)
    }

    fn count_in(&mut self, holding: Holding) {
        match holding {
            Holding::Content(repository, digest, size) => {
                self.repositories.insert(repository);
                if let Entry::Vacant(entry) = self.content.entry(digest) {
                    entry.insert(size);
                    self.bytes += size;
                }
            }
            Holding::Tag(repository, tag) => {
                self.tags.insert((repository, tag));
            }
        }
    }

    fn add(&mut self, quota: &Quota, intake: &Intake<'_>) -> Outcome<Added> {
        let Intake { repository, digest, size, tags, is_announced } = intake;
        let is_new = digest.is_none_or(|digest| !self.content.contains_key(digest));
        let more = if is_new { *size } else { 0 };
        let new_tags: Vec<(RepositoryName, Tag)> = tags
            .iter()
            .map(|tag| ((*repository).clone(), tag.clone()))
            .filter(|tag| !self.tags.contains(tag))
            .collect();
        let is_new_repository = !self.repositories.contains(*repository);
        let (repositories, tags) = (self.repositories.len() as u64, self.tags.len() as u64);
        for (what, bound, used, more) in [
            ("bytes", quota.bytes, self.bytes, more),
            ("repositories", quota.repositories, repositories, u64::from(is_new_repository)),
            ("tags", quota.tags, tags, new_tags.len() as u64),
        ] {
            // What needs nothing more is fine, also where a bound was lowered since.
            if let Some(bound) = bound
                && more > 0
                && used.saturating_add(more) > bound
            {
                return Err(exceeded(&quota.namespace, what, bound, used, more));
            }
        }
        let mut added = Added { namespace: quota.namespace.clone(), content: None, repository: None, tags: Vec::new() };
        if *is_announced {
            return Ok(added);
        }
        let content = digest.filter(|_| is_new).cloned();
        if let Some(digest) = &content {
            self.bytes += size;
            self.content.insert(digest.clone(), *size);
        }
        let repository = is_new_repository.then(|| (*repository).clone());
        self.repositories.extend(repository.clone());
        self.tags.extend(new_tags.iter().cloned());
        (added.content, added.repository, added.tags) = (content, repository, new_tags);
        Ok(added)
    }

    fn take_away(&mut self, added: Added) {
        if let Some(size) = added.content.and_then(|digest| self.content.remove(&digest)) {
            self.bytes -= size;
        }
        if let Some(repository) = added.repository {
            self.repositories.remove(&repository);
        }
        for tag in added.tags {
            self.tags.remove(&tag);
        }
    }
}

fn not_counted() -> Box<Failure> {
    Error::new(Kind::Internal, "a namespace was counted and has no count").into()
}

fn exceeded(namespace: &str, what: &str, bound: u64, used: u64, more: u64) -> Box<Failure> {
    let message =
        format!("the quota of {namespace} is used up: it holds {used} of {bound} {what}, and this needs {more} more");
    Failure::new(StatusCode::FORBIDDEN, Code::Denied, message)
        .with_detail(json!({ "namespace": namespace, "bound": what, "limit": bound, "used": used, "needed": more }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotas_of_one_line() {
        let quota = Quota::parse("team:bytes=10,tags=3").expect("a quota");
        let expected = Quota { namespace: "team".to_owned(), bytes: Some(10), repositories: None, tags: Some(3) };
        assert_eq!(quota, expected);
        let covered = |name: &str| RepositoryName::parse(name).is_some_and(|name| quota.covers(&name));
        assert!(covered("team") && covered("team/app") && !covered("teams") && !covered("other/team"));
        for bad in
            ["", "team", "team:", "team:bytes", "team:bytes=", "team:bytes=x", "team:bytes=1,bytes=2", "team:size=1"]
        {
            assert!(Quota::parse(bad).is_err(), "{bad}");
        }
        assert!(Quota::parse("Team:bytes=1").is_err() && Quota::parse(":bytes=1").is_err());
    }
}
