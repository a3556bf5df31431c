//! `create`: a container's files and its record.

use std::path::Path;

use dhow_base::fs::{FileLock, create_dir_all, create_dir_all_for_everybody};
use dhow_base::{Error, Kind, Result};
use dhow_sandbox::container::Habits;
use dhow_spec::Digest;
use dhow_store::{Container, ContainerState, Found, Store, Update, Volume};

use super::image_files::{dress, root_attributes};
use super::mounts::{Dialect, Mount, MountKind};
use super::names::{check_length, check_volume_name, is_name, short_id};
use super::run_config::{arguments, merged};
use super::settings::{Configuration, ImageVolumes, Options, Settings};
use super::turn::hold_new;
use super::volume_fill::{fill_volumes, hold_all};
use super::working_directory::make_working_directory;
use super::{Machine, directory, discard, joins, names, new_id, now, recover, remove_left};
use crate::content_error::explain;
use crate::context::Context;
use crate::naming::Naming;
use crate::select;
use crate::unpack::image_manifest;

/// Directories of a container.
const DIRECTORIES: [&str; 6] = ["stubs", "upper", "work", "scratch", "merged", "lower"];

/// The number of the capability to make devices (capabilities(7)).
const MKNOD: u8 = 27;

/// Names by chance that are tried before one is given up.
const TRIES: u32 = 20;

/// A container that was made.
#[derive(Debug)]
pub struct Made {
    /// Its ID.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Nobody else works on it as long as this lives.
    pub(crate) lock: FileLock,
}

/// Makes a container of an image that is here. Nothing runs yet.
///
/// # Errors
/// [`Kind::NotFound`] when nothing has the image's name; [`Kind::Conflict`] in docker's words when a container has the name;
/// [`Kind::Invalid`] for options that do not fit.
pub fn create(context: &Context, options: &Options, machine: Machine) -> Result<Made> {
    make(context, options, machine, ContainerState::Created)
}

pub(crate) fn make(context: &Context, options: &Options, machine: Machine, state: ContainerState) -> Result<Made> {
    let store = context.store()?;
    store.require_writable().map_err(|error| error.context("cannot create a container"))?;
    let found = select::find(context, &options.image, options.platform.as_ref())?;
    image_manifest(store, &found)?;
    let id = new_id()?;
    let configuration = configured(context, options, machine, &found, &id)?;
    if options.name.is_some() {
        // A container that nobody watches any more may have the name, and may be one that goes when it ends.
        recover(store)?;
    }
    remove_left(store)?;
    let directory = directory(store, &id)?;
    let lock = hold_new(store, &id)?;
    let volumes = hold_all(store, &configuration.settings.mounts)?;
    let made = fill(context, &directory, &found, machine)
        .and_then(|()| fill_volumes(context, store, &configuration.settings.mounts, &found, machine))
        .and_then(|volumes| {
            if state == ContainerState::Created {
                make_working_directory(store, (&id, &found.image_id), &configuration, machine)?;
            }
            Ok(volumes)
        })
        .and_then(|volumes| record(store, options, &id, &found, &configuration, state, &volumes));
    drop(volumes);
    match made {
        Ok(name) => Ok(Made { id, name, lock }),
        Err(error) => {
            let _ = discard(&directory);
            Err(explain(&options.image, error))
        }
    }
}

