//! `flatten`: an image with one layer, which has what all its layers show together.

use dhow_base::{Error, Kind, Result};
use dhow_spec::MediaType;
use dhow_spec::config::History;

use crate::context::Context;
use crate::made::at_hand;
use crate::remake::{Change, Common, Image, Remade, Shop, flat_layer, history_as_json, remake};

/// Flattens an image, all chosen platforms alike. What it said of its history becomes the comment of the one step.
///
/// # Errors
/// Those of the places; [`Kind::Corrupt`] for layers that are no tars.
pub async fn flatten(context: &Context, common: &Common) -> Result<Remade> {
    remake(context, common, &mut Flattening).await
}

struct Flattening;

impl Change for Flattening {
    async fn apply(&mut self, shop: &mut Shop<'_>, image: &mut Image) -> Result<()> {
        let directory = shop.context.store()?.spool_dir()?;
        let mut layers = Vec::with_capacity(image.manifest.layers.len());
        for layer in std::mem::take(&mut image.manifest.layers) {
            let blob = at_hand(&shop.source, &layer, &directory).await?;
            layers.push((layer, blob));
        }
        let is_oci = image.manifest.media_type == MediaType::OciManifest;
        let task = tokio::task::spawn_blocking(move || flat_layer(layers, is_oci, &directory));
        let flat = task.await.map_err(|error| Error::new(Kind::Internal, format!("flattening failed: {error}")))?;
        let flat = flat.map_err(|error| error.context(format_args!("cannot flatten {}", image.digest)))?;
        let comment = history_as_json(&std::mem::take(&mut image.config.history))?;
        image.config.rootfs.diff_ids.clear();
        let created_by = Some(format!("dhow flatten {}", image.digest));
        shop.put_layer(image, flat, History { created_by, comment: Some(comment), ..History::default() });
        Ok(())
    }
}
