//! How much a namespace may hold: a repository and all below it.
//!
//! What is there is counted when the first push after the start comes in, and again when a push would not fit: what was
//! deleted or collected since has made room. In between, what comes in is added, from the moment that it is about to. Several servers on one storage know of
//! what the others took in from their last count.

mod tally;

use std::collections::HashMap;
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
use tally::Tally;

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

/// What one namespace holds, with what is on its way.
#[derive(Clone, Debug)]
struct Usage {
    /// By their bytes.
    content: Tally<Digest>,
    repositories: Tally<RepositoryName>,
    tags: Tally<(RepositoryName, Tag)>,
    counted: Instant,
    /// A new count is being made.
    is_counting: bool,
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
    repository: RepositoryName,
    tags: Vec<(RepositoryName, Tag)>,
}

impl Reserved {
    /// It is in.
    pub(crate) fn keep(mut self) {
        self.end(true);
    }

    /// It is in, if the bytes were the right ones.
    pub(crate) fn keep_if_stored(self, committed: Committed) -> Committed {
        if committed == Committed::Stored {
            self.keep();
        }
        committed
    }

    fn end(&mut self, is_in: bool) {
        let mut usages = self.usages.lock();
        for added in self.added.drain(..) {
            if let Some(usage) = usages.get_mut(&added.namespace) {
                usage.end(&added, is_in);
            }
        }
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.end(false);
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
            reserved.added.extend(added);
        }
        Ok(reserved)
    }

    /// Nothing when there is no count that is young enough.
    fn try_add(&self, quota: &Quota, intake: &Intake<'_>, age_max: Duration) -> Option<Outcome<Option<Added>>> {
        let mut usages = self.lock();
        let usage = usages.get_mut(&quota.namespace).filter(|usage| usage.counted.elapsed() < age_max)?;
        Some(usage.add(quota, intake))
    }

    async fn count<S: Storage>(&self, storage: &S, quota: &Quota) -> Result<()> {
        let _alone = self.counting.lock().await;
        if let Some(usage) = self.lock().get_mut(&quota.namespace) {
            if usage.counted.elapsed() < COUNT_INTERVAL {
                return Ok(());
            }
            usage.is_counting = true;
        }
        let mut usage = Usage::count(storage, &quota.namespace).await?;
        let mut usages = self.lock();
        if let Some(earlier) = usages.get(&quota.namespace) {
            usage.take_over(earlier);
        }
        usages.insert(quota.namespace.clone(), usage);
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
            content: Tally::default(),
            repositories: Tally::default(),
            tags: Tally::default(),
            counted: Instant::now(),
            is_counting: false,
        };
        // A namespace that is no name has nothing.
        let Some(namespace) = RepositoryName::parse(namespace) else { return Ok(usage) };
        storage.holdings(&namespace, &mut |holding| usage.count_in(holding)).await?;
        Ok(usage)
    }

    fn count_in(&mut self, holding: Holding) {
        match holding {
            Holding::Content(repository, digest, size) => {
                self.repositories.found(repository, 1);
                self.content.found(digest, size);
            }
            Holding::Tag(repository, tag) => self.tags.found((repository, tag), 1),
        }
    }

    fn take_over(&mut self, earlier: &Self) {
        self.content.take_over(&earlier.content);
        self.repositories.take_over(&earlier.repositories);
        self.tags.take_over(&earlier.tags);
    }

    fn add(&mut self, quota: &Quota, intake: &Intake<'_>) -> Outcome<Option<Added>> {
        let Intake { repository, digest, size, tags, is_announced } = intake;
        let is_new = digest.is_none_or(|digest| !self.content.contains(digest));
        let is_new_repository = !self.repositories.contains(repository);
        let tags: Vec<(RepositoryName, Tag)> = tags.iter().map(|tag| ((*repository).clone(), tag.clone())).collect();
        let new_tags = tags.iter().filter(|tag| !self.tags.contains(tag)).count();
        for (what, bound, used, more) in [
            ("bytes", quota.bytes, self.content.total(), if is_new { *size } else { 0 }),
            ("repositories", quota.repositories, self.repositories.total(), u64::from(is_new_repository)),
            ("tags", quota.tags, self.tags.total(), new_tags as u64),
        ] {
            // What needs nothing more is fine, also where a bound was lowered since.
            if let Some(bound) = bound
                && more > 0
                && used.saturating_add(more) > bound
            {
                return Err(exceeded(&quota.namespace, what, bound, used, more));
            }
        }
        if *is_announced {
            return Ok(None);
        }
        let content = digest.cloned();
        content.iter().for_each(|digest| self.content.expect(digest.clone(), *size));
        self.repositories.expect((*repository).clone(), 1);
        tags.iter().for_each(|tag| self.tags.expect(tag.clone(), 1));
        Ok(Some(Added { namespace: quota.namespace.clone(), content, repository: (*repository).clone(), tags }))
    }

    /// Notes that what was added has come, or will not.
    fn end(&mut self, added: &Added, is_in: bool) {
        let Added { content, repository, tags, .. } = added;
        if is_in {
            content.iter().for_each(|digest| self.content.arrived(digest, self.is_counting));
            self.repositories.arrived(repository, self.is_counting);
            tags.iter().for_each(|tag| self.tags.arrived(tag, self.is_counting));
        } else {
            content.iter().for_each(|digest| self.content.failed(digest));
            self.repositories.failed(repository);
            tags.iter().for_each(|tag| self.tags.failed(tag));
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
    use crate::storage::Folder;

    #[tokio::test]
    async fn a_new_count_does_not_forget_what_is_on_its_way() {
        let directory = tempfile::tempdir().expect("a directory");
        let storage = Folder::open(directory.path(), false).expect("a folder");
        let (usages, quotas) = (Arc::new(Usages::default()), [Quota::parse("team:bytes=10").expect("a quota")]);
        let repository = RepositoryName::parse("team/app").expect("a name");
        let digests = ["a", "b"].map(|text| Digest::sha256(text.as_bytes()));
        let reserve = async |index: usize| {
            let intake = Intake::blob(&repository, &digests[index], 6);
            usages.reserve(&storage, &quotas, &intake).await
        };
        let make_old = || {
            if let Some(usage) = usages.lock().get_mut("team") {
                usage.counted = Instant::now().checked_sub(2 * COUNT_AGE).expect("a machine that runs for minutes");
            }
        };
        let first = reserve(0).await.expect("room");
        make_old();
        assert!(reserve(1).await.is_err(), "the first one is on its way");
        // Two bring the same, and one of them fails.
        let second = reserve(0).await.expect("counted already");
        drop(first);
        assert!(reserve(1).await.is_err(), "the second one is on its way");
        drop(second);
        reserve(1).await.expect("nothing came").keep();
    }

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
