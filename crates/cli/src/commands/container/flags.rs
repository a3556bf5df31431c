//! The options that `create` and `run` share.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{ArgAction, Args};
use dhow_base::{Error, Kind};
use dhow_ops::container::{
    Capabilities, Habits, KeptIds, Network as ContainerNetwork, Options, Settings, Ulimit, capability_number,
};
use dhow_spec::Platform;

use super::super::podman::container as podman;
use super::super::transfers::Retries;
use super::foreign::{Foreign, Idle};
use super::resolving;
use crate::errors::{Failure, Outcome};
use crate::personality::Personality;
use crate::session::{Identity, Network, Session};
use crate::verb::given;
use engine::Engine;
use limits::Limiting;
use namespaces::Namespaces;
use podman_only::PodmanOnly;
use ports::Ports;
pub(super) use values::{bytes, misread, unknown_flag};
use values::{from_here, labels, misread_by, variables};

mod before;
mod engine;
mod limits;
mod mounts;
mod namespaces;
mod network;
mod podman_only;
mod ports;
mod security;
mod values;
mod volumes_from;

/// Podman's word for the groups of whoever starts a container.
const KEEP_GROUPS: &str = "keep-groups";

/// Podman's word for a `/etc/resolv.conf` that is the image's.
const NO_RESOLVER: &str = "none";

/// What a container is to be.
#[derive(Args, Debug)]
#[command(disable_help_flag = true)]
pub(super) struct Flags {
    /// Add a line to the container's /etc/hosts (host:ip)
    #[arg(long, value_name = "list")]
    add_host: Vec<String>,
    /// Add capabilities
    #[arg(long, value_name = "list")]
    cap_add: Vec<String>,
    /// Drop capabilities
    #[arg(long, value_name = "list")]
    cap_drop: Vec<String>,
    /// Write the container ID to a file
    #[arg(long, value_name = "string")]
    cidfile: Option<PathBuf>,
    /// Show a device of this machine in the container
    #[arg(long, value_name = "list")]
    device: Vec<String>,
    /// Name servers instead of this machine's
    #[arg(long, value_name = "list")]
    dns: Vec<String>,
    /// Options of the resolver instead of this machine's, such as "ndots:2"
    #[arg(long, visible_alias = "dns-opt", value_name = "list")]
    dns_option: Vec<String>,
    /// Domains in which short names are looked for instead of this machine's; "." for none
    #[arg(long, value_name = "list")]
    dns_search: Vec<String>,
    /// What to run instead of the image's entry point
    #[arg(long, value_name = "string")]
    entrypoint: Option<String>,
    /// Set environment variables
    #[arg(short, long, value_name = "list")]
    env: Vec<String>,
    /// Read environment variables from a file
    #[arg(long, value_name = "list")]
    env_file: Vec<PathBuf>,
    /// Add groups to the user's
    #[arg(long, value_name = "list")]
    group_add: Vec<String>,
    /// Print the help
    #[arg(long, action = ArgAction::Help, hide = true)]
    help: Option<bool>,
    /// Host name of the container
    #[arg(short = 'h', long, value_name = "string")]
    hostname: Option<String>,
    /// Start the program from a first process that looks after what others left, and passes signals on
    #[arg(long)]
    init: bool,
    /// Pass standard input on to the container
    #[arg(short, long)]
    interactive: bool,
    /// Set labels on the container
    #[arg(short, long, value_name = "list")]
    label: Vec<String>,
    /// Read labels from a file
    #[arg(long, value_name = "list")]
    label_file: Vec<PathBuf>,
    /// Mount something in the container: "type=bind|volume|tmpfs|image,source=…,target=…"
    #[arg(long, value_name = "mount")]
    mount: Vec<String>,
    /// Name of the container
    #[arg(long, value_name = "string")]
    name: Option<String>,
    /// Network of the container: "host", "container:NAME" for another container's, or "none" ("private"): a loopback interface of its own and
    /// nothing else
    #[arg(long, visible_alias = "net", value_name = "network")]
    network: Vec<String>,
    /// Take the image for this platform
    #[arg(long, value_name = "string")]
    platform: Option<String>,
    /// Give the container all rights that there are, and the devices of this machine
    #[arg(long)]
    privileged: bool,
    /// When to pull the image ("always", "missing", "never")
    #[arg(long, value_name = "string", default_value = "missing")]
    pull: String,
    /// Do not show how the image is pulled
    #[arg(short, long)]
    quiet: bool,
    /// Mount the container's files so that they can only be read
    #[arg(long)]
    read_only: bool,
    /// Security options: "no-new-privileges", "seccomp=FILE|unconfined", "systempaths=unconfined"
    #[arg(long, value_name = "list")]
    security_opt: Vec<String>,
    /// Size of /dev/shm
    #[arg(long, value_name = "bytes")]
    shm_size: Option<String>,
    /// Signal that asks the container to end
    #[arg(long, value_name = "string")]
    stop_signal: Option<String>,
    /// Mount memory in the container: "/path:size=64m"
    #[arg(long, value_name = "list")]
    tmpfs: Vec<String>,
    /// Give the container a terminal
    #[arg(short, long)]
    tty: bool,
    /// Limit what each process may take: "name=soft:hard", or "name=limit" for both
    #[arg(long, value_name = "ulimit")]
    ulimit: Vec<String>,
    /// User, and perhaps group, of the program: "name|uid[:group|gid]"
    #[arg(short, long, value_name = "string")]
    user: Option<String>,
    /// Mount a volume or a directory
    #[arg(
        short,
        long,
        value_name = "list",
        help = "Mount a volume or a directory: \"[source:]target[:options]\", such as ro, nocopy, shared"
    )]
    volume: Vec<String>,
    /// Directory that the program starts in
    #[arg(short, long, value_name = "string")]
    workdir: Option<String>,
    /// Remove the container when it ends
    #[arg(long)]
    rm: bool,
    #[command(flatten)]
    limiting: Limiting,
    #[command(flatten)]
    namespaces: Namespaces,
    #[command(flatten)]
    engine: Engine,
    #[command(flatten)]
    ports: Ports,
    #[command(flatten)]
    podman_only: PodmanOnly,
    #[command(flatten)]
    foreign: Foreign,
    #[command(flatten)]
    idle: Idle,
    #[command(flatten)]
    registry: Network,
    #[command(flatten)]
    identity: Identity,
    #[command(flatten)]
    retries: Retries,
}

