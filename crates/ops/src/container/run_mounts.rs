//! What is mounted in a container when it runs: what the user asked for, and the files that each container has of its own.

use std::fs::File;
use std::path::{Path, PathBuf};

use dhow_base::beneath::{Dir, set_mode, set_owner};
use dhow_base::fs::{AtomicFile, Durability, create_dir_all, read_limited, remove_dir_all};
use dhow_base::{Error, Kind, Result};
use dhow_sandbox::container::{Changes, Habits, Manner, MountSource, MountSpec, NamespaceKind, Tmpfs};
use dhow_spec::Digest;
use dhow_store::Store;

use super::hosts;
use super::image_files::{dress, image_files, root_attributes};
use super::joins::{self, Other};
use super::mounts::{Mount, MountKind};
use super::settings::{Configuration, Network, SCRATCH};
use super::{Machine, Record};
use crate::content_error::explain;

/// Longest `/etc/resolv.conf` or `/etc/hosts` of the machine that is taken over, in bytes.
const MACHINE_FILE_BYTES_MAX: u64 = 1 << 20;

/// What single mounts need besides: where the changes are that are laid over them, and where images are mounted on the way. Of the last
/// run, if it does not run.
const OVERLAYS: &str = "overlays";

/// Files below `/etc` that are made for each container.
const OWN_FILES: [&str; 4] = ["hosts", "hostname", "resolv.conf", "localtime"];

/// The name of the machine's own time zone.
pub const LOCAL_TIME: &str = "local";

/// All of it, the outermost first. Files are made in the container's directory, and what is there of an earlier run is replaced.
pub(super) fn mounts_of_run(
    store: &Store,
    record: &Record,
    configuration: &Configuration,
    directory: &Path,
    machine: Machine,
) -> Result<Vec<MountSpec>> {
    let settings = &configuration.settings;
    let mut mounts = own_files(store, record, configuration, directory, machine)?;
    // What an earlier run changed must not be seen by this one.
    remove_dir_all(&directory.join(OVERLAYS))?;
    let place = Place { store, directory, machine };
    for (number, mount) in settings.mounts.iter().enumerate() {
        let spec = place.spec_of(number, mount)?;
        if mount.kind == MountKind::Volume && matches!(spec.what, MountSource::Tmpfs(_)) {
            nobody_else_has(store, record, mount)?;
        }
        mounts.push(if mount.overlaid { place.overlaid(number, mount, spec)? } else { spec });
    }
    if settings.read_only && settings.scratch_in_memory {
        let is_given = |target: &&str| settings.mounts.iter().any(|mount| mount.target == **target);
        mounts.extend(SCRATCH.into_iter().filter(|target| !is_given(target)).map(scratch));
    }
    outermost_first(&mut mounts);
    Ok(mounts)
}

/// A volume in memory is made anew for each container: two that run would not see the same.
fn nobody_else_has(store: &Store, record: &Record, mount: &Mount) -> Result<()> {
    let id = &record.container.id;
    let has_it = |other: &Record| {
        other.container.id != *id && other.container.is_running() && super::uses_volume(other, &mount.source)
    };
    match store.containers()?.iter().find(|other| has_it(other)) {
        Some(other) => {
            let (volume, other) = (&mount.source, super::short_id(&other.container.id));
            let message = format!("volume {volume} is in memory, which container {other} has and no other one can see");
            Err(Error::new(Kind::Unsupported, message).with_hint("a volume without the type tmpfs can be shared"))
        }
        None => Ok(()),
    }
}

