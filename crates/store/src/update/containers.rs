//! Containers, as far as images and their space care.

use std::collections::{HashMap, HashSet};

use dhow_base::Result;
use dhow_spec::Digest;
use rusqlite::{Connection, Transaction};

use super::Update;
use super::delete::delete_unheld;
use crate::db::{Failure, Step};
use crate::find;
use crate::images;
use crate::store::{Store, from_row, now};

/// A container, as far as images care.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// Its ID: 64 hexadecimal characters.
    pub id: String,
    /// Its name.
    pub name: Option<String>,
    /// What it is doing.
    pub state: ContainerState,
}

/// What a container is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContainerState {
    /// Made, never started.
    Created,
    /// Its process runs.
    Running,
    /// Its process is stopped and can go on.
    Paused,
    /// Its process has ended.
    Exited,
    /// It is being removed.
    Removing,
}

impl ContainerState {
    /// The word in the database, docker's.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Exited => "exited",
            Self::Removing => "removing",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Created, Self::Running, Self::Paused, Self::Exited, Self::Removing]
            .into_iter()
            .find(|state| state.as_str() == text)
    }
}

impl Container {
    /// The first twelve characters of the ID.
    pub fn short_id(&self) -> &str {
        self.id.get(..12).unwrap_or(&self.id)
    }

    /// Whether its process exists, paused or not.
    pub fn is_running(&self) -> bool {
        matches!(self.state, ContainerState::Running | ContainerState::Paused)
    }

    /// Whether it has no process and nobody is removing it.
    pub fn is_stopped(&self) -> bool {
        matches!(self.state, ContainerState::Created | ContainerState::Exited)
    }
}

/// A container as lists of what takes space show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerRecord {
    /// Its ID, name and state.
    pub container: Container,
    /// The image it was made from. Forced removal may have taken it from everybody else ([`Store::find_used`]).
    pub image_id: Digest,
    /// When it was made, in nanoseconds since 1970.
    pub created: i64,
    /// When its process started last, likewise.
    pub started: Option<i64>,
    /// When its process ended last, likewise.
    pub finished: Option<i64>,
    /// How its process ended last.
    pub exit_code: Option<i64>,
    /// Volumes it uses.
    pub volumes: u64,
    /// What it was made with, as JSON; `docs/formats/store.md` names the members.
    pub configuration: String,
}

/// Rows of `container` and `image_id`: it was made from the image, or has it mounted. A configuration that is no JSON says nothing.
pub(crate) const USES: &str = "(SELECT id AS container, image_id FROM container \
     UNION SELECT container.id, mounted.value FROM container, json_each( \
         iif(instr(configuration, '\"MountedImages\"') AND json_valid(configuration), configuration, '{}'), \
         '$.MountedImages') AS mounted)";

impl Store {
    /// The images that containers were made from or have mounted.
    ///
    /// # Errors
    /// Those of the database.
    pub fn used_images(&self) -> Result<HashSet<Digest>> {
        self.read_rows(|connection| {
            let mut select = connection.prepare_cached(&format!("SELECT DISTINCT image_id FROM {USES}"))?;
            let mut rows = select.query([])?;
            let mut used = HashSet::new();
            while let Some(row) = rows.next()? {
                used.insert(find::digest_at(row, 0)?);
            }
            Ok(used)
        })
    }

    /// All containers, the newest first.
    ///
    /// # Errors
    /// Those of the database.
    pub fn containers(&self) -> Result<Vec<ContainerRecord>> {
        self.read_rows(list)
    }
}

/// The containers that use each image.
#[derive(Debug)]
pub(super) struct Uses {
    by_image: HashMap<Digest, Vec<Container>>,
    /// The IDs of these images, as a JSON array.
    pub(super) images: String,
}

