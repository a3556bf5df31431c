//! One repository of a registry as a place: what `content` asks of it, spread over the modules beside this one.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::task::Poll;

use dhow_base::Result;
use dhow_base::progress::Observer;
use dhow_content::{Begin, ByteStream, Origin, Parts, Resolve, Sink, Source, TagSink, VerifiedDocument};
use dhow_spec::{Descriptor, Digest, Reference, Repository, Tag};
use futures::StreamExt;
use reqwest::Method;

use crate::client::Client;
use crate::endpoint::{Call, Endpoint, Target};
use crate::ingest::Upload;
use crate::manifest::Wanted;
use crate::mirrors::Mirrors;
use crate::resumption::{Noted, UploadNotes};
use crate::transport::Answer;
use crate::upload::Suspended;
use crate::validators::Validators;
use crate::{blob, manifest, referrers, tags, upload};

/// Large blobs uploaded at once, as docker does.
const BLOBS_AT_ONCE: usize = 5;

/// Documents and small blobs asked for or uploaded at once. The host's gate says how many of them are really under way.
const SMALL_AT_ONCE: usize = 48;

/// What is to be done with a repository, which decides the rights that tokens are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reading.
    Pull,
    /// Reading and writing.
    Push,
    /// Removing manifests.
    Delete,
}

/// One repository of a registry. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Remote {
    pub(crate) client: Client,
    pub(crate) endpoint: Arc<Endpoint>,
    pub(crate) repository: Repository,
    access: Access,
    mount_hints: Arc<HashMap<Digest, Vec<Repository>>>,
    pub(crate) validators: Arc<Validators>,
    pub(crate) suspended: Arc<Mutex<HashMap<Digest, Suspended>>>,
    notes: Option<Arc<dyn UploadNotes>>,
    /// Who is asked before the registry itself.
    mirrors: Arc<Mirrors>,
}

impl Remote {
    pub(crate) fn new(client: Client, endpoint: Arc<Endpoint>, repository: Repository, access: Access) -> Self {
        Self {
            client,
            endpoint,
            repository,
            access,
            mount_hints: Arc::default(),
            validators: Arc::default(),
            suspended: Arc::default(),
            notes: None,
            mirrors: Arc::default(),
        }
    }

    /// Asks others before the registry itself.
    #[must_use]
    pub(crate) fn with_mirrors(mut self, mirrors: Mirrors) -> Self {
        self.mirrors = Arc::new(mirrors);
        self
    }

    /// Adds, for each blob, other repositories of the same registry that are known to have it: the registry is asked to
    /// mount it from there before it is uploaded. Repositories of other registries are ignored.
    #[must_use]
    pub fn with_mount_hints(mut self, hints: HashMap<Digest, Vec<Repository>>) -> Self {
        self.mount_hints = Arc::new(hints);
        self
    }

    /// Has unfinished uploads noted, for the next run to go on with, where the registry takes blobs in several requests.
    #[must_use]
    pub fn with_upload_notes(mut self, notes: Arc<dyn UploadNotes>) -> Self {
        self.notes = Some(notes);
        self
    }

    /// The note of the upload of a blob.
    pub(crate) fn noted(&self, digest: &Digest) -> Noted {
        let notes = self.notes.as_deref().filter(|_| self.endpoint.takes_chunks());
        Noted::open(notes, &self.repository, digest)
    }

    /// The repository.
    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    pub(crate) fn mount_sources(&self, digest: &Digest) -> impl Iterator<Item = &Repository> {
        let hints = self.mount_hints.get(digest).map(Vec::as_slice).unwrap_or_default();
        hints.iter().filter(|hint| hint.domain() == self.repository.domain() && **hint != self.repository)
    }

    /// What a tag or digest stands for, by HEAD, which rate limits do not count; `None` when there is no such manifest.
    ///
    /// # Errors
    /// Those of the registry.
    pub async fn head(&self, reference: &Reference) -> Result<Option<Descriptor>> {
        self.head_of(&Wanted::of(reference)).await
    }

    /// As [`Remote::head`], for a digest.
    ///
    /// # Errors
    /// Those of the registry.
    pub async fn head_digest(&self, digest: &Digest) -> Result<Option<Descriptor>> {
        self.head_of(&Wanted::Digest(digest.clone())).await
    }

    /// A mirror that does not have it says nothing of the registry.
    async fn head_of(&self, wanted: &Wanted) -> Result<Option<Descriptor>> {
        for (index, mirror) in self.mirrors.for_manifest(matches!(wanted, Wanted::Digest(_))) {
            match manifest::head(mirror, wanted).await {
                Ok(Some(found)) => return Ok(Some(found)),
                Ok(None) => {}
                Err(error) => self.mirrors.failed(index, &error),
            }
        }
        manifest::head(self, wanted).await.map_err(|error| self.mirrors.told(error))
    }

