//! `info` of podman

use clap::Args;
use dhow_template::{Field, Type, Value};
use serde::Serialize;

use crate::commands::info::Facts;
use crate::commands::version::VERSION;
use crate::errors::Outcome;
use crate::format::podman::{self, Report};
use crate::session::Session;
use crate::verb::{Count, Verb};

const REPORT: Report = Report { name: "info", row: Type::Any, headers: &[] };

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
        let shown = Shown::of(&Facts::gather(session)?, session);
        let console = session.console;
        match self.format.as_str() {
            "" => console.text(shown.yaml()),
            format if podman::is_json(format) => console.line(podman::pretty(&shown)?),
            format => console.line(REPORT.fill_one(format, &shown.object())?),
        }
        Ok(())
    }
}

/// The facts under podman's names: those of its fields that mean something here.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    host: Host,
    store: Store,
    version: Version,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Host {
    arch: &'static str,
    cpus: i64,
    hostname: String,
    kernel: String,
    mem_total: u64,
    os: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Store {
    container_store: Number,
    graph_driver_name: &'static str,
    graph_root: String,
    image_store: Number,
}

#[derive(Serialize)]
struct Number {
    number: i64,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Version {
    #[serde(rename = "APIVersion")]
    api_version: &'static str,
    version: &'static str,
}

impl Shown {
    fn of(facts: &Facts, _: &Session<'_>) -> Self {
        let platform = dhow_spec::Platform::host();
        Self {
            host: Host {
                arch: if platform.architecture == "arm64" { "arm64" } else { "amd64" },
                cpus: facts.processors,
                hostname: facts.host.clone(),
                kernel: facts.kernel.clone(),
                mem_total: facts.memory_bytes,
                os: std::env::consts::OS,
            },
            store: Store {
                container_store: Number { number: facts.containers },
                graph_driver_name: "dhow",
                graph_root: facts.root.clone(),
                image_store: Number { number: facts.images },
            },
            version: Version { api_version: VERSION, version: VERSION },
        }
    }

    fn yaml(&self) -> String {
        let (host, store) = (&self.host, &self.store);
        format!(
            "host:\n  arch: {}\n  cpus: {}\n  hostname: {}\n  kernel: {}\n  memTotal: {}\n  os: {}\n\
             store:\n  containerStore:\n    number: {}\n  graphDriverName: {}\n  graphRoot: {}\n  imageStore:\n    \
             number: {}\nversion:\n  APIVersion: {VERSION}\n  Version: {VERSION}\n\n",
            host.arch,
            host.cpus,
            host.hostname,
            host.kernel,
            host.mem_total,
            host.os,
            store.container_store.number,
            store.graph_driver_name,
            store.graph_root,
            store.image_store.number,
        )
    }

    fn object(&self) -> Value {
        let text = |name, text: &str| Field::new(name, Value::from(text));
        let number = |number: &Number| {
            Value::structure("define.ContainerStore", vec![Field::new("Number", Value::Int(number.number))])
        };
        let (host, store) = (&self.host, &self.store);
        let memory = Value::Int64(i64::try_from(host.mem_total).unwrap_or(i64::MAX));
        let host = vec![
            text("Arch", host.arch),
            Field::new("CPUs", Value::Int(host.cpus)),
            text("Hostname", &host.hostname),
            text("Kernel", &host.kernel),
            Field::new("MemTotal", memory),
            text("OS", host.os),
        ];
        let store = vec![
            Field::new("ContainerStore", number(&store.container_store)),
            text("GraphDriverName", store.graph_driver_name),
            text("GraphRoot", &store.graph_root),
            Field::new("ImageStore", number(&store.image_store)),
        ];
        let version = vec![text("APIVersion", VERSION), text("Version", VERSION)];
        let fields = vec![
            Field::new("Host", Value::pointer("define.HostInfo", host)),
            Field::new("Store", Value::pointer("define.StoreInfo", store)),
            Field::new("Version", Value::structure("define.Version", version)),
        ];
        Value::pointer("define.Info", fields)
    }
}
