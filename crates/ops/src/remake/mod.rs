//! Images made of others without running anything: what `mutate`, `append`, `flatten` and `rebase` have in common.
//!
//! What a verb does not touch keeps its bytes: a document that says the same as before is the same document.

mod json;
mod layer;
mod place;

use std::collections::{BTreeSet, HashMap, HashSet};

use dhow_base::progress::Silent;
use dhow_base::{Error, Kind, Result, limits};
use dhow_content::{CopyOptions, LocalBlob, VerifiedDocument, documents_below, read_small, verify_document};
use dhow_spec::{
    Descriptor, Digest, Document, ImageConfig, ImageIndex, ImageManifest, MediaType, Reference, Repository,
};

use crate::context::Context;
use crate::made;
use crate::select::Platforms;
use crate::transport::choose::choose;
use crate::transport::{Joined, Location, Opened, Overlay, open};

pub(crate) use json::history as history_as_json;
pub use layer::LayerFile;
use layer::new_layer;
pub(crate) use layer::{NewLayer, flat_layer, written as written_layer};
pub(crate) use place::{Destination, deliver};

/// Go's zero time, which crane writes for what it has no time for.
pub(crate) const NO_TIME: &str = "0001-01-01T00:00:00Z";

/// What the verbs have in common.
#[derive(Clone, Debug)]
pub struct Common {
    /// The image; nothing means an empty one, where a verb can begin with that.
    pub image: Option<Location>,
    /// Which platforms of an index.
    pub platforms: Platforms,
    /// Where the result goes; by default it takes the name of the image.
    pub target: Option<Location>,
    /// The repository of a registry that it goes to instead, by its digest alone.
    pub repository: Option<Repository>,
    /// The time that the result was made at, in RFC 3339 (`SOURCE_DATE_EPOCH`); by default that of the image.
    pub created: Option<String>,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Remade {
    /// What the image was.
    pub from: Option<Digest>,
    /// What it is now.
    pub digest: Digest,
    /// Its media type.
    pub media_type: MediaType,
    /// The name that it has now, if it has one with a repository.
    pub reference: Option<Reference>,
    /// What the user should know: that something was left out.
    pub note: Option<String>,
}

/// One manifest of an image, and its config.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    pub(crate) digest: Digest,
    pub(crate) manifest: ImageManifest,
    pub(crate) config: ImageConfig,
}

/// What is done to each manifest.
pub(crate) trait Change {
    /// Changes an image.
    async fn apply(&mut self, shop: &mut Shop<'_>, image: &mut Image) -> Result<()>;
}

/// Where images are changed: what they are made of, and what was made.
#[derive(Debug)]
pub(crate) struct Shop<'a> {
    pub(crate) context: &'a Context,
    pub(crate) source: Joined<'a>,
    pub(crate) blobs: HashMap<Digest, LocalBlob>,
    /// See [`Common::created`].
    pub(crate) created: Option<String>,
    /// Layers of files, which are made once for all platforms: a pipe is read once.
    new_layers: Vec<NewLayer>,
}

impl<'a> Shop<'a> {
    /// A shop in which nothing was made yet.
    pub(crate) fn new(context: &'a Context, source: Joined<'a>, common: &Common) -> Self {
        Self { context, source, blobs: HashMap::new(), created: common.created.clone(), new_layers: Vec::new() }
    }

    /// The layers that files become, for an image of this family of media types.
    ///
    /// # Errors
    /// Those of [`new_layer`].
    pub(crate) fn layers_of(&mut self, files: &[LayerFile], is_oci: bool) -> Result<Vec<NewLayer>> {
        if self.new_layers.is_empty() {
            let directory = self.context.store()?.spool_dir()?;
            self.new_layers = files.iter().map(|file| new_layer(file, &directory)).collect::<Result<_>>()?;
        }
        Ok(self.new_layers.iter().cloned().map(|layer| layer.in_family(is_oci)).collect())
    }

    /// Adds a layer to an image, with a step in its history.
    pub(crate) fn put_layer(&mut self, image: &mut Image, layer: NewLayer, mut step: dhow_spec::config::History) {
        let created = self.created.clone().or_else(|| image.config.created.clone());
        step.created = Some(created.unwrap_or_else(|| NO_TIME.to_owned()));
        image.config.history.push(step);
        image.config.rootfs.diff_ids.push(layer.diff_id);
        self.blobs.insert(layer.descriptor.digest.clone(), layer.blob);
        image.manifest.layers.push(layer.descriptor);
    }
}

