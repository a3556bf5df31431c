//! Listing images, with a few whole-table queries however many there are.

use std::collections::HashMap;

use dhow_base::Result;
use dhow_spec::platform::Matcher;
use dhow_spec::{Digest, Platform, Reference, Repository, Tag};
use rusqlite::Connection;

use crate::db::Step;
use crate::find::{self, Member, digest_at, shown};
use crate::store::{Store, from_row};

/// An image as lists show it.
#[derive(Clone, Debug, PartialEq)]
pub struct Image {
    /// Digest of its config, or of its manifest if it is an artifact.
    pub id: Digest,
    /// When it was made, in nanoseconds since 1970; `None` if that is not known.
    pub created: Option<i64>,
    /// Bytes of its layers, uncompressed; `None` until they are [measured](Store::measure).
    pub size: Option<u64>,
    /// What it runs on.
    pub platform: Platform,
    /// Its names with tags, sorted.
    pub references: Vec<Reference>,
    /// Repositories that know it, with the digest they know it by, sorted.
    pub repo_digests: Vec<(Repository, Digest)>,
    /// How many containers were made from it, running or not.
    pub containers: u64,
}

impl Store {
    /// All images that are shown: one for each target, so that the other platforms of an index do not appear.
    ///
    /// # Errors
    /// Those of the database.
    pub fn images(&self) -> Result<Vec<Image>> {
        self.read_rows(|connection| list(connection, &self.inner.shown))
    }

    /// One image by its whole ID, also one that lists do not show.
    ///
    /// # Errors
    /// [`NotFound`](dhow_base::Kind::NotFound) when there is none.
    pub fn image(&self, id: &Digest) -> Result<Image> {
        let image = self.read_rows(|connection| one(connection, &self.inner.shown, id))?;
        image.ok_or_else(|| find::no_such_image(id.as_str()))
    }

    /// When a name was last given to an image.
    ///
    /// # Errors
    /// Those of the database.
    pub fn last_tagged(&self, image_id: &Digest) -> Result<Option<jiff::Timestamp>> {
        let time = self.read_rows(|connection| find::last_tagged(connection, image_id))?;
        Ok(time.and_then(|time| jiff::Timestamp::from_nanosecond(i128::from(time)).ok()))
    }
}

/// All images that are shown for some target.
pub(crate) fn list(connection: &Connection, matcher: &Matcher) -> Step<Vec<Image>> {
    let images = rows(connection, "SELECT id, created, size, os, architecture, variant FROM image", [])?;
    let index: HashMap<&str, usize> =
        images.iter().enumerate().map(|(index, image)| (image.id.as_str(), index)).collect();
    let shown_for = shown_by_target(connection, matcher, &images, &index)?;
    let mut listed: Vec<Option<Image>> = vec![None; images.len()];
    for position in shown_for.values() {
        if listed[*position].is_none() {
            listed[*position] = Some(images[*position].clone());
        }
    }
    for_each_name(connection, |target, name| {
        if let Some(image) = shown_for.get(target).and_then(|position| listed[*position].as_mut()) {
            name.add_to(image);
        }
    })?;
    count_containers(connection, |id, containers| {
        if let Some(image) = index.get(id).and_then(|position| listed[*position].as_mut()) {
            image.containers = containers;
        }
    })?;
    drop(index);
    Ok(listed.into_iter().flatten().collect())
}

fn one(connection: &Connection, matcher: &Matcher, id: &Digest) -> Step<Option<Image>> {
    let sql = "SELECT id, created, size, os, architecture, variant FROM image WHERE id = ?1";
    let Some(mut image) = rows(connection, sql, [id.as_str()])?.pop() else { return Ok(None) };
    image.references = references_of(connection, matcher, id)?;
    image.repo_digests = repo_digests_of(connection, matcher, id)?;
    let sql = "SELECT count(*) FROM container WHERE image_id = ?1";
    image.containers = connection.prepare_cached(sql)?.query_row([id.as_str()], |row| row.get(0).map(from_row))?;
    Ok(Some(image))
}

/// The targets for which an image is the one that is shown.
pub(crate) fn targets_showing(connection: &Connection, matcher: &Matcher, id: &Digest) -> Step<Vec<Digest>> {
    let mut select = connection.prepare_cached("SELECT DISTINCT target FROM target_member WHERE image_id = ?1")?;
    let mut rows = select.query([id.as_str()])?;
    let mut targets = Vec::new();
    while let Some(row) = rows.next()? {
        let target = digest_at(row, 0)?;
        let members = find::members(connection, &target)?;
        if shown(&members, matcher).is_some_and(|member| member.image_id == *id) {
            targets.push(target);
        }
    }
    Ok(targets)
}

/// Names with tags whose target shows an image.
pub(crate) fn references_of(connection: &Connection, matcher: &Matcher, id: &Digest) -> Step<Vec<Reference>> {
    let mut references = Vec::new();
    for target in targets_showing(connection, matcher, id)? {
        let mut select = connection.prepare_cached("SELECT repository, tag FROM reference WHERE target = ?1")?;
        let mut rows = select.query([target.as_str()])?;
        while let Some(row) = rows.next()? {
            let repository = Repository::parse(find::text_at(row, 0)?)?;
            references.push(Reference::from_tag(repository, Tag::parse(find::text_at(row, 1)?)?));
        }
    }
    references.sort();
    Ok(references)
}

