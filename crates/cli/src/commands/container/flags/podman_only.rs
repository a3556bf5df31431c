//! Options of `create` and `run` that podman has and docker has not.

use std::path::{Path, PathBuf};

use clap::Args;
use dhow_ops::container::{ImageVolumes, LOCAL_TIME, time_zone_file};
use dhow_ops::strconv::parse_uint;

use super::values::misread;
use crate::commands::podman::platform::PlatformParts;
use crate::errors::{Failure, Outcome};
use crate::personality::Personality;
use crate::session::Session;

/// What they are when nobody says.
const UMASK: &str = "0022";

/// Variables that tell of proxies, which podman hands on.
const PROXIES: [&str; 8] =
    ["http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY"];

/// Options of podman's own.
#[derive(Args, Debug)]
pub(in crate::commands::container) struct PodmanOnly {
    /// Whether /run, /tmp and /var/tmp are memory where all files can only be read
    #[arg(long, hide = true, value_name = "bool", num_args = 0..=1, require_equals = true)]
    read_only_tmpfs: Option<Option<bool>>,
    /// Whether the container is told of the caller's proxies
    #[arg(long, hide = true, value_name = "bool", num_args = 0..=1, require_equals = true)]
    http_proxy: Option<Option<bool>>,
    /// Removes the container that has the name
    #[arg(long, hide = true)]
    pub(in crate::commands::container) replace: bool,
    /// Leaves the image's /etc/hosts as it is
    #[arg(long, hide = true)]
    pub(in crate::commands::container) no_hosts: bool,
    /// Leaves the image's /etc/hostname as it is
    #[arg(long, hide = true)]
    pub(in crate::commands::container) no_hostname: bool,
    /// What /etc/hosts begins with: a file of this machine, or "none" for nothing
    #[arg(long, hide = true, value_name = "string")]
    pub(in crate::commands::container) hosts_file: Option<String>,
    #[arg(long, hide = true, value_name = "umask", default_value = UMASK)]
    umask: String,
    /// Variables of every container and of the image that the program does not get
    #[arg(long, hide = true, value_name = "list")]
    pub(in crate::commands::container) unsetenv: Vec<String>,
    /// The program gets none of these
    #[arg(long, hide = true)]
    pub(in crate::commands::container) unsetenv_all: bool,
    /// Variables that are made of those of the image, such as "PATH=$PATH:/opt/bin"
    #[arg(long, hide = true, value_name = "list")]
    pub(in crate::commands::container) env_merge: Vec<String>,
    #[command(flatten)]
    refused: Refused,
    /// Removes the container when it ends, and its image then
    #[arg(long, hide = true)]
    pub(in crate::commands::container) rmi: bool,
    /// Seconds after which the container is killed; none if it is 0
    #[arg(long, hide = true, value_name = "uint")]
    timeout: Option<String>,
    /// What becomes of the image's volumes
    #[arg(long, hide = true, value_name = "string")]
    image_volume: Option<String>,
    /// Hands on all variables of the caller
    #[arg(long, hide = true)]
    env_host: bool,
    /// Time zone of the container, by its name or as "local"
    #[arg(long, hide = true, value_name = "string")]
    tz: Option<String>,
    #[arg(long, hide = true, value_name = "string")]
    arch: Option<String>,
    #[arg(long, hide = true, value_name = "string")]
    os: Option<String>,
    #[arg(long, hide = true, value_name = "string")]
    variant: Option<String>,
    /// What the kernel says to the program that it is
    #[arg(long, hide = true, value_name = "string")]
    personality: Option<String>,
    #[command(flatten)]
    #[allow(dead_code, reason = "that they are accepted is all there is to them")]
    unheeded: Unheeded,
}

