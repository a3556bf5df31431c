//! `ps`: containers.

use clap::Args;
use dhow_base::{Error, Kind};
use dhow_ops::container::{self, Network, Record, State};
use dhow_ops::df::{Configuration, ContainerUse};
use dhow_ops::strconv::parse_int;
use dhow_ops::{Context, Naming, filter, summary};

use super::super::df::details::{Row, container_row};
use super::super::filters;
use crate::errors::{FLAG_ERROR, Failure, Outcome};
use crate::format::list::{self, Columns};
use crate::format::table::Table;
use crate::format::{ListFormat, ago, json, units};
use crate::personality::Personality;
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
];

impl Verb for List {
    const ABOUT: &'static str = "List containers";
    const OPERANDS: &'static str = "";
    const COUNT: Count = Count::Exactly(0);

    fn operands(&self) -> &[String] {
        &self.operands
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let context = session.local_context()?;
        let records = self.selection.records(session, &context)?;
        if self.quiet && self.format.is_empty() {
            for record in &records {
                session.console.line(if self.no_trunc { &record.container.id } else { record.container.short_id() });
            }
            return Ok(());
        }
        let format = ListFormat::parse(&self.format, false);
        let wants_size = self.size || self.format.contains(".Size");
        let now = ago::now();
        let rows: Vec<Row> = records.into_iter().map(|record| self.row(&context, record, now, wants_size)).collect();
        session.console.text(match format {
            ListFormat::Json => json::lines(&rows).map_err(Failure::Client)?,
            ListFormat::Template(template) => list::render(COLUMNS, &template, false, rows)?,
            ListFormat::TableTemplate(template) => list::render(COLUMNS, &template, true, rows)?,
            ListFormat::Table | ListFormat::Raw => {
                let shown = &COLUMNS.headers[..if self.size { 8 } else { 7 }];
                let mut table = Table::new(&shown.iter().map(|(_, header)| *header).collect::<Vec<_>>());
                for row in &rows {
                    table.row(shown.iter().map(|(name, _)| row.get(name).map_or("", String::as_str)));
                }
                table.render()
            }
        });
        Ok(())
    }
}

impl List {
    fn row(&self, context: &Context, record: Record, now: i128, wants_size: bool) -> Row {
        let configuration = Configuration::parse(&record.configuration);
        let shown = wants_size.then(|| {
            let own = container::changed_file_bytes(context, &record.container.id);
            let image = summary::describe(context, record.image_id.as_str()).map_or(0, |image| image.summary.size);
            format!("{} (virtual {})", units::short_size(own), units::short_size(own + image))
        });
        let used = ContainerUse { record, configuration, size: 0 };
        let mut row = container_row(&used, now, !self.no_trunc);
        row.insert("Size", shown.unwrap_or_else(|| "0B".to_owned()));
        row
    }
}

/// The options by which containers are chosen.
#[derive(Args, Debug)]
pub(in crate::commands) struct Selection {
    /// Show all containers, not only those that run
    #[arg(short, long)]
    all: bool,
    /// Show only what fits: "id", "name", "label", "status", "exited", "ancestor", "volume", "before", "since"
    #[arg(short, long, value_name = "filter")]
    filter: Vec<String>,
    /// Show so many of the containers that were made last, whatever they do
    #[arg(short = 'n', long, value_name = "int", default_value = "-1", value_parser = parse_int::<i64>)]
    pub(in crate::commands) last: i64,
    /// Show the container that was made last, whatever it does
    #[arg(short, long)]
    pub(in crate::commands) latest: bool,
}

impl Selection {
    /// The containers that are asked for, the newest first.
    ///
    /// # Errors
    /// Each engine's words for what is no filter; those of the store.
    pub(in crate::commands) fn records(&self, session: &Session<'_>, context: &Context) -> Outcome<Vec<Record>> {
        // What was made last is listed whatever it does.
        let newest = if self.latest { 1 } else { usize::try_from(self.last).unwrap_or(0) };
        let terms = self.terms(session)?;
        let mut records = container::list(context)?;
        let asks_state = terms.iter().any(|(name, _)| matches!(name.as_str(), "status" | "exited"));
        if !self.all && newest == 0 && !asks_state {
            records.retain(|record| record.container.is_running());
        }
        retain(context, &mut records, &terms)?;
        if newest > 0 {
            records.truncate(newest);
        }
        Ok(records)
    }

