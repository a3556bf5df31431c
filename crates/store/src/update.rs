//! Changing names and removing images, in one transaction.

mod containers;
mod delete;
mod names;
mod platforms;
mod records;

use std::cell::OnceCell;
use std::path::Path;

use dhow_base::Result;
use dhow_spec::platform::Matcher;
use dhow_spec::{Digest, Reference, Repository};
use rusqlite::Transaction;

use crate::db::Step;
use crate::find::{self, Found};
use crate::images::{self, Image};
use crate::store::Store;

pub(crate) use containers::USES;
use containers::Uses;
pub use containers::{Container, ContainerRecord, ContainerState};
pub use delete::{Removal, Removed};
pub use names::NamesOf;
pub use records::{BuildRecord, Volume};

/// One transaction over names and images: all of it happens or nothing.
#[derive(Debug)]
pub struct Update<'u> {
    transaction: &'u Transaction<'u>,
    shown: &'u Matcher,
    path: &'u Path,
    /// Manifests and indexes of images that were deleted.
    removed: Vec<Digest>,
    /// Which containers use which image, once somebody asked.
    uses: OnceCell<Uses>,
}

impl Store {
    /// Runs `change` in one durable transaction. If it fails, nothing happened; if it changes nothing, nothing is synced.
    /// Nobody else can write until it returns: it must not wait for anything.
    ///
    /// # Errors
    /// Those of `change` and of the database.
    pub fn update<T>(&self, change: impl FnOnce(&mut Update<'_>) -> Result<T>) -> Result<T> {
        let (value, _) = self.write_names(|transaction| Ok(change(&mut self.update_in(transaction))?))?;
        Ok(value)
    }

    /// As [`Store::update`], for what has no part in names and is no loss when a power cut takes it back, such as a container that is removed
    /// when it ends: nothing is synced.
    ///
    /// # Errors
    /// As there.
    pub fn update_passing<T>(&self, change: impl FnOnce(&mut Update<'_>) -> Result<T>) -> Result<T> {
        self.write_rows(|transaction| Ok(change(&mut self.update_in(transaction))?))
    }

    /// Runs `change` as [`Store::update`] does, and takes everything back: what it returns is what would happen.
    ///
    /// # Errors
    /// As there.
    pub fn rehearse<T>(&self, change: impl FnOnce(&mut Update<'_>) -> Result<T>) -> Result<T> {
        self.rehearse_names(|transaction| Ok(change(&mut self.update_in(transaction))?))
    }

    fn update_in<'u>(&'u self, transaction: &'u Transaction<'u>) -> Update<'u> {
        Update {
            transaction,
            shown: &self.inner.shown,
            path: self.inner.database.path(),
            removed: Vec::new(),
            uses: OnceCell::new(),
        }
    }
}

impl Update<'_> {
    fn run<T>(&self, step: impl FnOnce(&Transaction<'_>) -> Step<T>) -> Result<T> {
        step(self.transaction).map_err(|failure| failure.at(self.path))
    }

    /// The manifests and indexes of the images that were deleted so far: what
    /// [`collect_below`](crate::Store::collect_below) is to look at.
    pub fn removed(&self) -> &[Digest] {
        &self.removed
    }

    /// As [`Store::find`].
    ///
    /// # Errors
    /// As there.
    pub fn find(&self, text: &str) -> Result<Found> {
        self.run(|transaction| find::find(transaction, self.shown, text))
    }

    /// As [`Store::images`].
    ///
    /// # Errors
    /// As there.
    pub fn images(&self) -> Result<Vec<Image>> {
        self.run(|transaction| images::list(transaction, self.shown))
    }

    /// The names with tags under which an image is shown, sorted.
    ///
    /// # Errors
    /// Those of the database.
    pub fn references_of(&self, image_id: &Digest) -> Result<Vec<Reference>> {
        self.run(|transaction| images::references_of(transaction, self.shown, image_id))
    }

    /// The names with digests under which an image is shown, sorted.
    ///
    /// # Errors
    /// Those of the database.
    pub fn repo_digests_of(&self, image_id: &Digest) -> Result<Vec<(Repository, Digest)>> {
        self.run(|transaction| images::repo_digests_of(transaction, self.shown, image_id))
    }

    /// Takes a name with a tag away. Returns whether there was one.
    ///
    /// # Errors
    /// Those of the database.
    pub fn untag(&mut self, reference: &Reference) -> Result<bool> {
        let tag = reference.tag().map_or("latest", |tag| tag.as_str());
        self.run(|transaction| {
            let sql = "DELETE FROM reference WHERE repository = ?1 AND tag = ?2";
            Ok(transaction.prepare_cached(sql)?.execute((reference.repository().name(), tag))? > 0)
        })
    }

    /// Takes a name with a digest away. Returns whether there was one.
    ///
    /// # Errors
    /// Those of the database.
    pub fn remove_repo_digest(&mut self, repository: &Repository, digest: &Digest) -> Result<bool> {
        self.run(|transaction| {
            let sql = "DELETE FROM repo_digest WHERE repository = ?1 \
                       AND target = (SELECT number FROM target WHERE digest = ?2)";
            Ok(transaction.prepare_cached(sql)?.execute((repository.name(), digest.as_str()))? > 0)
        })
    }
}
