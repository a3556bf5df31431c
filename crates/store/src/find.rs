//! Finding images: by name, by digest, by ID and by the beginning of an ID.

mod lookup;

use dhow_base::{Error, Kind, Result};
use dhow_spec::platform::Matcher;
use dhow_spec::{Descriptor, Digest, Platform, Reference, Repository};
use rusqlite::Connection;

pub(crate) use lookup::{
    Member, descriptor_at, digest_at, is_platform_at, last_tagged, manifest_descriptor, members, newest_manifest,
    platform_at, shown, target_descriptor, target_of_digest_name, target_of_tag, text_at,
};

use crate::db::Step;
use crate::store::Store;

/// What a text was recognised as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MatchedBy {
    /// A name with a tag or a digest.
    Name,
    /// The digest of a manifest or index.
    Digest,
    /// An image ID or the beginning of one.
    Id,
}

/// An image that was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// The image's ID.
    pub image_id: Digest,
    /// What the name records: a manifest or index. By ID, the newest that is shown as this image; the manifest itself when
    /// all of them show another platform.
    pub target: Descriptor,
    /// The manifest of the image, in the target.
    pub manifest: Descriptor,
    /// The name that matched, with its tag or its digest.
    pub reference: Option<Reference>,
    /// What the text was recognised as.
    pub matched_by: MatchedBy,
}

impl Store {
    /// Finds an image by name (`alpine`, `alpine:3.20`, `alpine@sha256:…`), by the digest of its config, manifest or
    /// index, or by the beginning of one of these. Names win over IDs.
    ///
    /// # Errors
    /// [`Kind::NotFound`] in docker's words when nothing matches or more than one image does, [`Kind::Invalid`] for what
    /// can be no name.
    pub fn find(&self, text: &str) -> Result<Found> {
        self.read_rows(|connection| find(connection, &self.inner.shown, text))
    }

    /// The image that a container uses, also one that was removed by force since, which nothing else finds.
    ///
    /// # Errors
    /// [`Kind::NotFound`] when it is not here.
    pub fn find_used(&self, image_id: &Digest) -> Result<Found> {
        self.read_rows(|connection| {
            if let Some(found) = by_id(connection, &self.inner.shown, image_id)? {
                return Ok(found);
            }
            let manifest = newest_manifest(connection, image_id)?.ok_or_else(|| no_such_image(image_id.as_str()))?;
            Ok(by_manifest(image_id, manifest))
        })
    }

    /// The image that is shown for a manifest or index that is kept.
    ///
    /// # Errors
    /// [`Kind::NotFound`] when it is not kept.
    pub fn find_target(&self, digest: &Digest) -> Result<Found> {
        let found = self.read_rows(|connection| by_target(connection, &self.inner.shown, digest))?;
        found.ok_or_else(|| no_such_image(digest.as_str()))
    }

    /// What a name stands for.
    ///
    /// # Errors
    /// Those of the database.
    pub fn resolve(&self, reference: &Reference) -> Result<Option<Descriptor>> {
        self.read_rows(|connection| match target_of(connection, reference)? {
            Some(target) => kept_descriptor(connection, &target),
            None => Ok(None),
        })
    }

    /// Every name in a repository: those with tags sorted, then those with digests.
    ///
    /// # Errors
    /// Those of the database.
    pub fn references_in(&self, repository: &Repository) -> Result<Vec<Reference>> {
        self.read_rows(|connection| lookup::references_in(connection, repository))
    }

    /// The complete manifest of a kept target that fits a platform best; without a platform the one that is shown.
    ///
    /// # Errors
    /// Those of the database.
    pub fn manifest_for(&self, target: &Digest, platform: Option<&Platform>) -> Result<Option<Descriptor>> {
        self.read_rows(|connection| {
            let members = members(connection, target)?;
            let member = match platform {
                None => shown(&members, &self.inner.shown),
                Some(platform) => fitting(&members, &Matcher::strict(platform)),
            };
            match member {
                Some(member) => manifest_descriptor(connection, &member.manifest),
                None => Ok(None),
            }
        })
    }

    /// The images of a kept target that are here, in the order they came.
    ///
    /// # Errors
    /// Those of the database.
    pub fn images_of(&self, target: &Digest) -> Result<Vec<Digest>> {
        let mut images: Vec<Digest> = Vec::new();
        for member in self.read_rows(|connection| members(connection, target))? {
            if !images.contains(&member.image_id) {
                images.push(member.image_id);
            }
        }
        Ok(images)
    }

    /// The complete manifests of a kept target and what they run on, in the order they came.
    ///
    /// # Errors
    /// Those of the database.
    pub fn manifests_of(&self, target: &Digest) -> Result<Vec<Descriptor>> {
        self.read_rows(|connection| {
            let mut manifests = Vec::new();
            for member in members(connection, target)? {
                let found = manifest_descriptor(connection, &member.manifest)?;
                manifests.extend(found.map(|manifest| manifest.with_platform(member.platform)));
            }
            Ok(manifests)
        })
    }
}

fn fitting<'m>(members: &'m [Member], matcher: &Matcher) -> Option<&'m Member> {
    let ranked = members.iter().filter_map(|member| Some((matcher.rank(&member.platform)?, member)));
    ranked.min_by_key(|(rank, _)| *rank).map(|(_, member)| member)
}

