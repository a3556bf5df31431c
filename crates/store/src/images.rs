//! Listing images, with a few whole-table queries however many there are.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use dhow_base::Result;
use dhow_spec::platform::Matcher;
use dhow_spec::{Digest, Platform, Reference, Repository, Tag};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row};

use crate::db::Step;
use crate::find::{self, digest_at, shown};
use crate::store::{Store, from_row};
use crate::update::USES;

/// An image as lists show it.
#[derive(Clone, Debug, PartialEq)]
pub struct Image {
    /// Digest of its config, or of its manifest if it is an artifact.
    pub id: Digest,
    /// When it was made, in nanoseconds since 1970; `None` if that is not known.
    pub created: Option<i64>,
    /// Bytes of its layers, uncompressed; `None` until they are [measured](Store::measure).
    pub size: Option<u64>,
    /// What it runs on; shared with its neighbours in a list, most of which have the same.
    pub platform: Arc<Platform>,
    /// Its names with tags, sorted.
    pub references: Vec<Reference>,
    /// Repositories that know it, with the digest they know it by, sorted.
    pub repo_digests: Vec<(Repository, Digest)>,
    /// How many containers were made from it or have it mounted, running or not.
    pub containers: u64,
    /// When it came here first, in nanoseconds since 1970.
    pub added: i64,
}

impl Image {
    /// Whether it has no tag; a digest is no name that keeps it.
    pub fn is_dangling(&self) -> bool {
        self.references.is_empty()
    }

    /// Whether nothing names it, neither tag nor digest.
    pub fn is_nameless(&self) -> bool {
        self.references.is_empty() && self.repo_digests.is_empty()
    }
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

    /// The names with tags under which an image is shown, sorted; none if there is no such image.
    ///
    /// # Errors
    /// Those of the database.
    pub fn references_of(&self, id: &Digest) -> Result<Vec<Reference>> {
        self.read_rows(|connection| references_of(connection, &self.inner.shown, id))
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

/// Positions by the number of a row.
pub(crate) type ByNumber = HashMap<i64, usize, BuildHasherDefault<NumberHasher>>;

/// Hashes row numbers, which SQLite gives out one after the other: nobody can choose them to collide.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct NumberHasher(u64);

impl Hasher for NumberHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        }
    }

    fn write_i64(&mut self, number: i64) {
        self.0 = number.cast_unsigned().wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}

/// All images without their names, their positions, and for each target the position of the image that is shown.
pub(crate) fn with_targets(connection: &Connection, matcher: &Matcher) -> Step<(Vec<Image>, ByNumber, ByNumber)> {
    let mut index = ByNumber::default();
    let images = rows(connection, IMAGES, [], |number, position| {
        index.insert(number, position);
    })?;
    let shown_for = shown_by_target(connection, matcher, &images, &index)?;
    Ok((images, index, shown_for))
}

/// All images that are shown for some target.
pub(crate) fn list(connection: &Connection, matcher: &Matcher) -> Step<Vec<Image>> {
    let (mut images, index, shown_for) = with_targets(connection, matcher)?;
    let mut is_shown = vec![false; images.len()];
    for position in shown_for.values() {
        is_shown[*position] = true;
    }
    for_each_name(connection, |target, name| {
        if let Some(position) = shown_for.get(&target) {
            name.add_to(&mut images[*position]);
        }
    })?;
    count_containers(connection, |number, containers| {
        if let Some(position) = index.get(&number) {
            images[*position].containers = containers;
        }
    })?;
    let mut is_shown = is_shown.into_iter();
    images.retain(|_| is_shown.next().unwrap_or(false));
    Ok(images)
}

/// Every image that is shown, with the number of its row. Names take most of the time that a list takes.
pub(crate) fn numbers_of_shown(connection: &Connection, matcher: &Matcher) -> Step<Vec<(i64, Digest)>> {
    let mut index = ByNumber::default();
    let mut numbers: Vec<i64> = Vec::new();
    let images = rows(connection, IMAGES, [], |number, position| {
        index.insert(number, position);
        numbers.push(number);
    })?;
    let mut is_shown = vec![false; images.len()];
    for position in shown_by_target(connection, matcher, &images, &index)?.values() {
        is_shown[*position] = true;
    }
    let shown = numbers.into_iter().zip(images).zip(is_shown).filter(|(_, is_shown)| *is_shown);
    Ok(shown.map(|((number, image), _)| (number, image.id)).collect())
}

