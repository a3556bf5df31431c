//! `info`

pub(super) mod engine;

use clap::Args;
use dhow_ops::images;
use dhow_template::{Field, Options, Template, Type, Value};

use super::version::VERSION;
use crate::errors::{Failure, Outcome};
use crate::format::{list, units};
use crate::session::Session;
use crate::verb::{Count, Verb};
use engine::Engine;

/// Longest `/etc/os-release` that is read, in bytes.
const OS_RELEASE_BYTES_MAX: u64 = 1 << 16;

/// Where docker looks for images that name no registry.
const HUB: &str = "https://index.docker.io/v1/";

/// Addresses whose registries may speak plain HTTP: this machine's.
const LOOPBACK: [&str; 2] = ["::1/128", "127.0.0.0/8"];

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
        let facts = Facts::gather(session)?;
        match self.format.as_str() {
            "" => session.console.text(facts.text(&Engine::gather(session)?)),
            "json" => return fill(session, "{{json .}}", &facts.object(&Engine::gather(session)?)),
            template => return fill(session, template, &facts.object(&Engine::gather(session)?)),
        }
        Ok(())
    }
}

/// Fills a template in. As with docker, what comes before a failure is there, and so is the end of the line.
fn fill(session: &Session<'_>, template: &str, facts: &Value) -> Outcome {
    let template = Template::parse(template).map_err(|error| Failure::Usage {
        message: format!("template parsing error: {error}"),
        code: list::TEMPLATE_ERROR,
    })?;
    let mut output = Vec::new();
    let filled = template.execute(facts, Options::default(), &mut output);
    session.console.line(list::shown(output));
    filled.map_err(|error| Failure::Client(error.to_string()))
}

/// What there is to know.
#[derive(Debug)]
pub(super) struct Facts {
    config: String,
    pub(super) root: String,
    pub(super) containers: i64,
    pub(super) images: i64,
    pub(super) kernel: String,
    system: String,
    system_version: String,
    architecture: String,
    pub(super) host: String,
    pub(super) processors: i64,
    pub(super) memory_bytes: u64,
}

impl Facts {
    pub(super) fn gather(session: &Session<'_>) -> Outcome<Self> {
        let mut rows = images::list(&session.local_context()?, &images::Request::default())?;
        rows.sort_by(|a, b| a.id.cmp(&b.id));
        rows.dedup_by(|a, b| a.id == b.id);
        let number = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        let kernel = rustix::system::uname();
        let memory = rustix::system::sysinfo();
        let text = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
        Ok(Self {
            config: session.docker_config_dir().join("config.json").display().to_string(),
            root: session.store_root()?.display().to_string(),
            containers: rows.iter().map(|row| i64::try_from(row.containers).unwrap_or(i64::MAX)).sum(),
            images: number(rows.len()),
            kernel: text(kernel.release()),
            system: operating_system("PRETTY_NAME").unwrap_or_else(|| std::env::consts::OS.to_owned()),
            system_version: operating_system("VERSION_ID").unwrap_or_default(),
            architecture: text(kernel.machine()),
            host: text(kernel.nodename()),
            processors: number(std::thread::available_parallelism().map_or(1, usize::from)),
            memory_bytes: memory.totalram * u64::from(memory.mem_unit),
        })
    }

    /// The facts under docker's names, in docker's order.
    fn object(&self, engine: &Engine) -> Value {
        let hub = vec![
            text("Name", "docker.io"),
            texts::<&str>("Mirrors", Some(&[])),
            flag("Secure", true),
            flag("Official", true),
        ];
        let indexes = vec![("docker.io", Value::pointer("registry.IndexInfo", hub))];
        let registries = vec![
            Field::new("IndexConfigs", Value::map(Type::Named("*registry.IndexInfo"), Some(indexes))),
            texts("InsecureRegistryCIDRs", Some(&LOOPBACK)),
            texts::<&str>("Mirrors", Some(&[])),
        ];
        let mut fields = vec![text("ID", ""), number("Containers", self.containers)];
        fields.extend(engine.containers());
        fields.extend([number("Images", self.images), text("Driver", "dhow")]);
        fields.extend(engine.abilities());
        fields.extend([
            text("KernelVersion", &self.kernel),
            text("OperatingSystem", &self.system),
            text("OSVersion", &self.system_version),
            text("OSType", std::env::consts::OS),
            text("Architecture", &self.architecture),
            text("IndexServerAddress", HUB),
            Field::new("RegistryConfig", Value::pointer("registry.ServiceConfig", registries)),
            number("NCPU", self.processors),
            Field::new("MemTotal", Value::Int64(i64::try_from(self.memory_bytes).unwrap_or(i64::MAX))),
            Field::new("GenericResources", Value::list(Type::Named("swarm.GenericResource"), None)),
            text("DockerRootDir", &self.root),
            Field { key: "HttpProxy", ..text("HTTPProxy", "") },
            Field { key: "HttpsProxy", ..text("HTTPSProxy", "") },
            text("NoProxy", ""),
            text("Name", &self.host),
            Field::new("Labels", Value::map::<&str>(Type::Text, Some(Vec::new()))),
            flag("ExperimentalBuild", false),
            text("ServerVersion", VERSION),
        ]);
        fields.extend(engine.ways());
        fields.extend([
            texts::<&str>("Warnings", None),
            Field::optional("ServerErrors", Value::texts::<&str>(None)),
            Field::new("ClientInfo", Value::pointer("system.clientInfo", self.client())),
        ]);
        Value::structure("system.dockerInfo", fields)
    }

