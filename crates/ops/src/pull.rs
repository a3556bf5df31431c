//! `pull`: an image from a registry into the store.

use dhow_base::progress::{Event, Observer};
use dhow_base::{Error, Kind, Result, limits, priority};
use dhow_content::{CopyOptions, Prefetched, Select, Source, VerifiedDocument, copy, read_document, read_small};
use dhow_registry::{Access, Remote};
use dhow_spec::platform::Matcher;
use dhow_spec::{Descriptor, Digest, Document, ImageConfig, MediaType, Platform, Reference, Repository};
use dhow_store::{NewTarget, Session, Store};
use tokio::task::{JoinError, JoinHandle, spawn_blocking};

use crate::context::Context;
use crate::extent::{self, Extent};
use crate::last_use;
use crate::present::UntilMoved;
use crate::select::{Fit, Platforms, Selection};
use crate::unpacking::{Form, unpack};

/// What to pull.
#[derive(Clone, Debug)]
pub struct Request {
    /// A name with tag or digest.
    pub reference: Reference,
    /// Which platforms of a multi-platform image; the host's by default.
    pub platforms: Platforms,
    /// Stores the layers without proving their diff IDs; sizes are then worked out on first need.
    pub stored: bool,
    /// Works out [`Pulled::extent`], which reads the manifests once more.
    pub measured: bool,
    /// Makes the files of the image ready as well.
    pub unpack: Option<Form>,
}

/// When the registry is asked at all (podman's `--policy`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// Always.
    #[default]
    Always,
    /// Only when the image is not here.
    Missing,
    /// Always; when that fails, the image that is here will do.
    Newer,
    /// Never.
    Never,
}

/// The image that is here, complete for the platforms asked for; `None` when it is not.
///
/// # Errors
/// Those of the store.
pub fn present(context: &Context, request: &Request) -> Result<Option<Pulled>> {
    let store = context.store()?;
    let Some(known) = store.resolve(&request.reference)? else { return Ok(None) };
    if !is_local(store, &known.digest, &request.platforms)? {
        return Ok(None);
    }
    let image_id = store.find_target(&known.digest)?.image_id;
    store.touch([&image_id])?;
    unpack(&store.begin("pull")?, request.unpack.as_ref(), &known.digest)?;
    let extent = local_extent(store, &known, request)?;
    let Descriptor { digest, media_type, .. } = known;
    Ok(Some(Pulled { digest, media_type, image_id, newer: false, extent }))
}

/// How much is here of what was asked for of `root`; nothing when nobody wants to know.
fn local_extent(store: &Store, root: &Descriptor, request: &Request) -> Result<Extent> {
    if !request.measured {
        return Ok(Extent::default());
    }
    Extent::of(store, &root.digest, &extent::local_documents(store, root, &request.platforms)?)
}

/// What to say where nothing may be fetched.
pub fn not_here(request: &Request) -> Error {
    let name = request.reference.familiar();
    Error::new(Kind::NotFound, format!("No such image: {name}")).with_hint("--policy never asks no registry")
}

/// An image found in the registry, about to be fetched.
#[derive(Debug)]
pub struct Resolved {
    request: Request,
    root: Descriptor,
    /// The root document, where it was read to learn its digest.
    document: Option<VerifiedDocument>,
    remote: Remote,
    /// Whether the store has all that this pull would fetch.
    is_local: bool,
}

/// What a pull did.
#[derive(Clone, Debug)]
pub struct Pulled {
    /// What the name stands for in the registry: a manifest or an index.
    pub digest: Digest,
    /// Its media type.
    pub media_type: MediaType,
    /// The image that `dhow images` shows for it.
    pub image_id: Digest,
    /// Whether anything changed here; if not, docker says that the image is up to date.
    pub newer: bool,
    /// How much was asked for, and how much of it was fetched; nothing unless the request was [measured](Request::measured).
    pub extent: Extent,
}

/// Asks the registry what the name stands for. A name that is known here costs one request when nothing has changed, which
/// rate limits do not count.
///
/// # Errors
/// Those of the registry, in docker's words.
pub async fn resolve(context: &Context, request: &Request) -> Result<Resolved> {
    let reference = &request.reference;
    refuse_reserved(reference.repository())?;
    let store = context.store()?;
    let remote = context.client()?.source(reference)?;
    let Some(known) = store.resolve(reference)? else {
        let document = remote.fetch_document(reference).await?;
        let root = document.descriptor().clone();
        return Ok(Resolved { request: request.clone(), root, document: Some(document), remote, is_local: false });
    };
    let ahead = look_ahead(store, &known.digest, &request.platforms);
    let (root, document) = remote.refresh(reference, &known).await?;
    let is_local = known.digest == root.digest && ahead.await.map_err(panicked)??;
    Ok(Resolved { request: request.clone(), root, document, remote, is_local })
}