/// Every image that is shown, with the targets it is shown for.
pub(crate) fn targets_of_shown(connection: &Connection, matcher: &Matcher) -> Step<Vec<(Digest, Vec<Digest>)>> {
    let (images, _, shown_for) = with_targets(connection, matcher)?;
    let mut targets: Vec<Vec<Digest>> = vec![Vec::new(); images.len()];
    let mut select = connection.prepare_cached("SELECT number, digest FROM target")?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        if let Some(position) = shown_for.get(&row.get(0)?) {
            targets[*position].push(digest_at(row, 1)?);
        }
    }
    let shown = images.into_iter().zip(targets).filter(|(_, targets)| !targets.is_empty());
    Ok(shown.map(|(image, targets)| (image.id, targets)).collect())
}

/// One image, shown or not.
pub(crate) fn one(connection: &Connection, matcher: &Matcher, id: &Digest) -> Step<Option<Image>> {
    let sql = format!("{IMAGES} WHERE id = ?1");
    let Some(mut image) = rows(connection, &sql, [id.as_str()], |_, _| {})?.pop() else { return Ok(None) };
    image.references = references_of(connection, matcher, id)?;
    image.repo_digests = repo_digests_of(connection, matcher, id)?;
    let sql = format!("SELECT count(*) FROM {USES} WHERE image_id = ?1");
    image.containers = connection.prepare_cached(&sql)?.query_row([id.as_str()], |row| row.get(0).map(from_row))?;
    Ok(Some(image))
}

/// The targets for which an image is the one that is shown.
pub(crate) fn targets_showing(connection: &Connection, matcher: &Matcher, id: &Digest) -> Step<Vec<Digest>> {
    let mut select = connection.prepare_cached(
        "SELECT DISTINCT digest FROM image JOIN target_member ON target_member.image = image.number \
         JOIN target ON target.number = target_member.target WHERE id = ?1 ORDER BY digest",
    )?;
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
        let mut select = connection.prepare_cached(
            "SELECT repository, tag FROM reference WHERE target = (SELECT number FROM target WHERE digest = ?1)",
        )?;
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
        let mut select = connection.prepare_cached(
            "SELECT repository FROM repo_digest WHERE target = (SELECT number FROM target WHERE digest = ?1)",
        )?;
        let mut rows = select.query([target.as_str()])?;
        while let Some(row) = rows.next()? {
            names.push((Repository::parse(find::text_at(row, 0)?)?, target.clone()));
        }
    }
    names.sort();
    Ok(names)
}

/// What [`rows`] reads.
const IMAGES: &str = "SELECT id, created, size, os, architecture, variant, number, added FROM image";

fn rows<P: rusqlite::Params>(
    connection: &Connection,
    sql: &str,
    parameters: P,
    mut at: impl FnMut(i64, usize),
) -> Step<Vec<Image>> {
    let mut select = connection.prepare_cached(sql)?;
    let mut rows = select.query(parameters)?;
    let mut images = Vec::new();
    let mut platform: Arc<Platform> = Arc::default();
    while let Some(row) = rows.next()? {
        at(row.get(6)?, images.len());
        if !find::is_platform_at(row, 3, &platform)? {
            platform = Arc::new(find::platform_at(row, 3)?);
        }
        images.push(Image {
            id: digest_at(row, 0)?,
            created: row.get(1)?,
            size: row.get::<_, Option<i64>>(2)?.map(from_row),
            platform: Arc::clone(&platform),
            references: Vec::new(),
            repo_digests: Vec::new(),
            containers: 0,
            added: row.get(7)?,
        });
    }
    Ok(images)
}

/// For each target, by number, the position of the image that is shown.
fn shown_by_target(connection: &Connection, matcher: &Matcher, images: &[Image], index: &ByNumber) -> Step<ByNumber> {
    let mut shown_for = ByNumber::with_capacity_and_hasher(images.len(), Default::default());
    // Few targets have more than one member here: only for these is it worth asking which fits best.
    let mut several: HashMap<i64, Vec<usize>> = HashMap::new();
    let sql = "SELECT target, image FROM target_member ORDER BY target, position";
    let mut select = connection.prepare_cached(sql)?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let Some(&position) = index.get(&row.get(1)?) else { continue };
        match shown_for.entry(row.get(0)?) {
            Entry::Vacant(vacant) => {
                vacant.insert(position);
            }
            Entry::Occupied(first) => {
                several.entry(*first.key()).or_insert_with(|| vec![*first.get()]).push(position);
            }
        }
    }
    for (target, positions) in several {
        let ranked =
            positions.iter().filter_map(|&position| Some((matcher.rank(&images[position].platform)?, position)));
        if let Some((_, best)) = ranked.min_by_key(|(rank, _)| *rank) {
            shown_for.insert(target, best);
        }
    }
    Ok(shown_for)
}