    /// This program as docker's client.
    fn client(&self) -> Vec<Field> {
        vec![
            flag("Debug", false),
            text("Version", VERSION),
            text("Context", "default"),
            Field::new("Plugins", Value::list(Type::Named("pluginmanager.Plugin"), Some(Vec::new()))),
            texts::<&str>("Warnings", None),
            text("ConfigFile", &self.config),
        ]
    }

    /// Docker's lines for the same facts (docker/cli, `prettyPrintServerInfo`); those that would say nothing are left out.
    fn text(&self, engine: &Engine) -> String {
        let (containers, images, processors) = (self.containers, self.images, self.processors);
        let memory = units::binary_size(self.memory_bytes);
        let (config, kernel, system) = (&self.config, &self.kernel, &self.system);
        let (architecture, host, root) = (&self.architecture, &self.host, &self.root);
        let kind = std::env::consts::OS;
        let [first, second] = LOOPBACK;
        let [running, paused, stopped] = engine.states();
        let ways = engine.text();
        format!(
            "Client:\n Version:    {VERSION}\n Context:    default\n Debug Mode: false\n Config:     {config}\n\nServer:\n \
             Containers: {containers}\n  Running: {running}\n  Paused: {paused}\n  Stopped: {stopped}\n Images: {images}\n \
             Server Version: {VERSION}\n Storage Driver: dhow\n{ways} Kernel Version: {kernel}\n Operating System: {system}\n \
             OSType: {kind}\n Architecture: {architecture}\n CPUs: {processors}\n Total Memory: {memory}\n Name: {host}\n \
             Docker Root Dir: {root}\n Debug Mode: false\n Experimental: false\n Insecure Registries:\n  {first}\n  {second}\n \
             Live Restore Enabled: false\n"
        )
    }
}

fn text(name: &'static str, text: &str) -> Field {
    Field::new(name, Value::from(text))
}

fn number(name: &'static str, number: i64) -> Field {
    Field::new(name, Value::Int(number))
}

fn flag(name: &'static str, is_so: bool) -> Field {
    Field::new(name, Value::from(is_so))
}

fn texts<S: AsRef<str>>(name: &'static str, items: Option<&[S]>) -> Field {
    Field::new(name, Value::texts(items))
}

/// What the operating system says of itself in os-release(5).
pub(super) fn operating_system(what: &str) -> Option<String> {
    let files = ["/etc/os-release", "/usr/lib/os-release"].map(std::path::Path::new);
    let release = files.iter().find_map(|file| dhow_base::fs::read_limited(file, OS_RELEASE_BYTES_MAX).ok());
    let release = release.unwrap_or_default();
    said(&String::from_utf8_lossy(&release), what).map(str::to_owned)
}

fn said<'r>(release: &'r str, what: &str) -> Option<&'r str> {
    let value = release.lines().find_map(|line| line.strip_prefix(what)?.strip_prefix('='))?;
    Some(value.trim().trim_matches(['"', '\'']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_the_system() {
        let release = "ID=debian\nPRETTY_NAME=\"Debian GNU/Linux 13\"\nVERSION_ID=13\n";
        assert_eq!(said(release, "PRETTY_NAME"), Some("Debian GNU/Linux 13"));
        assert_eq!(said(release, "VERSION_ID"), Some("13"));
        assert_eq!(said("ID=debian\n", "PRETTY_NAME"), None);
    }
}
