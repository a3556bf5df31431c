//! `run` and `start`: a container in the foreground.

use std::fs;
use std::path::{Path, PathBuf};

use dhow_base::beneath::{Dir, set_mode, set_owner};
use dhow_base::fs::{
    AtomicFile, Durability, FileLock, create_dir_all, read_limited, remove_dir_all, remove_file, write_atomic,
};
use dhow_base::{Error, Kind, Result};
use dhow_sandbox::container::{
    self, CallFilter, Ended, Group, Habits, MountSource, MountSpec, RootFiles, Spec, Stack, Streams, remove_groups,
};
use dhow_spec::Digest;
use dhow_store::{ContainerState, Store, UnpackedLayer};
use serde::Serialize;

use super::create::{make, tree};
use super::hosts;
use super::mounts::{Mount, MountKind};
use super::remove::{forget, forget_passing};
use super::settings::{Configuration, Network, Options, SCRATCH};
use super::{Machine, Process, Record, directory, hold, now};
use crate::content_error::explain;
use crate::context::Context;
use crate::last_use;

/// Longest `/etc/resolv.conf` or `/etc/hosts` of the machine that is taken over, in bytes.
const MACHINE_FILE_BYTES_MAX: u64 = 1 << 20;

/// As docker and podman have it, whatever the user's own is.
const UMASK: u32 = 0o022;

/// Bytes of `/dev/shm` when nobody says.
const SHM_BYTES: u64 = 64 << 20;

/// The search path of a container whose image has none, as with docker.
const SEARCH_PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Fewest layers that are mounted as one stack: making its file, once, is not worth it for fewer.
const STACK_LAYERS_MIN: usize = 4;

/// Where the control groups of a container that runs are on record.
const GROUPS: &str = "groups";

/// Where the changes are that are laid over what is mounted; those of the last run, if it does not run.
const OVERLAYS: &str = "overlays";

/// The exit code of a container that was killed.
const KILLED: i64 = 128 + 9;

/// The exit code of a container that ran longer than it may, as with podman.
const TIMED_OUT: i64 = 255;

/// Files below `/etc` that are made for each container.
const OWN_FILES: [&str; 4] = ["hosts", "hostname", "resolv.conf", "localtime"];

/// The name of the machine's own time zone.
pub const LOCAL_TIME: &str = "local";

/// A run that has ended.
#[derive(Debug)]
pub struct Run {
    /// The container's ID.
    pub id: String,
    /// How it ended.
    pub ended: Ended,
}

/// What is told while a container runs.
pub trait Witness {
    /// It is made, and has this ID.
    ///
    /// # Errors
    /// It does not run then.
    fn made(&mut self, id: &str) -> Result<()>;

    /// Something that was asked for cannot be had, a sentence.
    fn note(&mut self, note: &str);
}

/// Makes a container and runs it to its end.
///
/// # Errors
/// Those of making it; a program that cannot be started is no error of this function.
pub fn run(
    context: &Context,
    options: &Options,
    machine: Machine,
    streams: Streams,
    witness: &mut dyn Witness,
) -> Result<Run> {
    let container = make(context, options, machine, ContainerState::Running)?;
    let store = context.store()?;
    let id = container.id.clone();
    let record = find(store, &id)?;
    let ran = witness.made(&id).and_then(|()| watch(store, &record, machine, streams, witness));
    conclude(store, &id, ran, AtEnd::of(&record, options.settings.auto_remove), container.lock)
}

/// Runs a container that does not run to its end.
///
/// # Errors
/// [`Kind::Conflict`] when it runs; those of the store.
pub fn start(
    context: &Context,
    record: &Record,
    machine: Machine,
    streams: Streams,
    witness: &mut dyn Witness,
) -> Result<Run> {
    let store = context.store()?;
    let id = record.container.id.clone();
    let directory = directory(store, &id)?;
    if record.container.is_running() {
        return Err(Error::new(Kind::Conflict, format!("container {} is running", record.container.short_id())));
    }
    let lock = hold(&directory, record.container.short_id())?;
    let configuration = Configuration::parse(&record.configuration)?;
    store.update(|update| update.container_started(&id, now()))?;
    let ran = witness.made(&id).and_then(|()| watch(store, record, machine, streams, witness));
    conclude(store, &id, ran, AtEnd::of(record, configuration.settings.auto_remove), lock)
}

