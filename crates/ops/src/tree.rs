//! `image tree`: the layers of an image, and which images end with each.

use std::collections::HashMap;

use dhow_base::Result;
use dhow_spec::Digest;

use crate::content_error::explain;
use crate::context::Context;

/// An image by its layers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    /// The image's ID.
    pub id: Digest,
    /// Its full names with tags.
    pub names: Vec<String>,
    /// Bytes of its layers, uncompressed.
    pub size: u64,
    /// Its layers, lowest first.
    pub layers: Vec<Layer>,
}

/// One layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// Its chain ID.
    pub chain_id: Digest,
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
    let store = context.store()?;
    let id = store.find(name)?.image_id;
    let size = store.measure(&id).map_err(|error| explain(name, error))?;
    let image = store.image(&id)?;
    let full = |image: &dhow_store::Image| image.references.iter().map(ToString::to_string).collect::<Vec<_>>();
    let mut names_by_top: HashMap<Digest, Vec<String>> = HashMap::new();
    let names: HashMap<Digest, Vec<String>> =
        store.images()?.iter().map(|image| (image.id.clone(), full(image))).collect();
    for layers in store.layer_uses()? {
        if let (Some((top, _)), Some(names)) = (layers.layers.last(), names.get(&layers.image_id)) {
            names_by_top.entry(top.clone()).or_default().extend(names.iter().cloned());
        }
    }
    let layers = store.layers(&id).map_err(|error| explain(name, error))?.into_iter().map(|layer| {
        let mut top_of = names_by_top.remove(&layer.chain_id).unwrap_or_default();
        top_of.sort();
        Layer { chain_id: layer.chain_id, size: layer.size.unwrap_or(0), top_of }
    });
    Ok(Tree { layers: layers.collect(), names: full(&image), size, id })
}
