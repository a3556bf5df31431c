//! What the repositories of a namespace have, for quotas: learnt from lists, without reading the objects.

use dhow_base::Result;
use dhow_spec::Tag;
use dhow_spec::digest::{Algorithm, Digest};
use futures::stream::{StreamExt as _, TryStreamExt as _};

use super::keys::{self, Member};
use super::objects::{Listed, Objects};
use super::record::{self, HEAD_BYTES_MAX, INLINE_BYTES, Link};
use crate::name::RepositoryName;
use crate::storage::Holding;

/// Links lie beside what they name, so all of them have to be listed; in as many parts at once.
const PARTS: [u8; 16] = *b"0123456789abcdef";

pub(super) async fn tell(
    objects: &Objects,
    namespace: &RepositoryName,
    found: &mut (dyn FnMut(Holding) + Send),
) -> Result<()> {
    let mut records = objects.list(&format!("{}/{namespace}", keys::REPOSITORIES), None);
    while let Some(listed) = records.try_next().await? {
        if let Some((repository, digest)) = keys::manifest(&listed.key) {
            found(Holding::Content(repository, digest, listed.size));
        } else if let Some((repository, tag)) = tag(&listed.key) {
            found(Holding::Tag(repository, tag));
        }
    }
    let parts: Vec<(Algorithm, u8)> =
        Algorithm::ALL.into_iter().flat_map(|algorithm| PARTS.map(|digit| (algorithm, digit))).collect();
    let listing = futures::stream::iter(parts).map(|(algorithm, digit)| blobs(objects, namespace, algorithm, digit));
    let mut listing = listing.buffer_unordered(PARTS.len());
    while let Some(holdings) = listing.try_next().await? {
        holdings.into_iter().for_each(&mut *found);
    }
    Ok(())
}

/// The blobs of a namespace whose digests begin with `digit`.
async fn blobs(objects: &Objects, namespace: &RepositoryName, algorithm: Algorithm, digit: u8) -> Result<Vec<Holding>> {
    let folder = format!("{}/{algorithm}", keys::BLOBS);
    let start = format!("{folder}/{}", char::from(digit));
    let mut listed = objects.list(&folder, Some(&start));
    let (mut holdings, mut group) = (Vec::new(), None::<Group>);
    while let Some(listed) = listed.try_next().await? {
        if !listed.key.starts_with(&start) {
            break;
        }
        let Some((digest, member)) = keys::member(&listed.key) else { continue };
        if group.as_ref().is_none_or(|group| group.digest != digest)
            && let Some(finished) =
                group.replace(Group { digest, links: Vec::new(), content_bytes: None, is_marked: false })
        {
            finished.tell(objects, &mut holdings).await?;
        }
        if let Some(group) = &mut group {
            group.add(namespace, member, listed);
        }
    }
    if let Some(group) = group {
        group.tell(objects, &mut holdings).await?;
    }
    Ok(holdings)
}

/// What lies under one digest.
struct Group {
    digest: Digest,
    /// Those of the namespace.
    links: Vec<(RepositoryName, Listed)>,
    content_bytes: Option<u64>,
    /// Whether its bytes lie elsewhere.
    is_marked: bool,
}

impl Group {
    fn add(&mut self, namespace: &RepositoryName, member: Member, listed: Listed) {
        match member {
            Member::Link(repository) if covers(namespace, &repository) => self.links.push((repository, listed)),
            Member::Link(_) => {}
            Member::Content => self.content_bytes = Some(listed.size),
            Member::Mark(_) => self.is_marked = true,
        }
    }

    async fn tell(self, objects: &Objects, holdings: &mut Vec<Holding>) -> Result<()> {
        let Some((_, first)) = self.links.first() else { return Ok(()) };
        let size = match self.content_bytes {
            Some(bytes) => bytes,
            None => match record::inline_bytes(first.size).filter(|_| !self.is_marked) {
                Some(bytes) => bytes,
                None => {
                    // It may have been deleted since.
                    let read = objects.get(&first.key, HEAD_BYTES_MAX + INLINE_BYTES).await?;
                    let link = read.map(|read| record::read::<Link>(&first.key, &read.bytes)).transpose()?;
                    link.map_or(0, |(link, _)| link.size)
                }
            },
        };
        let digest = self.digest;
        holdings.extend(self.links.into_iter().map(|(name, _)| Holding::Content(name, digest.clone(), size)));
        Ok(())
    }
}

fn covers(namespace: &RepositoryName, repository: &RepositoryName) -> bool {
    let below = repository.as_str().strip_prefix(namespace.as_str());
    below.is_some_and(|below| below.is_empty() || below.starts_with('/'))
}

fn tag(key: &str) -> Option<(RepositoryName, Tag)> {
    let (repository, tag) = key.strip_prefix(keys::REPOSITORIES)?.strip_prefix('/')?.split_once("/_tags/")?;
    Some((RepositoryName::parse(repository)?, Tag::parse(tag).ok()?))
}
