//! A list that was made from all names at once, kept until one of them changes.

use dhow_base::Result;
use dhow_base::fs::{self as durable, Durability};

use crate::store::Store;
use crate::view;

/// Longest list that is read, in bytes.
const ROWS_BYTES_MAX: u64 = 64 << 20;

/// What a list was made from: the names as they were at one moment, as one platform sees them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamesVersion(String);

impl Store {
    /// The present version of the names, and of the images and containers that lists tell of.
    ///
    /// Sizes that are [measured](Store::measure) later make no new version.
    ///
    /// # Errors
    /// Those of the database.
    pub fn names_version(&self) -> Result<NamesVersion> {
        let (generation, containers, newest) = self.read_rows(|connection| {
            let sql = "SELECT count(*), coalesce(max(created), 0) FROM container";
            let (count, newest) = connection
                .prepare_cached(sql)?
                .query_row([], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)))?;
            Ok((view::generation(connection)?, count, newest))
        })?;
        // Containers that only pass by count in no generation.
        Ok(NamesVersion(format!("{generation} {containers} {newest} {:?}", self.inner.shown)))
    }

    /// The list that was kept of these names, if it is still there. Whoever wrote it may have been stopped by a power cut: it
    /// can be any text.
    pub fn kept_rows(&self, version: &NamesVersion) -> Option<String> {
        let bytes = durable::read_limited(&self.paths().rows(), ROWS_BYTES_MAX).ok()?;
        let mut text = String::from_utf8(bytes).ok()?;
        let length = text.find('\n').filter(|&length| text[..length] == version.0)?;
        text.drain(..=length);
        Some(text)
    }

    /// Keeps a list in place of the one before. Take the version before the names are read: a list of newer names that is
    /// said to be of older ones is asked for by nobody.
    ///
    /// Only a cache: failing to is no failure of the operation.
    pub fn keep_rows(&self, version: &NamesVersion, rows: &str) {
        if !self.is_writable() {
            return;
        }
        let (path, text) = (self.paths().rows(), format!("{}\n{rows}", version.0));
        let kept = path.parent().map_or(Ok(()), durable::create_dir_all);
        let kept = kept.and_then(|()| durable::write_atomic(&path, text.as_bytes(), 0o600, Durability::Cached));
        if let Err(error) = kept {
            tracing::debug!(%error, "cannot keep a list");
        }
    }

    /// Removes the list: it is of names that are gone.
    pub(crate) fn forget_rows(&self) {
        if let Err(error) = durable::remove_file(&self.paths().rows()) {
            tracing::debug!(%error, "an old list stays");
        }
    }
}

#[cfg(test)]
mod tests {
    use dhow_spec::Platform;

    use super::*;
    use crate::OpenOptions;

    #[test]
    fn a_list_counts_until_a_name_changes() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("store");
        let options = OpenOptions { platform: Platform::new("linux", "amd64"), ..OpenOptions::default() };
        let store = Store::open(&root, &options).unwrap();
        let version = store.names_version().unwrap();
        assert_eq!(store.kept_rows(&version), None);
        store.keep_rows(&version, "a\nb\n");
        assert_eq!(store.kept_rows(&version).as_deref(), Some("a\nb\n"));
        let other = OpenOptions { platform: Platform::new("linux", "arm64"), ..OpenOptions::default() };
        let seen_by_another = Store::open(&root, &other).unwrap();
        assert_eq!(seen_by_another.kept_rows(&seen_by_another.names_version().unwrap()), None);

        let sql = "INSERT INTO volume VALUES ('v', 0, 0, '{}')";
        store.write_names(|transaction| Ok(transaction.execute(sql, [])?)).unwrap();
        let later = store.names_version().unwrap();
        assert_ne!(later, version);
        assert_eq!(store.kept_rows(&later), None);
        store.keep_rows(&later, "");
        assert_eq!(store.kept_rows(&later).as_deref(), Some(""));
        store.collect().unwrap();
        assert_eq!(store.kept_rows(&later), None);
    }

    #[test]
    fn a_container_that_only_passes_by_makes_a_version() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("store"), &OpenOptions::default()).unwrap();
        let mut versions = vec![store.names_version().unwrap()];
        for (created, state) in [(1_i64, "running"), (2, "exited")] {
            let sql =
                "INSERT INTO container (id, image_id, state, created, configuration) VALUES ('c', 'i', ?1, ?2, '{}')";
            store.write_rows(|transaction| Ok(transaction.execute(sql, (state, created))?)).unwrap();
            versions.push(store.names_version().unwrap());
            store.write_rows(|transaction| Ok(transaction.execute("DELETE FROM container", [])?)).unwrap();
            assert_eq!(store.names_version().unwrap(), versions[0]);
        }
        versions.dedup();
        assert_eq!(versions.len(), 3, "{versions:?}");
    }

    #[test]
    fn what_is_no_list_is_none() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("store"), &OpenOptions::default()).unwrap();
        let version = store.names_version().unwrap();
        store.keep_rows(&version, "");
        for bytes in [b"".as_slice(), b"\n", &[0; 4096], &[0xff; 9], version.0.as_bytes()] {
            durable::write_atomic(&store.paths().rows(), bytes, 0o600, Durability::Cached).unwrap();
            assert_eq!(store.kept_rows(&version), None);
        }
    }
}