/// Options that are refused.
#[derive(Args, Debug)]
struct Refused {
    #[arg(long, hide = true, value_name = "string")]
    pod: Option<String>,
    #[arg(long, hide = true, value_name = "string")]
    pod_id_file: Option<String>,
    #[arg(long, hide = true, value_name = "string")]
    init_ctr: Option<String>,
    #[arg(long, hide = true, value_name = "list")]
    requires: Vec<String>,
    #[arg(long, hide = true, value_name = "list")]
    secret: Vec<String>,
    #[arg(long, hide = true, value_name = "map")]
    uidmap: Vec<String>,
    #[arg(long, hide = true, value_name = "map")]
    gidmap: Vec<String>,
    #[arg(long, hide = true, value_name = "string")]
    subuidname: Option<String>,
    #[arg(long, hide = true, value_name = "string")]
    subgidname: Option<String>,
    #[arg(long, hide = true, value_name = "list")]
    hostuser: Vec<String>,
    #[arg(long, hide = true, value_name = "string")]
    passwd_entry: Option<String>,
    #[arg(long, hide = true, value_name = "string")]
    group_entry: Option<String>,
    #[arg(long, hide = true, value_name = "list")]
    cgroup_conf: Vec<String>,
    #[arg(long, hide = true, value_name = "string")]
    rdt_class: Option<String>,
    #[arg(long, hide = true, value_name = "list")]
    decryption_key: Vec<String>,
    #[arg(long, hide = true, value_name = "list")]
    preserve_fd: Vec<String>,
    #[arg(long, hide = true, value_name = "list")]
    chrootdirs: Vec<String>,
    #[arg(long, hide = true, value_name = "string")]
    pidfile: Option<String>,
    #[arg(long, hide = true, value_name = "uint")]
    preserve_fds: Option<String>,
    #[arg(long, hide = true)]
    rootfs: bool,
    #[arg(long, hide = true, value_name = "string")]
    seccomp_policy: Option<String>,
}

/// Why there are no maps of users.
const USERS: &str = "--userns keep-id has the caller's number in the container, with uid= and gid= another one";

impl Refused {
    /// Each with whether it is given, and what there is instead.
    fn all(&self) -> [(&'static str, bool, &'static str); 21] {
        let services = "it is for a container engine that runs services";
        [
            ("pod", self.pod.is_some(), "pods are for a container engine"),
            ("pod-id-file", self.pod_id_file.is_some(), "pods are for a container engine"),
            ("init-ctr", self.init_ctr.is_some(), "pods are for a container engine"),
            ("requires", !self.requires.is_empty(), services),
            ("secret", !self.secret.is_empty(), "mount a file with --volume, or set a variable with --env"),
            ("uidmap", !self.uidmap.is_empty(), USERS),
            ("gidmap", !self.gidmap.is_empty(), USERS),
            ("subuidname", self.subuidname.is_some(), USERS),
            ("subgidname", self.subgidname.is_some(), USERS),
            ("hostuser", !self.hostuser.is_empty(), "nobody's list of users is changed"),
            ("passwd-entry", self.passwd_entry.is_some(), "nobody's list of users is changed"),
            ("group-entry", self.group_entry.is_some(), "nobody's list of groups is changed"),
            ("rdt-class", self.rdt_class.is_some(), "--cpus, --cpuset-cpus and --memory are what there is"),
            ("decryption-key", !self.decryption_key.is_empty(), "images are taken as they are"),
            ("preserve-fd", !self.preserve_fd.is_empty(), "a container has standard streams alone"),
            ("cgroup-conf", !self.cgroup_conf.is_empty(), "--memory, --cpus and --pids-limit are what there is"),
            ("chrootdirs", !self.chrootdirs.is_empty(), "mount what is needed with --volume"),
            ("pidfile", self.pidfile.is_some(), services),
            (
                "preserve-fds",
                self.preserve_fds.as_deref().is_some_and(|count| count != "0"),
                "a container has standard streams alone",
            ),
            ("rootfs", self.rootfs, "`import` makes an image of a directory's archive"),
            (
                "seccomp-policy",
                self.seccomp_policy.as_deref().is_some_and(|policy| policy != "default"),
                "--security-opt seccomp=FILE takes a profile",
            ),
        ]
    }
}

/// Options of which nothing is to be heeded: there is no service manager to tell, no monitor, and no list of users that is changed.
#[derive(Args, Debug)]
struct Unheeded {
    #[arg(long, hide = true, value_name = "string")]
    systemd: Option<String>,
    #[arg(long, hide = true, value_name = "string")]
    sdnotify: Option<String>,
    #[arg(long, hide = true, value_name = "string")]
    conmon_pidfile: Option<String>,
    #[arg(long, hide = true, value_name = "string")]
    cgroups: Option<String>,
    #[arg(long, hide = true, value_name = "string")]
    health_on_failure: Option<String>,
    #[arg(long, hide = true, value_name = "string")]
    init_path: Option<String>,
    #[arg(long, hide = true, value_name = "string")]
    health_log_destination: Option<String>,
    #[arg(long, hide = true, value_name = "uint")]
    health_max_log_count: Option<String>,
    #[arg(long, hide = true, value_name = "uint")]
    health_max_log_size: Option<String>,
    #[arg(long, hide = true, value_name = "string")]
    health_startup_cmd: Option<String>,
    #[arg(long, hide = true, value_name = "string")]
    health_startup_interval: Option<String>,
    #[arg(long, hide = true, value_name = "uint")]
    health_startup_retries: Option<String>,
    #[arg(long, hide = true, value_name = "uint")]
    health_startup_success: Option<String>,
    #[arg(long, hide = true, value_name = "string")]
    health_startup_timeout: Option<String>,
    #[arg(long, hide = true, value_name = "bytes")]
    shm_size_systemd: Option<String>,
    #[arg(long, hide = true, value_name = "bool", num_args = 0..=1, require_equals = true)]
    passwd: Option<Option<bool>>,
}

