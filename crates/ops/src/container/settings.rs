//! How a container is to run: what the user says, what the image says, and what is kept of both.

use std::collections::BTreeMap;

use dhow_base::{Error, Kind, Result};
use dhow_sandbox::container::{Habits, Limits, Shared, Ulimit, capability_number, default_capabilities};
use dhow_spec::config::RunConfig;
use serde::{Deserialize, Serialize};

use super::KeptIds;
use super::mounts::Mount;
use crate::naming::Naming;

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
pub(crate) const SCRATCH: [&str; 3] = ["/run", "/tmp", "/var/tmp"];

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
    /// Whether the image's `/etc/hosts` stays as it is.
    pub no_hosts: bool,
    /// Variables of every container that its program does not get; those of its image were left out when it was made.
    pub unset: Vec<String>,
    /// Whether its files can only be read.
    pub read_only: bool,
    /// Whether `/run`, `/tmp` and `/var/tmp` are memory then, as with podman.
    pub scratch_in_memory: bool,
    /// Whether it is removed when it ends.
    pub auto_remove: bool,
    /// Whether its program is not its first process, but the child of one that looks after what others left.
    pub init: bool,
    /// Capabilities on top of the usual ones, and fewer of them.
    pub capabilities: Capabilities,
    /// Groups besides the user's.
    pub groups: Vec<String>,
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
    /// Namespaces that are the machine's.
    pub shared: Shared,
    /// Its NIS domain name.
    pub domain_name: String,
    /// Settings of the kernel that are its own, by name.
    pub sysctls: Vec<(String, String)>,
    /// `name:address`, for its `/etc/hosts`.
    pub extra_hosts: Vec<String>,
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
}

/// What network a container has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Network {
    /// The machine's.
    #[default]
    Host,
    /// A loopback interface and nothing else.
    None,
}

/// Changes to the capabilities that every container has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Capabilities {
    /// More.
    pub add: Vec<String>,
    /// Fewer.
    pub drop: Vec<String>,
}

impl Capabilities {
    /// The numbers of those that are left (docker `oci/caps`): `ALL` first, single ones on top of it.
    ///
    /// # Errors
    /// [`Kind::Invalid`] in docker's words for one that there is not.
    pub fn numbers(&self, habits: Habits) -> Result<Vec<u8>> {
        let is_all = |name: &&String| name.eq_ignore_ascii_case("all");
        let named = |list: &str, names: &[String]| -> Result<Vec<u8>> {
            let number = |name: &String| {
                capability_number(name).ok_or_else(|| {
                    let message = format!("invalid {list}: unknown capability: {:?}", shown(name));
                    Error::new(Kind::Invalid, message)
                })
            };
            names.iter().filter(|name| !is_all(name)).map(number).collect()
        };
        let (add, drop) = (named("CapAdd", &self.add)?, named("CapDrop", &self.drop)?);
        let adds_all = self.add.iter().any(|name| is_all(&name));
        let drops_all = self.drop.iter().any(|name| is_all(&name));
        let mut numbers: Vec<u8> = match (adds_all, drops_all) {
            (true, _) => (0..41).collect(),
            (false, true) => Vec::new(),
            (false, false) => default_capabilities(habits),
        };
        if !drops_all || adds_all {
            numbers.retain(|number| !drop.contains(number));
        }
        numbers.extend(add);
        numbers.sort_unstable();
        numbers.dedup();
        Ok(numbers)
    }

    /// The numbers of those that a program has which does not run as root: with podman, what was added (podman,
    /// `pkg/specgen/generate/security_linux.go`).
    ///
    /// # Errors
    /// As [`Self::numbers`].
    pub fn ambient(&self, habits: Habits) -> Result<Vec<u8>> {
        match habits {
            Habits::Docker => Ok(Vec::new()),
            Habits::Podman => Self { add: self.add.clone(), drop: vec!["ALL".to_owned()] }.numbers(habits),
        }
    }
}

