//! Reading manifests from registries.

use dhow_base::{Error, Kind, Result, limits};
use dhow_content::{Source, VerifiedDocument, read_document, read_small, verify_document};
use dhow_registry::Remote;
use dhow_spec::{Descriptor, Document, ImageConfig, ImageIndex, Platform, Reference};

use super::{Found, Member};
use crate::context::Context;

/// What the registry has under a name; see [`super::inspect`].
pub(super) async fn find(context: &Context, name: &Reference, verbose: bool) -> Result<Found> {
    let (remote, document) = fetch(context, name).await?;
    if let Some(index) = document.document().as_index() {
        return members(&remote, name, index, verbose).await.map(Found::List);
    }
    let mut descriptor = document.descriptor().clone();
    if verbose {
        descriptor.platform = Some(platform(&remote, document.document()).await?);
    }
    Ok(Found::Manifest(Box::new(Member {
        name: name.clone(),
        descriptor,
        document: Some(document.document().clone()),
    })))
}

async fn members(remote: &Remote, name: &Reference, index: &ImageIndex, verbose: bool) -> Result<Vec<Member>> {
    let mut members = Vec::with_capacity(index.manifests.len());
    for listed in &index.manifests {
        // Docker shows of an entry what its own lists have.
        let platform = Platform { extra: serde_json::Map::new(), ..listed.platform.clone().unwrap_or_default() };
        let descriptor = Descriptor::new(listed.media_type.clone(), listed.digest.clone(), listed.size);
        let document = match verbose {
            true => Some(read_document(remote, listed).await?.document().clone()),
            false => None,
        };
        let name = name.clone().with_digest(listed.digest.clone());
        members.push(Member { name, descriptor: descriptor.with_platform(platform), document });
    }
    Ok(members)
}

/// Reads the document of a name.
///
/// # Errors
/// [`Kind::NotFound`] in docker's words, and those of the registry.
pub(super) async fn fetch(context: &Context, name: &Reference) -> Result<(Remote, VerifiedDocument)> {
    let remote = context.client()?.source(name)?;
    let document = remote.fetch_document(name).await.map_err(|error| match error.kind() {
        Kind::NotFound => Error::new(Kind::NotFound, format!("no such manifest: {name}")),
        _ => error,
    })?;
    Ok((remote, document))
}

/// A manifest with its platform, which only the config says.
///
/// # Errors
/// Those of reading the config.
pub(super) async fn with_platform(source: &impl Source, document: VerifiedDocument) -> Result<VerifiedDocument> {
    let platform = platform(source, document.document()).await?;
    let descriptor = document.descriptor().clone().with_platform(platform);
    verify_document(document.bytes().to_vec(), &descriptor)
}

/// What a manifest's config says it runs on; nothing where an artifact has something else in its place.
async fn platform(source: &impl Source, document: &Document) -> Result<Platform> {
    let Some(manifest) = document.as_manifest().filter(|manifest| manifest.is_image()) else {
        return Ok(Platform::default());
    };
    let bytes = read_small(source, &manifest.config, limits::CONFIG_BYTES_MAX).await?;
    Ok(ImageConfig::parse(&bytes).map(|config| config.platform()).unwrap_or_default())
}