/// Looks, while the registry is asked, whether all is here that a name stood for when it was last pulled: mostly it still
/// stands for it.
fn look_ahead(store: &Store, known: &Digest, platforms: &Platforms) -> JoinHandle<Result<bool>> {
    let (store, known, platforms) = (store.clone(), known.clone(), platforms.clone());
    spawn_blocking(move || is_local(&store, &known, &platforms))
}

fn panicked(error: JoinError) -> Error {
    Error::new(Kind::Internal, format!("the look into the store ended early: {error}"))
}

/// Whether the store has all that a pull of these platforms would fetch.
fn is_local(store: &Store, root: &Digest, platforms: &Platforms) -> Result<bool> {
    match has_all(store, root, platforms) {
        // What is damaged is fetched again.
        Err(error) if error.kind() == Kind::Corrupt => Ok(false),
        known => known,
    }
}

fn has_all(store: &Store, root: &Digest, platforms: &Platforms) -> Result<bool> {
    match platforms {
        Platforms::Default => store.is_complete_for(root, None),
        Platforms::All => store.is_intact(root),
        Platforms::These(wanted) => {
            for platform in wanted {
                if !store.is_complete_for(root, Some(platform))? {
                    return Ok(false);
                }
            }
            Ok(wanted.len() == 1 || has_picked(store, root, wanted)?)
        }
    }
}

/// Whether everything is here that several platforms are pulled with, attestations too.
fn has_picked(store: &Store, root: &Digest, wanted: &[Platform]) -> Result<bool> {
    let document = store.document(root)?;
    if document.document().as_index().is_none() {
        return Ok(true);
    }
    for member in Selection::new(wanted, Fit::Best, root).pick(document.document())? {
        if !store.is_intact(&member.digest)? {
            return Ok(false);
        }
    }
    Ok(true)
}

impl Resolved {
    /// What the name stands for in the registry.
    pub fn digest(&self) -> &Digest {
        &self.root.digest
    }

    /// Takes an image that comes without an index whatever platform it is for: there is nothing to choose from.
    #[must_use]
    pub fn whatever_platform(mut self) -> Self {
        if !self.root.media_type.is_index() {
            self.request.platforms = Platforms::Default;
        }
        self
    }

    /// Fetches what is missing and names it.
    ///
    /// # Errors
    /// Those of the registry and of the store; what arrived so far is kept for the next run.
    pub async fn fetch(self, context: &Context, observer: &dyn Observer) -> Result<Pulled> {
        let store = context.store()?;
        if self.is_local {
            let found = store.find_target(&self.root.digest)?;
            last_use::note(store, [&found.image_id]);
            let session = store.begin("pull")?;
            self.name_digest(&session)?;
            unpack(&session, self.request.unpack.as_ref(), &self.root.digest)?;
            let extent = local_extent(store, &self.root, &self.request)?;
            return Ok(self.done(found.image_id, false, extent));
        }
        // Kept apart, so that whoever only learns that nothing has changed makes no room for it.
        Box::pin(self.transfer(context, observer)).await
    }

