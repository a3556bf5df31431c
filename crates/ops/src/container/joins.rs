//! Namespaces of other containers that a container is in.

use std::collections::BTreeMap;
use std::fs::{File, metadata};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use dhow_base::{Error, Kind, Result};
use dhow_sandbox::container::{
    Habits, Joined, KnownProcess, NamespaceKind, StartCause, StartFailure, StartStage, memory_of_running,
    namespace_of_running,
};
use dhow_store::Store;
use serde::{Deserialize, Serialize};

use super::settings::{Configuration, Network, Settings};
use super::{Record, directory, find_among, process, recover};
use crate::context::Context;
use crate::naming::Naming;

/// Containers whose network comes from each other's at most.
const CHAIN_MAX: usize = 32;

/// Whose namespace a container joins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub enum Other {
    /// A container's: its ID once it was found, what the user calls it before.
    Container(String),
    /// The one that a file stands for, such as `/proc/1/ns/net`.
    Path(PathBuf),
}

/// Namespaces of others that a container is in.
pub type Joins = BTreeMap<NamespaceKind, Other>;

/// Finds the containers that a new one joins, and has their IDs in place of what the user calls them.
///
/// # Errors
/// In each engine's words when one is not there. Docker does not look for whose network it is before the container starts.
pub(super) fn resolve(naming: Naming, store: &Store, settings: &mut Settings) -> Result<()> {
    if settings.joins.is_empty() {
        return Ok(());
    }
    recover(store)?;
    let records = store.containers()?;
    for (kind, other) in &mut settings.joins {
        let Other::Container(name) = other else { continue };
        match find_among(&records, name) {
            Ok(record) => name.clone_from(&record.container.id),
            Err(_) if *kind == NamespaceKind::Network && naming == Naming::Docker => {}
            Err(error) => return Err(unknown(naming, *kind, name, error)),
        }
    }
    Ok(())
}

fn unknown(naming: Naming, kind: NamespaceKind, name: &str, error: Error) -> Error {
    match naming {
        Naming::Podman => Error::new(
            error.kind(),
            format!(
                "looking up container to share {} namespace with: no container with name or ID {name:?} found: no such container",
                kind.word()
            ),
        ),
        Naming::Docker if kind == NamespaceKind::Ipc && error.kind() == Kind::Invalid => error.context(ipc_of(name)),
        Naming::Docker => error,
    }
}

fn ipc_of(name: &str) -> String {
    format!("can't join IPC of container {name}")
}

/// The host and domain name of whose a container has, by its namespace or, as docker has it, by its network.
pub(super) fn names(store: &Store, settings: &Settings) -> Result<Option<(String, String)>> {
    let by_network = (settings.habits == Habits::Docker).then_some(NamespaceKind::Network);
    let other = [Some(NamespaceKind::Uts), by_network].into_iter().flatten().find_map(|kind| settings.joins.get(&kind));
    let Some(Other::Container(id)) = other else { return Ok(None) };
    let records = store.containers()?;
    let found = find_among(&records, id).and_then(|record| Configuration::parse(&record.configuration));
    Ok(found.ok().map(|configuration| (configuration.config.hostname, configuration.settings.domain_name)))
}

/// Where the files are that tell of a container's network, and what network that is: its own, or that of the container whose network it has.
pub(super) fn network_of(store: &Store, id: &str, settings: &Settings) -> Result<(PathBuf, Network)> {
    let (mut id, mut network, mut next) = (id.to_owned(), settings.network, network_joined(settings));
    let records = if next.is_some() { store.containers()? } else { Vec::new() };
    for _ in 1..CHAIN_MAX {
        // One that is gone has no files: those of whoever had its network are left.
        let Some(record) = next.and_then(|other| find_among(&records, &other).ok()) else { break };
        let settings = Configuration::parse(&record.configuration)?.settings;
        (id, network, next) = (record.container.id.clone(), settings.network, network_joined(&settings));
    }
    Ok((directory(store, &id)?, network))
}

fn network_joined(settings: &Settings) -> Option<String> {
    match settings.joins.get(&NamespaceKind::Network) {
        Some(Other::Container(id)) => Some(id.clone()),
        _ => None,
    }
}

