//! Which repositories of registries have a blob: hints for mounting it instead of uploading it.

use dhow_base::{Kind, Result};
use dhow_spec::{Digest, Repository};
use rusqlite::Connection;

use crate::db::Step;
use crate::find::text_at;
use crate::store::Store;

impl Store {
    /// Remembers that a repository has blobs: it was pulled from there, or pushed to it. Only a hint, which is not kept where
    /// nothing can be written.
    ///
    /// # Errors
    /// Those of the database.
    pub fn record_homes(&self, repository: &Repository, digests: &[Digest]) -> Result<()> {
        if !self.is_writable() {
            return Ok(());
        }
        let name = repository.name();
        let recorded = self.write_rows(|transaction| {
            let sql = "INSERT OR IGNORE INTO blob_home (digest, repository) VALUES (?1, ?2)";
            let mut insert = transaction.prepare_cached(sql)?;
            for digest in digests {
                insert.execute((digest.as_str(), &name))?;
            }
            Ok(())
        });
        match recorded {
            Err(error) if error.kind() == Kind::NoSpace => {
                tracing::debug!(%error, repository = name, "what the repository has is not noted");
                Ok(())
            }
            recorded => recorded,
        }
    }

    /// The repositories that had a blob when it was last pulled or pushed, sorted. They may have lost it since.
    ///
    /// # Errors
    /// Those of the database.
    pub fn homes(&self, digest: &Digest) -> Result<Vec<Repository>> {
        self.read_rows(|connection| homes_of(connection, digest))
    }
}

pub(crate) fn homes_of(connection: &Connection, digest: &Digest) -> Step<Vec<Repository>> {
    let sql = "SELECT repository FROM blob_home WHERE digest = ?1 ORDER BY repository";
    let mut select = connection.prepare_cached(sql)?;
    let mut rows = select.query([digest.as_str()])?;
    let mut homes = Vec::new();
    while let Some(row) = rows.next()? {
        homes.push(Repository::parse(text_at(row, 0)?)?);
    }
    Ok(homes)
}
