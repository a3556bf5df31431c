//! Taking images away: one or ten thousand, with the same few statements.

use std::collections::{HashMap, HashSet};

use dhow_base::{Error, Kind, Result};
use dhow_spec::{Digest, Reference, Repository};
use rusqlite::{OptionalExtension, Transaction};

use super::containers::USES;
use super::{Update, Uses};
use crate::db::Step;
use crate::find::digest_at;
use crate::images::Image;
use crate::store::from_row;
use crate::unpacked::unneeded;

/// What is to be taken from an image that a list showed.
#[derive(Clone, Debug, PartialEq)]
pub struct Removal {
    /// The image, as it was listed.
    pub image: Image,
    /// The names with tags that it loses.
    pub tags: Vec<Reference>,
    /// The names with digests that it loses.
    pub digests: Vec<(Repository, Digest)>,
}

impl Removal {
    /// All names, and so the image itself.
    pub fn whole(image: Image) -> Self {
        Self { tags: image.references.clone(), digests: image.repo_digests.clone(), image }
    }

    /// Whether no name stays.
    pub fn is_whole(&self) -> bool {
        self.tags.len() == self.image.references.len() && self.digests.len() == self.image.repo_digests.len()
    }
}

/// What was taken from one image.
#[derive(Clone, Debug, PartialEq)]
pub struct Removed {
    /// What was asked for.
    pub removal: Removal,
    /// When the image itself is gone: the chain IDs of the layers that no other image has, top layer first.
    pub chains: Option<Vec<Digest>>,
}

impl Update<'_> {
    /// Removes an image. Targets that no tag names go with all their platforms; from an index that still has a name,
    /// only this image goes. The content stays until [`Store::collect`](crate::Store::collect).
    ///
    /// Returns the chain IDs of the layers that no other image has, top layer first.
    ///
    /// # Errors
    /// [`Kind::Conflict`] when a tag still shows the image or a container uses it.
    pub fn delete_image(&mut self, image_id: &Digest) -> Result<Vec<Digest>> {
        if let Some(container) = self.containers_of(image_id)?.first() {
            return Err(in_use(image_id, "must be forced", "stopped", container.short_id()));
        }
        self.delete_used_image(image_id)
    }

    /// As [`Update::delete_image`], also when containers use the image that do not run. They keep it, unseen by anybody else, until the
    /// last of them is removed.
    ///
    /// # Errors
    /// [`Kind::Conflict`] when a tag still shows the image or a container runs that uses it.
    pub fn delete_used_image(&mut self, image_id: &Digest) -> Result<Vec<Digest>> {
        if !self.names_of(image_id)?.some_tags(self, 1)?.is_empty() {
            let short = image_id.short();
            let message = format!("conflict: unable to delete {short} (must be forced) - image is still tagged");
            return Err(Error::new(Kind::Conflict, message));
        }
        if let Some(running) = self.containers_of(image_id)?.iter().find(|container| container.is_running()) {
            return Err(in_use(image_id, "cannot be forced", "running", running.short_id()));
        }
        let documents = self.run(|transaction| documents_of(transaction, image_id))?;
        self.removed.extend(documents);
        let uses = self.uses()?;
        let chains = self.run(|transaction| delete(transaction, &[image_id], uses))?;
        Ok(chains.into_iter().flatten().collect())
    }

    /// Takes names away, and the images that are left without any. What is not as it was listed any more stays as it is,
    /// and so does an image that a container uses.
    ///
    /// # Errors
    /// Those of the database.
    pub fn remove(&mut self, removals: Vec<Removal>) -> Result<Vec<Removed>> {
        let removals = self.unchanged(removals)?;
        for removal in &removals {
            for tag in &removal.tags {
                self.untag(tag)?;
            }
            for (repository, digest) in &removal.digests {
                self.remove_repo_digest(repository, digest)?;
            }
        }
        let gone: Vec<&Digest> =
            removals.iter().filter(|removal| removal.is_whole()).map(|removal| &removal.image.id).collect();
        let uses = self.uses()?;
        let mut chains = self.run(|transaction| delete(transaction, &gone, uses))?.into_iter();
        let removed = removals.into_iter().map(|removal| {
            let chains = if removal.is_whole() { chains.next() } else { None };
            Removed { removal, chains }
        });
        Ok(removed.collect())
    }

    /// Those whose images are as they were listed, and that no container uses.
    fn unchanged(&mut self, mut removals: Vec<Removal>) -> Result<Vec<Removal>> {
        let present: HashMap<Digest, Image> =
            self.images()?.into_iter().map(|image| (image.id.clone(), image)).collect();
        removals.retain(|Removal { image: listed, .. }| {
            present.get(&listed.id).is_some_and(|image| {
                image.containers == 0
                    && image.references == listed.references
                    && image.repo_digests == listed.repo_digests
            })
        });
        Ok(removals)
    }

    /// Length of all content that nothing names or uses after this transaction, and of those of the
    /// [unpacked layers](crate::Store::unpacked_layers) that no image has: what a collection will take away.
    ///
    /// # Errors
    /// Those of the database.
    pub fn garbage_bytes(&self, unpacked: &[(Digest, u64)]) -> Result<u64> {
        self.run(|transaction| {
            let unneeded = unneeded(transaction, unpacked.iter().map(|(digest, _)| digest))?;
            let unpacked = unpacked.iter().filter(|(digest, _)| unneeded.contains(digest.as_str()));
            let bytes: u64 = unpacked.map(|(_, size)| size).sum();
            let sql = format!(
                "{} SELECT coalesce(sum(size), 0) FROM blob WHERE digest NOT IN (SELECT digest FROM live)",
                crate::collect::live()
            );
            Ok(bytes + from_row(transaction.prepare_cached(&sql)?.query_row([], |row| row.get(0))?))
        })
    }
}

