//! How a container is to run: what the user says, and what is kept of it.

use std::collections::{BTreeMap, BTreeSet};

use dhow_base::{Error, Kind, Result};
use dhow_sandbox::container::{CAPABILITIES, Habits, Limits, NamespaceKind, Shared, Ulimit};
use dhow_spec::Digest;
use dhow_spec::config::{Healthcheck, RunConfig};
use serde::{Deserialize, Serialize};

use super::capabilities::Capabilities;
use super::joins::Joins;
use super::mounts::Mount;
use super::{KeptIds, Machine};

/// What the user says of a new container.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The image.
    pub image: String,
    /// Which platform of it.
    pub platform: Option<dhow_spec::Platform>,
    /// What to run instead of the image's command.
    pub command: Vec<String>,
    /// What to run instead of the image's entry point; one empty word takes that away.
    pub entrypoint: Option<Vec<String>>,
    /// `NAME=value`.
    pub environment: Vec<String>,
    /// As `environment`, with variables in them that stand for what the container has without the user: podman's `--env-merge`.
    pub merged_environment: Vec<String>,
    /// User, and perhaps group.
    pub user: Option<String>,
    /// Directory to start in.
    pub working_directory: Option<String>,
    /// Host name.
    pub hostname: Option<String>,
    /// Free-form information.
    pub labels: BTreeMap<String, String>,
    /// Its name; nothing for one by chance.
    pub name: Option<String>,
    /// Whether standard input is passed on.
    pub interactive: bool,
    /// Whether it gets a terminal.
    pub terminal: bool,
    /// The signal that asks it to end.
    pub stop_signal: Option<String>,
    /// How many seconds it has to end then: nobody counts them, but who makes an image of it keeps them.
    pub stop_timeout: Option<i64>,
    /// How to tell whether it is well, with what the image says where this says nothing: nobody asks, but it is kept.
    pub health: Option<Healthcheck>,
    /// Ports that it is said to listen on: `80/tcp`.
    pub exposed_ports: BTreeSet<String>,
    /// Places of volumes that nobody named: an image made of the container wants them too.
    pub volumes: Vec<String>,
    /// What becomes of the volumes that the image wants.
    pub image_volumes: ImageVolumes,
    /// The rest.
    pub settings: Settings,
}

/// What becomes of the volumes that an image wants, and for which the user gave nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ImageVolumes {
    /// They are volumes without a name.
    #[default]
    Volumes,
    /// They are memory, with what the image has there.
    Memory,
    /// There are none.
    Ignored,
}

/// Where programs write though all other files can only be read, as with podman's `--read-only-tmpfs`.
pub const SCRATCH: [&str; 3] = ["/run", "/tmp", "/var/tmp"];

/// The machine's side of a container: what is no part of an image made of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Settings {
    /// Whose containers it is like inside.
    pub habits: Habits,
    /// Whom the caller is in its user namespace, if that is not root (podman's `--userns keep-id`); this is set when it is made.
    pub kept_ids: Option<KeptIds>,
    /// What network it has.
    pub network: Network,
    /// Rights that new files of its program do not get; docker's 022 if nobody says.
    pub umask: Option<u32>,
    /// Time zone that its `/etc/localtime` is for ([`time_zone_file`](super::time_zone_file)); the image's if nobody says.
    pub time_zone: Option<String>,
    /// After how many seconds it is killed.
    pub timeout_seconds: Option<u32>,
    /// Whether the kernel says to its program that it is one of 32 bits (personality(2), `PER_LINUX32`).
    pub is_32_bit: bool,
    /// Whether the image's `/etc/hosts` stays as it is.
    pub no_hosts: bool,
    /// Whether the image's `/etc/hostname` stays as it is.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub no_hostname: bool,
    /// The file that its `/etc/hosts` begins with instead of the machine's; an empty name for nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hosts_base: Option<String>,
    /// Variables of every container that its program does not get; those of its image were left out when it was made.
    pub unset: Vec<String>,
    /// Whether its program gets none of these at all.
    pub unset_all: bool,
    /// Whether its files can only be read.
    pub read_only: bool,
    /// Whether `/run`, `/tmp` and `/var/tmp` are memory then, as with podman.
    pub scratch_in_memory: bool,
    /// Whether it is removed when it ends.
    pub auto_remove: bool,
    /// Whether its program is not its first process, but the child of one that looks after what others left.
    pub init: bool,
    /// Whether it has all rights that the caller has, and the devices of the machine.
    pub privileged: bool,
    /// Capabilities on top of the usual ones, and fewer of them.
    pub capabilities: Capabilities,
    /// Groups besides the user's.
    pub groups: Vec<String>,
    /// Whether its program has the groups of whoever starts it instead: podman's `--group-add keep-groups`.
    pub keeps_groups: bool,
    /// Whether programs may not gain rights.
    pub no_new_privileges: bool,
    /// Whether system calls are not filtered.
    pub unfiltered: bool,
    /// The profile that they are filtered by, if it is not docker's default one ([`check_profile`]).
    ///
    /// [`check_profile`]: dhow_sandbox::container::check_profile
    pub calls: Option<String>,
    /// Whether nothing of `/proc` and `/sys` is hidden.
    pub unmasked: bool,
    /// Patterns of paths in `/proc` and `/sys` that are not hidden, as with podman's `unmask`.
    pub left_unmasked: Vec<String>,
    /// Paths that are hidden besides.
    pub masked: Vec<String>,
    /// Options of `/proc`.
    pub process_options: Vec<(String, String)>,
    /// The AppArmor profile that the program runs under.
    pub apparmor: Option<String>,
    /// Whether the working directory must be there; it is made otherwise.
    pub needs_working_directory: bool,
    /// Bytes of `/dev/shm`; 0 for docker's 64 MiB.
    pub shm_bytes: u64,
    /// Whether there is no `/dev/shm`.
    pub no_shared_memory: bool,
    /// Whether other containers may share its memory and message queues.
    pub memory_is_offered: bool,
    /// Namespaces that are the machine's.
    pub shared: Shared,
    /// Namespaces of others that it is in.
    pub joins: Joins,
    /// Its NIS domain name.
    pub domain_name: String,
    /// Settings of the kernel that are its own, by name.
    pub sysctls: Vec<(String, String)>,
    /// `name:address`, for its `/etc/hosts`.
    pub extra_hosts: Vec<String>,
    /// Whether the image's `/etc/resolv.conf` stays as it is.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub no_resolver: bool,
    /// Name servers instead of the machine's.
    pub name_servers: Vec<String>,
    /// Where names without a dot are looked for, instead of the machine's; `.` for nowhere.
    pub search_domains: Vec<String>,
    /// Options of the resolver instead of the machine's.
    pub resolver_options: Vec<String>,
    /// What it may take at most.
    pub limits: Limits,
    /// How soon it is killed when the machine runs out of memory, from -1000 to 1000; nothing for as soon as who starts it.
    pub oom_score: Option<i16>,
    /// What each of its processes may take at most.
    pub ulimits: Vec<Ulimit>,
    /// What is mounted.
    pub mounts: Vec<Mount>,
    /// What the user notes for a runtime, by name: for who asks what was said.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Ports of it (`80/tcp`) and where on the machine they were to be reached, which they are not: for who asks what was said.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub port_bindings: BTreeMap<String, Vec<PortBinding>>,
    /// Whether all that it is said to listen on was to be reached somewhere: for who asks what was said.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub publishes_all: bool,
    /// Containers whose volumes are among these, as the user calls them: for who asks what was said.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub volumes_from: Vec<String>,
    /// What the user says of security, in those words but for profiles, which are here themselves: for who asks what was said.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub security_options: Vec<String>,
    /// The file that has its ID, if the user wants one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id_file: Option<String>,
}

