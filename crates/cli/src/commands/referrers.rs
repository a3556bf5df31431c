//! `referrers`

use std::collections::BTreeMap;

use clap::Args;
use dhow_ops::remote;
use dhow_spec::Descriptor;
use serde::Serialize;

use super::remote::{READ_ONLY, Reach, run};
use super::targets;
use crate::errors::{Failure, Outcome};
use crate::format::list::{self, Columns};
use crate::format::table::Table;
use crate::format::{ListFormat, NONE, json, units};
use crate::session::Session;
use crate::verb::{Count, Verb, miscounted};

const COLUMNS: Columns = Columns {
    type_name: "formatter.referrer",
    headers: &[("Digest", "DIGEST"), ("ArtifactType", "ARTIFACT TYPE"), ("MediaType", "MEDIA TYPE"), ("Size", "SIZE")],
};

/// The arguments of `referrers`.
#[derive(Args, Debug)]
pub(crate) struct Referrers {
    /// Show only those of this artifact type
    #[arg(long, value_name = "string")]
    artifact_type: Option<String>,
    /// Show what refers to the image for this platform instead of the whole index
    #[arg(long, value_name = "string")]
    platform: Option<String>,
    /// Write as a table, as "json", or by a Go template with .Digest, .ArtifactType, .MediaType and .Size
    #[arg(long, value_name = "string", default_value = "", hide_default_value = true)]
    format: String,
    #[command(flatten)]
    reach: Reach,
    #[arg(value_name = "NAME")]
    names: Vec<String>,
}

/// What `--format json` writes.
#[derive(Debug, Serialize)]
struct Document {
    subject: String,
    referrers: Vec<Entry>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    media_type: String,
    digest: String,
    size: u64,
    artifact_type: Option<String>,
    annotations: BTreeMap<String, String>,
}

impl Verb for Referrers {
    const ABOUT: &'static str = "List what refers to an image in a registry: signatures, SBOMs and other artifacts";
    const OPERANDS: &'static str = "NAME[:TAG|@DIGEST]";
    const COUNT: Count = Count::Exactly(1);

    fn operands(&self) -> &[String] {
        &self.names
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let Some(name) = self.names.first() else { return miscounted() };
        let reference = remote::reference(name)?;
        let platform = targets::platform(self.platform.as_deref())?;
        let context = self.reach.context(session, [reference.repository().domain()])?;
        let wanted = self.artifact_type.as_deref().filter(|wanted| !wanted.is_empty());
        let found = run(READ_ONLY, remote::referrers(&context, &reference, platform.as_ref(), wanted))?;
        let rows = found.referrers.iter().map(row);
        let text = match ListFormat::parse(&self.format, false) {
            ListFormat::Json => {
                let referrers = found.referrers.iter().map(entry).collect();
                let document = Document { subject: found.subject.to_string(), referrers };
                json::line(&document).map_err(Failure::Client)? + "\n"
            }
            ListFormat::Template(template) => list::render(COLUMNS, &template, false, rows)?,
            ListFormat::TableTemplate(template) => list::render(COLUMNS, &template, true, rows)?,
            ListFormat::Table | ListFormat::Raw => {
                let mut table = Table::new(&["DIGEST", "ARTIFACT TYPE", "SIZE"]);
                for [(_, digest), (_, artifact_type), _, (_, size)] in rows {
                    let artifact_type = if artifact_type.is_empty() { NONE.to_owned() } else { artifact_type };
                    table.row([digest, artifact_type, size]);
                }
                table.render()
            }
        };
        session.console.text(text);
        Ok(())
    }
}

fn row(referrer: &Descriptor) -> [(&'static str, String); 4] {
    [
        ("Digest", referrer.digest.to_string()),
        ("ArtifactType", referrer.artifact_type.clone().unwrap_or_default()),
        ("MediaType", referrer.media_type.to_string()),
        ("Size", units::human_size(referrer.size)),
    ]
}

fn entry(referrer: &Descriptor) -> Entry {
    Entry {
        media_type: referrer.media_type.to_string(),
        digest: referrer.digest.to_string(),
        size: referrer.size,
        artifact_type: referrer.artifact_type.clone(),
        annotations: referrer.annotations.clone(),
    }
}
