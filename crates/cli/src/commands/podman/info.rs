//! `info` of podman

mod machine;
mod yaml;

use clap::Args;
use dhow_ops::container::{Controllers, controllers};
use dhow_spec::Platform;
use dhow_template::{Field, Type, Value};

use crate::commands::info::Facts;
use crate::commands::info::engine::{APPARMOR, Engine, says};
use crate::commands::version::VERSION;
use crate::errors::{Failure, Outcome};
use crate::format::podman::{self, Report};
use crate::format::{json, list};
use crate::session::Session;
use crate::verb::{Count, Verb};
use machine::Machine;

const REPORT: Report = Report { name: "info", row: Type::Any, headers: &[] };

/// What stands for the program that runs containers, and for a driver of storage.
const DHOW: &str = "dhow";

/// What stands for a log of events and for one of containers.
const NOWHERE: &str = "none";

/// The arguments of `info`.
#[derive(Args, Debug)]
pub(crate) struct Info {
    /// Write as "json" or by a Go template
    #[arg(short, long, value_name = "string", default_value = "")]
    format: String,
    #[arg(hide = true)]
    operands: Vec<String>,
}

impl Verb for Info {
    const ABOUT: &'static str = "Show what is known about this machine and the local store";
    const OPERANDS: &'static str = "";
    const COUNT: Count = Count::Exactly(0);

    fn operands(&self) -> &[String] {
        &self.operands
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let shown = Shown {
            facts: Facts::gather(session)?,
            engine: Engine::gather(session)?,
            machine: Machine::gather(&session.store_root()?),
            controllers: controllers(),
            is_root: session.environment.user == 0,
        };
        let object = shown.object();
        let console = session.console;
        if self.format.is_empty() || podman::is_json(&self.format) {
            let text = list::shown(object.to_json());
            if !self.format.is_empty() {
                console.line(json::reindent(&text, "  "));
                return Ok(());
            }
            let value = serde_json::from_str(&text).map_err(|error| Failure::Client(error.to_string()))?;
            console.line(yaml::block(&value));
            return Ok(());
        }
        console.text(REPORT.fill_one(&self.format, &object)?);
        Ok(())
    }
}

/// The facts under podman's names. Every member of podman's is there for templates: what belongs to a service, a network or
/// another program is empty.
struct Shown {
    facts: Facts,
    engine: Engine,
    machine: Machine,
    controllers: Controllers,
    is_root: bool,
}

impl Shown {
    fn object(&self) -> Value {
        let plugins = vec![
            names("volume", "Volume", &["local"]),
            names("network", "Network", &["host", NOWHERE]),
            names("log", "Log", &[NOWHERE]),
            named("authorization", "Authorization", Value::texts::<&str>(None)),
        ];
        let fields = vec![
            named("host", "Host", Value::pointer("define.HostInfo", self.host())),
            named("store", "Store", Value::pointer("define.StoreInfo", self.store())),
            named("registries", "Registries", Value::map::<&str>(Type::Any, Some(Vec::new()))),
            named("plugins", "Plugins", Value::structure("define.Plugins", plugins)),
            named("version", "Version", Value::structure("define.Version", version())),
        ];
        Value::pointer("define.Info", fields)
    }

    fn host(&self) -> Vec<Field> {
        let (facts, machine) = (&self.facts, &self.machine);
        // Hierarchies that limit nothing only have a name.
        let limiting = self.controllers.names.iter().filter(|name| !name.starts_with("name="));
        let mappings = ["gidmap", "uidmap"].into_iter().zip(["GIDMap", "UIDMap"]);
        let mappings = mappings.map(|(key, name)| named(key, name, Value::list(Type::Any, None))).collect();
        vec![
            text("arch", "Arch", &Platform::host().architecture),
            text("buildahVersion", "BuildahVersion", ""),
            text("cgroupManager", "CgroupManager", "cgroupfs"),
            text("cgroupVersion", "CgroupsVersion", if self.controllers.is_unified { "v2" } else { "v1" }),
            names("cgroupControllers", "CgroupControllers", &limiting.collect::<Vec<_>>()),
            program("conmon", "Conmon", "define.ConmonInfo", &["Package", "Path", "Version"]),
            named("cpus", "CPUs", Value::Int(facts.processors)),
            named("cpuUtilization", "CPUUtilization", machine::processors()),
            text("databaseBackend", "DatabaseBackend", ""),
            named("distribution", "Distribution", machine::distribution()),
            text("eventLogger", "EventLogger", NOWHERE),
            Field { key: "freeLocks", ..Field::optional("FreeLocks", Value::Null { name: "*uint32", fields: &[] }) },
            text("hostname", "Hostname", &facts.host),
            named("idMappings", "IDMappings", Value::structure("define.IDMappings", mappings)),
            text("kernel", "Kernel", &facts.kernel),
            text("logDriver", "LogDriver", NOWHERE),
            named("memFree", "MemFree", Value::Int64(machine.memory_free_bytes)),
            named("memTotal", "MemTotal", Value::Int64(i64::try_from(facts.memory_bytes).unwrap_or(i64::MAX))),
            text("networkBackend", "NetworkBackend", ""),
            named("networkBackendInfo", "NetworkBackendInfo", network()),
            self.runtime(),
            text("os", "OS", std::env::consts::OS),
            named("remoteSocket", "RemoteSocket", socket()),
            text("rootlessNetworkCmd", "RootlessNetworkCmd", ""),
            flag("serviceIsRemote", "ServiceIsRemote", false),
            named("security", "Security", self.security()),
            program("slirp4netns", "Slirp4NetNS", "define.SlirpInfo", &["Executable", "Package", "Version"]),
            program("pasta", "Pasta", "define.PastaInfo", &["Executable", "Package", "Version"]),
            named("swapFree", "SwapFree", Value::Int64(machine.swap_free_bytes)),
            named("swapTotal", "SwapTotal", Value::Int64(machine.swap_bytes)),
            text("uptime", "Uptime", &machine.uptime()),
            text("variant", "Variant", Platform::host().variant.as_deref().unwrap_or_default()),
            text("linkmode", "Linkmode", "static"),
        ]
    }

