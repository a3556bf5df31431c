//! Collection of content that nobody needs from a bucket, while servers use it (`docs/design/bucket.md`).
//!
//! What manifests need is read first, as fingerprints of eight bytes. Then everything that lies under `blobs/` passes by
//! once, digest by digest, and what looks unneeded is removed in batches: the batch is announced, looked at once more,
//! and what is still unneeded goes. Killed anywhere, the next collection goes on behind the last batch.

mod groups;
mod lock;
#[cfg(test)]
mod memory;
mod needs;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::time::{Duration, Instant, SystemTime};

use dhow_base::limits::MANIFEST_BYTES_MAX;
use dhow_base::{Error, Result};
use dhow_spec::digest::{Digest, Hasher};
use futures::stream::{StreamExt as _, TryStreamExt as _};

use self::groups::{Group, Verdict};
use self::lock::Lock;
use self::needs::Needs;
use super::gate::{ACTING, Sweep};
use super::keys::Member;
use super::objects::{Listed, Objects};
use super::record::{HEAD_BYTES_MAX, INLINE_BYTES, Link, ManifestHead};
use super::{AT_ONCE, Bucket, keys, record, serial};
use crate::collect::{Collected, Scrubbed};
use crate::name::RepositoryName;

/// Digests in one announcement.
const BATCH: usize = 200;

/// Stores tell the time of a write in whole seconds.
const CLOCK_STEP: Duration = Duration::from_secs(2);

/// Removes what no manifest of a repository needs, and content that no repository has.
///
/// # Errors
/// [`dhow_base::Kind::Unavailable`] when another collection runs, else the store's.
pub(crate) async fn collect(bucket: &Bucket, grace: Duration, dry_run: bool) -> Result<Collected> {
    collect_older(bucket, grace + CLOCK_STEP, dry_run).await
}

/// As [`collect`], for what is older than `age` by a clock that tells any time.
async fn collect_older(bucket: &Bucket, age: Duration, dry_run: bool) -> Result<Collected> {
    let objects = bucket.objects();
    super::open::check_format(objects).await?;
    let lock = if dry_run { None } else { Some(Lock::take(objects).await?) };
    // The store's clock says how old things are.
    let now = lock.as_ref().map_or_else(SystemTime::now, Lock::taken_at);
    let oldest = now.checked_sub(age).unwrap_or(SystemTime::UNIX_EPOCH);
    let mut collection = Collection {
        objects,
        oldest,
        lock,
        needs: Needs::default(),
        loose: HashSet::new(),
        done: Collected::default(),
    };
    collection.find_loose_data().await?;
    collection.read_manifests().await?;
    collection.sweep_all().await?;
    collection.remove_loose_data().await?;
    if let Some(lock) = collection.lock.take() {
        lock.release(objects).await?;
    }
    collection.done.problems.append(&mut collection.needs.problems);
    Ok(collection.done)
}

struct Collection<'a> {
    objects: &'a Objects,
    oldest: SystemTime,
    /// Nothing in a dry run.
    lock: Option<Lock>,
    needs: Needs,
    /// Serials of old data that no digest was found for yet.
    loose: HashSet<u64>,
    done: Collected,
}

