//! `version`

use std::collections::BTreeMap;

use clap::Args;
use dhow_spec::Platform;

use crate::errors::{Failure, Outcome};
use crate::format::{ListFormat, json};
use crate::session::Session;
use crate::verb::{Count, Verb};

/// The version of this program.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What `--version` prints.
pub(crate) fn line() -> String {
    format!("dhow version {VERSION}")
}

/// The arguments of `version`.
#[derive(Args, Debug)]
pub(crate) struct Version {
    /// Write as "json"
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
        let format = ListFormat::parse(&self.format, false).map_err(Failure::Client)?;
        let platform = Platform::host().to_string();
        let store = session.store_root()?.display().to_string();
        let config = session.docker_config_dir().join("config.json").display().to_string();
        if format == ListFormat::Json {
            let object = BTreeMap::from([
                ("Config", config.as_str()),
                ("Platform", &platform),
                ("Store", &store),
                ("Version", VERSION),
            ]);
            session.console.line(json::compact(&object).map_err(Failure::Client)?);
            return Ok(());
        }
        session.console.line("dhow:");
        for (name, value) in [("Version", VERSION), ("Platform", &platform), ("Store", &store), ("Config", &config)] {
            session.console.line(format!(" {:<10}{value}", format!("{name}:")));
        }
        Ok(())
    }
}