impl Unheeded {
    /// Refuses what podman does not understand either.
    ///
    /// # Errors
    /// In its words.
    fn check(&self) -> Outcome {
        let odd = |given: &Option<String>, known: &[&str]| {
            let given = given.as_deref().filter(|text| !text.is_empty())?;
            (!known.iter().any(|word| given.eq_ignore_ascii_case(word))).then(|| given.to_owned())
        };
        let why = if odd(&self.systemd, &["true", "false", "always"]).is_some() {
            let known = "\"true, false, always\": invalid configuration";
            format!("invalid config provided: --systemd values must be one of {known}")
        } else if let Some(mode) = odd(&self.sdnotify, &["container", "conmon", "ignore", "healthy"]) {
            let known = "must be conmon, container, healthy or ignore";
            format!("invalid config provided: invalid argument: invalid sdnotify value {mode:?}: {known}")
        } else if let Some(mode) = odd(&self.cgroups, &["enabled", "disabled", "no-conmon", "split"]) {
            format!("running container create option: invalid cgroup mode {mode:?}: invalid argument")
        } else if let Some(action) = odd(&self.health_on_failure, &["none", "kill", "restart", "stop"]) {
            let known = "supported actions are none,kill,restart,stop";
            format!("invalid on-failure action {action:?} for health check: {known}")
        } else {
            return Ok(());
        };
        Err(Failure::Client(why))
    }
}

impl PodmanOnly {
    /// Refuses what there is not, and says what there is instead. Docker's client knows none of these.
    ///
    /// # Errors
    /// For the first of them.
    pub(super) fn check(&self, personality: Personality) -> Outcome {
        if matches!(personality, Personality::Docker | Personality::Docker29) {
            return match self.given() {
                Some(flag) => Err(Failure::Client(format!("unknown flag: --{flag}"))),
                None => Ok(()),
            };
        }
        match self.refused.all().into_iter().find(|(_, is_given, _)| *is_given) {
            Some((flag, _, why)) => Err(Failure::Client(format!("--{flag} is not supported: {why}"))),
            None => self.unheeded.check(),
        }
    }

