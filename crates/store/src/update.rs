//! Changing names and removing images, in one transaction.

use std::path::Path;

use dhow_base::{Error, Kind, Result};
use dhow_spec::platform::Matcher;
use dhow_spec::{Digest, Reference, Repository};
use rusqlite::{Params, Transaction};

use crate::db::{Failure, Step};
use crate::find::{self, Found, digest_at};
use crate::images::{self, Image};
use crate::store::{Store, now};

/// A container, as far as images care.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// Its ID: 64 hexadecimal characters.
    pub id: String,
    /// Its name.
    pub name: Option<String>,
    /// What it is doing.
    pub state: ContainerState,
}

/// What a container is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContainerState {
    /// Made, never started.
    Created,
    /// Its process runs.
    Running,
    /// Its process is stopped and can go on.
    Paused,
    /// Its process has ended.
    Exited,
    /// It is being removed.
    Removing,
}

impl ContainerState {
    /// The word in the database, docker's.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Exited => "exited",
            Self::Removing => "removing",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Created, Self::Running, Self::Paused, Self::Exited, Self::Removing]
            .into_iter()
            .find(|state| state.as_str() == text)
    }
}

impl Container {
    /// The first twelve characters of the ID.
    pub fn short_id(&self) -> &str {
        self.id.get(..12).unwrap_or(&self.id)
    }

    /// Whether its process exists, paused or not.
    pub fn is_running(&self) -> bool {
        matches!(self.state, ContainerState::Running | ContainerState::Paused)
    }
}

/// One transaction over names and images: all of it happens or nothing.
#[derive(Debug)]
pub struct Update<'u> {
    transaction: &'u Transaction<'u>,
    shown: &'u Matcher,
    path: &'u Path,
}

