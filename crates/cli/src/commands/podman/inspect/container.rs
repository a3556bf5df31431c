//! A container as podman's `inspect` shows it. What stands for things that dhow has not, such as pods and monitors, is as empty as podman
//! has it.

use std::collections::BTreeSet;

use dhow_ops::container::{self, CAPABILITIES, Habits, Mount, MountKind, Other, Propagation, default_capabilities};
use dhow_ops::df::Configuration;
use dhow_ops::{Context, summary};
use dhow_template::{Type, Value as TemplateValue};
use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};

use crate::commands::container::shown;
use crate::errors::Outcome;
use crate::format::ago;
use crate::personality::Personality;

/// What podman shows for a time that has not come.
const NEVER: &str = "0001-01-01T00:00:00Z";

/// A container as podman shows it, in podman's order.
///
/// # Errors
/// Those of finding it, and of reading what is known of it.
pub(super) fn document(context: &Context, name: &str, with_size: bool) -> Outcome<Value> {
    let record = container::find(context, name)?;
    let known = container::details(context, &record)?;
    // Docker's has all that both have in common.
    let dockers = shown(Personality::Podman, context, &record, &known, with_size)?.document;
    let image = summary::describe(context, record.image_id.as_str()).ok();
    let image_name = Configuration::parse(&record.configuration).image;
    let capabilities = capabilities(&known.settings)?;
    let is_root = matches!(known.config.user.split(':').next(), Some("" | "0" | "root"));
    let mut arguments = known.arguments.iter();
    let mut value = json!({
        "Id": record.container.id,
        "Created": ago::rfc3339_nano(record.created.into(), TimeZone::system()),
        "Path": arguments.next().cloned().unwrap_or_default(),
        "Args": arguments.collect::<Vec<_>>(),
        "State": state(&record, &dockers["State"]),
        "Image": record.image_id.hex(),
        "ImageDigest": image.as_ref().map_or_else(String::new, |image| image.summary.digest.to_string()),
        "ImageName": image_name,
        "Rootfs": "",
        "Pod": "",
        "ResolvConfPath": dockers["ResolvConfPath"],
        "HostnamePath": dockers["HostnamePath"],
        "HostsPath": dockers["HostsPath"],
        "StaticDir": known.directory,
        "OCIConfigPath": "",
        "OCIRuntime": "dhow",
        "ConmonPidFile": "",
        "PidFile": "",
        "Name": record.container.name.as_deref().unwrap_or_default(),
        "RestartCount": 0,
        "Driver": "dhow",
        "MountLabel": "",
        "ProcessLabel": "",
        "AppArmorProfile": known.settings.apparmor.as_deref().unwrap_or_default(),
        "EffectiveCaps": if is_root { json!(capabilities) } else { Value::Null },
        "BoundingCaps": capabilities,
        "ExecIDs": [],
        "GraphDriver": { "Name": "dhow", "Data": dockers["GraphDriver"]["Data"] },
        "Mounts": known.settings.mounts.iter().filter_map(|mount| mounted(context, mount)).collect::<Vec<_>>(),
        "Dependencies": dependencies(&known.settings),
        "NetworkSettings": no_network(),
        "Namespace": "",
        "IsInfra": false,
        "IsService": false,
        "Config": config(&known, &dockers["Config"], &image_name),
        "HostConfig": host_config(&known, &dockers["HostConfig"], &capabilities),
    });
    if with_size {
        value["SizeRw"] = dockers["SizeRw"].clone();
        value["SizeRootFs"] = json!(image.map_or(0, |image| image.summary.size));
    }
    Ok(value)
}

/// The document as templates see it: podman's go by its own names of fields, some of which are others in JSON.
pub(super) fn template_object(document: &Value) -> TemplateValue {
    let mut value = document.clone();
    value["ID"] = document["Id"].clone();
    value["Config"]["DomainName"] = document["Config"]["Domainname"].clone();
    value["Config"]["SdNotifyMode"] = document["Config"]["sdNotifyMode"].clone();
    with_lists(&value)
}