fn find(store: &Store, id: &str) -> Result<Record> {
    let found = store.containers()?.into_iter().find(|record| record.container.id == id);
    found.ok_or_else(|| Error::new(Kind::NotFound, format!("No such container: {id}")))
}

/// What becomes of a container when it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AtEnd {
    Stays,
    /// Its volumes without a name go with it.
    GoesWithVolumes,
    Goes,
}

impl AtEnd {
    fn of(record: &Record, auto_remove: bool) -> Self {
        match (auto_remove, record.volumes) {
            (false, _) => Self::Stays,
            (true, 0) => Self::Goes,
            (true, _) => Self::GoesWithVolumes,
        }
    }
}

/// Records how a run ended, or takes all of it away.
fn conclude(store: &Store, id: &str, ran: Result<Ended>, end: AtEnd, lock: FileLock) -> Result<Run> {
    let directory = directory(store, id)?;
    let code = match &ran {
        Ok(Ended::Exited(code) | Ended::Unheard(code, _)) => Some(i64::from(*code)),
        Ok(Ended::GivenUp) => Some(KILLED),
        Ok(Ended::TimedOut) => Some(TIMED_OUT),
        _ => None,
    };
    let _ = remove_file(&directory.join("process"));
    let concluded = match end {
        AtEnd::Stays => store.update(|update| update.container_ended(id, code, now())).map(drop),
        AtEnd::GoesWithVolumes => forget(store, id, true),
        AtEnd::Goes => forget_passing(store, id),
    };
    drop(lock);
    let ended = ran?;
    concluded?;
    Ok(Run { id: id.to_owned(), ended })
}

fn watch(
    store: &Store,
    record: &Record,
    machine: Machine,
    streams: Streams,
    witness: &mut dyn Witness,
) -> Result<Ended> {
    let id = &record.container.id;
    let directory = directory(store, id)?;
    let configuration = Configuration::parse(&record.configuration)?;
    let mut spec = spec(store, record, &configuration, &directory, machine)?;
    keep_score(&mut spec, machine, witness);
    last_use::note(store, [&record.image_id]);
    let group = limited(id, &configuration, &directory, witness)?;
    let mut started = |process| write_record(&directory.join("process"), &Process::of(process));
    let ended =
        container::run(&spec, group.as_ref(), streams, &mut started, &|| super::pause::resume_in_time(&directory));
    if let Some(group) = group {
        remove_groups(group.directories());
        let _ = remove_file(&directory.join(GROUPS));
    }
    ended
}

/// Only root may have a container outlive this process when the machine runs out of memory.
fn keep_score(spec: &mut Spec, machine: Machine, witness: &mut dyn Witness) {
    let own = read_limited(Path::new("/proc/self/oom_score_adj"), MACHINE_FILE_BYTES_MAX).unwrap_or_default();
    let own = String::from_utf8_lossy(&own).trim().parse().unwrap_or(0);
    if let Some(score) = spec.oom_score.filter(|score| machine.in_user_namespace && *score < own) {
        witness.note(&format!("the container goes without an OOM score of {score}: less than {own} is for root"));
        spec.oom_score = None;
    }
}

/// The control group of a container with limits. Where it is stays on record until it is gone.
fn limited(
    id: &str,
    configuration: &Configuration,
    directory: &Path,
    witness: &mut dyn Witness,
) -> Result<Option<Group>> {
    if configuration.settings.limits.are_none() {
        return Ok(None);
    }
    remove_recorded_groups(directory);
    let (group, notes) = Group::make(id, &configuration.settings.limits);
    notes.iter().for_each(|note| witness.note(note));
    write_record(&directory.join(GROUPS), &group.directories())?;
    Ok(Some(group))
}

