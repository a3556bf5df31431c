//! The rows that a commit writes.

use dhow_base::Result;
use dhow_spec::{Digest, Reference};
use rusqlite::{Connection, OptionalExtension, Transaction};

use super::{CommittedTarget, NewImage, NewTarget};
use crate::db::{Failure, Step};
use crate::find;
use crate::plan::{Member, Plan};
use crate::store::{Store, now, to_row};

/// The members whose manifest is neither recorded nor among those described. That their image is known proves nothing:
/// anybody can write another manifest, with other layers, around the same config.
pub(super) fn unproven_members<'m>(
    connection: &Connection,
    members: &[&'m Member],
    described: &[NewImage],
) -> Step<Vec<&'m Member>> {
    let mut select = connection.prepare_cached("SELECT EXISTS (SELECT 1 FROM manifest WHERE digest = ?1)")?;
    let mut unproven: Vec<&Member> = Vec::new();
    for member in members {
        let manifest = &member.descriptor.digest;
        let is_listed = described.iter().any(|image| image.manifest == *manifest)
            || unproven.iter().any(|other| other.descriptor.digest == *manifest);
        if !is_listed && !select.query_row([manifest.as_str()], |row| row.get::<_, bool>(0))? {
            unproven.push(member);
        }
    }
    Ok(unproven)
}

/// Those whose bytes may not be on stable storage yet.
pub(super) fn unflushed(store: &Store, content: &[&Digest]) -> Result<Vec<Digest>> {
    store.read_rows(|connection| {
        let mut select = connection.prepare_cached("SELECT flushed FROM blob WHERE digest = ?1")?;
        let mut unflushed = Vec::new();
        for digest in content {
            let flushed: Option<i64> = select.query_row([digest.as_str()], |row| row.get(0)).optional()?;
            if flushed != Some(1) {
                unflushed.push((*digest).clone());
            }
        }
        Ok(unflushed)
    })
}

pub(super) fn mark_flushed(transaction: &Transaction<'_>, digests: &[Digest]) -> Step<()> {
    let mut update =
        transaction.prepare_cached("UPDATE blob SET flushed = 1, boot = '' WHERE digest = ?1 AND flushed = 0")?;
    for digest in digests {
        update.execute([digest.as_str()])?;
    }
    Ok(())
}

pub(super) fn insert_images(transaction: &Transaction<'_>, images: &[NewImage]) -> Step<()> {
    let sql = "INSERT OR IGNORE INTO image (id, created, size, os, architecture, variant, added) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    let mut image_row = transaction.prepare_cached(sql)?;
    let sql = "INSERT OR IGNORE INTO image_layer (image, position, diff_id, chain_id, size) \
               SELECT number, ?2, ?3, ?4, ?5 FROM image WHERE id = ?1";
    let mut layer_row = transaction.prepare_cached(sql)?;
    for image in images {
        let platform = &image.platform;
        image_row.execute((
            image.id.as_str(),
            image.created,
            image.size.map(to_row),
            &platform.os,
            &platform.architecture,
            &platform.variant,
            now(),
        ))?;
        for (position, layer) in (0_i64..).zip(&image.layers) {
            let (diff_id, chain_id) = (layer.diff_id.as_str(), layer.chain_id.as_str());
            layer_row.execute((image.id.as_str(), position, diff_id, chain_id, layer.size.map(to_row)))?;
        }
    }
    Ok(())
}

/// Writes the target with everything of it that is here. What is known already stays as it is.
pub(super) fn insert_target(transaction: &Transaction<'_>, plan: &Plan) -> Step<()> {
    let target = plan.target.digest.as_str();
    let sql = "INSERT OR IGNORE INTO target (digest, media_type, size, added) VALUES (?1, ?2, ?3, ?4)";
    let row = (target, plan.target.media_type.as_str(), to_row(plan.target.size), now());
    transaction.prepare_cached(sql)?.execute(row)?;
    let mut edge = transaction.prepare_cached("INSERT OR IGNORE INTO edge (parent, child) VALUES (?1, ?2)")?;
    for (parent, child) in &plan.edges {
        edge.execute((parent.as_str(), child.as_str()))?;
    }
    let sql = "INSERT OR IGNORE INTO manifest (digest, image, media_type, size, added) \
               SELECT ?1, number, ?3, ?4, ?5 FROM image WHERE id = ?2";
    let mut manifest = transaction.prepare_cached(sql)?;
    let sql = "INSERT OR IGNORE INTO target_member (target, position, manifest, image) \
               SELECT target.number, \
                   (SELECT coalesce(max(position), -1) + 1 FROM target_member WHERE target = target.number), \
                   ?2, image.number \
               FROM target, image WHERE target.digest = ?1 AND image.id = ?3";
    let mut member_row = transaction.prepare_cached(sql)?;
    for member in &plan.members {
        let (descriptor, image_id) = (&member.descriptor, member.image_id().as_str());
        let digest = descriptor.digest.as_str();
        let media_type = member.manifest.media_type.as_str();
        manifest.execute((digest, image_id, media_type, to_row(descriptor.size), now()))?;
        member_row.execute((target, digest, image_id))?;
    }
    Ok(())
}

/// Gives a target its names.
pub(super) fn name(
    transaction: &Transaction<'_>,
    store: &Store,
    target: &NewTarget,
    replaced: &mut Vec<(Reference, Digest)>,
) -> Step<CommittedTarget> {
    let digest = &target.document.digest;
    let members = find::members(transaction, digest)?;
    let Some(shown) = find::shown(&members, &store.inner.shown) else {
        return Err(Failure::Row(format!("target {digest} has no images")));
    };
    for reference in &target.references {
        let before = point(transaction, reference, digest)?;
        if let Some(before) = before.filter(|before| before != digest) {
            let members = find::members(transaction, &before)?;
            let old = find::shown(&members, &store.inner.shown).map(|member| member.image_id.clone());
            replaced.extend(old.filter(|old| *old != shown.image_id).map(|old| (reference.clone(), old)));
        }
    }
    let sql = "INSERT OR IGNORE INTO repo_digest (repository, target) SELECT ?1, number FROM target WHERE digest = ?2";
    let mut repo_digest = transaction.prepare_cached(sql)?;
    for repository in &target.digest_repositories {
        repo_digest.execute((repository.name(), digest.as_str()))?;
    }
    let mut images: Vec<Digest> = Vec::new();
    for member in &members {
        if !images.contains(&member.image_id) {
            images.push(member.image_id.clone());
        }
    }
    Ok(CommittedTarget { digest: digest.clone(), shown: shown.image_id.clone(), images })
}

/// Makes a name with a tag stand for a target. Returns what it stood for before.
pub(crate) fn point(connection: &Connection, reference: &Reference, target: &Digest) -> Step<Option<Digest>> {
    let (repository, tag) = (reference.repository().name(), reference.tag().map_or("latest", |tag| tag.as_str()));
    let before = find::target_of_tag(connection, repository, tag)?;
    let sql = "INSERT INTO reference (repository, tag, target, updated) \
               SELECT ?1, ?2, number, ?4 FROM target WHERE digest = ?3 \
               ON CONFLICT DO UPDATE SET target = excluded.target, updated = excluded.updated \
               WHERE target <> excluded.target";
    connection.prepare_cached(sql)?.execute((repository, tag, target.as_str(), now()))?;
    Ok(before)
}
