//! `run` and `start`: a container in the foreground.

use std::fs;
use std::iter;
use std::path::{Path, PathBuf};

use dhow_base::fs::{Durability, FileLock, read_limited, remove_file, write_atomic};
use dhow_base::{Error, Kind, Result};
use dhow_sandbox::container::{
    self, CallFilter, Ended, Group, Habits, ImageFiles, Inherited, Masking, PassedOn, RootFiles, Spec, Streams, Ulimit,
    remove_groups,
};
use dhow_spec::Digest;
use dhow_store::{ContainerState, Store, Update};
use serde::Serialize;

use super::create::make;
use super::image_files::image_files;
use super::last_run::LastRun;
use super::remove::{forget, forget_passing};
use super::run_config::SEARCH_PATH;
use super::run_mounts::mounts_of_run;
use super::settings::{Configuration, Network, Options, Settings};
use super::{KeptIds, Machine, Record, Turn, directory, joins, now};
use crate::content_error::explain;
use crate::context::Context;
use crate::last_use;

/// Longest file of the kernel's, or record of a run, that is read, in bytes.
pub(crate) const RECORD_BYTES_MAX: u64 = 64 << 10;

/// As docker and podman have it, whatever the user's own is.
const UMASK: u32 = 0o022;

/// Bytes of `/dev/shm` when nobody says.
const SHM_BYTES: u64 = 64 << 20;

/// Where the control groups that a container which runs may have are on record.
const GROUPS: &str = "groups";

/// The exit code of a container that was killed.
const KILLED: i64 = 128 + 9;

/// The exit code of a container that ran longer than it may, as with podman.
const TIMED_OUT: i64 = 255;

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
    let mut signals = None;
    let ran = witness.made(&id).and_then(|()| watch(context, &record, machine, streams, &mut signals, witness));
    conclude(store, &id, ran, None, AtEnd::of(&record, options.settings.auto_remove), container.lock)
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
    let name = record.container.short_id();
    let Turn::Still(lock) = Turn::take(store, record, name)? else {
        return Err(Error::new(Kind::Conflict, format!("container {name} is running")));
    };
    let configuration = Configuration::parse(&record.configuration)?;
    // It may have run once more while another command was waited for.
    let before = find(store, &id)?;
    store.update(|update| update.container_started(&id, now()))?;
    let mut signals = None;
    let ran = witness.made(&id).and_then(|()| watch(context, record, machine, streams, &mut signals, witness));
    conclude(store, &id, ran, Some(&before), AtEnd::of(record, configuration.settings.auto_remove), lock)
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

/// Records how a run ended, or takes all of it away. One that did not start is as it was `before`, as with docker.
fn conclude(
    store: &Store,
    id: &str,
    ran: Result<Ended>,
    before: Option<&Record>,
    end: AtEnd,
    lock: FileLock,
) -> Result<Run> {
    let directory = directory(store, id)?;
    let code = match &ran {
        Ok(Ended::Exited(code) | Ended::Unheard(code, _)) => Some(i64::from(*code)),
        Ok(Ended::GivenUp) => Some(KILLED),
        Ok(Ended::TimedOut) => Some(TIMED_OUT),
        _ => None,
    };
    let _ = remove_file(&directory.join("process"));
    if let (Ok(Ended::NotStarted(failure)), AtEnd::Stays) = (&ran, end)
        && let Some(failed) = LastRun::of_failure(failure)
    {
        // What is said of it now counts more than that it can be asked for later.
        let _ = failed.keep(&directory);
    }
    let concluded = match end {
        AtEnd::Stays => {
            let change = |update: &mut Update<'_>| match (code, before) {
                (None, Some(before)) => update.container_not_started(before),
                _ => update.container_ended(id, code, now()),
            };
            store.update(change).map(drop)
        }
        AtEnd::GoesWithVolumes => forget(store, id, true),
        AtEnd::Goes => forget_passing(store, id),
    };
    drop(lock);
    let ended = ran?;
    concluded?;
    Ok(Run { id: id.to_owned(), ended })
}

