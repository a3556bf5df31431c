//! `image tree`: the layers of an image, and which images end with each; or all that is built upon it.

use std::collections::HashMap;

use dhow_base::Result;
use dhow_spec::Digest;
use dhow_store::{Image, LayerUse, Store};

use crate::content_error::explain;
use crate::context::Context;
use crate::images;

/// An image by its layers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    /// The image's ID.
    pub id: Digest,
    /// Its full names with tags.
    pub names: Vec<String>,
    /// Bytes of its layers, uncompressed.
    pub size: u64,
    /// Bytes of its config and of its manifest twice, which podman counts too.
    pub documents: u64,
    /// Its layers, lowest first; or its top layer and all layers above it, each behind the one that it lies on.
    pub layers: Vec<Layer>,
}

/// One layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// Its chain ID.
    pub chain_id: Digest,
    /// The ID that podman has for it.
    pub podman_id: Digest,
    /// The chain ID of the layer that it lies on; none of the lowest.
    pub parent: Option<Digest>,
    /// Whether other layers lie on the same one.
    pub has_siblings: bool,
    /// Bytes, uncompressed.
    pub size: u64,
    /// Full names of the images whose top layer it is.
    pub top_of: Vec<String>,
}

/// Looks an image up and draws its layers.
///
/// # Errors
/// Those of finding the image and of measuring layers that never were.
pub fn tree(context: &Context, name: &str) -> Result<Tree> {
    draw(context, name, |_, chain_ids| chain_ids)
}

/// Looks an image up and draws what is built upon it: its top layer, and every layer of every image above that.
///
/// # Errors
/// As [`tree`].
pub fn required_by(context: &Context, name: &str) -> Result<Tree> {
    let store = context.store()?;
    for image in store.images()?.iter().filter(|image| image.size.is_none()) {
        images::measure(store, &image.id)?;
    }
    draw(context, name, |forest, mut chain_ids| {
        let mut drawn = Vec::new();
        // Images can have very many layers: no recursion.
        let mut next: Vec<Digest> = chain_ids.pop().into_iter().collect();
        while let Some(chain_id) = next.pop() {
            next.extend(forest.above.get(&Some(chain_id.clone())).into_iter().flatten().rev().cloned());
            drawn.push(chain_id);
        }
        drawn
    })
}

/// `choose` says which layers are drawn, from those of the image.
fn draw(context: &Context, name: &str, choose: impl FnOnce(&Forest, Vec<Digest>) -> Vec<Digest>) -> Result<Tree> {
    let store = context.store()?;
    let found = context.find(name)?;
    let documents = store.blob_size(&found.image_id)?.unwrap_or(0) + 2 * found.manifest.size;
    let id = found.image_id;
    let size = store.measure(&id).map_err(|error| explain(name, error))?;
    let own = store.layers(&id).map_err(|error| explain(name, error))?;
    let own: Vec<(Digest, u64)> = own.into_iter().map(|layer| (layer.chain_id, layer.size.unwrap_or(0))).collect();
    let forest = Forest::grow(store, &id, &own)?;
    let drawn = choose(&forest, own.into_iter().map(|(chain_id, _)| chain_id).collect());
    let mut podman_ids = HashMap::new();
    forest.name_layers(store, &id, &mut podman_ids).map_err(|error| explain(name, error))?;
    for chain_id in &drawn {
        if let Some(image_id) = forest.used_by.get(chain_id).filter(|_| !podman_ids.contains_key(chain_id)) {
            forest.name_layers(store, image_id, &mut podman_ids)?;
        }
    }
    let layers = drawn.into_iter().map(|chain_id| forest.layer(chain_id, &podman_ids)).collect();
    Ok(Tree { layers, names: full_names(&store.image(&id)?), size, documents, id })
}

fn full_names(image: &Image) -> Vec<String> {
    image.references.iter().map(ToString::to_string).collect()
}

/// The layers of all images, by what they lie on.
#[derive(Debug, Default)]
struct Forest {
    parents: HashMap<Digest, Option<Digest>>,
    /// By the layer below, in the order that the images came.
    above: HashMap<Option<Digest>, Vec<Digest>>,
    sizes: HashMap<Digest, u64>,
    top_of: HashMap<Digest, Vec<String>>,
    /// The first image that has a layer.
    used_by: HashMap<Digest, Digest>,
    /// The layers of each image, lowest first.
    layers_of: HashMap<Digest, Vec<Digest>>,
}

impl Forest {
    /// With the layers of `root` even if no list shows that image, which is then of another platform.
    fn grow(store: &Store, root: &Digest, own: &[(Digest, u64)]) -> Result<Self> {
        let images = store.images()?;
        let images: HashMap<&Digest, &Image> = images.iter().map(|image| (&image.id, image)).collect();
        let mut uses = store.layer_uses()?;
        if uses.iter().all(|layers| layers.image_id != *root) {
            uses.push(LayerUse { image_id: root.clone(), layers: own.to_vec() });
        }
        let added = |id: &Digest| images.get(id).map_or(i64::MAX, |image| image.added);
        uses.sort_by_key(|layers| (added(&layers.image_id), layers.image_id.clone()));
        let mut forest = Self::default();
        for LayerUse { image_id, layers } in uses {
            let mut below = None;
            for (chain_id, size) in &layers {
                if forest.parents.insert(chain_id.clone(), below.clone()).is_none() {
                    forest.above.entry(below).or_default().push(chain_id.clone());
                    forest.used_by.insert(chain_id.clone(), image_id.clone());
                }
                forest.sizes.insert(chain_id.clone(), *size);
                below = Some(chain_id.clone());
            }
            if let (Some(top), Some(image)) = (below, images.get(&image_id)) {
                forest.top_of.entry(top).or_default().extend(full_names(image));
            }
            forest.layers_of.insert(image_id, layers.into_iter().map(|(chain_id, _)| chain_id).collect());
        }
        forest.top_of.values_mut().for_each(|names| names.sort());
        Ok(forest)
    }

    /// Adds what podman calls the layers of an image, by chain ID.
    fn name_layers(&self, store: &Store, image_id: &Digest, names: &mut HashMap<Digest, Digest>) -> Result<()> {
        let podman_ids = podman_ids(&store.config(image_id)?.rootfs.diff_ids);
        names.extend(self.layers_of.get(image_id).into_iter().flatten().cloned().zip(podman_ids));
        Ok(())
    }

    fn layer(&self, chain_id: Digest, podman_ids: &HashMap<Digest, Digest>) -> Layer {
        let parent = self.parents.get(&chain_id).cloned().flatten();
        let siblings = self.above.get(&parent).map_or(0, Vec::len);
        Layer {
            podman_id: podman_ids.get(&chain_id).unwrap_or(&chain_id).clone(),
            has_siblings: parent.is_some() && siblings > 1,
            size: self.sizes.get(&chain_id).copied().unwrap_or(0),
            top_of: self.top_of.get(&chain_id).cloned().unwrap_or_default(),
            parent,
            chain_id,
        }
    }
}

/// What podman calls layers (containers/image `storage`): the lowest by its diff ID, each other by a digest of what is below
/// it and its own diff ID.
fn podman_ids(diff_ids: &[Digest]) -> Vec<Digest> {
    let mut ids: Vec<Digest> = Vec::with_capacity(diff_ids.len());
    for diff_id in diff_ids {
        let id = match ids.last() {
            Some(below) => Digest::sha256(format!("{}+{}", below.hex(), diff_id.hex()).as_bytes()),
            None => diff_id.clone(),
        };
        ids.push(id);
    }
    ids
}
