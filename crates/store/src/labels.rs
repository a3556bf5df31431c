//! The labels of many images at once. They stand in the configs; what was read there once is kept in `facts/`, because ten
//! thousand small files take a hundred times as long to read as one table.

use std::collections::{BTreeMap, HashMap};

use dhow_base::Result;
use dhow_spec::Digest;

use crate::db::Durability;
use crate::find::text_at;
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
        let ids: Vec<&Digest> = ids.into_iter().collect();
        let mut labels = HashMap::with_capacity(ids.len());
        self.see_labels(&ids, |place, found| {
            labels.insert(ids[place].clone(), found);
        })?;
        Ok(labels)
    }

    /// Shows the labels of images, with the image's place among `ids`, in any order. One whose config cannot be read is not
    /// shown: nothing is known of its labels. Of ten thousand images nothing is held but their places.
    ///
    /// # Errors
    /// Those of the database `meta.db`.
    pub fn see_labels(&self, ids: &[&Digest], mut see: impl FnMut(usize, Labels)) -> Result<()> {
        let mut wanted: Vec<usize> = (0..ids.len()).collect();
        wanted.sort_unstable_by_key(|&place| ids[place].as_str());
        let mut is_seen = vec![false; ids.len()];
        let (mut rows, mut others) = (0, Vec::new());
        self.see_kept(&mut |id, text| {
            rows += 1;
            let from = wanted.partition_point(|&place| ids[place].as_str() < id);
            let same: Vec<usize> =
                wanted[from..].iter().copied().take_while(|&place| ids[place].as_str() == id).collect();
            if same.is_empty() {
                others.extend(Digest::parse(id));
            }
            for place in same {
                // A row that cannot be read is learnt anew.
                if let Ok(labels) = serde_json::from_str(text) {
                    is_seen[place] = true;
                    see(place, labels);
                }
            }
        });
        let mut learnt = Vec::new();
        for (place, id) in ids.iter().enumerate().filter(|&(place, _)| !is_seen[place]) {
            match self.config(id) {
                Ok(config) => {
                    let found = config.config.and_then(|config| config.labels).unwrap_or_default();
                    learnt.push(((*id).clone(), found.clone()));
                    see(place, found);
                }
                Err(error) => tracing::warn!(%id, %error, "the labels of an image are not known"),
            }
        }
        let is_littered = rows > ROWS_MIN && others.len() * ROWS_PER_IMAGE_MAX > rows;
        if !learnt.is_empty() && self.is_writable() {
            let gone = if is_littered { self.gone(others.iter())? } else { Vec::new() };
            self.keep_labels(&learnt, &gone);
        }
        Ok(())
    }

    /// Shows what was kept: an image's ID and its labels as JSON. A cache that cannot be read holds nothing.
    fn see_kept(&self, see: &mut dyn FnMut(&str, &str)) {
        let cache = &self.inner.labels;
        if !cache.path().exists() {
            return;
        }
        let kept = cache.with(|database| {
            database.read(|connection| {
                let mut select = connection.prepare_cached("SELECT image_id, labels FROM image_labels")?;
                let mut rows = select.query([])?;
                while let Some(row) = rows.next()? {
                    see(text_at(row, 0)?, text_at(row, 1)?);
                }
                Ok(())
            })
        });
        if let Err(error) = kept {
            tracing::debug!(%error, "cannot read the labels that were kept");
        }
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