/// The first container of those that are to be joined, if it runs: who is not root has to be in its namespace of users to join any other.
pub fn whose_users(context: &Context, joins: &Joins) -> Option<Record> {
    let other = joins.values().find_map(|other| match other {
        Other::Container(name) => super::find(context, name).ok(),
        Other::Path(_) => None,
    });
    other.filter(|record| record.container.is_running())
}

/// As [`whose_users`], of a container that is here.
///
/// # Errors
/// [`Kind::Corrupt`] when its record cannot be read.
pub fn whose_users_has(context: &Context, record: &Record) -> Result<Option<Record>> {
    Ok(whose_users(context, &Configuration::parse(&record.configuration)?.settings.joins))
}

/// Opens what a container is to be in. A container that does not run is no error of this function.
///
/// # Errors
/// Those of the store.
pub(super) fn open(naming: Naming, store: &Store, id: &str, joins: &Joins) -> Result<Result<Joined, StartFailure>> {
    let mut joined = Joined::default();
    let failed = |message: String| StartFailure { message, cause: StartCause::Setup, stage: StartStage::Request };
    for (kind, other) in joins {
        let opened = match other {
            Other::Path(path) => File::open(path)
                .map(|file| joined.namespaces.push((*kind, file.into())))
                .map_err(|error| Error::io(format_args!("cannot open the namespace {path:?}"), error)),
            Other::Container(name) => enter(naming, store, id, *kind, name, &mut joined),
        };
        if let Err(error) = opened {
            return Ok(Err(failed(error.to_string())));
        }
    }
    Ok(Ok(joined))
}

fn enter(naming: Naming, store: &Store, own: &str, kind: NamespaceKind, name: &str, joined: &mut Joined) -> Result<()> {
    let is_docker_s_ipc = naming == Naming::Docker && kind == NamespaceKind::Ipc;
    let about = |error: Error| if is_docker_s_ipc { error.context(ipc_of(name)) } else { error };
    let records = store.containers()?;
    let record = find_among(&records, name).map_err(about)?;
    let id = &record.container.id;
    if id == own {
        return Err(Error::new(Kind::Conflict, "cannot join own network"));
    }
    let first = process(&directory(store, id)?).filter(|_| record.container.is_running());
    let Some(first) = first else { return Err(about(not_running(naming, kind, id))) };
    if kind == NamespaceKind::Ipc {
        check_offered(record).map_err(about)?;
    }
    if !is_in_own_users(&first) {
        let message = format!("cannot join the {} namespace of container {id}: its users are others", kind.word());
        let way_out = "containers join several others where all have the users of one (--userns container:NAME)";
        return Err(Error::new(Kind::Unsupported, format!("{message}; {way_out}")));
    }
    let ended = |error: Error| match error.kind() {
        Kind::Conflict => about(not_running(naming, kind, id)),
        _ => error,
    };
    if kind == NamespaceKind::Ipc {
        joined.memory = memory_of_running(&first).map_err(ended)?;
    }
    if kind != NamespaceKind::User {
        joined.namespaces.push((kind, namespace_of_running(&first, kind).map_err(ended)?));
    }
    Ok(())
}

fn not_running(naming: Naming, kind: NamespaceKind, id: &str) -> Error {
    let message = match (naming, kind) {
        (Naming::Podman, _) => {
            format!("cannot get namespace path unless container {id} is running: container is stopped")
        }
        (Naming::Docker, NamespaceKind::Network) => format!("cannot join network of a non running container: {id}"),
        (Naming::Docker, _) => format!("container {id} is not running"),
    };
    Error::new(Kind::Conflict, message)
}

/// Whether a container lets others have its memory, or has another's itself.
fn check_offered(record: &Record) -> Result<()> {
    let settings = Configuration::parse(&record.configuration)?.settings;
    if settings.memory_is_offered || settings.shared.ipc || settings.joins.contains_key(&NamespaceKind::Ipc) {
        return Ok(());
    }
    Err(Error::new(Kind::Conflict, "non-shareable IPC (hint: use IpcMode:shareable for the donor container)"))
}

/// Whether a process is in the namespace of users that this one is in.
fn is_in_own_users(process: &KnownProcess) -> bool {
    let namespace =
        |process: &str| metadata(format!("/proc/{process}/ns/user")).map(|about| (about.dev(), about.ino()));
    match (namespace("self"), namespace(&process.id().to_string())) {
        (Ok(own), Ok(other)) => own == other,
        _ => false,
    }
}
