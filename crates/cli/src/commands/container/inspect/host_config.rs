//! The machine's side of a container, as docker's `container.HostConfig`. What there is not here is as empty as docker has it.

use dhow_ops::container::{Details, Given, Habits, Mount, MountKind, NamespaceKind, Network, Other, Settings, Ulimit};
use dhow_template::{Field, Type, Value};

use super::object::{called, flag, number, perhaps, some_map, some_texts, text, texts};
use super::{mounts, network};

/// Docker's `container.HostConfig`.
pub(super) fn object(known: &Details) -> Value {
    let settings = &known.settings;
    let mut fields = place(settings);
    fields.extend(rights(settings));
    fields.extend(resources(settings));
    let hidden = known.masking();
    // Docker's engine hides nothing from who has all rights.
    let paths = |paths: Vec<String>| Some(paths).filter(|_| !settings.privileged);
    fields.extend([
        Field::optional("Mounts", mounts::wishes(&settings.mounts)),
        texts("MaskedPaths", paths(hidden.masked(settings.habits)).as_deref()),
        texts("ReadonlyPaths", paths(hidden.sealed()).as_deref()),
        Field::optional(
            "Init",
            if settings.init { Value::from(true) } else { Value::Null { name: "*bool", fields: &[] } },
        ),
    ]);
    Value::pointer("container.HostConfig", fields)
}

/// The namespaces of a container, in docker's words.
struct Modes {
    ipc: String,
    network: String,
    pid: String,
    user: String,
    uts: String,
}

impl Modes {
    fn of(settings: &Settings) -> Self {
        let private = if settings.habits == Habits::Podman { "private" } else { "" };
        let mode = |kind, is_machine_s: bool, own: &str| match settings.joins.get(&kind) {
            Some(Other::Container(id)) => format!("container:{id}"),
            Some(Other::Path(path)) => format!("ns:{}", path.display()),
            None if is_machine_s => "host".to_owned(),
            None => own.to_owned(),
        };
        let memory = match () {
            () if settings.no_shared_memory => "none",
            () if settings.memory_is_offered => "shareable",
            () => "private",
        };
        Self {
            ipc: mode(NamespaceKind::Ipc, settings.shared.ipc, memory),
            network: mode(NamespaceKind::Network, settings.network == Network::Host, "none"),
            pid: mode(NamespaceKind::Pid, settings.shared.pid, private),
            user: mode(NamespaceKind::User, false, ""),
            uts: mode(NamespaceKind::Uts, settings.shared.uts, private),
        }
    }
}

/// Its files, its log, its network.
fn place(settings: &Settings) -> Vec<Field> {
    let nobody_logs =
        vec![text("Type", "none"), Field::new("Config", Value::map::<&str>(Type::Text, Some(Vec::new())))];
    let policy = vec![text("Name", "no"), number("MaximumRetryCount", 0)];
    let noted: Vec<_> = settings.annotations.iter().map(|(name, value)| (name, Value::from(value.as_str()))).collect();
    let annotations = Value::map(Type::Text, Some(noted).filter(|noted| !noted.is_empty()));
    vec![
        some_texts("Binds", &mounts::binds(&settings.mounts)),
        text("ContainerIDFile", settings.id_file.as_deref().unwrap_or_default()),
        Field::new("LogConfig", Value::structure("container.LogConfig", nobody_logs)),
        text("NetworkMode", Modes::of(settings).network),
        Field::new("PortBindings", network::ports(&settings.port_bindings)),
        Field::new("RestartPolicy", Value::structure("container.RestartPolicy", policy)),
        flag("AutoRemove", settings.auto_remove),
        text("VolumeDriver", ""),
        some_texts("VolumesFrom", &settings.volumes_from),
        Field::new("ConsoleSize", Value::list(Type::Int, Some(vec![Value::Int(0), Value::Int(0)]))),
        Field::optional("Annotations", annotations),
    ]
}

/// What it may do, and what it shares.
fn rights(settings: &Settings) -> Vec<Field> {
    let modes = Modes::of(settings);
    let memory = settings.mounts.iter().filter_map(|mount| match &mount.given {
        Some(Given::Memory(options)) => Some((&mount.target, options)),
        _ => None,
    });
    let shm_bytes = if settings.shm_bytes == 0 { 64 << 20 } else { settings.shm_bytes };
    vec![
        some_texts("CapAdd", &capabilities(&settings.capabilities.add)),
        some_texts("CapDrop", &capabilities(&settings.capabilities.drop)),
        text("CgroupnsMode", if settings.shared.cgroup { "host" } else { "private" }),
        called("Dns", texts("DNS", Some(&settings.name_servers))),
        called("DnsOptions", texts("DNSOptions", Some(&settings.resolver_options))),
        called("DnsSearch", texts("DNSSearch", Some(&settings.search_domains))),
        some_texts("ExtraHosts", &settings.extra_hosts),
        some_texts("GroupAdd", &settings.groups),
        text("IpcMode", modes.ipc),
        text("Cgroup", ""),
        texts::<&str>("Links", None),
        number("OomScoreAdj", settings.oom_score.map_or(0, i64::from)),
        text("PidMode", modes.pid),
        flag("Privileged", settings.privileged),
        flag("PublishAllPorts", settings.publishes_all),
        flag("ReadonlyRootfs", settings.read_only),
        some_texts("SecurityOpt", &security_options(settings)),
        Field::optional("StorageOpt", Value::map::<&str>(Type::Text, None)),
        some_map("Tmpfs", memory),
        text("UTSMode", modes.uts),
        text("UsernsMode", modes.user),
        number("ShmSize", signed(Some(shm_bytes))),
        some_map("Sysctls", settings.sysctls.iter().map(|(name, value)| (name, value))),
        text("Runtime", "dhow"),
        text("Isolation", ""),
    ]
}