/// What a new container is like, of its image's configuration and what the user says.
fn configured(
    context: &Context,
    options: &Options,
    machine: Machine,
    found: &Found,
    id: &str,
) -> Result<Configuration> {
    let store = context.store()?;
    let image = store.config(&found.image_id)?;
    let naming = context.naming();
    let mut config = merged(naming, options, image.config.as_ref())?;
    check_devices(&options.settings, machine)?;
    check_name(naming, options.name.as_deref())?;
    config.hostname = options.hostname.clone().unwrap_or_else(|| short_id(id).to_owned());
    let mut settings = Settings { kept_ids: machine.kept_ids, ..options.settings.clone() };
    joins::resolve(naming, store, &mut settings)?;
    if let Some((name, domain)) = joins::names(store, &settings)? {
        (config.hostname, settings.domain_name) = (name, domain);
    }
    if !options.volumes.is_empty() {
        config.volumes.get_or_insert_default().0.extend(options.volumes.iter().cloned());
    }
    let wanted = config.volumes.iter().flat_map(|volumes| &volumes.0);
    add_image_volumes(&mut settings.mounts, wanted, options.image_volumes, settings.habits);
    for mount in &mut settings.mounts {
        prepare_source(context, mount)?;
    }
    settings.mounts.sort_by_key(|mount| mount.target.matches('/').count());
    Ok(Configuration {
        image: match (naming, &found.reference) {
            (Naming::Podman, Some(reference)) => naming.shown(reference),
            _ => options.image.clone(),
        },
        command: arguments(&config),
        labels: config.labels.clone().unwrap_or_default(),
        mounted_images: settings.mounts.iter().filter_map(|mount| mount.image.clone()).collect(),
        config,
        settings,
    })
}

/// Whoever may make devices could make one of the machine's where they work.
fn check_devices(settings: &Settings, machine: Machine) -> Result<()> {
    let may_make = settings.capabilities.numbers(settings.habits)?.contains(&MKNOD) && !settings.privileged;
    let has_devices = |mount: &&Mount| mount.kind == MountKind::Tmpfs && mount.manner.devices == Some(true);
    match settings.mounts.iter().find(has_devices) {
        Some(mount) if may_make && !machine.in_user_namespace => {
            let message =
                format!("tmpfs option \"dev\" of {} is not supported with the capability MKNOD", mount.target);
            Err(Error::new(Kind::Unsupported, message)
                .with_hint("--device shows a device in the container, --cap-drop MKNOD leaves the capability out"))
        }
        _ => Ok(()),
    }
}

pub(super) fn check_name(naming: Naming, name: Option<&str>) -> Result<()> {
    let is_one = |name: &str| is_name(name) && (name.len() > 1 || naming == Naming::Podman);
    match name {
        Some(name) if !is_one(name.strip_prefix('/').unwrap_or(name)) => {
            let message = format!("Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed");
            Err(Error::new(Kind::Invalid, message))
        }
        _ => Ok(()),
    }
}

/// Volumes that the image wants and the user gave nothing for.
fn add_image_volumes<'v>(
    mounts: &mut Vec<Mount>,
    wanted: impl Iterator<Item = &'v String>,
    way: ImageVolumes,
    habits: Habits,
) {
    let dialect = if habits == Habits::Podman { Dialect::Podman } else { Dialect::Docker };
    for place in wanted {
        let mount = match way {
            ImageVolumes::Volumes => Mount::of_image(place, dialect),
            ImageVolumes::Memory => Mount::memory_of_image(place),
            ImageVolumes::Ignored => return,
        };
        let Some(mount) = mount else { continue };
        if !mounts.iter().any(|given| given.target == mount.target) {
            mounts.push(mount);
        }
    }
}

/// Gives volumes without a name one, and looks after what the machine and the store have to bring.
fn prepare_source(context: &Context, mount: &mut Mount) -> Result<()> {
    let naming = context.naming();
    let path = Path::new(&mount.source);
    match mount.kind {
        MountKind::Volume if mount.source.is_empty() => mount.source = new_id()?,
        MountKind::Volume => {
            check_volume_name(&mount.source)?;
            check_length(naming, &mount.source)
                .map_err(|error| error.context(format_args!("create {}", mount.source)))?;
        }
        // Whoever runs in the container is to see into it.
        MountKind::Bind if !path.exists() && mount.make_source => create_dir_all_for_everybody(path)?,
        MountKind::Bind if !path.exists() => {
            let message =
                format!("invalid mount config for type \"bind\": bind source path does not exist: {}", mount.source);
            return Err(Error::new(Kind::Invalid, message));
        }
        MountKind::Image => mount.image = Some(mounted_image(context, mount)?),
        _ => {}
    }
    Ok(())
}

