//! `volume`: directories that outlive containers.

use std::collections::BTreeMap;

use clap::Args;
use dhow_base::{Error, Kind};
use dhow_ops::Context;
use dhow_ops::container::{self, NewVolume, VolumeDetails, VolumeOptions};
use dhow_ops::filter::NamePattern;
use dhow_ops::settings::{self, Listing};
use dhow_template::{Field, Options, Template, Type, Value};
use serde_json::json;

use super::container::machine;
use super::{filters, targets};
use crate::errors::{Failure, Outcome};
use crate::format::list::{self, Columns};
use crate::format::table::Table;
use crate::format::{ListFormat, ago, json as encode, natural, units};
use crate::session::Session;
use crate::terminal;
use crate::verb::{Count, Operands, Verb};

/// The only driver that there is, and the only scope of a volume.
pub(super) const LOCAL: &str = "local";

/// The arguments of `volume create`.
#[derive(Args, Debug)]
pub(crate) struct Create {
    /// Driver of the volume; there is "local" only
    #[arg(short, long, value_name = "string", default_value = "local", hide_default_value = true)]
    driver: String,
    /// Set labels on the volume
    #[arg(long, value_name = "list")]
    label: Vec<String>,
    /// Docker's old way to say it
    #[arg(long, value_name = "string", hide = true)]
    name: Option<String>,
    /// What the volume is: "type=none", "o=bind" and "device=/path" for a directory of this machine, "type=tmpfs" for memory
    #[arg(short, long, value_name = "map")]
    opt: Vec<String>,
    #[command(flatten)]
    cluster: Cluster,
    #[arg(value_name = "VOLUME")]
    names: Vec<String>,
}

/// Docker's options for volumes of a cluster.
#[derive(Args, Debug)]
struct Cluster {
    #[arg(long, value_name = "string", hide = true)]
    availability: Option<String>,
    #[arg(long, value_name = "string", hide = true)]
    group: Option<String>,
    #[arg(long, value_name = "bytes", hide = true)]
    limit_bytes: Option<String>,
    #[arg(long, value_name = "bytes", hide = true)]
    required_bytes: Option<String>,
    #[arg(long, value_name = "string", hide = true)]
    scope: Option<String>,
    #[arg(long, value_name = "map", hide = true)]
    secret: Vec<String>,
    #[arg(long, value_name = "string", hide = true)]
    sharing: Option<String>,
    #[arg(long, value_name = "list", hide = true)]
    topology_preferred: Vec<String>,
    #[arg(long, value_name = "list", hide = true)]
    topology_required: Vec<String>,
    #[arg(long, value_name = "string", hide = true)]
    r#type: Option<String>,
}

impl Cluster {
    fn refuse(&self) -> Outcome {
        let given = [
            ("availability", self.availability.is_some()),
            ("group", self.group.is_some()),
            ("limit-bytes", self.limit_bytes.is_some()),
            ("required-bytes", self.required_bytes.is_some()),
            ("scope", self.scope.is_some()),
            ("secret", !self.secret.is_empty()),
            ("sharing", self.sharing.is_some()),
            ("topology-preferred", !self.topology_preferred.is_empty()),
            ("topology-required", !self.topology_required.is_empty()),
            ("type", self.r#type.is_some()),
        ];
        match given.into_iter().find(|(_, is_given)| *is_given) {
            Some((flag, _)) => {
                let message = format!("--{flag} is not supported: it is for volumes of a cluster of container engines");
                Err(Failure::Client(message))
            }
            None => Ok(()),
        }
    }
}

impl Verb for Create {
    const ABOUT: &'static str = "Make a volume";
    const OPERANDS: &'static str = "[VOLUME]";
    const COUNT: Count = Count::AtMost(1);