impl Collection<'_> {
    /// Data is marked with its digest before it is whole. So what is here now and has no mark later on never gets one.
    async fn find_loose_data(&mut self) -> Result<()> {
        let mut data = self.objects.list(keys::DATA, None);
        while let Some(listed) = data.try_next().await? {
            if let Some(serial) = self.old_serial(&listed) {
                self.loose.insert(self.needs.print(&serial));
            }
        }
        Ok(())
    }

    fn old_serial(&self, listed: &Listed) -> Option<String> {
        let serial = listed.key.rsplit_once('/')?.1;
        (listed.changed < self.oldest).then(|| serial.to_owned())
    }

    async fn read_manifests(&mut self) -> Result<()> {
        let mut listed = self.objects.list(keys::REPOSITORIES, None);
        let mut batch = Vec::new();
        let mut last = None;
        loop {
            let object = listed.try_next().await?;
            let is_last = object.is_none();
            let manifest = object.and_then(|object| keys::manifest(&object.key));
            if let Some((repository, digest)) = manifest {
                if last.as_ref() != Some(&repository) {
                    self.done.repositories += 1;
                    last = Some(repository.clone());
                }
                batch.push((repository, digest));
            }
            if batch.len() == BATCH || is_last {
                self.done.manifests += batch.len() as u64;
                self.needs.learn(self.objects, std::mem::take(&mut batch)).await?;
                self.beat(None).await?;
            }
            if is_last {
                return Ok(());
            }
        }
    }

    /// From behind where the last collection stopped, once around.
    async fn sweep_all(&mut self) -> Result<()> {
        let start = self.lock.as_ref().and_then(Lock::cursor).map(str::to_owned);
        if start.is_some() {
            self.sweep_range(start.as_deref(), None).await?;
        }
        self.sweep_range(None, start.as_deref()).await
    }

    async fn sweep_range(&mut self, after: Option<&str>, until: Option<&str>) -> Result<()> {
        let mut listed = self.objects.list(keys::BLOBS, after);
        let (mut batch, mut group) = (Vec::new(), None::<Group>);
        loop {
            let object = listed.try_next().await?;
            let is_last = object.as_ref().is_none_or(|object| until.is_some_and(|until| object.key.as_str() > until));
            let member = object.filter(|_| !is_last);
            let found = member.as_ref().and_then(|listed| Some((keys::member(&listed.key)?, listed)));
            if let Some(((digest, member), listed)) = found {
                if let Member::Mark(serial) = &member {
                    self.loose.remove(&self.needs.print(serial));
                }
                if group.as_ref().is_none_or(|group| group.digest != digest) {
                    let finished = group.replace(Group::new(digest));
                    self.consider(finished, &mut batch).await?;
                }
                if let Some(group) = &mut group {
                    group.add(member, listed);
                }
            }
            if is_last {
                self.consider(group.take(), &mut batch).await?;
            }
            if batch.len() == BATCH || is_last {
                self.sweep(std::mem::take(&mut batch)).await?;
            } else {
                // Millions may pass by without one that can go.
                self.beat(None).await?;
            }
            if is_last {
                return Ok(());
            }
        }
    }

    /// Adds a digest to the batch if something of it can go.
    async fn consider(&mut self, group: Option<Group>, batch: &mut Vec<Group>) -> Result<()> {
        let Some(group) = group else { return Ok(()) };
        if !group.verdict(self.objects, &self.needs, self.oldest).await?.is_empty() {
            batch.push(group);
        }
        Ok(())
    }

    /// Announces a batch, looks at it once more, and removes what can go.
    async fn sweep(&mut self, batch: Vec<Group>) -> Result<()> {
        let Some(last) = batch.last().map(|group| group.digest.clone()) else { return self.beat(None).await };
        if self.lock.is_none() {
            for group in &batch {
                let verdict = group.verdict(self.objects, &self.needs, self.oldest).await?;
                self.count(&verdict);
            }
            return Ok(());
        }
        let announced = Instant::now();
        let digests = batch.iter().map(|group| group.digest.clone()).collect();
        let sweep = serde_json::to_vec(&Sweep { id: serial()?, digests }).map_err(|error| {
            Error::new(dhow_base::Kind::Internal, "cannot write an announcement").with_source(error)
        })?;
        self.objects.put(keys::SWEEP, sweep).await?;
        // When that fails, deletes may still be under way: the announcement stays, and pushes heed it for a while.
        self.remove(&batch, announced).await?;
        self.objects.delete(keys::SWEEP).await?;
        self.beat(Some(&keys::group(&last))).await
    }

    async fn remove(&mut self, batch: &[Group], announced: Instant) -> Result<()> {
        let digests = batch.iter().map(|group| group.digest.clone());
        let again = futures::stream::iter(digests).map(|digest| Group::read(self.objects, digest));
        let groups: Vec<Group> = again.buffered(AT_ONCE).try_collect().await?;
        let repositories: HashSet<RepositoryName> = groups.iter().flat_map(Group::repositories).cloned().collect();
        for repository in &repositories {
            self.needs.learn_more(self.objects, repository).await?;
        }
        let mut verdict = Verdict::default();
        for group in &groups {
            verdict.extend(group.verdict(self.objects, &self.needs, self.oldest).await?);
        }
        // Later than this, pushes may no longer heed the announcement.
        let left = ACTING.saturating_sub(announced.elapsed());
        if left.is_zero() {
            tracing::warn!("the store is slow: a batch of the collection is left to the next one");
            return Ok(());
        }
        let removing = async {
            // In this order, so that a repository never has a blob whose content is gone.
            self.objects.delete_all(verdict.links.clone()).await?;
            self.objects.delete_all(verdict.contents.clone()).await
        };
        let removed = tokio::time::timeout(left + ACTING, removing).await;
        removed.map_err(|_| {
            Error::new(dhow_base::Kind::Unavailable, format!("{:?} takes too long to delete", self.objects.name()))
        })??;
        self.count(&verdict);
        Ok(())
    }

    fn count(&mut self, verdict: &Verdict) {
        self.done.unlinked += verdict.links.len() as u64;
        self.done.removed += verdict.removed;
        self.done.bytes += verdict.bytes;
    }

    async fn remove_loose_data(&mut self) -> Result<()> {
        if self.loose.is_empty() {
            return Ok(());
        }
        let mut data = self.objects.list(keys::DATA, None);
        while let Some(listed) = data.try_next().await? {
            let is_loose =
                self.old_serial(&listed).is_some_and(|serial| self.loose.contains(&self.needs.print(&serial)));
            if is_loose {
                if self.lock.is_some() {
                    self.objects.delete(&listed.key).await?;
                }
                self.done.removed += 1;
                self.done.bytes += listed.size;
            }
        }
        Ok(())
    }

    /// Shows that this collection lives, and where it is.
    async fn beat(&mut self, cursor: Option<&str>) -> Result<()> {
        match &mut self.lock {
            Some(lock) => lock.beat(self.objects, cursor).await,
            None => Ok(()),
        }
    }
}

