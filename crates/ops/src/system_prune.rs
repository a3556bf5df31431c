//! `system prune`: removes what nothing uses, of every kind that there is.

use std::collections::BTreeMap;

use dhow_base::fs::FileLock;
use dhow_base::{Error, Result};
use dhow_store::{BuildRecord, ContainerRecord, Labels, Store, Update, Volume};

use crate::container::{self, Turn};
use crate::context::Context;
use crate::df::Configuration;
use crate::filter::{LabelTest, Term, now, parse_past, unknown};
use crate::naming::Naming;
use crate::prune::{self, Pruned};

/// What to prune.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// Every image without a container, not only those without a tag.
    pub all: bool,
    /// Volumes too: called as podman all, else anonymous ones.
    pub volumes: bool,
    /// Tells what would be removed, and removes nothing.
    pub dry_run: bool,
    /// `label`, `label!` and `until`; the `pruneFilters` of `config.json` come on top.
    pub filters: Vec<Term>,
}

/// What is gone.
#[derive(Debug, Default)]
pub struct Everything {
    /// IDs of containers.
    pub containers: Vec<String>,
    /// Names of volumes.
    pub volumes: Vec<String>,
    /// Images.
    pub images: Pruned,
    /// Keys of the build cache.
    pub build: Vec<String>,
    /// Bytes that are free again.
    pub reclaimed_bytes: u64,
    /// Why others are not, or not all of them.
    pub failures: Vec<Error>,
}

/// Removes stopped containers, with [`Request::volumes`] volumes that no container uses, images as
/// [`prune::prune`], and the build cache: in this order, so that what one kind frees the next one finds unused.
///
/// # Errors
/// [`dhow_base::Kind::Invalid`] in docker's words for filters, those of the store; what was removed before stays removed.
pub fn prune(context: &Context, request: &Request) -> Result<Everything> {
    let terms = prune::filters(context, &request.filters)?;
    let tests = Tests { all_volumes: context.naming() == Naming::Podman, ..Tests::parse(&terms)? };
    let store = context.store()?;
    container::recover(store)?;
    let images = prune::Request { all: request.all, filters: request.filters.clone(), ..prune::Request::default() };
    if request.dry_run {
        return preview(context, request, &tests, &images);
    }
    let given_up_bytes = store.make_room();
    let (held, mut failures) = hold_stopped(store, &tests)?;
    let _lock = if request.volumes { Some(container::change_volumes(store)?) } else { None };
    let mut everything = store.update(|update| remove_rows(update, request, &tests, &|id| held.contains_key(id)))?;
    everything.reclaimed_bytes += given_up_bytes;
    // From here on some of it is gone, which is told whatever comes in between.
    for (container, _lock) in held.iter().filter(|(_, lock)| lock.is_some()) {
        let bytes = store.directory_use("containers", container);
        match container::directory(store, container).and_then(|directory| container::discard(&directory)) {
            Ok(()) => everything.reclaimed_bytes += bytes,
            Err(error) => failures.push(error),
        }
    }
    for volume in &everything.volumes {
        match store.remove_directory("volumes", volume) {
            Ok(bytes) => everything.reclaimed_bytes += bytes,
            Err(error) => failures.push(error),
        }
    }
    let mut images = prune::prune(context, &images).unwrap_or_else(|error| {
        failures.push(error);
        Pruned::default()
    });
    failures.append(&mut images.failures);
    everything.failures = failures;
    Ok(everything.and(images))
}

/// Containers that nobody else works in, and their locks.
type Held = BTreeMap<String, Option<FileLock>>;

/// The containers to remove, which are not mounted any more, and their locks; none for one without a directory, which a power cut brought
/// back. One that somebody works in is left alone, and one that stays mounted, with the reason.
fn hold_stopped(store: &Store, tests: &Tests) -> Result<(Held, Vec<Error>)> {
    let (mut held, mut failures) = (Held::new(), Vec::new());
    let hold = |record: &ContainerRecord| {
        let id = &record.container.id;
        let is_there = container::directory(store, id)?.exists();
        let lock = if is_there { Turn::take_now(store, record)? } else { None };
        if is_there && lock.is_none() {
            return Ok(None);
        }
        container::end_mount(store, id).map(|()| Some(lock))
    };
    for record in store.containers()?.into_iter().filter(|record| tests.take_container(record)) {
        match hold(&record) {
            Ok(None) => {}
            Ok(Some(lock)) => drop(held.insert(record.container.id, lock)),
            Err(error) => failures.push(error),
        }
    }
    Ok((held, failures))
}

