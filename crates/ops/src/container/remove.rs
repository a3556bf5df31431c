//! `rm` and `container prune`.

use std::thread::sleep;
use std::time::{Duration, Instant};

use dhow_base::fs::{FileLock, LockMode};
use dhow_base::{Error, Kind, Result};
use dhow_store::Store;

use super::turn::{TO_WORK, runs_now};
use super::{Record, Turn, directory, discard, end_left, end_mount, kill, root};
use crate::context::Context;
use crate::df::Configuration;
use crate::filter::{LabelTest, Term, now, parse_past, unknown};
use crate::prune;

/// How long a container that was killed may take to end.
const PATIENCE: Duration = Duration::from_secs(10);

/// How `rm` behaves.
#[derive(Clone, Copy, Debug, Default)]
pub struct RemoveOptions {
    /// Ends a container that runs.
    pub force: bool,
    /// Takes its volumes without a name along.
    pub volumes: bool,
}

/// Removes a container.
///
/// # Errors
/// [`Kind::Conflict`] in docker's words when it runs; those of the store.
pub fn remove(context: &Context, record: &Record, options: RemoveOptions) -> Result<()> {
    let store = context.store()?;
    let id = &record.container.id;
    let name = record.container.name.as_deref().unwrap_or(record.container.short_id());
    let running = || {
        let way_out = "stop the container before removing or force remove";
        let message = format!("cannot remove container \"{name}\": container is running: {way_out}");
        Error::new(Kind::Conflict, message)
    };
    let _lock = match options.force {
        true => end(store, id, name)?,
        // Not only once it has ended or is known to have begun.
        false if record.container.is_running() => return Err(running()),
        false => match Turn::take(store, record, name)? {
            Turn::Still(lock) => Some(lock),
            Turn::Running(_) => return Err(running()),
        },
    };
    forget(store, id, options.volumes)
}

/// Kills what runs and waits for whoever watches it, or for whoever works in one that does not run. There is no lock when it was removed
/// meanwhile (`run --rm`).
fn end(store: &Store, id: &str, name: &str) -> Result<Option<FileLock>> {
    let directory = directory(store, id)?;
    let does_not_end =
        || Err(Error::new(Kind::Conflict, format!("cannot remove container \"{name}\": it does not end")));
    let begin = Instant::now();
    dhow_base::fs::create_dir_all(&directory)?;
    loop {
        match FileLock::try_acquire(&directory.join("lock"), LockMode::Exclusive) {
            Err(error) if error.kind() == Kind::NotFound => return Ok(None),
            Ok(None) => {}
            // Its watcher may have been killed just now.
            Ok(Some(_)) if !end_left(&directory) => return does_not_end(),
            ended => return ended,
        }
        kill(&directory);
        let waited = begin.elapsed();
        if waited > PATIENCE && (waited > TO_WORK || runs_now(store, id)? == Some(true)) {
            return does_not_end();
        }
        sleep(Duration::from_millis(5));
    }
}

/// Takes a container away whose lock is held: first its record, so that nothing half removed is ever listed.
pub(crate) fn forget(store: &Store, id: &str, with_volumes: bool) -> Result<()> {
    end_mount(store, id)?;
    let (volumes, documents) = store.update(|update| {
        let volumes = if with_volumes { update.volumes_of(id)? } else { Vec::new() };
        update.remove_container(id)?;
        let left = update.volumes()?;
        let mut gone = Vec::new();
        for (name, anonymous) in volumes {
            let is_unused = left.iter().any(|volume| volume.name == name && volume.links == 0);
            if anonymous && is_unused {
                update.remove_volume(&name)?;
                gone.push(name);
            }
        }
        Ok((gone, update.removed().to_vec()))
    })?;
    if !documents.is_empty()
        && let Err(error) = store.collect_below(&documents)
    {
        tracing::warn!(%error, "the image that only this container used stays for the next collection");
    }
    for name in volumes {
        discard(&root(store, "volumes")?.join(name))?;
    }
    discard(&directory(store, id)?)
}

/// As [`forget`], for a container that has no volumes and was to be removed when it ends: a power cut may bring its record back.
pub(crate) fn forget_passing(store: &Store, id: &str) -> Result<()> {
    end_mount(store, id)?;
    store.update_passing(|update| update.remove_container(id))?;
    discard(&directory(store, id)?)
}

/// What a prune of containers, or of volumes, did.
#[derive(Debug, Default)]
pub struct Pruned {
    /// IDs of containers, or names of volumes, that are gone.
    pub removed: Vec<String>,
    /// Bytes that are free again.
    pub reclaimed_bytes: u64,
    /// Why others are not, or not all of them.
    pub failures: Vec<Error>,
}

/// Removes the containers that do not run.
///
/// # Errors
/// [`Kind::Invalid`] in docker's words for filters; those of the store.
pub fn prune(context: &Context, filters: &[Term]) -> Result<Pruned> {
    let terms = prune::filters(context, filters)?;
    let (mut labels, mut until) = (Vec::new(), None);
    for (name, value) in &terms {
        match name.as_str() {
            "label" => labels.push(LabelTest::new(value, true)),
            "label!" => labels.push(LabelTest::new(value, false)),
            "until" => until = Some(parse_past(value, now())?),
            _ => return Err(unknown(name)),
        }
    }
    let store = context.store()?;
    let mut pruned = Pruned::default();
    for record in super::list(context)? {
        let fits = record.container.is_stopped()
            && until.is_none_or(|until| record.created < until)
            && labels.iter().all(|test| test.takes(&Configuration::parse(&record.configuration).labels));
        if !fits {
            continue;
        }
        let size = store.directory_use("containers", &record.container.id);
        match take_away(store, &record) {
            Ok(true) => {
                pruned.reclaimed_bytes += size;
                pruned.removed.push(record.container.id);
            }
            Ok(false) => {}
            Err(error) => pruned.failures.push(error),
        }
    }
    Ok(pruned)
}

/// Removes a container, but for one that somebody works in. Returns whether it is gone.
fn take_away(store: &Store, record: &Record) -> Result<bool> {
    let Some(_lock) = Turn::take_now(store, record)? else { return Ok(false) };
    forget(store, &record.container.id, false)?;
    Ok(true)
}
