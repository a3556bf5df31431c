//! `push`: an image from the store to a registry.

use std::collections::HashMap;

use dhow_base::progress::{Event, Observer};
use dhow_base::{Error, Kind, Result};
use dhow_content::{CopyOptions, Prefetched, TagSink, VerifiedDocument, copy};
use dhow_registry::Remote;
use dhow_spec::{Descriptor, Digest, MediaType, Reference, Repository};
use dhow_store::{NewTarget, Store};

use crate::content_error::{blame, explain};
use crate::context::Context;
use crate::extent::Extent;
use crate::last_use;
use crate::outgoing;
use crate::packed::{AsBefore, packed};
use crate::pull::layers;
use crate::select::Platforms;

/// What to push.
#[derive(Clone, Debug)]
pub struct Request {
    /// A name with a tag.
    pub reference: Reference,
    /// Which platforms of the index that the name stands for; all of it by default, if all of it is here.
    pub platforms: Platforms,
    /// What to push under the name, where that is not what the name stands for here: anything that stands for an image.
    pub source: Option<String>,
}

/// An image found in the store, about to be pushed.
#[derive(Debug)]
pub struct Prepared {
    reference: Reference,
    /// What is pushed, as the store names it.
    target: Descriptor,
    root: VerifiedDocument,
    /// Documents that lie in no store.
    made: Vec<VerifiedDocument>,
    documents: Vec<VerifiedDocument>,
    layers: Vec<Digest>,
    note: Option<String>,
    /// Whether it is the image that the name shows here, and not another platform's.
    is_shown: bool,
}

/// What the registry has now.
#[derive(Clone, Debug)]
pub struct Pushed {
    /// Digest of the manifest or index under the tag.
    pub digest: Digest,
    /// Its media type.
    pub media_type: MediaType,
    /// Its length in bytes.
    pub size: u64,
    /// What the name stands for here, when less than all of it went up.
    pub narrowed_from: Option<Digest>,
    /// The image that `dhow images` shows for the name.
    pub image_id: Digest,
    /// Whether the registry had all of it already, so that only the tag was written.
    pub was_there: bool,
    /// How much it is, and how much of it was sent.
    pub extent: Extent,
}

/// Every tag that the store has of a repository.
///
/// # Errors
/// [`Kind::NotFound`] in docker's words when there is none.
pub fn references(context: &Context, repository: &Repository) -> Result<Vec<Reference>> {
    let references: Vec<Reference> = context
        .store()?
        .references_in(repository)?
        .into_iter()
        .filter(|reference| reference.tag().is_some() && reference.digest().is_none())
        .collect();
    if references.is_empty() {
        return Err(nothing_local(repository));
    }
    Ok(references)
}

fn nothing_local(repository: &Repository) -> Error {
    let message = format!("An image does not exist locally with the tag: {}", repository.familiar());
    Error::new(Kind::NotFound, message)
}

/// The name that an image goes to when no other is given: the one it was found by, else its first.
///
/// # Errors
/// Those of finding it.
pub fn name_of(context: &Context, image: &str) -> Result<Option<Reference>> {
    let found = context.find(image)?;
    match found.reference.filter(|name| name.tag().is_some()) {
        Some(name) => Ok(Some(name)),
        None => Ok(context.store()?.image(&found.image_id)?.references.into_iter().next()),
    }
}

