//! The images of this machine, for `serve --local`.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::sync::{Arc, Mutex, PoisonError};

use dhow_base::{Error, Kind, Result};
use dhow_content::{Source as _, VerifiedDocument};
use dhow_serve::route::ManifestName;
use dhow_serve::{Images, Offered};
use dhow_spec::{Descriptor, Digest, Reference, Repository};
use dhow_store::Store;

use crate::outgoing;
use crate::select::Platforms;

/// Docker Hub, whose repositories are also offered without its name.
const HUB: &str = "docker.io";

/// The store, read-only.
#[derive(Debug)]
pub(super) struct Local {
    store: Store,
    /// What is reachable in repositories that were asked for, as long as their names stand for the same.
    contents: Mutex<HashMap<Repository, Arc<Contents>>>,
}

/// What a repository offers.
#[derive(Debug)]
struct Contents {
    targets: Vec<Target>,
    documents: HashMap<Digest, VerifiedDocument>,
    blobs: HashMap<Digest, Descriptor>,
}

/// What a name stood for when contents were worked out, and what of it was here.
#[derive(Debug, PartialEq)]
struct Target {
    name: Reference,
    document: Descriptor,
    manifests: Vec<Descriptor>,
}

/// Repositories whose contents are remembered.
const CONTENTS_MAX: usize = 256;

impl Local {
    pub(super) fn new(store: Store) -> Self {
        Self { store, contents: Mutex::default() }
    }

    /// All repositories with a name.
    fn all(&self) -> Result<HashSet<Repository>> {
        let images = self.store.images()?;
        let tagged = images.iter().flat_map(|image| image.references.iter().map(Reference::repository));
        let known = images.iter().flat_map(|image| image.repo_digests.iter().map(|(repository, _)| repository));
        Ok(tagged.chain(known).cloned().collect())
    }

    /// The repository that is offered under a name.
    fn offered(&self, name: &str) -> Result<Option<Repository>> {
        Ok(self.all()?.into_iter().find(|repository| offered_as(repository) == name))
    }

    /// What a repository offers; worked out anew when its names stand for something else.
    fn contents(&self, name: &str) -> Result<Option<Arc<Contents>>> {
        let Some(repository) = self.offered(name)? else { return Ok(None) };
        let mut targets = Vec::new();
        for name in self.store.references_in(&repository)? {
            let Some(document) = self.store.resolve(&name)? else { continue };
            let manifests = self.store.manifests_of(&document.digest)?;
            targets.push(Target { name, document, manifests });
        }
        let mut known = self.contents.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(contents) = known.get(&repository).filter(|contents| contents.targets == targets) {
            return Ok(Some(Arc::clone(contents)));
        }
        let contents = Arc::new(self.work_out(targets)?);
        if known.len() >= CONTENTS_MAX {
            known.clear();
        }
        known.insert(repository, Arc::clone(&contents));
        Ok(Some(contents))
    }

    fn work_out(&self, targets: Vec<Target>) -> Result<Contents> {
        let mut contents = Contents { targets: Vec::new(), documents: HashMap::new(), blobs: HashMap::new() };
        for target in &targets {
            for document in self.store.documents_below(&target.document)? {
                if let Some(manifest) = document.document().as_manifest() {
                    for blob in std::iter::once(&manifest.config).chain(&manifest.layers) {
                        contents.blobs.insert(blob.digest.clone(), blob.clone());
                    }
                }
                contents.documents.insert(document.descriptor().digest.clone(), document);
            }
        }
        contents.targets = targets;
        Ok(contents)
    }

    /// What a tag is pulled as: all of it if it is here, else the manifest for this machine, as a push sends it.
    fn tagged(&self, contents: &Contents, tag: &str) -> Result<Option<VerifiedDocument>> {
        let is_meant = |target: &&Target| target.name.tag().is_some_and(|known| known.as_str() == tag);
        let Some(Target { name, document, .. }) = contents.targets.iter().find(is_meant) else { return Ok(None) };
        let chosen = outgoing::choose(&self.store, document, &Platforms::Default, &name.familiar())?;
        self.store.document(&chosen.root.digest).map(Some)
    }
}

/// What a repository is called in the catalogue.
fn offered_as(repository: &Repository) -> String {
    if repository.domain() == HUB { repository.path().to_owned() } else { full_name(repository) }
}

/// With its registry. A port stands behind `_`: names in paths have no colons, and no capitals.
fn full_name(repository: &Repository) -> String {
    format!("{}/{}", repository.domain().replace(':', "_").to_ascii_lowercase(), repository.path())
}

fn offered(document: &VerifiedDocument) -> Offered {
    Offered {
        digest: document.descriptor().digest.clone(),
        media_type: document.document().media_type().as_str().to_owned(),
        bytes: document.bytes().to_vec().into(),
    }
}

impl Images for Local {
    fn repositories(&self) -> Result<Vec<String>> {
        Ok(self.all()?.iter().map(offered_as).collect())
    }

    fn find(&self, asked: &str, namespace: Option<&str>) -> Result<Option<String>> {
        let is_meant = |repository: &&Repository| match namespace {
            Some(namespace) => repository.domain() == namespace && repository.path() == asked,
            None => offered_as(repository) == asked || full_name(repository) == asked,
        };
        // The short form wins: another registry can hardly be called as a user of Docker Hub.
        let all = self.all()?;
        let found = all.iter().filter(is_meant).min_by_key(|repository| offered_as(repository) != asked);
        Ok(found.map(offered_as))
    }

    fn tags(&self, repository: &str) -> Result<Option<Vec<String>>> {
        let Some(repository) = self.offered(repository)? else { return Ok(None) };
        let references = self.store.references_in(&repository)?;
        Ok(Some(references.iter().filter_map(|reference| Some(reference.tag()?.as_str().to_owned())).collect()))
    }

    fn manifest(&self, repository: &str, name: &ManifestName) -> Result<Option<Offered>> {
        let Some(contents) = self.contents(repository)? else { return Ok(None) };
        let found = match name {
            ManifestName::Digest(digest) => contents.documents.get(digest).cloned(),
            ManifestName::Tag(tag) => self.tagged(&contents, tag.as_str())?,
        };
        Ok(found.as_ref().map(offered))
    }

    fn blob(&self, repository: &str, digest: &Digest) -> Result<Option<(Arc<File>, u64)>> {
        let Some(contents) = self.contents(repository)? else { return Ok(None) };
        let Some(descriptor) = contents.blobs.get(digest) else { return Ok(None) };
        let Some(blob) = self.store.local(descriptor) else { return Ok(None) };
        if blob.offset != 0 {
            return Err(Error::new(Kind::Internal, "a blob of the store is a part of a file"));
        }
        Ok(Some((blob.file, blob.length)))
    }

    fn referrers(&self, repository: &str, subject: &Digest) -> Result<Vec<Offered>> {
        let Some(contents) = self.contents(repository)? else { return Ok(Vec::new()) };
        let refers =
            |document: &&VerifiedDocument| document.document().subject().is_some_and(|named| named.digest == *subject);
        let mut found: Vec<Offered> = contents.documents.values().filter(refers).map(offered).collect();
        found.sort_by(|a, b| a.digest.as_str().cmp(b.digest.as_str()));
        Ok(found)
    }
}
