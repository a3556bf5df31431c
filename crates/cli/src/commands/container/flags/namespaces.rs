//! Options of `create` and `run` about the kernel's namespaces: whose they are, and what is set in them.

use clap::Args;
use dhow_base::{Error, Kind};
use dhow_ops::container::{NamespaceKind, Network, Other, Settings};

use super::super::super::podman::container as podman;
use super::values::{misread_by, unknown_flag};
use crate::errors::{Failure, Outcome};
use crate::personality::Personality;
use crate::session::Session;

/// Settings of the kernel that a container may have of its own (docker/cli, `opts.ValidateSysctl`).
const SYSCTLS: [&str; 8] = [
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.sem",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
    "kernel.shm_rmid_forced",
];
const SYSCTL_BEGINNINGS: [&str; 2] = ["net.", "fs.mqueue."];

/// Options about namespaces.
#[derive(Args, Debug)]
pub(super) struct Namespaces {
    /// Control groups that the container sees: "private" for its own, "host" for this machine's
    #[arg(long, value_name = "string")]
    cgroupns: Option<String>,
    /// NIS domain name of the container
    #[arg(long, value_name = "string")]
    domainname: Option<String>,
    /// Shared memory and message queues: "private", "none" for no /dev/shm, "shareable", "host" for this machine's, "container:NAME" for another
    /// container's
    #[arg(long, value_name = "string")]
    ipc: Option<String>,
    /// Processes that the container sees: "host" for this machine's, "container:NAME" for another container's
    #[arg(long, value_name = "string")]
    pid: Option<String>,
    /// Set something of the kernel's for the container, such as "net.ipv4.ip_forward=1"
    #[arg(long, value_name = "map")]
    sysctl: Vec<String>,
    /// Host name: "host" for this machine's, "container:NAME" for another container's
    #[arg(long, value_name = "string")]
    uts: Option<String>,
}

impl Namespaces {
    /// Whether the host name is the machine's.
    pub(super) fn has_machine_s_name(&self) -> bool {
        self.uts.as_deref() == Some("host")
    }

    /// Does what they ask for.
    ///
    /// # Errors
    /// Each engine's words for what there is not; for what is not heeded, what there is.
    pub(super) fn heed(&self, session: &Session<'_>, hostname: Option<&str>, settings: &mut Settings) -> Outcome {
        let personality = session.personality;
        let is_podman = personality == Personality::Podman;
        self.heed_names(personality, hostname, settings)?;
        self.heed_memory(personality, settings)?;
        match given(self.cgroupns.as_deref()) {
            None | Some("private") => {}
            Some("host") => settings.shared.cgroup = true,
            Some(mode) => return Err(unknown(personality, "cgroupns", mode, "--cgroupns: invalid CGROUP mode")),
        }
        match given(self.pid.as_deref()) {
            None => {}
            Some("private") if is_podman => {}
            Some("host") => settings.shared.pid = true,
            Some(mode) => join(personality, NamespaceKind::Pid, mode, "--pid: invalid PID mode", settings)?,
        }
        if is_podman && settings.init && settings.is_among_others() {
            return Err(Failure::Client("cannot add init binary as PID 1 (PID namespace isn't private)".to_owned()));
        }
        if self.domainname.is_some() && is_podman {
            return Err(unknown_flag(session, "domainname"));
        }
        settings.domain_name = self.domainname.clone().unwrap_or_default();
        self.sysctl.iter().try_for_each(|text| set(session, text, settings))
    }

    fn heed_names(&self, personality: Personality, hostname: Option<&str>, settings: &mut Settings) -> Outcome {
        let is_podman = personality == Personality::Podman;
        let Some(mode) = given(self.uts.as_deref()).filter(|mode| *mode != "private" || !is_podman) else {
            return Ok(());
        };
        match mode {
            "host" => settings.shared.uts = true,
            mode => join(personality, NamespaceKind::Uts, mode, "--uts: invalid UTS mode", settings)?,
        }
        match hostname.is_some_and(|name| !name.is_empty()) {
            true if is_podman => Err(Failure::Client(
                "invalid config provided: cannot set hostname when running in the host UTS namespace: invalid configuration"
                    .to_owned(),
            )),
            true => Err(Error::new(Kind::Invalid, "conflicting options: hostname and the UTS mode").into()),
            false => Ok(()),
        }
    }