impl Uses {
    fn read(transaction: &Transaction<'_>) -> Step<Self> {
        let sql = format!(
            "SELECT id, name, state, uses.image_id FROM {USES} AS uses CROSS JOIN container ON container.id = uses.container \
             ORDER BY created, id"
        );
        let mut select = transaction.prepare_cached(&sql)?;
        let mut rows = select.query([])?;
        let mut by_image: HashMap<Digest, Vec<Container>> = HashMap::new();
        while let Some(row) = rows.next()? {
            let state = state_at(find::text_at(row, 2)?)?;
            let container = Container { id: row.get(0)?, name: row.get(1)?, state };
            by_image.entry(find::digest_at(row, 3)?).or_default().push(container);
        }
        by_image.values_mut().for_each(|containers| containers.sort_by_key(|container| !container.is_running()));
        let images = serde_json::Value::from_iter(by_image.keys().map(Digest::as_str)).to_string();
        Ok(Self { by_image, images })
    }
}

/// The images that a container uses.
fn used_by(connection: &Connection, container: &str) -> Step<Vec<Digest>> {
    let mut select = connection.prepare_cached(&format!("SELECT image_id FROM {USES} WHERE container = ?1"))?;
    let mut rows = select.query([container])?;
    let mut used = Vec::new();
    while let Some(row) = rows.next()? {
        used.push(find::digest_at(row, 0)?);
    }
    Ok(used)
}

fn list(connection: &Connection) -> Step<Vec<ContainerRecord>> {
    let sql = "SELECT id, name, state, image_id, created, started, finished, exit_code, \
               (SELECT count(*) FROM container_volume WHERE container = id), configuration \
               FROM container ORDER BY created DESC, id";
    let mut select = connection.prepare_cached(sql)?;
    let mut rows = select.query([])?;
    let mut records = Vec::new();
    while let Some(row) = rows.next()? {
        records.push(ContainerRecord {
            container: Container { id: row.get(0)?, name: row.get(1)?, state: state_at(find::text_at(row, 2)?)? },
            image_id: find::digest_at(row, 3)?,
            created: row.get(4)?,
            started: row.get(5)?,
            finished: row.get(6)?,
            exit_code: row.get(7)?,
            volumes: from_row(row.get(8)?),
            configuration: row.get(9)?,
        });
    }
    Ok(records)
}

fn state_at(text: &str) -> Step<ContainerState> {
    ContainerState::parse(text).ok_or_else(|| Failure::Row(format!("unknown container state {text:?}")))
}