/// Names of capabilities as docker's engine writes them.
fn capabilities(names: &[String]) -> Vec<String> {
    let whole = |name: &String| match name.to_ascii_uppercase() {
        name if name == "ALL" || name.starts_with("CAP_") => name,
        name => format!("CAP_{name}"),
    };
    names.iter().map(whole).collect()
}

/// What was said, and what docker's engine says of who sees the machine's processes (moby, `Daemon.generateSecurityOpt`).
fn security_options(settings: &Settings) -> Vec<String> {
    let mut options = settings.security_options.clone();
    let sees_others = settings.privileged || settings.shared.ipc || settings.shared.pid;
    if sees_others && !options.iter().any(|option| option.starts_with("label")) {
        options.push("label=disable".to_owned());
    }
    options
}

/// What it may take.
fn resources(settings: &Settings) -> Vec<Field> {
    let limits = &settings.limits;
    let devices = settings.mounts.iter().filter(|mount| mount.kind == MountKind::Device).map(device).collect();
    let ulimits = settings.ulimits.iter().map(ulimit).collect::<Vec<_>>();
    let none = |name, kind| Field::new(name, Value::list(Type::Pointer(kind), Some(Vec::new())));
    // Docker has no empty list of them, but none.
    let nil = |name, kind| Field::new(name, Value::list(Type::Named(kind), None));
    let always = |field: Field| Field { omits_empty: false, ..field };
    vec![
        called("CpuShares", number("CPUShares", signed(limits.cpu_shares))),
        number("Memory", signed(limits.memory_bytes)),
        called("NanoCpus", number("NanoCPUs", signed(limits.nano_cpus))),
        text("CgroupParent", ""),
        number("BlkioWeight", limits.block_weight.map_or(0, i64::from)),
        none("BlkioWeightDevice", "*blkiodev.WeightDevice"),
        none("BlkioDeviceReadBps", "*blkiodev.ThrottleDevice"),
        none("BlkioDeviceWriteBps", "*blkiodev.ThrottleDevice"),
        none("BlkioDeviceReadIOps", "*blkiodev.ThrottleDevice"),
        none("BlkioDeviceWriteIOps", "*blkiodev.ThrottleDevice"),
        called("CpuPeriod", number("CPUPeriod", signed(limits.cpu_period))),
        called("CpuQuota", number("CPUQuota", limits.cpu_quota.unwrap_or(0))),
        called("CpuRealtimePeriod", number("CPURealtimePeriod", 0)),
        called("CpuRealtimeRuntime", number("CPURealtimeRuntime", 0)),
        text("CpusetCpus", &limits.cpus),
        text("CpusetMems", &limits.memory_nodes),
        Field::new("Devices", Value::list(Type::Named("container.DeviceMapping"), Some(devices))),
        texts::<&str>("DeviceCgroupRules", None),
        nil("DeviceRequests", "container.DeviceRequest"),
        Field::optional("KernelMemory", Value::Int64(0)),
        Field::optional("KernelMemoryTCP", Value::Int64(0)),
        number("MemoryReservation", signed(limits.reservation_bytes)),
        number("MemorySwap", limits.memory_and_swap_bytes()),
        always(perhaps("MemorySwappiness", "*int64", limits.swappiness.map(i64::from))),
        flag("OomKillDisable", limits.oom_kill_disabled),
        always(perhaps("PidsLimit", "*int64", limits.processes.map(|count| signed(Some(count))))),
        Field::new("Ulimits", Value::list(Type::Pointer("*units.Ulimit"), Some(ulimits))),
        called("CpuCount", number("CPUCount", 0)),
        called("CpuPercent", number("CPUPercent", 0)),
        number("IOMaximumIOps", 0),
        number("IOMaximumBandwidth", 0),
    ]
}

fn signed(number: Option<u64>) -> i64 {
    number.map_or(0, |number| i64::try_from(number).unwrap_or(i64::MAX))
}

fn ulimit(limit: &Ulimit) -> Value {
    Value::pointer(
        "units.Ulimit",
        vec![text("Name", &limit.name), number("Hard", limit.hard), number("Soft", limit.soft)],
    )
}

fn device(mount: &Mount) -> Value {
    let rights = match &mount.given {
        Some(Given::Device(rights)) => rights,
        // Of containers that older programs made.
        _ if mount.read_only => "r",
        _ => "rwm",
    };
    let fields = vec![
        text("PathOnHost", &mount.source),
        text("PathInContainer", &mount.target),
        text("CgroupPermissions", rights),
    ];
    Value::structure("container.DeviceMapping", fields)
}