impl Flags {
    /// The container that the options and the words behind them describe.
    ///
    /// # Errors
    /// Docker's words for what cannot be.
    pub(super) fn options(&self, session: &Session<'_>, words: &[String]) -> Outcome<Options> {
        self.policy(session.personality)?;
        let said = self.ports.read(session.personality)?;
        self.engine.check_restart(session.personality)?;
        self.idle.check(session)?;
        if self.rm {
            self.engine.check_removed(session.personality)?;
        }
        self.check_networks(session.personality)?;
        self.check_joined_network(session.personality)?;
        self.engine.check(session.personality)?;
        self.ports.check(session.personality, self.asked_network(session.personality))?;
        self.podman_only.check(session.personality)?;
        self.foreign.check(session)?;
        if session.personality == Personality::Podman {
            self.check_as_podman()?;
        }
        let (image, command) =
            words.split_first().map_or((String::new(), &[][..]), |(image, rest)| (image.clone(), rest));
        let network = self.own_network(session.personality)?;
        Ok(Options {
            image,
            platform: self.platform(session)?,
            command: command.to_vec(),
            entrypoint: self.entrypoint.as_deref().map(|text| entrypoint(session.personality, text)),
            environment: variables(session, self.podman_only.handed_on(session), &self.env_file, &self.env)?,
            merged_environment: self.podman_only.env_merge.clone(),
            user: self.user.clone().or_else(|| self.engine.kept_ids().map(named)),
            working_directory: self.working_directory(session)?,
            hostname: self
                .hostname
                .clone()
                .filter(|name| !name.is_empty())
                .or_else(|| self.machine_name(session.personality)),
            labels: labels(session, &self.label_file, &self.label)?,
            name: self.name.clone().filter(|name| !name.is_empty()),
            interactive: self.interactive,
            terminal: self.tty,
            stop_signal: self.stop_signal.clone(),
            stop_timeout: self.idle.stop_timeout(),
            health: self.idle.health(session)?,
            exposed_ports: said.exposed,
            volumes: self.volume.iter().filter(|text| !text.contains(':')).cloned().collect(),
            image_volumes: self.podman_only.image_volumes()?,
            settings: Settings {
                needs_working_directory: session.personality == Personality::Podman && self.workdir.is_some(),
                port_bindings: said.bindings,
                publishes_all: said.publishes_all,
                ..self.settings(session, network)?
            },
        })
    }

    /// The machine's name, for a container of which somebody says that it has the machine's network or name.
    fn machine_name(&self, personality: Personality) -> Option<String> {
        let is_asked_for = self.asked_network(personality) == Some("host") || self.namespaces.has_machine_s_name();
        is_asked_for.then(|| rustix::system::uname().nodename().to_string_lossy().into_owned())
    }