/// Where on the machine a port of a container is to be reached.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct PortBinding {
    /// At which of its addresses; nothing for all.
    pub address: String,
    /// At which of its ports, or at one of which (`80-90`); nothing for any.
    pub port: String,
}

/// What network a container has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Network {
    /// The machine's.
    #[default]
    Host,
    /// Another's, if it joins one; a loopback interface and nothing else otherwise.
    None,
}

impl Settings {
    /// Whether its processes are in a namespace with others.
    pub fn is_among_others(&self) -> bool {
        self.shared.pid || self.joins.contains_key(&NamespaceKind::Pid)
    }

    /// The numbers of the capabilities that the program may have: all of them where it is privileged, whatever is said of single ones.
    ///
    /// # Errors
    /// As [`Capabilities::numbers`].
    pub fn capability_numbers(&self) -> Result<Vec<u8>> {
        let numbers = self.capabilities.numbers(self.habits)?;
        Ok(if self.privileged { (0..CAPABILITIES.len() as u8).collect() } else { numbers })
    }
}

/// What is kept of a container (`docs/formats/store.md`).
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Configuration {
    /// The name that the image was called by.
    pub(crate) image: String,
    /// The program and its arguments.
    pub(crate) command: Vec<String>,
    /// Free-form information.
    pub(crate) labels: BTreeMap<String, String>,
    /// Images that are mounted in it: the store counts them as used.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub(crate) mounted_images: BTreeSet<Digest>,
    /// How it runs, as an image's config would have it.
    pub(crate) config: RunConfig,
    /// The rest.
    pub(crate) settings: Settings,
}

impl Settings {
    /// What a network of its own is set to unless the user says otherwise: everybody may ping, and with docker serve on any port (moby,
    /// `daemon.withCommonOptions`; containers-common, `default_sysctls`).
    pub(crate) fn usual_sysctls(&self, machine: Machine) -> Vec<(String, String)> {
        if self.network == Network::Host || self.joins.contains_key(&NamespaceKind::Network) {
            return Vec::new();
        }
        let (ping, ports) = ("net.ipv4.ping_group_range", "net.ipv4.ip_unprivileged_port_start");
        let usual = match self.habits {
            Habits::Docker if machine.in_user_namespace => vec![(ports, "0")],
            Habits::Docker => vec![(ping, "0 2147483647"), (ports, "0")],
            Habits::Podman => vec![(ping, "0 0")],
        };
        usual.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    /// The variable by which podman's containers know whose they are.
    pub(crate) fn own_variable(&self) -> Option<&'static str> {
        (self.habits == Habits::Podman).then_some("container=podman")
    }

    /// Whether a variable of every container, or of the image, is left out.
    pub(crate) fn is_unset(&self, name: &str) -> bool {
        self.unset_all || self.unset.iter().any(|unset| unset == name)
    }
}

impl Configuration {
    pub(crate) fn parse(text: &str) -> Result<Self> {
        serde_json::from_str(text).map_err(|error| {
            Error::new(Kind::Corrupt, format!("cannot read what the container was made with: {error}"))
        })
    }

    pub(crate) fn text(&self) -> Result<String> {
        serde_json::to_string(self).map_err(|error| Error::new(Kind::Internal, error.to_string()))
    }
}