/// Removes the control groups that a watcher left which was killed.
pub(crate) fn remove_recorded_groups(directory: &Path) {
    if let Ok(bytes) = read_limited(&directory.join(GROUPS), MACHINE_FILE_BYTES_MAX)
        && let Ok(directories) = serde_json::from_slice::<Vec<PathBuf>>(&bytes)
    {
        remove_groups(&directories);
    }
}

pub(crate) fn write_record(path: &Path, record: &impl Serialize) -> Result<()> {
    let text = serde_json::to_vec(record).map_err(|error| Error::new(Kind::Internal, error.to_string()))?;
    write_atomic(path, &text, 0o600, Durability::Cached)
}

fn spec(
    store: &Store,
    record: &Record,
    configuration: &Configuration,
    directory: &Path,
    machine: Machine,
) -> Result<Spec> {
    let Configuration { config, settings, .. } = configuration;
    let mut mounts = own_files(record, configuration, directory, machine)?;
    let _ = remove_dir_all(&directory.join(OVERLAYS));
    for (number, mount) in settings.mounts.iter().enumerate() {
        let spec = mount_spec(store, mount)?;
        let changes = directory.join(OVERLAYS).join(number.to_string());
        mounts.push(if mount.overlaid { overlaid(spec, &changes, machine)? } else { spec });
    }
    if settings.read_only && settings.scratch_in_memory {
        let is_given = |target: &&str| settings.mounts.iter().any(|mount| mount.target == **target);
        mounts.extend(SCRATCH.into_iter().filter(|target| !is_given(target)).map(scratch));
    }
    outermost_first(&mut mounts);
    Ok(Spec {
        root: files(store, record, directory, machine)?,
        mount_point: directory.join("merged"),
        hostname: config.hostname.clone(),
        arguments: super::settings::arguments(config),
        environment: environment(configuration),
        user: config.user.clone(),
        groups: settings.groups.clone(),
        working_directory: config.working_dir.clone(),
        needs_working_directory: settings.needs_working_directory.then(|| record.container.id.clone()),
        terminal: config.tty,
        umask: settings.umask.unwrap_or(UMASK),
        reaped: settings.init,
        read_only: settings.read_only,
        capabilities: settings.capabilities.numbers(settings.habits)?,
        ambient: settings.capabilities.ambient(settings.habits)?,
        no_new_privileges: settings.no_new_privileges,
        calls: match &settings.calls {
            _ if settings.unfiltered => CallFilter::Off,
            Some(profile) => CallFilter::Profile(profile.clone()),
            None => CallFilter::Usual,
        },
        masked: !settings.unmasked,
        host_network: settings.network == Network::Host,
        in_user_namespace: machine.in_user_namespace,
        keeps_ids: machine.keeps_ids,
        has_groups: machine.may_own(),
        shm_bytes: if settings.shm_bytes == 0 { SHM_BYTES } else { settings.shm_bytes },
        ulimits: settings.ulimits.clone(),
        oom_score: settings.oom_score,
        timeout_seconds: settings.timeout_seconds,
        mounts,
        habits: settings.habits,
    })
}

/// Where a container's files are.
pub(crate) fn files(store: &Store, record: &Record, directory: &Path, machine: Machine) -> Result<RootFiles> {
    let own = directory.join("lower");
    // Older programs put the files of the image beside a container that was made without root.
    let has_own = fs::read_dir(&own).is_ok_and(|mut files| files.next().is_some());
    let explained = |error| explain(record.image_id.as_str(), error);
    let mut stack = None;
    let lower = match (has_own, machine.in_user_namespace) {
        (true, _) => vec![own],
        (false, true) => vec![tree(store, &record.image_id, directory, machine).map_err(explained)?],
        (false, false) => {
            let layers = store.unpack(&record.image_id).map_err(explained)?;
            stack = stack_of(store, &record.image_id, &layers);
            visible(&layers)?
        }
    };
    Ok(RootFiles {
        lower,
        lower_is_directory: has_own || machine.in_user_namespace,
        stubs: directory.join("stubs"),
        habits: Configuration::parse(&record.configuration)?.settings.habits,
        upper: directory.join("upper"),
        stack,
        work: directory.join("work"),
        scratch: directory.join("scratch"),
        mounted: super::mount::place(store, &record.container.id)?,
    })
}