    /// One that is heeded where podman is asked, if it is given.
    fn given(&self) -> Option<&'static str> {
        let all = [
            ("read-only-tmpfs", !is_on(self.read_only_tmpfs)),
            ("http-proxy", !is_on(self.http_proxy)),
            ("replace", self.replace),
            ("no-hosts", self.no_hosts),
            ("no-hostname", self.no_hostname),
            ("hosts-file", self.hosts_file.is_some()),
            ("umask", self.umask != UMASK),
            ("unsetenv", !self.unsetenv.is_empty()),
            ("unsetenv-all", self.unsetenv_all),
            ("env-merge", !self.env_merge.is_empty()),
            ("rmi", self.rmi),
            ("timeout", self.timeout.is_some()),
            ("image-volume", self.image_volume.is_some()),
            ("env-host", self.env_host),
            ("tz", self.tz.is_some()),
            ("personality", self.personality.is_some()),
        ];
        let refused = self.refused.all().map(|(flag, is_given, _)| (flag, is_given));
        let given = all.into_iter().chain(refused).find(|(_, is_given)| *is_given).map(|(flag, _)| flag);
        given.or_else(|| self.platform_parts().given())
    }

    /// The platform of the image, in parts.
    pub(super) fn platform_parts(&self) -> PlatformParts {
        PlatformParts { arch: self.arch.clone(), os: self.os.clone(), variant: self.variant.clone() }
    }

    /// The file that `/etc/hosts` begins with, if it is not the machine's: "none", or one that must be there.
    ///
    /// # Errors
    /// In podman's words for one that is not.
    pub(super) fn hosts_base(&self) -> Outcome<Option<String>> {
        match self.hosts_file.as_deref() {
            None | Some("") => Ok(None),
            Some("image") => {
                let why = "name a file, or \"none\"; --no-hosts leaves the image's as it is";
                Err(Failure::Client(format!("--hosts-file image is not supported: {why}")))
            }
            Some("none") => Ok(Some(String::new())),
            Some(path) if Path::new(path).is_file() => {
                let path = std::path::absolute(path).unwrap_or_else(|_| PathBuf::from(path));
                Ok(Some(path.to_string_lossy().into_owned()))
            }
            Some(path) => {
                Err(Failure::Client(format!("hosts file {path:?} could not be read: no such file or directory")))
            }
        }
    }

    /// Rights that new files do not get.
    ///
    /// # Errors
    /// In podman's words for what is none.
    pub(super) fn umask(&self) -> Outcome<u32> {
        let is_octal =
            (1..=4).contains(&self.umask.len()) && self.umask.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
        match u32::from_str_radix(&self.umask, 8) {
            Ok(umask) if is_octal => Ok(umask),
            _ => Err(Failure::Client(format!(
                "running container create option: invalid umask string {}: invalid argument",
                self.umask
            ))),
        }
    }

    /// Whether the kernel says to the program that it is one of 32 bits.
    ///
    /// # Errors
    /// For what is none of the runtime specification's two domains.
    pub(super) fn is_32_bit(&self) -> Outcome<bool> {
        match self.personality.as_deref() {
            None | Some("" | "LINUX") => Ok(false),
            Some("LINUX32") => Ok(true),
            Some(other) => {
                Err(Failure::Client(format!("invalid --personality {other:?}: there are \"LINUX\" and \"LINUX32\"")))
            }
        }
    }

    /// Whether `--read-only` leaves places to write in.
    pub(in crate::commands::container) fn read_only_tmpfs(&self) -> bool {
        is_on(self.read_only_tmpfs)
    }

    /// Variables of the caller's that are handed on.
    pub(super) fn handed_on(&self, session: &Session<'_>) -> Vec<String> {
        if self.env_host {
            return session.environment.all();
        }
        let hands_on = is_on(self.http_proxy) && session.personality == Personality::Podman;
        let names: &[&str] = if hands_on { &PROXIES } else { &[] };
        let own = |name: &&str| session.environment.value_of(name).map(|value| format!("{name}={value}"));
        names.iter().filter_map(own).collect()
    }

    /// The time zone, which must be there.
    ///
    /// # Errors
    /// In podman's words for one that is not.
    pub(super) fn time_zone(&self) -> Outcome<Option<String>> {
        let zone = self.tz.as_deref().filter(|zone| !zone.is_empty());
        if zone.is_some_and(|zone| zone.split('/').any(|part| part == "..")) {
            let message = "running container create option: finding timezone: time: invalid location name";
            return Err(Failure::Client(message.to_owned()));
        }
        match zone.map(time_zone_file).filter(|file| !file.is_file()) {
            Some(file) if zone != Some(LOCAL_TIME) => {
                let message = format!("stat {}: no such file or directory", file.display());
                Err(Failure::Client(format!("running container create option: {message}")))
            }
            _ => Ok(zone.map(str::to_owned)),
        }
    }

    /// After how many seconds the container is killed.
    ///
    /// # Errors
    /// In podman's words for what is no number.
    pub(super) fn timeout(&self, session: &Session<'_>) -> Outcome<Option<u32>> {
        let Some(text) = self.timeout.as_deref() else { return Ok(None) };
        let seconds: u32 = parse_uint(text).map_err(|why| misread(session, text, "--timeout", &why))?;
        Ok(Some(seconds).filter(|seconds| *seconds > 0))
    }

    /// What becomes of the image's volumes.
    ///
    /// # Errors
    /// In podman's words for what there is not.
    pub(super) fn image_volumes(&self) -> Outcome<ImageVolumes> {
        match self.image_volume.as_deref().unwrap_or_default() {
            "" | "bind" | "anonymous" => Ok(ImageVolumes::Volumes),
            "tmpfs" => Ok(ImageVolumes::Memory),
            "ignore" => Ok(ImageVolumes::Ignored),
            mode => {
                let known = "bind, tmpfs, ignore";
                Err(Failure::Client(format!("invalid image volume mode {mode:?} required value: {known}")))
            }
        }
    }
}

/// A switch that only `=false` turns off.
fn is_on(switch: Option<Option<bool>>) -> bool {
    switch.flatten().unwrap_or(true)
}
