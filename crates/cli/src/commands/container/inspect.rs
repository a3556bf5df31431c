//! `container inspect`: everything that is known about containers, as docker writes it.

use clap::Args;
use dhow_ops::container::{
    self, Details, Habits, Mount, MountKind, NamespaceKind, Network, Other, Propagation, Record, State,
};
use dhow_ops::{Context, Naming};
use dhow_template::{Options, Template, Value as TemplateValue};
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::super::podman::rm::uninspected;
use super::super::targets;
use crate::errors::{Failure, Outcome};
use crate::format::{ago, json as encode, list};
use crate::session::Session;
use crate::verb::{Count, Operands, Verb};

/// What docker shows for a time that has not come.
const NEVER: &str = "0001-01-01T00:00:00Z";

/// The arguments of `container inspect`.
#[derive(Args, Debug)]
pub(crate) struct ContainerInspect {
    /// Write as "json" (one line) or by a Go template; without it, JSON is indented
    #[arg(short, long, value_name = "string", default_value = "")]
    format: String,
    /// Show how much space containers take
    #[arg(short, long)]
    size: bool,
    #[arg(value_name = "CONTAINER")]
    names: Vec<String>,
}

impl Verb for ContainerInspect {
    const ABOUT: &'static str = "Show everything that is known about containers";
    const OPERANDS: &'static str = "CONTAINER [CONTAINER...]";
    const COUNT: Count = Count::AtLeast(1);
    const NAMES: Operands = Operands::Containers;

    fn operands(&self) -> &[String] {
        &self.names
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        inspect(session, &self.format, &self.names, self.size)
    }
}

/// Shows containers.
///
/// # Errors
/// Docker's words for those that are not there.
pub(in crate::commands) fn inspect(session: &Session<'_>, format: &str, names: &[String], with_size: bool) -> Outcome {
    let context = session.local_context()?;
    print(session, format, names, |name| match name {
        // Docker's client asks no engine for what has no name.
        "" => Err(crate::commands::inspect::nameless("container")),
        _ => show(&context, name, with_size).map_err(|failure| uninspected(session.personality, name, failure)),
    })
}

/// Prints what was found, then tells what was not.
fn print(session: &Session<'_>, format: &str, names: &[String], find: impl Fn(&str) -> Outcome<Value>) -> Outcome {
    let template = match format {
        "" | "json" => None,
        text => Some(Template::parse(text).map_err(|error| Failure::Usage {
            message: format!("template parsing error: {error}"),
            code: list::TEMPLATE_ERROR,
        })?),
    };
    let (mut found, mut text) = (Vec::new(), String::new());
    let outcome = targets::each(names, |name| {
        let value = find(name)?;
        if let Some(template) = &template {
            let mut output = Vec::new();
            let options = Options { missing_key_is_error: true, ..Options::default() };
            let filled = template.execute(&TemplateValue::from(&value), options, &mut output);
            filled.map_err(|error| list::failure(&error))?;
            text.push_str(&list::shown(output));
            text.push('\n');
        }
        found.push(value);
        Ok(())
    });
    let console = session.console;
    match (template, format) {
        (Some(_), _) => console.text(if text.is_empty() { "\n" } else { &text }),
        (None, "json") => console.line(encode::compact(&found).map_err(Failure::Client)?),
        (None, _) => console.line(encode::indented(&found).map_err(Failure::Client)?),
    }
    outcome
}

/// A container as docker's `inspect` shows it.
///
/// # Errors
/// Docker's words for one that is not there.
pub(in crate::commands) fn show(context: &Context, name: &str, with_size: bool) -> Outcome<Value> {
    let record = container::find(context, name)?;
    document(context, &record, &container::details(context, &record)?, with_size)
}

