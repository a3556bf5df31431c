//! What is known about a container.

use std::path::PathBuf;

use dhow_base::Result;
use dhow_sandbox::container::Masking;
use dhow_spec::config::RunConfig;
use dhow_spec::{Digest, Platform};

use super::joins::{Other, network_of};
use super::last_run::LastRun;
use super::mounts::{Mount, MountKind};
use super::run::masking;
use super::run_config::arguments;
use super::settings::{Configuration, Settings};
use super::{KeptIds, Record, directory, process, root};
use crate::context::Context;
use crate::select;

/// What is known about a container besides its record.
#[derive(Clone, Debug)]
pub struct Details {
    /// The program and its arguments.
    pub arguments: Vec<String>,
    /// How it runs, as an image's config would have it.
    pub config: RunConfig,
    /// The rest.
    pub settings: Settings,
    /// Where its files are.
    pub directory: PathBuf,
    /// Where the files are that tell of its network.
    pub network_directory: PathBuf,
    /// The number of its first process, if it runs.
    pub process: Option<u32>,
    /// What is to be told of its last run.
    pub last_run: LastRun,
}

impl Details {
    /// What of `/proc` and `/sys` it does not see, and what it cannot write to.
    pub fn masking(&self) -> Masking {
        masking(&self.settings)
    }
}

/// Reads what is known about a container.
///
/// # Errors
/// [`dhow_base::Kind::Corrupt`] when its record cannot be read.
pub fn details(context: &Context, record: &Record) -> Result<Details> {
    let store = context.store()?;
    let Configuration { config, settings, .. } = Configuration::parse(&record.configuration)?;
    let directory = directory(store, &record.container.id)?;
    let process = process(&directory).map(|process| process.id()).filter(|_| record.container.is_running());
    let (network_directory, _) = network_of(store, &record.container.id, &settings)?;
    Ok(Details {
        arguments: arguments(&config),
        config,
        settings,
        last_run: LastRun::read(&directory),
        directory,
        network_directory,
        process,
    })
}

/// Whether it was made to be given input, and a terminal.
///
/// # Errors
/// As [`details`].
pub fn streams_of(record: &Record) -> Result<(bool, bool)> {
    let config = Configuration::parse(&record.configuration)?.config;
    Ok((config.open_stdin, config.tty))
}

/// The directory that its program starts in; nothing for the root.
///
/// # Errors
/// As [`details`].
pub fn working_directory(record: &Record) -> Result<String> {
    Ok(Configuration::parse(&record.configuration)?.config.working_dir)
}

/// Whether a container uses the volume of a name.
pub fn uses_volume(record: &Record, volume: &str) -> bool {
    any_mount(record, |mount| mount.kind == MountKind::Volume && mount.source == volume)
}

/// Whether a container is in a namespace of the one with an ID.
pub fn joins(record: &Record, id: &str) -> bool {
    let configuration = Configuration::parse(&record.configuration);
    let joined = |other: &Other| matches!(other, Other::Container(joined) if joined == id);
    configuration.is_ok_and(|configuration| configuration.settings.joins.values().any(joined))
}

/// Whether something is mounted in a container, by what it is called or by the place.
pub fn has_mounted(record: &Record, what: &str) -> bool {
    any_mount(record, |mount| mount.kind != MountKind::Device && (mount.source == what || mount.target == what))
}

fn any_mount(record: &Record, is_it: impl Fn(&Mount) -> bool) -> bool {
    let configuration = Configuration::parse(&record.configuration);
    configuration.is_ok_and(|configuration| configuration.settings.mounts.iter().any(is_it))
}

/// The directory of a volume's files.
pub fn volume_directory(context: &Context, name: &str) -> String {
    let path = context.store().and_then(|store| root(store, "volumes"));
    path.map(|path| path.join(name).join("_data").to_string_lossy().into_owned()).unwrap_or_default()
}

/// Makes sure that an image is here.
///
/// # Errors
/// [`dhow_base::Kind::NotFound`] in docker's words when it is not.
pub fn has_image(context: &Context, image: &str, platform: Option<&Platform>) -> Result<()> {
    select::find(context, image, platform).map(drop)
}

/// The ID of an image.
///
/// # Errors
/// [`dhow_base::Kind::NotFound`] in docker's words when it is not here.
pub fn image_of(context: &Context, image: &str) -> Result<Digest> {
    context.find(image).map(|found| found.image_id)
}

/// Whom the caller is in a container's user namespace, if that is not root.
///
/// # Errors
/// [`Kind::Corrupt`](dhow_base::Kind::Corrupt) for a record that cannot be read.
pub fn kept_ids(record: &Record) -> Result<Option<KeptIds>> {
    Ok(Configuration::parse(&record.configuration)?.settings.kept_ids)
}