    fn heed_memory(&self, personality: Personality, settings: &mut Settings) -> Outcome {
        match given(self.ipc.as_deref()) {
            None => settings.memory_is_offered = personality == Personality::Podman,
            Some("private") => {}
            Some("shareable") => settings.memory_is_offered = true,
            Some("host") => settings.shared.ipc = true,
            Some("none") => settings.no_shared_memory = true,
            Some(mode) => {
                let docker = format!("invalid IPC mode: {mode}");
                return join(personality, NamespaceKind::Ipc, mode, &docker, settings);
            }
        }
        Ok(())
    }
}

/// What is said, if anything is.
fn given(mode: Option<&str>) -> Option<&str> {
    mode.filter(|mode| !mode.is_empty())
}

/// Has the container join a namespace of another one, or the one of a file.
///
/// # Errors
/// Each engine's words for what is neither; `docker`'s are its client's if they begin with a flag.
pub(super) fn join(
    personality: Personality,
    kind: NamespaceKind,
    mode: &str,
    docker: &str,
    settings: &mut Settings,
) -> Outcome {
    let is_docker = matches!(personality, Personality::Docker | Personality::Docker29);
    // Docker's client does not look at whose memory it is.
    let needs_name = !is_docker || kind == NamespaceKind::Pid;
    let other = match mode.split_once(':') {
        _ if is_docker && kind == NamespaceKind::Uts => None,
        Some(("container", "")) if needs_name && is_docker => None,
        Some(("container", "")) if needs_name => return Err(podman::nameless_namespace("container")),
        Some(("container", name)) => Some(Other::Container(name.to_owned())),
        Some(("ns", "")) if !is_docker => return Err(podman::nameless_namespace("path")),
        Some(("ns", path)) if !is_docker => Some(podman::namespace_file(kind, path)?),
        _ => None,
    };
    match other {
        Some(other) => drop(settings.joins.insert(kind, other)),
        None => return Err(unknown(personality, kind.word(), mode, docker)),
    }
    Ok(())
}

/// What is no mode of a namespace.
fn unknown(personality: Personality, flag: &str, mode: &str, docker: &str) -> Failure {
    let is_joined = mode.starts_with("container:") || mode.starts_with("ns:");
    match personality {
        _ if flag == "cgroupns" && is_joined => Failure::Client(format!(
            "--{flag} {mode} is not supported: a container sees its own groups, or the machine's"
        )),
        Personality::Podman => Failure::Client(format!("unrecognized namespace mode {mode} passed")),
        _ if docker.starts_with("--") => Failure::Client(docker.to_owned()),
        _ => Error::new(Kind::Invalid, docker).into(),
    }
}

/// Reads a setting of the kernel's.
fn set(session: &Session<'_>, text: &str, settings: &mut Settings) -> Outcome {
    let is_podman = session.personality == Personality::Podman;
    let Some((name, value)) = text.split_once('=') else {
        let by_podman = format!("{text} is invalid, sysctl values must be in the form of KEY=VALUE");
        return Err(misread_by(session, text, "--sysctl", &format!("sysctl '{text}' is not allowed"), &by_podman));
    };
    if !SYSCTLS.contains(&name) && !SYSCTL_BEGINNINGS.iter().any(|beginning| name.starts_with(beginning)) {
        let by_podman = format!("sysctl '{name}' is not allowed");
        return Err(misread_by(session, text, "--sysctl", &format!("sysctl '{text}' is not allowed"), &by_podman));
    }
    // What runc and podman say where the setting would be the machine's.
    let of_machine = match name.starts_with("net.") {
        true if settings.network == Network::Host => "network",
        false if settings.shared.ipc => "ipc",
        _ => {
            settings.sysctls.push((name.to_owned(), value.to_owned()));
            return Ok(());
        }
    };
    Err(match (is_podman, of_machine) {
        (true, "network") => Failure::Client(format!(
            "sysctl {name}={value} can't be set since Network Namespace set to host: invalid argument"
        )),
        (true, _) => Failure::Client(format!(
            "sysctl {name}={value} can't be set since IPC Namespace set to host: invalid argument"
        )),
        (false, "network") => {
            let message = format!("sysctl {name:?} not allowed in host network namespace");
            Error::new(Kind::Invalid, message).with_hint("--network none gives the container one of its own").into()
        }
        (false, _) => {
            Error::new(Kind::Invalid, format!("sysctl {name:?} is not allowed in the hosts ipc namespace")).into()
        }
    })
}
