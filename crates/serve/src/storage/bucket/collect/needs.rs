//! What the manifests of all repositories need.

use std::collections::HashSet;
use std::hash::{BuildHasher, Hash, RandomState};

use dhow_base::limits::MANIFEST_BYTES_MAX;
use dhow_base::{Error, Kind, Result};
use dhow_spec::digest::{Algorithm, Digest};
use futures::stream::{StreamExt as _, TryStreamExt as _};
use serde_json::Value;

use super::super::objects::Objects;
use super::super::record::{HEAD_BYTES_MAX, ManifestHead};
use super::super::{AT_ONCE, keys, record};
use crate::name::RepositoryName;
use crate::storage::Key;

/// Sets of fingerprints. Two things that share one would only both be kept.
#[derive(Debug, Default)]
pub(super) struct Needs {
    hasher: RandomState,
    /// Blobs of repositories.
    blobs: HashSet<u64>,
    /// Manifests of repositories that were read.
    read: HashSet<u64>,
    /// Repositories with a manifest that cannot be read: they keep everything.
    unclear: HashSet<RepositoryName>,
    pub(super) problems: Vec<String>,
}

impl Needs {
    pub(super) fn print(&self, value: &impl Hash) -> u64 {
        self.hasher.hash_one(value)
    }

    /// Whether a manifest of the repository needs a blob.
    pub(super) fn has(&self, repository: &RepositoryName, digest: &Digest) -> bool {
        self.unclear.contains(repository) || self.blobs.contains(&self.print(&(repository, digest)))
    }

    /// Reads manifests.
    pub(super) async fn learn(&mut self, objects: &Objects, manifests: Vec<(RepositoryName, Digest)>) -> Result<()> {
        let reading = futures::stream::iter(manifests).map(|(repository, digest)| async move {
            let document = read(objects, &repository, &digest).await;
            (repository, digest, document)
        });
        let mut reading = reading.buffer_unordered(AT_ONCE);
        while let Some((repository, digest, document)) = reading.next().await {
            match document {
                // Not there, or not whole: it may be pushed again, and has to be read then.
                Ok(None) => {}
                Ok(Some(document)) => {
                    self.read.insert(self.print(&(&repository, &digest)));
                    digests_in(&document, &mut |needed| {
                        self.blobs.insert(self.hasher.hash_one((&repository, &needed)));
                    });
                }
                // What is not known of a manifest would be removed.
                Err(error) if error.kind() == Kind::Corrupt => {
                    if self.unclear.insert(repository.clone()) {
                        self.problems.push(format!("the blobs of {repository} are left as they are: {error}"));
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Reads the manifests of a repository that were not read before.
    pub(super) async fn learn_more(&mut self, objects: &Objects, repository: &RepositoryName) -> Result<()> {
        let mut new = Vec::new();
        for algorithm in Algorithm::ALL {
            let folder = format!("{}/{repository}/_manifests/{algorithm}", keys::REPOSITORIES);
            let mut listed = objects.list(&folder, None);
            while let Some(listed) = listed.try_next().await? {
                let manifest = keys::manifest(&listed.key);
                new.extend(manifest.filter(|manifest| !self.read.contains(&self.print(&(&manifest.0, &manifest.1)))));
            }
        }
        self.learn(objects, new).await
    }
}

/// A manifest's document; nothing when it was deleted meanwhile, or its push failed.
async fn read(objects: &Objects, repository: &RepositoryName, digest: &Digest) -> Result<Option<Value>> {
    let key = Key::manifest(repository, digest);
    let read = objects.get(key.as_str(), MANIFEST_BYTES_MAX + HEAD_BYTES_MAX).await?;
    let Some(read) = read else { return Ok(None) };
    let (head, bytes) = record::read::<ManifestHead>(key.as_str(), &read.bytes)?;
    if head.media_type.is_none() {
        return Ok(None);
    }
    serde_json::from_slice(&bytes)
        .map(Some)
        .map_err(|error| Error::new(Kind::Corrupt, format!("the manifest {digest} cannot be read: {error}")))
}

/// Everything in a document that has the form of a digest, wherever it stands: what a future kind of manifest needs is
/// kept, too.
fn digests_in(value: &Value, found: &mut impl FnMut(Digest)) {
    match value {
        Value::String(text) => {
            if let Ok(digest) = Digest::parse(text) {
                found(digest);
            }
        }
        Value::Array(values) => values.iter().for_each(|value| digests_in(value, found)),
        Value::Object(members) => members.values().for_each(|value| digests_in(value, found)),
        _ => {}
    }
}