/// The files that are made for each container: names of hosts and how to find others.
fn own_files(
    store: &Store,
    record: &Record,
    configuration: &Configuration,
    directory: &Path,
    machine: Machine,
) -> Result<Vec<MountSpec>> {
    let Configuration { config, settings, .. } = configuration;
    let mut texts = Vec::new();
    if !settings.no_hostname {
        texts.push(("hostname", format!("{}\n", config.hostname).into_bytes()));
    }
    if let Some(zone) = &settings.time_zone {
        texts.push(("localtime", read_limited(&time_zone_file(zone), MACHINE_FILE_BYTES_MAX)?));
    }
    let joins_network = matches!(settings.joins.get(&NamespaceKind::Network), Some(Other::Container(_)));
    let mut sources = Vec::new();
    if joins_network {
        let (theirs, network) = joins::network_of(store, &record.container.id, settings)?;
        // Podman gives a container hosts of its own where whose network it has has none.
        let has_hosts = !settings.no_hosts && (settings.habits == Habits::Docker || network == Network::Host);
        let names = ["hosts", "resolv.conf"].into_iter().filter(|name| *name != "hosts" || has_hosts);
        sources.extend(names.map(|name| (name, theirs.join(name))).filter(|(_, path)| path.exists()));
    }
    if !settings.no_hosts && !sources.iter().any(|(name, _)| *name == "hosts") {
        let name = record.container.name.as_deref();
        let base = match settings.hosts_base.as_deref() {
            Some("") => String::new(),
            base => machine_file(base.unwrap_or("/etc/hosts")),
        };
        texts.push(("hosts", hosts::text(&base, configuration, name).into_bytes()));
    }
    // Podman leaves the image's where nobody can be asked.
    let can_ask = settings.network == Network::Host || settings.habits == Habits::Docker;
    let has_theirs = joins_network && sources.iter().any(|(name, _)| *name == "resolv.conf");
    if can_ask && !has_theirs && !settings.no_resolver {
        texts.push(("resolv.conf", super::resolv::with(machine_file("/etc/resolv.conf"), settings).into_bytes()));
    }
    for (name, text) in texts {
        let path = directory.join(name);
        write_for_all(&path, &text)?;
        if machine.kept_ids.is_some() {
            let cannot = |error| Error::io(format_args!("cannot change {path:?}"), error);
            set_owner(File::open(&path).map_err(cannot)?, 0, 0).map_err(cannot)?;
        }
        sources.push((name, path));
    }
    let mut mounts = Vec::new();
    for (name, path) in sources {
        let target = format!("/etc/{name}");
        if settings.mounts.iter().any(|mount| mount.target == target) {
            continue;
        }
        let what = MountSource::Bind { source: path, recursive: false };
        mounts.push(MountSpec { target, what, read_only: settings.read_only, manner: Manner::default() });
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

/// What is mounted in a container that does not run, for who looks into it: volumes, what is there of images and of the machine's files, and
/// those that its last run had of its own.
pub(crate) fn shown_mounts(
    store: &Store,
    configuration: &Configuration,
    directory: &Path,
    machine: Machine,
) -> Result<Vec<MountSpec>> {
    let mut mounts = Vec::new();
    for name in OWN_FILES {
        let source = directory.join(name);
        if source.exists() {
            let what = MountSource::Bind { source, recursive: false };
            let target = format!("/etc/{name}");
            mounts.push(MountSpec { target, what, read_only: false, manner: Manner::default() });
        }
    }
    let is_shown = |mount: &Mount| mount.kind != MountKind::Device && !mount.overlaid;
    let place = Place { store, directory, machine };
    for (number, mount) in configuration.settings.mounts.iter().enumerate().filter(|(_, mount)| is_shown(mount)) {
        let spec = match place.spec_of(number, mount) {
            // An image that was removed by force.
            Err(error) if error.kind() == Kind::NotFound => continue,
            spec => spec?,
        };
        let is_there = match &spec.what {
            MountSource::Bind { source, .. } | MountSource::Volume(source) => source.exists(),
            MountSource::Image { .. } => true,
            _ => false,
        };
        if is_there {
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

/// Where a container is that something is mounted in.
struct Place<'a> {
    store: &'a Store,
    /// The container's directory.
    directory: &'a Path,
    machine: Machine,
}

impl Place<'_> {
    /// A directory for what one of the mounts needs beside its source.
    fn beside(&self, number: usize) -> PathBuf {
        self.directory.join(OVERLAYS).join(number.to_string())
    }

    /// As it is asked for, without what the container changes of it.
    fn spec_of(&self, number: usize, mount: &Mount) -> Result<MountSpec> {
        let (mut read_only, mut manner) = (mount.read_only, mount.manner.clone());
        let what = match mount.kind {
            MountKind::Bind => {
                MountSource::Bind { source: PathBuf::from(&mount.source), recursive: !mount.manner.shallow }
            }
            MountKind::Volume => {
                let own = super::volumes::data(self.store, &mount.source)?;
                let options = super::volumes::options_of(self.store, &mount.source)?;
                let what;
                (what, read_only, manner) = options.backing()?.mounted(own, mount, options.has_owner());
                what
            }
            MountKind::Tmpfs => MountSource::Tmpfs(Tmpfs {
                options: mount.options.clone(),
                executable: mount.executable,
                suid: mount.gives_rights,
                copy_up: mount.filled,
            }),
            MountKind::Device => MountSource::Device(PathBuf::from(&mount.source)),
            MountKind::Image => {
                let scratch = self.beside(number).join("scratch");
                create_dir_all(&scratch)?;
                let files = image_files(self.store, image_of(mount)?, self.directory, self.machine);
                let files = files.map_err(|error| explain(&mount.source, error))?;
                MountSource::Image { files, scratch, changes: None }
            }
        };
        Ok(MountSpec { target: mount.target.clone(), what, read_only, manner })
    }

    /// The same with what is changed in a directory of its own, which begins as empty as the source is not.
    fn overlaid(&self, number: usize, mount: &Mount, spec: MountSpec) -> Result<MountSpec> {
        let beside = self.beside(number);
        let changes = Changes { upper: beside.join("upper"), work: beside.join("work") };
        create_dir_all(&changes.upper)?;
        create_dir_all(&changes.work)?;
        let what = match spec.what {
            MountSource::Bind { source, .. } | MountSource::Volume(source) => {
                dress_as(&changes.upper, &source, self.machine)?;
                MountSource::Overlaid { source, changes }
            }
            MountSource::Image { files, scratch, .. } => {
                let root = root_attributes(self.store, image_of(mount)?, self.directory, self.machine)?;
                dress(&changes.upper, &root, self.machine)?;
                MountSource::Image { files, scratch, changes: Some(changes) }
            }
            what => what,
        };
        Ok(MountSpec { what, ..spec })
    }
}

/// The topmost directory says what the root is like; an owner from outside of the namespace cannot be given.
fn dress_as(upper: &Path, source: &Path, machine: Machine) -> Result<()> {
    let cannot = |error| Error::io(format_args!("cannot use {source:?}"), error);
    let stat = Dir::open(source).and_then(|source| source.stat()).map_err(cannot)?;
    let open = File::open(upper).map_err(cannot)?;
    if machine.may_own() {
        let _ = set_owner(&open, stat.uid, stat.gid);
    }
    set_mode(&open, stat.mode & 0o7777).map_err(cannot)
}

/// The image that is mounted: known since the container was made.
fn image_of(mount: &Mount) -> Result<&Digest> {
    let unknown =
        || Error::new(Kind::Corrupt, format!("it is not on record which image is mounted at {:?}", mount.target));
    mount.image.as_ref().ok_or_else(unknown)
}

/// Memory for what programs write on the way, with what the image has there.
fn scratch(target: &str) -> MountSpec {
    let memory = Tmpfs { options: Vec::new(), executable: true, suid: false, copy_up: true };
    let (what, manner) = (MountSource::Tmpfs(memory), Manner::default());
    MountSpec { target: target.to_owned(), what, read_only: false, manner }
}
