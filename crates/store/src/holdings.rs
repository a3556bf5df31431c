//! How much is here of what names stand for: of each manifest or index as a whole, and of each platform in it.

use dhow_base::Result;
use dhow_spec::platform::Matcher;
use dhow_spec::{Digest, Platform, Reference};
use rusqlite::Connection;

use crate::db::Step;
use crate::find::digest_at;
use crate::images::{self, ByNumber, Name};
use crate::store::Store;
use crate::usage::Graph;

/// A manifest or index that is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Holding {
    /// Its digest.
    pub target: Digest,
    /// The image that lists show for it.
    pub image_id: Digest,
    /// Its names with tags, sorted.
    pub references: Vec<Reference>,
    /// Bytes of what is here of it: documents, configs and layers as they are stored, each once.
    pub bytes: u64,
    /// The manifests in it that are here as a whole, in the order they came.
    pub members: Vec<HeldMember>,
}

/// A manifest that is here as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldMember {
    /// Its digest.
    pub manifest: Digest,
    /// Its image.
    pub image_id: Digest,
    /// What the image runs on.
    pub platform: Platform,
    /// Bytes of the manifest and all that it needs, as they are stored.
    pub bytes: u64,
}

impl Store {
    /// Everything that is kept and that lists show an image for.
    ///
    /// # Errors
    /// Those of the database.
    pub fn holdings(&self) -> Result<Vec<Holding>> {
        self.read_rows(|connection| holdings(connection, &self.inner.shown))
    }
}

fn holdings(connection: &Connection, matcher: &Matcher) -> Step<Vec<Holding>> {
    let graph = Graph::read(connection)?;
    let (images, index, shown_for) = images::with_targets(connection, matcher)?;
    let mut holdings = Vec::with_capacity(shown_for.len());
    let mut positions = ByNumber::default();
    let mut select = connection.prepare_cached("SELECT number, digest FROM target ORDER BY number")?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let number = row.get(0)?;
        let Some(image) = shown_for.get(&number) else { continue };
        let target = digest_at(row, 1)?;
        positions.insert(number, holdings.len());
        holdings.push(Holding {
            bytes: graph.bytes_below(&target),
            image_id: images[*image].id.clone(),
            target,
            references: Vec::new(),
            members: Vec::new(),
        });
    }
    images::for_each_name(connection, |target, name| {
        if let (Name::Tag(repository, tag), Some(position)) = (name, positions.get(&target)) {
            holdings[*position].references.push(Reference::from_tag(repository.clone(), tag));
        }
    })?;
    let sql = "SELECT target, image, manifest FROM target_member ORDER BY target, position";
    let mut select = connection.prepare_cached(sql)?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let (Some(position), Some(image)) = (positions.get(&row.get(0)?), index.get(&row.get(1)?)) else { continue };
        let (manifest, image) = (digest_at(row, 2)?, &images[*image]);
        holdings[*position].members.push(HeldMember {
            bytes: graph.bytes_below(&manifest),
            manifest,
            image_id: image.id.clone(),
            platform: Platform::clone(&image.platform),
        });
    }
    Ok(holdings)
}