/// Runs a container to its end. The signals that are passed on to it stay held back when it has ended: one more of them must not keep its end from
/// being recorded.
fn watch(
    context: &Context,
    record: &Record,
    machine: Machine,
    streams: Streams,
    signals: &mut Option<PassedOn>,
    witness: &mut dyn Witness,
) -> Result<Ended> {
    let store = context.store()?;
    let id = &record.container.id;
    let directory = directory(store, id)?;
    let mut configuration = Configuration::parse(&record.configuration)?;
    let joined = match joins::open(context.naming(), store, id, &configuration.settings.joins)? {
        Ok(joined) => joined,
        Err(failure) => return Ok(Ended::NotStarted(failure)),
    };
    if let Some((name, domain)) = joins::names(store, &configuration.settings)? {
        (configuration.config.hostname, configuration.settings.domain_name) = (name, domain);
    }
    let mut spec = spec(store, record, &configuration, &directory, machine)?;
    keep_score(&mut spec, machine, witness);
    last_use::note(store, iter::once(&record.image_id).chain(&configuration.mounted_images));
    let group = limited(id, &configuration, &directory, witness)?;
    let mut started = |process| {
        LastRun::forget(&directory);
        write_record(&directory.join("process"), &process)
    };
    let stopped = || super::pause::resume_in_time(&directory);
    let ended = PassedOn::hold().and_then(|held| {
        let signals = signals.insert(held);
        container::run(spec, &joined, group.as_ref(), streams, signals, &mut started, &stopped)
    });
    if let Some(group) = group {
        if group.ran_out_of_memory() {
            let _ = LastRun { ran_out_of_memory: true, failure: None }.keep(&directory);
        }
        remove_groups(group.directories());
        let _ = remove_file(&directory.join(GROUPS));
    }
    ended
}

/// Only root may have a container outlive this process when the machine runs out of memory.
fn keep_score(spec: &mut Spec, machine: Machine, witness: &mut dyn Witness) {
    let own = read_limited(Path::new("/proc/self/oom_score_adj"), RECORD_BYTES_MAX).unwrap_or_default();
    let own = String::from_utf8_lossy(&own).trim().parse().unwrap_or(0);
    if let Some(score) = spec.oom_score.filter(|score| machine.in_user_namespace && *score < own) {
        witness.note(&format!("the container goes without an OOM score of {score}: less than {own} is for root"));
        spec.oom_score = None;
    }
}

/// The control group of a container with limits, or of one whose processes are among others. Where it may be is on record before it is made, and
/// until it is gone.
fn limited(
    id: &str,
    configuration: &Configuration,
    directory: &Path,
    witness: &mut dyn Witness,
) -> Result<Option<Group>> {
    let Settings { limits, .. } = &configuration.settings;
    let is_among_others = configuration.settings.is_among_others();
    if limits.are_none() && !is_among_others {
        return Ok(None);
    }
    remove_recorded_groups(directory);
    let mut record = |candidates: &[PathBuf]| write_record(&directory.join(GROUPS), &candidates);
    let (group, notes) = Group::make(id, limits, is_among_others, &mut record)?;
    notes.iter().for_each(|note| witness.note(note));
    Ok(Some(group))
}

/// Removes the control groups that a watcher left which was killed, with what is in them.
pub(crate) fn remove_recorded_groups(directory: &Path) {
    if let Ok(bytes) = read_limited(&directory.join(GROUPS), RECORD_BYTES_MAX)
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
    Ok(Spec {
        root: files(store, record, directory, machine)?,
        mount_point: directory.join("merged"),
        hostname: config.hostname.clone(),
        arguments: super::run_config::arguments(config),
        environment: environment(configuration),
        user: config.user.clone(),
        groups: settings.groups.clone(),
        keeps_groups: settings.keeps_groups,
        working_directory: config.working_dir.clone(),
        needs_working_directory: settings.needs_working_directory.then(|| record.container.id.clone()),
        terminal: config.tty,
        umask: settings.umask.unwrap_or(UMASK),
        is_32_bit: settings.is_32_bit,
        // Where others are, there is a first process already.
        init: settings.init && !settings.is_among_others(),
        read_only: settings.read_only,
        privileged: settings.privileged,
        capabilities: settings.capability_numbers()?,
        ambient: settings.capabilities.ambient(settings.habits)?,
        no_new_privileges: settings.no_new_privileges,
        seccomp: match &settings.calls {
            _ if settings.unfiltered => CallFilter::Off,
            Some(profile) => CallFilter::Profile(profile.clone()),
            None if settings.privileged => CallFilter::Off,
            None => CallFilter::Default,
        },
        masking: masking(settings),
        proc_options: settings.process_options.clone(),
        apparmor: settings.apparmor.clone(),
        shared: settings.shared,
        joined: Inherited::default(),
        domain_name: settings.domain_name.clone(),
        sysctls: settings.sysctls.clone(),
        usual_sysctls: settings.usual_sysctls(machine),
        host_network: settings.network == Network::Host,
        in_user_namespace: machine.in_user_namespace,
        keeps_ids: machine.kept_ids.is_some(),
        has_groups: machine.may_own(),
        shm_bytes: match settings.shm_bytes {
            _ if settings.no_shared_memory => None,
            0 => Some(SHM_BYTES),
            bytes => Some(bytes),
        },
        // What the user says of them comes later, and counts.
        ulimits: Ulimit::of_open_files().into_iter().chain(settings.ulimits.iter().cloned()).collect(),
        oom_score: settings.oom_score,
        timeout_seconds: settings.timeout_seconds,
        mounts: mounts_of_run(store, record, configuration, directory, machine)?,
        habits: settings.habits,
    })
}

