//! Walking the graph below a document: what of it is here, and what that makes.

use std::collections::HashMap;

use dhow_base::{Error, Kind, Result, limits};
use dhow_content::VerifiedDocument;
use dhow_spec::{Descriptor, Digest, ImageIndex, ImageManifest};

use crate::session::Lease;
use crate::store::Store;

/// How much of a document and of what it needs is here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Presence {
    /// Nothing that could be used.
    Absent,
    /// Some members of an index.
    Part,
    /// All of it.
    Whole,
}

/// A manifest of which everything is here.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    /// The descriptor it was found by; in an index it may say the platform.
    pub(crate) descriptor: Descriptor,
    pub(crate) manifest: ImageManifest,
}

impl Member {
    /// The ID of the image: the config's digest, or the manifest's when the config is that of an artifact.
    pub(crate) fn image_id(&self) -> &Digest {
        if self.manifest.is_image() { &self.manifest.config.digest } else { &self.descriptor.digest }
    }
}

/// What of a target is here.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) target: Descriptor,
    pub(crate) presence: Presence,
    /// Complete manifests in the order of the index, without attestations.
    pub(crate) members: Vec<Member>,
    /// From each document to what it needs and is here.
    pub(crate) edges: Vec<(Digest, Digest)>,
    /// All content that is here, documents and blobs, without repetition.
    pub(crate) content: Vec<Digest>,
    /// The documents among it, children before parents.
    pub(crate) documents: Vec<VerifiedDocument>,
}

impl Plan {
    /// Walks everything below `target`. With a lease, everything is pinned before it is looked for.
    ///
    /// # Errors
    /// [`Kind::Corrupt`] for documents that are damaged, [`Kind::LimitExceeded`] for graphs too large or too deep.
    pub(crate) fn read(store: &Store, lease: Option<&Lease>, target: &Descriptor) -> Result<Self> {
        let mut walk = Walk {
            store,
            lease,
            seen: HashMap::new(),
            members: Vec::new(),
            edges: Vec::new(),
            content: Vec::new(),
            documents: Vec::new(),
        };
        let presence = walk.document(target, 0)?;
        let Walk { members, edges, content, documents, .. } = walk;
        Ok(Self { target: target.clone(), presence, members, edges, content, documents })
    }

    /// Refuses a target that nothing can be done with.
    pub(crate) fn require_usable(&self, store: &Store) -> Result<()> {
        let digest = &self.target.digest;
        match self.presence {
            Presence::Absent => {}
            Presence::Part | Presence::Whole if !self.members.is_empty() => return Ok(()),
            Presence::Part | Presence::Whole => {
                return Err(Error::new(Kind::NotFound, format!("{digest} contains no image")));
            }
        }
        let Some(document) = store.document_by(&self.target)? else {
            return Err(Error::new(Kind::NotFound, format!("manifest {digest} is not in the store")));
        };
        for child in document.document().children() {
            if document.document().as_manifest().is_some() && is_required(child) && !store.holds_blob(child)? {
                let message = format!("blob {} of manifest {digest} is not in the store", child.digest);
                return Err(Error::new(Kind::NotFound, message));
            }
        }
        Err(Error::new(Kind::NotFound, format!("no manifest of index {digest} is in the store")))
    }
}

/// Pins everything of a document that is here; tells whether that is all of it.
pub(crate) fn pin_present(lease: &Lease, document: &Descriptor) -> Result<bool> {
    Ok(Plan::read(lease.store(), Some(lease), document)?.presence == Presence::Whole)
}

/// Layers that their owner serves from elsewhere may be left out.
fn is_required(blob: &Descriptor) -> bool {
    !blob.media_type.is_foreign() || blob.urls.is_empty()
}

struct Walk<'a> {
    store: &'a Store,
    lease: Option<&'a Lease>,
    seen: HashMap<Digest, Presence>,
    members: Vec<Member>,
    edges: Vec<(Digest, Digest)>,
    content: Vec<Digest>,
    documents: Vec<VerifiedDocument>,
}

impl Walk<'_> {
    fn pin<'d>(&self, digests: impl IntoIterator<Item = &'d Digest>) -> Result<()> {
        self.lease.map_or(Ok(()), |lease| lease.pin(digests))
    }

    fn document(&mut self, descriptor: &Descriptor, depth: usize) -> Result<Presence> {
        if let Some(presence) = self.seen.get(&descriptor.digest) {
            return Ok(*presence);
        }
        if depth > limits::INDEX_DEPTH_MAX || self.seen.len() > limits::DOCUMENTS_MAX {
            let message = format!("{} nests too deeply or has too many manifests", descriptor.digest);
            return Err(Error::new(Kind::LimitExceeded, message));
        }
        self.pin([&descriptor.digest])?;
        let Some(document) = self.store.document_by(descriptor)? else {
            self.seen.insert(descriptor.digest.clone(), Presence::Absent);
            return Ok(Presence::Absent);
        };
        self.pin(document.document().children().into_iter().map(|child| &child.digest))?;
        let presence = match (document.document().as_manifest(), document.document().as_index()) {
            (Some(manifest), _) => self.manifest(descriptor, manifest)?,
            (None, Some(index)) => self.index(descriptor, index, depth)?,
            (None, None) => Presence::Absent,
        };
        self.seen.insert(descriptor.digest.clone(), presence);
        if presence > Presence::Absent {
            self.keep(&descriptor.digest);
            self.documents.push(document);
        }
        Ok(presence)
    }

    fn keep(&mut self, digest: &Digest) {
        self.content.push(digest.clone());
    }

    fn manifest(&mut self, descriptor: &Descriptor, manifest: &ImageManifest) -> Result<Presence> {
        let mut held = Vec::new();
        for child in std::iter::once(&manifest.config).chain(&manifest.layers) {
            if self.seen.get(&child.digest) == Some(&Presence::Whole) || self.store.holds_blob(child)? {
                held.push(&child.digest);
            } else if is_required(child) {
                return Ok(Presence::Absent);
            }
        }
        for digest in held {
            if self.seen.insert(digest.clone(), Presence::Whole).is_none() {
                self.keep(digest);
            }
            self.edges.push((descriptor.digest.clone(), digest.clone()));
        }
        let unknown = descriptor.platform.as_ref().is_some_and(dhow_spec::Platform::is_unknown);
        if !descriptor.is_attestation() && !unknown {
            self.members.push(Member { descriptor: descriptor.clone(), manifest: manifest.clone() });
        }
        Ok(Presence::Whole)
    }

    fn index(&mut self, descriptor: &Descriptor, index: &ImageIndex, depth: usize) -> Result<Presence> {
        let (mut whole, mut any) = (true, false);
        for child in &index.manifests {
            let presence = if child.media_type.is_document() {
                self.document(child, depth + 1)?
            } else if self.store.holds_blob(child)? {
                if self.seen.insert(child.digest.clone(), Presence::Whole).is_none() {
                    self.keep(&child.digest);
                }
                Presence::Whole
            } else {
                Presence::Absent
            };
            whole &= presence == Presence::Whole;
            any |= presence > Presence::Absent;
            if presence > Presence::Absent {
                self.edges.push((descriptor.digest.clone(), child.digest.clone()));
            }
        }
        Ok(match (whole, any) {
            (true, _) => Presence::Whole,
            (false, true) => Presence::Part,
            (false, false) => Presence::Absent,
        })
    }
}