    /// Reads the manifest or index that a tag or digest stands for. Its digest is computed from the bytes; one that is
    /// given, by the reference or by the registry, must be the same.
    ///
    /// # Errors
    /// In docker's words when there is none or access is denied; [`dhow_base::Kind::Corrupt`] when the bytes are not
    /// those of the digest, or can be read two ways.
    pub async fn fetch_document(&self, reference: &Reference) -> Result<VerifiedDocument> {
        for (index, mirror) in self.mirrors.for_manifest(reference.digest().is_some()) {
            match manifest::fetch(mirror, reference).await {
                Ok(document) => return Ok(document),
                Err(error) => self.mirrors.failed(index, &error),
            }
        }
        manifest::fetch(self, reference).await.map_err(|error| self.mirrors.told(error))
    }

    /// What a name stands for now that stood for `known` before: with the manifest or index where it had to be read to learn
    /// that. One request, so that a change costs no second one; a HEAD where reads are counted, or where a digest is asked for,
    /// which cannot have changed.
    ///
    /// # Errors
    /// As [`Remote::fetch_document`].
    pub async fn refresh(
        &self,
        reference: &Reference,
        known: &Descriptor,
    ) -> Result<(Descriptor, Option<VerifiedDocument>)> {
        if reference.digest().is_some() || self.endpoint.counts_reads() {
            return Ok((self.resolve(reference).await?, None));
        }
        let told = |found: Option<VerifiedDocument>| match found {
            Some(document) => (document.descriptor().clone(), Some(document)),
            None => (known.clone(), None),
        };
        for (index, mirror) in self.mirrors.for_manifest(false) {
            match manifest::refresh(mirror, reference, &known.digest).await {
                Ok(found) => return Ok(told(found)),
                Err(error) => self.mirrors.failed(index, &error),
            }
        }
        let found = manifest::refresh(self, reference, &known.digest).await;
        found.map(told).map_err(|error| self.mirrors.told(error))
    }

    /// All tags of the repository, in the registry's order. Names that are no tags are left out.
    ///
    /// # Errors
    /// Those of the registry.
    pub async fn tags(&self) -> Result<Vec<Tag>> {
        tags::list(self, None).await
    }

    /// As [`Remote::tags`], at most so many; no page is asked for that is not needed.
    ///
    /// # Errors
    /// Those of the registry.
    pub async fn first_tags(&self, most: usize) -> Result<Vec<Tag>> {
        tags::list(self, Some(most)).await
    }

    /// What refers to a manifest: signatures, SBOMs and the like, in the registry's order; only those of one artifact type
    /// if one is given. Registries without the referrers API are asked for its fallback tag (distribution spec 1.1,
    /// "Referrers Tag Schema").
    ///
    /// # Errors
    /// Those of the registry.
    pub async fn referrers(&self, subject: &Digest, artifact_type: Option<&str>) -> Result<Vec<Descriptor>> {
        referrers::list(self, subject, artifact_type).await
    }

    /// Writes a manifest by its digest; one that has a subject is among that one's referrers afterwards, by the fallback
    /// tag where the registry does not keep them itself.
    ///
    /// # Errors
    /// Those of the registry.
    pub async fn attach(&self, document: &VerifiedDocument) -> Result<()> {
        referrers::attach(self, &Wanted::Digest(document.descriptor().digest.clone()), document).await
    }

    /// As [`Remote::attach`], under a tag.
    ///
    /// # Errors
    /// Those of the registry.
    pub async fn attach_as(&self, reference: &Reference, document: &VerifiedDocument) -> Result<()> {
        referrers::attach(self, &Wanted::name_of(reference), document).await
    }

    /// Takes a manifest that was removed out of the fallback tag of its subject, where there is one.
    ///
    /// # Errors
    /// Those of the registry.
    pub async fn detach(&self, subject: &Digest, referrer: &Digest) -> Result<()> {
        referrers::detach(self, subject, referrer).await
    }

    /// Removes a tag.
    ///
    /// # Errors
    /// [`dhow_base::Kind::Unsupported`] when the registry removes no tags; [`dhow_base::Kind::NotFound`] when there is none.
    pub async fn delete_tag(&self, tag: &Tag) -> Result<()> {
        manifest::delete(self, &Wanted::Tag(tag.clone())).await
    }

    /// Removes a manifest or index, and with it every tag that stands for it.
    ///
    /// # Errors
    /// As [`Remote::delete_tag`].
    pub async fn delete_manifest(&self, digest: &Digest) -> Result<()> {
        manifest::delete(self, &Wanted::Digest(digest.clone())).await
    }

