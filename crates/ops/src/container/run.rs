//! `run` and `start`: a container in the foreground.

use std::fs;
use std::path::{Path, PathBuf};

use dhow_base::fs::{Durability, FileLock, create_dir_all, read_limited, remove_file, write_atomic};
use dhow_base::{Error, Kind, Result};
use dhow_sandbox::container::{self, Ended, MountSource, MountSpec, RootFiles, Spec, Streams};
use dhow_store::{ContainerState, Store, UnpackedLayer};

use super::create::make;
use super::mounts::{Mount, MountKind};
use super::remove::forget;
use super::settings::{Configuration, Network, Options};
use super::{Machine, Process, Record, directory, hold, now, root};
use crate::content_error::explain;
use crate::context::Context;
use crate::last_use;

/// Longest `/etc/resolv.conf` or `/etc/hosts` of the machine that is taken over, in bytes.
const MACHINE_FILE_BYTES_MAX: u64 = 1 << 20;

/// Bytes of `/dev/shm` when nobody says.
const SHM_BYTES: u64 = 64 << 20;

/// The search path of a container whose image has none, as with docker.
const SEARCH_PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Docker's hosts of a container that has no network of the machine's.
const HOSTS: &str = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::\tip6-localnet\n\
                     ff00::\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n";

/// A run that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The container's ID.
    pub id: String,
    /// How it ended.
    pub ended: Ended,
}

/// Makes a container and runs it to its end. `made` is told its ID before it runs.
///
/// # Errors
/// Those of making it; a program that cannot be started is no error of this function.
pub fn run(
    context: &Context,
    options: &Options,
    machine: Machine,
    streams: Streams,
    made: &mut dyn FnMut(&str) -> Result<()>,
) -> Result<Run> {
    let container = make(context, options, machine, ContainerState::Running)?;
    let store = context.store()?;
    let id = container.id.clone();
    let ran = made(&id).and_then(|()| {
        let record = find(store, &id)?;
        watch(store, &record, machine, streams)
    });
    conclude(store, &id, ran, options.settings.auto_remove, container.lock)
}

/// Runs a container that does not run to its end.
///
/// # Errors
/// [`Kind::Conflict`] when it runs; those of the store.
pub fn start(context: &Context, record: &Record, machine: Machine, streams: Streams) -> Result<Run> {
    let store = context.store()?;
    let id = record.container.id.clone();
    let directory = directory(store, &id)?;
    if record.container.is_running() {
        return Err(Error::new(Kind::Conflict, format!("container {} is running", record.container.short_id())));
    }
    let lock = hold(&directory, record.container.short_id())?;
    let configuration = Configuration::parse(&record.configuration)?;
    store.update(|update| update.container_started(&id, now()))?;
    let ran = watch(store, record, machine, streams);
    conclude(store, &id, ran, configuration.settings.auto_remove, lock)
}

fn find(store: &Store, id: &str) -> Result<Record> {
    let found = store.containers()?.into_iter().find(|record| record.container.id == id);
    found.ok_or_else(|| Error::new(Kind::NotFound, format!("No such container: {id}")))
}

/// Records how a run ended, or takes all of it away.
fn conclude(store: &Store, id: &str, ran: Result<Ended>, auto_remove: bool, lock: FileLock) -> Result<Run> {
    let directory = directory(store, id)?;
    let code = match &ran {
        Ok(Ended::Exited(code)) => Some(i64::from(*code)),
        _ => None,
    };
    let _ = remove_file(&directory.join("process"));
    let concluded = if auto_remove {
        // Its volumes without a name go with it.
        forget(store, id, true)
    } else {
        store.update(|update| update.container_ended(id, code, now())).map(drop)
    };
    drop(lock);
    let ended = ran?;
    concluded?;
    Ok(Run { id: id.to_owned(), ended })
}

fn watch(store: &Store, record: &Record, machine: Machine, streams: Streams) -> Result<Ended> {
    let id = &record.container.id;
    let directory = directory(store, id)?;
    let configuration = Configuration::parse(&record.configuration)?;
    let spec = spec(store, record, &configuration, &directory, machine)?;
    last_use::note(store, [&record.image_id]);
    container::run(&spec, streams, &mut |process| {
        let text = serde_json::to_vec(&Process::of(process));
        let text = text.map_err(|error| Error::new(Kind::Internal, error.to_string()))?;
        write_atomic(&directory.join("process"), &text, 0o600, Durability::Cached)
    })
}