impl Update<'_> {
    /// As [`Store::containers`].
    ///
    /// # Errors
    /// As there.
    pub fn containers(&self) -> Result<Vec<ContainerRecord>> {
        self.run(|transaction| list(transaction))
    }

    /// The containers that were made from an image or have it mounted, those that run first.
    ///
    /// # Errors
    /// Those of the database.
    pub fn containers_of(&self, image_id: &Digest) -> Result<Vec<Container>> {
        Ok(self.uses()?.by_image.get(image_id).cloned().unwrap_or_default())
    }

    /// Which containers use which image. It is asked for image after image, and read once: nobody else writes during the transaction, and
    /// what changes a container here forgets it.
    pub(super) fn uses(&self) -> Result<&Uses> {
        if let Some(uses) = self.uses.get() {
            return Ok(uses);
        }
        let uses = self.run(Uses::read)?;
        Ok(self.uses.get_or_init(|| uses))
    }

    fn change_containers<T>(&mut self, step: impl FnOnce(&Transaction<'_>) -> Step<T>) -> Result<T> {
        self.uses.take();
        self.run(step)
    }

    /// Records a container that is made from an image, or its new state.
    ///
    /// # Errors
    /// [`NotFound`](dhow_base::Kind::NotFound) when the image is not here; those of the database.
    pub fn put_container(&mut self, container: &Container, image_id: &Digest) -> Result<()> {
        self.require_image(image_id)?;
        self.change_containers(|transaction| {
            let sql = "INSERT INTO container (id, name, image_id, state, created, configuration) \
                       VALUES (?1, ?2, ?3, ?4, ?5, '{}') \
                       ON CONFLICT (id) DO UPDATE SET name = excluded.name, state = excluded.state";
            let row = (&container.id, &container.name, image_id.as_str(), container.state.as_str(), now());
            transaction.prepare_cached(sql)?.execute(row)?;
            Ok(())
        })
    }

    /// Makes sure that an image is here.
    ///
    /// # Errors
    /// [`NotFound`](dhow_base::Kind::NotFound) when it is not; those of the database.
    pub fn require_image(&self, image_id: &Digest) -> Result<()> {
        let found = self.run(|transaction| images::one(transaction, self.shown, image_id))?;
        found.map(drop).ok_or_else(|| find::no_such_image(image_id.as_str()))
    }

    /// Records what a container was made with, as JSON; `MountedImages` in it are used from then on. Returns whether there is such a container.
    ///
    /// # Errors
    /// Those of the database.
    pub fn configure_container(&mut self, id: &str, configuration: &str) -> Result<bool> {
        self.change_containers(|transaction| {
            let sql = "UPDATE container SET configuration = ?2 WHERE id = ?1";
            Ok(transaction.prepare_cached(sql)?.execute([id, configuration])? > 0)
        })
    }

    /// Records another name of a container, which no other has. Returns whether there is such a container.
    ///
    /// # Errors
    /// Those of the database.
    pub fn rename_container(&mut self, id: &str, name: &str) -> Result<bool> {
        self.change_containers(|transaction| {
            let sql = "UPDATE container SET name = ?2 WHERE id = ?1";
            Ok(transaction.prepare_cached(sql)?.execute([id, name])? > 0)
        })
    }

    /// Records that a container's process runs, since when in nanoseconds since 1970. Returns whether there is such a container.
    ///
    /// # Errors
    /// Those of the database.
    pub fn container_started(&mut self, id: &str, started: i64) -> Result<bool> {
        self.change_containers(|transaction| {
            let sql =
                "UPDATE container SET state = 'running', started = ?2, finished = NULL, exit_code = NULL WHERE id = ?1";
            Ok(transaction.prepare_cached(sql)?.execute((id, started))? > 0)
        })
    }

    /// Records that a container's process has ended, and how; without a code that it was never started after all. Returns whether there
    /// is such a container.
    ///
    /// # Errors
    /// Those of the database.
    pub fn container_ended(&mut self, id: &str, code: Option<i64>, finished: i64) -> Result<bool> {
        self.change_containers(|transaction| {
            let sql = "UPDATE container SET state = ?2, finished = ?3, exit_code = ?4 WHERE id = ?1";
            let state = if code.is_some() { ContainerState::Exited } else { ContainerState::Created };
            let finished = code.map(|_| finished);
            Ok(transaction.prepare_cached(sql)?.execute((id, state.as_str(), finished, code))? > 0)
        })
    }

    /// Takes back that a container's process runs: it is as it was `before` that was recorded. Returns whether there is such a container.
    ///
    /// # Errors
    /// Those of the database.
    pub fn container_not_started(&mut self, before: &ContainerRecord) -> Result<bool> {
        self.change_containers(|transaction| {
            let sql = "UPDATE container SET state = ?2, started = ?3, finished = ?4, exit_code = ?5 WHERE id = ?1";
            let ContainerRecord { container, started, finished, exit_code, .. } = before;
            let row = (&container.id, container.state.as_str(), started, finished, exit_code);
            Ok(transaction.prepare_cached(sql)?.execute(row)? > 0)
        })
    }

    /// The names of the volumes that a container uses, with whether each got its name by chance.
    ///
    /// # Errors
    /// Those of the database.
    pub fn volumes_of(&self, id: &str) -> Result<Vec<(String, bool)>> {
        self.run(|transaction| {
            let sql = "SELECT name, anonymous FROM container_volume JOIN volume ON name = volume WHERE container = ?1 \
                       ORDER BY name";
            let mut select = transaction.prepare_cached(sql)?;
            let rows = select.query_map([id], |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok(rows.collect::<std::result::Result<_, _>>()?)
        })
    }

    /// Forgets a container, that it used volumes, and the images that were there for it alone: those [removed](Update::removed) then are
    /// to be collected. Returns whether there was one.
    ///
    /// # Errors
    /// Those of the database.
    pub fn remove_container(&mut self, id: &str) -> Result<bool> {
        let (was_there, documents) = self.change_containers(|transaction| {
            let used = used_by(transaction, id)?;
            transaction.prepare_cached("DELETE FROM container_volume WHERE container = ?1")?.execute([id])?;
            let removed = transaction.prepare_cached("DELETE FROM container WHERE id = ?1")?.execute([id])?;
            Ok((removed > 0, delete_unheld(transaction, &used)?))
        })?;
        self.removed.extend(documents);
        Ok(was_there)
    }
}
