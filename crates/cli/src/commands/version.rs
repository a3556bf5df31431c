//! `version`

use std::collections::BTreeMap;

use clap::Args;
use dhow_spec::Platform;
use dhow_template::{Field, Value};

use crate::errors::{Failure, Outcome};
use crate::format::{json, list};
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
        let platform = Platform::host().to_string();
        let store = session.store_root()?.display().to_string();
        let config = session.docker_config_dir().join("config.json").display().to_string();
        let facts = [("Config", config.as_str()), ("Platform", &platform), ("Store", &store), ("Version", VERSION)];
        match self.format.as_str() {
            "" => {}
            "json" => {
                session.console.line(json::compact(&BTreeMap::from(facts)).map_err(Failure::Client)?);
                return Ok(());
            }
            template => {
                let facts = facts.into_iter().map(|(name, value)| Field::new(name, Value::from(value))).collect();
                let object = Value::structure("version.Version", facts);
                session.console.line(list::fill(template, &object)?);
                return Ok(());
            }
        }
        session.console.line("dhow:");
        for (name, value) in [("Version", VERSION), ("Platform", &platform), ("Store", &store), ("Config", &config)] {
            session.console.line(format!(" {:<10}{value}", format!("{name}:")));
        }
        Ok(())
    }
}
