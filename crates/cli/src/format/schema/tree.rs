//! An image by its layers.

use dhow_ops::tree;
use dhow_spec::Digest;
use serde::Serialize;

/// `image tree`
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Tree<'a> {
    image_id: &'a Digest,
    references: &'a [String],
    size_bytes: u64,
    layers: Vec<Layer<'a>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Layer<'a> {
    chain_id: &'a Digest,
    parent: Option<&'a Digest>,
    size_bytes: u64,
    top_layer_of: &'a [String],
}

impl<'a> From<&'a tree::Tree> for Tree<'a> {
    fn from(tree: &'a tree::Tree) -> Self {
        let layer = |layer: &'a tree::Layer| Layer {
            chain_id: &layer.chain_id,
            parent: layer.parent.as_ref(),
            size_bytes: layer.size,
            top_layer_of: &layer.top_of,
        };
        Self {
            image_id: &tree.id,
            references: &tree.names,
            size_bytes: tree.size,
            layers: tree.layers.iter().map(layer).collect(),
        }
    }
}