/// An image that was opened, and what of it is to be changed.
pub(crate) struct Chosen {
    pub(crate) opened: Opened,
    pub(crate) root: VerifiedDocument,
    /// Documents that were made in choosing.
    made: Vec<VerifiedDocument>,
    note: Option<String>,
}

/// Finds the image and what of it is meant.
///
/// # Errors
/// Those of the place; [`Kind::Invalid`] when an index would lose its name to one of its platforms.
pub(crate) async fn choose_image(context: &Context, location: &Location, common: &Common) -> Result<Chosen> {
    let opened = open(context, location).await?;
    let chosen = choose(&opened, &common.platforms, &location.to_string()).await;
    let chosen = chosen.map_err(|error| opened.explain(error))?;
    let is_narrower = chosen.root.descriptor().digest != opened.root.descriptor().digest;
    let takes_name = common.target.is_none() && common.repository.is_none();
    if is_narrower && takes_name && common.platforms != Platforms::All {
        let message = format!("{location} is an index of several platforms, which its name would no longer stand for");
        let hint = "--all-platforms changes all of them; --tag gives what comes of one another name";
        return Err(Error::new(Kind::Invalid, message).with_hint(hint));
    }
    Ok(Chosen { opened, root: chosen.root, made: chosen.made, note: chosen.note })
}

/// Changes an image and puts what comes of it where it goes.
///
/// # Errors
/// Those of both places and of the change. Nothing has a new name then.
pub(crate) async fn remake(context: &Context, common: &Common, change: &mut impl Change) -> Result<Remade> {
    let location = common.image.as_ref().ok_or_else(|| Error::new(Kind::Internal, "there is no image to change"))?;
    let chosen = choose_image(context, location, common).await?;
    let shop = Shop::new(context, Joined::of(&chosen.opened.source), common);
    let changed = change_all(shop, &chosen, change).await;
    let (shop, documents, note) = changed.map_err(|error| chosen.opened.explain(error))?;
    let note = chosen.note.clone().into_iter().chain(note).reduce(|first, second| format!("{first}\n{second}"));
    let destination = Destination::of(context, location, common)?;
    let from = Some(chosen.root.descriptor().digest.clone());
    finish(&shop, documents, destination, from, note).await.map_err(|error| chosen.opened.explain(error))
}

/// Delivers documents that were made, the root last.
///
/// # Errors
/// Those of the place.
pub(crate) async fn finish(
    shop: &Shop<'_>,
    documents: Vec<VerifiedDocument>,
    destination: Destination,
    from: Option<Digest>,
    note: Option<String>,
) -> Result<Remade> {
    let root = documents.last().ok_or_else(|| Error::new(Kind::Internal, "nothing came of a change"))?.clone();
    let reference = destination.reference(&root.descriptor().digest);
    deliver(shop, &documents, destination).await?;
    let Descriptor { digest, media_type, .. } = root.descriptor().clone();
    Ok(Remade { from, digest, media_type, reference, note })
}

/// Changes every image below the root; children come before parents.
async fn change_all<'a>(
    mut shop: Shop<'a>,
    chosen: &Chosen,
    change: &mut impl Change,
) -> Result<(Shop<'a>, Vec<VerifiedDocument>, Option<String>)> {
    let at_hand: Vec<VerifiedDocument> = chosen.made.iter().chain([&chosen.root]).cloned().collect();
    let source = Overlay { source: &chosen.opened.source, documents: &at_hand, blobs: &HashMap::new() };
    let documents = documents_below(&source, chosen.root.descriptor(), &CopyOptions::new(&Silent)).await?;
    let indexes = documents.iter().filter_map(|document| document.document().as_index());
    let members = indexes.flat_map(|index| &index.manifests);
    // What is attested is the image as it was.
    let attestations: HashSet<Digest> =
        members.filter(|member| member.is_attestation()).map(|member| member.digest.clone()).collect();
    let mut new: HashMap<Digest, Descriptor> = HashMap::new();
    let mut left_out = BTreeSet::new();
    let mut made = Vec::with_capacity(documents.len());
    for document in &documents {
        let digest = &document.descriptor().digest;
        if attestations.contains(digest) {
            left_out.insert(digest.clone());
            continue;
        }
        let changed = match (document.document().as_manifest(), document.document().as_index()) {
            // An artifact beside the images of an index is nobody's business here.
            (Some(manifest), _) if !manifest.is_image() && digest != &chosen.root.descriptor().digest => {
                document.clone()
            }
            (Some(manifest), _) => of_manifest(&mut shop, document, manifest, change).await?,
            (None, Some(index)) => of_index(document, index, &new, &attestations)?,
            (None, None) => continue,
        };
        new.insert(digest.clone(), changed.descriptor().clone());
        made.push(changed);
    }
    let note = (!left_out.is_empty())
        .then(|| format!("Left out, since they are about the image as it was: {} attestations", left_out.len()));
    Ok((shop, made, note))
}

