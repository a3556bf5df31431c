//! `version` of podman

use clap::Args;
use dhow_spec::Platform;
use dhow_template::{Field, Type, Value};
use serde::Serialize;

use crate::commands::version::VERSION;
use crate::errors::{Failure, Outcome};
use crate::format::json;
use crate::format::podman::{self, Report};
use crate::session::Session;
use crate::verb::{Count, Verb};

const REPORT: Report = Report { name: "version", row: Type::Any, headers: &[] };

/// What dhow is.
const CLIENT: &str = "dhow";

/// The arguments of `version`.
#[derive(Args, Debug)]
pub(crate) struct Version {
    /// Write as "json" or by a Go template
    #[arg(short, long, value_name = "string", default_value = "")]
    format: String,
    #[arg(hide = true)]
    operands: Vec<String>,
}

/// The facts under podman's names.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Client {
    #[serde(rename = "APIVersion")]
    api_version: &'static str,
    version: &'static str,
    go_version: &'static str,
    git_commit: &'static str,
    os_arch: String,
    os: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Versions {
    client: Client,
}

impl Verb for Version {
    const ABOUT: &'static str = "Show which dhow this is";
    const OPERANDS: &'static str = "";
    const COUNT: Count = Count::Exactly(0);

    fn operands(&self) -> &[String] {
        &self.operands
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let client = Client {
            api_version: VERSION,
            version: VERSION,
            go_version: "",
            git_commit: "",
            os_arch: Platform::host().to_string(),
            os: std::env::consts::OS,
        };
        let console = session.console;
        if self.format.is_empty() {
            let lines =
                [("Client:", CLIENT), ("Version:", VERSION), ("API Version:", VERSION), ("OS/Arch:", &client.os_arch)];
            lines.iter().for_each(|(name, value)| console.line(format!("{name:<14}{value}")));
        } else if podman::is_json(&self.format) {
            console.line(json::line(&Versions { client }).map_err(Failure::Client)?);
        } else {
            // Without a service there is no server, and older templates are about the client alone.
            let text = REPORT.fill_one(&self.format, &object(&client)).or_else(|_| {
                let format = self.format.replace(".Server.", ".");
                REPORT.fill_one(&format, &Value::pointer("define.Version", members(&client)))
            });
            console.text(text?);
        }
        Ok(())
    }
}

fn object(client: &Client) -> Value {
    let client = Field::new("Client", Value::pointer("define.Version", members(client)));
    let server = Field::new("Server", Value::Null { name: "*define.Version", fields: &[] });
    Value::structure("entities.SystemVersionReport", vec![client, server])
}

fn members(client: &Client) -> Vec<Field> {
    let text = |name, text: &str| Field::new(name, Value::from(text));
    vec![
        text("APIVersion", client.api_version),
        text("Version", client.version),
        text("GoVersion", client.go_version),
        text("GitCommit", client.git_commit),
        text("OsArch", &client.os_arch),
        text("Os", client.os),
        text("BuiltTime", ""),
        Field::new("Built", Value::Int64(0)),
        text("BuildOrigin", ""),
    ]
}