    /// The filters. Docker's client tells while it reads its options what is none, podman's when it asks for the list.
    fn terms(&self, session: &Session<'_>) -> Outcome<Vec<(String, String)>> {
        let parse = |text: &String| {
            filters::parse(text).map_err(|why| match session.personality {
                Personality::Podman => Failure::Client(format!("invalid filter {text:?}")),
                personality => {
                    let what = format!("invalid argument {text:?} for \"-f, --filter\" flag: {why}");
                    let usage = format!("{} [OPTIONS]", session.path);
                    Failure::Usage { message: personality.about_flag(&what, &usage, &session.path), code: FLAG_ERROR }
                }
            })
        };
        let given: Vec<filters::Given> = self.filter.iter().map(parse).collect::<Outcome<_>>()?;
        Ok(filters::given(&given))
    }
}

/// Keeps the containers that fit all filters.
///
/// # Errors
/// Each engine's words for what is no filter.
pub(in crate::commands) fn retain(context: &Context, records: &mut Vec<Record>, terms: &[(String, String)]) -> Outcome {
    for (name, values) in filters::by_name(terms) {
        // Of several values of one name, any will do; labels must all be there.
        let tests: Vec<Test> = values.iter().map(|value| test(context, name, value)).collect::<Outcome<_>>()?;
        records.retain(|record| match name {
            "label" => tests.iter().all(|test| test(record)),
            _ => tests.iter().any(|test| test(record)),
        });
    }
    Ok(())
}

type Test = Box<dyn Fn(&Record) -> bool>;

fn test(context: &Context, name: &str, value: &str) -> Outcome<Test> {
    let invalid = || -> Failure { Error::new(Kind::Invalid, format!("invalid filter '{name}={value}'")).into() };
    let is_podman = context.naming() == Naming::Podman;
    let value = value.to_owned();
    Ok(match name {
        "id" => Box::new(move |record| record.container.id.starts_with(&value)),
        "name" => Box::new(move |record| {
            let name = record.container.name.as_deref().unwrap_or_default();
            name.contains(value.trim_start_matches('/'))
        }),
        "label" => {
            Box::new(move |record| filters::has_label(&Configuration::parse(&record.configuration).labels, &value))
        }
        "status" => {
            const STATES: [State; 5] = [State::Created, State::Running, State::Paused, State::Exited, State::Removing];
            let known = STATES.iter().any(|state| state.as_str() == value);
            if !known && !matches!(value.as_str(), "restarting" | "dead") {
                if is_podman {
                    return Err(Failure::Client(format!("unknown container state: {value}: invalid argument")));
                }
                return Err(invalid());
            }
            Box::new(move |record| record.container.state.as_str() == value)
        }
        "exited" => {
            let code: i64 = parse_int(&value).map_err(|why| match is_podman {
                true => Failure::Client(format!("exited code out of range '\\x00': {why}")),
                false => invalid(),
            })?;
            Box::new(move |record| record.container.state == State::Exited && record.exit_code == Some(code))
        }
        "ancestor" => {
            let id = container::image_of(context, &value).ok();
            Box::new(move |record| {
                Some(&record.image_id) == id.as_ref() || Configuration::parse(&record.configuration).image == value
            })
        }
        "volume" => Box::new(move |record| container::has_mounted(record, &value)),
        "before" | "since" => {
            let other = find_other(context, &value)?;
            let is_before = name == "before";
            Box::new(move |record| if is_before { record.created < other } else { record.created > other })
        }
        "network" if !is_podman => {
            Box::new(move |record| match Configuration::parse(&record.configuration).settings.network {
                Network::Host => value == "host",
                Network::None => value == "none",
            })
        }
        // There is nothing that any of these would take.
        "network" | "health" => Box::new(|_| false),
        "pod" if is_podman => Box::new(|_| false),
        "restart-policy" if is_podman => match value.split(':').next().unwrap_or_default() {
            "no" | "always" | "on-failure" | "unless-stopped" => Box::new(|_| false),
            _ => return Err(Failure::Client(format!("{value} invalid restart policy"))),
        },
        "until" if is_podman => {
            let until = until(&value)?;
            Box::new(move |record| record.created < until)
        }
        _ if is_podman => {
            return Err(Error::new(Kind::Invalid, format!("{name} is an invalid filter")).into());
        }
        _ => return Err(Error::new(Kind::Invalid, format!("invalid filter '{name}'")).into()),
    })
}

/// When the container was made that another is to be older or younger than.
fn find_other(context: &Context, name: &str) -> Outcome<i64> {
    match container::find(context, name) {
        Ok(record) => Ok(record.created),
        Err(error) if error.kind() == Kind::NotFound && context.naming() == Naming::Podman => {
            let message = format!("no container with name or ID {name:?} found: no such container");
            Err(Error::new(Kind::NotFound, message).into())
        }
        Err(error) => Err(error.into()),
    }
}

/// A moment that containers are to be older than, in nanoseconds since 1970.
fn until(value: &str) -> Outcome<i64> {
    let now = i64::try_from(ago::now()).unwrap_or(i64::MAX);
    Ok(filter::parse_past(value, now)?)
}
