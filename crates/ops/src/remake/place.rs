//! Where an image that was made goes.

use std::collections::HashMap;

use dhow_base::progress::Silent;
use dhow_base::{Error, Kind, Result};
use dhow_content::{CopyOptions, Sink, VerifiedDocument, copy as transfer};
use dhow_spec::{Digest, Reference, Repository};
use dhow_store::{MatchedBy, NewTarget};

use super::{Common, Shop};
use crate::context::Context;
use crate::copy::{move_all, shown};
use crate::transport::{self, AnySource, Location, Overlay};

/// Where it goes.
#[derive(Clone, Debug)]
pub(crate) enum Destination {
    /// Under a name.
    Place(Location),
    /// Into the repository of a registry, by its digest alone.
    ByDigest(Repository),
    /// Into the local store, under this name or none.
    Store(Option<Reference>),
}

impl Destination {
    /// The place that a user names, else that of the image itself: its tag then stands for what was made of it; what has no
    /// tag gets none.
    ///
    /// # Errors
    /// [`Kind::Invalid`] for a name that cannot be given, and for a place in which nothing can be replaced.
    pub(crate) fn of(context: &Context, image: &Location, common: &Common) -> Result<Self> {
        if let Some(repository) = &common.repository {
            return Ok(Destination::ByDigest(repository.clone()));
        }
        match &common.target {
            Some(Location::Store(name)) => {
                let reference = context.naming().given(name)?;
                if reference.digest().is_some() {
                    let message = format!("{name:?}: an image cannot be given a digest as its name");
                    return Err(Error::new(Kind::Invalid, message));
                }
                Ok(Destination::Store(Some(reference)))
            }
            Some(Location::Registry(reference)) if reference.digest().is_some() => {
                let message = format!("{reference}: the digest is what comes of it; give a tag");
                Err(Error::new(Kind::Invalid, message))
            }
            // An archive without a name for the image has the image's own.
            Some(Location::DockerArchive { path, name: None }) => {
                let name = crate::append::name_of(context, image)?.map(|name| name.to_string());
                Ok(Destination::Place(Location::DockerArchive { path: path.clone(), name }))
            }
            Some(place) => Ok(Destination::Place(place.clone())),
            None => Self::same(context, image),
        }
    }

    fn same(context: &Context, image: &Location) -> Result<Self> {
        match image {
            Location::Registry(reference) if reference.digest().is_some() => {
                Ok(Destination::ByDigest(reference.repository().clone()))
            }
            Location::Store(name) => {
                let found = context.find(name)?;
                let name =
                    found.reference.filter(|name| found.matched_by == MatchedBy::Name && name.digest().is_none());
                Ok(Destination::Store(name))
            }
            Location::Registry(_) | Location::OciDirectory { .. } => Ok(Destination::Place(image.clone())),
            other => {
                let message = format!("{other}: what is there cannot be replaced while it is read");
                Err(Error::new(Kind::Invalid, message).with_hint("say where the result goes with --tag or --output"))
            }
        }
    }

    /// The name of the result, with the digest where there is no tag.
    pub(crate) fn reference(&self, digest: &Digest) -> Option<Reference> {
        match self {
            Destination::Place(Location::Registry(reference)) => Some(reference.clone().with_default_tag()),
            Destination::ByDigest(repository) => Some(Reference::from_digest(repository.clone(), digest.clone())),
            Destination::Store(name) => name.clone(),
            Destination::Place(_) => None,
        }
    }
}

/// Puts what was made where it goes: what is there is not sent again, and what the registry has elsewhere is mounted.
///
/// # Errors
/// Those of the place.
pub(crate) async fn deliver(shop: &Shop<'_>, documents: &[VerifiedDocument], to: Destination) -> Result<()> {
    let root = documents.last().ok_or_else(|| Error::new(Kind::Internal, "nothing came of a change"))?;
    let options = CopyOptions::new(&Silent);
    let source = Overlay { source: &shop.source, documents, blobs: &shop.blobs };
    let place = match to {
        Destination::Store(name) => {
            let session = shop.context.store()?.begin("remake")?;
            let is_new = !session.holds(root.descriptor()).await?;
            transfer(&source, &session, root.descriptor(), &options).await?;
            let references = name.into_iter().collect();
            session.commit(&[NewTarget { references, ..NewTarget::default_for(root.descriptor().clone()) }])?;
            if is_new {
                session.store().note_made_here(&root.descriptor().digest);
            }
            return Ok(());
        }
        Destination::Place(place) => place,
        Destination::ByDigest(repository) => {
            Location::Registry(Reference::from_digest(repository, root.descriptor().digest.clone()))
        }
    };
    let destination = transport::Destination::open(shop.context, &place)?;
    let destination = destination.with_mount_hints(hints(shop, &place, documents)?);
    if let Err(error) = move_all(&source, &destination.sink, root.descriptor(), documents, &options).await {
        destination.abandon().await;
        return Err(error);
    }
    destination.finish(root, documents, shown(root)).await
}

/// For each blob that was not made here, where the registry is known to have it.
fn hints(shop: &Shop<'_>, to: &Location, documents: &[VerifiedDocument]) -> Result<HashMap<Digest, Vec<Repository>>> {
    let Location::Registry(target) = to else { return Ok(HashMap::new()) };
    let mut hints: HashMap<Digest, Vec<Repository>> = HashMap::new();
    if shop.source.all().any(|source| matches!(source, AnySource::Store(_))) {
        hints = crate::push::mount_hints(shop.context.store()?, target.repository(), documents)?;
    }
    for child in documents.iter().flat_map(|document| document.document().children()) {
        if let Some(AnySource::Registry(remote)) = shop.source.find(&child.digest)
            && !shop.blobs.contains_key(&child.digest)
        {
            hints.entry(child.digest.clone()).or_default().push(remote.repository().clone());
        }
    }
    Ok(hints)
}
