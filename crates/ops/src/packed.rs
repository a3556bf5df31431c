//! Layers that were made here become gzip when they first leave for a registry: `commit` and `import` leave them as they are until then.

use std::slice;

use dhow_base::{Error, Kind, Result};
use dhow_content::{Sink, VerifiedDocument};
use dhow_spec::Descriptor;
use dhow_spec::media_type::Compression;
use dhow_store::NewTarget;

use crate::context::Context;
use crate::copy::{Changes, Recompression, convert};
use crate::import::{Content, put};

/// What goes to a registry for an image of the store: the image as it is, unless it has layers that were made here and no registry knows
/// it yet; then the same image with layers of gzip. That is kept, and has the image's names from now on, so that a layer is compressed
/// once, and has one digest whoever it is pushed to.
///
/// From a store that can only be read, or is full, images go as they are.
///
/// # Errors
/// Those of reading the layers and of the store.
pub(crate) async fn packed(context: &Context, target: Descriptor) -> Result<Descriptor> {
    let store = context.store()?;
    if target.media_type.is_index() || !store.is_writable() {
        return Ok(target);
    }
    let document = store.document(&target.digest)?;
    let image = document.document().as_manifest().filter(|manifest| manifest.is_image());
    let is_own =
        |layer: &Descriptor| layer.media_type.compression() == Some(Compression::None) && store.is_own(&layer.digest);
    if !image.is_some_and(|image| image.layers.iter().any(is_own)) {
        return Ok(target);
    }
    let image = store.image(&store.find_target(&target.digest)?.image_id)?;
    if image.repo_digests.iter().any(|(_, digest)| *digest == target.digest) {
        return Ok(target);
    }
    match pack(context, &target, &document).await {
        Err(error) if error.kind() == Kind::NoSpace => {
            tracing::warn!(%error, "layers go as they are: there is no room to compress them");
            Ok(target)
        }
        packed => packed,
    }
}

async fn pack(context: &Context, target: &Descriptor, document: &VerifiedDocument) -> Result<Descriptor> {
    let store = context.store()?;
    let session = store.begin("push")?;
    session.pin(target)?;
    let changes = Changes { recompress: Some(Recompression::Gzip), keep_compressed: true, ..Changes::default() };
    let converted = convert(context, store, slice::from_ref(document), changes).await?;
    let packed = converted.documents.last();
    let packed = packed.ok_or_else(|| Error::new(Kind::Internal, "nothing came of a conversion"))?;
    for layer in packed.document().as_manifest().into_iter().flat_map(|manifest| &manifest.layers) {
        if let Some(blob) = converted.blobs.get(&layer.digest) {
            put(&session, layer, Content::Local(blob)).await?;
        }
    }
    session.put_document(packed).await?;
    let packed = packed.descriptor().clone();
    session.commit(&[NewTarget::default_for(packed.clone())])?;
    store.supersede(&target.digest, &packed.digest)?;
    drop(session);
    if let Err(error) = store.collect_below(slice::from_ref(&target.digest)) {
        tracing::warn!(%error, "layers that were compressed are still there as they were, until the next prune");
    }
    Ok(packed)
}