/// The value with Go's lists where there are none: they are printed as empty ones, and are `null` in JSON.
fn with_lists(value: &Value) -> TemplateValue {
    const LISTS: [&str; 4] = ["Cmd", "CreateCommand", "EffectiveCaps", "Entrypoint"];
    let Some(members) = value.as_object() else { return TemplateValue::from(value) };
    let member = |(name, value): (&String, &Value)| match value.is_null() && LISTS.contains(&name.as_str()) {
        true => (name.clone(), TemplateValue::list(Type::Text, None)),
        false => (name.clone(), with_lists(value)),
    };
    TemplateValue::map(Type::Any, Some(members.iter().map(member).collect()))
}

/// A container has no address: its network is the machine's, another's, or none.
fn no_network() -> Value {
    json!({
        "EndpointID": "", "Gateway": "", "IPAddress": "", "IPPrefixLen": 0, "IPv6Gateway": "", "GlobalIPv6Address": "",
        "GlobalIPv6PrefixLen": 0, "MacAddress": "", "Bridge": "", "SandboxID": "", "HairpinMode": false,
        "LinkLocalIPv6Address": "", "LinkLocalIPv6PrefixLen": 0, "Ports": {}, "SandboxKey": "",
    })
}

/// Docker's document of how it is, with podman's members besides and times in the machine's zone.
fn state(record: &container::Record, dockers: &Value) -> Value {
    let time = |time: Option<i64>| {
        time.map_or_else(|| NEVER.to_owned(), |time| ago::rfc3339_nano(time.into(), TimeZone::system()))
    };
    let mut state = dockers.clone();
    // Podman keeps neither of a program that was not started.
    state["ExitCode"] = json!(record.exit_code.unwrap_or(0));
    state["Error"] = json!("");
    state["OciVersion"] = json!("");
    state["StartedAt"] = json!(time(record.started));
    state["FinishedAt"] = json!(time(record.finished));
    state["Health"] = json!({ "Status": "", "FailingStreak": 0, "Log": null });
    state["CheckpointedAt"] = json!(NEVER);
    state["RestoredAt"] = json!(NEVER);
    state
}

/// The containers whose namespaces it joins.
fn dependencies(settings: &container::Settings) -> Vec<&str> {
    let ids = settings.joins.values().filter_map(|other| match other {
        Other::Container(id) => Some(id.as_str()),
        Other::Path(_) => None,
    });
    BTreeSet::from_iter(ids).into_iter().collect()
}

/// The names of what it may have, in order.
fn capabilities(settings: &container::Settings) -> Outcome<Vec<String>> {
    let name = |number: &u8| format!("CAP_{}", CAPABILITIES[usize::from(*number)]);
    let mut names: Vec<String> = settings.capability_numbers()?.iter().map(name).collect();
    names.sort_unstable();
    Ok(names)
}

/// Docker's document of how it runs, with podman's members besides.
fn config(known: &container::Details, dockers: &Value, image_name: &str) -> Value {
    let mut config = dockers.clone();
    config["Image"] = json!(image_name);
    config["Env"] = json!(variables(known));
    if dockers["WorkingDir"] == json!("") {
        config["WorkingDir"] = json!("/");
    }
    for member in ["AttachStdin", "AttachStdout", "AttachStderr", "StdinOnce"] {
        config[member] = json!(false);
    }
    let signal = dockers["StopSignal"].as_str().unwrap_or("SIGTERM").to_ascii_uppercase();
    let is_bare = !signal.is_empty() && !signal.starts_with("SIG") && signal.parse::<u32>().is_err();
    config["StopSignal"] = json!(if is_bare { format!("SIG{signal}") } else { signal });
    config["Annotations"] = json!(known.settings.annotations);
    config["HealthcheckOnFailureAction"] = json!("none");
    config["CreateCommand"] = Value::Null;
    config["Umask"] = json!(format!("{:04o}", known.settings.umask.unwrap_or(0o022)));
    config["Timeout"] = json!(known.settings.timeout_seconds.unwrap_or(0));
    config["StopTimeout"] = json!(known.config.stop_timeout.unwrap_or(10));
    config["Passwd"] = json!(false);
    config["sdNotifyMode"] = json!("ignore");
    config
}