    fn operands(&self) -> &[String] {
        &self.names
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let name = match (self.name.as_deref().filter(|name| !name.is_empty()), operand(&self.names)) {
            (Some(_), Some(_)) => {
                let message =
                    "conflicting options: cannot specify a volume-name through both --name and as a positional arg";
                return Err(Failure::Client(message.to_owned()));
            }
            (named, operand) => named.or(operand),
        };
        if self.driver != LOCAL {
            let (name, driver) = (name.unwrap_or_default(), &self.driver);
            let message =
                format!("create {name}: error looking up volume plugin {driver}: plugin {driver:?} not found");
            return Err(Error::new(Kind::NotFound, message).with_hint("there is the driver \"local\" only").into());
        }
        self.cluster.refuse()?;
        machine(session)?;
        let context = session.local_context()?;
        let options = VolumeOptions::docker(labels(&self.opt))
            .map_err(|error| error.context(format_args!("create {}", name.unwrap_or_default())))?;
        let new = NewVolume { name, labels: labels(&self.label), options };
        session.console.line(container::create_volume(&context, &new)?);
        Ok(())
    }
}

/// The name that `create` is given, if it is given one.
pub(super) fn operand(names: &[String]) -> Option<&str> {
    names.first().map(String::as_str).filter(|name| !name.is_empty())
}

/// Labels as options give them: `name=value`, or a name alone. Of several with one name, the last counts.
pub(super) fn labels(given: &[String]) -> BTreeMap<String, String> {
    let split = |label: &String| match label.split_once('=') {
        Some((name, value)) => (name.to_owned(), value.to_owned()),
        None => (label.clone(), String::new()),
    };
    given.iter().map(split).collect()
}

/// The arguments of `volume ls`.
#[derive(Args, Debug)]
pub(crate) struct List {
    /// Docker's way to ask for volumes of a cluster, of which there are none
    #[arg(long, hide = true)]
    cluster: bool,
    /// Show only what fits: "name", "label", "dangling", "driver"
    #[arg(short, long, value_name = "filter", value_parser = filters::parse)]
    filter: Vec<filters::Given>,
    /// Format the list: "table", "json", or a Go template
    #[arg(long, value_name = "string", default_value = "")]
    format: String,
    /// Show names only
    #[arg(short, long)]
    quiet: bool,
    #[arg(hide = true)]
    operands: Vec<String>,
}

/// Docker's `raw`: a paragraph for each volume.
const RAW: &str = "name: {{.Name}}\ndriver: {{.Driver}}\n";

const COLUMNS: Columns = Columns {
    type_name: "formatter.volumeContext",
    headers: &[
        ("Driver", "DRIVER"),
        ("Name", "VOLUME NAME"),
        ("Labels", "LABELS"),
        ("Links", "LINKS"),
        ("Mountpoint", "MOUNTPOINT"),
        ("Scope", "SCOPE"),
        ("Size", "SIZE"),
        ("Group", "GROUP"),
        ("Availability", "AVAILABILITY"),
        ("Status", "STATUS"),
    ],
};

impl Verb for List {
    const ABOUT: &'static str = "List volumes";
    const OPERANDS: &'static str = "";
    const COUNT: Count = Count::Exactly(0);

