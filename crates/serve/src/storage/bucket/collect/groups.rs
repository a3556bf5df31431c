//! What lies under one digest, and what of it can go.

use std::collections::HashSet;
use std::time::SystemTime;

use dhow_base::Result;
use dhow_spec::digest::Digest;
use futures::stream::TryStreamExt as _;

use super::super::keys::{self, Member};
use super::super::objects::{Listed, Objects};
use super::super::record::{self, HEAD_BYTES_MAX, INLINE_BYTES, Link};
use super::needs::Needs;
use crate::name::RepositoryName;

/// Links to a digest, and its content.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) digest: Digest,
    links: Vec<(RepositoryName, Listed)>,
    contents: Vec<Bytes>,
}

/// Where bytes of the digest are.
#[derive(Debug)]
struct Bytes {
    /// What stands for them in the group.
    listed: Listed,
    /// Their own key, which links name.
    at: String,
}

/// What can go.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    pub(super) links: Vec<String>,
    pub(super) contents: Vec<String>,
    /// How many contents go, those in links included.
    pub(super) removed: u64,
    pub(super) bytes: u64,
}

impl Verdict {
    pub(super) fn is_empty(&self) -> bool {
        self.links.is_empty() && self.contents.is_empty()
    }

    pub(super) fn extend(&mut self, other: Self) {
        self.links.extend(other.links);
        self.contents.extend(other.contents);
        self.removed += other.removed;
        self.bytes += other.bytes;
    }
}

impl Group {
    pub(super) fn new(digest: Digest) -> Self {
        Self { digest, links: Vec::new(), contents: Vec::new() }
    }

    /// What lies under a digest now.
    pub(super) async fn read(objects: &Objects, digest: Digest) -> Result<Self> {
        let mut listed = objects.list(&keys::group(&digest), None);
        let mut group = Self::new(digest);
        while let Some(listed) = listed.try_next().await? {
            if let Some((_, member)) = keys::member(&listed.key) {
                group.add(member, &listed);
            }
        }
        Ok(group)
    }

    pub(super) fn add(&mut self, member: Member, listed: &Listed) {
        let listed = listed.clone();
        match member {
            Member::Link(repository) => self.links.push((repository, listed)),
            Member::Content => self.contents.push(Bytes { at: listed.key.clone(), listed }),
            Member::Mark(serial) => self.contents.push(Bytes { at: keys::data(&serial), listed }),
        }
    }

    pub(super) fn repositories(&self) -> impl Iterator<Item = &RepositoryName> {
        self.links.iter().map(|(repository, _)| repository)
    }

    /// What is older than `oldest` and not needed.
    pub(super) async fn verdict(&self, objects: &Objects, needs: &Needs, oldest: SystemTime) -> Result<Verdict> {
        let mut verdict = Verdict::default();
        let mut kept = Vec::new();
        for (repository, link) in &self.links {
            if needs.has(repository, &self.digest) || link.changed >= oldest {
                kept.push(link);
            } else {
                verdict.links.push(link.key.clone());
            }
        }
        let used = self.used(objects, &kept).await?;
        for bytes in &self.contents {
            let is_used = used.as_ref().is_none_or(|used| used.contains(&bytes.at));
            if is_used || bytes.listed.changed >= oldest {
                continue;
            }
            verdict.removed += 1;
            verdict.bytes += if bytes.at == bytes.listed.key {
                bytes.listed.size
            } else {
                objects.size(&bytes.at).await?.unwrap_or(0)
            };
            if bytes.at != bytes.listed.key {
                verdict.contents.push(bytes.at.clone());
            }
            verdict.contents.push(bytes.listed.key.clone());
        }
        if self.contents.is_empty() && kept.is_empty() && !verdict.links.is_empty() {
            // The content was in the links.
            verdict.removed += 1;
            verdict.bytes += self.links.iter().map(|(_, link)| link.size).max().unwrap_or(0);
        }
        Ok(verdict)
    }

    /// The contents that links name; nothing when there is only one, which all of them do.
    ///
    /// A repository to which a blob was pushed twice names the later content.
    async fn used(&self, objects: &Objects, kept: &[&Listed]) -> Result<Option<HashSet<String>>> {
        if kept.is_empty() {
            return Ok(Some(HashSet::new()));
        }
        if self.contents.len() < 2 {
            return Ok(None);
        }
        let mut used = HashSet::new();
        for listed in kept {
            if let Some(read) = objects.get(&listed.key, HEAD_BYTES_MAX + INLINE_BYTES).await? {
                used.extend(record::read::<Link>(&listed.key, &read.bytes)?.0.at);
            }
        }
        Ok(Some(used))
    }
}
