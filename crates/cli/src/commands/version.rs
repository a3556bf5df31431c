//! `version`

use std::rc::Rc;

use clap::Args;
use dhow_spec::Platform;
use dhow_template::{Field, List, Options, Template, Type, Value};

use crate::errors::{Failure, Outcome};
use crate::format::{list, table};
use crate::personality::Personality;
use crate::session::Session;
use crate::verb::{Count, Verb};

/// The version of this program.
pub(super) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What `--version` prints.
pub(crate) fn line() -> String {
    format!("dhow version {VERSION}")
}

/// The arguments of `version`.
#[derive(Args, Debug)]
pub(crate) struct Version {
    /// Write as "json" or by a Go template
    #[arg(short, long, value_name = "string", default_value = "")]
    format: String,
    #[arg(hide = true)]
    operands: Vec<String>,
}

impl Verb for Version {
    const ABOUT: &'static str = "Show which dhow this is and where it keeps things";
    const OPERANDS: &'static str = "";
    const COUNT: Count = Count::Exactly(0);

    fn operands(&self) -> &[String] {
        &self.operands
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let is_docker = matches!(session.personality, Personality::Docker | Personality::Docker29);
        match self.format.as_str() {
            "" => {}
            "json" if is_docker => return by_docker_s_template(session, "{{json .}}"),
            template if is_docker => return by_docker_s_template(session, template),
            _ => {}
        }
        let platform = Platform::host().to_string();
        let store = session.store_root()?.display().to_string();
        let config = session.docker_config_dir().join("config.json").display().to_string();
        if !self.format.is_empty() {
            let template = if self.format == "json" { "{{json .}}" } else { &self.format };
            let facts = [("Config", &*config), ("Platform", &platform), ("Store", &store), ("Version", VERSION)];
            session.console.line(list::fill(template, &own_facts(&facts))?);
            return Ok(());
        }
        session.console.line("dhow:");
        for (name, value) in [("Version", VERSION), ("Platform", &platform), ("Store", &store), ("Config", &config)] {
            session.console.line(format!(" {:<10}{value}", format!("{name}:")));
        }
        Ok(())
    }
}

/// What dhow says of itself, and what docker would say: scripts ask for `.Client.Version` or `.Server.Version` whatever they
/// call.
fn own_facts(facts: &[(&'static str, &str)]) -> Value {
    let own = facts.iter().map(|&(name, value)| Field::new(name, Value::from(value)));
    let mut fields: Vec<Field> = docker_s_fields().into_iter().chain(own).collect();
    fields.sort_by_key(|field| field.name);
    Value::structure("version.Version", fields)
}

/// Fills in a template over what docker says of client and daemon.
fn by_docker_s_template(session: &Session<'_>, template: &str) -> Outcome {
    let template = Template::named("version", template).map_err(|error| Failure::Usage {
        message: format!("template parsing error: {error}"),
        code: list::TEMPLATE_ERROR,
    })?;
    let mut output = Vec::new();
    let object = Value::structure("system.versionInfo", docker_s_fields());
    let filled = template.execute(&object, Options::default(), &mut output);
    // As with docker, what comes before a failure is there, and so is the end of the line.
    output.push(b'\n');
    session.console.text(table::aligned(&list::shown(output), table::Spacing::VERSION));
    filled.map_err(|error| Failure::Client(error.to_string()))
}

/// Docker's `versionInfo`: dhow stands in for both. What it has not, such as an API or a version of Go, is empty.
fn docker_s_fields() -> Vec<Field> {
    let host = Platform::host();
    let (os, architecture) = (host.os.as_str(), host.architecture.as_str());
    let text = |name, text: &str| Field::new(name, Value::from(text));
    let optional = |name, key, text: &str| Field { name, key, omits_empty: true, value: Value::from(text) };
    let none = Value::Null { name: "*system.platformInfo", fields: &["Name"] };
    let client = vec![
        Field::optional("Platform", none),
        optional("Version", "Version", VERSION),
        optional("APIVersion", "ApiVersion", ""),
        optional("DefaultAPIVersion", "DefaultAPIVersion", ""),
        optional("GitCommit", "GitCommit", ""),
        optional("GoVersion", "GoVersion", ""),
        optional("Os", "Os", os),
        optional("Arch", "Arch", architecture),
        optional("BuildTime", "BuildTime", ""),
        text("Context", "default"),
    ];
    let details = Value::map(Type::Text, Some(vec![("Arch", Value::from(architecture)), ("Os", Value::from(os))]));
    let engine = vec![text("Name", "Engine"), text("Version", VERSION), Field::optional("Details", details)];
    let engine = Value::structure("types.ComponentVersion", engine);
    let components = List { element: Type::Named("types.ComponentVersion"), items: vec![engine], is_nil: false };
    let server = vec![
        Field::optional("Platform", Value::structure("struct { Name string }", vec![text("Name", "dhow")])),
        Field::optional("Components", Value::List(Rc::new(components))),
        text("Version", VERSION),
        Field { name: "APIVersion", key: "ApiVersion", omits_empty: false, value: Value::from("") },
        optional("MinAPIVersion", "MinAPIVersion", ""),
        text("GitCommit", ""),
        text("GoVersion", ""),
        text("Os", os),
        text("Arch", architecture),
        optional("KernelVersion", "KernelVersion", ""),
        Field::optional("Experimental", Value::Bool(false)),
        optional("BuildTime", "BuildTime", ""),
    ];
    let client = Value::structure("system.clientVersion", client);
    let server = Value::pointer("types.Version", server);
    vec![Field::new("Client", client), Field::new("Server", server)]
}