/// What would be gone.
fn preview(context: &Context, request: &Request, tests: &Tests, images: &prune::Request) -> Result<Everything> {
    let store = context.store()?;
    let (mut everything, left) =
        store.rehearse(|update| Ok((remove_rows(update, request, tests, &|_| true)?, update.images()?)))?;
    let bytes_of =
        |kind: &str, names: &[String]| -> u64 { names.iter().map(|name| store.directory_use(kind, name)).sum() };
    everything.reclaimed_bytes += bytes_of("containers", &everything.containers);
    everything.reclaimed_bytes += bytes_of("volumes", &everything.volumes);
    let gone = prune::preview_without(context, images, left, &everything.containers)?;
    Ok(everything.and(gone))
}

/// Removes what is no image, as far as the database knows it, of containers those that may be. The build cache is gone with that;
/// directories are not.
fn remove_rows(
    update: &mut Update<'_>,
    request: &Request,
    tests: &Tests,
    may_go: &dyn Fn(&str) -> bool,
) -> Result<Everything> {
    let mut everything = Everything::default();
    let goes = |record: &ContainerRecord| tests.take_container(record) && may_go(&record.container.id);
    for record in update.containers()?.into_iter().filter(goes) {
        update.remove_container(&record.container.id)?;
        everything.containers.push(record.container.id);
    }
    let unused = |volume: &Volume| request.volumes && tests.take_volume(volume);
    for volume in update.volumes()?.into_iter().filter(unused) {
        update.remove_volume(&volume.name)?;
        everything.volumes.push(volume.name);
    }
    for record in update.build_records()?.into_iter().filter(|record| tests.take_build(record)) {
        update.remove_build_record(&record.key)?;
        everything.reclaimed_bytes += record.size;
        everything.build.push(record.key);
    }
    Ok(everything)
}

impl Everything {
    fn and(mut self, images: Pruned) -> Self {
        if !images.images.is_empty() {
            self.reclaimed_bytes += images.reclaimed_bytes;
        }
        self.reclaimed_bytes += images.transfer_bytes;
        self.images = images;
        self
    }
}

/// The filters that make sense for every kind.
#[derive(Debug, Default)]
struct Tests {
    labels: Vec<LabelTest>,
    until: Option<i64>,
    /// Whether volumes that somebody has named go, too.
    all_volumes: bool,
}

impl Tests {
    fn parse(terms: &[Term]) -> Result<Self> {
        let mut tests = Self::default();
        for (name, value) in terms {
            match name.as_str() {
                "label" => tests.labels.push(LabelTest::new(value, true)),
                "label!" => tests.labels.push(LabelTest::new(value, false)),
                "until" => tests.until = Some(parse_past(value, now())?),
                _ => return Err(unknown(name)),
            }
        }
        Ok(tests)
    }

    fn take_time(&self, time: i64) -> bool {
        self.until.is_none_or(|until| time < until)
    }

    fn take_labels(&self, labels: &Labels) -> bool {
        self.labels.iter().all(|test| test.takes(labels))
    }

    fn take_container(&self, record: &ContainerRecord) -> bool {
        record.container.is_stopped()
            && self.take_time(record.created)
            && self.take_labels(&Configuration::parse(&record.configuration).labels)
    }

    fn take_volume(&self, volume: &Volume) -> bool {
        let labels = Configuration::parse(&volume.configuration).labels;
        // Docker's engine knows no age of volumes, and is not asked for one.
        let fits = if self.all_volumes { self.take_time(volume.created) } else { volume.anonymous };
        fits && volume.links == 0 && self.take_labels(&labels)
    }

    /// Results of build steps have no labels: a prune by labels leaves them alone.
    fn take_build(&self, record: &BuildRecord) -> bool {
        self.labels.is_empty() && self.take_time(record.used)
    }
}
