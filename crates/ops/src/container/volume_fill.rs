//! New volumes: held by who makes them, and filled with what the image has in their place.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::path::Path;

use dhow_base::beneath::{Dir, set_mode, set_modified, set_owner};
use dhow_base::error::words;
use dhow_base::fs::{FileLock, LockMode, create_dir_all};
use dhow_base::{Error, Kind, Result};
use dhow_store::{Found, Store, Volume};
use serde_json::json;

use super::mounts::{Mount, MountKind};
use super::turn::keep_volumes;
use super::volume_options::{Backing, VolumeOptions};
use super::volumes::data;
use super::{Machine, discard, now, root};
use crate::context::Context;
use crate::cp;
use crate::naming::Naming;
use crate::rootfs::{Place, RootFs};

/// The directory of a volume that is being filled, beside that of its files.
const ASIDE: &str = "new";

/// Volumes that nobody else makes, fills or removes while this lives.
#[derive(Debug)]
pub(super) struct HeldVolumes {
    _each: Vec<FileLock>,
    _all: FileLock,
}

/// Waits for who makes or fills these volumes, or removes any. The locks of several are taken in the order of their names, so that nobody
/// waits in a circle.
///
/// # Errors
/// The operating system's.
pub(super) fn hold<'n>(store: &Store, names: impl IntoIterator<Item = &'n str>) -> Result<HeldVolumes> {
    let all = keep_volumes(store)?;
    let folder = root(store, "volumes")?;
    let held = |name: &str| {
        let directory = folder.join(name);
        create_dir_all(&directory)?;
        let opened =
            File::open(&directory).map_err(|error| Error::io(format_args!("cannot open {directory:?}"), error));
        FileLock::lock(opened?, &directory, LockMode::Exclusive)
    };
    let each = names.into_iter().collect::<BTreeSet<_>>().into_iter().map(held).collect::<Result<_>>()?;
    Ok(HeldVolumes { _each: each, _all: all })
}

/// As [`hold`], of all volumes that a container mounts, if it mounts any.
///
/// # Errors
/// As there.
pub(super) fn hold_all(store: &Store, mounts: &[Mount]) -> Result<Option<HeldVolumes>> {
    let mut names = volumes_among(mounts).map(|mount| mount.source.as_str()).peekable();
    if names.peek().is_none() { Ok(None) } else { hold(store, names).map(Some) }
}

fn volumes_among(mounts: &[Mount]) -> impl Iterator<Item = &Mount> {
    mounts.iter().filter(|mount| mount.kind == MountKind::Volume)
}

/// Removes the files of a held volume that is not on record: it was removed, or who made it was killed.
///
/// # Errors
/// The operating system's.
pub(super) fn discard_unknown(store: &Store, name: &str) -> Result<()> {
    let directory = root(store, "volumes")?.join(name);
    ["_data", ASIDE].iter().try_for_each(|part| discard(&directory.join(part)))
}

/// Makes those held volumes that are not there yet, with what the image has in their place. Returns them.
///
/// # Errors
/// Those of reading the image and of writing; [`Kind::Unsupported`] for options of a driver.
pub(super) fn fill_volumes(
    context: &Context,
    store: &Store,
    mounts: &[Mount],
    found: &Found,
    machine: Machine,
) -> Result<Vec<Volume>> {
    let mut volumes: Vec<Volume> = Vec::new();
    let known = store.volumes()?;
    for mount in volumes_among(mounts) {
        let known = known.iter().find(|volume| volume.name == mount.source);
        let is_new = known.is_none() && !volumes.iter().any(|volume| volume.name == mount.source);
        let options = match known {
            Some(volume) => VolumeOptions::parse(&volume.configuration),
            None => VolumeOptions::of_new(context.naming(), mount)?,
        };
        if is_new {
            discard_unknown(store, &mount.source)?;
        }
        let own = data(store, &mount.source)?;
        let backing = options.backing()?;
        // A part of a volume is there already, or is none.
        let takes_files = !mount.no_copy && !options.stays_empty() && mount.manner.subpath.is_empty();
        if let Some(data) = backing.files(&own).filter(|_| takes_files) {
            let mut entries = fs::read_dir(data).map_err(|error| unmounted(&own, data, &error))?;
            if entries.next().is_none() {
                let is_shown = backing != Backing::Own || known.is_some_and(|volume| volume.links > 0);
                copy_up(context, found, &mount.target, data, is_shown, machine)?;
            }
        }
        if is_new {
            let configuration = configuration(context.naming(), &mount.labels, &options, mount.anonymous);
            let name = mount.source.clone();
            volumes.push(Volume { name, anonymous: mount.anonymous, created: now(), configuration, links: 0 });
        }
    }
    Ok(volumes)
}

