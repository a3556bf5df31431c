//! One collection at a time, from wherever it runs.
//!
//! The lock is an object that its holder rewrites, on the condition that nobody else has. One that is not rewritten for
//! [`DEAD`] is a dead collection's, and is taken over together with the place where that one stopped.

use std::time::{Duration, Instant, SystemTime};

use dhow_base::{Error, Kind, Result};
use serde::{Deserialize, Serialize};

use super::super::objects::{Look, Objects, Version};
use super::super::{keys, serial};

const LOCK_BYTES_MAX: u64 = 64 << 10;

/// How often the holder shows that it lives.
const BEAT: Duration = Duration::from_secs(5);

/// After this long without a sign it does not, nor does it remove anything any more (`gate::ACTING`).
const DEAD: Duration = Duration::from_millis(if cfg!(test) { 300 } else { 45_000 });

const PAUSE: Duration = Duration::from_millis(if cfg!(test) { 20 } else { 500 });

/// The lock, held.
#[derive(Debug)]
pub(super) struct Lock {
    state: State,
    version: Version,
    beaten: Instant,
    taken_at: SystemTime,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct State {
    holder: String,
    beats: u64,
    /// Behind which key to go on.
    cursor: Option<String>,
}

impl Lock {
    pub(super) async fn take(objects: &Objects) -> Result<Self> {
        let mut state = State { holder: serial()?, beats: 0, cursor: None };
        let version = match objects.create(keys::LOCK, write(&state)?).await {
            Ok(version) => version,
            Err(error) if error.kind() == Kind::Conflict => {
                let (version, cursor) = wait_for_death(objects).await?;
                state.cursor = cursor;
                let version = match version {
                    Some(version) => objects.replace(keys::LOCK, write(&state)?, &version).await,
                    None => objects.create(keys::LOCK, write(&state)?).await,
                };
                version.map_err(|error| if error.kind() == Kind::Conflict { running(objects) } else { error })?
            }
            Err(error) => return Err(error),
        };
        // What a dead collection announced is not removed any more.
        objects.delete(keys::SWEEP).await?;
        let read = objects.get(keys::LOCK, LOCK_BYTES_MAX).await?;
        let taken_at = read.map_or_else(SystemTime::now, |read| read.changed);
        Ok(Self { state, version, beaten: Instant::now(), taken_at })
    }

    /// The store's time when the lock was taken.
    pub(super) fn taken_at(&self) -> SystemTime {
        self.taken_at
    }

    pub(super) fn cursor(&self) -> Option<&str> {
        self.state.cursor.as_deref()
    }

    pub(super) async fn beat(&mut self, objects: &Objects, cursor: Option<&str>) -> Result<()> {
        if let Some(cursor) = cursor {
            self.state.cursor = Some(cursor.to_owned());
        }
        if self.beaten.elapsed() < BEAT {
            return Ok(());
        }
        self.state.beats += 1;
        let replaced = objects.replace(keys::LOCK, write(&self.state)?, &self.version).await;
        self.version =
            replaced.map_err(|error| if error.kind() == Kind::Conflict { running(objects) } else { error })?;
        self.beaten = Instant::now();
        Ok(())
    }

    pub(super) async fn release(self, objects: &Objects) -> Result<()> {
        objects.delete(keys::LOCK).await
    }
}

/// Watches the lock of another collection; returns its last state once that has ended or died.
async fn wait_for_death(objects: &Objects) -> Result<(Option<Version>, Option<String>)> {
    let Some(first) = objects.get(keys::LOCK, LOCK_BYTES_MAX).await? else { return Ok((None, None)) };
    let seen = Instant::now();
    while seen.elapsed() < DEAD {
        tokio::time::sleep(PAUSE).await;
        match objects.look(keys::LOCK, Some(&first.version), LOCK_BYTES_MAX).await? {
            Look::Unchanged => {}
            Look::Missing => return Ok((None, None)),
            Look::Changed(_) => return Err(running(objects)),
        }
    }
    let state = serde_json::from_slice::<State>(&first.bytes).ok();
    Ok((Some(first.version), state.and_then(|state| state.cursor)))
}

fn running(objects: &Objects) -> Error {
    Error::new(Kind::Unavailable, format!("another collection is running in {:?}", objects.name()))
        .with_hint("wait for its end")
}

fn write(state: &State) -> Result<Vec<u8>> {
    serde_json::to_vec(state)
        .map_err(|error| Error::new(Kind::Internal, "cannot write the collector's lock").with_source(error))
}
