//! Plain layers of images that were made here become gzip when they first leave for a registry: `commit`, `import` and `load` leave them
//! as they are until then.

use std::collections::HashMap;
use std::slice;

use dhow_base::progress::{Event, Observer, Silent};
use dhow_base::{Kind, Result};
use dhow_content::{Begin, Sink, about, copy_blob, verify_document};
use dhow_layer::chain::chain_ids;
use dhow_registry::Remote;
use dhow_spec::media_type::Compression;
use dhow_spec::{Descriptor, Digest, Document, ImageManifest};
use dhow_store::{NewTarget, Session, Store};

use crate::context::Context;
use crate::copy::{Recompression, gzipped, recompressed};
use crate::put::{Content, put};

/// An image that took the place of another form of it.
#[derive(Debug)]
pub(crate) struct Packed {
    /// What its names stand for now.
    pub(crate) target: Descriptor,
    /// The digests that the layers had, by those that they have now.
    names: HashMap<String, Digest>,
}

/// What goes to a registry instead of an image of the store. Nothing does, unless its manifest was made here and no registry knows it yet;
/// then it is the same image with layers of gzip in place of the plain ones that no registry knows either. That is kept, and has the
/// image's names from now on, so that a layer is compressed once, and has one digest whoever it is pushed to.
///
/// The registry is asked before: who may not push there learns it at once.
///
/// From a store that can only be read, or is full, images go as they are.
///
/// # Errors
/// Those of the registry, of reading the layers and of the store.
pub(crate) async fn packed(
    context: &Context,
    remote: &Remote,
    target: &Descriptor,
    observer: &dyn Observer,
) -> Result<Option<Packed>> {
    let store = context.store()?;
    let Some((manifest, plain)) = packable(store, target)? else { return Ok(None) };
    let session = store.begin("push")?;
    session.pin(target)?;
    if remote.holds(target).await? {
        return Ok(None);
    }
    copy_blob(&session, remote, &manifest.config, &context.settings().transfers.copy_options(&Silent)).await?;
    match pack(context, session, target, manifest, &plain, observer).await {
        Err(error) if error.kind() == Kind::NoSpace => {
            tracing::warn!(%error, "layers go as they are: there is no room to compress them");
            Ok(None)
        }
        packed => packed.map(Some),
    }
}

/// The manifest of an image that is to be packed, and where in it the plain layers are that nobody else knows by their digests.
fn packable(store: &Store, target: &Descriptor) -> Result<Option<(ImageManifest, Vec<usize>)>> {
    if store.is_writable() { unpublished(store, target) } else { Ok(None) }
}

/// Whether that is so wherever the image is pushed from, so that its archive has to say it.
///
/// # Errors
/// Those of the store.
pub(crate) fn is_unpublished(store: &Store, target: &Descriptor) -> Result<bool> {
    unpublished(store, target).map(|found| found.is_some())
}

fn unpublished(store: &Store, target: &Descriptor) -> Result<Option<(ImageManifest, Vec<usize>)>> {
    if target.media_type.is_index() || !store.is_made_here(&target.digest) {
        return Ok(None);
    }
    let document = store.document(&target.digest)?;
    let Some(manifest) = document.document().as_manifest().filter(|manifest| manifest.is_image()) else {
        return Ok(None);
    };
    let image = store.image(&store.find_target(&target.digest)?.image_id)?;
    if image.repo_digests.iter().any(|(_, digest)| *digest == target.digest) {
        return Ok(None);
    }
    let mut plain = Vec::new();
    for (position, layer) in manifest.layers.iter().enumerate() {
        let is_plain = layer.media_type.compression() == Some(Compression::None) && !layer.media_type.is_foreign();
        if is_plain && store.homes(&layer.digest)?.is_empty() {
            plain.push(position);
        }
    }
    Ok((!plain.is_empty()).then(|| (manifest.clone(), plain)))
}

async fn pack(
    context: &Context,
    session: Session,
    target: &Descriptor,
    mut manifest: ImageManifest,
    plain: &[usize],
    observer: &dyn Observer,
) -> Result<Packed> {
    let store = context.store()?;
    let config = store.config(&store.find_target(&target.digest)?.image_id)?;
    let chain_ids = chain_ids(&config.rootfs.diff_ids);
    let mut forms: HashMap<Digest, Descriptor> = HashMap::new();
    for (position, (layer, chain_id)) in manifest.layers.iter_mut().zip(&chain_ids).enumerate() {
        if !plain.contains(&position) {
            continue;
        }
        if !forms.contains_key(&layer.digest) {
            let made = compressed(context, &session, layer, chain_id, observer).await;
            forms.insert(layer.digest.clone(), made.map_err(|error| about(&layer.digest, error))?);
        }
        if let Some(form) = forms.get(&layer.digest) {
            *layer = form.clone();
        }
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
    let names = forms.into_iter().map(|(before, form)| (form.digest.to_string(), before)).collect();
    Ok(Packed { target: packed, names })
}

/// A plain layer with gzip: as another image here has it, else compressed now.
async fn compressed(
    context: &Context,
    session: &Session,
    layer: &Descriptor,
    chain_id: &Digest,
    observer: &dyn Observer,
) -> Result<Descriptor> {
    let store = session.store();
    if let Some(known) = store.gzipped(chain_id)? {
        let known = gzipped(layer, known.digest, known.size);
        // Offered to the store it is pinned.
        if let Begin::Present = session.ingest(&known, &Silent).await? {
            return Ok(known);
        }
    }
    let (made, blob) = recompressed(context, store, layer, Recompression::Gzip, observer).await?;
    put(session, &made, Content::Local(&blob)).await?;
    Ok(made)
}

/// Tells of layers by the digests that they had before they were packed.
pub(crate) struct AsBefore<'a> {
    pub(crate) packed: &'a Packed,
    pub(crate) observer: &'a dyn Observer,
}

impl Observer for AsBefore<'_> {
    fn event(&self, event: Event<'_>) {
        self.observer.event(event.renamed(|digest| self.packed.names.get(digest).map_or(digest, Digest::as_str)));
    }
}
