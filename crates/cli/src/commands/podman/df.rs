//! `system df` of podman

use clap::Args;
use dhow_ops::df::{self, Account, Usage};
use dhow_ops::summary;
use dhow_template::{Field, Type, Value};
use serde::Serialize;

use crate::errors::{Failure, Outcome};
use crate::format::podman::{self, Filled, Report};
use crate::format::{NONE, ago, units};
use crate::session::Session;
use crate::verb::{Count, Verb};

const REPORT: Report = Report {
    name: "df",
    row: Type::Named("*system.dfSummary"),
    headers: &[
        ("Active", "ACTIVE"),
        ("RawReclaimable", "RAW RECLAIMABLE"),
        ("RawSize", "RAW SIZE"),
        ("Reclaimable", "RECLAIMABLE"),
        ("Size", "SIZE"),
        ("Total", "TOTAL"),
        ("TotalCount", "TOTAL COUNT"),
        ("Type", "TYPE"),
    ],
};

/// The arguments of `system df`.
#[derive(Args, Debug)]
pub(crate) struct DiskFree {
    /// Write as "json" or by a Go template, "table TEMPLATE" under a header
    #[arg(long, value_name = "string")]
    format: Option<String>,
    /// Show every image, container and volume
    #[arg(short, long)]
    verbose: bool,
    #[arg(hide = true)]
    operands: Vec<String>,
}

impl Verb for DiskFree {
    const ABOUT: &'static str = "Show how much space is taken";
    const OPERANDS: &'static str = "";
    const COUNT: Count = Count::Exactly(0);

    fn operands(&self) -> &[String] {
        &self.operands
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        if self.verbose && self.format.is_some() {
            return Err(Failure::Client("cannot combine --format and --verbose flags".to_owned()));
        }
        let context = session.local_context()?;
        let mut usage = df::usage(&context)?;
        // Podman counts an image's documents too.
        let sizes = summary::list(&context, &summary::Request::default())?;
        for image in &mut usage.images {
            let whole =
                sizes.iter().find(|summary| summary.id == image.image.id).map_or(image.size, |found| found.size);
            usage.layers_size += whole.saturating_sub(image.size);
            image.size = whole;
        }
        if self.verbose {
            session.console.text(details(&usage, ago::now()));
            return Ok(());
        }
        let lines: Vec<Line> = usage.summary(Account::AllButUsed).iter().take(3).map(Line::of).collect();
        match self.format.as_deref() {
            None => session.console.text(table(&lines)),
            Some(format) if podman::is_json(format) => session.console.line(podman::pretty(&lines)?),
            Some(format) => {
                let Filled { text, outcome } = REPORT.fill(format, true, lines.iter().map(Line::object).collect())?;
                session.console.text(text);
                return outcome;
            }
        }
        Ok(())
    }
}

/// A line of the summary.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Line {
    #[serde(rename = "Type")]
    kind: &'static str,
    total: usize,
    active: usize,
    raw_size: u64,
    raw_reclaimable: u64,
    total_count: usize,
    size: String,
    reclaimable: String,
}

impl Line {
    fn of(summary: &df::Summary) -> Self {
        let percent = match summary.size {
            0 => 0,
            // Rounded, not cut as docker has it.
            size => (summary.reclaimable * 200 + size) / (size * 2),
        };
        Self {
            kind: summary.kind,
            total: summary.total,
            active: summary.active,
            raw_size: summary.size,
            raw_reclaimable: summary.reclaimable,
            total_count: summary.total,
            size: units::human_size(summary.size),
            reclaimable: format!("{} ({percent}%)", units::human_size(summary.reclaimable)),
        }
    }

    fn object(&self) -> Value {
        let number = |number: u64| Value::Int64(i64::try_from(number).unwrap_or(i64::MAX));
        let count = |count: usize| Value::Int(i64::try_from(count).unwrap_or(i64::MAX));
        let fields = vec![
            Field::new("Type", Value::from(self.kind)),
            Field::new("Total", count(self.total)),
            Field::new("Active", count(self.active)),
            Field::new("RawSize", number(self.raw_size)),
            Field::new("RawReclaimable", number(self.raw_reclaimable)),
            Field::new("TotalCount", count(self.total_count)),
            Field::new("Size", Value::from(self.size.as_str())),
            Field::new("Reclaimable", Value::from(self.reclaimable.as_str())),
        ];
        Value::pointer("system.dfSummary", fields)
    }
}

fn table(lines: &[Line]) -> String {
    let rows = lines.iter().map(|line| {
        let (total, active) = (line.total.to_string(), line.active.to_string());
        vec![line.kind.to_owned(), total, active, line.size.clone(), line.reclaimable.clone()]
    });
    podman::table(&["TYPE", "TOTAL", "ACTIVE", "SIZE", "RECLAIMABLE"], rows, true)
}

fn details(usage: &Usage, now: i128) -> String {
    let age = |then: i64| ago::ago(then.into(), now).trim_end_matches(" ago").to_owned();
    let images = usage.images.iter().flat_map(|image| {
        let names = match image.image.references.as_slice() {
            [] => vec![(NONE.to_owned(), NONE.to_owned())],
            names => names.iter().map(|name| (name.repository().to_string(), tag_of(name))).collect(),
        };
        names.into_iter().map(|(repository, tag)| {
            vec![
                repository,
                tag,
                image.image.id.short().to_owned(),
                age(image.image.created.unwrap_or(0)),
                units::human_size(image.size),
                units::human_size(image.shared),
                units::human_size(image.size.saturating_sub(image.shared)),
                image.image.containers.to_string(),
            ]
        })
    });
    let header = ["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE", "SHARED SIZE", "UNIQUE SIZE", "CONTAINERS"];
    let images = podman::table(&header, images.collect::<Vec<_>>(), true);
    let containers = usage.containers.iter().map(|container| {
        let record = &container.record;
        vec![
            record.container.short_id().to_owned(),
            container.configuration.image.clone(),
            container.configuration.command.join(" "),
            "0".to_owned(),
            units::human_size(container.size),
            age(record.created),
            record.container.state.as_str().to_owned(),
            record.container.name.clone().unwrap_or_default(),
        ]
    });
    let header = ["CONTAINER ID", "IMAGE", "COMMAND", "LOCAL VOLUMES", "SIZE", "CREATED", "STATUS", "NAMES"];
    let containers = podman::table(&header, containers.collect::<Vec<_>>(), true);
    let volumes = usage.volumes.iter().map(|volume| {
        vec![volume.volume.name.clone(), volume.volume.links.to_string(), units::human_size(volume.size)]
    });
    let volumes = podman::table(&["VOLUME NAME", "LINKS", "SIZE"], volumes.collect::<Vec<_>>(), true);
    format!(
        "Images space usage:\n\n{images}\nContainers space usage:\n\n{containers}\nLocal Volumes space usage:\n\n{volumes}"
    )
}

fn tag_of(name: &dhow_spec::Reference) -> String {
    name.tag().map_or_else(|| NONE.to_owned(), ToString::to_string)
}
