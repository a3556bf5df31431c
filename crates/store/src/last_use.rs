//! When an image was last used: a database of its own, so that noting it never waits for a disk.

use std::collections::HashMap;

use dhow_base::Result;
use dhow_spec::Digest;
use rusqlite::OptionalExtension;

use crate::db::Durability;
use crate::find::digest_at;
use crate::store::{Store, now};

/// A use this soon after the one noted is not noted, in nanoseconds: ages are asked for in hours and days, and every row
/// written makes the log longer that the next process reads.
const EXACTNESS_NS: i64 = 60_000_000_000;

impl Store {
    /// Opens `use.db` for a [`touch`](Self::touch) that will follow: opening takes as long as the answer of a near registry.
    pub fn expect_touch(&self) {
        if self.is_writable() {
            // Whatever fails here fails again where it matters, and is reported there.
            drop(self.inner.last_use.with(|_| Ok(())));
        }
    }

    /// Notes that images were used now, to the minute. A read-only store notes nothing.
    ///
    /// # Errors
    /// Those of the database `use.db`.
    pub fn touch<'a>(&self, image_ids: impl IntoIterator<Item = &'a Digest>) -> Result<()> {
        self.note_use(Durability::Process, image_ids)
    }

    /// As [`touch`](Self::touch), for a command that only reads: nothing waits for a disk until the log of `use.db` has
    /// 1 MiB, which is after a few hundred of them.
    ///
    /// # Errors
    /// As there.
    pub fn touch_in_passing<'a>(&self, image_ids: impl IntoIterator<Item = &'a Digest>) -> Result<()> {
        self.note_use(Durability::InPassing, image_ids)
    }

    fn note_use<'a>(&self, durability: Durability, image_ids: impl IntoIterator<Item = &'a Digest>) -> Result<()> {
        let image_ids: Vec<&Digest> = image_ids.into_iter().collect();
        if !self.is_writable() || image_ids.is_empty() {
            return Ok(());
        }
        let now = now();
        self.inner.last_use.with(|database| {
            let noted = database.read(|connection| {
                let sql = "SELECT EXISTS (SELECT 1 FROM image_use WHERE image_id = ?1 AND ?2 - used BETWEEN 0 AND ?3)";
                let mut select = connection.prepare_cached(sql)?;
                for image_id in &image_ids {
                    if !select.query_row((image_id.as_str(), now, EXACTNESS_NS), |row| row.get::<_, bool>(0))? {
                        return Ok(false);
                    }
                }
                Ok(true)
            })?;
            if noted {
                // Whoever reads many times over need not wait for others who write.
                return Ok(());
            }
            let write = |transaction: &rusqlite::Transaction<'_>| {
                let sql = "INSERT INTO image_use VALUES (?1, ?2) ON CONFLICT DO UPDATE SET used = excluded.used
                           WHERE excluded.used - used NOT BETWEEN 0 AND ?3";
                let mut insert = transaction.prepare_cached(sql)?;
                for image_id in &image_ids {
                    insert.execute((image_id.as_str(), now, EXACTNESS_NS))?;
                }
                Ok(())
            };
            database.write(durability, write).map(|_| ())
        })
    }

    /// When an image was last used, in nanoseconds since 1970; `None` if that was never noted.
    ///
    /// # Errors
    /// Those of the database `use.db`.
    pub fn last_use(&self, image_id: &Digest) -> Result<Option<i64>> {
        if !self.paths().last_use().exists() {
            return Ok(None);
        }
        self.inner.last_use.with(|database| {
            database.read(|connection| {
                let sql = "SELECT used FROM image_use WHERE image_id = ?1";
                Ok(connection.prepare_cached(sql)?.query_row([image_id.as_str()], |row| row.get(0)).optional()?)
            })
        })
    }

    /// When images were last used, in nanoseconds since 1970, as far as that was noted.
    ///
    /// # Errors
    /// Those of the database `use.db`.
    pub fn last_uses(&self) -> Result<HashMap<Digest, i64>> {
        if !self.paths().last_use().exists() {
            return Ok(HashMap::new());
        }
        self.inner.last_use.with(|database| {
            database.read(|connection| {
                let mut select = connection.prepare_cached("SELECT image_id, used FROM image_use")?;
                let mut rows = select.query([])?;
                let mut uses = HashMap::new();
                while let Some(row) = rows.next()? {
                    uses.insert(digest_at(row, 0)?, row.get(1)?);
                }
                Ok(uses)
            })
        })
    }
}
