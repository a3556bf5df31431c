//! `image tree`: the layers of an image, and which images end with each.

use std::collections::{BTreeMap, BTreeSet, HashMap};

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
    /// Bytes of its config and of its manifest twice, which podman counts too.
    pub documents: u64,
    /// Its layers, lowest first.
    pub layers: Vec<Layer>,
}

/// One layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// Its chain ID.
    pub chain_id: Digest,
    /// The ID that podman has for it.
    pub podman_id: Digest,
    /// Bytes, uncompressed.
    pub size: u64,
    /// Full names of the images whose top layer it is.
    pub top_of: Vec<String>,
}

/// A layer and those that were put on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Branch {
    /// The layer.
    pub layer: Layer,
    /// What lies on it, by chain ID.
    pub above: Vec<Branch>,
}

/// The top layer of an image with everything that lies on it in other images; none when it has no layers.
///
/// # Errors
/// As [`tree`].
pub fn whatrequires(context: &Context, name: &str) -> Result<Option<Branch>> {
    let store = context.store()?;
    let id = context.find(name)?.image_id;
    let Some(top) = store.layers(&id)?.pop() else { return Ok(None) };
    let names: HashMap<Digest, Vec<String>> = store
        .images()?
        .iter()
        .map(|image| (image.id.clone(), image.references.iter().map(ToString::to_string).collect()))
        .collect();
    let mut known: BTreeMap<Digest, Known> = BTreeMap::new();
    for layers in store.layer_uses()? {
        if !layers.layers.iter().any(|(chain, _)| *chain == top.chain_id) {
            continue;
        }
        let podman_ids = podman_ids(&store.config(&layers.image_id)?.rootfs.diff_ids);
        for ((chain, _), podman_id) in layers.layers.iter().zip(podman_ids) {
            known.entry(chain.clone()).or_default().podman_id = Some(podman_id);
        }
        for pair in layers.layers.windows(2) {
            if let [(lower, _), (upper, _)] = pair {
                known.entry(lower.clone()).or_default().above.insert(upper.clone());
            }
        }
        for (chain, size) in &layers.layers {
            known.entry(chain.clone()).or_default().size = *size;
        }
        if let (Some((chain, _)), Some(names)) = (layers.layers.last(), names.get(&layers.image_id)) {
            known.entry(chain.clone()).or_default().top_of.extend(names.iter().cloned());
        }
    }
    Ok(Some(branch(&known, top.chain_id, 0)))
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

/// A layer among all.
#[derive(Debug, Default)]
struct Known {
    podman_id: Option<Digest>,
    size: u64,
    above: BTreeSet<Digest>,
    top_of: BTreeSet<String>,
}

/// How many layers are drawn one above the other: more than any builder makes.
const DEPTH_MAX: usize = 500;

/// A chain ID is made of those below it, so that no layer lies on itself.
fn branch(known: &BTreeMap<Digest, Known>, chain_id: Digest, depth: usize) -> Branch {
    let found = known.get(&chain_id).filter(|_| depth < DEPTH_MAX);
    let above = found.map(|found| found.above.iter().map(|upper| branch(known, upper.clone(), depth + 1)).collect());
    let top_of = found.map(|found| found.top_of.iter().cloned().collect()).unwrap_or_default();
    let podman_id = found.and_then(|found| found.podman_id.clone()).unwrap_or_else(|| chain_id.clone());
    let layer = Layer { size: found.map_or(0, |found| found.size), podman_id, top_of, chain_id };
    Branch { layer, above: above.unwrap_or_default() }
}

/// Looks an image up and draws its layers.
///
/// # Errors
/// Those of finding the image and of measuring layers that never were.
pub fn tree(context: &Context, name: &str) -> Result<Tree> {
    let store = context.store()?;
    let found = context.find(name)?;
    let documents = store.blob_size(&found.image_id)?.unwrap_or(0) + 2 * found.manifest.size;
    let id = found.image_id;
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
    let config = store.config(&id).map_err(|error| explain(name, error))?;
    let podman_ids = podman_ids(&config.rootfs.diff_ids);
    let layers = store.layers(&id).map_err(|error| explain(name, error))?.into_iter().zip(podman_ids).map(
        |(layer, podman_id)| {
            let mut top_of = names_by_top.remove(&layer.chain_id).unwrap_or_default();
            top_of.sort();
            Layer { chain_id: layer.chain_id, podman_id, size: layer.size.unwrap_or(0), top_of }
        },
    );
    Ok(Tree { layers: layers.collect(), names: full(&image), size, documents, id })
}
