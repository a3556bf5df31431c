//! The questions that finding asks the database.

use dhow_spec::platform::Matcher;
use dhow_spec::{Descriptor, Digest, MediaType, Platform, Reference, Repository, Tag};
use rusqlite::{Connection, OptionalExtension, Row};

use crate::db::{Failure, Step};
use crate::store::from_row;

/// One complete manifest of a target.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Member {
    pub(crate) manifest: Digest,
    pub(crate) image_id: Digest,
    pub(crate) platform: Platform,
}

/// The digest in a column.
pub(crate) fn digest_at(row: &Row<'_>, column: usize) -> Step<Digest> {
    Ok(Digest::parse(text_at(row, column)?)?)
}

pub(crate) fn text_at<'r>(row: &'r Row<'_>, column: usize) -> Step<&'r str> {
    row.get_ref(column)?.as_str().map_err(|error| Failure::Row(error.to_string()))
}

/// The platform in three columns: os, architecture, variant.
pub(crate) fn platform_at(row: &Row<'_>, column: usize) -> Step<Platform> {
    let variant: Option<String> = row.get(column + 2)?;
    Ok(Platform { variant, ..Platform::new(text_at(row, column)?, text_at(row, column + 1)?) })
}

/// Whether [`platform_at`] would read this very platform.
pub(crate) fn is_platform_at(row: &Row<'_>, column: usize, platform: &Platform) -> Step<bool> {
    let variant = row.get_ref(column + 2)?.as_str_or_null().map_err(|error| Failure::Row(error.to_string()))?;
    Ok(text_at(row, column)? == platform.os
        && text_at(row, column + 1)? == platform.architecture
        && variant == platform.variant.as_deref())
}

/// The members of a target, in the order they came. A manifest that is only part of other targets is its own member.
pub(crate) fn members(connection: &Connection, target: &Digest) -> Step<Vec<Member>> {
    let sql = "SELECT manifest, id, os, architecture, variant FROM target_member \
               JOIN image ON image.number = target_member.image \
               WHERE target = (SELECT number FROM target WHERE digest = ?1) ORDER BY position";
    let members = query_members(connection, sql, target)?;
    if !members.is_empty() {
        return Ok(members);
    }
    let sql = "SELECT digest, id, os, architecture, variant FROM manifest \
               JOIN image ON image.number = manifest.image WHERE digest = ?1";
    query_members(connection, sql, target)
}

fn query_members(connection: &Connection, sql: &str, target: &Digest) -> Step<Vec<Member>> {
    let mut select = connection.prepare_cached(sql)?;
    let mut rows = select.query([target.as_str()])?;
    let mut members = Vec::new();
    while let Some(row) = rows.next()? {
        members.push(Member {
            manifest: digest_at(row, 0)?,
            image_id: digest_at(row, 1)?,
            platform: platform_at(row, 2)?,
        });
    }
    Ok(members)
}

/// The member that is shown for a target: the one that fits the host best, else the one that came first.
pub(crate) fn shown<'m>(members: &'m [Member], matcher: &Matcher) -> Option<&'m Member> {
    if let [only] = members {
        return Some(only);
    }
    let ranked = members.iter().filter_map(|member| Some((matcher.rank(&member.platform)?, member)));
    ranked.min_by_key(|(rank, _)| *rank).map(|(_, member)| member).or(members.first())
}

pub(crate) fn target_of_tag(connection: &Connection, repository: &str, tag: &str) -> Step<Option<Digest>> {
    let sql = "SELECT digest FROM reference JOIN target ON target.number = reference.target \
               WHERE repository = ?1 AND tag = ?2";
    one_digest(connection, sql, (repository, tag))
}

/// What `repository@digest` stands for: the target with the digest, or the manifest with it in a target that the repository
/// knows.
pub(crate) fn target_of_digest_name(
    connection: &Connection,
    repository: &str,
    digest: &Digest,
) -> Step<Option<Digest>> {
    let sql = "SELECT digest FROM target JOIN repo_digest ON repo_digest.target = target.number \
               WHERE digest = ?2 AND repository = ?1 \
               UNION SELECT manifest FROM target_member JOIN repo_digest USING (target) \
               WHERE manifest = ?2 AND repository = ?1 LIMIT 1";
    one_digest(connection, sql, (repository, digest.as_str()))
}

fn one_digest(connection: &Connection, sql: &str, parameters: (&str, &str)) -> Step<Option<Digest>> {
    let mut select = connection.prepare_cached(sql)?;
    let mut rows = select.query(parameters)?;
    rows.next()?.map(|row| digest_at(row, 0)).transpose()
}

/// The descriptor of a target.
pub(crate) fn target_descriptor(connection: &Connection, digest: &Digest) -> Step<Option<Descriptor>> {
    descriptor(connection, "SELECT digest, media_type, size FROM target WHERE digest = ?1", digest)
}

/// The descriptor of a manifest that is part of a target.
pub(crate) fn manifest_descriptor(connection: &Connection, digest: &Digest) -> Step<Option<Descriptor>> {
    descriptor(connection, "SELECT digest, media_type, size FROM manifest WHERE digest = ?1", digest)
}

