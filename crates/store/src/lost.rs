//! Content that kept images need and that is not here: what it is, whose it is, and where it may be fetched again.

use std::collections::{BTreeSet, HashMap};
use std::fmt;

use dhow_base::Result;
use dhow_spec::{Descriptor, Digest, Reference, Repository, Tag};
use rusqlite::Connection;

use crate::db::Step;
use crate::find::{self, digest_at, text_at};
use crate::homes::homes_of;
use crate::store::Store;

/// A blob or document that a kept image needs and that is not here.
#[derive(Clone, Debug, PartialEq)]
pub struct Lost {
    /// Its digest.
    pub digest: Digest,
    /// What the document above says of it; `None` while that one is lost too.
    pub descriptor: Option<Descriptor>,
    /// A document that needs it, when it is not named itself.
    pub parent: Option<Digest>,
    /// The names of all images that need it: those with tags, then those with digests.
    pub names: Vec<Reference>,
    /// Repositories that may have it, the likeliest first: where it was pulled from or pushed to, then where the images
    /// that need it are known.
    pub homes: Vec<Repository>,
}

impl fmt::Display for Lost {
    /// What it is and whose: `blob sha256:… of acme/web:v1`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let media_type = self.descriptor.as_ref().map(|descriptor| &descriptor.media_type);
        let what = match media_type {
            Some(media_type) if media_type.is_index() => "index",
            Some(media_type) if media_type.is_document() => "manifest",
            Some(media_type) if media_type.is_layer() => "layer",
            _ => "blob",
        };
        write!(formatter, "{what} {}", self.digest)?;
        match (self.names.as_slice(), &self.parent) {
            ([], Some(parent)) => write!(formatter, " of manifest {parent}"),
            ([], None) => Ok(()),
            ([name], _) => write!(formatter, " of {}", name.familiar()),
            ([name, others @ ..], _) => write!(formatter, " of {} and {} more", name.familiar(), others.len()),
        }
    }
}

impl Store {
    /// What kept images need and nothing here vouches for. A damaged blob is not among it until a
    /// [repairing check](Store::check) has moved it aside.
    ///
    /// # Errors
    /// Those of the database.
    pub fn lost(&self) -> Result<Vec<Lost>> {
        let (mut lost, parents) = self.read_rows(read)?;
        for lost in lost.iter_mut().filter(|lost| lost.descriptor.is_none()) {
            lost.descriptor = self.described_above(&lost.digest, &parents);
        }
        Ok(lost)
    }

    /// What some content is, and whose. `parents` are read when they are first needed.
    pub(crate) fn described(&self, digest: &Digest, parents: &mut Option<Parents>) -> Result<Lost> {
        let parents: &Parents = match parents {
            Some(parents) => parents,
            None => parents.insert(self.read_rows(Parents::read)?),
        };
        let mut content = self.read_rows(|connection| describe(connection, digest.clone(), parents))?;
        if content.descriptor.is_none() {
            content.descriptor = self.described_above(digest, parents);
        }
        Ok(content)
    }

    /// The descriptor of some content in one of the documents that name it and are here.
    fn described_above(&self, digest: &Digest, parents: &Parents) -> Option<Descriptor> {
        parents.of(digest).iter().find_map(|parent| {
            let document = self.document(parent).ok()?;
            document.document().children().into_iter().find(|child| child.digest == *digest).cloned()
        })
    }
}

/// For everything that documents need: which do.
#[derive(Debug, Default)]
pub(crate) struct Parents(HashMap<Digest, Vec<Digest>>);

impl Parents {
    fn read(connection: &Connection) -> Step<Self> {
        let mut parents = Self::default();
        let mut select = connection.prepare_cached("SELECT child, parent FROM edge ORDER BY child, parent")?;
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            parents.0.entry(digest_at(row, 0)?).or_default().push(digest_at(row, 1)?);
        }
        Ok(parents)
    }

    fn of(&self, digest: &Digest) -> &[Digest] {
        self.0.get(digest).map(Vec::as_slice).unwrap_or_default()
    }

    /// Everything that needs `digest`, directly or not, and itself.
    fn all_above(&self, digest: &Digest) -> BTreeSet<Digest> {
        let mut reached = BTreeSet::new();
        let mut pending = vec![digest.clone()];
        while let Some(next) = pending.pop() {
            pending.extend(self.of(&next).iter().filter(|parent| !reached.contains(*parent)).cloned());
            reached.insert(next);
        }
        reached
    }
}

/// What is lost, as far as rows tell.
fn read(connection: &Connection) -> Step<(Vec<Lost>, Parents)> {
    let sql = "WITH RECURSIVE live (digest) AS ( \
                   SELECT digest FROM target UNION SELECT child FROM edge JOIN live ON edge.parent = live.digest \
               ) SELECT digest FROM live WHERE digest NOT IN (SELECT digest FROM blob) ORDER BY digest";
    let mut select = connection.prepare(sql)?;
    let mut rows = select.query([])?;
    let mut digests: Vec<Digest> = Vec::new();
    while let Some(row) = rows.next()? {
        digests.push(digest_at(row, 0)?);
    }
    if digests.is_empty() {
        return Ok((Vec::new(), Parents::default()));
    }
    let parents = Parents::read(connection)?;
    let lost = digests.into_iter().map(|digest| describe(connection, digest, &parents)).collect::<Step<_>>()?;
    Ok((lost, parents))
}

fn describe(connection: &Connection, digest: Digest, parents: &Parents) -> Step<Lost> {
    let descriptor = match find::target_descriptor(connection, &digest)? {
        Some(target) => Some(target),
        None => find::manifest_descriptor(connection, &digest)?,
    };
    let mut homes = homes_of(connection, &digest)?;
    let (mut tagged, mut by_digest) = (Vec::new(), Vec::new());
    for owner in parents.all_above(&digest) {
        let sql = "SELECT repository, tag FROM reference JOIN target ON target.number = reference.target \
                   WHERE digest = ?1 ORDER BY repository, tag";
        let mut select = connection.prepare_cached(sql)?;
        let mut rows = select.query([owner.as_str()])?;
        while let Some(row) = rows.next()? {
            let repository = Repository::parse(text_at(row, 0)?)?;
            tagged.push(Reference::from_tag(repository, Tag::parse(text_at(row, 1)?)?));
        }
        let sql = "SELECT repository FROM repo_digest JOIN target ON target.number = repo_digest.target \
                   WHERE digest = ?1 ORDER BY repository";
        let mut select = connection.prepare_cached(sql)?;
        let mut rows = select.query([owner.as_str()])?;
        while let Some(row) = rows.next()? {
            by_digest.push(Reference::from_digest(Repository::parse(text_at(row, 0)?)?, owner.clone()));
        }
    }
    for name in by_digest.iter().chain(&tagged) {
        if !homes.contains(name.repository()) {
            homes.push(name.repository().clone());
        }
    }
    let parent = parents.of(&digest).first().cloned();
    let names = tagged.into_iter().chain(by_digest).collect();
    Ok(Lost { digest, descriptor, parent, names, homes })
}
