//! The labels of many images at once. They stand in the configs; what was read there once is kept in `facts/`, because ten
//! thousand small files take a hundred times as long to read as one table.

use std::collections::{BTreeMap, HashMap};

use dhow_base::Result;
use dhow_spec::Digest;

use crate::db::Durability;
use crate::find::{digest_at, text_at};
use crate::store::Store;

/// Names and values, sorted.
pub type Labels = BTreeMap<String, String>;

/// Rows of images that are gone are dropped when there are this many times as many rows as images.
const ROWS_PER_IMAGE_MAX: usize = 2;

/// What a small cache may hold of images that are gone.
const ROWS_MIN: usize = 1000;

impl Store {
    /// The labels of images. One whose config cannot be read is left out: nothing is known of its labels.
    ///
    /// # Errors
    /// Those of the database `meta.db`.
    pub fn labels<'i>(&self, ids: impl IntoIterator<Item = &'i Digest>) -> Result<HashMap<Digest, Labels>> {
        let mut kept = self.kept_labels();
        let rows = kept.len();
        let mut labels = HashMap::new();
        let mut learnt = Vec::new();
        for id in ids {
            if let Some(known) = kept.remove(id) {
                labels.insert(id.clone(), known);
                continue;
            }
            match self.config(id) {
                Ok(config) => {
                    let found = config.config.and_then(|config| config.labels).unwrap_or_default();
                    learnt.push((id.clone(), found.clone()));
                    labels.insert(id.clone(), found);
                }
                Err(error) => tracing::warn!(%id, %error, "the labels of an image are not known"),
            }
        }
        let is_littered = rows > ROWS_MIN && kept.len() * ROWS_PER_IMAGE_MAX > rows;
        if !learnt.is_empty() && self.is_writable() {
            let gone = if is_littered { self.gone(kept.keys())? } else { Vec::new() };
            self.keep_labels(&learnt, &gone);
        }
        Ok(labels)
    }

    /// What was kept. A cache that cannot be read holds nothing.
    fn kept_labels(&self) -> HashMap<Digest, Labels> {
        let cache = &self.inner.labels;
        if !cache.path().exists() {
            return HashMap::new();
        }
        let kept = cache.with(|database| {
            database.read(|connection| {
                let mut select = connection.prepare_cached("SELECT image_id, labels FROM image_labels")?;
                let mut rows = select.query([])?;
                let mut kept = HashMap::new();
                while let Some(row) = rows.next()? {
                    if let Ok(labels) = serde_json::from_str(text_at(row, 1)?) {
                        kept.insert(digest_at(row, 0)?, labels);
                    }
                }
                Ok(kept)
            })
        });
        kept.unwrap_or_else(|error| {
            tracing::debug!(%error, "cannot read the labels that were kept");
            HashMap::new()
        })
    }

    fn gone<'i>(&self, ids: impl Iterator<Item = &'i Digest>) -> Result<Vec<Digest>> {
        self.read_rows(|connection| {
            let mut select = connection.prepare_cached("SELECT EXISTS (SELECT 1 FROM image WHERE id = ?1)")?;
            let mut gone = Vec::new();
            for id in ids {
                if !select.query_row([id.as_str()], |row| row.get::<_, bool>(0))? {
                    gone.push(id.clone());
                }
            }
            Ok(gone)
        })
    }

    /// Keeps what was read. Failing to is no failure of the operation.
    fn keep_labels(&self, learnt: &[(Digest, Labels)], gone: &[Digest]) {
        let kept = self.inner.labels.with(|database| {
            database.write(Durability::Process, |transaction| {
                let mut delete = transaction.prepare_cached("DELETE FROM image_labels WHERE image_id = ?1")?;
                for id in gone {
                    delete.execute([id.as_str()])?;
                }
                let sql = "INSERT OR REPLACE INTO image_labels VALUES (?1, ?2)";
                let mut insert = transaction.prepare_cached(sql)?;
                for (id, labels) in learnt {
                    if let Ok(text) = serde_json::to_string(labels) {
                        insert.execute((id.as_str(), text))?;
                    }
                }
                Ok(())
            })
        });
        if let Err(error) = kept {
            tracing::debug!(%error, "cannot keep labels");
        }
    }
}
