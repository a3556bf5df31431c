//! Manifests of a list that are in no registry: of images that are here, in archives and in folders.

use dhow_base::{Error, Kind, Result};
use dhow_content::{VerifiedDocument, read_document, verify_document};
use dhow_registry::Remote;
use dhow_spec::{Descriptor, Document, Platform, Reference};
use dhow_store::ListMember;

use super::edit::picked;
use super::{fetch, normalize};
use crate::context::Context;
use crate::packed::packed;
use crate::transport::{Location, Opened, open};

/// What the manifest of an image without a name is called in a list, before its digest.
const NAMELESS: &str = "localhost/image";

/// What a place has: one manifest; of an index the member for a platform, or all its members. An image that is here keeps its own name.
///
/// # Errors
/// Those of the place.
pub(super) async fn members(
    context: &Context,
    place: &Location,
    all: bool,
    wanted: &Platform,
) -> Result<Vec<ListMember>> {
    let known = match place {
        Location::Store(name) => context.find(name)?.reference.filter(|reference| reference.digest().is_none()),
        _ => None,
    };
    let opened = open(context, place).await?;
    let root = &opened.root;
    let mut members = Vec::new();
    if root.document().as_index().is_none() {
        let manifest = fetch::with_platform(&opened.source, root.clone()).await?;
        members.push(member(place, known.as_ref(), manifest)?);
        return Ok(members);
    }
    for descriptor in picked(root.document(), &root.descriptor().digest, all, wanted)? {
        let manifest = read_document(&opened.source, &descriptor).await?;
        members.push(member(place, None, manifest)?);
    }
    Ok(members)
}

fn member(place: &Location, known: Option<&Reference>, manifest: VerifiedDocument) -> Result<ListMember> {
    let name = match known {
        Some(name) => name.clone(),
        None => {
            let digest = manifest.descriptor().digest.clone();
            Reference::from_digest(normalize(NAMELESS)?.repository().clone(), digest)
        }
    };
    // An image keeps its ID when its layers are compressed.
    let config = manifest.document().as_manifest().map(|manifest| manifest.config.digest.to_string());
    let place = match (place, config) {
        (Location::Store(_), Some(id)) => Location::Store(id),
        (place, _) => place.clone(),
    };
    Ok(ListMember { name, place: Some(place.to_string()), manifest })
}

/// Opens the place of a manifest that is in no registry.
///
/// # Errors
/// [`Kind::NotFound`] when the image is not there any more; those of the place.
pub(super) async fn opened(context: &Context, place: &str) -> Result<Opened> {
    open(context, &Location::parse(place)?).await
}

/// What goes to a registry of an image that is here: with its layers compressed, as it would be pushed alone. It says of itself what it
/// said before.
///
/// # Errors
/// As [`packed`].
pub(super) async fn to_go(context: &Context, remote: &Remote, member: ListMember) -> Result<ListMember> {
    let Some(Location::Store(id)) = member.place.as_deref().map(Location::parse).transpose()? else {
        return Ok(member);
    };
    let found = context.find(&id).map_err(|error| match error.kind() {
        Kind::NotFound => Error::new(Kind::NotFound, format!("{}: the image is not here any more", member.name)),
        _ => error,
    })?;
    if found.manifest.digest != member.manifest.descriptor().digest {
        return read(context, &found.manifest, member);
    }
    match packed(context, remote, &found.target, &dhow_base::progress::Silent).await? {
        Some(packed) => read(context, &packed.target, member),
        None => Ok(member),
    }
}

fn read(context: &Context, manifest: &Descriptor, member: ListMember) -> Result<ListMember> {
    let document: Document = context.store()?.document(&manifest.digest)?.document().clone();
    let said = member.manifest.descriptor();
    let descriptor =
        Descriptor { platform: said.platform.clone(), annotations: said.annotations.clone(), ..document.descriptor() };
    let manifest = verify_document(document.bytes().to_vec(), &descriptor)?;
    Ok(ListMember { manifest, ..member })
}