/// As [`show`], of a container that was read already.
///
/// # Errors
/// Where its settings cannot be written as JSON.
pub(in crate::commands) fn document(
    context: &Context,
    record: &Record,
    known: &Details,
    with_size: bool,
) -> Outcome<Value> {
    let state = record.container.state;
    let time = |nanoseconds: Option<i64>| {
        nanoseconds.map_or_else(|| NEVER.to_owned(), |time| ago::rfc3339_nano(time.into(), TimeZone::UTC))
    };
    let mut arguments = known.arguments.iter();
    let mut value = json!({
        "Id": record.container.id,
        "Created": time(Some(record.created)),
        "Path": arguments.next().cloned().unwrap_or_default(),
        "Args": arguments.collect::<Vec<_>>(),
        "State": {
            "Status": state.as_str(),
            "Running": state == State::Running,
            "Paused": state == State::Paused,
            "Restarting": false,
            "OOMKilled": false,
            "Dead": false,
            "Pid": known.process.unwrap_or(0),
            "ExitCode": record.exit_code.unwrap_or(0),
            "Error": "",
            "StartedAt": time(record.started),
            "FinishedAt": time(record.finished),
        },
        "Image": record.image_id.as_str(),
        "ResolvConfPath": known.network_directory.join("resolv.conf"),
        "HostnamePath": known.directory.join("hostname"),
        "HostsPath": known.network_directory.join("hosts"),
        "LogPath": "",
        "Name": format!("/{}", record.container.name.as_deref().unwrap_or_default()),
        "RestartCount": 0,
        "Driver": "dhow",
        "Platform": "linux",
        "MountLabel": "",
        "ProcessLabel": "",
        "AppArmorProfile": "",
        "ExecIDs": null,
        "HostConfig": host_config(&known.settings),
        "GraphDriver": { "Data": { "UpperDir": known.directory.join("upper") }, "Name": "dhow" },
        "Mounts": known.settings.mounts.iter().filter_map(|mount| shown(context, mount)).collect::<Vec<_>>(),
        "Config": config(known)?,
        "NetworkSettings": { "Networks": {} },
    });
    if with_size {
        value["SizeRw"] = json!(container::changed_file_bytes(context, &record.container.id));
    }
    Ok(value)
}

/// How it runs: docker writes all members that a container has, empty ones too.
fn config(known: &Details) -> Outcome<Value> {
    let written = serde_json::to_value(&known.config).map_err(|error| Failure::Client(error.to_string()))?;
    let is_open = known.config.open_stdin;
    let mut config = json!({
        "Hostname": "", "Domainname": known.settings.domain_name, "User": "", "AttachStdin": is_open, "AttachStdout": true, "AttachStderr": true,
        "Tty": false, "OpenStdin": false, "StdinOnce": is_open, "Env": null, "Cmd": null, "Image": "", "Volumes": null,
        "WorkingDir": "", "Entrypoint": null, "OnBuild": null, "Labels": {},
    });
    if let (Value::Object(config), Value::Object(written)) = (&mut config, written) {
        config.extend(written);
    }
    // The user's volumes without a name are the container's as those of its image are.
    for mount in known.settings.mounts.iter().filter(|mount| mount.anonymous) {
        config["Volumes"][&mount.target] = json!({});
    }
    Ok(config)
}

