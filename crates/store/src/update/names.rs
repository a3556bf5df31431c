//! An image's names, one question at a time: it may have thousands, and lose them one by one.

use dhow_base::Result;
use dhow_spec::{Digest, Reference, Repository, Tag};
use rusqlite::Transaction;

use super::Update;
use crate::db::Step;
use crate::find::text_at;
use crate::images;

/// The manifests and indexes that show an image, whose names are the image's. They stay the same until an image is
/// [deleted](Update::delete_image) or [left out](Update::leave_out).
#[derive(Clone, Debug)]
pub struct NamesOf {
    targets: Vec<Digest>,
}

impl Update<'_> {
    /// What is asked about the names of an image.
    ///
    /// # Errors
    /// Those of the database.
    pub fn names_of(&self, image_id: &Digest) -> Result<NamesOf> {
        let targets = self.run(|transaction| images::targets_showing(transaction, self.shown, image_id))?;
        Ok(NamesOf { targets })
    }
}

/// Each answer is as of the moment it is asked for, and takes as long for thousands of names as for one.
impl NamesOf {
    /// Some names with tags, at most `max` of them.
    ///
    /// # Errors
    /// Those of the database.
    pub fn some_tags(&self, update: &Update<'_>, max: usize) -> Result<Vec<Reference>> {
        let sql = "SELECT repository, tag FROM reference WHERE target = (SELECT number FROM target WHERE digest = ?1)";
        let mut tags = Vec::new();
        self.each(update, sql, None, |_, row| {
            tags.push(Reference::from_tag(Repository::parse(text_at(row, 0)?)?, Tag::parse(text_at(row, 1)?)?));
            Ok(tags.len() < max)
        })?;
        Ok(tags)
    }

    /// Some names with digests, at most `max` of them.
    ///
    /// # Errors
    /// Those of the database.
    pub fn some_digests(&self, update: &Update<'_>, max: usize) -> Result<Vec<(Repository, Digest)>> {
        let sql = "SELECT repository FROM repo_digest WHERE target = (SELECT number FROM target WHERE digest = ?1)";
        let mut digests = Vec::new();
        self.each(update, sql, None, |target, row| {
            digests.push((Repository::parse(text_at(row, 0)?)?, target.clone()));
            Ok(digests.len() < max)
        })?;
        Ok(digests)
    }

    /// Whether there is a name with a tag in a repository.
    ///
    /// # Errors
    /// Those of the database.
    pub fn has_tag_in(&self, update: &Update<'_>, repository: &Repository) -> Result<bool> {
        let sql = "SELECT 1 FROM reference WHERE target = (SELECT number FROM target WHERE digest = ?1) \
                   AND repository = ?2";
        self.any(update, sql, repository)
    }

    /// Whether there is a name with a digest in any other repository.
    ///
    /// # Errors
    /// Those of the database.
    pub fn has_digest_outside(&self, update: &Update<'_>, repository: &Repository) -> Result<bool> {
        let sql = "SELECT 1 FROM repo_digest WHERE target = (SELECT number FROM target WHERE digest = ?1) \
                   AND repository <> ?2";
        self.any(update, sql, repository)
    }

    /// The digests that a repository knows the image by, sorted.
    ///
    /// # Errors
    /// Those of the database.
    pub fn digests_in(&self, update: &Update<'_>, repository: &Repository) -> Result<Vec<Digest>> {
        let sql = "SELECT 1 FROM repo_digest WHERE target = (SELECT number FROM target WHERE digest = ?1) \
                   AND repository = ?2";
        let mut digests = Vec::new();
        self.each(update, sql, Some(repository), |target, _| {
            digests.push(target.clone());
            Ok(true)
        })?;
        digests.sort();
        Ok(digests)
    }

    fn any(&self, update: &Update<'_>, sql: &str, repository: &Repository) -> Result<bool> {
        let mut any = false;
        self.each(update, sql, Some(repository), |_, _| {
            any = true;
            Ok(false)
        })?;
        Ok(any)
    }

    /// Calls `take` with every row that `sql` has for a target and the repository, until it returns false.
    fn each(
        &self,
        update: &Update<'_>,
        sql: &str,
        repository: Option<&Repository>,
        mut take: impl FnMut(&Digest, &rusqlite::Row<'_>) -> Step<bool>,
    ) -> Result<()> {
        update.run(|transaction: &Transaction<'_>| {
            let mut select = transaction.prepare_cached(sql)?;
            for target in &self.targets {
                let mut rows = match repository {
                    Some(repository) => select.query((target.as_str(), repository.name()))?,
                    None => select.query([target.as_str()])?,
                };
                while let Some(row) = rows.next()? {
                    if !take(target, row)? {
                        return Ok(());
                    }
                }
            }
            Ok(())
        })
    }
}