/// Reads all content and compares its digest with its name. Changes nothing.
///
/// # Errors
/// The store's when it cannot be listed.
pub(crate) async fn scrub(bucket: &Bucket) -> Result<Scrubbed> {
    let objects = bucket.objects();
    super::open::check_format(objects).await?;
    let mut done = Scrubbed::default();
    for folder in [keys::BLOBS, keys::REPOSITORIES] {
        let listed = objects.list(folder, None);
        let checks = listed.map_ok(|listed| async move { Ok::<_, Error>((check(objects, &listed.key).await, listed)) });
        let mut checks = checks.try_buffer_unordered(AT_ONCE).boxed();
        while let Some((checked, listed)) = checks.try_next().await? {
            match checked {
                Ok(Some((expected, actual, bytes))) => {
                    done.contents += 1;
                    done.bytes += bytes;
                    if actual != expected {
                        done.problems.push(format!("the content of {expected} in {:?} is {actual}", listed.key));
                    }
                }
                Ok(None) => {}
                Err(error) => done.problems.push(error.to_string()),
            }
        }
    }
    done.problems.sort_unstable();
    Ok(done)
}

/// The digest that an object's content should have, the one it has, and its length; nothing when there is no content in
/// it, or when it has just been collected.
async fn check(objects: &Objects, key: &str) -> Result<Option<(Digest, Digest, u64)>> {
    if let Some((_, expected)) = keys::manifest(key) {
        let Some(read) = objects.get(key, MANIFEST_BYTES_MAX + HEAD_BYTES_MAX).await? else { return Ok(None) };
        let (head, bytes) = record::read::<ManifestHead>(key, &read.bytes)?;
        let actual = Digest::of(expected.algorithm(), &bytes);
        return Ok(head.media_type.map(|_| (expected, actual, bytes.len() as u64)));
    }
    let Some((expected, member)) = keys::member(key) else { return Ok(None) };
    match member {
        Member::Link(_) => {
            let Some(read) = objects.get(key, HEAD_BYTES_MAX + INLINE_BYTES).await? else { return Ok(None) };
            let (link, bytes) = record::read::<Link>(key, &read.bytes)?;
            let actual = Digest::of(expected.algorithm(), &bytes);
            match link.at {
                None => Ok(Some((expected, actual, bytes.len() as u64))),
                Some(at) if objects.size(&at).await?.is_none() && objects.size(key).await?.is_some() => {
                    Err(Error::new(dhow_base::Kind::Corrupt, format!("the content of {key:?} is gone")))
                }
                Some(_) => Ok(None),
            }
        }
        Member::Content => hash(objects, key, expected).await,
        Member::Mark(serial) => hash(objects, &keys::data(&serial), expected).await,
    }
}

async fn hash(objects: &Objects, key: &str, expected: Digest) -> Result<Option<(Digest, Digest, u64)>> {
    let Some(size) = objects.size(key).await? else { return Ok(None) };
    let Some(mut stream) = objects.stream(key, 0..size).await? else { return Ok(None) };
    let (mut hasher, mut bytes) = (Hasher::new(expected.algorithm()), 0);
    let failed = |error| Error::io(format_args!("cannot read {key:?}"), error);
    while let Some(piece) = stream.try_next().await.map_err(failed)? {
        hasher.update(&piece);
        bytes += piece.len() as u64;
    }
    Ok(Some((expected, hasher.finish(), bytes)))
}