fn host_config(settings: &container::Settings) -> Value {
    let private = if settings.habits == Habits::Podman { "private" } else { "" };
    let mode = |kind, is_shared: bool, own: &str| match settings.joins.get(&kind) {
        Some(Other::Container(id)) => format!("container:{id}"),
        Some(Other::Path(path)) => format!("ns:{}", path.display()),
        None if is_shared => "host".to_owned(),
        None => own.to_owned(),
    };
    let memory = match () {
        () if settings.no_shared_memory => "none",
        () if settings.memory_is_offered => "shareable",
        () => "private",
    };
    let limits = &settings.limits;
    let binds: Vec<String> = settings
        .mounts
        .iter()
        .filter(|mount| mount.kind == MountKind::Bind || (mount.kind == MountKind::Volume && !mount.anonymous))
        .map(|mount| format!("{}:{}{}", mount.source, mount.target, if mount.read_only { ":ro" } else { "" }))
        .collect();
    json!({
        "Binds": if binds.is_empty() { Value::Null } else { json!(binds) },
        "NetworkMode": mode(NamespaceKind::Network, settings.network == Network::Host, "none"),
        "RestartPolicy": { "Name": "no", "MaximumRetryCount": 0 },
        "AutoRemove": settings.auto_remove,
        "CapAdd": if settings.capabilities.add.is_empty() { Value::Null } else { json!(settings.capabilities.add) },
        "CapDrop": if settings.capabilities.drop.is_empty() { Value::Null } else { json!(settings.capabilities.drop) },
        "Dns": settings.name_servers,
        "ExtraHosts": settings.extra_hosts,
        "GroupAdd": settings.groups,
        "Init": if settings.init { json!(true) } else { Value::Null },
        "CpuShares": limits.cpu_shares.unwrap_or(0),
        "Memory": limits.memory_bytes.unwrap_or(0),
        "NanoCpus": limits.nano_cpus.unwrap_or(0),
        "CpuPeriod": limits.cpu_period.unwrap_or(0),
        "CpuQuota": limits.cpu_quota.unwrap_or(0),
        "CpusetCpus": limits.cpus,
        "CpusetMems": limits.memory_nodes,
        "MemoryReservation": limits.reservation_bytes.unwrap_or(0),
        "MemorySwap": limits.memory_and_swap_bytes(),
        "OomKillDisable": limits.oom_kill_disabled,
        "OomScoreAdj": settings.oom_score.unwrap_or(0),
        "PidsLimit": limits.processes,
        "CgroupnsMode": if settings.shared.cgroup { "host" } else { "private" },
        "IpcMode": mode(NamespaceKind::Ipc, settings.shared.ipc, memory),
        "PidMode": mode(NamespaceKind::Pid, settings.shared.pid, private),
        "UTSMode": mode(NamespaceKind::Uts, settings.shared.uts, private),
        "UsernsMode": mode(NamespaceKind::User, false, ""),
        "Privileged": settings.privileged,
        "ReadonlyRootfs": settings.read_only,
        "Ulimits": settings.ulimits.iter().map(ulimit).collect::<Vec<_>>(),
        "ShmSize": if settings.shm_bytes == 0 { 64 << 20 } else { settings.shm_bytes },
    })
}

fn ulimit(limit: &container::Ulimit) -> Value {
    json!({ "Name": limit.name, "Hard": limit.hard, "Soft": limit.soft })
}

fn shown(context: &Context, mount: &Mount) -> Option<Value> {
    let writable = !mount.read_only;
    match mount.kind {
        MountKind::Bind => Some(json!({
            "Type": "bind", "Source": mount.source, "Destination": mount.target, "Mode": if writable { "" } else { "ro" }, "RW": writable,
            "Propagation": mount.manner.propagation.unwrap_or(Propagation::RPrivate).word(),
        })),
        MountKind::Volume => Some(json!({
            "Type": "volume", "Name": mount.source, "Source": container::volume_directory(context, &mount.source),
            "Destination": mount.target, "Driver": "local", "Mode": if !writable { "ro" } else if mount.anonymous { "" } else { "z" }, "RW": writable, "Propagation": "",
        })),
        MountKind::Tmpfs => Some(json!({
            "Type": "tmpfs", "Source": "", "Destination": mount.target, "Mode": "", "RW": writable, "Propagation": "",
        })),
        MountKind::Image if context.naming() == Naming::Podman => Some(json!({
            "Type": "image", "Source": mount.source, "Destination": mount.target, "Driver": "", "Mode": "", "Options": null,
            "RW": writable, "Propagation": "",
        })),
        // Docker's engine has a directory of the machine as the source.
        MountKind::Image => Some(json!({
            "Type": "image", "Name": mount.source, "Source": mount.image, "Destination": mount.target, "Mode": "", "RW": writable,
            "Propagation": mount.manner.propagation.unwrap_or(Propagation::RPrivate).word(),
        })),
        MountKind::Device => None,
    }
}
