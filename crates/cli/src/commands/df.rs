//! `system df`

pub(super) mod details;

use std::collections::BTreeMap;

use clap::Args;
use dhow_ops::df;

use crate::errors::{Failure, Outcome};
use crate::format::list::{self, Columns};
use crate::format::table::Table;
use crate::format::{ListFormat, ago, json, schema, units};
use crate::personality::Personality;
use crate::session::Session;
use crate::verb::{Count, Verb};

/// The arguments of `system df`.
#[derive(Args, Debug)]
pub(crate) struct DiskFree {
    /// Show what the disk says of each part of the store, as "du" counts it
    #[arg(long)]
    disk: bool,
    /// Write as "table", "json", "raw", or by a Go template, "table TEMPLATE" under a header
    #[arg(long, value_name = "string", default_value = "")]
    format: String,
    /// Show every image, container, volume and record of the build cache
    #[arg(short, long)]
    verbose: bool,
    #[arg(hide = true)]
    operands: Vec<String>,
}

impl Verb for DiskFree {
    const ABOUT: &'static str = "Show how much space images and everything else take";
    const OPERANDS: &'static str = "";
    const COUNT: Count = Count::Exactly(0);

    fn operands(&self) -> &[String] {
        &self.operands
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let format = ListFormat::parse(&self.format, !self.disk);
        if self.disk && self.verbose {
            return Err(Failure::Client("--disk and --verbose show different things: give one of them".to_owned()));
        }
        let context = session.local_context()?;
        let text = if self.disk {
            disk(&df::disk(&context)?, &format)?
        } else {
            let usage = df::usage(&context)?;
            if self.verbose {
                details::render(&usage, &format, ago::now())?
            } else {
                let account = match session.personality {
                    Personality::Docker29 => df::Account::Unused,
                    _ => df::Account::AllButUsed,
                };
                summary(&usage.summary(account), &format)?
            }
        };
        session.console.text(text);
        Ok(())
    }
}

/// A row of the summary as texts, by docker's placeholders.
fn row(line: &df::Summary) -> Row {
    let reclaimable = units::human_size(line.reclaimable);
    let reclaimable = match line.percent {
        Some(percent) => format!("{reclaimable} ({percent}%)"),
        None => reclaimable,
    };
    BTreeMap::from([
        ("Active", line.active.to_string()),
        ("Reclaimable", reclaimable),
        ("Size", units::human_size(line.size)),
        ("TotalCount", line.total.to_string()),
        ("Type", line.kind.to_owned()),
    ])
}

/// Placeholders with their headers, in the order of the table.
const SUMMARY: Columns = Columns {
    type_name: "formatter.diskUsageImagesContext",
    headers: &[
        ("Type", "TYPE"),
        ("TotalCount", "TOTAL"),
        ("Active", "ACTIVE"),
        ("Size", "SIZE"),
        ("Reclaimable", "RECLAIMABLE"),
    ],
};

/// Likewise, of the parts on disk.
const DISK: Columns = Columns {
    type_name: "formatter.diskContext",
    headers: &[("Part", "PART"), ("Files", "FILES"), ("Bytes", "BYTES"), ("Size", "SIZE")],
};

pub(super) type Row = BTreeMap<&'static str, String>;

fn summary(lines: &[df::Summary], format: &ListFormat) -> Outcome<String> {
    write(SUMMARY, lines.iter().map(row).collect(), format)
}

fn write(columns: Columns, rows: Vec<Row>, format: &ListFormat) -> Outcome<String> {
    match format {
        ListFormat::Table => Ok(table(columns.headers, &rows)),
        ListFormat::Json => json::lines(&rows).map_err(Failure::Client),
        ListFormat::Raw => Ok(rows.iter().map(|row| raw(columns, row)).collect()),
        ListFormat::Template(template) => list::render(columns, template, false, rows),
        ListFormat::TableTemplate(template) => list::render(columns, template, true, rows),
    }
}

/// A row as docker's `raw` has it: a line for each header, and an empty one.
fn raw(columns: Columns, row: &Row) -> String {
    let field = |(name, header): &(&str, &str)| {
        format!("{}: {}\n", header.to_lowercase(), row.get(name).map_or("", String::as_str))
    };
    columns.headers.iter().map(field).collect::<String>() + "\n"
}

fn table(headers: &[(&str, &str)], rows: &[Row]) -> String {
    let mut table = Table::new(&headers.iter().map(|(_, header)| *header).collect::<Vec<_>>());
    for row in rows {
        table.row(headers.iter().map(|(name, _)| row.get(name).map_or("", String::as_str)));
    }
    table.render()
}

fn disk(parts: &[df::DiskUse], format: &ListFormat) -> Outcome<String> {
    let total = df::DiskUse {
        name: "total",
        files: parts.iter().map(|part| part.files).sum(),
        bytes: parts.iter().map(|part| part.bytes).sum(),
    };
    if *format == ListFormat::Json {
        let lines = parts.iter().chain([&total]).map(|part| json::compact(&schema::DiskPart::from(part)));
        return lines
            .map(|line| line.map(|line| line + "\n"))
            .collect::<Result<String, String>>()
            .map_err(Failure::Client);
    }
    let row = |part: &df::DiskUse| {
        BTreeMap::from([
            ("Bytes", part.bytes.to_string()),
            ("Files", part.files.to_string()),
            ("Part", part.name.to_owned()),
            ("Size", units::human_size(part.bytes)),
        ])
    };
    write(DISK, parts.iter().chain([&total]).map(row).collect(), format)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn golden() -> [df::Summary; 4] {
        let line = |kind, total, active, size, reclaimable, percent| df::Summary {
            kind,
            total,
            active,
            size,
            reclaimable,
            percent,
        };
        [
            line("Images", 5, 1, 1_545_000_000, 1_537_000_000, Some(99)),
            line("Containers", 1, 1, 1234, 0, Some(0)),
            line("Local Volumes", 1, 0, 4096, 4096, Some(100)),
            line("Build Cache", 1, 0, 0, 0, None),
        ]
    }

    #[test]
    fn the_table_is_docker_s() {
        let expected = "\
TYPE            TOTAL     ACTIVE    SIZE      RECLAIMABLE
Images          5         1         1.545GB   1.537GB (99%)
Containers      1         1         1.234kB   0B (0%)
Local Volumes   1         0         4.096kB   4.096kB (100%)
Build Cache     1         0         0B        0B
";
        assert_eq!(summary(&golden(), &ListFormat::Table).unwrap(), expected);
    }

    #[test]
    fn formats_for_machines_are_docker_s() {
        let json = summary(&golden(), &ListFormat::Json).unwrap();
        assert_eq!(
            json.lines().next().unwrap(),
            r#"{"Active":"1","Reclaimable":"1.537GB (99%)","Size":"1.545GB","TotalCount":"5","Type":"Images"}"#
        );
        let template =
            ListFormat::Template("{{.Type}} {{.TotalCount}} {{.Active}} {{.Size}} {{.Reclaimable}}".to_owned());
        let lines = summary(&golden(), &template).unwrap();
        assert!(lines.starts_with("Images 5 1 1.545GB 1.537GB (99%)\nContainers 1 1 1.234kB 0B (0%)\n"), "{lines}");
        let raw = summary(&golden(), &ListFormat::Raw).unwrap();
        assert!(raw.starts_with(
            "type: Images\ntotal: 5\nactive: 1\nsize: 1.545GB\nreclaimable: 1.537GB (99%)\n\ntype: Containers\n"
        ));
    }
}