/// A name of a target.
pub(crate) enum Name<'a> {
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
pub(crate) fn for_each_name(connection: &Connection, mut take: impl FnMut(i64, Name<'_>)) -> Step<()> {
    let mut repository: Option<Repository> = None;
    let mut text = String::new();
    let mut select =
        connection.prepare_cached("SELECT repository, tag, target FROM reference ORDER BY repository, tag")?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let repository = parsed(&mut repository, &mut text, row)?;
        take(row.get(2)?, Name::Tag(repository, Tag::parse(find::text_at(row, 1)?)?));
    }
    let mut select = connection.prepare_cached(
        "SELECT repository, digest, number FROM repo_digest JOIN target ON target.number = repo_digest.target \
               ORDER BY repository, target",
    )?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let repository = parsed(&mut repository, &mut text, row)?;
        take(row.get(2)?, Name::Digest(repository, digest_at(row, 1)?));
    }
    Ok(())
}

/// The repository in the first column. Neighbours mostly have the same, which then is neither checked nor parsed again.
fn parsed<'c>(cached: &'c mut Option<Repository>, text: &mut String, row: &Row<'_>) -> Step<&'c Repository> {
    let is_same = matches!(row.get_ref(0)?, ValueRef::Text(bytes) if bytes == text.as_bytes());
    if !is_same || cached.is_none() {
        let wanted = find::text_at(row, 0)?;
        *cached = Some(Repository::parse(wanted)?);
        wanted.clone_into(text);
    }
    cached.as_ref().ok_or_else(|| crate::db::Failure::Row("a name without repository".to_owned()))
}

fn count_containers(connection: &Connection, mut take: impl FnMut(i64, u64)) -> Step<()> {
    // The other way round it would be one search per image, and there are few containers.
    let sql = format!("SELECT number, count(*) FROM {USES} CROSS JOIN image ON image.id = image_id GROUP BY number");
    let mut select = connection.prepare_cached(&sql)?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        take(row.get(0)?, from_row(row.get(1)?));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::OpenOptions;

    /// Ten thousand images, each with a tag and a digest name, as rows only.
    fn many(store: &Store, count: usize) {
        let digest = |kind: &str, number: usize| Digest::sha256(format!("{kind}-{number}").as_bytes());
        store
            .write_names(|transaction| {
                for number in 0..count {
                    let (image, manifest) = (digest("image", number), digest("manifest", number));
                    let (image, manifest) = (image.as_str(), manifest.as_str());
                    let sql = "INSERT INTO image VALUES (NULL, ?1, ?2, 1000, 'linux', 'amd64', NULL, 0)";
                    transaction.prepare_cached(sql)?.execute((image, 1_700_000_000_000_000_000 + number as i64))?;
                    let sql =
                        "INSERT INTO manifest SELECT ?1, number, 'application/vnd.oci.image.manifest.v1+json', 500, 0 FROM image WHERE id = ?2";
                    transaction.prepare_cached(sql)?.execute((manifest, image))?;
                    let sql = "INSERT INTO target VALUES (NULL, ?1, 'application/vnd.oci.image.manifest.v1+json', 500, 0)";
                    transaction.prepare_cached(sql)?.execute([manifest])?;
                    let sql = "INSERT INTO target_member SELECT target.number, 0, ?1, image.number FROM target, image WHERE digest = ?1 AND id = ?2";
                    transaction.prepare_cached(sql)?.execute((manifest, image))?;
                    let repository = format!("docker.io/team-{}/service", number / 100);
                    let sql = "INSERT INTO reference SELECT ?1, ?2, number, 0 FROM target WHERE digest = ?3";
                    transaction.prepare_cached(sql)?.execute((&repository, format!("v{number}"), manifest))?;
                    let sql = "INSERT INTO repo_digest SELECT ?1, number FROM target WHERE digest = ?2";
                    transaction.prepare_cached(sql)?.execute((&repository, manifest))?;
                }
                Ok(())
            })
            .unwrap();
    }

    #[test]
    fn lists_ten_thousand_tags() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("store");
        many(&Store::open(&root, &OpenOptions::default()).unwrap(), 10_000);
        for _ in 0..3 {
            let start = Instant::now();
            let store = Store::open(&root, &OpenOptions::default()).unwrap();
            let opened = start.elapsed();
            let images = store.images().unwrap();
            println!("open {opened:?}, open and list {:?}", start.elapsed());
            assert_eq!(images.len(), 10_000);
            assert!(images.iter().all(|image| image.references.len() == 1 && image.repo_digests.len() == 1));
        }
    }
}
