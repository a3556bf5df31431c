//! What the remains of a store still say about names, containers and volumes.

use std::collections::{BTreeMap, BTreeSet};

use dhow_base::fs as durable;
use dhow_base::{Kind, Result, limits};
use dhow_spec::layout::ANNOTATION_IMAGE_NAME;
use dhow_spec::{Descriptor, Document, Reference, Repository, Tag};
use rusqlite::{Connection, OpenFlags};

use crate::commit::NewTarget;
use crate::db::Step;
use crate::find::{descriptor_at, text_at};
use crate::store::Store;
use crate::view;

/// Tables whose rows nothing else in the store repeats, those that others point to first.
const ONLY_HERE: [&str; 5] = ["volume", "container", "container_volume", "build_cache", "blob_home"];

/// What was kept, with its names: as the old database says, and where that cannot be read to its end, as `index.json`
/// says besides. Of two that tell different states the newer one counts.
pub(super) fn targets(store: &Store, losses: &mut Vec<String>) -> Result<Vec<NewTarget>> {
    let mut found = Found::default();
    let old = open(store);
    if old.as_ref().is_some_and(|old| view::is_ahead_of(store.paths(), old)) {
        let loss = "the latest changes in meta.db; names are those of index.json, and those that had just been removed may be back";
        losses.push(loss.to_owned());
        found.read_view(store, losses)?;
    }
    let whole = old.is_some_and(|old| found.read_database(&old).is_ok());
    if !whole {
        losses.push("meta.db could not be read to its end; names are those of index.json".to_owned());
        found.read_view(store, losses)?;
    }
    Ok(found.targets.into_values().collect())
}

/// Copies the rows that only the old database had.
pub(super) fn other_rows(store: &Store, losses: &mut Vec<String>) {
    let Some(path) = readable(store) else { return };
    let mut unread: Vec<&str> = Vec::new();
    let copied = store.inner.database.beside(&path, |connection| {
        for table in ONLY_HERE {
            let sql = format!("INSERT OR IGNORE INTO main.{table} SELECT * FROM old.{table}");
            if let Err(error) = connection.execute(&sql, []) {
                tracing::debug!(table, %error, "rows of the old database cannot be copied");
                unread.push(table);
            }
        }
        Ok(())
    });
    if !unread.is_empty() {
        losses.push(format!("the old meta.db's rows of {} could not be read", unread.join(", ")));
    }
    if let Err(error) = copied {
        tracing::debug!(%error, "the old database cannot be read");
        losses.push("containers, volumes and build cache of the old meta.db could not be read".to_owned());
    }
}

/// The path of the old database, if it has one that SQLite can be given.
fn readable(store: &Store) -> Option<String> {
    let path = store.paths().database();
    path.exists().then(|| path.to_str().map(str::to_owned)).flatten()
}

fn open(store: &Store) -> Option<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(readable(store)?, flags).ok()
}

#[derive(Debug, Default)]
struct Found {
    targets: BTreeMap<String, NewTarget>,
    /// Names that have their target. The first to claim one gets it: what is newer is read first.
    named: BTreeSet<Reference>,
}

impl Found {
    fn target(&mut self, document: Descriptor) -> &mut NewTarget {
        let key = document.digest.to_string();
        self.targets.entry(key).or_insert_with(|| NewTarget::default_for(document))
    }

    fn name(&mut self, document: Descriptor, name: Reference) {
        if self.named.insert(name.clone()) {
            self.target(document).references.push(name);
        }
    }

    /// Takes what the old database says; at the first row that cannot be read, what was read so far stands.
    fn read_database(&mut self, old: &Connection) -> Step<()> {
        let mut select = old.prepare("SELECT digest, media_type, size FROM target")?;
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            self.target(descriptor_at(row, 0)?);
        }
        let sql = "SELECT digest, media_type, size, repository, tag FROM reference \
                   JOIN target ON target.number = reference.target";
        let mut select = old.prepare(sql)?;
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            let repository = Repository::parse(text_at(row, 3)?)?;
            self.name(descriptor_at(row, 0)?, Reference::from_tag(repository, Tag::parse(text_at(row, 4)?)?));
        }
        let sql = "SELECT digest, media_type, size, repository FROM repo_digest \
                   JOIN target ON target.number = repo_digest.target";
        let mut select = old.prepare(sql)?;
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            let repository = Repository::parse(text_at(row, 3)?)?;
            self.target(descriptor_at(row, 0)?).digest_repositories.push(repository);
        }
        Ok(())
    }

    /// Takes the names of `index.json` that the database did not give to anything.
    fn read_view(&mut self, store: &Store, losses: &mut Vec<String>) -> Result<()> {
        let bytes = match durable::read_limited(&store.paths().index(), limits::MANIFEST_BYTES_MAX) {
            Ok(bytes) => bytes,
            Err(error) if matches!(error.kind(), Kind::NotFound | Kind::LimitExceeded) => {
                losses.push(format!("index.json tells no names: {error}"));
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let entries = match Document::parse(bytes, None) {
            Ok(document) => document.as_index().map(|index| index.manifests.clone()).unwrap_or_default(),
            Err(error) => {
                losses.push(format!("index.json tells no names: {error}"));
                return Ok(());
            }
        };
        for entry in entries {
            let name = entry.annotations.get(ANNOTATION_IMAGE_NAME).and_then(|name| Reference::parse(name).ok());
            let document = Descriptor::new(entry.media_type.clone(), entry.digest.clone(), entry.size);
            self.target(document.clone());
            if let Some(name) = name.filter(|name| name.tag().is_some() && name.digest().is_none()) {
                self.name(document, name);
            }
        }
        Ok(())
    }
}