    /// This program runs containers itself.
    fn runtime(&self) -> Field {
        let path = std::env::current_exe().unwrap_or_default();
        let fields = vec![
            text("name", "Name", DHOW),
            text("package", "Package", ""),
            text("path", "Path", &path.to_string_lossy()),
            text("version", "Version", VERSION),
        ];
        named("ociRuntime", "OCIRuntime", Value::pointer("define.OCIRuntimeInfo", fields))
    }

    fn security(&self) -> Value {
        let fields = vec![
            flag("apparmorEnabled", "AppArmorEnabled", says(APPARMOR, b"Y")),
            text("capabilities", "DefaultCapabilities", ""),
            flag("rootless", "Rootless", !self.is_root),
            flag("seccompEnabled", "SECCOMPEnabled", true),
            text("seccompProfilePath", "SECCOMPProfilePath", ""),
            flag("selinuxEnabled", "SELinuxEnabled", false),
        ];
        Value::structure("define.SecurityInfo", fields)
    }

    fn store(&self) -> Vec<Field> {
        let number = |key, name, number: i64| named(key, name, Value::Int(number));
        let [running, paused, stopped] = self.engine.states();
        let containers = vec![
            number("number", "Number", running + paused + stopped),
            number("paused", "Paused", paused),
            number("running", "Running", running),
            number("stopped", "Stopped", stopped),
        ];
        let images = vec![number("number", "Number", self.facts.images)];
        let root = &self.facts.root;
        let copies = std::env::temp_dir();
        vec![
            text("configFile", "ConfigFile", ""),
            named("containerStore", "ContainerStore", Value::structure("define.ContainerStore", containers)),
            text("graphDriverName", "GraphDriverName", DHOW),
            named("graphOptions", "GraphOptions", Value::map::<&str>(Type::Any, Some(Vec::new()))),
            text("graphRoot", "GraphRoot", root),
            named("graphRootAllocated", "GraphRootAllocated", Value::Int64(self.machine.disk_bytes)),
            named("graphRootUsed", "GraphRootUsed", Value::Int64(self.machine.disk_used_bytes)),
            named("graphStatus", "GraphStatus", Value::map::<&str>(Type::Text, Some(Vec::new()))),
            text("imageCopyTmpDir", "ImageCopyTmpDir", &copies.to_string_lossy()),
            named("imageStore", "ImageStore", Value::structure("define.ImageStore", images)),
            text("runRoot", "RunRoot", root),
            text("volumePath", "VolumePath", &format!("{root}/volumes")),
            flag("transientStore", "TransientStore", false),
        ]
    }
}

/// There are no programs that make networks, or resolve names in them.
fn network() -> Value {
    let absent = |key, name| Field { key, ..Field::optional(name, Value::from("")) };
    let facts = || vec![absent("version", "Version"), absent("package", "Package"), absent("path", "Path")];
    let resolver = named("dns", "DNS", Value::structure("types.DNSNetworkInfo", facts()));
    let fields = [vec![text("backend", "Backend", "")], facts(), vec![resolver]].concat();
    Value::structure("types.NetworkInfo", fields)
}

/// There is no service that could be asked.
fn socket() -> Value {
    let path = Field { key: "path", ..Field::optional("Path", Value::from("")) };
    Value::pointer("define.RemoteSocket", vec![path, flag("exists", "Exists", false)])
}

fn version() -> Vec<Field> {
    let (platform, system) = (Platform::host(), std::env::consts::OS);
    let text = |name, value: &str| Field::new(name, Value::from(value));
    vec![
        text("APIVersion", VERSION),
        text("Version", VERSION),
        text("GoVersion", ""),
        text("GitCommit", ""),
        text("BuiltTime", ""),
        Field::new("Built", Value::Int64(0)),
        text("OsArch", &format!("{system}/{}", platform.architecture)),
        text("Os", system),
    ]
}

/// A program that podman calls, and dhow does not.
fn program(key: &'static str, name: &'static str, kind: &'static str, members: &[&'static str; 3]) -> Field {
    let keys = members.iter().map(|member| match *member {
        "Executable" => "executable",
        "Package" => "package",
        "Path" => "path",
        _ => "version",
    });
    let fields = members.iter().zip(keys).map(|(member, key)| text(key, member, "")).collect();
    let value = if kind == "define.ConmonInfo" { Value::pointer(kind, fields) } else { Value::structure(kind, fields) };
    named(key, name, value)
}

fn named(key: &'static str, name: &'static str, value: Value) -> Field {
    Field { key, ..Field::new(name, value) }
}

fn text(key: &'static str, name: &'static str, value: &str) -> Field {
    named(key, name, Value::from(value))
}

fn flag(key: &'static str, name: &'static str, value: bool) -> Field {
    named(key, name, Value::from(value))
}

fn names<S: AsRef<str>>(key: &'static str, name: &'static str, values: &[S]) -> Field {
    named(key, name, Value::texts(Some(values)))
}
