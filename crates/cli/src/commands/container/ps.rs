//! `ps`: containers.

use std::collections::BTreeMap;

use clap::Args;
use dhow_ops::container::{self, Record};
use dhow_ops::df::{Configuration, ContainerUse};
use dhow_ops::settings::{self, Listing};
use dhow_ops::{Context, summary};
use dhow_template::{Lookup, Options, Template, Value};

use super::super::df::details::{Row, container_document, container_row};
use super::chosen::Selection;
use crate::errors::{Failure, Outcome};
use crate::format::list::{self, Columns};
use crate::format::table::Table;
use crate::format::{ListFormat, ago, json, units};
use crate::session::Session;
use crate::verb::{Count, Verb};

/// The arguments of `ps`.
#[derive(Args, Debug)]
pub(crate) struct List {
    #[command(flatten)]
    selection: Selection,
    /// Format the list: "table", "json", or a Go template
    #[arg(long, value_name = "string", default_value = "")]
    format: String,
    /// Show whole IDs and commands
    #[arg(long)]
    no_trunc: bool,
    /// Show IDs only
    #[arg(short, long)]
    quiet: bool,
    /// Show how much space containers take
    #[arg(short, long)]
    size: bool,
    #[arg(hide = true)]
    operands: Vec<String>,
}

const COLUMNS: Columns = Columns { type_name: "formatter.ContainerContext", headers: HEADERS };

/// Docker's `raw`: a paragraph for each container.
const RAW: &str = "\
container_id: {{.ID}}
image: {{.Image}}
command: {{.Command}}
created_at: {{.CreatedAt}}
state: {{- pad .State 1 0}}
status: {{- pad .Status 1 0}}
names: {{.Names}}
labels: {{- pad .Labels 1 0}}
ports: {{- pad .Ports 1 0}}
";

const HEADERS: &[(&str, &str)] = &[
    ("ID", "CONTAINER ID"),
    ("Image", "IMAGE"),
    ("Command", "COMMAND"),
    ("RunningFor", "CREATED"),
    ("Status", "STATUS"),
    ("Ports", "PORTS"),
    ("Names", "NAMES"),
    ("Size", "SIZE"),
    ("CreatedAt", "CREATED AT"),
    ("Labels", "LABELS"),
    ("LocalVolumes", "LOCAL VOLUMES"),
    ("Mounts", "MOUNTS"),
    ("Networks", "NETWORKS"),
    ("State", "STATE"),
    ("Platform", "PLATFORM"),
];

/// The platform that an image was chosen for, which docker's engine knows only where containerd keeps its images.
const NO_PLATFORM: Value =
    Value::Null { name: "*v1.Platform", fields: &["Architecture", "OS", "OSVersion", "OSFeatures", "Variant"] };

impl Verb for List {
    const ABOUT: &'static str = "List containers";
    const OPERANDS: &'static str = "";
    const COUNT: Count = Count::Exactly(0);

    fn operands(&self) -> &[String] {
        &self.operands
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let context = session.local_context()?;
        let format = self.format(session, &context);
        check(&format)?;
        let records = self.selection.records(session, &context)?;
        if self.quiet {
            let label = if self.format == "raw" { "container_id: " } else { "" };
            for record in &records {
                let id = if self.no_trunc { &record.container.id } else { record.container.short_id() };
                session.console.line(format!("{label}{id}"));
            }
            return Ok(());
        }
        let wants_size = self.size || format.contains(".Size");
        let now = ago::now();
        let rows = records.into_iter().map(|record| self.row(&context, record, now, wants_size));
        session.console.text(match ListFormat::parse(&format, true) {
            ListFormat::Json => json::lines(rows.map(|(row, _)| container_document(row))).map_err(Failure::Client)?,
            ListFormat::Raw => {
                let size = if self.size { "size: {{.Size}}\n" } else { "" };
                list::render_labelled(COLUMNS, &format!("{RAW}{size}"), false, rows.map(seen))?
            }
            ListFormat::Template(template) => list::render_labelled(COLUMNS, &template, false, rows.map(seen))?,
            ListFormat::TableTemplate(template) => list::render_labelled(COLUMNS, &template, true, rows.map(seen))?,
            ListFormat::Table => {
                let shown = &COLUMNS.headers[..if self.size { 8 } else { 7 }];
                let mut table = Table::new(&shown.iter().map(|(_, header)| *header).collect::<Vec<_>>());
                for (row, _) in rows {
                    table.row(shown.iter().map(|(name, _)| row.get(name).map_or("", String::as_str)));
                }
                table.render()
            }
        });
        Ok(())
    }
}

impl List {
    /// What `--format` says, or else `psFormat` of the configuration.
    fn format(&self, session: &Session<'_>, context: &Context) -> String {
        if self.format.is_empty() {
            return settings::list_format(context, Listing::Containers).unwrap_or_default();
        }
        if self.quiet {
            let warning = "WARNING: Ignoring custom format, because both --format and --quiet are set.";
            session.console.notice(warning);
        }
        self.format.clone()
    }

    fn row(&self, context: &Context, record: Record, now: i128, wants_size: bool) -> (Row, BTreeMap<String, String>) {
        let configuration = match context.store() {
            Ok(store) => Configuration::now(store, &record),
            Err(_) => Configuration::parse(&record.configuration),
        };
        let shown = wants_size.then(|| {
            let own = container::changed_file_bytes(context, &record.container.id);
            let image = summary::describe(context, record.image_id.as_str()).map_or(0, |image| image.summary.size);
            format!("{} (virtual {})", units::short_size(own), units::short_size(own + image))
        });
        let used = ContainerUse { record, configuration, size: 0 };
        let mut row = container_row(&used, now, !self.no_trunc);
        row.insert("Size", shown.unwrap_or_else(|| "0B".to_owned()));
        (row, used.configuration.labels)
    }
}

/// A row as templates see it, with its labels.
fn seen((row, labels): (Row, BTreeMap<String, String>)) -> (Vec<(&'static str, Value)>, BTreeMap<String, String>) {
    let values = row.into_iter().map(|(name, text)| (name, Value::from(text)));
    (values.chain([("Platform", NO_PLATFORM)]).collect(), labels)
}

/// Tells of a template that is none before anything is listed, as docker's client does: it fills it in for a container without anything.
fn check(format: &str) -> Outcome {
    let failed =
        |what: &str, error: dhow_template::Error| Failure::Client(format!("failed to {what} template: {error}"));
    let template = Template::parse(format).map_err(|error| failed("parse", error))?;
    let value = |name: &&'static str| {
        let value = match *name {
            "Platform" => NO_PLATFORM,
            "Image" => "<no image>".into(),
            "Command" => "\"\"".into(),
            "CreatedAt" => ago::go_time(0).into(),
            "RunningFor" => ago::ago(0, ago::now()).into(),
            "LocalVolumes" => "0".into(),
            "Size" => "0B".into(),
            _ => "".into(),
        };
        (*name, value)
    };
    let label = Lookup { name: "Label", texts: BTreeMap::new() };
    let values = COLUMNS.headers.iter().map(|(name, _)| name).map(value).collect();
    let nothing = Value::context_with(COLUMNS.type_name, values, Some(label));
    template.execute(&nothing, Options::default(), &mut Vec::new()).map_err(|error| failed("execute", error))
}