/// All layers as one file system, where there are so many that it is worth it.
fn stack_of(store: &Store, image_id: &Digest, layers: &[UnpackedLayer]) -> Option<Stack> {
    if layers.len() < STACK_LAYERS_MIN {
        return None;
    }
    let file = store.stack(image_id, layers)?;
    Some(Stack { file, layers: layers.iter().map(|layer| layer.path.clone()).collect() })
}

/// The layers, without those that a layer above hides as a whole, which overlayfs would not see.
fn visible(layers: &[UnpackedLayer]) -> Result<Vec<PathBuf>> {
    let mut first = 0;
    for (number, layer) in layers.iter().enumerate() {
        if layer.image.is_opaque(&layer.image.root()?)? {
            first = number;
        }
    }
    Ok(layers[first..].iter().map(|layer| layer.path.clone()).collect())
}

/// The files that are made for each container: names of hosts and how to find others.
fn own_files(
    record: &Record,
    configuration: &Configuration,
    directory: &Path,
    machine: Machine,
) -> Result<Vec<MountSpec>> {
    let Configuration { config, settings, .. } = configuration;
    let mut texts = vec![("hostname", format!("{}\n", config.hostname).into_bytes())];
    if let Some(zone) = &settings.time_zone {
        texts.push(("localtime", read_limited(&time_zone_file(zone), MACHINE_FILE_BYTES_MAX)?));
    }
    if !settings.no_hosts {
        let name = record.container.name.as_deref();
        texts.push(("hosts", hosts::text(&machine_file("/etc/hosts"), configuration, name).into_bytes()));
    }
    // Podman leaves the image's where nobody can be asked.
    if settings.network == Network::Host || settings.habits == Habits::Docker {
        texts.push(("resolv.conf", super::resolv::with(machine_file("/etc/resolv.conf"), settings).into_bytes()));
    }
    let mut mounts = Vec::new();
    for (name, text) in texts {
        let path = directory.join(name);
        write_for_all(&path, &text)?;
        if machine.keeps_ids {
            let cannot = |error| Error::io(format_args!("cannot change {path:?}"), error);
            set_owner(fs::File::open(&path).map_err(cannot)?, 0, 0).map_err(cannot)?;
        }
        let target = format!("/etc/{name}");
        if settings.mounts.iter().any(|mount| mount.target == target) {
            continue;
        }
        let what = MountSource::Bind { source: path, recursive: false };
        mounts.push(MountSpec { target, what, read_only: settings.read_only });
    }
    Ok(mounts)
}

/// Writes a file that every user of the container may read, whatever the umask is of the one who runs it.
fn write_for_all(path: &Path, content: &[u8]) -> Result<()> {
    const MODE: u32 = 0o644;
    let mut file = AtomicFile::create(path, MODE)?;
    set_mode(file.file(), MODE).map_err(|error| Error::io(format_args!("cannot write {path:?}"), error))?;
    file.write_all(content)?;
    file.commit(Durability::Cached)
}

/// The file of a time zone; it need not be there.
pub fn time_zone_file(zone: &str) -> PathBuf {
    match zone {
        LOCAL_TIME => PathBuf::from("/etc/localtime"),
        zone => Path::new("/usr/share/zoneinfo").join(zone.trim_start_matches('/')),
    }
}