    async fn transfer(self, context: &Context, observer: &dyn Observer) -> Result<Pulled> {
        let store = context.store()?;
        let document = match &self.document {
            Some(document) => document.clone(),
            None => read_document(&self.remote, &self.root).await?,
        };
        let host = [Platform::host()];
        let wanted: &[Platform] = match &self.request.platforms {
            Platforms::Default => &host,
            Platforms::All => &[],
            Platforms::These(wanted) => {
                let name = self.request.reference.familiar();
                check_platforms(&self.remote, document.document(), wanted, &name).await?;
                wanted
            }
        };
        priority::lower();
        let session = store.begin("pull")?.prove_diff_ids(!self.request.stored);
        let session = Form::prepare(self.request.unpack.as_ref(), session);
        let is_index = document.document().as_index().is_some();
        let documents = [document];
        let source = Prefetched::new(&self.remote, &documents);
        let selection = Selection::new(wanted, Fit::Best, &self.root.digest);
        let pick = |index: &Document| selection.pick(index);
        let select = if wanted.is_empty() { Select::All } else { Select::Only(&pick) };
        let shown = UntilMoved::new(observer);
        let options = CopyOptions { select, ..context.settings().transfers.copy_options(&shown) };
        let copied = copy(&source, &session, &self.root, &options).await?;
        let is_new = copied.blobs_moved > 0;
        if is_new {
            // All layers of an image that is new may be those of others.
            shown.release();
        }
        if is_index {
            selection.finish()?;
        }
        let target = self.new_target();
        let committed = session.commit(std::slice::from_ref(&target))?;
        session.record_homes(self.request.reference.repository(), &blobs(&copied.documents))?;
        unpack(&session, self.request.unpack.as_ref(), &self.root.digest)?;
        for layer in layers(&copied.documents).filter(|_| is_new) {
            observer.event(Event::Done { digest: layer.digest.as_str() });
        }
        let image_id = committed.image_of(&self.root.digest).ok_or_else(|| {
            Error::new(Kind::Internal, format!("{} was committed without an image", self.root.digest))
        })?;
        last_use::note(store, [&image_id]);
        let extent = match copied.documents.as_slice() {
            _ if !self.request.measured => Extent::default(),
            [] => local_extent(store, &self.root, &self.request)?,
            documents => Extent::of(store, &self.root.digest, documents)?.moved(&copied),
        };
        Ok(self.done(image_id, committed.changed, extent))
    }

    /// Has an image that was here before known by its digest in the repository: one that was loaded or tagged is not.
    fn name_digest(&self, session: &Session) -> Result<()> {
        let store = session.store();
        let name = Reference::from_digest(self.request.reference.repository().clone(), self.root.digest.clone());
        if store.is_writable() && store.resolve(&name)?.is_none() {
            session.commit(&[self.new_target()])?;
        }
        Ok(())
    }

    fn done(self, image_id: Digest, newer: bool, extent: Extent) -> Pulled {
        let Descriptor { digest, media_type, .. } = self.root;
        Pulled { digest, media_type, image_id, newer, extent }
    }

    fn new_target(&self) -> NewTarget {
        let reference = &self.request.reference;
        let references = match (reference.tag(), reference.digest()) {
            (Some(_), None) => vec![reference.clone()],
            // A digest wins over a tag beside it, which then only informs.
            _ => Vec::new(),
        };
        NewTarget {
            references,
            digest_repositories: vec![reference.repository().clone()],
            ..NewTarget::default_for(self.root.clone())
        }
    }
}

/// A manifest that came without an index says its platform only in its config, which is asked for before any layer.
pub(crate) async fn check_platforms(
    source: &impl Source,
    root: &Document,
    wanted: &[Platform],
    name: &str,
) -> Result<()> {
    let Some(manifest) = root.as_manifest().filter(|manifest| manifest.is_image()) else {
        return Ok(());
    };
    let bytes = read_small(source, &manifest.config, limits::CONFIG_BYTES_MAX).await?;
    let found = ImageConfig::parse(&bytes)?.platform();
    let other = wanted.iter().find(|wanted| !Matcher::ordered(wanted).matches(&found));
    match other.filter(|_| !found.os.is_empty()) {
        None => Ok(()),
        Some(wanted) => {
            let message = format!(
                "image with reference {name} was found but its platform ({found}) does not match the specified \
                 platform ({wanted})"
            );
            Err(Error::new(Kind::NotFound, message))
        }
    }
}

/// All tags of a repository, as references.
///
/// # Errors
/// Those of the registry.
pub async fn tags(context: &Context, repository: &Repository) -> Result<Vec<Reference>> {
    refuse_reserved(repository)?;
    let remote = context.client()?.repository(repository, Access::Pull)?;
    let tags = remote.tags().await.map_err(|error| match error.kind() {
        Kind::NotFound => error.context(format_args!("repository {} not found", repository.familiar())),
        _ => error,
    })?;
    Ok(tags.into_iter().map(|tag| Reference::from_tag(repository.clone(), tag)).collect())
}

/// `scratch` is what a Dockerfile starts from to have nothing: docker lets no registry give the name a meaning.
fn refuse_reserved(repository: &Repository) -> Result<()> {
    match repository.familiar() {
        "scratch" => Err(Error::new(Kind::Invalid, "'scratch' is a reserved name")),
        _ => Ok(()),
    }
}

pub(crate) fn layers(documents: &[VerifiedDocument]) -> impl Iterator<Item = &Descriptor> {
    documents.iter().filter_map(|document| document.document().as_manifest()).flat_map(|manifest| &manifest.layers)
}

fn blobs(documents: &[VerifiedDocument]) -> Vec<Digest> {
    layers(documents).map(|layer| layer.digest.clone()).collect()
}
