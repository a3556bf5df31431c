//! Volumes and the records of the build cache, as far as the space they take matters.

use dhow_base::Result;
use dhow_spec::Digest;
use rusqlite::Connection;

use super::Update;
use crate::db::Step;
use crate::find::text_at;
use crate::store::{Store, from_row, to_row};

/// A volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// Its name.
    pub name: String,
    /// Whether it got its name by chance, for one container.
    pub anonymous: bool,
    /// When it was made, in nanoseconds since 1970.
    pub created: i64,
    /// What it was made with, as JSON; `docs/formats/store.md` names the members.
    pub configuration: String,
    /// How many containers use it, running or not.
    pub links: u64,
}

/// The result of a build step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildRecord {
    /// What identifies the step and what it was given.
    pub key: String,
    /// What it is: `regular`, `source.local`, `exec.cachemount` and so on.
    pub kind: String,
    /// The record it was made on.
    pub parent: Option<String>,
    /// The blob that it is.
    pub digest: Option<Digest>,
    /// Its length in bytes.
    pub size: u64,
    /// When it was made, in nanoseconds since 1970.
    pub created: i64,
    /// When it was last used, likewise.
    pub used: i64,
    /// How often it was used.
    pub uses: u64,
    /// The step as its author wrote it.
    pub description: String,
}

impl Store {
    /// All volumes by name.
    ///
    /// # Errors
    /// Those of the database.
    pub fn volumes(&self) -> Result<Vec<Volume>> {
        self.read_rows(volumes)
    }

    /// All records of the build cache, the longest unused first.
    ///
    /// # Errors
    /// Those of the database.
    pub fn build_records(&self) -> Result<Vec<BuildRecord>> {
        self.read_rows(build_records)
    }
}

fn volumes(connection: &Connection) -> Step<Vec<Volume>> {
    let sql = "SELECT name, anonymous, created, configuration, \
               (SELECT count(*) FROM container_volume WHERE volume = name) FROM volume ORDER BY name";
    let mut select = connection.prepare_cached(sql)?;
    let mut rows = select.query([])?;
    let mut volumes = Vec::new();
    while let Some(row) = rows.next()? {
        volumes.push(Volume {
            name: row.get(0)?,
            anonymous: row.get(1)?,
            created: row.get(2)?,
            configuration: row.get(3)?,
            links: from_row(row.get(4)?),
        });
    }
    Ok(volumes)
}

fn build_records(connection: &Connection) -> Step<Vec<BuildRecord>> {
    let sql = "SELECT key, kind, parent, digest, size, created, used, uses, description FROM build_cache \
               ORDER BY used, key";
    let mut select = connection.prepare_cached(sql)?;
    let mut rows = select.query([])?;
    let mut records = Vec::new();
    while let Some(row) = rows.next()? {
        let digest = row.get_ref(3)?.as_str_or_null().ok().flatten().map(Digest::parse).transpose()?;
        records.push(BuildRecord {
            key: row.get(0)?,
            kind: text_at(row, 1)?.to_owned(),
            parent: row.get(2)?,
            digest,
            size: from_row(row.get(4)?),
            created: row.get(5)?,
            used: row.get(6)?,
            uses: from_row(row.get(7)?),
            description: row.get(8)?,
        });
    }
    Ok(records)
}

impl Update<'_> {
    /// As [`Store::volumes`].
    ///
    /// # Errors
    /// As there.
    pub fn volumes(&self) -> Result<Vec<Volume>> {
        self.run(|transaction| volumes(transaction))
    }

    /// As [`Store::build_records`].
    ///
    /// # Errors
    /// As there.
    pub fn build_records(&self) -> Result<Vec<BuildRecord>> {
        self.run(|transaction| build_records(transaction))
    }

    /// Records a volume and the containers that use it; [`Volume::links`] is theirs to say.
    ///
    /// # Errors
    /// Those of the database.
    pub fn put_volume(&mut self, volume: &Volume, containers: &[&str]) -> Result<()> {
        self.run(|transaction| {
            let sql = "INSERT OR REPLACE INTO volume (name, anonymous, created, configuration) VALUES (?1, ?2, ?3, ?4)";
            let row = (&volume.name, volume.anonymous, volume.created, &volume.configuration);
            transaction.prepare_cached(sql)?.execute(row)?;
            let sql = "INSERT OR IGNORE INTO container_volume (container, volume) VALUES (?1, ?2)";
            let mut link = transaction.prepare_cached(sql)?;
            for container in containers {
                link.execute([container, volume.name.as_str()])?;
            }
            Ok(())
        })
    }

    /// Forgets a volume. Returns whether there was one.
    ///
    /// # Errors
    /// Those of the database.
    pub fn remove_volume(&mut self, name: &str) -> Result<bool> {
        self.run(|transaction| {
            transaction.prepare_cached("DELETE FROM container_volume WHERE volume = ?1")?.execute([name])?;
            Ok(transaction.prepare_cached("DELETE FROM volume WHERE name = ?1")?.execute([name])? > 0)
        })
    }

    /// Records the result of a build step.
    ///
    /// # Errors
    /// Those of the database.
    pub fn put_build_record(&mut self, record: &BuildRecord) -> Result<()> {
        self.run(|transaction| {
            let sql = "INSERT OR REPLACE INTO build_cache \
                       (key, kind, parent, digest, size, created, used, uses, description) \
                       VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
            transaction.prepare_cached(sql)?.execute((
                &record.key,
                &record.kind,
                &record.parent,
                record.digest.as_ref().map(Digest::as_str),
                to_row(record.size),
                record.created,
                record.used,
                to_row(record.uses),
                &record.description,
            ))?;
            Ok(())
        })
    }

    /// Forgets the result of a build step. Returns whether there was one.
    ///
    /// # Errors
    /// Those of the database.
    pub fn remove_build_record(&mut self, key: &str) -> Result<bool> {
        self.run(|transaction| {
            Ok(transaction.prepare_cached("DELETE FROM build_cache WHERE key = ?1")?.execute([key])? > 0)
        })
    }
}