    fn operands(&self) -> &[String] {
        &self.operands
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let volumes = self.chosen(session)?;
        if self.quiet && self.format.is_empty() {
            volumes.iter().for_each(|volume| session.console.line(&volume.volume.name));
            return Ok(());
        }
        let format = match self.format.as_str() {
            "" => settings::list_format(&session.local_context()?, Listing::Volumes).unwrap_or_default(),
            given => given.to_owned(),
        };
        let rows = volumes.iter().map(|volume| (row(volume), volume.labels.clone()));
        session.console.text(match ListFormat::parse(&format, true) {
            ListFormat::Json => encode::lines(volumes.iter().map(row)).map_err(Failure::Client)?,
            ListFormat::Raw => list::render_labelled(COLUMNS, RAW, false, rows)?,
            ListFormat::Template(template) => list::render_labelled(COLUMNS, &template, false, rows)?,
            ListFormat::TableTemplate(template) => list::render_labelled(COLUMNS, &template, true, rows)?,
            ListFormat::Table => {
                let mut table = Table::new(&["DRIVER", "VOLUME NAME"]);
                volumes.iter().map(row).for_each(|row| table.row([&row["Driver"], &row["Name"]]));
                table.render()
            }
        });
        Ok(())
    }
}

impl List {
    /// The volumes that fit all filters.
    fn chosen(&self, session: &Session<'_>) -> Outcome<Vec<VolumeDetails>> {
        let mut volumes = container::volumes(&session.local_context()?)?;
        volumes.sort_by(|a, b| natural::order(&a.volume.name, &b.volume.name));
        volumes.retain(|_| !self.cluster);
        let terms = filters::given(&self.filter);
        for (name, values) in filters::by_name(&terms) {
            // Of several values of one name, any will do; labels must all be there (moby `volume/service/convert.go`).
            let fits = |volume: &VolumeDetails, value: &str| match name {
                "name" => NamePattern::parse(value).fits(&volume.volume.name),
                "dangling" => (volume.volume.links == 0) == matches!(value, "1" | "true"),
                "label" => filters::has_label(&volume.labels, value),
                _ => value == LOCAL,
            };
            check_filter(name, &values)?;
            volumes.retain(|volume| match name {
                "label" => values.iter().all(|value| fits(volume, value)),
                _ => values.iter().any(|value| fits(volume, value)),
            });
        }
        Ok(volumes)
    }
}

fn check_filter(name: &str, values: &[&str]) -> Outcome {
    let is_truth = |value: &&str| matches!(*value, "1" | "true" | "0" | "false");
    let message = match (name, values) {
        ("dangling", [value]) if is_truth(value) => return Ok(()),
        ("dangling", values) => format!("invalid filter 'dangling=[{}]'", values.join(" ")),
        ("name" | "driver" | "label", _) => return Ok(()),
        _ => format!("invalid filter '{name}'"),
    };
    Err(Error::new(Kind::Invalid, message).into())
}

fn row(volume: &VolumeDetails) -> BTreeMap<&'static str, String> {
    let labels: Vec<String> = volume.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    BTreeMap::from([
        ("Availability", "N/A".to_owned()),
        ("Driver", LOCAL.to_owned()),
        ("Group", "N/A".to_owned()),
        ("Labels", labels.join(",")),
        ("Links", "N/A".to_owned()),
        ("Mountpoint", volume.directory.clone()),
        ("Name", volume.volume.name.clone()),
        ("Scope", LOCAL.to_owned()),
        ("Size", "N/A".to_owned()),
        ("Status", "N/A".to_owned()),
    ])
}

/// The arguments of `volume inspect`.
#[derive(Args, Debug)]
pub(crate) struct Inspect {
    /// Write as "json" (one line) or by a Go template; without it, JSON is indented
    #[arg(short, long, value_name = "string", default_value = "")]
    format: String,
    #[arg(value_name = "VOLUME")]
    names: Vec<String>,
}

impl Verb for Inspect {
    const ABOUT: &'static str = "Show everything that is known about volumes";
    const OPERANDS: &'static str = "VOLUME [VOLUME...]";
    const COUNT: Count = Count::AtLeast(1);
    const NAMES: Operands = Operands::Volumes;

    fn operands(&self) -> &[String] {
        &self.names
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let context = session.local_context()?;
        let template = match self.format.as_str() {
            "" | "json" => None,
            text => Some(Template::parse(text).map_err(|error| Failure::Usage {
                message: format!("template parsing error: {error}"),
                code: list::TEMPLATE_ERROR,
            })?),
        };
        let (mut found, mut text) = (Vec::new(), String::new());
        let outcome = targets::each(&self.names, |name| {
            let volume = container::volume(&context, name)?;
            if let Some(template) = &template {
                let mut output = Vec::new();
                let filled = template.execute(&object(&volume), Options::default(), &mut output);
                filled.map_err(|error| list::failure(&error))?;
                text.push_str(&(list::shown(output) + "\n"));
            }
            found.push(document(&volume));
            Ok(())
        });
        match (&template, self.format.as_str()) {
            (Some(_), _) => session.console.text(if text.is_empty() { "\n" } else { &text }),
            (None, "json") => session.console.line(encode::compact(&found).map_err(Failure::Client)?),
            (None, _) => session.console.line(encode::indented(&found).map_err(Failure::Client)?),
        }
        outcome
    }
}

/// A volume as templates see it, and the JSON of it.
///
/// # Errors
/// Docker's words for one that is not here.
pub(super) fn show(context: &Context, name: &str) -> Outcome<(Value, serde_json::Value)> {
    let volume = container::volume(context, name)?;
    Ok((object(&volume), document(&volume)))
}