pub(crate) fn masking(settings: &Settings) -> Masking {
    let all = settings.unmasked.then(|| "all".to_owned());
    Masking { unmasked: settings.left_unmasked.iter().cloned().chain(all).collect(), masked: settings.masked.clone() }
}

/// Where a container's files are.
pub(crate) fn files(store: &Store, record: &Record, directory: &Path, machine: Machine) -> Result<RootFiles> {
    let configuration = Configuration::parse(&record.configuration)?;
    let settings = &configuration.settings;
    check_namespace(record, settings.kept_ids, machine)?;
    let files = files_of(store, (&record.container.id, &record.image_id), settings, directory, machine)?;
    Ok(RootFiles { about: about(record, &configuration, machine), ..files })
}

/// As [`files`], of a container's ID and its image's, whether it is on record or not: nothing is told of it inside.
pub(super) fn files_of(
    store: &Store,
    (id, image_id): (&str, &Digest),
    settings: &Settings,
    directory: &Path,
    machine: Machine,
) -> Result<RootFiles> {
    let own = directory.join("lower");
    // Older programs put the files of the image beside a container that was made without root.
    let has_own = fs::read_dir(&own).is_ok_and(|mut files| files.next().is_some());
    let image = match has_own {
        true => ImageFiles { lower: vec![own], lower_is_directory: true, stack: None },
        false => image_files(store, image_id, directory, machine).map_err(|error| explain(image_id.as_str(), error))?,
    };
    Ok(RootFiles {
        image,
        stubs: directory.join("stubs"),
        habits: settings.habits,
        about: String::new(),
        no_hosts: settings.no_hosts,
        no_hostname: settings.no_hostname,
        upper: directory.join("upper"),
        work: directory.join("work"),
        scratch: directory.join("scratch"),
        mounted: super::mount::place(store, id)?,
    })
}

/// What podman tells a privileged container of itself: tools know by it what they are in.
fn about(record: &Record, configuration: &Configuration, machine: Machine) -> String {
    if configuration.settings.habits != Habits::Podman || !configuration.settings.privileged {
        return String::new();
    }
    let lines = [
        ("engine", concat!("podman-", env!("CARGO_PKG_VERSION"))),
        ("name", record.container.name.as_deref().unwrap_or_default()),
        ("id", &record.container.id),
        ("image", &configuration.image),
        ("imageid", record.image_id.hex()),
    ];
    let lines: String = lines.iter().map(|(name, value)| format!("{name}={value:?}\n")).collect();
    format!("{lines}rootless={}\n", u8::from(machine.in_user_namespace))
}

/// Whose files are whose in a container is what the namespace says that it was made in.
fn check_namespace(record: &Record, kept: Option<KeptIds>, machine: Machine) -> Result<()> {
    if kept == machine.kept_ids {
        return Ok(());
    }
    let message = format!("container {} has other users than this namespace has", record.container.short_id());
    Err(Error::new(Kind::Unsupported, message)
        .with_hint("it was made with --userns keep-id, or this shell is `unshare`'s"))
}

/// What the program finds in its environment, in docker's order (moby `Container.CreateDaemonEnvironment`).
fn environment(configuration: &Configuration) -> Vec<String> {
    let config = &configuration.config;
    let mut environment = vec![SEARCH_PATH.to_owned(), format!("HOSTNAME={}", config.hostname)];
    if config.tty {
        environment.push("TERM=xterm".to_owned());
    }
    environment.extend(configuration.settings.own_variable().map(str::to_owned));
    // Podman takes away everything but this, and HOME.
    let stays = |name: &str| name == "HOSTNAME" || !configuration.settings.is_unset(name);
    environment.retain(|variable| variable.split_once('=').is_some_and(|(name, _)| stays(name)));
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