fn in_use(image_id: &Digest, how: &str, state: &str, container: &str) -> Error {
    let short = image_id.short();
    let message =
        format!("conflict: unable to delete {short} ({how}) - image is being used by {state} container {container}");
    Error::new(Kind::Conflict, message)
}

/// Deletes those of some images that no target has and no container uses any more. Returns their manifests.
pub(super) fn delete_unheld(transaction: &Transaction<'_>, ids: &[Digest]) -> Step<Vec<Digest>> {
    let mut documents = Vec::new();
    for id in ids {
        let sql = format!(
            "SELECT number FROM image WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM target_member WHERE image = number) \
             AND NOT EXISTS (SELECT 1 FROM {USES} WHERE image_id = ?1)"
        );
        let number =
            transaction.prepare_cached(&sql)?.query_row([id.as_str()], |row| row.get::<_, i64>(0)).optional()?;
        let Some(number) = number else { continue };
        documents.extend(documents_of(transaction, id)?);
        for sql in [
            "DELETE FROM manifest WHERE image = ?1",
            "DELETE FROM image_layer WHERE image = ?1",
            "DELETE FROM image WHERE number = ?1",
        ] {
            transaction.prepare_cached(sql)?.execute([number])?;
        }
    }
    Ok(documents)
}

/// Digests of the manifests of an image and of the targets that it is in.
fn documents_of(transaction: &Transaction<'_>, image_id: &Digest) -> Step<Vec<Digest>> {
    let sql = "SELECT digest FROM manifest WHERE image = (SELECT number FROM image WHERE id = ?1) \
               UNION SELECT digest FROM target JOIN target_member ON target_member.target = target.number \
               WHERE image = (SELECT number FROM image WHERE id = ?1)";
    let mut select = transaction.prepare_cached(sql)?;
    let mut rows = select.query([image_id.as_str()])?;
    let mut documents = Vec::new();
    while let Some(row) = rows.next()? {
        documents.push(digest_at(row, 0)?);
    }
    Ok(documents)
}

// Joins with these tables are CROSS JOINs: SQLite then goes through what goes, and not through all that there is.

/// Images that go, each with the place of the one it goes for in the list asked for; and targets that go.
const TABLES: &str = "
CREATE TEMP TABLE IF NOT EXISTS doomed (image INTEGER PRIMARY KEY, place INTEGER NOT NULL, companion INTEGER NOT NULL);
CREATE TEMP TABLE IF NOT EXISTS doomed_target (target INTEGER PRIMARY KEY);
DELETE FROM doomed;
DELETE FROM doomed_target;
";

/// Deletes images that have no names. Returns, for each, the chain IDs of the layers that no other image has any more; a
/// layer that several of them had counts for the last.
fn delete(transaction: &Transaction<'_>, ids: &[&Digest], uses: &Uses) -> Step<Vec<Vec<Digest>>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    transaction.execute_batch(TABLES)?;
    let sql = "INSERT OR IGNORE INTO doomed SELECT number, ?2, 0 FROM image WHERE id = ?1";
    let mut doom = transaction.prepare_cached(sql)?;
    for (place, id) in (0_i64..).zip(ids) {
        doom.execute((id.as_str(), place))?;
    }
    delete_targets(transaction, uses)?;
    let sql =
        "DELETE FROM doomed WHERE image IN (SELECT number FROM json_each(?1) CROSS JOIN image ON image.id = value)";
    transaction.prepare_cached(sql)?.execute([&uses.images])?;
    for sql in [
        // A manifest that another target still has, and an image that another target still shows, stay.
        "DELETE FROM manifest WHERE image IN (SELECT image FROM doomed) AND NOT EXISTS \
         (SELECT 1 FROM target_member WHERE target_member.manifest = manifest.digest)",
        "DELETE FROM doomed WHERE EXISTS (SELECT 1 FROM target_member WHERE target_member.image = doomed.image)",
    ] {
        transaction.prepare_cached(sql)?.execute([])?;
    }
    let candidates = chains_of_doomed(transaction)?;
    for sql in [
        "DELETE FROM image_layer WHERE image IN (SELECT image FROM doomed)",
        "DELETE FROM image WHERE number IN (SELECT image FROM doomed)",
    ] {
        transaction.prepare_cached(sql)?.execute([])?;
    }
    freed(transaction, candidates, ids.len())
}