/// The full name that a short one has by the configuration of registries, if an image here is called so.
///
/// # Errors
/// Those of the store.
pub fn configured_name(context: &Context, text: &str) -> Result<Option<Reference>> {
    let names = context.configured(text)?;
    if names.is_empty() {
        return Ok(None);
    }
    let store = context.store()?;
    for name in names {
        if store.resolve(&name.clone().with_default_tag())?.is_some() {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

/// Finds the image and what of it goes up.
///
/// # Errors
/// [`Kind::NotFound`] in docker's words when the name is not known here, or not for the platform asked for.
pub fn prepare(context: &Context, request: &Request) -> Result<Prepared> {
    let store = context.store()?;
    let reference = &request.reference;
    let target = match &request.source {
        Some(source) => Some(context.find(source)?.target),
        None => store.resolve(reference)?,
    };
    let Some(target) = target else {
        let any = !store.references_in(reference.repository())?.is_empty();
        let unknown_tag = || Error::new(Kind::NotFound, format!("tag does not exist: {}", reference.familiar()));
        return Err(if any { unknown_tag() } else { nothing_local(reference.repository()) });
    };
    let outgoing = outgoing::choose(store, &target, &request.platforms, &reference.familiar())?;
    let told = |error| explain(&reference.familiar(), error);
    let documents = outgoing::documents(store, &outgoing).map_err(told)?;
    let root = root_of(&documents)?;
    let layers = uploads(&documents);
    let note = outgoing.narrowed.map(|narrowed| narrowed.note("pushed"));
    let is_shown = !matches!(request.platforms, Platforms::These(_)) && outgoing.made.is_empty();
    let made = outgoing.made;
    Ok(Prepared { reference: reference.clone(), target, root, made, documents, layers, note, is_shown })
}

fn root_of(documents: &[VerifiedDocument]) -> Result<VerifiedDocument> {
    documents.last().cloned().ok_or_else(|| Error::new(Kind::Internal, "an image without a manifest"))
}

/// The layers of what goes up, each once, top layer first.
fn uploads(documents: &[VerifiedDocument]) -> Vec<Digest> {
    let mut uploads: Vec<Digest> = Vec::new();
    for layer in layers(documents) {
        if !uploads.contains(&layer.digest) {
            uploads.push(layer.digest.clone());
        }
    }
    uploads.reverse();
    uploads
}

impl Prepared {
    /// Digests of the layers, top layer first, by which [`Prepared::run`] tells of them.
    pub fn layers(&self) -> &[Digest] {
        &self.layers
    }

    /// What the user should know: that only a part of an index goes up.
    pub fn note(&self) -> Option<&str> {
        self.note.as_deref()
    }

    /// Uploads what the registry does not have, then the documents, the root under its tag. Plain layers of what was made here are
    /// compressed before.
    ///
    /// # Errors
    /// Those of the registry, in docker's words.
    pub async fn run(self, context: &Context, observer: &dyn Observer) -> Result<Pushed> {
        let store = context.store()?;
        let remote = context.push_to(self.reference.repository())?;
        match packed(context, &remote, &self.target, observer).await {
            Ok(None) => self.send(context, remote, observer).await,
            Ok(Some(packed)) => {
                let observer = AsBefore { packed: &packed, observer };
                self.in_form(store, &packed.target)?.send(context, remote, &observer).await
            }
            Err(error) => {
                remote.cancel_uploads().await;
                Err(blame(store, &self.reference.familiar(), &self.target, error))
            }
        }
    }

    /// The same image in another form, a manifest of the store.
    fn in_form(self, store: &Store, target: &Descriptor) -> Result<Self> {
        let documents = store.documents_below(target)?;
        Ok(Self { target: target.clone(), root: root_of(&documents)?, layers: uploads(&documents), documents, ..self })
    }

    async fn send(self, context: &Context, remote: Remote, observer: &dyn Observer) -> Result<Pushed> {
        let store = context.store()?;
        let session = store.begin("push")?.only_reads();
        // What is pushed may lose its name meanwhile: it is looked at now.
        let image_id = store.find_target(&self.target.digest)?.image_id;
        let extent = Extent::of(store, &self.target.digest, &self.documents)?;
        let repository = self.reference.repository();
        let remote = remote.with_mount_hints(mount_hints(store, repository, &self.documents)?);
        let root = self.root.descriptor();
        let options = CopyOptions { leave_root: true, ..context.settings().transfers.copy_options(observer) };
        let copied = match copy(&Prefetched::new(&session, &self.made), &remote, root, &options).await {
            Ok(copied) => copied,
            Err(error) => {
                // The others are noted for the next run; these would stay open until the registry forgets them.
                remote.cancel_uploads().await;
                return Err(blame(store, &self.reference.familiar(), &self.target, error));
            }
        };
        if copied.documents.is_empty() {
            for layer in &self.layers {
                observer.event(Event::Present { digest: layer.as_str() });
            }
        }
        remote.tag(&self.reference, &self.root).await?;
        session.record_homes(repository, &self.layers)?;
        // Unless it was removed meanwhile, the image is known here by its digest there from now on.
        if self.is_shown && store.is_writable() && store.resolve(&self.reference)?.is_some() {
            let named =
                NewTarget { digest_repositories: vec![repository.clone()], ..NewTarget::default_for(root.clone()) };
            match session.commit(&[named]) {
                // The image is where it should be, and the disk here is full.
                Err(error) if error.kind() == Kind::NoSpace => {
                    tracing::warn!(%error, "cannot note the digest that the image has in the registry");
                }
                committed => drop(committed?),
            }
        }
        last_use::note(store, [&image_id]);
        let Descriptor { digest, media_type, size, .. } = root.clone();
        Ok(Pushed {
            narrowed_from: Some(self.target.digest).filter(|target| *target != digest),
            digest,
            media_type,
            size,
            image_id,
            was_there: copied.documents.is_empty(),
            extent: extent.moved(&copied),
        })
    }
}

/// For each blob, the other repositories of the same registry that are known to have it.
pub(crate) fn mount_hints(
    store: &Store,
    target: &Repository,
    documents: &[VerifiedDocument],
) -> Result<HashMap<Digest, Vec<Repository>>> {
    let mut hints = HashMap::new();
    for layer in layers(documents) {
        let homes: Vec<Repository> = store
            .homes(&layer.digest)?
            .into_iter()
            .filter(|home| home.domain() == target.domain() && home != target)
            .collect();
        if !homes.is_empty() {
            hints.insert(layer.digest.clone(), homes);
        }
    }
    Ok(hints)
}