impl Store {
    /// Runs `change` in one durable transaction. If it fails, nothing happened; if it changes nothing, nothing is synced.
    /// Nobody else can write until it returns: it must not wait for anything.
    ///
    /// # Errors
    /// Those of `change` and of the database.
    pub fn update<T>(&self, change: impl FnOnce(&mut Update<'_>) -> Result<T>) -> Result<T> {
        let (value, _) = self.write_names(|transaction| {
            let mut update = Update { transaction, shown: &self.inner.shown, path: self.inner.database.path() };
            Ok(change(&mut update)?)
        })?;
        Ok(value)
    }
}

impl Update<'_> {
    fn run<T>(&self, step: impl FnOnce(&Transaction<'_>) -> Step<T>) -> Result<T> {
        step(self.transaction).map_err(|failure| failure.at(self.path))
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

    /// The containers that were made from an image, those that run first.
    ///
    /// # Errors
    /// Those of the database.
    pub fn containers_of(&self, image_id: &Digest) -> Result<Vec<Container>> {
        self.run(|transaction| {
            let sql = "SELECT id, name, state FROM container WHERE image_id = ?1 ORDER BY created, id";
            let mut select = transaction.prepare_cached(sql)?;
            let mut rows = select.query([image_id.as_str()])?;
            let mut containers = Vec::new();
            while let Some(row) = rows.next()? {
                let state = find::text_at(row, 2)?;
                let state = ContainerState::parse(state)
                    .ok_or_else(|| Failure::Row(format!("unknown container state {state:?}")))?;
                containers.push(Container { id: row.get(0)?, name: row.get(1)?, state });
            }
            containers.sort_by_key(|container| !container.is_running());
            Ok(containers)
        })
    }

    /// Records a container that is made from an image, or its new state.
    ///
    /// # Errors
    /// [`Kind::NotFound`] when the image is not here; those of the database.
    pub fn put_container(&mut self, container: &Container, image_id: &Digest) -> Result<()> {
        if self.run(|transaction| images::one(transaction, self.shown, image_id))?.is_none() {
            return Err(find::no_such_image(image_id.as_str()));
        }
        self.run(|transaction| {
            let sql = "INSERT INTO container (id, name, image_id, state, created, configuration) \
                       VALUES (?1, ?2, ?3, ?4, ?5, '{}') \
                       ON CONFLICT (id) DO UPDATE SET name = excluded.name, state = excluded.state";
            let row = (&container.id, &container.name, image_id.as_str(), container.state.as_str(), now());
            transaction.prepare_cached(sql)?.execute(row)?;
            Ok(())
        })
    }

    /// Forgets a container. Returns whether there was one.
    ///
    /// # Errors
    /// Those of the database.
    pub fn remove_container(&mut self, id: &str) -> Result<bool> {
        self.run(
            |transaction| Ok(transaction.prepare_cached("DELETE FROM container WHERE id = ?1")?.execute([id])? > 0),
        )
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

    /// Removes an image. Targets that no tag names go with all their platforms; from an index that still has a name,
    /// only this image goes. The content stays until [`Store::collect`].
    ///
    /// Returns the chain IDs of the layers that no other image has, top layer first.
    ///
    /// # Errors
    /// [`Kind::Conflict`] when a tag still shows the image or a container was made from it.
    pub fn delete_image(&mut self, image_id: &Digest) -> Result<Vec<Digest>> {
        let short = image_id.short();
        if !self.references_of(image_id)?.is_empty() {
            let message = format!("conflict: unable to delete {short} (must be forced) - image is still tagged");
            return Err(Error::new(Kind::Conflict, message));
        }
        if let Some(container) = self.containers_of(image_id)?.first() {
            let message = format!(
                "conflict: unable to delete {short} (must be forced) - image is being used by container {}",
                container.short_id()
            );
            return Err(Error::new(Kind::Conflict, message));
        }
        self.run(|transaction| delete(transaction, image_id))
    }
}

fn delete(transaction: &Transaction<'_>, image_id: &Digest) -> Step<Vec<Digest>> {
    let sql = "SELECT number FROM image WHERE id = ?1";
    let mut gone: Vec<i64> = numbers(transaction, sql, [image_id.as_str()])?;
    let Some(&image) = gone.first() else { return Ok(Vec::new()) };
    for target in numbers(transaction, "SELECT DISTINCT target FROM target_member WHERE image = ?1", [image])? {
        // An index stays whole while a name or a container needs something of it.
        let sql = "SELECT 1 FROM reference WHERE target = ?1 UNION ALL \
                   SELECT 1 FROM target_member JOIN image ON image.number = target_member.image \
                   JOIN container ON container.image_id = image.id WHERE target = ?1 LIMIT 1";
        if !numbers(transaction, sql, [target])?.is_empty() {
            leave_out(transaction, target, image)?;
            continue;
        }
        gone.extend(numbers(transaction, "SELECT image FROM target_member WHERE target = ?1", [target])?);
        for sql in [
            "DELETE FROM repo_digest WHERE target = ?1",
            "DELETE FROM target_member WHERE target = ?1",
            "DELETE FROM target WHERE number = ?1",
        ] {
            transaction.prepare_cached(sql)?.execute([target])?;
        }
    }
    let mut chains = Vec::new();
    for image in gone {
        forget_image(transaction, image, &mut chains)?;
    }
    Ok(chains)
}

/// Takes one image out of an index that stays. Without the edges to it, its content is garbage.
fn leave_out(transaction: &Transaction<'_>, target: i64, image: i64) -> Step<()> {
    let sql = "WITH RECURSIVE below (digest) AS ( \
                   SELECT digest FROM target WHERE number = ?1 \
                   UNION SELECT child FROM edge JOIN below ON parent = below.digest \
               ) DELETE FROM edge WHERE parent IN (SELECT digest FROM below) \
               AND child IN (SELECT manifest FROM target_member WHERE target = ?1 AND image = ?2)";
    transaction.prepare_cached(sql)?.execute([target, image])?;
    let sql = "DELETE FROM target_member WHERE target = ?1 AND image = ?2";
    transaction.prepare_cached(sql)?.execute([target, image])?;
    Ok(())
}

/// Drops the manifests of an image that no target has any more, and the image itself when none is left.
fn forget_image(transaction: &Transaction<'_>, image: i64, chains: &mut Vec<Digest>) -> Step<()> {
    let sql = "DELETE FROM manifest WHERE image = ?1 \
               AND digest NOT IN (SELECT manifest FROM target_member WHERE image = ?1)";
    transaction.prepare_cached(sql)?.execute([image])?;
    if !numbers(transaction, "SELECT target FROM target_member WHERE image = ?1 LIMIT 1", [image])?.is_empty() {
        return Ok(());
    }
    let mut candidates = Vec::new();
    {
        let sql = "SELECT chain_id FROM image_layer WHERE image = ?1 ORDER BY position DESC";
        let mut select = transaction.prepare_cached(sql)?;
        let mut rows = select.query([image])?;
        while let Some(row) = rows.next()? {
            candidates.push(digest_at(row, 0)?);
        }
    }
    for sql in ["DELETE FROM image_layer WHERE image = ?1", "DELETE FROM image WHERE number = ?1"] {
        transaction.prepare_cached(sql)?.execute([image])?;
    }
    for chain in candidates {
        let sql = "SELECT image FROM image_layer WHERE chain_id = ?1 LIMIT 1";
        if numbers(transaction, sql, [chain.as_str()])?.is_empty() {
            chains.push(chain);
        }
    }
    Ok(())
}

fn numbers(transaction: &Transaction<'_>, sql: &str, parameters: impl Params) -> Step<Vec<i64>> {
    let mut select = transaction.prepare_cached(sql)?;
    let numbers = select.query_map(parameters, |row| row.get(0))?;
    Ok(numbers.collect::<Result<_, _>>()?)
}