    /// Which of the container's input, output and errors have to do with this process.
    pub(super) fn attached(&self) -> [bool; 3] {
        self.foreign.attached()
    }

    fn platform(&self, session: &Session<'_>) -> Outcome<Option<Platform>> {
        let parts = self.podman_only.platform_parts();
        // Podman does not know docker's variable.
        let is_told = session.personality == Personality::Podman || parts.given().is_some();
        let default = session.environment.default_platform.as_deref().filter(|_| !is_told);
        parts.platform(self.platform.as_deref().or(default)).map_err(|failure| match failure {
            Failure::Engine(error) if session.personality != Personality::Podman => {
                // Told by the code of what comes after the options.
                Failure::Reported(error.context("error parsing specified platform"))
            }
            failure => failure,
        })
    }

    fn check_as_podman(&self) -> Outcome {
        self.volume.iter().try_for_each(|text| podman::check_volume(&from_here(text)))?;
        self.name.iter().try_for_each(|name| podman::check_name(name))?;
        if self.podman_only.replace && self.name.is_none() {
            return Err(Failure::Client("cannot replace container without --name being set".to_owned()));
        }
        if self.podman_only.no_hosts && !self.add_host.is_empty() {
            return Err(Failure::Client("--no-hosts and --add-host cannot be set together".to_owned()));
        }
        if self.podman_only.no_hosts && self.podman_only.hosts_file.as_deref().is_some_and(|file| !file.is_empty()) {
            return Err(Failure::Client("--no-hosts and --hosts-file cannot be set together".to_owned()));
        }
        if self.dns.len() > 1 && self.dns.iter().any(|server| server == NO_RESOLVER) {
            let message = format!("{NO_RESOLVER} is not allowed to be specified with other DNS ip addresses");
            return Err(Failure::Client(message));
        }
        self.device.iter().try_for_each(|text| podman::check_device(text))?;
        let is_known = |name: &str| name.eq_ignore_ascii_case("all") || capability_number(name).is_some();
        let Capabilities { add, drop } = self.capabilities(Personality::Podman);
        if let Some(name) = add.iter().chain(&drop).find(|name| !is_known(name)) {
            let name = name.to_ascii_uppercase();
            let name = if name.starts_with("CAP_") { name } else { format!("CAP_{name}") };
            return Err(Failure::Client(format!("{name:?}: unknown capability")));
        }
        match self.env.iter().find(|variable| variable.starts_with('=') || variable.is_empty()) {
            Some(variable) => Err(Failure::Client(format!("invalid environment variable: {variable:?}"))),
            None => Ok(()),
        }
    }

    /// The capabilities that are named. Podman takes several at once, with commas between them.
    fn capabilities(&self, personality: Personality) -> Capabilities {
        let names = |given: &[String]| match personality {
            Personality::Podman => given.iter().flat_map(|names| names.split(',')).map(str::to_owned).collect(),
            _ => given.to_vec(),
        };
        Capabilities { add: names(&self.cap_add), drop: names(&self.cap_drop) }
    }

    fn working_directory(&self, session: &Session<'_>) -> Outcome<Option<String>> {
        match self.workdir.as_deref() {
            // Podman looks for it in the container.
            Some(path) if !path.is_empty() && !path.starts_with('/') && session.personality != Personality::Podman => {
                let message = format!("the working directory '{path}' is invalid, it needs to be an absolute path");
                Err(Error::new(Kind::Invalid, message).into())
            }
            path => Ok(path.map(str::to_owned)),
        }
    }