    /// Cancels uploads that were interrupted and that nobody will go on with, so that the registry need not keep their bytes.
    pub async fn cancel_uploads(&self) {
        upload::cancel_all(self).await;
    }

    /// The scopes that requests to this repository need.
    pub(crate) fn scopes(&self) -> Vec<String> {
        let actions = match self.access {
            Access::Pull => "pull",
            Access::Push => "pull,push",
            // Not `delete`, for which some registries (Quay) refuse the whole token.
            Access::Delete => "*",
        };
        vec![format!("repository:{}:{actions}", self.repository.path())]
    }

    /// A request to a page of this repository: `blobs/<digest>`, `tags/list`, …
    pub(crate) fn call(&self, method: Method, page: &str) -> Call {
        let path = format!("/v2/{}/{page}", self.repository.path());
        Call::new(method, Target::Path(path), self.scopes())
    }

    pub(crate) async fn send(&self, call: &Call) -> Result<Answer> {
        self.endpoint.send(self.client.transport(), call).await
    }
}

impl Resolve for Remote {
    async fn resolve(&self, reference: &Reference) -> Result<Descriptor> {
        for (index, mirror) in self.mirrors.for_manifest(reference.digest().is_some()) {
            match manifest::resolve(mirror, reference).await {
                Ok(found) => return Ok(found),
                Err(error) => self.mirrors.failed(index, &error),
            }
        }
        manifest::resolve(self, reference).await.map_err(|error| self.mirrors.told(error))
    }
}

impl Source for Remote {
    async fn read(&self, descriptor: &Descriptor, range: Range<u64>) -> Result<ByteStream> {
        let digest = &descriptor.digest;
        for (index, mirror) in self.mirrors.for_bytes(digest, range.start) {
            match blob::read(mirror, descriptor, range.clone()).await {
                Ok(stream) => {
                    self.mirrors.served(digest, Some(index));
                    let (mirrors, digest, start) = (Arc::clone(&self.mirrors), digest.clone(), range.start);
                    let end = futures::stream::poll_fn(move |_| {
                        mirrors.arrived(index, &digest, start);
                        Poll::Ready(None)
                    });
                    return Ok(stream.chain(end).boxed());
                }
                // Elsewhere the blob may be sound, but what an earlier run left is not.
                Err(error) if mirror.validators.has_changed(digest) => return Err(error),
                Err(error) => self.mirrors.failed(index, &error),
            }
        }
        let stream = blob::read(self, descriptor, range).await.map_err(|error| self.mirrors.told(error))?;
        self.mirrors.served(digest, None);
        Ok(stream)
    }

    fn parts(&self, descriptor: &Descriptor) -> Parts {
        blob::parts(self.mirrors.first().unwrap_or(self), descriptor)
    }

    fn small_at_once(&self) -> usize {
        SMALL_AT_ONCE
    }

    fn distrust(&self, descriptor: &Descriptor) -> bool {
        self.mirrors.distrust(&descriptor.digest)
    }

    fn origin(&self, descriptor: &Descriptor) -> Option<Origin> {
        let digest = &descriptor.digest;
        let served = self.mirrors.server(digest).unwrap_or(self);
        served.validators.origin(served.endpoint.domain(), digest)
    }

    fn recall(&self, descriptor: &Descriptor, origin: &Origin) {
        for remote in self.mirrors.all().chain([self]) {
            remote.validators.recall(remote.endpoint.domain(), &descriptor.digest, origin);
        }
    }

    fn has_changed(&self, descriptor: &Descriptor) -> bool {
        // All of them are asked: what one has to tell is told once.
        let changed = |remote: &&Remote| remote.validators.take_changed(&descriptor.digest);
        self.mirrors.all().chain([self]).filter(changed).count() > 0
    }
}

impl Sink for Remote {
    type Ingest = Upload;

    async fn holds(&self, document: &Descriptor) -> Result<bool> {
        manifest::holds(self, &document.digest).await
    }

    async fn ingest(&self, blob: &Descriptor, _: &dyn Observer) -> Result<Begin<Upload>> {
        upload::begin(self, blob).await
    }

    async fn put_document(&self, document: &VerifiedDocument) -> Result<()> {
        manifest::put(self, &Wanted::Digest(document.descriptor().digest.clone()), document).await.map(drop)
    }

    fn blobs_at_once(&self) -> usize {
        BLOBS_AT_ONCE
    }

    fn small_at_once(&self) -> usize {
        SMALL_AT_ONCE
    }
}

impl TagSink for Remote {
    async fn tag(&self, reference: &Reference, document: &VerifiedDocument) -> Result<()> {
        manifest::put(self, &Wanted::name_of(reference), document).await.map(drop)
    }
}
