//! Plain layers of images that were made here become gzip when they first leave for a registry: `commit`, `import` and `load` leave them
//! as they are until then.

use std::slice;

use dhow_base::{Kind, Result};
use dhow_content::{Sink, about, verify_document};
use dhow_spec::media_type::Compression;
use dhow_spec::{Descriptor, Document, ImageManifest};
use dhow_store::{NewTarget, Store};

use crate::context::Context;
use crate::copy::{Recompression, recompressed};
use crate::import::{Content, put};

/// What goes to a registry for an image of the store: the image as it is, unless its manifest was made here and no registry knows it yet;
/// then the same image with layers of gzip in place of the plain ones that no registry knows either. That is kept, and has the image's
/// names from now on, so that a layer is compressed once, and has one digest whoever it is pushed to.
///
/// From a store that can only be read, or is full, images go as they are.
///
/// # Errors
/// Those of reading the layers and of the store.
pub(crate) async fn packed(context: &Context, target: Descriptor) -> Result<Descriptor> {
    let store = context.store()?;
    if target.media_type.is_index() || !store.is_writable() || !store.is_made_here(&target.digest) {
        return Ok(target);
    }
    let document = store.document(&target.digest)?;
    let Some(manifest) = document.document().as_manifest().filter(|manifest| manifest.is_image()) else {
        return Ok(target);
    };
    let image = store.image(&store.find_target(&target.digest)?.image_id)?;
    let plain = plain_layers(store, manifest)?;
    if plain.is_empty() || image.repo_digests.iter().any(|(_, digest)| *digest == target.digest) {
        return Ok(target);
    }
    match pack(context, &target, manifest.clone(), &plain).await {
        Err(error) if error.kind() == Kind::NoSpace => {
            tracing::warn!(%error, "layers go as they are: there is no room to compress them");
            Ok(target)
        }
        packed => packed,
    }
}

/// Where in an image the layers are that are to be compressed: the plain ones that nobody else knows by their digests.
fn plain_layers(store: &Store, manifest: &ImageManifest) -> Result<Vec<usize>> {
    let mut plain = Vec::new();
    for (position, layer) in manifest.layers.iter().enumerate() {
        let is_plain = layer.media_type.compression() == Some(Compression::None) && !layer.media_type.is_foreign();
        if is_plain && store.homes(&layer.digest)?.is_empty() {
            plain.push(position);
        }
    }
    Ok(plain)
}

async fn pack(
    context: &Context,
    target: &Descriptor,
    mut manifest: ImageManifest,
    plain: &[usize],
) -> Result<Descriptor> {
    let store = context.store()?;
    let session = store.begin("push")?;
    session.pin(target)?;
    for (_, layer) in manifest.layers.iter_mut().enumerate().filter(|(position, _)| plain.contains(position)) {
        let made = recompressed(context, store, layer, Recompression::Gzip).await;
        let (made, blob) = made.map_err(|error| about(&layer.digest, error))?;
        put(&session, &made, Content::Local(&blob)).await?;
        *layer = made;
    }
    let document = Document::from_manifest(manifest)?;
    let packed = document.descriptor();
    session.put_document(&verify_document(document.bytes().to_vec(), &packed)?).await?;
    session.commit(&[NewTarget::default_for(packed.clone())])?;
    store.supersede(&target.digest, &packed.digest)?;
    drop(session);
    if let Err(error) = store.collect_below(slice::from_ref(&target.digest)) {
        tracing::warn!(%error, "layers that were compressed are still there as they were, until the next prune");
    }
    Ok(packed)
}