/// The image that is to be mounted. Whatever becomes of its name, the container keeps it.
///
/// # Errors
/// [`Kind::NotFound`] when it is not here, [`Kind::Invalid`] for what can be no name, both in each engine's words.
pub fn mounted_image(context: &Context, mount: &Mount) -> Result<Digest> {
    let found = context.find(&mount.source).map_err(|error| {
        let error = match error.kind() {
            Kind::NotFound => {
                error.with_hint("an image that is to be mounted is not pulled by itself: `pull` brings it")
            }
            _ => error,
        };
        match context.naming() {
            Naming::Podman => {
                error.context(format_args!("creating image volume {:?}:{:?}", mount.source, mount.target))
            }
            Naming::Docker => error,
        }
    })?;
    image_manifest(context.store()?, &found)?;
    Ok(found.image_id)
}

/// Makes the directories of a container, and what is laid below them if it is not there yet.
fn fill(context: &Context, directory: &Path, found: &Found, machine: Machine) -> Result<()> {
    let store = context.store()?;
    for name in DIRECTORIES {
        create_dir_all(&directory.join(name))?;
    }
    let session = machine.in_user_namespace.then(|| store.begin("create")).transpose()?;
    if let Some(session) = &session {
        // What it reads is not collected meanwhile.
        session.pin(&found.manifest)?;
    }
    let root = root_attributes(store, &found.image_id, directory, machine)?;
    ["stubs", "upper"].iter().try_for_each(|name| dress(&directory.join(name), &root, machine))
}

fn record(
    store: &Store,
    options: &Options,
    id: &str,
    found: &Found,
    configuration: &Configuration,
    state: ContainerState,
    volumes: &[Volume],
) -> Result<String> {
    let text = configuration.text()?;
    let change = |update: &mut Update<'_>| {
        let containers = update.containers()?;
        let holder = |name: &str| containers.iter().find(|record| record.container.name.as_deref() == Some(name));
        let name = match options.name.as_deref() {
            Some(name) => {
                let name = name.strip_prefix('/').unwrap_or(name).to_owned();
                if let Some(holder) = holder(&name) {
                    return Err(taken(&name, &holder.container.id));
                }
                name
            }
            None => free_name(|name| holder(name).is_some())?,
        };
        let container = Container { id: id.to_owned(), name: Some(name.clone()), state };
        update.put_container(&container, &found.image_id)?;
        // They are used from now on, and may have gone since they were found.
        configuration.mounted_images.iter().try_for_each(|image| update.require_image(image))?;
        update.configure_container(id, &text)?;
        if state == ContainerState::Running {
            update.container_started(id, now())?;
        }
        for volume in volumes {
            update.put_volume(volume, &[id])?;
        }
        let known = update.volumes()?;
        let used = configuration.settings.mounts.iter().filter(|mount| mount.kind == MountKind::Volume);
        for mount in used {
            if let Some(volume) = known.iter().find(|volume| volume.name == mount.source) {
                update.put_volume(volume, &[id])?;
            }
        }
        Ok(name)
    };
    // A container that is gone when it ends is no loss; a volume would be.
    let is_passing = state == ContainerState::Running && configuration.settings.auto_remove && volumes.is_empty();
    if is_passing { store.update_passing(change) } else { store.update(change) }
}

pub(super) fn taken(name: &str, id: &str) -> Error {
    let message = format!("Conflict. The container name \"/{name}\" is already in use by container \"{id}\".");
    let way_out = "You have to remove (or rename) that container to be able to reuse that name.";
    Error::new(Kind::Conflict, format!("{message} {way_out}"))
}

fn free_name(is_taken: impl Fn(&str) -> bool) -> Result<String> {
    for _ in 0..TRIES {
        let name = names::by_chance()?;
        if !is_taken(&name) {
            return Ok(name);
        }
    }
    new_id()
}