/// Deletes the targets of doomed images. A target stays whole while a name or a container needs something of it: only
/// the doomed image is left out then.
fn delete_targets(transaction: &Transaction<'_>, uses: &Uses) -> Step<()> {
    let sql = "INSERT INTO doomed_target SELECT DISTINCT target FROM target_member AS mine \
               WHERE image IN (SELECT image FROM doomed) \
               AND NOT EXISTS (SELECT 1 FROM reference WHERE reference.target = mine.target) \
               AND NOT EXISTS (SELECT 1 FROM target_member AS other \
                   WHERE other.target = mine.target AND other.image NOT IN (SELECT image FROM doomed) \
                   AND other.image IN (SELECT number FROM json_each(?1) CROSS JOIN image ON image.id = value))";
    transaction.prepare_cached(sql)?.execute([&uses.images])?;
    let sql = "SELECT DISTINCT target, image FROM target_member \
               WHERE image IN (SELECT image FROM doomed) AND target NOT IN (SELECT target FROM doomed_target)";
    let mut select = transaction.prepare_cached(sql)?;
    let kept: Vec<(i64, i64)> =
        select.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, rusqlite::Error>>()?;
    for (target, image) in kept {
        leave_out(transaction, target, image)?;
    }
    for sql in [
        // The other platforms of a target that goes.
        "INSERT INTO doomed SELECT other.image, min(doomed.place), 1 FROM doomed_target \
         CROSS JOIN target_member AS mine ON mine.target = doomed_target.target \
         CROSS JOIN doomed ON doomed.image = mine.image \
         CROSS JOIN target_member AS other ON other.target = mine.target \
         WHERE other.image NOT IN (SELECT image FROM doomed) GROUP BY other.image",
        "DELETE FROM repo_digest WHERE target IN (SELECT target FROM doomed_target)",
        "DELETE FROM target_member WHERE target IN (SELECT target FROM doomed_target)",
        "DELETE FROM target WHERE number IN (SELECT target FROM doomed_target)",
    ] {
        transaction.prepare_cached(sql)?.execute([])?;
    }
    Ok(())
}

/// Takes one image out of an index that stays. Without the edges to it, its content is garbage.
pub(super) fn leave_out(transaction: &Transaction<'_>, target: i64, image: i64) -> Step<()> {
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

/// Place and chain ID of every layer of the doomed images, the asked-for image first, each top layer first.
fn chains_of_doomed(transaction: &Transaction<'_>) -> Step<Vec<(usize, Digest)>> {
    let sql = "SELECT place, chain_id FROM doomed CROSS JOIN image_layer ON image_layer.image = doomed.image \
               ORDER BY place, companion, doomed.image, position DESC";
    let mut select = transaction.prepare_cached(sql)?;
    let mut rows = select.query([])?;
    let mut chains = Vec::new();
    while let Some(row) = rows.next()? {
        chains.push((usize::try_from(row.get::<_, i64>(0)?).unwrap_or(0), digest_at(row, 1)?));
    }
    Ok(chains)
}

/// The candidates that no image has any more, by place.
fn freed(transaction: &Transaction<'_>, candidates: Vec<(usize, Digest)>, places: usize) -> Step<Vec<Vec<Digest>>> {
    let last: HashMap<&Digest, usize> = candidates.iter().map(|(place, chain)| (chain, *place)).collect();
    let mut exists = transaction.prepare_cached("SELECT EXISTS (SELECT 1 FROM image_layer WHERE chain_id = ?1)")?;
    let mut kept: HashSet<&Digest> = HashSet::new();
    for chain in last.keys() {
        if exists.query_row([chain.as_str()], |row| row.get::<_, bool>(0))? {
            kept.insert(chain);
        }
    }
    let mut listed: HashSet<&Digest> = HashSet::new();
    let mut freed = vec![Vec::new(); places];
    for (place, chain) in &candidates {
        if last.get(chain) == Some(place)
            && !kept.contains(chain)
            && listed.insert(chain)
            && let Some(chains) = freed.get_mut(*place)
        {
            chains.push(chain.clone());
        }
    }
    Ok(freed)
}