/// Finds by any text, in docker's order (moby `daemon/images/image.go`, GetImage).
pub(crate) fn find(connection: &Connection, matcher: &Matcher, text: &str) -> Step<Found> {
    if let Some(digest) = whole_digest(text) {
        let found = match by_id(connection, matcher, &digest)? {
            Some(found) => Some(found),
            None => by_target(connection, matcher, &digest)?,
        };
        return found.ok_or_else(|| no_such_image(digest.as_str()).into());
    }
    let reference = Reference::parse(text).map(Reference::with_default_tag);
    if let Ok(reference) = &reference
        && let Some(target) = target_of(connection, reference)?
        && let Some(mut found) = by_target(connection, matcher, &target)?
    {
        let name = match reference.digest() {
            Some(digest) => Reference::from_digest(reference.repository().clone(), digest.clone()),
            None => reference.clone(),
        };
        (found.reference, found.matched_by) = (Some(name), MatchedBy::Name);
        return Ok(found);
    }
    if let Some(found) = by_prefix(connection, matcher, text)? {
        return Ok(found);
    }
    match reference {
        Ok(reference) => Err(no_such_image(&reference.familiar()).into()),
        Err(error) => Err(Error::from(error).into()),
    }
}

/// What a name stands for. A digest wins over a tag beside it.
fn target_of(connection: &Connection, reference: &Reference) -> Step<Option<Digest>> {
    let repository = reference.repository().name();
    match (reference.digest(), reference.tag()) {
        (Some(digest), _) => target_of_digest_name(connection, repository, digest),
        (None, Some(tag)) => target_of_tag(connection, repository, tag.as_str()),
        (None, None) => target_of_tag(connection, repository, "latest"),
    }
}

pub(crate) fn no_such_image(shown: &str) -> Error {
    Error::new(Kind::NotFound, format!("No such image: {shown}"))
}

/// A whole digest, with or without its algorithm.
fn whole_digest(text: &str) -> Option<Digest> {
    Digest::parse(text).ok().or_else(|| Digest::parse(&format!("sha256:{text}")).ok())
}

/// A target, or a manifest that is part of one.
fn kept_descriptor(connection: &Connection, digest: &Digest) -> Step<Option<Descriptor>> {
    match target_descriptor(connection, digest)? {
        Some(target) => Ok(Some(target)),
        None if lookup::is_in_target(connection, digest)? => manifest_descriptor(connection, digest),
        None => Ok(None),
    }
}

/// By the digest of a manifest or index.
fn by_target(connection: &Connection, matcher: &Matcher, digest: &Digest) -> Step<Option<Found>> {
    let Some(target) = kept_descriptor(connection, digest)? else { return Ok(None) };
    let members = members(connection, digest)?;
    let Some(member) = shown(&members, matcher) else { return Ok(None) };
    let Some(manifest) = manifest_descriptor(connection, &member.manifest)? else { return Ok(None) };
    let image_id = member.image_id.clone();
    Ok(Some(Found { image_id, target, manifest, reference: None, matched_by: MatchedBy::Digest }))
}

/// By the whole ID of an image.
fn by_id(connection: &Connection, matcher: &Matcher, id: &Digest) -> Step<Option<Found>> {
    let targets = lookup::targets_with(connection, id)?;
    if targets.is_empty() {
        // A container may use it still.
        return Ok(None);
    }
    for target in targets {
        let members = members(connection, &target.digest)?;
        if let Some(member) = shown(&members, matcher)
            && member.image_id == *id
            && let Some(manifest) = manifest_descriptor(connection, &member.manifest)?
        {
            return Ok(Some(Found { target, ..by_manifest(id, manifest) }));
        }
    }
    Ok(newest_manifest(connection, id)?.map(|manifest| by_manifest(id, manifest)))
}

fn by_manifest(id: &Digest, manifest: Descriptor) -> Found {
    let target = manifest.clone();
    Found { image_id: id.clone(), target, manifest, reference: None, matched_by: MatchedBy::Id }
}

/// By the beginning of an ID; when no image ID begins so, of the digest of a manifest or index.
fn by_prefix(connection: &Connection, matcher: &Matcher, text: &str) -> Step<Option<Found>> {
    let ids = lookup::starting_with(connection, lookup::IMAGES, "id", text)?;
    match ids.as_slice() {
        [id] => return by_id(connection, matcher, id),
        [] => {}
        several => return Err(ambiguous(text, several).into()),
    }
    let mut digests = lookup::starting_with(connection, "target", "digest", text)?;
    digests.extend(lookup::starting_with(connection, lookup::MANIFESTS, "digest", text)?);
    let mut found: Vec<Found> = Vec::new();
    for digest in digests {
        if let Some(other) = by_target(connection, matcher, &digest)?
            && !found.iter().any(|found| found.image_id == other.image_id)
        {
            found.push(other);
        }
    }
    if found.len() > 1 {
        let ids: Vec<Digest> = found.into_iter().map(|found| found.image_id).collect();
        return Err(ambiguous(text, &ids).into());
    }
    Ok(found.pop())
}

fn ambiguous(text: &str, ids: &[Digest]) -> Error {
    let shown = Reference::parse(text).map_or_else(|_| text.to_owned(), |name| name.with_default_tag().familiar());
    let ids: Vec<&str> = ids.iter().take(5).map(Digest::as_str).collect();
    no_such_image(&shown).with_hint(format!("several images begin like this: {}", ids.join(", ")))
}
