//! Sizes that were not worked out when an image came.

use dhow_base::Result;
use dhow_spec::Digest;

use crate::store::{Store, to_row};

impl Store {
    /// Bytes of an image's layers, uncompressed. Layers whose size is not known are inflated once; what comes out is kept.
    ///
    /// # Errors
    /// [`NotFound`](dhow_base::Kind::NotFound) when the image or one of its layers is not here,
    /// [`Corrupt`](dhow_base::Kind::Corrupt) when a layer cannot be inflated or is not what the config says.
    pub fn measure(&self, image_id: &Digest) -> Result<u64> {
        if let Some(size) = self.image(image_id)?.size {
            return Ok(size);
        }
        let layers = self.layers(image_id)?;
        let mut sizes = Vec::with_capacity(layers.len());
        for layer in &layers {
            let size = match (layer.size, self.facts(&layer.blob.digest)) {
                (Some(size), _) => size,
                (None, Some(facts)) if facts.diff_id == layer.diff_id => facts.size,
                _ if layer.blob.media_type.is_foreign() && !self.holds_blob(&layer.blob)? => 0,
                _ => {
                    let facts = self.work_out(&layer.blob)?;
                    self.require_agreement(&layer.blob, &facts, &layer.diff_id)?;
                    facts.size
                }
            };
            sizes.push(size);
        }
        let total = sizes.iter().sum();
        if self.is_writable() {
            self.write_rows(|transaction| {
                let sql = "UPDATE image_layer SET size = ?3 \
                           WHERE image = (SELECT number FROM image WHERE id = ?1) AND position = ?2";
                let mut update = transaction.prepare_cached(sql)?;
                for (position, size) in (0_i64..).zip(&sizes) {
                    update.execute((image_id.as_str(), position, to_row(*size)))?;
                }
                let sql = "UPDATE image SET size = ?2 WHERE id = ?1";
                transaction.prepare_cached(sql)?.execute((image_id.as_str(), to_row(total)))?;
                Ok(())
            })?;
        }
        Ok(total)
    }
}