/// One of the machine's files; one that cannot be read is empty.
fn machine_file(path: &str) -> String {
    let bytes = read_limited(Path::new(path), MACHINE_FILE_BYTES_MAX).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What is mounted in a container that does not run, for who looks into it: volumes, what is there of the machine's files, and those that
/// its last run had of its own.
pub(crate) fn shown_mounts(store: &Store, configuration: &Configuration, directory: &Path) -> Result<Vec<MountSpec>> {
    let mut mounts = Vec::new();
    for name in OWN_FILES {
        let source = directory.join(name);
        if source.exists() {
            let what = MountSource::Bind { source, recursive: false };
            mounts.push(MountSpec { target: format!("/etc/{name}"), what, read_only: false });
        }
    }
    let is_shown = |mount: &&Mount| mount.kind != MountKind::Device && !mount.overlaid;
    for mount in configuration.settings.mounts.iter().filter(is_shown) {
        let spec = mount_spec(store, mount)?;
        if matches!(&spec.what, MountSource::Bind { source, .. } | MountSource::Volume(source) if source.exists()) {
            mounts.retain(|other| other.target != spec.target);
            mounts.push(spec);
        }
    }
    outermost_first(&mut mounts);
    Ok(mounts)
}

/// So that a volume at `/etc` hides nothing that every container has in there.
fn outermost_first(mounts: &mut [MountSpec]) {
    mounts.sort_by_key(|mount| mount.target.matches('/').count());
}

fn mount_spec(store: &Store, mount: &Mount) -> Result<MountSpec> {
    let what = match mount.kind {
        MountKind::Bind => MountSource::Bind { source: PathBuf::from(&mount.source), recursive: true },
        MountKind::Volume => MountSource::Volume(super::volumes::data(store, &mount.source)?),
        MountKind::Tmpfs => MountSource::Tmpfs {
            options: mount.options.clone(),
            executable: mount.executable,
            gives_rights: mount.gives_rights,
            filled: mount.filled,
        },
        MountKind::Device => MountSource::Device(PathBuf::from(&mount.source)),
    };
    Ok(MountSpec { target: mount.target.clone(), what, read_only: mount.read_only })
}

/// The same with what is changed in a directory of its own, which begins as empty as the source is not.
fn overlaid(spec: MountSpec, changes: &Path, machine: Machine) -> Result<MountSpec> {
    let (MountSource::Bind { source, .. } | MountSource::Volume(source)) = spec.what else { return Ok(spec) };
    let (upper, work) = (changes.join("upper"), changes.join("work"));
    create_dir_all(&upper)?;
    create_dir_all(&work)?;
    // The topmost directory says what the root is like; an owner from outside of the namespace cannot be given.
    let cannot = |error| Error::io(format_args!("cannot use {source:?}"), error);
    let stat = Dir::open(&source).and_then(|source| source.stat()).map_err(cannot)?;
    let open = fs::File::open(&upper).map_err(cannot)?;
    if machine.may_own() {
        let _ = set_owner(&open, stat.uid, stat.gid);
    }
    set_mode(&open, stat.mode & 0o7777).map_err(cannot)?;
    Ok(MountSpec { what: MountSource::Overlaid { source, upper, work }, ..spec })
}

/// Memory for what programs write on the way, with what the image has there.
fn scratch(target: &str) -> MountSpec {
    let what = MountSource::Tmpfs { options: Vec::new(), executable: true, gives_rights: false, filled: true };
    MountSpec { target: target.to_owned(), what, read_only: false }
}

/// What the program finds in its environment, in docker's order (moby `Container.CreateDaemonEnvironment`).
fn environment(configuration: &Configuration) -> Vec<String> {
    let config = &configuration.config;
    let mut environment = vec![SEARCH_PATH.to_owned(), format!("HOSTNAME={}", config.hostname)];
    if config.tty {
        environment.push("TERM=xterm".to_owned());
    }
    if configuration.settings.habits == Habits::Podman {
        environment.push("container=podman".to_owned());
    }
    let is_unset = |name: &str| configuration.settings.unset.iter().any(|unset| unset == name);
    environment.retain(|variable| variable.split_once('=').is_some_and(|(name, _)| !is_unset(name)));
    for variable in config.env.iter().flatten() {
        let name = variable.split('=').next();
        match environment.iter_mut().find(|known| known.split('=').next() == name) {
            Some(known) => known.clone_from(variable),
            None => environment.push(variable.clone()),
        }
    }
    environment.retain(|variable| variable.contains('='));
    environment
}