fn spec(
    store: &Store,
    record: &Record,
    configuration: &Configuration,
    directory: &Path,
    machine: Machine,
) -> Result<Spec> {
    let Configuration { config, settings, .. } = configuration;
    let mut mounts = own_files(configuration, directory)?;
    for mount in &settings.mounts {
        mounts.push(mount_spec(store, mount)?);
    }
    Ok(Spec {
        root: files(store, record, directory, machine)?,
        mount_point: directory.join("merged"),
        hostname: config.hostname.clone(),
        arguments: super::settings::arguments(config),
        environment: environment(configuration),
        user: config.user.clone(),
        groups: settings.groups.clone(),
        working_directory: config.working_dir.clone(),
        terminal: config.tty,
        read_only: settings.read_only,
        capabilities: settings.capabilities.numbers()?,
        no_new_privileges: settings.no_new_privileges,
        filtered: !settings.unfiltered,
        masked: !settings.unmasked,
        host_network: settings.network == Network::Host,
        in_user_namespace: machine.in_user_namespace,
        has_groups: !machine.in_user_namespace || machine.has_users,
        shm_bytes: if settings.shm_bytes == 0 { SHM_BYTES } else { settings.shm_bytes },
        mounts,
    })
}

/// Where a container's files are.
pub(crate) fn files(store: &Store, record: &Record, directory: &Path, machine: Machine) -> Result<RootFiles> {
    let unpacked = directory.join("lower");
    // One that was made without root has the files of its image beside it.
    let has_tree = machine.in_user_namespace || fs::read_dir(&unpacked).is_ok_and(|mut files| files.next().is_some());
    let lower = if has_tree {
        vec![unpacked]
    } else {
        let layers = store.unpack(&record.image_id).map_err(|error| explain(record.image_id.as_str(), error))?;
        visible(&layers)?
    };
    Ok(RootFiles {
        lower,
        lower_is_directory: has_tree,
        stubs: directory.join("stubs"),
        upper: directory.join("upper"),
        work: directory.join("work"),
        scratch: directory.join("scratch"),
    })
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
fn own_files(configuration: &Configuration, directory: &Path) -> Result<Vec<MountSpec>> {
    let Configuration { config, settings, .. } = configuration;
    let machine = |path: &str| {
        let bytes = read_limited(Path::new(path), MACHINE_FILE_BYTES_MAX).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let mut hosts = if settings.network == Network::Host { machine("/etc/hosts") } else { HOSTS.to_owned() };
    if !hosts.is_empty() && !hosts.ends_with('\n') {
        hosts.push('\n');
    }
    for host in &settings.extra_hosts {
        if let Some((name, address)) = host.split_once(':').or_else(|| host.split_once('=')) {
            hosts.extend([address, "\t", name, "\n"]);
        }
    }
    if settings.network == Network::Host && !hosts.split_whitespace().any(|word| word == config.hostname) {
        hosts.extend(["127.0.1.1\t", &config.hostname, "\n"]);
    }
    let resolv = match settings.name_servers.as_slice() {
        [] => machine("/etc/resolv.conf"),
        servers => servers.iter().map(|server| format!("nameserver {server}\n")).collect(),
    };
    let mut mounts = Vec::new();
    for (name, text) in [("hosts", hosts), ("hostname", format!("{}\n", config.hostname)), ("resolv.conf", resolv)] {
        let path = directory.join(name);
        write_atomic(&path, text.as_bytes(), 0o644, Durability::Cached)?;
        let target = format!("/etc/{name}");
        if settings.mounts.iter().any(|mount| mount.target == target) {
            continue;
        }
        let what = MountSource::Bind { source: path, recursive: false };
        mounts.push(MountSpec { target, what, read_only: settings.read_only });
    }
    Ok(mounts)
}

fn mount_spec(store: &Store, mount: &Mount) -> Result<MountSpec> {
    let what = match mount.kind {
        MountKind::Bind => MountSource::Bind { source: PathBuf::from(&mount.source), recursive: true },
        MountKind::Volume => {
            let source = root(store, "volumes")?.join(&mount.source).join("_data");
            create_dir_all(&source)?;
            MountSource::Bind { source, recursive: false }
        }
        MountKind::Tmpfs => MountSource::Tmpfs { options: mount.options.clone(), executable: mount.executable },
        MountKind::Device => MountSource::Device(PathBuf::from(&mount.source)),
    };
    Ok(MountSpec { target: mount.target.clone(), what, read_only: mount.read_only })
}

/// What the program finds in its environment, in docker's order (moby `Container.CreateDaemonEnvironment`).
fn environment(configuration: &Configuration) -> Vec<String> {
    let config = &configuration.config;
    let mut environment = vec![SEARCH_PATH.to_owned(), format!("HOSTNAME={}", config.hostname)];
    if config.tty {
        environment.push("TERM=xterm".to_owned());
    }
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