/// What the container was made with, and those of every container of podman's that say nothing else and are not unset.
fn variables(known: &container::Details) -> Vec<&str> {
    let given: Vec<&str> = known.config.env.iter().flatten().map(String::as_str).collect();
    let settings = &known.settings;
    let is_own = |variable: &&str| {
        let name = variable.split('=').next().unwrap_or_default();
        let is_unset = settings.unset_all || settings.unset.iter().any(|unset| unset == name);
        settings.habits == Habits::Podman
            && !is_unset
            && !given.iter().any(|given| given.split('=').next() == Some(name))
    };
    ["TERM=xterm", "container=podman"].into_iter().filter(is_own).chain(given.iter().copied()).collect()
}

/// Docker's document of the machine's side, with podman's members and podman's way to write some.
fn host_config(known: &container::Details, dockers: &Value, capabilities: &[String]) -> Value {
    let settings = &known.settings;
    let usual: Vec<String> = default_capabilities(Habits::Docker)
        .iter()
        .map(|number| format!("CAP_{}", CAPABILITIES[usize::from(*number)]))
        .collect();
    let beside = |these: &[String], those: &[String]| -> Vec<String> {
        let mut names: Vec<String> = these.iter().filter(|name| !those.contains(name)).cloned().collect();
        names.sort_unstable();
        names
    };
    let binds =
        settings.mounts.iter().filter(|mount| matches!(mount.kind, MountKind::Bind | MountKind::Volume)).map(bind);
    let memory = settings.mounts.iter().filter(|mount| mount.kind == MountKind::Tmpfs);
    let mut memory: Map<String, Value> =
        memory.map(|mount| (mount.target.clone(), json!(memory_options(mount)))).collect();
    if settings.read_only && settings.scratch_in_memory {
        for place in container::SCRATCH {
            memory.entry(place).or_insert_with(|| json!("rw,rprivate,nosuid,nodev,tmpcopyup"));
        }
    }
    let ulimits = settings.ulimits.iter().map(|limit| {
        json!({ "Name": format!("RLIMIT_{}", limit.name.to_ascii_uppercase()), "Soft": limit.soft, "Hard": limit.hard })
    });
    let own = json!({
        "Binds": binds.collect::<Vec<_>>(),
        "CgroupManager": "cgroupfs",
        "CgroupMode": dockers["CgroupnsMode"],
        "LogConfig": { "Type": "none", "Config": null, "Path": "", "Tag": "", "Size": "0B" },
        "RestartPolicy": { "Name": "", "MaximumRetryCount": 0 },
        "CapAdd": if settings.privileged { Vec::new() } else { beside(capabilities, &usual) },
        "CapDrop": beside(&usual, capabilities),
        "ExtraHosts": settings.extra_hosts,
        "GroupAdd": settings.groups,
        "DnsOptions": settings.resolver_options,
        "DnsSearch": settings.search_domains,
        "SecurityOpt": if settings.no_new_privileges { json!(["no-new-privileges"]) } else { json!([]) },
        "Tmpfs": memory,
        "Devices": settings.mounts.iter().filter(|mount| mount.kind == MountKind::Device).map(device).collect::<Vec<_>>(),
        "PidsLimit": settings.limits.processes.unwrap_or(0),
        "Ulimits": ulimits.collect::<Vec<_>>(),
    });
    let mut host = dockers.clone();
    if let Value::Object(host) = &mut host {
        DOCKER_S_ALONE.iter().for_each(|name| drop(host.shift_remove(*name)));
        for members in [unknown_here(), own] {
            host.extend(members.as_object().cloned().unwrap_or_default());
        }
    }
    host
}

