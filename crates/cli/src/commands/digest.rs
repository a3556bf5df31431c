//! `digest`

use clap::Args;
use dhow_ops::remote;
use dhow_spec::Reference;
use serde::Serialize;

use super::remote::{READ_ONLY, Reach, run};
use super::targets;
use crate::errors::{Failure, Outcome};
use crate::format::json;
use crate::session::Session;
use crate::verb::{Count, Verb};

/// The arguments of `digest`.
#[derive(Args, Debug)]
pub(crate) struct Digest {
    /// Show the digest for this platform instead of that of the whole index
    #[arg(long, value_name = "string")]
    platform: Option<String>,
    /// Write whole names with the digest
    #[arg(long)]
    full_ref: bool,
    /// Write as "json"
    #[arg(long, value_name = "string", default_value = "", hide_default_value = true)]
    format: String,
    #[command(flatten)]
    reach: Reach,
    #[arg(value_name = "NAME")]
    names: Vec<String>,
}

/// What `--format json` writes, one line for each name.
#[derive(Debug, Serialize)]
struct Document {
    reference: String,
    digest: String,
}

impl Verb for Digest {
    const ABOUT: &'static str = "Show the digest that a name stands for in a registry";
    const OPERANDS: &'static str = "NAME[:TAG|@DIGEST] [NAME...]";
    const COUNT: Count = Count::AtLeast(1);

    fn operands(&self) -> &[String] {
        &self.names
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let is_json = match self.format.as_str() {
            "" => false,
            "json" => true,
            other => return Err(Failure::Client(format!("--format {other:?} is not supported: it is \"json\""))),
        };
        let platform = targets::platform(self.platform.as_deref())?;
        let references: Vec<Reference> =
            self.names.iter().map(|name| remote::reference(name)).collect::<Result<_, _>>()?;
        let domains = references.iter().map(|reference| reference.repository().domain());
        let context = self.reach.context(session, domains)?;
        targets::each(&references, |reference| {
            let digest = run(READ_ONLY, remote::digest(&context, reference, platform.as_ref()))?;
            let line = if is_json {
                let reference = reference.clone().with_default_tag().to_string();
                json::line(&Document { reference, digest: digest.to_string() }).map_err(Failure::Client)?
            } else if self.full_ref {
                format!("{}@{digest}", reference.repository().familiar())
            } else {
                digest.to_string()
            };
            session.console.line(line);
            Ok(())
        })
    }
}
