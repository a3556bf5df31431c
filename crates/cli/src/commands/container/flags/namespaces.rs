//! Options of `create` and `run` about the kernel's namespaces: whose they are, and what is set in them.

use clap::Args;
use dhow_base::{Error, Kind};
use dhow_ops::container::{Network, Settings};

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
    /// Shared memory and message queues: "private", "none" for no /dev/shm, "host" for this machine's
    #[arg(long, value_name = "string")]
    ipc: Option<String>,
    #[arg(long, hide = true, value_name = "string")]
    pid: Option<String>,
    /// Set something of the kernel's for the container, such as "net.ipv4.ip_forward=1"
    #[arg(long, value_name = "map")]
    sysctl: Vec<String>,
    /// Host name: "host" for this machine's
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
        let mode = |given: &'_ Option<String>| given.clone().filter(|mode| !mode.is_empty());
        match mode(&self.uts).as_deref() {
            None => {}
            Some("host") if hostname.is_some_and(|name| !name.is_empty()) => {
                return Err(match is_podman {
                    true => Failure::Client("invalid config provided: cannot set hostname when running in the host UTS namespace: invalid configuration".to_owned()),
                    false => Error::new(Kind::Invalid, "conflicting options: hostname and the UTS mode").into(),
                });
            }
            Some("host") => settings.shared.uts = true,
            Some("private") if is_podman => {}
            Some(mode) => return Err(unknown(personality, "uts", mode, "--uts: invalid UTS mode")),
        }
        match mode(&self.ipc).as_deref() {
            None | Some("private" | "shareable") => {}
            Some("host") => settings.shared.ipc = true,
            Some("none") => settings.no_shared_memory = true,
            Some(mode) => return Err(unknown(personality, "ipc", mode, &format!("invalid IPC mode: {mode}"))),
        }
        match mode(&self.cgroupns).as_deref() {
            None | Some("private") => {}
            Some("host") => settings.shared.cgroup = true,
            Some(mode) => return Err(unknown(personality, "cgroupns", mode, "--cgroupns: invalid CGROUP mode")),
        }
        match mode(&self.pid).as_deref() {
            None => {}
            Some("private") if is_podman => {}
            Some("host") => {
                let why = "a container sees its own processes";
                return Err(Failure::Client(format!("--pid host is not supported: {why}")));
            }
            Some(mode) => return Err(unknown(personality, "pid", mode, "--pid: invalid PID mode")),
        }
        if self.domainname.is_some() && is_podman {
            return Err(unknown_flag(session, "domainname"));
        }
        settings.domain_name = self.domainname.clone().unwrap_or_default();
        self.sysctl.iter().try_for_each(|text| set(session, text, settings))
    }
}

/// Namespaces of other containers and of processes are for engines; the rest is not known.
fn unknown(personality: Personality, flag: &str, mode: &str, docker: &str) -> Failure {
    let is_another_s = mode.starts_with("container:") || mode.starts_with("ns:");
    match personality {
        _ if is_another_s => {
            Failure::Client(format!("--{flag} {mode} is not supported: a container shares nothing with another one"))
        }
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
