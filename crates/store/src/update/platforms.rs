//! Single platforms of what is kept.

use dhow_base::Result;
use dhow_spec::{Digest, Platform};

use super::{Update, delete};
use crate::find;

impl Update<'_> {
    /// The platforms of a kept manifest or index that are here, each with its image, in the order they came.
    ///
    /// # Errors
    /// Those of the database.
    pub fn platforms_of(&self, target: &Digest) -> Result<Vec<(Platform, Digest)>> {
        let members = self.run(|transaction| find::members(transaction, target))?;
        Ok(members.into_iter().map(|member| (member.platform, member.image_id)).collect())
    }

    /// Takes an image out of every index that has another image too. Manifests and indexes of which it is the only image
    /// keep it.
    ///
    /// # Errors
    /// Those of the database.
    pub fn leave_out(&mut self, image_id: &Digest) -> Result<()> {
        self.run(|transaction| {
            let sql = "SELECT DISTINCT target, image FROM target_member AS mine \
                       WHERE image = (SELECT number FROM image WHERE id = ?1) AND EXISTS (SELECT 1 FROM target_member \
                       AS other WHERE other.target = mine.target AND other.image <> mine.image)";
            let mut select = transaction.prepare_cached(sql)?;
            let rows = select.query_map([image_id.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))?;
            let pairs: Vec<(i64, i64)> = rows.collect::<Result<_, rusqlite::Error>>()?;
            for (target, image) in pairs {
                delete::leave_out(transaction, target, image)?;
            }
            Ok(())
        })
    }
}