/// Names with digests whose target shows an image.
pub(crate) fn repo_digests_of(
    connection: &Connection,
    matcher: &Matcher,
    id: &Digest,
) -> Step<Vec<(Repository, Digest)>> {
    let mut names = Vec::new();
    for target in targets_showing(connection, matcher, id)? {
        let mut select = connection.prepare_cached("SELECT repository FROM repo_digest WHERE target = ?1")?;
        let mut rows = select.query([target.as_str()])?;
        while let Some(row) = rows.next()? {
            names.push((Repository::parse(find::text_at(row, 0)?)?, target.clone()));
        }
    }
    names.sort();
    Ok(names)
}

fn rows<P: rusqlite::Params>(connection: &Connection, sql: &str, parameters: P) -> Step<Vec<Image>> {
    let mut select = connection.prepare_cached(sql)?;
    let mut rows = select.query(parameters)?;
    let mut images = Vec::new();
    while let Some(row) = rows.next()? {
        images.push(Image {
            id: digest_at(row, 0)?,
            created: row.get(1)?,
            size: row.get::<_, Option<i64>>(2)?.map(from_row),
            platform: find::platform_at(row, 3)?,
            references: Vec::new(),
            repo_digests: Vec::new(),
            containers: 0,
        });
    }
    Ok(images)
}

/// For each target the number of the image that is shown.
fn shown_by_target(
    connection: &Connection,
    matcher: &Matcher,
    images: &[Image],
    index: &HashMap<&str, usize>,
) -> Step<HashMap<String, usize>> {
    let mut shown_for: HashMap<String, usize> = HashMap::with_capacity(images.len());
    let mut several: HashMap<String, Vec<Member>> = HashMap::new();
    let mut select =
        connection.prepare_cached("SELECT target, image_id, manifest FROM target_member ORDER BY target, position")?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let (target, image_id) = (find::text_at(row, 0)?, find::text_at(row, 1)?);
        let Some(&position) = index.get(image_id) else { continue };
        let Some(&first) = shown_for.get(target) else {
            shown_for.insert(target.to_owned(), position);
            continue;
        };
        // Few targets have more than one member here: only for these is it worth asking which fits best.
        let manifest = digest_at(row, 2)?;
        let member = |position: usize| Member {
            manifest: manifest.clone(),
            image_id: images[position].id.clone(),
            platform: images[position].platform.clone(),
        };
        several.entry(target.to_owned()).or_insert_with(|| vec![member(first)]).push(member(position));
    }
    for (target, members) in several {
        let best = shown(&members, matcher).and_then(|member| index.get(member.image_id.as_str()));
        if let Some(&position) = best {
            shown_for.insert(target, position);
        }
    }
    Ok(shown_for)
}

/// A name of a target.
enum Name<'a> {
    Tag(&'a Repository, Tag),
    Digest(&'a Repository, Digest),
}

impl Name<'_> {
    fn add_to(self, image: &mut Image) {
        match self {
            Name::Tag(repository, tag) => image.references.push(Reference::from_tag(repository.clone(), tag)),
            Name::Digest(repository, digest) => image.repo_digests.push((repository.clone(), digest)),
        }
    }
}

/// Calls `take` with every name, in order. Neighbours share their repository, which is parsed once.
fn for_each_name(connection: &Connection, mut take: impl FnMut(&str, Name<'_>)) -> Step<()> {
    let mut repository: Option<Repository> = None;
    let mut text = String::new();
    let mut select =
        connection.prepare_cached("SELECT repository, tag, target FROM reference ORDER BY repository, tag")?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let repository = parsed(&mut repository, &mut text, find::text_at(row, 0)?)?;
        take(find::text_at(row, 2)?, Name::Tag(repository, Tag::parse(find::text_at(row, 1)?)?));
    }
    let mut select =
        connection.prepare_cached("SELECT repository, target FROM repo_digest ORDER BY repository, target")?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let repository = parsed(&mut repository, &mut text, find::text_at(row, 0)?)?;
        take(find::text_at(row, 1)?, Name::Digest(repository, digest_at(row, 1)?));
    }
    Ok(())
}

fn parsed<'c>(cached: &'c mut Option<Repository>, text: &mut String, wanted: &str) -> Step<&'c Repository> {
    if text != wanted || cached.is_none() {
        *cached = Some(Repository::parse(wanted)?);
        wanted.clone_into(text);
    }
    cached.as_ref().ok_or_else(|| crate::db::Failure::Row("a name without repository".to_owned()))
}

fn count_containers(connection: &Connection, mut take: impl FnMut(&str, u64)) -> Step<()> {
    let mut select = connection.prepare_cached("SELECT image_id, count(*) FROM container GROUP BY image_id")?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        take(find::text_at(row, 0)?, from_row(row.get(1)?));
    }
    Ok(())
}