/// Docker's members that podman has not.
const DOCKER_S_ALONE: [&str; 8] = [
    "CgroupnsMode",
    "Init",
    "MaskedPaths",
    "ReadonlyPaths",
    "Mounts",
    "Sysctls",
    "DeviceCgroupRules",
    "DeviceRequests",
];

/// Members of which nothing is to be said here.
fn unknown_here() -> Value {
    json!({
        "ContainerIDFile": "",
        "PortBindings": {},
        "VolumeDriver": "",
        "Cgroup": "",
        "Cgroups": "default",
        "Links": null,
        "PublishAllPorts": false,
        "Runtime": "oci",
        "ConsoleSize": [0, 0],
        "Isolation": "",
        "CgroupParent": "",
        "BlkioWeight": 0,
        "BlkioWeightDevice": null,
        "BlkioDeviceReadBps": null,
        "BlkioDeviceWriteBps": null,
        "BlkioDeviceReadIOps": null,
        "BlkioDeviceWriteIOps": null,
        "CpuRealtimePeriod": 0,
        "CpuRealtimeRuntime": 0,
        "DiskQuota": 0,
        "KernelMemory": 0,
        "MemorySwappiness": 0,
        "CpuCount": 0,
        "CpuPercent": 0,
        "IOMaximumIOps": 0,
        "IOMaximumBandwidth": 0,
        "CgroupConf": null,
    })
}

fn propagation(mount: &Mount) -> &'static str {
    mount.manner.propagation.unwrap_or(Propagation::RPrivate).word()
}

/// A volume or a part of this machine, with all its options.
fn bind(mount: &Mount) -> String {
    let access = if mount.read_only { "ro" } else { "rw" };
    let careful = if mount.kind == MountKind::Volume { ",nosuid,nodev" } else { "" };
    format!("{}:{}:{access},{}{careful},rbind", mount.source, mount.target, propagation(mount))
}

fn memory_options(mount: &Mount) -> String {
    let access = if mount.read_only { "ro" } else { "rw" };
    let given = mount.options.iter().map(|(name, value)| match value.as_str() {
        "" => format!(",{name}"),
        value => format!(",{name}={value}"),
    });
    let filled = if mount.filled { ",tmpcopyup" } else { "" };
    format!("{access},rprivate,nosuid,nodev{}{filled}", given.collect::<String>())
}

fn device(mount: &Mount) -> Value {
    json!({ "PathOnHost": mount.source, "PathInContainer": mount.target, "CgroupPermissions": "" })
}

/// What podman lists: neither memory nor devices.
fn mounted(context: &Context, mount: &Mount) -> Option<Value> {
    let (kind, name, source, options) = match mount.kind {
        MountKind::Bind => ("bind", None, mount.source.clone(), json!(["rbind"])),
        MountKind::Volume => {
            let source = container::volume_directory(context, &mount.source);
            ("volume", Some(&mount.source), source, json!(["nosuid", "nodev", "rbind"]))
        }
        MountKind::Image => ("image", None, mount.source.clone(), Value::Null),
        MountKind::Tmpfs | MountKind::Device => return None,
    };
    let mut value = json!({ "Type": kind });
    if let Some(name) = name {
        value["Name"] = json!(name);
    }
    value["Source"] = json!(source);
    value["Destination"] = json!(mount.target);
    value["Driver"] = json!(if kind == "volume" { "local" } else { "" });
    value["Mode"] = json!("");
    value["Options"] = options;
    value["RW"] = json!(!mount.read_only);
    value["Propagation"] = json!(if kind == "image" { "" } else { propagation(mount) });
    Some(value)
}