    fn settings(&self, session: &Session<'_>, network: ContainerNetwork) -> Outcome<Settings> {
        let keeps_groups = self.keeps_groups(session.personality)?;
        let is_podman = session.personality == Personality::Podman;
        let mut settings = Settings {
            habits: habits(session.personality),
            network,
            umask: Some(self.podman_only.umask()?),
            time_zone: self.podman_only.time_zone()?,
            timeout_seconds: self.podman_only.timeout(session)?,
            is_32_bit: self.podman_only.is_32_bit()?,
            no_hosts: self.podman_only.no_hosts,
            no_hostname: self.podman_only.no_hostname,
            hosts_base: self.podman_only.hosts_base()?,
            unset: self.podman_only.unsetenv.clone(),
            unset_all: self.podman_only.unsetenv_all,
            read_only: self.read_only,
            privileged: self.privileged,
            scratch_in_memory: self.podman_only.read_only_tmpfs() && is_podman,
            auto_remove: self.rm || self.podman_only.rmi,
            init: self.init,
            capabilities: self.capabilities(session.personality),
            groups: if keeps_groups { Vec::new() } else { self.group_add.clone() },
            keeps_groups,
            shm_bytes: bytes(session, self.shm_size.as_deref(), "--shm-size", podman::SHM)?.unwrap_or(0),
            no_resolver: is_podman && self.dns == [NO_RESOLVER],
            name_servers: {
                let named = self.dns.iter().filter(|server| !(is_podman && *server == NO_RESOLVER));
                named.map(|server| resolving::server(server)).collect()
            },
            search_domains: self.dns_search.iter().map(|domain| domain.trim().to_owned()).collect(),
            resolver_options: self.dns_option.clone(),
            mounts: self.mounts(session)?,
            limits: self.limiting.limits(session)?,
            oom_score: self.limiting.oom_score(session)?,
            ulimits: self.ulimits(session)?,
            id_file: given(self.cidfile.as_ref()).map(|path| path.to_string_lossy().into_owned()),
            ..Settings::default()
        };
        self.add_others_mounts(session, &mut settings.mounts)?;
        settings.annotations = self.idle.annotations(session.personality)?;
        settings.volumes_from = self.foreign.volumes_from().to_vec();
        self.join_others(session.personality, &mut settings)?;
        self.namespaces.heed(session, self.hostname.as_deref(), &mut settings)?;
        for option in &self.security_opt {
            security::heed(session.personality, option, &mut settings)?;
        }
        self.add_hosts(session, network, &mut settings)?;
        for server in &settings.name_servers {
            let by_podman = format!("{server} is not an ip address");
            resolving::check_server(server).map_err(|why| misread_by(session, server, "--dns", &why, &by_podman))?;
        }
        for domain in &settings.search_domains {
            resolving::check_domain(domain).map_err(|why| misread(session, domain, "--dns-search", &why))?;
        }
        Ok(settings)
    }

    /// Names that the user gives addresses.
    fn add_hosts(&self, session: &Session<'_>, network: ContainerNetwork, settings: &mut Settings) -> Outcome {
        for host in &self.add_host {
            let (name, address) =
                resolving::host(host).map_err(|why| misread_by(session, host, "--add-host", &why, &why))?;
            let address = match (address, network) {
                (resolving::GATEWAY, ContainerNetwork::Host) => "127.0.0.1",
                (resolving::GATEWAY, ContainerNetwork::None) => {
                    let message = format!("unable to derive the IP value for {address}");
                    return Err(Error::new(Kind::Invalid, message).into());
                }
                (address, _) => address,
            };
            settings.extra_hosts.push(format!("{name}:{address}"));
        }
        Ok(())
    }

    /// Whether the program has the caller's groups, which docker knows nothing of.
    fn keeps_groups(&self, personality: Personality) -> Outcome<bool> {
        let is_docker = matches!(personality, Personality::Docker | Personality::Docker29);
        match self.group_add.iter().any(|name| name == KEEP_GROUPS) && !is_docker {
            true if self.group_add.len() > 1 => Err(Failure::Client(format!(
                "the '--group-add {KEEP_GROUPS}' option is not allowed with any other --group-add options"
            ))),
            keeps => Ok(keeps),
        }
    }

    /// The limits of processes: of several of one name the last counts.
    fn ulimits(&self, session: &Session<'_>) -> Outcome<Vec<Ulimit>> {
        let is_podman = session.personality == Personality::Podman;
        let mut last = BTreeMap::new();
        // Podman's word for leaving them as they are.
        for text in self.ulimit.iter().filter(|text| !is_podman || *text != "host") {
            let limit = Ulimit::parse(text).map_err(|why| match is_podman {
                true => Failure::Client(podman::about_ulimit(text, &why)),
                false => misread(session, text, "--ulimit", &why),
            })?;
            last.insert(limit.name.clone(), limit);
        }
        Ok(last.into_values().collect())
    }
}

/// The caller, by its numbers in a namespace that keeps them.
fn named(ids: KeptIds) -> String {
    format!("{}:{}", ids.uid, ids.gid)
}

fn habits(personality: Personality) -> Habits {
    if personality == Personality::Podman { Habits::Podman } else { Habits::Docker }
}

/// The words of `--entrypoint`; podman takes several, as a list in JSON.
fn entrypoint(personality: Personality, text: &str) -> Vec<String> {
    let list = serde_json::from_str(text).ok().filter(|_| personality == Personality::Podman);
    list.unwrap_or_else(|| vec![text.to_owned()])
}
