//! What docker tells of its daemon, as far as it is true of a tool without one.

use std::path::Path;

use dhow_ops::container::{self, Controllers, State, controllers};
use dhow_template::{Field, Type, Value};

use super::{flag, number, text, texts};
use crate::errors::Outcome;
use crate::format::ago;
use crate::session::Session;

/// What tells whether the kernel passes packets on.
const FORWARDING: &str = "/proc/sys/net/ipv4/ip_forward";

/// Where a kernel tells whether it has AppArmor.
pub(in crate::commands) const APPARMOR: &str = "/sys/module/apparmor/parameters/enabled";

/// The one way in which containers are run.
const RUNTIME: &str = "dhow";

/// What is known of containers, and of what they can be given here.
pub(in crate::commands) struct Engine {
    states: [i64; 3],
    controllers: Controllers,
    is_root: bool,
}

impl Engine {
    /// Finds it out.
    ///
    /// # Errors
    /// Those of the store.
    pub(in crate::commands) fn gather(session: &Session<'_>) -> Outcome<Self> {
        let mut states = [0; 3];
        for record in container::list(&session.local_context()?)? {
            states[match record.container.state {
                State::Running => 0,
                State::Paused => 1,
                _ => 2,
            }] += 1;
        }
        Ok(Self { states, controllers: controllers(), is_root: session.environment.user == 0 })
    }

    /// How many containers run, are paused and do not run.
    pub(in crate::commands) fn states(&self) -> [i64; 3] {
        self.states
    }

    /// How many containers do what.
    pub(super) fn containers(&self) -> [Field; 3] {
        let [running, paused, stopped] = self.states;
        [number("ContainersRunning", running), number("ContainersPaused", paused), number("ContainersStopped", stopped)]
    }

    /// What containers can be given, and what a daemon would do meanwhile.
    pub(super) fn abilities(&self) -> Vec<Field> {
        let has = |names: &[&str]| self.controllers.names.iter().any(|name| names.contains(&name.as_str()));
        let plugins = vec![
            texts("Volume", Some(&["local"])),
            texts("Network", Some(&["host", "null"])),
            texts::<&str>("Authorization", None),
            texts::<&str>("Log", Some(&[])),
        ];
        vec![
            Field::new("DriverStatus", Value::list(Type::Named("[2]string"), Some(Vec::new()))),
            Field::new("Plugins", Value::structure("system.PluginsInfo", plugins)),
            flag("MemoryLimit", has(&["memory"])),
            flag("SwapLimit", self.controllers.has_swap),
            called("CpuCfsPeriod", flag("CPUCfsPeriod", has(&["cpu"]))),
            called("CpuCfsQuota", flag("CPUCfsQuota", has(&["cpu"]))),
            flag("CPUShares", has(&["cpu"])),
            flag("CPUSet", has(&["cpuset"])),
            flag("PidsLimit", has(&["pids"])),
            flag("IPv4Forwarding", says(FORWARDING, b"1")),
            flag("Debug", false),
            number("NFd", 0),
            flag("OomKillDisable", has(&["memory"]) && !self.controllers.is_unified),
            number("NGoroutines", 0),
            text("SystemTime", &ago::rfc3339(ago::now())),
            text("LoggingDriver", "none"),
            text("CgroupDriver", "cgroupfs"),
            Field::optional("CgroupVersion", Value::from(self.version())),
            number("NEventsListener", 0),
        ]
    }

    /// How containers are run, and what stands for parts of a daemon.
    pub(super) fn ways(&self) -> Vec<Field> {
        let runtime = Value::structure("system.RuntimeWithStatus", vec![called("path", text("Path", RUNTIME))]);
        let commit = |name| Field::new(name, Value::structure("system.Commit", vec![text("ID", "")]));
        vec![
            Field::new("Runtimes", Value::map(Type::Named("system.RuntimeWithStatus"), Some(vec![(RUNTIME, runtime)]))),
            text("DefaultRuntime", RUNTIME),
            Field::new("Swarm", swarm()),
            flag("LiveRestoreEnabled", false),
            text("Isolation", ""),
            text("InitBinary", RUNTIME),
            commit("ContainerdCommit"),
            commit("RuncCommit"),
            commit("InitCommit"),
            texts("SecurityOptions", Some(&self.security())),
            texts::<&str>("CDISpecDirs", Some(&[])),
        ]
    }

    /// Docker's lines for that.
    pub(super) fn text(&self) -> String {
        let version = self.version();
        let security: Vec<String> = self.security().iter().map(|option| security_lines(option)).collect();
        let security = security.concat();
        format!(
            " Logging Driver: none\n Cgroup Driver: cgroupfs\n Cgroup Version: {version}\n Plugins:\n  Volume: local\n  \
             Network: host null\n Swarm: inactive\n Runtimes: {RUNTIME}\n Default Runtime: {RUNTIME}\n Init Binary: {RUNTIME}\n \
             Security Options:\n{security}"
        )
    }

    /// The version of control groups.
    fn version(&self) -> &'static str {
        if self.controllers.is_unified { "2" } else { "1" }
    }

    /// What holds a container back beside what it is given.
    fn security(&self) -> Vec<&'static str> {
        let mut options = vec!["name=seccomp,profile=builtin", "name=cgroupns"];
        if says(APPARMOR, b"Y") {
            options.insert(0, "name=apparmor");
        }
        if !self.is_root {
            options.push("name=rootless");
        }
        options
    }
}

/// `name=seccomp,profile=builtin` in two lines.
fn security_lines(option: &str) -> String {
    let (name, profile) =
        option.split_once(",profile=").map_or((option, None), |(name, profile)| (name, Some(profile)));
    let profile = profile.map(|profile| format!("   Profile: {profile}\n")).unwrap_or_default();
    format!("  {}\n{profile}", name.trim_start_matches("name="))
}

/// There is no swarm, and no way into one.
fn swarm() -> Value {
    let fields = vec![
        text("NodeID", ""),
        text("NodeAddr", ""),
        text("LocalNodeState", "inactive"),
        flag("ControlAvailable", false),
        text("Error", ""),
        Field::new("RemoteManagers", Value::list(Type::Named("swarm.Peer"), None)),
    ];
    Value::structure("swarm.Info", fields)
}

fn called(key: &'static str, field: Field) -> Field {
    Field { key, ..field }
}

/// Whether a file of the kernel's begins with a text.
pub(in crate::commands) fn says(path: &str, text: &[u8]) -> bool {
    dhow_base::fs::read_limited(Path::new(path), 16).is_ok_and(|content| content.starts_with(text))
}