fn shown(name: &str) -> String {
    let name = name.to_ascii_uppercase();
    if name.starts_with("CAP_") { name } else { format!("CAP_{name}") }
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
    /// How it runs, as an image's config would have it.
    pub(crate) config: RunConfig,
    /// The rest.
    pub(crate) settings: Settings,
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

/// What the user says over what the image says (moby `daemon/commit.go`, `merge`).
///
/// # Errors
/// [`Kind::Invalid`] in each engine's words when there is nothing to run.
pub(crate) fn merged(naming: Naming, options: &Options, image: Option<&RunConfig>) -> Result<RunConfig> {
    let none = RunConfig::default();
    let image = image.unwrap_or(&none);
    let mut config = image.clone();
    let mut environment = options.environment.clone();
    let is_set = |environment: &[String], name: &str| {
        environment.iter().any(|variable| variable.split('=').next() == Some(name))
    };
    for variable in image.env.iter().flatten() {
        let name = variable.split('=').next().unwrap_or_default();
        if !is_set(&environment, name) && !options.settings.unset.iter().any(|unset| unset == name) {
            environment.push(variable.clone());
        }
    }
    config.env = Some(environment);
    match &options.entrypoint {
        Some(words) => {
            config.entrypoint = Some(words.clone()).filter(|words| words.iter().any(|word| !word.is_empty()));
            config.cmd = None;
        }
        None => config.entrypoint = config.entrypoint.filter(|words| !words.is_empty()),
    }
    if !options.command.is_empty() {
        config.cmd = Some(options.command.clone());
    }
    if config.entrypoint.iter().chain(&config.cmd).flatten().next().is_none() {
        let message = match naming {
            Naming::Docker => "no command specified",
            Naming::Podman => "no command or entrypoint provided, and no CMD or ENTRYPOINT from image",
        };
        return Err(Error::new(Kind::Invalid, message));
    }
    config.user = options.user.clone().filter(|user| !user.is_empty()).unwrap_or(config.user);
    config.working_dir =
        options.working_directory.clone().filter(|path| !path.is_empty()).unwrap_or(config.working_dir);
    if !options.labels.is_empty() {
        config.labels.get_or_insert_default().extend(options.labels.clone());
    }
    if let Some(signal) = options.stop_signal.as_deref().filter(|signal| !is_signal(signal)) {
        return Err(Error::new(Kind::Invalid, format!("invalid signal: {signal}")));
    }
    config.stop_signal = options.stop_signal.clone().or(config.stop_signal);
    config.tty = options.terminal;
    config.open_stdin = options.interactive;
    config.image.clone_from(&options.image);
    Ok(config)
}

/// Names of signals (signal(7)), without those of real time.
const SIGNALS: [&str; 34] = [
    "ABRT", "ALRM", "BUS", "CHLD", "CLD", "CONT", "FPE", "HUP", "ILL", "INT", "IO", "IOT", "KILL", "PIPE", "POLL",
    "PROF", "PWR", "QUIT", "SEGV", "STKFLT", "STOP", "SYS", "TERM", "TRAP", "TSTP", "TTIN", "TTOU", "URG", "USR1",
    "USR2", "VTALRM", "WINCH", "XCPU", "XFSZ",
];

/// Whether a text is a signal's number or name (moby `signal.ParseSignal`).
pub(crate) fn is_signal(text: &str) -> bool {
    let name = text.to_ascii_uppercase();
    let name = name.strip_prefix("SIG").unwrap_or(&name);
    match text.parse::<u8>() {
        Ok(number) => (1..=64).contains(&number),
        Err(_) => SIGNALS.contains(&name) || name.starts_with("RTMIN") || name.starts_with("RTMAX"),
    }
}

/// The program and its arguments.
pub(crate) fn arguments(config: &RunConfig) -> Vec<String> {
    config.entrypoint.iter().chain(&config.cmd).flatten().cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_are_docker_s() {
        let check = |add: &[&str], drop: &[&str], expected: &str| {
            let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
            let got = match (Capabilities { add: list(add), drop: list(drop) }).numbers(Habits::Docker) {
                Ok(numbers) => format!("{numbers:?}"),
                Err(error) => error.to_string(),
            };
            assert_eq!(got, expected, "+{add:?} -{drop:?}");
        };
        check(&[], &[], "[0, 1, 3, 4, 5, 6, 7, 8, 10, 13, 18, 27, 29, 31]");
        check(&["NET_ADMIN"], &["cap_mknod"], "[0, 1, 3, 4, 5, 6, 7, 8, 10, 12, 13, 18, 29, 31]");
        check(&["chown"], &["ALL"], "[0]");
        check(&[], &["all"], "[]");
        check(&["nope"], &[], "invalid CapAdd: unknown capability: \"CAP_NOPE\"");
        let all = Capabilities { add: vec!["ALL".to_owned()], drop: vec!["SYS_ADMIN".to_owned()] };
        assert_eq!(all.numbers(Habits::Docker).map(|numbers| numbers.len()).ok(), Some(40));
    }

    #[test]
    fn podman_gives_what_was_added_to_every_user() {
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let capabilities = Capabilities { add: list(&["net_raw", "CHOWN"]), drop: list(&["KILL"]) };
        let numbers = |got: Result<Vec<u8>>| got.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(numbers(capabilities.numbers(Habits::Podman)), [0, 1, 3, 4, 6, 7, 8, 10, 13, 18, 31]);
        assert_eq!(numbers(capabilities.ambient(Habits::Podman)), [0, 13]);
        assert!(numbers(capabilities.ambient(Habits::Docker)).is_empty());
        assert!(numbers(Capabilities::default().ambient(Habits::Podman)).is_empty());
    }

    #[test]
    fn the_user_s_words_come_before_the_image_s() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let image = RunConfig {
            entrypoint: Some(words("/entry -x")),
            cmd: Some(words("default")),
            env: Some(words("A=1 B=2")),
            user: "bob".to_owned(),
            ..RunConfig::default()
        };
        let check = |entrypoint: Option<&str>, command: &str, expected: &str| {
            let command = if command.is_empty() { Vec::new() } else { words(command) };
            let options = Options {
                entrypoint: entrypoint.map(|word| vec![word.to_owned()]),
                command,
                environment: words("B=3"),
                ..Options::default()
            };
            let got = match merged(Naming::Docker, &options, Some(&image)) {
                Ok(config) => {
                    assert_eq!(config.env, Some(words("B=3 A=1")));
                    assert_eq!(config.user, "bob");
                    arguments(&config).join(" ")
                }
                Err(error) => error.to_string(),
            };
            assert_eq!(got, expected);
        };
        check(None, "", "/entry -x default");
        check(None, "a b", "/entry -x a b");
        check(Some("sh"), "", "sh");
        check(Some("sh"), "-c x", "sh -c x");
        check(Some(""), "a", "a");
        check(Some(""), "", "no command specified");
        let signals = ["9", "TERM", "sigkill", "SIGRTMIN+3"].into_iter().all(is_signal);
        assert!(signals && !["0", "65", "odd", ""].into_iter().any(is_signal));
    }
}