/// The manifest by which an image came last.
pub(crate) fn newest_manifest(connection: &Connection, image_id: &Digest) -> Step<Option<Descriptor>> {
    let sql = "SELECT digest, media_type, size FROM manifest \
               WHERE image = (SELECT number FROM image WHERE id = ?1) ORDER BY added DESC, digest LIMIT 1";
    descriptor(connection, sql, image_id)
}

fn descriptor(connection: &Connection, sql: &str, digest: &Digest) -> Step<Option<Descriptor>> {
    let mut select = connection.prepare_cached(sql)?;
    let mut rows = select.query([digest.as_str()])?;
    rows.next()?.map(|row| descriptor_at(row, 0)).transpose()
}

pub(crate) fn descriptor_at(row: &Row<'_>, column: usize) -> Step<Descriptor> {
    let media_type = MediaType::parse(text_at(row, column + 1)?);
    Ok(Descriptor::new(media_type, digest_at(row, column)?, from_row(row.get(column + 2)?)))
}

/// The targets that have an image, newest first.
pub(super) fn targets_with(connection: &Connection, image_id: &Digest) -> Step<Vec<Descriptor>> {
    let sql = "SELECT DISTINCT digest, media_type, target.size FROM image \
               JOIN target_member ON target_member.image = image.number \
               JOIN target ON target.number = target_member.target WHERE id = ?1 ORDER BY target.added DESC, digest";
    let mut select = connection.prepare_cached(sql)?;
    let mut rows = select.query([image_id.as_str()])?;
    let mut targets = Vec::new();
    while let Some(row) = rows.next()? {
        targets.push(descriptor_at(row, 0)?);
    }
    Ok(targets)
}

/// Images that a target has: others are there for containers alone.
pub(super) const IMAGES: &str =
    "(SELECT id FROM image WHERE EXISTS (SELECT 1 FROM target_member WHERE image = number))";

/// Manifests that a target has.
pub(super) const MANIFESTS: &str =
    "(SELECT digest FROM manifest WHERE EXISTS (SELECT 1 FROM target_member WHERE target_member.manifest = digest))";

/// Whether a target has a manifest.
pub(super) fn is_in_target(connection: &Connection, manifest: &Digest) -> Step<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM target_member WHERE manifest = ?1)";
    Ok(connection.prepare_cached(sql)?.query_row([manifest.as_str()], |row| row.get(0))?)
}

/// At most a handful of digests in a column that begin with a text such as `sha256:43c4` or `43c4`.
pub(super) fn starting_with(connection: &Connection, table: &str, column: &str, text: &str) -> Step<Vec<Digest>> {
    let prefixes = match text.split_once(':') {
        Some((algorithm, _)) if dhow_spec::Algorithm::from_name(algorithm).is_some() => vec![text.to_owned()],
        Some(_) => return Ok(Vec::new()),
        None => dhow_spec::Algorithm::ALL.iter().map(|algorithm| format!("{algorithm}:{text}")).collect(),
    };
    let mut found = Vec::new();
    for prefix in prefixes {
        let hex = prefix.split_once(':').map_or("", |(_, hex)| hex);
        if hex.is_empty() || !hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            continue;
        }
        // `g` comes behind every hexadecimal digit.
        let sql = format!("SELECT {column} FROM {table} WHERE {column} >= ?1 AND {column} < ?2 LIMIT 6");
        let mut select = connection.prepare_cached(&sql)?;
        let mut rows = select.query((&prefix, format!("{prefix}g")))?;
        while let Some(row) = rows.next()? {
            found.push(digest_at(row, 0)?);
        }
    }
    Ok(found)
}

pub(super) fn references_in(connection: &Connection, repository: &Repository) -> Step<Vec<Reference>> {
    let name = repository.name();
    let mut references = Vec::new();
    let mut select = connection.prepare_cached("SELECT tag FROM reference WHERE repository = ?1 ORDER BY tag")?;
    let mut rows = select.query([&name])?;
    while let Some(row) = rows.next()? {
        references.push(Reference::from_tag(repository.clone(), Tag::parse(text_at(row, 0)?)?));
    }
    let mut select = connection.prepare_cached(
        "SELECT digest FROM repo_digest JOIN target ON target.number = repo_digest.target \
               WHERE repository = ?1 ORDER BY digest",
    )?;
    let mut rows = select.query([&name])?;
    while let Some(row) = rows.next()? {
        references.push(Reference::from_digest(repository.clone(), digest_at(row, 0)?));
    }
    Ok(references)
}

/// When a name with a tag was last given to one of the targets of an image.
pub(crate) fn last_tagged(connection: &Connection, image_id: &Digest) -> Step<Option<i64>> {
    let sql = "SELECT max(updated) FROM reference WHERE target IN \
               (SELECT target FROM target_member WHERE image = (SELECT number FROM image WHERE id = ?1))";
    let time = connection.prepare_cached(sql)?.query_row([image_id.as_str()], |row| row.get(0)).optional()?;
    Ok(time.flatten())
}