/// Docker's `volume.Volume`.
fn object(volume: &VolumeDetails) -> Value {
    let text = |name, text: &str| Field::new(name, Value::from(text));
    let labels = volume.labels.iter().map(|(name, value)| (name, Value::from(value.as_str()))).collect();
    let labels = Some(labels).filter(|_| !volume.labels.is_empty());
    let options = volume.options.options.iter().map(|(name, value)| (name, Value::from(value.as_str()))).collect();
    let options = Some(options).filter(|_| !volume.options.options.is_empty());
    let absent = |name, kind| Field::optional(name, Value::Null { name: kind, fields: &[] });
    let fields = vec![
        absent("ClusterVolume", "*volume.ClusterVolume"),
        text("CreatedAt", &ago::rfc3339(volume.volume.created.into())),
        text("Driver", LOCAL),
        Field::new("Labels", Value::map(Type::Text, labels)),
        text("Mountpoint", &volume.directory),
        text("Name", &volume.volume.name),
        Field::new("Options", Value::map(Type::Text, options)),
        text("Scope", LOCAL),
        Field::optional("Status", Value::map::<&str>(Type::Any, None)),
        absent("UsageData", "*volume.UsageData"),
    ];
    Value::structure("volume.Volume", fields)
}

fn document(volume: &VolumeDetails) -> serde_json::Value {
    json!({
        "CreatedAt": ago::rfc3339(volume.volume.created.into()),
        "Driver": LOCAL,
        "Labels": if volume.labels.is_empty() { serde_json::Value::Null } else { json!(volume.labels) },
        "Mountpoint": volume.directory,
        "Name": volume.volume.name,
        "Options": if volume.options.options.is_empty() { serde_json::Value::Null } else { json!(volume.options.options) },
        "Scope": LOCAL,
    })
}

/// The arguments of `volume rm`.
#[derive(Args, Debug)]
pub(crate) struct Remove {
    /// Do not mind volumes that are not there
    #[arg(short, long)]
    force: bool,
    #[arg(value_name = "VOLUME")]
    names: Vec<String>,
}

impl Verb for Remove {
    const ABOUT: &'static str = "Remove volumes that no container uses";
    const OPERANDS: &'static str = "VOLUME [VOLUME...]";
    const COUNT: Count = Count::AtLeast(1);
    const NAMES: Operands = Operands::Volumes;

    fn operands(&self) -> &[String] {
        &self.names
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        machine(session)?;
        let context = session.local_context()?;
        targets::each(&self.names, |name| {
            match container::remove_volume(&context, name) {
                Err(error) if self.force && error.kind() == Kind::NotFound => {}
                removed => removed?,
            }
            session.console.line(name);
            Ok(())
        })
    }
}

/// The arguments of `volume prune`.
#[derive(Args, Debug)]
pub(crate) struct Prune {
    /// Remove volumes with a name too
    #[arg(short, long)]
    all: bool,
    /// Remove only what fits: "label=KEY=VALUE", "label!=KEY"
    #[arg(long, value_name = "filter", value_parser = filters::parse)]
    filter: Vec<filters::Given>,
    /// Do not ask
    #[arg(short, long)]
    force: bool,
    #[arg(hide = true)]
    operands: Vec<String>,
}

impl Verb for Prune {
    const ABOUT: &'static str = "Remove volumes that no container uses";
    const OPERANDS: &'static str = "";
    const COUNT: Count = Count::Exactly(0);

    fn operands(&self) -> &[String] {
        &self.operands
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        machine(session)?;
        let kind = if self.all { "all" } else { "anonymous" };
        let question = format!("WARNING! This will remove {kind} local volumes not used by at least one container.");
        if !self.force && !terminal::confirm(session.console, &question)? {
            return Ok(());
        }
        let context = session.local_context()?;
        let pruned = container::prune_volumes(&context, self.all, &filters::given(&self.filter))?;
        if !pruned.removed.is_empty() {
            session.console.text(format!("Deleted Volumes:\n{}\n\n", pruned.removed.join("\n")));
        }
        session.console.line(format!("Total reclaimed space: {}", units::human_size(pruned.reclaimed_bytes)));
        Failure::of(pruned.failures)
    }
}