async fn of_manifest(
    shop: &mut Shop<'_>,
    document: &VerifiedDocument,
    manifest: &ImageManifest,
    change: &mut impl Change,
) -> Result<VerifiedDocument> {
    let before = read_image(&shop.source, document, manifest).await?;
    let mut image = before.clone();
    change.apply(shop, &mut image).await?;
    if image.config == before.config && image.manifest == before.manifest {
        return Ok(document.clone());
    }
    if let Some(created) = &shop.created {
        image.config.created = Some(created.clone());
    }
    if image.config != before.config {
        put_config(shop, &mut image)?;
    }
    written_manifest(&image.manifest)
}

/// Reads a manifest's config.
///
/// # Errors
/// [`Kind::Unsupported`] for an artifact; those of the source.
pub(crate) async fn read_image(
    source: &Joined<'_>,
    document: &VerifiedDocument,
    manifest: &ImageManifest,
) -> Result<Image> {
    let digest = document.descriptor().digest.clone();
    if !manifest.is_image() {
        let kind = manifest.artifact_type.as_deref().unwrap_or(manifest.config.media_type.as_str());
        let message = format!("{digest} is no image but an artifact ({kind})");
        return Err(Error::new(Kind::Unsupported, message));
    }
    let bytes = read_small(source, &manifest.config, limits::CONFIG_BYTES_MAX).await?;
    let config = ImageConfig::parse(&bytes).map_err(|error| Error::from(error).context(&digest))?;
    if config.rootfs.diff_ids.len() != manifest.layers.len() {
        let (layers, diff_ids) = (manifest.layers.len(), config.rootfs.diff_ids.len());
        let message = format!("{digest} has {layers} layers, but its config knows {diff_ids}");
        return Err(Error::new(Kind::Corrupt, message));
    }
    Ok(Image { digest, manifest: manifest.clone(), config })
}

/// Writes the config of an image.
///
/// # Errors
/// [`Kind::Invalid`] when it can be none any more; those of temporary files.
pub(crate) fn put_config(shop: &mut Shop<'_>, image: &mut Image) -> Result<()> {
    let bytes = json::config(&image.config)?;
    ImageConfig::parse(&bytes).map_err(|error| Error::new(Kind::Invalid, error.to_string()))?;
    let digest = Digest::sha256(&bytes);
    let blob = made::keep(&bytes, &shop.context.store()?.spool_dir()?)?;
    let config = &mut image.manifest.config;
    (config.digest, config.size, config.data) = (digest.clone(), bytes.len() as u64, None);
    shop.blobs.insert(digest, blob);
    Ok(())
}

/// Writes a manifest.
///
/// # Errors
/// [`Kind::Invalid`] when it can be none.
pub(crate) fn written_manifest(manifest: &ImageManifest) -> Result<VerifiedDocument> {
    written(json::document(manifest)?, &manifest.media_type)
}

fn written(bytes: Vec<u8>, media_type: &MediaType) -> Result<VerifiedDocument> {
    let document = Document::parse(bytes, media_type).map_err(|error| Error::new(Kind::Invalid, error.to_string()))?;
    verify_document(document.bytes().to_vec(), &document.descriptor())
}

fn of_index(
    document: &VerifiedDocument,
    index: &ImageIndex,
    new: &HashMap<Digest, Descriptor>,
    left_out: &HashSet<Digest>,
) -> Result<VerifiedDocument> {
    let mut changed = index.clone();
    changed.manifests.retain(|member| !left_out.contains(&member.digest));
    for member in &mut changed.manifests {
        if let Some(found) = new.get(&member.digest)
            && found.digest != member.digest
        {
            (member.digest, member.size, member.data) = (found.digest.clone(), found.size, None);
            member.media_type = found.media_type.clone();
        }
    }
    if changed == *index {
        return Ok(document.clone());
    }
    written(json::document(&changed)?, &changed.media_type)
}