/// In docker's words: its driver mounts what a volume is a view of when a container is made.
fn unmounted(own: &Path, source: &Path, error: &io::Error) -> Error {
    let (own, source) = (own.display(), source.display());
    let what = format!("error while mounting volume '{own}': failed to mount local volume: mount {source}:{own}");
    Error::new(Kind::Invalid, format!("{what}: {}", words(error)))
}

/// What the store keeps of a new volume. Docker's engine marks those without a name (moby, `volumesservice.AnonymousLabel`).
pub(super) fn configuration(
    naming: Naming,
    labels: &BTreeMap<String, String>,
    options: &VolumeOptions,
    anonymous: bool,
) -> String {
    let mark =
        (anonymous && naming == Naming::Docker).then(|| ("com.docker.volume.anonymous".to_owned(), String::new()));
    let labels: BTreeMap<String, String> = labels.clone().into_iter().chain(mark).collect();
    let mut configuration = json!(options);
    configuration["Labels"] = json!(labels);
    configuration.to_string()
}

/// Copies what the image has at a path into an empty volume: all of it or nothing, whatever becomes of this process. A volume that a container
/// may show keeps its directory.
fn copy_up(
    context: &Context,
    found: &Found,
    target: &str,
    data: &Path,
    is_shown: bool,
    machine: Machine,
) -> Result<()> {
    let image = found.image_id.as_str().to_owned();
    let rootfs = RootFs::open(context, &image)?;
    let place = Place { image, path: target.to_owned() };
    let Some((_, node)) = rootfs.union.resolve(target.as_bytes(), true)?.filter(|(_, node)| node.is_directory()) else {
        return Ok(());
    };
    let attributes = rootfs.union.attributes(&node)?;
    let keeps = machine.may_own();
    let request = cp::Request {
        source: Place { path: format!("{}/.", place.path.trim_end_matches('/')), ..place },
        follow_link: true,
        archive: keeps,
        clash: cp::Clash::Refused,
    };
    let aside = data.with_file_name(ASIDE);
    let into = if is_shown { data } else { &aside };
    if !is_shown {
        discard(&aside)?;
        create_dir_all(into)?;
    }
    cp::to_path(context, &request, into).map_err(|failed| match failed {
        cp::Failed::Here(error) | cp::Failed::There(error) => error,
    })?;
    let cannot = |error| Error::io(format_args!("cannot change {data:?}"), error);
    let open = File::open(into).map_err(cannot)?;
    if keeps {
        set_owner(&open, attributes.uid, attributes.gid).map_err(cannot)?;
    }
    set_mode(&open, attributes.mode & 0o7777).map_err(cannot)?;
    let changed = attributes.mtime;
    set_modified(&open, changed.seconds, changed.nanoseconds).map_err(cannot)?;
    if let (false, Some(directory)) = (is_shown, data.parent()) {
        let moved = Dir::open(directory).and_then(|directory| directory.rename_over(ASIDE.as_ref(), "_data".as_ref()));
        moved.map_err(cannot)?;
    }
    Ok(())
}
